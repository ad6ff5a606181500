"""How failures are spread over steps, as the numbers of samples that steps took tell it.

If all steps failed alike, the share still undecided would fall as one law of independent errors says. Where it falls
more slowly, some steps are harder than others: each then has a rate of its own at which samples fail, and it is the
spread of these rates over the steps that is fitted. So many votes wrong and so many samples flagged, as in the whole
run, stand for a failure at any step: the samples a step takes do not tell the two apart. Nor do they tell a step that
is mostly wrong from one that is mostly right, since either is decided soon: all steps are taken to be right more often
than wrong.

    >>> law = fit([1000, 1000, 1000, 100, 40, 18, 8, 3, 1, 0], k=3, wrong=0.1)
    >>> [round(1000 * share) for share in law.undecided(8)][3:6]
    [100, 41, 17]
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from langgraph_maker.theory.inference import undecided

__all__ = ["Law", "fit"]

_LEAST, _MOST, _GRID = 1e-4, 0.98, 60
_ROUNDS = 20_000
_SEEN = 1e-9  # weights below are none


@dataclass(frozen=True)
class Law:
    """Shares of the steps (`weights`) by the rate at which their samples fail, `wrong` of the failures wrong votes."""

    k: int
    wrong: float
    rates: list[float]
    weights: list[float]

    def undecided(self, samples: int) -> list[float]:
        """Return the share of steps undecided after 0, 1, … `samples` samples, flagged ones included."""
        laws = np.array([_undecided(rate, self.wrong, self.k, samples) for rate in self.rates])
        return [float(share) for share in np.array(self.weights) @ laws]

    @property
    def errors(self) -> float:
        """The share of steps that the vote decides wrongly, Eq 9 at each rate."""
        odds = [_rates(rate, self.wrong) for rate in self.rates]
        lost = [(1 - p) ** self.k / ((1 - p) ** self.k + p**self.k) for p, _ in odds]
        return float(np.dot(self.weights, lost))

    def above(self, rate: float) -> float:
        """Return the share of steps that fail more often than that."""
        return sum(weight for one, weight in zip(self.rates, self.weights, strict=True) if one > rate)


def fit(undecided_after: Sequence[int], k: int, wrong: float) -> Law:
    """Return the spread of rates under which what was seen is most likely, by expectation maximisation.

    Nothing is assumed of its form but a grid of rates; the likelihood has one maximum.

    Args:
        undecided_after: Index j counts the steps undecided after j samples, flagged ones included.
        k: The margin of the run.
        wrong: Which share of the failures were wrong votes and not flags, from 0 to 1.

    Raises:
        ValueError: When no step was decided.
    """
    seen = -np.diff([*undecided_after, 0.0])  # the last of these are those that are undecided still
    if not seen[:-1].sum() > 0:
        raise ValueError("no step was decided: there is nothing to fit")
    longest = len(undecided_after) - 1
    rates = [0.0, *(float(rate) for rate in np.geomspace(_LEAST, _MOST / (1 + wrong), _GRID))]  # up to p = 1/2
    laws = -np.diff([[*_undecided(rate, wrong, k, longest), 0.0] for rate in rates], axis=1)
    used = seen > 0
    seen, laws = seen[used] / seen.sum(), np.maximum(laws[:, used], 1e-300)
    weights = np.full(len(rates), 1 / len(rates))
    for _ in range(_ROUNDS):
        weights *= laws @ (seen / (weights @ laws))
    kept = weights > _SEEN
    total = weights[kept].sum()
    return Law(k, wrong, np.array(rates)[kept].tolist(), (weights[kept] / total).tolist())


def _rates(rate: float, wrong: float) -> tuple[float, float]:
    """Return the p and v of a step whose samples fail at that rate."""
    valid = 1 - rate * (1 - wrong)
    return (1 - rate) / valid, valid


@lru_cache(maxsize=1024)
def _law(rate: float, wrong: float, k: int, samples: int) -> tuple[float, ...]:
    p, valid = _rates(rate, wrong)
    return tuple(undecided(p, k, samples, valid))


def _undecided(rate: float, wrong: float, k: int, samples: int) -> NDArray[np.float64]:
    return np.array(_law(rate, wrong, k, samples))
