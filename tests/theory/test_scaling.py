"""The scaling laws against the paper's numbers, exact arithmetic, linear algebra and simulated ballots."""

from __future__ import annotations

import math
import random
from decimal import Decimal, localcontext
from itertools import pairwise
from statistics import NormalDist, fmean, stdev
from typing import Any, assert_type

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from langgraph_maker import theory
from langgraph_maker.core.ballot import Ballot
from langgraph_maker.theory.scaling import expected_cost, expected_votes, k_min, p_correct, p_full

MILLION = 2**20 - 1
BILLION = 2**30 - 1

# numbers as published


def test_the_public_names() -> None:
    laws = ["expected_cost", "expected_votes", "k_at_step", "k_min", "p_correct", "p_correct_varied", "p_full"]
    assert theory.__all__ == laws


@pytest.mark.parametrize(("p", "k", "expected"), [(0.6, 3, 0.7714), (0.8, 4, 0.99611)])
def test_eq_9(p: float, k: int, expected: float) -> None:
    assert p_correct(p, k) == pytest.approx(expected, abs=5e-5)


@pytest.mark.parametrize(
    ("p", "k", "expected"), [(0.8, 4, 6.6148), (0.6, 3, 8.1429), (0.9978, 3, 3.0133), (1.0, 5, 5.0)]
)
def test_eq_16(p: float, k: int, expected: float) -> None:
    assert expected_votes(p, k) == pytest.approx(expected, abs=5e-5)


def test_eq_13() -> None:
    assert p_full(0.9978, 3, MILLION) == pytest.approx(0.98882, abs=5e-6)
    assert p_full(0.95, 5, MILLION) == pytest.approx(0.655, abs=5e-4)


@pytest.mark.parametrize(
    ("steps", "row"),
    [
        (31, [16, 8, 5, 3, 3, 2, 1]),
        (1_023, [25, 12, 8, 5, 4, 3, 2]),
        (MILLION, [42, 20, 13, 8, 6, 4, 3]),
        (BILLION, [59, 29, 18, 11, 9, 6, 4]),
    ],
)
def test_eq_14_table(steps: int, row: list[int]) -> None:
    ps = [0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 0.999]
    assert k_min(ps, steps).tolist() == row
    assert [k_min(p, steps) for p in ps] == row


# model: error rate, k_min, dollars per million tokens out and in, output tokens, projected dollars
MODELS = {
    "gpt-4.1-nano": (0.3571, 29, 0.4, 0.1, 842, 41_900),
    "gpt-4.1-mini": (0.0022, 3, 1.6, 0.4, 538, 3_500),
    "o3-mini": (0.0018, 3, 4.4, 1.1, 535, 9_400),
    "haiku-4.5": (0.1839, 12, 5.0, 1.0, 588, 71_200),
    "gpt-oss-20B": (0.0358, 6, 0.2, 0.05, 1104, 1_700),
}


@pytest.mark.parametrize("model", MODELS)
def test_published_models(model: str) -> None:
    error, k, out_price, in_price, tokens, projected = MODELS[model]
    assert k_min(1 - error, MILLION) == k
    sample = (out_price * tokens + in_price * 600) / 1e6
    assert expected_cost(1 - error, k, MILLION, sample) == pytest.approx(projected, rel=0.02)


def test_a_model_that_is_always_wrong_is_refused() -> None:
    with pytest.raises(ValueError, match=r"voting cannot help at p = 0\.0"):
        k_min(0.0, MILLION)


def test_circulating_formulas_are_not_what_is_returned() -> None:
    p, k = 0.6, 3
    assert abs(p_correct(p, k) - 0.96) > 0.1
    assert abs(p_correct(p, k) - (1 - (0.4 / 0.6) ** k)) > 0.05
    assert abs((1 - p_correct(p, k)) - 0.4**k) > 0.1
    assert abs(expected_votes(p, k) - (k + 0.4 / 0.2)) > 3


# exact arithmetic


def exact_log_odds(p: float, p_alt: Decimal) -> Decimal:
    return (Decimal(p) / p_alt).ln()


def exact_p_full(p: float, k: int, steps: int, m: int = 1) -> Decimal:
    with localcontext(prec=90):
        odds = (-k * exact_log_odds(p, 1 - Decimal(p))).exp()
        return (-Decimal(steps) / m * (1 + odds).ln()).exp()


