"""A subtask in sub-steps: where its chain begins, continues, and is joined to the subtask's vote."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import Any, Final

from langchain_core.messages import BaseMessage

from langgraph_maker.core.ballot import Ballot, Relation, key_of
from langgraph_maker.core.canonical import canonical, mark, plain
from langgraph_maker.core.foreign import error_text, excerpt, shortened
from langgraph_maker.core.red_flags import RedFlag
from langgraph_maker.core.state import BallotState, HeldVotes, Merged, SubSteps
from langgraph_maker.core.task import Decomposable, HasVariants, Task, Vote

__all__ = ["LONGEST", "FinerError", "Splitting", "chain_problem", "check_chain"]

LONGEST: Final = 256
"""Sub-steps that a subtask may have: their votes are kept together until they are joined."""
_REMEMBERED: Final = 256


class FinerError(Exception):
    """A sub-step that cannot be asked, and why."""


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
        return ballot["finer"].get("chain", name) != name

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
        """φ of the next sub-step, in this way where the chain has so many.

        Raises:
            FinerError: When there is none.
        """
        try:
            chain, state = self.chain(ballot), ballot["finer"]["state"]
            varied = isinstance(chain, HasVariants) and variant < chain.variants
            asked = chain.prompt(state, variant) if varied else chain.prompt(state)  # type: ignore[call-arg]
        except Exception as error:
            raise FinerError(f"its prompt cannot be made: {chain_problem(error)}") from error
        if not isinstance(asked, Sequence):
            raise FinerError(f"its prompt is no list of messages: {excerpt(asked)}")
        return asked

    def begin(self, ballot: BallotState) -> SubSteps | str:
        """Return the start of a chain of sub-steps, or why there is none."""
        try:
            chain, name = self._known(ballot)
            state = plain(chain.initial_state())
            if chain.is_done(state):
                return "it cannot be split: split(state) gave a chain of no steps"
        except Exception as error:  # noqa: BLE001 - nothing that is paid for is lost by it
            return f"it cannot be split: split(state) failed: {chain_problem(error)}"
        if (chain.steps or 1) > LONGEST:
            return f"it cannot be split: split(state) gave a chain of {chain.steps:,} steps, and {LONGEST} are the most"
        held: HeldVotes = {"counts": ballot["counts"], "votes": ballot["votes"]}
        return {
            "chain": name,
            "state": state,
            "winners": [],
            "margin": 0,
            "votes": 0,
            "winner_votes": 0,
            "held": held,
        }

    def after(self, ballot: BallotState) -> SubSteps | Merged | str:
        """Return what follows a sub-step that is decided: the next one, the merged vote, or what is wrong."""
        finer, counts = ballot["finer"], ballot["counts"]
        winner = max(counts, key=counts.__getitem__)
        winners = [*finer["winners"], ballot["votes"][winner]]
        margin = Ballot.resume(1, counts, ballot["votes"]).margin
        margin = min(margin, finer["margin"]) if finer["winners"] else margin
        votes, winner_votes = finer["votes"] + sum(counts.values()), finer["winner_votes"] + counts[winner]
        try:
            chain = self.chain(ballot)
            state = plain(chain.advance(finer["state"], winners[-1]))
            done = chain.is_done(state)
        except Exception as error:  # noqa: BLE001
            return f"nothing follows from sub-step {len(finer['winners'])}: {chain_problem(error)}"
        if done:
            return self._joined(ballot["state"], winners, margin, votes, winner_votes)
        if len(winners) >= min(chain.steps or LONGEST, LONGEST):
            return f"its {len(winners)} sub-steps are decided, and do not end it (wrong_end)"
        return {
            **finer,
            "state": state,
            "winners": winners,
            "margin": margin,
            "votes": votes,
            "winner_votes": winner_votes,
        }

    def _joined(self, state: Any, winners: list[Any], margin: int, votes: int, winner_votes: int) -> Merged | str:
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
                "key": key_of(kept, self.task.vote_key),
                "vote": kept,
                "steps": len(winners),
                "margin": margin,
                "votes": votes,
                "winner_votes": winner_votes,
            }
        except Exception as error:  # noqa: BLE001
            return f"the sub-steps make no answer: {chain_problem(error)}"


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


def chain_problem(error: Exception) -> str:
    """Return what went wrong in a chain of sub-steps."""
    return shortened(str(error)) if isinstance(error, RedFlag) else error_text(error)
