"""`Split`: a subtask in sub-steps, where its chain begins, continues, and is merged to the subtask's vote."""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final, NotRequired, cast

from langchain_core.messages import BaseMessage
from typing_extensions import TypedDict

from langgraph_maker.core.ballot import Relation, key_of
from langgraph_maker.core.canonical import canonical, mark, plain
from langgraph_maker.core.events import SubStepDecided
from langgraph_maker.core.foreign import excerpt, terminal_safe
from langgraph_maker.core.purity import Trials
from langgraph_maker.core.state import BallotState, InnerVote, Outcome
from langgraph_maker.core.task import Decomposable, HasVariants, Task, Vote
from langgraph_maker.nodes.ladder.kind import (
    PLAIN,
    Absorbed,
    Judging,
    Setting,
    TierError,
    TierKind,
    error_said,
    left,
)

__all__ = ["LONGEST", "Split", "SplitTier", "Splitting", "check_chain"]

LONGEST: Final = 256
"""Sub-steps that a subtask may have: their votes are kept together until they are joined."""
_REMEMBERED: Final = 256

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Split:
    """Do the subtask in sub-steps, which its task knows (`task.Decomposable`), each decided by a vote of its own.

    Each sub-step is asked as the first tier asks, takes its margin or the run's if that is larger, and has the run's
    samples; one that does not converge lets the subtask escalate on. The votes that won are joined to one, which
    decides the subtask once the task accepts it. It is for subtasks that do not converge: one on which a wrong answer
    wins does not escalate, but for an `Audit`.
    """

    def tier(self, setting: Setting) -> SplitTier:
        """Return the tier as it is used, see `TierOption`: it asks as the first tier does, with the run's samples."""
        terms = (setting.first or PLAIN)._replace(samples=None, carry=False)
        return SplitTier(terms, {"split": True}, Splitting(setting.task))


class SubSteps(TypedDict):
    """How far the chain of sub-steps of a subtask is: its next step starts from `state`.

    `winners` are the votes that won its steps so far, by a lead of at least `margin`, with `votes` cast for them and
    others. `chain` is the fingerprint of its name and parameters.
    """

    label: str
    chain: NotRequired[str]
    state: Any
    winners: list[Any]
    margin: int
    votes: int
    winner_votes: int


@dataclass(frozen=True)
class SplitTier(TierKind):
    """Votes on the steps of a chain of sub-steps, one after another; where one cannot be, the subtask escalates."""

    splitting: Splitting | None = None
    name: ClassVar[str] = "split"
    title: ClassVar[str] = "Split()"
    own_votes: ClassVar[bool] = True
    inner_type: ClassVar[Any] = SubSteps

    @property
    def chains(self) -> Splitting:
        """The chains of the task."""
        return cast("Splitting", self.splitting)

    def begin(self, ballot: BallotState) -> dict[str, Any] | str:
        """Return the start of a chain of sub-steps, or why there is none."""
        return self.chains.begin(ballot)

    def is_current(self, ballot: BallotState, k: int) -> bool:
        """Return whether the task has the same chain for the subtask, each step so far decided by `k` at least."""
        if self.chains.is_another(ballot):
            logger.warning("step %s: %s", terminal_safe(ballot["id"]), _ANOTHER)
            return False
        state = _steps(ballot)
        return not state["winners"] or state["margin"] >= k

    def messages(self, ballot: BallotState, variant: int) -> Sequence[BaseMessage] | None:
        """Return φ of the next sub-step."""
        return self.chains.prompt(ballot, variant)

    def judging(self, ballot: BallotState) -> Judging:
        """Judge as the chain does."""
        chain = self.chains.chain(ballot)
        return Judging(_steps(ballot)["state"], chain.parse, chain.vote_key, Trials(chain).validate)

    def absorb(self, ballot: BallotState, why: str) -> Absorbed:
        """Return the ballot at its next sub-step, decided as a whole, or escalated."""
        if why:
            return Absorbed(ballot, f"{_steps(ballot)['label']}: {why}")
        after = self.chains.after(ballot)
        if isinstance(after, str):
            return Absorbed(ballot, after)
        if "key" in after:
            return Absorbed({**left(ballot), "outcome": cast("Outcome", after)})
        return Absorbed({**ballot, "inner": cast("InnerVote", {**ballot["inner"], **after})})

    def event(self, run_id: str, ballot: BallotState) -> SubStepDecided:
        """Return the sub-step that is decided."""
        counts = ballot["counts"]
        return {
            "event": "substep.decided",
            "run_id": run_id,
            "step": int(ballot["id"]),
            "finer": len(_steps(ballot)["winners"]),
            "vote": ballot["outcome"]["vote"],
            "counts": [{"vote": ballot["votes"][key], "count": count} for key, count in counts.items()],
            "margin": ballot["outcome"]["margin"],
        }


def _steps(ballot: BallotState) -> SubSteps:
    return cast("SubSteps", ballot["inner"])


_ANOTHER: Final = "split(state) gives another chain of sub-steps than it did, so that they begin afresh"


