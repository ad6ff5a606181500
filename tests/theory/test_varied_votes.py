"""The law of votes with unequal p against closed forms and simulated ballots, with 99.9 % confidence. Fixed seeds."""

from __future__ import annotations

import math
from itertools import count
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from langgraph_maker.core.ballot import Ballot
from langgraph_maker.simulation.chat_model import Profile, Simulation
from langgraph_maker.tasks import TowersOfHanoi
from langgraph_maker.theory.scaling import p_correct, p_correct_varied

BALLOTS = 40_000
probabilities = st.floats(0.02, 0.98)


def share_right(rights: NDArray[np.float64], k: int, turns: Any = None) -> float:
    """Simulated ballots, one a row of `rights`: that of its variants, which take turns, or are drawn by `turns`."""
    rng = np.random.default_rng(5)
    leads, won = np.zeros(len(rights), int), 0
    for vote in count():
        which = vote % rights.shape[1] if turns is None else turns(rng, len(rights))
        p = rights[:, which] if turns is None else rights[np.arange(len(rights)), which]
        leads += np.where(rng.random(len(rights)) < p, 1, -1)
        won += int((leads == k).sum())
        still = np.abs(leads) < k
        leads, rights = leads[still], rights[still]
        if not len(leads):
            break
    return won / BALLOTS


def assert_near(found: float, expected: float) -> None:
    assert abs(found - expected) <= 3.29 * math.sqrt(expected * (1 - expected) / BALLOTS) + 1e-9


@given(probabilities, st.integers(1, 8), st.integers(1, 6))
def test_with_equal_variants_it_is_eq_9(p: float, k: int, variants: int) -> None:
    assert p_correct_varied([p] * variants, k) == pytest.approx(1 / (1 + ((1 - p) / p) ** k))


def test_it_is_what_p_correct_says_to_the_last_digits() -> None:
    assert p_correct_varied([0.9] * 3, 40) == pytest.approx(p_correct(0.9, 40), rel=1e-13)
    assert p_correct_varied([0.51], 200) == pytest.approx(p_correct(0.51, 200), rel=1e-9)


@given(probabilities, probabilities)
def test_two_variants_at_k_2_decide_by_pairs(p: float, q: float) -> None:
    both, neither = p * q, (1 - p) * (1 - q)
    assert p_correct_varied([p, q], 2) == pytest.approx(both / (both + neither))


@given(st.lists(probabilities, min_size=1, max_size=5), st.integers(1, 6))
def test_right_and_wrong_answers_win_by_the_same_law(ps: list[float], k: int) -> None:
    assert p_correct_varied(ps, k) + p_correct_varied([1 - p for p in ps], k) == pytest.approx(1)


@pytest.mark.parametrize(
    ("ps", "k"), [([0.3, 0.8, 0.9], 3), ([0.9, 0.3], 4), ([0.5, 0.6, 0.7, 0.2, 1.0], 2), ([0.0, 0.9, 0.9], 5)]
)
def test_simulated_ballots_follow_the_law(ps: list[float], k: int) -> None:
    assert_near(share_right(np.tile(ps, (BALLOTS, 1)), k), p_correct_varied(ps, k))


def test_taking_turns_decides_right_where_a_variant_drawn_at_random_does_not() -> None:
    stuck, k = [0.3, 1.0, 1.0], 3
    rights = np.tile(stuck, (BALLOTS, 1))
    assert share_right(rights, k) == p_correct_varied(stuck, k) == 1
    drawn = share_right(rights, k, lambda rng, ballots: rng.integers(0, 3, ballots))
    assert_near(drawn, p_correct(float(np.mean(stuck)), k))
    assert drawn < 0.98


@pytest.mark.parametrize("order", [[0.1, 1, 1, 1], [1, 0.1, 1, 1], [1, 1, 1, 0.1]])
def test_one_stuck_variant_among_four_does_no_harm_wherever_its_turn(order: list[float]) -> None:
    assert p_correct_varied(order, 3) == pytest.approx(1)


