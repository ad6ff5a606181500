"""What is recorded of a run that many workers advance: its blocks of lanes, its workers, what its coordinator asks.

A block is a stretch of whole lanes. Its steps are journalled where those of any run are; its record says whose it is,
under a fencing number that each write of its owner must match (`claims`), and how far it has come.
"""

from __future__ import annotations

import json
from datetime import UTC
from typing import Any, Final, Literal, NotRequired, cast

from langgraph.store.base import BaseStore, GetOp, Item, PutOp
from typing_extensions import TypedDict

from langgraph_maker.core.events import OpenBallots, Totals
from langgraph_maker.core.reasons import ReasonCode
from langgraph_maker.journal import records, store_ops
from langgraph_maker.journal.admin import keys_in
from langgraph_maker.journal.records import check, read_record
from langgraph_maker.journal.store_ops import StoreOps

__all__ = [
    "CONTROL",
    "Block",
    "BlockProgress",
    "Control",
    "WorkerRecord",
    "block_key",
    "cleared",
    "fence_of",
    "fresh",
    "get_block",
    "get_control",
    "put_block",
    "put_control",
    "read_block",
    "read_blocks",
    "read_control",
    "read_worker",
    "spent",
    "value_of",
    "worker_key",
    "workers_of",
]

CONTROL: Final = "control"
_REMEDY: Final = "resume the run: whoever coordinates it cuts its blocks anew"


class BlockProgress(TypedDict):
    """How far the steps of a block are: totals of what is decided, and what the ballots under way amount to."""

    totals: Totals
    open: OpenBallots
    lanes: int


class Block(TypedDict):
    """The steps from `start` to before `end`, and how they stand.

    `number` counts how often it was claimed, by `owner` the last time; "" where nobody has it. It is `broken` while it
    is taken from an owner who did not give it back, and nothing was written since. `lost` is how many
    samples may have been in flight, and lost, where owners broke off.
    """

    start: int
    end: int
    number: int
    owner: str
    status: Literal["open", "done", "unresolved", "stopped", "waiting", "failed"]
    reason: str
    reason_code: ReasonCode
    progress: BlockProgress | None
    broken: bool
    lost: int


class WorkerRecord(TypedDict):
    """A process that advances blocks: where it runs, since when, what it holds, what it did.

    `writer` is its token in entries. `left` says why it ended, None while it works. `seen` is its last sign of life.
    """

    name: str
    writer: str
    host: str
    pid: int
    began: str
    block: int | None
    blocks: int
    steps: int
    samples: int
    left: str | None
    seen: NotRequired[str]


class Control(TypedDict):
    """What the coordinator of a run asks of its workers.

    `stop` is why they are to leave, code and text. `before` is what was spent on steps that are in no block: samples,
    and dollars. `k` is what alarms raised the margin to. `lease` is after how many
    seconds without a sign of life a worker's blocks go to others. `deadline` is in seconds since the epoch.
    """

    state: Literal["working", "ended"]
    session: str
    coordinator: str
    stop: list[str] | None
    before: tuple[int, float | None]
    k: int
    lease: float
    max_total_samples: int | None
    max_cost: float | None
    deadline: float | None
    max_concurrency: int | None


def block_key(start: int) -> str:
    """Return the key of the block that starts at this step."""
    return f"block-{start:012d}"


def worker_key(name: str) -> str:
    """Return the key of a worker's record."""
    return f"worker-{name}"


def fresh(start: int, end: int) -> Block:
    """Return the record of a block that nobody has claimed."""
    return {
        "start": start,
        "end": end,
        "number": 0,
        "owner": "",
        "status": "open",
        "reason": "",
        "reason_code": "",
        "progress": None,
        "broken": False,
        "lost": 0,
    }


def fence_of(block: Block, session: str) -> str:
    """Return what a write of the block's owner must match: no two claims have the same."""
    return f"{session}/{block['number']}/{block['owner']}"


