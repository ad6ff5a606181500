"""What is read of LangGraph beside its public interface: there, in this version, and named in one module."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, StateGraph
from langgraph.types import interrupt
from typing_extensions import TypedDict

import langgraph_maker
from langgraph_maker.nodes import langgraph_keys
from langgraph_maker.nodes.langgraph_keys import (
    HOLDS_FOR,
    INTERRUPTED,
    default_durability,
    has_checkpointer,
    node_name,
    outer_visit,
    saves_at_exit,
)

THREAD: RunnableConfig = {"configurable": {"thread_id": "t"}}


class State(TypedDict, total=False):
    """Nothing much."""

    seen: int


def _graph(node: Any) -> StateGraph[State, None, State, State]:
    return StateGraph(State).add_node("look", node).add_edge(START, "look")


def _seen(config: RunnableConfig, checkpointer: Any = None, **options: Any) -> RunnableConfig:
    """Return the config that a node of a graph is given."""
    given: list[RunnableConfig] = []

    def look(_: State, config: RunnableConfig) -> State:
        given.append(config)
        return {"seen": 1}

    _graph(look).compile(checkpointer=checkpointer).invoke({}, config, **options)
    return given[0]


def test_this_version_of_langgraph_is_one_that_the_keys_hold_for() -> None:
    installed = ".".join(version("langgraph").split(".")[:2])
    assert installed in HOLDS_FOR, f"run this file's tests with langgraph {installed}, then name it in HOLDS_FOR"


def test_a_node_sees_whether_its_graph_saves_checkpoints() -> None:
    assert has_checkpointer(_seen(THREAD, InMemorySaver()))
    assert not has_checkpointer(_seen(THREAD))
    assert not has_checkpointer({})


def test_a_node_sees_its_name_and_outside_of_graphs_that_it_has_none() -> None:
    assert (node_name(_seen(THREAD)), node_name({})) == ("look", "by itself")


def test_a_graph_in_a_host_sees_the_visit_of_its_node_and_one_by_itself_none() -> None:
    visits: list[str] = []

    def look(_: State, config: RunnableConfig) -> State:
        visits.append(outer_visit(config))
        return {"seen": 1}

    inner = _graph(look).compile()
    inner.invoke({}, THREAD)
    host = _graph(lambda state, config: inner.invoke(state, config))  # noqa: PLW0108 - as LangGraph calls it
    host.compile().invoke({}, THREAD)
    assert visits[0] == ""
    assert visits[1].startswith("look:")


@pytest.mark.parametrize(("durability", "at_exit"), [("exit", True), ("sync", False), ("async", False)])
def test_a_node_sees_the_durability_of_its_host_and_can_leave_it_out(durability: Any, at_exit: bool) -> None:
    config = _seen(THREAD, InMemorySaver(), durability=durability)
    assert saves_at_exit(config) is at_exit
    assert not saves_at_exit(default_durability(config))
    assert default_durability({}) == {}


def test_a_stream_of_updates_names_its_questions_by_no_node() -> None:
    graph = _graph(lambda _: {"seen": interrupt("how many?")}).compile(checkpointer=InMemorySaver())
    assert [[*chunk] for chunk in graph.stream({}, THREAD, stream_mode="updates")] == [[INTERRUPTED]]


def test_no_other_module_names_such_a_key() -> None:
    root = Path(langgraph_maker.__file__).parent
    named = ("__pregel", "langgraph_checkpoint_ns", '"langgraph_node"', "__interrupt__", "langgraph._internal")
    found = {
        path.relative_to(root).as_posix() for path in root.rglob("*.py") for one in named if one in path.read_text()
    }
    assert found == {Path(langgraph_keys.__file__).relative_to(root).as_posix()}
