"""p and v from ballots alone: where the estimates are, and how often their intervals miss."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from ballots import totals_of, voted
from hypothesis import given
from hypothesis import strategies as st

from langgraph_maker import theory
from langgraph_maker.nodes.totals import nothing
from langgraph_maker.runs.monitor.outlook import outlook
from langgraph_maker.theory.inference import (
    Estimate,
    log_all_right,
    p_from_ballots,
    rate_interval,
    undecided,
    valid_rate,
)
from langgraph_maker.theory.mixture import equal, shape

RUNS = 600
# of 600 intervals that miss with 5 %, more than 47 miss with probability 0.001, more than 28 of either side likewise
MOST_MISSES, MOST_A_SIDE = 47, 28


@pytest.mark.parametrize(
    ("p", "k", "steps"),
    [
        (0.9978, 3, 1000),
        (0.99, 4, 300),
        (0.95, 2, 200),
        (0.9, 3, 200),
        (0.8, 5, 200),
        (0.65, 6, 100),
        (0.55, 8, 200),
        (0.999, 3, 100),
    ],
)
def test_p_is_unbiased_and_its_interval_holds_it(p: float, k: int, steps: int) -> None:
    votes = voted(np.random.default_rng(1), p, k, (RUNS, steps))
    found = [p_from_ballots(totals_of(run, k)) for run in votes]
    values = np.array([one.value for one in found], float)
    error = 4 * values.std() / RUNS**0.5  # missed with probability 6e-5
    assert abs(values.mean() - p) < error + 0.2 * values.std()  # a bias far below the spread
    too_high, too_low = sum(one.low > p for one in found), sum(one.high < p for one in found)
    assert max(too_high, too_low) <= MOST_A_SIDE
    assert too_high + too_low <= MOST_MISSES


@pytest.mark.parametrize(
    ("p", "k", "v", "steps"), [(0.99, 3, 0.95, 300), (0.9, 3, 0.7, 200), (0.8, 5, 0.99, 200), (0.65, 6, 0.3, 100)]
)
def test_p_and_v_lie_in_their_intervals_side_by_side(p: float, k: int, v: float, steps: int) -> None:
    """A ballot ends with a vote, so that flags come before votes, as many as they will."""
    random = np.random.default_rng(6)
    votes = voted(random, p, k, (RUNS, steps))
    flagged = random.negative_binomial(votes.sum(axis=1), v)
    totals = [
        totals_of(run, k, samples=int(run.sum() + flags), flagged=int(flags))
        for run, flags in zip(votes, flagged, strict=True)
    ]
    for truth, found in (
        (v, [valid_rate(one) for one in totals]),
        (p, [p_from_ballots(one) for one in totals]),
    ):
        too_high, too_low = sum(one.low > truth for one in found), sum(one.high < truth for one in found)
        assert max(too_high, too_low) <= MOST_A_SIDE
        assert too_high + too_low <= MOST_MISSES


def test_the_mean_share_of_ballots_is_no_estimate() -> None:
    votes = voted(np.random.default_rng(2), 0.7, 3, (20_000,))
    winners = (votes + 3) / 2
    assert abs((winners / votes).mean() - 0.7) > 0.1
    assert p_from_ballots(totals_of(votes, 3)).value == pytest.approx(0.7, abs=0.01)


def test_margins_of_their_own() -> None:
    random = np.random.default_rng(3)
    few, many = voted(random, 0.8, 2, (4000,)), voted(random, 0.8, 6, (1000,))
    one, other = totals_of(few, 2), totals_of(many, 6)
    both = totals_of(few, 2, margins=[0, 0, 4000, 0, 0, 0, 1000])
    both["steps"] = one["steps"] + other["steps"]
    both["shapes"] = one["shapes"] | other["shapes"]
    found = p_from_ballots(both)
    assert found.value == pytest.approx(0.8, abs=0.012)
    assert found.low < 0.8 < found.high


def test_votes_that_were_never_lost_do_not_make_p_one_for_sure() -> None:
    found = p_from_ballots(totals_of(np.full(1000, 3), 3))
    assert (found.value, found.high) == (1.0, 1.0)
    assert found.low == pytest.approx(1 - 3.689 / 3000, abs=1e-5)


def test_with_k_1_ballots_say_nothing() -> None:
    totals = totals_of(np.full(1000, 1), 1)
    assert p_from_ballots(totals) == Estimate(None, 0.5, 1.0)
    assert "not known" in outlook(totals, planned=1000).guarantee
    assert "7 of the steps were decided by a human" in outlook({**totals, "by_human": 7}, planned=1000).guarantee


def test_lost_votes_beyond_any_p_are_p_one_half() -> None:
    found = p_from_ballots(totals_of(np.full(100, 41), 3))
    assert found.value == pytest.approx(0.5)
    assert "as often as right" in outlook(totals_of(np.full(100, 41), 3), planned=None).guarantee


@given(st.floats(0.55, 0.9999), st.integers(2, 12))
def test_the_likeliest_p_is_that_of_ballots_as_they_are_expected(p: float, k: int) -> None:
    law = list(undecided(p, k, 1500))  # beyond which no ballot is open
    counts = {n: round(1e9 * (before - after)) for n, (before, after) in enumerate(pairwise(law), start=1)}
    shapes = {shape(n, (n + k) // 2, k): count for n, count in counts.items() if count}
    assert equal(shapes) == pytest.approx(p, abs=2e-3)


def test_no_error_so_far_is_p_full() -> None:
    assert np.exp(log_all_right(0.95, [0, 0, 0, 1000])) == pytest.approx(theory.p_full(0.95, 3, 1000), rel=1e-12)


def test_undecided_is_the_law_of_the_votes() -> None:
    votes = voted(np.random.default_rng(4), 0.75, 3, (100_000,))
    seen = [(votes > j).mean() for j in range(15)]
    assert seen == pytest.approx(list(undecided(0.75, 3, 14)), abs=0.007)  # 4 standard errors


def test_rates_have_nominal_intervals() -> None:
    random = np.random.default_rng(5)
    for rate in (0.0005, 0.003, 0.05):
        found = [rate_interval(int(events), 10_000) for events in random.poisson(rate * 10_000, RUNS)]
        assert sum(not low <= rate <= high for low, high in found) <= MOST_MISSES


def test_v_from_flags() -> None:
    few = valid_rate({**nothing(), "samples": 1000, "flagged": 28})
    assert few.value == 0.972
    assert (few.low, few.high) == pytest.approx((0.9598, 0.9813), abs=5e-4)
    many = valid_rate({**nothing(), "samples": 1_000_000, "flagged": 400_000})
    assert (many.low, many.high) == pytest.approx((0.6 - 0.00096, 0.6 + 0.00096), abs=2e-5)
