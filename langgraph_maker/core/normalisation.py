"""Unicode normal forms, in time that grows with the text and no faster, whatever the text is."""

from __future__ import annotations

import re
import unicodedata
from functools import cache
from typing import Final

__all__ = ["compatible", "composed"]


def composed(text: str) -> str:
    r"""Return `text` in Unicode normal form C.

    Raises:
        ValueError: For more combining marks in a row than any text has: they take time that grows with their square.

    Example:
        >>> composed("e\u0301") == "\u00e9"
        True
    """
    if text.isascii() or unicodedata.is_normalized("NFC", text):
        return text
    if len(text) > _MOST_MARKS and _crowd().search(text):
        raise ValueError(f"a text with more than {_MOST_MARKS} combining marks in a row is none of any language")
    return unicodedata.normalize("NFC", text)


def compatible(text: str) -> str:
    """Return `text` in form NFKC, but for characters that would read as others then, as 10² as 102.

    Raises:
        ValueError: See `composed`.

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
    return re.compile(f"[{re.escape(marks)}][{re.escape(marks)}]{{{_MOST_MARKS}}}")


_OTHER: Final = ("<super>", "<sub>", "<circle>")
_MOST_MARKS: Final = 32  # as Unicode's stream-safe form has it, which allows 30
_MARKS: Final = 0x1F000  # beyond it no character is a mark
