"""From what `solve` was given to a coordinator and its graph."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, Literal

from langgraph.store.base import BaseStore

from langgraph_maker.core.foreign import excerpt
from langgraph_maker.core.numbers import check_whole
from langgraph_maker.core.task import Partitionable, Task
from langgraph_maker.models.batches import BatchSampler
from langgraph_maker.models.resolve import Model
from langgraph_maker.runs.workers.job import Assignment, Given, Job, Workers, database_name
from langgraph_maker.runs.workers.local import LocalWorkers

__all__ = ["OF_THE_RUN", "check_workers", "job_for", "read_workers"]

OF_THE_RUN: Final = frozenset({"stop", "observer", "detail", "max_total_samples", "max_cost"})
"""Options that the coordinator sees to."""


def read_workers(workers: int | Workers) -> Workers | None:
    """Return what starts workers; None for 0, where they join by themselves.

    Raises:
        ValueError: For a number below 0.
        TypeError: For anything else.
    """
    if isinstance(workers, int) and not isinstance(workers, bool):
        return None if workers == 0 else LocalWorkers(check_whole("workers", workers))
    if not all(callable(getattr(workers, name, None)) for name in ("start", "watch", "stop")):
        raise TypeError(f"workers must be a number, or have start, watch and stop, got {excerpt(workers)}")
    return workers  # type: ignore[return-value]


def check_workers(task: Task, model: Model, workers: Workers | None, lanes: int, checkpointer: object) -> None:
    """Refuse what workers cannot share out.

    Raises:
        ValueError: With why, and what to do.
    """
    count = 1 if workers is None else workers.count
    if count > 1 and not isinstance(task, Partitionable):
        raise ValueError(
            f"{task.name} is one chain: each step starts from the state that the step before it left, and no state in"
            " between is known beforehand (it has no segments(lanes)), so that a second worker would have nothing to"
            " do: leave workers out, or give it segments"
        )
    if count > lanes:
        raise ValueError(
            f"workers share out lanes: {count} of them need lanes of {count} or more, got lanes {lanes}, of which each"
            " is advanced by one worker at a time"
        )
    if isinstance(model, BatchSampler):
        raise ValueError(  # noqa: TRY004 - one kind of usage error
            "workers do not go with batches, which one process hands in and picks up: leave workers out, one process"
            " fills a batch from any number of lanes"
        )
    if checkpointer is not None:
        raise ValueError("workers keep no LangGraph thread: leave the checkpointer out, the store alone suffices")


def job_for(
    store: BaseStore,
    run_id: str,
    assignment: tuple[Task, Model, int | Literal["auto"] | Callable[[int], int], Mapping[str, Any]],
    namespace: tuple[str, ...],
) -> Job:
    """Return what workers of a run are given."""
    task, model, k, options = assignment
    shared = {name: value for name, value in options.items() if name not in OF_THE_RUN}
    return Job(database_name(store), run_id, Given(Assignment(task, model, k, shared)), namespace)
