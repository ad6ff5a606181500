"""What is done under simulated faults, and what must hold after each: one scenario a mode of a run, or an operation.

python tests/support/scenarios.py [SCENARIO[:KIND[:AT[:SECOND]]] …] goes through the cases that begin so, of all
scenarios where none is named, and prints how many there were and each that went wrong. SECOND seeds a second fault,
which the process after the first one meets; 0 is none.
"""

from __future__ import annotations

import asyncio
import io
import logging
import random
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any
from unittest import mock

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))

from faults import KINDS, Died, FaultySaver, FaultyStore, Kind, World
from langgraph.store.base import BaseStore

from langgraph_maker import Split, asolve, create_recursive_maker, journal, solve
from langgraph_maker.core.errors import JournalError
from langgraph_maker.journal import run_data, store_ops
from langgraph_maker.nodes.ladder import AskHuman, Tier
from langgraph_maker.prebuilt.recursive import read_tree
from langgraph_maker.prebuilt.recursive.multiplication import simulated_multiplication
from langgraph_maker.report import numbers, tree_numbers
from langgraph_maker.simulation.chat_model import simulated_sampler
from langgraph_maker.tasks import TowersOfHanoi

SEED = 5
CHAINS: dict[str, dict[str, Any]] = {
    "plain": {"error": 0.3},
    "async": {"error": 0.3},
    "lanes": {"error": 0.3, "lanes": 3},
    "grouped": {"error": 0.2, "steps_per_subtask": 2},
    "ladder": {"error": 0.3, "ladder": [Tier(samples=3), Tier(temperature=0.9)]},
    "split": {"error": 0.1, "steps_per_subtask": 2, "ladder": [Tier(samples=3), Split()]},
    "audit": {"error": 0.1, "audit": 1.0, "ladder": [Tier(), Tier(variants="all")]},
    "human": {"error": 0.3, "ladder": [Tier(samples=3), AskHuman()], "lanes": 2},
    "auto": {"error": 0.03, "disks": 4, "k": "auto", "calibration_samples": 200},
    "raised": {"error": 0.2, "raise_k": True},
    "checkpointer": {"error": 0.3},
    "resumed": {"error": 0.3, "lanes": 2},
    "file": {"error": 0.3, "lanes": 2},
    "async file": {"error": 0.3},
}
TREES: dict[str, tuple[str, dict[str, Any]]] = {
    "tree": ("2 * 34", {"model": {"small": 0.9, "seed": 4}}),
    "tree in a file": ("2 * 34", {"model": {"small": 0.9, "seed": 4}}),
    "asking-tree": ("2 * 3", {"model": {"small": 0.7, "seed": 1}, "ladder": [Tier(samples=3), AskHuman()]}),
}


@dataclass
class Scene:
    """One scenario under one fault: the data, and what is kept beside it."""

    world: World = field(default_factory=World)
    saver: FaultySaver = field(init=False)

    def __post_init__(self) -> None:
        self.saver = FaultySaver(self.world)


def chain(scene: Scene, store: BaseStore, mode: str, run_id: str = "r", **more: Any) -> Any:
    """Bring a run to its end, answering what it asks."""
    options = {"k": 3, "max_samples_per_step": 60, **CHAINS[mode], **more}
    task = TowersOfHanoi(options.pop("disks", 2))
    model = scene.world.model(simulated_sampler(f"sim:error={options.pop('error')},flag=0.03", task, SEED))
    if mode == "checkpointer":
        options["checkpointer"] = scene.saver
    while True:
        if mode.startswith("async"):
            run = asyncio.run(asolve(task, model, store=store, run_id=run_id, **options))
        else:
            run = solve(task, model, store=store, run_id=run_id, **options)
        for question in run.questions:
            journal.answer(store, run_id, question["id"], {"answer": task.oracle(question["state"])})
        if run.status != "waiting":
            return run


def tree(scene: Scene, store: BaseStore, mode: str, run_id: str = "r") -> Any:
    problem, options = TREES[mode]
    given = {**options, "model": scene.world.model(simulated_multiplication(**options["model"]))}
    graph = create_recursive_maker(given.pop("model"), **given).compile(store=store)
    while True:
        result: Any = graph.invoke({"problem": problem, "run_id": run_id})
        for question in result["questions"]:
            journal.answer(store, run_id, question["id"], _said(question))
        if result["status"] != "waiting":
            return result


