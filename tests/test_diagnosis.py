"""Steps that no margin gets past are found, named and proved; others are not accused."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import AIMessage
from langgraph.store.memory import InMemoryStore
from scripted import Counting, script
from typer.testing import CliRunner, Result

from langgraph_maker.calibration.diagnosed import Tried
from langgraph_maker.cli import app
from langgraph_maker.diagnosis import diagnose
from langgraph_maker.state import Request, Sampler, never_waits
from langgraph_maker.tasks import Ledger, Multiplication, Sorting, TowersOfHanoi

SORTING = Sorting.random(60, seed=1)


def stubborn(task: Any, fails: Callable[[Any, int], bool]) -> Sampler:
    """A model that is always right, but for where `fails(state, variant)` says: there its answer is always the same."""

    @never_waits
    async def sample(requests: Sequence[Request]) -> list[AIMessage]:
        answers = []
        for request in requests:
            state = task.read_state(request.messages)
            variant = next(one for one in range(task.variants) if task.prompt(state, one) == request.messages)
            vote = task.wrong_votes(state)[0] if fails(state, variant) else task.oracle(state)
            answers.append(AIMessage(task.render(vote)))
        return answers

    return sample


def by_type(found: Any) -> dict[str, Any]:
    return {one.type: one for one in found.types}


def test_a_type_of_steps_that_is_always_wrong_blocks_the_task() -> None:
    model = stubborn(SORTING, lambda state, _: SORTING.step_type(state) == "both negative")
    found = diagnose(SORTING, model)
    assert found.verdict == "no"
    assert {suspect.type for suspect in found.blocking} == {"both negative"}
    types = by_type(found)
    assert len(found.blocking) == types["both negative"].sampled
    assert [one.right for one in types["both negative"].asked] == [0, 0, 0]
    assert types["both negative"].share_high == 1
    assert all(one.p == 1 for one in types["equal length"].asked)
    assert found.blocking[0].tried == [Tried(variant, 20, 0, 20, 0) for variant in range(3)]
    assert found.types[0].type == "both negative"


def test_a_step_that_one_way_to_ask_gets_right_does_not_block() -> None:
    model = stubborn(SORTING, lambda state, variant: variant != 2 and SORTING.step_type(state) == "both negative")
    found = diagnose(SORTING, model)
    negative = by_type(found)["both negative"]
    assert (found.verdict, found.blocking) == ("yes", [])
    assert negative.rescued == negative.sampled > 0
    assert [one.p for one in negative.asked] == [0, 0, 1]


def test_one_step_of_many_is_found() -> None:
    task = Ledger.random(80)
    found = diagnose(task, stubborn(task, lambda state, _: state["transaction"]["id"] == "t17"))
    assert [(suspect.step, suspect.type) for suspect in found.blocking] == [(16, task.transactions[16]["kind"])]


def test_where_nothing_counts_the_step_blocks_too() -> None:
    found = diagnose(Multiplication(7, 8), script("seven times eight"))
    assert found.verdict == "no"
    assert [(one.right, one.rival, one.flagged) for one in found.blocking[0].tried] == [(0, 0, 20)] * 3


@pytest.mark.parametrize("task", [SORTING, Ledger.random(60), Multiplication.random(6), TowersOfHanoi(6)])
def test_a_model_that_is_mostly_right_blocks_nowhere(task: Any) -> None:
    assert hasattr(task, "step_type")
    found = diagnose(task, "sim:error=0.1,flag=0.05", samples=50)
    assert (found.verdict, found.complete) == ("yes", True)
    assert len(found.types) >= 2
    assert all(one.p_low < 0.9 < one.p_high for each in found.types for one in each.asked if one.samples > 30)


def test_few_are_accused_of_what_is_chance() -> None:
    """At p = 0.6 a step has to lose three votes, and of 20 fresh samples 15, three times: 1 in 10^10 does."""
    for seed in range(3):
        found = diagnose(SORTING, f"sim:error=0.4,seed={seed}", samples=25, seed=seed)
        assert found.blocking == []


def test_it_is_unclear_where_right_and_wrong_are_equally_frequent() -> None:
    found = diagnose(TowersOfHanoi(5), "sim:error=0.5", looks=10)
    assert found.verdict in {"unclear", "no"}
    assert any(not suspect.blocks and not suspect.cleared for one in found.types for suspect in one.suspects)


def test_the_same_call_finds_the_same_and_buys_nothing_again() -> None:
    drawn: list[int] = []

    def counting(model: Sampler) -> Sampler:
        @never_waits
        async def sample(requests: Sequence[Request]) -> Any:
            drawn.append(len(requests))
            return await model(requests)

        return sample

    store, model = InMemoryStore(), counting(stubborn(SORTING, lambda state, _: state["runs"][0][0] < -50))
    first = diagnose(SORTING, model, samples=20, store=store, run_id="d")
    assert sum(drawn) == first.drawn > 0
    drawn.clear()
    assert asdict(diagnose(SORTING, model, samples=20, store=store, run_id="d")) == asdict(first)
    assert drawn == []
    with pytest.raises(ValueError, match="holds another calibration"):
        diagnose(SORTING, model, samples=21, store=store, run_id="d")


def test_a_budget_ends_it_and_nothing_is_cleared_by_that() -> None:
    spec = "sim:error=0.3,input_price=1,output_price=1"
    found = diagnose(SORTING, spec, max_cost=0.05)
    assert (found.verdict, found.complete) == ("unclear", False)
    assert "its budget of $0.0166667 is spent" in found.notes[0]
    assert found.spent is not None
    assert 0 < found.spent < 0.1
    with pytest.raises(ValueError, match="give its price"):
        diagnose(SORTING, "sim:error=0.3", max_cost=1)


def test_a_stop_ends_it() -> None:
    found = diagnose(SORTING, "sim:error=0.3", stop=lambda: "enough")
    assert (found.verdict, found.drawn) == ("unclear", 0)
    assert found.notes[0] == "sampling ended early: enough"


def test_without_the_truth_nothing_can_be_said() -> None:
    with pytest.raises(ValueError, match=r"counting has no oracle\(state\): where a model is mostly wrong"):
        diagnose(Counting(5), script("1"))


@pytest.mark.parametrize(("name", "bad"), [("samples", 0), ("samples", True), ("looks", 2.5)])
def test_counts_are_counts(name: Any, bad: Any) -> None:
    with pytest.raises(ValueError, match=f"{name} is a whole number of at least 1"):
        diagnose(SORTING, "sim:error=0.1", **{name: bad})


class TestCommandLine:
    def invoke(self, tmp_path: Path, *arguments: str) -> Result:
        return CliRunner().invoke(app, ["diagnose", *arguments, "--db", str(tmp_path / "db.sqlite"), "--samples", "9"])

    def test_it_says_no_with_evidence(self, tmp_path: Path) -> None:
        result = self.invoke(tmp_path, "hanoi", "--disks", "5", "--model", "sim:llama-3.2-3b")
        assert result.exit_code == 3
        assert "NO, as it stands some steps block it, which no k" in result.stdout
        assert "0 right, 20 alike and wrong, 0 flagged of 20" in " ".join(result.stdout.split())
        assert "the model is simulated" in result.stdout

    def test_it_says_yes_and_what_that_is_worth(self, tmp_path: Path) -> None:
        result = self.invoke(tmp_path, "sorting", "--set", "count=30", "--model", "sim:error=0.02")
        assert result.exit_code == 0
        assert "no step that was sampled blocks it" in result.stdout
        assert "at most" in result.stdout

    def test_json(self, tmp_path: Path) -> None:
        result = self.invoke(tmp_path, "multiplication", "--json", "--run-id", "d")
        found = json.loads(result.stdout)
        assert (found["verdict"], found["run_id"], found["variants"]) == ("yes", "d", 3)

    def test_bad_input(self, tmp_path: Path) -> None:
        result = self.invoke(tmp_path, "sorting", "--looks", "0")
        assert (result.exit_code, "looks is a whole number" in result.stderr) == (2, True)
