"""Streams whose encoding lacks characters: a stand-in is written for each, where they would have raised."""

from __future__ import annotations

import codecs
from io import TextIOWrapper
from typing import Final, TextIO

__all__ = ["writes_anything"]

_HANDLER: Final = "langgraph_maker.plain"
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
