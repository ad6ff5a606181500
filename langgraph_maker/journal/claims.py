"""How workers take blocks of a run, and how each of their writes shows that the block is still theirs.

A block is claimed by one conditional update of its record, and every write of its owner is one transaction with an
update of the same record under the same fencing number. So of two that take themselves for the owner one writes, and
the other gets a `BlockLostError`, whatever it slept through.

A worker is gone when its record is older than the lease by the database's own clock; on Postgres, reached without a
pooler, also when the session is gone that holds its advisory lock, which ends with its process.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from random import shuffle
from typing import Any, Final, Protocol

from langgraph.store.base import BaseStore, PutOp

from langgraph_maker.core.errors import BlockLostError, JournalError
from langgraph_maker.journal import blocks, lock, records
from langgraph_maker.journal.blocks import Block, WorkerRecord
from langgraph_maker.journal.poolers import is_pooled
from langgraph_maker.journal.tenants import TenantStore, root_of

__all__ = ["Claims", "Database", "database_of"]

GRACE: Final = 2.5
"""Seconds without a sign of life after which a worker whose session is gone counts as gone."""
_ROWS: Final = 5000
"""Of one statement, which databases bound."""


class Rows(Protocol):
    """What runs statements of one transaction: rows, or how many were changed."""

    def __call__(self, statement: str, parameters: Sequence[Any] = ()) -> tuple[list[Any], int]:
        """Return the rows, and how many there were."""
        ...


class Database(Protocol):
    """A connection of a worker's own to the database that a store is in."""

    def transaction(self) -> Any:
        """Return a context that gives `Rows`: all of it is done, or nothing."""
        ...

    def seconds(self, column: str) -> str:
        """Return the expression of how many seconds ago that was."""
        ...

    def alive(self, rows: Rows, names: Sequence[str]) -> set[str] | None:
        """Return which of these workers have a session, None where that is not to be known."""
        ...

    def close(self) -> None:
        """Close the connection."""
        ...


def database_of(store: BaseStore, name: str = "") -> Database:
    """Return a connection of its own to where `store` is, which holds the lock `name` while it lasts.

    Raises:
        ValueError: For a store that several processes cannot write.
    """
    root: Any = root_of(store)
    modules = {kind.__module__ for kind in type(root).__mro__}
    if any(module.startswith("langgraph.store.postgres") for module in modules):
        return Postgres(lock.conninfo_of(root.conn), name)
    if any(module.startswith("langgraph.store.sqlite") for module in modules) and (path := lock.file_of(root.conn)):
        return Sqlite(path)
    raise ValueError(
        f"workers need a store that several processes can write, and {type(root).__name__} is none that is known to"
        " be: give a PostgresStore, or, on one host, an SqliteStore on a file"
    )


class Postgres:
    """A session of Postgres; what is lost with its connection is made anew."""

    def __init__(self, conninfo: str, name: str) -> None:
        self.conninfo, self.name = conninfo, name
        self.mutex = threading.RLock()
        self.connection: Any = None
        self.pooled = False

    def connected(self) -> Any:
        """Return the connection, opened if need be, with the lock that says that this worker lives."""
        if self.connection is None or self.connection.closed:
            import psycopg  # noqa: PLC0415 - an extra

            made = psycopg.connect(self.conninfo, autocommit=True, prepare_threshold=None, connect_timeout=10)
            self.pooled = is_pooled(made)
            if not self.pooled:
                made.prepare_threshold = 3
                if self.name:
                    made.execute("SELECT pg_try_advisory_lock(%s)", (lock_key(self.name),))
            self.connection = made
        return self.connection

    @contextmanager
    def transaction(self) -> Iterator[Rows]:
        """Give what runs statements of one transaction."""
        import psycopg  # noqa: PLC0415 - an extra

        def rows(statement: str, parameters: Sequence[Any] = ()) -> tuple[list[Any], int]:
            cursor = connection.execute(statement, parameters)
            return (cursor.fetchall() if cursor.description else []), cursor.rowcount

        with self.mutex:
            connection = self.connected()
            try:
                with connection.transaction():
                    yield rows
            except psycopg.OperationalError:
                with suppress(psycopg.Error):
                    connection.close()
                raise

    @staticmethod
    def seconds(column: str) -> str:
        """Return the expression of how many seconds ago that was."""
        return f"extract(epoch from clock_timestamp() - {column})::float"

    def alive(self, rows: Rows, names: Sequence[str]) -> set[str] | None:
        """Return which of these workers hold their lock."""
        if self.pooled:
            return None
        held = {key for (key,) in rows(_LOCKS)[0]}
        return {name for name in names if lock_key(name) in held}

    def close(self) -> None:
        """Close the connection, and with it the lock."""
        if self.connection is not None:
            self.connection.close()


