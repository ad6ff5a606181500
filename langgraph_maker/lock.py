from contextlib import asynccontextmanager, contextmanager


@contextmanager
def hold(store, run_id):
    yield


@asynccontextmanager
async def ahold(store, run_id):
    yield
