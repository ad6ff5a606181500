"""How to test a voted step of your own: write down what the model says, and see what the graph does."""

from invoice_pipeline import SCAN, Books, loud, made_up, net, pipeline, right

from langgraph_maker.testing import ScriptedChatModel


def test_a_wrong_reading_is_outvoted() -> None:
    """One wrong reading takes one more right one."""
    model = ScriptedChatModel(answers=[net, right, loud, right, right])
    result = pipeline(model, k=3).compile().invoke(Books(scan=SCAN))
    assert result["ledger"] == ["2024-117 ACME GmbH 1190.00"]
    assert len(model.calls) == 5


def test_a_number_that_is_not_on_the_scan_never_counts() -> None:
    """However often it is said."""
    result = pipeline(ScriptedChatModel(answers=[made_up])).compile().invoke(Books(scan=SCAN))
    assert not result["ledger"]
    assert result["to_review"] == "0 readings after 12 samples"


def test_an_even_vote_is_not_booked() -> None:
    """It goes to somebody who can read."""
    model = ScriptedChatModel(answers=[net, right] * 15)
    result = pipeline(model).compile().invoke(Books(scan=SCAN))
    assert not result["ledger"]
    assert result["to_review"].startswith("2 readings")
