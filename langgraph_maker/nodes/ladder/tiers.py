"""What a ladder is made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from langgraph_maker.models.resolve import Model

__all__ = ["AskHuman", "Audit", "LadderLike", "Split", "Tier", "Variants"]

Variants: TypeAlias = Literal["all"] | Sequence[int]
"""Prompt variants by number, taken in turns; variant 0 is the ordinary prompt."""


@dataclass(frozen=True, kw_only=True)
class Tier:
    """One way to ask. What is None is as the run has it.

    Attributes:
        k: The margin, at least the run's.
        samples: As many as a ballot may use here before it escalates; default what is left of the run's, or where it
            has no limit, 10 k², and at least 100. A tier that what is left cannot decide is passed over.
        temperature: Of all samples, the first included.
        variants: Prompts of the task that votes take in turns; None for the ordinary one.
        model: Whom to ask; several are taken in turns.
        carry: Continue with the votes of the tier below. An answer then wins by votes of both, which is sound only if
            the votes below are as likely to be right as is taken for granted up here; they did not converge. By default
            a ballot starts afresh, which errs as seldom as the worst tier does by itself, whatever made it escalate.
    """

    k: int | None = None
    samples: int | None = None
    temperature: float | None = None
    variants: Variants | None = None
    model: Model | Sequence[Model] | None = None
    carry: bool = False


@dataclass(frozen=True)
class Split:
    """Do the subtask in sub-steps, which its task knows (`task.Splittable`), each decided by a vote of its own.

    Each sub-step is asked as the first tier asks, takes its margin or the run's if that is larger, and has the run's
    samples; one that does not converge lets the subtask escalate on. The votes that won are joined to one, which
    decides the subtask once the task accepts it. It is for subtasks that do not converge: one on which a wrong answer
    wins does not escalate, but for an `Audit`.
    """


@dataclass(frozen=True)
class AskHuman:
    """Ask a human, by LangGraph's `interrupt`. It stands on top of a ladder."""


@dataclass(frozen=True, kw_only=True)
class Audit:
    """A second vote on a share of the steps, before they count as done: it sees errors that repeat under one prompt.

    The steps are chosen by a hash of the state. Where the second vote has another winner, or none, the step escalates.

    Attributes:
        share: Of the steps, from above 0 to 1.
        k: The margin of the second vote.
        variants: Prompts that it takes in turns; None for those that the first vote did not use.
        model: Whom it asks; None for the run's model.
    """

    share: float = 0.01
    k: int = 2
    variants: Variants | None = None
    model: Model | Sequence[Model] | None = None


LadderLike: TypeAlias = Sequence[Tier | Split | AskHuman] | Literal["default", "human"] | None
"""The tiers from the first on; "default" for one that needs no settings, "human" for that with a human on top; None for
a single plain tier."""
