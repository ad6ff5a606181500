"""A first vote with a probability of its own, and margins for tasks of unknown length: solved, counted and drawn."""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from langgraph_maker.theory.scaling import expected_cost, expected_votes, k_at_step, k_min, p_correct, p_full

MILLION = 2**20 - 1
Z = NormalDist().inv_cdf(0.9995)


@pytest.mark.parametrize(("p", "p_alt"), [(0.6, 0.4), (0.9, 0.1), (0.51, 0.49), (0.6, 0.1), (0.3, 0.2)])
@pytest.mark.parametrize("k", [1, 2, 3, 7])
@pytest.mark.parametrize("p_first", [0.0, 0.2, 0.9, 1.0])
def test_the_law_solves_the_gamblers_ruin_from_the_first_lead(p: float, p_alt: float, k: int, p_first: float) -> None:
    leads = 2 * k - 1
    walk = np.eye(leads) * (p + p_alt) - np.eye(leads, k=1) * p - np.eye(leads, k=-1) * p_alt
    wins_at_once = np.zeros(leads)
    wins_at_once[-1] = p
    wins = [0.0, *np.linalg.solve(walk, wins_at_once), 1.0]
    votes = [0.0, *np.linalg.solve(walk, np.ones(leads)), 0.0]
    for values, law, own in ((wins, p_correct, 0), (votes, expected_votes, 1)):
        expected = own + p_first * values[k + 1] + (1 - p_first) * values[k - 1]
        assert law(p, k, p_alt=p_alt, p_first=p_first) == pytest.approx(expected, rel=1e-9)


def ballots(p: float, p_first: float, k: int, runs: int, seed: int) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
    """Whether each ballot was won by the right answer, and its votes."""
    rng = np.random.default_rng(seed)
    lead = np.where(rng.random(runs) < p_first, 1, -1)
    votes = np.ones(runs, dtype=np.int64)
    while np.any(going := np.abs(lead) < k):
        lead[going] += np.where(rng.random(going.sum()) < p, 1, -1)
        votes[going] += 1
    return lead == k, votes


@pytest.mark.parametrize(
    ("p", "p_first", "k"), [(0.7, 0.95, 3), (0.7, 0.3, 3), (0.6, 0.9, 5), (0.9, 0.5, 2), (0.55, 0.0, 4), (0.8, 0.9, 1)]
)
def test_ballots_follow_the_law_and_not_that_of_equal_votes(p: float, p_first: float, k: int) -> None:
    won, votes = ballots(p, p_first, k, 400_000, seed=1)
    error = math.sqrt(won.var() / won.size)
    assert abs(won.mean() - p_correct(p, k, p_first=p_first)) <= Z * error
    assert abs(won.mean() - p_correct(p, k)) > 10 * error
    if k > 1:
        assert abs(votes.mean() - expected_votes(p, k, p_first=p_first)) <= Z * votes.std() / math.sqrt(votes.size)


@pytest.mark.parametrize("p", [0.5 + 1e-9, 0.5 + 1e-6, 0.501, 0.6, 0.9978, 1 - 1e-12, 1.0])
@pytest.mark.parametrize("k", [1, 2, 3, 50])
def test_a_first_vote_like_the_others_gives_the_paper_s_laws(p: float, k: int) -> None:
    assert p_correct(p, k, p_first=p) == pytest.approx(p_correct(p, k), rel=1e-14)
    assert expected_votes(p, k, p_first=p) == pytest.approx(expected_votes(p, k), rel=1e-9)
    assert p_full(p, k, MILLION, p_first=p) == pytest.approx(p_full(p, k, MILLION), rel=1e-9)
    assert expected_cost(p, k, 10, 0.5, 0.9, p_first=p) == pytest.approx(expected_cost(p, k, 10, 0.5, 0.9))


