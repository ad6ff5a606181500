"""Numbers that users give: checked in one place, and refused with the name and the value."""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from operator import index
from typing import Any

from langgraph_maker.core.foreign import excerpt

__all__ = ["check_number", "check_whole"]


def check_whole(name: str, value: object, least: int = 1, most: int | None = None, hint: str = "") -> int:
    """Return `value` as an int, where it is one from `least` to `most`; a `hint` says what else it may be.

    Raises:
        ValueError: When it is not.

    Example:
        >>> check_whole("lanes", 2.5)
        Traceback (most recent call last):
        ValueError: lanes is a whole number of at least 1, not 2.5
    """
    try:
        number = index(value)  # type: ignore[arg-type]
    except TypeError:
        number = least - 1
    if isinstance(value, bool) or number < least or (most is not None and number > most):
        bounds = f"of at least {least}" if most is None else f"from {least} to {most}"
        raise ValueError(f"{name} is a whole number {bounds}{hint}, not {excerpt(value)}")
    return number


def check_number(name: str, value: Any, what: str, fits: Callable[[float], bool]) -> float:
    """Return `value`, where it is a finite number that `fits`; `what` says so in words.

    Raises:
        ValueError: When it is not.

    Example:
        >>> check_number("deadline", "2h", "a number of seconds above 0", lambda seconds: seconds > 0)
        Traceback (most recent call last):
        ValueError: deadline is a number of seconds above 0, not '2h'
    """
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not (-inf < value < inf and fits(value)):
        raise ValueError(f"{name} is {what}, not {excerpt(value)}")
    return value
