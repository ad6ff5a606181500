"""Whose run it is: the namespace of an invocation, from what a factory was given, its runtime and its config."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Final, TypeAlias

from langchain_core.runnables import RunnableConfig
from langgraph.config import get_config, get_store
from langgraph.runtime import Runtime, get_runtime
from langgraph.store.base import BaseStore

from langgraph_maker.core.callables import check_arguments
from langgraph_maker.core.foreign import excerpt
from langgraph_maker.journal.tenants import PLACEHOLDER, check_namespace, under

__all__ = ["Namespace", "checked_tenancy", "inside_tenant", "store_of", "tenant_of"]

Namespace: TypeAlias = tuple[str, ...] | Callable[[Runtime[Any] | None, RunnableConfig], tuple[str, ...]]
"""Whose runs these are: a tuple of labels, of which one such as "{user_id}" is that value of the config's
"configurable"; or a function from the runtime (None outside of graphs) and the config to a tuple of labels."""


def checked_tenancy(namespace: Namespace | None) -> Namespace | None:
    """Refuse what is neither a namespace nor a function that gives one; None is for what is further out.

    Raises:
        ValueError: With what to give instead.
        TypeError: For a function of other arguments.
    """
    if callable(namespace):
        check_arguments("namespace", namespace, "runtime", "config")
    elif namespace is not None:
        check_namespace(
            tuple(label for label in namespace if not _placeholder(label)) if _labels(namespace) else namespace
        )
    return namespace


def tenant_of(namespace: Namespace | None, config: RunnableConfig | None = None) -> tuple[str, ...]:
    """Return the namespace of an invocation: what `namespace` says, or None, the node of the host that it is in.

    Example:
        >>> tenant_of(("users", "{user_id}"), {"configurable": {"user_id": "ann"}})
        ('users', 'ann')

    Raises:
        ValueError: When the config does not say what a placeholder stands for, or what a function returned is no
            namespace.
    """
    if namespace is None:
        return _outer.get()
    config = _config() if config is None else config
    if callable(namespace):
        return check_namespace(namespace(_runtime(), config))
    return check_namespace(tuple(_filled(label, config.get("configurable", {})) for label in namespace))


def store_of(state: Mapping[str, Any]) -> BaseStore | None:
    """Return where the run in this state is journalled: in its tenant's part of the graph's store, if it has one."""
    store = get_store()
    return None if store is None else under(store, state.get("namespace") or ())


@contextmanager
def inside_tenant(namespace: tuple[str, ...]) -> Iterator[None]:
    """Have the runs of graphs in here be of this tenant, where they say nothing else."""
    token = _outer.set(namespace)
    try:
        yield
    finally:
        _outer.reset(token)


_outer: Final[ContextVar[tuple[str, ...]]] = ContextVar("tenant", default=())


def _labels(namespace: object) -> bool:
    return isinstance(namespace, (tuple, list)) and all(isinstance(label, str) for label in namespace)


def _placeholder(label: str) -> bool:
    return PLACEHOLDER.fullmatch(label) is not None


def _filled(label: str, values: Mapping[str, Any]) -> str:
    """Return a label, or the value of the config that it stands for."""
    if (found := PLACEHOLDER.fullmatch(label)) is None:
        return label
    value = values.get(found[1])
    if not isinstance(value, str) or not value:
        raise ValueError(
            f"namespace takes {label} from the config, which has {excerpt(value)} there: invoke the graph with"
            f' config={{"configurable": {{"{found[1]}": "…"}}}}'
        )
    return value


def _config() -> RunnableConfig:
    try:
        return get_config()
    except RuntimeError:  # outside of graphs
        return {}


def _runtime() -> Runtime[Any] | None:
    try:
        return get_runtime()
    except (RuntimeError, KeyError):  # outside of graphs
        return None
