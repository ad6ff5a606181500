"""What the ballots of a run say about p, with no truth at hand.

A ballot's winner has all votes but the lost ones. Over many ballots decided by the margin k, the winners' share q of
all votes obeys q = 1/2 + (2p - 1) / (2 (2P - 1)), with P = p_correct(p, k) of Eq 9: a ballot takes
k (2P - 1) / (2p - 1) votes on average (Eq 16), and its winner has k more than the rest. q is larger than p, because a
winner that is wrong took the votes of the wrong answers. It is inverted here, over all margins where ballots have
their own.

    >>> round(1 - lost_share(0.8, [0, 0, 100]), 4)
    0.84
    >>> round(p_of_share(0.16, [0, 0, 100]), 4)
    0.8

The mean of each ballot's own share says another thing, and is no estimate of p: ballots that went well are short.
With k = 1 nothing is ever lost, and ballots say nothing. All of it holds where votes are independent and p is more
than 1/2: a model that is mostly wrong looks like one that is mostly right.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import exp, log, log1p, sqrt, tanh

import numpy as np

from langgraph_maker.estimates import Interval, exact_interval
from langgraph_maker.events import Totals

__all__ = [
    "Estimate",
    "log_all_right",
    "lost_share",
    "p_from_ballots",
    "p_of_share",
    "rate_interval",
    "undecided",
    "undecided_steps",
    "valid_rate",
]

_HALF = 0.5
_NORMAL = 1.959963984540054  # of 95 %
_EXACT_UP_TO = 10_000


@dataclass(frozen=True)
class Estimate:
    """A probability with its bounds of 95 %; `value` is None where nothing is known of it."""

    value: float | None
    low: float
    high: float


def p_from_ballots(totals: Totals) -> Estimate:
    """p, pooled over all decided steps: the share of right answers among valid votes.

    The interval takes a ballot, not a vote, for the unit that is independent: the variance of the ratio of lost votes
    to votes is that of its residuals over ballots (delta method), or that of independent votes where it is more. The
    bounds are those of a count of such a variance, so that p is not taken for 1 where no vote was ever lost.

    Example:
        >>> from langgraph_maker.nodes.totals import nothing
        >>> unanimous = {**nothing(), "steps": 1000, "votes": 3000, "votes_per_step": [0, 0, 0, 1000]}
        >>> found = p_from_ballots({**unanimous, "margins": [0, 0, 0, 1000]})
        >>> found.value, round(found.low, 5), found.high
        (1.0, 0.99877, 1.0)
    """
    if not totals["votes"] or not any(totals["margins"][2:]):
        return Estimate(None, _HALF, 1.0)
    lost, votes = totals["lost"], totals["votes"]
    share = lost / votes
    value = p_of_share(share, totals["margins"])
    dispersion = max(value, _dispersion(totals))
    low, high = rate_interval(lost, votes, dispersion)
    return Estimate(value, p_of_share(high, totals["margins"]), p_of_share(low, totals["margins"]))


def _dispersion(totals: Totals) -> float:
    """The variance of the lost votes about their share of the votes, as a multiple of a Poisson count's."""
    steps, lost, share = totals["steps"], totals["lost"], totals["lost"] / totals["votes"]
    if not lost or steps <= 1:
        return 1.0
    squared = sum(count * votes * votes for votes, count in enumerate(totals["votes_per_step"]))
    residuals = totals["lost_squared"] - 2 * share * totals["lost_times_votes"] + share * share * squared
    return residuals / lost * steps / (steps - 1)


def valid_rate(totals: Totals) -> Estimate:
    """v, the share of samples without a red flag, with the exact interval of independent samples."""
    samples, valid = totals["samples"], totals["samples"] - totals["flagged"]
    if not samples:
        return Estimate(None, 0.0, 1.0)
    if samples <= _EXACT_UP_TO:
        return Estimate(valid / samples, *exact_interval(valid, samples))
    low, high = rate_interval(totals["flagged"], samples, valid / samples or 1.0)
    return Estimate(valid / samples, 1 - high, 1 - low)


