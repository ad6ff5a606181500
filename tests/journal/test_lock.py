"""One writer a run: between processes, threads and stores, and never longer than the holder lives."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from forked import Forked
from langgraph.store.memory import InMemoryStore
from langgraph.store.sqlite import SqliteStore
from langgraph.store.sqlite.aio import AsyncSqliteStore

from langgraph_maker.core.errors import JournalError, RunBusyError
from langgraph_maker.journal.lock import ahold, hold

Open = Callable[[], AbstractContextManager[Any]]

CHILD = """
import os, sys, time
from langgraph_maker.journal.lock import hold
if sys.argv[1].startswith("postgresql:"):
    from langgraph.store.postgres import PostgresStore as Store
else:
    from langgraph.store.sqlite import SqliteStore as Store
with Store.from_conn_string(sys.argv[1]) as store, hold(store, sys.argv[2]):
    forked = os.fork() if sys.argv[3] else None
    if forked == 0 and sys.argv[3] == "fork":
        time.sleep(120)
        os._exit(0)
    if forked == 0:
        sys.exit()
    if sys.argv[3] == "fork and leave":
        os.wait()
    print(forked, flush=True)
    sys.stdin.read()
"""

ODD = [
    "a.b",
    "../../etc/passwd",
    "a/b\\c:d*?",
    "",
    " ",
    "x" * 500,
    "naïve–日本語🎉",
    "lone \ud800",
    "quo'te\"s%s",
    "a\nb",
]


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where two processes meet: the path of a file, or the URI of a database."""
    return str(tmp_path / "run.sqlite") if request.param == "sqlite" else request.getfixturevalue("postgres_db")


def opened(database: str) -> AbstractContextManager[Any]:
    if database.startswith("postgresql:"):
        from langgraph.store.postgres import PostgresStore

        return PostgresStore.from_conn_string(database)
    return SqliteStore.from_conn_string(database)


