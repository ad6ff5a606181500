"""A host that shuts down: what our nodes have counted is saved, and nothing is bought twice."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from langchain_core.messages import AIMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.errors import GraphDrained
from langgraph.graph import START, StateGraph
from langgraph.runtime import RunControl
from langgraph.store.memory import InMemoryStore
from typing_extensions import TypedDict

from langgraph_maker import create_maker, create_maker_node, create_voting_node
from langgraph_maker.core.state import Request
from langgraph_maker.simulation.chat_model import simulated_sampler
from langgraph_maker.tasks import TowersOfHanoi

THREAD: Any = {"configurable": {"thread_id": "t"}}


class State(TypedDict, total=False):
    done: Any


class Shutting:
    """A sampler in whose call with this number the host is told to shut down."""

    def __init__(self, answer: Callable[[Sequence[Request]], Any], at: int) -> None:
        self.answer, self.at, self.control, self.calls, self.drawn = answer, at, RunControl(), 0, 0

    async def __call__(self, requests: Sequence[Request]) -> Sequence[AIMessage | Exception]:
        self.calls, self.drawn = self.calls + 1, self.drawn + len(requests)
        if self.calls == self.at:
            self.control.request_drain()
        answered: Sequence[AIMessage | Exception] = await self.answer(requests)
        return answered


def hanoi(at: int) -> Shutting:
    return Shutting(simulated_sampler("sim:error=0", TowersOfHanoi(3)), at)


def in_turns(*texts: str) -> Callable[[Sequence[Request]], Any]:
    async def answer(requests: Sequence[Request]) -> list[AIMessage]:
        return [AIMessage(texts[request.number % len(texts)]) for request in requests]

    return answer


def drained_and_resumed(app: Any, model: Shutting) -> Any:
    with pytest.raises(GraphDrained):
        app.invoke({}, THREAD, control=model.control)
    assert model.calls == model.at, "it ended after its round"
    return app.invoke(None, THREAD)


@pytest.mark.parametrize("at", [1, 4, 7])
def test_a_maker_graph_ends_after_its_round_and_resumes(at: int) -> None:
    model = hanoi(at)
    app = create_maker(TowersOfHanoi(3), model, k=2).compile(checkpointer=InMemorySaver(), store=InMemoryStore())
    result = drained_and_resumed(app, model)
    assert (result["status"], result["samples"], model.drawn) == ("solved", 14, 14)


@pytest.mark.parametrize("at", [1, 5])
def test_so_does_a_maker_node_of_a_host(at: int) -> None:
    model = hanoi(at)
    node = create_maker_node(create_maker(TowersOfHanoi(3), model, k=2), write=lambda _, run: {"done": run["steps"]})
    app = StateGraph(State).add_node("move", node).add_edge(START, "move").compile(checkpointer=InMemorySaver())
    assert (drained_and_resumed(app, model)["done"], model.drawn) == (7, 14)


@pytest.mark.parametrize("at", [1, 2])
def test_so_does_a_voting_node(at: int) -> None:
    model = Shutting(in_turns("a", "b", "a", "a"), at)
    node = create_voting_node(
        model, read=lambda _: "?", prompt=str, parse=str, write=lambda _, made: {"done": made["samples"]}, k=2
    )
    app = StateGraph(State).add_node("vote", node).add_edge(START, "vote").compile(checkpointer=InMemorySaver())
    assert (drained_and_resumed(app, model)["done"], model.drawn) == (4, 4)
