"""How a run is resumed: the command for it and its options, kept in the run's database."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from langgraph.store.base import BaseStore, GetOp, PutOp

from langgraph_maker.cli.console import say
from langgraph_maker.cli.shell import ERROR, USAGE, Command, shown_options, told
from langgraph_maker.journal import records
from langgraph_maker.journal.databases import database, holds_nothing, open_store
from langgraph_maker.journal.queries import Header

__all__ = ["Resuming", "forget", "options_of", "recorded", "resumes", "save"]

_OWN: Final = ("run_id", "db", "namespace", "deadline", "report", "as_json")
"""What a command says of itself alone, and no other takes over."""
_TOGETHER: Final = (
    {"disks", "settings"},
    {"model", "base_url", "price", "batch", "batch_limits", "on_stop"},
    {"k", "target", "calibrate_samples", "k_rule"},
    {"ladder", "tier"},
)
"""Options that say one thing together: who gives one of them gives all."""


class Resuming(Command):
    """A command that takes what it is not given from the command that worked on the same run before."""

    def invoke(self, ctx: Any) -> Any:
        """Fill in the options, and say which."""
        run_id = ctx.params.get("run_id")
        if run_id:
            given = {name for name in ctx.params if ctx.get_parameter_source(name).name != "DEFAULT"}
            with told(USAGE):
                db = database(ctx.params["db"])
                nothing = holds_nothing(db)
            if not nothing:
                with told(USAGE), open_store(db, ctx.params["namespace"]) as store, told(ERROR):
                    found = _recorded(store, run_id, ctx.params, given)
                ctx.params |= found
                if taken := shown_options(self.get_params(ctx), found):
                    say(f"as run {run_id} was started: {taken}")
        return super().invoke(ctx)


def options_of(context: Any) -> dict[str, Any]:
    """Return the options of a command that a run is resumed with; a URL with a secret in it is left out."""
    return {
        name: value
        for name, value in context.params.items()
        if name not in _OWN and not isinstance(value, Path) and value is not None and not _has_secret(value)
    }


def _has_secret(value: Any) -> bool:
    return isinstance(value, str) and "://" in value and ("@" in value or "?" in value)


def _recorded(store: BaseStore, run_id: str, now: Mapping[str, Any], given: Iterable[str]) -> dict[str, Any]:
    """Return what was recorded of a run of the same task, but for what is given, and what is as it was."""
    header = records.read_header(store.batch([records.get_header(run_id)])[0], run_id)  # type: ignore[arg-type]
    if header is None:
        return {}
    before = _read(store, header).get("options") or {}
    if isinstance(header["k"], int):  # also where other code began the run
        before = {**before, "k": str(header["k"])} if before.get("k") != "auto" else before
    if before.get("task", now["task"]) != now["task"]:
        return {}
    taken = {*given, *(name for group in _TOGETHER if group & {*given} for name in group)}
    return {name: value for name, value in before.items() if name in now and name not in taken and value != now[name]}


def save(store: BaseStore, run_id: str, command: str, options: Mapping[str, Any]) -> None:
    """Write the command with which this process works on a run, beside that of the process before.

    Only once this one is in the run's own record, which may refuse it, does its command count.
    """
    header = records.read_header(store.batch([records.get_header(run_id)])[0], run_id)  # type: ignore[arg-type]
    commands = {} if header is None or not (last := _read(store, header)) else {header["sessions"][-1]["writer"]: last}
    commands[records.writer()] = {"command": command, "options": dict(options)}
    store.batch([PutOp(*_place(run_id), {"commands": json.dumps(commands)}, index=False)])


def forget(store: BaseStore, run_id: str) -> None:
    """Remove what `save` wrote."""
    store.batch([PutOp(*_place(run_id), None)])


def resumes(store: BaseStore, header: Header) -> str | None:
    """Return the command that resumes a run; None where other code worked on it last, such as Python's."""
    return str(_read(store, header).get("command", "")) or None


def recorded(store: BaseStore, header: Header) -> dict[str, Any] | None:
    """Return the options of the command that works on a run; None where other code does, such as Python's."""
    return _read(store, header).get("options")


def _read(store: BaseStore, header: Header) -> dict[str, Any]:
    """Return what the process wrote that worked on a run last; nothing where it cannot be read."""
    item: Any = store.batch([GetOp(*_place(header["run_id"]), refresh_ttl=False)])[0]
    if item is None or not header["sessions"]:
        return {}
    try:
        found = json.loads(item.value["commands"])[header["sessions"][-1]["writer"]]
    except (KeyError, TypeError, ValueError):
        return {}
    return found if isinstance(found, dict) and isinstance(found.get("options"), dict) else {}


def _place(run_id: str) -> tuple[tuple[str, ...], str]:
    return (records.ROOT, "commands"), records.namespace(run_id)[-1]