def exact_k_min(p: float, steps: int, target: float, m: int = 1) -> int:
    with localcontext(prec=90):
        allowed = (-Decimal(target).ln() * m / steps).exp() - 1
        return max(1, math.ceil(-allowed.ln() / exact_log_odds(p, 1 - Decimal(p))))


def exact_votes(p: float, k: int) -> Decimal:
    with localcontext(prec=90):
        odds = (-k * exact_log_odds(p, 1 - Decimal(p))).exp()
        return k * (1 - odds) / (1 + odds) / (2 * Decimal(p) - 1)


HARD_P = [math.nextafter(0.5, 1), 0.5 + 1e-12, 0.5 + 1e-9, 0.6, 0.9978, 1 - 1e-12, math.nextafter(1, 0)]


@pytest.mark.parametrize("p", HARD_P)
@pytest.mark.parametrize("k", [1, 2, 3, 50, 10**9])
def test_digits_survive_at_the_ends_of_the_range(p: float, k: int) -> None:
    with localcontext(prec=90):
        right = 1 / (1 + (-k * exact_log_odds(p, 1 - Decimal(p))).exp())
    assert p_correct(p, k) == pytest.approx(float(right), rel=1e-15)
    assert expected_votes(p, k) == pytest.approx(float(exact_votes(p, k)), rel=2e-15)


@pytest.mark.parametrize("p", [0.5 + 1e-9, 0.6, 0.9978, 1 - 1e-12])
@pytest.mark.parametrize("steps", [1, 31, MILLION, 10**15])
@pytest.mark.parametrize("target", [1e-300, 0.05, 0.5, 0.95, 1 - 1e-9, 1 - 1e-15])
def test_k_min_is_exact_at_the_ends_of_the_range(p: float, steps: int, target: float) -> None:
    assert k_min(p, steps, target) == exact_k_min(p, steps, target)


@pytest.mark.parametrize("p", [0.5 + 1e-9, 0.6, 0.9978, 1 - 1e-12])
@pytest.mark.parametrize("steps", [1, MILLION, 10**15])
def test_p_full_is_exact_around_k_min(p: float, steps: int) -> None:
    for k in {1, k_min(p, steps), k_min(p, steps) + 1, k_min(p, steps, 1 - 1e-9)}:
        exact = exact_p_full(p, k, steps)
        assert p_full(p, k, steps) == pytest.approx(float(exact), rel=1e-14 * (1 + abs(float(exact.ln()))))


def test_eq_16_tends_to_k_squared_at_one_half() -> None:
    assert expected_votes(math.nextafter(0.5, 1), [1, 2, 30]) == pytest.approx([1, 4, 900], rel=1e-12)


def test_margins_too_large_to_count_one_by_one() -> None:
    p = math.nextafter(0.5, 1)
    assert k_min(p, 10**15, 1 - 1e-15) == pytest.approx(exact_k_min(p, 10**15, 1 - 1e-15), rel=1e-15)


@pytest.mark.parametrize("steps", [1, MILLION, 10**15, 2**300, 1.7e308])
@pytest.mark.parametrize("target", [5e-324, 0.3, 0.95, math.nextafter(1, 0)])
def test_a_perfect_model_needs_one_vote(steps: float, target: float) -> None:
    assert k_min(1, steps, target) == 1
    assert p_full(1, 1, steps) == 1
    assert k_min(0.6, steps, target) >= 1


def test_a_perfect_model_votes_k_times() -> None:
    assert p_correct(1, [1, 7]).tolist() == [1, 1]
    assert expected_votes(1, [1, 7]).tolist() == [1, 7]
    assert expected_cost(1, 3, 100, 0.5, 0.75) == pytest.approx(200)


# k_min is the least margin that will do

ordinary = {
    "p": st.floats(0.55, 1),
    "steps": st.integers(1, 10**15),
    "target": st.floats(1e-6, 1 - 1e-6),
    "share": st.floats(0, 1),
}
extreme = {
    "p": st.floats(0.5, 1, exclude_min=True, exclude_max=True).filter(lambda p: p > 0.5 + 1e-10),
    "steps": st.integers(1, 10**15),
    "target": st.floats(1e-300, 1, exclude_max=True),
}


@settings(deadline=None)
@given(**ordinary)
def test_k_min_is_the_least_margin_that_reaches_the_target(p: float, steps: int, target: float, share: float) -> None:
    m = 1 + int(share * (min(steps, 1000) - 1))
    k = k_min(p, steps, target, m)
    assert p_full(p, k, steps, m) >= target
    assert k == 1 or p_full(p, k - 1, steps, m) < target


