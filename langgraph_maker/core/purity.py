"""Functions that must leave what they are given as it is: seen at once when they do not."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import update_wrapper
from typing import Any, Final

import orjson

from langgraph_maker.core.callables import is_async
from langgraph_maker.core.errors import ImpureTaskError, MakerError
from langgraph_maker.core.foreign import excerpt
from langgraph_maker.core.red_flags import RedFlag
from langgraph_maker.core.task import Task

__all__ = ["Start", "Trials", "pure"]


class Start:
    """What a task's `initial_state` returned: the task may have kept it, and where it changes that, a run ends wrong.

    Example:
        >>> from langgraph_maker.tasks import TowersOfHanoi
        >>> Start(TowersOfHanoi(3)).check("advance")
    """

    def __init__(self, task: Task) -> None:
        self._task = task
        self._held: Any = None
        self._written: bytes | None = None
        self._known = False

    def check(self, name: str) -> None:
        """Refuse what was changed since this was first called, by the function of this name.

        Raises:
            ImpureTaskError: With what was changed.
        """
        if not self._known:
            self._held, self._known = self._task.initial_state(), True
            self._written = _written(self._held)
        elif self._written is not None and _written(self._held) != self._written:
            raise ImpureTaskError(
                f"{name} changed what initial_state had returned, {excerpt(self._held)}: let it make a new one"
            )


def pure(name: str, function: Any, start: Start | None = None) -> Callable[..., Any]:
    """Return `function`, which raises when it changes a state or a vote that it is given, or the task's `start`.

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
    return function if isinstance(function, _Pure) or is_async(function) else _Pure(name, function, start)


class _Pure:
    def __init__(self, name: str, function: Callable[..., Any], start: Start | None) -> None:
        update_wrapper(self, function)
        self._name, self._function, self._start = name, function, start
        self._calls = 0

    def __call__(self, *given: Any, **named: Any) -> Any:
        self._calls += 1
        if self._calls > _FIRST and self._calls % _EVERY:
            return self._function(*given, **named)
        if self._start is not None:
            self._start.check(_EARLIER)
        before = [_written(one) for one in given]
        try:
            result = self._function(*given, **named)
        except ImpureTaskError:  # names the function within this one
            raise
        except Exception:  # as for a flag
            self._look(before, given)
            raise
        self._look(before, given)
        return result

    def _look(self, before: Sequence[bytes | None], given: Sequence[Any]) -> None:
        for was, one in zip(before, given, strict=True):
            if was is not None and _written(one) != was:
                raise ImpureTaskError(f"{self._name} changed what it was given, {excerpt(one)}: let it make a new one")
        if self._start is not None:
            self._start.check(self._name)


def _written(value: Any) -> bytes | None:
    """Return what tells whether a value was changed; None for one that cannot be changed, or not be written."""
    if value is None or isinstance(value, (str, int, float)):
        return None
    try:
        return orjson.dumps(value)
    except (TypeError, RecursionError):
        return None


_EARLIER: Final = "a function of the task"
_FIRST: Final = 100
_EVERY: Final = 64


class Trials:
    """A task's judgement of votes: each is tried before it counts, and where it wins, what that came to is taken.

    So `advance` runs once for a distinct answer to a step. What is not taken is dropped, the oldest first.

    Example:
        >>> from langgraph_maker.tasks import TowersOfHanoi
        >>> task = TowersOfHanoi(3)
        >>> trials, state = Trials(task), task.initial_state()
        >>> trials.validate(state, task.oracle(state)), trials.advance(state, task.oracle(state))["previous"]
        (None, [1, 0, 2])
    """

    def __init__(self, task: Task, start: Start | None = None) -> None:
        self._start = start
        self._judge = pure("validate", task.validate, start)
        self._advance = pure("advance", task.advance, start)
        self._after: dict[tuple[bytes, bytes] | None, tuple[Any, bytes | None]] = {}

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
            self._after[key] = after, _written(after)
            if len(self._after) > _MOST:
                del self._after[next(iter(self._after))]
        return None

    def advance(self, state: Any, vote: Any) -> Any:
        """Return the state that a winner hands on, once.

        Raises:
            ImpureTaskError: For a state that was changed since `advance` made it.
        """
        if self._start is not None:
            self._start.check(_EARLIER)
        key = _key(state, vote)
        if key not in self._after:
            return self._advance(state, vote)
        after, written = self._after.pop(key)
        if _written(after) != written:
            raise ImpureTaskError(
                f"{_EARLIER} changed a state that advance had returned, {excerpt(after)}: let it make a new one"
            )
        return after


def _key(state: Any, vote: Any) -> tuple[bytes, bytes] | None:
    """Return what tells a state and a vote from all others; None for what cannot be written, or is no JSON."""
    try:
        return orjson.dumps(state, option=_STRICT), orjson.dumps(vote, option=_STRICT)
    except (TypeError, RecursionError):
        return None


_MOST: Final = 8192
_STRICT: Final = orjson.OPT_PASSTHROUGH_DATACLASS | orjson.OPT_PASSTHROUGH_DATETIME | orjson.OPT_PASSTHROUGH_SUBCLASS
