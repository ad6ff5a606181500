"""Where a run's entries lie: its cells, from cut to cut of all its lanes, and how far each has come."""

from __future__ import annotations

from collections.abc import Iterator

from langgraph.store.base import BaseStore, Item

from langgraph_maker.core.errors import JournalError
from langgraph_maker.journal import records, store_ops
from langgraph_maker.journal.records import Header
from langgraph_maker.journal.store_ops import StoreOps
from langgraph_maker.journal.tenants import under

__all__ = ["chain", "checked", "ends", "ends_of", "found_header", "gapless", "header", "items_at", "last_of"]

_BATCH = 1024


def header(store: BaseStore, run_id: str, *, namespace: tuple[str, ...] = ()) -> Header:
    """Return what the run is: its task, parameters and k, who worked on it, how it stood when it last ended.

    Raises:
        JournalError: When there is no such run.
    """
    found = found_header(under(store, namespace), run_id)
    if found is None:
        raise JournalError(f"there is no run {run_id!r} in this store")
    if (pending := found.get("pending")) is None:
        return found
    if pending["what"] == "delete":
        raise JournalError(f"run {run_id!r} is being deleted: where that broke off, journal.delete finishes it")
    raise JournalError(
        f"run {run_id!r} is being forked from run {pending['source']!r} at step {pending['step']}: where that broke off"
        " the same journal.fork finishes it, as does resuming it, and journal.delete removes it"
    )


def found_header(store: BaseStore, run_id: str) -> Header | None:
    """Return the header of a run, whatever is being done to it, None where there is none."""
    [item] = store_ops.batch(store, [records.get_header(run_id)])
    return records.read_header(item, run_id)


def chain(store: BaseStore, run_id: str) -> Header:
    """Return the header of a run that is a chain of steps.

    Raises:
        JournalError: When there is no such run, or it is a recursive one.
    """
    return checked(header(store, run_id))


def checked(found: Header) -> Header:
    """Return the header, if it is that of a chain.

    Raises:
        JournalError: When it is that of a recursive run.
    """
    if found.get("kind") == "tree":
        raise JournalError(
            f"run {found['run_id']!r} is a recursive one, and has a tree in place of steps: recursion.read_tree reads"
            " it"
        )
    return found


def items_at(store: BaseStore, run_id: str, stride: int, wanted: range) -> Iterator[tuple[int, Item | None]]:
    """Return what the store has at each of these steps, 1,024 at a time."""
    for start in range(wanted.start, wanted.stop, _BATCH):
        batch = range(start, min(start + _BATCH, wanted.stop))
        yield from zip(batch, store_ops.batch(store, records.get_entries(run_id, batch, stride)), strict=True)


def ends_of(store: BaseStore, run_id: str) -> list[tuple[tuple[int, int], int]]:
    """Return the run's cells, from cut to cut of all its lanes, each with the step that its entries end before."""
    return store_ops.drive(ends(run_id, chain(store, run_id)), store)


def ends(run_id: str, head: Header) -> StoreOps[list[tuple[tuple[int, int], int]]]:
    """Do what `ends_of` does, of the run with this header."""
    sessions, stride = head["sessions"], head["stride"]
    cuts = sorted({start for session in sessions for start in session["starts"]} or {0})
    limit = max((session["end"] for session in sessions), default=0)
    cells = list(zip(cuts, [*cuts[1:], limit], strict=True))
    low, high = [start for start, _ in cells], [end for _, end in cells]
    while searched := [cell for cell in range(len(cells)) if low[cell] < high[cell]]:
        middles = [(low[cell] + high[cell]) // 2 for cell in searched]
        found = yield records.get_entries(run_id, middles, stride)
        for cell, middle, item in zip(searched, middles, found, strict=True):
            if item is None:
                high[cell] = middle
            else:
                low[cell] = middle + 1
    return list(zip(cells, low, strict=True))


def gapless(store: BaseStore, run_id: str) -> int:
    """Return how many steps there are without a gap."""
    done = 0
    for (_, end), ends in ends_of(store, run_id):
        done = ends
        if ends < end:
            break
    return done


def last_of(store: BaseStore, run_id: str, stride: int, ends: int, end: int) -> int:
    """Return the last entry of a cell, one that lies up to 1,024 steps beyond a gap included."""
    last = ends - 1
    for step, item in items_at(store, run_id, stride, range(ends, end)):
        if item is not None:
            last = step
        elif step - last > _BATCH:
            break
    return last