def test_at_the_ends_of_the_range() -> None:
    assert p_correct(0.9, 1, p_first=0.3) == pytest.approx(0.3)
    assert p_correct(1, [1, 2], p_first=0.25).tolist() == [0.25, 1]
    assert expected_votes(1, 3, p_first=0) == 5  # one wrong vote to make up for
    assert expected_votes(0.5 + 1e-12, 3, p_first=0.9) == pytest.approx(9, rel=1e-9)
    assert k_min(1, MILLION, p_first=0) == 2
    assert k_min(1, MILLION, p_first=1) == 1


@settings(deadline=None)
@given(st.floats(0.55, 0.999), st.floats(0, 1), st.integers(1, 10**9), st.floats(0.01, 0.999))
def test_k_min_is_the_least_margin_counted_up_from_one(p: float, p_first: float, steps: int, target: float) -> None:
    k = k_min(p, steps, target, p_first=p_first)
    reached = p_full(p, np.arange(1, k + 1), steps, p_first=p_first) >= target
    assert reached[-1]
    assert not reached[:-1].any()


@pytest.mark.parametrize("p", [0.51, 0.6, 0.9])
@pytest.mark.parametrize("p_first", [0.0, 0.3, 0.95, 0.9999, 1.0])
def test_errors_rise_once_at_most_and_then_fall(p: float, p_first: float) -> None:
    # what k_min relies on to find the least margin without trying them all
    errors = 1 - p_correct(p, np.arange(1, 400), p_first=p_first)
    falls = np.diff(errors) < -1e-15
    rises = np.diff(errors) > 1e-15
    assert not rises[np.argmax(falls) :].any()


def test_a_worse_first_vote_needs_a_wider_margin() -> None:
    assert k_min(0.9978, MILLION) == 3
    assert k_min(0.9978, MILLION, p_first=0.95) == 4
    assert k_min([0.9978, 0.6], MILLION, p_first=[[0.5], [0.99]]).tolist() == [[4, 42], [3, 41]]


@pytest.mark.parametrize("p_first", [None, 0.4, 0.9])
@pytest.mark.parametrize("p", [0.6, 0.8, 0.99])
def test_without_a_length_the_whole_of_any_task_reaches_the_target(p: float, p_first: float | None) -> None:
    steps = np.arange(300_000)
    margins = k_at_step(p, steps, 0.9, p_first=p_first)
    assert (np.diff(margins) >= 0).all()
    reached = np.exp(np.cumsum(np.log(p_correct(p, margins, p_first=p_first))))
    assert reached[-1] >= 0.9
    assert margins[-1] - k_min(p, steps.size, 0.9, p_first=p_first) <= math.ceil(math.log(200) / math.log(p / (1 - p)))


def test_margins_of_far_steps_keep_their_digits() -> None:
    # a step may err with odds of t^(-share) - 1, here share = 1 / (i ln(i)^2) but for 1e-15 of itself
    step = 10**15
    odds = -math.log(0.95) / (step * math.log(step) ** 2)
    assert k_at_step(0.6, [0, step]).tolist() == [k_at_step(0.6, 0), math.ceil(-math.log(odds) / math.log(1.5))]


@pytest.mark.parametrize("p_first", [-0.1, 1.1, math.nan, True])
def test_a_p_first_that_is_no_probability_is_refused(p_first: float) -> None:
    for law in (
        lambda: p_correct(0.9, 3, p_first=p_first),
        lambda: k_min(0.9, 10, p_first=p_first),
        lambda: expected_cost(0.9, 3, 10, 1, p_first=p_first),
        lambda: k_at_step(0.9, 1, p_first=p_first),
    ):
        with pytest.raises(ValueError, match="p_first is a"):
            law()


def test_what_else_is_refused() -> None:
    with pytest.raises(ValueError, match=r"p_first is of single steps, but m = 2\.0"):
        p_full(0.9, 3, 10, 2, p_first=0.9)
    with pytest.raises(ValueError, match="step is a whole number of at least 0, not -1"):
        k_at_step(0.9, -1)
