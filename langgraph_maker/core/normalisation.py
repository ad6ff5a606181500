"""Unicode normal forms, in time that grows with the text and no faster, whatever the text is."""

from __future__ import annotations

import re
import unicodedata
from functools import cache
from typing import Final

__all__ = ["compatible", "composed"]


def composed(text: str) -> str:
    r"""Return `text` in Unicode normal form C.

    Python's own takes time that grows with the square of the combining marks in a row, of which a text may have any
    number; so these are put in their order before.

    Example:
        >>> composed("e\u0301") == "\u00e9"
        True
    """
    if text.isascii() or unicodedata.is_normalized("NFC", text):
        return text
    if len(text) > _MOST_MARKS and _crowd().search(text):
        parts = {ord(one): other for one in set(text) if (other := unicodedata.normalize("NFD", one)) != one}
        text = _crowd().sub(lambda run: _in_order(run.group()), text.translate(parts) if parts else text)
    return unicodedata.normalize("NFC", text)


def _in_order(marks: str) -> str:
    """Return combining marks in the order of their classes, those of one class as they stand."""
    import numpy as np  # noqa: PLC0415 - hardly ever needed

    codes = np.frombuffer(marks.encode("utf-32-le"), np.uint32)
    classes = np.zeros(codes.max() + 1, np.uint8)
    for mark in set(marks):
        classes[ord(mark)] = unicodedata.combining(mark)
    ordered: str = codes[np.argsort(classes[codes], kind="stable")].tobytes().decode("utf-32-le")
    return ordered


def compatible(text: str) -> str:
    """Return `text` in form NFKC, but for characters that would read as others then, as 10² as 102.

    Example:
        >>> compatible("ﬁne"), compatible("10²")
        ('fine', '10²')
    """
    if text.isascii() or unicodedata.is_normalized("NFKC", text):
        return text
    folded = {ord(one): other for one in set(text) if (other := _compatible(one)) != one}
    return composed(text.translate(folded) if folded else text)


def _compatible(character: str) -> str:
    folded = unicodedata.normalize("NFKC", character)
    digits = not character.isdecimal() and any(map(str.isdecimal, folded))
    return character if digits or unicodedata.decomposition(character).startswith(_OTHER) else folded


@cache
def _crowd() -> re.Pattern[str]:
    marks = "".join(
        chr(code) for code in range(_MARKS) if unicodedata.combining(unicodedata.normalize("NFD", chr(code))[0])
    )
    return re.compile(f"[{re.escape(marks)}]{{{_MOST_MARKS},}}")


_OTHER: Final = ("<super>", "<sub>", "<circle>")
_MOST_MARKS: Final = 32  # in a row; Unicode's stream-safe form allows 30
_MARKS: Final = 0x1F000  # beyond it no character is a mark
