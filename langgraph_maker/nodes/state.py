"""The channels of the graphs: small, and the same size however many steps are done."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, TypeAlias

from langgraph.channels import EphemeralValue, LastValue, UntrackedValue
from langgraph.managed import RemainingSteps
from pydantic import Field
from typing_extensions import TypedDict

from langgraph_maker.core.ballot_reader import check_ballots
from langgraph_maker.core.events import Totals
from langgraph_maker.core.foreign import excerpt
from langgraph_maker.core.questions import Question
from langgraph_maker.core.reasons import ReasonCode
from langgraph_maker.core.state import BallotState, Decision, Subtask
from langgraph_maker.journal.position import Lane

__all__ = [
    "Answers",
    "Ballots",
    "MakerInput",
    "MakerOutput",
    "MakerState",
    "RoundInput",
    "RoundOutput",
    "RoundState",
    "RunStatus",
    "VotingInput",
    "VotingOutput",
    "VotingState",
]

RunStatus: TypeAlias = Literal["running", "solved", "unresolved", "stopped", "waiting"]


class _Given(EphemeralValue[Any]):
    """Answers of one step add up, and are there for the next alone: those that it refuses are not in its way again."""

    def update(self, values: Sequence[Any]) -> bool:
        given = [value for value in values if value is not None]
        if not given:
            return super().update([])
        for value in given:
            if not isinstance(value, dict):
                raise TypeError(f'answers are {{"<a question\'s id>": {{"pick": 0}}, …}}, not {excerpt(value)}')
        return super().update([{name: form for value in given for name, form in value.items()}])


Answers: TypeAlias = Annotated[
    dict[str, Any] | None, Field(description="answers to questions, by their ids; see ladder.Form"), _Given
]
"""A human's answers by the ids of their questions."""


class _Ballots(LastValue[Any]):
    """Ballots, which others than our nodes may write, too (`graph.update_state`): refused where no vote writes such."""

    def update(self, values: Sequence[Any]) -> bool:
        for value in values:
            check_ballots(value)
        return super().update(values)


Ballots: TypeAlias = Annotated[list[BallotState], _Ballots]
"""The ballots of a graph that has checkpoints."""


class VotingInput(TypedDict):
    """What a voting graph is given."""

    subtasks: list[Subtask]


class VotingOutput(TypedDict):
    """What a voting graph returns: one decision a subtask, in the order of the subtasks."""

    decisions: list[Decision]


class _Votes(TypedDict, total=False):
    """A batch of ballots in progress.

    `started` names whose calls are in flight: the run, among those of all tenants, or this vote. `totals`, or `counts`
    of a recursive run, say what that took so far. `draining` asks to wait for all of them and to issue
    no more, `in_flight` says how many there still are, and `failure` why no more can be made.
    """

    subtasks: list[Subtask]
    decisions: list[Decision]
    answers: Answers
    started: str
    run_id: str
    namespace: list[str]
    totals: Totals
    counts: Mapping[str, Any]
    draining: bool
    in_flight: int
    failure: str


class VotingState(_Votes, total=False):
    """The state of a voting graph, which may have checkpoints of its own."""

    ballots: Ballots


class RoundState(_Votes, total=False):
    """The state of one round of a maker graph, which has none."""

    ballots: list[BallotState]


class RoundInput(TypedDict):
    """What a maker graph gives to one round of voting."""

    subtasks: list[Subtask]
    ballots: list[BallotState]
    started: str
    run_id: str
    namespace: list[str]
    totals: Totals
    counts: Mapping[str, Any]
    draining: bool
    fixed: dict[str, Any]
    entered: Annotated[bool, UntrackedValue]


class RoundOutput(TypedDict):
    """What one round of voting gives back to a maker graph."""

    ballots: list[BallotState]
    in_flight: int
    failure: str


class MakerInput(TypedDict, total=False):
    """`run_id` names the run; without it the thread's id does, in a host with the visit of its node; or a fresh one.

    `answers` are to its `questions`.
    """

    run_id: Annotated[str, Field(description="Names the run; the thread's id does if left open.")]
    answers: Answers


class MakerOutput(TypedDict, total=False):
    """How the run stands; counts include the ballots still open. `actions` is there when no store is attached.

    `questions` are those that a run which is "waiting" waits for a human to answer. `namespace` is that of the tenant
    whose run it is, and there when it has one.
    """

    status: RunStatus
    reason: str
    reason_code: ReasonCode
    final_state: Any
    steps: int
    samples: int
    flagged: int
    rounds: int
    digest: str
    run_id: str
    actions: list[Any] | None
    questions: list[Question]
    namespace: list[str]


class MakerState(MakerOutput, total=False):
    """A run in progress: the run `started` here, what it is of, and with no store its actions with their steps.

    `started` is the run's name among those of all tenants. `asked` are the questions that came up in this round, which
    are emitted once they are in the journal, `answered` those whose answers were used, and `unused`, with no store,
    those that were not yet. `written` says how the open ballots are in the journal, by id, where this invocation knows
    that the journal ends at this position, as it was the last to write it; no checkpoint has it. Nor has any `entered`,
    which says that this invocation came in by the first node, which holds the code to what the run was started with.
    """

    started: str
    fixed: dict[str, Any]
    written: Annotated[dict[str, Any] | None, UntrackedValue]
    entered: Annotated[bool, UntrackedValue]
    acted: list[Any] | None
    lanes: list[Lane]
    totals: Totals
    stride: int
    revision: int
    closed: list[int]
    answers: Answers
    asked: list[str]
    answered: list[str]
    unused: dict[str, Any]
    subtasks: list[Subtask]
    ballots: Ballots
    draining: bool
    in_flight: int
    failure: str
    remaining_steps: RemainingSteps
