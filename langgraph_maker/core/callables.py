"""What users give as functions: refused at once where it cannot be one."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from inspect import iscoroutinefunction, signature
from typing import Any

from langgraph_maker.core.foreign import excerpt

__all__ = ["check_arguments", "check_function", "is_async"]


def check_function(name: str, value: object, what: str) -> None:
    """Refuse what is no plain function.

    Args:
        name: The argument's name.
        value: What was given.
        what: From what to what it is a function.

    Raises:
        TypeError: With what to give instead.
    """
    if not callable(value):
        raise TypeError(f"{name} is a function {what}, not {excerpt(value)}")
    if is_async(value):
        raise TypeError(f"{name} is a plain function {what}, not an async one: what has to wait goes before the vote")


def check_callbacks(**given: object) -> None:
    """Refuse what cannot be called back, each by its name; None is none.

    Raises:
        TypeError: With what to give instead.
    """
    for name, value in given.items():
        if value is not None and not callable(value):
            raise TypeError(f"{name} is a function that is called while the run goes on, not {excerpt(value)}")
        if is_async(value):
            raise TypeError(f"{name} is a plain function, not an async one")


def check_arguments(name: str, function: Callable[..., Any], *given: str) -> None:
    """Refuse a function that cannot be called with so many arguments.

    Raises:
        TypeError: With the arguments that it is called with.
    """
    try:
        parameters = signature(function)
    except (TypeError, ValueError):  # such as a builtin
        return
    try:
        parameters.bind(*given)
    except TypeError as error:
        raise TypeError(
            f"{name} is called as {name}({', '.join(given)}), which {excerpt(function, 80)} does not take: {error};"
            " what else it needs is in langgraph.runtime.get_runtime() and langgraph.config.get_store()"
        ) from None


def is_async(value: object) -> bool:
    """Tell whether a call of this gives something to await."""
    while isinstance(value, partial):
        value = value.func
    return iscoroutinefunction(value) or iscoroutinefunction(getattr(value, "__call__", None))  # noqa: B004
