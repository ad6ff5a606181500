"""A voted step in LangGraph's Functional API: the node is called inside a task. The model is scripted."""

from typing import Any

from langgraph.checkpoint.memory import InMemorySaver
from langgraph.func import entrypoint, task

from langgraph_maker import create_voting_node
from langgraph_maker.testing import ScriptedChatModel

model = ScriptedChatModel(answers=["billing", "technical", "billing", "billing", "billing"])
classify = create_voting_node(
    model,
    read=lambda ticket: ticket["text"],
    prompt=lambda text: f"billing or technical? {text}",
    parse=["billing", "technical"].index,
    write=lambda _, decision: {"department": ["billing", "technical"][decision["vote"]]},
)


@task
def department(text: str) -> str:
    """The department that won."""
    return str(classify.invoke({"text": text})["department"])


@entrypoint(checkpointer=InMemorySaver())
def triage(text: str) -> str:
    """Send a ticket on its way."""
    return f"Your ticket went to {department(text).result()}."


if __name__ == "__main__":
    config: Any = {"configurable": {"thread_id": "ticket 1"}}
    print(triage.invoke("I was charged twice.", config), f"({len(model.calls)} samples of a scripted model)")
