"""The runs in `assets/journal_7`, which version 0.1.0 wrote in format 7: how each was started, and how it continues.

python old_journals.py DB writes them, in the format of the version that runs it.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from langgraph.store.base import BaseStore

from langgraph_maker import Split, create_recursive_maker, journal, solve
from langgraph_maker.journal import run_data
from langgraph_maker.journal.databases import open_store
from langgraph_maker.nodes.ladder import AskHuman, Tier
from langgraph_maker.prebuilt.recursive.multiplication import simulated_multiplication
from langgraph_maker.tasks import TowersOfHanoi

ASSETS = Path(__file__).parents[1] / "assets" / "journal_7"
CHAINS: Mapping[str, tuple[int, dict[str, Any]]] = {
    "plain": (4, {"model": "sim:error=0.2,flag=0.05"}),
    "stopped": (4, {"model": "sim:error=0.15,flag=0.05"}),
    "lanes": (5, {"model": "sim:error=0.2", "lanes": 4}),
    "grouped": (4, {"model": "sim:error=0.05", "steps_per_subtask": 2}),
    "ladder": (4, {"model": "sim:error=0.15", "ladder": [Tier(samples=3), Tier(temperature=0.9)]}),
    "split": (4, {"model": "sim:error=0.2", "steps_per_subtask": 2, "ladder": [Tier(samples=3), Split()]}),
    "audit": (4, {"model": "sim:error=0.1", "audit": 1.0, "ladder": [Tier(), Tier(variants="all")]}),
    "human": (4, {"model": "sim:error=0.15", "ladder": [Tier(samples=3), AskHuman()], "lanes": 2}),
    "answered": (4, {"model": "sim:error=0.15", "ladder": [Tier(samples=3), AskHuman()]}),
    "raised": (4, {"model": "sim:error=0.1", "raise_k": True, "max_samples_per_step": 60}),
    "auto": (4, {"model": "sim:error=0.05", "k": "auto", "calibration_samples": 200}),
}
"""By their ids: the number of disks, and the options; those of `STOPPED` were stopped after so many samples."""
STOPPED: Mapping[str, int] = {
    "stopped": 38,
    "lanes": 30,
    "ladder": 33,
    "split": 15,
    "audit": 40,
    "raised": 20,
    "half-tree": 60,
}
TREES: Mapping[str, tuple[str, dict[str, Any]]] = {
    "tree": ("12 * 34", {"model": simulated_multiplication(flag=0.05, seed=4)}),
    "half-tree": ("12 * 34", {"model": simulated_multiplication(small=0.8, seed=4)}),
    "asking-tree": ("12 * 3", {"model": simulated_multiplication(small=0.8), "ladder": [Tier(samples=5), AskHuman()]}),
}


def go_on(store: BaseStore, run_id: str, **more: Any) -> Any:
    """Begin the run, or continue with it; what `solve` or the graph returned."""
    if run_id in CHAINS:
        disks, options = CHAINS[run_id]
        given = {"k": 3, **options, **more}
        return solve(TowersOfHanoi(disks), given.pop("model"), store=store, run_id=run_id, **given)
    problem, options = TREES[run_id]
    answers = {"answers": more.pop("answers")} if "answers" in more else {}
    given = {**options, **more}
    graph: Any = create_recursive_maker(given.pop("model"), **given).compile(store=store)
    return graph.invoke({"problem": problem, "run_id": run_id, **answers})


def to_the_end(store: BaseStore, run_id: str, **more: Any) -> Any:
    """Go on with the run, and answer what it asks: the right move of a chain, the first candidate of a tree."""
    while True:
        result = go_on(store, run_id, **more)
        questions = result["questions"] if isinstance(result, dict) else result.questions
        if not questions:
            return result
        for question in questions:
            journal.answer(store, run_id, question["id"], answer_to(run_id, question))


def answer_to(run_id: str, question: Any) -> Any:
    """What a human would say."""
    state = question["state"]
    if run_id in CHAINS:
        return {"answer": TowersOfHanoi(CHAINS[run_id][0]).oracle(state)}
    one, _, other = state["problem"].partition(" * ")
    right = str(int(one) * int(other))
    match state["stage"]:
        case "atomic":
            return {"answer": {"atomic": len(one) == len(other) == 1}}
        case "solve" | "compose":
            return {"answer": {"answer": right}}
        case "check":
            return {"answer": {"right": state["answer"] == right}}
    return {"pick": 0}


def write(store: BaseStore) -> None:
    for run_id in [*CHAINS, *TREES]:
        go_on(store, run_id, **({"max_total_samples": STOPPED[run_id]} if run_id in STOPPED else {}))
    store.batch([run_data.put_raised("raised", 4)])
    question = journal.questions(store, "answered")[0]
    journal.answer(store, "answered", question["id"], answer_to("answered", question))


def main() -> None:
    with open_store(sys.argv[1]) as store:
        write(store)


if __name__ == "__main__":
    main()
