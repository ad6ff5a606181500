"""Plans of store operations: generators that yield batches of them and are sent their results.

So one piece of code serves synchronous and asynchronous stores, and what fails for a while is tried again in one place.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Generator, Sequence
from typing import Any, Final, TypeAlias, TypeVar

from langgraph.store.base import BaseStore, Op

from langgraph_maker.errors import JournalError

__all__ = ["Plan", "adrive", "drive"]

T = TypeVar("T")
Plan: TypeAlias = Generator[Sequence[Op], Any, T]
PATIENCE: Final = 60.0
"""Seconds for which a failing store is tried again before the run stops."""


def drive(plan: Plan[T], store: BaseStore) -> T:
    """Run a plan on a synchronous store.

    Raises:
        JournalError: When the store fails for longer than `PATIENCE`, or in a way that waiting cannot mend.
    """
    results: list[Any] | None = None
    while True:
        try:
            ops = plan.send(results)
        except StopIteration as done:
            return done.value  # type: ignore[no-any-return]
        attempt = _Attempts()
        while True:
            try:
                results = store.batch(ops)
                break
            except Exception as error:  # noqa: BLE001 - stores raise what their databases raise
                time.sleep(attempt.pause(error))


async def adrive(plan: Plan[T], store: BaseStore) -> T:
    """Run a plan in asynchronous code; a store that is synchronous only is called in a thread."""
    results: list[Any] | None = None
    while True:
        try:
            ops = plan.send(results)
        except StopIteration as done:
            return done.value  # type: ignore[no-any-return]
        attempt = _Attempts()
        while True:
            try:
                results = await _abatch(store, ops)
                break
            except Exception as error:  # noqa: BLE001 - stores raise what their databases raise
                await asyncio.sleep(attempt.pause(error))


async def _abatch(store: BaseStore, ops: Sequence[Op]) -> list[Any]:
    try:
        return await store.abatch(ops)
    except NotImplementedError:
        return await asyncio.to_thread(store.batch, ops)


class _Attempts:
    """How long to wait before a failing store is tried again."""

    def __init__(self) -> None:
        self.deadline = time.monotonic() + PATIENCE
        self.next = 0.05

    def pause(self, error: Exception) -> float:
        causes = (error, error.__cause__)
        passing = any(isinstance(cause, OSError) or type(cause).__name__ in _PASSING for cause in causes)
        if not passing or "readonly" in str(error) or time.monotonic() > self.deadline:
            raise JournalError(f"the journal's store failed: {type(error).__name__}: {error}") from error
        self.next = min(2 * self.next, 2.0)
        return self.next


# sqlite3 and psycopg: locked, disk full, connection lost, pool exhausted
_PASSING: Final = frozenset({"OperationalError", "InterfaceError", "AdminShutdown", "PoolTimeout", "DiskFull"})
