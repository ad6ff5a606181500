"""`escalate`: what to do about a ballot that did not settle. Here: say so, and end the run."""

from __future__ import annotations

from typing import Any

from langchain_core.runnables import Runnable, RunnableConfig

from langgraph_maker.nodes.node import Node
from langgraph_maker.nodes.state import MakerState
from langgraph_maker.state import BallotState

__all__ = ["escalate_node"]


def escalate_node() -> Runnable[MakerState, dict[str, Any]]:
    """Mark the run unresolved and name the step; its ballot is kept, so that a larger budget can go on from it."""

    def escalate(state: MakerState, _: RunnableConfig) -> dict[str, Any]:
        ballot = next(ballot for ballot in state["ballots"] if ballot["status"] == "unresolved")
        return {"status": "unresolved", "reason": _reason(ballot)}

    return Node("escalate", escalate)


def _reason(ballot: BallotState) -> str:
    flagged = sum(ballot["flags"].values())
    reason = f"step {ballot['id']}: no answer led by the margin after {ballot['samples']} samples"
    if flagged:
        most = max(ballot["flags"], key=ballot["flags"].__getitem__)
        reason += f", {flagged} of them flagged, most often as {most}"
    if ballot["counts"]:
        best = max(ballot["counts"].values())
        reason += f"; {len(ballot['counts'])} different answers, the most frequent {best} times"
    return reason
