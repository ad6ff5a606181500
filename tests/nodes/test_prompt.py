"""Prompts, reads and writes as people write them, and models of another shape."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage
from langchain_core.output_parsers import JsonOutputParser
from langchain_core.prompts import ChatPromptTemplate, PromptTemplate
from pydantic import BaseModel
from scripted import Scripted

from langgraph_maker import create_voting_node
from langgraph_maker.core.messages import as_messages
from langgraph_maker.testing import ScriptedChatModel

TEMPLATE = ChatPromptTemplate.from_messages([("system", "Sort."), ("human", "{q}")])


def asked_with(prompt: Any, state: Any, **options: Any) -> Sequence[BaseMessage]:
    model = Scripted(lambda _: "A")
    given: dict[str, Any] = {"read": lambda s: s, "parse": str, "write": lambda _, d: {"a": d["vote"]}, **options}
    assert create_voting_node(model, prompt=prompt, **given).invoke(state) == {"a": "A"}
    return model.batches[0][0].messages


async def later(value: Any) -> Any:
    await asyncio.sleep(0)
    return value


@pytest.mark.parametrize(
    "prompt",
    [
        TEMPLATE,
        TEMPLATE.invoke,
        lambda state: TEMPLATE.format_messages(**state),
        lambda state: [("system", "Sort."), ("user", state["q"])],
        lambda state: [{"role": "system", "content": "Sort."}, {"role": "user", "content": state["q"]}],
        lambda state: [("system", "Sort."), state["q"]],
        lambda state: (("system", "Sort."), HumanMessage(state["q"])),
        lambda state: later([("system", "Sort."), HumanMessage(state["q"])]),
    ],
)
def test_messages(prompt: Any) -> None:
    assert [(one.type, one.text) for one in asked_with(prompt, {"q": "x"})] == [("system", "Sort."), ("human", "x")]


@pytest.mark.parametrize(
    "prompt",
    [
        lambda q: q,
        "{}".format,
        HumanMessage,
        lambda q: {"role": "user", "content": q},
        PromptTemplate.from_template("{q}"),
        later,
    ],
)
def test_a_single_one(prompt: Any) -> None:
    assert [(one.type, one.text) for one in asked_with(prompt, "x")] == [("human", "x")]


class Broken:
    def __repr__(self) -> str:
        raise RuntimeError("no text")


@pytest.mark.parametrize(
    "said", [5, None, b"x", [5], [("nobody", "x")], [{"content": "x"}], {"q": "x"}, [[]], {"a": Broken()}]
)
def test_what_is_no_prompt(said: Any) -> None:
    with pytest.raises(TypeError, match="prompt returned .*: what it returns is a text or a list of messages"):
        as_messages(said)


@pytest.mark.parametrize(
    ("prompt", "said"),
    [
        (TEMPLATE, "cannot be filled in with {'question': 'x'}: .*missing variables"),
        (ChatPromptTemplate.from_template('Answer as {"a": 1}.'), "escape it with double curly braces"),
        ("Sort {q}".format, "KeyError 'q'"),
    ],
)
def test_a_mistake_in_a_template_is_said_in_words(prompt: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        asked_with(prompt, {"question": "x"})


def test_a_text_is_no_prompt() -> None:
    with pytest.raises(TypeError, match="ChatPromptTemplate.from_template makes one of a text"):
        asked_with("Sort {q}", {"q": "x"})


@pytest.mark.parametrize("how", ["invoke", "ainvoke"])
def test_what_waits_is_waited_for(how: str) -> None:
    node = create_voting_node(
        Scripted(lambda _: "A"),
        read=lambda state: later(state["q"]),
        prompt=later,
        parse=str,
        write=lambda _, decision: later({"a": decision["vote"]}),
    )
    done = node.invoke({"q": "x"}) if how == "invoke" else asyncio.run(node.ainvoke({"q": "x"}))
    assert done == {"a": "A"}


@pytest.mark.parametrize("name", ["parse", "validate"])
def test_what_judges_an_answer_cannot_wait(name: str) -> None:
    with pytest.raises(TypeError, match=f"{name} is a plain function .*, not an async one"):
        asked_with(str, "x", **{name: later})


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ({"write": lambda state, decision, runtime: {}}, r"write is called as write\(state, decision\)"),
        ({"read": lambda: "x"}, r"read is called as read\(state\)"),
    ],
)
def test_a_function_of_other_arguments_is_refused_at_once(option: Any, said: str) -> None:
    with pytest.raises(TypeError, match=said + ".*get_runtime"):
        asked_with(str, "x", **option)


class Route(BaseModel):
    department: str


MODEL = ScriptedChatModel(answers=["billing"])


@pytest.mark.parametrize(
    ("model", "said"),
    [
        (create_agent(MODEL, []), "model is a graph"),
        (TEMPLATE | MODEL, "model begins with a template .*give that as prompt"),
        (MODEL.with_structured_output(Route), "model ends in a parser .*schema="),
        (MODEL | JsonOutputParser(), "model ends in a parser"),
        (ScriptedChatModel, "model is the class ScriptedChatModel"),
    ],
)
@pytest.mark.parametrize("how", ["parse", "schema"])
def test_a_model_of_another_shape_is_refused_at_once(model: Any, said: str, how: str) -> None:
    read: dict[str, Any] = {"parse": str} if how == "parse" else {"schema": Route}
    with pytest.raises(TypeError, match=said):
        create_voting_node(model, read=str, prompt=str, write=lambda _, d: d, **read)


@pytest.mark.parametrize("bug", [KeyError("text"), ZeroDivisionError("by zero"), AttributeError("content")])
def test_a_bug_in_a_sampler_of_ones_own_surfaces_as_itself(bug: Exception) -> None:
    calls: list[int] = []

    async def sampler(requests: Any) -> list[AIMessage]:
        calls.append(len(requests))
        raise bug

    node = create_voting_node(sampler, read=str, prompt=str, parse=str, write=lambda _, d: d)
    with pytest.raises(type(bug)) as caught:
        node.invoke("x")
    assert caught.value is bug
    assert calls == [3]


def test_objects_that_parse_returns_are_votes_by_their_form() -> None:
    answers = ['{"department": "billing"}', ' {"department":"billing"}']
    given: list[Any] = []
    node = create_voting_node(
        Scripted(lambda request: answers[request.number % 2]),
        read=str,
        prompt=str,
        parse=Route.model_validate_json,
        validate=lambda _, route: given.append(route),
        write=lambda _, d: d,
    )
    decision = node.invoke("x")
    assert (decision["vote"], decision["samples"]) == ({"department": "billing"}, 3)
    assert given[0] == Route(department="billing")
