"""An invoice pipeline: what is read off a scan is voted on before it is booked.

The model is scripted, and stands in for "openai:gpt-4.1-mini" or any chat model. `test_invoice_pipeline.py` tests it.
"""

from langgraph.graph import START, StateGraph
from pydantic import BaseModel, Field

from langgraph_maker import Decision, RedFlag, create_voting_node
from langgraph_maker.matchers import fields, text, within
from langgraph_maker.models.resolve import Model
from langgraph_maker.testing import ScriptedChatModel, tool_call


class Invoice(BaseModel):
    """What is read off an invoice."""

    number: str
    vendor: str
    total: float = Field(gt=0, description="With tax, in euros.")


class Books(BaseModel):
    """The state of the pipeline."""

    scan: str
    invoice: Invoice | None = None
    ledger: list[str] = []
    to_review: str = ""


def on_the_scan(scan: str, invoice: dict[str, object]) -> RedFlag | None:
    """A number that does not stand on the scan was made up."""
    return None if str(invoice["number"]) in scan else RedFlag("made_up", f"number {invoice['number']}")


def written(_: Books, decision: Decision) -> dict[str, object]:
    """The invoice that won, or why there is none."""
    if decision["status"] == "decided":
        return {"invoice": decision["vote"]}
    return {"to_review": f"{len(decision['counts'])} readings after {decision['samples']} samples"}


def book(state: Books) -> dict[str, list[str]]:
    """Enter the invoice, if one was decided on."""
    if (invoice := state.invoice) is None:
        return {}
    return {"ledger": [*state.ledger, f"{invoice.number} {invoice.vendor} {invoice.total:.2f}"]}


def pipeline(model: Model, k: int = 3) -> StateGraph[Books]:
    """The pipeline, with its one step that asks a model."""
    extract = create_voting_node(
        model,
        read=lambda state: state.scan,
        prompt=lambda scan: f"Read number, vendor and total off this invoice.\n\n{scan}",
        schema=Invoice,
        key=fields("number", vendor=text, total=within(0.004)),
        validate=on_the_scan,
        write=written,
        on_unresolved="write",
        max_samples_per_step=30,
        k=k,
    )
    return (
        StateGraph(Books)
        .add_node("extract", extract)
        .add_node("book", book)
        .add_edge(START, "extract")
        .add_edge("extract", "book")
    )


SCAN = "ACME GmbH · Invoice 2024-117 · net 1,000.00 · tax 190.00 · total 1,190.00"
right = tool_call("Invoice", number="2024-117", vendor="ACME GmbH", total=1190)
loud = tool_call("Invoice", number="2024-117", vendor="Acme  GMBH", total=1190.00)
net = tool_call("Invoice", number="2024-117", vendor="ACME GmbH", total=1000)
made_up = tool_call("Invoice", number="2024-711", vendor="ACME GmbH", total=1190)

if __name__ == "__main__":
    model = ScriptedChatModel(answers=[net, right, made_up, loud, right, right])
    result = pipeline(model).compile().invoke(Books(scan=SCAN))
    print(f"booked {result['ledger'][0]} after {len(model.calls)} samples (a scripted model)")
