"""Which k a calibration calls for: by samplers whose truth is known, over many calibrations."""

from __future__ import annotations

from math import lgamma

import numpy as np
import pytest
from numpy.typing import NDArray

from langgraph_maker import theory
from langgraph_maker.runs.calibration.margin_choice import OfType, averaged, by_type, fisher, mixed, types_differ
from langgraph_maker.runs.calibration.result import margin_or_none
from langgraph_maker.runs.calibration.second_look import cleared, condemned, power
from langgraph_maker.theory.intervals import exact_interval, upper_bound


def binomial(n: int, p: float) -> NDArray[np.float64]:
    """The law of right samples."""
    counts = np.arange(n + 1)
    ways = np.array([lgamma(n + 1) - lgamma(k + 1) - lgamma(n - k + 1) for k in counts])
    return np.asarray(np.exp(ways + counts * np.log(p) + (n - counts) * np.log1p(-p)))


@pytest.mark.parametrize(
    ("p", "n", "steps"), [(0.8, 300, 1000), (0.95, 100, 10**6), (0.99, 1000, 100), (0.999, 1000, 100)]
)
def test_the_average_over_calibrations_is_the_target_and_cheaper_than_the_lower_bound(
    p: float, n: int, steps: int
) -> None:
    """Exact: the sum over all counts of right samples, but for those that one calibration in 100,000 has."""
    law, kept, spread, votes, dear = binomial(n, p), 0.0, 0.0, 0.0, 0.0
    for right in np.flatnonzero(law > 1e-5):
        k = averaged(int(right), n, steps, 0.95)
        pair = mixed(int(right), n, steps, 0.95)
        low = margin_or_none(exact_interval(int(right), n).low, None, steps, 0.95)
        assert k is not None
        assert pair is not None
        assert low is not None
        kept += law[right] * theory.p_full(p, k, steps)
        less = theory.p_full(p, max(1, pair[0] - 1), steps) or 1e-300
        spread += law[right] * theory.p_full(p, pair[0], steps) ** pair[1] * less ** (1 - pair[1])
        votes += law[right] * theory.expected_votes(p, k)
        dear += law[right] * theory.expected_votes(p, low)
    assert kept >= 0.95
    assert spread >= 0.948
    assert votes < dear


@pytest.mark.parametrize(
    ("shares", "saved"),
    [(((950, 0.999), (50, 0.8)), 0.55), (((990, 0.999), (10, 0.6)), 0.8), (((800, 0.999), (200, 0.8)), 0.36)],
)
def test_k_by_type_takes_the_fewest_votes(shares: tuple[tuple[int, float], ...], saved: float) -> None:
    """Where p is known, against one k for all, by which the worst type alone keeps the target."""
    many = 10**5
    types = [OfType(f"{p}", steps, many, round(p * many)) for steps, p in shares]
    found = by_type(types, 0.95)
    assert found is not None
    kept, votes = 1.0, 0.0
    for one, (steps, p) in zip(found, shares, strict=True):
        assert one.k is not None
        kept *= theory.p_full(p, one.k, steps)
        votes += steps * theory.expected_votes(p, one.k)
    assert kept >= 0.949
    one_for_all = next(k for k in range(1, 99) if np.prod([theory.p_full(p, k, steps) for steps, p in shares]) >= 0.95)
    dear = sum(steps * theory.expected_votes(p, one_for_all) for steps, p in shares)
    assert votes <= (1 - saved + 0.1) * dear


def test_k_by_type_keeps_the_target_on_average() -> None:
    """Over 60 calibrations of 1,000 samples, 95 % of the steps at p = 0.99 and 5 % at 0.8."""
    random, kept = np.random.default_rng(3), []
    for _ in range(60):
        types = [
            OfType("easy", 950, 950, int(random.binomial(950, 0.99))),
            OfType("hard", 50, 50, int(random.binomial(50, 0.8))),
        ]
        found = by_type(types, 0.95)
        assert found is not None
        ks = [one.k or 0 for one in found]
        kept.append(theory.p_full(0.99, ks[0], 950) * theory.p_full(0.8, ks[1], 50))
    assert np.mean(kept) >= 0.95


