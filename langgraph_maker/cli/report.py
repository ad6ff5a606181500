"""`langgraph-maker report`: what happened in a run, how sure it is and what it cost, as one page."""

from __future__ import annotations

import gc
from pathlib import Path
from typing import Annotated, Literal

import typer

from langgraph_maker.cli.options import Db, Namespace
from langgraph_maker.cli.shell import ERROR, USAGE, Command, command_line, told
from langgraph_maker.cli.writing import check_file, write_report
from langgraph_maker.journal.databases import check_there, database, open_store
from langgraph_maker.journal.records import check_id

__all__ = ["app", "report"]

app = command_line()


@app.command(cls=Command)
def report(
    run_id: Annotated[str, typer.Option("--run-id", metavar="ID", help="the run, see langgraph-maker runs")],
    db: Db = None,
    namespace: Namespace = None,
    file: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="write it here; default: standard output")
    ] = None,
    form: Annotated[
        Literal["html", "json"], typer.Option("--format", help="a page to open in a browser, or its numbers")
    ] = "html",
) -> None:
    """Show a run, also an unfinished one: outcome, guarantee, votes, hardest steps, flags, alarms, cost, time."""
    with told(USAGE):
        db = database(db)
        check_id(run_id)
        check_file(file, db)
        check_there(db)
    gc.freeze()  # as in `run`: what is loaded by now stays, and need not be looked through again and again
    gc.set_threshold(50_000, 20, 20)
    with told(USAGE), open_store(db, namespace) as store, told(ERROR):
        write_report(store, run_id, file, form)
