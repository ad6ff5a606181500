"""A simulator of faults: a store that counts its operations and fails at the N-th in one way, and a model that dies.

The data are in memory, or in a real SQLite file, which each process opens anew; a checkpointer can die too.

One process plays all the processes of a run. One that dies is a `Died` that goes up through all of it, after which its
store and its model do nothing more; the next one has a store object and a writer of its own over the same data. All is
computed from (step, number, variant, seed), so that a case is repeated by its name.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Literal, NoReturn

from langgraph.checkpoint.memory import InMemorySaver
from langgraph.store.base import BaseStore, GetOp, Op, PutOp
from langgraph.store.memory import InMemoryStore
from langgraph.store.sqlite import SqliteStore

from langgraph_maker.core.state import Request, Sampler, never_waits
from langgraph_maker.journal import records

__all__ = ["KINDS", "Died", "FaultySaver", "FaultyStore", "World"]

Kind = Literal["before", "after", "part", "transient", "transient after", "past", "call", "called", "save", "saved"]
KINDS: tuple[Kind, ...] = (
    "before",
    "after",
    "part",
    "transient",
    "transient after",
    "past",
    "call",
    "called",
    "save",
    "saved",
)
"""Dies before or after an operation of the store, or having done a part of it; fails for a moment before or after it;
answers from the past; dies before or after a call of the model, or a checkpoint is saved. In an SQLite file a part is
none, since a batch is a transaction there: the process dies in it."""


class Died(BaseException):
    """The process is gone."""


class MomentError(OSError):
    """The store fails, and works again when it is asked once more."""


@dataclass
class World:
    """What outlives processes: the data, what was bought, and which fault is to come."""

    inner: BaseStore = field(default_factory=InMemoryStore)
    file: str = ""
    kind: Kind | None = None
    at: int = 0
    dead: bool = False
    misled: bool = False
    operations: int = 0
    calls: int = 0
    saves: int = 0
    bought: Counter[tuple[str, int]] = field(default_factory=Counter)
    in_flight: list[tuple[str, int]] = field(default_factory=list)
    lost: Counter[tuple[str, int]] = field(default_factory=Counter)
    past: dict[tuple[tuple[str, ...], str], Any] = field(default_factory=dict)

    def process(self, kind: Kind | None = None, at: int = 0) -> FaultyStore:
        """Begin a process, which meets the fault at the operation or call with this number."""
        self.kind, self.at, self.dead = kind, at, False
        self.operations = self.calls = self.saves = 0
        if self.file:
            self.close()
            self.inner = SqliteStore(sqlite3.connect(self.file, check_same_thread=False, isolation_level=None))
            self.inner.conn.execute("PRAGMA synchronous = OFF")  # no power is cut here
            self.inner.setup()
        self.lost.update(self.in_flight)
        self.in_flight.clear()
        records._token.cache_clear()
        return FaultyStore(self)

    def close(self) -> None:
        """Close what the last process had open of the file."""
        if isinstance(self.inner, SqliteStore):
            self.inner.conn.close()

    def die(self) -> NoReturn:
        self.dead = True
        raise Died

    def model(self, sampler: Sampler) -> Sampler:
        """The sampler, which counts what is bought and dies where it is to."""

        @never_waits
        async def sample(requests: Sequence[Request]) -> Sequence[Any]:
            self.check()
            self.calls += 1
            if self.kind == "call" and self.calls == self.at:
                self.die()
            answers = await sampler(requests)
            asked = [(request.subtask_id, request.number) for request in requests]
            self.bought.update(asked)
            self.in_flight += asked
            if self.kind == "called" and self.calls == self.at:
                self.die()
            return answers

        sample.__name__ = "faulty"
        return sample

    def check(self) -> None:
        if self.dead:
            raise Died

    def bought_again(self) -> int:
        """Samples bought more than once and not lost in flight with a process that died."""
        return sum(max(0, times - 1 - self.lost[sample]) for sample, times in self.bought.items())

    def operate(self, ops: Sequence[Op], do: Callable[[Sequence[Op]], list[Any]]) -> list[Any]:
        self.check()
        self.operations += 1
        puts = [op for op in ops if isinstance(op, PutOp)]
        due = self.operations == self.at
        if due and self.kind == "before":
            self.die()
        if due and self.kind == "part" and puts:
            self.do_part(puts, do)
            self.die()
        if due and self.kind == "transient":
            if isinstance(self.inner, SqliteStore):
                self.interrupt(ops, do)
            raise MomentError("it fails for a moment")
        before = self.now([op for op in ops if isinstance(op, PutOp)]) if puts else {}
        result = do(ops)
        if puts:
            self.past.update(before)
            if not all(op.key.startswith("node-") for op in puts):  # which repeat what the head has
                self.in_flight.clear()
        if due and self.kind == "after":
            self.die()
        if due and self.kind == "transient after":
            raise MomentError("it fails for a moment")
        if due and self.kind == "past":
            self.misled = True
            result = [
                self.past.get((op.namespace, op.key), item) if isinstance(op, GetOp) else item
                for op, item in zip(ops, result, strict=True)
            ]
        return result

    def do_part(self, puts: Sequence[Op], do: Callable[[Sequence[Op]], list[Any]]) -> None:
        if not isinstance(self.inner, SqliteStore):
            do(puts[: len(puts) // 2])
            return
        with suppress(sqlite3.Error):
            self.interrupt(puts, do)

    def interrupt(self, ops: Sequence[Op], do: Callable[[Sequence[Op]], list[Any]]) -> None:
        """Have SQLite end the batch in the middle of its work, with an error of its own."""
        assert isinstance(self.inner, SqliteStore)
        connection: sqlite3.Connection = self.inner.conn
        left = iter([0] * len(ops))
        connection.set_progress_handler(lambda: next(left, 1), 7)
        try:
            do(ops)
        finally:
            connection.set_progress_handler(None, 0)

    def save(self, put: Callable[..., Any], *given: Any) -> Any:
        """Save a checkpoint."""
        self.check()
        self.saves += 1
        due = self.saves == self.at
        if due and self.kind == "save":
            self.die()
        saved = put(*given)
        if due and self.kind == "saved":
            self.die()
        return saved

    def now(self, puts: Iterable[PutOp]) -> dict[tuple[tuple[str, ...], str], Any]:
        places = [(op.namespace, op.key) for op in puts]
        found = self.inner.batch([GetOp(where, key, refresh_ttl=False) for where, key in places])
        return dict(zip(places, found, strict=True))


class FaultyStore(BaseStore):
    """One process's view of the store."""

    supports_ttl = False

    def __init__(self, world: World) -> None:
        self.world = world
        if isinstance(world.inner, SqliteStore):
            self.conn, self.lock = world.inner.conn, world.inner.lock

    def batch(self, ops: Iterable[Op]) -> list[Any]:
        return self.world.operate(list(ops), self.world.inner.batch)

    async def abatch(self, ops: Iterable[Op]) -> list[Any]:
        await asyncio.sleep(0)
        return self.batch(ops)


class FaultySaver(InMemorySaver):
    """A checkpointer whose data outlive the processes that save to it."""

    def __init__(self, world: World) -> None:
        super().__init__()
        self.world = world

    def put(self, *given: Any) -> Any:
        return self.world.save(super().put, *given)
