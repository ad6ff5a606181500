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

from langgraph.store.base import BaseStore, Item, SearchOp

from langgraph_maker import records
from langgraph_maker.errors import JournalError
from langgraph_maker.nodes.position import forget
from langgraph_maker.records import Entry, Header

__all__ = ["Entry", "Header", "Problem", "delete", "export", "fork", "header", "read", "runs", "steps", "verify"]

_BATCH = 1024


@dataclass(frozen=True)
class Problem:
    """What `verify` found at a step: "missing", "altered", "broken succession" or "mixed writers"."""

    step: int
    kind: str
    detail: str


def read(store: BaseStore, run_id: str, start: int = 0) -> Iterator[Entry]:
    """Iterate over a run's entries in order, from step `start` to the first that is not there.

    Raises:
        JournalError: When an entry is not as it was written.
    """
    for step, item in _items(store, run_id, range(start, sys.maxsize)):
        if (entry := records.read_entry(item, run_id, step)) is None:
            return
        yield entry


def header(store: BaseStore, run_id: str) -> Header:
    """What the run is: its task, parameters and k, who worked on it, how it stood when it last ended.

    Raises:
        JournalError: When there is no such run.
    """
    found = records.read_header(store.batch([records.get_header(run_id)])[0], run_id)  # type: ignore[arg-type]
    if found is None:
        raise JournalError(f"there is no run {run_id!r} in this store")
    return found


def runs(store: BaseStore) -> Iterator[Header]:
    """Iterate over the headers of all runs in the store, the last written first."""
    for item in _search(store, records.HEADERS):
        run_id = json.loads(item.value.get("header", "{}")).get("run_id", "")
        if (one := records.read_header(item, run_id)) is not None:
            yield one


def steps(store: BaseStore, run_id: str) -> int:
    """How many steps the run has, found by halving: a few dozen look-ups, however many steps there are.

    Raises:
        JournalError: When there is no such run.
    """
    ended = int(header(store, run_id)["outcome"].get("steps", 0))

    def there(step: int) -> bool:
        return store.batch(records.get_entries(run_id, [step]))[0] is not None

    reach = 1
    while there(ended + reach - 1):
        ended, reach = ended + reach, 2 * reach
    while reach := reach // 2:
        ended += reach if there(ended + reach - 1) else 0
    return ended


def verify(store: BaseStore, run_id: str) -> list[Problem]:
    """Look for steps that are missing, altered, out of succession or written by two processes at once.

    Returns:
        What was found, by step; nothing when the record is whole.

    Raises:
        JournalError: When there is no such run.
    """
    order = [session["writer"] for session in header(store, run_id)["sessions"]]
    ended = steps(store, run_id)
    problems: list[Problem] = []
    last: Entry | None = None
    for step, item in _items(store, run_id, range(_last(store, run_id, ended) + 1)):
        try:
            entry = records.read_entry(item, run_id, step)
        except JournalError as error:
            problems.append(Problem(step, "altered", str(error)))
            last = None
            continue
        if entry is None:
            problems.append(Problem(step, "missing", "there are later steps, but not this one"))
        elif entry["writer"] not in order:
            problems.append(Problem(step, "mixed writers", f"{entry['writer']} never began work on this run"))
        elif last is not None and last["step"] == step - 1:
            if entry["start"] != last["end"]:
                problems.append(Problem(step, "broken succession", f"it does not start where step {step - 1} ended"))
            if order.index(entry["writer"]) < order.index(last["writer"]):
                detail = f"{entry['writer']} wrote it after {last['writer']} had taken over"
                problems.append(Problem(step, "mixed writers", detail))
        last = entry
    return problems


def delete(store: BaseStore, run_id: str) -> None:
    """Remove a run and all its entries.

    Raises:
        JournalError: When there is no such run.
    """
    ended = steps(store, run_id)
    for start in range(0, ended + 1, _BATCH):
        batch = range(start, min(start + _BATCH, ended + 1))
        store.batch([records.drop_entry(run_id, step) for step in batch])
        store.batch([records.put_open(run_id, step, None) for step in batch])
    store.batch([records.drop_header(run_id)])
    forget(store, run_id)


def fork(store: BaseStore, run_id: str, step: int, new_id: str) -> None:
    """Begin run `new_id` with the first `step` steps of `run_id`, to go on from there.

    Raises:
        JournalError: When there is no run `run_id` with so many steps, or there is a run `new_id`.
    """
    old = header(store, run_id)
    if records.read_header(store.batch([records.get_header(new_id)])[0], new_id) is not None:  # type: ignore[arg-type]
        raise JournalError(f"there is a run {new_id!r} already: fork to another id, or delete that run")
    if not 0 <= step <= (ended := steps(store, run_id)):
        raise JournalError(f"run {run_id!r} has {ended} steps: fork it at one from 0 to {ended}, not at {step}")
    copies = (records.put_entry(new_id, entry) for entry in islice(read(store, run_id), step))
    while batch := list(islice(copies, _BATCH)):
        store.batch(batch)
    store.batch([records.put_header({**old, "run_id": new_id, "outcome": {"forked_from": run_id, "steps": step}})])


def export(store: BaseStore, run_id: str, file: IO[str]) -> None:
    """Write the run as JSON Lines: its header first, then an entry a line.

    Raises:
        JournalError: When there is no such run.
    """
    file.write(json.dumps(header(store, run_id)) + "\n")
    for entry in read(store, run_id):
        file.write(json.dumps(entry) + "\n")


def _items(store: BaseStore, run_id: str, wanted: range) -> Iterator[tuple[int, Item | None]]:
    for start in range(wanted.start, wanted.stop, _BATCH):
        batch = range(start, min(start + _BATCH, wanted.stop))
        yield from zip(batch, store.batch(records.get_entries(run_id, batch)), strict=True)


def _last(store: BaseStore, run_id: str, ended: int) -> int:
    """The last entry there is, one that lies up to 1,024 steps beyond a gap included."""
    last = ended - 1
    for step, item in _items(store, run_id, range(ended, sys.maxsize)):
        if item is not None:
            last = step
        elif step - last > _BATCH:
            return last
    return last


def _search(store: BaseStore, where: tuple[str, ...]) -> Iterator[Item]:
    """The items right below `where`, the last written first; databases take wildcards in it, so look again."""
    offset = 0
    while found := store.batch([SearchOp(where, limit=64, offset=offset, refresh_ttl=False)])[0]:
        yield from (item for item in found if item.namespace == where)  # type: ignore[union-attr,misc]
        offset += 64
