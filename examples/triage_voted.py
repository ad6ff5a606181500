"""The same app with one voted step: an answer counts when it leads by three votes."""

from langchain_core.language_models import FakeListChatModel
from langgraph.graph import START, StateGraph
from typing_extensions import TypedDict

from langgraph_maker import create_voting_node

model = FakeListChatModel(responses=["technical", "billing", "billing", "Billing, I think.", "billing", "billing"])


class Ticket(TypedDict, total=False):
    """What the app knows about a ticket."""

    text: str
    department: str
    reply: str


classify = create_voting_node(
    model,
    read=lambda ticket: ticket["text"],
    prompt=lambda text: f"billing or technical? {text}",
    parse=["billing", "technical"].index,  # anything else is a ValueError, which is a red flag
    write=lambda _, decision: {"department": ["billing", "technical"][decision["vote"]]},
)


def reply(state: Ticket) -> Ticket:
    """Say where the ticket went."""
    return {"reply": f"Your ticket went to {state['department']}."}


app = (
    StateGraph(Ticket)
    .add_node("classify", classify)
    .add_node("reply", reply)
    .add_edge(START, "classify")
    .add_edge("classify", "reply")
)

if __name__ == "__main__":
    print(app.compile().invoke({"text": "I was charged twice."})["reply"])
