"""What a run says of itself, where the truth is known: never better than that, or that it does not know."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from random import Random
from typing import Any

import numpy as np
import orjson
import pytest
from ballots import shapes_of, totals_of, voted
from langchain_core.messages import AIMessage
from langgraph.store.base import Item
from langgraph.store.memory import InMemoryStore

from benchmarks.guarantee import SETTINGS, Setting, Steps, drawn, runs_of
from langgraph_maker import Run, calibrate, create_maker, journal, solve, theory
from langgraph_maker.core.events import Alarm, OpenBallots, Totals
from langgraph_maker.core.state import Request, never_waits
from langgraph_maker.journal import records
from langgraph_maker.ladder import AskHuman, Split, Tier
from langgraph_maker.nodes.context import MakerContext
from langgraph_maker.nodes.totals import nothing
from langgraph_maker.report.numbers import numbers
from langgraph_maker.runs.calibration.result import Calibration
from langgraph_maker.runs.monitor.guarantee import Outlook
from langgraph_maker.runs.monitor.monitor import Monitor
from langgraph_maker.runs.monitor.outlook import NONE_OPEN, outlook
from langgraph_maker.tasks import TowersOfHanoi
from langgraph_maker.theory.inference import calibrated_bound, latency_matters
from langgraph_maker.theory.intervals import exact_interval
from langgraph_maker.theory.mixture import shape

RUNS = 200


def looked_at(votes: Any, k: int, begun: int, rounds: int) -> tuple[Totals, OpenBallots]:
    """A run of as many ballots side by side, looked at when each has had so many rounds of what it lacked, in part."""
    random = np.random.default_rng(begun)
    lead, cast, right = (np.zeros(begun, int) for _ in range(3))
    for _ in range(rounds):
        going = np.abs(lead) < k
        hits = (random.random(begun) < votes) & going
        cast += going
        right += hits
        lead += np.where(going, np.where(hits, 1, -1), 0)
    done = np.abs(lead) >= k
    totals = totals_of(cast[done], k, shapes=shapes_of(cast[done], k))
    open_now: dict[str, int] = {}
    for n, x in zip(cast[~done], right[~done], strict=True):
        name = shape(int(n), int(max(x, n - x)), int(abs(2 * x - n)))
        open_now[name] = open_now.get(name, 0) + 1
    return totals, {**NONE_OPEN, "ballots": int((~done).sum()), "shapes": open_now}


@pytest.mark.parametrize("rounds", [3, 4, 5, 8])
def test_with_lanes_what_is_decided_first_does_not_speak_for_all(rounds: int) -> None:
    """1,000 lanes at p = .9: what is decided after three rounds never lost a vote."""
    totals, still = looked_at(0.9, 3, 1000, rounds)
    found = outlook(totals, planned=1000, still=still, k=3)
    truth = theory.p_full(0.9, 3, 1000)
    assert found.p.value is not None
    assert found.p.low < 0.9 < found.p.high
    assert found.if_equal is not None
    assert found.if_equal.to_the_end_at_least is not None
    assert found.if_equal.to_the_end_at_least < truth
    assert found.if_mostly_right is not None
    assert found.if_mostly_right.to_the_end is not None
    assert found.if_mostly_right.to_the_end < 0.5
    assert found.to_the_end in {None, found.if_mostly_right.to_the_end}


def test_before_enough_is_decided_nothing_is_known() -> None:
    totals = totals_of(np.array([3] * 10), 3)
    found = outlook(totals, planned=1000, still={**NONE_OPEN, "ballots": 990, "shapes": {"2:2:2": 900, "2:1:0": 90}})
    assert (found.so_far, found.to_the_end, found.unknown) == (None, None, "early")
    assert found.guarantee.startswith("not known yet: 10 steps are decided, and 990 are open")


def test_with_few_lost_votes_independence_is_untested() -> None:
    found = outlook(totals_of(np.full(300, 3), 3), planned=300)
    assert (found.so_far, found.so_far_low, found.unknown) == (None, None, "independence")
    assert found.guarantee.startswith("not known: none of 300 ballots had a lost vote, too few to see")
    assert "cache" in found.guarantee


@pytest.mark.parametrize(
    ("hard", "p", "easy"),
    [(10, 0.6, 0.99), (4, 0.3, 0.99), (20, 0.7, 0.999), (6, 0.5, 0.98)],
)
def test_no_bound_is_stated_where_steps_may_differ(hard: int, p: float, easy: float) -> None:
    """And where they are seen to, no figure of equal steps."""
    random, of, seen = np.random.default_rng(5), np.array([p] * hard + [easy] * (200 - hard)), 0
    for _ in range(50):
        found = outlook(totals_of(voted(random, of, 3, (200,)), 3), planned=200)
        assert (found.so_far_low, found.to_the_end_low) == (None, None)
        assert "no bound is known" in found.guarantee
        assert ("suggest that steps differ in how hard" in found.guarantee) == ("differ" in found.reasons)
        assert found.so_far is None or not found.differ
        seen += found.differ
    assert seen >= 30


def test_the_line_names_how_many_steps_may_be_ones_that_no_vote_cures() -> None:
    totals = totals_of(voted(np.random.default_rng(6), 0.95, 4, (1000,)), 4)
    found = outlook(totals, planned=1000)
    assert (
        f"of 1,000 steps up to {found.hard_high} may be ones that this model gets wrong repeatedly" in found.guarantee
    )
    assert "for which no vote counts" in found.guarantee


NAMED = "sim:error=0.0005,seed=3"


@cache
def measured(disks: int = 5) -> Calibration:
    """A calibration on samples of these steps, of which each was drawn many times, all right but one."""
    found = calibrate(TowersOfHanoi(disks), NAMED, samples=31)
    low = exact_interval(1999, 2000).low
    return replace(
        found,
        right=1999,
        valid=2000,
        samples=2000,
        p_low=low,
        p_first=1999 / 2000,
        firsts=2000,
        firsts_drawn=2000,
        p_first_low=low,
    )


def test_a_lower_bound_rests_on_truth_from_without() -> None:
    """Calibrated on many samples of each of its steps, and only while its ballots do not contradict that."""
    found = measured()
    same: dict[str, Any] = {"task": found.task, "settings": {"model": NAMED, **found.asked}}
    totals = totals_of(np.full(31, 3), 3)
    seen = outlook(totals, planned=31, calibration=found, **same)
    bound = seen.so_far_low
    assert "at least" in seen.guarantee
    assert "without a bound" not in seen.guarantee
    assert found.first_counts is not None
    low = min(exact_interval(found.right, 2000).low, exact_interval(found.first_counts[0], found.firsts_drawn).low)
    assert bound == calibrated_bound(1 - low, 3, 31)
    assert bound is not None
    assert bound > 0.7
    assert outlook(totals, planned=5, calibration=found, **same).to_the_end_low == bound
    longer = replace(found, steps=2047)
    assert outlook(totals, planned=2047, k=3, calibration=longer, **same).so_far_low is None, "too few samples"
    longer = replace(found, steps=32)
    assert outlook(totals, planned=32, k=3, calibration=longer, **same).so_far_low is not None
    assert outlook(totals, planned=32, calibration=longer, **same).so_far_low is None, "the k to come is not known"
    assert outlook(totals, planned=31, calibration=longer, **same).so_far_low is None, "other steps"
    smaller = totals_of(np.full(31, 3), 3, margins=[0, 1, 0, 30])
    assert outlook(smaller, planned=31, k=3, calibration=found, **same).so_far_low == calibrated_bound(1 - low, 1, 31)
    worse = totals_of(np.array([3] * 22 + [5] * 9), 3)
    assert outlook(worse, planned=31, calibration=found, **same).so_far_low is None
    assert outlook({**totals, "timeouts": 1}, planned=31, calibration=found, **same).so_far_low is None
    voted_on = replace(found, reference="vote")
    assert outlook(totals, planned=31, calibration=voted_on, **same).so_far_low is None
    alarm: Alarm = {"event": "alarm.raised", "run_id": "r", "what": "p", "finding": "", "remedy": "", "steps": 9}
    assert outlook(totals, planned=31, calibration=found, alarms=[alarm], **same).so_far_low is None


def test_for_the_bound_what_was_flagged_when_calibrated_counts_as_wrong() -> None:
    """One step of ten is flagged in 94 of 100 samples, and wrong in the others: a run decides it wrongly."""
    random = Random(1)

    @never_waits
    async def sample(requests: Sequence[Request]) -> list[AIMessage | Exception]:
        steps = [int(request.messages[-1].text) for request in requests]
        hard = ["ehm" if random.random() < 0.94 else f"wrong {step + 1}" for step in steps]
        return [AIMessage(hard[i] if step % 10 == 7 else f"right {step + 1}") for i, step in enumerate(steps)]

    measured = calibrate(Steps(1000), sample, samples=600, first_temperature=0.1)
    found = replace(measured, model="sim:that", independence=replace(measured.independence, p_value=1.0), steps=12)
    assert found.p_low > 0.97
    settings = {"model": "sim:that", **found.asked}
    looked = outlook(totals_of(np.full(12, 3), 3), planned=12, calibration=found, task="steps", settings=settings)
    assert (looked.so_far_low, looked.to_the_end_low) == (None, None)


@pytest.mark.parametrize(
    ("other", "context", "stated"),
    [
        ({}, {}, True),
        ({"model": "sim:error=0.0005,seed=4"}, {}, False),
        ({"temperature": 0.3}, {}, False),
        ({}, {"temperature": 0.3}, False),
        ({"red_flags": None}, {}, False),
        ({"decorrelate": "variants"}, {}, False),
        ({"ladder": "default"}, {}, False),
        ({"audit": 0.5}, {}, False),
        ({"hedge": 1}, {}, False),
    ],
)
def test_a_bound_is_stated_where_a_run_asks_as_its_calibration_did(
    other: dict[str, Any], context: dict[str, Any], *, stated: bool
) -> None:
    watch = Monitor(planned=1, calibration=measured())
    graph = create_maker(TowersOfHanoi(5), **{"model": NAMED, "k": 3, "observer": watch, **other}).compile()
    graph.invoke({}, context=MakerContext(**context))
    assert (watch.outlook().so_far_low is not None) == stated


def test_the_journal_keeps_the_calibration_that_a_monitor_was_given() -> None:
    """So a report has the same number, in a graph of one's own as in `solve`, and without it there is none."""
    for disks, how in ((5, "graph"), (5, "solve"), (5, "none"), (4, "graph")):  # 4 disks are asked in other words
        store, watch = InMemoryStore(), Monitor(planned=31, calibration=None if how == "none" else measured())
        if how == "graph":
            graph = create_maker(TowersOfHanoi(disks), NAMED, k=3, observer=watch).compile(store=store)
            graph.invoke({"run_id": "r"})
            live: Outlook | None = watch.outlook()
        else:
            live = solve(TowersOfHanoi(disks), NAMED, k=3, observer=watch, store=store, run_id="r").outlook
        read = numbers(store, "r")
        assert live is not None
        assert (live.so_far_low is not None) == (disks == 5 and how != "none")
        assert read["outlook"]["so_far_low"] == live.so_far_low == read["outlook"]["to_the_end_low"]
        assert read["guarantee"] == live.guarantee
        assert (read["calibration"] is None) == (how == "none")


