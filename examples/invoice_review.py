"""An invoice read field by field: what was decided is booked, and a human is asked for the fields that were not.

Each field is decided by its own vote over the same samples. The model is scripted, and stands in for any chat model.
"""

from typing import Any

from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, StateGraph
from langgraph.types import Command, interrupt
from pydantic import BaseModel
from typing_extensions import TypedDict

from langgraph_maker import Decision, create_voting_node
from langgraph_maker.matchers import fields, text, within
from langgraph_maker.models.resolve import Model
from langgraph_maker.testing import ScriptedChatModel, tool_call


class Invoice(BaseModel):
    """What is read off an invoice."""

    number: str
    vendor: str
    total: float


class Books(TypedDict, total=False):
    """The state: what was read, how far the votes on each field agreed, and which fields wait for review."""

    scan: str
    read: dict[str, Any]
    confidence: dict[str, float]
    queue: list[str]


def written(_: Books, decision: Decision) -> Books:
    """Keep the fields that were decided, and queue the others."""
    each = decision.get("fields", {})
    return {
        "read": {name: field["vote"] for name, field in each.items() if field["status"] == "decided"},
        "confidence": {name: round(field["agreement"]["share"], 2) for name, field in each.items()},
        "queue": [name for name, field in each.items() if field["status"] == "unresolved"],
    }


def review(state: Books) -> Books:
    """Ask a human for what is queued."""
    if not state["queue"]:
        return {}
    answers = interrupt({"scan": state["scan"], "fields": state["queue"]})
    return {"read": {**state["read"], **answers}, "queue": []}


def pipeline(model: Model) -> StateGraph[Books]:
    """The pipeline: a vote by field, then the review of what is open."""
    extract = create_voting_node(
        model,
        read=lambda state: state["scan"],
        prompt=lambda scan: f"Read number, vendor and total off this invoice.\n\n{scan}",
        schema=Invoice,
        votes="fields",
        key=fields("number", vendor=text, total=within(0.004)),
        write=written,
        on_unresolved="write",
        max_samples_per_step=8,
    )
    builder = StateGraph(Books).add_node("extract", extract).add_node("review", review)
    return builder.add_edge(START, "extract").add_edge("extract", "review")


def reading(number: str, total: float) -> Any:
    """One answer of the model."""
    return tool_call("Invoice", number=number, vendor="ACME GmbH", total=total)


if __name__ == "__main__":
    model = ScriptedChatModel(answers=[reading("2024-117", 1190), reading("2024-111", 1190)] * 4)
    app = pipeline(model).compile(checkpointer=InMemorySaver())
    config: Any = {"configurable": {"thread_id": "invoice 1"}}
    asked = app.invoke({"scan": "ACME GmbH · Invoice 2024-1l7 · total 1,190.00"}, config)
    print("decided", asked["read"], "for review", asked["queue"], "agreement", asked["confidence"])
    print("booked", app.invoke(Command(resume={"number": "2024-117"}), config)["read"])
