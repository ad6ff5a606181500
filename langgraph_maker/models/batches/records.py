"""Which batches hold which requests of a run: in its store before a batch is created, and once its id is known.

So a run that is resumed finds the batches of the process before it, and submits nothing twice.
"""

from __future__ import annotations

import base64
import time
from collections.abc import Sequence
from typing import Final

import numpy as np
from langgraph.store.base import GetOp, Op
from numpy.typing import NDArray
from pydantic import TypeAdapter
from typing_extensions import TypedDict

from langgraph_maker.journal import records, store_ops
from langgraph_maker.models.keeping import Keeping

__all__ = ["BatchRecord", "BatchRecords"]


class _Held(TypedDict):
    """A record as it is written; `keys` are in base64."""

    intake: str
    batch: str | None
    began: float
    keys: str


class BatchRecord:
    """A batch of a run: its name, its id once that is known, and its requests, by the beginning of their keys."""

    def __init__(self, number: int, intake: str, batch_id: str | None, began: float, keys: NDArray[np.uint64]) -> None:
        self.number, self.intake, self.batch_id, self.began = number, intake, batch_id, began
        self.keys = keys

    def holds(self, key: str) -> bool:
        """Return whether a request is in the batch."""
        at = int(np.searchsorted(self.keys, short := _short(key)))
        return at < len(self.keys) and self.keys[at] == short


class BatchRecords:
    """The batches of one run. Without a store nothing is recorded, and nothing found."""

    def __init__(self, kept: Keeping | None) -> None:
        self.kept = kept
        self.found: list[BatchRecord] = []
        self._next = 0
        self._loaded = False

    async def load(self) -> None:
        """Read what is recorded, once.

        Raises:
            JournalError: When a record is damaged.
        """
        if self.kept is not None and not self._loaded:
            self.found = await store_ops.adrive(self._read(self.kept.name), self.kept.store)
            self._next = self.found[-1].number + 1 if self.found else 0
        self._loaded = True

    def holding(self, key: str, but: frozenset[str]) -> BatchRecord | None:
        """Return the latest batch that a request is in, other than those with these names."""
        for record in reversed(self.found):
            if record.intake not in but and record.holds(key):
                return record
        return None

    async def add(self, intake: str, keys: Sequence[str]) -> BatchRecord:
        """Record a batch that is about to be created."""
        sorted_keys = np.sort(np.array([_short(key) for key in keys], dtype=np.uint64))
        record = BatchRecord(self._next, intake, None, time.time(), sorted_keys)
        self._next += 1
        await self.put(record)
        if self.kept is not None:
            self.found.append(record)
        return record

    async def put(self, record: BatchRecord) -> None:
        """Record what is known of a batch now."""
        if self.kept is None:
            return
        value = {
            "intake": record.intake,
            "batch": record.batch_id,
            "began": record.began,
            "keys": base64.b64encode(record.keys.astype("<u8").tobytes()).decode(),
        }
        where = records.batches(self.kept.name)
        op = records.put_record(where, self.kept.name, _name(record.number), "batch", value)
        await store_ops.adrive(_once(op), self.kept.store)

    async def drop(self, record: BatchRecord) -> None:
        """Forget a batch that was never created; its number stays, or those after it would not be found."""
        record.keys = record.keys[:0]
        await self.put(record)

    def _read(self, name: str) -> store_ops.StoreOps[list[BatchRecord]]:
        found: list[BatchRecord] = []
        where = records.batches(name)
        while True:
            numbers = range(len(found), len(found) + _READ_AT_ONCE)
            items = yield [GetOp(where, _name(number), refresh_ttl=False) for number in numbers]
            for number, item in zip(numbers, items, strict=True):
                if item is None:
                    return found
                what = f"record of batch {number}"
                value = records.read_record(item, name, _name(number), "batch", what, _REMEDY)
                try:
                    held = _HELD.validate_python(value, strict=True)
                    keys = np.frombuffer(base64.b64decode(held["keys"]), dtype="<u8")
                except ValueError as error:
                    raise records.damaged(name, what, f"cannot be read: {str(error)[:160]}", _REMEDY) from error
                found.append(BatchRecord(number, held["intake"], held["batch"], held["began"], keys))


def _name(number: int) -> str:
    return f"batch-{number:06d}"


def _short(key: str) -> int:
    return int(key[:16], 16)


def _once(op: Op) -> store_ops.StoreOps[None]:
    yield [op]


_HELD: Final = TypeAdapter(_Held)
_READ_AT_ONCE: Final = 16
_REMEDY: Final = "give another run id: what its batches hold cannot be told"