def test_a_bound_is_for_as_many_steps_as_there_may_be() -> None:
    """How many there were may follow from a wrong one, which ended the task too early."""
    found = measured()
    same: dict[str, Any] = {"task": found.task, "settings": {"model": NAMED, **found.asked}, "calibration": found}
    totals = totals_of(np.full(10, 3), 3)
    longer = outlook(totals, planned=31, k=3, **same).so_far_low
    assert longer is not None
    assert longer == outlook(totals, planned=10, limit=31, k=3, **same).so_far_low
    assert outlook(totals, planned=10, k=3, **same).so_far_low is None
    assert longer == outlook(totals, planned=None, limit=31, k=3, **same).to_the_end_low
    assert outlook(totals, planned=None, k=3, **same).to_the_end_low is None


@pytest.mark.parametrize(("p", "slow"), [(0.9, 1), (0.99, 3), (0.9999, 0), (0.9999, 3)])
def test_slow_answers_that_could_matter_leave_nothing_known(p: float, slow: int) -> None:
    """One that came in the place of a slow one is wrong with 1 - p; hedges that were not waited for are as slow."""
    totals = totals_of(voted(np.random.default_rng(3), p, 3, (20_000,)), 3)
    matters = p < 0.999 and slow > 0
    for found in (
        outlook({**totals, "timeouts": slow}, planned=20_000),
        outlook({**totals, "cancelled": slow}, planned=20_000, settings={"hedge": 1}),
        outlook(totals, planned=20_000, in_flight_lost=slow),
    ):
        assert ("latency" in found.reasons) == matters
        assert ("latency bias possible" in found.guarantee) == (slow > 0 or "arrive" in found.guarantee)


