"""One writer a run, for as long as its process lives: `hold` and `ahold` refuse a run that another holds.

| store | lock | holds between | ends with |
|---|---|---|---|
| SQLite on a file | an OS lock on a file beside the database | all that open the file on one host | the process |
| Postgres | an advisory lock on a connection of its own | all clients of the database | that connection |
| Postgres behind a pooler | the same, in a transaction left open | all clients of the database | that connection |
| in memory | an entry in this process | users of the same store object | the process |
| any other `BaseStore` | the same, with a warning | users of the same store object | the process |

A database file of several names (hard links) is locked in the system's folder of temporary files, too, with a warning.

Elsewhere it is best effort: SQLite on a network file system that does not pass locks on, Postgres restarted in mid-run,
or behind a pooler that ends idle transactions. Where a run is not locked, a process that finds that another has taken
it over ends, and leaves evidence for `verify` (`takeover`).
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import os
import socket
import sqlite3
import time
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import (
    AbstractContextManager,
    ExitStack,
    asynccontextmanager,
    closing,
    contextmanager,
    nullcontext,
    suppress,
)
from dataclasses import dataclass
from datetime import UTC, datetime
from inspect import isawaitable
from pathlib import Path
from tempfile import gettempdir
from typing import Any

from langgraph.store.base import BaseStore

from langgraph_maker.core.errors import JournalError, RunBusyError
from langgraph_maker.core.extras import install
from langgraph_maker.journal.poolers import is_pooled
from langgraph_maker.journal.position import RunPosition
from langgraph_maker.journal.tenants import root_of, scoped

__all__ = ["Hold", "ahold", "conninfo_of", "file_of", "held", "hold", "is_held"]

_DATABASE = "SELECT file FROM pragma_database_list WHERE name = 'main'"
_PATIENCE = 0.2  # seconds in which the lock of a process killed just now is given back
_APPLICATION = "langgraph-maker "
_NOT_LIBPQ = {"autocommit", "prepare_threshold", "row_factory", "cursor_factory", "context"}
_SESSION = """
    SELECT set_config(name, value, false) FROM pg_settings JOIN (VALUES
        ('idle_session_timeout', '0'),
        ('tcp_keepalives_idle', '10'), ('tcp_keepalives_interval', '5'), ('tcp_keepalives_count', '3')
    ) AS wanted(name, value) USING (name)"""
_HOLDER = """
    SELECT application_name, backend_start FROM pg_locks JOIN pg_stat_activity USING (pid)
    WHERE locktype = 'advisory' AND granted AND objsubid = 1 AND classid::bigint << 32 | objid::bigint = %s
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"""

_POOLED = (
    "run %r is locked through a pooler, where a lock holds for a transaction: it keeps one of the pooler's server"
    " connections until the run ends. Connect to the server itself where many runs continue at once"
)
logger = logging.getLogger(__name__)

_UNLOCKED = (
    "%s keeps no lock: another process that writes run %r at the same time is not kept out, and this one ends when it"
    " sees that. Let one process at a time write a run"
)
_LINKED = (
    "%s has %d names (hard links), beside each of which SQLite keeps a log of its own: two processes that open it by"
    " different names damage it. Remove the other names"
)
_held: dict[tuple[int, str], Hold] = {}
_in_process: dict[tuple[int, str], datetime] = {}
_sockets: set[int] = set()


@dataclass
class Hold:
    """This process as the writer of a run: an `exclusive` one where the lock keeps all others out.

    `position` is where the last invocation of the run's graph left the journal, for the next one to begin at.
    """

    exclusive: bool
    position: RunPosition | None = None


@contextmanager
def hold(store: BaseStore, run_id: str) -> Iterator[Hold]:
    """Be the one writer of `run_id` on `store` until the block ends; no holder may enter twice.

    >>> from langgraph.store.memory import InMemoryStore
    >>> with hold(InMemoryStore(), "a"):
    ...     pass

    Raises:
        RunBusyError: When a live process, this one included, holds the run; the message says who.
        JournalError: When the lock itself cannot be had: a folder that is not writable, a server that does not answer.
    """
    root, name = root_of(store), scoped(store, run_id)
    lock, exclusive = _lock(root, name)
    with lock:
        _held[id(root), name] = own = Hold(exclusive)
        try:
            yield own
        finally:
            del _held[id(root), name]


def held(store: BaseStore, run_id: str) -> Hold | None:
    """Return the hold that this process has on the run, if it has one."""
    return _held.get((id(root_of(store)), scoped(store, run_id)))


def is_held(store: BaseStore, run_id: str) -> bool:
    """Return whether this process keeps all others from writing the run."""
    return (own := held(store, run_id)) is not None and own.exclusive


@asynccontextmanager
async def ahold(store: BaseStore, run_id: str) -> AsyncIterator[Hold]:
    """Async twin of `hold`: the waiting is done in a thread."""
    holding = hold(store, run_id)
    entering = asyncio.ensure_future(asyncio.to_thread(holding.__enter__))
    try:
        own = await asyncio.shield(entering)
    except asyncio.CancelledError:
        entering.add_done_callback(
            lambda done: done.cancelled() or done.exception() or holding.__exit__(None, None, None)
        )
        raise
    try:
        yield own
    finally:
        await asyncio.shield(asyncio.to_thread(holding.__exit__, None, None, None))


def _lock(store: Any, run_id: str) -> tuple[AbstractContextManager[None], bool]:
    """Return the lock, and whether it keeps all others out.

    It goes by the name of the store's module, so that no database package is imported for a store of another kind.
    """
    if getattr(store, "fenced", False):  # a worker's: what is not of its block is refused
        return nullcontext(), True
    modules = {kind.__module__ for kind in type(store).__mro__}
    if any(module.startswith("langgraph.store.postgres") for module in modules):
        return _advisory_lock(store.conn, run_id), True
    if any(module.startswith("langgraph.store.sqlite") for module in modules):
        database = file_of(store.conn)
        return _file_lock(database, run_id) if database else _process_lock(store.conn, run_id), True
    if any(module.startswith("langgraph.store.memory") for module in modules):
        return _process_lock(store, run_id), True
    logger.warning(_UNLOCKED, type(store).__name__, run_id)
    return _process_lock(store, run_id), False


@contextmanager
def _process_lock(owner: object, run_id: str) -> Iterator[None]:
    now = datetime.now(UTC)
    key = (id(owner), run_id)
    since = _in_process.setdefault(key, now)
    if since is not now:
        raise _busy(run_id, os.getpid(), socket.gethostname(), since)
    try:
        yield
    finally:
        del _in_process[key]


@contextmanager
def _file_lock(database: str, run_id: str) -> Iterator[None]:
    """Return the holder is named in a second file, since where locks are mandatory the locked one cannot be read."""
    real = Path(os.path.realpath(database))
    with ExitStack() as locks:
        if real.exists() and (about := real.stat()).st_nlink > 1:
            logger.warning(_LINKED, database, about.st_nlink)
            inode = Path(gettempdir(), f"langgraph-maker-{about.st_dev:x}-{about.st_ino:x}")
            locks.enter_context(_lock_beside(inode, run_id))
        locks.enter_context(_lock_beside(real, run_id))
        yield


@contextmanager
def _lock_beside(database: Path, run_id: str) -> Iterator[None]:
    """Lock the file of this name with the run's."""
    path = f"{database}-{_digest(run_id).hex()}"
    lock_path, holder_path = Path(f"{path}.lock"), Path(f"{path}.holder")
    try:
        from filelock import FileLock, Timeout  # noqa: PLC0415 - an extra, for those who journal in a file
    except ImportError as error:
        raise JournalError(f"a journal in an SQLite file needs an extra: {install('cli')}") from error
    lock = FileLock(
        lock_path, timeout=_PATIENCE, poll_interval=_PATIENCE / 20, thread_local=False, fallback_to_soft=False
    )
    try:
        lock.acquire()
    except Timeout:
        raise _busy(run_id, *_read_holder(holder_path)) from None
    except OSError as error:
        raise JournalError(f"run {run_id!r} cannot be locked beside {database}: {error}") from error
    pid = os.getpid()
    try:
        with suppress(OSError):
            holder_path.write_text(json.dumps([pid, socket.gethostname(), datetime.now(UTC).isoformat()]), "utf-8")
        yield
    finally:
        if os.getpid() == pid:
            # Removed while still locked: who has the old file open finds it gone and opens the new one.
            for leftover in (holder_path, lock_path):
                with suppress(OSError):
                    leftover.unlink()
        lock.release()


