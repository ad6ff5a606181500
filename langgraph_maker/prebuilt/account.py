"""What the votes of one node have used on a thread, kept beside the host's checkpoints."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from langchain_core.runnables import RunnableConfig
from langgraph.graph import START, StateGraph
from typing_extensions import TypedDict

from langgraph_maker.nodes.budget import Budget, Limits, Spent, Visits, total
from langgraph_maker.nodes.langgraph_keys import has_checkpointer, visit

__all__ = ["ThreadAccount"]


class _Account(TypedDict, total=False):
    visits: dict[str, list[Any]]


class ThreadAccount:
    """Gives each visit of a node its budget, and keeps what all of them used with the host's checkpointer.

    Visits side by side (`Send`) share what is left while they run, in the one process in which LangGraph runs them.
    """

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        builder = StateGraph(_Account).add_node("spend", lambda _: {}).add_edge(START, "spend")
        self._graph = builder.compile(checkpointer=True, name="account")
        self._under_way: dict[tuple[str, str], tuple[Visits, int]] = {}

    def open(self, config: RunnableConfig) -> Budget | None:
        """Return the budget of a visit, None where there is no limit."""
        if not self.limits:
            return None
        try:
            return self._open(config, self._graph.get_state(config).values)
        except ValueError:  # the host has no checkpointer
            return self._open(config, {})

    async def aopen(self, config: RunnableConfig) -> Budget | None:
        """Do what `open` does, in asynchronous code."""
        if not self.limits:
            return None
        try:
            return self._open(config, (await self._graph.aget_state(config)).values)
        except ValueError:  # the host has no checkpointer
            return self._open(config, {})

    def close(self, budget: Budget | None, config: RunnableConfig) -> None:
        """Keep what a visit used, however it ended."""
        if budget is not None and (visits := self._closed(budget, config)) and has_checkpointer(config):
            self._graph.update_state(config, {"visits": visits}, as_node="spend")

    async def aclose(self, budget: Budget | None, config: RunnableConfig) -> None:
        """Do what `close` does, in asynchronous code."""
        if budget is not None and (visits := self._closed(budget, config)) and has_checkpointer(config):
            await self._graph.aupdate_state(config, {"visits": visits}, as_node="spend")

    def _open(self, config: RunnableConfig, kept: Mapping[str, Any]) -> Budget:
        key, visit = _place(config)
        visits, users = self._under_way.get(key, ({}, 0))
        for name, spent in kept.get("visits", {}).items():
            visits.setdefault(name, Spent(*spent))
        if key[0]:  # else there is no thread, and each visit has the budget to itself
            self._under_way[key] = visits, users + 1
        return Budget(self.limits, visits, visit)

    def _closed(self, budget: Budget, config: RunnableConfig) -> dict[str, list[Any]]:
        key, _ = _place(config)
        visits, users = self._under_way.get(key, (budget.visits, 1))
        if users > 1:
            self._under_way[key] = visits, users - 1
        else:
            self._under_way.pop(key, None)
        names = list(visits)
        if (old := names[:-_REMEMBERED]) and users == 1:  # what is long done adds up
            visits[_BEFORE] = total({name: visits.pop(name) for name in old})
        return {name: [*spent] for name, spent in visits.items()}


def _place(config: RunnableConfig) -> tuple[tuple[str, str], str]:
    """Return which account a visit draws on, a thread's and a node's, and which visit it is."""
    place = visit(config)
    node = "|".join(part.partition(":")[0] for part in place.split("|"))
    return (str(config.get("configurable", {}).get("thread_id") or ""), node), place


_REMEMBERED: Final = 256
_BEFORE: Final = "before"
