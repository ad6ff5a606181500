"""Damage by enumeration: each byte of a small journal is changed, and each field of its records with its checksum.

Whatever is changed, there is no other result in silence, and no exception but a `JournalError`. By default a part of
the changes is made, chosen by a seed; all of them are marked slow.
"""

from __future__ import annotations

import io
import json
import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from langgraph.store.base import BaseStore, Item
from langgraph.store.memory import InMemoryStore

from langgraph_maker import create_recursive_maker, journal, solve
from langgraph_maker.core.errors import JournalError
from langgraph_maker.core.events import Alarm
from langgraph_maker.journal import records, run_data
from langgraph_maker.nodes.ladder import AskHuman, Tier
from langgraph_maker.prebuilt.recursive.multiplication import simulated_multiplication
from langgraph_maker.report import numbers, tree_numbers
from langgraph_maker.runs.auto_k import stored
from langgraph_maker.tasks import TowersOfHanoi

SEED = 7
ODD: tuple[Any, ...] = (None, -1, 0, 10**30, 0.5, True, "x", [], {}, [None], {"": None}, float("nan"))
TASK = TowersOfHanoi(3)


def go_on(store: BaseStore, run_id: str, **options: Any) -> Any:
    if run_id == "tree":
        graph: Any = create_recursive_maker(simulated_multiplication(seed=4), **options).compile(store=store)
        result = graph.invoke({"problem": "2 * 34", "run_id": "tree"})
        return result["status"], result["answer"], result["samples"]
    if run_id == "auto":
        calibrated: Any = {"k": "auto", "calibration_samples": 60, **options}
        run = solve(TASK, "sim:error=0.01,seed=3", store=store, run_id="auto", **calibrated)
        return run.status, run.digest, run.samples, run.calibration
    if run_id == "lanes":
        run = solve(TASK, "sim:error=0.3", lanes=3, store=store, run_id="lanes", **options)
        return run.status, run.digest, run.samples
    ladder: Any = [Tier(samples=4), AskHuman()]
    run = solve(TASK, "sim:error=0.12,seed=5", k=3, ladder=ladder, store=store, run_id=run_id, **options)
    return run.status, run.digest, run.samples, run.questions


def journal_of() -> InMemoryStore:
    """A chain that waits for a human and has been answered; a tree, lanes and a calibrated run that were stopped."""
    store = InMemoryStore()
    go_on(store, "chain")
    [question, *_] = journal.questions(store, "chain")
    journal.answer(store, "chain", question["id"], {"answer": TASK.oracle(question["state"])})
    alarm: Alarm = {
        "event": "alarm.raised",
        "run_id": "chain",
        "what": "p",
        "finding": "less",
        "remedy": "more",
        "steps": 3,
    }
    store.batch([run_data.put_raised("chain", 4), run_data.put_alarms("chain", [alarm])])
    go_on(store, "tree", max_total_samples=20)
    go_on(store, "auto", max_total_samples=2)
    go_on(store, "lanes", max_total_samples=9)
    solve(TASK, "sim:error=0", store=store, run_id="other")
    return store


STORE = journal_of()
RUNS = ("chain", "tree", "auto", "lanes")


def run_of(item: Item) -> str:
    """The run whose record it is."""
    return (item.key if item.namespace == records.HEADERS else item.namespace[-1]).removesuffix("~")


ITEMS = [item for item in STORE.search(("langgraph_maker",), limit=1000) if run_of(item) in RUNS]


def copy_with(item: Item, value: Any) -> InMemoryStore:
    """The journal with another value in one place."""
    store = InMemoryStore()
    for where in (("langgraph_maker",),):
        for one in STORE.search(where, limit=1000):
            store.put(
                one.namespace, one.key, value if (one.namespace, one.key) == (item.namespace, item.key) else one.value
            )
    return store


def read_all(store: BaseStore, run_id: str) -> Iterator[Callable[[], Any]]:
    yield lambda: journal.header(store, run_id)
    yield lambda: [*journal.read(store, run_id)]
    yield lambda: [*journal.entries(store, run_id)]
    yield lambda: journal.open_ballots(store, run_id)
    yield lambda: journal.questions(store, run_id)
    yield lambda: journal.alarms(store, run_id)
    yield lambda: journal.steps(store, run_id)
    yield lambda: journal.export(store, run_id, io.StringIO())
    yield lambda: stored(store, run_id)
    yield lambda: tree_numbers(store, run_id) if run_id == "tree" else numbers(store, run_id)


