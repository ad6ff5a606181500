"""What all commands share: the application, exit codes, and how an error is said."""

from __future__ import annotations

import os
import re
import shlex
import signal
import sys
import threading
import traceback
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from importlib import import_module
from importlib.metadata import version
from typing import Annotated, Any, Final, NoReturn

from langgraph_maker.core.extras import install

try:
    import typer
    from rich.console import Console as _  # noqa: F401
    from typer.core import TyperCommand, TyperGroup
except ImportError as missing:  # pragma: no cover - the test environment has the extra
    sys.exit(f"the command line needs an extra ({missing}): {install('cli')}")

from langgraph_maker.cli.console import out, say
from langgraph_maker.core.errors import MakerError, SamplingError

__all__ = [
    "ERROR",
    "SOLVED",
    "STOPPED",
    "UNRESOLVED",
    "USAGE",
    "WAITING",
    "Command",
    "Group",
    "app",
    "as_options",
    "command_line",
    "fail",
    "load",
    "renamed",
    "same_command",
    "shown_options",
    "stopping",
    "the_run",
    "to_stdout",
    "told",
]

SOLVED, ERROR, USAGE, UNRESOLVED, WAITING, STOPPED = 0, 1, 2, 3, 4, 130

_COMMANDS: Final = {
    "run": "Solve a task, every step decided by a vote.",
    "runs": "List the runs of a database, with how they stand and how to resume them; delete, verify, export them.",
    "answer": "Answer a question that a run waits for, or show what it asks.",
    "calibrate": "Measure models on single steps before a run: how often they are right, the k they need, the cost.",
    "diagnose": "Find the steps that a model gets wrong as often as right, however they are asked.",
    "experiment": "Repeat an experiment of the paper.",
    "plan": "Plan a run: the least k that reaches the target, its cost, and what a budget buys.",
    "puzzles": "Solve the Hanoi and Blocks World puzzles of a file, and write the answers.",
    "report": "Show a run, also an unfinished one, as a page or as numbers.",
    "work": "Join a run that other processes advance too, from any machine that reaches its database.",
    "serve": "Serve a simulated model as an OpenAI-compatible API, with latency, rate limits and faults.",
}
"""What there is; a command's module is imported when it is asked for."""


class _Flags:
    """Help that says no type of a flag, which takes no value; and errors that call options as they are typed."""

    def get_params(self, ctx: Any) -> list[Any]:
        parameters: list[Any] = super().get_params(ctx)  # type: ignore[misc]
        for parameter in parameters:
            if getattr(parameter, "is_flag", False):
                parameter.metavar = ""
        return parameters

    def invoke(self, ctx: Any) -> Any:
        options = {one.name: max(one.opts, key=len) for one in self.get_params(ctx) if one.opts[0].startswith("-")}
        before = _options.set({**_OTHERWISE, **options})
        try:
            return super().invoke(ctx)  # type: ignore[misc]
        finally:
            _options.reset(before)


class Command(_Flags, TyperCommand):
    """A command."""


class Group(_Flags, TyperGroup):
    """A command that has others."""


class _Commands(Group):
    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        name, command, rest = super().resolve_command(ctx, args)
        if name is not None:
            command = typer.main.get_command(load([name]))
            command.name = name
        return name, command, rest


def load(arguments: Sequence[str]) -> Any:
    """Import the module of the command that `arguments` begin with, if there is one; return its application."""
    if arguments and arguments[0] in _COMMANDS:
        return import_module(f"langgraph_maker.cli.{arguments[0]}").app
    return None


