"""`langgraph-maker report`: what happened in a run, how sure it is and what it cost, as one page."""

from __future__ import annotations

import gc
import json
import os
import sys
from pathlib import Path
from typing import Annotated, Literal

import typer
from langgraph.store.base import BaseStore

from langgraph_maker.cli.shell import ERROR, USAGE, app, err, to_stdout, told
from langgraph_maker.records import check_id
from langgraph_maker.report import numbers, page
from langgraph_maker.stores import default_db, is_postgres, open_store

__all__ = ["check_file", "report", "write_page"]


@app.command()
def report(
    run_id: Annotated[str, typer.Option(help="the run, see langgraph-maker runs")],
    db: Annotated[
        str | None, typer.Option(help="SQLite file or postgresql:// URL", show_default="the data folder")
    ] = None,
    file: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="write it here", show_default="standard output")
    ] = None,
    form: Annotated[
        Literal["html", "json"], typer.Option("--format", help="a page to open in a browser, or its numbers")
    ] = "html",
) -> None:
    """Show a run, also an unfinished one: outcome, guarantee, votes, hardest steps, flags, alarms, cost, time."""
    db = db or default_db()
    with told(USAGE):
        check_id(run_id)
        check_file(file)
        if not is_postgres(db) and not Path(db).is_file():
            raise ValueError(f"there is no database {db}: name the one that the run was written to, with --db")
    gc.freeze()  # as in `run`: what is loaded by now stays, and need not be looked through again and again
    gc.set_threshold(50_000, 20, 20)
    with told(USAGE), open_store(db) as store, told(ERROR):
        found = numbers(store, run_id)
        text = page(found) if form == "html" else json.dumps(found)
        if file is not None:
            file.write_text(text, "utf-8")
            err.print(f"written: {file}", markup=False)
            return
        with to_stdout():
            sys.stdout.buffer.write(f"{text}\n".encode())


def check_file(file: Path | None) -> None:
    """Refuse a file that cannot be written, before anything is worked out.

    Raises:
        ValueError: With the reason.
    """
    if file is not None and not file.parent.is_dir():
        raise ValueError(f"{file}: there is no folder {file.parent}; make it first")
    if file is not None and (file.is_dir() or not os.access(file if file.exists() else file.parent, os.W_OK)):
        raise ValueError(f"{file} cannot be written")


def write_page(store: BaseStore, run_id: str, file: Path) -> None:
    """Write the page of a run.

    Raises:
        JournalError: See `report.numbers`.
    """
    file.write_text(page(numbers(store, run_id)), "utf-8")