@settings(deadline=None)
@given(st.floats(0.55, 0.999), st.integers(1, 60), st.integers(1, 10**12))
def test_a_tie_is_decided_by_the_last_bit(p: float, k: int, steps: int) -> None:
    target = p_full(p, k, steps)
    if 1e-300 < target < 1 - 1e-13:  # closer to 1, p_full is the same at several k
        assert k_min(p, steps, target) == k
        assert k_min(p, steps, math.nextafter(target, 1)) == k + 1


@settings(deadline=None)
@given(**extreme)
def test_k_min_is_off_by_one_at_most_on_a_tie(p: float, steps: int, target: float) -> None:
    k, exact = k_min(p, steps, target), exact_k_min(p, steps, target)
    if k != exact:
        # only where the p_full of the smaller one is the target but for the rounding of floats
        assert abs(k - exact) == 1
        gap = abs(exact_p_full(p, min(k, exact), steps) / Decimal(target) - 1)
        assert gap <= 1e-15 * (1 + 100 * abs(math.log(target)))


@settings(deadline=None)
@given(st.floats(0.5, 0.999, exclude_min=True), st.floats(1e-6, 0.2), st.integers(1, 50), st.integers(1, 10**9))
def test_better_samples_and_wider_margins_help(p: float, more: float, k: int, steps: int) -> None:
    better = min(p + more, 1.0)
    assert p_correct(p, k) <= p_correct(better, k)
    assert p_full(p, k, steps) <= p_full(p, k + 1, steps)
    assert p_full(p, k, steps + 1) <= p_full(p, k, steps)
    assert k_min(better, steps) <= k_min(p, steps) <= k_min(p, steps + 1) <= k_min(p, steps + 1, 0.99)
    assert k <= expected_votes(better, k) * (1 + 1e-12)
    assert expected_votes(better, k) <= expected_votes(p, k) * (1 + 1e-12)
    assert expected_votes(p, k) <= k * k * (1 + 1e-12)


def test_margins_grow_as_the_logarithm_of_the_steps() -> None:
    margins = k_min(0.6, [10**n for n in range(3, 16)])
    slope = math.log(10) / math.log(1.5)
    assert all(b - a in {math.floor(slope), math.ceil(slope)} for a, b in pairwise(margins.tolist()))


# the equations from first principles


@pytest.mark.parametrize(("p", "p_alt"), [(0.6, 0.4), (0.9, 0.1), (0.51, 0.49), (0.6, 0.1), (0.3, 0.2)])
@pytest.mark.parametrize("k", [1, 2, 3, 7])
def test_the_laws_solve_the_gamblers_ruin(p: float, p_alt: float, k: int) -> None:
    # one equation per lead, 1 - k to k - 1: value = own + p * next up + p_alt * next down + rest * itself
    leads = 2 * k - 1
    walk = np.eye(leads) * (p + p_alt) - np.eye(leads, k=1) * p - np.eye(leads, k=-1) * p_alt
    wins_at_once = np.zeros(leads)
    wins_at_once[-1] = p
    assert p_correct(p, k, p_alt=p_alt) == pytest.approx(np.linalg.solve(walk, wins_at_once)[k - 1])
    assert expected_votes(p, k, p_alt=p_alt) == pytest.approx(np.linalg.solve(walk, np.ones(leads))[k - 1])


@pytest.mark.parametrize("m", [1, 2, 7, 100])
def test_eqs_10_to_15_from_whole_subtasks(m: int) -> None:
    # votes on whole m-step answers: right with p^m, against one rival, all else cast and without effect
    p, k, steps, cost = 0.9, 3, 700, 0.25
    p_vote, rival = p**m, (1 - p) * p ** (m - 1)
    assert p_full(p, k, steps, m) == pytest.approx(p_correct(p_vote, k, p_alt=rival) ** (steps / m))
    per_vote = cost * m / 0.8
    whole = steps / m * per_vote * expected_votes(p_vote, k, p_alt=rival)
    assert expected_cost(p, k, steps, cost, 0.8, m) == pytest.approx(whole)
    assert expected_cost(p, k, steps, cost, 0.8, m) == pytest.approx(
        expected_cost(p, k, steps, cost, 0.8) / p ** (m - 1)
    )


