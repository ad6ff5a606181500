"""`langgraph-maker runs`: what a database holds."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from langgraph.store.base import BaseStore
from rich.table import Table

from langgraph_maker import journal
from langgraph_maker.cli.shell import ERROR, USAGE, app, escape, out, told
from langgraph_maker.errors import JournalError
from langgraph_maker.stores import default_db, is_postgres, open_store, shown

__all__ = ["runs"]


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
    if not is_postgres(db) and Path(db).is_file() and not Path(db).stat().st_size:
        out.print(f"no runs in {escape(db)}: the file is empty")
        return
    with told(USAGE), open_store(db) as store, told(ERROR):
        trees = False
        table = Table("run", "task", "k", "status", "steps", "begun")
        for header in journal.runs(store):
            ended = header["outcome"]
            trees |= header.get("kind") == "tree"
            status = ended.get("status", "unfinished")
            parameters = ", ".join(f"{name}={value}" for name, value in header["parameters"].items())[:60]
            table.add_row(
                escape(header["run_id"]),
                escape(f"{header['task']} ({parameters})"),
                str(header["k"]),
                status,
                _done(store, header),
                header["sessions"][0]["began"] if header["sessions"] else "?",
            )
        out.print(table if table.row_count else f"no runs in {escape(shown(db))}")
        out.print("to go on with one: the command that began it, with --run-id and the same --db")
        if trees:
            out.print("with a recursive one: invoke its graph again with its run_id, on a store of this database")


def _done(store: BaseStore, header: journal.Header) -> str:
    try:
        done = f"{journal.steps(store, header['run_id']):,}"
    except JournalError:
        return "?"
    return f"{done} stages" if header.get("kind") == "tree" else done
