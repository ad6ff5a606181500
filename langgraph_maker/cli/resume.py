"""The command that resumes a run, kept in the run's database for those who list it."""

from __future__ import annotations

from typing import Any

from langgraph.store.base import BaseStore, GetOp, PutOp

from langgraph_maker.journal import records
from langgraph_maker.journal.queries import Header

__all__ = ["forget", "resumes", "save"]


def save(store: BaseStore, run_id: str, command: str) -> None:
    """Write the command with which this process works on a run."""
    value = {"command": command, "writer": records.writer()}
    store.batch([PutOp(*_place(run_id), value, index=False)])


def forget(store: BaseStore, run_id: str) -> None:
    """Remove what `save` wrote."""
    store.batch([PutOp(*_place(run_id), None)])


def resumes(store: BaseStore, header: Header) -> str | None:
    """Return the command that resumes a run; None where other code worked on it last, such as Python's."""
    item: Any = store.batch([GetOp(*_place(header["run_id"]), refresh_ttl=False)])[0]
    sessions = header["sessions"]
    if item is None or not sessions or item.value.get("writer") != sessions[-1]["writer"]:
        return None
    return str(item.value.get("command", "")) or None


def _place(run_id: str) -> tuple[tuple[str, ...], str]:
    return (records.ROOT, "commands"), records.namespace(run_id)[-1]
