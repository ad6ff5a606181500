"""`ask`: put a question to a human, and wait."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.types import interrupt

from langgraph_maker.ladder.questions import Question, asked_about
from langgraph_maker.nodes.node import Node
from langgraph_maker.state import BallotState

__all__ = ["ask_node", "check_can_ask", "waiting_for"]


def ask_node() -> Node:
    """Ask a human one question, and wait for the answer (LangGraph's `interrupt`)."""

    def ask(question: Any, _: RunnableConfig) -> dict[str, Any]:
        return {"answers": {question["id"]: interrupt(question)}}

    return Node("ask", ask)


def waiting_for(ballots: Sequence[BallotState]) -> list[Question]:
    """The questions that ballots wait to have answered."""
    return [asked_about(ballot) for ballot in ballots if ballot["status"] == "asking"]


def check_can_ask(config: RunnableConfig) -> None:
    """Refuse to begin what may have to ask a human where the question could not be kept.

    Raises:
        ValueError: With what to give.
    """
    if config.get("configurable", {}).get("__pregel_checkpointer") in {None, False}:
        raise ValueError(
            "AskHuman needs a place where the question waits: compile the graph with a checkpointer (a maker graph"
            " can do with a store)"
        )
