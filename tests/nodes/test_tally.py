"""What a closed ballot hands on."""

from __future__ import annotations

from langchain_core.messages import AIMessage

from langgraph_maker.nodes.tally import _message


def test_a_winner_with_a_usage_that_langchain_refuses_is_handed_on_without_it() -> None:
    said = AIMessage("7").model_dump_json().replace('"usage_metadata":null', '"usage_metadata":{"input_tokens":5.5}')
    assert "5.5" in said
    assert _message(said) == AIMessage("7")