@contextmanager
def child(database: str, run_id: str, mode: str = "") -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A process that holds the run, and the first line it printed."""
    with Forked("-c", CHILD, database, run_id, mode, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout
        try:
            yield process, process.stdout.readline().strip()
        finally:
            process.kill()


def refused(store: Any, run_id: str) -> str:
    with pytest.raises(RunBusyError) as error, hold(store, run_id):
        pytest.fail("held twice")
    return str(error.value)


async def arefused(store: Any, run_id: str) -> str:
    with pytest.raises(RunBusyError) as error:
        async with ahold(store, run_id):
            pytest.fail("held twice")
    return str(error.value)


def test_a_second_process_is_told_who_holds_the_run(database: str) -> None:
    with opened(database) as store, child(database, "a") as (process, _):
        message = refused(store, "a")
        who = re.fullmatch(
            r"run 'a' is being written by process (\d+) on (\S+) since (\S+):"
            r" wait for it to end, stop it, or write elsewhere \(another run id, another folder\)",
            message,
        )
        assert who, message
        assert (int(who[1]), who[2]) == (process.pid, socket.gethostname())
        assert timedelta() <= datetime.now(UTC) - datetime.fromisoformat(who[3]) < timedelta(minutes=1)
        process.communicate()  # closes its input: it leaves in good order
        with hold(store, "a"):
            pass


def test_a_killed_holder_is_followed_at_once(database: str) -> None:
    with opened(database) as store:
        for _ in range(2):
            with child(database, "a") as (process, _):
                assert str(process.pid) in refused(store, "a")
                process.send_signal(signal.SIGKILL)
                process.wait()
                with hold(store, "a"):
                    assert str(os.getpid()) in refused(store, "a")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_does_not_keep_the_run_of_its_dead_parent(database: str) -> None:
    with opened(database) as store, child(database, "a", "fork") as (process, forked):
        try:
            refused(store, "a")
            process.send_signal(signal.SIGKILL)
            process.wait()
            with hold(store, "a"):
                os.kill(int(forked), 0)  # raises unless it is still there
        finally:
            os.kill(int(forked), signal.SIGKILL)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_that_leaves_does_not_release(database: str) -> None:
    with opened(database) as store, child(database, "a", "fork and leave") as (process, _):
        assert f"process {process.pid} " in refused(store, "a")


def test_two_stores_and_one_store_twice(database: str) -> None:
    with opened(database) as one, opened(database) as two:
        with hold(one, "a"):
            assert f"process {os.getpid()} " in refused(two, "a")
            assert f"process {os.getpid()} " in refused(one, "a")
            with hold(two, "b"):
                refused(one, "b")
            with hold(one, "b"):
                pass
        with hold(two, "a"):
            refused(one, "a")


@pytest.fixture(params=["sqlite", "memory", "sqlite in memory", pytest.param("postgres", marks=pytest.mark.postgres)])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Any]:
    if request.param == "memory":
        yield InMemoryStore()
        return
    places = {"sqlite": str(tmp_path / "run.sqlite"), "sqlite in memory": ":memory:"}
    with opened(places.get(request.param) or request.getfixturevalue("postgres_db")) as store:
        yield store


def test_one_of_many_threads_holds(store: Any) -> None:
    start, end = threading.Barrier(6), threading.Barrier(6)
    outcomes: list[str] = []

    def work() -> None:
        start.wait()
        with ExitStack() as stack:
            try:
                stack.enter_context(hold(store, "a"))
                outcomes.append("held")
            except RunBusyError:
                outcomes.append("refused")
            end.wait()

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["held"] + 5 * ["refused"]
    with hold(store, "a"):
        pass


def test_an_exception_releases(store: Any) -> None:
    with pytest.raises(ZeroDivisionError), hold(store, "a"):
        raise ZeroDivisionError
    with hold(store, "a"):
        assert f"process {os.getpid()} on {socket.gethostname()} since 2" in refused(store, "a")
    with hold(store, "a"):
        pass


def test_any_run_id_will_do_and_none_blocks_another(store: Any) -> None:
    with ExitStack() as stack:
        for run_id in ODD:
            stack.enter_context(hold(store, run_id))
        for run_id in ODD[:3]:
            assert repr(run_id) in refused(store, run_id)
    with hold(store, ODD[-1]):
        pass


async def test_ahold_is_the_twin(store: Any) -> None:
    async with ahold(store, "a"):
        refused(store, "a")
        await arefused(store, "a")
        with pytest.raises(ZeroDivisionError):
            async with ahold(store, "b"):
                raise ZeroDivisionError
        async with ahold(store, "b"):
            pass
    with hold(store, "a"):
        assert f"process {os.getpid()} on" in await arefused(store, "a")


async def test_a_cancelled_ahold_holds_nothing(store: Any) -> None:
    async def work(run_id: str, entered: asyncio.Event) -> None:
        async with ahold(store, run_id):
            entered.set()
            await asyncio.Event().wait()

    for run_id, wait_until_held in (("a", False), ("b", True)):  # the first may enter, and leave, later than it is told
        entered = asyncio.Event()
        task = asyncio.create_task(work(run_id, entered))
        await (entered.wait() if wait_until_held else asyncio.sleep(0))
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        async with asyncio.timeout(10):
            while True:
                with suppress(RunBusyError):
                    async with ahold(store, run_id):
                        break


async def test_async_sqlite(tmp_path: Path) -> None:
    path = str(tmp_path / "run.sqlite")
    async with AsyncSqliteStore.from_conn_string(path) as store:
        store.conn.row_factory = sqlite3.Row
        with SqliteStore.from_conn_string(path) as other:
            async with ahold(store, "a"):
                refused(other, "a")
                refused(store, "a")
            with hold(store, "a"):
                refused(other, "a")
    async with AsyncSqliteStore.from_conn_string(":memory:") as store, ahold(store, "a"):
        refused(store, "a")


@pytest.mark.postgres
async def test_async_postgres_and_pools(postgres_db: str) -> None:
    from langgraph.store.postgres import AsyncPostgresStore, PostgresStore
    from psycopg_pool import AsyncConnectionPool

    async def conninfo() -> str:
        return postgres_db

    async with (
        AsyncPostgresStore.from_conn_string(postgres_db) as single,
        AsyncPostgresStore.from_conn_string(postgres_db, pool_config={"max_size": 1}) as pooled,
        AsyncConnectionPool(conninfo, min_size=1, open=False) as pool,
    ):
        called: Any = AsyncPostgresStore(pool)  # type: ignore[arg-type]
        with PostgresStore.from_conn_string(postgres_db, pool_config={"max_size": 1}) as other:
            await single.setup()
            for store in (single, pooled, called):
                async with ahold(store, "a"):
                    assert f"process {os.getpid()} on {socket.gethostname()} since 2" in refused(other, "a")
                    refused(store, "a")
                    await store.aput(("n",), "k", {"v": 1})  # the hold takes no connection of the store's
            with hold(other, "a"):
                await arefused(single, "a")


@pytest.mark.postgres
def test_a_store_that_loses_its_connection_keeps_its_run(postgres_db: str) -> None:
    import psycopg

    with (
        opened(postgres_db) as store,
        opened(postgres_db) as other,
        hold(store, "a"),
        closing(psycopg.connect(postgres_db, autocommit=True)) as admin,
    ):
        admin.execute("SELECT pg_terminate_backend(%s)", (store.conn.info.backend_pid,))
        refused(other, "a")


@pytest.mark.postgres
@pytest.mark.parametrize("pool_config", [None, {"max_size": 1}])
def test_postgres_with_a_password(postgres_db: str, pool_config: Any) -> None:
    """The tests' server trusts all, so what counts is that the password is passed on."""
    from langgraph.store.postgres import PostgresStore
    from psycopg.conninfo import conninfo_to_dict, make_conninfo

    from langgraph_maker.journal.lock import conninfo_of

    asked = make_conninfo(postgres_db, password="it's secret")  # noqa: S106
    with PostgresStore.from_conn_string(asked, pool_config=pool_config) as store:
        made = conninfo_to_dict(conninfo_of(store.conn))
    assert {name: made[name] for name in ("user", "password", "dbname", "host")} == conninfo_to_dict(asked)