def test_no_bound_is_stated_for_another_task_or_a_model_that_has_no_name() -> None:
    found = measured()
    totals, settings = totals_of(np.full(31, 3), 3), {"model": NAMED, **found.asked}

    def low(calibration: Calibration, task: str | None, settings: dict[str, Any]) -> float | None:
        return outlook(totals, planned=31, calibration=calibration, task=task, settings=settings).so_far_low

    assert low(found, found.task, settings) is not None
    assert low(found, "another", settings) is None
    assert low(found, None, settings) is None
    assert low(replace(found, model="sample"), found.task, {**settings, "model": "sample"}) is None
    assert low(replace(found, asked={}), found.task, settings) is None
    before = {name: value for name, value in found.asked.items() if name != "instance"}
    assert low(replace(found, asked=before), found.task, settings) is None


def test_no_bound_is_stated_for_steps_other_than_those_calibrated() -> None:
    """A calibration says how often samples are right in the mean over its steps: one of few others may be a bad one."""
    for disks, stated in ((5, True), (7, False)):
        watch = Monitor(planned=31, calibration=measured(disks))
        create_maker(TowersOfHanoi(5), NAMED, k=3, observer=watch).compile().invoke({})
        found = watch.outlook()
        assert (found.so_far_low is not None, found.to_the_end_low is not None) == (stated, stated)
        assert ("at least" in found.guarantee) == stated == ("without a bound" not in found.guarantee)


