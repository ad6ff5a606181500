"""What a kind of tier is: how it asks, what it makes of what was voted in it, and what it says of that.

A kind is a file: its options, a frozen dataclass with `tier(setting)`, and a `TierKind` that this returns. A ladder
holds any such options. What a kind has to remember of a ballot is under the ballot's key `inner`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any, ClassVar, NamedTuple, Protocol

from langchain_core.messages import BaseMessage
from pydantic import TypeAdapter

from langgraph_maker.core.ballot import Key
from langgraph_maker.core.errors import JournalError
from langgraph_maker.core.events import Event
from langgraph_maker.core.foreign import error_text, shortened, terminal_safe
from langgraph_maker.core.margin import check_budget
from langgraph_maker.core.red_flags import RedFlag
from langgraph_maker.core.state import START, BallotState, LadderState
from langgraph_maker.core.task import Task
from langgraph_maker.models.resolve import Model

__all__ = [
    "PLAIN",
    "Absorbed",
    "Judging",
    "Setting",
    "TierError",
    "TierKind",
    "TierOption",
    "TierTerms",
    "error_said",
    "left",
    "placed",
]


class TierError(Exception):
    """A vote in a tier that cannot be asked, and why."""


class TierTerms(NamedTuple):
    """How a tier asks: each vote by the next of `turns`, pairs of a prompt and a model by number."""

    turns: Sequence[tuple[int, int]]
    temperature: float | None
    k: int
    samples: int | None
    carry: bool

    def turn(self, vote: int) -> tuple[int, int]:
        """Return which prompt and which model the vote of this number has, counted from where the ballot began here."""
        return self.turns[vote % len(self.turns)]


PLAIN = TierTerms([(0, 0)], None, 1, None, carry=False)
"""Asks as the run does, and takes the run's margin and samples."""


@dataclass
class Setting:
    """What a ladder is for: the run's k (None where each step has its own), how many prompts there are, the task.

    `models` are those that the tiers name so far, the run's first; a tier adds its own. `name` is what messages call
    the tier, `first` how the first tier asks, None for the first itself.
    """

    models: list[Model]
    k: int | None
    prompts: int
    task: Task | None = None
    name: str = "tier 0"
    first: TierTerms | None = None


class TierOption(Protocol):
    """What a ladder is made of."""

    def tier(self, setting: Setting) -> TierKind:
        """Return the tier as it is used.

        Raises:
            ValueError: For options that make no sense there.
            TypeError: For a task that has not what it takes.
        """
        ...


class Judging(NamedTuple):
    """How votes are judged that are not on the step itself: see `guard_node`, with the state that they start from."""

    state: Any
    parse: Callable[[Any], Any]
    key: Key
    validate: Callable[[Any, Any], RedFlag | None] | None


class Absorbed(NamedTuple):
    """What a tier makes of a ballot that was decided in it, or could not be: where `why`, it escalates for that.

    Else, while it has something `inner`, it is voted on that afresh; without, it is decided. What escalates takes its
    votes along where it `carries` and the next tier does.
    """

    ballot: BallotState
    why: str = ""
    carries: bool = True


@dataclass(frozen=True)
class TierKind:
    """One tier of a ladder, a plain one: votes are on the step itself, asked in the way of `terms`.

    Other kinds override what they do otherwise. `described` is the tier for the record.
    """

    terms: TierTerms = PLAIN
    described: Mapping[str, Any] = field(default_factory=dict)

    name: ClassVar[str] = "plain"
    """What the kind is called in ballots, entries and events."""
    title: ClassVar[str] = "Tier()"
    """What messages call it."""
    own_votes: ClassVar[bool] = False
    """Whether votes in it are on something else than the step, with a budget of their own."""

    waits: ClassVar[bool] = False
    """Whether a ballot waits here for an answer from outside: no model is asked, and nothing comes after it."""

    inner_type: ClassVar[Any] = None
    """The `TypedDict` that its own part of what is `inner` must be like."""

    def begin(self, ballot: BallotState) -> dict[str, Any] | str:
        """Return what votes are on first, {} for the step itself, or why the ballot cannot be here.

        Something else has a "label" for reports.
        """
        del ballot
        return {}

    def check(self, ballot: BallotState) -> None:
        """Refuse a ballot whose `inner` part is none of this kind.

        Raises:
            JournalError: With the ballot's step: only a record can hold such a thing.
        """
        if self.inner_type is None:
            return
        try:
            _adapter(self.inner_type).validate_python(ballot["inner"], strict=True)
        except ValueError as error:
            said = " ".join(str(error).split())[:160]
            raise JournalError(
                f"the open ballot of step {terminal_safe(ballot['id'])} cannot be read: {said}; fork the run"
                " there (journal.fork) to vote on it anew: its samples are lost"
            ) from error

    def is_current(self, ballot: BallotState, k: int) -> bool:
        """Return whether what a ballot votes on is still to be voted on, where the margin is `k`."""
        del ballot, k
        return True

    def bounds(self, ballot: BallotState, k: int, max_samples_per_step: int | None) -> tuple[int, int]:
        """Return the margin that a ballot takes, at least `k`, and how many samples it may have used by then."""
        k = max(self.terms.k, k)
        drawn = (ladder := ballot.get("ladder") or START)["drawn"]
        if max_samples_per_step is None:
            own = self.terms.samples
            return k, (check_budget(None, k) if own is None else own) + drawn
        if self.own_votes:
            return k, max_samples_per_step + drawn
        here = (max_samples_per_step if self.terms.samples is None else self.terms.samples) + drawn
        return k, min(here, max_samples_per_step + ladder.get("base", 0))

    def messages(self, ballot: BallotState, variant: int) -> Sequence[BaseMessage] | None:
        """Return what is asked, None for what the run asks.

        Raises:
            TierError: When it cannot be asked.
        """
        del ballot, variant
        return None

    def judging(self, ballot: BallotState) -> Judging | None:
        """Return how answers are judged, None for as the run does; an exception gives the ballot up here."""
        del ballot
        return None

    def absorb(self, ballot: BallotState, why: str) -> Absorbed:
        """Return what becomes of a ballot with something `inner`; `why` says why it is not decided, if it is not."""
        return Absorbed(ballot, why)

    def event(self, run_id: str, ballot: BallotState) -> Event | None:
        """Return what is to be said of a vote on something `inner` that is decided, with `detail="ballots"`."""
        return {
            "event": "tier.decided",
            "run_id": run_id,
            "step": int(ballot["id"]),
            "kind": self.name,
            "label": ballot["inner"]["label"],
            "vote": ballot["outcome"]["vote"],
        }


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def left(ballot: BallotState) -> BallotState:
    """Return the ballot without what is `inner`, and with the votes that it had before."""
    if (inner := ballot.get("inner")) is None:
        return ballot
    after: BallotState = {**ballot, "counts": inner["held"]["counts"], "votes": inner["held"]["votes"]}
    del after["inner"]
    after.pop("outcome", None)
    return after


def placed(ballot: BallotState, why: str) -> LadderState:
    """Return where a ballot is, which is given up there for this reason."""
    return {**(ballot.get("ladder") or START), "why": why}


def error_said(error: Exception) -> str:
    """Return what went wrong in a tier."""
    return shortened(str(error)) if isinstance(error, RedFlag) else error_text(error)
