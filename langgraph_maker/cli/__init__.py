"""The command line: `langgraph-maker run hanoi --disks 10`. Needs the extra `cli`."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from langgraph_maker.cli.shell import app

__all__ = ["app", "main"]

_LOADING = "loading..."
_STOPPED = 130


def main() -> None:
    """Run the command line."""
    with _loading():
        from langgraph_maker.cli.encoding import writes_anything  # noqa: PLC0415
        from langgraph_maker.cli.shell import app, load  # noqa: PLC0415 - takes long enough to be seen, and interrupted

        for stream in (sys.stdout, sys.stderr):
            writes_anything(stream)
        load(sys.argv[1:])
    app()


@contextmanager
def _loading() -> Iterator[None]:
    """Show on a terminal that a command is being loaded; Ctrl-C ends it at once, as nothing has started."""
    shows = sys.argv[1:2] and not sys.argv[1].startswith("-") and sys.stderr and sys.stderr.isatty()
    before = signal.getsignal(signal.SIGINT)
    try:
        if before is signal.default_int_handler:
            signal.signal(signal.SIGINT, _end)
        if shows:
            print(_LOADING, end="\r", file=sys.stderr, flush=True)  # noqa: T201
        yield
    finally:
        if shows:
            print(" " * len(_LOADING), end="\r", file=sys.stderr, flush=True)  # noqa: T201
        signal.signal(signal.SIGINT, before)


def _end(*_: object) -> None:
    """Return an exception would be raised in the middle of some import, which may make another of it."""
    os.write(2, b"interrupted while loading: nothing was started\n")
    os._exit(_STOPPED)


if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        """Import the application when it is asked for."""
        if name != "app":
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from langgraph_maker.cli.shell import app  # noqa: PLC0415

        return app
