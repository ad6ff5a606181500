"""Alarms: each comes soon after its fault, and next to never without one."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest
from typing import Any, cast

import numpy as np
import pytest
from arrivals import P, arriving
from ballots import Votes, begun, round_of, rounds, shapes_of, totals_of, voted
from langchain_core.messages import AIMessage
from langgraph.store.memory import InMemoryStore
from scripted import Counting, right

from langgraph_maker import journal, solve, theory
from langgraph_maker.core.events import Alarm, Totals
from langgraph_maker.core.state import Request, never_waits
from langgraph_maker.runs.monitor.alarms import Alarms
from langgraph_maker.runs.monitor.baseline import Baseline
from langgraph_maker.runs.monitor.step_counts import contested
from langgraph_maker.theory.change_detection import Rising, above

STEPS, EACH, K = 2000, 50, 3


def followed(votes: Votes, expected: Baseline, k: int = K, each: int = EACH, **more: Votes) -> list[Alarm]:
    alarms = Alarms(begun(k, votes.size), expected)
    return [alarm for now in rounds(votes, k, each, **more) for alarm in alarms.see(now)]


def turning(before: float, after: float, at: int = STEPS // 2) -> Any:
    return np.where(np.arange(STEPS) < at, before, after)


@pytest.mark.slow
@pytest.mark.parametrize("expected", [Baseline(), Baseline(p=0.95, flagged=0.02)])
@pytest.mark.parametrize("uneven", [False, True])
def test_runs_without_a_fault_are_silent(expected: Baseline, *, uneven: bool) -> None:
    """Of 400 runs at the very bounds at most 1 % alarm; where errors fall on few steps too, but for those steps."""
    random = np.random.default_rng(1)
    runs = 400
    p = np.where(random.random((runs, STEPS)) < 0.9, 0.98, 0.68) if uneven else 0.95
    votes = voted(random, p, K, (runs, STEPS))
    flagged = random.binomial(1, 0.02, (runs, STEPS, K)).max(axis=2)
    drifted = random.binomial(1, 0.01, (runs, STEPS))
    pairs = random.binomial(1, 0.1, (2, runs, STEPS))
    wrong = 0
    for run in range(runs):
        more = {"drifted": drifted[run], "alike": pairs[0, run], "unlike": pairs[1, run]}
        found = followed(votes[run], expected, flagged_steps=flagged[run], **more)
        wrong += any(alarm["what"] not in {"votes", "uneven"} or not uneven for alarm in found)
    assert wrong <= runs // 100


@pytest.mark.parametrize("expected", [Baseline(), Baseline(p=0.97)])
def test_a_p_that_falls(expected: Baseline) -> None:
    """From 0.99 to 0.8: of 100 runs all alarm, within 150 steps."""
    random = np.random.default_rng(2)
    for votes in voted(random, turning(0.99, 0.8), K, (100, STEPS)):
        alarm = next(alarm for alarm in followed(votes, expected) if alarm["what"] == "p")
        assert STEPS // 2 < alarm["steps"] <= STEPS // 2 + 150
        assert "k" not in alarm
        assert "calibrate" in alarm["remedy"]


def test_the_k_that_makes_up_for_it() -> None:
    random = np.random.default_rng(3)
    for votes in voted(random, turning(0.99, 0.8), K, (50, STEPS)):
        alarm = followed(votes, Baseline(raise_k=True))[0]
        left = STEPS - alarm["steps"]
        assert theory.k_min(0.8, left) <= alarm["k"] <= theory.k_min(0.6, left)


def test_k_is_raised_no_further_than_allowed() -> None:
    votes = voted(np.random.default_rng(4), turning(0.99, 0.8), K, (STEPS,))
    assert followed(votes, Baseline(raise_k=True, max_k=5))[0]["k"] == 5
    barred = followed(votes, Baseline(raise_k=True, max_k=3))[0]
    assert "k" not in barred
    assert "better model" in barred["remedy"]


def test_a_model_that_is_wrong_as_often_as_right_is_beyond_any_k() -> None:
    votes = voted(np.random.default_rng(5), turning(0.99, 0.5), K, (STEPS,))
    alarm = next(alarm for alarm in followed(votes, Baseline(raise_k=True)) if alarm["what"] == "p")
    assert "k" not in alarm


def test_a_k_that_grows_with_the_step_is_no_fault() -> None:
    """At k = 2 fewer ballots have a lost vote than at k = 5: that is no change of p."""
    random = np.random.default_rng(14)
    few, many = voted(random, 0.9, 2, (150,)), voted(random, 0.9, 5, (2000,))
    alarms, found = Alarms(begun(2, 2150), Baseline()), []
    found += alarms.see(round_of(totals_of(few, 2)))
    for end in range(EACH, 2001, EACH):
        lost = int((many[:end] > 5).sum())
        contested = [0, 0, int((few > 2).sum()), 0, 0, lost]
        margins, shapes = [0, 0, 150, 0, 0, end], shapes_of(few, 2) | shapes_of(many[:end], 5)
        votes = np.concatenate([few, many[:end]])
        both = totals_of(votes, 2, margins=margins, contested=contested, shapes=shapes)
        found += alarms.see(round_of(both))
    assert found == []


def test_each_alarm_comes_once() -> None:
    votes = voted(np.random.default_rng(6), turning(0.99, 0.7), K, (STEPS,))
    found = [alarm["what"] for alarm in followed(votes, Baseline())]
    assert len(found) == len(set(found))


@pytest.mark.parametrize(("what", "name"), [("flags", "flagged_steps"), ("drift", "drifted")])
def test_flags_and_drift_that_rise(what: str, name: str) -> None:
    random = np.random.default_rng(7)
    votes = voted(random, 0.98, K, (50, STEPS))
    for run in votes:
        found = followed(run, Baseline(), **{name: random.binomial(1, turning(0.01, 0.4))})
        [alarm] = [alarm for alarm in found if alarm["what"] == what]
        assert STEPS // 2 < alarm["steps"] <= STEPS // 2 + 150


def test_flags_above_the_calibrated_share() -> None:
    random = np.random.default_rng(8)
    votes = voted(random, 0.98, K, (STEPS,))
    found = followed(votes, Baseline(flagged=0.02), flagged_steps=random.binomial(1, 0.3, STEPS))
    assert found[0]["what"] == "flags"
    assert found[0]["steps"] <= 100


def test_answers_that_repeat() -> None:
    """A cache: second and third answers are one text, another than the first in one step of five."""
    random = np.random.default_rng(9)
    votes = voted(random, 0.98, K, (STEPS,))
    [alarm] = followed(votes, Baseline(), alike=random.binomial(1, 0.2, STEPS), unlike=np.zeros(STEPS, int))
    assert alarm["what"] == "repeats"
    assert alarm["steps"] <= 150
    assert "cache" in alarm["remedy"]


def test_a_ballot_that_does_not_converge() -> None:
    votes = voted(np.random.default_rng(10), 0.98, K, (500,))
    alarms = Alarms(begun(K, 500), Baseline(p=0.97))
    for now in rounds(votes, K, EACH):
        assert alarms.see(now) == []
    stuck = round_of(totals_of(votes, K))
    stuck["open"] = {**stuck["open"], "ballots": 1, "contested": 1, "most_votes": 40}
    [alarm] = alarms.see(stuck)
    assert alarm["what"] == "votes"
    assert "40 votes" in alarm["finding"]


def test_cost_beyond_the_projection() -> None:
    votes = voted(np.random.default_rng(11), 0.9, K, (1000,))

    def costing(dollars: float) -> list[Alarm]:
        alarms = Alarms(begun(K, 1000), Baseline(p=0.85, cost_per_step=float(theory.expected_votes(0.9, K))))
        found = []
        for now in rounds(votes, K, EACH):
            usage = {**now["totals"]["usage"], "cost": dollars * now["totals"]["samples"]}
            now["totals"]["usage"] = usage  # type: ignore[typeddict-item]
            found += alarms.see(now)
        return found

    assert costing(1.0) == []
    [alarm] = costing(1.5)
    assert alarm["what"] == "cost"
    assert alarm["steps"] <= 500


def test_the_test_of_a_rate_keeps_its_level() -> None:
    """At 5 % and the rate at its bound at most 5 % of runs alarm: of 1,000 up to 71, with probability 0.999."""
    random = np.random.default_rng(12)
    fired = 0
    for events in random.binomial(10, 0.05, (1000, 100)):
        test = Rising(0.05)
        fired += any(test.see(10, int(count), 0.05) for count in events)
    assert fired <= 71


def test_the_bounds_of_a_sum_hold_at_all_times() -> None:
    random = np.random.default_rng(13)
    sums = random.normal(size=(1000, 500)).cumsum(axis=1)
    fired = sum(any(above(total, n + 1, 0.05, 50) for n, total in enumerate(run)) for run in sums.tolist())
    assert fired <= 71


@pytest.mark.parametrize(
    "bad", [{"p": 1.2}, {"p": float("nan")}, {"flagged": -0.1}, {"target": 7}, {"raise_k": 1}, {"max_k": 0}]
)
def test_expectations_that_are_none_are_refused(bad: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(bad))):
        Baseline(**bad)


def in_lanes(seed: int, p: P, lanes: int, expected: Baseline, steps: int = 1000, **options: Any) -> list[Alarm]:
    alarms = Alarms(begun(K, steps), expected)
    rounds = arriving(np.random.default_rng(seed), p, K, steps, lanes, **options)
    return [alarm for now in rounds for alarm in alarms.see(now)]


@pytest.mark.parametrize(
    ("lanes", "expected"),
    [(256, Baseline()), (256, Baseline(p=0.95, flagged=0.02)), (1000, Baseline(p=0.95, flagged=0.02))],
)
def test_a_fault_is_seen_in_many_short_lanes(lanes: int, expected: Baseline) -> None:
    """p from 0.95 to 0.8 and flags from 0.02 to 0.2 once half of the steps are started; of 1,000 lanes, all along.

    A run of which all steps begin at once has no beginning to be held against: there it takes a calibration.
    """

    def p(_: Any, share: float) -> float:
        return 0.95 if share < 0.5 else 0.8

    def flags(_: Any, share: float) -> float:
        return 0.02 if share < 0.5 else 0.2

    for seed in range(20):
        found = {alarm["what"] for alarm in in_lanes(seed, p, lanes, expected, flags=flags)}
        assert {"p", "flags"} <= found


@pytest.mark.parametrize("lanes", [100, 1000])
@pytest.mark.parametrize("expected", [Baseline(), Baseline(p=0.95, flagged=0.02, differing=0.045)])
def test_short_lanes_without_a_fault_are_silent(lanes: int, expected: Baseline) -> None:
    """Of 30 runs none alarms; one in a hundred would be as claimed."""
    for seed in range(30):
        assert in_lanes(seed, lambda *_: 0.95, lanes, expected, flags=lambda *_: 0.02) == []


@pytest.mark.parametrize(("alike", "steps"), [(True, 80), (False, 120)])
def test_a_cache_is_seen_by_ballots_that_are_not_contested(*, alike: bool, steps: int) -> None:
    """At p = 0.9 all answers of a step are one: of 30 runs all alarm; with a first vote of its own somewhat later."""
    expected = Baseline(p=0.88, differing=0.07, first_alike=alike)
    for seed in range(30):
        [alarm] = in_lanes(seed, lambda *_: 0.9, 10, expected, steps=150, repeats=1.0)
        assert alarm["what"] == "uncontested"
        assert alarm["steps"] <= steps


@pytest.mark.parametrize("lanes", [50, 250])
def test_steps_that_differ_are_seen_by_the_depth_of_contests(lanes: int) -> None:
    """5 % of the steps at p = 0.6 and the others at 0.99: of 20 runs three quarters alarm within 1,000 steps."""

    def p(steps: Any, _: float) -> Any:
        return np.where(steps % 20 == 0, 0.6, 0.99)

    seen = sum(
        any(alarm["what"] == "uneven" for alarm in in_lanes(seed, p, lanes, Baseline(p=0.96))) for seed in range(20)
    )
    assert seen >= 15


def of_margins(votes: dict[int, Votes], each: int = 50) -> list[dict[str, Any]]:
    """The totals of a run in which steps of these margins take turns, after every `each` steps of every margin."""
    found = []
    for end in range(each, min(map(len, votes.values())) + 1, each):
        parts = [totals_of(one[:end], k) for k, one in votes.items()]
        whole: dict[str, Any] = {**parts[0]}
        for part in parts[1:]:
            for name in ("steps", "samples", "votes", "lost"):
                whole[name] += part[name]
            for name in ("margins", "contested", "votes_per_step", "samples_per_step"):
                pair = whole[name], part[name]  # type: ignore[literal-required]
                whole[name] = [sum(two) for two in zip_longest(*pair, fillvalue=0)]
            whole["shapes"] = whole["shapes"] | part["shapes"]
        found.append(whole)
    return found


@pytest.mark.parametrize(("hard", "alarms"), [(0.6, 8), (0.99, 0)])
def test_steps_that_differ_are_seen_where_steps_have_several_margins(hard: float, alarms: int) -> None:
    """k is 2, 3 or 4 in turns, and one step of twenty hard: of 10 runs most alarm, and none where all are alike."""
    random, seen = np.random.default_rng(21), 0
    p = np.where(np.arange(600) % 20 == 0, hard, 0.99)
    for _ in range(10):
        watch = Alarms({**begun(4, 1800), "k": None}, Baseline(p=0.96))
        runs = of_margins({k: voted(random, p, k, (600,)) for k in (2, 3, 4)})
        seen += any(alarm["what"] == "uneven" for whole in runs for alarm in watch.see(round_of(cast("Totals", whole))))
    assert seen >= alarms if alarms else seen == 0


def test_each_type_of_steps_has_the_votes_of_its_own_p_and_k() -> None:
    """One step of 20 at p = 0.8 with k = 10, the others at 0.999 with k = 2: of 10 runs none alarms until one is split.

    The pooled p, 0.96, would have it that 22 votes are enough where k is 10.
    """
    random = np.random.default_rng(22)
    own = {str(k): contested(p, [0] * k + [1]) for p, k in ((0.75, 10), (0.99, 2))}
    for _ in range(10):
        watch = Alarms({**begun(10, 600), "k": None}, Baseline(p=0.96, contested=own))
        votes = {2: voted(random, 0.999, 2, (570,)), 10: voted(random, 0.8, 10, (30,))}
        whole = cast("Totals", of_margins(votes, each=30)[0])
        split = round_of(whole)
        split["open"] = {**split["open"], "ballots": 1, "contested": 1, "most_votes": 150}
        found = [[alarm["what"] for alarm in watch.see(now)] for now in (round_of(whole), split)]
        assert [("votes" in kinds) for kinds in found] == [False, True]


def audited(p: float, second: float, repeated: float, steps: int = 1500) -> list[Alarm]:
    """Each step is audited at k = 3; on a share `repeated` of the steps the first way repeats a wrong answer."""
    random = np.random.default_rng(15)
    alarms, found = Alarms(begun(K, steps), Baseline(p=p, audit_k=K)), []
    votes = voted(random, p, K, (steps,))
    again = voted(random, second, K, (steps,))
    wrong = (random.random(steps) < repeated) | (random.random(steps) > theory.p_correct(p, K))
    disagreed = wrong != (random.random(steps) > theory.p_correct(second, K))
    for end in range(EACH, steps + 1, EACH):
        counts = {"audits": end, "disagreed": int(disagreed[:end].sum())}
        now = round_of(totals_of(votes[:end], K, **counts))
        now["audited"] = [EACH, int((again[end - EACH : end] > K).sum())]
        found += [alarm for alarm in alarms.see(now) if alarm["what"] == "audit"]
    return found


def test_an_audit_holds_each_way_to_ask_against_its_own_p() -> None:
    """A second way that is merely worse is no alarm; that one of both repeats errors is."""
    assert audited(0.95, 0.75, repeated=0) == []
    [alarm] = audited(0.95, 0.9, repeated=0.08)
    assert "errors repeat under one of both" in alarm["finding"]


@pytest.mark.parametrize(("every", "alarms"), [(4, ["refusals"]), (0, [])])
def test_steps_that_are_refused(every: int, alarms: list[str]) -> None:
    @never_waits
    async def refusing(requests: Sequence[Request]) -> list[AIMessage]:
        return [answer(request) for request in requests]

    def answer(request: Request) -> AIMessage:
        if every and request.number == 0 and int(request.subtask_id) % every == 0:
            return AIMessage("", additional_kwargs={"refusal": "I cannot count"})
        return AIMessage(right(request))

    store = InMemoryStore()
    run = solve(Counting(60), refusing, k=2, store=store, run_id="r", max_total_samples=70)
    run = solve(Counting(60), refusing, k=2, store=store, run_id="r")
    assert run.status == "solved"
    assert [alarm["what"] for alarm in journal.alarms(store, "r") if alarm["what"] != "flags"] == alarms
    refused = sum(entry["signals"].get("refused", 0) for entry in journal.read(store, "r"))
    assert refused == (60 // every if every else 0)
