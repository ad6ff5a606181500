"""What is wrong with a run's records: entries, and what lies beside them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby, pairwise
from typing import Any

from langgraph.store.base import BaseStore, GetOp, Item

from langgraph_maker.core.errors import JournalError
from langgraph_maker.journal import admin, records, run_data, store_ops
from langgraph_maker.journal.blocks import workers_of
from langgraph_maker.journal.records import Entry, Header
from langgraph_maker.journal.segments import chain, ends_of, items_at, last_of

__all__ = ["Problem", "aside", "verified"]

_ATTEMPTS = 10


@dataclass(frozen=True)
class Problem:
    """What `verify` found at a step: "missing", "altered", "undercut", "broken succession" or "mixed writers".

    In a recursive run `step` is a node's id. What is no step's is at the name of its record, such as "header".
    """

    step: int | str
    kind: str
    detail: str


def verified(store: BaseStore, run_id: str) -> list[Problem]:
    """Return what is wrong with a chain of steps; looked at again where a process took the run up in the meantime."""
    for _ in range(_ATTEMPTS):
        head = chain(store, run_id)
        workers = {worker["writer"] for worker in workers_of(store, run_id)}
        problems = [*_Walk(head, workers).problems_of(store), *_beside(store, head), *aside(store, run_id)]
        if not problems or chain(store, run_id) == head:
            break
    return problems


@dataclass
class _Walk:
    """One pass over the entries, cell by cell."""

    head: Header
    workers: set[str]
    written: Counter[str] = field(default_factory=Counter)

    def problems_of(self, store: BaseStore) -> list[Problem]:
        """Return what is wrong with the entries, by step."""
        run_id, stride = self.head["run_id"], self.head["stride"]
        cells = ends_of(store, run_id)
        problems: list[Problem] = []
        for (start, end), ends in cells:
            wanted = range(start, last_of(store, run_id, stride, ends, end) + 1)
            problems += self._cell(items_at(store, run_id, stride, wanted))
        ended, there = self.head["outcome"].get("steps", 0), sum(ends - start for (start, _), ends in cells)
        if ended > there and not any(problem.kind == "missing" for problem in problems):
            first = next((ends for (_, end), ends in cells if ends < end), there)
            detail = f"the run had {ended} steps when it ended, of which {there} are there"
            problems.append(Problem(first, "missing", detail))
        if not problems:
            problems += self._mixed(sum(self.written.values()))
        witnesses = store_ops.drive(admin.keys_in(records.evidence(run_id)), store)
        for writer in sorted({*witnesses, *self.head.get("mixed", [])}):
            detail = f"{writer} found that another had taken the run over while it wrote"
            problems.append(Problem("header", "mixed writers", detail))
        return problems

    def _cell(self, items: Iterator[tuple[int, Item | None]]) -> Iterator[Problem]:
        head = self.head
        order = [session["writer"] for session in head["sessions"]]
        last: Entry | None = None
        session = 0
        for step, item in items:
            try:
                entry = records.read_entry(item, head["run_id"], step)
            except JournalError as error:
                yield Problem(step, "altered", str(error))
                last = None
                continue
            if entry is None:
                yield Problem(step, "missing", "there are later steps, but not this one")
                continue
            writer = entry["writer"]
            self.written[writer] += 1
            if last is not None and last["step"] == step - 1:
                if entry["start"] != last["end"]:
                    yield Problem(step, "broken succession", f"it does not start where step {step - 1} ended")
                if entry["revision"] and entry["revision"] <= last["revision"]:
                    detail = f"it was written in round {entry['revision']}, step {step - 1} in round {last['revision']}"
                    yield Problem(step, "mixed writers", detail)
            if isinstance(head["k"], int) and entry["margin"] < head["k"] and not entry["human"]:
                yield Problem(step, "undercut", f"it was decided by {entry['margin']}, where k is {head['k']}")
            last = entry
            if writer in order[session:]:
                session += order[session:].index(writer)
            elif writer not in self.workers:  # each of whose writes showed that the block was its own
                yield Problem(step, "mixed writers", _of_whom(writer, order, session))

    def _mixed(self, steps: int) -> Iterator[Problem]:
        """Return where a process has fewer steps than it found and left, another wrote over them."""
        found = self.head.get("found", {})
        if self.workers:
            return  # how many steps each of them is to have is not known
        order = [writer for writer, _ in groupby(session["writer"] for session in self.head["sessions"])]
        if len(set(order)) < len(order):
            return  # one of them came back
        for writer, after in pairwise([*order, ""]):
            until = found.get(after, None if after else steps)
            if until is not None and writer in found and self.written[writer] < (count := until - found[writer]):
                there = self.written[writer]
                detail = f"{writer} wrote {count} steps, of which {there} are there: another wrote over them"
                yield Problem("header", "mixed writers", detail)


def _of_whom(writer: str, order: Sequence[str], session: int) -> str:
    """Return why this process should not have written a step."""
    return (
        f"{writer} wrote it after {order[session]} had taken over"
        if writer in order
        else f"{writer} never began work on this run"
    )


def _beside(store: BaseStore, head: Header) -> Iterator[Problem]:
    """Return what cannot be read of the records beside the entries."""
    run_id = head["run_id"]
    steps = [ends for (_, end), ends in ends_of(store, run_id) if ends < end]
    read: Mapping[str, Callable[[Any], Any]] = {
        run_data.RAISED: lambda item: run_data.read_raised(item, run_id),
        run_data.ALARMS: lambda item: run_data.read_alarms(item, run_id),
        run_data.KEPT: lambda item: run_data.read_observer_state(item, run_id),
    }
    found = store_ops.batch(
        store, [run_data.get_raised(run_id), run_data.get_alarms(run_id), run_data.get_observer_state(run_id)]
    )
    for (name, reader), item in zip(read.items(), found, strict=True):
        try:
            if reader(item) is None and item is not None:
                yield Problem(name, "altered", "it is not as it was written; the next process begins it anew")
        except JournalError as error:
            yield Problem(name, "altered", str(error))
    ballots = store_ops.batch(store, [run_data.get_open(run_id, step) for step in steps])
    answers = store_ops.batch(store, [run_data.get_answer(run_id, str(step)) for step in steps])
    for step, ballot, answer in zip(steps, ballots, answers, strict=True):
        try:
            run_data.read_open(ballot, run_id, step)
            run_data.read_answer(answer, run_id, str(step))
        except JournalError as error:
            yield Problem(step, "altered", str(error))


def aside(store: BaseStore, run_id: str) -> Iterator[Problem]:
    """Return which records of a run's calibration, and of its batches, are not as they were written."""
    for where, usual in ((records.calibration(run_id), "answers"), (records.batches(run_id), "batch")):
        keys = store_ops.drive(admin.keys_in(where), store)
        items = store_ops.batch(store, [GetOp(where, key, refresh_ttl=False) for key in keys]) if keys else []
        for key, item in zip(keys, items, strict=True):
            try:
                if item is not None:
                    records.read_record(item, run_id, key, _NAMES.get(key, usual), f"record {key}", _BACKUP)
            except JournalError as error:
                yield Problem(key, "altered", str(error))


_NAMES = {"about": "about", "found": "calibration"}
_BACKUP = "restore the database from a backup"