def test_k_min_of_larger_subtasks_votes_on_fewer_of_them() -> None:
    assert k_min(0.9, MILLION, 0.95, 15) == k_min(0.9, MILLION // 15)
    assert p_full(0.9, 4, 7, 2) == pytest.approx(p_correct(0.9, 4) ** 3.5)


def test_cost_is_linear_in_price_and_paid_for_flagged_samples() -> None:
    assert expected_cost(0.8, 4, 1, 1) == pytest.approx(expected_votes(0.8, 4))
    assert expected_cost(0.8, 4, 10, 3, 0.5) == pytest.approx(60 * expected_votes(0.8, 4))
    assert expected_cost(0.6, 2, 10_000, 0, m=10_000) == 0
    assert expected_cost(0.6, 2, 10_000, 1, m=10_000) == math.inf


@pytest.mark.parametrize("p", [0.55, 0.8, 1 - 1e-12])
def test_p_alt_of_one_minus_p_is_the_default(p: float) -> None:
    assert p_correct(p, 3, p_alt=1 - p) == p_correct(p, 3)
    assert p_full(p, 3, 1000, p_alt=1 - p) == p_full(p, 3, 1000)
    assert k_min(p, 1000, p_alt=1 - p) == k_min(p, 1000)
    assert expected_votes(p, 3, p_alt=1 - p) == expected_votes(p, 3)
    assert expected_cost(p, 3, 1000, 1, p_alt=1 - p) == expected_cost(p, 3, 1000, 1)


def test_a_rarer_rival_lets_a_minority_win() -> None:
    assert p_correct(0.4, 3, p_alt=0.2) == pytest.approx(8 / 9)
    assert k_min(0.4, MILLION, p_alt=0.2) == 25
    assert expected_votes(0.4, 3, p_alt=0.2) == pytest.approx(3 * (7 / 9) / 0.2)
    assert p_correct(0.4, 3, p_alt=0) == 1
    assert k_min(0.4, MILLION, p_alt=0) == 1
    assert expected_votes(0.4, 3, p_alt=0) == pytest.approx(7.5)


# scalars, arrays


def test_scalars_in_give_python_scalars_out() -> None:
    kinds: list[tuple[Any, Any, Any]] = [
        (0.9, 3, 31),
        (np.float64(0.9), np.int64(3), np.int64(31)),
        (np.array(0.9), 3.0, 31.0),
    ]
    for p, k, steps in kinds:
        assert type(p_correct(p, k)) is float
        assert type(p_full(p, k, steps)) is float
        assert type(k_min(p, steps)) is int
        assert type(expected_votes(p, k)) is float
        assert type(expected_cost(p, k, steps, 1)) is float


def test_types_tell_numbers_from_arrays() -> None:
    assert_type(p_correct(0.9, 3), float)
    assert_type(k_min(0.9, 31, p_alt=0.05), int)
    assert_type(expected_cost(0.9, 3, 31, 1), float)
    assert_type(p_correct([0.9], 3), NDArray[np.float64])
    assert_type(k_min(0.9, np.array([31])), NDArray[np.int64])


def test_arrays_broadcast() -> None:
    p, k, steps = np.array([[0.6], [0.9]]), np.array([1, 2, 3]), np.array([[[10]], [[20]]])
    for law, shape in [
        (p_correct(p, k), (2, 3)),
        (expected_votes(p, k), (2, 3)),
        (p_full(p, k, steps), (2, 2, 3)),
        (expected_cost(p, k, steps, 1, [0.5, 0.8, 1], p_alt=0.05), (2, 2, 3)),
        (p_correct(0.6, [2]), (1,)),
        (p_correct([], 2), (0,)),
    ]:
        assert law.shape == shape
        assert law.dtype == np.float64
    margins = k_min(p, steps, [0.5, 0.9, 0.95], 2)
    assert margins.shape == (2, 2, 3)
    assert margins.dtype == np.int64
    assert margins[1, 0, 2] == k_min(0.6, 20, 0.95, 2)
    assert p_full(p, k, steps)[1, 0, 2] == p_full(0.6, 3, 20)
    assert p_correct([0.6, 0.6], 3, p_alt=[0.4, 0.1]).tolist() == [
        p_correct(0.6, 3),
        p_correct(0.6, 3, p_alt=0.1),
    ]


def test_arguments_are_left_as_they_were() -> None:
    p = np.array([0.6, 0.9])
    k_min(p, 1000)
    assert p.tolist() == [0.6, 0.9]


# errors that say what to change


@pytest.mark.parametrize("p", [0.0, 0.3, 0.5])
def test_where_voting_cannot_help_the_error_says_what_might(p: float) -> None:
    remedy = rf"voting cannot help at p = {p} .* use a better model, a smaller step, or give p_alt"
    for law in (
        lambda: p_correct(p, 3),
        lambda: p_full(p, 3, 10),
        lambda: k_min(p, 10),
        lambda: expected_votes(p, 3),
        lambda: expected_cost(p, 3, 10, 1),
    ):
        with pytest.raises(ValueError, match=remedy):
            law()


NAN, INF = math.nan, math.inf


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"p": 1.0001}, "p is a probability, from 0 to 1, not 1.0001"),
        ({"p": -0.1}, "p is a probability, from 0 to 1, not -0.1"),
        ({"p": NAN}, "p is a finite number, not nan"),
        ({"p": INF}, "p is a finite number, not inf"),
        ({"p": True}, "p is a number .* not True"),
        ({"p": None}, "p is a finite number, not nan|p is a number .* not None"),
        ({"p": "0.9"}, "p is a number .* not '0.9'"),
        ({"p": 0.9 + 0j}, "p is a number"),
        ({"p": [0.9, 0.7, 0.5, 0.4]}, r"voting cannot help at p = 0\.5 with p_alt = 0\.5"),
        ({"p": [0.9, NAN]}, "p is a finite number, not nan"),
        ({"p": 0.4, "p_alt": 0.4}, r"voting cannot help at p = 0\.4 .* a smaller step$"),
        ({"p": 0.6, "p_alt": [0.1, 0.7]}, r"voting cannot help at p = 0\.6 with p_alt = 0\.7"),
        ({"p": 0.8, "p_alt": 0.3}, r"p \+ p_alt is at most 1, but p = 0\.8 and p_alt = 0\.3"),
        ({"p_alt": -0.1}, "p_alt is a probability, from 0 to 1, not -0.1"),
        ({"p_alt": NAN}, "p_alt is a finite number"),
        ({"k": 0}, "k is a whole number of at least 1, not 0"),
        ({"k": -2}, "k is a whole number of at least 1, not -2"),
        ({"k": 2.5}, "k is a whole number of at least 1, not 2.5"),
        ({"k": [3, 0]}, "k is a whole number of at least 1, not 0"),
        ({"k": True}, "k is a number .* not True"),
        ({"k": NAN}, "k is a finite number"),
        ({"k": INF}, "k is a finite number"),
        ({"steps": 0}, "steps is a whole number of at least 1, not 0"),
        ({"steps": 1.5}, "steps is a whole number of at least 1, not 1.5"),
        ({"steps": NAN}, "steps is a finite number"),
        ({"steps": 10**400}, "steps is a number .* that fit a float"),
        ({"m": 0}, "m is a whole number of at least 1, not 0"),
        ({"m": 1.5}, "m is a whole number of at least 1, not 1.5"),
        ({"m": 32}, r"m = 32\.0 steps per subtask are more than the task's 31\.0 steps"),
        ({"m": NAN}, "m is a finite number"),
        ({"cost_per_sample": -1}, "cost_per_sample is 0 or more, not -1"),
        ({"cost_per_sample": NAN}, "cost_per_sample is a finite number"),
        ({"valid_rate": 0}, "valid_rate is above 0 and at most 1, not 0"),
        ({"valid_rate": 1.1}, "valid_rate is above 0 and at most 1, not 1.1"),
        ({"valid_rate": NAN}, "valid_rate is a finite number"),
        ({"target": 0}, "target is above 0 and below 1, not 0"),
        ({"target": 1}, "target is above 0 and below 1, not 1"),
        ({"target": [0.5, -1]}, "target is above 0 and below 1, not -1"),
        ({"target": NAN}, "target is a finite number"),
    ],
)
def test_every_law_refuses_what_it_cannot_use(arguments: dict[str, Any], message: str) -> None:
    laws: dict[Any, dict[str, Any]] = {
        p_correct: {"p": 0.9, "k": 3, "p_alt": None},
        p_full: {"p": 0.9, "k": 3, "steps": 31, "m": 1, "p_alt": None},
        k_min: {"p": 0.9, "steps": 31, "target": 0.95, "m": 1, "p_alt": None},
        expected_votes: {"p": 0.9, "k": 3, "p_alt": None},
        expected_cost: {
            "p": 0.9,
            "k": 3,
            "steps": 31,
            "cost_per_sample": 1,
            "valid_rate": 1,
            "m": 1,
            "p_alt": None,
        },
    }
    concerned = [law for law, usual in laws.items() if arguments.keys() <= usual.keys()]
    assert concerned
    for law in concerned:
        with pytest.raises(ValueError, match=message):
            law(**laws[law] | arguments)


