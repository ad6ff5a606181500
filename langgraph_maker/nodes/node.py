"""What every node is: a function with an async twin, called without ceremony."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from langchain_core.runnables import Runnable, RunnableConfig, RunnableLambda
from langgraph.store.base import BaseStore

from langgraph_maker.journal import store_ops
from langgraph_maker.journal.store_ops import StoreOps

__all__ = ["Journalled", "Node", "journalling"]

Update = dict[str, Any]
Journalled = tuple[BaseStore, StoreOps[Update]]
"""A store, and the operations on it that come to a node's update."""


class Node(RunnableLambda[Any, Update]):
    """A named Runnable from state to update.

    LangGraph opens a trace span for each node already, so unlike its parent class this one opens no second,
    which would cost more than most nodes here do.

    Args:
        name: In snake_case, as drawn.
        func: From state and config to the update.
        afunc: Its async twin; None where `func` never waits.
        shows: Subgraphs for pictures to draw inside the node.
    """

    def __init__(
        self,
        name: str,
        func: Callable[[Any, RunnableConfig], Update],
        afunc: Callable[[Any, RunnableConfig], Awaitable[Update]] | None = None,
        *,
        shows: Sequence[Runnable[Any, Any]] = (),
    ) -> None:
        async def twin(state: Any, config: RunnableConfig) -> Update:
            return func(state, config)

        self._func, self._afunc = func, afunc or twin
        super().__init__(self._func, self._afunc, name=name)
        self._shows = list(shows)

    @property
    def deps(self) -> list[Runnable[Any, Any]]:
        """The subgraphs inside, where drawing tools look for them."""
        return self._shows

    def invoke(self, input: Any, config: RunnableConfig | None = None, **_: Any) -> Update:  # noqa: A002
        """Return the update for the state `input`."""
        return self._func(input, config or {})

    async def ainvoke(self, input: Any, config: RunnableConfig | None = None, **_: Any) -> Update:  # noqa: A002
        """Return the update for the state `input`."""
        return await self._afunc(input, config or {})


def journalling(name: str, work: Callable[[Any, RunnableConfig], Update | Journalled]) -> Node:
    """Return a node whose work is done at once, or by operations on a store, which its async twin waits for."""

    def call(state: Any, config: RunnableConfig) -> Update:
        begun = work(state, config)
        return begun if isinstance(begun, dict) else store_ops.drive(begun[1], begun[0])

    async def acall(state: Any, config: RunnableConfig) -> Update:
        begun = work(state, config)
        return begun if isinstance(begun, dict) else await store_ops.adrive(begun[1], begun[0])

    return Node(name, call, acall)
