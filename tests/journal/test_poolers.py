"""Postgres behind a pooler, and databases that fail for a while or for good."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from digests import right_digest
from langgraph.store.memory import InMemoryStore
from scripted import Counting, Scripted, right
from typer.testing import CliRunner
from worker_threads import WorkerThreads

from langgraph_maker import journal, solve
from langgraph_maker.cli import app
from langgraph_maker.core.errors import JournalError, RunBusyError
from langgraph_maker.journal.databases import open_store
from langgraph_maker.journal.lock import hold
from langgraph_maker.journal.store_ops import drive
from langgraph_maker.tasks import TowersOfHanoi


class DatabaseError(Exception):
    def __init__(self, sqlstate: str) -> None:
        super().__init__(f"the database says {sqlstate}")
        self.sqlstate = sqlstate


class Failing(InMemoryStore):
    """A store whose batches fail so many times."""

    def __init__(self, sqlstate: str, times: int) -> None:
        super().__init__()
        self.sqlstate, self.left = sqlstate, times

    def batch(self, ops: Any) -> Any:
        if self.left:
            self.left -= 1
            raise DatabaseError(self.sqlstate)
        return super().batch(ops)


@pytest.mark.parametrize("sqlstate", ["57014", "57P01", "40001", "40P01", "53300", "55P03", "08006"])
def test_what_the_server_cancels_is_tried_again(sqlstate: str) -> None:
    store = Failing(sqlstate, times=3)
    assert solve(Counting(3), Scripted(right), store=store, run_id="r").status == "solved"
    assert store.left == 0
    assert journal.verify(store, "r") == []


@pytest.mark.parametrize("sqlstate", ["42501", "22021", "XX001"])
def test_what_waiting_cannot_mend_ends_at_once(sqlstate: str) -> None:
    store = Failing(sqlstate, times=2)
    with pytest.raises(JournalError, match=f"the database says {sqlstate}"):
        solve(Counting(3), Scripted(right), store=store, run_id="r")
    assert store.left == 1


class Connection:
    """Prepares statements under names that another session has taken."""

    prepare_threshold: int | None = 0


class Pooled(InMemoryStore):
    def __init__(self) -> None:
        super().__init__()
        self.conn = Connection()
        self.refused = 0

    def batch(self, ops: Any) -> Any:
        if self.conn.prepare_threshold is not None:
            self.refused += 1
            raise DatabaseError("42P05")
        return super().batch(ops)


def test_prepared_statements_of_another_session_are_done_without() -> None:
    store = Pooled()

    def plan() -> Any:
        return (yield [])

    assert drive(plan(), store) == []
    assert (store.refused, store.conn.prepare_threshold) == (1, None)


@pytest.mark.postgres
def test_a_lock_that_holds_for_a_transaction_holds_against_all(
    postgres_db: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with open_store(postgres_db) as store, open_store(postgres_db) as other:
        monkeypatch.setattr("langgraph_maker.journal.lock.is_pooled", lambda _: True)
        with hold(store, "r"):
            monkeypatch.undo()
            with pytest.raises(RunBusyError, match="is being written by process"), hold(other, "r"):
                pass
            with hold(other, "another"):
                pass
        with hold(other, "r"):
            pass
    assert "locked through a pooler" in caplog.text


@pytest.fixture
def pooler(postgres_db: str, tmp_path: Path) -> Iterator[str]:
    """The address of PgBouncer in transaction mode before the test's database."""
    import psycopg

    with psycopg.connect(postgres_db) as connection:
        host, user, name = connection.info.host, connection.info.user, connection.info.dbname
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    settings = f"/tmp/pooler-{port}.ini"  # noqa: S108 - the pooler runs as another user than root
    users = f"{settings}.users"
    Path(users).write_text(f'"{user}" ""\n')
    Path(settings).write_text(
        f"[databases]\n* = host={host} user={user}\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\n"
        f"auth_type = trust\nauth_file = {users}\npool_mode = transaction\nunix_socket_dir =\ndefault_pool_size = 6\n"
    )
    owner = Path(host).owner()
    with subprocess.Popen(["pgbouncer", "-q", "-u", owner, settings]) as process:  # noqa: S607
        url = f"postgresql://{user}@127.0.0.1:{port}/{name}"
        try:
            for _ in range(200):
                try:
                    psycopg.connect(url).close()
                    break
                except psycopg.OperationalError:
                    time.sleep(0.05)
            yield url
        finally:
            process.terminate()
    for leftover in (settings, users):
        Path(leftover).unlink()


@pytest.mark.pooler
@pytest.mark.postgres
def test_runs_through_pgbouncer(pooler: str, postgres_db: str) -> None:
    from langgraph.store.postgres import PostgresStore

    with open_store(pooler) as store, open_store(postgres_db) as direct:
        assert solve(Counting(5), Scripted(right), store=store, run_id="r").status == "solved"
        assert journal.verify(store, "r") == journal.verify(direct, "r") == []
        for one, two in ((store, direct), (direct, store), (store, store)):
            with hold(one, "held"), pytest.raises(RunBusyError), hold(two, "held"):
                pass
    with (
        PostgresStore.from_conn_string(pooler) as single,
        PostgresStore.from_conn_string(pooler, pool_config={"max_size": 3}) as pool,
    ):
        for number in range(3):
            for name, own in (("single", single), ("pool", pool)):
                run = solve(Counting(5), Scripted(right), store=own, run_id=f"{name} {number}")
                assert run.status == "solved"


@pytest.mark.pooler
@pytest.mark.postgres
def test_workers_advance_a_run_through_pgbouncer(pooler: str, postgres_db: str) -> None:
    with open_store(pooler) as store, open_store(postgres_db) as direct:
        run = solve(
            TowersOfHanoi(6), "sim:error=0.1", k=4, lanes=8, store=store, run_id="r", workers=WorkerThreads(2, lease=5)
        )
        assert (run.status, run.digest) == ("solved", right_digest(6))
        assert journal.verify(direct, "r") == []


@pytest.mark.parametrize("command", [["report", "--run-id", "r"], ["runs"], ["run", "hanoi", "--run-id", "r"]])
def test_damaged_pages_end_a_command_in_one_sentence(command: list[str], tmp_path: Path) -> None:
    db = tmp_path / "runs.sqlite"
    with open_store(str(db)) as store:
        solve(Counting(400), Scripted(right), store=store, run_id="r")
    with db.open("r+b") as file:
        for page in range(3, db.stat().st_size // 4096):
            file.seek(4096 * page)
            file.write(b"\xa5" * 4096)
    with open_store(str(db)) as store, pytest.raises(JournalError, match="is damaged and cannot be read: .*malformed"):
        list(journal.read(store, "r"))
    done = CliRunner().invoke(app, [*command, "--db", str(db)])
    assert done.exit_code == 1
    assert "malformed" in done.output
    assert "Traceback" not in done.output
