"""The door for foreign values: what providers, exceptions and models say, made safe to keep and to show.

Pure, and linear in the length of what it is given.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import isfinite
from reprlib import Repr
from typing import Any, Final

__all__ = [
    "MOST_TOKENS",
    "bounded_text",
    "error_text",
    "excerpt",
    "finite_count",
    "first_problem",
    "redacted",
    "shortened",
    "terminal_safe",
]


class _Excerpts(Repr):
    """Shows what `repr` shows, bounded in depth and length."""

    def __init__(self) -> None:
        super().__init__()
        self.maxstring = self.maxother = 80  # characters: a name or a setting is shown whole

    def repr_int(self, x: int, level: int) -> str:
        if x.bit_length() > _LONGEST_INT:
            return f"<int of {x.bit_length():,} bits>"
        return super().repr_int(x, level)

    def repr_instance(self, x: Any, level: int) -> str:
        try:
            return super().repr_instance(x, level)
        except Exception:  # noqa: BLE001 - a text that cannot be had must not hide what is said with it
            return f"<{type(x).__name__}>"


_LONGEST_INT: Final = 1000


_EXCERPTS: Final = _Excerpts()


def excerpt(value: object, most: int = 200) -> str:
    """Return what `repr` shows of `value`, in at most `most` characters, and without ever raising.

    Example:
        >>> excerpt({"a": [1, 2]}), len(excerpt("long " * 1_000_000)) < 200
        ("{'a': [1, 2]}", True)
    """
    try:
        return shortened(_EXCERPTS.repr(value), most)
    except Exception:  # noqa: BLE001 - such as a class that lies about its length
        return f"<{type(value).__name__}>"


def error_text(error: BaseException, most: int = 200) -> str:
    """Return the kind and the text of an exception, in at most `most` characters, and without ever raising.

    Example:
        >>> error_text(ValueError("no number")), error_text(KeyError("department"))
        ('ValueError: no number', "KeyError 'department'")
    """
    name = type(error).__name__
    if isinstance(error, KeyError) and len(error.args) == 1:  # which says no more than the key
        return shortened(f"{name} {excerpt(error.args[0], most)}", most)
    try:
        text = str(error)
    except Exception:  # noqa: BLE001 - such as one whose argument is nested too deeply for its own text
        text = ", ".join(map(excerpt, error.args[:3]))
    return shortened(f"{name}: {text}" if text else name, most)


def shortened(text: str, most: int = 200) -> str:
    r"""Return the beginning of a text of at most `most` characters, which any store can keep.

    Example:
        >>> shortened("a lone \ud800"), shortened("abcdef", 4)
        ('a lone \\ud800', 'abc…')
    """
    begin = text[: most + 1]
    begin = begin if begin.isascii() else begin.encode("utf-8", "backslashreplace").decode()
    return begin if len(begin) <= most else f"{begin[: most - 1]}…"


def first_problem(error: ValueError) -> str:
    """Return what a validation found first, in one short line; of any other error its text.

    Example:
        >>> from pydantic import TypeAdapter
        >>> try:
        ...     TypeAdapter(dict[str, int]).validate_python({"k": "vector"})
        ... except ValueError as error:
        ...     print(first_problem(error))
        k: Input should be a valid integer, unable to parse string as an integer, not 'vector'
    """
    if (errors := getattr(error, "errors", None)) is None:  # pydantic, which takes long to import, may not be loaded
        return shortened(str(error))
    one = errors(include_url=False)[0]
    where = ".".join(map(str, one["loc"]))
    said = one["msg"] if one["type"] == "missing" else f"{one['msg']}, not {excerpt(one['input'], 80)}"
    return shortened(f"{where}: {said}" if where else said)


MOST_TOKENS: Final = 10**9
"""More than any one response can have used: what counts beyond it is no count."""


def finite_count(value: object, most: int = MOST_TOKENS) -> int | None:
    """Return `value` as a whole number from 0 to `most`, None where it is no such number.

    Example:
        >>> finite_count(7), finite_count(7.0), finite_count(0)
        (7, 7, 0)
        >>> [finite_count(odd) for odd in (None, "7", True, -1, 0.5, float("nan"), float("inf"), 1e308, 10**30)]
        [None, None, None, None, None, None, None, None, None]
    """
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        return None
    if isinstance(value, float) and not (isfinite(value) and value.is_integer()):
        return None
    return int(value) if 0 <= value <= most else None


def bounded_text(value: object, most: int = 1000) -> str:
    """Return the text of `value`, at most `most` characters of it, without lone surrogates.

    What has no text, since its `__str__` fails, is named by its type.

    Example:
        >>> bounded_text("abcdef", 4), bounded_text(ValueError("no"))
        ('abc…', 'no')
    """
    try:
        text = value if isinstance(value, str) else str(value)
    except Exception:  # noqa: BLE001 - whatever a foreign __str__ raises
        text = f"<{type(value).__name__} without a text>"
    if len(text) > most:
        text = text[: most - 1] + "…"
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def terminal_safe(text: str) -> str:
    r"""Return `text` with all that could steer a terminal, or turn what stands beside it around, written as escapes.

    Lines and tabs stay.

    Example:
        >>> terminal_safe("\x1b[2J red \u202e\n")
        '\\x1b[2J red \\u202e\n'
    """
    return text.translate(_ESCAPES)


def redacted(value: Any, secrets: Iterable[str], depth: int = 8) -> Any:
    """Return `value` with `[key]` for each of `secrets`, in texts and, `depth` levels deep, in what holds them.

    Example:
        >>> redacted({"message": "wrong key: sk-12345678", "code": 7}, ["sk-12345678"])
        {'message': 'wrong key: [key]', 'code': 7}
    """
    return _redacted(value, sorted({secret for secret in secrets if secret}, key=len, reverse=True), depth)


def _redacted(value: Any, secrets: list[str], depth: int) -> Any:
    if isinstance(value, str):
        for secret in secrets:  # the longest first, for one may hold another
            value = value.replace(secret, "[key]")
    elif isinstance(value, bytes):
        for secret in secrets:
            value = value.replace(secret.encode("utf-8", "surrogatepass"), b"[key]")
    elif isinstance(value, dict) and depth:
        return {_redacted(key, secrets, 0): _redacted(inner, secrets, depth - 1) for key, inner in value.items()}
    elif isinstance(value, (list, tuple)) and depth:
        inner = [_redacted(one, secrets, depth - 1) for one in value]
        return tuple(inner) if isinstance(value, tuple) else inner
    return value


_STEERING: Final = (
    *(code for code in range(0x20) if chr(code) not in "\n\t"),
    *range(0x7F, 0xA0),
    *(0x061C, 0x200E, 0x200F, 0x2028, 0x2029),
    *range(0x202A, 0x202F),
    *range(0x2066, 0x206A),
    *range(0xD800, 0xE000),
)
_ESCAPES: Final = {code: f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" for code in _STEERING}  # noqa: PLR2004