@pytest.mark.parametrize("k", [2, 3, 5])
@pytest.mark.parametrize("p", [0.0, 0.2, 0.3, 0.5, 0.7, 0.9])
def test_the_calibrated_bound_holds_however_errors_are_spread(p: float, k: int) -> None:
    """A share of the steps is at p, so that a share of samples is wrong; or a cache makes each step one answer."""
    for steps in (10, 50):
        for wrong in (0.001, 0.004, 0.009):
            bound = calibrated_bound(wrong, k, steps)
            if bound is None:
                continue
            error = 1 - theory.p_correct(p, k) if p > 0.5 else theory.p_correct(1 - p, k) if p < 0.5 else 0.5
            assert bound <= (1 - wrong / (1 - p) * error) ** steps + 1e-12
            assert bound <= (1 - wrong) ** steps + 1e-12


@pytest.mark.parametrize(
    ("hard", "p", "easy"), [(0.0, 0.5, 0.9995), (0.002, 0.3, 1.0), (0.001, 0.0, 1.0), (0.004, 0.6, 0.9999)]
)
def test_a_calibrated_bound_is_above_the_truth_in_few_runs(hard: float, p: float, easy: float) -> None:
    """Steps drawn at random of some that differ; of 60 runs more than 8 would have it with a probability of 0.003."""
    random, found, steps, k = np.random.default_rng(9), measured(), 31, 3

    def drawn_steps(count: int) -> Any:
        return np.where(random.random(count) < hard, p, easy)

    truth = (1 - sum(share * wrong_at(at, k) for share, at in ((hard, p), (1 - hard, easy)))) ** steps
    stated = above = 0
    for _ in range(60):
        right, first = (int((random.random(3000) < drawn_steps(3000)).sum()) for _ in range(2))
        low = exact_interval(right, 3000).low
        known: dict[str, Any] = {"right": right, "valid": 3000, "samples": 3000, "p_low": low, "interval": "exact"}
        firsts: dict[str, Any] = {"p_first": first / 3000, "firsts": 3000, "firsts_drawn": 3000, "p_first_low": low}
        same: dict[str, Any] = {"task": found.task, "settings": {"model": NAMED, **found.asked}}
        totals = totals_of(voted(random, drawn_steps(steps), k, (steps,)), k)
        bound = outlook(totals, planned=steps, calibration=replace(found, **known, **firsts), **same).so_far_low
        stated += bound is not None
        above += bound is not None and bound > truth
    assert stated > 10
    assert above <= 8


def wrong_at(p: float, k: int) -> float:
    return 1.0 if p == 0 else 0.0 if p == 1 else 1 / (1 + (p / (1 - p)) ** k)


def test_more_flags_than_when_calibrated_leave_no_bound() -> None:
    found, totals = measured(), totals_of(np.full(31, 3), 3)
    same: dict[str, Any] = {"task": found.task, "settings": {"model": NAMED, **found.asked}, "calibration": found}
    assert outlook({**totals, "flagged": 1}, planned=31, **same).so_far_low is not None
    assert outlook({**totals, "flagged": 20}, planned=31, **same).so_far_low is None


STEPS: dict[str, tuple[int, Any]] = {
    "2 % of 200 at .3": (3, [0.3] * 4 + [0.99] * 196),
    "2 % of 1,000 at .4": (3, [0.4] * 20 + [0.99] * 980),
    "1 % of 300 at .2": (4, [0.2] * 3 + [0.95] * 297),
    "10 % of 200 at .7": (3, [0.7] * 20 + [0.999] * 180),
    "20 % of 200 at .8": (2, [0.8] * 40 + [0.99] * 160),
    "half of 300 repeated": (3, [1.0] * 150 + [0.9] * 150),
    "all repeated": (3, [1.0] * 300),
    "300 at .9": (3, [0.9] * 300),
    "40 at .55": (2, [0.55] * 40),
}


