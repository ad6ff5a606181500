"""`ask`: put a question to a human, and wait."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from langchain_core.runnables import RunnableConfig

from langgraph_maker.core.foreign import excerpt
from langgraph_maker.core.questions import Question, question_of
from langgraph_maker.core.state import BallotState
from langgraph_maker.journal import run_data
from langgraph_maker.journal.store_ops import StoreOps
from langgraph_maker.nodes.emit import ask_human
from langgraph_maker.nodes.langgraph_keys import has_checkpointer
from langgraph_maker.nodes.node import Node

__all__ = ["ask_node", "check_answers", "check_can_ask", "open_questions", "pending_answers", "stored_answers"]


def ask_node() -> Node:
    """Ask a human one question, and wait for the answer (LangGraph's `interrupt`)."""

    def ask(question: Any, _: RunnableConfig) -> dict[str, Any]:
        return {"answers": {question["id"]: ask_human(question)}}

    return Node("ask", ask)


def open_questions(ballots: Sequence[BallotState]) -> list[Question]:
    """Return the questions that ballots wait to have answered."""
    return [question_of(ballot) for ballot in ballots if ballot["status"] == "asking"]


def check_can_ask(config: RunnableConfig) -> None:
    """Refuse to begin what may have to ask a human where the question could not be kept.

    Raises:
        ValueError: With what to give.
    """
    if not has_checkpointer(config):
        raise ValueError(
            "AskHuman needs a place where the question waits: compile the graph with a checkpointer (a maker graph"
            " can do with a store)"
        )


def stored_answers(run_id: str, ballots: Sequence[BallotState]) -> StoreOps[dict[str, Any]]:
    """Return the answers given since the run last waited; they are kept until what follows of them is journalled."""
    asking = [ballot["id"] for ballot in ballots if ballot["status"] == "asking"]
    if not asking:
        return {}
    found = yield [run_data.get_answer(run_id, name) for name in asking]
    forms = [run_data.read_answer(item, run_id, name) for name, item in zip(asking, found, strict=True)]
    return {name: form for name, form in zip(asking, forms, strict=True) if form}


def pending_answers(state: Mapping[str, Any], key: str, ballots: Sequence[BallotState]) -> dict[str, Any]:
    """Return the answers that the run of this `key`, which no store has, was given and has not used.

    Those to what is not asked any more are left out.
    """
    unused = state.get("unused") if state.get("started") == key else None
    asking = {ballot["id"] for ballot in ballots if ballot["status"] == "asking"}
    return {name: form for name, form in (unused or {}).items() if name in asking}


def check_answers(answers: Mapping[str, Any], ballots: Sequence[BallotState]) -> None:
    """Refuse an answer to what is not asked.

    Raises:
        ValueError: With what is asked.
    """
    asking = [ballot["id"] for ballot in ballots if ballot["status"] == "asking"]
    if wrong := [name for name in answers if name not in asking]:
        there = f"open are {', '.join(asking)}" if asking else "no question is open"
        raise ValueError(f"there is no open question {excerpt(wrong[0])} to answer: {there}")
