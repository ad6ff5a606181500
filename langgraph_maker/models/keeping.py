"""What the calls that are made now are part of, for samplers whose calls outlive a process."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import NamedTuple

from langgraph.store.base import BaseStore

__all__ = ["KEPT_IN", "Keeping", "kept_in"]


class Keeping(NamedTuple):
    """Where calls are recorded: in a store, under the name of a run."""

    store: BaseStore
    name: str


KEPT_IN: ContextVar[Keeping | None] = ContextVar("KEPT_IN", default=None)
"""What the calls made in this context are part of; None where nothing can be resumed."""


@contextmanager
def kept_in(store: BaseStore | None, name: str) -> Iterator[None]:
    """Record calls made in here in a store, if there is one, as those of a run.

    Example:
        >>> from langgraph.store.memory import InMemoryStore
        >>> with kept_in(InMemoryStore(), "nightly"):
        ...     KEPT_IN.get().name
        'nightly'
    """
    before = KEPT_IN.set(Keeping(store, name) if store is not None and name else None)
    try:
        yield
    finally:
        KEPT_IN.reset(before)