@pytest.mark.parametrize("shared", [0.0, 0.4, 1.0])
def test_hard_steps_enter_as_a_mixture_over_what_is_hard(shared: float) -> None:
    ps, k, hard, repeats = [0.95, 0.9, 0.99], 3, 0.3, 0.8
    rng = np.random.default_rng(3)
    stuck = rng.random((BALLOTS, 3)) < hard
    common = rng.random(BALLOTS) < shared
    stuck[common] = stuck[common][:, :1]
    simulated = share_right(np.where(stuck, (1 - repeats) * np.array(ps), ps), k)
    assert_near(simulated, p_correct_varied(ps, k, hard=hard, repeats=repeats, shared=shared))


def test_variants_cure_what_is_hard_for_one_and_not_what_is_hard_for_all() -> None:
    rates: dict[str, Any] = {"hard": 0.01, "repeats": 0.7}
    plain, spread, all_share = (
        1 - p_correct_varied([1.0], 3, **rates),
        1 - p_correct_varied([1.0] * 6, 3, **rates),
        1 - p_correct_varied([1.0] * 6, 3, shared=1, **rates),
    )
    assert plain == pytest.approx(0.01 * p_correct(0.7, 3))
    assert spread < plain / 10_000
    assert all_share == pytest.approx(plain)


@pytest.mark.parametrize("variants", [1, 6])
def test_simulated_models_are_right_at_least_as_often(variants: int) -> None:
    """With one prompt just as often; where variants repeat different wrong answers, more often."""
    task, k, right, steps = TowersOfHanoi(9), 2, 0, 0
    model = Simulation(task, Profile(hard=0.5, repeats=0.7, confusion=0))
    for segment in task.segments(511):
        ballot, vote = Ballot(k), task.oracle(segment["state"])
        asked = [model.ask(task.prompt(segment["state"], variant)) for variant in range(variants)]
        for number in count():
            ballot.cast(task.parse(asked[number % variants].draw(number, 0.1).text))
            if ballot.deficit == 0:
                break
        right, steps = right + (ballot.winner == vote), steps + 1
    law = p_correct_varied([1.0] * variants, k, hard=0.5, repeats=0.7)
    spread = 3.29 * math.sqrt(law * (1 - law) / steps)
    assert right / steps > law - spread
    assert variants > 1 or right / steps < law + spread


def test_a_vote_that_never_settles_is_not_right() -> None:
    assert p_correct_varied([1, 0], 2) == p_correct_varied([0, 1], 2) == 0
    assert p_correct_varied([1, 0], 1) == p_correct_varied([1, 1, 0, 0], 2) == p_correct_varied([1, 1, 0], 7) == 1
    assert p_correct_varied([0], 3) == p_correct_varied([0, 0, 1, 1], 2) == 0
    assert p_correct_varied([1, 1], 2, hard=0.1) == pytest.approx(0.81)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ({"ps": []}, "ps is a list of probabilities, one for each variant"),
        ({"ps": 0.9}, "ps is a list of probabilities"),
        ({"ps": [0.9, 1.1]}, "ps is from 0 to 1, not 1.1"),
        ({"ps": [0.9, float("nan")]}, "ps is a finite number"),
        ({"k": 0}, "k is a whole number of at least 1, not 0"),
        ({"k": 1.5}, "k is a whole number"),
        ({"k": 1001}, "k is at most 1,000, not 1001"),
        ({"hard": -0.1}, "hard is from 0 to 1, not -0.1"),
        ({"repeats": 2}, "repeats is from 0 to 1, not 2"),
        ({"shared": 1.5}, "shared is from 0 to 1, not 1.5"),
        ({"ps": [0.9] * 13, "hard": 0.1}, "with hard steps there are at most 12 variants, not 13"),
    ],
)
def test_what_is_out_of_range_is_refused(arguments: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        p_correct_varied(**{"ps": [0.9, 0.8], "k": 3, **arguments})
