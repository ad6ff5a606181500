r"""Text from elsewhere (a model, a provider's error, a database) as it may be shown on a terminal.

>>> print(printable("\x1b]0;title\x07 2 ≥ 1"))
\x1b]0;title\x07 2 ≥ 1
"""

from __future__ import annotations

import codecs
import re
from io import TextIOWrapper
from typing import Final, TextIO

__all__ = ["printable", "writes_anything"]

_HANDLER: Final = "langgraph_maker.plain"
_UNPRINTABLE: Final = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)
"""Control characters but for tab and newline, what turns the direction of the text around it, and lone surrogates."""
_PLAIN: Final = {
    **{ord(dash): "-" for dash in "\N{MINUS SIGN}\N{EN DASH}\N{EM DASH}·•"},
    **{ord(quote): "'" for quote in "\N{LEFT SINGLE QUOTATION MARK}\N{RIGHT SINGLE QUOTATION MARK}"},
    **{ord(quote): '"' for quote in "“”"},
    ord("≥"): ">=",
    ord("≤"): "<=",
    ord("\N{MULTIPLICATION SIGN}"): "x",
    ord("…"): "...",
    ord("→"): "->",
}
"""What stands for a character that a stream has no code for."""


def printable(text: str) -> str:
    r"""Return `text` with escapes in place of all that a terminal would obey rather than show.

    Example:
        >>> print(printable("a\x9b2J\r\u202eb"))
        a\x9b2J\x0d\u202eb
    """
    return _UNPRINTABLE.sub(lambda found: _escape(found[0]), text)


def writes_anything(stream: TextIO | None) -> None:
    """Have `stream` write a stand-in for each character that its encoding lacks, where it would have raised."""
    if isinstance(stream, TextIOWrapper):
        stream.reconfigure(errors=_HANDLER)


def _escape(character: str) -> str:
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"  # noqa: PLR2004


def _stand_in(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    lacking = error.object[error.start : error.end]
    return "".join(_PLAIN.get(ord(one)) or _escape(one) for one in lacking), error.end


codecs.register_error(_HANDLER, _stand_in)
