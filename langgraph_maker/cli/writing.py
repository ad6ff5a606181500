"""Files that commands write."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Literal

from langgraph.store.base import BaseStore

from langgraph_maker.cli.shell import err, to_stdout
from langgraph_maker.report import numbers, page

__all__ = ["check_file", "write_report"]


def check_file(file: Path | None) -> None:
    """Refuse a file that cannot be written, before anything is worked out.

    Raises:
        ValueError: With the reason.
    """
    if file is not None and not file.parent.is_dir():
        raise ValueError(f"{file}: there is no folder {file.parent}; make it first")
    if file is not None and (file.is_dir() or not os.access(file if file.exists() else file.parent, os.W_OK)):
        raise ValueError(f"{file} cannot be written")


def write_report(store: BaseStore, run_id: str, file: Path | None, form: Literal["html", "json"] = "html") -> None:
    """Write the report of a run, to standard output where there is no file.

    Raises:
        JournalError: See `report.numbers`.
    """
    found = numbers(store, run_id)
    text = page(found) if form == "html" else json.dumps(found)
    if file is not None:
        file.write_text(text, "utf-8")
        err.print(f"written: {file}", markup=False)
        return
    with to_stdout():
        sys.stdout.buffer.write(f"{text}\n".encode())
