"""Postgres behind a pooler that hands a session's transactions to different servers, such as PgBouncer.

What lasts for a session does not last there: prepared statements, settings, advisory locks.
"""

from __future__ import annotations

from typing import Any, Final

__all__ = ["is_pooled", "without_prepared_statements"]


def is_pooled(connection: Any) -> bool:
    """Return whether another process answers `connection` than the one that it was opened with."""
    (pid,) = connection.execute("SELECT pg_backend_pid()", prepare=False).fetchone()
    return bool(pid != connection.info.backend_pid)


def without_prepared_statements(store: Any, error: BaseException) -> bool:
    """Turn prepared statements off in a store of Postgres where `error` says that they belong to another session.

    Returns:
        Whether that was so, and what failed may be tried again at once.
    """
    conn = getattr(store, "conn", None)
    codes = {getattr(cause, "sqlstate", None) for cause in (error, error.__cause__)}
    if conn is None or not codes & _OF_ANOTHER_SESSION:
        return False
    if isinstance(settings := getattr(conn, "kwargs", None), dict):  # a pool: its connections to come, and those it has
        settings["prepare_threshold"] = None
    for one in [conn, *getattr(conn, "_pool", ())]:
        if hasattr(one, "prepare_threshold"):
            one.prepare_threshold = None
    return True


_OF_ANOTHER_SESSION: Final = frozenset({"42P05", "26000"})  # there is one of this name already; there is none
