"""The scaling laws of MAKER (Eqs 9-19): which margin k a task needs, how sure it is, and what it costs.

    >>> k = k_min(0.9978, 2**20 - 1)
    >>> k, round(p_full(0.9978, k, 2**20 - 1), 4), round(expected_votes(0.9978, k), 4)
    (3, 0.9888, 3.0133)

`p` is the probability that one valid sample of one step is right. By default all wrong samples are taken to
agree, the worst case: `p_alt`, the probability of the likeliest wrong answer, is 1 - p, and success is never
overstated. A rarer `p_alt` enters as in Eq 12, which counts that rival alone: where wrong answers add up to
more, the odds of an error can be (1 - p) / p_alt times as high (at k = 1 an error has probability 1 - p).

`p_first` is that of a step's first vote, where it is drawn otherwise than the rest (at temperature 0): with P =
p_first h(1) + (1 - p_first) h(-1) and h(x) = (1 - r^(k+x)) / (1 - r^(2k)), r = p_alt/p, in place of Eq 9.

`p_correct_varied` is Eq 9 for votes that take turns through prompt variants, each with its own p and hard steps.

Arguments are numbers, or arrays that broadcast against each other. All numbers in give a Python number out,
else an array. Results keep their digits at p = 1 - 1e-12, at p = 0.5 + 1e-9 and at 1e15 steps.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias, overload

import numpy as np

from langgraph_maker.theory.random_walk import (
    between_0_and_1,
    checked_integers,
    duration,
    first_right,
    least_margin,
    log_correct,
    numbers,
    rates,
    refuse,
    scalar,
    subtasks,
)
from langgraph_maker.theory.schedule import k_at_step
from langgraph_maker.theory.varied_votes import p_correct_varied

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Floats: TypeAlias = NDArray[np.float64]

__all__ = ["expected_cost", "expected_votes", "k_at_step", "k_min", "p_correct", "p_correct_varied", "p_full"]


@overload
def p_correct(p: float, k: int, *, p_alt: float | None = None, p_first: float | None = None) -> float: ...
@overload
def p_correct(
    p: ArrayLike, k: ArrayLike, *, p_alt: ArrayLike | None = None, p_first: ArrayLike | None = None
) -> Floats: ...
def p_correct(p: ArrayLike, k: ArrayLike, *, p_alt: ArrayLike | None = None, p_first: ArrayLike | None = None) -> Any:
    """Probability that the winner of one vote is right (Eq 9): 1 / (1 + (p_alt/p)^k).

    Exact with one wrong answer; with several and no `p_alt` given, the truth is higher. By Eq 12 it is the
    same however many steps one subtask holds.

    Args:
        p: Probability that one valid sample is right, p_alt < p <= 1.
        k: The margin, in votes.
        p_alt: Probability of the likeliest wrong answer, p + p_alt <= 1; 1 - p when None.
        p_first: Probability that the first vote is right; p when None.

    Returns:
        A probability.

    Raises:
        ValueError: When p <= p_alt, or an argument is NaN or outside its range; the message says which.

    Example:
        >>> round(p_correct(0.6, 3), 4), p_correct(0.8, [1, 4]).round(5).tolist()
        (0.7714, [0.8, 0.99611])
    """
    _, _, log_odds = rates(p, p_alt)
    return scalar(np.exp(log_correct(log_odds, checked_integers("k", k), first_right(p_first))))


@overload
def p_full(
    p: float, k: int, steps: float, m: int = 1, *, p_alt: float | None = None, p_first: float | None = None
) -> float: ...
@overload
def p_full(
    p: ArrayLike,
    k: ArrayLike,
    steps: ArrayLike,
    m: ArrayLike = 1,
    *,
    p_alt: ArrayLike | None = None,
    p_first: ArrayLike | None = None,
) -> Floats: ...
def p_full(
    p: ArrayLike,
    k: ArrayLike,
    steps: ArrayLike,
    m: ArrayLike = 1,
    *,
    p_alt: ArrayLike | None = None,
    p_first: ArrayLike | None = None,
) -> Any:
    """Probability that a whole task has zero errors (Eq 13): p_correct^(steps/m).

    It holds if errors are independent and equally likely at every step. Where p differs by step, the mean of p says
    little: with 0.6 at 5 % of 1,000 steps and 0.9999 at the others, k = 4 has the probability 0.00012, and not 0.9998.

    With m > 1 this counts one rival per subtask (Eqs 10-12), though m are equally likely, one for each step
    that may go wrong. The truth can be as low as what m = 1 gives.

    Args:
        p: Probability that one valid single-step sample is right, p_alt < p <= 1.
        k: The margin, in votes.
        steps: Steps in the whole task, a whole number.
        m: Steps per subtask, 1 <= m <= steps; it need not divide `steps`.
        p_alt: Probability of the likeliest wrong answer to a step; 1 - p when None.
        p_first: Probability that the first vote is right; p when None.

    Returns:
        A probability.

    Raises:
        ValueError: When p <= p_alt, or an argument is NaN or outside its range; the message says which.

    Example:
        >>> round(p_full(0.95, 5, 2**20 - 1), 3)
        0.655
    """
    (_, _, log_odds), first = rates(p, p_alt), first_right(p_first)
    return scalar(np.exp(subtasks(steps, m, first) * log_correct(log_odds, checked_integers("k", k), first)))


@overload
def k_min(
    p: float,
    steps: float,
    target: float = 0.95,
    m: int = 1,
    *,
    p_alt: float | None = None,
    p_first: float | None = None,
) -> int: ...
@overload
def k_min(
    p: ArrayLike,
    steps: ArrayLike,
    target: ArrayLike = 0.95,
    m: ArrayLike = 1,
    *,
    p_alt: ArrayLike | None = None,
    p_first: ArrayLike | None = None,
) -> NDArray[np.int64]: ...
def k_min(
    p: ArrayLike,
    steps: ArrayLike,
    target: ArrayLike = 0.95,
    m: ArrayLike = 1,
    *,
    p_alt: ArrayLike | None = None,
    p_first: ArrayLike | None = None,
) -> Any:
    """Return the least margin whose p_full reaches the target (Eq 14): ceil(ln(t^(-m/s) - 1) / ln(p_alt/p)).

    Where p_full at some k equals the target to the last bit, that k counts as reaching it.

    Args:
        p: Probability that one valid single-step sample is right, p_alt < p <= 1; at 1 the answer is 1.
        steps: Steps in the whole task (s), a whole number.
        target: Wanted probability of zero errors in the whole task (t), 0 < target < 1.
        m: Steps per subtask, 1 <= m <= steps.
        p_alt: Probability of the likeliest wrong answer to a step; 1 - p when None.
        p_first: Probability that the first vote is right; p when None.

    Returns:
        A margin in votes, at least 1.

    Raises:
        ValueError: When p <= p_alt, or an argument is NaN or outside its range; the message says which.

    Example:
        >>> k_min(0.6429, 2**20 - 1), k_min([0.6, 0.99], [[31], [2**30 - 1]]).tolist()
        (29, [[16, 2], [59, 6]])
    """
    (_, _, log_odds), first = rates(p, p_alt), first_right(p_first)
    count, wanted = subtasks(steps, m, first), between_0_and_1("target", target)
    return scalar(least_margin(log_odds, -np.log(wanted) / count, first, lambda log: np.exp(count * log) >= wanted))


@overload
def expected_votes(p: float, k: int, *, p_alt: float | None = None, p_first: float | None = None) -> float: ...
@overload
def expected_votes(
    p: ArrayLike, k: ArrayLike, *, p_alt: ArrayLike | None = None, p_first: ArrayLike | None = None
) -> Floats: ...
def expected_votes(
    p: ArrayLike, k: ArrayLike, *, p_alt: ArrayLike | None = None, p_first: ArrayLike | None = None
) -> Any:
    """Mean number of valid votes until one answer is ahead by k (Eq 16): k (2 p_correct - 1) / (p - p_alt).

    Exact with one wrong answer, as the duration of the gambler's ruin. With several the mean is mostly
    lower, but higher at small k and p near 0.5 (k = 2, p = 0.51, two wrong answers: 5.24, not 4.00). With
    `p_alt` it is an idealisation, Wald's identity on the lead over that one rival: votes for other wrong
    answers are cast and leave the lead as it is.

    Args:
        p: Probability that one valid sample is right, p_alt < p <= 1.
        k: The margin, in votes.
        p_alt: Probability of the likeliest wrong answer; 1 - p when None.
        p_first: Probability that the first vote is right; p when None.

    Returns:
        Votes per decision, red-flagged samples not among them.

    Raises:
        ValueError: When p <= p_alt, or an argument is NaN or outside its range; the message says which.

    Example:
        >>> round(expected_votes(0.8, 4), 4), expected_votes(1, 3)
        (6.6148, 3.0)
    """
    right, wrong, log_odds = rates(p, p_alt)
    margin = checked_integers("k", k)
    return scalar(duration(log_odds, right - wrong, margin, first_right(p_first)))


@overload
def expected_cost(
    p: float,
    k: int,
    steps: float,
    cost_per_sample: float,
    valid_rate: float = 1.0,
    m: int = 1,
    *,
    p_alt: float | None = None,
    p_first: float | None = None,
) -> float: ...
@overload
def expected_cost(
    p: ArrayLike,
    k: ArrayLike,
    steps: ArrayLike,
    cost_per_sample: ArrayLike,
    valid_rate: ArrayLike = 1.0,
    m: ArrayLike = 1,
    *,
    p_alt: ArrayLike | None = None,
    p_first: ArrayLike | None = None,
) -> Floats: ...
def expected_cost(  # noqa: PLR0917 - the symbols of Eq 19, in its order
    p: ArrayLike,
    k: ArrayLike,
    steps: ArrayLike,
    cost_per_sample: ArrayLike,
    valid_rate: ArrayLike = 1.0,
    m: ArrayLike = 1,
    *,
    p_alt: ArrayLike | None = None,
    p_first: ArrayLike | None = None,
) -> Any:
    """Mean cost of a whole task (Eqs 15-19): (s/m) * c m / p^(m-1) * expected_votes / v.

    Eq 16 enters exactly, not by the approximation k / (2p - 1). A flagged sample costs what a valid one does.

    Args:
        p: Probability that one valid single-step sample is right, p_alt < p <= 1.
        k: The margin, in votes.
        steps: Steps in the whole task (s), a whole number.
        cost_per_sample: Mean cost of one step-sized sample (c), valid or flagged, in any unit; 0 or more.
        valid_rate: Probability that a sample raises no red flag (v), 0 < valid_rate <= 1.
        m: Steps per subtask, 1 <= m <= steps.
        p_alt: Probability of the likeliest wrong answer to a step; 1 - p when None.
        p_first: Probability that the first vote is right; p when None.

    Returns:
        Cost in the unit of `cost_per_sample`; inf where it exceeds every float.

    Raises:
        ValueError: When p <= p_alt, or an argument is NaN or outside its range; the message says which.

    Example:
        >>> dollars = (1.6 * 538 + 0.4 * 600) / 1e6
        >>> round(expected_cost(0.9978, 3, 2**20 - 1, dollars))
        3478
    """
    votes = expected_votes(p, k, p_alt=p_alt, p_first=p_first)
    count, size = subtasks(steps, m, first_right(p_first)), checked_integers("m", m)
    cost, valid = numbers("cost_per_sample", cost_per_sample), numbers("valid_rate", valid_rate)
    refuse(cost < 0, "cost_per_sample is 0 or more, not {}", cost)
    refuse((valid <= 0) | (valid > 1), "valid_rate is above 0 and at most 1, not {}", valid)
    with np.errstate(over="ignore", invalid="ignore"):
        total = count * (cost * size / valid) * votes * numbers("p", p) ** (1 - size)
    return scalar(np.where(cost == 0, 0.0, total))
