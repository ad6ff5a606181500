"""A human's question as a form, and answers to the one that was meant."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.messages import AIMessage
from langgraph import errors
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, StateGraph
from langgraph.types import Command, Interrupt
from typing_extensions import TypedDict

from langgraph_maker import create_voting_node
from langgraph_maker.core.questions import check_form

THREAD: Any = {"configurable": {"thread_id": "t"}}
STRICT: Any = {"configurable": {"thread_id": "t", "__pregel_strict_resume": True}}
FORMS = pytest.mark.skipif("response_schema" not in Interrupt.__annotations__, reason="LangGraph before 1.2.12")


class State(TypedDict, total=False):
    left: str
    right: str


def asking(key: str) -> Any:
    async def model(requests: Any) -> list[AIMessage]:
        return [AIMessage("ab"[request.number % 2]) for request in requests]

    return create_voting_node(
        model,
        read=lambda _: key,
        prompt=str,
        parse=str,
        write=lambda _, decision: {key: decision["vote"]},
        ladder="human",
        max_samples_per_step=4,
        k=2,
    )


def two_questions() -> tuple[Any, dict[str, str]]:
    """A graph that asks two questions at once, and the ids of their interrupts."""
    builder = StateGraph(State).add_node("left_vote", asking("left")).add_node("right_vote", asking("right"))
    app = builder.add_edge(START, "left_vote").add_edge(START, "right_vote").compile(checkpointer=InMemorySaver())
    pending = app.invoke({}, THREAD)["__interrupt__"]
    return app, {one.value["state"]: one.id for one in pending}


@FORMS
def test_a_question_has_the_schema_of_its_answer() -> None:
    app = (
        StateGraph(State).add_node("vote", asking("left")).add_edge(START, "vote").compile(checkpointer=InMemorySaver())
    )
    [question] = app.invoke({}, THREAD)["__interrupt__"]
    assert question.response_schema == question.value["form"]
    assert question.response_schema["properties"].keys() == {"pick", "answer", "retry", "abort"}
    assert question.response_schema["properties"]["pick"]["maximum"] == 1


def test_two_questions_are_answered_by_their_ids() -> None:
    app, ids = two_questions()
    assert ids.keys() == {"left", "right"}
    state = app.invoke(Command(resume={ids["right"]: {"answer": "r"}, ids["left"]: {"pick": 0}}), THREAD)
    assert (state["left"] in {"a", "b"}, state["right"]) == (True, "r")


def test_an_answer_to_neither_leaves_both_open() -> None:
    app, ids = two_questions()
    with pytest.raises(RuntimeError, match="multiple pending interrupts"):
        app.invoke(Command(resume={"pick": 0}), THREAD)
    state = app.invoke(Command(resume={name: {"answer": "x"} for name in ids.values()}), THREAD)
    assert (state["left"], state["right"]) == ("x", "x")


@pytest.mark.skipif(not hasattr(errors, "UnknownInterruptError"), reason="LangGraph before 1.2.20")
def test_a_stale_answer_is_refused_and_takes_no_other_question() -> None:
    app, ids = two_questions()
    app.invoke(Command(resume={ids["left"]: {"answer": "x"}}), STRICT)
    with pytest.raises(errors.UnknownInterruptError, match="already-consumed"):
        app.invoke(Command(resume={ids["left"]: {"answer": "late"}}), STRICT)
    state = app.invoke(Command(resume={ids["right"]: {"answer": "y"}}), STRICT)
    assert (state["left"], state["right"]) == ("x", "y")


@pytest.mark.parametrize(
    "form",
    [
        {"pick": 0, "answer": "", "retry": False, "abort": False},
        {"pick": None, "answer": None, "retry": True},
        {"answer": None},
        {"answer": ""},
        {"answer": False},
    ],
)
def test_fields_that_a_form_leaves_empty_are_not_given(form: Any) -> None:
    check_form(form, 2)


def test_two_answers_are_none() -> None:
    with pytest.raises(ValueError, match="an answer is one of"):
        check_form({"pick": 0, "answer": "b"}, 2)
