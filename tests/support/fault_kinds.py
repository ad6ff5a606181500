"""The kinds of faults that are simulated, see `faults`, and what is raised for them."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from typing import Literal

import psycopg

__all__ = ["KINDS", "MOMENTS", "OPERATIONS", "UNLUCKY", "Died", "Interrupt", "Kind", "MomentError"]

Kind = Literal[
    "before",
    "after",
    "part",
    "transient",
    "transient after",
    "past",
    "interrupt",
    "interrupted",
    "statement",
    "cancel",
    "call",
    "called",
    "save",
    "saved",
    "meanwhile",
]
KINDS: Mapping[Kind, str] = {
    "before": "dies before an operation of the store",
    "after": "dies after it",
    "part": "dies having done a part of it",
    "transient": "the store fails for a moment before it",
    "transient after": "the store fails for a moment after it",
    "past": "the store answers from the past",
    "interrupt": "is interrupted before an operation of the store, and goes on",
    "interrupted": "is interrupted after it, and goes on",
    "statement": "is interrupted behind a statement of SQLite, and goes on",
    "cancel": "is cancelled at a turn of the event loop, and goes on",
    "call": "dies before a call of the model",
    "called": "dies after it",
    "save": "dies before a checkpoint is saved",
    "saved": "dies after it",
    "meanwhile": "another process acts before an operation of the store",
}
"""What the process, or the store, does. In an SQLite file a part is none, since a batch is a transaction there: the
process dies in it."""
OPERATIONS: tuple[Kind, ...] = (*KINDS,)[:8]
"""Those that any operation of any store can meet."""
UNLUCKY: tuple[Kind, ...] = tuple(kind for kind in KINDS if kind not in {"statement", "cancel", "meanwhile"})
"""Those of a second fault, which can happen in every mode."""


class Died(BaseException):
    """The process is gone."""


class Interrupt(KeyboardInterrupt):
    """Somebody interrupts the process, which goes on with what it has."""


class MomentError(OSError):
    """The store fails, and works again when it is asked once more."""


MOMENTS: tuple[Exception, ...] = (
    MomentError("it fails for a moment"),
    psycopg.errors.QueryCanceled("canceling statement due to user request"),
    psycopg.errors.SerializationFailure("could not serialize access"),
    psycopg.errors.DeadlockDetected("deadlock detected"),
    psycopg.errors.AdminShutdown("terminating connection"),
    sqlite3.OperationalError("database is locked"),
    TimeoutError("timed out"),
)
"""How databases fail for a moment: 57014, 40001, 40P01, 57P01 and others; the N-th operation fails in one of them."""
