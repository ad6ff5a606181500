"""The data that passes between nodes: plain dicts of JSON values, so that every checkpointer can keep them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, Literal, NamedTuple, NotRequired, Required, TypeAlias

from langchain_core.messages import AIMessage, BaseMessage
from typing_extensions import TypedDict

__all__ = [
    "START",
    "Agreement",
    "BallotState",
    "Decision",
    "FieldDecision",
    "FieldState",
    "Flag",
    "HeldVotes",
    "InnerVote",
    "LadderState",
    "Outcome",
    "Request",
    "Sample",
    "Sampler",
    "Subtask",
    "Usage",
    "Verdict",
    "VoteCount",
    "never_waits",
    "no_usage",
    "total_usage",
    "undecided",
]


class Subtask(TypedDict):
    """One microagent's assignment: a state under an id that no other subtask of the batch has."""

    id: str
    state: Any


class Usage(TypedDict):
    """Tokens as the provider counts them, 0 where it does not say; cached input tokens are among the input tokens.

    `cost` is dollars, None once anything was used whose price is not known. `tiers` counts the samples that were served
    at another service tier than the standard one, batches included, by its name; it may be missing where none was.
    """

    input_tokens: int
    cached_input_tokens: int
    output_tokens: int
    cost: float | None
    tiers: NotRequired[dict[str, int]]


def no_usage() -> Usage:
    """Return the usage of nothing."""
    return {"input_tokens": 0, "cached_input_tokens": 0, "output_tokens": 0, "cost": 0.0}


def total_usage(usages: Iterable[Usage]) -> Usage:
    """Return the sum of `usages`, dollars to a billionth of a cent, so that their order makes no difference.

    Example:
        >>> part: Usage = {"input_tokens": 1, "cached_input_tokens": 0, "output_tokens": 2, "cost": 0.1}
        >>> total_usage([part] * 3)
        {'input_tokens': 3, 'cached_input_tokens': 0, 'output_tokens': 6, 'cost': 0.3}
    """
    total = no_usage()
    for usage in usages:
        total["input_tokens"] += usage["input_tokens"]
        total["cached_input_tokens"] += usage["cached_input_tokens"]
        total["output_tokens"] += usage["output_tokens"]
        so_far, more = total["cost"], usage["cost"]
        total["cost"] = None if so_far is None or more is None else round(so_far + more, 11)
        if served := usage.get("tiers"):
            tiers = total.setdefault("tiers", {})
            for tier, samples in served.items():
                tiers[tier] = tiers.get(tier, 0) + samples
    return total


class Flag(TypedDict):
    """A `RedFlag` as data."""

    reason: str
    detail: str


class Verdict(TypedDict, total=False):
    """What the guard made of one response: a vote under its key, a flag, or neither where it came too late.

    That is one that was asked for before its ballot escalated. So are all that a chain of sub-steps fails to judge.
    `message` is the one that a vote was read from, as JSON, where decisions are to have it.
    """

    key: str
    vote: Any
    flag: Flag
    message: str


class Sample(Verdict, total=False):
    """One sample of a ballot, by its `number`: its `response` until the guard has judged it, then the verdict on it."""

    number: Required[int]
    response: AIMessage


class HeldVotes(TypedDict):
    """The result of a vote that is kept while something else is voted on for it."""

    counts: dict[str, int]
    votes: dict[str, Any]


class LadderState(TypedDict):
    """Where a ballot is on the ladder: in `tier`.

    Its votes there begin with sample number `first`, when `drawn` samples had arrived, `flagged` of them discarded.
    `audits` were made, of which `disagreed` did not confirm, and `contested` had a lost vote; `left` says why the vote
    before did not converge, `why` this one does not; `problem` is what was wrong with a human's answer. `given_up` has
    the shapes of the ballots that it left behind (`mixture.shape`). Samples before `base` do not count against what
    the step may use.
    """

    tier: int
    first: int
    drawn: int
    flagged: int
    audits: int
    disagreed: int
    contested: NotRequired[int]
    left: str
    why: str
    problem: str
    given_up: NotRequired[list[str]]
    base: NotRequired[int]


class FieldState(TypedDict):
    """The votes on one field, where votes are by field, and whether its `counts` decided it."""

    counts: dict[str, int]
    votes: dict[str, Any]
    decided: bool


class InnerVote(TypedDict):
    """What a ballot votes on in place of its step, in a tier of that `kind`; what else is there is the tier's own.

    `held` is what the step's own votes came to, `label` what reports call it.
    """

    kind: str
    label: str
    held: HeldVotes


class Outcome(TypedDict):
    """How a ballot was decided: by the vote `key`, with `winner_votes` of its `votes`, by a lead of `margin`.

    `by` is "" for votes on the step itself. A kind of tier that decides it otherwise is named there: then votes were
    cast in so many `steps`, each decided by the `margin` at least; in none by a human, where both are 0.
    """

    by: str
    key: str
    vote: Any
    votes: int
    winner_votes: int
    margin: int
    steps: int


