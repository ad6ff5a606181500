"""Records as text: their fields in order, what was added, odd usage, two writers, and readers of a live run."""

from __future__ import annotations

import io
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from typing import Any

import pytest
from faults import World
from langgraph.store.base import BaseStore, Op, PutOp
from langgraph.store.memory import InMemoryStore
from scripted import Counting, Scripted, right

from langgraph_maker import create_maker, create_recursive_maker, journal, solve
from langgraph_maker.core.errors import RunBusyError
from langgraph_maker.journal import records
from langgraph_maker.prebuilt.recursive import read_tree
from langgraph_maker.prebuilt.recursive.multiplication import simulated_multiplication
from langgraph_maker.report import numbers, tree_numbers
from langgraph_maker.tasks import TowersOfHanoi


def ran(store: BaseStore, **options: Any) -> Any:
    return solve(Counting(5), Scripted(right), store=store, run_id="r", **options)


def rewritten(store: BaseStore, step: int, change: Callable[[list[Any]], list[Any]]) -> None:
    """Change an entry as another version, or none of ours, would have written it."""
    [item] = store.batch(records.get_entries("r", [step]))
    text = json.dumps(change(json.loads(item.value["entry"])))  # type: ignore[union-attr]
    text = text.replace("NaN", "null").replace("Infinity", "null")  # as entries were always written
    store.put(records.namespace("r"), item.key, {"entry": text, "check": records.check("r", text)})  # type: ignore[union-attr]


def test_an_entry_is_the_same_in_whatever_order_its_fields_come() -> None:
    store = InMemoryStore()
    ran(store)
    entries = list(journal.read(store, "r"))
    store.batch([records.put_entry("r", dict(reversed(entry.items()))) for entry in entries])  # type: ignore[arg-type]
    assert list(journal.read(store, "r")) == entries
    assert journal.verify(store, "r") == []


def test_whole_numbers_of_any_size_are_kept() -> None:
    store, huge = InMemoryStore(), 10**30
    ran(store)
    entry = next(journal.read(store, "r", start=4))
    store.batch([records.put_entry("r", {**entry, "vote": {"action": huge, "next_state": 5}})])
    assert next(journal.read(store, "r", start=4))["vote"]["action"] == huge


@pytest.mark.parametrize("change", [lambda fields: fields[:-1], lambda fields: [*fields, "of a later version"]])
def test_a_field_more_or_less_is_no_other_format(change: Callable[[list[Any]], list[Any]]) -> None:
    store = InMemoryStore()
    run = ran(store)
    rewritten(store, 3, change)
    assert journal.verify(store, "r") == []
    assert ran(store).digest == run.digest


@pytest.mark.parametrize("odd", [None, float("nan"), float("inf"), 1e308, 10**30, -5])
@pytest.mark.parametrize("where", ["input_tokens", "cached_input_tokens", "output_tokens", "cost"])
def test_odd_usage_is_not_known_and_poisons_nothing(odd: Any, where: str) -> None:
    store = InMemoryStore()
    ran(store, max_total_samples=9)
    at = [*records.Entry.__annotations__].index(where)
    rewritten(store, 1, lambda fields: [*fields[:at], odd, *fields[at + 1 :]])
    run = ran(store)
    assert (run.status, run.steps) == ("solved", 5)
    assert run.usage["cost"] is None or 0 <= run.usage["cost"] < float("inf")
    assert all(0 <= run.usage[name] < 2**63 for name in ("input_tokens", "cached_input_tokens", "output_tokens"))
    assert numbers(store, "r")["totals"]["usage"] == run.usage


class Moving(InMemoryStore):
    """What a reader reads from, while the run continues before its N-th operation."""

    def __init__(self, inner: BaseStore, at: int, go_on: Callable[[], None]) -> None:
        super().__init__()
        self.inner, self.at, self.load_state, self.seen = inner, at, go_on, 0

    def batch(self, ops: Iterable[Op]) -> list[Any]:
        self.seen += 1
        if self.seen == self.at:
            self.load_state()
        return self.inner.batch(ops)


READERS: dict[str, Callable[[BaseStore], Any]] = {
    "verify": lambda store: journal.verify(store, "r"),
    "export": lambda store: journal.export(store, "r", io.StringIO()),
    "open ballots": lambda store: journal.open_ballots(store, "r"),
    "questions": lambda store: journal.questions(store, "r"),
    "steps": lambda store: journal.steps(store, "r"),
    "runs": lambda store: [*journal.runs(store)],
}


def stepping(run: Iterator[Any], supersteps: int) -> Callable[[], None]:
    def go_on() -> None:
        for _ in range(supersteps):
            next(run, None)

    return go_on


@pytest.mark.parametrize("at", range(1, 13))
def test_a_recursive_run_is_read_while_it_goes_on(at: int) -> None:
    readers = READERS | {"tree": lambda store: read_tree(store, "r"), "report": lambda store: tree_numbers(store, "r")}
    store = InMemoryStore()
    graph: Any = create_recursive_maker(simulated_multiplication(small=0.8, seed=4)).compile(store=store)
    run = graph.stream({"problem": "12 * 34", "run_id": "r"}, stream_mode="updates")
    stepping(run, 12)()
    for reader in readers.values():
        found = reader(Moving(store, at, stepping(run, 7)))
        assert reader is not readers["verify"] or found == []
    run.close()


@pytest.mark.parametrize("at", range(1, 13))
def test_a_chain_is_read_while_it_goes_on(at: int) -> None:
    readers = READERS | {"entries": lambda store: [*journal.entries(store, "r")], "report": lambda s: numbers(s, "r")}
    store = InMemoryStore()
    graph: Any = create_maker(TowersOfHanoi(6), "sim:error=0.3", lanes=3).compile(store=store)
    run = graph.stream({"run_id": "r"})
    stepping(run, 12)()
    for reader in readers.values():
        found = reader(Moving(store, at, stepping(run, 9)))
        assert reader is not readers["verify"] or found == []
    run.close()


class Writings(InMemoryStore):
    """It counts how often each entry is written."""

    def __init__(self) -> None:
        super().__init__()
        self.writings: Counter[str] = Counter()

    def batch(self, ops: Iterable[Op]) -> list[Any]:
        ops = list(ops)
        self.writings.update(op.key for op in ops if isinstance(op, PutOp) and op.key.startswith("step-"))
        return super().batch(ops)


@pytest.mark.parametrize("ahead", [0, 3, 7, 15])
@pytest.mark.parametrize(("first", "second"), [(1, 1), (3, 1), (1, 3), (40, 1), (1, 40)])
def test_two_writers_where_nothing_locks_are_named(
    ahead: int, first: int, second: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However they take turns, and whichever overwrites the other."""
    world = World(Writings())

    def process(name: str) -> Callable[[int], None]:
        graph = create_maker(TowersOfHanoi(4), f"sim:error=0.2,seed={len(name)}").compile(store=world.process())
        run = graph.stream({"run_id": "r"}, {"recursion_limit": 1000})

        def turn(supersteps: int) -> None:
            monkeypatch.setattr(records, "writer", lambda: name)
            with suppress(RunBusyError):  # it saw that the other has taken over
                stepping(run, supersteps)()

        return turn

    one, other = process("one"), process("another")
    one(ahead)
    for _ in range(400):
        other(second)
        one(first)
    kinds = {problem.kind for problem in journal.verify(world.process(), "r")}
    assert "mixed writers" in kinds or max(world.inner.writings.values()) == 1  # type: ignore[attr-defined]