def test_frequencies_that_round_above_one_are_accepted() -> None:
    p, p_alt = 0.9, 0.1 + 2e-16
    assert p + p_alt > 1
    assert p_correct(p, 2, p_alt=p_alt) == pytest.approx(p_correct(p, 2))


# simulated ballots; every interval is two-sided 99.9 % normal, or one-sided 99.9 % where it says "not less"

Z_TWO_SIDED, Z_ONE_SIDED = NormalDist().inv_cdf(0.9995), NormalDist().inv_cdf(0.999)


def simulate(k: int, probabilities: list[float], ballots: int, seed: int) -> tuple[float, float, float, float]:
    """Success rate, its standard error, mean votes, its standard error; answer 0 is right."""
    rng = random.Random(seed)
    answers = range(len(probabilities))
    successes, votes = 0, []
    for _ in range(ballots):
        ballot, cast = Ballot(k), 0
        while ballot.deficit:
            ballot.cast(rng.choices(answers, probabilities)[0])
            cast += 1
        successes += ballot.winner == 0
        votes.append(float(cast))
    rate = successes / ballots
    return rate, math.sqrt(rate * (1 - rate) / ballots), fmean(votes), stdev(votes) / math.sqrt(ballots)


@pytest.mark.parametrize(("p", "k"), [(0.55, 2), (0.6, 3), (0.7, 2), (0.8, 4), (0.9, 1), (0.9, 3)])
def test_ballots_with_one_wrong_answer_follow_eqs_9_and_16(p: float, k: int) -> None:
    rate, rate_error, votes, votes_error = simulate(k, [p, 1 - p], 20_000, seed=1)
    assert abs(rate - p_correct(p, k)) <= Z_TWO_SIDED * rate_error
    assert abs(votes - expected_votes(p, k)) <= Z_TWO_SIDED * votes_error


