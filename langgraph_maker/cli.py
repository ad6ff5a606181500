"""The command line: `langgraph-maker run hanoi --disks 10`. Needs the extra `cli`."""

from __future__ import annotations

import gc
import importlib
import inspect
import json
import os
import re
import shlex
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any, NoReturn
from uuid import uuid4

try:
    import typer
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from langgraph_maker.stores import default_db, is_postgres, open_store, shown
except ImportError as missing:  # pragma: no cover - the test environment has the extra
    sys.exit(f"the command line needs an extra ({missing}): pip install 'langgraph-maker[cli]'")

from langgraph_maker import journal
from langgraph_maker.errors import MakerError
from langgraph_maker.graph import create_maker
from langgraph_maker.progress import follow
from langgraph_maker.records import check_id
from langgraph_maker.runner import Options, Run, solve
from langgraph_maker.sampling import Model, chat_model
from langgraph_maker.simulation import simulated_sampler
from langgraph_maker.task import Task
from langgraph_maker.tasks import TowersOfHanoi

__all__ = ["app", "main"]

SOLVED, ERROR, USAGE, UNRESOLVED, STOPPED = 0, 1, 2, 3, 130
_EXIT = {"solved": SOLVED, "unresolved": UNRESOLVED, "stopped": STOPPED}
_MOST_ACTIONS = 4096

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
out, err = Console(highlight=False, soft_wrap=True), Console(stderr=True, highlight=False, soft_wrap=True)


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

    Exit status: 0 solved, 1 error, 2 usage, 3 unresolved, 130 stopped.
    """


@app.command()
def run(  # noqa: PLR0917 - typer reads the options from the signature
    task: Annotated[str, typer.Argument(help='"hanoi", or "package.module:factory" for a task of your own')],
    disks: Annotated[int | None, typer.Option(help="hanoi: number of disks, 1 to 30", show_default="10")] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="an argument of the factory (repeatable)")
    ] = None,
    model: Annotated[
        str, typer.Option(help='"sim:NAME" (simulated, no key), "openai:NAME" or another "provider:NAME"')
    ] = "sim:gpt-4.1-mini",
    base_url: Annotated[str | None, typer.Option(help="of an OpenAI-compatible server, with openai:NAME")] = None,
    k: Annotated[int, typer.Option("--k", help="votes by which an answer must lead")] = 3,
    lanes: Annotated[int, typer.Option(help="stretches that advance side by side, if the task can be cut")] = 1,
    max_samples: Annotated[int | None, typer.Option(help="samples a step may use before it is unresolved")] = None,
    max_steps: Annotated[int | None, typer.Option(help="for a task of unknown length")] = None,
    db: Annotated[
        str | None, typer.Option(help="SQLite file or postgresql:// URL to journal in", show_default="the data folder")
    ] = None,
    run_id: Annotated[
        str | None, typer.Option(help="go on with this run, or begin it", show_default="a new one")
    ] = None,
    seed: Annotated[int, typer.Option(help="of a simulated model")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="print the result as one JSON object")] = False,  # noqa: FBT002
) -> None:
    """Solve a task, every step decided by a vote. The same command with the printed --run-id goes on."""
    run_id, db = uuid4().hex[:12] if run_id is None else run_id, db or default_db()
    stop = threading.Event()
    options: Options = {"k": k, "lanes": lanes, "max_samples": max_samples, "max_steps": max_steps, "stop": stop.is_set}
    with _told(USAGE):
        check_id(run_id)
        chosen = load_task(task, _arguments(disks, settings or []))
        asked = load_model(model, chosen, base_url, seed)
        create_maker(chosen, asked, **options)
    with _told(USAGE), open_store(db) as store, _told(ERROR):
        with follow(err) as on_progress, _stopping(stop):
            gc.freeze()  # what is loaded by now stays, and need not be looked through again and again
            result = solve(chosen, asked, store=store, run_id=run_id, on_progress=on_progress, **options)
        with _to_stdout():
            if as_json:
                print(json.dumps(_as_json(result)))  # noqa: T201
            else:
                out.print(_summary(chosen, model, k, db, result))
    if result.status == "stopped":
        err.print(f"stopped at step {result.steps:,}; this goes on: {escape(_same_command(db, run_id))}")
    raise typer.Exit(_EXIT[result.status])


@app.command()
def runs(
    db: Annotated[
        str | None, typer.Option(help="SQLite file or postgresql:// URL", show_default="the data folder")
    ] = None,
) -> None:
    """List the runs of a database, with how they stand and how to go on."""
    db = db or default_db()
    if not is_postgres(db) and not Path(db).exists():
        out.print(f"no runs in {escape(db)}: there is no such file")
        return
    with _told(USAGE), open_store(db) as store, _told(ERROR):
        table = Table("run", "task", "k", "status", "steps", "begun")
        for header in journal.runs(store):
            ended = header["outcome"]
            status = ended.get("status", "unfinished")
            parameters = ", ".join(f"{name}={value}" for name, value in header["parameters"].items())[:60]
            table.add_row(
                escape(header["run_id"]),
                escape(f"{header['task']} ({parameters})"),
                str(header["k"]),
                status,
                f"{journal.steps(store, header['run_id']):,}" if status != "unreadable" else "?",
                header["sessions"][0]["began"] if header["sessions"] else "?",
            )
        out.print(table if table.row_count else f"no runs in {escape(shown(db))}")
        out.print("to go on with one: the command that began it, with --run-id and the same --db")


def load_task(name: str, arguments: dict[str, Any]) -> Task:
    """Return the task called "hanoi", or what the factory "package.module:factory" makes of `arguments`.

    Raises:
        ValueError: When there is no such task, or it refuses its arguments.
    """
    if name == "hanoi":
        factory: Callable[..., Any] = TowersOfHanoi
    else:
        module, colon, attribute = name.partition(":")
        if not (colon and module and attribute):
            raise ValueError(f'no task is called {name!r}: it is "hanoi" or "package.module:factory"')
        if "" not in sys.path:
            sys.path.insert(0, "")  # a task of one's own lies in the folder that one stands in
        try:
            factory = getattr(importlib.import_module(module), attribute)
        except (ImportError, AttributeError) as error:
            raise ValueError(f"{name} cannot be loaded: {error}") from error
    try:
        inspect.signature(factory).bind(**arguments)
    except TypeError as error:
        raise ValueError(f"{name} cannot be made with {arguments}: {error}") from error
    task = factory(**arguments)
    if not isinstance(task, Task):
        raise ValueError(f"{name} returned {type(task).__name__}, not a Task")  # noqa: TRY004 - one kind of usage error
    return task


def load_model(name: str, task: Task, base_url: str | None, seed: int) -> Model:
    """Return the model that `name` stands for.

    Raises:
        ValueError: For an unknown name, a missing key, or a `base_url` that it has no use for.
    """
    if base_url is not None:
        if not name.startswith("openai:"):
            raise ValueError(f"--base-url goes with openai:NAME, not with {name!r}")
        return chat_model(name, base_url=base_url)
    if name.startswith("sim:"):
        return simulated_sampler(name, task, seed=seed)
    return chat_model(name)


def main() -> None:
    """Run the command line."""
    app()


def _arguments(disks: int | None, settings: list[str]) -> dict[str, Any]:
    arguments: dict[str, Any] = {} if disks is None else {"disks": disks}
    for setting in settings:
        key, equals, value = setting.partition("=")
        if not equals or not key.isidentifier():
            raise ValueError(f"--set takes KEY=VALUE, not {setting!r}")
        if key in arguments:
            raise ValueError(f"{key} is given twice")
        try:
            arguments[key] = json.loads(value)
        except ValueError:
            arguments[key] = value
    return arguments


@contextmanager
def _stopping(stop: threading.Event) -> Iterator[None]:
    """SIGINT and SIGTERM end the run after the current round; a second one ends it at once."""

    def ask(_: int, __: object) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _told(code: int) -> Iterator[None]:
    """Whatever fails in here is said in one line: bad input with exit status `code`, a bug with its place."""
    try:
        yield
    except typer.Exit:
        raise
    except KeyboardInterrupt as error:
        _fail(STOPPED, f"interrupted{_notes(error)}; what was counted is in the journal")
    except MakerError as error:
        _fail(ERROR, f"{error}{_notes(error)}")
    except Exception as error:  # noqa: BLE001
        if code == USAGE and isinstance(error, (ValueError, TypeError)):
            _fail(USAGE, error)
        place = traceback.extract_tb(error.__traceback__)[-1]
        _fail(ERROR, f"{type(error).__name__}: {error} ({place.filename}, line {place.lineno}){_notes(error)}")


@contextmanager
def _to_stdout() -> Iterator[None]:
    """What cannot be written is said here: left to the interpreter's end, it would fail with a traceback."""
    try:
        yield
        if sys.stdout:  # there is none when it was closed
            sys.stdout.flush()
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        _fail(ERROR, f"the result cannot be written: {error}")