class Sqlite:
    """A connection to an SQLite file, which several processes of one host may write."""

    def __init__(self, path: str) -> None:
        self.name = ""
        self.mutex = threading.RLock()
        self.connection = sqlite3.connect(path, check_same_thread=False, isolation_level=None, timeout=30)
        self.connection.execute("PRAGMA synchronous = FULL")

    @contextmanager
    def transaction(self) -> Iterator[Rows]:
        """Give what runs statements of one transaction."""

        def rows(statement: str, parameters: Sequence[Any] = ()) -> tuple[list[Any], int]:
            cursor = self.connection.execute(statement.replace("%s", "?"), parameters)
            return cursor.fetchall(), cursor.rowcount

        with self.mutex:
            self.connection.execute("BEGIN IMMEDIATE")
            try:
                yield rows
                self.connection.execute("COMMIT")
            except BaseException:
                with suppress(sqlite3.Error):
                    self.connection.execute("ROLLBACK")
                raise

    @staticmethod
    def seconds(column: str) -> str:
        """Return the expression of how many seconds ago that was."""
        return f"(julianday('now') - julianday({column})) * 86400.0"

    @staticmethod
    def alive(rows: Rows, names: Sequence[str]) -> set[str] | None:  # noqa: ARG004 - of other databases
        """Return None: a file knows of no sessions."""
        return None

    def close(self) -> None:
        """Close the connection."""
        self.connection.close()


class Claims:
    """What one worker holds of a run: one block at a time.

    Args:
        store: The journal's.
        run_id: The run.
        worker: Who it is, as others see it.
    """

    def __init__(self, store: BaseStore, run_id: str, worker: WorkerRecord) -> None:
        self.store, self.run_id, self.worker = store, run_id, worker
        self.database = database_of(store, worker["name"])
        labels = store.labels if isinstance(store, TenantStore) else ()
        self.prefix = ".".join((*labels, *records.blocks(run_id)))
        self.block: Block | None = None
        self.session = ""
        self.spent: tuple[int, float | None] = (0, 0.0)
        """Samples and dollars of all blocks, as of this worker's last write."""

    def beat(self) -> None:
        """Show a sign of life, with what this worker holds and did."""
        worker: WorkerRecord = {**self.worker, "block": None if self.block is None else self.block["start"]}
        key = blocks.worker_key(worker["name"])
        value = records.put_record(records.blocks(self.run_id), self.run_id, key, "worker", worker).value
        with self.database.transaction() as rows:
            rows(_PUT.format("(%s, %s, %s)"), (self.prefix, key, json.dumps(value)))

    def claim(self, session: str, lease: float) -> Block | None:
        """Take a block that is open and belongs to nobody alive; None where there is none."""
        with self.database.transaction() as rows:
            found, _ = rows(_OPEN, (self.prefix,))
            gone = self._gone(rows, lease, {owner for _, _, owner in found} - {"", self.worker["name"]})
            free = [(key, fence) for key, fence, owner in found if not owner or owner in gone]
            shuffle(free)  # or all that look at one time would want the same
            for key, fence in free:
                if not fence.startswith(f"{session}/"):
                    continue
                [(value,)], _ = rows("SELECT value FROM store WHERE prefix = %s AND key = %s", (self.prefix, key))
                block: Block = json.loads(_loaded(value)["block"])
                mine: Block = {
                    **block,
                    "number": block["number"] + 1,
                    "owner": self.worker["name"],
                    "broken": block["owner"] != "",
                }
                if self._replace(rows, mine, fence, session):
                    self.block, self.session, self.spent = mine, session, self._sum(rows)
                    return mine
        return None

    def lives(self, lease: float) -> list[tuple[WorkerRecord, bool]]:
        """Return all workers of the run, and whether each is alive."""
        with self.database.transaction() as rows:
            found, _ = rows("SELECT value FROM store WHERE prefix = %s AND key LIKE 'worker-%%'", (self.prefix,))
            workers: list[WorkerRecord] = [json.loads(_loaded(value)["worker"]) for (value,) in found]
            gone = self._gone(rows, lease, {worker["name"] for worker in workers})
        return [(worker, worker["name"] not in gone) for worker in workers]

    def write(self, ops: Sequence[PutOp]) -> None:
        """Write what belongs to the claimed block, with its progress: all of it, or nothing.

        Raises:
            BlockLostError: When the block is another's by now.
        """
        if (block := self.block) is None:
            raise JournalError("a worker writes to the block that it has claimed, and holds none")
        with self.database.transaction() as rows:
            if not self._replace(rows, block, blocks.fence_of(block, self.session), self.session):
                raise self.lost(block)
            _put(rows, ops)
            self.spent = self._sum(rows)

    def release(self, outcome: Block) -> None:
        """Give the block back, with how it stands."""
        if (block := self.block) is None:
            return
        self.block = None
        with self.database.transaction() as rows:
            if not self._replace(rows, {**outcome, "owner": ""}, blocks.fence_of(block, self.session), self.session):
                raise self.lost(block)

    def lost(self, block: Block) -> BlockLostError:
        """Return the error that says that a block is another's."""
        return BlockLostError(
            f"steps {block['start']:,} to {block['end']:,} of run {self.run_id!r} were taken from worker"
            f" {self.worker['name']}, which showed no sign of life for too long, or the run's coordinator began anew:"
            " what it had not written by then is decided by others"
        )

    def close(self) -> None:
        """Close the connection."""
        self.database.close()

    def _gone(self, rows: Rows, lease: float, names: set[str]) -> set[str]:
        """Return which of these workers hold nothing any more."""
        if not names:
            return set()
        found, _ = rows(
            f"SELECT key, {self.database.seconds('updated_at')} FROM store"  # noqa: S608
            " WHERE prefix = %s AND key LIKE 'worker-%%'",
            (self.prefix,),
        )
        ago = {key.removeprefix("worker-"): seconds for key, seconds in found}
        alive = self.database.alive(rows, sorted(names))
        limit = {name: lease if alive is None or name in alive else min(GRACE, lease) for name in names}
        return {name for name in names if ago.get(name, lease + 1) > limit[name]}

    def _replace(self, rows: Rows, block: Block, fence: str, session: str) -> bool:
        value = json.dumps(blocks.value_of(self.run_id, block, session))
        _, count = rows(_REPLACE, (value, self.prefix, blocks.block_key(block["start"]), fence))
        return count == 1

    def _sum(self, rows: Rows) -> tuple[int, float | None]:
        [(samples, cost, priced, count)], _ = rows(_SUM, (self.prefix,))
        return int(samples or 0), float(cost or 0.0) if priced == count else None