def test_the_simulation_tells_the_circulating_formulas_apart() -> None:
    p, k = 0.6, 3
    rate, rate_error, votes, votes_error = simulate(k, [p, 1 - p], 20_000, seed=1)
    for wrong in (0.96, 1 - (0.4 / 0.6) ** k, 1 - 0.4**k):
        assert abs(rate - wrong) > 10 * rate_error
    assert abs(votes - (k + 0.4 / 0.2)) > 10 * votes_error


@pytest.mark.parametrize(
    ("k", "probabilities"),
    [(3, [0.7, 0.2, 0.1]), (3, [0.6, 0.2, 0.1, 0.1]), (4, [0.6, 0.2, 0.2]), (2, [0.95, 0.03, 0.02])],
)
def test_several_wrong_answers_do_no_worse(k: int, probabilities: list[float]) -> None:
    rate, rate_error, votes, votes_error = simulate(k, probabilities, 8_000, seed=2)
    assert rate >= p_correct(probabilities[0], k) - Z_ONE_SIDED * rate_error
    assert votes <= expected_votes(probabilities[0], k) + Z_ONE_SIDED * votes_error


def test_near_one_half_several_wrong_answers_can_take_longer() -> None:
    rate, rate_error, votes, votes_error = simulate(2, [0.51, 0.245, 0.245], 20_000, seed=3)
    assert rate >= p_correct(0.51, 2) - Z_ONE_SIDED * rate_error
    assert votes > expected_votes(0.51, 2) + 10 * votes_error
    assert abs(votes - 5.239) <= Z_TWO_SIDED * votes_error


@pytest.mark.parametrize(
    ("k", "probabilities"),
    [(1, [0.6, 0.1, 0.1, 0.1, 0.1]), (2, [0.6, 0.1, 0.1, 0.1, 0.1]), (3, [0.4, 0.2, 0.2, 0.2])],
)
def test_p_alt_counts_one_rival_and_the_rest_add_at_most_their_share(k: int, probabilities: list[float]) -> None:
    p, p_alt = probabilities[:2]
    rate, rate_error, _, _ = simulate(k, probabilities, 20_000, seed=4)
    worst_odds = (1 - p) / p_alt * (p_alt / p) ** k
    assert rate >= 1 / (1 + worst_odds) - Z_ONE_SIDED * rate_error
    assert rate <= p_correct(p, k, p_alt=p_alt) + Z_ONE_SIDED * rate_error
