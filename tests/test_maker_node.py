"""A whole run as one node of a host graph that knows nothing of this package."""

from __future__ import annotations

import operator
from dataclasses import dataclass
from typing import Annotated, Any

import pytest
from langchain_core.messages import AIMessage
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, StateGraph
from langgraph.store.memory import InMemoryStore
from langgraph.types import Command, Send, interrupt
from pydantic import BaseModel
from scripted import Counting, Scripted, right, script
from typing_extensions import TypedDict

from langgraph_maker import create_maker, create_maker_node, journal, solve
from langgraph_maker.errors import UnsolvedError
from langgraph_maker.records import HEADERS

THREAD: Any = {"configurable": {"thread_id": "t"}}


class Dict(TypedDict, total=False):
    """Keys that a maker graph has too, with other meanings."""

    steps: int
    status: str
    run_id: str
    answer: Any


class Model(BaseModel):
    steps: int
    status: str = "mine"
    run_id: str = "mine"
    answer: Any = None


@dataclass
class Data:
    steps: int
    status: str = "mine"
    run_id: str = "mine"
    answer: Any = None


HOSTS_OWN = {"steps": 3, "status": "mine", "run_id": "mine"}


def counting(model: Any, **options: Any) -> Any:
    """Counts as far as the host says."""

    def maker(state: Any) -> Any:
        return create_maker(Counting(state["steps"] if isinstance(state, dict) else state.steps), model, **options)

    return maker


def host(schema: Any, node: Any) -> StateGraph[Any]:
    return StateGraph(schema).add_node("count", node).add_edge(START, "count")


def answer(_: Any, run: Any) -> dict[str, Any]:
    return {"answer": run["final_state"]}


def run_ids(store: Any) -> list[str]:
    return [item.value["run_id"] for item in store.search(HEADERS, limit=100)]


@pytest.mark.parametrize("schema", [Dict, Model, Data])
@pytest.mark.parametrize("checkpointer", [None, "memory"])
@pytest.mark.parametrize("store", [None, "memory"])
async def test_in_hosts_of_every_kind_no_other_key_is_touched(
    schema: Any, checkpointer: str | None, store: str | None
) -> None:
    graph = host(schema, create_maker_node(counting(Scripted(right)), write=answer)).compile(
        checkpointer=InMemorySaver() if checkpointer else None, store=InMemoryStore() if store else None
    )
    assert graph.invoke(HOSTS_OWN, THREAD) == {**HOSTS_OWN, "answer": 3}
    assert await graph.ainvoke(HOSTS_OWN, {"configurable": {"thread_id": "u"}}) == {**HOSTS_OWN, "answer": 3}
