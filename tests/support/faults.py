"""A simulator of faults: a store that counts its operations and fails at the N-th in one way, and a model that dies.

The data are in memory, or in a real SQLite file, which each process opens anew; a checkpointer can die too.

One process plays all the processes of a run. One that dies is a `Died` that goes up through all of it, after which its
store and its model do nothing more; the next one has a store object and a writer of its own over the same data. One
that is interrupted or cancelled cleans up, and goes on with what it has. All is computed from (step, number, variant,
seed), so that a case is repeated by its name.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count
from typing import Any, NoReturn, TypeVar

from fault_kinds import MOMENTS, Died, Interrupt, Kind
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.store.base import BaseStore, GetOp, Op, PutOp
from langgraph.store.memory import InMemoryStore
from langgraph.store.sqlite import SqliteStore

from langgraph_maker.core.state import Request, Sampler, never_waits
from langgraph_maker.journal import records

__all__ = ["FaultySaver", "FaultyStore", "World"]

T = TypeVar("T")
_WRITERS = count(1)


class Interrupted(sqlite3.Connection):
    """A connection that tells of each statement behind which it is."""

    done: Callable[[], None] = staticmethod(lambda: None)

    def execute(self, *given: Any) -> sqlite3.Cursor:
        found = super().execute(*given)
        self.done()
        return found

    def cursor(self, *_: Any) -> Any:
        return super().cursor(_Cursor)


class _Cursor(sqlite3.Cursor):
    def execute(self, *given: Any) -> Any:
        found = super().execute(*given)
        self.connection.done()  # type: ignore[attr-defined]
        return found


@dataclass
class World:
    """What outlives processes: the data, what was bought, and which fault is to come."""

    inner: BaseStore = field(default_factory=InMemoryStore)
    file: str = ""
    kind: Kind | None = None
    at: int = 0
    dead: bool = False
    operations: int = 0
    calls: int = 0
    saves: int = 0
    statements: int = 0
    turns: int = 0
    writer: str = ""
    meanwhile: Callable[[], None] = lambda: None
    others: int = 0
    mixing: bool = False
    rounds: int = 0
    wrote_on: bool = False
    puts: int = 0
    bought: Counter[tuple[str, int]] = field(default_factory=Counter)
    in_flight: list[tuple[str, int]] = field(default_factory=list)
    lost: Counter[tuple[str, int]] = field(default_factory=Counter)
    past: dict[tuple[tuple[str, ...], str], Any] = field(default_factory=dict)

    def process(self, kind: Kind | None = None, at: int = 0) -> FaultyStore:
        """Begin a process, which meets the fault at the operation or call with this number."""
        if self.file:
            self.close()
            connection = sqlite3.connect(self.file, check_same_thread=False, isolation_level=None, factory=Interrupted)
            self.inner = SqliteStore(connection)
            self.inner.conn.execute("PRAGMA synchronous = OFF")  # no power is cut here
            self.inner.setup()
            connection.done = self.stated
        records._token.cache_clear()
        self.writer = f"process {next(_WRITERS)}"
        self.resume(kind, at)
        return FaultyStore(self)

    def resume(self, kind: Kind | None = None, at: int = 0) -> None:
        """Go on in a process that was interrupted, which may meet another fault."""
        self.kind, self.at, self.dead = kind, at, False
        self.operations = self.calls = self.saves = self.statements = self.turns = 0
        self.lost.update(self.in_flight)
        self.in_flight.clear()

    def stated(self) -> None:
        """Count a statement of SQLite."""
        self.statements += 1
        if self.kind == "statement" and self.statements == self.at:
            raise Interrupt

    async def awaited(self, run: Awaitable[T]) -> T:
        """Await a run that is cancelled at the turn of the event loop with this number; threads take a turn each."""
        loop = asyncio.get_running_loop()
        loop.run_in_executor = _in_a_turn  # type: ignore[assignment, method-assign]
        task = asyncio.ensure_future(run)
        while not task.done():
            self.turns += 1
            if self.kind == "cancel" and self.turns == self.at:
                task.cancel()
            await asyncio.sleep(0)
        return await task

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
        kind = self.kind if self.operations == self.at else None
        self.met_before(kind, ops, puts, do)
        if self.kind == "past":
            self.past.update(self.now(puts))
        result = do(ops)
        if puts:
            self.puts += 1
            rounds = any(map(_is_of_a_round, puts))
            self.rounds += rounds
            self.wrote_on |= rounds and self.mixing and self.kind == "meanwhile"
            if not all(op.key.startswith("node-") for op in puts):  # which repeat what the head has
                self.in_flight.clear()
        return self.met_after(kind, ops, result)

    def met_before(
        self, kind: Kind | None, ops: Sequence[Op], puts: Sequence[PutOp], do: Callable[[Sequence[Op]], list[Any]]
    ) -> None:
        match kind:
            case "before":
                self.die()
            case "interrupt":
                raise Interrupt
            case "meanwhile":
                self.meanwhile()
            case "part" if puts:
                self.do_part(puts, do)
                self.die()
            case "transient":
                if isinstance(self.inner, SqliteStore):
                    self.interrupt(ops, do)
                raise MOMENTS[self.at % len(MOMENTS)]

    def met_after(self, kind: Kind | None, ops: Sequence[Op], result: list[Any]) -> list[Any]:
        match kind:
            case "after":
                self.die()
            case "interrupted":
                raise Interrupt
            case "transient after":
                raise MOMENTS[self.at % len(MOMENTS)]
            case "past":
                return [
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

    def now(self, puts: Sequence[PutOp]) -> dict[tuple[tuple[str, ...], str], Any]:
        places = [(op.namespace, op.key) for op in puts]
        found = self.inner.batch([GetOp(where, key, refresh_ttl=False) for where, key in places])
        return dict(zip(places, found, strict=True))


def _in_a_turn(_: Any, act: Callable[..., Any], *given: Any) -> asyncio.Future[Any]:
    """Do at a turn of the event loop what would be done in a thread, also when nobody waits for it any more."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[Any] = loop.create_future()

    def do() -> None:
        try:
            result = act(*given)
        except BaseException as error:  # noqa: BLE001 - whoever waits for it gets it
            if not future.cancelled():
                future.set_exception(error)
        else:
            if not future.cancelled():
                future.set_result(result)

    loop.call_soon(do)
    return future


def _is_of_a_round(put: PutOp) -> bool:
    """Whether it writes what a round decides: of a run, or of a tree."""
    return put.value is not None and put.namespace[1] in {"runs", "trees"} and put.key != "kept"


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
