"""`escalate`: what to do about a ballot that did not settle. Here: say so, and end the run."""

from __future__ import annotations

from typing import Any

from langchain_core.runnables import RunnableConfig

from langgraph_maker.events import Observer, Undecided
from langgraph_maker.nodes.node import Node
from langgraph_maker.nodes.state import MakerState
from langgraph_maker.nodes.tally import decision, in_words
from langgraph_maker.nodes.telling import who_listens
from langgraph_maker.state import BallotState

__all__ = ["escalate_node"]


def escalate_node(*, observer: Observer | None = None) -> Node:
    """Mark the run unresolved and name the step; its ballot is kept, so that a larger budget can go on from it."""
    tell = who_listens(observer)

    def escalate(state: MakerState, _: RunnableConfig) -> dict[str, Any]:
        ballot = next(ballot for ballot in state["ballots"] if ballot["status"] == "unresolved")
        why = in_words(ballot["samples"], ballot["flags"], ballot["last_flag"], ballot["counts"].values())
        tell([_undecided(state["begun"], ballot, why)])
        return {"status": "unresolved", "reason": f"step {ballot['id']}: {why}"}

    return Node("escalate", escalate)


def _undecided(run_id: str, ballot: BallotState, why: str) -> Undecided:
    return {
        "event": "maker.undecided",
        "run_id": run_id,
        "step": int(ballot["id"]),
        "samples": ballot["samples"],
        "counts": decision(ballot)["counts"],
        "flags": ballot["flags"],
        "reason": why,
    }
