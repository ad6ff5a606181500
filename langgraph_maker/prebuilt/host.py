"""Between a host's state and a node of ours: what is read from it and what is written back, with errors that say so."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import is_dataclass
from inspect import isawaitable
from typing import Any, Final, TypeAlias

from langchain_core.runnables import RunnableConfig
from langgraph.graph.state import CompiledStateGraph
from langgraph.types import Command, StateSnapshot
from pydantic import BaseModel

from langgraph_maker.core.callables import check_arguments
from langgraph_maker.core.foreign import excerpt, shortened
from langgraph_maker.models.event_loop import run_sync
from langgraph_maker.nodes.langgraph_keys import node_name

__all__ = [
    "NO_LIMIT",
    "Again",
    "Compiled",
    "aread_from",
    "areopen",
    "awrite_to",
    "check_callable",
    "check_on_unresolved",
    "read_from",
    "reopen",
    "write_to",
]

Compiled: TypeAlias = CompiledStateGraph[Any, Any, Any, Any]
NO_LIMIT: Final = 2**31
"""Supersteps of a graph inside a host, whose own limit must not cut a vote short that has its budget."""

Again: TypeAlias = Callable[[Any], tuple[dict[str, Any], str]]
"""From how a graph ended to the update that opens it again, and the node that it is to come from."""


def read_from(state: Any, read: Callable[[Any], Any], name: str = "read") -> Any:
    """Return what `read`, an argument of that `name`, finds in the host's state.

    Raises:
        ValueError: When it asks for a key, an attribute or an item that is not there, with the keys that are.
    """
    try:
        found = read(state)
        return run_sync(found) if isawaitable(found) else found
    except (LookupError, AttributeError, TypeError) as error:
        raise _misread(state, name, error) from error


async def aread_from(state: Any, read: Callable[[Any], Any], name: str = "read") -> Any:
    """Do what `read_from` does, in asynchronous code."""
    try:
        found = read(state)
        return await found if isawaitable(found) else found
    except (LookupError, AttributeError, TypeError) as error:
        raise _misread(state, name, error) from error


def _misread(state: Any, name: str, error: Exception) -> ValueError:
    kind = type(state)
    fields = sorted(state if isinstance(state, dict) else getattr(kind, "__annotations__", ()))
    failure = shortened(f"{type(error).__name__} {error}")
    return ValueError(f"{name} failed with {failure} on the graph's state, a {kind.__name__} of {fields}")


def write_to(state: Any, write: Callable[[Any, Any], Any], outcome: Any, config: RunnableConfig) -> Any:
    """Return the host's update, as `write` makes it of the outcome.

    Raises:
        TypeError: When that is invalid, with the node's name and what was returned.
    """
    update = write(state, outcome)
    return _checked(state, run_sync(update) if isawaitable(update) else update, config)


async def awrite_to(state: Any, write: Callable[[Any, Any], Any], outcome: Any, config: RunnableConfig) -> Any:
    """Do what `write_to` does, in asynchronous code."""
    update = write(state, outcome)
    return _checked(state, await update if isawaitable(update) else update, config)


def _checked(state: Any, update: Any, config: RunnableConfig) -> Any:
    keyed = isinstance(state, (dict, BaseModel)) or is_dataclass(state)  # else any value may be the whole state
    if keyed and not _is_update(update):
        node = node_name(config)
        raise TypeError(
            f"node {node!r}: write returned {excerpt(update, 80)}, a {type(update).__name__}: what it returns is a dict"
            " of the state's keys to change ({} for none), a Command, or an object of the state's own type"
        )
    return update


def reopen(graph: Compiled, config: RunnableConfig, again: Again) -> None:
    """Have a graph inside a host resume where it ended, if it can: LangGraph takes what has ended for done."""
    try:
        snapshot = graph.get_state(config)
    except ValueError:  # the host has no checkpointer
        return
    if (update := _update(snapshot, again)) is not None:
        graph.update_state(config, *update)


async def areopen(graph: Compiled, config: RunnableConfig, again: Again) -> None:
    """Do what `reopen` does, in asynchronous code."""
    try:
        snapshot = await graph.aget_state(config)
    except ValueError:  # the host has no checkpointer
        return
    if (update := _update(snapshot, again)) is not None:
        await graph.aupdate_state(config, *update)


def check_callable(name: str, value: object, *given: str) -> None:
    """Refuse what is no function, or none that can be `given` what it will be.

    Raises:
        TypeError: With the name of the argument.
    """
    if not callable(value):
        raise TypeError(f"{name} is a function of the host's state, not {excerpt(value)}")
    check_arguments(name, value, *given)


def check_on_unresolved(value: object) -> None:
    """Refuse what is neither "raise" nor "write".

    Raises:
        ValueError: With what to give instead.
    """
    if value not in ("raise", "write"):
        raise ValueError(f'on_unresolved is "raise" or "write", not {excerpt(value)}')


def _update(snapshot: StateSnapshot, again: Again) -> tuple[dict[str, Any], str] | None:
    return again(snapshot.values) if snapshot.values and not snapshot.next else None


def _is_update(update: object) -> bool:
    if isinstance(update, (list, tuple)):
        return any(isinstance(one, Command) for one in update) and all(map(_is_update, update))
    whole = isinstance(update, BaseModel) or (is_dataclass(update) and not isinstance(update, type))
    return isinstance(update, (dict, Command)) or whole
