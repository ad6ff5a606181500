"""What a `run` command asks for: of the process that reads it, and of a worker that joins its run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, NamedTuple
from urllib.parse import urlsplit

from langgraph_maker.cli.answer import read_tiers
from langgraph_maker.cli.loading import Batches, arguments, load_model, load_task, margin, red_flags, seconds
from langgraph_maker.cli.options import TASKS
from langgraph_maker.core.foreign import excerpt
from langgraph_maker.core.grouped import Grouped
from langgraph_maker.core.task import Task
from langgraph_maker.models import prices
from langgraph_maker.models.resolve import Model
from langgraph_maker.models.service_tiers import SERVICE_TIERS
from langgraph_maker.runs.calibration.batch_plan import few_lanes
from langgraph_maker.runs.solve import SolveOptions
from langgraph_maker.runs.workers.assembly import OF_THE_RUN, read_workers
from langgraph_maker.runs.workers.job import Assignment, Job, Workers
from langgraph_maker.runs.workers.ray import RayWorkers

__all__ = ["Asked", "ByCommand", "FromOptions", "asked_of", "by_command", "joining"]


class Asked(NamedTuple):
    """A task, a model and options, as a command names them."""

    task: Task
    model: Model
    k: int | Literal["auto"]
    options: SolveOptions


def asked_of(given: Mapping[str, Any]) -> Asked:
    """Read the values of `run`'s parameters, by their names; one that is not there was not given.

    Raises:
        ValueError: For what makes no sense, with what to give instead.
    """
    given = {**_ABSENT, **given}
    tiers, together = [*(given["tier"] or [])], given["steps_per_subtask"]
    options: SolveOptions = {
        "red_flags": red_flags(given["token_limit"] * max(1, together)),
        "lanes": given["lanes"],
        "hedge": given["hedge"],
        "ladder": read_tiers(given["ladder"], [one for one in tiers if one not in SERVICE_TIERS]),
        "service_tier": next((one for one in tiers if one in SERVICE_TIERS), None),
        "decorrelate": "variants" if given["decorrelate"] else None,
        "audit": given["audit"],
        "max_samples_per_step": given["max_samples_per_step"],
        "max_steps": given["max_steps"],
        "max_total_samples": given["max_total_samples"],
        "max_cost": given["max_cost"],
        "price": None if given["price"] is None else prices.read_price(given["price"]),
        "max_concurrency": given["max_concurrency"],
        "call_timeout": None if given["call_timeout"] is None else seconds(given["call_timeout"]),
        "outage_limit": seconds(given["outage_limit"]),
    }
    task = load_task(given["task"], arguments(given["disks"], [*(given["settings"] or [])]))
    batches = Batches.read(given["batch"], given["batch_limits"], given["on_stop"])
    if given["batch"] and (warning := few_lanes(task.steps, given["lanes"])):
        raise ValueError(f"--batch: {warning} (--lanes)")
    if together != 1:
        task = Grouped(task, together)
    model = load_model(given["model"], task, given["base_url"], given["seed"], batches)
    return Asked(task, model, margin(given["k"]), options)


@dataclass(frozen=True)
class FromOptions:
    """Makes what a `run` command asks for, in any process: by the names and values of its parameters."""

    given: Mapping[str, Any] = field(repr=False)

    def __call__(self) -> Assignment:
        """Return task, model and options, without what the coordinator sees to.

        Raises:
            ValueError: For what makes no sense, with what to give instead.
        """
        task, model, k, options = asked_of(self.given)
        shared = {name: value for name, value in options.items() if name not in OF_THE_RUN}
        return Assignment(task, model, k, shared)


class ByCommand:
    """Workers that are given a command in place of objects, which may not be such as can be sent."""

    def __init__(self, workers: Workers, given: Mapping[str, Any]) -> None:
        self.workers, self.make = workers, FromOptions(dict(given))
        self.count, self.lease = workers.count, workers.lease

    def start(self, job: Job) -> None:
        """Start the workers."""
        self.workers.start(replace(job, make=self.make))

    def watch(self) -> None:
        """Look after them."""
        self.workers.watch()

    def stop(self) -> None:
        """Wait until they have left."""
        self.workers.stop()


def by_command(workers: str, given: Mapping[str, Any]) -> int | Workers:
    """Read what `--workers` was given, by a command with these parameters.

    Raises:
        ValueError: For anything else than a number.
    """
    kind, _, number = workers.rpartition(":")
    if not number.isdecimal() or len(number) > _DIGITS or kind not in {"", "ray"} or workers.startswith(":"):
        raise ValueError(f"--workers takes a number, or one behind ray:, as in ray:8, not {excerpt(workers)}")
    engine = RayWorkers(int(number)) if kind else read_workers(int(number))
    return 0 if engine is None else ByCommand(engine, given)


def joining(given: Mapping[str, Any] | None, run_id: str, task: str | None, base_url: str | None) -> FromOptions:
    """Return what makes a worker's task and model, from the options that are recorded with its run.

    What a database says is not trusted with more than the run: code of one's own is named here again, and so is the
    server that gets the key, unless it is on this host.

    Raises:
        ValueError: For a run that no command started, or where something is to be named here.
    """
    if given is None:
        raise ValueError(
            f"run {excerpt(run_id)} was started by other code than a command, which is to start its workers too: see"
            " solve(…, workers=…) and runs.workers.worker.work"
        )
    if given["task"] not in TASKS and given["task"] != task:
        raise ValueError(
            f"run {excerpt(run_id)} is of the task {excerpt(given['task'])}, which is code of your own: say that it may"
            f" be loaded here with --task {excerpt(given['task'])}"
        )
    asked = given.get("base_url")
    if base_url is None and asked is not None and urlsplit(asked).hostname not in _HERE:
        raise ValueError(
            f"run {excerpt(run_id)} asks the server {excerpt(asked)}, which gets this worker's key: say that it may"
            f" with --base-url {excerpt(asked)}"
        )
    return FromOptions({**given, "base_url": base_url or asked})


_ABSENT = dict.fromkeys(
    (
        "audit",
        "base_url",
        "batch_limits",
        "call_timeout",
        "disks",
        "max_concurrency",
        "max_cost",
        "max_samples_per_step",
        "max_steps",
        "max_total_samples",
        "price",
        "settings",
        "tier",
    )
)
_DIGITS = 4
_HERE = frozenset({"127.0.0.1", "localhost", "::1"})
