"""Which k, from what calibration counted: at the lower bound, on average over what it leaves open, by type of step.

The lower bound of p holds in 97.5 of 100 calibrations, and costs up to twice the votes that p takes. Averaged over the
posterior of p (Jeffreys), the probability of zero errors is the target in the mean over calibrations: some runs have
more, some less.

    >>> average_full(298, 300, 3, 1000) < average_full(298, 300, 4, 1000)
    True
    >>> averaged(298, 300, 1000, 0.95)
    3
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import exp, lgamma, log

import numpy as np
from numpy.typing import NDArray

from langgraph_maker.core.margin import LARGEST_MARGIN
from langgraph_maker.theory.intervals import exact_interval
from langgraph_maker.theory.random_walk import log_correct

__all__ = ["OfType", "average_full", "averaged", "by_type", "fisher", "mixed", "types_differ"]

_PRIOR = 0.5
_GRID = np.linspace(-40.0, 40.0, 8001)  # of the log odds of p
_DRAWS = 2000


@dataclass(frozen=True)
class OfType:
    """What calibration counted of the steps of one type, which are so many of the whole task; `k` is theirs."""

    type: str
    steps: float
    valid: int
    right: int
    p_low: float = 0.0
    k: int | None = None


@lru_cache(maxsize=64)
def _posterior(right: int, valid: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Log odds above 0 and their weights; what is missing of 1 is the chance that p is 1/2 or less."""
    weight = -(right + _PRIOR) * np.log1p(np.exp(-_GRID)) - (valid - right + _PRIOR) * np.log1p(np.exp(_GRID))
    weight = np.exp(weight - weight.max())
    weight /= weight.sum()
    above = (_GRID > 0) & (weight > 1e-14)  # noqa: PLR2004 - adds nothing
    return _GRID[above], weight[above]


def average_full(right: int, valid: int, k: int, steps: float, *, first: tuple[int, int] | None = None) -> float:
    """Return the probability of zero errors in so many steps, averaged over the posterior of p.

    Args:
        right: Right samples, of so many
        valid: ones; where p is 1/2 or less, the run is taken to fail.
        k: The margin.
        steps: May be a fraction of the task's.
        first: The same counts of first votes, where they have a temperature of their own.

    Example:
        >>> round(average_full(990, 1000, 3, 1000), 4), round(average_full(9900, 10_000, 3, 1000), 4)
        (0.9984, 0.9989)
    """
    odds, weight = _posterior(right, valid)
    return float(weight @ np.exp(steps * _log_right(odds, k, first)))


def _log_right(odds: NDArray[np.float64], k: int, first: tuple[int, int] | None) -> NDArray[np.float64]:
    own = None
    if first is not None:  # errors are linear in it, so that its mean stands for all
        own = np.minimum(1 / (1 + np.exp(-odds)), (first[0] + _PRIOR) / (first[1] + 2 * _PRIOR))
    return log_correct(odds, np.asarray(float(k)), own)


def averaged(
    right: int, valid: int, steps: float, target: float, *, first: tuple[int, int] | None = None
) -> int | None:
    """Return the least k whose `average_full` is the target; None where none up to 1,000 reaches it."""
    low, high = 0, LARGEST_MARGIN
    if average_full(right, valid, high, steps, first=first) < target:
        return None
    while high - low > 1:
        middle = (low + high) // 2
        reached = average_full(right, valid, middle, steps, first=first) >= target
        low, high = (low, middle) if reached else (middle, high)
    return high


def mixed(
    right: int, valid: int, steps: float, target: float, *, first: tuple[int, int] | None = None
) -> tuple[int, float] | None:
    """Return k and the least share of the steps that has to take it, where the others take k - 1.

    There is nothing to spare where all just reaches the target, so a seventh of the risk that it leaves is kept back.

    Example:
        >>> k, share = mixed(990, 1000, 1000, 0.95)
        >>> k, 0 < share < 1
        (3, True)
    """
    if (k := averaged(right, valid, steps, target, first=first)) is None or k == 1:
        return None if k is None else (1, 1.0)
    target += (1 - target) / 7
    odds, weight = _posterior(right, valid)
    more, less = (_log_right(odds, margin, first) for margin in (k, k - 1))
    for share in np.arange(0, 1, 0.01):
        if float(weight @ np.exp(steps * (share * more + (1 - share) * less))) >= target:
            return k, float(min(1.0, share + 0.01))  # steps are not divided quite so
    return k, 1.0


