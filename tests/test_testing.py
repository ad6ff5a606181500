"""What a test writes down is what the model says."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from langgraph_maker import create_voting_graph
from langgraph_maker.testing import ScriptedChatModel, script, tool_call


async def test_a_chat_model_says_its_lines_in_order_and_the_last_one_again() -> None:
    model = ScriptedChatModel(answers=["a", tool_call("f", x=1), "b"])
    said = [model.invoke("?"), await model.ainvoke("?"), model.invoke("?"), model.invoke("!")]
    assert [message.text for message in said] == ["a", "", "b", "b"]
    assert said[1].tool_calls[0]["args"] == {"x": 1}
    assert [call["messages"][0].text for call in model.calls] == ["?", "?", "?", "!"]


def test_it_remembers_what_was_bound() -> None:
    model = ScriptedChatModel(answers=["a"])
    model.bind_tools(["f"], tool_choice="any").invoke("?")
    assert (model.calls[0]["tools"], model.calls[0]["tool_choice"]) == (["f"], "any")


def test_an_exception_is_a_call_that_fails() -> None:
    model = ScriptedChatModel(answers=[ConnectionError("gone"), "a"])
    with pytest.raises(ConnectionError, match="gone"):
        model.invoke("?")
    assert model.invoke("?").text == "a"


@pytest.mark.parametrize("kind", ["chat model", "sampler"])
def test_votes_come_in_the_order_of_the_script(kind: str) -> None:
    lines = ["1", "2", "1", "2", "1", "1"]
    model: Any = script(*lines) if kind == "sampler" else ScriptedChatModel(answers=lines)
    graph = create_voting_graph(model, prompt=str, parse=int, k=2).compile()
    [decision] = graph.invoke({"subtasks": [{"id": "a", "state": 0}]})["decisions"]
    assert decision["counts"] == [{"vote": 1, "count": 4}, {"vote": 2, "count": 2}]


def test_nothing_to_say() -> None:
    with pytest.raises(ValueError, match="at least one answer"):
        script()
    with pytest.raises(ValidationError, match="at least 1 item"):
        ScriptedChatModel(answers=[])
