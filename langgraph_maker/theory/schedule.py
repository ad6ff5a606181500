"""Margins for tasks whose length is not known: k grows with the step, and the error budget lasts for ever."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, overload

import numpy as np

from langgraph_maker.theory.random_walk import (
    between_0_and_1,
    checked_integers,
    first_right,
    least_margin,
    rates,
    scalar,
)

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

__all__ = ["k_at_step"]


@overload
def k_at_step(
    p: float, step: int, target: float = 0.95, *, p_alt: float | None = None, p_first: float | None = None
) -> int: ...
@overload
def k_at_step(
    p: ArrayLike,
    step: ArrayLike,
    target: ArrayLike = 0.95,
    *,
    p_alt: ArrayLike | None = None,
    p_first: ArrayLike | None = None,
) -> NDArray[np.int64]: ...
def k_at_step(
    p: ArrayLike,
    step: ArrayLike,
    target: ArrayLike = 0.95,
    *,
    p_alt: ArrayLike | None = None,
    p_first: ArrayLike | None = None,
) -> Any:
    """Return the margin of each step of a task whose length is not known, so that all of it reaches the target.

    Step i, from 0, may spend the share 1 / ln(i + e) - 1 / ln(i + e + 1) of ln(target). These shares add up to 1 over
    infinitely many steps, and fall hardly faster than 1/i: k exceeds the k_min of as many steps by little.

    Args:
        p: Probability that one valid single-step sample is right, p_alt < p <= 1.
        step: The step's number, 0 for the first.
        target: Wanted probability of zero errors in the whole task (t), 0 < target < 1.
        p_alt: Probability of the likeliest wrong answer to a step; 1 - p when None.
        p_first: Probability that the first vote is right; p when None.

    Returns:
        A margin in votes, at least 1.

    Raises:
        ValueError: When p <= p_alt, or an argument is NaN or outside its range; the message says which.

    Example:
        >>> from langgraph_maker.theory import k_min
        >>> k_at_step(0.99, [0, 1000, 10**6]).tolist(), k_min(0.99, 10**6)
        ([1, 3, 5], 4)
    """
    (_, _, log_odds), first = rates(p, p_alt), first_right(p_first)
    place = checked_integers("step", step, least=0) + np.e
    share = np.log1p(1 / place) / (np.log(place) * np.log(place + 1))
    budget = -np.log(between_0_and_1("target", target)) * share
    return scalar(least_margin(log_odds, budget, first, lambda log: -log <= budget))