def by_type(found: Sequence[OfType], target: float, *, conservative: bool = False) -> list[OfType] | None:
    """Return the types with the k of each that take the fewest votes, of which the summed risk keeps the target.

    The risk is averaged over the posterior of each type's p, or with `conservative` that at its lower bound, which hold
    for all types at once (Bonferroni). None where no k up to 1,000 keeps it.

    Example:
        >>> types = [OfType("easy", 950, 950, 950), OfType("hard", 50, 50, 40)]
        >>> [one.k for one in by_type(types, 0.95)]
        [2, 7]
    """
    miss = 0.05 / max(1, len(found))
    found = [
        OfType(one.type, one.steps, one.valid, one.right, exact_interval(one.right, one.valid, 1 - miss).low)
        for one in found
    ]
    budget, ks = -log(target), [1] * len(found)

    def risk(one: OfType, k: int) -> float:
        if not conservative:
            return -log(max(average_full(one.right, one.valid, k, one.steps), 1e-300))
        if one.p_low <= 0.5:  # noqa: PLR2004 - no vote helps
            return float("inf")
        odds = np.asarray(log(one.p_low) - np.log1p(-one.p_low))
        return -one.steps * float(log_correct(odds, np.asarray(float(k)), None))

    risks = [risk(one, 1) for one in found]
    while sum(risks) > budget:
        gains = [
            (risks[at] - risk(one, ks[at] + 1)) / _more_votes(one, ks[at]) if ks[at] < LARGEST_MARGIN else 0.0
            for at, one in enumerate(found)
        ]
        best = max(range(len(found)), key=lambda at: gains[at])
        gain = gains[best]
        if not gain > 0:
            flat = [at for at, one in enumerate(found) if ks[at] == 1 and risk(one, 2) >= risks[at]]
            best = next((at for at in flat if risk(found[at], 3) < risks[at]), -1)
            if best < 0:
                return None
        if not np.isfinite(gain) or max(ks) >= LARGEST_MARGIN or (gain and gain < 1e-12):  # noqa: PLR2004 - of no use
            return None
        ks[best] += 1
        risks[best] = risk(found[best], ks[best])
    for at, one in sorted(enumerate(found), key=lambda pair: -pair[1].steps):  # what was more than enough
        while ks[at] > 1 and sum(risks) - risks[at] + risk(one, ks[at] - 1) <= budget:
            ks[at] -= 1
            risks[at] = risk(one, ks[at])
    return [OfType(one.type, one.steps, one.valid, one.right, one.p_low, k) for one, k in zip(found, ks, strict=True)]


def _more_votes(one: OfType, k: int) -> float:
    """Return what one more for k costs, all in all, about."""
    p = (one.right + _PRIOR) / (one.valid + 2 * _PRIOR)
    return max(one.steps, 1e-9) * (1.0 if k < 1 else 1 / max(2 * p - 1, 0.02))


def fisher(strata: Sequence[tuple[int, int, int, int]]) -> float:
    """Return the probability that chance makes second samples wrong as often as this, or oftener (Fisher's exact test).

    Args:
        strata: For each type of steps (wrong, of) second samples of steps whose first was wrong, and (wrong, of) first
            samples of all steps.

    Example:
        >>> round(fisher([(2, 10, 10, 1000)]), 4), round(fisher([(0, 10, 10, 1000)]), 4)
        (0.0055, 1.0)
    """
    law, seen = np.ones(1), 0
    for again, looked, wrong, samples in strata:
        seen += again
        law = np.convolve(law, _hypergeometric(looked, wrong + again, samples + looked))
    return float(min(1.0, law[seen:].sum()))


def _hypergeometric(drawn: int, marked: int, whole: int) -> NDArray[np.float64]:
    def ways(n: int, k: int) -> float:
        return lgamma(n + 1) - lgamma(k + 1) - lgamma(n - k + 1)

    law = np.zeros(drawn + 1)
    for count in range(max(0, drawn + marked - whole), min(drawn, marked) + 1):
        law[count] = exp(ways(marked, count) + ways(whole - marked, drawn - count) - ways(whole, drawn))
    return law


def types_differ(counts: Mapping[str, tuple[int, int]]) -> float:
    """Return the p-value of types having one p, from (right, valid) of each, by permutations.

    Example:
        >>> types_differ({"a": (950, 950), "b": (40, 50)}) < 0.01, types_differ({"a": (95, 100), "b": (48, 50)}) > 0.2
        (True, True)
    """
    valid = np.array([of for _, of in counts.values()])
    right = np.array([some for some, _ in counts.values()])
    if len(counts) < 2 or right.sum() in {0, valid.sum()}:  # noqa: PLR2004 - nothing differs
        return 1.0
    draws = np.random.default_rng(0).multivariate_hypergeometric(valid, int(right.sum()), _DRAWS)

    def ratio(some: NDArray[np.int64]) -> NDArray[np.float64]:
        with np.errstate(divide="ignore", invalid="ignore"):
            parts = np.nan_to_num(some * np.log(some / valid)) + np.nan_to_num((valid - some) * np.log1p(-some / valid))
        return np.asarray(parts.sum(axis=-1))

    return float((1 + (ratio(draws) >= ratio(right) - 1e-9).sum()) / (1 + _DRAWS))
