"""What is done under simulated faults, and what must hold after each: one scenario a mode of a run, or an operation."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from faults import FaultyStore, World
from langgraph.store.base import BaseStore
from modes import CHAINS, SEED, TREES, Scene, chain, check_readers, end_of, old, put_old, told_of, tree

from langgraph_maker import create_maker, create_recursive_maker, journal
from langgraph_maker.core.errors import JournalError, RunBusyError
from langgraph_maker.journal import run_data
from langgraph_maker.prebuilt.recursive import read_tree
from langgraph_maker.prebuilt.recursive.multiplication import simulated_multiplication
from langgraph_maker.report import numbers, tree_numbers
from langgraph_maker.simulation.chat_model import simulated_sampler
from langgraph_maker.tasks import TowersOfHanoi

__all__ = ["SCENARIOS", "Scenario"]

Act = Callable[[Scene, FaultyStore], Any]
MIXED = frozenset({"mixed writers"})


@dataclass(frozen=True)
class Scenario:
    """`before` meets no fault, `act` does, and is done again by the next process; `after` checks what came of it.

    `again` is what the next process does instead. `meanwhile` is what another one does in the midst of it, given what
    the first has and what is its own; it is the only fault then. `told` is what must be as without faults.
    """

    act: Act
    before: Callable[[Scene], None] = lambda _: None
    after: Callable[[Scene, Any], None] = lambda *_: None
    again: Act | None = None
    meanwhile: Callable[[Scene, Scene, FaultyStore], None] | None = None
    told: Callable[[Any], dict[str, Any]] = told_of


def _ran(scene: Scene, result: Any, run_id: str = "r") -> None:
    check_readers(scene.world.process(), run_id, None if isinstance(result, dict) else result.steps)
    assert scene.world.bought_again() == 0, "samples were bought again that were not in flight"
    if not isinstance(result, dict) and result.calibration is None:
        counted = sum(scene.world.bought.values()) - sum(scene.world.lost.values())
        assert result.samples >= counted, "a sample that arrived is not in the journal"


def _stopped(scene: Scene) -> None:
    chain(scene, scene.world.process(), "resumed", max_total_samples=4)


def _whole(scene: Scene) -> None:
    chain(scene, scene.world.process(), "plain")


def _raised(scene: Scene) -> None:
    chain(scene, scene.world.process(), "raised", max_total_samples=3)
    scene.world.process().batch([run_data.put_raised("r", 4)])


def _deleted(scene: Scene, store: FaultyStore) -> None:
    try:
        journal.delete(store, "r")
    except JournalError as error:
        if "there is no run" not in str(error):  # it was removed before the process died
            raise
    assert scene.world.inner.search(("langgraph_maker",)) == []


def _begun_anew(scene: Scene, store: FaultyStore) -> Any:
    return chain(scene, store, "plain")


def _deleted_and_begun(scene: Scene, store: FaultyStore) -> Any:
    _deleted(scene, store)
    return _begun_anew(scene, store)


def _forked_at(step: int) -> Act:
    def act(scene: Scene, store: FaultyStore) -> Any:
        try:
            journal.fork(store, "r", step, "f")
        except JournalError as error:
            if "there is a run 'f' already" not in str(error):
                raise
        return chain(scene, store, "plain", "f")

    return act


def _resumed_fork(scene: Scene, store: FaultyStore) -> Any:
    return chain(scene, store, "plain", "f")


def _by_any(mode: str) -> Act:
    return lambda scene, store: (tree if mode in TREES else chain)(scene, store, mode)


def _fork_ran(scene: Scene, result: Any) -> None:
    for run_id in ("r", "f"):
        check_readers(scene.world.process(), run_id, result.steps)


def _old_ran(run_id: str) -> Callable[[Scene, Any], None]:
    return lambda scene, result: _ran(scene, result, run_id)


# Another process acts meanwhile, on a store that keeps no lock.


def _deletes(_: Scene, __: Scene, store: FaultyStore) -> None:
    with suppress(JournalError):  # there is none yet
        journal.header(store, "r")
        journal.delete(store, "r")


def _forks(_: Scene, __: Scene, store: FaultyStore) -> None:
    with suppress(JournalError):
        journal.fork(store, "r", 1, "f")


def _answers(_: Scene, __: Scene, store: FaultyStore) -> None:
    with suppress(JournalError):
        for question in journal.questions(store, "r"):
            journal.answer(store, "r", question["id"], {"answer": TowersOfHanoi(2).oracle(question["state"])})


def _reads(_: Scene, __: Scene, store: FaultyStore) -> None:
    if "r" in {header["run_id"] for header in journal.runs(store)}:
        for reader in READERS.values():
            reader(store)


def _mixed_at_most(scene: Scene, result: Any) -> None:
    check_readers(scene.world.process(), "r", None if isinstance(result, dict) else result.steps, kinds=MIXED)
    if scene.world.wrote_on:
        assert journal.verify(scene.world.inner, "r"), "two wrote, and verify says nothing"


def _after_a_fork(scene: Scene, result: Any) -> None:
    check_readers(scene.world.process(), "r", result.steps)
    if "f" in {header["run_id"] for header in journal.runs(scene.world.inner)}:
        chain(scene, scene.world.process(), "plain", "f")
        check_readers(scene.world.process(), "f", result.steps)


def _tried(scene: Scene, store: FaultyStore) -> None:
    with suppress(JournalError, RunBusyError):
        chain(scene, store, "plain")


def _nothing_left(scene: Scene, _: Any) -> None:
    """A run under the id of one that was removed while it was written votes anew, or is refused, or is a whole one."""
    store = scene.world.process()
    clean = chain(Scene(), Scene().world.process(), "plain", seed=SEED + 1)
    try:
        run = chain(scene, store, "plain", seed=SEED + 1)
    except JournalError as error:
        if "has no header, and other records of it are there" not in str(error):
            raise
        journal.delete(store, "r")
        run = chain(scene, store, "plain", seed=SEED + 1)
    if told_of(run) != told_of(clean):
        assert scene.world.others == 0 or journal.verify(store, "r"), "votes of a removed run count in silence"
    journal.delete(store, "r")
    assert scene.world.inner.search(("langgraph_maker",)) == []


# A reader reads while another process writes: at its N-th read that one takes a round.


def _writes(scene: Scene, _: Scene, __: FaultyStore) -> None:
    scene.world.writer = scene.author
    next(scene.writing, None)


def _rounds(inner: BaseStore, *, recursive: bool) -> Iterator[None]:
    """Write a run, and pause after each round."""
    world = World(inner)
    store = world.process()
    given: dict[str, Any] = {"run_id": "r"}
    if recursive:
        model = world.model(simulated_multiplication(small=0.9, seed=4))
        graph: Any = create_recursive_maker(model).compile(store=store)
        given["problem"] = "2 * 34"
    else:
        task = TowersOfHanoi(2)
        model = world.model(simulated_sampler("sim:error=0.3", task, SEED))
        graph = create_maker(task, model, lanes=2).compile(store=store)
    puts = 0
    for _ in graph.stream(given, stream_mode="updates"):
        if world.puts > puts:
            puts = world.puts
            yield


def _reading(reader: Callable[[BaseStore], Any], *, recursive: bool) -> Act:
    def act(scene: Scene, store: FaultyStore) -> None:
        scene.author = scene.world.writer
        scene.writing, most = _rounds(scene.world.inner, recursive=recursive), 0
        for _ in scene.writing:
            scene.world.operations = 0
            reader(store)
            most = max(most, scene.world.operations)
        scene.world.operations = most

    return act


def _verified(store: BaseStore) -> None:
    problems = journal.verify(store, "r")
    assert problems == [], problems


def _exported(store: BaseStore) -> None:
    file = io.StringIO()
    journal.export(store, "r", file)
    assert json.loads(file.getvalue().splitlines()[0])["run_id"] == "r"


def _reported(store: BaseStore) -> None:
    if journal.header(store, "r").get("kind") == "tree":
        tree_numbers(store, "r")
        read_tree(store, "r")
    else:
        numbers(store, "r")


def _listed(store: BaseStore) -> None:
    steps = [entry["step"] for entry in journal.entries(store, "r")] if _is_chain(store) else []
    assert len({*steps}) == len(steps)
    for ballot in journal.open_ballots(store, "r"):
        assert sum(ballot["counts"].values()) <= ballot["samples"]
    journal.questions(store, "r")
    journal.steps(store, "r")


def _is_chain(store: BaseStore) -> bool:
    return journal.header(store, "r").get("kind") != "tree"


READERS: dict[str, Callable[[BaseStore], Any]] = {
    "verify": _verified,
    "export": _exported,
    "report": _reported,
    "list": _listed,
}


def _resumed_by(mode: str, **more: Any) -> Callable[[Scene, Scene, FaultyStore], None]:
    def write(_: Scene, other: Scene, store: FaultyStore) -> None:
        with suppress(RunBusyError):
            (tree if mode in TREES else chain)(other, store, mode, **more)

    return write


SCENARIOS: dict[str, Scenario] = {
    **{mode: Scenario(_by_any(mode), after=_ran) for mode in (*CHAINS, *TREES)},
    "resumed": Scenario(lambda scene, store: chain(scene, store, "resumed"), before=_stopped, after=_ran),
    "raised": Scenario(lambda scene, store: chain(scene, store, "raised"), before=_raised, after=_ran),
    **{
        f"upgrade, {mode}": Scenario(
            lambda scene, store, mode=mode: old(scene, store, mode),  # type: ignore[misc]
            before=lambda scene, mode=mode: put_old(scene, mode),  # type: ignore[misc]
            after=_old_ran(mode),
        )
        for mode in ("ladder", "half-tree")
    },
    "delete": Scenario(_deleted, before=_stopped),
    "delete in a file": Scenario(_deleted, before=_stopped),
    "delete, then begin": Scenario(
        _deleted_and_begun,
        before=_whole,
        after=lambda scene, run: check_readers(scene.world.process(), "r", run.steps),
        again=_begun_anew,
    ),
    "delete a tree": Scenario(_deleted, before=lambda scene: tree(scene, scene.world.process(), "tree")),
    "fork": Scenario(_forked_at(2), before=_whole, after=_fork_ran),
    "fork in a file": Scenario(_forked_at(2), before=_whole, after=_fork_ran),
    "fork, then elsewhere": Scenario(_forked_at(2), before=_whole, after=_fork_ran, again=_forked_at(1)),
    "fork, then resume": Scenario(_forked_at(2), before=_whole, after=_fork_ran, again=_resumed_fork),
    "two writers": Scenario(_by_any("plain"), after=_mixed_at_most, meanwhile=_resumed_by("plain"), told=end_of),
    "two writers in turns": Scenario(
        _by_any("lanes"), after=_mixed_at_most, meanwhile=_resumed_by("lanes", max_total_samples=6), told=end_of
    ),
    "two writers of a tree": Scenario(
        _by_any("tree"), after=_mixed_at_most, meanwhile=_resumed_by("tree"), told=end_of
    ),
    "removed while written": Scenario(_tried, after=_nothing_left, meanwhile=_deletes),
    "forked while written": Scenario(_by_any("plain"), after=_after_a_fork, meanwhile=_forks),
    "answered while written": Scenario(_by_any("human"), after=_ran, meanwhile=_answers),
    "read while written": Scenario(_by_any("lanes"), after=_ran, meanwhile=_reads),
    "a tree read while written": Scenario(_by_any("tree"), after=_ran, meanwhile=_reads),
    **{
        f"{name} {what} while it is written": Scenario(_reading(reader, recursive=what == "a tree"), meanwhile=_writes)
        for name, reader in READERS.items()
        for what in ("a run", "a tree")
    },
}
