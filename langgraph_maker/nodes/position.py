"""Where a run stands, and how it gets there: from its start, step by step, or from its journal."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from hashlib import blake2b
from typing import Any
from weakref import WeakKeyDictionary

from langgraph.store.base import BaseStore
from typing_extensions import TypedDict

from langgraph_maker import records
from langgraph_maker.errors import JournalError
from langgraph_maker.nodes.state import Lane, Totals
from langgraph_maker.records import Entry, Header, Plan
from langgraph_maker.state import BallotState
from langgraph_maker.task import Task

__all__ = ["Position", "add", "attach", "begin", "copied", "forget", "known", "remember", "reopened", "take"]


class Position(TypedDict):
    """The lanes, what was done so far, and the ballots still open."""

    lanes: list[Lane]
    totals: Totals
    ballots: list[BallotState]


_known: WeakKeyDictionary[BaseStore, dict[str, Position]] = WeakKeyDictionary()


def known(store: BaseStore, run_id: str) -> Position | None:
    """Where this process last saw the journal of a run end."""
    return _known.get(store, {}).get(run_id)


def remember(store: BaseStore, run_id: str, position: Position) -> None:
    """Keep where the journal of a run ends, so that the next node need not look."""
    _known.setdefault(store, {})[run_id] = position


def forget(store: BaseStore, run_id: str) -> None:
    """Drop what is known of a run."""
    _known.get(store, {}).pop(run_id, None)


def begin(task: Task, steps: int) -> Position:
    """The start of a run of at most `steps` steps."""
    totals: Totals = {
        "steps": 0,
        "samples": 0,
        "flagged": 0,
        "rounds": 0,
        "usage": {"input_tokens": 0, "output_tokens": 0},
        "digest": f"{0:032x}",
        "votes_per_step": [],
        "samples_per_step": [],
    }
    return {"lanes": [{"step": 0, "end": steps, "state": task.initial_state()}], "totals": totals, "ballots": []}


def copied(totals: Totals) -> Totals:
    """Totals to count on in, which leave those of the last state as they are."""
    return {
        **totals,
        "usage": {**totals["usage"]},
        "votes_per_step": totals["votes_per_step"].copy(),
        "samples_per_step": totals["samples_per_step"].copy(),
    }


def take(task: Task, lane: Lane, entry: Entry) -> Lane:
    """The lane after the entry's step.

    Raises:
        JournalError: When the entry does not start from the lane's state.
    """
    if entry["start"] and entry["start"] != records.mark(lane["state"]):
        raise JournalError(
            f"the journal's step {lane['step']} does not start from the state that the run has reached: the task has"
            " changed, or the journal was altered (see journal.verify)"
        )
    return {**lane, "step": lane["step"] + 1, "state": task.advance(lane["state"], entry["vote"])}


def add(totals: Totals, entry: Entry, key: str) -> None:
    """Count a committed step. The digest is a sum over steps, so the order in which they were decided is no matter."""
    totals["steps"] += 1
    totals["samples"] += entry["samples"]
    totals["flagged"] += sum(entry["flags"].values())
    totals["rounds"] += entry["rounds"]
    totals["usage"]["input_tokens"] += entry["input_tokens"]
    totals["usage"]["output_tokens"] += entry["output_tokens"]
    _count(totals["votes_per_step"], entry["votes"])
    _count(totals["samples_per_step"], entry["samples"])
    decided = blake2b(f"{entry['step']}:{key}".encode(), digest_size=16).digest()
    total = int(totals["digest"], 16) + int.from_bytes(decided)
    totals["digest"] = f"{total % 2**128:032x}"


def attach(
    task: Task, run_id: str, position: Position, *, fixed: Mapping[str, Any], settings: Mapping[str, Any]
) -> Plan[Position]:
    """Find the run in its journal, or begin it there, and move `position` on to where the journal ends.

    Args:
        task: The task.
        run_id: The run.
        position: Where a checkpoint has the run, or its start.
        fixed: What may never change: the task's name and parameters, k.
        settings: What may change, and is recorded for this process.

    Raises:
        JournalError: When the journal is of another task, ends before `position`, or was altered.
    """
    found = records.read_header((yield [records.get_header(run_id)])[0], run_id)
    header = _same(found, fixed) if found else _header(run_id, fixed)
    if found is None and position["lanes"][0]["step"]:
        raise _ahead(run_id, position["lanes"][0]["step"], "the store holds no such run")
    if not any(session["writer"] == records.writer() for session in header["sessions"][-1:]):
        now = datetime.now(UTC).isoformat(timespec="seconds")
        header["sessions"].append({"writer": records.writer(), "began": now, "settings": dict(settings)})
        yield [records.put_header(header)]
    position = yield from _catch_up(task, run_id, position)
    return position


def _catch_up(task: Task, run_id: str, position: Position) -> Plan[Position]:
    [lane] = position["lanes"]
    totals = copied(position["totals"])
    if lane["step"]:
        [last] = yield records.get_entries(run_id, [lane["step"] - 1])
        if last is None:
            raise _ahead(run_id, lane["step"], f"the journal has no step {lane['step'] - 1}")
    reading = True
    while reading:
        steps = range(lane["step"], lane["step"] + 1024)
        for step, item in zip(steps, (yield records.get_entries(run_id, steps)), strict=True):
            if (entry := records.read_entry(item, run_id, step)) is None:
                reading = False
                break
            lane = take(task, lane, entry)
            add(totals, entry, task.vote_key(entry["vote"]))
    [item] = yield [records.get_open(run_id, lane["step"])]
    journalled = records.read_open(item, run_id, lane["step"])
    ballots = [ballot for ballot in position["ballots"] if ballot["id"] == str(lane["step"])]
    if journalled and journalled["samples"] > sum(ballot["samples"] for ballot in ballots):
        ballots = [journalled]
    return {"lanes": [lane], "totals": totals, "ballots": reopened(ballots)}


def reopened(ballots: list[BallotState]) -> list[BallotState]:
    """The ballots of a run that is entered again: what was given up is tried again, if the budget now allows."""
    return [{**ballot, "status": "open"} for ballot in ballots]


def _header(run_id: str, fixed: Mapping[str, Any]) -> Header:
    return {
        "format": 1,
        "run_id": run_id,
        "task": fixed["task"],
        "parameters": fixed["parameters"],
        "k": fixed["k"],
        "sessions": [],
        "outcome": {},
    }


def _same(header: Header, fixed: Mapping[str, Any]) -> Header:
    for name, value in fixed.items():
        if (held := header[name]) != value:  # type: ignore[literal-required]
            raise JournalError(
                f"run {header['run_id']!r} was begun with {name} {held!r}, not {value!r}: go on with that, or give"
                " another run id"
            )
    return header


def _ahead(run_id: str, step: int, why: str) -> JournalError:
    return JournalError(
        f"the checkpoint is at step {step} of run {run_id!r}, ahead of its journal ({why}): use the store that the run"
        " was written to, or begin a new run id"
    )


def _count(histogram: list[int], value: int) -> None:
    histogram.extend([0] * (value + 1 - len(histogram)))
    histogram[value] += 1
