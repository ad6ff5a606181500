"""The graph of a process that coordinates a run whose steps others advance."""

from __future__ import annotations

from typing import Any

from langgraph.graph import END, START, StateGraph

from langgraph_maker.nodes.context import MakerContext
from langgraph_maker.nodes.node import Node
from langgraph_maker.nodes.state import MakerInput, MakerOutput, MakerState
from langgraph_maker.nodes.trace import TRACED

__all__ = ["create_coordinator"]


def create_coordinator(
    maker: StateGraph[MakerState, MakerContext, MakerInput, MakerOutput], workers: Node
) -> StateGraph[MakerState, MakerContext, MakerInput, MakerOutput]:
    """Return the graph that starts and ends a run as `maker` does, and leaves its votes to the node `workers`.

    Args:
        maker: The graph whose run it is, as `create_maker` makes it.
        workers: Returns once nothing advances the run any more.
    """

    def after_decompose(state: MakerState) -> Any:
        return "workers" if state["status"] == "running" else END

    return (
        StateGraph(MakerState, MakerContext, input_schema=MakerInput, output_schema=MakerOutput)
        .add_node("decompose", maker.nodes["decompose"].runnable, **TRACED)
        .add_node("workers", workers, **TRACED)
        .add_edge(START, "decompose")
        .add_conditional_edges("decompose", after_decompose, ["workers", END])
        .add_edge("workers", "decompose")
    )
