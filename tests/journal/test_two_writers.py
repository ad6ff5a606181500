"""Two processes on one run: kept apart where a store can be locked, and named afterwards where it cannot."""

from __future__ import annotations

import asyncio
import logging
import os
import random
from collections.abc import Iterable
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import pytest
from langgraph.store.base import BaseStore, GetOp, Op, PutOp
from langgraph.store.memory import InMemoryStore
from langgraph.store.sqlite import SqliteStore

from langgraph_maker import asolve, create_maker, journal, solve
from langgraph_maker.core.errors import JournalError, MakerError, RunBusyError
from langgraph_maker.journal import records
from langgraph_maker.journal.lock import hold
from langgraph_maker.simulation.chat_model import simulated_sampler
from langgraph_maker.tasks import TowersOfHanoi

TASK = TowersOfHanoi(3)
WRITER: ContextVar[str] = ContextVar("writer", default="reader")


class Remote(BaseStore):
    """A store that keeps no lock, as one process sees it; each batch takes some turns of the event loop."""

    supports_ttl = False

    def __init__(self, inner: InMemoryStore, chance: random.Random, log: list[tuple[str, Op]]) -> None:
        self.inner, self.chance, self.log = inner, chance, log

    def batch(self, ops: Iterable[Op]) -> list[Any]:
        ops = list(ops)
        self.log += [(WRITER.get(), op) for op in ops if isinstance(op, PutOp)]
        return self.inner.batch(ops)

    async def abatch(self, ops: Iterable[Op]) -> list[Any]:
        for _ in range(self.chance.randrange(4)):
            await asyncio.sleep(0)
        found = self.batch(ops)
        for _ in range(self.chance.randrange(2)):
            await asyncio.sleep(0)
        return found


def two_at_once(seed: int) -> tuple[InMemoryStore, list[tuple[str, Op]], list[Any]]:
    """What two processes leave of a run that both write, the second from some moment on."""
    chance, inner = random.Random(seed), InMemoryStore()
    log: list[tuple[str, Op]] = []

    async def process(name: str, late: int) -> Any:
        WRITER.set(name)
        for _ in range(late):
            await asyncio.sleep(0)
        model = simulated_sampler("sim:error=0.05,flag=0.05", TASK, seed)
        try:
            return await asolve(TASK, model, store=Remote(inner, chance, log), run_id="r")
        except MakerError as error:
            return error

    async def both() -> list[Any]:
        return [*await asyncio.gather(process("first", 0), process("second", chance.randrange(120)))]

    return inner, log, asyncio.run(both())


def mixed(log: list[tuple[str, Op]]) -> bool:
    """Whether one wrote steps or ballots after the other had begun to, and before that one had ended."""
    wrote = [
        name
        for name, op in log
        if isinstance(op, PutOp) and op.namespace == records.namespace("r") and op.key != "kept"
    ]
    turns = [name for name, before in zip(wrote, ["", *wrote], strict=False) if name != before]
    return len(turns) > 2


@pytest.mark.parametrize("seed", range(12))
def test_where_there_is_no_lock_a_mix_is_named(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records, "writer", WRITER.get)
    store, log, results = two_at_once(seed)
    solved = [one for one in results if not isinstance(one, MakerError)]
    assert solved, results
    assert all(one.status == "solved" for one in solved)
    problems = journal.verify(store, "r")
    assert {problem.kind for problem in problems} <= {"mixed writers"}
    if mixed(log) or len(solved) < len(results):
        assert problems, "two wrote, and verify says nothing"


def test_these_processes_do_mix(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records, "writer", WRITER.get)
    monkeypatch.setattr("langgraph_maker.nodes.update.is_held", lambda *_: True)
    assert sum(mixed(two_at_once(seed)[1]) for seed in range(12)) > 2


def test_what_cannot_be_locked_is_said_before_the_first_sample(caplog: pytest.LogCaptureFixture) -> None:
    drawn = []

    async def model(requests: Any) -> Any:
        drawn.append("Remote keeps no lock" in caplog.text)
        return await simulated_sampler("sim:error=0", TASK, 1)(requests)

    with caplog.at_level(logging.WARNING):
        run = solve(TASK, model, store=Remote(InMemoryStore(), random.Random(1), []), run_id="r")
    assert run.status == "solved"
    assert all(drawn)
    assert "run 'r'" in caplog.text


def test_what_can_be_locked_says_nothing(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        solve(TASK, "sim:error=0", store=InMemoryStore(), run_id="r")
    assert caplog.text == ""


def test_a_process_that_was_overtaken_writes_nothing_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """A graph is invoked without a lock: it ends at its next round, and the run stays whole, but for the evidence."""
    store = InMemoryStore()
    monkeypatch.setattr(records, "writer", WRITER.get)
    token = WRITER.set("first")
    graph: Any = create_maker(TASK, "sim:error=0").compile(store=Remote(store, random.Random(1), []))
    chunks = graph.stream({"run_id": "r"}, stream_mode="updates")
    assert any("update" in chunk for chunk in chunks)
    WRITER.set("second")
    solve(TASK, "sim:error=0", store=store, run_id="r", max_total_samples=9)
    before = [item.value for item in store.search(records.namespace("r"))]
    WRITER.set("first")
    with pytest.raises(RunBusyError, match="taken over by process second"):
        list(chunks)
    WRITER.reset(token)
    assert [item.value for item in store.search(records.namespace("r"))] == before
    assert [problem.detail[:5] for problem in journal.verify(store, "r")] == ["first"]
    journal.delete(store, "r")
    assert store.search(()) == []


def test_a_run_that_is_removed_meanwhile_is_no_run_without_a_beginning() -> None:
    store = InMemoryStore()
    graph: Any = create_maker(TASK, "sim:error=0").compile(store=Remote(store, random.Random(1), []))
    chunks = graph.stream({"run_id": "r"}, stream_mode="updates")
    assert any("update" in chunk for chunk in chunks)
    journal.delete(store, "r")
    with pytest.raises(JournalError, match="was removed while it was written"):
        list(chunks)
    assert store.search(()) == []


def test_a_hard_link_is_the_same_database_and_is_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    one, other = tmp_path / "runs.sqlite", tmp_path / "elsewhere" / "linked.sqlite"
    with SqliteStore.from_conn_string(str(one)) as first:
        first.setup()
        other.parent.mkdir()
        os.link(one, other)
        with SqliteStore.from_conn_string(str(other)) as second, hold(first, "r"):
            assert "2 names (hard links)" in caplog.text
            with pytest.raises(RunBusyError), hold(second, "r"):
                pass
            with hold(second, "another"):
                pass
    assert {path.name for path in other.parent.iterdir()} <= {"linked.sqlite", "linked.sqlite-wal", "linked.sqlite-shm"}


def test_a_get_of_the_header_is_all_that_an_unlocked_round_costs() -> None:
    rounds: list[int] = []

    class Counting(InMemoryStore):
        def batch(self, ops: Iterable[Op]) -> list[Any]:
            ops = list(ops)
            rounds.append(sum(isinstance(op, GetOp) and op.namespace == records.HEADERS for op in ops))
            return super().batch(ops)

    solve(TASK, "sim:error=0", store=Counting(), run_id="r")
    assert sum(rounds) < 7
