"""`langgraph-maker runs`: what a database holds."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from langgraph.store.base import BaseStore
from rich.table import Table

from langgraph_maker import journal
from langgraph_maker.cli.console import say, show
from langgraph_maker.cli.options import AsJson, Db, Namespace, RunId, RunIdOption
from langgraph_maker.cli.resume import forget, resumes
from langgraph_maker.cli.shell import ERROR, USAGE, Command, Group, command_line, the_run, to_stdout, told
from langgraph_maker.cli.tables import counted, drawn, table
from langgraph_maker.cli.writing import check_file, written
from langgraph_maker.core.errors import JournalError
from langgraph_maker.journal.blocks import WorkerRecord, workers_of
from langgraph_maker.journal.databases import check_there, database, holds_nothing, open_store, shown
from langgraph_maker.journal.plans import PLANS

__all__ = ["app", "delete", "export", "runs", "verify"]

app = command_line(cls=Group)


@app.callback(invoke_without_command=True)
def runs(
    context: typer.Context,
    db: Db = None,
    namespace: Namespace = None,
    as_json: AsJson = False,  # noqa: FBT002
) -> None:
    """List the runs of a database, with how they stand and the command that resumes each."""
    context.obj = db, namespace
    if context.invoked_subcommand is not None:
        return
    with told(USAGE):
        db = database(db)
        if nothing := holds_nothing(db):
            show("[]" if as_json else f"no runs in {shown(db)}: {nothing}")
            return
    with told(USAGE), open_store(db, namespace) as store, told(ERROR):
        found = [_row(store, header) for header in journal.runs(store)]
        with to_stdout():
            if as_json:
                print(json.dumps(found))  # noqa: T201
            elif not found:
                show(f"no runs in {shown(db)}")
            else:
                _list(found)


def _row(store: BaseStore, header: journal.Header) -> dict[str, Any]:
    """Return what is said of a run; `steps` of a recursive one are stages."""
    try:
        steps = journal.steps(store, header["run_id"])
    except JournalError:
        steps = None
    return {
        "run_id": header["run_id"],
        "kind": header.get("kind", "chain"),
        "task": header["task"],
        "parameters": header["parameters"],
        "k": header["k"],
        "status": header["outcome"].get("status", "unfinished"),
        "reason_code": header["outcome"].get("reason_code", ""),
        "steps": steps,
        "started": header["sessions"][0]["began"] if header["sessions"] else None,
        "command": resumes(store, header),
        "workers": workers_of(store, header["run_id"]),
    }


def _list(found: list[dict[str, Any]]) -> None:
    rows = [
        [
            one["run_id"],
            one["task"] + _parameters(one["parameters"]),
            str(one["k"]),
            one["status"],
            _steps(one["steps"], one["kind"]),
            (one["started"] or "?").replace("T", " ").removesuffix("+00:00"),
        ]
        for one in found
    ]
    show(drawn(table(["run", "task", "k", "status", "steps", "started (UTC)"], rows, right=(2, 4))))
    for one in found:
        if workers := [worker for worker in one["workers"] if worker["left"] is None]:
            show(drawn(_workers(one["run_id"], workers)))
        if one["status"] in {"solved", "unreadable"}:
            continue
        show(f"to resume {one['run_id']}: {one['command'] or PLANS[one['kind']].resumed_by}")
        if one["reason_code"] == "budget":
            show(f"(run {one['run_id']} reached its limit: give a larger one)")


def _workers(run_id: str, workers: list[WorkerRecord]) -> Table:
    """Return a table of the workers of a run that have not left it."""
    rows = [
        [
            f"{one['host']} {one['pid']}",
            "" if one["block"] is None else f"from step {one['block']:,}",
            f"{one['blocks']:,}",
            f"{one['steps']:,}",
            f"{one['samples']:,}",
            one.get("seen", "?").replace("T", " ").removesuffix("+00:00"),
        ]
        for one in workers
    ]
    names = [f"worker of {run_id}", "has the block", "blocks done", "steps", "samples", "last seen (UTC)"]
    return table(names, rows, right=(2, 3, 4))


def _parameters(parameters: dict[str, Any]) -> str:
    text = ", ".join(f"{name}={value}" for name, value in parameters.items())
    return f" ({text[:59]}…)" if len(text) > 60 else f" ({text})" if text else ""  # noqa: PLR2004


def _steps(steps: int | None, kind: str) -> str:
    if steps is None:
        return "?"
    return f"{steps:,}" if (unit := PLANS[kind].unit) == "step" else counted(steps, unit)


@app.command(cls=Command)
def delete(
    context: typer.Context,
    run: RunId = None,
    run_id: RunIdOption = None,
    db: Db = None,
    namespace: Namespace = None,
) -> None:
    """Remove a run and all that belongs to it, for good."""
    run_id = the_run(run, run_id)
    with _opened(context, db, namespace) as store, told(ERROR):
        journal.delete(store, run_id)
        forget(store, run_id)
    say(f"run {run_id} is deleted")


@app.command(cls=Command)
def verify(  # noqa: PLR0917 - typer reads the options from the signature
    context: typer.Context,
    run: RunId = None,
    run_id: RunIdOption = None,
    db: Db = None,
    namespace: Namespace = None,
    as_json: AsJson = False,  # noqa: FBT002
) -> None:
    """Look for steps that are missing, altered, short of k, out of succession or written by two processes.

    Exit status 0 where there are none, 1 where there are.
    """
    run_id = the_run(run, run_id)
    with _opened(context, db, namespace) as store, told(ERROR):
        problems = journal.verify(store, run_id)
        with to_stdout():
            if as_json:
                print(json.dumps([asdict(problem) for problem in problems]))  # noqa: T201
            elif problems:
                rows = [[str(problem.step), problem.kind, problem.detail] for problem in problems]
                show(drawn(table(["step", "problem", "detail"], rows, right=())))
            else:
                show(f"run {run_id} is whole: {journal.steps(store, run_id):,} steps, each as it was written")
    raise typer.Exit(ERROR if problems else 0)


@app.command(cls=Command)
def export(  # noqa: PLR0917 - typer reads the options from the signature
    context: typer.Context,
    run: RunId = None,
    run_id: RunIdOption = None,
    db: Db = None,
    namespace: Namespace = None,
    file: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="write it here; default: standard output")
    ] = None,
) -> None:
    """Write a run as JSON Lines: its header first, then a step a line."""
    run_id = the_run(run, run_id)
    with told(USAGE):
        check_file(file, database(context.obj[0] if db is None else db))
    with _opened(context, db, namespace) as store, told(ERROR):
        journal.header(store, run_id)  # before a file is opened, and so emptied
        if file is not None:
            with written(file) as opened:
                journal.export(store, run_id, opened)
            say(f"written: {file}")
            return
        with to_stdout():
            text = io.TextIOWrapper(sys.stdout.buffer, "utf-8", write_through=True)
            try:
                journal.export(store, run_id, text)
            finally:
                text.detach()


@contextmanager
def _opened(context: typer.Context, db: str | None, namespace: list[str] | None) -> Iterator[BaseStore]:
    """Return the store of a database that is there, or a tenant's part of it; what is not given is as of `runs`."""
    outer_db, outer_namespace = context.obj
    with told(USAGE):
        db = database(outer_db if db is None else db)
        check_there(db)
    with told(USAGE), open_store(db, namespace or outer_namespace) as store:
        yield store
