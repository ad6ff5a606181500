"""Votes by field, in a host's graph: what is decided, what is handed on, and that a broken vote continues."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest
from langchain_core.messages import AIMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, StateGraph
from pydantic import BaseModel, SecretStr, model_validator
from typing_extensions import TypedDict

from langgraph_maker import RedFlag, create_voting_graph, create_voting_node
from langgraph_maker.core.errors import SamplingError, UnresolvedError
from langgraph_maker.core.field_votes import FieldVotes
from langgraph_maker.core.state import Request
from langgraph_maker.matchers import fields, text, within


class State(TypedDict, total=False):
    scan: str
    decision: Any


class Answers:
    """A sampler that says one object after another, and may break off once."""

    def __init__(self, *objects: Any, breaks_at: int = -1) -> None:
        self.objects, self.drawn, self.rounds, self.breaks_at = objects, 0, list[int](), breaks_at

    async def __call__(self, requests: Sequence[Request]) -> list[AIMessage | Exception]:
        if self.drawn == self.breaks_at:
            self.breaks_at = -1
            raise RuntimeError("gone")
        said: list[AIMessage | Exception] = []
        for _ in requests:
            said.append(AIMessage(json.dumps(self.objects[self.drawn % len(self.objects)])))
            self.drawn += 1
        self.rounds.append(len(requests))
        return said


def node(model: Any, **options: Any) -> Any:
    given = {"parse": json.loads} if "schema" not in options else {}
    return create_voting_node(
        model,
        read=lambda state: state["scan"],
        prompt=str,
        write=lambda _, decision: {"decision": decision},
        votes="fields",
        **{"k": 2, **given, **options},
    )


def test_the_whole_is_made_of_the_fields_winners_though_no_response_gave_it() -> None:
    model = Answers({"a": 1, "b": 9}, {"a": 2, "b": 1}, {"a": 1, "b": 2}, {"a": 1, "b": 1}, {"a": 3, "b": 1})
    decision = node(model).invoke({"scan": "?"})["decision"]
    assert (decision["status"], decision["vote"]) == ("decided", {"a": 1, "b": 1})
    assert decision["fields"]["a"]["agreement"] == {"lead": 2, "share": 0.75, "samples": 4}
    assert (decision["agreement"]["lead"], model.drawn) == (2, 5)


def test_rounds_hold_what_all_open_fields_lack_and_no_more() -> None:
    model = Answers({"a": 1, "b": 1}, {"a": 1, "b": 2}, {"a": 7, "b": 1}, {"a": 7, "b": 1})
    node(model).invoke({"scan": "?"})
    assert model.rounds == [2, 2]


def test_fields_that_do_not_converge_are_listed_beside_those_that_do() -> None:
    model = Answers({"a": 1, "b": 1}, {"a": 1, "b": 2})
    decision = node(model, on_unresolved="write", max_samples_per_step=7).invoke({"scan": "?"})["decision"]
    assert (decision["status"], decision["vote"], decision["samples"]) == ("unresolved", None, 6)
    assert [(one["status"], one["vote"]) for one in decision["fields"].values()] == [
        ("decided", 1),
        ("unresolved", None),
    ]
    with pytest.raises(UnresolvedError, match=r"fields that did not converge: \['b'\]"):
        node(Answers({"a": 1, "b": 1}, {"a": 1, "b": 2}), max_samples_per_step=7).invoke({"scan": "?"})


def test_no_field_is_decided_by_less_than_k_though_another_takes_all_the_samples() -> None:
    model = Answers({"a": 1, "b": 1}, {"a": 2, "b": 2}, {"a": 1, "b": 3})
    decision = node(model, k=3, on_unresolved="write", max_samples_per_step=10).invoke({"scan": "?"})["decision"]
    assert {name: field["status"] for name, field in decision["fields"].items()} == {"a": "decided", "b": "unresolved"}
    assert decision["fields"]["a"]["agreement"]["lead"] == 3


def test_flagged_samples_count_for_no_field() -> None:
    good, bad = {"a": 1, "b": 1}, {"a": 2, "b": 2}
    refused = lambda _, vote: RedFlag("bad") if vote["a"] == 2 else None  # noqa: E731
    decision = node(Answers(bad, good, bad, good), validate=refused).invoke({"scan": "?"})["decision"]
    assert (decision["vote"], decision["flags"]) == (good, {"bad": 2})


class Sum(BaseModel):
    net: int
    tax: int
    total: int

    @model_validator(mode="after")
    def adds_up(self) -> Sum:
        if self.net + self.tax != self.total:
            raise ValueError("net and tax do not add up to the total")
        return self


def test_an_object_of_winners_that_the_schema_refuses_is_unresolved() -> None:
    model = Answers(
        {"net": 1, "tax": 1, "total": 2}, {"net": 1, "tax": 2, "total": 3}, {"net": 2, "tax": 1, "total": 3}
    )
    decision = node(model, schema=Sum, k=1, on_unresolved="write").invoke({"scan": "?"})["decision"]
    assert decision["vote"] == {"net": 1, "tax": 1, "total": 2}, "one reading is consistent"
    decision = node(model, schema=Sum, on_unresolved="write").invoke({"scan": "?"})["decision"]
    assert decision["status"] == "unresolved"
    assert "together they are refused: malformed" in decision["last_flag"]
    assert decision["fields"]["total"] == {**decision["fields"]["total"], "status": "decided", "vote": 3}


def test_matchers_are_by_field_and_unnamed_fields_are_not_voted_on() -> None:
    model = Answers({"v": "ACME", "t": 10, "x": 1}, {"v": "acme", "t": 9.99, "x": 2})
    decision = node(model, key=fields("v", v=text, t=within(0.01))).invoke({"scan": "?"})["decision"]
    assert decision["vote"] == {"v": "ACME", "t": 10}


def test_secrets_are_restored_in_fields_too() -> None:
    class Login(BaseModel):
        name: str
        password: SecretStr

    decision = node(Answers({"name": "ada", "password": "s3"}), schema=Login).invoke({"scan": "?"})["decision"]
    assert decision["fields"]["password"]["vote"].get_secret_value() == "s3"


def test_a_vote_that_broke_off_continues_with_what_was_counted() -> None:
    model = Answers({"a": 1, "b": 1}, {"a": 1, "b": 2}, {"a": 5, "b": 1}, {"a": 5, "b": 1}, breaks_at=2)
    app = StateGraph(State).add_node("vote", node(model)).add_edge(START, "vote").compile(checkpointer=InMemorySaver())
    config: Any = {"configurable": {"thread_id": "1"}}
    with pytest.raises(SamplingError, match="gone"):
        app.invoke({"scan": "?"}, config)
    assert app.invoke(None, config)["decision"]["vote"] == {"a": 1, "b": 1}
    assert model.drawn == 4


def test_a_larger_budget_continues_the_fields_that_are_open() -> None:
    model, saver = Answers({"a": 1, "b": 1}, {"a": 1, "b": 2}, {"a": 5, "b": 1}, {"a": 5, "b": 1}), InMemorySaver()

    def app(most: int) -> Any:
        voted = node(model, max_samples_per_step=most)
        return StateGraph(State).add_node("vote", voted).add_edge(START, "vote").compile(checkpointer=saver)

    config: Any = {"configurable": {"thread_id": "1"}}
    with pytest.raises(UnresolvedError, match="did not converge"):
        app(3).invoke({"scan": "?"}, config)
    assert app(10).invoke(None, config)["decision"]["vote"] == {"a": 1, "b": 1}
    assert model.drawn == 4


def test_what_votes_by_field_do_not_take_is_refused_at_once() -> None:
    with pytest.raises(ValueError, match='votes is "whole" or "fields"'):
        create_voting_node("sim:error=0", read=str, prompt=str, parse=str, write=lambda *_: {}, votes="each")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"votes=\"fields\" takes key=matchers\.fields"):
        node("sim:error=0", key=text)
    with pytest.raises(ValueError, match="votes by field take no ladder and no audit"):
        create_voting_graph("sim:error=0", prompt=str, parse=str, key=FieldVotes(), ladder="default")


def test_whole_votes_say_how_far_they_agree() -> None:
    model = Answers({"a": 1}, {"a": 2}, {"a": 1}, {"a": 1})
    made = create_voting_node(
        model, read=lambda _: "?", prompt=str, parse=json.loads, write=lambda _, decision: {"it": decision}, k=2
    )
    decision = made.invoke({})["it"]
    assert decision["agreement"] == {"lead": 2, "share": 0.75, "samples": 4}
    assert "fields" not in decision
