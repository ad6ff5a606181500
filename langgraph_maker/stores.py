"""Open the database that a run is journalled in: an SQLite file, or Postgres. Needs the extra `cli` or `postgres`."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from filelock import FileLock
from langgraph.store.base import BaseStore
from platformdirs import user_data_path

__all__ = ["check_there", "default_db", "is_postgres", "open_store", "shown"]


def default_db() -> str:
    """The SQLite file in the platform's data folder, which is made if need be."""
    return str(user_data_path("langgraph-maker", ensure_exists=True) / "runs.sqlite")


def is_postgres(db: str) -> bool:
    """Whether `db` is a Postgres URL rather than a path."""
    return db.startswith(("postgresql://", "postgres://"))


def check_there(db: str) -> None:
    """Refuse a file that holds no database yet, for what only reads one: opening it would make one.

    Raises:
        ValueError: With what to give instead.
    """
    if not is_postgres(db) and (not Path(db).is_file() or not Path(db).stat().st_size):
        raise ValueError(f"there is no database {db}: name the one that the run was written to, with --db")


def shown(db: str) -> str:
    """`db` as it may be printed: without user and password."""
    if not is_postgres(db):
        return db
    parts = urlsplit(db)
    return f"postgresql://{parts.netloc.rpartition('@')[2]}{parts.path}"


@contextmanager
def open_store(db: str) -> Iterator[BaseStore]:
    """The store in `db`, a path or a Postgres URL, ready to be written.

    Raises:
        ValueError: When `db` cannot be opened, is no database or not one of LangGraph's, or may not be written.
    """
    with _postgres(db) if is_postgres(db) else _sqlite(Path(db)) as store:
        yield store


@contextmanager
def _sqlite(path: Path) -> Iterator[BaseStore]:
    if str(path) == ":memory:":
        raise ValueError("a journal in memory would be gone with the process: name a file")
    if not path.parent.is_dir():
        raise ValueError(f"{path}: there is no folder {path.parent}; make it first")
    lock = FileLock(f"{path}.opening", timeout=30)
    try:
        with lock:  # two processes that make one database trip over each other
            connection = sqlite3.connect(path, check_same_thread=False, isolation_level=None, timeout=10)
            try:
                store = _set_up(connection, path)
            except BaseException:
                connection.close()
                raise
            finally:
                Path(lock.lock_file).unlink(missing_ok=True)
    except (sqlite3.Error, OSError) as error:
        raise ValueError(f"{path} cannot be used as a journal: {error}") from error
    try:
        yield store
    finally:
        connection.close()


def _set_up(connection: sqlite3.Connection, path: Path) -> BaseStore:
    from langgraph.store.sqlite import SqliteStore  # noqa: PLC0415 - an extra

    tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    if tables and "store" not in tables:
        raise ValueError(f"{path} is a database of something else: name another file, and it is made")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")  # a step that counts as done outlives a power cut
    # A round over many lanes writes to as many places: keep those pages at hand, move them to the file rarely.
    connection.execute("PRAGMA cache_size = -8192")  # KiB
    connection.execute("PRAGMA wal_autocheckpoint = 16384")  # pages, 64 MiB
    store = SqliteStore(connection)
    store.setup()
    return store


@contextmanager
def _postgres(url: str) -> Iterator[BaseStore]:
    try:
        import psycopg  # noqa: PLC0415 - an extra
        from langgraph.store.postgres import PostgresStore  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise ValueError("Postgres needs an extra: pip install 'langgraph-maker[postgres]'") from error
    try:
        psycopg.connect(url, connect_timeout=10).close()  # a pool would try for longer, and not say why
        opened = PostgresStore.from_conn_string(url, pool_config={"min_size": 1, "max_size": 4})
        store = opened.__enter__()
        store.setup()
    except psycopg.Error as error:
        raise ValueError(f"{shown(url)} cannot be used: {error}") from error
    try:
        yield store
    finally:
        opened.__exit__(None, None, None)