def _notes(error: BaseException) -> str:
    """What was spent, which `solve` notes on whatever ends it."""
    return "".join(f" ({note})" for note in getattr(error, "__notes__", ()) if note.startswith("at step"))


def _same_command(db: str, run_id: str) -> str:
    """The command line as given, with what makes it go on; a database's password is left out."""
    arguments = list(sys.argv[1:])
    if "--run-id" not in arguments and not any(argument.startswith("--run-id=") for argument in arguments):
        arguments += ["--run-id", run_id]
    if "--db" not in arguments and not any(argument.startswith("--db=") for argument in arguments):
        arguments += ["--db", db]
    return shlex.join(
        [
            "langgraph-maker",
            *(_PASSWORD.sub("***", argument) if "://" in argument else argument for argument in arguments),
        ]
    )


_PASSWORD = re.compile(r"(?<=:)[^/@:]+(?=@)|(?<=[?&]password=)[^&]*")


def _fail(code: int, error: object) -> NoReturn:
    err.print(f"[bold red]error:[/] {escape(str(error))}")
    raise typer.Exit(code)


def _as_json(result: Run) -> dict[str, Any]:
    """The fields of `Run`; `actions` up to 4,096 steps."""
    return asdict(result) | {"actions": list(result.actions()) if result.steps <= _MOST_ACTIONS else None}


def _summary(task: Task, model: str, k: int, db: str, result: Run) -> str:
    simulated = " (a simulated model)" if model.startswith("sim:") else ""
    of = "" if task.steps is None else f" of {task.steps:,}"
    lines = [
        f"[bold]{result.status}[/]: {escape(task.name)}, {result.steps:,}{of} steps decided, each by a margin of {k}",
        f"  model    {escape(model)}{simulated}",
        f"  samples  {result.samples:,}, of them {result.flagged:,} discarded for a red flag",
        f"  tokens   {result.usage['input_tokens']:,} in, {result.usage['output_tokens']:,} out",
        f"  digest   {result.digest}",
        f"  run id   {escape(result.run_id)}, in {escape(shown(db))}",
    ]
    if result.status == "solved" and result.undecided_after:
        lines.insert(3, f"  hardest  step took {len(result.undecided_after) - 1} samples")
    if result.reason:
        reason = "wrong_end: all steps are done, and the task is not" if result.reason == "wrong_end" else result.reason
        lines.insert(1, f"  reason   {escape(reason)}")
    return "\n".join(lines)
