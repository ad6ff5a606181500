"""Rows of an SQLite database that cannot be decoded: one of them must not hide all that is read beside it.

What cannot be decoded is read as a record without a value, which the reader of its kind names as damaged.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from json import JSONDecodeError
from typing import Any, Final

from langgraph.store.base import GetOp, Item, Op, SearchOp

__all__ = ["is_undecodable", "one_by_one", "salvaged"]


def is_undecodable(error: BaseException, ops: Sequence[Op]) -> bool:
    """Return whether a batch that only reads failed since a row cannot be decoded."""
    reads = all(isinstance(op, (GetOp, SearchOp)) for op in ops)
    text = isinstance(error, sqlite3.Error) and "decode" in str(error)
    return reads and (text or isinstance(error, (JSONDecodeError, UnicodeDecodeError)))


def one_by_one(store: Any, ops: Sequence[Op]) -> Iterator[tuple[int, Op]]:
    """Yield the reads of single items that the batch comes to, each with the place of its operation in the batch."""
    for place, op in enumerate(ops):
        if isinstance(op, SearchOp):
            for where, key in _found(store, op):
                yield place, GetOp(where, key, refresh_ttl=False)
        else:
            yield place, op


def salvaged(op: Any) -> Item:
    """Return what stands for the item that `op` asks for, and that cannot be decoded."""
    return Item(value={}, key=op.key, namespace=op.namespace, created_at=_NEVER, updated_at=_NEVER)


def _found(store: Any, op: SearchOp) -> Sequence[tuple[tuple[str, ...], str]]:
    """Return the places that a search finds, in the store's own order; none where it is no synchronous SQLite store."""
    connection = getattr(store, "conn", None)
    if not isinstance(connection, sqlite3.Connection):
        return []
    with store.lock:
        rows = connection.execute(
            "SELECT prefix, key FROM store WHERE prefix LIKE ? ORDER BY updated_at DESC LIMIT ? OFFSET ?",
            (f"{'.'.join(op.namespace_prefix)}%", op.limit, op.offset),
        ).fetchall()
    return [(tuple(str(row[0]).split(".")), row[1]) for row in rows]


_NEVER: Final = datetime.fromtimestamp(0, UTC)
