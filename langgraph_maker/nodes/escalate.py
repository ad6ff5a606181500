"""`escalate`: what to do about ballots that did not converge, or that are to be audited."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from langchain_core.runnables import RunnableConfig

from langgraph_maker.core.events import Detail, Event, Observer, check_detail
from langgraph_maker.core.margin import unresolved_reason
from langgraph_maker.core.reasons import Reason, ReasonCode
from langgraph_maker.core.state import START, BallotState
from langgraph_maker.nodes.ladder.audit import DISAGREED
from langgraph_maker.nodes.ladder.human import Read, answered
from langgraph_maker.nodes.ladder.ladder import Ladder
from langgraph_maker.nodes.node import Node
from langgraph_maker.nodes.run_events import Emit, emitter
from langgraph_maker.nodes.tally import converged, decision

__all__ = ["escalate_node", "escalated", "in_full"]


def escalate_node(
    *,
    ladder: Ladder | None = None,
    read: Read | None = None,
    observer: Observer | None = None,
    detail: Detail = "round",
    decisions: bool = False,
) -> Node:
    """Send each ballot that is not done with up the ladder, into an audit or to a human, or leave it unresolved.

    An unresolved ballot is kept, so that a larger budget can continue from it, and the run names its step. A human's
    answer is taken here too; it buys no vote, and an invalid one is asked for again.

    Args:
        ladder: See `ladder.read_ladder`; None for none.
        read: From a human's answer and a state to a vote or a flag, see `guard.reader`.
        observer: Called with events, beside the custom stream.
        detail: "ballots" emits each sub-step too.
        decisions: Whether to write them when nothing more is to be done; a maker graph reads the ballots themselves.
    """
    role = _Escalate(ladder or _NO_LADDER, read or _no_answers, emitter(observer), check_detail(detail), decisions)
    return Node("escalate", role.escalate)


@dataclass(frozen=True)
class _Escalate:
    ladder: Ladder
    read: Callable[[Any, Any], Any]
    tell: Emit
    detailed: bool
    decisions: bool

    def escalate(self, state: Any, _: RunnableConfig) -> dict[str, Any]:
        answers = state.get("answers") or {}
        after = escalated(state["ballots"], answers, self.ladder, self.read)
        self.tell(self.events(state.get("run_id", ""), state["ballots"], after))
        update: dict[str, Any] = {"ballots": after}
        if answers:
            update["answers"] = None
        if self.decisions:
            return update | ({"decisions": [decision(one) for one in after]} if converged(after, None) else {})
        update["unused"] = {}
        update["answered"] = [ballot["id"] for ballot in state["ballots"] if ballot["id"] in answers]
        update["asked"] = [
            new["id"]
            for old, new in zip(state["ballots"], after, strict=True)
            if new["status"] == "asking" and new is not old
        ]
        if failed := [ballot for ballot in after if ballot["status"] == "unresolved"]:
            code, why = in_full(failed[0])
            update |= {"status": "unresolved", "reason": f"step {failed[0]['id']}: {why}", "reason_code": code}
        return update

    def events(self, run_id: str, before: Sequence[BallotState], after: Sequence[BallotState]) -> Iterator[Event]:
        for old, new in zip(before, after, strict=True):
            if not new["id"].isdigit() or (new is old and new["status"] != "unresolved"):
                continue
            step = int(new["id"])
            if self.detailed and (event := self.ladder.event(run_id, old)) is not None:
                yield event
            ladder, was = new.get("ladder", START), old.get("ladder", START)
            disagreed = ladder["disagreed"] > was["disagreed"]
            if disagreed or ladder["tier"] > was["tier"]:
                why = DISAGREED if disagreed else ladder["left"] or ladder["why"]
                yield {
                    "event": "step.escalated",
                    "run_id": run_id,
                    "step": step,
                    "tier": ladder["tier"],
                    "kind": "human" if new["status"] == "asking" else self.ladder.tier(new).name,
                    "audit": disagreed,
                    "why": why,
                }
            if new["status"] == "unresolved":
                code, reason = in_full(new)
                yield {
                    "event": "step.unresolved",
                    "run_id": run_id,
                    "step": step,
                    "samples": new["samples"],
                    "counts": decision(new)["counts"],
                    "flags": new["flags"],
                    "reason": reason,
                    "reason_code": code,
                }


def escalated(
    ballots: Sequence[BallotState], answers: Mapping[str, Any], ladder: Ladder, read: Read
) -> list[BallotState]:
    """Return the ballots after a human's answers, each that is not done with sent to where it goes next."""
    given = [
        answered(ballot, answers[ballot["id"]], read)
        if ballot["status"] == "asking" and ballot["id"] in answers
        else ballot
        for ballot in ballots
    ]
    return [ladder.next(ballot) if ladder.concerns(ballot) else ballot for ballot in given]


def in_full(ballot: BallotState) -> Reason:
    """Return why a ballot did not converge, over all tiers."""
    if (human := ballot.get("human")) is not None:
        return Reason("aborted", human["flag"]["detail"])
    ladder, samples = ballot.get("ladder"), ballot["samples"]
    code: ReasonCode = "all_flagged" if samples and sum(ballot["flags"].values()) == samples else "no_convergence"
    why = unresolved_reason(ballot["samples"], ballot["flags"], ballot["last_flag"], ballot["counts"].values())
    if ladder is None:
        return Reason(code, why)
    tiers = f" in {ladder['tier'] + 1} tiers" if ladder["tier"] else ""
    return Reason(code, f"{ladder['why'] or why}; {samples} samples{tiers}")


def _no_answers(answer: Any, state: Any) -> Any:  # noqa: ARG001 - a reader
    return {"flag": {"reason": "unread", "detail": "this graph was made without a way to read answers"}}


_NO_LADDER = Ladder()
