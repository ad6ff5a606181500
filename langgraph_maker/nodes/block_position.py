"""Where a block of lanes stands, for the worker that takes it up."""

from __future__ import annotations

from langgraph.store.base import BaseStore

from langgraph_maker.core.errors import JournalError
from langgraph_maker.core.task import Task
from langgraph_maker.journal import records
from langgraph_maker.journal.blocks import BlockProgress
from langgraph_maker.journal.position import Lane, RunPosition
from langgraph_maker.journal.records import Header
from langgraph_maker.journal.store_ops import StoreOps
from langgraph_maker.journal.worker_store import worker_store
from langgraph_maker.nodes.run_events import ballots_under_way
from langgraph_maker.nodes.run_position import RunTerms, check_fixed, laid_over, open_ballots, replayed, segments_of

__all__ = ["attach_block", "block_progress", "cells_of", "report"]


def cells_of(task: Task, header: Header, terms: RunTerms) -> list[Lane]:
    """Return the cells of a whole run: its lanes of all sessions laid over each other."""
    return laid_over(task, header, segments_of(task, terms["lanes"], terms["limit"]), terms["limit"])


def attach_block(task: Task, run_id: str, terms: RunTerms, bounds: tuple[int, int]) -> StoreOps[RunPosition]:
    """Return where the journal has the lanes of a block; its totals are those of the block alone.

    The last lane has a goal too, where the next block begins, but for that of the last block.

    Raises:
        JournalError: When the journal is of another task, or was altered.
    """
    header = records.read_header((yield [records.get_header(run_id)])[0], run_id)
    if header is None:
        raise JournalError(f"there is no run {run_id!r} in this store")
    check_fixed(f"run {run_id!r}", header, terms["fixed"])
    start, end = bounds
    cells = [cell for cell in cells_of(task, header, terms) if start <= cell["step"] < end]
    if not cells or (cells[0]["step"], cells[-1]["end"]) != bounds:
        raise JournalError(f"run {run_id!r} has no lanes from step {start} to {end}: {task.name} has changed")
    position, _ = yield from replayed(task, header, cells, terms["margin"])
    ballots = yield from open_ballots(run_id, position["lanes"], [])
    return {**position, "ballots": ballots}


def block_progress(position: RunPosition) -> BlockProgress:
    """Return what a block's record says of this position."""
    return {
        "totals": position["totals"],
        "open": ballots_under_way(position["ballots"]),
        "lanes": sum(lane["step"] < lane["end"] for lane in position["lanes"]),
    }


def report(store: BaseStore, position: RunPosition) -> None:
    """Have a worker's next write say how far its block is; outside of workers nothing."""
    if (worker := worker_store(store)) is not None:
        worker.report(block_progress(position))
