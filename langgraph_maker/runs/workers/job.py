"""What a worker is given: where the run is, and how to make its task and its model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, NamedTuple, Protocol
from urllib.parse import quote

from langgraph.store.base import BaseStore

from langgraph_maker.core.task import Task
from langgraph_maker.journal import lock
from langgraph_maker.journal.tenants import root_of
from langgraph_maker.models.resolve import Model

__all__ = ["LEASE", "Assignment", "Given", "Job", "Workers", "database_name"]

LEASE: Final = 15.0
"""Seconds without a sign of life after which a worker's block goes to another."""


class Assignment(NamedTuple):
    """What is to be solved, and how: `options` are those of `create_maker`, without limits of the whole run."""

    task: Task
    model: Model
    k: int | Literal["auto"] | Callable[[int], int]
    options: Mapping[str, Any]


@dataclass(frozen=True)
class Given:
    """Makes what it was given, in another process too, where all of it can be pickled."""

    assignment: Assignment

    def __call__(self) -> Assignment:
        """Return it."""
        return self.assignment


@dataclass(frozen=True)
class Job:
    """A run that a worker is to join. Its `db` may hold a password, so it is not in the repr.

    Args:
        db: The database, as `open_store` takes it: a file, or a postgresql:// URL.
        run_id: The run.
        make: What makes task, model and options; called in the worker's process.
        namespace: Whose run it is, where tenants share the database.
    """

    db: str = field(repr=False)
    run_id: str
    make: Callable[[], Assignment]
    namespace: tuple[str, ...] = ()


class Workers(Protocol):
    """What starts workers, looks after them, and ends them: processes here, or on whatever engine runs jobs.

    An engine need only run `work(job)` at least once at a time: what is done twice is refused by the journal.
    """

    count: int
    """How many there are to be; the run is cut into a block for each, or several."""
    lease: float
    """Seconds without a sign of life after which a worker's block goes to another; `LEASE` will do."""

    def start(self, job: Job) -> None:
        """Start the workers."""
        ...

    def watch(self) -> None:
        """Start those again that died; called about once a second.

        Raises:
            MakerError: When they die again and again.
        """
        ...

    def stop(self) -> None:
        """Wait until they have left, which the run's end makes them do, and end those that have not after a while."""
        ...


def database_name(store: BaseStore) -> str:
    """Return the name under which another process opens the database of a store.

    Raises:
        ValueError: For a store that several processes cannot write.
    """
    root: Any = root_of(store)
    modules = {kind.__module__ for kind in type(root).__mro__}
    if any(module.startswith("langgraph.store.postgres") for module in modules):
        from psycopg.conninfo import conninfo_to_dict  # noqa: PLC0415 - an extra

        settings = conninfo_to_dict(lock.conninfo_of(root.conn))
        return "postgresql://?" + "&".join(f"{name}={quote(str(value), safe='')}" for name, value in settings.items())
    if any(module.startswith("langgraph.store.sqlite") for module in modules) and (path := lock.file_of(root.conn)):
        return path
    raise ValueError(
        f"workers need a store that several processes can write, not {type(root).__name__}: give a PostgresStore, or,"
        " on one host, an SqliteStore on a file"
    )
