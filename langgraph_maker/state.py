"""The data that passes between nodes: plain dicts of JSON values, so that every checkpointer can keep them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, Literal, NamedTuple, TypeAlias

from langchain_core.messages import AIMessage, BaseMessage
from typing_extensions import TypedDict

__all__ = [
    "BallotState",
    "Decision",
    "Flag",
    "Request",
    "Sampler",
    "Subtask",
    "Usage",
    "Verdict",
    "VoteCount",
    "never_waits",
    "total_usage",
]


class Subtask(TypedDict):
    """One microagent's assignment: a state under an id that no other subtask of the batch has."""

    id: str
    state: Any


class Usage(TypedDict):
    """Tokens as the provider counts them; 0 where it does not say."""

    input_tokens: int
    output_tokens: int


def total_usage(usages: Iterable[Usage]) -> Usage:
    """The sum of `usages`.

    Example:
        >>> total_usage([{"input_tokens": 1, "output_tokens": 2}] * 3)
        {'input_tokens': 3, 'output_tokens': 6}
    """
    total: Usage = {"input_tokens": 0, "output_tokens": 0}
    for usage in usages:
        total["input_tokens"] += usage["input_tokens"]
        total["output_tokens"] += usage["output_tokens"]
    return total


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
    """A ballot under way: `votes` holds the first vote cast under each key, `flags` counts flags by reason.

    `samples` counts every response, flagged ones included; `last_flag` is the last flag in words. `responses` and
    `verdicts` hold what the round has drawn and what the guard made of it; they are empty between rounds.
    """

    id: str
    state: Any
    status: Literal["open", "decided", "unresolved"]
    counts: dict[str, int]
    votes: dict[str, Any]
    samples: int
    flags: dict[str, int]
    last_flag: str
    rounds: int
    usage: Usage
    responses: list[AIMessage]
    verdicts: list[Verdict]


class VoteCount(TypedDict):
    """How often a vote was cast."""

    vote: Any
    count: int


class Decision(TypedDict):
    """How a ballot ended: `vote` is the winner as first cast, None if unresolved.

    `counts` has the most frequent vote first; `samples` includes the `flagged`, which `flags` counts by reason, and of
    which `last_flag` is the last in words.
    """

    subtask_id: str
    status: Literal["decided", "unresolved"]
    vote: Any
    counts: list[VoteCount]
    samples: int
    flagged: int
    flags: dict[str, int]
    last_flag: str
    rounds: int
    usage: Usage


class Request(NamedTuple):
    """One sample to draw: `number` counts the samples of its ballot from 0; temperature None is the model's own."""

    messages: Sequence[BaseMessage]
    temperature: float | None
    subtask_id: str
    number: int


Sampler: TypeAlias = Callable[[Sequence[Request]], Awaitable[Sequence[AIMessage | Exception]]]
"""An async callable from a batch of requests to one response each, in order: the fastest way to be a model.

An exception in place of a response is a call that failed: it is no vote and no flag, and is drawn again."""


def never_waits(sampler: Sampler) -> Sampler:
    """Mark a sampler that computes its answers on the spot, so that synchronous graphs call it where they are.

    Without the mark they send it to a background event loop and back, some 70 µs a round.

    Example:
        >>> @never_waits
        ... async def yes(requests):
        ...     return [AIMessage("yes") for _ in requests]
    """
    sampler.never_waits = True  # type: ignore[attr-defined]
    return sampler