def test_the_lower_bounds_of_all_types_hold_at_once() -> None:
    random, missed = np.random.default_rng(4), 0
    truths = [0.99, 0.9, 0.7, 0.95]
    for _ in range(120):
        types = [OfType(str(at), 100, 100, int(random.binomial(100, p))) for at, p in enumerate(truths)]
        found = by_type(types, 0.5, conservative=True) or []
        missed += any(one.p_low > p for one, p in zip(found, truths, strict=False))
    assert missed <= 10  # of 120 at 2.5 %: exceeded with probability 0.0004


def test_types_that_are_alike_are_seldom_told_apart() -> None:
    random, told = np.random.default_rng(5), 0
    for _ in range(100):
        told += (
            types_differ({"a": (int(random.binomial(500, 0.95)), 500), "b": (int(random.binomial(50, 0.95)), 50)})
            < 0.05
        )
    assert told <= 13  # of 100 at 5 %: exceeded with probability 0.0005


@pytest.mark.parametrize(
    ("hard", "p_hard", "p", "least"), [(0.0, 0.9, 0.95, 0.0), (0.05, 0.6, 0.99, 0.8), (0.02, 0.3, 0.99, 0.9)]
)
def test_the_test_of_repeating_errors(hard: float, p_hard: float, p: float, least: float) -> None:
    """Of the first fresh sample of each step that went wrong: seldom where all are alike, mostly where not."""
    random, seen, runs = np.random.default_rng(6), 0, 300
    for _ in range(runs):
        ps = np.where(random.random(1000) < hard, p_hard, p)
        wrong = random.random(1000) > ps
        again = random.random(1000) > ps
        seen += fisher([(int((again & wrong).sum()), int(wrong.sum()), int(wrong.sum()), 1000)]) < 0.05
    if hard:
        assert seen >= least * runs
    else:
        assert seen <= 24  # of 300 at 4 %: exceeded with probability 0.0004


@pytest.mark.slow
@pytest.mark.parametrize(("bad", "p_bad"), [(0.01, 0.3), (0.03, 0.5), (0.1, 0.3), (0.1, 0.45)])
@pytest.mark.parametrize("p", [0.8, 0.99])
def test_the_bound_on_steps_that_no_k_can_save_holds(bad: float, p_bad: float, p: float) -> None:
    """Of 200 calibrations of 400 samples at most 5 % have a bound below the truth, with allowance for chance."""
    assert missed(bad, p_bad, p, 200) <= 20  # of 200 at 5 %: exceeded with probability 0.001


def test_the_bound_on_steps_that_no_k_can_save_holds_where_they_look_good_half_of_the_time() -> None:
    assert missed(0.1, 0.5, 0.99, 40) <= 7  # of 40 at 5 %: exceeded with probability 0.001


def missed(bad: float, p_bad: float, p: float, runs: int) -> int:
    """How many calibrations of 400 samples have a bound below the truth."""
    random, low = np.random.default_rng(7), 0
    for _ in range(runs):
        hopeless = random.random(400) < bad
        ps = np.where(hopeless, p_bad, p)
        suspects = np.flatnonzero(random.random(400) > ps)
        left = 0
        for step in suspects:
            answers = ["right" if right else "wrong" for right in random.random(30) < ps[step]]
            ends = [n for n in range(5, 31, 3) if cleared(answers[:n], "right")]
            left += not ends
        low += min(1.0, upper_bound(left, 400) / power()) < hopeless.mean()
    return low


def test_few_steps_are_accused_that_are_mostly_right() -> None:
    """40 suspects of p = 0.6 are accused together in at most 5 % of the cases, and of p = 0 always."""
    random, accused = np.random.default_rng(8), 0
    for _ in range(40):
        looks = [["right" if right else "wrong" for right in random.random(30) < 0.6] for _ in range(40)]
        accused += any(condemned(keys[:n], "right", "wrong", 40) for keys in looks for n in range(5, 31))
    assert accused <= 7  # of 40 at 5 %: exceeded with probability 0.001
    assert condemned(["wrong"] * 20, "right", "wrong", 200)
    assert not condemned(["wrong"] * 20, "right", None, 1)
