"""A plain LangGraph app: one model call sorts a ticket, and whatever it says is taken for the answer."""

from langchain_core.language_models import FakeListChatModel
from langgraph.graph import START, StateGraph
from typing_extensions import TypedDict

model = FakeListChatModel(responses=["technical", "billing", "billing", "Billing, I think.", "billing", "billing"])


class Ticket(TypedDict, total=False):
    """What the app knows about a ticket."""

    text: str
    department: str
    reply: str


def classify(state: Ticket) -> Ticket:
    """Ask the model which department is meant."""
    return {"department": model.invoke(f"billing or technical? {state['text']}").text}


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
