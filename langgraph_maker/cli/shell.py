"""What all commands share: the application, exit codes, and how an error is said."""

from __future__ import annotations

import os
import re
import shlex
import signal
import sys
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from typing import Annotated, Any, NoReturn

try:
    import typer
    from rich import markup
    from rich.console import Console
except ImportError as missing:  # pragma: no cover - the test environment has the extra
    sys.exit(f"the command line needs an extra ({missing}): pip install 'langgraph-maker[cli]'")

from langgraph_maker.errors import MakerError, SamplingError

__all__ = [
    "ERROR",
    "SOLVED",
    "STOPPED",
    "UNRESOLVED",
    "USAGE",
    "WAITING",
    "app",
    "err",
    "escape",
    "fail",
    "out",
    "renamed",
    "same_command",
    "stopping",
    "to_stdout",
    "told",
]

SOLVED, ERROR, USAGE, UNRESOLVED, WAITING, STOPPED = 0, 1, 2, 3, 4, 130

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
out, err = Console(highlight=False, soft_wrap=True), Console(stderr=True, highlight=False, soft_wrap=True)


def escape(text: str) -> str:
    r"""Text from elsewhere, such as a model or a database, as it is shown: no markup, and nothing a terminal obeys.

    >>> print(escape("[red]a\x1b[2J"))
    \[red]a\x1b[2J
    """
    return markup.escape(_CONTROL.sub(lambda found: f"\\x{ord(found[0]):02x}", text))


_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def renamed(old: str, new: str) -> Any:
    """Return an option for an annotation that refuses the name `old`, and is not in the help."""

    def refuse(value: str | None) -> None:
        if value is not None:
            raise typer.BadParameter(f"now called {new}")

    return typer.Option(old, hidden=True, callback=refuse)


def _version(asked: bool) -> None:  # noqa: FBT001 - typer's
    if asked:
        out.print(f"langgraph-maker {version('langgraph-maker')}")
        raise typer.Exit


@app.callback()
def about(
    *,
    _: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="print it and end")] = False,
) -> None:
    """Long chains of model calls without errors: microagents vote on every step.

    Exit status: 0 solved, 1 error, 2 usage, 3 unresolved, 4 waiting for a human, 130 stopped.
    """


@contextmanager
def stopping(stop: threading.Event) -> Iterator[None]:
    """SIGINT and SIGTERM end the run after the current round; a second one ends it at once."""

    def ask(_: int, __: object) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()
        err.print("stopping, once the calls that are out are answered; a second time ends it at once")

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def told(code: int, command: str = "") -> Iterator[None]:
    """Whatever fails in here is said in one line: bad input with exit status `code`, a bug with its place."""
    try:
        yield
    except typer.Exit:
        raise
    except KeyboardInterrupt as error:
        goes_on = f"; this goes on: {command}" if command else ""
        fail(STOPPED, f"interrupted{_notes(error)}; what was counted is in the journal{goes_on}")
    except SamplingError as error:
        goes_on = f"; what was drawn is kept, and this goes on: {command}" if command else ""
        fail(ERROR, f"{error}{_notes(error)}{goes_on}")
    except MakerError as error:
        fail(ERROR, f"{error}{_notes(error)}")
    except Exception as error:  # noqa: BLE001
        if code == USAGE and isinstance(error, (ValueError, TypeError)):
            fail(USAGE, error)
        place = traceback.extract_tb(error.__traceback__)[-1]
        fail(ERROR, f"{type(error).__name__}: {error} ({place.filename}, line {place.lineno}){_notes(error)}")


@contextmanager
def to_stdout() -> Iterator[None]:
    """What cannot be written is said here: left to the interpreter's end, it would fail with a traceback."""
    try:
        yield
        if sys.stdout:  # there is none when it was closed
            sys.stdout.flush()
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        fail(ERROR, f"the result cannot be written: {error}")


def _notes(error: BaseException) -> str:
    """What was spent, which `solve` notes on whatever ends it."""
    return "".join(f" ({note})" for note in getattr(error, "__notes__", ()) if note.startswith("at step"))


def same_command(db: str, run_id: str) -> str:
    """The command line as given, with what makes it go on; left out are a URL's password and its query's values."""
    arguments = list(sys.argv[1:])
    if "--run-id" not in arguments and not any(argument.startswith("--run-id=") for argument in arguments):
        arguments += ["--run-id", run_id]
    if "--db" not in arguments and not any(argument.startswith("--db=") for argument in arguments):
        arguments += ["--db", db]
    return shlex.join(
        [
            "langgraph-maker",
            *(_unsecret(argument) if "://" in argument else argument for argument in arguments),
        ]
    )


def _unsecret(url: str) -> str:
    place, mark, query = _PASSWORD.sub("***", url).partition("?")
    return place + mark + _VALUE.sub("=***", query)


_PASSWORD, _VALUE = re.compile(r"(?<=:)[^/@:]+(?=@)"), re.compile(r"=[^&]*")


def fail(code: int, error: object) -> NoReturn:
    """Say what is wrong in one line, and end."""
    err.print(f"[bold red]error:[/] {escape(str(error))}")
    raise typer.Exit(code)
