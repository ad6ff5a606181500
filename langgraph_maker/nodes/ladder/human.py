"""`AskHuman`: what a human is asked about a step that no tier converges, and what becomes of the answer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, TypeAlias

from langgraph_maker.core.ballot import ranked
from langgraph_maker.core.questions import _no_candidate, _read_form
from langgraph_maker.core.state import START, BallotState, Flag, Outcome, Verdict
from langgraph_maker.nodes.ladder.kind import Setting, TierKind
from langgraph_maker.nodes.ladder.ladder import restarted

__all__ = ["AskHuman", "HumanTier", "Read", "answered"]

Read: TypeAlias = Callable[[Any, Any], Verdict]
"""From an answer, the text of a response or a vote, and a subtask's state to a vote under its key, or a flag."""


@dataclass(frozen=True)
class AskHuman:
    """Ask a human, by LangGraph's `interrupt`. It stands on top of a ladder."""

    def tier(self, setting: Setting) -> HumanTier:
        """Return the tier as it is used, see `TierOption`."""
        del setting
        return HumanTier(described={"human": True})


@dataclass(frozen=True)
class HumanTier(TierKind):
    """No votes are drawn here: a ballot waits for the answer (`answered`)."""

    name: ClassVar[str] = "human"
    title: ClassVar[str] = "AskHuman"
    waits: ClassVar[bool] = True


def answered(ballot: BallotState, answer: Any, read: Read) -> BallotState:
    r"""Return the ballot after a human's answer; one that is not an answer leaves it asking, with the problem said.

    Example:
        >>> from langgraph_maker.nodes.sample import new_ballot
        >>> ballot = new_ballot({"id": "7", "state": "2 + 2?"})
        >>> ballot |= {"status": "asking", "counts": {"4": 2}, "votes": {"4": 4}}
        >>> read = lambda answer, state: {"key": str(answer), "vote": int(answer)}
        >>> answered(ballot, {"pick": 0}, read)["human"], answered(ballot, {"answer": "5"}, read)["human"]
        ({'key': '4', 'vote': 4}, {'key': '5', 'vote': 5})
        >>> answered(ballot, "perhaps", read)["ladder"]["problem"]
        'an answer is one of {"pick": …}, {"answer": …}, {"retry": true} and {"abort": true}, not \'perhaps\''
    """
    form = _read_form(answer)
    if isinstance(form, str):
        return _asked_again(ballot, form)
    if "retry" in form:
        return restarted(ballot)
    if "abort" in form:
        flag: Flag = {"reason": "aborted", "detail": "a human gave it up"}
        return {**ballot, "status": "unresolved", "human": {"flag": flag}}
    verdict = _picked(ballot, form["pick"]) if "pick" in form else _read(ballot, form["answer"], read)
    if "flag" not in verdict:
        outcome: Outcome = {
            "by": "human",
            "key": verdict["key"],
            "vote": verdict["vote"],
            "votes": sum(ballot["counts"].values()),
            "winner_votes": ballot["counts"].get(verdict["key"], 0),
            "margin": 0,
            "steps": 0,
        }
        return {**ballot, "status": "decided", "human": verdict, "outcome": outcome}
    flag = verdict["flag"]
    return _asked_again(ballot, f"that is not an answer to this step: {flag['reason']}: {flag['detail']}")


def _read(ballot: BallotState, answer: Any, read: Read) -> Verdict:
    """Return one of the candidates, or what is read as a response would be."""
    if not isinstance(answer, str):
        for key, vote in ballot["votes"].items():
            if vote == answer:
                return {"key": key, "vote": vote}
    return read(answer, ballot["state"])


def _picked(ballot: BallotState, pick: int) -> Verdict:
    keys = ranked(ballot["counts"])
    if problem := _no_candidate(pick, len(keys)):
        return {"flag": {"reason": "no_candidate", "detail": problem}}
    return {"key": keys[pick], "vote": ballot["votes"][keys[pick]]}


def _asked_again(ballot: BallotState, problem: str) -> BallotState:
    return {**ballot, "ladder": {**(ballot.get("ladder") or START), "problem": problem}}
