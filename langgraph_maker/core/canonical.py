"""The canonical form of JSON values: what makes two votes equal, and the hash of a state."""

from __future__ import annotations

import json
import re
from hashlib import blake2b
from math import isfinite
from typing import Any, Final, NoReturn

import orjson

from langgraph_maker.core.errors import NotJSONError
from langgraph_maker.core.foreign import excerpt
from langgraph_maker.core.normalisation import composed

__all__ = ["canonical", "canonical_bytes", "check_one_reading", "mark", "plain"]


def canonical(value: Any) -> str:
    r"""Return the canonical JSON text of a value: equal texts are equal votes.

    Key order does not matter, strings compare in Unicode normal form C, 1 and 1.0 are one number, and True is
    no number.

    Raises:
        ValueError: For NaN and infinities, keys that become equal when normalised, and values nested too deeply to
            write.
        NotJSONError: For what JSON has no form for, tuples, sets and keys that are no strings among it. It is a
            `ValueError` as well as a `TypeError`.

    Example:
        >>> canonical({"b": [1.0, True], "a": "é"}) == canonical({"a": "e\u0301", "b": [1, True]})
        True
        >>> canonical([1, True])
        '[1,true]'
    """
    try:
        text = orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
        # Most values are ASCII without floats, which need no normalising. What comes back equal was JSON.
        if text.isascii() and not _TO_NORMALISE.search(text) and orjson.loads(text) == value:
            return text.decode()
    except (TypeError, RecursionError):  # large integers, deep nesting, or what is not JSON
        pass
    try:
        return json.dumps(_normal(value), sort_keys=True, separators=(",", ":"))
    except RecursionError:
        raise ValueError("this value is nested too deeply to be a vote or a state") from None


def canonical_bytes(value: Any) -> bytes:
    """Return `canonical`, encoded, of a value that is `plain` already."""
    text = orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    return text if text.isascii() and not _TO_NORMALISE.search(text) else canonical(value).encode()


_TO_NORMALISE: Final = re.compile(rb"\.|e[-+0-9]|\x7f")


def plain(value: Any) -> Any:
    """Return the value in builtin types, as any store or checkpoint gives it back; a copy.

    Raises:
        ValueError: For what databases and checkpoints cannot hold: integers beyond 64 bits, lone surrogates, nesting
            beyond 250 levels, NaN and infinities, and keys that become equal when normalised.
        NotJSONError: For what is not JSON.

    Example:
        >>> plain([1, {"a": None}])
        [1, {'a': None}]
    """
    try:
        text = orjson.dumps(value)
        if text.isascii() and (copy := orjson.loads(text)) == value:
            return copy
    except TypeError:
        pass
    canonical(value)  # says what is not JSON
    try:
        return orjson.loads(orjson.dumps(json.loads(json.dumps(value))))
    except (TypeError, RecursionError):
        raise ValueError(
            "integers beyond 64 bits, lone surrogates and nesting beyond 250 levels cannot be kept: write such a number"
            " as text"
        ) from None


def _normal(value: Any) -> Any:
    if isinstance(value, str):
        return composed(value)
    if value is None or isinstance(value, (bool, int)):
        return value
    if isinstance(value, list):
        return [_normal(item) for item in value]
    if isinstance(value, float):
        if value - value != 0:  # NaN and infinities
            raise ValueError(f"{value} is not JSON: a vote or a state holds finite numbers only")
        return int(value) if value.is_integer() else value
    if isinstance(value, dict):
        return _normal_dict(value)
    raise NotJSONError(
        f"{type(value).__name__} is not JSON: votes and states are dicts with string keys, lists, strings,"
        " finite numbers, booleans or None"
    )


def _normal_dict(value: dict[Any, Any]) -> dict[str, Any]:
    normal: dict[str, Any] = {}
    for name, item in value.items():
        if not isinstance(name, str):
            raise NotJSONError(f"the key {excerpt(name)} is not JSON: keys are strings")
        if (key := _normal(name)) in normal:
            raise ValueError(f"the key {excerpt(name)} occurs twice in one object once its Unicode form is normalised")
        normal[key] = _normal(item)
    return normal


def mark(state: Any) -> str:
    """Return a short fingerprint of a state, which is `plain`."""
    return blake2b(canonical_bytes(state), digest_size=6).hexdigest()


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
    raise ValueError(f"{constant} is not a number")


def _finite(text: str) -> None:
    if not isfinite(float(text)):
        raise ValueError(f"{text[:80]} is too large a number")