def _said(question: Any) -> Any:
    state = question["state"]
    one, _, other = state["problem"].partition(" * ")
    right = str(int(one) * int(other))
    match state["stage"]:
        case "atomic":
            return {"answer": {"atomic": len(one) == len(other) == 1}}
        case "check":
            return {"answer": {"right": state["answer"] == right}}
        case "propose" | "choose":
            return {"pick": 0}
    return {"answer": {"answer": right}}


def told_of(result: Any) -> dict[str, Any]:
    """What a run came to, whatever faults it met."""
    if isinstance(result, dict):
        return {name: result[name] for name in ("status", "answer", "samples", "flags", "rounds", "usage", "tree")}
    names = ("status", "reason", "steps", "samples", "flagged", "digest", "usage", "votes_per_step")
    return {name: getattr(result, name) for name in names}


def check_readers(store: BaseStore, run_id: str, steps: int | None) -> None:
    """Every reader reads the run, and finds nothing wrong with it."""
    problems = journal.verify(store, run_id)
    assert problems == [], problems
    assert run_id in {header["run_id"] for header in journal.runs(store)}
    assert [*journal.open_ballots(store, run_id), *journal.questions(store, run_id)] == []
    journal.export(store, run_id, io.StringIO())
    if steps is None:
        tree_numbers(store, run_id)
        read_tree(store, run_id)
        return
    assert [entry["step"] for entry in journal.read(store, run_id)] == list(range(steps))
    assert numbers(store, run_id)["totals"]["steps"] == journal.steps(store, run_id) == steps


Act = Callable[[Scene, FaultyStore], Any]


@dataclass(frozen=True)
class Scenario:
    """`before` meets no fault, `act` does, and is done again by the next process; `after` checks what came of it."""

    act: Act
    before: Callable[[Scene], None] = lambda _: None
    after: Callable[[Scene, Any], None] = lambda *_: None
    again: Act | None = None


def _ran(scene: Scene, result: Any) -> None:
    check_readers(scene.world.process(), "r", None if isinstance(result, dict) else result.steps)
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


def _forked(scene: Scene, store: FaultyStore) -> Any:
    try:
        journal.fork(store, "r", 2, "f")
    except JournalError as error:
        if "there is a run 'f' already" not in str(error):
            raise
    return chain(scene, store, "plain", "f")


def _forked_elsewhere(scene: Scene, store: FaultyStore) -> Any:
    try:
        journal.fork(store, "r", 1, "f")
    except JournalError as error:
        if "there is a run 'f' already" not in str(error):
            raise
    return chain(scene, store, "plain", "f")


def _fork_ran(scene: Scene, result: Any) -> None:
    for run_id in ("r", "f"):
        check_readers(scene.world.process(), run_id, result.steps)


def _tree_deleted(scene: Scene, store: FaultyStore) -> None:
    _deleted(scene, store)


SCENARIOS: dict[str, Scenario] = {
    **{mode: Scenario(lambda scene, store, mode=mode: chain(scene, store, mode), after=_ran) for mode in CHAINS},  # type: ignore[misc]
    **{mode: Scenario(lambda scene, store, mode=mode: tree(scene, store, mode), after=_ran) for mode in TREES},  # type: ignore[misc]
    "resumed": Scenario(lambda scene, store: chain(scene, store, "resumed"), before=_stopped, after=_ran),
    "raised": Scenario(lambda scene, store: chain(scene, store, "raised"), before=_raised, after=_ran),
    "delete": Scenario(_deleted, before=_stopped),
    "delete, then begin": Scenario(
        _deleted_and_begun,
        before=_whole,
        after=lambda scene, run: check_readers(scene.world.process(), "r", run.steps),
        again=_begun_anew,
    ),
    "delete a tree": Scenario(_deleted, before=lambda scene: tree(scene, scene.world.process(), "tree")),
    "fork": Scenario(_forked, before=_whole, after=_fork_ran),
    "fork, then elsewhere": Scenario(_forked, before=_whole, after=_fork_ran, again=_forked_elsewhere),
    "fork, then resume": Scenario(
        _forked, before=_whole, after=_fork_ran, again=lambda scene, store: chain(scene, store, "plain", "f")
    ),
}


