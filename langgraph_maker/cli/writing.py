"""Files that commands write."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Final, Literal

import typer
from langgraph.store.base import BaseStore

from langgraph_maker import journal
from langgraph_maker.cli.console import say
from langgraph_maker.cli.shell import ERROR, fail, to_stdout
from langgraph_maker.core.errors import MakerError
from langgraph_maker.report import numbers, page, tree_numbers, tree_page

__all__ = ["check_file", "reported", "write", "write_report", "written"]

_BESIDE = re.compile(r"(-wal|-shm|-journal|-[0-9a-f]{16}\.(lock|holder)|\.opening)$")
"""What SQLite and the lock of a run put beside a database."""


def check_file(file: Path | None, db: str) -> None:
    """Refuse a file that cannot be written, or is a journal or belongs to one, before anything is worked out.

    Raises:
        ValueError: With the reason.
    """
    if file is None:
        return
    try:
        _check(file, db)
    except OSError as error:
        raise ValueError(f"{file} cannot be written: {error.strerror}") from error


def _check(file: Path, db: str) -> None:
    if not file.parent.is_dir():
        raise ValueError(f"{file}: there is no folder {file.parent}; make it first")
    if file.is_dir():
        raise ValueError(f"{file} is a folder: name a file in it")
    if not os.access(file if file.exists() else file.parent, os.W_OK):
        raise ValueError(f"{file} cannot be written: permission denied")
    real = file.resolve()
    database = real.with_name(_BESIDE.sub("", real.name))
    if database == Path(db).resolve() or _is_sqlite(database) or (file.exists() and _same(file, Path(db))):
        raise ValueError(f"{file} is a database or belongs to one, which would be lost: name another file")


def _is_sqlite(file: Path) -> bool:
    if not file.is_file():
        return False
    with file.open("rb") as opened:
        return opened.read(16) == b"SQLite format 3\0"


def _same(file: Path, db: Path) -> bool:
    return db.exists() and file.samefile(db)


@contextmanager
def written(file: Path) -> Iterator[IO[str]]:
    """Open a file to be written, or say in one line that it cannot be."""
    try:
        with file.open("w", encoding="utf-8") as opened:
            yield opened
    except OSError as error:
        fail(ERROR, f"{file} cannot be written: {error.strerror}")


def write(file: Path, text: str) -> None:
    """Write a file, or say in one line that it cannot be."""
    with written(file) as opened:
        opened.write(text)


@contextmanager
def reported(store: BaseStore, run_id: str, file: Path | None) -> Iterator[None]:
    """Write the report of a run when the block ends, also one that ends with an error."""
    try:
        yield
    except typer.Exit:
        try:
            if file is not None:
                write_report(store, run_id, file)
        except MakerError as error:
            say(f"no report: {error}")
        raise
    if file is not None:
        write_report(store, run_id, file)


def write_report(store: BaseStore, run_id: str, file: Path | None, form: Literal["html", "json"] = "html") -> None:
    """Write the report of a run, to standard output where there is no file.

    Raises:
        JournalError: See `report.numbers`.
    """
    figures, drawn = _REPORTS[journal.header(store, run_id).get("kind", "chain")]
    found = figures(store, run_id)
    text = drawn(found) if form == "html" else json.dumps(found)
    if file is not None:
        write(file, text)
        say(f"written: {file}")
        return
    with to_stdout():
        sys.stdout.buffer.write(f"{text}\n".encode())


_REPORTS: Final[dict[str, tuple[Callable[..., Any], Callable[[Any], str]]]] = {
    "chain": (numbers, page),
    "tree": (tree_numbers, tree_page),
}
"""By the kind of run, what comes into its report and how that is drawn."""
