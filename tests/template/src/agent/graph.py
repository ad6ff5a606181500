"""A graph with a state, a context and one node."""

from dataclasses import dataclass

from langchain_core.language_models import FakeListChatModel
from langgraph.graph import START, StateGraph
from langgraph.runtime import Runtime
from typing_extensions import TypedDict

model = FakeListChatModel(responses=["no", "yes", "yes", "Well, perhaps.", "yes", "yes"])  # stands in for a chat model


class Context(TypedDict, total=False):
    """What may differ from one call to the next."""

    tone: str


@dataclass
class State:
    """What goes in, and what comes out."""

    question: str
    answer: str = ""


async def call_model(state: State, runtime: Runtime[Context]) -> dict[str, str]:
    """Ask the model once."""
    tone = (runtime.context or {}).get("tone", "plain")
    response = await model.ainvoke(f"Answer in a {tone} tone, yes or no: {state.question}")
    return {"answer": response.text}


builder = StateGraph(State, Context)
builder.add_node("call_model", call_model)
builder.add_edge(START, "call_model")
graph = builder.compile(name="agent")
