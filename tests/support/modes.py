"""The modes of a run that meets simulated faults, and what every reader must find of it."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from faults import FaultySaver, World
from langgraph.store.base import BaseStore
from langgraph.store.sqlite import SqliteStore
from old_journals import ASSETS, answer_to
from old_journals import CHAINS as OLD_CHAINS
from old_journals import TREES as OLD_TREES

from langgraph_maker import Split, asolve, create_recursive_maker, journal, solve
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
    "async tree": ("2 * 3", {"model": {"small": 0.9, "seed": 4}}),
    "tree in a file": ("2 * 34", {"model": {"small": 0.9, "seed": 4}}),
    "asking-tree": ("2 * 3", {"model": {"small": 0.7, "seed": 1}, "ladder": [Tier(samples=3), AskHuman()]}),
}


@dataclass
class Scene:
    """One scenario under one fault: the data, and what is kept beside it."""

    world: World = field(default_factory=World)
    saver: FaultySaver = field(init=False)
    author: str = ""
    writing: Iterator[None] = field(default_factory=lambda: iter(()))

    def __post_init__(self) -> None:
        self.saver = FaultySaver(self.world)


def chain(scene: Scene, store: BaseStore, mode: str, run_id: str = "r", *, seed: int = SEED, **more: Any) -> Any:
    """Bring a run to its end, answering what it asks."""
    options = {"k": 3, "max_samples_per_step": 60, **CHAINS[mode], **more}
    task = TowersOfHanoi(options.pop("disks", 2))
    model = scene.world.model(simulated_sampler(f"sim:error={options.pop('error')},flag=0.03", task, seed))
    if mode == "checkpointer":
        options["checkpointer"] = scene.saver
    while True:
        if mode.startswith("async"):
            run = asyncio.run(scene.world.awaited(asolve(task, model, store=store, run_id=run_id, **options)))
        else:
            run = solve(task, model, store=store, run_id=run_id, **options)
        for question in run.questions:
            journal.answer(store, run_id, question["id"], {"answer": task.oracle(question["state"])})
        if run.status != "waiting":
            return run


def tree(scene: Scene, store: BaseStore, mode: str, run_id: str = "r") -> Any:
    """Bring a recursive run to its end, answering what it asks."""
    problem, options = TREES[mode]
    given = {**options, "model": scene.world.model(simulated_multiplication(**options["model"]))}
    graph: Any = create_recursive_maker(given.pop("model"), **given).compile(store=store)
    put_in = {"problem": problem, "run_id": run_id}
    while True:
        awaited = mode.startswith("async")
        result: Any = asyncio.run(scene.world.awaited(graph.ainvoke(put_in))) if awaited else graph.invoke(put_in)
        for question in result["questions"]:
            journal.answer(store, run_id, question["id"], answer_to("tree", question))
        if result["status"] != "waiting":
            return result


def old(scene: Scene, store: BaseStore, run_id: str) -> Any:
    """Bring a run that was begun in format 7 to its end."""
    while True:
        if run_id in OLD_CHAINS:
            disks, options = OLD_CHAINS[run_id]
            task = TowersOfHanoi(disks)
            model = scene.world.model(simulated_sampler(options["model"], task, SEED))
            given = {"k": 3, **options, "model": model}
            result: Any = solve(task, given.pop("model"), store=store, run_id=run_id, **given)
            questions = result.questions
        else:
            problem, options = OLD_TREES[run_id]
            given = {**options, "model": scene.world.model(options["model"])}
            graph: Any = create_recursive_maker(given.pop("model"), **given).compile(store=store)
            result = graph.invoke({"problem": problem, "run_id": run_id})
            questions = result["questions"]
        if not questions:
            return result
        for question in questions:
            journal.answer(store, run_id, question["id"], answer_to(run_id, question))


def put_old(scene: Scene, run_id: str) -> None:
    """Put the records of a run that was written in format 7 into the store."""
    with SqliteStore.from_conn_string(str(ASSETS / "journal.db")) as store:
        for item in store.search(("langgraph_maker",), limit=1000):
            if item.key == f"{run_id}~" or f"{run_id}~" in item.namespace:
                scene.world.inner.put(item.namespace, item.key, item.value)


def told_of(result: Any) -> dict[str, Any]:
    """What a run came to, whatever faults it met."""
    if isinstance(result, dict):
        return {name: result[name] for name in ("status", "answer", "samples", "flags", "rounds", "usage", "tree")}
    names = ("status", "reason", "steps", "samples", "flagged", "digest", "usage", "votes_per_step")
    return {name: getattr(result, name) for name in names}


def end_of(result: Any) -> dict[str, Any]:
    """What does not depend on who bought how many samples."""
    names = ("status", "answer") if isinstance(result, dict) else ("status", "steps", "digest")
    return {name: value for name, value in told_of(result).items() if name in names}


def check_readers(store: BaseStore, run_id: str, steps: int | None, *, kinds: frozenset[str] = frozenset()) -> None:
    """Every reader reads the run, and finds nothing wrong with it, or problems of these kinds alone."""
    problems = journal.verify(store, run_id)
    assert {problem.kind for problem in problems} <= kinds, problems
    assert run_id in {header["run_id"] for header in journal.runs(store)}
    assert [*journal.open_ballots(store, run_id), *journal.questions(store, run_id)] == []
    journal.export(store, run_id, io.StringIO())
    if steps is None:
        tree_numbers(store, run_id)
        read_tree(store, run_id)
        return
    assert [entry["step"] for entry in journal.read(store, run_id)] == list(range(steps))
    assert numbers(store, run_id)["totals"]["steps"] == journal.steps(store, run_id) == steps