@pytest.mark.parametrize("name", STEPS)
def test_no_bound_is_printed_where_truth_is_not_known(name: str) -> None:
    """Decided, half way and with ballots open: whatever the figure rests on, it comes without a bound."""
    k, of = STEPS[name]
    random = np.random.default_rng(11)
    for at in (len(of), len(of) // 2):
        votes = voted(random, np.array(of)[random.permutation(len(of))][:at], k, (at,))
        still: OpenBallots = {**NONE_OPEN, "ballots": 9, "shapes": {"1:1:1": 5, "2:1:0": 4}}
        for found in (outlook(totals_of(votes, k), planned=len(of), still=one) for one in (NONE_OPEN, still)):
            assert (found.so_far_low, found.to_the_end_low) == (None, None)
            assert not [sign for sign in ("≥", "at least", "bounds of") if sign in found.guarantee]
            assert "not known" in found.guarantee
            assert "no bound is known" in found.guarantee


def test_effective_votes_are_fewer_where_steps_differ() -> None:
    random = np.random.default_rng(7)
    even = outlook(totals_of(voted(random, 0.95, 4, (2000,)), 4), planned=2000).effective_votes
    of = np.array([0.6] * 100 + [0.995] * 1900)
    uneven = outlook(totals_of(voted(random, of, 4, (2000,)), 4), planned=2000).effective_votes
    assert even is not None
    assert uneven is not None
    assert 4.0 < even < 4.5
    assert uneven < 2.5


def test_where_an_alarm_stands_the_line_carries_it() -> None:
    run = SETTINGS["drift"].run(1).run
    assert run.outlook is not None
    assert "p" in {alarm["what"] for alarm in run.outlook.alarms}
    assert (run.outlook.so_far, run.outlook.unknown) == (None, "alarm")
    assert run.guarantee.startswith("not known: an alarm stands")
    assert "ALARM about p after" in run.guarantee


def test_an_alarm_of_an_earlier_process_stands_too() -> None:
    setting, store = SETTINGS["drift"], InMemoryStore()
    task, given = Steps(300), dict[str, Any](k=3, store=store, run_id="r", first_temperature=0.1)
    law = setting.law(Random(0))
    solve(task, drawn(law, 1), max_total_samples=1150, **given)
    run = solve(task, drawn(law, 2), **given)
    assert run.outlook is not None
    assert run.outlook.earlier_alarms
    assert "ALARM about p after" in run.guarantee == numbers(store, "r")["guarantee"]


def test_ballots_cut_off_by_their_budget_count() -> None:
    run = SETTINGS["budget"].run(2).run
    assert run.status == "unresolved"
    assert run.outlook is not None
    assert run.outlook.p.low < 0.8 < run.outlook.p.high
    assert (run.outlook.to_the_end or 0.0) < 0.05


def test_ballots_that_climb_count_as_they_were() -> None:
    run = SETTINGS["ladder"].run(3).run
    assert run.outlook is not None
    assert run.outlook.climbed > 0
    assert run.outlook.if_equal is None
    assert (run.outlook.so_far, run.outlook.unknown) == (None, "differ")
    assert run.outlook.if_mostly_right is not None
    assert run.outlook.if_mostly_right.so_far < 0.5


class Parts(Steps):
    """Steps that can be done in two sub-steps."""

    def split(self, state: int) -> Steps:
        part = Steps(2)
        part.name = f"part of {state}"
        return part

    def join(self, state: int, votes: Sequence[Any]) -> Any:
        return {**votes[-1], "next_state": state + 1}


@never_waits
async def torn(requests: Sequence[Request]) -> list[AIMessage | Exception]:
    """Be right, but for every fifth step, where the first samples are of two minds."""

    def answer(request: Request) -> AIMessage:
        step = int(request.messages[-1].text)
        hard = int(request.subtask_id) % 5 == 0 and request.number < 6 and request.number % 2
        return AIMessage(f"{'wrong' if hard else 'right'} {step + 1}")

    return [answer(request) for request in requests]


@pytest.mark.parametrize("above", [AskHuman(), Split(), Tier(k=4), Tier(k=4, carry=True)])
def test_lost_votes_of_steps_that_others_decide_are_in_the_estimate(above: Any) -> None:
    """Of 100 steps 20 leave the first tier with six votes, of which three are lost."""
    given: dict[str, Any] = {"k": 3, "store": InMemoryStore(), "run_id": "r", "ladder": [Tier(samples=6), above]}
    run = solve(Parts(100), torn, lanes=100, **given)
    if run.status == "waiting":
        run = solve(Parts(100), torn, lanes=100, answers={one["id"]: {"pick": 0} for one in run.questions}, **given)
    assert run.status == "solved"
    found = run.outlook
    assert found is not None
    assert found.by_human + found.climbed == 20
    assert found.contested == 20
    assert found.p.value is not None
    assert found.p.value < 0.9
    assert (found.so_far, "differ" in found.reasons, found.if_equal) == (None, True, None)
    assert numbers(given["store"], "r")["guarantee"] == run.guarantee


@pytest.mark.parametrize("above", [AskHuman(), Split()])
def test_while_others_decide_a_step_its_lost_votes_count(above: Any) -> None:
    store = InMemoryStore()
    ladder = [Tier(samples=6), above]
    run = solve(Parts(100), torn, k=3, lanes=100, store=store, run_id="r", ladder=ladder, max_total_samples=371)
    seen = numbers(store, "r")["outlook"]
    assert run.status in {"waiting", "stopped"}
    assert (seen["open_ballots"], seen["contested"], seen["unknown"]) == (20, 20, "differ")


@pytest.mark.parametrize("steps", [100, 20_000])
def test_of_steps_to_come_the_least_k_counts(steps: int) -> None:
    """The first 60 have a k of 5, the others of 2; of very many nobody asks."""
    store, model = InMemoryStore(), drawn(lambda _step, _number: 0.85, 1)
    given: dict[str, Any] = {"lanes": 1, "store": store, "run_id": "r", "max_total_samples": 400}
    run = solve(Steps(steps), model, k=lambda step: 5 if step < 60 else 2, **given)
    found, read = run.outlook, numbers(store, "r")
    assert found is not None
    assert found.steps < 60
    assert found.if_equal is not None
    assert found.if_mostly_right is not None
    assert read["guarantee"] == run.guarantee
    if steps > 100:
        assert (found.to_the_end, found.if_equal.to_the_end, found.if_mostly_right.to_the_end) == (None, None, None)
        assert "of the steps to come nothing is known: each has a k of its own" in run.guarantee
        return
    assert "each has a k of its own" not in run.guarantee
    law = theory.p_full(0.85, 5, 60) * theory.p_full(0.85, 2, 40)
    assert found.if_equal.to_the_end is not None
    assert found.if_equal.to_the_end_at_least is not None
    assert found.p.value is not None
    left = theory.p_full(found.p.value, 2, steps - found.steps)
    assert found.if_equal.to_the_end == pytest.approx(found.if_equal.so_far * left)
    assert found.if_equal.to_the_end_at_least < law
    assert found.to_the_end in {None, found.if_mostly_right.to_the_end}
    assert (found.if_mostly_right.to_the_end or 1) < found.if_mostly_right.so_far * 0.95


def test_samples_in_flight_that_were_lost_are_counted() -> None:
    """Broken off by an exception, of which the journal has only what was counted before."""
    run = SETTINGS["kills"].run(0).run
    assert run.outlook is not None
    assert run.outlook.in_flight_lost > 0
    assert run.outlook.unknown in {"latency", "half"}
    assert "samples in flight were lost with a process" in run.guarantee


def test_an_end_in_order_loses_nothing() -> None:
    store, task = InMemoryStore(), TowersOfHanoi(6)
    solve(task, "sim:error=0.05", store=store, run_id="r", max_total_samples=60)
    run = solve(task, "sim:error=0.05", store=store, run_id="r")
    assert run.outlook is not None
    assert run.outlook.in_flight_lost == 0


def test_timeouts_are_counted_by_step() -> None:
    run = SETTINGS["slow"].run(0).run
    assert run.outlook is not None
    assert run.outlook.timeouts > 20
    assert run.outlook.so_far is None
    assert "samples timed out and were drawn again" in run.guarantee


@pytest.mark.parametrize(("last", "first", "differs"), [(30, 5, True), (5, 30, True), (16, 14, False), (0, 0, False)])
def test_votes_that_came_late_are_held_against_those_that_came_early(last: int, first: int, differs: bool) -> None:
    totals = nothing()
    totals["last_lost"], totals["first_lost"] = last, first
    assert bool(latency_matters(totals)) == differs


@pytest.mark.parametrize(
    ("ladder", "tested"),
    [([], True), ([{"variants": [1]}], True), ([{"variants": "all"}], False), ([{"model": ["one", "two"]}], False)],
)
def test_where_votes_are_asked_in_turns_the_last_is_another_and_not_late(
    ladder: list[dict[str, Any]], *, tested: bool
) -> None:
    totals = totals_of(voted(np.random.default_rng(3), 0.9, 3, (200,)), 3)
    totals["last_lost"] = 40
    found = outlook(totals, planned=200, settings={"ladder": ladder})
    assert (found.reasons == ["latency"]) == tested
    assert ("the last to arrive" in found.guarantee) == tested


def test_what_a_step_costs_says_nothing_of_its_errors() -> None:
    totals = totals_of(voted(np.random.default_rng(3), 0.9, 3, (200,)), 3)
    alarm: Alarm = {
        "event": "alarm.raised",
        "run_id": "r",
        "what": "cost",
        "finding": "a step costs more",
        "remedy": "calibrate again",
        "steps": 200,
    }
    split: Alarm = {**alarm, "what": "votes"}
    dear, worse = (outlook(totals, planned=200, alarms=[one]) for one in (alarm, split))
    assert (dear.reasons, worse.reasons) == ([], ["alarm"])
    assert dear.so_far is not None
    assert dear.guarantee.endswith("ALARM about cost after 200 steps")


def test_an_audit_bounds_how_often_both_ways_disagree_and_no_errors_that_they_share() -> None:
    """All errors may be those that the second way repeats as well."""
    totals = {**totals_of(voted(np.random.default_rng(3), 0.9, 3, (200,)), 3), "audits": 200, "disagreed": 1}
    line = outlook(totals, planned=200).guarantee  # type: ignore[arg-type]
    assert "the second way disagrees on at most 2.3 % of the steps (95 %)" in line
    assert "errors that both ways share do not show" in line
    assert "errors repeat" not in line


class Typed(Steps):
    def step_type(self, state: Any) -> str:
        """Return "rare" for two steps of all."""
        return "rare" if state in {50, 150} else "easy"


def test_a_type_that_few_sampled_steps_are_of_is_sampled_for_itself() -> None:
    """Each of its two steps ten times, so that it is not taken to be like the others."""
    found = calibrate(Typed(400), drawn(lambda step, _: 0.6 if step in {50, 150} else 0.99, 2), samples=60, steps=400)
    assert {one.type: one.valid for one in found.types}["rare"] == 20
    alike = calibrate(Typed(400), drawn(lambda _step, _number: 0.97, 2), samples=60, steps=400)
    assert (alike.types, alike.thin, alike.untyped, alike.warning) == ([], [], "", "")


def test_a_type_that_is_hardly_sampled_leaves_nothing_known() -> None:
    """Ten samples do not show that right answers prevail where some of them were wrong."""
    found = calibrate(Typed(100), drawn(lambda step, _: 0.6 if step == 50 else 0.99, 2), samples=10, steps=100)
    assert [(one.type, one.valid) for one in found.thin] == [("rare", 10)]
    assert "types of steps" in found.warning
    assert found.warning in found.notes
    kept = Calibration.from_json(found.to_json())
    assert kept.thin == found.thin
    totals = totals_of(voted(np.random.default_rng(3), 0.9, 3, (400,)), 3)
    looked = outlook(totals, planned=400, calibration=kept)
    assert looked.reasons == ["types"]
    assert looked.so_far is None
    assert "too few samples are of some types of steps to know whether votes help there ('rare': " in looked.guarantee


def test_types_that_no_step_looked_at_is_of_are_told_of() -> None:
    found = calibrate(Typed(400), drawn(lambda _step, _number: 0.9, 2), samples=10, steps=400)
    assert found.typed == 200
    assert "up to 6 (95 %) may be of types that it did not sample" in found.untyped


def test_timeouts_on_hard_steps_are_seen() -> None:
    totals = nothing()
    totals["steps"], totals["contested"], totals["timed_out"] = 1000, [0, 0, 0, 50], 40
    totals["timed_out_contested"] = 3
    assert not latency_matters(totals)
    totals["timed_out_contested"] = 20
    assert "timed out on 40 steps" in latency_matters(totals)


@pytest.mark.parametrize("slow", ["wrong", "none"])
def test_late_answers_that_are_worse_are_seen_in_a_run(slow: str) -> None:
    model = drawn(lambda _step, _number: 0.8, 5)

    async def sample(requests: Sequence[Request]) -> Sequence[AIMessage | Exception]:
        answers = await model(requests)
        for _ in range(50 if isinstance(answers[0], AIMessage) and answers[0].text.startswith(slow) else 1):
            await asyncio.sleep(0)
        return answers

    sample.split = lambda group: [[one] for one in group]  # type: ignore[attr-defined]
    run = solve(Steps(120), sample, k=4, lanes=20, first_temperature=0.1)
    assert run.outlook is not None
    assert bool(run.outlook.latency) == (slow == "wrong")
    assert ("the last to arrive was lost on" in run.guarantee) == (slow == "wrong")


def test_of_hedged_runs_nothing_is_known() -> None:
    """Right answers come later than wrong ones, and the last are not waited for: no ballot shows that."""
    model = drawn(lambda _step, _number: 0.95, 3)

    async def sample(requests: Sequence[Request]) -> Sequence[AIMessage | Exception]:
        answers = await model(requests)
        right = isinstance(answers[0], AIMessage) and answers[0].text.startswith("right")
        for _ in range(20 * (1 + requests[0].number % 7) if right else 1):
            await asyncio.sleep(0)
        return answers

    sample.split = lambda group: [[one] for one in group]  # type: ignore[attr-defined]
    run = solve(Steps(60), sample, k=3, hedge=2, first_temperature=0.1)
    assert run.outlook is not None
    assert run.cancelled > 0
    assert (run.outlook.so_far, "latency" in run.outlook.reasons) == (None, True)
    assert "hedged ones were not waited for" in run.guarantee
    assert "latency bias possible: votes count as they arrive" in run.guarantee


def stated(setting: Setting, runs: int) -> list[tuple[Run, bool]]:
    return [(one.run, one.clean) for one in runs_of(setting, range(runs))]


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in SETTINGS if name not in {"slow", "kills"}])
def test_a_stated_bound_is_above_the_truth_in_at_most_5_percent_of_runs(name: str) -> None:
    """Of 40 runs more than 6 would have it with a probability of 0.003; a run that does not know states none."""
    runs = stated(SETTINGS[name], 40)
    true = sum(clean for _, clean in runs) / max(1, len(runs))
    found: list[Outlook] = [run.outlook for run, _ in runs if run.outlook is not None]
    assert sum(low > true for one in found for low in [one.so_far_low] if low is not None) <= 6
    assert all("no bound is known" in one.guarantee for one in found if one.so_far_low is None and one.p.value)


