"""JSON that can be read in one way only."""

from __future__ import annotations

import json
from math import isfinite
from typing import Any, NoReturn

__all__ = ["check_one_reading"]


def check_one_reading(text: str) -> None:
    """Refuse JSON that readers take differently: a name given twice in one object, a number that is not finite.

    Raises:
        ValueError: With what is wrong, and for what is no JSON or nested too deep to be read.

    Example:
        >>> check_one_reading('{"answer": "1", "answer": "2"}')
        Traceback (most recent call last):
        ValueError: 'answer' is given twice
    """
    try:
        json.loads(text, object_pairs_hook=_once, parse_constant=_refused, parse_int=str, parse_float=_finite)
    except RecursionError:
        raise ValueError("nested too deep to be read") from None


def _once(pairs: list[tuple[str, Any]]) -> None:
    seen = set[str]()
    for name, _ in pairs:
        if name in seen:
            raise ValueError(f"{name[:80]!r} is given twice")
        seen.add(name)


def _refused(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no number")


def _finite(text: str) -> None:
    if not isfinite(float(text)):
        raise ValueError(f"{text[:80]} is too large a number")
