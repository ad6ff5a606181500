"""Intervals against the truth they should hold, over 2,000 seeds each; tests of independence against all the ways."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from fractions import Fraction
from itertools import combinations
from math import comb

import numpy as np
import pytest
from numpy.typing import NDArray

from langgraph_maker.theory.intervals import (
    Interval,
    collision_test,
    confidence_sequence,
    exact_interval,
    expected_collisions,
    upper_bound,
)

SEEDS = 2000
Rule = Callable[[int, int], Interval]


def covered(rule: Rule, counts: NDArray[np.int64], samples: int | NDArray[np.int64], truth: float) -> float:
    """The share of the seeds whose interval holds the truth."""
    pairs = Counter(zip(counts.tolist(), np.broadcast_to(samples, counts.shape).tolist(), strict=True))
    held = sum(times for (x, n), times in pairs.items() if rule(x, n).low <= truth <= rule(x, n).high)
    return held / counts.size


def population(p: float, hard: float, steps: int = 20_000) -> NDArray[np.float64]:
    """A p for each step: always wrong on the share `hard`, uneven elsewhere, `p` on average."""
    rng = np.random.default_rng(7)
    alike = rng.beta(20 * p, 20 * (1 - p), steps)
    return np.where(np.arange(steps) < hard * steps, 0.0, alike)


# coverage


@pytest.mark.parametrize("p", [0.05, 0.5, 0.6429, 0.9, 0.99, 0.9978])
@pytest.mark.parametrize("samples", [1, 20, 200, 1000])
def test_exact_intervals_cover(p: float, samples: int) -> None:
    counts = np.random.default_rng(1).binomial(samples, p, SEEDS)
    assert covered(exact_interval, counts, samples, p) >= 0.94


@pytest.mark.parametrize(("p", "hard"), [(0.9, 0.05), (0.99, 0.01), (0.999, 0.002), (0.65, 0.1)])
@pytest.mark.parametrize("samples", [100, 1000])
def test_intervals_cover_where_errors_cluster_by_step(p: float, hard: float, samples: int) -> None:
    steps, rng = population(p, hard), np.random.default_rng(2)
    drawn = np.argsort(rng.random((SEEDS // 100, steps.size)), axis=1)[:, :samples]  # one sample of each such step
    counts = np.concatenate([(rng.random(drawn.shape) < steps[drawn]).sum(axis=1) for _ in range(100)])
    assert covered(exact_interval, counts, samples, steps.mean()) >= 0.94
    assert covered(confidence_sequence, counts, samples, steps.mean()) >= 0.94


def test_samples_of_one_step_taken_for_as_many_steps_would_not_cover() -> None:
    steps, rng = population(0.99, 0.05), np.random.default_rng(3)
    drawn = np.repeat(rng.integers(steps.size, size=(SEEDS, 100)), 10, axis=1)
    counts = (rng.random(drawn.shape) < steps[drawn]).sum(axis=1)
    assert covered(exact_interval, counts, 1000, steps.mean()) < 0.7


@pytest.mark.parametrize("hard", [0.0, 0.02])
@pytest.mark.parametrize("p", [0.7, 0.95, 0.99])
def test_confidence_sequences_cover_when_sampling_stops_at_the_worst_moment(p: float, hard: float) -> None:
    steps, rng, most = population(p, hard), np.random.default_rng(4), 1000
    truth = steps.mean()
    right = (rng.random((SEEDS, most)) < steps[rng.integers(steps.size, size=(SEEDS, most))]).cumsum(axis=1)
    samples = np.arange(1, most + 1)
    deviations = np.abs(right - truth * samples) / np.sqrt(truth * (1 - truth) * samples)
    deviations[:, :30] = 0
    stop = np.where((deviations > 2.2).any(axis=1), (deviations > 2.2).argmax(axis=1), most - 1)
    counts = right[np.arange(SEEDS), stop]
    assert covered(confidence_sequence, counts, samples[stop], truth) >= 0.94
    if p < 0.98:  # where errors are many enough for a worst moment to come
        assert covered(exact_interval, counts, samples[stop], truth) < 0.9


def test_bounds_of_what_was_never_seen_cover() -> None:
    for share in (0.0005, 0.003, 0.02):
        counts = np.random.default_rng(5).binomial(1000, share, 20 * SEEDS)
        assert covered(lambda x, n: Interval(0, upper_bound(x, n)), counts, 1000, share) >= 0.94


# exactness


@pytest.mark.parametrize(("successes", "samples"), [(1, 1), (0, 7), (5, 9), (99, 100), (100, 100), (64, 100)])
@pytest.mark.parametrize("confidence", [0.5, 0.95, 0.999])
def test_at_each_bound_the_count_is_as_unlikely_as_it_should_be(
    successes: int, samples: int, confidence: float
) -> None:
    def at_least(count: int, p: float) -> float:
        exact = Fraction(p)
        return float(
            sum(
                comb(samples, hits) * exact**hits * (1 - exact) ** (samples - hits)
                for hits in range(count, samples + 1)
            )
        )

    low, high = exact_interval(successes, samples, confidence)
    miss = (1 - confidence) / 2
    assert (low == 0) if successes == 0 else at_least(successes, low) == pytest.approx(miss, rel=1e-9)
    if successes == samples:
        assert high == 1
    else:
        assert 1 - at_least(successes + 1, high) == pytest.approx(miss, rel=1e-9)


def test_the_rule_of_three() -> None:
    assert upper_bound(0, 1000) == pytest.approx(3 / 1000, rel=0.01)
    assert upper_bound(0, 0) == 1
    assert upper_bound(3, 3) == 1


def test_all_right_leaves_a_lower_bound_below_one() -> None:
    for rule in (exact_interval, confidence_sequence):
        for samples in (1, 10, 1000):
            assert 0 < rule(samples, samples).low < 1
            assert rule(samples, samples).high == 1
            assert rule(0, samples) == pytest.approx((0, 1 - rule(samples, samples).low))
        assert rule(0, 0) == (0, 1)


def test_a_confidence_sequence_is_wider_but_shrinks_as_fast() -> None:
    for successes, samples in ((600, 1000), (990, 1000), (1000, 1000), (60_000, 100_000)):
        exact, anytime = exact_interval(successes, samples), confidence_sequence(successes, samples)
        assert anytime.low < exact.low
        assert anytime.high >= exact.high
        assert anytime.high - anytime.low < 2.2 * (exact.high - exact.low)


@pytest.mark.parametrize(("successes", "samples"), [(-1, 3), (4, 3)])
def test_counts_that_are_none_are_refused(successes: int, samples: int) -> None:
    for rule in (exact_interval, confidence_sequence, upper_bound):
        with pytest.raises(ValueError, match=f"not {successes} of {samples}"):
            rule(successes, samples)
        with pytest.raises(ValueError, match="confidence is above 0 and below 1, not 1"):
            rule(1, 3, 1)


# independence


@pytest.mark.parametrize("pairs", [1, 3, 5])
def test_the_collision_test_counts_all_ways(pairs: int) -> None:
    for wrong in range(2 * pairs + 1):
        ways = [
            sum(times == 2 for times in Counter(slot // 2 for slot in slots).values())
            for slots in combinations(range(2 * pairs), wrong)
        ]
        assert expected_collisions(pairs, wrong) == pytest.approx(sum(ways) / len(ways))
        for both in set(ways):
            assert collision_test(pairs, wrong, both) == pytest.approx(sum(w >= both for w in ways) / len(ways))


def p_values(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> NDArray[np.float64]:
    wrong, both = (first.sum(axis=1) + second.sum(axis=1)).tolist(), (first & second).sum(axis=1).tolist()
    return np.array([collision_test(first.shape[1], w, b) for w, b in zip(wrong, both, strict=True)])


@pytest.mark.parametrize(("error", "pairs"), [(0.35, 250), (0.18, 250), (0.05, 250), (0.01, 250), (0.3, 20)])
def test_independent_errors_seldom_raise_the_alarm(error: float, pairs: int) -> None:
    wrong = np.random.default_rng(6).random((2, SEEDS, pairs)) < error
    alarms = (p_values(*wrong) < 0.05).mean()
    assert alarms <= 0.06  # 0.05 and two standard errors
    assert alarms >= 0.02 or error * error * pairs < 5  # not by never raising it


@pytest.mark.parametrize(("hard", "error"), [(0.02, 0.002), (0.12, 0.18), (0.03, 0.02)])
def test_clustered_errors_raise_it(hard: float, error: float) -> None:
    rng = np.random.default_rng(8)
    rates = np.where(rng.random((SEEDS, 250)) < hard, 0.9, error)
    wrong = rng.random((2, SEEDS, 250)) < rates
    assert (p_values(*wrong) < 0.05).mean() >= 0.9


def test_counts_of_pairs_that_contradict_each_other_are_refused() -> None:
    for pairs, wrong, both in ((2, 4, 1), (2, 2, 2), (2, 2, -1)):
        with pytest.raises(ValueError, match=f"{both} of {pairs} pairs cannot be wrong twice when {wrong}"):
            collision_test(pairs, wrong, both)
    with pytest.raises(ValueError, match="not 5 of 4"):
        collision_test(2, 5, 2)
    assert collision_test(0, 0, 0) == 1
