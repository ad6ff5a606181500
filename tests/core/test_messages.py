"""What a prompt returned, as messages."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.messages import HumanMessage, SystemMessage

from langgraph_maker.core.messages import as_messages


@pytest.mark.parametrize(
    "asked",
    [
        "2 + 2?",
        ("user", "2 + 2?"),
        ["2 + 2?"],
        [("human", "2 + 2?")],
        {"role": "user", "content": "2 + 2?"},
        HumanMessage("2 + 2?"),
        (HumanMessage("2 + 2?"),),
    ],
)
def test_one_message_however_it_is_written(asked: Any) -> None:
    assert [(one.type, one.text) for one in as_messages(asked)] == [("human", "2 + 2?")]


def test_several_messages() -> None:
    asked = (SystemMessage("Add."), ("user", "2 + 2?"))
    assert [one.type for one in as_messages(asked)] == ["system", "human"]


@pytest.mark.parametrize("asked", [[], (), None, 7, b"2 + 2?", [7], ["a", None]])
def test_what_is_none_is_refused_in_words(asked: Any) -> None:
    with pytest.raises(TypeError, match="what it returns is a text or a list of messages"):
        as_messages(asked)
