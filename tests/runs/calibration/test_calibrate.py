"""Calibrations against models whose faults are known, and against what they were asked."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import pytest
from langchain_core.language_models import FakeListChatModel
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.messages.ai import UsageMetadata
from langgraph.store.memory import InMemoryStore
from scripted import Counting, Scripted, right

from langgraph_maker import Calibration, RedFlag, Vote, acalibrate, calibrate, theory
from langgraph_maker.core.errors import SamplingError
from langgraph_maker.core.red_flags import TokenLimit, Truncated
from langgraph_maker.core.state import Request
from langgraph_maker.core.task import Segment, State, Task
from langgraph_maker.models.prices import Price
from langgraph_maker.runs.calibration import known_price
from langgraph_maker.runs.calibration.comparison import compare, sentences
from langgraph_maker.runs.calibration.planning import plan
from langgraph_maker.runs.calibration.step_selection import choose
from langgraph_maker.runs.diagnosis import diagnose
from langgraph_maker.tasks import TowersOfHanoi

MILLION = 2**20 - 1


class Known(Counting):
    """Counting whose truth is computable."""

    def oracle(self, state: State) -> Vote:
        return {"action": "add", "next_state": state + 1}

    def read_state(self, messages: Sequence[BaseMessage]) -> State:
        return int(messages[0].text)


class Lanes(Counting):
    """Counting whose states are known beforehand, but not its answers."""

    def segments(self, lanes: int) -> Sequence[Segment]:
        assert self.steps is not None
        cuts = [lane * self.steps // lanes for lane in range(lanes + 1)]
        return [{"step": step, "end": end, "state": step} for step, end in pairwise(cuts)]


def counted(request: Request) -> AIMessage:
    """Right, with 10 tokens read and 5 written."""
    usage: UsageMetadata = {"input_tokens": 10, "output_tokens": 5, "total_tokens": 15}
    return AIMessage(right(request), usage_metadata=usage)


def step_of(request: Request) -> int:
    return int(request.messages[0].text)


def kind_of(request: Request) -> str:
    return request.subtask_id.split("-")[0]


def wrong_on(steps: set[int], kinds: set[str] | None = None) -> Scripted:
    """Always wrong on these steps, in samples of these kinds; right elsewhere."""

    def answer(request: Request) -> str:
        wrong = step_of(request) in steps and (kinds is None or kind_of(request) in kinds)
        return "0" if wrong else right(request)

    return Scripted(answer)


# what is asked


def test_single_samples_on_distinct_steps_at_the_run_s_temperatures() -> None:
    model = Scripted(right)
    calibrate(Known(500), model, samples=200, pairs=0.25, firsts=0.1, temperature=0.7, first_temperature=0.3)
    asked = [request for batch in model.batches for request in batch]
    by_kind = {kind: [one for one in asked if kind_of(one) == kind] for kind in ("sample", "pair", "first")}
    assert {kind: len(requests) for kind, requests in by_kind.items()} == {"sample": 200, "pair": 50, "first": 20}
    for kind, temperature in (("sample", 0.7), ("pair", 0.7), ("first", 0.3)):
        assert {request.temperature for request in by_kind[kind]} == {temperature}
        steps = [step_of(request) for request in by_kind[kind]]
        assert len(set(steps)) == len(steps)
        assert min(steps) < 100  # of the whole task
        assert max(steps) > 400
    assert len({(one.messages[0].text, one.number) for one in asked}) == len(asked)


def test_the_temperature_of_the_first_vote_is_not_sampled_where_it_is_that_of_all() -> None:
    found = calibrate(Known(100), Scripted(right), first_temperature=0.1)
    assert found.p_first is None
    assert found.p_first_low is None


@pytest.mark.parametrize("task", [Known(3000), Known(None, goal=3000), TowersOfHanoi(12), Lanes(3000)])
def test_every_step_is_as_likely_to_be_chosen(task: Task) -> None:
    chosen = Counter(step * 3 // 3000 for seed in range(60) for step in choose(task, 50, seed=seed).steps or ())
    total = sum(chosen[third] for third in range(3))
    assert all(abs(chosen[third] - total / 3) < 4 * (total * 2 / 9) ** 0.5 for third in range(3))


@pytest.mark.parametrize("task", [TowersOfHanoi(14), Known(1000)])
def test_chosen_states_are_those_of_their_steps(task: Any) -> None:
    chosen = choose(task, 40, seed=3)
    assert chosen.steps is not None
    wanted = dict(zip(chosen.steps, chosen.states, strict=True))
    state = task.initial_state()
    for step in range(max(wanted) + 1):
        if step in wanted:
            assert wanted.pop(step) == state
        state = task.advance(state, task.oracle(state))
    assert not wanted


def test_lanes_of_a_long_task_without_an_oracle_are_sampled_where_they_start() -> None:
    chosen = choose(Lanes(10**9), 20, seed=1)
    assert chosen.steps == chosen.states
    assert len(set(chosen.states)) == 20
    assert "where lanes start" in chosen.note


# what is concluded


@pytest.mark.slow
@pytest.mark.parametrize("early", [False, True])
def test_intervals_hold_the_truth_of_a_simulated_model(early: bool) -> None:
    found = [
        calibrate(
            TowersOfHanoi(9),
            "sim:error=0.1,flag=0.2",
            samples=100,
            firsts=0,
            seed=seed,
            early=early,
            steps=2,
            target=0.6,
        )
        for seed in range(80)
    ]
    misses = sum(not one.p_low <= 0.9 <= one.p_high for one in found)
    misses_v = sum(not one.valid_low <= 0.8 <= one.valid_high for one in found)
    assert max(misses, misses_v) <= 11  # of 80 at 5 %: exceeded with probability 0.001
    assert len({one.right for one in found}) > 5
    assert {one.interval for one in found} == {"anytime" if early else "exact"}
    assert (sum(one.samples for one in found) < 80 * 100) == early


def test_k_and_costs_follow_the_laws_from_what_was_measured() -> None:
    found = calibrate(TowersOfHanoi(10), "sim:haiku-4.5", steps=MILLION, samples=600)
    assert found.p is not None
    assert found.valid_rate is not None
    assert found.p_first_low is not None
    assert found.k_min is not None
    assert found.cost_per_sample is not None
    assert found.expected_samples is not None
    assert found.cost_per_sample == pytest.approx((600 * 1.0 + found.tokens * 5.0) / 1e6)
    lowest = min(found.p_low, found.p_first_low)
    assert found.k_min == theory.k_min(found.p_low, MILLION, 0.95, p_first=lowest)
    assert found.p_full == theory.p_full(found.p_low, found.k_min, MILLION, p_first=lowest)
    assert found.p_full >= 0.95
    assert found.p_first is not None
    own = found.valid_rate * found.p_first + (1 - found.valid_rate) * found.p
    assert found.expected_samples == pytest.approx(
        MILLION * theory.expected_votes(found.p, found.k_min, p_first=own) / found.valid_rate
    )
    assert found.expected_cost == pytest.approx(found.expected_samples * found.cost_per_sample)


PAPER = {"gpt-4.1-nano": (0.3571, 29, 842), "gpt-4.1-mini": (0.0022, 3, 538), "haiku-4.5": (0.1839, 12, 588)}


@pytest.mark.parametrize("model", PAPER)
def test_simulated_models_agree_with_the_paper_within_their_intervals(model: str) -> None:
    error, k, tokens = PAPER[model]
    found = calibrate(TowersOfHanoi(10), f"sim:{model}", steps=MILLION, red_flags=TokenLimit(2048) | Truncated())
    assert 1 - found.p_high <= error <= 1 - found.p_low
    assert found.k_min is not None
    assert theory.k_min(found.p_high, MILLION) <= k <= found.k_min
    assert found.tokens == pytest.approx(tokens, rel=0.03)
    assert any("simulated" in note for note in found.notes)


def test_the_first_vote_counts_against_k_and_never_for_it() -> None:
    steps = set(range(0, 1000, 10))
    worse = calibrate(Known(1000), wrong_on(steps, {"first"}), steps=MILLION)
    better = calibrate(Known(1000), wrong_on(steps, {"sample", "pair"}), steps=MILLION)
    alike = calibrate(Known(1000), wrong_on(steps), steps=MILLION, firsts=0)
    assert worse.p_first is not None
    assert worse.p_first < 1
    assert worse.p == 1
    assert worse.k_estimate == theory.k_min(1, MILLION, p_first=worse.p_first) == 2
    assert better.k_estimate == alike.k_estimate == theory.k_min(0.9, MILLION)


def test_flagged_samples_are_no_votes_and_those_that_were_right_are_counted_by_reason() -> None:
    def answer(request: Request) -> AIMessage | str:
        step = step_of(request)
        long = {"input_tokens": 10, "output_tokens": 900, "total_tokens": 910}
        if step % 10 == 0:
            return AIMessage(right(request) if step % 20 else "0", usage_metadata=long)
        return "flag" if step % 10 == 1 else right(request)

    def lenient(text: str) -> Vote:
        if text == "flag":
            raise RedFlag("nothing_there")
        return {"action": "add", "next_state": int(text)}

    found = calibrate(Known(400), Scripted(answer), samples=400, lenient=lenient)
    assert (found.samples, found.valid, found.right) == (400, 320, 320)
    assert found.valid_rate == 0.8
    assert (found.false_flags["token_limit"].flagged, found.false_flags["token_limit"].right) == (40, 20)
    assert (found.false_flags["asked_for"].flagged, found.false_flags["asked_for"].right) == (40, 0)
    assert found.false_flags["token_limit"].low < 0.5 < found.false_flags["token_limit"].high


def test_a_repairing_parser_shows_what_strict_parsing_costs() -> None:
    task, repairing = TowersOfHanoi(8), TowersOfHanoi(8, repairing=True)
    strict = calibrate(task, "sim:flag=0.3", samples=200)
    repaired = calibrate(task, "sim:flag=0.3", samples=200, lenient=repairing.parse)
    assert strict.false_flags["bad_state"].right == 0
    assert repaired.false_flags["bad_state"].right == repaired.false_flags["bad_state"].flagged > 20


def test_steps_that_fail_together_are_listed_and_raise_the_alarm() -> None:
    hard = set(range(0, 400, 20))
    found = calibrate(Known(400), wrong_on(hard), samples=400, pairs=1)
    assert found.collisions == found.independence.alike == 20
    assert found.independence.steps == sorted(hard)
    assert found.independence.expected == pytest.approx(40 * 39 / (2 * 799))
    assert found.independence.p_value < 1e-6
    assert found.warning == found.notes[0]
    assert found.warning.startswith("ERRORS CLUSTER BY STEP (p-value 0.000): K AND P_FULL DO NOT HOLD")
    assert found.problem == ""
    assert plan(found).notes[0] == found.warning
    independent = calibrate(TowersOfHanoi(10), "sim:error=0.1", samples=400, pairs=1)
    assert independent.warning == ""
    assert not any("CLUSTER" in note for note in independent.notes)
    assert independent.independence.p_value > 0.05


def test_steps_that_no_k_can_save_are_bounded() -> None:
    none = calibrate(Known(1000), Scripted(right), steps=10**6)
    assert any("takes the steps sampled to be like those of the whole task" in note for note in none.notes)
    assert none.unsalvageable == 0
    assert none.unsalvageable_high == pytest.approx(3 / 1000 / 0.45 * 10**6, rel=0.01)
    five = set(range(0, 1000, 200))
    hopeless = calibrate(Known(1000), wrong_on(five), steps=10**6)
    assert hopeless.unsalvageable == 5
    assert hopeless.unsalvageable_high == pytest.approx(
        10_480 / 0.45, rel=0.01
    )  # Poisson: 10.51 at most when 5 were seen
    saved = calibrate(Known(1000), wrong_on(five, {"sample"}), steps=10**6)
    assert saved.p == hopeless.p == 0.995
    assert saved.unsalvageable == 0


def test_steps_on_which_every_answer_is_flagged_are_beyond_saving() -> None:
    bad = set(range(0, 1000, 20))
    always = Scripted(lambda request: "flag" if step_of(request) in bad else right(request))
    found = calibrate(Known(1000), always)
    assert (found.valid, found.right, found.unsalvageable) == (950, 950, 50)
    assert found.unsalvageable_high is not None
    assert 50 < found.unsalvageable_high * 0.45 < 66
    assert "50 seen in 1,000" in " ".join(sentences(found))
    once = Scripted(lambda one: "flag" if step_of(one) in bad and kind_of(one) == "sample" else right(one))
    assert calibrate(Known(1000), once).unsalvageable == 0


def test_of_many_flagged_steps_a_part_is_voted_on_and_the_bound_says_so() -> None:
    """600 of 1,000 steps are flagged at first, 30 of them always: the bound lies above, and not at all the rest."""
    flagged, bad = set(range(600)), set(range(0, 600, 20))

    def answer(request: Request) -> str:
        flags = bad if kind_of(request) == "again" else flagged
        return "flag" if step_of(request) in flags else right(request)

    found = calibrate(Known(1000), Scripted(answer), pairs=0, firsts=0)
    assert found.unsalvageable_high is not None
    assert 30 < found.unsalvageable_high * 0.45 < 90
    assert any("of 600 steps that went wrong or were flagged 200 were looked at again" in note for note in found.notes)


def test_margins_for_a_run() -> None:
    found = calibrate(Known(400), wrong_on({7}), samples=400)
    own = found.p_first_low
    assert found.margin() == found.k_min
    assert found.margin(steps=MILLION, target=0.99) == theory.k_min(found.p_low, MILLION, 0.99, p_first=own)
    by_step = found.margins(target=0.9)
    assert by_step(10**6) == theory.k_at_step(found.p_low, 10**6, 0.9, p_first=own) > by_step(0)


def test_a_calibration_survives_json() -> None:
    for model in ("sim:gpt-4.1-mini", "sim:flag=1", "sim:error=0.2"):
        found = calibrate(TowersOfHanoi(6), model)
        assert Calibration.from_json(found.to_json()) == found
    for text in ("{}", "[]", "nonsense", '{"independence": {}}'):
        with pytest.raises(ValueError, match="this is no calibration"):
            Calibration.from_json(text)


# without an oracle


def test_without_an_oracle_a_pilot_run_gives_states_and_votes_give_the_truth() -> None:
    model = wrong_on({3, 50}, {"sample"})
    found = calibrate(Counting(60), model, samples=60)
    assert (found.reference, found.samples, found.right) == ("vote", 60, 58)
    assert any("no oracle" in note for note in found.notes)
    longer = calibrate(Counting(1000), model, samples=60)
    assert any("only the first 60 steps were sampled" in note for note in longer.notes)


def test_samples_are_scored_against_fresh_votes_and_not_against_themselves() -> None:
    model = Scripted(right)
    calibrate(Lanes(100), model, samples=100, reference_k=4)
    kinds = Counter(kind_of(request) for batch in model.batches for request in batch)
    assert kinds["sample"] == 100
    assert kinds["vote"] == 400


def test_a_step_whose_vote_does_not_settle_counts_as_wrong() -> None:
    def answer(request: Request) -> str:
        return str(request.number % 2 + 100) if step_of(request) == 5 else right(request)

    found = calibrate(Lanes(40), Scripted(answer))
    assert (found.right, found.unsalvageable) == (39, 1)
    pilot = calibrate(Counting(40), Scripted(answer))
    assert (pilot.samples, pilot.right) == (6, 5)
    assert any("ended at step 5, whose vote does not converge" in note for note in pilot.notes)


def test_votes_that_never_settle_leave_nothing_to_recommend() -> None:
    found = calibrate(Lanes(40), Scripted(lambda request: str(request.number % 2)))
    assert found.p == 0
    assert found.k_min is None
    with pytest.raises(ValueError, match="no k can be recommended"):
        found.margin()


# continuing, ending, failing


def test_answers_are_kept_and_none_is_bought_twice() -> None:
    store, whole = InMemoryStore(), Scripted(right)
    calls: list[bool] = []

    def stop() -> bool:
        calls.append(True)
        return len(calls) > 3

    model = Scripted(right)
    part = calibrate(Known(500), model, samples=300, store=store, run_id="a", stop=stop, max_concurrency=32)
    assert part.drawn == model.drawn == 80
    assert 0 < part.samples < 80
    assert part.interval == "anytime"
    assert any("it was stopped" in note for note in part.notes)
    rest = Scripted(right)
    full = calibrate(Known(500), rest, samples=300, store=store, run_id="a", max_concurrency=32)
    again = calibrate(Known(500), Scripted(lambda _: SamplingError("asked")), samples=300, store=store, run_id="a")
    undisturbed = calibrate(Known(500), whole, samples=300, run_id="a")
    assert model.drawn + rest.drawn == whole.drawn
    assert full == again == undisturbed
    with pytest.raises(ValueError, match="'a' holds another calibration"):
        calibrate(Known(500), whole, samples=301, store=store, run_id="a")


def test_a_budget_is_kept_and_widens_the_interval() -> None:
    price = Price(1000.0, 1000.0)
    model = Scripted(counted)
    whole = calibrate(Known(500), model, samples=400, price=price)
    assert whole.spent is not None
    assert whole.spent == pytest.approx(model.drawn * 0.015)
    part = calibrate(Known(500), model, samples=400, price=price, max_cost=whole.spent / 3)
    assert part.spent is not None
    assert whole.spent / 3 * 0.8 < part.spent <= whole.spent / 3 * 1.02
    assert any("budget" in note for note in part.notes)
    enough = calibrate(Known(500), model, samples=400, price=price, max_cost=10 * whole.spent)
    assert enough.samples == whole.samples
    assert enough.interval == "anytime"
    assert enough.p_low < whole.p_low


def test_a_pilot_run_leaves_half_of_the_budget_for_the_samples() -> None:
    model = Scripted(counted)
    found = calibrate(Counting(1000), model, price=Price(1000.0, 1000.0), max_cost=3.0)
    kinds = Counter(kind_of(request) for batch in model.batches for request in batch)
    assert kinds["vote"] == 100  # of 0.015 dollars each
    assert found.samples == found.valid == 20
    assert found.spent == pytest.approx(model.drawn * 0.015)
    assert "the pilot run ended at step 20: 50% of its budget of $3 is spent" in found.notes


def test_it_ends_early_once_the_interval_has_one_k() -> None:
    found = calibrate(TowersOfHanoi(10), "sim:error=0.3", samples=1000, early=True)
    assert found.samples == 1000  # no interval as short as it takes is in sight
    settled = calibrate(Known(4000), Scripted(right), samples=4000, early=True, steps=5, target=0.6)
    assert settled.samples < 400
    hopeless = calibrate(Known(4000), wrong_on(set(range(4000))), samples=4000, early=True)
    assert hopeless.samples <= 64


def test_failed_calls_are_neither_votes_nor_flags() -> None:
    failed: set[Any] = set()

    def once(request: Request) -> str | Exception:
        if request.number % 3 == 0 and (request.subtask_id, request.number) not in failed:
            failed.add((request.subtask_id, request.number))
            return TimeoutError("slow")
        return right(request)

    found = calibrate(Known(100), Scripted(once))
    assert (found.valid, found.right, found.false_flags) == (100, 100, {})
    with pytest.raises(SamplingError, match="a model call failed once, the last time with OSError: down"):
        calibrate(Known(100), Scripted(lambda _: OSError("down")), outage_limit=0)


def test_answers_that_were_judged_by_other_rules_are_not_taken_over() -> None:
    def rule(_: AIMessage) -> None:
        return None

    store = InMemoryStore()
    red_flags = TokenLimit(750) | Truncated() | rule
    first = calibrate(Known(50), Scripted(right), red_flags=red_flags, store=store, run_id="a")
    asked = Scripted(right)
    assert calibrate(Known(50), asked, red_flags=red_flags, store=store, run_id="a") == first
    for other in ({"red_flags": TokenLimit(750)}, {"red_flags": red_flags, "lenient": int}):
        with pytest.raises(ValueError, match="holds another calibration.*give another run_id"):
            calibrate(Known(50), asked, store=store, run_id="a", **other)
    assert asked.drawn == 0


def test_a_price_that_is_given_later_counts() -> None:
    store, whole = InMemoryStore(), Scripted(counted)
    unpriced = calibrate(Known(50), whole, store=store, run_id="a")
    assert unpriced.spent is None
    for price in (Price(1.0, 2.0), Price(10.0, 20.0)):
        found = calibrate(Known(50), Scripted(right), store=store, run_id="a", price=price)
        assert found.spent == pytest.approx(whole.drawn * (10 * price.input + 5 * price.output) / 1e6)
        assert found.cost_per_sample == pytest.approx((10 * price.input + 5 * price.output) / 1e6)


async def test_the_async_twin() -> None:
    found = await acalibrate(Known(100), Scripted(right), run_id="a")
    assert found == await asyncio.to_thread(calibrate, Known(100), Scripted(right), run_id="a")


# bad input


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"samples": 0}, "samples is a whole number of at least 1, not 0"),
        ({"samples": 2.5}, "samples is a whole number of at least 1, not 2.5"),
        ({"max_concurrency": 0}, "max_concurrency is a whole number of at least 1"),
        ({"pairs": 1.5}, "pairs is a share of the steps, from 0 to 1, not 1.5"),
        ({"firsts": -1}, "firsts is a share of the steps"),
        ({"target": 1.0}, "target is above 0 and below 1"),
        ({"steps": -3}, "steps is a whole number of at least 1"),
        ({"max_cost": 1.0}, "max_cost needs to know what Scripted costs"),
        ({"max_cost": -1.0, "price": Price(1.0, 1.0)}, "max_cost is a number of dollars"),
        ({"temperature": -1.0}, "temperature is a number of at least 0"),
        ({"reference_k": 0}, "k, the margin"),
        ({"run_id": ""}, "a run id is a text"),
        ({"seed": "a"}, "seed is a whole number of at least 0, not 'a'"),
        ({"max_steps": 0}, "max_steps is a whole number of at least 1, not 0"),
    ],
)
def test_what_cannot_be_used_is_refused_before_anything_is_drawn(options: dict[str, Any], message: str) -> None:
    model = Scripted(right)
    with pytest.raises(ValueError, match=message):
        calibrate(Known(100), model, **options)
    assert model.drawn == 0


@pytest.mark.parametrize(
    "measure", [calibrate, diagnose, lambda task, model, **options: compare(task, [model], **options)]
)
@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"task": "hanoi"}, "task is a Task, .* not 'hanoi'; names are for the command line"),
        ({"task": Known}, "task is the class Known: give a task of it"),
        ({"model": 5}, "a model is a chat model, .* not 5"),
        ({"model": FakeListChatModel}, "model is the class FakeListChatModel"),
        ({"red_flags": 5}, r"give TokenLimit\(5\), if that is the limit you mean"),
        ({"store": "x.sqlite"}, "store is no path, but an open BaseStore: with SqliteStore"),
        ({"stop": 5}, "stop is a function"),
        ({"on_progress": 5}, "on_progress is a function"),
        ({"price": (1, 2)}, r"price is a Price, such as Price\(input=0.4, output=1.6\), not \(1, 2\)"),
        ({"Seed": 5}, "takes no Seed: did you mean seed?"),
    ],
)
def test_what_is_no_such_thing_is_refused_before_anything_is_drawn(measure: Any, given: Any, message: str) -> None:
    model = Scripted(right)
    with pytest.raises(TypeError, match=message):
        measure(**{"task": Known(100), "model": model} | given)
    assert model.drawn == 0


def test_a_second_model_that_is_none_is_refused_before_the_first_is_asked() -> None:
    model = Scripted(right)
    with pytest.raises(ValueError, match="unknown model 'gpt-5'"):
        compare(Known(100), [model, "gpt-5"])
    assert model.drawn == 0


def test_a_task_that_is_done_at_its_start_is_refused() -> None:
    with pytest.raises(ValueError, match="is done at its start"):
        calibrate(Known(5, goal=0), Scripted(right))


def test_fewer_steps_than_samples() -> None:
    found = calibrate(Known(7), Scripted(right))
    assert found.samples == 7
    assert found.p_low == pytest.approx(0.025 ** (1 / 7))
    assert "the task has 7 steps: as many samples, one a step" in found.notes


def always(text: str) -> Callable[[Request], str]:
    return lambda _: text


def test_a_model_that_is_always_flagged() -> None:
    found = calibrate(Known(100), Scripted(always("flag")), price=Price(1.0, 1.0))
    assert (found.valid_rate, found.p, found.p_low, found.p_high, found.k_min) == (0, None, 0, 1, None)
    assert found.problem.startswith("all of 100 samples were flagged, most often as asked_for")


def test_a_model_that_is_always_wrong() -> None:
    found = calibrate(Known(100), Scripted(always("0")))
    assert found.p == 0
    assert found.p_high < 0.05
    assert found.k_min is found.k_estimate is found.expected_samples is None
    assert "wrong more often than right" in found.problem
    with pytest.raises(ValueError, match="wrong more often than right"):
        found.margins()


def test_a_model_that_is_always_right_is_not_taken_to_be_perfect() -> None:
    found = calibrate(Known(1000), Scripted(right), steps=MILLION)
    assert found.p == found.p_high == 1
    assert found.p_low == pytest.approx(1 - 3.69 / 1000, abs=1e-4)
    assert found.k_min is not None
    assert found.k_min > 2
    assert found.p_full is not None
    assert 0.95 <= found.p_full < 1


def test_a_k_that_no_ballot_takes_is_no_recommendation() -> None:
    found = calibrate(Known(114), wrong_on(set(range(46))))
    assert 0.5 < found.p_low < 0.501
    assert found.k_min is None
    assert found.problem.startswith("k would be above 1,000, the most that a ballot takes")
    with pytest.raises(ValueError, match="no k can be recommended for Scripted: k would be above 1,000"):
        found.margin()


def test_too_few_samples_to_tell() -> None:
    found = calibrate(Known(1000), wrong_on({1, 2, 3}), samples=4)
    assert found.k_min is None
    assert "draw more samples" in found.problem


def test_unknown_prices_leave_costs_open_and_say_so() -> None:
    found = calibrate(Known(100), Scripted(right))
    assert found.cost_per_sample is found.expected_cost is found.spent is None
    assert found.expected_samples is not None
    assert any("the price is not known" in note for note in found.notes)
    assert known_price("openai:gpt-9") is None


def test_a_task_of_unknown_length() -> None:
    found = calibrate(Known(None, goal=300), Scripted(right), samples=100)
    assert found.samples == 100
    assert found.steps is found.k_min is None
    assert found.margins()(1000) >= 2
    with pytest.raises(ValueError, match="length is not known: give steps="):
        found.margin()
    endless = calibrate(Known(None, goal=-1), Scripted(right), samples=10, max_steps=50)
    assert any("its first 50 steps were sampled" in note for note in endless.notes)


# calls


def test_what_arrived_beside_a_call_that_failed_for_good_is_kept() -> None:
    store = InMemoryStore()
    down = {17}

    def answer(request: Request) -> str | Exception:
        return PermissionError("no") if step_of(request) in down else right(request)

    model, rest, whole = Scripted(answer), Scripted(right), Scripted(right)
    with pytest.raises(SamplingError, match="the model refused: PermissionError: no"):
        calibrate(Known(40), model, store=store, run_id="a")
    found = calibrate(Known(40), rest, store=store, run_id="a")
    assert found == calibrate(Known(40), whole, run_id="a")
    failed = sum(step_of(request) in down for batch in model.batches for request in batch)
    assert failed >= 1
    assert model.drawn - failed + rest.drawn == whole.drawn


def test_a_stop_gives_up_calls_that_wait_for_another_attempt_and_keeps_the_rest() -> None:
    stopped: list[bool] = []

    def answer(request: Request) -> str | Exception:
        if step_of(request) == 17:
            stopped.append(True)
            return TimeoutError("slow")
        return right(request)

    model = Scripted(answer)
    found = calibrate(Known(40), model, firsts=0, pairs=0, stop=lambda: bool(stopped))
    assert (found.samples, found.right) == (39, 39)
    assert any("it was stopped" in note for note in found.notes)
    assert len(stopped) == 1


def test_samples_of_one_ballot_share_a_call_where_the_sampler_can() -> None:
    class Splitting(Scripted):
        def split(self, requests: Sequence[Request]) -> list[list[Request]]:
            return [list(requests)]

    model = Splitting(right)
    calibrate(Lanes(20), model, reference_k=4)
    assert all(len({request.subtask_id for request in batch}) == 1 for batch in model.batches)
    assert Counter(len(batch) for batch in model.batches if kind_of(batch[0]) == "vote") == {4: 20}


def test_never_more_calls_at_a_time_than_allowed() -> None:
    class Watched(Scripted):
        active = most = 0

        async def __call__(self, requests: Sequence[Request]) -> list[AIMessage | Exception]:
            self.active += 1
            self.most = max(self.most, self.active)
            await asyncio.sleep(0)
            self.active -= 1
            return await super().__call__(requests)

    model = Watched(right)
    calibrate(Known(100), model, max_concurrency=5)
    assert model.most == 5


# token limits


def long(tokens: Callable[[int], int], reason: str = "stop") -> Scripted:
    """Right, and as long as `tokens` says of the step; beyond 700 wrong, and beyond 850 ended for `reason`."""

    def answer(request: Request) -> AIMessage:
        step = step_of(request)
        written = tokens(step)
        usage: UsageMetadata = {"input_tokens": 100, "output_tokens": written, "total_tokens": 100 + written}
        text = "0" if written > 700 else right(request)
        ended = {"finish_reason": reason if written > 850 else "stop"}
        return AIMessage(text, usage_metadata=usage, response_metadata=ended)

    return Scripted(answer)


def test_other_token_limits_are_judged_as_if_the_run_had_them() -> None:
    def tokens(step: int) -> int:
        return (400, 600, 740, 1200)[step % 4]

    price = Price(1.0, 1.0)
    for limit in (750, 2048):
        found = calibrate(Known(200), long(tokens), red_flags=TokenLimit(limit), price=price)
        for other in found.other_limits:
            there = calibrate(Known(200), long(tokens), red_flags=TokenLimit(other.token_limit), price=price)
            for name in ("valid_rate", "p", "p_low", "p_high", "k_min", "k_estimate", "expected_cost", "cost_estimate"):
                assert getattr(other, name) == getattr(there, name)
        assert {one.token_limit for one in found.other_limits} == {500, 750, 1000, 1500, 2048} - {limit}


def test_what_was_cut_off_says_nothing_of_higher_limits() -> None:
    red_flags = TokenLimit(750) | Truncated()
    found = calibrate(Known(100), long(lambda step: 900 if step == 3 else 400, "length"), red_flags=red_flags)
    assert [one.token_limit for one in found.other_limits] == [500]
    assert any("1 answers were cut off" in note for note in found.notes)
    whole = calibrate(Known(100), long(lambda step: 900 if step == 3 else 400), red_flags=red_flags)
    assert [one.token_limit for one in whole.other_limits] == [500, 1000, 1500, 2048]


def test_without_a_token_limit_all_are_judged() -> None:
    found = calibrate(Known(100), long(lambda _: 400), red_flags=None)
    assert found.token_limit is None
    assert [one.valid_rate for one in found.other_limits] == [1.0] * 5


# money


def test_cached_input_tokens_cost_what_they_do_in_a_run() -> None:
    def answer(request: Request) -> AIMessage:
        usage: UsageMetadata = {
            "input_tokens": 100,
            "output_tokens": 10,
            "total_tokens": 110,
            "input_token_details": {"cache_read": 80},
        }
        return AIMessage(right(request), usage_metadata=usage)

    found = calibrate(Known(50), Scripted(answer), price=Price(1.0, 2.0, cached_input=0.5))
    assert found.cost_per_sample == pytest.approx((20 * 1 + 80 * 0.5 + 10 * 2) / 1e6)
    assert found.spent == pytest.approx(found.drawn * (20 * 1 + 80 * 0.5 + 10 * 2) / 1e6)


def test_the_list_price_of_the_model_that_answers_is_known() -> None:
    def answer(request: Request) -> AIMessage:
        usage: UsageMetadata = {"input_tokens": 100, "output_tokens": 10, "total_tokens": 110}
        return AIMessage(right(request), usage_metadata=usage, response_metadata={"model_name": "gpt-4.1-2025-04-14"})

    found = calibrate(Known(50), Scripted(answer))
    assert found.cost_per_sample == pytest.approx((100 * 2 + 10 * 8) / 1e6)
    assert known_price("openai:gpt-4.1") == Price(2.0, 8.0, 0.5)
    assert known_price("sim:error=0.1,input_price=3,output_price=4") == Price(3.0, 4.0)
    assert known_price("sim:llama-3.2-3b") is known_price("sim:error=0.1") is None


def test_a_model_that_does_not_say_what_it_used_has_no_known_cost() -> None:
    found = calibrate(Known(50), Scripted(right), price=Price(1.0, 1.0))
    assert found.cost_per_sample is found.expected_cost is None
    assert any("did not say how many tokens it wrote" in note for note in found.notes)
