"""Functions that must leave what they are given as it is: seen at once when they do not."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import orjson

from langgraph_maker.core.errors import ImpureTaskError, MakerError
from langgraph_maker.core.foreign import excerpt
from langgraph_maker.core.red_flags import RedFlag
from langgraph_maker.core.task import Task

__all__ = ["pure", "validating"]


def pure(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """Return `function`, which raises when it changes a state or a vote that it is given.

    The same state is handed to all samples of a step: what one of them changes in it decides how the others are judged,
    and what the next step starts from. So the first calls are all looked at, and later ones now and then.

    Raises:
        ImpureTaskError: While running, with what was changed.

    Example:
        >>> take = pure("advance", lambda state, vote: state.pop(vote))
        >>> take([1, 2, 3], 0)
        Traceback (most recent call last):
        langgraph_maker.core.errors.ImpureTaskError: advance changed what it was given, [2, 3]: let it make a new one
    """
    calls = 0

    def call(*given: Any, **named: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls > _FIRST and calls % _EVERY:
            return function(*given, **named)
        before = [_written(one) for one in given]
        try:
            result = function(*given, **named)
        except ImpureTaskError:  # names the function within this one
            raise
        except Exception:  # as for a flag
            _compare(name, before, given)
            raise
        _compare(name, before, given)
        return result

    return call


def _compare(name: str, before: Sequence[bytes | None], given: Sequence[Any]) -> None:
    for was, one in zip(before, given, strict=True):
        if was is not None and _written(one) != was:
            raise ImpureTaskError(f"{name} changed what it was given, {excerpt(one)}: let it make a new one")


def _written(value: Any) -> bytes | None:
    """Return what tells whether a value was changed; None for one that cannot be changed, or not be written."""
    if value is None or isinstance(value, (str, int, float)):
        return None
    try:
        return orjson.dumps(value)
    except (TypeError, RecursionError):
        return None


_FIRST: Final = 100
_EVERY: Final = 64


def validating(task: Task) -> Callable[[Any, Any], RedFlag | None]:
    """Return what `task.validate` says of a vote; one by which the task cannot advance is flagged before it counts."""
    judge, advance = pure("validate", task.validate), pure("advance", task.advance)

    def validate(state: Any, vote: Any) -> RedFlag | None:
        flag: RedFlag | None = judge(state, vote)
        if flag is None:
            try:
                advance(state, vote)
            except (RedFlag, ValueError, MakerError):
                raise
            except Exception:  # noqa: BLE001 - a bug, which surfaces once what was paid for is counted
                return None
        return flag

    return validate
