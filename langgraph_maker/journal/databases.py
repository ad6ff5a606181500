"""Open the database that a run is journalled in: an SQLite file, or Postgres. Needs the extra `cli` or `postgres`."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast
from urllib.parse import parse_qsl, quote, unquote

from langgraph.store.base import BaseStore, Op

from langgraph_maker.core.errors import JournalError
from langgraph_maker.core.extras import install
from langgraph_maker.core.foreign import bounded_text, excerpt, redacted
from langgraph_maker.journal.poolers import is_pooled
from langgraph_maker.journal.tenants import check_namespace, under

if TYPE_CHECKING:
    from langgraph.store.sqlite import SqliteStore

__all__ = ["check_there", "database", "holds_nothing", "is_postgres", "open_store", "shown"]

_COLUMNS = {"prefix", "key", "value"}
"""Of the table `store` as LangGraph makes it."""
_POSTGRES_COLUMNS = "SELECT attname FROM pg_attribute WHERE attrelid = to_regclass('store') AND attnum > 0"


def database(db: str | None) -> str:
    """Return `db`, or where there is none the SQLite file in the platform's data folder, which is made if need be.

    Raises:
        ValueError: For an empty name.
    """
    if db is None:
        from platformdirs import user_data_path  # noqa: PLC0415 - an extra

        return str(user_data_path("langgraph-maker", ensure_exists=True) / "runs.sqlite")
    if not db.strip():
        raise ValueError(f"db must name an SQLite file or be a postgresql:// URL, got {excerpt(db)}")
    return db


def is_postgres(db: str) -> bool:
    """Return whether `db` is a Postgres URL rather than a path."""
    return db.startswith(("postgresql://", "postgres://"))


def holds_nothing(db: str) -> str:
    """Return why there can be no runs in `db`, looking at the file alone; an empty text where there may be some."""
    if is_postgres(db):
        return ""
    if not Path(db).exists():
        return "there is no such file"
    return "the file is empty" if Path(db).is_file() and not Path(db).stat().st_size else ""


def check_there(db: str) -> None:
    """Refuse a file that holds no database yet, for what only reads one: opening it would make one.

    Raises:
        ValueError: With what to give instead.
    """
    if nothing := holds_nothing(db):
        raise ValueError(f"there is no database {db} ({nothing}): name the one that the run was written to, with --db")


def shown(db: str) -> str:
    """Return `db` as it may be printed: without user and password, whatever was forgotten to be escaped in them."""
    if not is_postgres(db):
        return db
    return f"postgresql://{db.partition('://')[2].rpartition('@')[2].partition('?')[0]}"


@contextmanager
def open_store(db: str, namespace: Sequence[str] | None = None) -> Iterator[BaseStore]:
    """Return the store in `db`, a path or a Postgres URL, ready to be written; or a tenant's part of it.

    Raises:
        ValueError: When `db` cannot be opened, is no database or not one of LangGraph's, or may not be written; when
            `namespace` cannot be a tenant's.
    """
    check_namespace(namespace or ())
    with _postgres(db) if is_postgres(db) else _sqlite(Path(db)) as store:
        yield under(store, namespace or ())


@contextmanager
def _sqlite(path: Path) -> Iterator[BaseStore]:
    if str(path) == ":memory:":
        raise ValueError("a journal in memory would be gone with the process: name a file")
    try:
        if not path.parent.is_dir():
            raise ValueError(f"{path}: there is no folder {path.parent}; make it first")
        if path.exists() and not path.is_file():
            raise ValueError(f"{path} is {'a folder' if path.is_dir() else 'no regular file'}: name a file")
        _check_ours(path)
        connection = _made(path)
    except (sqlite3.Error, OSError) as error:
        raise ValueError(f"{path} cannot be used as a journal: {error}") from error
    try:
        store = _store(connection)
        _say_damage(store, str(path))
        yield store
    finally:
        connection.close()


def _check_ours(path: Path) -> None:
    """Refuse a database of something else before anything is written to it, or beside it."""
    if not path.exists() or not path.stat().st_size:
        return
    real = path.resolve()
    with real.open("rb") as opened:
        logged = opened.read(20)[18:19] == b"\x02"
    # To read one whose log is gone would make a new log, unless told that nobody writes it.
    alone = "&immutable=1" if logged and not real.with_name(f"{real.name}-wal").exists() else ""
    # What cannot be read so, such as one whose writer was killed, is looked at again when it is opened.
    with (
        suppress(sqlite3.OperationalError),
        closing(sqlite3.connect(f"file:{quote(str(real))}?mode=ro{alone}", uri=True)) as connection,
    ):
        _check_tables(connection, path)


def _check_tables(connection: sqlite3.Connection, path: Path) -> None:
    tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    columns = {name for (name,) in connection.execute("SELECT name FROM pragma_table_info('store')")}
    if tables - {"store_migrations"} and not columns >= _COLUMNS:  # those may be there first, while it is being made
        raise ValueError(f"{path} is a database of something else, and was not touched: name another file")


def _made(path: Path) -> sqlite3.Connection:
    """Open the database, which is made and set up if need be."""
    from filelock import FileLock  # noqa: PLC0415 - an extra

    lock = FileLock(f"{path}.opening", timeout=30)
    with lock:  # two processes that make one database trip over each other
        try:
            connection = sqlite3.connect(path, check_same_thread=False, isolation_level=None, timeout=10)
            try:
                _set_up(connection, path)
            except BaseException:
                connection.close()
                raise
        finally:
            Path(lock.lock_file).unlink(missing_ok=True)
    return connection


def _set_up(connection: sqlite3.Connection, path: Path) -> None:
    _check_tables(connection, path)  # what lay in a log beside the file is seen by now
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")  # a step that counts as done outlives a power cut
    # A round over many lanes writes to as many places: keep those pages at hand, move them to the file rarely.
    connection.execute("PRAGMA cache_size = -8192")  # KiB
    connection.execute("PRAGMA wal_autocheckpoint = 16384")  # pages, 64 MiB
    _store(connection).setup()


def _store(connection: sqlite3.Connection) -> SqliteStore:
    from langgraph.store.sqlite import SqliteStore  # noqa: PLC0415 - an extra

    return SqliteStore(connection)


@contextmanager
def _postgres(url: str) -> Iterator[BaseStore]:
    try:
        import psycopg  # noqa: PLC0415 - an extra
        from langgraph.store.postgres import PostgresStore  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise ValueError(f"Postgres needs an extra: {install('postgres')}") from error
    try:
        # A pool would try for longer, and not say why.
        with psycopg.connect(url, connect_timeout=10, autocommit=True, prepare_threshold=None) as probe:
            columns = {name for (name,) in probe.execute(_POSTGRES_COLUMNS)}
            threshold = None if is_pooled(probe) else 0
        if columns and not columns >= _COLUMNS:
            raise ValueError(f'{shown(url)} has a table "store" of something else: name another database')
        opened = PostgresStore.from_conn_string(
            url, pool_config={"min_size": 1, "max_size": 4, "kwargs": {"prepare_threshold": threshold}}
        )
        store = opened.__enter__()
        store.setup()
    except psycopg.Error as error:
        # no cause: a traceback would show the password that is taken out here
        raise ValueError(f"{shown(url)} cannot be used: {_without_password(error, url)}") from None
    _say_damage(store, shown(url))
    try:
        yield store
    finally:
        opened.__exit__(None, None, None)


def _without_password(error: Exception, url: str) -> str:
    """Return what the database said; nothing of it where it took a part of the password for a host or a name."""
    address = url.partition("://")[2]
    password = address.rpartition("@")[0].partition(":")[2]
    if re.search(r"[/?#@]", password):
        return "if its password has characters that mean something in an address, write / ? # @ as %2F %3F %23 %40"
    given = [value for name, value in parse_qsl(address.partition("?")[2]) if name in {"password", "sslpassword"}]
    return str(redacted(bounded_text(error), [password, unquote(password), *given]))


def _say_damage(store: Any, name: str) -> None:
    """Make a store say that its database is damaged, where it is, as an error of the journal."""
    batch = store.batch

    def in_words(ops: Iterable[Op]) -> list[Any]:
        try:
            return cast("list[Any]", batch(ops))
        except Exception as error:
            if type(error) is not sqlite3.DatabaseError and getattr(error, "sqlstate", None) not in _DAMAGED:
                raise
            raise JournalError(
                f"{name} is damaged and cannot be read: {bounded_text(error)}: take it back from a copy, or save what"
                " the database's own tools can (sqlite3 .recover, pg_dump)"
            ) from error

    store.batch = in_words


_DAMAGED: Final = frozenset({"XX000", "XX001", "XX002"})  # Postgres: internal error, data corrupted, index corrupted
