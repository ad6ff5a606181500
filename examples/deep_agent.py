"""A deep agent (package deepagents) whose tool calls are voted on before they run. The model is scripted."""

from typing import Any

from deepagents import create_deep_agent

from langgraph_maker.middleware import VotingMiddleware
from langgraph_maker.testing import ScriptedChatModel, tool_call


def refund(order: str, cents: int) -> str:
    """Pay an order back."""
    return f"Paid {cents} cents back for {order}."


wrong, right = (tool_call("refund", order="A-7", cents=cents) for cents in (120000, 1200))
model = ScriptedChatModel(answers=[wrong, right, right, right, right, "Done."])
agent = create_deep_agent(model, [refund], middleware=[VotingMiddleware(k=3)])

if __name__ == "__main__":
    order: Any = {"messages": "Order A-7 came broken."}
    said = agent.invoke(order)["messages"]
    print(said[-2].text, f"({len(model.calls)} samples of a scripted model)")
