"""What a diagnosis found: p by type of step, and the steps that no margin gets past."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from langgraph_maker.theory.intervals import upper_bound

__all__ = ["FINER", "Diagnosis", "Remedy", "StepType", "Suspect", "SuspectSamples", "SuspectVerdict"]

_HALF: Final = 0.5
_CONFIDENCE: Final = 0.95

SuspectVerdict: TypeAlias = Literal["yes", "otherwise", "unclear", "no"]


@dataclass(frozen=True)
class SuspectSamples:
    """Single samples of steps of one type, asked in one way: p among the `valid` ones, with its interval of 95 %."""

    variant: int
    samples: int
    valid: int
    right: int
    p: float | None
    p_low: float
    p_high: float


FINER: Final = 0
"""The granularity of the sub-steps of a `task.Splittable`; others are so many steps in one response."""


@dataclass(frozen=True)
class Remedy:
    """Fresh samples of one step, asked in one way: how many were right, flagged, or the likeliest wrong answer.

    `m` is the granularity: the step itself at 1, beyond that the m steps of which it is one (`Grouped`), in one
    response. At `FINER` it was done in sub-steps, and these are the figures of the worst, which is number `part`.
    """

    variant: int
    samples: int
    right: int
    rival: int
    flagged: int
    m: int = 1
    part: int = 0

    @property
    def lost(self) -> bool:
        """Whether right answers were no more frequent than one wrong answer."""
        return self.right <= self.rival

    @property
    def surely(self) -> bool:
        """Whether that is no chance, see `sure`, at 95 %."""
        return self.sure(_CONFIDENCE)

    def sure(self, confidence: float) -> bool:
        """Return whether right answers are at most half of both, or none counted at all."""
        both = self.right + self.rival
        return upper_bound(self.right, both, confidence) <= _HALF or (self.samples > 0 and self.flagged == self.samples)

    @property
    def cleared(self) -> bool:
        """Whether right answers are the more frequent ones, beyond chance."""
        return 1 - upper_bound(self.rival, self.right + self.rival) >= _HALF

    def standing(self) -> tuple[bool, bool, int]:
        """Return how near it is to being cleared: the least of several sub-steps decides what becomes of all."""
        return self.cleared, not (self.lost and self.surely), self.right - self.rival


@dataclass(frozen=True)
class Suspect:
    """A step of which right answers did not prevail in any way it was asked, and fresh samples of it.

    It is accused at a `confidence` that holds for all suspects at once.
    """

    step: int
    type: str
    tried: list[Remedy]
    confidence: float = _CONFIDENCE

    @property
    def blocks(self) -> bool:
        """Whether right answers are the rarer ones at every granularity and in every way, and that is no chance."""
        return bool(self.tried) and all(one.lost and one.sure(self.confidence) for one in self.tried)

    @property
    def cleared(self) -> bool:
        """Whether at some granularity and in some way right answers are the more frequent ones, beyond chance."""
        return any(one.cleared for one in self.tried)

    @property
    def saved_by(self) -> list[Remedy]:
        """What gets past the step, where it is not cleared as it is: other granularities, each with its way."""
        return (
            [] if any(one.cleared for one in self.tried if one.m == 1) else [one for one in self.tried if one.cleared]
        )


@dataclass(frozen=True)
class StepType:
    """What was found of the steps of one type.

    `rescued` of the sampled steps were lost as first asked, and won in another way. `share_high` is the upper bound on
    the share of steps that may block, among all of this type; it allows for those that looked good.
    """

    type: str
    sampled: int
    asked: list[SuspectSamples]
    rescued: int
    suspects: list[Suspect]
    share_high: float


@dataclass(frozen=True)
class Diagnosis:
    """Which step types of a task block it for a model.

    Attributes:
        task: The task's name.
        model: The model's.
        run_id: What the answers are kept under.
        variants: In how many ways each step was asked.
        granularities: At which it was tried where it was lost in all ways: 1 is as it is, see `Remedy`.
        types: Step types, those with the worst bound first.
        complete: Whether all was drawn that was to be drawn.
        drawn: Samples in all; they cost `spent` dollars, None where the price is not known.
        notes: What the figures rest on or leave out.
    """

    task: str
    model: str
    run_id: str
    variants: int
    granularities: list[int]
    types: list[StepType]
    complete: bool
    drawn: int
    spent: float | None
    notes: list[str]

    @property
    def blocking(self) -> list[Suspect]:
        """The steps that block the task."""
        return [suspect for one in self.types for suspect in one.suspects if suspect.blocks]

    @property
    def saved(self) -> list[Suspect]:
        """The steps that block the task as it is, and not at another granularity."""
        return [suspect for one in self.types for suspect in one.suspects if suspect.saved_by]

    @property
    def verdict(self) -> SuspectVerdict:
        """Whether the task can be decomposed: "yes" as it is, "otherwise" where some steps need another granularity.

        It is "no" where a step blocks it at every granularity and in every way tried, "unclear" where one may.
        """
        if self.blocking:
            return "no"
        cleared = all(suspect.cleared for one in self.types for suspect in one.suspects)
        if not self.complete or not cleared:
            return "unclear"
        return "otherwise" if self.saved else "yes"
