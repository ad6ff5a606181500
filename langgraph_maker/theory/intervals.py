"""What counts of right and wrong samples say: intervals, tests, and bounds on what was never seen.

    >>> low, high = exact_interval(998, 1000)
    >>> round(low, 4), round(high, 4)
    (0.9928, 0.9998)

The counts are of one sample a step, on steps drawn at random. Then each sample is right with the mean probability of
all steps, however unevenly errors fall on them, and the counts are binomial. (Several samples of one step fail together
where errors cluster, and intervals that took them for as many steps would be too short.)
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from math import exp, lgamma, log, log1p, pi
from operator import index
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["Interval", "collision_test", "confidence_sequence", "exact_interval", "expected_collisions", "upper_bound"]


class Interval(NamedTuple):
    """Bounds on a probability."""

    low: float
    high: float


@lru_cache(maxsize=4096)
def exact_interval(successes: int, samples: int, confidence: float = 0.95) -> Interval:
    """Return the interval of Clopper and Pearson for a probability, from a number of samples fixed beforehand.

    It holds the truth with at least `confidence`, and misses it on either side with at most half the rest. Where all
    samples succeed the lower bound is below 1: 1 - 3.69 / samples or so, at 95 %.

    Raises:
        ValueError: When the counts are no counts, or `confidence` is not above 0 and below 1.

    Example:
        >>> [round(bound, 4) for bound in exact_interval(1000, 1000)], exact_interval(0, 0)
        ([0.9963, 1.0], Interval(low=0.0, high=1.0))
    """
    _check(successes, samples, confidence)
    miss = (1 - confidence) / 2
    return Interval(_least_p(successes, samples, miss), 1 - _least_p(samples - successes, samples, miss))


def upper_bound(seen: int, samples: int, confidence: float = 0.95) -> float:
    """Return the one-sided upper bound on a share of which `seen` were found in `samples`: about 3 / samples for none.

    Raises:
        ValueError: As `exact_interval`.

    Example:
        >>> round(upper_bound(0, 1000), 5), round(upper_bound(2, 1000), 5)
        (0.00299, 0.00628)
    """
    _check(seen, samples, confidence)
    return 1 - _least_p(samples - seen, samples, 1 - confidence)


@lru_cache(maxsize=4096)
def confidence_sequence(successes: int, samples: int, confidence: float = 0.95) -> Interval:
    """Return bounds on a probability that hold at all numbers of samples at once, so that one may stop at any of them.

    A bettor who mixes all rates by the arcsine law multiplies his stake by B(x + 1/2, n - x + 1/2) / (pi p^x
    (1 - p)^(n - x)) if p is true, and ever reaches 1 / (1 - confidence) with at most the probability 1 - confidence
    (Ville). What is left are the p against which he has not.

    Raises:
        ValueError: As `exact_interval`.

    Example:
        >>> [round(bound, 4) for bound in confidence_sequence(1000, 1000)]
        [0.993, 1.0]
    """
    _check(successes, samples, confidence)
    failures = samples - successes
    mixed = lgamma(successes + 0.5) + lgamma(failures + 0.5) - lgamma(samples + 1) - log(pi)
    limit = mixed + log(1 - confidence)

    def least(right: int, wrong: int) -> float:
        if right == 0:
            return 0.0
        return _crossing(right / samples, lambda p: right * log(p) + (wrong * log1p(-p) if wrong else 0.0) > limit)

    return Interval(least(successes, failures), 1 - least(failures, successes))


def expected_collisions(pairs: int, wrong: int) -> float:
    """Of `pairs` of samples, `wrong` of them wrong in all, how many pairs are wrong twice if chance pairs them.

    Example:
        >>> expected_collisions(100, 20)
        0.9547738693467337
    """
    return wrong * (wrong - 1) / (2 * (2 * pairs - 1)) if pairs else 0.0


def collision_test(pairs: int, wrong: int, both: int) -> float:
    """Return the probability that chance alone pairs `wrong` wrong samples so that `both` or more pairs are all wrong.

    Exact, given the number of wrong samples: where errors do not depend on the step, each way to spread them over the
    pairs is equally likely. Below 0.05, say, errors cluster: some steps have a p of their own.

    Args:
        pairs: Steps sampled twice alike.
        wrong: Wrong samples among the 2 pairs.
        both: Pairs of which both samples were wrong.

    Raises:
        ValueError: When the counts contradict each other.

    Example:
        >>> round(collision_test(200, 6, 0), 4), round(collision_test(200, 6, 2), 6)
        (1.0, 0.000284)
    """
    _check(wrong, 2 * pairs, 0.5)
    if not max(0, wrong - pairs) <= both <= wrong // 2:
        raise ValueError(f"{both} of {pairs} pairs cannot be wrong twice when {wrong} samples are wrong")
    if both == max(0, wrong - pairs):
        return 1.0
    ways = lgamma(2 * pairs + 1) - lgamma(wrong + 1) - lgamma(2 * pairs - wrong + 1)
    total = 0.0
    for twice in range(wrong // 2, both - 1, -1):  # from the smallest term on
        once, never = wrong - 2 * twice, pairs - wrong + twice
        if never >= 0:
            placed = lgamma(pairs + 1) - lgamma(twice + 1) - lgamma(once + 1) - lgamma(never + 1)
            total += exp(placed + once * log(2) - ways)
    return min(1.0, total)


def _check(successes: int, samples: int, confidence: float) -> None:
    if not 0 <= index(successes) <= index(samples):
        raise ValueError(f"counts are whole numbers, the part at most the whole: not {successes} of {samples}")
    if not 0 < confidence < 1:
        raise ValueError(f"confidence is above 0 and below 1, not {confidence}")


def _least_p(successes: int, samples: int, miss: float) -> float:
    """Return the p at which `successes` or more are as unlikely as `miss`."""
    if successes == 0:
        return 0.0
    hits = np.arange(successes, samples + 1)
    ways = _ways(samples)[successes:]

    def likely(p: float) -> bool:
        return bool(np.exp(ways + hits * log(p) + (samples - hits) * log1p(-p)).sum() >= miss)

    return _crossing(1.0, likely)


@lru_cache(maxsize=8)
def _ways(samples: int) -> NDArray[np.float64]:
    """Return the logarithms of the binomial coefficients."""
    drawn = np.arange(1, samples + 1)
    return np.concatenate([[0.0], np.cumsum(np.log((samples - drawn + 1) / drawn))])


def _crossing(high: float, beyond: Callable[[float], bool]) -> float:
    """Return where `beyond` turns true on the way from 0 to `high`, from below."""
    low = 0.0
    while low < (middle := (low + high) / 2) < high:
        low, high = (low, middle) if beyond(middle) else (middle, high)
    return low