def rate_interval(events: int, trials: int, dispersion: float = 1.0) -> Interval:
    """Bounds of 95 % on a rate, from a count whose variance is `dispersion` times its mean.

    Those of Garwood for a Poisson count, of events / dispersion, by the quantiles of Wilson and Hilferty.

    Example:
        >>> [round(bound, 4) for bound in rate_interval(10, 1000)], round(rate_interval(0, 1000).high, 5)
        ([0.0048, 0.0184], 0.00369)
    """
    count, unit = events / dispersion, dispersion / trials
    high = _half_chi_squared(2 * count + 2, _NORMAL) if events else -log(0.025)
    low = _half_chi_squared(2 * count, -_NORMAL) if events else 0.0
    return Interval(max(0.0, low * unit), min(1.0, high * unit))


def _half_chi_squared(degrees: float, normal: float) -> float:
    part = 2 / (9 * degrees)
    return float(degrees / 2 * max(0.0, 1 - part + normal * sqrt(part)) ** 3)


def lost_share(p: float, margins: Sequence[int]) -> float:
    """The expected share of lost votes among all, of so many ballots by margin (`margins[k]`), the worst case of p_alt.

    Raises:
        ValueError: For no ballots.
    """
    votes = lost = 0.0
    for k, ballots in enumerate(margins):
        if ballots:
            each = _votes(p, k)
            votes += ballots * each
            lost += ballots * (each - k) / 2
    if not votes:
        raise ValueError("there is no ballot among the margins")
    return lost / votes


def _votes(p: float, k: int) -> float:
    if p >= 1:
        return k
    drift = 2 * p - 1
    return k * tanh(k * (log(p) - log1p(-p)) / 2) / drift if drift > 1e-9 else float(k * k)  # noqa: PLR2004 - its limit


def p_of_share(share: float, margins: Sequence[int]) -> float:
    """The p, at least 1/2, of which `lost_share` is `share`; 1/2 where more was lost than that of any p."""
    low, high = _HALF, 1.0
    if share <= 0:
        return high
    used = [*margins]
    while low < (middle := (low + high) / 2) < high and high - low > 1e-12:  # noqa: PLR2004 - digits enough
        low, high = (middle, high) if lost_share(middle, used) > share else (low, middle)
    return low if high < 1 else middle


def undecided(p: float, k: int, samples: int, valid_rate: float = 1.0) -> Iterator[float]:
    """The probability that a ballot is undecided after 0, 1, … `samples` samples, flagged ones included.

    A Markov chain over the lead, exact with one wrong answer.

    Example:
        >>> [round(share, 4) for share in undecided(0.9, 2, 4)]
        [1.0, 1.0, 0.18, 0.18, 0.0324]
    """
    leads = np.zeros(2 * k - 1)
    leads[k - 1] = 1.0
    step = valid_rate * np.array([1 - p, 0.0, p]) + np.array([0.0, 1 - valid_rate, 0.0])
    yield 1.0
    for _ in range(samples):
        leads = np.convolve(leads, step)[1:-1]
        yield float(leads.sum())


def undecided_steps(p: float, margins: Sequence[int], samples: int, valid_rate: float = 1.0) -> list[float]:
    """How many of so many steps by margin are expected to be undecided after 0, 1, … `samples` samples.

    What lies well above this is more than independent errors of one p for all steps explain: hard steps.

    Example:
        >>> [round(steps, 1) for steps in undecided_steps(0.9, [0, 0, 100], 4)]
        [100.0, 100.0, 18.0, 18.0, 3.2]
    """
    law = np.zeros(samples + 1)
    for k, steps in enumerate(margins):
        if steps:
            law += steps * np.fromiter(undecided(p, k, samples, valid_rate), float, samples + 1)
    return [float(steps) for steps in law]


def log_all_right(p: float, margins: Sequence[int]) -> float:
    """The logarithm of the probability that no ballot of these was decided wrongly (Eq 13, margin by margin)."""
    if p >= 1:
        return 0.0
    odds = log(p) - log1p(-p)
    return -sum(ballots * log1p(exp(-k * odds)) for k, ballots in enumerate(margins) if ballots)
