"""Figures in columns, short enough for 100 characters a line."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence

__all__ = ["columns", "dollars", "interval", "paragraph", "share"]


def columns(rows: Iterable[Sequence[str]]) -> str:
    """Rows of equal length as lines of text, the first column to the left, the others to the right.

    Example:
        >>> print(columns([["model", "k"], ["a", "12"]]))
        model   k
        a      12
    """
    cells = [list(row) for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = (
        "  ".join(
            cell.rjust(width) if place else cell.ljust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in cells
    )
    return "\n".join(line.rstrip() for line in lines)


def paragraph(text: str, indent: str = "  ") -> str:
    """A sentence as lines of at most 100 characters, all but the first indented twice."""
    return textwrap.fill(text, 100, initial_indent=indent, subsequent_indent=2 * indent)


def dollars(amount: float | None) -> str:
    """An amount as short as it can be read.

    Example:
        >>> [dollars(amount) for amount in (41_870.2, 237_528, 3478, 5.5, 0.00110, None)]
        ['$41.9K', '$238K', '$3,478', '$5.50', '$0.0011', '?']
    """
    if amount is None:
        return "?"
    for unit, name in ((1e9, "G"), (1e6, "M"), (1e3, "K")):
        if amount >= max(unit, _WHOLE):
            return f"${amount / unit:,.{0 if amount >= _FEW * unit else 1}f}{name}"
    if amount >= 100:  # noqa: PLR2004
        return f"${amount:,.0f}"
    return f"${amount:.2f}" if amount >= 1 or not amount else f"${amount:.2g}"


_WHOLE, _FEW = 1e4, 100  # below are whole dollars, below so many thousands a tenth


def share(value: float | None) -> str:
    """A share of one.

    Example:
        >>> share(0.9720), share(None)
        ('.972', '?')
    """
    return "?" if value is None else f"{value:.3f}".removeprefix("0")


def interval(value: float | None, low: float, high: float) -> str:
    """An estimate with its bounds.

    Example:
        >>> interval(0.0022, 0.0006, 0.0056)
        '.0022 (.0006–.0056)'
    """
    shown, *bounds = ("?" if one is None else f"{one:.4f}".removeprefix("0") for one in (value, low, high))
    return f"{shown} ({'–'.join(bounds)})"
