"""When a ballot is given up: false alarms and power as statistics, with 99.9 % confidence. Seeds are fixed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from langgraph_maker.theory.abandonment import ALPHA_FLAGS, ALPHA_LEVEL, LEAST_VALID, gives_up
from langgraph_maker.theory.scaling import p_correct

BALLOTS = 20_000


class Fates(NamedTuple):
    """How many ballots were given up, for which reason, and decided wrongly; and the samples of those given up."""

    level: int
    flags: int
    wrong: int
    samples: NDArray[np.int64]


def fates(shares: Sequence[float], k: int, *, valid: float = 1.0, error: float = 0.001, most: int = 250) -> Fates:
    """Ballots that are looked at after every sample; `shares` are those of the answers, the right one first."""
    rng = np.random.default_rng(7)
    counts = np.zeros((BALLOTS, len(shares) + 1), int)  # the flags last
    places = 1000 ** np.arange(len(shares) + 1)
    level = flags = wrong = 0
    samples = []
    for drawn in range(1, most + 1):
        cast = rng.choice(len(shares) + 1, len(counts), p=[*(share * valid for share in shares), 1 - valid])
        counts[np.arange(len(counts)), cast] += 1
        ranked = np.sort(counts[:, :-1], axis=1)
        decided = ranked[:, -1] - ranked[:, -2] >= k
        wrong += int((decided & (counts[:, 0] < ranked[:, -1])).sum())
        counts = counts[~decided]
        _, first, which = np.unique(counts @ places, return_index=True, return_inverse=True)
        states = counts[first].tolist()
        why = np.array([gives_up(state[:-1], state[-1], k, error)[:1] for state in states] or [""])[which]
        level, flags = level + int((why == "v").sum()), flags + int((why == "f").sum())
        samples += [drawn] * int((why != "").sum())
        counts = counts[why == ""]
    assert len(counts) < BALLOTS / 1000
    return Fates(level, flags, wrong, np.array(samples))


def most_of(count: int, total: int) -> float:
    """The upper bound on a share."""
    share = max(count, 1) / total
    return share + 3.1 * math.sqrt(share / total)


def easy(k: int, error: float) -> float:
    """p0, by Eq 9 the least p at which k errs at most that often."""
    p = 1 / (1 + math.pow(error / (1 - error), 1 / k))
    assert p_correct(p, k) == pytest.approx(1 - error)
    return p


@pytest.mark.parametrize(
    ("k", "error", "valid", "wrong"),
    [
        (3, 0.001, LEAST_VALID, 1),
        (3, 0.001, 0.97, 1),
        (4, 0.001, LEAST_VALID, 3),
        (3, 0.00001, LEAST_VALID, 1),
        (5, 0.00001, 1.0, 4),
    ],
)
def test_fewer_than_one_easy_step_in_a_hundred_is_given_up(k: int, error: float, valid: float, wrong: int) -> None:
    p = easy(k, error)
    found = fates([p, *[(1 - p) / wrong] * wrong], k, valid=valid, error=error)
    assert most_of(found.level + found.flags, BALLOTS) < 0.01
    assert most_of(found.level, BALLOTS) < ALPHA_LEVEL
    assert found.flags < ALPHA_FLAGS * BALLOTS + 3.1 * math.sqrt(ALPHA_FLAGS * BALLOTS)


def test_the_bounds_on_false_alarms_are_what_is_promised() -> None:
    assert ALPHA_LEVEL + ALPHA_FLAGS < 0.01


@pytest.mark.parametrize(("k", "error", "share"), [(3, 0.001, 0.22), (3, 0.00001, 0.52), (5, 0.001, 0.28)])
def test_of_ballots_between_two_equal_answers_it_gives_up_what_it_says(k: int, error: float, share: float) -> None:
    found = fates([0.5, 0.5], k, error=error, most=20 * k * k)
    assert found.level / BALLOTS == pytest.approx(share, abs=0.01)
    assert found.wrong / BALLOTS == pytest.approx((1 - share) / 2, abs=0.01)


def test_answers_that_scatter_are_given_up_nearly_always() -> None:
    found = fates([0.2] * 5, 4)
    assert found.level > 0.9 * BALLOTS
    assert found.samples.mean() < 11


@pytest.mark.parametrize(("valid", "mean"), [(0.0, 16), (0.05, 21), (0.1, 29)])
def test_a_tier_that_raises_flags_only_is_left_soon(valid: float, mean: float) -> None:
    found = fates([0.99, 0.01], 30, valid=valid)
    assert found.flags > 0.99 * BALLOTS
    assert found.samples.mean() == pytest.approx(mean, abs=1)


@given(st.integers(1, 12), st.lists(st.integers(0, 30), max_size=5), st.integers(0, 60))
def test_it_depends_on_the_leader_the_votes_and_the_flags_alone(k: int, counts: list[int], flagged: int) -> None:
    said = gives_up(counts, flagged, k)
    assert said == gives_up(counts[::-1], flagged, k)
    assert bool(said) <= bool(gives_up(counts, flagged + 1, k))  # a further flag never speaks for staying


def test_a_ballot_is_not_given_up_at_its_start_nor_for_being_long() -> None:
    assert gives_up([], 0, 3) == ""
    assert gives_up([5, 3], 0, 4) == ""
    assert gives_up([300, 100], 40, 500) == ""
    assert gives_up([40, 39], 0, 3)


def test_the_less_k_may_err_the_sooner_a_contested_ballot_goes() -> None:
    votes = [next(n for n in range(2, 100, 2) if gives_up([n // 2] * 2, 0, 3, error)) for error in (0.1, 1e-3, 1e-5)]
    assert votes == sorted(votes, reverse=True)
    assert len(set(votes)) == 3


@pytest.mark.parametrize("error", [0, 0.5, 1, -0.1, float("nan")])
def test_an_error_that_is_none_is_refused(error: float) -> None:
    with pytest.raises(ValueError, match="error, how often k may err on an easy step, is above 0 and below 1/2, not"):
        gives_up([1, 1], 0, 3, error)


def test_a_margin_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="k, the margin"):
        gives_up([1, 1], 0, 0)
