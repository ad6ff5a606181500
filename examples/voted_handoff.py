"""A supervisor whose handoff is voted on: which agent is next is decided by a margin. The model is scripted."""

from typing import Any

from langchain_core.messages import AIMessage
from langgraph.graph import MessagesState, StateGraph
from langgraph.types import Command

from langgraph_maker import create_voting_node
from langgraph_maker.testing import ScriptedChatModel

AGENTS = ["billing", "technical"]
model = ScriptedChatModel(answers=["technical", "billing", "billing", "billing", "billing"])
supervisor = create_voting_node(
    model,
    read=lambda state: state["messages"][-1].text,
    prompt=lambda text: f"Who should take this, {' or '.join(AGENTS)}? {text}",
    parse=AGENTS.index,
    write=lambda _, decision: Command(goto=AGENTS[decision["vote"]]),
)


def agent(name: str) -> Any:
    """One that says who it is."""
    return lambda _: {"messages": [AIMessage(f"This is {name}.", name=name)]}


builder = StateGraph(MessagesState).add_node("supervisor", supervisor, destinations=tuple(AGENTS))
for name in AGENTS:
    builder.add_node(name, agent(name))
app = builder.set_entry_point("supervisor").compile()

if __name__ == "__main__":
    question: Any = {"messages": [("user", "I was charged twice.")]}
    print(app.invoke(question)["messages"][-1].text, f"({len(model.calls)} samples of a scripted model)")
