"""What the ballots of a run say about p, with no truth at hand, and what a calibration, which has truth, adds.

The votes of a ballot's winner are not all right and the others not all wrong: the winner may be wrong. So p is the one
that makes the ballots likeliest (`mixture.equal`), all of those that were started:

    >>> from langgraph_maker.theory.mixture import equal
    >>> round(equal({"2:2:2": 68, "4:3:2": 22, "6:4:2": 7, "8:5:2": 3}), 2)
    0.81

The share of the winners' votes, .84 here, is more, and the mean of each ballot's own share is more still: ballots that
went well are short. With k = 1 nothing is ever lost, and ballots say nothing. All of it holds where votes are
independent and p is more than 1/2: a model that is mostly wrong looks like one that is mostly right.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import exp, inf, log, log1p, sqrt

import numpy as np

from langgraph_maker.core.events import OpenBallots, Totals
from langgraph_maker.theory.intervals import Interval, confidence_sequence, exact_interval
from langgraph_maker.theory.mixture import pooled

__all__ = [
    "Estimate",
    "calibrated_bound",
    "latency_matters",
    "log_all_right",
    "p_from_ballots",
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


def p_from_ballots(totals: Totals, still: OpenBallots | None = None, *, first_apart: bool = False) -> Estimate:
    """Return p, pooled over all steps started: the share of right answers among valid votes, if steps are equally hard.

    Open ballots count as they are, and those that were given up as they were: those that are decided are the easy ones.
    The interval takes a ballot, not a vote, for the unit that is independent. Its bounds are those of a count of such a
    variance, so that p is not taken for 1 where no vote was ever lost. Where the first vote of each ballot is drawn
    `first_apart`, at another temperature, the lower bound lets all first votes be right, and is that of the later ones.

    Example:
        >>> from langgraph_maker.nodes.totals import nothing
        >>> found = p_from_ballots({**nothing(), "shapes": {"3:3:3": 1000}, "margins": [0, 0, 0, 1000]})
        >>> found.value, round(found.low, 5), found.high
        (1.0, 0.99877, 1.0)
    """
    begun = [totals["shapes"], totals["given_up"], *([still["shapes"], still["given_up"]] if still else [])]
    if not any(totals["margins"][2:]) or (found := pooled(*begun)) is None:
        return Estimate(None, _HALF, 1.0)
    if found.dispersion == inf:
        return Estimate(found.p, _HALF, 1.0)
    low, high = rate_interval(found.wrong, found.votes, found.dispersion)
    later = (found.votes - found.ballots) / found.votes if first_apart else 1.0
    return Estimate(found.p, max(_HALF, 1 - high / later) if later else _HALF, 1 - low)


def valid_rate(totals: Totals) -> Estimate:
    """Return v, the share of samples without a red flag, with the exact interval of independent samples."""
    samples, valid = totals["samples"], totals["samples"] - totals["flagged"]
    if not samples:
        return Estimate(None, 0.0, 1.0)
    if samples <= _EXACT_UP_TO:
        return Estimate(valid / samples, *exact_interval(valid, samples))
    low, high = rate_interval(totals["flagged"], samples, valid / samples or 1.0)
    return Estimate(valid / samples, 1 - high, 1 - low)


def rate_interval(events: float, trials: int, dispersion: float = 1.0) -> Interval:
    """Return bounds of 95 % on a rate, from a count whose variance is `dispersion` times its mean.

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


def undecided(p: float, k: int, samples: int, valid_rate: float = 1.0) -> Iterator[float]:
    """Return the probability that a ballot is undecided after 0, 1, … `samples` samples, flagged ones included.

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
    """Return how many of so many steps by margin are expected to be undecided after 0, 1, … `samples` samples.

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
    """Return the logarithm of the probability that no ballot of these was decided wrongly (Eq 13, margin by margin)."""
    if p >= 1:
        return 0.0
    odds = log(p) - log1p(-p)
    return -sum(ballots * log1p(exp(-k * odds)) for k, ballots in enumerate(margins) if ballots)


def calibrated_bound(wrong: float, k: int, steps: int) -> float | None:
    """Return a lower bound on the probability that so many steps are all decided rightly; None where there is none.

    It rests on no more than that at most the share `wrong` of single samples is not right, in the mean over the steps:
    flagged ones are among these, since a step that is mostly flagged is decided by the few that are not. So it holds
    however steps differ, and where all samples of a step are one. In a given task these errors may all be
    those of one step; where steps are drawn at random, of steps with the p at which voting errs most for its errors.

    Example:
        >>> round(calibrated_bound(0.003, 3, 31), 3), calibrated_bound(0.003, 3, 1000)
        (0.883, None)
    """
    errors = wrong * steps
    if errors >= _HALF:
        return None
    p = np.linspace(0.01, 0.99, 99)
    worst = float((1 / (1 + (p / (1 - p)) ** k) / (1 - p)).max())
    return float(min(1 - errors, (1 - min(1.0, worst * wrong)) ** steps))


def latency_matters(totals: Totals) -> str:
    """Return how votes that came late differ from those that came early, in words; "" where nothing is seen of it.

    Of a step's first votes, the one that arrives last is as likely to be lost as the one that arrives first; and where
    a call times out says nothing of the step. Either is wrong with a probability of 0.001, the first however often one
    looks.
    """
    last, first = totals["last_lost"], totals["first_lost"]
    low, high = confidence_sequence(last, last + first, _SURE)
    if not low <= _HALF <= high:
        return f"of the first votes, the last to arrive was lost on {last:,} steps, the first to arrive on {first:,}"
    hit, steps, contested = totals["timed_out"], totals["steps"], sum(totals["contested"])
    both = totals["timed_out_contested"]
    if steps > 1 and 0 < hit < steps:
        share = contested / steps
        spread = hit * share * (1 - share) * (steps - hit) / (steps - 1)
        if both >= _LEAST and both - hit * share > _THREE * sqrt(spread):
            return f"calls timed out on {hit:,} steps, of which {both:,} had lost votes: oftener than other steps"
    return ""


_SURE = 0.999
_THREE = 3.1
_LEAST = 5