def test_a_calibration_that_saw_clusters_is_in_the_line() -> None:
    found = calibrate(TowersOfHanoi(5), "sim:error=0.01", samples=20)
    clusters = replace(found, independence=replace(found.independence, p_value=0.0123))
    totals = totals_of(np.array([3] * 90 + [5] * 10), 3)
    said = "calibration saw errors cluster by step (p-value 0.012)"
    seen, unseen = (outlook(totals, planned=100, calibration=one) for one in (clusters, found))
    assert said in seen.guarantee
    assert not clusters.repeating
    sure = replace(clusters, independence=replace(clusters.independence, p_value=0.009))
    assert "errors come again on the same steps (p-value 0.009" in sure.repeating
    assert (seen.so_far, seen.unknown) == (None, "clusters")
    assert said not in unseen.guarantee
    assert unseen.so_far is not None


def test_all_reasons_are_in_the_line() -> None:
    """Clusters beside lost votes that are too few, of which neither hides the other; and no mixture of so few."""
    found = measured()
    clusters = replace(found, independence=replace(found.independence, p_value=0.0123))
    seen = outlook(totals_of(np.full(100, 3), 3), planned=100, calibration=clusters)
    assert (seen.unknown, seen.reasons) == ("clusters", ["clusters", "independence"])
    assert "not known: calibration saw errors come again on the same steps; and none of 100 ballots" in seen.guarantee
    assert seen.if_mostly_right is None