def _read_holder(path: Path) -> tuple[int | None, str | None, datetime | None]:
    for _ in range(10):
        with suppress(OSError, ValueError):
            pid, host, since = json.loads(path.read_text("utf-8"))
            return pid, host, datetime.fromisoformat(since)
        time.sleep(0.01)  # the holder has the lock and is about to write who it is
    return None, None, None


def file_of(conn: Any) -> str:
    """Return the path of the database's file; empty when it is in memory."""

    async def ask() -> Any:
        cursor = await conn.cursor()
        cursor.row_factory = None
        return await (await cursor.execute(_DATABASE)).fetchone()

    if isinstance(conn, sqlite3.Connection):
        cursor = conn.cursor()
        cursor.row_factory = None
        return str(*cursor.execute(_DATABASE).fetchone())
    return str(*_settled(ask()))


@contextmanager
def _advisory_lock(conn: Any, run_id: str) -> Iterator[None]:
    """On a connection of its own, which no user of the store's can close, reset or give back to a pool."""
    import psycopg  # noqa: PLC0415 - an extra

    me = f"{_APPLICATION}{os.getpid()}@{socket.gethostname()}"
    with ExitStack() as stack:
        try:
            connect = psycopg.connect(conninfo_of(conn), autocommit=True, application_name=me, prepare_threshold=None)
            own = stack.enter_context(closing(connect))
            handle = own.fileno()
            _sockets.add(handle)
            stack.callback(_sockets.discard, handle)
            if pooled := is_pooled(own):
                own.execute("BEGIN; SET LOCAL idle_in_transaction_session_timeout = 0")
                logger.warning(_POOLED, run_id)
            else:
                own.execute(_SESSION)
            _claim(own, run_id, "pg_try_advisory_xact_lock" if pooled else "pg_try_advisory_lock")
        except psycopg.Error as error:
            raise JournalError(f"run {run_id!r} cannot be locked: {error}") from error
        yield