class BallotState(TypedDict):
    """A ballot under way: `votes` holds the first vote cast under each key, `flags` counts flags by reason.

    Samples are numbered in the order in which they were issued: `asked` of them were, `samples` have arrived, flagged
    ones included, `following` is the number of the next one to count, and `waiting` holds those that
    arrived before one that was issued earlier. Where votes count as they arrive, none below `asked` follows. `rounds`
    counts how often samples were issued; `last_flag` is the last flag in words; `alike` is as
    in `records.Entry`, where the first three samples came together; `known` is as in `matchers.Pairwise.classes`, where
    votes are compared in pairs; `timeouts` counts calls that timed out; `order` has the keys of those that
    arrived first and last, of the first votes but for the very first. `arrived` are the samples of this round, none
    between rounds. `k` is the margin that the ballot was started with, where no journal keeps it. `ladder` is there
    once it left the first tier or was audited, `human` once a human has answered: a vote, or a flag to give it up. One
    that is "asking" waits for that; where it is `refuted`, it was decided that an answer is wrong, which a human may
    overrule. While it has something `inner`, its votes are on that. `outcome` is there while it is decided.
    `messages` has, by the canonical form of a vote that was first under its key, the message that it was read from.
    `fields` is there where votes are by field; `counts` and `votes` then are of whole readings, and decide nothing.
    """

    id: str
    state: Any
    status: Literal["open", "decided", "unresolved", "asking"]
    counts: dict[str, int]
    votes: dict[str, Any]
    asked: int
    samples: int
    following: int
    waiting: list[Sample]
    flags: dict[str, int]
    last_flag: str
    rounds: int
    k: NotRequired[int]
    alike: NotRequired[int]
    ladder: NotRequired[LadderState]
    human: NotRequired[Verdict]
    refuted: NotRequired[bool]
    inner: NotRequired[InnerVote]
    outcome: NotRequired[Outcome]
    known: NotRequired[dict[str, str]]
    messages: NotRequired[dict[str, str]]
    timeouts: NotRequired[int]
    order: NotRequired[list[str]]
    fields: NotRequired[dict[str, FieldState]]
    usage: Usage
    arrived: list[Sample]


class VoteCount(TypedDict):
    """How often a vote was cast."""

    vote: Any
    count: int


class Agreement(TypedDict):
    """How far votes agree: by how many the most frequent answer leads, and its share of the votes, from 0 to 1.

    `samples` is how many votes were counted. It says how consistent a model was, not how likely it is right.
    """

    lead: int
    share: float
    samples: int


class FieldDecision(TypedDict):
    """How the vote on one field ended: `vote` is the winner as first cast, None if unresolved."""

    status: Literal["decided", "unresolved"]
    vote: Any
    counts: list[VoteCount]
    agreement: Agreement


class Decision(TypedDict):
    """How a ballot ended: `vote` is the winner as first cast, None if unresolved.

    `counts` has the most frequent vote first; `samples` includes the `flagged`, which `flags` counts by reason, and of
    which `last_flag` is the last in words. `rounds` counts how often samples were issued, `cancelled` the samples that
    were issued as a hedge and not waited for. `tier` is where on the ladder it was decided, 0 the first; where `human`,
    a human said what `vote` is. `message` is the response that `vote` was read from, if there is one and it was kept
    (`messages=True`). `agreement` is that of the votes, whoever decided. Where votes are by field, `fields` has each
    with its own, and the whole is decided once all are.
    """

    subtask_id: str
    status: Literal["decided", "unresolved"]
    vote: Any
    message: AIMessage | None
    counts: list[VoteCount]
    samples: int
    flagged: int
    flags: dict[str, int]
    last_flag: str
    rounds: int
    cancelled: int
    usage: Usage
    tier: int
    human: bool
    agreement: Agreement
    fields: NotRequired[dict[str, FieldDecision]]


class Request(NamedTuple):
    """One sample to draw: `number` counts the samples of its ballot from 0; temperature None is the model's own.

    `run_id` and `round` say for tracers where the sample belongs; `variant` is the prompt's, `model` the number of the
    one asked, among those that a ladder names.
    """

    messages: Sequence[BaseMessage]
    temperature: float | None
    subtask_id: str
    number: int
    run_id: str = ""
    round: int = 1
    variant: int = 0
    model: int = 0


Sampler: TypeAlias = Callable[[Sequence[Request]], Awaitable[Sequence[AIMessage | Exception]]]
"""An async callable from a batch of requests to one response each, in order: the fastest way to be a model.

It is called with the samples of one ballot at a time, so that a slow answer delays its own ballot only, and with one
sample at a time where hedges are asked for; one marked `never_waits` with all samples of a round. An exception in
place of a response is a call that failed: it is neither a vote nor a flag, and is drawn again."""


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


def undecided(ballot: BallotState) -> BallotState:
    """Return the ballot, open."""
    after: BallotState = {**ballot, "status": "open"}
    after.pop("outcome", None)
    return after


START: LadderState = {
    "tier": 0,
    "first": 0,
    "drawn": 0,
    "flagged": 0,
    "audits": 0,
    "disagreed": 0,
    "left": "",
    "why": "",
    "problem": "",
}
"""Where a ballot is that never left the first tier."""
