"""Keywords that a function does not take: refused with the one that was meant."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from difflib import get_close_matches
from inspect import Parameter, signature
from typing import Any, Final

__all__ = ["check_keywords", "means"]

_RENAMED: Final = {"max_samples": ("max_samples_per_step", "max_total_samples")}
"""What a name was split into; a function has the first of these that is among its own."""


def check_keywords(face: Callable[..., Any], unknown: Iterable[str], more: Collection[str] = ()) -> None:
    """Refuse keywords that `face` does not take.

    Args:
        face: The function, or the class, that was called.
        unknown: What it was given beyond its parameters.
        more: What it takes beyond them.

    Raises:
        TypeError: With the keyword that was probably meant.

    Example:
        >>> def vote(*, k: int = 3, **unknown: int) -> None:
        ...     check_keywords(vote, unknown)
        >>> vote(K=5)
        Traceback (most recent call last):
        TypeError: vote() takes no K: did you mean k?
    """
    for name in unknown:
        if name in more:
            continue
        called = vars(face).get("__init__", face) if isinstance(face, type) else face  # its __new__ may take anything
        known = [*more, *(one.name for one in signature(called).parameters.values() if one.kind is not _VARIADIC)]
        like = means(name, known)
        now = like in _RENAMED.get(name, ())
        instead = f": it is called {like} now" if now else f": did you mean {like}?" if like else ""
        raise TypeError(f"{face.__name__}() takes no {name:.80}{instead}")


def means(name: object, known: Collection[str]) -> str:
    """Return which of the `known` keywords is meant by a name, "" for none."""
    if not isinstance(name, str) or name in known:
        return name if isinstance(name, str) else ""
    now = [one for one in _RENAMED.get(name, ()) if one in known]
    return next(iter(now or get_close_matches(name.casefold(), known, 1)), "")


_VARIADIC = Parameter.VAR_KEYWORD