def _claim(own: Any, run_id: str, function: str) -> None:
    key = int.from_bytes(_digest(run_id), signed=True)
    deadline = time.monotonic() + _PATIENCE
    while not own.execute(f"SELECT {function}(%s)", (key,)).fetchone()[0]:
        if time.monotonic() > deadline:
            name, since = own.execute(_HOLDER, (key,)).fetchone() or ("", None)
            pid, _, host = name.removeprefix(_APPLICATION).partition("@")
            raise _busy(run_id, pid, host, since and since.astimezone(UTC))
        time.sleep(_PATIENCE / 20)


def conninfo_of(conn: Any) -> str:
    """Return how the store's connection or pool was made, password included."""
    from psycopg.conninfo import make_conninfo  # noqa: PLC0415 - an extra

    if hasattr(conn, "info"):
        return make_conninfo(**conn.info.get_parameters(), password=conn.info.password or None)
    conninfo, options = (
        _settled(setting() if callable(setting) else setting) for setting in (conn.conninfo, conn.kwargs)
    )
    options = {name: value for name, value in (options or {}).items() if name not in _NOT_LIBPQ}
    return make_conninfo(conninfo or "", **options)


def _settled(value: Any) -> Any:
    """Return the value, awaited if need be: on a loop in another thread, for the caller may be on one itself."""

    async def settle() -> Any:
        return await value

    if not isawaitable(value):
        return value
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, settle()).result()


def _drop_sockets() -> None:
    """Return a forked child would keep the session of its dead parent open, or end that of its live one."""
    null = os.open(os.devnull, os.O_RDWR)
    for handle in _sockets:
        os.dup2(null, handle)
    os.close(null)
    _sockets.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_drop_sockets)


def _digest(run_id: str) -> bytes:
    return hashlib.sha256(b"langgraph_maker\0" + run_id.encode("utf-8", "surrogatepass")).digest()[:8]


def _busy(run_id: str, pid: int | str | None, host: str | None, since: datetime | None) -> RunBusyError:
    who = f"process {pid} on {host}" if pid else "another process"
    when = f" since {since.isoformat(timespec='seconds')}" if since else ""
    return RunBusyError(
        f"run {run_id!r} is being written by {who}{when}: wait for it to end, stop it, or write elsewhere (another run"
        " id, another folder)"
    )
