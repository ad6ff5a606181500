"""Foreign values in messages: an excerpt of any value, however deep, long or broken its own text is."""

from __future__ import annotations

from reprlib import Repr
from typing import Any, Final

__all__ = ["excerpt", "in_words", "shortened"]


class _Excerpts(Repr):
    """Shows what `repr` shows, bounded in depth and length."""

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
_EXCERPTS.maxlevel = 3
_EXCERPTS.maxstring = _EXCERPTS.maxother = 120
_EXCERPTS.maxlist = _EXCERPTS.maxtuple = _EXCERPTS.maxdict = 6


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


def in_words(error: BaseException, most: int = 200) -> str:
    """Return the kind and the text of an exception, in at most `most` characters, and without ever raising.

    Example:
        >>> in_words(ValueError("no number")), in_words(KeyError("department"))
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
