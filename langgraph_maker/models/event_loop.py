"""From synchronous code to asynchronous models, and back."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Awaitable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import cache
from typing import Any, TypeVar, cast

__all__ = ["in_background", "run_at_once", "run_sync"]

T = TypeVar("T")


def run_sync(awaitable: Awaitable[T]) -> T:
    """Wait for `awaitable` from synchronous code, inside a running event loop too (Jupyter).

    One long-lived loop in the background serves all such calls, because HTTP clients stay bound to the loop that
    they were first used on. The caller's context variables go along.
    """

    async def run() -> T:
        return await awaitable

    future = asyncio.run_coroutine_threadsafe(run(), _background_loop(os.getpid()))
    try:
        return future.result()
    except BaseException:
        future.cancel()
        raise


def run_at_once(coroutine: Coroutine[Any, Any, T]) -> T:
    """Return the result of a coroutine that never waits, without an event loop.

    Raises:
        RuntimeError: When it does wait.
    """
    try:
        coroutine.send(None)
    except StopIteration as done:
        return cast("T", done.value)
    coroutine.close()
    raise RuntimeError("a sampler marked never_waits waited: take the mark off")


def in_background() -> bool:
    """Return whether this runs for synchronous code, on the loop that serves all such calls."""
    return asyncio.get_running_loop() is _background_loop(os.getpid())


@cache
def _background_loop(pid: int) -> asyncio.AbstractEventLoop:  # noqa: ARG001 - a fork has no threads, so needs its own
    loop = asyncio.new_event_loop()
    loop.set_default_executor(ThreadPoolExecutor(_THREADS, "langgraph-maker"))
    threading.Thread(target=_run, args=(loop,), name="langgraph-maker", daemon=True).start()
    return loop


def _run(loop: asyncio.AbstractEventLoop) -> None:
    """Run the loop for good; what ends one call, as `sys.exit` in a model, is raised where it is waited for."""
    while True:
        with suppress(KeyboardInterrupt, SystemExit):
            loop.run_forever()


_THREADS = 128  # for models that have no asynchronous client; made as they are needed
