"""What is read of LangGraph that is not its public interface: keys of a node's config and of a stream, here alone.

They hold for the versions `HOLDS_FOR`, of which the tests see that each key is there and means what is said here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from langchain_core.runnables import RunnableConfig

__all__ = [
    "HOLDS_FOR",
    "INTERRUPTED",
    "default_durability",
    "has_checkpointer",
    "node_name",
    "outer_visit",
    "saves_at_exit",
    "visit",
]

HOLDS_FOR: Final = ("1.2",)
"""Versions of LangGraph, by their first two numbers."""
INTERRUPTED: Final = "__interrupt__"
"""What a stream of updates names its questions by, where else it names a node."""
_CHECKPOINTER: Final = "__pregel_checkpointer"
_DURABILITY: Final = "__pregel_durability"


def has_checkpointer(config: RunnableConfig) -> bool:
    """Return whether the graph of a running node saves checkpoints."""
    return _settings(config).get(_CHECKPOINTER) not in {None, False}


def visit(config: RunnableConfig) -> str:
    """Return which visit of which node of which graph is running; "" where none is."""
    return str(config.get("metadata", {}).get("langgraph_checkpoint_ns", ""))


def outer_visit(config: RunnableConfig) -> str:
    """Return which visit of which node of a host a running graph is in; "" where it is in none."""
    return visit(config).rpartition("|")[0]


def node_name(config: RunnableConfig) -> str:
    """Return what the running node is called; "by itself" where it is not in a graph."""
    return str(config.get("metadata", {}).get("langgraph_node", "by itself"))


def saves_at_exit(config: RunnableConfig) -> bool:
    """Return whether the host's durability is "exit", which loses what a subgraph did in a node that then fails."""
    return bool(_settings(config).get(_DURABILITY) == "exit")


def default_durability(config: RunnableConfig) -> RunnableConfig:
    """Return the config without the host's durability: LangGraph 1.2 fails on "sync" where no checkpoint is written."""
    settings = _settings(config)
    if _DURABILITY not in settings:
        return config
    kept = {key: value for key, value in settings.items() if key != _DURABILITY}
    return {**config, "configurable": kept}


def _settings(config: RunnableConfig) -> Mapping[str, Any]:
    return config.get("configurable", {})
