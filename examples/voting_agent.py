"""A ReAct agent whose every step is voted on: what it calls next, and what it answers.

The model is scripted, and stands in for any chat model that calls tools.
"""

from langchain.agents import create_agent
from langchain_core.messages import HumanMessage

from langgraph_maker.middleware import VotingMiddleware
from langgraph_maker.testing import ScriptedChatModel, tool_call

STOCK = {"bolt": 0.25, "nut": 0.15}


def price(article: str) -> float:
    """Look up what one piece costs, in euros."""
    print(f"price({article})")
    return STOCK[article]


def order(article: str, pieces: int) -> str:
    """Place an order, which cannot be taken back."""
    print(f"order({article}, {pieces})")
    return f"ordered {pieces} {article}"


ask, mistaken = tool_call("price", article="bolt"), tool_call("price", article="bolts")
buy, too_much, nameless = (
    tool_call("order", article="bolt", pieces=40),
    tool_call("order", article="bolt", pieces=400),
    tool_call("order", pieces=40),
)
model = ScriptedChatModel(
    answers=[
        *[ask, mistaken, ask, ask, ask],
        *[too_much, buy, nameless, buy, buy, buy],
        *["Ordered 40 bolts.", "ordered 40  bolts.", "Ordered 40 bolts."],
    ]
)
agent = create_agent(model, [price, order], middleware=[VotingMiddleware(k=3)])

if __name__ == "__main__":
    messages = agent.invoke({"messages": [HumanMessage("Order bolts for 10 euros.")]})["messages"]
    for message in messages:
        if vote := message.response_metadata.get("vote"):
            counts = [count["count"] for count in vote["counts"]]
            print(f"voted {counts}, {vote['samples']} samples, flags {vote['flags']} (a scripted model)")
    print(messages[-1].text)
