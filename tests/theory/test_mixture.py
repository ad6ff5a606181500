"""What shapes of ballots say of steps that differ, and a bound on those on which answers are split."""

from __future__ import annotations

from math import exp

import numpy as np
import pytest
from ballots import shapes_of, voted
from hypothesis import given
from hypothesis import strategies as st

from langgraph_maker import theory
from langgraph_maker.theory.inference import undecided
from langgraph_maker.theory.mixture import contested, equal, likelihood_gain, most_contested, pooled, shape, spread

RUNS = 200


def law(p: float, k: int, votes: int) -> dict[str, int]:
    """The shapes of very many ballots of one p, as often as they are to be expected."""
    open_after = list(undecided(p, k, votes))
    return {
        shape(n, (n + k) // 2, k): count
        for n in range(k, votes + 1)
        if (count := round(1e9 * (open_after[n - 1] - open_after[n])))
    }


def mixed(random: np.random.Generator, hard: int, p: float, easy: int, p_easy: float, k: int) -> dict[str, int]:
    """The shapes of a run with some hard steps."""
    of = np.concatenate([np.full(hard, p), np.full(easy, p_easy)])
    return shapes_of(voted(random, of, k, (of.size,)), k)


@pytest.mark.parametrize(("p", "k"), [(0.6, 3), (0.9, 3), (0.8, 5), (0.999, 2)])
def test_of_equal_steps_the_mixture_is_one_p(p: float, k: int) -> None:
    shapes = law(p, k, 300)
    found = spread(shapes)
    assert found is not None
    mean = float(found.share @ found.p)
    assert mean == pytest.approx(p, abs=0.015)
    assert found.alike < 0.01
    one = theory.p_correct(p, k)
    assert exp(found.decided({shape(k, k, k): 1})) == pytest.approx(one, abs=0.3 * (1 - one) + 1e-6)


def test_steps_that_differ_are_seen_and_counted_on() -> None:
    """5 % at .6 among .99: the product over the steps is .075, and one p for all would say .97."""
    random, said, gains = np.random.default_rng(1), [], []
    for _ in range(RUNS):
        shapes = mixed(random, 10, 0.6, 190, 0.99, 3)
        found, p = spread(shapes), equal(shapes)
        assert found is not None
        assert p is not None
        said.append(exp(found.decided(shapes)))
        gains.append(likelihood_gain(p, found, shapes))
    assert 0.02 < np.median(said) < 0.2
    assert sum(gain > 3 for gain in gains) > 0.9 * RUNS


def test_equal_steps_are_not_said_to_differ() -> None:
    """In at most 2 % of runs, of which more than 10 in 200 come with a probability of 0.003."""
    random, differ = np.random.default_rng(2), 0
    for p, k in ((0.95, 4), (0.99, 3), (0.8, 6), (0.7, 2)):
        differ = 0
        for _ in range(RUNS):
            shapes = mixed(random, 0, 0.5, 300, p, k)
            found, one = spread(shapes), equal(shapes)
            assert found is not None
            assert one is not None
            differ += likelihood_gain(one, found, shapes) > 3
        assert differ <= 10


@pytest.mark.parametrize("p", [1 / 3, 0.4, 0.5, 0.6, 2 / 3])
@pytest.mark.parametrize(("hard", "k", "p_easy"), [(4, 3, 0.999), (10, 3, 0.99), (10, 2, 0.999), (3, 5, 0.95)])
def test_split_steps_are_no_more_than_the_bound(p: float, hard: int, k: int, p_easy: float) -> None:
    """It misses in at most 5 % of runs; of 200, more than 20 would come with a probability of 0.001."""
    random = np.random.default_rng(3)
    bounds = [most_contested(mixed(random, hard, p, 200 - hard, p_easy, k), {}, 0) for _ in range(RUNS)]
    assert all(bound is not None for bound in bounds)
    assert sum(hard > (bound or 0) for bound in bounds) <= 20


def test_what_is_open_may_be_split() -> None:
    decided = {"3:3:3": 100}
    alone = most_contested(decided, {}, 0)
    assert alone is not None
    assert most_contested(decided, {"2:1:0": 7, "0:0:0": 2}, 3) == alone + 12
    assert most_contested({"1:1:1": 9}, {}, 0) is None


def test_ballots_that_are_open_speak_for_the_steps_that_are_slow() -> None:
    """Looked at after three votes each, those that are decided are all unanimous."""
    random = np.random.default_rng(4)
    right = (random.random((1000, 3)) < 0.9).sum(axis=1)
    leading = np.maximum(right, 3 - right)
    decided = {"3:3:3": int((leading == 3).sum())}
    still = {"3:2:1": int((leading == 2).sum())}
    assert equal(decided) == 1.0
    assert equal(decided, still) == pytest.approx(0.9, abs=0.02)
    assert contested(decided, still) == still["3:2:1"]


@given(st.integers(2, 6), st.integers(1, 5), st.floats(0.55, 0.99))
def test_an_open_ballot_is_right_in_the_end_as_the_law_of_ruin_has_it(k: int, lead: int, p: float) -> None:
    """From a lead of m, of the answer that is right with odds (p / q)^m, to a lead of k."""
    m = min(lead, k - 1)
    found = spread(law(p, max(3, k), 200))
    assert found is not None
    one = type(found)(np.array([p]), np.array([1.0]))
    odds = p / (1 - p)
    leads = odds**m / (1 + odds**m)

    def ruin(ahead: int) -> float:
        return float((1 - odds ** -(ahead + k)) / (1 - odds ** (-2 * k)))

    expected = leads * ruin(m) + (1 - leads) * ruin(-m)
    assert exp(one.to_decide({shape(m, m, m): 1}, k)) == pytest.approx(expected, rel=1e-9)
    assert 1 - one.to_come(k) == pytest.approx(theory.p_correct(p, k), rel=1e-12)


def test_no_votes_say_nothing() -> None:
    assert equal({"0:0:0": 3}) is None
    assert spread({}) is None
    assert pooled({}) is None