class Splitting:
    """The chains of sub-steps of a task's subtasks. What is wrong with one is said: the subtask escalates.

    Raises:
        TypeError: For a task that is not `Decomposable`.
    """

    def __init__(self, task: Task | None) -> None:
        if not isinstance(task, Decomposable):
            raise TypeError(
                "the ladder holds Split(), and "
                + (f"{task.name} knows no sub-steps" if task is not None else "there is no task that knows sub-steps")
                + ": give a maker graph a task with split(state) -> Task and join(state, votes) -> Vote, such as a"
                " chain with steps_per_subtask, or leave Split() out"
            )
        self.task: Any = task
        self.chains: OrderedDict[str, tuple[Task, str]] = OrderedDict()

    def chain(self, ballot: BallotState) -> Task:
        """Return the chain of sub-steps of a ballot's subtask."""
        return self._known(ballot)[0]

    def is_another(self, ballot: BallotState) -> bool:
        """Return whether a ballot began another chain of sub-steps than its subtask has now."""
        try:
            name = self._known(ballot)[1]
        except Exception:  # noqa: BLE001 - said where the next step is asked for
            return False
        return _steps(ballot).get("chain", name) != name

    def _known(self, ballot: BallotState) -> tuple[Task, str]:
        key = canonical(ballot["state"])
        if (known := self.chains.pop(key, None)) is None:
            chain = self.task.split(ballot["state"])
            check_chain(chain)
            known = chain, mark(plain([chain.name, chain.parameters()]))
        self.chains[key] = known
        if len(self.chains) > _REMEMBERED:
            self.chains.popitem(last=False)
        return known

    def prompt(self, ballot: BallotState, variant: int) -> list[BaseMessage]:
        """Return φ of the next sub-step, in this way where the chain has so many.

        Raises:
            TierError: When there is none.
        """
        try:
            chain, state = self.chain(ballot), _steps(ballot)["state"]
            varied = isinstance(chain, HasVariants) and variant < chain.variants
            asked = chain.prompt(state, variant) if varied else chain.prompt(state)  # type: ignore[call-arg]
        except Exception as error:
            raise TierError(f"its prompt cannot be made: {error_said(error)}") from error
        if not isinstance(asked, Sequence):
            raise TierError(f"its prompt is no list of messages: {excerpt(asked)}")
        return asked

    def begin(self, ballot: BallotState) -> dict[str, Any] | str:
        """Return the start of a chain of sub-steps, or why there is none."""
        try:
            chain, name = self._known(ballot)
            state = plain(chain.initial_state())
            if chain.is_done(state):
                return "it cannot be split: split(state) gave a chain of no steps"
        except Exception as error:  # noqa: BLE001 - nothing that is paid for is lost by it
            return f"it cannot be split: split(state) failed: {error_said(error)}"
        if (chain.steps or 1) > LONGEST:
            return f"it cannot be split: split(state) gave a chain of {chain.steps:,} steps, and {LONGEST} are the most"
        start = {"chain": name, "state": state, "winners": [], "margin": 0, "votes": 0, "winner_votes": 0}
        return {"label": "sub-step 0", **start}

    def after(self, ballot: BallotState) -> SubSteps | Outcome | str:
        """Return what follows a sub-step that is decided: the next one, the merged vote, or what is wrong."""
        finer, won = _steps(ballot), ballot["outcome"]
        winners = [*finer["winners"], won["vote"]]
        margin = min(won["margin"], finer["margin"]) if finer["winners"] else won["margin"]
        votes, winner_votes = finer["votes"] + won["votes"], finer["winner_votes"] + won["winner_votes"]
        try:
            chain = self.chain(ballot)
            state = plain(chain.advance(finer["state"], winners[-1]))
            done = chain.is_done(state)
        except Exception as error:  # noqa: BLE001
            return f"nothing follows from sub-step {len(finer['winners'])}: {error_said(error)}"
        if done:
            return self._joined(ballot["state"], winners, margin, votes, winner_votes)
        if len(winners) >= min(chain.steps or LONGEST, LONGEST):
            return f"its {len(winners)} sub-steps are decided, and do not end it (wrong_end)"
        return {
            "label": f"sub-step {len(winners)}",
            "state": state,
            "winners": winners,
            "margin": margin,
            "votes": votes,
            "winner_votes": winner_votes,
        }

    def _joined(self, state: Any, winners: list[Any], margin: int, votes: int, winner_votes: int) -> Outcome | str:
        """Return the vote of the subtask, if the task accepts it as an answer."""
        try:
            vote = self.task.join(state, plain(winners))
            if not isinstance(vote, dict) or not vote.keys() >= Vote.__annotations__.keys():
                return (
                    f"the sub-steps make no answer: join(state, votes) gave no action and next state: {excerpt(vote)}"
                )
            if (flag := self.task.validate(state, vote)) is not None:
                return f"the sub-steps make no answer: {flag}"
            plain(self.task.advance(state, vote))
            kept = plain(vote)
            return {
                "by": "split",
                "key": key_of(kept, self.task.vote_key),
                "vote": kept,
                "steps": len(winners),
                "margin": margin,
                "votes": votes,
                "winner_votes": winner_votes,
            }
        except Exception as error:  # noqa: BLE001
            return f"the sub-steps make no answer: {error_said(error)}"


def check_chain(chain: Any) -> None:
    """Refuse what is no chain of sub-steps.

    Raises:
        TypeError: With what it should be.
    """
    if not isinstance(chain, Task):
        raise TypeError(f"split(state) must return a Task, got: {excerpt(chain)}")
    if isinstance(chain.vote_key, Relation):
        raise TypeError(f"vote_key of {chain.name} is a function; a tolerance is not")
    steps: Any = chain.steps
    if steps is not None and (not isinstance(steps, int) or isinstance(steps, bool) or steps < 1):
        raise TypeError(f"steps of {chain.name} is a whole number of at least 1, or None, not {excerpt(steps)}")
