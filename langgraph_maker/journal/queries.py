"""The journal: the full record of a run, one entry a committed step, on any LangGraph `BaseStore`.

A step counts as done only once it is here, and a committed entry is never overwritten. Reading needs no task and no
model. Each function takes the `namespace` of the tenant whose run it is about, where tenants share the store. The
functions are synchronous; in asynchronous code run them in a thread (`asyncio.to_thread`), with a store that can be
used from there.

    >>> from langgraph.store.memory import InMemoryStore
    >>> from langgraph_maker import journal, solve
    >>> from langgraph_maker.tasks import TowersOfHanoi
    >>> store = InMemoryStore()
    >>> run = solve(TowersOfHanoi(3), "sim:error=0.01", store=store, run_id="mine")
    >>> [entry["vote"]["action"] for entry in journal.read(store, "mine")][:2], journal.verify(store, "mine")
    ([[1, 0, 2], [2, 0, 1]], [])
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from itertools import islice
from typing import IO

from langgraph.store.base import BaseStore, Item, SearchOp

from langgraph_maker.core.errors import JournalError
from langgraph_maker.core.events import Alarm
from langgraph_maker.core.questions import Form, Question, check_form, question_of
from langgraph_maker.core.state import BallotState
from langgraph_maker.journal import admin, records, run_data, store_ops
from langgraph_maker.journal.lock import hold
from langgraph_maker.journal.plans import plan_of
from langgraph_maker.journal.records import Entry, Header, Pending
from langgraph_maker.journal.segments import chain, ends_of, found_header, gapless, header, items_at
from langgraph_maker.journal.tenants import under
from langgraph_maker.journal.verification import Problem

__all__ = [
    "Entry",
    "Header",
    "Problem",
    "alarms",
    "answer",
    "delete",
    "entries",
    "export",
    "fork",
    "header",
    "open_ballots",
    "questions",
    "read",
    "runs",
    "steps",
    "verify",
]

_BATCH = 1024


def read(store: BaseStore, run_id: str, start: int = 0, *, namespace: tuple[str, ...] = ()) -> Iterator[Entry]:
    """Iterate over a run's entries in order, from step `start` to the first that is not there.

    Of a run with lanes that is under way these are not all: `export` writes all.

    Raises:
        JournalError: When an entry is not as it was written.
    """
    store = under(store, namespace)
    stride = chain(store, run_id)["stride"] if found_header(store, run_id) else records.ONE_LANE
    for step, item in items_at(store, run_id, stride, range(start, sys.maxsize)):
        if (entry := records.read_entry(item, run_id, step)) is None:
            return
        yield entry


def entries(store: BaseStore, run_id: str, *, namespace: tuple[str, ...] = ()) -> Iterator[Entry]:
    """Iterate over all entries, those of lanes under way included, in the order in which they lie in the store.

    That is lane beside lane, and the fastest order to read a long run in.

    Raises:
        JournalError: When there is no such run, or an entry is not as it was written.
    """
    store = under(store, namespace)
    stride = header(store, run_id)["stride"]
    cells = [(start, ends) for (start, _), ends in ends_of(store, run_id)]
    places = range(max(ends - start for start, ends in cells))
    wanted = (start + place for place in places for start, ends in cells if start + place < ends)
    while batch := list(islice(wanted, _BATCH)):
        for step, item in zip(batch, store_ops.batch(store, records.get_entries(run_id, batch, stride)), strict=True):
            if (entry := records.read_entry(item, run_id, step)) is not None:
                yield entry


def open_ballots(store: BaseStore, run_id: str, *, namespace: tuple[str, ...] = ()) -> list[BallotState]:
    """Return the ballots that were under way when the run was last written, one a lane at most, by step; or one a node.

    Raises:
        JournalError: When there is no such run, or a ballot cannot be read.
    """
    store = under(store, namespace)
    return plan_of(header(store, run_id)).open_ballots(store, run_id)


def alarms(store: BaseStore, run_id: str, *, namespace: tuple[str, ...] = ()) -> list[Alarm]:
    """Return the alarms that were raised during the run, in that order; those of each process that worked on it.

    Raises:
        JournalError: When they cannot be read.
    """
    store = under(store, namespace)
    return run_data.read_alarms(store_ops.batch(store, [run_data.get_alarms(run_id)])[0], run_id)


def runs(store: BaseStore, *, namespace: tuple[str, ...] = ()) -> Iterator[Header]:
    """Iterate over the headers of all runs in the store, the last written first.

    One that cannot be read has the status "unreadable", one that is being removed or forked "deleting" or "forking".
    """
    store = under(store, namespace)
    for item in _search(store, records.HEADERS):
        run_id = records.name_of(item)
        try:
            one = records.read_header(item, run_id)
        except JournalError:
            one = _unreadable(run_id)
        if one is not None:
            yield {**one, "outcome": {"status": _DOING[one["pending"]["what"]]}} if "pending" in one else one


_DOING = {"delete": "deleting", "fork": "forking"}


def _unreadable(run_id: str) -> Header:
    return {
        "format": 0,
        "run_id": run_id,
        "task": "?",
        "parameters": {},
        "k": 0,
        "stride": records.ONE_LANE,
        "sessions": [],
        "outcome": {"status": "unreadable"},
    }


def steps(store: BaseStore, run_id: str, *, namespace: tuple[str, ...] = ()) -> int:
    """Return how many steps the run has, found by halving: a few dozen look-ups a lane, however many steps there are.

    Of a recursive run, how many stages of its nodes were decided.

    Raises:
        JournalError: When there is no such run.
    """
    store = under(store, namespace)
    return plan_of(header(store, run_id)).decided(store, run_id)


def verify(store: BaseStore, run_id: str, *, namespace: tuple[str, ...] = ()) -> list[Problem]:
    """Look for steps that are missing, altered, short of k, out of succession or written by two processes at once.

    Records beside the steps are read too. What lanes of an unfinished run have yet to do is not missing.

    Returns:
        What was found, by step; nothing when the record is whole.

    Raises:
        JournalError: When there is no such run, or it is being removed or forked.
    """
    store = under(store, namespace)
    try:
        found = found_header(store, run_id)
    except JournalError as error:
        return [Problem("header", "altered", str(error))]
    return plan_of(header(store, run_id) if found is None else found).problems(store, run_id)


def questions(store: BaseStore, run_id: str, *, namespace: tuple[str, ...] = ()) -> list[Question]:
    """Return what the run waits to have answered by a human.

    Raises:
        JournalError: When there is no such run.
    """
    store = under(store, namespace)
    return [question_of(ballot) for ballot in open_ballots(store, run_id) if ballot["status"] == "asking"]


def answer(store: BaseStore, run_id: str, question_id: str, form: Form, *, namespace: tuple[str, ...] = ()) -> None:
    """Keep a human's answer for when the run continues: the next `solve` of it takes the answer, and asks for no other.

    Raises:
        JournalError: When there is no such run.
        ValueError: When it has no such question, or `form` is none of the four that a `Form` can be.
    """
    store = under(store, namespace)
    asked = {question["id"]: question for question in questions(store, run_id)}
    if question_id not in asked:
        there = f"open are {', '.join(asked)}" if asked else "it has none"
        raise ValueError(f"run {run_id!r} has no open question {question_id!r}: {there}")
    check_form(form, len(asked[question_id]["candidates"]))
    store_ops.batch(store, [run_data.put_answer(run_id, question_id, form)])


def delete(store: BaseStore, run_id: str, *, namespace: tuple[str, ...] = ()) -> None:
    """Remove a run, all its entries, and the calibration that it went by.

    It says so in the header first: where it breaks off, the next call finishes it, as does a run that begins under this
    id. A run whose header is damaged, or gone, is removed too.

    Raises:
        JournalError: When there is no such run.
        RunBusyError: When a live process is writing it.
    """
    store = under(store, namespace)
    with hold(store, records.check_id(run_id)):
        try:
            head, there = found_header(store, run_id), 0
        except JournalError:  # what cannot be read is removed all the same
            head, there = None, 1
        there += store_ops.drive(admin.removed(run_id, head), store)
    if not there:
        raise JournalError(f"there is no run {run_id!r} in this store")


def fork(store: BaseStore, run_id: str, step: int, new_id: str, *, namespace: tuple[str, ...] = ()) -> None:
    """Begin run `new_id` with the first `step` steps of `run_id`, and the k it was raised to, to continue from there.

    It says so in the new run's header first: where it breaks off, the next call finishes it, as does resuming the run.

    Raises:
        JournalError: When there is no run `run_id` with so many steps, or there is a run `new_id`.
        RunBusyError: When a live process is writing run `new_id`.
    """
    store = under(store, namespace)
    old, ended = chain(store, run_id), gapless(store, run_id)
    if not isinstance(step, int) or isinstance(step, bool) or not 0 <= step <= ended:
        raise JournalError(
            f"run {run_id!r} has its first {ended} steps: fork it at one from 0 to {ended}, not at {step}"
        )
    pending: Pending = {"what": "fork", "source": run_id, "step": step}
    new: Header = {**old, "run_id": records.check_id(new_id), "outcome": {}}
    new.pop("mixed", None)
    new.pop("found", None)
    with hold(store, new_id):
        there = found_header(store, new_id)
        if there is not None and "pending" not in there:
            raise JournalError(f"there is a run {new_id!r} already: fork to another id, or delete that run")
        if there is not None and there["pending"] != pending:  # what another call left
            store_ops.drive(admin.removed(new_id, there), store)
        elif there is None:
            store_ops.drive(admin.check_clear(new_id), store)
        store_ops.drive(admin.copied(new, pending), store)


def export(store: BaseStore, run_id: str, file: IO[str], *, namespace: tuple[str, ...] = ()) -> None:
    """Write the run as JSON Lines: its header first, then an entry a line, or a node of a recursive run.

    Raises:
        JournalError: When there is no such run.
    """
    store = under(store, namespace)
    head = header(store, run_id)
    file.write(json.dumps(head) + "\n")
    file.writelines(f"{line}\n" for line in plan_of(head).lines(store, run_id))


def _search(store: BaseStore, where: tuple[str, ...]) -> Iterator[Item]:
    """Return the items right below `where`, the last written first; databases take wildcards in it, so look again."""
    offset = 0
    while found := store_ops.batch(store, [SearchOp(where, limit=64, offset=offset, refresh_ttl=False)])[0]:
        yield from (item for item in found if item.namespace == where)
        offset += 64
