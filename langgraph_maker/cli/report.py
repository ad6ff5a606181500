"""`langgraph-maker report`: what happened in a run, how sure it is and what it cost, as one page."""

from __future__ import annotations

import gc
import re
from pathlib import Path
from typing import Annotated, Literal

import typer

from langgraph_maker.cli.console import on_terminal
from langgraph_maker.cli.options import Db, Namespace, RunId, RunIdOption
from langgraph_maker.cli.shell import ERROR, USAGE, Command, command_line, the_run, told
from langgraph_maker.cli.writing import check_file, write_report
from langgraph_maker.journal.databases import check_there, database, open_store
from langgraph_maker.journal.records import check_id

__all__ = ["app", "report"]

app = command_line()


@app.command(cls=Command)
def report(  # noqa: PLR0917 - typer reads the options from the signature
    run: RunId = None,
    run_id: RunIdOption = None,
    db: Db = None,
    namespace: Namespace = None,
    file: Annotated[
        Path | None,
        typer.Option(
            "--out", metavar="FILE", help="write it here; default: standard output, of a page on a terminal a file"
        ),
    ] = None,
    form: Annotated[
        Literal["html", "json"], typer.Option("--format", help="a page to open in a browser, or its numbers")
    ] = "html",
) -> None:
    """Show a run, also an unfinished one: outcome, guarantee, votes, hardest steps, flags, alarms, cost, time."""
    run_id = the_run(run, run_id)
    with told(USAGE):
        db = database(db)
        check_id(run_id)
        if file is None and form == "html" and on_terminal():
            file = _page_of(run_id)
        check_file(file, db)
        check_there(db)
    gc.freeze()  # as in `run`: what is loaded by now stays, and need not be looked through again and again
    gc.set_threshold(50_000, 20, 20)
    with told(USAGE), open_store(db, namespace) as store, told(ERROR):
        write_report(store, run_id, file, form)


def _page_of(run_id: str) -> Path:
    """Return where the page of a run goes that nobody wants to see as HTML."""
    return Path(f"report-{re.sub(r'[^A-Za-z0-9_-]+', '-', run_id)[:80]}.html")
