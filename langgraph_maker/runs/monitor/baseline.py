"""What a run is held against while it continues."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from langgraph_maker.core.foreign import excerpt
from langgraph_maker.runs.calibration.result import Calibration, no_better
from langgraph_maker.runs.monitor.step_counts import contested, p_of_contested
from langgraph_maker.theory.intervals import exact_interval

__all__ = ["TOLERATED", "Baseline"]

TOLERATED: Final = 1.1
"""What a step may cost, of what is projected, before that is an alarm."""
_LARGEST_MARGIN: Final = 1000


@dataclass(frozen=True)
class Baseline:
    """What a run is held against.

    Attributes:
        p: The least that p may be; None to hold it against the run's own first 200 steps.
        flagged: The largest share of flagged samples; None likewise.
        cost_per_step: Dollars; None for no projection.
        target: Wanted probability of zero errors, by which a k to raise to is chosen.
        raise_k: Whether k is raised when p is found to have fallen.
        max_k: Up to which k.
        audit_k: The margin of the second votes that a share of the steps get.
        differing: The least mean over steps of p (1 - p): two samples of one step differ in twice that share. None
            where it is not known.
        first_alike: Whether the first vote of a step is drawn at the temperature of all others.
        contested: The largest share of contested ballots by margin, where each type of steps has a k and a p of its
            own; of other margins it follows from `p`.

    Raises:
        ValueError: For an invalid probability or rate, a k below 1, or a `raise_k` that is neither True nor False.
    """

    p: float | None = None
    flagged: float | None = None
    cost_per_step: float | None = None
    target: float = 0.95
    raise_k: bool = False
    max_k: int = _LARGEST_MARGIN
    audit_k: int | None = None
    differing: float | None = None
    first_alike: bool = True
    contested: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, rate in (
            ("p", self.p),
            ("flagged", self.flagged),
            ("target", self.target),
            ("differing", self.differing),
        ):
            if rate is not None and not 0 <= rate <= 1:
                raise ValueError(f"{name} is from 0 to 1, not {excerpt(rate)}")
        if not isinstance(self.raise_k, bool):
            raise ValueError(f"raise_k is True or False, not {excerpt(self.raise_k)}")  # noqa: TRY004 - as all bad values
        for name, k in (("max_k", self.max_k), ("audit_k", self.audit_k)):
            if k is not None and k < 1:
                raise ValueError(f"{name} is at least 1, not {excerpt(k)}")

    def share(self, margins: Sequence[int], p: float) -> float:
        """Return the largest share of contested ballots among so many by margin, the least p being `p`."""
        shares = (self.contested.get(str(k), contested(p, [0] * k + [1])) for k in range(len(margins)))
        return sum(count * share for count, share in zip(margins, shares, strict=True)) / sum(margins)

    def p_of(self, k: int, p: float) -> float:
        """Return the least p of steps with the margin `k`, which is `p` where all types of steps have one k.

        Where types have their own, any of them may have been raised to another.
        """
        margins = [str(k)] if str(k) in self.contested else [*self.contested]
        return min((p_of_contested(self.contested[one], [0] * int(one) + [1]) for one in margins), default=p)

    @classmethod
    def of(
        cls,
        found: Calibration | None,
        *,
        target: float,
        raise_k: bool,
        max_k: int | None,
        max_cost: float | None,
        steps: int | None,
        audit_k: int | None = None,
    ) -> Baseline:
        """Return one by a calibration where there is one, else by what the run may cost."""
        top = _LARGEST_MARGIN if max_k is None else min(max_k, _LARGEST_MARGIN)
        if found is None:
            paid = None if max_cost is None or steps is None else max_cost / steps / TOLERATED
            return cls(cost_per_step=paid, target=target, raise_k=raise_k, max_k=top, audit_k=audit_k)
        cost = None if found.expected_cost is None or not found.steps else found.expected_cost / found.steps
        return cls(
            p=no_better(found.p_low, found.p_first_low) or found.p_low,
            flagged=1 - exact_interval(found.valid, found.samples).low,
            cost_per_step=cost,
            target=found.target,
            raise_k=raise_k,
            max_k=top,
            audit_k=audit_k,
            differing=found.differing or None,
            first_alike=found.p_first is None,
            contested=_by_margin(found),
        )


def _by_margin(found: Calibration) -> dict[str, float]:
    """Return the largest share of contested ballots by margin, where types of steps have their own."""
    shares: dict[str, float] = {}
    for one in found.types:
        if one.k is not None:
            share = contested(max(one.p_low, 0.5), [0] * one.k + [1])
            shares[str(one.k)] = max(share, shares.get(str(one.k), 0.0))
    return shares