@pytest.mark.parametrize(("p", "k"), [(0.8, 3), (0.9, 3), (0.95, 4), (0.99, 3)])
def test_of_equal_steps_few_runs_say_that_they_differ(p: float, k: int) -> None:
    """One of twenty has it by chance; of 60 more than 8 would with a probability of 0.003."""
    random = np.random.default_rng(8)
    runs = [outlook(totals_of(voted(random, p, k, (300,)), k), planned=300) for _ in range(60)]
    assert sum(one.unknown == "differ" for one in runs) <= 8
    assert all((one.so_far is None) == bool(one.unknown) for one in runs)


def test_an_entry_written_before_timeouts_were_counted_is_read() -> None:
    store = InMemoryStore()
    solve(Steps(3), drawn(lambda _step, _number: 1.0, 1), store=store, run_id="r")
    [item] = store.batch(records.get_entries("r", [1]))
    assert isinstance(item, Item)
    values = orjson.loads(item.value["entry"])
    text = orjson.dumps(values[:-3]).decode()
    store.put(item.namespace, item.key, {"entry": text, "check": records.check("r", text)}, index=False)
    entry = [*journal.read(store, "r")][1]
    assert (entry["step"], entry["given_up"], entry["timeouts"], entry["late"]) == (1, [], 0, 0)
