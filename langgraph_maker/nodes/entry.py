"""An invocation that comes in past a graph's first node, as from a breakpoint, is held to what its run is of."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from langchain_core.runnables import RunnableConfig

from langgraph_maker.nodes.node import Node
from langgraph_maker.nodes.run_position import check_fixed

__all__ = ["entering"]


def entering(node: Node, fixed: Callable[[], Mapping[str, Any]]) -> Node:
    """Return `node`, which refuses a run that is of something else than `fixed`, where the first node has not run yet.

    That node looks itself, and marks the invocation as `entered`, in a channel that no checkpoint keeps.
    """

    def check(state: Mapping[str, Any]) -> None:
        if (held := state.get("fixed")) is not None:
            check_fixed(f"thread of run {state.get('run_id')!r}", held, fixed())

    def call(state: Any, config: RunnableConfig) -> dict[str, Any]:
        if not state.get("entered"):
            check(state)
        return node.invoke(state, config)

    async def acall(state: Any, config: RunnableConfig) -> dict[str, Any]:
        if not state.get("entered"):
            check(state)
        return await node.ainvoke(state, config)

    return Node(node.get_name(), call, acall, shows=node.deps)
