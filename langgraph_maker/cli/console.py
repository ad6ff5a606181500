"""The terminal: standard output for results, standard error for all else, and no text that it would obey."""

from __future__ import annotations

import logging
import os
import sys
import textwrap
import warnings
from typing import Final

from rich.console import Console
from rich.text import Text

from langgraph_maker.core.foreign import terminal_safe

__all__ = ["err", "listen", "on_terminal", "out", "say", "show", "width", "wrapped"]

out, err = Console(highlight=False, soft_wrap=True), Console(stderr=True, highlight=False, soft_wrap=True)

_WIDTH: Final = 100  # of what goes to a file or a pipe
_LEAST: Final = 40


def show(text: str) -> None:
    """Print a result."""
    out.print(Text(terminal_safe(text)))


def say(text: str, label: str = "", style: str = "bold") -> None:
    """Print a message beside the result, behind a label such as "error:"."""
    err.print(Text.assemble((f"{label} " if label else "", style), terminal_safe(text)))


def width(console: Console = out) -> int:
    """Return how many characters fit on a line."""
    asked = os.environ.get("COLUMNS", "").isdecimal()  # else what is no terminal has no width
    return max(_LEAST, console.width) if console.is_terminal or asked else _WIDTH


def on_terminal() -> bool:
    """Return whether results go to one, rather than to a file or a program."""
    return bool(sys.stdout and sys.stdout.isatty())


def wrapped(text: str, indent: str = "", hanging: str = "") -> str:
    """Return a paragraph as lines that fit; what is longer than a line, such as a path, stays whole."""
    return textwrap.fill(
        text,
        width(),
        initial_indent=indent,
        subsequent_indent=hanging,
        break_long_words=False,
        break_on_hyphens=False,
    )


def listen() -> None:
    """Print what is logged or warned of, by this package or another, as one line each."""
    logging.getLogger().addHandler(_Terminal(logging.WARNING))
    warnings.showwarning = lambda message, *_, **__: say(str(message), "warning:")


class _Terminal(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        try:
            said = record.getMessage()
            if record.exc_info and record.exc_info[1] is not None:
                said += f" ({type(record.exc_info[1]).__name__}: {record.exc_info[1]})"
            say(said, "warning:")
        except Exception:  # noqa: BLE001 - a message that cannot be shown ends no run
            self.handleError(record)
