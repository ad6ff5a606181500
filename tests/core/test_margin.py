"""A k of each step's own, and a k that a calibration chose: what is kept of it, what a resumed run may do."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Sequence
from typing import Any

import pytest
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.messages.ai import UsageMetadata
from langgraph.store.memory import InMemoryStore
from scripted import Counting, Scripted, right

from langgraph_maker import Progress, Run, Vote, asolve, create_maker, journal, solve
from langgraph_maker.core.errors import CalibrationError, JournalError
from langgraph_maker.core.state import Request
from langgraph_maker.core.task import State
from langgraph_maker.journal import records
from langgraph_maker.models.prices import Price
from langgraph_maker.tasks import TowersOfHanoi

CALIBRATING = 1 << 40  # from this number on samples are those of calibrations


class Known(Counting):
    """Counting whose truth is computable."""

    def oracle(self, state: State) -> Vote:
        return {"action": "add", "next_state": state + 1}

    def read_state(self, messages: Sequence[BaseMessage]) -> State:
        return int(messages[0].text)


def wrong_first(request: Request) -> str:
    """The first vote of each ballot is wrong."""
    return right(request) if request.number else "99"


def of_the_run(model: Scripted) -> int:
    return sum(request.number < CALIBRATING for batch in model.batches for request in batch)


def margins(store: InMemoryStore, run_id: str) -> list[int]:
    return [entry["margin"] for entry in journal.read(store, run_id)]


# a function of the step


@pytest.mark.parametrize("hedge", [0, 2])
def test_each_step_is_decided_by_its_own_margin(hedge: int) -> None:
    store = InMemoryStore()
    model = Scripted(wrong_first)
    run = solve(Counting(6), model, k=lambda step: step + 2, store=store, run_id="a", hedge=hedge)
    assert (run.status, run.steps) == ("solved", 6)
    assert margins(store, "a") == [2, 3, 4, 5, 6, 7]
    if not hedge:
        assert [entry["votes"] for entry in journal.read(store, "a")] == [k + 2 for k in range(2, 8)]
    assert journal.header(store, "a")["k"] == "by step"
    assert journal.verify(store, "a") == []


def test_lanes_take_the_margins_of_their_steps() -> None:
    store = InMemoryStore()
    solve(TowersOfHanoi(6), "sim:error=0.1", k=lambda step: 3 + step % 3, lanes=8, store=store, run_id="a")
    assert margins(store, "a") == [3 + step % 3 for step in range(63)]


def test_a_constant_function_is_a_constant() -> None:
    number = solve(TowersOfHanoi(6), "sim:error=0.2", k=4)
    function = solve(TowersOfHanoi(6), "sim:error=0.2", k=lambda _: 4)
    assert number.digest == function.digest
    assert number.undecided_after == function.undecided_after


def test_a_run_goes_on_with_another_function_that_asks_no_more_of_what_is_done() -> None:
    store = InMemoryStore()
    part = solve(Counting(8), Scripted(right), k=lambda _: 2, store=store, run_id="a", max_total_samples=6)
    assert (part.status, part.steps) == ("stopped", 3)
    with pytest.raises(
        JournalError, match="step 1 of run 'a' was decided by a margin of 2, and k now asks for 3 there"
    ):
        solve(Counting(8), Scripted(right), k=lambda step: 3 if step == 1 else 2, store=store, run_id="a")
    done = solve(Counting(8), Scripted(right), k=lambda step: 1 if step < 3 else 5, store=store, run_id="a")
    assert done.status == "solved"
    assert margins(store, "a") == [2, 2, 2, 5, 5, 5, 5, 5]
    others: list[tuple[Any, str]] = [
        (2, "was started with k 'by step', not 2"),
        (lambda _: 3, "a margin of 2, and k now asks for 3"),
    ]
    for other, why in others:
        with pytest.raises(JournalError, match=why):
            solve(Counting(8), Scripted(right), k=other, store=store, run_id="a")


def test_an_open_ballot_that_leads_by_more_than_is_now_asked_for_is_decided() -> None:
    store = InMemoryStore()
    part = solve(Counting(2), Scripted(wrong_first), k=lambda _: 6, store=store, run_id="a", max_total_samples=6)
    assert (part.status, part.steps, part.samples) == ("stopped", 0, 6)
    model = Scripted(wrong_first)
    done = solve(Counting(2), model, k=lambda _: 3, store=store, run_id="a")
    assert done.status == "solved"
    assert margins(store, "a") == [4, 3]
    assert model.drawn == 5


@pytest.mark.parametrize("bad", [0, -1, 2.5, True, None, "3", 1001])
def test_a_function_that_gives_no_margin_is_refused_where_it_does(bad: Any) -> None:
    store = InMemoryStore()
    with pytest.raises(ValueError, match="step 3: k"):
        solve(Counting(5), Scripted(right), k=lambda step: bad if step == 3 else 1, store=store, run_id="a")
    assert margins(store, "a") == [1, 1, 1]


def test_samples_that_cannot_hold_a_step_s_margin_are_refused() -> None:
    with pytest.raises(ValueError, match="step 2: max_samples_per_step is a whole number of at least k = 9"):
        solve(Counting(5), Scripted(right), k=lambda step: 9 if step == 2 else 1, max_samples_per_step=5)


def test_verify_finds_a_step_that_was_decided_by_less_than_k() -> None:
    store = InMemoryStore()
    solve(Counting(4), Scripted(right), k=2, store=store, run_id="a")
    store.batch([records.put_header({**journal.header(store, "a"), "k": 3})])
    assert [(problem.step, problem.kind) for problem in journal.verify(store, "a")] == [
        (n, "undercut") for n in range(4)
    ]
    with pytest.raises(JournalError, match="decided by a margin of 2, and k now asks for 3"):
        solve(Counting(4), Scripted(right), k=3, store=store, run_id="a")


# auto


def auto(model: Any, store: InMemoryStore | None = None, **options: Any) -> Run:
    task = options.pop("task", Known(60))
    return solve(task, model, k="auto", store=store, run_id="a", calibration_samples=50, **options)


def test_auto_runs_with_the_k_of_the_average() -> None:
    store = InMemoryStore()
    run = auto(Scripted(right), store)
    assert run.calibration is not None
    k = run.calibration.k_average
    assert k is not None
    assert k < (run.calibration.k_min or 0)
    assert journal.header(store, "a")["k"] == k
    assert run.samples == 60 * k


def test_auto_runs_with_the_k_of_the_lower_bound() -> None:
    store = InMemoryStore()
    run = auto(Scripted(right), store, k_rule="lower bound")
    assert (run.status, run.steps) == ("solved", 60)
    assert run.calibration is not None
    assert run.calibration.samples == 50
    assert run.calibration.k_min is not None
    assert run.calibration.k_min > (run.calibration.k_estimate or 0)
    assert journal.header(store, "a")["k"] == run.calibration.k_min
    assert set(margins(store, "a")) == {run.calibration.k_min}
    assert run.samples == 60 * run.calibration.k_min  # the calibration's own are not among them


def test_a_target_is_reached_by_a_larger_k() -> None:
    lax, strict = (auto("sim:error=0.05", task=TowersOfHanoi(6), target=target) for target in (0.5, 0.9999))
    assert lax.calibration is not None
    assert strict.calibration is not None
    assert (lax.calibration.k_min or 0) < (strict.calibration.k_min or 0)


def test_a_run_that_goes_on_keeps_its_k_and_is_not_calibrated_again() -> None:
    store = InMemoryStore()
    part = auto(Scripted(right), store, max_total_samples=20)
    assert part.status == "stopped"
    rest = Scripted(right)
    done = auto(rest, store)
    assert done.status == "solved"
    assert done.calibration == part.calibration
    assert rest.drawn == of_the_run(rest) == done.samples - part.samples
    with pytest.raises(ValueError, match=r"was calibrated for a target of 0\.95, not 0\.9"):
        auto(rest, store, target=0.9)
    assert done.calibration is not None
    assert done.calibration.k_average is not None
    again = solve(Known(60), Scripted(right), k=done.calibration.k_average, store=store, run_id="a")
    assert again.digest == done.digest


def test_a_deleted_run_takes_its_calibration_along() -> None:
    store = InMemoryStore()
    first = auto(Scripted(right), store)
    solve(Known(5), Scripted(right), store=store, run_id="ab")
    journal.delete(store, "a")
    assert [header["run_id"] for header in journal.runs(store)] == ["ab"]
    assert not store.search(records.calibration("a"))
    again = Scripted(right)
    assert auto(again, store).calibration == first.calibration
    assert again.drawn > of_the_run(again)


def test_a_run_that_was_begun_with_a_k_is_not_calibrated_afterwards() -> None:
    store = InMemoryStore()
    solve(Known(60), Scripted(right), k=2, store=store, run_id="a", max_total_samples=20)
    model = Scripted(right)
    with pytest.raises(JournalError, match="run 'a' was started with k 2, and not by a calibration"):
        auto(model, store)
    assert model.drawn == 0


@pytest.mark.parametrize(
    ("answer", "why"),
    [("0", "wrong more often than right"), ("flag", "all of 50 samples were flagged, most often as asked_for")],
)
def test_where_voting_cannot_help_no_run_begins(answer: str, why: str) -> None:
    store = InMemoryStore()
    model = Scripted(lambda _: answer)
    with pytest.raises(CalibrationError, match=f"the calibration before run 'a' recommends no k for Scripted: .*{why}"):
        auto(model, store)
    assert of_the_run(model) == 0
    assert list(journal.runs(store)) == []


def test_a_k_above_what_a_step_may_draw_is_said_and_a_larger_limit_goes_on() -> None:
    def answer(request: Request) -> str:
        calibrating = request.number >= CALIBRATING
        single = calibrating and request.subtask_id.startswith(("sample", "first"))
        return "0" if single and int(request.messages[0].text) % 10 == 0 else right(request)

    store, model = InMemoryStore(), Scripted(answer)
    with pytest.raises(
        CalibrationError, match="k would be 4, and a step may draw 3 samples: raise max_samples_per_step"
    ):
        solve(Known(100), model, k="auto", max_samples_per_step=3, store=store, run_id="a")
    paid = model.drawn
    run = solve(Known(100), model, k="auto", max_samples_per_step=20, store=store, run_id="a")
    assert run.status == "solved"
    assert model.drawn - paid == of_the_run(model) == run.samples


def test_what_cannot_be_used_is_refused_before_anything_is_paid_for() -> None:
    model = Scripted(right)
    for options, why in (
        ({"hedge": -1}, "hedge"),
        ({"target": 1.5}, "target"),
        ({"max_total_samples": 0}, "max_total"),
    ):
        with pytest.raises(ValueError, match=why):
            auto(model, **options)
    assert model.drawn == 0
    with pytest.raises(ValueError, match="k, the margin"):
        create_maker(Known(5), model, k="auto")  # type: ignore[arg-type]


def counted(request: Request) -> AIMessage:
    usage: UsageMetadata = {"input_tokens": 10, "output_tokens": 10, "total_tokens": 20}
    return AIMessage(right(request), usage_metadata=usage)


def test_a_tenth_of_the_budget_is_for_the_calibration_and_the_run_has_the_rest() -> None:
    cent = Price(500.0, 500.0)  # a sample costs a cent
    run = auto(Scripted(counted), max_cost=3.0, price=cent, k_rule="lower bound")
    assert run.calibration is not None
    assert run.calibration.spent == pytest.approx(0.3, abs=0.011)
    assert run.calibration.interval == "anytime"
    assert run.status == "stopped"
    assert run.usage["cost"] is not None
    assert 2.68 <= run.usage["cost"] <= 2.7 + 0.01 * (run.calibration.k_min or 0)


def test_a_calibration_that_is_stopped_goes_on_and_buys_no_answer_twice() -> None:
    store = InMemoryStore()
    asked: list[bool] = []

    def stop() -> bool:
        asked.append(True)
        return len(asked) > 1

    first, rest, whole = Scripted(right), Scripted(right), Scripted(right)
    run = auto(first, store, stop=stop, max_concurrency=8)
    assert (run.status, run.steps, list(run.actions())) == ("stopped", 0, [])
    assert "stopped while calibrating" in run.reason
    assert 0 < first.drawn < 50
    assert auto(rest, store).status == auto(whole).status == "solved"
    assert first.drawn + rest.drawn == whole.drawn


@pytest.mark.parametrize("goal", [10, 60])
def test_where_the_length_is_not_known_k_grows_with_the_step(goal: int) -> None:
    store = InMemoryStore()
    run = auto(Scripted(right), store, task=Known(None, goal=goal), max_steps=100)
    assert run.status == "solved"
    assert run.calibration is not None
    k = run.calibration.margins()
    assert margins(store, "a") == [k(step) for step in range(goal)]
    assert margins(store, "a")[0] < margins(store, "a")[-1]
    assert journal.header(store, "a")["k"] == "by step"


async def test_the_async_twin() -> None:
    store = InMemoryStore()
    run = await asolve(Known(60), Scripted(right), k="auto", store=store, run_id="a", calibration_samples=50)
    assert run.status == "solved"
    assert run.calibration == auto(Scripted(right)).calibration


def test_progress_says_that_it_calibrates_and_what_came_of_it() -> None:
    seen: list[Progress] = []
    run = auto(Scripted(right), on_progress=seen.append)
    calibrating = [now for now in seen if now.calibrating]
    assert calibrating == seen[: len(calibrating)]
    assert [now.samples for now in calibrating[:-1]] == sorted(now.samples for now in calibrating[:-1])
    assert [now.calibration for now in calibrating[-2:]] == [None, run.calibration]
    assert all(now.calibration is None for now in seen[len(calibrating) :])


def test_a_run_travels_with_its_calibration() -> None:
    run = auto(Scripted(right))
    for copied in (copy.copy(run), pickle.loads(pickle.dumps(run))):  # noqa: S301 - our own
        assert copied == run
        assert copied.calibration == run.calibration
