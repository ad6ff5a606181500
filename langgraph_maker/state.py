"""What the graphs carry: plain dicts of JSON values and messages, so that every checkpointer can keep them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Literal, NamedTuple, TypeAlias

from langchain_core.messages import AIMessage, BaseMessage
from typing_extensions import TypedDict

__all__ = ["BallotState", "Decision", "Flag", "Request", "Sampler", "Subtask", "Verdict", "VoteCount"]


class Subtask(TypedDict):
    """One microagent's assignment: a state under an id that no other subtask of the batch has."""

    id: str
    state: Any


class VoteCount(TypedDict):
    """How often a vote was cast."""

    vote: Any
    count: int


class Decision(TypedDict):
    """How a ballot ended. `vote` is the winner as first cast, None when unresolved; most frequent count first."""

    subtask_id: str
    status: Literal["decided", "unresolved"]
    vote: Any
    counts: list[VoteCount]
    samples: int
    flagged: int
    rounds: int


class Flag(TypedDict):
    """A `RedFlag` as data."""

    reason: str
    detail: str


class Verdict(TypedDict, total=False):
    """What the guard made of one response: a vote under its key, or a flag."""

    key: str
    vote: Any
    flag: Flag


class BallotState(TypedDict):
    """An open ballot between rounds; `samples` counts flagged responses too, `votes` holds the first of each key."""

    id: str
    state: Any
    counts: dict[str, int]
    votes: dict[str, Any]
    samples: int
    flagged: int
    rounds: int


class Request(NamedTuple):
    """One sample to draw: `number` counts the samples of this ballot from 0; temperature None is the model's own."""

    messages: Sequence[BaseMessage]
    temperature: float | None
    subtask_id: str
    number: int


Sampler: TypeAlias = Callable[[Sequence[Request]], Awaitable[Sequence[AIMessage]]]
"""An async callable from a batch of requests to one response each, in order: the fastest way to be a model."""
