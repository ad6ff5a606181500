"""Models that the host's config has a say in: what it chooses, and the model that this makes."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any, Final

from langchain_core.runnables import Runnable, RunnableBinding, RunnableConfig
from langchain_core.runnables.config import merge_configs
from langchain_core.runnables.configurable import DynamicRunnable

from langgraph_maker.models.resolve import each_chat_model

__all__ = ["choices", "frozen", "is_configurable", "resolved"]


def is_configurable(model: Runnable[Any, Any]) -> bool:
    """Return whether a model, or one inside it, is made from what the config says.

    These are `init_chat_model`'s, and LangChain's configurable fields and alternatives.
    """
    return bool(_parts(model))


def choices(model: Runnable[Any, Any], config: RunnableConfig) -> list[dict[str, Any]]:
    """Return what the config says of each configurable part."""
    return [_said(part, config) for part in _parts(model)]


def resolved(model: Runnable[Any, Any], config: RunnableConfig) -> Runnable[Any, Any]:
    """Return the model that the config chooses, with no choice left in it."""

    def choose(part: Any) -> Runnable[Any, Any] | None:
        if _is_init_model(part):
            return resolved(part._model({"configurable": _said(part, config, part._config_prefix)}), config)  # noqa: SLF001
        if isinstance(part, DynamicRunnable):
            return resolved(*part.prepare(config)).with_config(part.config)
        if isinstance(part, RunnableBinding) and part.config.get("configurable"):
            return part.model_copy(update={"bound": resolved(part.bound, merge_configs(part.config, config))})
        return None

    return each_chat_model(model, lambda one: one, choose=choose)


def frozen(value: Any) -> Hashable:
    """Return a key that is equal for equal values: later changes of a value are none of its key.

    Example:
        >>> frozen({"a": [1], "b": 2}) == frozen({"b": 2, "a": [1]}), frozen([1]) == frozen([True])
        (True, False)
    """
    if isinstance(value, Mapping):
        return type(value), frozenset((name, frozen(inner)) for name, inner in value.items())
    if isinstance(value, (list, tuple)):
        return type(value), tuple(frozen(inner) for inner in value)
    if isinstance(value, (set, frozenset)):
        return type(value), frozenset(map(frozen, value))
    try:
        hash(value)
    except TypeError:
        return type(value), id(value)
    return type(value), value


def _parts(model: Runnable[Any, Any]) -> list[Any]:
    """Return the configurable parts of a model, in order."""
    found: list[Any] = []

    def note(part: Runnable[Any, Any]) -> Runnable[Any, Any] | None:
        if not (_is_init_model(part) or isinstance(part, DynamicRunnable)):
            return None
        found.append(part)
        return part

    each_chat_model(model, lambda one: one, choose=note)
    return found


def _said(part: Any, config: RunnableConfig, prefix: str = "") -> dict[str, Any]:
    """Return what the config says of a part, without the graph's own settings."""
    if _is_init_model(part):
        said = part._model_params(config)  # noqa: SLF001 - there is no other way
        return {f"{prefix}{name}": value for name, value in said.items() if not name.startswith(_OF_THE_GRAPH)}
    given = merge_configs(part.config, config).get("configurable", {})
    return {spec.id: given[spec.id] for spec in part.config_specs if spec.id in given}


def _is_init_model(part: object) -> bool:
    """Return whether this is what `init_chat_model` returns for configurable fields."""
    return hasattr(part, "_default_config") and hasattr(part, "_model_params")


_OF_THE_GRAPH: Final = ("__", "thread_", "checkpoint_", "langgraph_", "run_id", "graph_id", "assistant_id")
