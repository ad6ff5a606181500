"""What a maker graph emits while it runs: the events on LangGraph's custom stream, all plain JSON values.

Each event is a dict whose "event" names its kind. They come from the nodes of a graph that `create_maker` made,
under `stream_mode="custom"`; inside a graph of yours they come with `subgraphs=True`. Voting graphs and nodes emit
`VotesCounted`.

    >>> from langgraph_maker import create_maker
    >>> from langgraph_maker.tasks import TowersOfHanoi
    >>> graph = create_maker(TowersOfHanoi(2), "sim:error=0.01").compile()
    >>> [event["event"] for event in graph.stream({}, stream_mode="custom")]
    ['run.started', 'round.ended', 'round.ended', 'round.ended', 'run.ended']

There is one `RoundEnded` a round of voting, however many lanes it has, so that a million steps can be listened to. With
`detail="ballots"` there is one `StepDecided` a step as well, from which its ballot can be rebuilt, and one
`SubStepDecided` for each sub-step of one that is done in such. Counts are of steps that are in the journal, and so are
the same however often a run was interrupted; what open ballots have counted stands beside them. Events are to be read,
not changed: `totals` is the graph's own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Literal, NotRequired, Protocol, TypeAlias, runtime_checkable

from typing_extensions import TypedDict

from langgraph_maker.core.foreign import excerpt
from langgraph_maker.core.questions import Question
from langgraph_maker.core.reasons import ReasonCode
from langgraph_maker.core.state import Decision, Usage, VoteCount

__all__ = [
    "Alarm",
    "AlarmKind",
    "BallotStatus",
    "Detail",
    "Event",
    "InnerDecided",
    "Observer",
    "OpenBallots",
    "QuestionAsked",
    "RoundEnded",
    "RunEnded",
    "RunStarted",
    "SamplesFlagged",
    "StatefulObserver",
    "StepDecided",
    "StepEscalated",
    "StepUnresolved",
    "SubStepDecided",
    "Totals",
    "VoteEnded",
    "VotesCounted",
    "check_detail",
]

Detail: TypeAlias = Literal["round", "ballots"]
"""How much is emitted: what a round amounts to, or each of its ballots too."""


class Totals(TypedDict):
    """What a run has done so far, committed steps only; index i of a histogram counts the steps that took i.

    Attributes:
        steps: Steps decided.
        samples: Responses drawn for them, of which `flagged` were discarded, by reason `flags`.
        rounds: Rounds of voting, summed over steps.
        cancelled: Hedges not waited for.
        usage: Tokens and dollars.
        digest: A fingerprint of what was decided.
        votes: Valid votes cast, of which `lost` were for another answer than the winner.
        escalated: Steps decided above the first tier of the ladder.
        by_human: Steps decided by a human; their votes are not among the votes here, nor their margins.
        by_split: Steps decided in sub-steps (`ladder.Split`); neither are the votes on these, nor their margins.
        audits: Second votes made, of which `disagreed` did not confirm the first.
        drifted: Steps with a vote for the winner's action and another next state.
        flagged_steps: Steps with a flagged sample, but for those decided in sub-steps.
        alike: Steps whose second and third answers were the same text, and another than the first one's.
        unlike: Steps whose first and second answers were the same text, and another than the third one's.
        votes_per_step: Histogram of votes.
        samples_per_step: Histogram of samples, flagged ones included.
        margins: Histogram of the margins by which steps were decided.
        contested: The same of the steps with a lost vote.
        shapes: How many ballots of the first tier have a shape, see `mixture.Shapes`.
        above: The same of the ballots decided in a higher tier.
        given_up: The same of the ballots that these steps left behind, as they were then.
        timeouts: Calls for these steps that timed out and were retried, on `timed_out` steps, of which
            `timed_out_contested` had a lost vote.
        last_lost: Steps of whose first votes, but for the very first, the one that arrived last was lost, and not the
            one that arrived first.
        first_lost: The other way round.
        hardest: The ten steps that took most samples, as pairs of samples and step, most first.
        signals: What else steps showed, summed (`nodes.signals`).
    """

    steps: int
    samples: int
    flagged: int
    flags: dict[str, int]
    rounds: int
    cancelled: int
    usage: Usage
    digest: str
    votes: int
    lost: int
    climbed: int
    by_human: int
    by_split: int
    audits: int
    disagreed: int
    drifted: int
    flagged_steps: int
    alike: int
    unlike: int
    votes_per_step: list[int]
    samples_per_step: list[int]
    margins: list[int]
    contested: list[int]
    shapes: dict[str, int]
    above: dict[str, int]
    given_up: dict[str, int]
    timeouts: int
    timed_out: int
    timed_out_contested: int
    last_lost: int
    first_lost: int
    hardest: list[list[int]]
    signals: dict[str, int]


class OpenBallots(TypedDict):
    """What the ballots under way amount to: how many have a vote for a second answer, and how many a flag.

    `drifted` counts those with a vote for the leader's action and another next state. `shapes` and `above` are as in
    `Totals`, of the ballots as they are, `given_up` those that they left behind.
    """

    ballots: int
    samples: int
    flagged: int
    contested: int
    drifted: int
    flagged_steps: int
    most_votes: int
    cost: float | None
    shapes: dict[str, int]
    above: dict[str, int]
    given_up: dict[str, int]
    timeouts: int


class RunStarted(TypedDict):
    """A process begins work on a run, or resumes it: `totals` and `open` are what the journal holds.

    `k` is None where each step has its own; `raised` is the k that an alarm raised it to, 0 if none did. `kept` is what
    the observer last had kept in the journal, see `StatefulObserver`. `settings` are those of this process, and
    `in_flight_lost` is how many samples may have been in flight, and lost, where processes before it broke off;
    `alarms` are those raised before; `wording` is a fingerprint of how the task asks (`task.wording`), `instance` one
    of the task with its parameters. `least_k` is the least margin of any step; None where it is not known.
    """

    event: Literal["run.started"]
    run_id: str
    task: str
    k: int | None
    raised: int
    limit: int
    totals: Totals
    open: OpenBallots
    kept: dict[str, Any] | None
    settings: dict[str, Any]
    in_flight_lost: int
    alarms: list[Alarm]
    wording: NotRequired[str]
    instance: NotRequired[str]
    least_k: NotRequired[int | None]


class RoundEnded(TypedDict):
    """A round of voting is counted, and its steps are in the journal.

    `steps`, `samples`, `votes`, `winner_votes` and `flags` are of the steps that it decided, `totals` of all steps
    of the run so far, and `open` of the ballots that go into a further round. `lanes` counts lanes not at their end.
    `audited` counts the second votes on the steps that it decided (`ladder.Audit`), and how many of these votes were
    contested. `in_flight` is how many samples are still under way.
    """

    event: Literal["round.ended"]
    run_id: str
    steps: int
    samples: int
    votes: int
    winner_votes: int
    flags: dict[str, int]
    lanes: int
    totals: Totals
    open: OpenBallots
    audited: NotRequired[list[int]]
    in_flight: NotRequired[int]


class StepDecided(TypedDict):
    """One decided step, with `detail="ballots"`: `counts` are its ballot's, in the order in which answers came up.

    They are empty for a step that the journal held already. Of one that was done in `finer` steps they are what did not
    converge it before, and `margin` is the least of these steps': see `SubStepDecided`.
    """

    event: Literal["step.decided"]
    run_id: str
    step: int
    vote: Any
    counts: list[VoteCount]
    margin: int
    finer: int
    samples: int
    flags: dict[str, int]
    rounds: int


class SubStepDecided(TypedDict):
    """One decided sub-step of a step (`ladder.Split`), number `finer` from 0, with `detail="ballots"`.

    It comes when it is decided, before the `StepDecided` that all of them make. Of those with one number the last
    holds: a raised k, a changed task or an interruption can have it decided again.
    """

    event: Literal["substep.decided"]
    run_id: str
    step: int
    finer: int
    vote: Any
    counts: list[VoteCount]
    margin: int


class InnerDecided(TypedDict):
    """What a tier of another `kind` had voted on in place of a step is decided, with `detail="ballots"`."""

    event: Literal["tier.decided"]
    run_id: str
    step: int
    kind: str
    label: str
    vote: Any


class BallotStatus(TypedDict):
    """How a ballot stands: `counts` in the order in which answers came up, flagged samples by reason."""

    subtask_id: str
    status: Literal["open", "decided", "unresolved", "asking"]
    counts: list[VoteCount]
    samples: int
    flags: dict[str, int]


class VotesCounted(TypedDict):
    """A round of a voting graph or node is counted: the ballots that it moved. No observer gets this."""

    event: Literal["votes.counted"]
    ballots: list[BallotStatus]


class VoteEnded(TypedDict):
    """A vote of a voting node or agent has ended, for its observer alone: `started` is in nanoseconds since 1970.

    `outcome` is "decided", "unresolved", "interrupted" (it will resume), or "failed", and there may be no `decision`.
    """

    event: Literal["vote.ended"]
    k: int
    outcome: str
    decision: Decision | None
    started: int


class SamplesFlagged(TypedDict):
    """The steps that a round decided had flagged samples: how many, by reason."""

    event: Literal["samples.flagged"]
    run_id: str
    flags: dict[str, int]


class StepUnresolved(TypedDict):
    """A ballot has used up its samples: what it counted, and why (`core.reasons`). The run ends as unresolved."""

    event: Literal["step.unresolved"]
    run_id: str
    step: int
    samples: int
    counts: list[VoteCount]
    flags: dict[str, int]
    reason: str
    reason_code: ReasonCode


class StepEscalated(TypedDict):
    """A ballot continues in another tier, or afresh after an `audit` that disagreed, for the reason `why`.

    After an audit on top of the ladder it goes nowhere: what follows is a question, or that it is undecided. `kind` is
    that of the tier that it is in now (`ladder.TierKind`).
    """

    event: Literal["step.escalated"]
    run_id: str
    step: int
    tier: int
    kind: str
    audit: bool
    why: str


class QuestionAsked(TypedDict):
    """A step waits for a human; other lanes continue. It comes again when the answer was none."""

    event: Literal["question.asked"]
    run_id: str
    step: int
    question: Question


AlarmKind: TypeAlias = Literal[
    "p", "votes", "cost", "flags", "drift", "repeats", "audit", "uncontested", "uneven", "refusals"
]
"""Assumptions of a run that are watched."""


class Alarm(TypedDict):
    """An assumption no longer holds: `what` it is about, the finding and the remedy in words, after how many steps.

    `k` is there where the margin of the steps to come is raised to it; it is kept in the journal.
    """

    event: Literal["alarm.raised"]
    run_id: str
    what: AlarmKind
    finding: str
    remedy: str
    steps: int
    k: NotRequired[int]


class RunEnded(TypedDict):
    """The graph hands the run back."""

    event: Literal["run.ended"]
    run_id: str
    status: str
    reason: str
    reason_code: ReasonCode
    totals: Totals


Event: TypeAlias = (
    RunStarted
    | RoundEnded
    | StepDecided
    | SubStepDecided
    | InnerDecided
    | SamplesFlagged
    | StepEscalated
    | QuestionAsked
    | StepUnresolved
    | Alarm
    | RunEnded
)
"""Anything that is emitted; `event` says which."""

Observer: TypeAlias = Callable[[Event], Iterable[Alarm] | None]
"""Is given each event as it happens; the alarms that it returns go out after it. See `StatefulObserver` too."""


@runtime_checkable
class StatefulObserver(Protocol):
    """An observer that a run's interruptions are not to begin anew."""

    def state_dict(self) -> dict[str, Any] | None:
        """Return what the journal is to keep, as JSON values, or None for what it has; `RunStarted` brings it back.

        Asked for before each round of voting is journalled, so that it is of the events up to the round before; and
        again after a round that brought alarms.
        """
        ...


def check_detail(detail: object) -> bool:
    """Return whether ballots are reported one by one.

    Raises:
        ValueError: When it is none of `Detail`.
    """
    if detail not in {"round", "ballots"}:
        raise ValueError(f'detail is "round" or "ballots", not {excerpt(detail)}')
    return detail == "ballots"
