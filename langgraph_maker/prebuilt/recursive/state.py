"""The channels of a recursive maker, and what it emits while it runs."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from langgraph.channels import UntrackedValue
from langgraph.managed import RemainingSteps
from pydantic import Field
from typing_extensions import TypedDict

from langgraph_maker.core.questions import Question as HumanQuestion
from langgraph_maker.core.reasons import ReasonCode
from langgraph_maker.core.state import Subtask, Usage, VoteCount
from langgraph_maker.journal.tree_records import TreeCounts
from langgraph_maker.journal.tree_types import Tree
from langgraph_maker.nodes.state import Answers, Ballots, RunStatus
from langgraph_maker.prebuilt.recursive.stages import StageQuestion

__all__ = ["Asked", "Grown", "RecursiveInput", "RecursiveOutput", "RecursiveState", "TreeDone", "Unsettled"]


class Unsettled(TypedDict):
    """A question whose vote did not converge, or that a limit forbids to ask or to follow: the node, and why."""

    node: str
    question: StageQuestion
    counts: list[VoteCount]
    samples: int
    reason: str
    reason_code: ReasonCode


class RecursiveInput(TypedDict, total=False):
    """`run_id` names the run; without it the thread's id does, or a fresh one. `answers` are to its `questions`."""

    problem: Annotated[str, Field(description="What to solve, in words; leave it out to continue with a run.")]
    run_id: Annotated[str, Field(description="Names the run; the thread's id does if left open.")]
    answers: Answers


class RecursiveOutput(TypedDict, total=False):
    """How the run stands; `samples` is by stage, `tree` by node, `depth` that of the deepest node.

    `guarantee` says in one line how sure the answer is. `questions` are those that a run which is "waiting" waits for a
    human to answer. `namespace` is that of the tenant whose run it is, and there when it has one.
    """

    status: RunStatus
    reason: str
    reason_code: ReasonCode
    answer: Any
    guarantee: str
    tree: Tree
    depth: int
    samples: dict[str, int]
    flags: dict[str, int]
    rounds: int
    usage: Usage
    unsettled: list[Unsettled]
    questions: list[HumanQuestion]
    run_id: str
    namespace: list[str]


class RecursiveState(RecursiveOutput, total=False):
    """A run in progress: the run `started` here (its name among those of all tenants), what it is of, its ballots.

    `asked` are the questions that came up in this round, `answered` those whose answers were used, and `unused`, with
    no store, those that were not yet. `entered` is as in `nodes.state.MakerState`.
    """

    problem: str
    started: str
    fixed: dict[str, Any]
    entered: Annotated[bool, UntrackedValue]
    counts: TreeCounts
    subtasks: list[Subtask]
    ballots: Ballots
    answers: Answers
    asked: list[str]
    answered: list[str]
    unused: dict[str, Any]
    draining: bool
    in_flight: int
    failure: str
    remaining_steps: RemainingSteps


class Grown(TypedDict):
    """A stage of a node is decided, and in the journal; `vote` is None where its answers became candidates.

    `tier` is where on the ladder it was decided; where `human`, a human said what the vote is.
    """

    event: Literal["node.decided"]
    run_id: str
    node: str
    depth: int
    problem: str
    stage: str
    vote: Any
    counts: list[VoteCount]
    samples: int
    flags: dict[str, int]
    tier: int
    human: bool


class Asked(TypedDict):
    """A human is asked about a node; what was counted is in the journal."""

    event: Literal["question.asked"]
    run_id: str
    node: str
    question: HumanQuestion


class TreeDone(TypedDict):
    """The graph hands the run back."""

    event: Literal["tree.ended"]
    run_id: str
    status: str
    reason: str
    reason_code: ReasonCode
    answer: Any
    samples: dict[str, int]
