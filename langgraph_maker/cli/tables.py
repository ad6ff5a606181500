"""Figures in columns and words for them, as wide as the terminal or, in a file, 100 characters."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from langgraph_maker.cli.console import out, width, wrapped
from langgraph_maker.core.foreign import terminal_safe

__all__ = ["columns", "counted", "dollars", "drawn", "interval", "pairs", "paragraph", "share", "table"]


def table(header: Sequence[str], rows: Iterable[Sequence[str]], right: Iterable[int] | None = None) -> Table:
    """Return rows as a table whose cells wrap; `right` are the columns of figures, else all but the first."""
    there = [*rows]
    figures = range(1, len(header)) if right is None else set(right)
    made = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for place, name in enumerate(header):
        least = 0 if place else min(_NAME, max([len(name), *(len(row[0]) for row in there)]))
        justify: Literal["left", "right"] = "right" if place in figures else "left"
        made.add_column(name, justify=justify, overflow="fold", min_width=least)
    for row in there:
        made.add_row(*(Text(terminal_safe(cell).replace("\n", r"\n")) for cell in row))
    return made


def columns(rows: Iterable[Sequence[str]]) -> str:
    """Return rows of equal length, the header first, as lines of text that fit.

    Example:
        >>> print(columns([["model", "k"], ["a", "12"]]))
        model   k
        a      12
    """
    header, *rest = rows
    made = table(header, rest)
    made.box, made.padding = None, (0, 2, 0, 0)
    return drawn(made)


def drawn(made: Table) -> str:
    """Return a table as lines that fit a terminal; elsewhere no cell is wrapped."""
    console = Console(width=width() if out.is_terminal else _ENDLESS, color_system=None)
    with console.capture() as said:
        console.print(made)
    return "\n".join(line.rstrip() for line in said.get().splitlines())


_NAME, _ENDLESS = 32, 10_000


def pairs(rows: Iterable[tuple[str, str]]) -> str:
    """Return names with what is said of each, as lines that fit.

    Example:
        >>> print(pairs([("model", "sim"), ("samples", "3")]))
          model    sim
          samples  3
    """
    return "\n".join(wrapped(said, f"  {name:<8} ", " " * 11) for name, said in rows)


def paragraph(text: str, indent: str = "  ") -> str:
    """Return a sentence as lines that fit, all but the first indented twice."""
    return wrapped(text, indent, 2 * indent)


def counted(count: int, what: str) -> str:
    """Return a number with its noun.

    Example:
        >>> counted(1, "flag"), counted(1200, "vote"), counted(2, "stage")
        ('1 flag', '1,200 votes', '2 stages')
    """
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def dollars(amount: float | None) -> str:
    """Return an amount as short as it can be read.

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
    """Return a share of one.

    Example:
        >>> share(0.9720), share(None)
        ('.972', '?')
    """
    return "?" if value is None else f"{value:.3f}".removeprefix("0")


def interval(value: float | None, low: float, high: float) -> str:
    """Return an estimate with its bounds.

    Example:
        >>> interval(0.0022, 0.0006, 0.0056)
        '.0022 (.0006–.0056)'
    """
    shown, *bounds = ("?" if one is None else f"{one:.4f}".removeprefix("0") for one in (value, low, high))
    return f"{shown} ({'–'.join(bounds)})"
