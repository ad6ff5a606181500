"""What is done to a run as a whole: it is removed, or its beginning copied, by plans that first say so in its header.

What breaks off is finished by whoever opens the run next, or does the same again. Until then nobody reads the run, and
none begins under its id.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, cast

from langgraph.store.base import Item, Op, PutOp, SearchOp

from langgraph_maker.core.errors import JournalError, RunBusyError
from langgraph_maker.journal import records, run_data
from langgraph_maker.journal.records import Header, Pending
from langgraph_maker.journal.segments import ends
from langgraph_maker.journal.store_ops import StoreOps

__all__ = ["check_clear", "copied", "keys_in", "opened", "removed", "takeover"]

_BATCH = 1024


def opened(run_id: str) -> StoreOps[Header | None]:
    """Return the header of a run that is to be written, once what was being done to the run as a whole is done.

    Raises:
        JournalError: When that cannot be finished, or the header is damaged.
    """
    header = records.read_header((yield [records.get_header(run_id)])[0], run_id)
    if header is None or (pending := header.get("pending")) is None:
        return header
    if pending["what"] == "delete":
        yield from removed(run_id, header)
        return None
    return (yield from copied(header, pending))


def check_clear(run_id: str, starts: Sequence[int] = (0,), stride: int = records.ONE_LANE) -> StoreOps[None]:
    """Refuse to begin a run where records of one are left that has no header; its lanes would begin at `starts`.

    Raises:
        JournalError: With what to do.
    """
    found = yield [
        *records.get_entries(run_id, starts, stride),
        *(run_data.get_open(run_id, step) for step in starts),
        run_data.get_raised(run_id),
        run_data.get_alarms(run_id),
        *(records.get_node(run_id, key) for key in ("head", "node-1")),
    ]
    if any(item is not None for item in found):
        raise JournalError(
            f"run {run_id!r} has no header, and other records of it are there (an older version left them, or the"
            " header is lost): journal.delete removes them, or give another run id"
        )


def removed(run_id: str, header: Header | None) -> StoreOps[int]:
    """Remove all records of a run, its header last; returns how many there were, at least.

    Entries go from the last to the first, so that those which are left are found as quickly as those of a whole run.
    """
    count = 0
    if header is not None:
        pending: Pending = {"what": "delete"}
        yield [records.put_header({**header, "pending": pending})]
        count = 1
        for (first, _), end in (yield from ends(run_id, header)):
            for stop in range(end, first, -_BATCH):
                steps = range(max(first, stop - _BATCH), stop)
                yield [records.drop_entry(run_id, step, header["stride"]) for step in reversed(steps)]
                count += len(steps)
    places = (
        records.namespace,
        records.tree,
        records.calibration,
        records.batches,
        records.blocks,
        records.evidence,
    )
    for place in places:
        where = place(run_id)
        keys = yield from keys_in(where)
        for start in range(0, len(keys), _BATCH):
            yield [PutOp(where, key, None) for key in keys[start : start + _BATCH]]
        count += len(keys)
    yield [records.drop_header(run_id)]
    return count


def keys_in(where: tuple[str, ...]) -> StoreOps[list[str]]:
    """Return the keys right below `where`; databases take wildcards in it, so look again."""
    keys: list[str] = []
    offset = 0
    while found := cast("list[Any]", (yield [SearchOp(where, limit=_BATCH, offset=offset, refresh_ttl=False)])[0]):
        keys += [item.key for item in found if item.namespace == where]
        offset += len(found)
    return keys


def copied(header: Header, pending: Pending) -> StoreOps[Header]:
    """Copy the entries that the run with this header begins with, and the k that its source was raised to.

    Raises:
        JournalError: When the source has not so many, any more.
    """
    run_id, source, count = header["run_id"], pending["source"], pending["step"]
    old = records.read_header((yield [records.get_header(source)])[0], source)
    if old is None or old.get("pending") is not None:
        raise JournalError(
            f"run {run_id!r} is a fork of run {source!r} that broke off, and that run is gone: remove the fork"
            " (journal.delete)"
        )
    yield [records.put_header({**header, "pending": pending})]
    for start in range(0, count, _BATCH):
        steps = range(start, min(start + _BATCH, count))
        items = yield records.get_entries(source, steps, old["stride"])
        yield [*_copies(run_id, source, steps, items, header["stride"])]
    [raised] = yield [run_data.get_raised(source)]
    if k := run_data.read_raised(raised, source):
        yield [run_data.put_raised(run_id, k)]
    whole: Header = {**header, "outcome": {"forked_from": source, "steps": count}}
    whole.pop("pending", None)
    yield [records.put_header(whole)]
    return whole


def _copies(run_id: str, source: str, steps: range, items: Sequence[Item | None], stride: int) -> Iterator[Op]:
    for step, item in zip(steps, items, strict=True):
        if (entry := records.read_entry(item, source, step)) is None:
            raise JournalError(
                f"run {source!r} has no step {step} any more, so that its fork {run_id!r} cannot be made: remove the"
                " fork (journal.delete)"
            )
        yield records.put_entry(run_id, entry, stride)


def takeover(run_id: str) -> StoreOps[None]:
    """End this process's work on a run that another one has taken over, and leave evidence of it for `verify`.

    Raises:
        RunBusyError: When that is so, with who it is.
        JournalError: When the run was removed meanwhile.
    """
    header: Header | None = None
    for _ in range(2):  # a store may answer from the past
        header = records.read_header((yield [records.get_header(run_id)])[0], run_id)
        if header is not None and header["sessions"][-1]["writer"] == records.writer():
            return
    if header is None:
        raise JournalError(f"run {run_id!r} was removed while it was written: begin it anew under another id")
    other = header["sessions"][-1]
    yield [PutOp(records.evidence(run_id), records.writer(), {"by": other["writer"]}, index=False)]
    raise RunBusyError(
        f"run {run_id!r} was taken over by process {other['writer']} at {other['began']}, while process"
        f" {records.writer()} wrote it, on a store that cannot lock it: let one of them write, and look at the run with"
        " journal.verify"
    )