def lock_key(name: str) -> int:
    """Return the number of the advisory lock of a worker."""
    return int.from_bytes(hashlib.sha256(b"langgraph_maker worker\0" + name.encode()).digest()[:8], signed=True)


def _put(rows: Rows, ops: Sequence[PutOp]) -> None:
    """Write and remove records, the last of each key."""
    last = {(".".join(op.namespace), op.key): op.value for op in ops}
    kept = [(prefix, key, json.dumps(value)) for (prefix, key), value in last.items() if value is not None]
    for start in range(0, len(kept), _ROWS):
        part = kept[start : start + _ROWS]
        rows(_PUT.format(", ".join(["(%s, %s, %s)"] * len(part))), [one for row in part for one in row])
    for (prefix, key), value in last.items():
        if value is None:
            rows("DELETE FROM store WHERE prefix = %s AND key = %s", (prefix, key))


def _loaded(value: Any) -> Any:
    return json.loads(value) if isinstance(value, (str, bytes)) else value


_PUT: Final = (
    "INSERT INTO store (prefix, key, value) VALUES {}"
    " ON CONFLICT (prefix, key) DO UPDATE SET value = EXCLUDED.value, updated_at = CURRENT_TIMESTAMP"
)
_REPLACE: Final = (
    "UPDATE store SET value = %s, updated_at = CURRENT_TIMESTAMP"
    " WHERE prefix = %s AND key = %s AND value ->> 'fence' = %s"
)
_SUM: Final = (
    "SELECT SUM(CAST(value ->> 'samples' AS BIGINT)), SUM(CAST(value ->> 'cost' AS DOUBLE PRECISION)),"
    " COUNT(value ->> 'cost'), COUNT(*) FROM store WHERE prefix = %s AND key LIKE 'block-%%'"
)
_OPEN: Final = (
    "SELECT key, value ->> 'fence', value ->> 'owner' FROM store"
    " WHERE prefix = %s AND key LIKE 'block-%%' AND value ->> 'status' = 'open'"
)
_LOCKS: Final = """
    SELECT (classid::bigint << 32) | objid::bigint FROM pg_locks
    WHERE locktype = 'advisory' AND granted AND objsubid = 1
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"""