app = typer.Typer(cls=_Commands, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
for _name, _about in _COMMANDS.items():
    app.command(_name, help=_about)(lambda: None)  # stands for it in the help


def command_line(**settings: Any) -> typer.Typer:
    """Return the application of one command."""
    return typer.Typer(add_completion=False, pretty_exceptions_enable=False, **settings)


def renamed(old: str, new: str) -> Any:
    """Return an option for an annotation that refuses the name `old`, and is not in the help."""

    def refuse(value: str | None) -> None:
        if value is not None:
            raise typer.BadParameter(f"now called {new}")

    return typer.Option(old, hidden=True, callback=refuse)


def the_run(argument: str | None, option: str | None) -> str:
    """Return the run that a command names, as an argument or as --run-id.

    Raises:
        BadParameter: When it names none, or two.
    """
    if len(named := {argument, option} - {None}) != 1:
        raise typer.BadParameter("give one run's id, see langgraph-maker runs", param_hint="'ID'")
    return str(named.pop())


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
        say("stopping, once the calls that are out are answered; a second time ends it at once")

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
        resume = f"; to resume: {command}" if command else ""
        fail(STOPPED, f"interrupted{_notes(error)}; what was counted is in the journal{resume}")
    except SamplingError as error:
        resume = f"; what was drawn is saved, to resume: {command}" if command else ""
        fail(ERROR, f"{as_options(str(error))}{_notes(error)}{resume}")
    except MakerError as error:
        fail(ERROR, f"{as_options(str(error))}{_notes(error)}")
    except Exception as error:  # noqa: BLE001
        if code == USAGE and isinstance(error, (ValueError, TypeError, OSError)):
            fail(USAGE, as_options(str(error)))
        place = traceback.extract_tb(error.__traceback__)[-1]
        fail(ERROR, f"{type(error).__name__}: {error} ({place.filename}, line {place.lineno}){_notes(error)}")


@contextmanager
def to_stdout() -> Iterator[None]:
    """Write to standard output, and say here what cannot be written, not in a traceback at the interpreter's end."""
    try:
        yield
        if sys.stdout:  # there is none when it was closed
            sys.stdout.flush()
    except BrokenPipeError:  # who reads has enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        fail(ERROR, f"the result cannot be written: {error}")


def _notes(error: BaseException) -> str:
    """Return what was spent, which `solve` notes on whatever ends it, and which function of a user's raised it."""
    notes = getattr(error, "__notes__", ())
    return "".join(f" ({note})" for note in notes if note.startswith(("at step", "raised by")))


def as_options(message: str) -> str:
    """Return a message of the library with the command's options in place of the arguments that it names."""
    options = _options.get()
    if not options:
        return message
    first, *_ = _WORD.split(message, maxsplit=1)
    if first in options and _SUBJECT.match(message, len(first)):
        message = options[first] + message[len(first) :]
    names = "|".join(name for name in options if "_" in name)
    return (
        re.sub(rf"(?<![\w\"'./=-])({names})(?![\w.(/])", lambda found: options[found[1]], message) if names else message
    )


_options: ContextVar[Mapping[str, str] | None] = ContextVar("_options", default=None)
_OTHERWISE: Final = {"calibration_samples": "--calibrate-samples"}
_WORD, _SUBJECT = re.compile(r"\W"), re.compile(r" (is|are|must|takes|goes)\b|,|:")


def same_command(db: str, run_id: str) -> str:
    """Return the command line as given, with what makes it resume; a URL's password and query's values are left out."""
    arguments = list(sys.argv[1:])
    if "--run-id" not in arguments and not any(argument.startswith("--run-id=") for argument in arguments):
        arguments += ["--run-id", run_id]
    if "--db" not in arguments and not any(argument.startswith("--db=") for argument in arguments):
        arguments += ["--db", db]
    return shlex.join(["langgraph-maker", *_unsecret(arguments)])


def shown_options(parameters: Iterable[Any], values: Mapping[str, Any]) -> str:
    """Return values as the options of a command line."""
    words = list[str]()
    for one in parameters:
        if one.name in values:
            name, value = max(one.opts, key=len), values[one.name]
            words += [name] if value is True else []
            each = value if isinstance(value, list) else [] if isinstance(value, bool) else [value]
            words += [word for part in each for word in (name, str(part))]
    return shlex.join(_unsecret(words))


def _unsecret(arguments: Iterable[str]) -> Iterator[str]:
    for argument in arguments:
        place, mark, query = _PASSWORD.sub("***", argument).partition("?")
        yield place + mark + _VALUE.sub("=***", query) if "://" in argument else argument


_PASSWORD, _VALUE = re.compile(r"(?<=:)[^/@:]+(?=@)"), re.compile(r"=[^&]*")


def fail(code: int, message: str) -> NoReturn:
    """Say what is wrong in one line, and end."""
    say(message, "error:", "bold red")
    raise typer.Exit(code)
