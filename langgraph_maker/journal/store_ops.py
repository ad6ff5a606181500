"""Plans of store operations: generators that yield batches of them and are sent their results.

So one piece of code serves synchronous and asynchronous stores, and what fails for a while is tried again in one place.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import suppress
from typing import Any, Final, TypeAlias, TypeVar

from langgraph.store.base import BaseStore, Op, SearchOp

from langgraph_maker.core.errors import JournalError
from langgraph_maker.core.foreign import bounded_text
from langgraph_maker.journal.poolers import without_prepared_statements
from langgraph_maker.journal.salvage import is_undecodable, one_by_one, salvaged
from langgraph_maker.journal.tenants import root_of, seen_by_tenant, under_tenant

__all__ = ["StoreOps", "adrive", "batch", "drive", "persisted"]

T = TypeVar("T")
StoreOps: TypeAlias = Generator[Sequence[Op], Any, T]
RETRY_SECONDS: Final = 60.0
"""Seconds for which a failing store is tried again before the run stops."""


def drive(plan: StoreOps[T], store: BaseStore) -> T:
    """Run a plan on a synchronous store.

    Raises:
        JournalError: When the store fails for longer than `RETRY_SECONDS`, or in a way that waiting cannot mend.
    """
    results: list[Any] | None = None
    while True:
        try:
            ops = plan.send(results)
        except StopIteration as done:
            return done.value  # type: ignore[no-any-return]
        results = batch(store, ops)


def batch(store: BaseStore, ops: Sequence[Op]) -> list[Any]:
    """Run one batch of operations, again where the store fails for a while.

    Raises:
        JournalError: As `drive` does.
    """
    attempt: _Attempts | None = None
    while True:
        try:
            return store.batch(ops)
        except BaseException as error:  # stores raise what their databases raise
            _roll_back(root_of(store))
            if not isinstance(error, Exception):
                raise
            if is_undecodable(error, ops):
                return _batch_one_by_one(store, ops)
            attempt = attempt or _Attempts()
            time.sleep(attempt.pause(error, root_of(store)))


async def adrive(plan: StoreOps[T], store: BaseStore) -> T:
    """Run a plan in asynchronous code; a store that is synchronous only is called in a thread."""
    results: list[Any] | None = None
    while True:
        try:
            ops = plan.send(results)
        except StopIteration as done:
            return done.value  # type: ignore[no-any-return]
        attempt: _Attempts | None = None
        while True:
            try:
                results = await _abatch(store, ops)
                break
            except BaseException as error:  # stores raise what their databases raise
                await _aroll_back(root_of(store))
                if not isinstance(error, Exception):
                    raise
                if is_undecodable(error, ops):
                    results = await _abatch_one_by_one(store, ops)
                    break
                attempt = attempt or _Attempts()
                await asyncio.sleep(attempt.pause(error, root_of(store)))


def persisted(call: Callable[[], T], store: BaseStore) -> T:
    """Return what a call to the database of a store returns, retried where that fails for a while.

    Raises:
        JournalError: As `drive` does.
    """
    attempt: _Attempts | None = None
    while True:
        try:
            return call()
        except Exception as error:  # noqa: BLE001 - databases raise what they raise
            attempt = attempt or _Attempts()
            time.sleep(attempt.pause(error, root_of(store)))


def _batch_one_by_one(store: BaseStore, ops: Sequence[Op]) -> list[Any]:
    """Read what can be decoded; each search of a tenant's part is one of the whole store, whose items it sorts out."""
    root, wanted = root_of(store), under_tenant(store, ops)
    results: list[Any] = [[] if isinstance(op, SearchOp) else None for op in ops]
    for place, op in one_by_one(root, wanted):
        try:
            [item] = root.batch([op])
        except Exception as error:
            if not is_undecodable(error, [op]):
                raise
            item = salvaged(op)
        _add(results, place, item)
    return seen_by_tenant(store, results)


async def _abatch_one_by_one(store: BaseStore, ops: Sequence[Op]) -> list[Any]:
    """Do what `_batch_one_by_one` does, in asynchronous code."""
    root, wanted = root_of(store), under_tenant(store, ops)
    results: list[Any] = [[] if isinstance(op, SearchOp) else None for op in ops]
    for place, op in one_by_one(root, wanted):
        try:
            [item] = await _abatch(root, [op])
        except Exception as error:
            await _aroll_back(root)
            if not is_undecodable(error, [op]):
                raise
            item = salvaged(op)
        _add(results, place, item)
    return seen_by_tenant(store, results)


def _add(results: list[Any], place: int, item: Any) -> None:
    """Put an item where its operation's result is: a search finds a list of them."""
    if isinstance(results[place], list):
        results[place].append(item)
    else:
        results[place] = item


async def _abatch(store: BaseStore, ops: Sequence[Op]) -> list[Any]:
    try:
        return await store.abatch(ops)
    except NotImplementedError:
        return await asyncio.to_thread(store.batch, ops)


def _roll_back(store: Any) -> None:
    """End a transaction that a batch left open: an SQLite store that was interrupted in it could begin no other.

    While its lock is held no batch is under way, so what is open then was left.
    """
    connection = getattr(store, "conn", None)
    if isinstance(connection, sqlite3.Connection):
        with suppress(sqlite3.Error), store.lock:
            connection.rollback()


async def _aroll_back(store: Any) -> None:
    """`_roll_back`, of a store with an aiosqlite connection, whose statements run on when who waits is cancelled."""
    connection = getattr(store, "conn", None)
    if isinstance(connection, sqlite3.Connection):
        await asyncio.shield(asyncio.to_thread(_roll_back, store))
    elif type(connection).__module__.startswith("aiosqlite"):
        with suppress(sqlite3.Error, ValueError):
            async with store.lock:
                await connection.rollback()  # type: ignore[union-attr]


class _Attempts:
    """How long to wait before a failing store is tried again."""

    def __init__(self) -> None:
        self.deadline = time.monotonic() + RETRY_SECONDS
        self.next = 0.05
        self.prepared = False  # whether prepared statements were turned off

    def pause(self, error: Exception, store: BaseStore) -> float:
        if without_prepared_statements(store, error) and not self.prepared:
            self.prepared = True
            return 0.0
        if isinstance(error, JournalError):
            raise error
        passing = any(map(_is_passing, (error, error.__cause__)))
        if not passing or "readonly" in str(error) or time.monotonic() > self.deadline:
            raise JournalError(f"the journal's store failed: {type(error).__name__}: {bounded_text(error)}") from error
        self.next = min(2 * self.next, 2.0)
        return self.next


def _is_passing(error: BaseException | None) -> bool:
    state = getattr(error, "sqlstate", None) or ""
    return isinstance(error, OSError) or type(error).__name__ in _PASSING or state.startswith(_PASSING_STATES)


# Postgres: connection lost, serialization failure or deadlock, out of resources, lock not there, cancelled or shut down
_PASSING_STATES: Final = ("08", "40", "53", "55P03", "57")
# sqlite3 and psycopg: locked, disk full, connection lost, pool exhausted
_PASSING: Final = frozenset({"OperationalError", "InterfaceError", "AdminShutdown", "PoolTimeout", "DiskFull"})
