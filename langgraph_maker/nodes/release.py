"""No call is left in flight by a graph that has ended, however it ended."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from langchain_core.runnables import RunnableConfig

from langgraph_maker.models.event_loop import run_sync
from langgraph_maker.models.pool import Pool
from langgraph_maker.nodes.node import Node

__all__ = ["releasing"]


def releasing(pool: Pool, node: Node) -> Node:
    """Return `node`, which cancels what its run has in flight when it fails, is cancelled, or ends the run."""
    if getattr(pool.sampler, "never_waits", False):
        return node

    def call(state: Any, config: RunnableConfig) -> dict[str, Any]:
        try:
            update = node.invoke(state, config)
        except BaseException:
            pool.close(_owner(state))
            run_sync(pool.release())
            raise
        if _ends(update):
            pool.close(_owner(state, update))
            if "status" in update:
                run_sync(pool.release())
        return update

    async def acall(state: Any, config: RunnableConfig) -> dict[str, Any]:
        try:
            update = await node.ainvoke(state, config)
        except BaseException:
            await pool.aclose(_owner(state))
            await pool.release()
            raise
        if _ends(update):
            await pool.aclose(_owner(state, update))
            if "status" in update:  # a run has ended; the next vote of a host may come soon
                await pool.release()
        return update

    return Node(node.get_name(), call, acall, shows=node.deps)


def _owner(*places: Mapping[str, Any]) -> str:
    return next((place["started"] for place in places if place.get("started")), "")


def _ends(update: Mapping[str, Any]) -> bool:
    return bool(update.get("decisions")) or update.get("status", "running") != "running"
