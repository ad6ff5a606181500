"""Unicode normal forms, in time that grows with the text and no faster, whatever the text is."""

from __future__ import annotations

import unicodedata
from functools import cache
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import numpy as np

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
    if len(text) > _MOST_MARKS and _crowds(text):
        parts = {ord(one): other for one in set(text) if (other := unicodedata.normalize("NFD", one)) != one}
        text, pieces, at = text.translate(parts) if parts else text, list[str](), 0
        for start, end in _crowds(text):
            pieces += [text[at:start], _in_order(text[start:end])]
            at = end
        text = "".join([*pieces, text[at:]])
    return unicodedata.normalize("NFC", text)


def _crowds(text: str) -> list[tuple[int, int]]:
    """Return where runs of many combining marks begin and end."""
    import numpy as np  # noqa: PLC0415 - hardly ever needed

    marks = _marks()[np.minimum(np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32), _MARKS)]
    edges = np.flatnonzero(np.diff(marks, prepend=False, append=False))
    long = edges[1::2] - edges[::2] >= _MOST_MARKS
    return list(zip(edges[::2][long].tolist(), edges[1::2][long].tolist(), strict=True))


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
def _marks() -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Return of each character whether it is a combining mark, or is taken apart into some."""
    import numpy as np  # noqa: PLC0415 - hardly ever needed

    firsts = (unicodedata.normalize("NFD", chr(code))[0] for code in range(_MARKS))
    return np.array([unicodedata.combining(first) != 0 for first in firsts] + [False])


_OTHER: Final = ("<super>", "<sub>", "<circle>")
_MOST_MARKS: Final = 32  # in a row; Unicode's stream-safe form allows 30
_MARKS: Final = 0x1F000  # beyond it no character is a mark
