"""What a vote may still use of a budget that is larger than the vote: that of a thread, or of an agent's run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from math import isfinite
from typing import Final, NamedTuple, TypeAlias

from langgraph_maker.core.foreign import excerpt
from langgraph_maker.core.numbers import check_whole
from langgraph_maker.core.state import BallotState, Decision, Usage

__all__ = ["Budget", "Limits", "Spent", "Visits", "budgeted", "current_budget", "total"]


class Spent(NamedTuple):
    """What a visit used: samples, and dollars, None where a price is not known."""

    samples: int
    cost: float | None


Visits: TypeAlias = dict[str, Spent]
"""What was spent, by visits of a node."""


@dataclass(frozen=True)
class Limits:
    """How much may be spent in all; None for no limit.

    Raises:
        ValueError: For a limit out of range.
    """

    max_total_samples: int | None = None
    max_cost: float | None = None

    def __post_init__(self) -> None:
        if self.max_total_samples is not None:
            check_whole("max_total_samples", self.max_total_samples)
        cost = self.max_cost
        number = isinstance(cost, (int, float)) and not isinstance(cost, bool)
        if cost is not None and not (number and isfinite(cost) and cost > 0):
            raise ValueError(f"max_cost is a finite number of dollars above 0, not {excerpt(cost)}")

    def __bool__(self) -> bool:
        return self.max_total_samples is not None or self.max_cost is not None


@dataclass
class Budget:
    """What one visit may use beside all others.

    Args:
        limits: Of all visits together.
        visits: What each used, shared by those that are under way at one time.
        visit: Names this one.
    """

    limits: Limits
    visits: Visits = field(default_factory=dict)
    visit: str = ""
    _k: int = 1

    def most(self, ballot: BallotState, k: int, most: int) -> int:
        """Return how many samples a ballot with this margin may use, of `most` that it may by itself."""
        self._k = k
        self.note(ballot["asked"], ballot["usage"])
        if self._spent_up():
            return 0
        return most if (left := self._left()) is None else min(most, left)

    def note(self, samples: int, usage: Usage) -> None:
        """Enter what this visit has used by now, what is in flight with it."""
        self.visits[self.visit] = Spent(samples, usage["cost"])

    def why(self, decision: Decision) -> str:
        """Return why the budget ended a vote; "" where something else did."""
        self.note(decision["samples"], decision["usage"])
        if self._spent_up():
            if (cost := self._cost()) is None:
                return "what was spent is not known, and max_cost limits it: give the price of the model"
            return f"${cost:,.2f} were spent, and max_cost is ${self.limits.max_cost:,.2f}"
        left = self._left()
        if left is None or decision["samples"] + self._k <= left:
            return ""
        drawn, most = total(self.visits).samples, self.limits.max_total_samples
        return f"{drawn:,} samples were drawn, and max_total_samples is {most:,}"

    def _left(self) -> int | None:
        most = self.limits.max_total_samples
        if most is None:
            return None
        return most - sum(one.samples for name, one in self.visits.items() if name != self.visit)

    def _cost(self) -> float | None:
        return total(self.visits).cost

    def _spent_up(self) -> bool:
        if self.limits.max_cost is None:
            return False
        cost = self._cost()
        return cost is None or cost >= self.limits.max_cost


def total(visits: Visits) -> Spent:
    """Return what visits used together."""
    costs = [one.cost for one in visits.values()]
    known = sum(cost for cost in costs if cost is not None)
    return Spent(sum(one.samples for one in visits.values()), None if None in costs else known)


@contextmanager
def budgeted(budget: Budget | None) -> Iterator[None]:
    """Hold the votes in here to a budget, if there is one."""
    token = _budget.set(budget)
    try:
        yield
    finally:
        _budget.reset(token)


def current_budget() -> Budget | None:
    """Return the budget that this vote is held to, if any."""
    return _budget.get()


_budget: Final[ContextVar[Budget | None]] = ContextVar("budget", default=None)
