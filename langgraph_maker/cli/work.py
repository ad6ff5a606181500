"""`langgraph-maker work`: join a run, and advance it beside others."""

from __future__ import annotations

import threading
from typing import Annotated

import typer

from langgraph_maker.cli.assignment import joining
from langgraph_maker.cli.console import say
from langgraph_maker.cli.options import BaseUrl, Db, Namespace
from langgraph_maker.cli.resume import recorded
from langgraph_maker.cli.shell import ERROR, STOPPED, USAGE, Command, command_line, stopping, told
from langgraph_maker.core.errors import JournalError
from langgraph_maker.journal import segments
from langgraph_maker.journal.databases import check_there, database, open_store
from langgraph_maker.runs.workers.job import Job
from langgraph_maker.runs.workers.worker import work as advance

__all__ = ["app", "work"]

app = command_line()


@app.command(cls=Command)
def work(
    run_id: Annotated[str, typer.Option("--run-id", metavar="ID", help="of the run to join")],
    db: Db = None,
    namespace: Namespace = None,
    task: Annotated[
        str | None, typer.Option("--task", metavar="NAME", help="a run's own task, to say that it may be loaded here")
    ] = None,
    base_url: BaseUrl = None,
) -> None:
    """Join a run that `run … --workers` coordinates: advance blocks of its lanes until it ends.

    SIGTERM and SIGINT leave after the round that is under way; others take what this worker held.
    """
    stop = threading.Event()
    with told(USAGE):
        db = database(db)
        check_there(db)
    with told(USAGE), open_store(db, namespace) as store:
        with told(ERROR):
            header = segments.header(store, run_id)
            if header.get("kind") == "tree":
                raise JournalError(f"run {run_id!r} is a recursive one, which one process advances: start no workers")
        make = joining(recorded(store, header), run_id, task, base_url)
    with told(ERROR), stopping(stop):
        say(f"joining run {run_id}")
        why = advance(Job(db, run_id, make, tuple(namespace or ())), leave=stop.is_set)
    say(f"left run {run_id}: {why}")
    raise typer.Exit(STOPPED if stop.is_set() else 0)