def tried(act: Callable[[], Any]) -> Any:
    try:
        return act()
    except JournalError as error:
        return error
    except ValueError as error:  # what a calibration of other counts, or for another target, is refused with
        if not str(error).startswith(("run 'auto' was calibrated for a target of", "no k can be recommended")):
            raise
        return error


REFERENCE = {run_id: go_on(copy_with(ITEMS[0], ITEMS[0].value), run_id) for run_id in RUNS}


def name_of(item: Item) -> str:
    return f"{run_of(item)} {item.key}"


def check(item: Item, value: Any, *, sealed: bool) -> None:
    """Read and resume the journal with this value in place of a record's."""
    run_id = run_of(item)
    store = copy_with(item, value)
    for act in read_all(store, run_id):
        tried(act)
    found = tried(lambda: journal.verify(store, run_id))
    statuses = {header["run_id"]: header["outcome"].get("status") for header in journal.runs(store)}
    assert statuses["other"] == "solved"
    assert journal.verify(store, "other") == []
    result = tried(lambda: go_on(store, run_id))
    if not sealed:
        assert found != [] or value == item.value, "verify says nothing"
        assert isinstance(result, JournalError) or result == REFERENCE[run_id], "another result, in silence"


def flips(item: Item) -> Iterator[Any]:
    """The values that one bit of the record's text in a database makes of it, if it is JSON still."""
    text = json.dumps(item.value).encode()
    for place in range(len(text)):
        changed = bytes([*text[:place], text[place] ^ 1 << place % 7, *text[place + 1 :]])
        try:
            value = json.loads(changed)
        except ValueError:
            continue  # the store says so
        if isinstance(value, dict):
            yield value


def changes(value: Any) -> Iterator[Any]:
    """The value with one field, however deep, of an odd value, or without it."""
    yield from ODD
    if isinstance(value, dict):
        for name in value:
            yield {key: one for key, one in value.items() if key != name}
            for changed in changes(value[name]):
                yield {**value, name: changed}
    elif isinstance(value, list):
        for place, one in enumerate(value):
            yield [*value[:place], *value[place + 1 :]]
            for changed in changes(one):
                yield [*value[:place], changed, *value[place + 1 :]]


def fields(item: Item) -> Iterator[Any]:
    """The record with one odd field, and the checksum that goes with it; what a vote is the task alone knows."""
    run_id = run_of(item)
    [name] = item.value.keys() - {"check"}
    if name == "kept":
        return
    for changed in changes(json.loads(item.value[name])):
        if name == "entry" and isinstance(changed, list) and len(changed) > 1 and isinstance(changed[1], dict):
            changed[1] = json.loads(item.value[name])[1]
        text = json.dumps(changed)
        sum_of = text if name in {"entry", "kept"} else f"{item.key}\n{text}"
        yield {name: text, "check": records.check(run_id, sum_of)}


def some(values: Iterator[Any], share: int, about: str) -> list[Any]:
    listed = [*values]
    return random.Random(f"{SEED} {about}").sample(listed, min(share, len(listed)))


@pytest.mark.parametrize("item", ITEMS, ids=name_of)
def test_a_flipped_bit_is_no_other_result(item: Item) -> None:
    for value in some(flips(item), 2, name_of(item)):
        check(item, value, sealed=False)


@pytest.mark.parametrize("item", ITEMS, ids=name_of)
def test_an_odd_field_is_no_other_exception(item: Item) -> None:
    for value in some(fields(item), 3, name_of(item)):
        check(item, value, sealed=True)


@pytest.mark.parametrize("item", ITEMS, ids=name_of)
@pytest.mark.parametrize(
    "value", [{}, {"x": "y"}, {"check": ""}, {"header": None}, {"record": "[" * 10**5, "check": ""}]
)
def test_what_is_no_record_is_named(item: Item, value: Any) -> None:
    check(item, value, sealed=False)


@pytest.mark.slow
@pytest.mark.parametrize("item", ITEMS, ids=name_of)
def test_no_flipped_bit_and_no_odd_field_does_harm(item: Item) -> None:
    for value in flips(item):
        check(item, value, sealed=False)
    for value in fields(item):
        check(item, value, sealed=True)
