"""What an interrupt, a cancellation or a failing commit leaves behind: no open transaction, and nothing half done."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from langgraph.store.sqlite import SqliteStore
from langgraph.store.sqlite.aio import AsyncSqliteStore
from scripted import Counting, Scripted, right

from langgraph_maker import asolve, journal, solve


class Interrupting(sqlite3.Connection):
    """A connection that is interrupted behind, or fails at, the N-th statement that begins with a word."""

    word, at, error = "BEGIN", 0, KeyboardInterrupt()
    seen = 0

    def execute(self, sql: str, *args: Any) -> sqlite3.Cursor:
        due = sql.startswith(self.word)
        self.seen += due
        if due and self.seen == self.at and isinstance(self.error, sqlite3.Error):
            raise self.error
        done = super().execute(sql, *args)
        if due and self.seen == self.at:
            raise self.error
        return done


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[Interrupting]:
    made = sqlite3.connect(tmp_path / "r.db", check_same_thread=False, isolation_level=None, factory=Interrupting)
    yield made
    made.close()


def ran(store: Any) -> Any:
    return solve(Counting(3), Scripted(right), store=store, run_id="r")


@pytest.mark.parametrize("at", range(1, 9))
def test_after_an_interrupt_behind_begin_the_store_is_used_on(connection: Interrupting, at: int) -> None:
    store = SqliteStore(connection)
    store.setup()
    connection.word, connection.at, connection.seen = "BEGIN", at, 0
    with pytest.raises(KeyboardInterrupt):
        ran(store)
    assert not connection.in_transaction
    assert (ran(store).status, journal.verify(store, "r")) == ("solved", [])


@pytest.mark.parametrize("at", range(1, 9))
def test_a_commit_that_fails_for_a_while_is_made_again(connection: Interrupting, at: int) -> None:
    store = SqliteStore(connection)
    store.setup()
    connection.word, connection.at, connection.seen = "COMMIT", at, 0
    connection.error = sqlite3.OperationalError("database is locked")  # type: ignore[assignment]
    assert (ran(store).status, journal.verify(store, "r")) == ("solved", [])
    assert not connection.in_transaction


@pytest.mark.parametrize("at", range(1, 9))
async def test_after_a_cancellation_in_begin_the_store_is_used_on(tmp_path: Path, at: int) -> None:
    async with AsyncSqliteStore.from_conn_string(str(tmp_path / "r.db")) as store:
        await store.setup()
        execute, seen = store.conn.execute, 0

        def cancelling(sql: str, *args: Any) -> Any:
            nonlocal seen
            seen += sql == "BEGIN"
            if sql == "BEGIN" and seen == at:
                asyncio.get_running_loop().call_soon(task.cancel)
            return execute(sql, *args)

        store.conn.execute = cancelling  # type: ignore[method-assign]
        task = asyncio.ensure_future(asolve(Counting(3), Scripted(right), store=store, run_id="r"))
        with pytest.raises(asyncio.CancelledError):
            await task
        run = await asolve(Counting(3), Scripted(right), store=store, run_id="r")
        assert (run.status, run.samples) == ("solved", 9)


async def test_what_stays_open_in_one_run_does_not_stop_another(tmp_path: Path) -> None:
    """Whoever finds the transaction of another open ends it."""
    async with AsyncSqliteStore.from_conn_string(str(tmp_path / "r.db")) as store:
        await store.setup()
        await store.conn.execute("BEGIN")
        assert (await asolve(Counting(3), Scripted(right), store=store, run_id="r")).status == "solved"
