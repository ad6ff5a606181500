"""What ballots say of steps that need not be equally hard, and what they cannot say.

A ballot's shape is all that it tells: its votes n, those for its leader x, and the lead m over the next answer. Where
the leader is right, it has the likelihood p^x (1 - p)^(n - x), and where the next answer is, p^(x - m)
(1 - p)^(n - x + m). Neither changes with when one looks, so an open ballot counts as it is: left out, the ballots that
go fast, which are the easy ones, would speak for all.

`equal` takes p to be the same at every step. `spread` lets each step have its own p of at least 1/2, by nonparametric
maximum likelihood over a fixed set of points. Neither is a bound. Of n steps some 3 may be hard and show nothing of it,
whatever n is, and a step with 1 - p looks like one with p. `most_contested` is a bound, on how many steps may be those
on which answers are split; none is possible on steps that are always wrong alike.

    >>> shapes = {"3:3:3": 900, "5:4:3": 90, "7:5:3": 10}
    >>> round(equal(shapes), 3), most_contested(shapes, {}, 0)
    (0.966, 11)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from math import exp, floor, inf, lgamma, log, log1p, sqrt
from typing import TYPE_CHECKING, Final, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats: TypeAlias = NDArray[np.float64]

__all__ = [
    "DIFFER",
    "FEW",
    "Pooled",
    "Shapes",
    "Spread",
    "contested",
    "equal",
    "likelihood_gain",
    "most_contested",
    "pooled",
    "shape",
    "shape_of",
    "spread",
    "sure",
]


FEW: Final = 10
"""Contested ballots below which too little is seen of whether samples err independently, and steps are alike."""

DIFFER: Final = 1.35
"""The `likelihood_gain` from which ballots suggest that steps differ: by chance in one run of twenty."""


def sure(value: float, low: float | None) -> str:
    """Return a probability with its lower bound, if any, rounded down, with two digits of how far it is from 1.

    Example:
        >>> sure(0.99996, 0.987), sure(1.0, 0.5), sure(0.9, None)
        ('0.999960 (≥ 0.987)', '> 0.9999999 (≥ 0.50)', '0.900')
    """
    return _digits(value) if low is None else f"{_digits(value)} (≥ {_digits(low)})"


def _digits(value: float) -> str:
    for digits in range(2, 8):
        if 1 - value >= 10.0 ** (1 - digits):
            return f"{floor(value * 10**digits + 1e-6) / 10**digits:.{digits}f}"
    return "> 0.9999999" if value > 0.9999999 else "> 0.999999"  # noqa: PLR2004 - what is said


Shapes: TypeAlias = Mapping[str, int]
"""How many ballots have a shape, which is written "n:x:m"."""


def shape(votes: int, leading: int, lead: int) -> str:
    """Return a ballot's shape as it is counted: of so many votes those for the leader, and its lead over the next."""
    return f"{votes}:{leading}:{lead}"


def shape_of(counts: Mapping[str, int]) -> str:
    """Return the shape of a ballot with these counts.

    Example:
        >>> shape_of({"a": 3, "b": 1}), shape_of({})
        ('4:3:2', '0:0:0')
    """
    first, second, *_ = *sorted(counts.values(), reverse=True), 0, 0
    return shape(sum(counts.values()), first, first - second)


def _read(*several: Shapes) -> tuple[Floats, Floats, Floats, Floats]:
    """Return n, x, m and the number of ballots of each shape with a vote."""
    rows = [(*map(int, name.split(":")), count) for shapes in several for name, count in shapes.items()]
    kept = np.array([row for row in rows if row[0] and row[3]], np.float64).reshape(-1, 4)
    return kept[:, 0], kept[:, 1], kept[:, 2], kept[:, 3]


def contested(*several: Shapes) -> int:
    """Return how many ballots have a vote for a second answer."""
    n, x, _, count = _read(*several)
    return int(count[n > x].sum())


_SCALE: Final = np.concatenate([np.linspace(0.0, 2.0, 41), np.linspace(2.1, 16.0, 140)])  # log odds of p
_FINE: Final = 60


def _logs(several: tuple[Shapes, ...], odds: Floats) -> tuple[Floats, Floats]:
    """Return the log likelihood of each shape at each log odds, and the counts."""
    n, x, m, count = _read(*several)
    log_p, log_q = -np.log1p(np.exp(-odds)), -np.logaddexp(0, odds)
    right = np.outer(x, log_p) + np.outer(n - x, log_q)
    return right + np.log1p(np.exp(-np.outer(m, odds))), count


