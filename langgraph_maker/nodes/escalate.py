"""`escalate`: what to do about a ballot that did not settle. Here: say so, and end the run."""

from __future__ import annotations

from typing import Any

from langchain_core.runnables import RunnableConfig

from langgraph_maker.nodes.node import Node
from langgraph_maker.nodes.state import MakerState
from langgraph_maker.nodes.tally import in_words

__all__ = ["escalate_node"]


def escalate_node() -> Node:
    """Mark the run unresolved and name the step; its ballot is kept, so that a larger budget can go on from it."""

    def escalate(state: MakerState, _: RunnableConfig) -> dict[str, Any]:
        ballot = next(ballot for ballot in state["ballots"] if ballot["status"] == "unresolved")
        why = in_words(ballot["samples"], ballot["flags"], ballot["last_flag"], ballot["counts"].values())
        return {"status": "unresolved", "reason": f"step {ballot['id']}: {why}"}

    return Node("escalate", escalate)
