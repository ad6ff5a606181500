"""What alarms look at: counts of decided steps, and the rates that follow from them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from typing import Final, Self

from langgraph_maker.core.events import Totals
from langgraph_maker.theory.intervals import upper_bound

__all__ = ["ALPHA", "EarlySteps", "StepCounts", "contested", "mean", "p_of_contested", "scaled", "scaled_bound"]

ALPHA: Final = 0.001
"""Probability of a false alarm of one kind in a whole run."""
_FIRST: Final = 200  # steps that stand for all, where there is no calibration
_SETTLED: Final = 4  # times as many steps as are open
_EXACT_UP_TO: Final = 10_000


@dataclass(frozen=True)
class StepCounts:
    """Decided steps, how many of them were contested, flagged, drifted; pairs of answers that were or were not alike.

    Steps that a human or sub-steps decided are not among them. `margins` is a histogram.
    """

    steps: int
    contested: int
    flags: int
    drift: int
    pairs: int
    alike: int
    audits: int
    disagreed: int
    margins: list[int]

    @classmethod
    def of(cls, totals: Totals) -> Self:
        """Return what totals say."""
        return cls(
            steps=totals["steps"] - totals["by_human"] - totals["by_split"],
            contested=sum(totals["contested"]),
            flags=totals["flagged_steps"],
            drift=totals["drifted"],
            pairs=totals["alike"] + totals["unlike"],
            alike=totals["alike"],
            audits=totals["audits"],
            disagreed=totals["disagreed"],
            margins=list(totals["margins"]),
        )

    def since(self, before: StepCounts) -> StepCounts:
        """Return what came since then."""
        earlier = [*before.margins, *[0] * (len(self.margins) - len(before.margins))]
        return StepCounts(
            steps=self.steps - before.steps,
            contested=self.contested - before.contested,
            flags=self.flags - before.flags,
            drift=self.drift - before.drift,
            pairs=self.pairs - before.pairs,
            alike=self.alike - before.alike,
            audits=self.audits - before.audits,
            disagreed=self.disagreed - before.disagreed,
            margins=[now - then for now, then in zip(self.margins, earlier, strict=True)],
        )


@dataclass
class EarlySteps:
    """An upper bound on a rate, from the first steps of a run; None until they are there."""

    trials: int = 0
    events: int = 0
    bound: float | None = None

    def add(self, trials: int, events: int, still: int, pending: int) -> None:
        """Count steps; of those that are `still` open, so many are `pending` events, and count as such."""
        self.trials += trials
        self.events += events
        if self.trials >= max(_FIRST, _SETTLED * still):
            self.bound = scaled_bound(self.events + pending, self.trials, 1 - ALPHA)

    def share(self, trials: int, events: int, still: int, pending: int) -> float | None:
        """Return the bound, None until these steps are there; those given are the first until then."""
        if self.bound is None:
            self.add(trials, events, still, pending)
            return None
        return self.bound


def mean(margins: Sequence[int]) -> float:
    """Return the mean margin of so many steps by margin; 0 where there is none."""
    return sum(k * count for k, count in enumerate(margins)) / sum(margins) if any(margins) else 0.0


def scaled(share: float, times: float) -> float:
    """Return the probability of an event in so many times as many draws."""
    return float(1 - (1 - share) ** max(times, 0.0))


def scaled_bound(events: int, trials: int, confidence: float) -> float:
    """Return an upper bound on a rate; of very many trials, of as many as are quickly counted."""
    if trials > _EXACT_UP_TO:
        events, trials = ceil(events * _EXACT_UP_TO / trials), _EXACT_UP_TO
    return upper_bound(max(0, min(events, trials)), trials, confidence)


def contested(p: float, margins: Sequence[int]) -> float:
    """Return the mean probability of a lost vote in a ballot, of so many by margin; uneven errors make it less."""
    lost = sum(count * (1 - p**k - (1 - p) ** k) for k, count in enumerate(margins) if k and count)
    return float(lost / sum(margins))


def p_of_contested(share: float, margins: Sequence[int]) -> float:
    """Return the p at which `contested` is this share."""
    low, high = 0.5, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if contested(middle, margins) > share else (low, middle)
    return low