def value_of(run_id: str, block: Block, session: str) -> dict[str, Any]:
    """Return a block's record as a store holds it: what databases compare and add up stands beside its text."""
    text, key = json.dumps(block), block_key(block["start"])
    samples, cost = spent(block)
    return {
        "block": text,
        "check": check(run_id, f"{key}\n{text}"),
        "fence": fence_of(block, session),
        "owner": block["owner"],
        "status": block["status"],
        "samples": samples,
        "cost": cost,
    }


def spent(block: Block) -> tuple[int, float | None]:
    """Return the samples and the dollars of a block, those of open ballots and of what was lost included."""
    progress = block["progress"]
    if progress is None:
        return block["lost"], 0.0
    decided, still = progress["totals"]["usage"]["cost"], progress["open"]["cost"]
    cost = None if decided is None or still is None else decided + still
    return progress["totals"]["samples"] + progress["open"]["samples"] + block["lost"], cost


def put_block(run_id: str, block: Block, session: str) -> PutOp:
    """Write a block's record."""
    return PutOp(records.blocks(run_id), block_key(block["start"]), value_of(run_id, block, session), index=False)


def get_block(run_id: str, key: str) -> GetOp:
    """Ask for a block's record."""
    return GetOp(records.blocks(run_id), key, refresh_ttl=False)


def read_block(item: Item, run_id: str) -> Block:
    """Return the block in what the store returned.

    Raises:
        JournalError: When it is not as it was written.
    """
    plain = Item(
        value={name: item.value.get(name) for name in ("block", "check")},
        key=item.key,
        namespace=item.namespace,
        created_at=item.created_at,
        updated_at=item.updated_at,
    )
    return cast("Block", read_record(plain, run_id, item.key, "block", f"record {item.key}", _REMEDY))


def read_blocks(items: list[Item], run_id: str) -> list[Block]:
    """Return the blocks among the records of a run's workers, by their steps."""
    found = [read_block(item, run_id) for item in items if item.key.startswith("block-")]
    return sorted(found, key=lambda block: block["start"])


def read_worker(item: Item, run_id: str) -> WorkerRecord:
    """Return the worker in what the store returned.

    Raises:
        JournalError: When it is not as it was written.
    """
    return cast("WorkerRecord", read_record(item, run_id, item.key, "worker", f"record {item.key}", _REMEDY))


def workers_of(store: BaseStore, run_id: str) -> list[WorkerRecord]:
    """Return all workers that a run has had, in the order in which they came.

    Raises:
        JournalError: When the record of one is not as it was written.
    """
    where = records.blocks(run_id)
    keys = [key for key in store_ops.drive(keys_in(where), store) if key.startswith("worker-")]
    found = store_ops.batch(store, [GetOp(where, key, refresh_ttl=False) for key in keys])
    workers = [_seen(item, run_id) for item in found if item is not None]
    return sorted(workers, key=lambda one: one["began"])


def _seen(item: Item, run_id: str) -> WorkerRecord:
    seen = item.updated_at
    utc = seen.replace(tzinfo=UTC) if seen.tzinfo is None else seen.astimezone(UTC)
    return {**read_worker(item, run_id), "seen": utc.isoformat(timespec="seconds")}


def get_control(run_id: str) -> GetOp:
    """Ask for what the coordinator asks of workers."""
    return GetOp(records.blocks(run_id), CONTROL, refresh_ttl=False)


def put_control(run_id: str, control: Control) -> PutOp:
    """Write what the coordinator asks of workers."""
    return records.put_record(records.blocks(run_id), run_id, CONTROL, "control", control)


def read_control(item: Item | None, run_id: str) -> Control | None:
    """Return what the coordinator asks, None where there is no coordinator.

    Raises:
        JournalError: When it is not as it was written.
    """
    if item is None:
        return None
    return cast("Control", read_record(item, run_id, CONTROL, "control", "control record", _REMEDY))


def cleared(run_id: str) -> StoreOps[bool]:
    """Take all blocks from their workers, whose writes are refused from then on; return whether there were any.

    For whoever holds the run's own lock, before it reads how far the run is.
    """
    where = records.blocks(run_id)
    [control] = yield [get_control(run_id)]
    if control is None:
        return False
    keys = [key for key in (yield from keys_in(where)) if key.startswith("block-")]
    if keys:
        yield [PutOp(where, key, None) for key in keys]
    return True
