"""Budgets that are larger than one vote: of a node on a thread, and of an agent's run."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import pytest
from langchain_core.messages import AIMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from langgraph.graph import END, START, StateGraph
from langgraph.types import Send
from typing_extensions import TypedDict

from langgraph_maker import create_voting_node
from langgraph_maker.core.errors import UnresolvedError
from langgraph_maker.core.state import Request
from langgraph_maker.models.prices import Price

PRICE = Price(0.0, 1_000_000.0)  # a dollar an output token


class Says:
    """A sampler that says one text after another, each of one token."""

    def __init__(self, *texts: str, known: bool = True) -> None:
        self.texts, self.drawn, self.known = texts, 0, known

    async def __call__(self, requests: Sequence[Request]) -> list[AIMessage | Exception]:
        said: list[AIMessage | Exception] = []
        for _ in requests:
            text = self.texts[self.drawn % len(self.texts)]
            usage: Any = {"input_tokens": 0, "output_tokens": 1, "total_tokens": 1} if self.known else None
            said.append(AIMessage(text, usage_metadata=usage))
            self.drawn += 1
        return said


class State(TypedDict, total=False):
    left: int
    answers: Annotated[list[Any], operator.add]


def looping(model: Any, **options: Any) -> StateGraph[State]:
    """A graph that asks as often as it is told."""
    node = create_voting_node(
        model,
        read=lambda state: state["left"],
        prompt=str,
        parse=str,
        write=lambda state, decision: {"left": state["left"] - 1, "answers": [decision["vote"]]},
        **{"k": 2, **options},
    )
    builder = StateGraph(State).add_node("ask", node).add_edge(START, "ask")
    return builder.add_conditional_edges("ask", lambda state: "ask" if state["left"] else END, ["ask", END])


def thread(name: str = "1") -> Any:
    return {"configurable": {"thread_id": name}}


def test_a_thread_draws_no_more_samples_than_its_budget() -> None:
    model, saver = Says("a"), InMemorySaver()
    app = looping(model, max_total_samples=7).compile(checkpointer=saver)
    with pytest.raises(UnresolvedError, match="6 samples were drawn, and max_total_samples is 7"):
        app.invoke({"left": 9}, thread())
    assert (model.drawn, app.get_state(thread()).values["answers"]) == (6, ["a"] * 3)
    app.invoke({"left": 2}, thread("2"))
    assert model.drawn == 10, "another thread has a budget of its own"
    with pytest.raises(UnresolvedError, match="max_total_samples is 7"):
        looping(model, max_total_samples=7).compile(checkpointer=saver).invoke({"left": 1}, thread())
    assert model.drawn == 10, "another process knows what was drawn"


def test_a_larger_budget_continues_the_vote() -> None:
    model, saver = Says("a", "b", "a", "b", "a", "a", "a", "a"), InMemorySaver()
    with pytest.raises(UnresolvedError, match="4 samples were drawn, and max_total_samples is 5"):
        looping(model, max_total_samples=5).compile(checkpointer=saver).invoke({"left": 1}, thread())
    looping(model, max_total_samples=50).compile(checkpointer=saver).invoke(None, thread())
    assert model.drawn == 6, "what was counted is not bought again, nor counted twice"


def test_a_vote_ends_after_the_round_that_reaches_the_cost() -> None:
    model = Says("a", "b")
    app = looping(model, max_cost=3.0, price=PRICE).compile(checkpointer=InMemorySaver())
    with pytest.raises(UnresolvedError, match=r"\$4\.00 were spent, and max_cost is \$3\.00"):
        app.invoke({"left": 1}, thread())
    assert model.drawn == 4


def test_what_is_not_known_to_be_within_the_cost_ends_the_vote() -> None:
    model = Says("a", "b", known=False)
    with pytest.raises(UnresolvedError, match="what was spent is not known"):
        looping(model, max_cost=3.0).compile(checkpointer=InMemorySaver()).invoke({"left": 1}, thread())


def test_visits_side_by_side_share_a_budget() -> None:
    model = Says("a")
    node = create_voting_node(
        model,
        read=lambda state: state["left"],
        prompt=str,
        parse=str,
        write=lambda _, decision: {"answers": [decision["status"]]},
        on_unresolved="write",
        max_total_samples=10,
        k=2,
    )
    builder = StateGraph(State).add_node("ask", node)
    builder.add_conditional_edges(START, lambda _: [Send("ask", {"left": n}) for n in range(4)], ["ask"])
    app = builder.compile(checkpointer=InMemorySaver())
    assert app.invoke({"left": 0}, thread())["answers"] == ["decided"] * 4
    assert "unresolved" in app.invoke({"left": 0}, thread())["answers"]
    assert model.drawn <= 10 + 2 * 4, "one round each beyond it, at most"


async def test_the_account_is_kept_by_an_asynchronous_checkpointer_too(tmp_path: Path) -> None:
    model = Says("a")
    async with AsyncSqliteSaver.from_conn_string(str(tmp_path / "threads.sqlite")) as saver:
        app = looping(model, max_total_samples=4).compile(checkpointer=saver)
        await app.ainvoke({"left": 2}, thread())
        with pytest.raises(UnresolvedError, match="max_total_samples is 4"):
            await app.ainvoke({"left": 1}, thread())
    assert model.drawn == 4


def test_without_a_checkpointer_each_visit_has_the_budget() -> None:
    model = Says("a")
    looping(model, max_total_samples=2).compile().invoke({"left": 3})
    assert model.drawn == 6


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"max_total_samples": 0}, "max_total_samples is a whole number of at least 1"),
        ({"max_cost": 0.0}, "max_cost is a finite number of dollars above 0"),
    ],
)
def test_a_limit_that_is_none_is_refused(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        looping(Says("a"), **options)
