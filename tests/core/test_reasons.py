"""Why runs are not solved, as codes: what each run that ends so says, everywhere that it says it."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any, get_args

import pytest
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.store.memory import InMemoryStore
from scripted import Counting, Scripted, right

from langgraph_maker import Run, create_maker, create_recursive_maker, journal, solve
from langgraph_maker.core import reasons
from langgraph_maker.core.reasons import ReasonCode
from langgraph_maker.nodes.ladder import AskHuman, Tier
from langgraph_maker.prebuilt.recursive.multiplication import simulated_multiplication
from langgraph_maker.report.numbers import numbers
from langgraph_maker.tasks import TowersOfHanoi


def _split(request: Any) -> str:
    return str(int(request.messages[0].text) + 1 + request.number % 2)


def _nothing(_: Any) -> str:
    return "no idea"


ENDINGS: dict[str, tuple[Any, dict[str, Any]]] = {
    "no_convergence": (Counting(3), {"model": Scripted(_split), "max_samples_per_step": 10}),
    "all_flagged": (Counting(3), {"model": Scripted(_nothing), "max_samples_per_step": 10}),
    "wrong_end": (Counting(3, goal=9), {"model": Scripted(right)}),
    "waiting": (Counting(3), {"model": Scripted(_split), "ladder": [Tier(samples=6), AskHuman()]}),
    "budget": (Counting(3), {"model": Scripted(right), "max_total_samples": 3}),
    "stop_requested": (Counting(3), {"model": Scripted(right), "stop": lambda: "it is night"}),
    "deadline": (Counting(3), {"model": Scripted(right), "deadline": 1e-9}),
    "": (Counting(3), {"model": Scripted(right)}),
}


def _run(code: str, **more: Any) -> Run:
    task, options = ENDINGS[code]
    given = {"store": InMemoryStore(), "run_id": "r", **options, **more}
    return solve(task, given.pop("model"), **given)


@pytest.mark.parametrize("code", ENDINGS)
def test_the_run_its_journal_its_report_and_its_last_event_name_the_same_code(code: str) -> None:
    store, events = InMemoryStore(), list[Any]()
    run = _run(code, store=store, observer=events.append)
    assert run.reason_code == code
    assert bool(run.reason) == bool(code)
    assert json.loads(json.dumps(asdict(run)))["reason_code"] == code
    assert journal.header(store, "r")["outcome"]["reason_code"] == code
    assert numbers(store, "r")["reason_code"] == code
    assert events[-1]["reason_code"] == code


def test_an_unresolved_step_says_its_code_too() -> None:
    events = list[Any]()
    _run("all_flagged", observer=events.append)
    assert [event["reason_code"] for event in events if event["event"] == "step.unresolved"] == ["all_flagged"]


def test_a_human_who_gives_a_step_up_aborts_the_run() -> None:
    store = InMemoryStore()
    _run("waiting", store=store)
    again = _run("waiting", store=store, answers={"0": {"abort": True}})
    assert (again.status, again.reason_code) == ("unresolved", "aborted")


def test_a_segment_ends_by_the_recursion_limit() -> None:
    graph = create_maker(TowersOfHanoi(5), "sim:error=0.01").compile(checkpointer=InMemorySaver())
    result = graph.invoke({}, {"configurable": {"thread_id": "t"}, "recursion_limit": 20})
    assert (result["status"], result["reason_code"]) == ("stopped", "recursion_limit")


def test_a_recursive_run_says_which_limit_forbids_it_to_continue() -> None:
    store = InMemoryStore()
    shallow = create_recursive_maker(simulated_multiplication(), max_depth=0).compile(store=store)
    result = shallow.invoke({"problem": "12 * 34", "run_id": "r"})
    assert (result["status"], result["reason_code"]) == ("unresolved", "tree_limit")
    assert [one["reason_code"] for one in result["unsettled"]] == ["tree_limit"]
    assert journal.header(store, "r")["outcome"]["reason_code"] == "tree_limit"
    late = create_recursive_maker(simulated_multiplication(), deadline=0).compile()
    assert late.invoke({"problem": "12 * 34"})["reason_code"] == "deadline"


def test_every_code_is_documented() -> None:
    assert all(f"| `{code}` |" in str(reasons.__doc__) for code in get_args(ReasonCode) if code)


@pytest.mark.parametrize(("models", "simulated"), [(["sim"], "all"), (["sim", "own"], "some"), (["own"], "none")])
def test_the_header_says_whether_the_model_was_simulated(models: list[str], simulated: str) -> None:
    store = InMemoryStore()
    for place, model in enumerate(models):
        answers = "sim:error=0.01" if model == "sim" else Scripted(_moves)
        solve(TowersOfHanoi(3), answers, store=store, run_id="r", max_total_samples=3 + 100 * place)
    assert journal.header(store, "r").get("simulated") == simulated


def _moves(request: Any) -> str:
    task = TowersOfHanoi(3)
    return task.render(task.oracle(task.read_state(request.messages)))
