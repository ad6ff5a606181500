"""Functions that must leave what they are given as it is: seen at once when they do not."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import orjson

from langgraph_maker.core.errors import ImpureTaskError, MakerError
from langgraph_maker.core.foreign import excerpt
from langgraph_maker.core.red_flags import RedFlag
from langgraph_maker.core.task import Task

__all__ = ["Trials", "pure"]


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


class Trials:
    """A task's judgement of votes: each is tried before it counts, and where it wins, what that came to is taken.

    So `advance` runs once for a distinct answer to a step. What is not taken is dropped, the oldest first.

    Example:
        >>> from langgraph_maker.tasks import TowersOfHanoi
        >>> task = TowersOfHanoi(3)
        >>> trials, state = Trials(task), task.initial_state()
        >>> trials.validate(state, task.oracle(state)), trials.advance(state, task.oracle(state))["move"]
        (None, [1, 0, 2])
    """

    def __init__(self, task: Task) -> None:
        self._judge, self._advance = pure("validate", task.validate), pure("advance", task.advance)
        self._after: dict[tuple[bytes, bytes] | None, Any] = {}

    def validate(self, state: Any, vote: Any) -> RedFlag | None:
        """Return what `task.validate` says; a vote by which the task cannot advance is flagged before it counts."""
        flag: RedFlag | None = self._judge(state, vote)
        if flag is not None or (key := _key(state, vote)) in self._after:
            return flag
        try:
            after = self._advance(state, vote)
        except (RedFlag, ValueError, MakerError):
            raise
        except Exception:  # noqa: BLE001 - a bug, which surfaces once what was paid for is counted
            return None
        if key is not None:
            self._after[key] = after
            if len(self._after) > _MOST:
                del self._after[next(iter(self._after))]
        return None

    def advance(self, state: Any, vote: Any) -> Any:
        """Return the state that a winner hands on, once."""
        key = _key(state, vote)
        return self._advance(state, vote) if key not in self._after else self._after.pop(key)


def _key(state: Any, vote: Any) -> tuple[bytes, bytes] | None:
    """Return what tells a state and a vote from all others; None for what cannot be written, or is no JSON."""
    try:
        return orjson.dumps(state, option=_STRICT), orjson.dumps(vote, option=_STRICT)
    except (TypeError, RecursionError):
        return None


_MOST: Final = 8192
_STRICT: Final = orjson.OPT_PASSTHROUGH_DATACLASS | orjson.OPT_PASSTHROUGH_DATETIME | orjson.OPT_PASSTHROUGH_SUBCLASS