@pytest.mark.postgres
def test_a_database_that_does_not_answer(postgres_db: str) -> None:
    with opened(postgres_db) as store:
        store.conn.close()
        with pytest.raises(JournalError, match="run 'a' cannot be locked: the connection is closed"), hold(store, "a"):
            pytest.fail("held")


def test_a_lock_file_that_cannot_be_made(tmp_path: Path) -> None:
    name = "x" * 250  # leaves no room for more
    with SqliteStore.from_conn_string(str(tmp_path / name)) as store:
        message = f"run 'a' cannot be locked beside {tmp_path / name}: .*name too long"
        with pytest.raises(JournalError, match=message), hold(store, "a"):
            pytest.fail("held")


def test_nothing_is_left_beside_the_database(tmp_path: Path) -> None:
    with SqliteStore.from_conn_string(str(tmp_path / "run.sqlite")) as store:
        with hold(store, "a"), hold(store, "b"):
            names = sorted(path.name.rpartition(".")[2] for path in tmp_path.iterdir())
            assert names == ["holder", "holder", "lock", "lock", "sqlite"]
        assert [path.name for path in tmp_path.iterdir()] == ["run.sqlite"]


@pytest.mark.parametrize("left", ["", "not json", "[1]", '[1, "host", "yesterday"]'])
def test_a_holder_that_cannot_be_read_still_holds(tmp_path: Path, left: str) -> None:
    with SqliteStore.from_conn_string(str(tmp_path / "run.sqlite")) as store, hold(store, "a"):
        (holder,) = tmp_path.glob("*.holder")
        holder.write_text(left)
        assert "run 'a' is being written by another process: wait" in refused(store, "a")


def test_two_names_of_one_file(tmp_path: Path) -> None:
    (tmp_path / "run.sqlite").touch()
    (tmp_path / "link.sqlite").symlink_to("run.sqlite")
    with (
        SqliteStore.from_conn_string(str(tmp_path / "run.sqlite")) as one,
        SqliteStore.from_conn_string(str(tmp_path / "link.sqlite")) as two,
        hold(one, "a"),
    ):
        refused(two, "a")


def test_two_stores_in_memory_are_two_stores() -> None:
    one, two = InMemoryStore(), InMemoryStore()
    with hold(one, "a"), hold(two, "a"):
        pass


def test_no_database_package_is_imported_for_a_store_of_another_kind() -> None:
    script = (
        "import sys\nfrom langgraph.store.memory import InMemoryStore\nfrom langgraph_maker.journal.lock import hold\n"
        "with hold(InMemoryStore(), 'a'): assert not {'psycopg', 'langgraph.store.sqlite'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
