"""The journal: the full record of a run, one entry a committed step, on any LangGraph `BaseStore`.

A step counts as done only once it is here, and a committed entry is never overwritten. Reading needs no task and no
model. The functions are synchronous; in asynchronous code run them in a thread (`asyncio.to_thread`), with a
store that can be used from there.

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
from dataclasses import dataclass
from itertools import islice
from typing import IO

from langgraph.store.base import BaseStore, Item, PutOp, SearchOp

from langgraph_maker import notes, plans, records
from langgraph_maker.cells import chain, checked, ends_of, gapless, header, items_at, last_of
from langgraph_maker.errors import JournalError
from langgraph_maker.events import Alarm
from langgraph_maker.ladder.questions import Form, Question, asked_about, check_form
from langgraph_maker.nodes.position import forget
from langgraph_maker.records import Entry, Header
from langgraph_maker.recursion import keeping
from langgraph_maker.recursion.record import fetch, headed
from langgraph_maker.state import BallotState

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


@dataclass(frozen=True)
class Problem:
    """What `verify` found at a step: "missing", "altered", "undercut", "broken succession" or "mixed writers".

    In a recursive run `step` is a node's id.
    """

    step: int | str
    kind: str
    detail: str


def read(store: BaseStore, run_id: str, start: int = 0) -> Iterator[Entry]:
    """Iterate over a run's entries in order, from step `start` to the first that is not there.

    Of a run with lanes that is under way these are not all: `export` writes all.

    Raises:
        JournalError: When an entry is not as it was written.
    """
    found = records.read_header(store.batch([records.get_header(run_id)])[0], run_id)  # type: ignore[arg-type]
    stride = checked(found)["stride"] if found else records.ONE_LANE
    for step, item in items_at(store, run_id, stride, range(start, sys.maxsize)):
        if (entry := records.read_entry(item, run_id, step)) is None:
            return
        yield entry


def entries(store: BaseStore, run_id: str) -> Iterator[Entry]:
    """Iterate over all entries, those of lanes under way included, in the order in which they lie in the store.

    That is lane beside lane, and the fastest order to read a long run in.

    Raises:
        JournalError: When there is no such run, or an entry is not as it was written.
    """
    stride = header(store, run_id)["stride"]
    cells = [(start, ends) for (start, _), ends in ends_of(store, run_id)]
    places = range(max(ends - start for start, ends in cells))
    wanted = (start + place for place in places for start, ends in cells if start + place < ends)
    while batch := list(islice(wanted, _BATCH)):
        for step, item in zip(batch, store.batch(records.get_entries(run_id, batch, stride)), strict=True):
            if (entry := records.read_entry(item, run_id, step)) is not None:  # type: ignore[arg-type]
                yield entry


def open_ballots(store: BaseStore, run_id: str) -> list[BallotState]:
    """The ballots that were under way when the run was last written, one a lane at most, by step; or one a node.

    Raises:
        JournalError: When there is no such run, or a ballot cannot be read.
    """
    if header(store, run_id).get("kind") == "tree":
        return plans.drive(fetch(run_id, headed(store, run_id)), store)["ballots"]
    ahead = [ends for (_, end), ends in ends_of(store, run_id) if ends < end]
    found = zip(ahead, store.batch([notes.get_open(run_id, step) for step in ahead]), strict=True)
    ballots = [notes.read_open(item, run_id, step) for step, item in found]  # type: ignore[arg-type]
    return [ballot for ballot in ballots if ballot is not None]


def alarms(store: BaseStore, run_id: str) -> list[Alarm]:
    """The alarms that were raised while the run went on, in that order; those of each process that worked on it.

    Raises:
        JournalError: When they cannot be read.
    """
    return notes.read_alarms(store.batch([notes.get_alarms(run_id)])[0], run_id)  # type: ignore[arg-type]


def runs(store: BaseStore) -> Iterator[Header]:
    """Iterate over the headers of all runs in the store, the last written first.

    One that this version cannot read has the status "unreadable".
    """
    for item in _search(store, records.HEADERS):
        run_id = str(json.loads(item.value.get("header", "{}")).get("run_id", item.key))
        try:
            one = records.read_header(item, run_id)
        except JournalError:
            one = _unreadable(run_id)
        if one is not None:
            yield one


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


def steps(store: BaseStore, run_id: str) -> int:
    """How many steps the run has, found by halving: a few dozen look-ups a lane, however many steps there are.

    Of a recursive run, how many stages of its nodes were decided.

    Raises:
        JournalError: When there is no such run.
    """
    if header(store, run_id).get("kind") == "tree":
        return int(headed(store, run_id)["decided"])
    return sum(ends - start for (start, _), ends in ends_of(store, run_id))


def verify(store: BaseStore, run_id: str) -> list[Problem]:
    """Look for steps that are missing, altered, short of k, out of succession or written by two processes at once.

    What lanes of an unfinished run have yet to do is not missing.

    Returns:
        What was found, by step; nothing when the record is whole.

    Raises:
        JournalError: When there is no such run.
    """
    if header(store, run_id).get("kind") == "tree":
        return [Problem(*found) for found in keeping.inspect(store, run_id)]
    return _verified(store, run_id)


def _verified(store: BaseStore, run_id: str) -> list[Problem]:
    head, cells = chain(store, run_id), ends_of(store, run_id)
    order, stride = [session["writer"] for session in head["sessions"]], head["stride"]
    problems: list[Problem] = []
    last: Entry | None = None
    for (start, end), ends in cells:
        session = 0
        for step, item in items_at(store, run_id, stride, range(start, last_of(store, run_id, stride, ends, end) + 1)):
            try:
                entry = records.read_entry(item, run_id, step)
            except JournalError as error:
                problems.append(Problem(step, "altered", str(error)))
                last = None
                continue
            if entry is None:
                problems.append(Problem(step, "missing", "there are later steps, but not this one"))
                continue
            if last is not None and last["step"] == step - 1 and entry["start"] != last["end"]:
                problems.append(Problem(step, "broken succession", f"it does not start where step {step - 1} ended"))
            if isinstance(head["k"], int) and entry["margin"] < head["k"] and not entry["human"]:
                problems.append(
                    Problem(step, "undercut", f"it was decided by {entry['margin']}, where k is {head['k']}")
                )
            last, writer = entry, entry["writer"]
            if writer not in order:
                problems.append(Problem(step, "mixed writers", f"{writer} never began work on this run"))
            elif writer in order[session:]:
                session += order[session:].index(writer)
            else:
                detail = f"{writer} wrote it after {order[session]} had taken over"
                problems.append(Problem(step, "mixed writers", detail))
    ended, there = head["outcome"].get("steps", 0), sum(ends - start for (start, _), ends in cells)
    if ended > there and not any(problem.kind == "missing" for problem in problems):
        first = next(ends for (_, end), ends in cells if ends < end)
        problems.append(
            Problem(first, "missing", f"the run had {ended} steps when it ended, of which {there} are there")
        )
    return problems


def questions(store: BaseStore, run_id: str) -> list[Question]:
    """What the run waits to have answered by a human.

    Raises:
        JournalError: When there is no such run.
    """
    return [asked_about(ballot) for ballot in open_ballots(store, run_id) if ballot["status"] == "asking"]


def answer(store: BaseStore, run_id: str, question_id: str, form: Form) -> None:
    """Keep a human's answer for when the run goes on: the next `solve` of it takes the answer, and asks for no other.

    Raises:
        JournalError: When there is no such run.
        ValueError: When it has no such question, or `form` is none of the four that a `Form` can be.
    """
    asked = {question["id"]: question for question in questions(store, run_id)}
    if question_id not in asked:
        there = f"open are {', '.join(asked)}" if asked else "it has none"
        raise ValueError(f"run {run_id!r} has no open question {question_id!r}: {there}")
    check_form(form, len(asked[question_id]["candidates"]))
    store.batch([notes.put_answer(run_id, question_id, form)])


def delete(store: BaseStore, run_id: str) -> None:
    """Remove a run, all its entries, and the calibration that it went by.

    Raises:
        JournalError: When there is no such run.
    """
    if keeping.is_tree(store, run_id):
        keeping.remove(store, run_id)
        return
    stride = header(store, run_id)["stride"]
    for (first, end), ends in ends_of(store, run_id):
        beyond = last_of(store, run_id, stride, ends, end) + 2
        for start in range(first, beyond, _BATCH):
            batch = range(start, min(start + _BATCH, beyond))
            store.batch([records.drop_entry(run_id, step, stride) for step in batch])
            store.batch([notes.put_open(run_id, step, None) for step in batch])
            store.batch([notes.put_answer(run_id, str(step), None) for step in batch])
    where = records.calibration(run_id)
    store.batch([PutOp(where, key, None) for key in [item.key for item in _search(store, where)]])
    rest = [notes.put_raised(run_id, None), notes.put_alarms(run_id, None), notes.put_kept(run_id, None)]
    store.batch([*rest, records.drop_header(run_id)])
    forget(store, run_id)


def fork(store: BaseStore, run_id: str, step: int, new_id: str) -> None:
    """Begin run `new_id` with the first `step` steps of `run_id`, to go on from there.

    Raises:
        JournalError: When there is no run `run_id` with so many steps, or there is a run `new_id`.
    """
    old = header(store, run_id)
    records.check_id(new_id)
    if records.read_header(store.batch([records.get_header(new_id)])[0], new_id) is not None:  # type: ignore[arg-type]
        raise JournalError(f"there is a run {new_id!r} already: fork to another id, or delete that run")
    ended = gapless(store, run_id)
    if not isinstance(step, int) or isinstance(step, bool) or not 0 <= step <= ended:
        raise JournalError(
            f"run {run_id!r} has its first {ended} steps: fork it at one from 0 to {ended}, not at {step}"
        )
    copies = (records.put_entry(new_id, entry, old["stride"]) for entry in islice(read(store, run_id), step))
    while batch := list(islice(copies, _BATCH)):
        store.batch(batch)
    store.batch([records.put_header({**old, "run_id": new_id, "outcome": {"forked_from": run_id, "steps": step}})])


def export(store: BaseStore, run_id: str, file: IO[str]) -> None:
    """Write the run as JSON Lines: its header first, then an entry a line, or a node of a recursive run.

    Raises:
        JournalError: When there is no such run.
    """
    head = header(store, run_id)
    file.write(json.dumps(head) + "\n")
    if head.get("kind") == "tree":
        keeping.export(store, run_id, file)
        return
    for (start, _), ends in ends_of(store, run_id):
        for entry in islice(read(store, run_id, start), ends - start):
            file.write(json.dumps(entry) + "\n")


def _search(store: BaseStore, where: tuple[str, ...]) -> Iterator[Item]:
    """The items right below `where`, the last written first; databases take wildcards in it, so look again."""
    offset = 0
    while found := store.batch([SearchOp(where, limit=64, offset=offset, refresh_ttl=False)])[0]:
        yield from (item for item in found if item.namespace == where)  # type: ignore[union-attr,misc]
        offset += 64
