"""Stores and checkpointers are given open, not by their paths."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager, AbstractContextManager
from os import PathLike

from langgraph_maker.core.foreign import excerpt

__all__ = ["check_opened"]


def check_opened(name: str, value: object, kind: type, opens: str) -> None:
    """Refuse what is no store or checkpointer.

    Raises:
        TypeError: With how to open one.
    """
    if value is None or isinstance(value, kind):
        return
    if isinstance(value, type) and issubclass(value, kind):
        raise TypeError(f"{name} is the class {value.__name__}: give an object of it")
    if isinstance(value, (str, PathLike)):
        path = excerpt(str(value))
        raise TypeError(
            f"{name} is no path, but an open {kind.__name__}: with {opens}.from_conn_string({path}) as {name}:"
            f" {name}.setup(), and then {name}={name}"
        )
    if isinstance(value, (AbstractContextManager, AbstractAsyncContextManager)):
        raise TypeError(f"{name} is what opens one: with … as {name}, and then {name}={name}")
    raise TypeError(f"{name} is a {kind.__name__} of LangGraph, not {excerpt(value)}")