@dataclass(frozen=True)
class Case:
    """One fault in one scenario."""

    scenario: str
    kind: Kind
    at: int
    second: int = 0

    def __str__(self) -> str:
        return f"{self.scenario}:{self.kind}:{self.at}:{self.second}"


def reference(name: str) -> tuple[dict[str, Any] | None, Counter[str]]:
    """What comes of a scenario without a fault, and how often each kind of fault can happen in its act."""
    if name not in _reference:
        result, scene = _done(Case(name, "before", 0))
        world = scene.world
        times = {"call": world.calls, "called": world.calls, "save": world.saves, "saved": world.saves}
        _reference[name] = result, Counter({kind: times.get(kind, world.operations) for kind in KINDS})
    return _reference[name]


def cases(name: str, times: Counter[str]) -> Iterator[Case]:
    """All first faults of a scenario, and to each third one a second."""
    number = 0
    for kind in KINDS:
        for at in range(1, times[kind] + 1):
            yield Case(name, kind, at)
            number += 1
            if number % 3 == 0:
                yield Case(name, kind, at, number)


_reference: dict[str, tuple[dict[str, Any] | None, Counter[str]]] = {}


def check(case: Case) -> None:
    """The scenario under the fault comes to what it comes to without."""
    expected, _ = reference(case.scenario)
    result, _ = _done(case)
    assert result == expected


def _done(case: Case) -> tuple[dict[str, Any] | None, Scene]:
    with TemporaryDirectory() as folder:
        scene = Scene(World(file=f"{folder}/journal.sqlite" if "file" in case.scenario else ""))
        try:
            return _done_in(case, scene)
        finally:
            scene.world.close()


def _done_in(case: Case, scene: Scene) -> tuple[dict[str, Any] | None, Scene]:
    scenario = SCENARIOS[case.scenario]
    no_pause = SimpleNamespace(sleep=lambda _: None, monotonic=time.monotonic)
    with mock.patch.object(store_ops, "time", no_pause):
        scenario.before(scene)
        scene.world.process()
        scene.world.bought.clear()
        scene.world.lost.clear()
        result = _acted(case, scenario, scene)
        counted = scene.world.operations, scene.world.calls, scene.world.saves
        scenario.after(scene, result)
        scene.world.operations, scene.world.calls, scene.world.saves = counted
    return None if result is None else told_of(result), scene


def _acted(case: Case, scenario: Scenario, scene: Scene) -> Any:
    chance = random.Random(case.second)
    faults: list[tuple[Kind | None, int]] = [(case.kind, case.at)]
    if case.second:
        faults.append((chance.choice(KINDS), chance.randint(1, 12)))
    act = scenario.act
    for kind, at in [*faults, (None, 0)]:
        try:
            return act(scene, scene.world.process(kind, at))
        except Died:
            act = scenario.again or act
        except (JournalError, ValueError) as error:  # a question that is no more, or not yet, is refused
            if kind != "past":  # of which a process may find that it is no tree, or another one's
                raise AssertionError(case) from error
            act = scenario.again or act
    raise AssertionError("it did not end without a fault")


def main() -> int:
    logging.disable(logging.WARNING)  # a store without a lock says so
    wanted = sys.argv[1:] or [*SCENARIOS]
    wrong = 0
    for one in wanted:
        name = one.partition(":")[0]
        _, times = reference(name)
        found = [case for case in cases(name, times) if f"{case}:".startswith(f"{one}:")]
        failed = 0
        for case in found:
            try:
                check(case)
            except Exception as error:  # noqa: BLE001 - whatever it is
                failed += 1
                where = traceback.extract_tb(error.__traceback__)[-1]
                said = " ".join(str(error).split())[:300]
                print(f"  '{case}': {type(error).__name__}: {said} @{Path(where.filename).name}:{where.lineno}")  # noqa: T201
        wrong += failed
        print(f"{one}: {len(found)} cases, {failed} wrong", flush=True)  # noqa: T201
    return bool(wrong)


if __name__ == "__main__":
    raise SystemExit(main())