def equal(*several: Shapes) -> float | None:
    """Return the p, at least 1/2, that makes ballots of equally hard steps likeliest; None where there is no vote."""
    n, x, _, count = _read(*several)
    if not count.size:
        return None
    if not (n - x).any():
        return 1.0
    odds = _SCALE
    for _ in range(4):
        logs, counts = _logs(several, odds)
        best = int((counts @ logs).argmax())
        low, high = odds[max(0, best - 1)], odds[min(odds.size - 1, best + 1)]
        odds = np.linspace(low, high, _FINE)
    return float(1 / (1 + exp(-odds[_FINE // 2])) if best else 0.5)


@dataclass(frozen=True)
class Pooled:
    """The pooled p, how many of so many `votes` are expected to be `wrong` at it, and how `dispersed` such a count is.

    Dispersion is its variance, ballots taken as the units, as a multiple of its mean.
    """

    p: float
    wrong: float
    votes: int
    ballots: int
    dispersion: float


def pooled(*several: Shapes) -> Pooled | None:
    """Return what all ballots, of steps taken to be equally hard, say of the share of wrong votes."""
    p = equal(*several)
    if p is None:
        return None
    n, x, m, count = _read(*several)
    votes, ballots = int(count @ n), int(count.sum())
    if p >= 1:
        return Pooled(1.0, 0.0, votes, ballots, 1.0)
    odds = log(p) - log1p(-p)
    other = 1 / (1 + np.exp(m * odds))  # that the next answer is the right one
    score = x - m * other - n * p
    known = float(count @ (n * p * (1 - p) - other * (1 - other) * m * m))
    wrong = votes * (1 - p)
    if known <= 0 or p <= _HALF:
        return Pooled(p, wrong, votes, ballots, inf)
    loose = float(count @ score**2) * ballots / max(1, ballots - 1)
    variance = max(loose / known**2, 1 / known) * (p * (1 - p)) ** 2
    return Pooled(p, wrong, votes, ballots, max(p, variance * votes / (1 - p)))


@dataclass(frozen=True)
class Spread:
    """A share of the steps at each of some p, of at least 1/2."""

    p: Floats
    share: Floats

    def decided(self, shapes: Shapes) -> float:
        """Return the log probability that the leader of every such ballot is right."""
        _, _, m, count = _read(shapes)
        odds = np.log(self.p) - np.log1p(-self.p)
        logs, _ = _logs((shapes,), odds)
        weight = np.exp(logs - logs.max(axis=1, keepdims=True)) * self.share if count.size else logs
        wrong = weight * (1 / (1 + np.exp(np.outer(m, odds))))
        with np.errstate(divide="ignore"):
            return float(count @ np.log1p(-(wrong.sum(axis=1) / weight.sum(axis=1)))) if count.size else 0.0

    def to_decide(self, shapes: Shapes, k: int) -> float:
        """Return the log probability that every such open ballot is decided rightly once it has a lead of k."""
        _, _, m, count = _read(shapes)
        if not count.size:
            return 0.0
        odds = np.log(self.p) - np.log1p(-self.p)
        logs, _ = _logs((shapes,), odds)
        weight = np.exp(logs - logs.max(axis=1, keepdims=True)) * self.share
        ahead = np.minimum(m, k)
        leads = 1 / (1 + np.exp(np.outer(m, odds)))
        lost = leads * (1 - _ruin(odds, k, -ahead)) + (1 - leads) * (1 - _ruin(odds, k, ahead))
        return float(count @ np.log1p(-np.minimum((weight * lost).sum(axis=1) / weight.sum(axis=1), 1 - 1e-15)))

    def to_come(self, k: int) -> float:
        """Return the probability that a step not yet started is decided wrongly by a lead of k."""
        odds = np.log(self.p) - np.log1p(-self.p)
        return float(self.share @ (1 / (1 + np.exp(k * odds))))

    @property
    def alike(self) -> float:
        """The correlation of two votes on a step: 0 where all steps have the same p."""
        mean = float(self.share @ self.p)
        within = mean * (1 - mean)
        return float(self.share @ (self.p - mean) ** 2) / within if within else 0.0


def _ruin(odds: Floats, k: int, lead: Floats) -> Floats:
    """Return the probability that the right answer wins from a lead, one row a lead."""
    below, all_of_it = np.outer(lead + k, odds), 2 * k * odds
    with np.errstate(invalid="ignore"):
        won = np.expm1(-below) / np.expm1(-all_of_it)
    return np.where(odds < _FLAT, ((lead + k) / (2 * k))[:, None], won)


def spread(*several: Shapes) -> Spread | None:
    """Return the mixture of p, each at least 1/2, that makes the ballots likeliest; None where there is no vote."""
    odds = _SCALE[::3]
    logs, count = _logs(several, odds)
    if not count.size:
        return None
    like = np.exp(logs - logs.max(axis=1, keepdims=True))
    share = np.full(odds.size, _APART / odds.size)  # of mixtures that fit alike, one near to equal steps
    share[int((count @ logs).argmax())] += 1 - _APART
    weight = count / count.sum()
    for _ in range(_ROUNDS):
        share = share * (like.T @ (weight / (like @ share)))
    return Spread(1 / (1 + np.exp(-odds)), share / share.sum())


def likelihood_gain(p: float, mixture: Spread, *several: Shapes) -> float:
    """Return by how much the mixture's log likelihood exceeds that of p at every step."""
    odds = np.log(mixture.p) - np.log1p(-mixture.p)
    logs, count = _logs(several, odds)
    most = logs.max(axis=1, keepdims=True)
    mixed = most[:, 0] + np.log(np.exp(logs - most) @ mixture.share)
    alone, _ = _logs(several, np.array([min(50.0, log(p) - log1p(-p) if p < 1 else 50.0)]))
    return float(count @ (mixed - alone[:, 0]))


def most_contested(decided: Shapes, still: Shapes, given_up: int) -> int | None:
    """Return an upper bound of 95 % on how many steps are right or wrong in one vote of three, or oftener.

    Ballots of such steps have at least one, two or three lost votes with at least the probability that they have at
    1/3: the most such steps, then, of which no more are likely to show that. Open ballots and those given up are taken
    for such steps. None where no margin lets a vote be lost.

    Args:
        decided: Shapes of the decided ballots.
        still: Shapes of those under way.
        given_up: How many more ballots did not converge.
    """
    n, x, m, count = _read(decided)
    total = int(count.sum())
    least = int(m.min()) if count.size else 0
    if least <= 1 or not total:
        return None
    unsure = given_up + sum(still.values())
    shown = {lost: int(count[n - x >= lost].sum()) for lost in _LOST}
    return min(min(total, _most(shown[lost], _shows(lost, least))) for lost in _LOST) + unsure


@lru_cache(maxsize=256)
def _shows(lost: int, k: int) -> float:
    """Return the probability that a ballot with margin k and p = 1/3 or 2/3 has so many lost votes or more."""
    p = 2 / 3
    leads = np.zeros(2 * k - 1)
    leads[k - 1] = 1.0
    for _ in range(k + 2 * (lost - 1)):
        leads = np.convolve(leads, [1 - p, 0.0, p])[1:-1]
    return float(leads.sum())


@lru_cache(maxsize=1024)
def _most(shown: int, chance: float) -> int:
    """Return the largest number of trials of which so few successes, or fewer, have a probability of 0.05 / 3.

    Of many it is that of a Poisson count, which is more, by the quantile of Wilson and Hilferty.
    """
    if shown > _EXACT_UP_TO:
        part = 1 / (9 * (shown + 1))
        return int((shown + 1) * (1 - part + _NORMAL * sqrt(part)) ** 3 / chance)
    low, high = shown, max(8, int(4 * (shown + 4) / chance))
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if _at_most(shown, middle, chance) >= _MISS else (low, middle - 1)
    return low


def _at_most(successes: int, trials: int, chance: float) -> float:
    if successes >= trials or chance <= 0:
        return 1.0
    if chance >= 1:
        return 0.0
    total = 0.0
    for hits in range(successes, -1, -1):
        ways = lgamma(trials + 1) - lgamma(hits + 1) - lgamma(trials - hits + 1)
        total += exp(ways + hits * log(chance) + (trials - hits) * log1p(-chance))
    return total


_HALF: Final = 0.5
_FLAT: Final = 1e-6
_ROUNDS: Final = 400
_APART: Final = 0.001
_LOST: Final = (1, 2, 3)
_MISS: Final = 0.05 / len(_LOST)
_NORMAL: Final = 2.1280452341849842  # the quantile of 1 - _MISS
_EXACT_UP_TO: Final = 200
