"""Several steps in one response: the same chain, a vote on all of them, and what that costs (Eqs 10-17)."""

from __future__ import annotations

import json
import random
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import pytest
from langgraph.store.memory import InMemoryStore
from scripted import Counting, Scripted, script
from typer.testing import CliRunner, Result

from langgraph_maker import Ballot, Grouped, RedFlag, calibrate, create_maker, journal, solve, theory
from langgraph_maker.cli import app
from langgraph_maker.core.grouped import headed
from langgraph_maker.core.state import Request
from langgraph_maker.core.task import HasOracle, HasVariants, State, Vote
from langgraph_maker.runs.calibration import Calibration
from langgraph_maker.simulation.chat_model import SimulatedChatModel
from langgraph_maker.tasks import Ledger, Multiplication, Sorting, TowersOfHanoi

SIX = TowersOfHanoi(6)


def actions_of(task: TowersOfHanoi) -> list[Any]:
    state, actions = task.initial_state(), []
    while not task.is_done(state):
        vote = task.oracle(state)
        actions.append(vote["action"])
        state = task.advance(state, vote)
    return actions


@pytest.mark.parametrize("m", [1, 2, 3, 7, 63, 100])
def test_the_same_chain_in_fewer_subtasks(m: int) -> None:
    run = solve(Grouped(SIX, m), "sim:error=0.01,flag=0.01", k=3, red_flags=None)
    assert (run.status, run.steps) == ("solved", -(-63 // m))
    assert [action for each in run.actions() for action in each] == actions_of(SIX)


def test_a_chat_model_is_simulated_alike() -> None:
    task = Grouped(SIX, 2)
    model = SimulatedChatModel(task=task, model="error=0")
    assert task.parse(model.invoke(task.prompt(task.initial_state())).text) == task.oracle(task.initial_state())


def test_the_prompt_is_that_of_the_chain_with_the_number_of_steps() -> None:
    plain, grouped = (task.prompt(SIX.initial_state()) for task in (SIX, Grouped(SIX, 4)))
    assert grouped[0] == plain[0]
    assert grouped[1].text.startswith(plain[1].text)
    assert "4 steps" in grouped[1].text


@pytest.mark.parametrize(
    ("text", "verdict"),
    [
        ("Step 1:\n1\nStep 2:\n2", [1, 2]),
        ("I count.\n**Step 1:** 1\n## step 2: 2", [1, 2]),
        ("Step 1:\n1", [1]),
        ("1", "bad_steps"),
        ("Step 2:\n2", "bad_steps"),
        ("Step 1:\n1\nStep 1:\n1", "bad_steps"),
        ("Step 1:\n1\nStep 2:\n2\nStep 3:\n3", "bad_steps"),
        ("Step 1:\n1\nStep 2:\nflag", "asked_for"),
        ("Step 1:\n1\nStep 2:\n", "malformed"),
        ("Step 1:" * 100_000, "malformed"),
        ("\nStep 1:" * 10_000, "bad_steps"),
    ],
)
def test_each_step_has_its_heading(text: str, verdict: Any) -> None:
    task = Grouped(Counting(5), 2)
    if isinstance(verdict, list):
        assert task.parse(text) == {"action": ["add"] * len(verdict), "next_state": verdict}
    elif verdict == "malformed":
        with pytest.raises(ValueError, match="invalid literal"):
            task.parse(text)
    else:
        with pytest.raises(RedFlag, match=verdict):
            task.parse(text)


def test_too_few_steps_and_too_many_are_flags_and_a_short_end_is_none() -> None:
    task = Grouped(Counting(5), 2)

    def reason(state: int, *answers: str) -> str | None:
        flag = task.validate(state, task.parse(headed(answers)))
        return None if flag is None else flag.reason

    assert reason(2, "3") == "too_few_steps"
    assert reason(2, "3", "4") is None
    assert reason(4, "5") is None
    assert reason(4, "5", "6") == "too_many_steps"


class Named(Counting):
    """Knows its states by a table, and so no other state."""

    def __init__(self, steps: int, bug_at: int = -1) -> None:
        super().__init__(steps)
        self.table = {state: state for state in range(steps + 1) if state != bug_at}

    def advance(self, state: State, vote: Vote) -> State:
        return self.table[vote["next_state"]]


def by_three(request: Request) -> str:
    """Is right but for one answer, whose states are none."""
    state = 98 if request.number == 1 else int(request.messages[0].text.split()[0])
    return headed([str(state + more) for more in (1, 2, 3)])


def test_one_wrong_answer_that_the_chain_fails_on_ends_no_run() -> None:
    run = solve(Named(6), Scripted(by_three), k=3, steps_per_subtask=3)
    assert (run.status, run.final_state, run.samples) == ("solved", 6, 2 * 5)


def test_what_the_chain_raises_as_a_flag_is_one() -> None:
    class Refusing(Named):
        def advance(self, state: State, vote: Vote) -> State:
            if vote["next_state"] not in self.table:
                raise ValueError("no such state")
            return vote["next_state"]

    run = solve(Refusing(6), Scripted(by_three), k=3, steps_per_subtask=3)
    assert (run.status, run.flagged, run.samples) == ("solved", 2, 2 * 4)


def test_a_bug_of_the_chain_surfaces_once_what_was_paid_for_is_kept() -> None:
    store, model = InMemoryStore(), Scripted(by_three)
    with pytest.raises(KeyError):
        solve(Named(6, bug_at=5), model, k=3, steps_per_subtask=3, store=store, run_id="a")
    assert [ballot["samples"] for ballot in journal.open_ballots(store, "a")] == [3], "those of the round before"
    solved = solve(Named(6), model, k=3, steps_per_subtask=3, store=store, run_id="a")
    assert (solved.status, solved.samples) == ("solved", 10)


def test_an_answer_to_one_step_never_counts_for_two() -> None:
    run = solve(Grouped(Counting(4), 2), script("1"), max_samples_per_step=5)
    assert (run.status, run.steps, run.flagged) == ("unresolved", 0, 3)
    assert "bad_steps" in run.reason


def test_what_tells_tasks_apart() -> None:
    assert Grouped(SIX, 2).name != Grouped(SIX, 3).name != SIX.name
    assert Grouped(SIX, 2).parameters() == {"disks": 6, "steps_per_subtask": 2}
    assert isinstance(Grouped(SIX, 2), HasOracle)
    assert not isinstance(Grouped(Counting(5), 2), HasOracle)
    assert Grouped(Counting(None, goal=4), 3).steps is None


@pytest.mark.parametrize("m", [0, -1, True, 1.5])
def test_m_is_a_number_of_steps(m: Any) -> None:
    with pytest.raises(ValueError, match="whole number of at least 1"):
        Grouped(SIX, m)


@pytest.mark.parametrize("task", [Multiplication.random(3), Ledger.random(5)])
def test_a_task_that_shows_one_step_only_cannot_be_grouped(task: Any) -> None:
    with pytest.raises(ValueError, match="only a task whose prompt shows the whole state can be grouped"):
        Grouped(task, 2)


def test_two_numbers_show_all_that_there_is_to_sort() -> None:
    assert Grouped(Sorting([2, 1]), 2).steps == 1
    with pytest.raises(ValueError, match="shows each microagent what its own step needs"):
        Grouped(Sorting([3, 2, 1]), 2)


def test_a_sample_is_right_when_all_its_steps_are() -> None:
    """Eq 10, measured: p of a subtask is p^m. The interval is one of 95 %; the seed is fixed."""
    found: Calibration = calibrate(Grouped(TowersOfHanoi(11), 4), "sim:error=0.05", samples=400, red_flags=None)
    assert found.reference == "oracle"
    assert found.p_low < 0.95**4 < found.p_high


def ballots(p: float, m: int, k: int, count: int) -> list[int]:
    """Votes that ballots take on answers of m steps, each right with probability p, all wrong ones different."""
    chance, taken = random.Random(m), []
    for _ in range(count):
        ballot, votes = Ballot(k), 0
        while ballot.deficit:
            ballot.cast("".join("+-"[chance.random() >= p] for _ in range(m)))
            votes += 1
        taken.append(votes)
    return taken


@pytest.mark.slow
@pytest.mark.parametrize("p", [0.95, 0.9])
@pytest.mark.parametrize("k", [3, 6])
def test_the_cost_law_against_m_on_the_engine(p: float, k: int) -> None:
    """Eq 17: the cost grows with m, as p^-m.

    The engine's samples are those of ballots of such answers (false with a probability of 1 in 1,000). The law leaves
    out what the answers with other slips add, the more the smaller k is: it is a lower bound, here by a third at most.
    """
    disks, measured = 8, []
    for m in (1, 2, 4, 6):
        task = Grouped(TowersOfHanoi(disks), m)
        run = solve(task, f"sim:error={1 - p:.2f},seed=1", k=k, red_flags=None, first_temperature=0.1)
        assert run.status == "solved"
        whole = run.steps - (0 if (2**disks - 1) % m == 0 else 1)  # the last subtask may be shorter
        votes = ballots(p, m, k, 3000)
        spread = stdev(votes) * (1 / whole + 1 / len(votes)) ** 0.5
        entries = run.samples / run.steps
        assert abs(entries - fmean(votes)) < 3.3 * spread
        law = theory.expected_cost(p, k, steps=m, cost_per_sample=1, m=m)
        assert 0.95 < fmean(votes) * m / law < 1.35
        measured.append(fmean(votes))
    assert [round(one, 9) for one in sorted(measured)] == [round(one, 9) for one in measured]


def test_the_command_line_groups_and_lengthens_the_token_limit(tmp_path: Path) -> None:
    def invoke(*arguments: str) -> Result:
        return CliRunner().invoke(app, ["run", *arguments, "--steps-per-subtask", "3", "--db", str(tmp_path / "runs")])

    result = invoke("hanoi", "--disks", "4", "--model", "sim:error=0.01", "--json")
    assert result.exit_code == 0
    run = json.loads(result.stdout)
    assert (run["status"], run["steps"], run["flagged"]) == ("solved", 5, 0)
    refused = invoke("sorting")
    assert refused.exit_code == 2
    assert "only a task whose prompt shows the whole state can be grouped" in refused.stderr


@pytest.mark.parametrize("length", [200, 400])
def test_steps_per_subtask_is_an_option_and_the_default_token_limit_grows_with_it(length: int) -> None:
    """A response to four steps of 400 tokens is beyond the limit of one step."""
    model = f"sim:error=0.01,output_tokens={length},length_spread=0"
    run = solve(SIX, model, steps_per_subtask=4)
    assert (run.status, run.steps) == ("solved", 16)
    assert run.digest == solve(Grouped(SIX, 4), model, red_flags=None).digest
    made = create_maker(SIX, model, steps_per_subtask=4).compile().invoke({})
    assert (made["status"], made["steps"], made["flagged"]) == ("solved", 16, run.flagged)


def test_an_option_of_no_steps_is_refused() -> None:
    with pytest.raises(ValueError, match="steps per subtask"):
        solve(SIX, "sim:", steps_per_subtask=0)


def test_the_chains_variants_and_step_types_are_kept() -> None:
    task = Grouped(SIX, 2)
    assert isinstance(task, HasVariants)
    state = SIX.initial_state()
    assert len({task.prompt(state, one)[0].text for one in range(task.variants)}) == SIX.variants
    assert solve(task, "sim:error=0.01", decorrelate="variants", red_flags=None).status == "solved"
    assert not isinstance(Grouped(Counting(5), 2), HasVariants)
