"""Steps that no margin gets past are found, named and proved; others are not accused."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from random import Random
from typing import Any

import pytest
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage
from langgraph.store.memory import InMemoryStore
from scripted import Counting, Scripted, script
from typer.testing import CliRunner, Result

from benchmarks.guarantee import Steps, drawn, some
from langgraph_maker import Grouped, RedFlag, Split, Vote, solve
from langgraph_maker.cli import app
from langgraph_maker.core.grouped import headed, steps_asked
from langgraph_maker.core.state import Request, Sampler, never_waits
from langgraph_maker.models.prices import Price
from langgraph_maker.nodes.ladder import Tier
from langgraph_maker.runs.diagnosis.diagnose import diagnose
from langgraph_maker.runs.diagnosis.result import FINER, Remedy
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
    assert found.blocking[0].tried == [Remedy(variant, 20, 0, 20, 0) for variant in range(3)]
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


@pytest.mark.slow
@pytest.mark.parametrize(("bad", "p_bad", "p"), [(0.01, 0.3, 0.99), (0.1, 0.45, 0.99), (0.03, 0.5, 0.8)])
def test_the_bound_on_steps_that_may_block_holds(bad: float, p_bad: float, p: float) -> None:
    """Of 2,000 steps 200 are sampled; of 40 runs more than 6 would miss with a probability of 0.003, at 95 %."""
    missed, accused = 0, list[float]()
    for seed in range(40):
        law = some(bad, p_bad, p, 2000)(Random(seed))
        found = diagnose(Steps(2000), drawn(law, seed), samples=200, seed=seed)
        missed += found.types[0].share_high < sum(law(step, 0) <= 0.5 for step in range(2000)) / 2000
        accused += [law(suspect.step, 0) for suspect in found.blocking]
    assert missed <= 6
    assert all(of <= 0.5 for of in accused)


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


class Units(Counting):
    """Counts by one, for a truth that is known."""

    name = "units"

    def __init__(self, start: int = 0, end: int = 40) -> None:
        super().__init__(end - start, end)
        self.start = start

    def initial_state(self) -> Any:
        return self.start

    def prompt(self, state: Any) -> list[BaseMessage]:
        return [HumanMessage(f"{state} and 1")]

    def oracle(self, state: Any) -> Vote:
        return {"action": "add", "next_state": state + 1}

    def read_state(self, messages: Sequence[BaseMessage]) -> Any:
        return int(messages[-1].text.split()[0])


class Tens(Units):
    """Counts by ten, which can be done in steps of one."""

    name = "tens"

    def __init__(self) -> None:
        super().__init__(0, 40)
        self.steps = 4

    def prompt(self, state: Any) -> list[BaseMessage]:
        return [HumanMessage(f"{state} and 10")]

    def oracle(self, state: Any) -> Vote:
        return {"action": "add", "next_state": state + 10}

    def split(self, state: Any) -> Units:
        return Units(state, state + 10)

    def join(self, state: Any, votes: Sequence[Vote]) -> Vote:
        return {"action": "add", "next_state": votes[-1]["next_state"]}


def lost_in(*wrong: str) -> Scripted:
    """Right but for prompts that begin so; of several steps in one response as well."""

    def answer(request: Request) -> str:
        text = str(request.messages[0].content)
        state, step = int(text.split(maxsplit=1)[0]), int(text.split()[2])
        answers = [str(state + step * more) for more in range(1, 1 + (steps_asked(request.messages) or 1))]
        answers[0] = "99" if text.startswith(wrong) else answers[0]
        return headed(answers) if steps_asked(request.messages) else answers[0]

    return Scripted(answer)


class TestGranularities:
    def test_finer_steps_that_save_a_step_are_named(self) -> None:
        found = diagnose(Tens(), lost_in("20 and 10"))
        assert (found.verdict, found.granularities, found.blocking) == ("otherwise", [1, FINER], [])
        [saved] = found.saved
        assert (saved.step, saved.saved_by) == (2, [Remedy(0, 20, 20, 0, 0, FINER, 0)])

    def test_one_finer_step_that_is_lost_is_enough_to_block_and_is_named(self) -> None:
        found = diagnose(Tens(), lost_in("20 and 10", "24 and 1"))
        assert (found.verdict, found.saved) == ("no", [])
        [blocking] = found.blocking
        assert blocking.tried == [Remedy(0, 20, 0, 20, 0), Remedy(0, 20, 0, 20, 0, FINER, 4)]

    def test_a_coarser_granularity_that_saves_a_step_is_named(self) -> None:
        """Asked alone the step is lost; as the second of two, in a response that begins a step before, it is not."""
        found = diagnose(Units(), lost_in("25 and 1"), granularities=[1, 2, 3])
        assert (found.verdict, found.granularities) == ("otherwise", [1, 2, 3])
        [saved] = found.saved
        assert (saved.step, saved.saved_by) == (25, [Remedy(0, 20, 20, 0, 0, 2), Remedy(0, 20, 20, 0, 0, 3)])

    def test_it_is_asked_in_the_group_that_a_run_would_have(self) -> None:
        found = diagnose(Units(), lost_in("24 and 1"), granularities=[2, 5])
        [saved] = found.saved
        assert [(one.m, one.right) for one in saved.tried] == [(1, 0), (2, 0), (5, 20)]

    def test_where_nothing_saves_it_the_task_is_blocked(self) -> None:
        found = diagnose(Units(), lost_in("24 and 1"), granularities=[2, 3])
        assert (found.verdict, found.saved) == ("no", [])
        assert [(one.m, one.rival) for one in found.blocking[0].tried] == [(1, 20), (2, 20), (3, 20)]

    def test_each_step_has_finer_steps_of_its_own(self) -> None:
        found = diagnose(Tens(), lost_in("20 and 10", "30 and 10", "24 and 1"))
        assert ([one.step for one in found.blocking], [one.step for one in found.saved]) == ([2], [3])
        assert found.drawn == 4 + 2 * (5 + 20 + 10 * 20)

    def test_a_step_that_lost_by_chance_is_not_tried_otherwise(self) -> None:
        seen: Counter[str] = Counter()

        def answer(request: Request) -> str:
            text = str(request.messages[0].content)
            seen[text] += 1
            return "99" if text == "20 and 10" and seen[text] <= 6 else str(int(text.split(maxsplit=1)[0]) + 10)

        found = diagnose(Tens(), Scripted(answer))
        assert (found.verdict, found.drawn) == ("yes", 4 + 5 + 20)
        assert [suspect.tried for one in found.types for suspect in one.suspects] == [[Remedy(0, 20, 20, 0, 0)]]

    def test_only_steps_that_are_lost_cost_more(self) -> None:
        plain = diagnose(Tens(), lost_in())
        assert (plain.drawn, plain.verdict) == (4, "yes")
        one = diagnose(Units(), lost_in("24 and 1")).drawn
        assert diagnose(Units(), lost_in("24 and 1"), granularities=[2, 3]).drawn == one + 2 * 20
        assert diagnose(Units(), lost_in(), granularities=[2, 3]).drawn == 40

    def test_token_limits_grow_with_the_steps(self) -> None:
        spec = "sim:error=0,output_tokens=600,length_spread=0,hard=1,repeats=1"
        found = diagnose(TowersOfHanoi(3), spec, granularities=[2], samples=2, looks=8)
        assert [one.flagged for one in found.blocking[0].tried if one.m == 2] != [8] * 6

    def test_what_cannot_be_split_there_is_said(self) -> None:
        class Some(Tens):
            def split(self, state: Any) -> Units:
                raise RedFlag("whole", "no parts") if state == 20 else AssertionError

        found = diagnose(Some(), lost_in("20 and 10"))
        assert (found.verdict, [one.m for one in found.blocking[0].tried]) == ("no", [1])
        assert "step 2 was not tried in sub-steps: RedFlag: whole: no parts" in found.notes

    @pytest.mark.parametrize(
        ("wrong", "note"),
        [
            ("join", "ValueError: join makes {'action': 'add', 'next_state': 21} of the right votes, and the oracle"),
            ("raises", "KeyError: 'join'"),
            ("prompt", "KeyError: 'prompt'"),
            ("none", "TypeError: prompt of units is no list of messages: None"),
            ("split", "TypeError: split(state) must return a Task, got: None"),
        ],
    )
    def test_finer_steps_that_do_not_make_the_step_clear_nothing(self, wrong: str, note: str) -> None:
        """Each of them is right every time, and what is wrong is how they are asked or joined."""

        missing: dict[str, Any] = {}

        class Mute(Units):
            def prompt(self, state: Any) -> Any:
                if state == 24:
                    return missing["prompt"] if wrong == "prompt" else None
                return super().prompt(state)

        class Wrong(Tens):
            def split(self, state: Any) -> Any:
                return Mute(state, state + 10) if wrong in {"prompt", "none"} else super().split(state)

            def join(self, state: Any, votes: Sequence[Vote]) -> Any:
                if wrong == "join":
                    return {"action": "add", "next_state": votes[0]["next_state"]}
                return missing["join"] if wrong == "raises" else super().join(state, votes)

        if wrong == "split":
            Wrong.split = lambda *_: None  # type: ignore[method-assign]
        found = diagnose(Wrong(), lost_in("20 and 10"))
        assert (found.verdict, found.saved, [one.m for one in found.blocking[0].tried]) == ("no", [], [1])
        assert found.drawn == 4 + 5 + 20, "nothing is asked that says nothing"
        assert any(f"step 2 was not tried in sub-steps: {note}" in one for one in found.notes)

    def test_the_same_call_buys_none_of_it_again(self) -> None:
        store, model = InMemoryStore(), lost_in("20 and 10")
        options: Any = {"store": store, "run_id": "d", "granularities": [2]}
        first = diagnose(Tens(), model, **options)
        drawn = model.drawn
        assert drawn == first.drawn > 10 * 20
        assert asdict(diagnose(Tens(), model, **options)) == asdict(first)
        assert model.drawn == drawn

    def test_a_budget_is_shared_by_them(self) -> None:
        usage: Any = {"input_tokens": 1, "output_tokens": 0, "total_tokens": 1}
        model = lost_in("20 and 10")
        paid = Scripted(lambda request: AIMessage(str(model.answers(request)), usage_metadata=usage))
        found = diagnose(Tens(), paid, max_cost=60, price=Price(1e6, 0.0))
        assert (found.verdict, found.complete) == ("unclear", False)
        assert found.spent is not None
        assert found.spent <= 60
        assert found.saved == [], "what was not drawn saves nothing"

    @pytest.mark.parametrize("after", range(0, 60, 6))
    def test_what_was_not_tried_is_held_against_no_step(self, after: int) -> None:
        """Stopped after so many samples."""
        model = lost_in("10 and 1", "20 and 10", "24 and 1")
        found = diagnose(Tens(), model, stop=lambda: model.drawn > after, max_concurrency=6)
        assert (found.verdict, found.blocking, found.complete) == ("unclear", [], False)

    @pytest.mark.parametrize("bad", [0, -1, True, 1.5])
    def test_a_granularity_is_a_number_of_steps(self, bad: Any) -> None:
        with pytest.raises(ValueError, match="steps per subtask are a whole number of at least 1"):
            diagnose(Units(), lost_in(), granularities=[bad])

    def test_a_task_that_cannot_be_grouped_is_refused_before_anything_is_asked(self) -> None:
        with pytest.raises(ValueError, match="only a task whose prompt shows the whole state can be grouped"):
            diagnose(SORTING, lost_in(), granularities=[2])
        with pytest.raises(ValueError, match="is grouped already: diagnose units"):
            diagnose(Grouped(Units(), 2), lost_in(), granularities=[2])

    def test_a_group_is_tried_step_by_step(self) -> None:
        found = diagnose(Grouped(Units(), 5), lost_in("20 and 1"))
        assert found.verdict == "no"
        assert [(one.m, one.part, one.right) for one in found.blocking[0].tried] == [(1, 0, 0), (FINER, 0, 0)]


class TestCommandLineOfGranularities:
    def invoke(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, model: Scripted, *arguments: str, task: Any = None
    ) -> Result:
        monkeypatch.setattr("langgraph_maker.cli.diagnose.load_model", lambda *_: model)
        monkeypatch.setattr("langgraph_maker.cli.diagnose.load_task", lambda *_: task or Units())
        return CliRunner().invoke(app, ["diagnose", "hanoi", *arguments, "--db", str(tmp_path / "db.sqlite")])

    def test_it_names_what_saves_a_step_and_how(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        model = lost_in("25 and 1", "10 and 1", "8 and 1")
        result = self.invoke(monkeypatch, tmp_path, model, "--steps-per-subtask", "1,2", "--steps-per-subtask", "3")
        said = " ".join(result.stdout.split())
        assert result.exit_code == 3
        assert "not as it stands, but each step that blocks it is got past at another granularity" in said
        assert (
            "Step 25 (step) blocks as it is, and is saved by 2 steps in one response, best in way 0: 20 right, 0 alike"
            " and wrong, 0 flagged of 20; 3 steps in one response, best in way 0: 20 right" in said
        )
        assert "as it is, way 0: 0 right, 20 alike and wrong, 0 flagged of 20" in said
        assert "2 steps in one response get past 1 of 3: --steps-per-subtask of a run" in said
        assert "3 steps in one response get past 3 of 3" in said

    def test_of_the_ways_to_ask_it_names_the_best(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        class TwoWays(Units):
            variants = 2

            def prompt(self, state: Any, variant: int = 0) -> list[BaseMessage]:
                return [HumanMessage(f"{state} and 1{' !' * variant}")]

        lost, other = lost_in("25 and 1", "24 and 1"), lost_in("25 and 1")
        for best, marked in enumerate(("1\n", "!\n")):  # how the first line of that way ends

            def answer(request: Request, marked: str = marked) -> Any:
                better = request.number % 5 == 0 and marked in str(request.messages[0].content)
                return (other if better else lost).answers(request)

            model = Scripted(answer)
            options = "--steps-per-subtask", "2", "--run-id", str(best)
            said = " ".join(self.invoke(monkeypatch, tmp_path, model, *options, task=TwoWays()).stdout.split())
            assert f"2 steps in one response, best in way {best}: 4 right, 16 alike and wrong" in said

    def test_finer_steps_are_to_be_the_tasks_own(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        """Nothing escalates to `Split` where a wrong answer wins."""
        model = lost_in("20 and 10")
        said = " ".join(self.invoke(monkeypatch, tmp_path, model, task=Tens()).stdout.split())
        assert "saved by sub-steps, best in way 0, the worst of them number 0: 20 right" in said
        assert "Sub-steps get past 1 of 1: as steps of the task itself" in said
        run = solve(Tens(), lost_in("20 and 10"), ladder=[Tier(), Split()])
        assert (run.status, run.final_state) == ("unresolved", 109)

    def test_or_that_none_does(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        result = self.invoke(monkeypatch, tmp_path, lost_in("24 and 1"), "--steps-per-subtask", "2,3")
        said = " ".join(result.stdout.split())
        assert result.exit_code == 3
        assert "Of no use to them: 2 steps in one response, 3 steps in one response." in said
        assert "3 steps in one response, best in way 0: 0 right, 20 alike and wrong, 0 flagged of 20" in said

    @pytest.mark.parametrize("bad", ["2,x", "", "0"])
    def test_bad_input(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, bad: str) -> None:
        result = self.invoke(monkeypatch, tmp_path, lost_in(), "--steps-per-subtask", bad)
        assert (result.exit_code, "whole number" in result.stderr) == (2, True)
