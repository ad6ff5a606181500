"""Workers as actors of Ray, on this host or on a cluster. Needs the extra `ray`."""

from __future__ import annotations

import os
from importlib import import_module
from typing import Any, Final

from langgraph_maker.core.errors import MakerError
from langgraph_maker.core.extras import install
from langgraph_maker.core.foreign import bounded_text
from langgraph_maker.core.numbers import check_number, check_whole
from langgraph_maker.runs.workers.job import LEASE, Job
from langgraph_maker.runs.workers.worker import work

__all__ = ["RayWorkers"]

_LEAVING: Final = 60.0
_ADDRESS: Final = "127.0.0.1"


class RayWorkers:
    """So many actors, which Ray starts again where they die, and calls again.

    Args:
        count: How many; each takes one of the cluster's CPUs.
        address: Of a cluster, as `ray.init` takes it; None starts one on this host, on loopback alone, and ends it
            with the run.
        lease: Seconds without a sign of life after which a worker's block goes to another.
    """

    def __init__(self, count: int, *, address: str | None = None, lease: float = LEASE) -> None:
        self.count = check_whole("workers", count)
        self.lease = check_number("lease", lease, "a number of seconds above 0", lambda seconds: seconds > 0)
        self.address = address
        self.calls: list[Any] = []
        self.ours = False

    def start(self, job: Job) -> None:
        """Start the actors, on a cluster that is started if need be; usage statistics are off unless turned on.

        Raises:
            ValueError: Where Ray is not installed, with what to install.
        """
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        ray = _ray()
        if not ray.is_initialized():
            self.ours = True
            here = {"num_cpus": self.count, "include_dashboard": False, "_node_ip_address": _ADDRESS}
            settings = here if self.address is None else {"address": self.address}
            ray.init(log_to_driver=False, configure_logging=False, **settings)
        actor = ray.remote(num_cpus=1, max_restarts=-1, max_task_retries=-1)(_Worker)
        self.calls = [actor.remote().work.remote(job) for _ in range(self.count)]

    def watch(self) -> None:
        """See whether an actor failed; those that died are started again by Ray.

        Raises:
            MakerError: When one failed by itself.
        """
        ray = _ray()
        ended, self.calls = ray.wait(self.calls, num_returns=len(self.calls), timeout=0)
        for call in ended:
            try:
                ray.get(call)
            except ray.exceptions.RayError as error:
                raise MakerError(f"a worker on Ray failed: {bounded_text(error)}") from error

    def stop(self) -> None:
        """Wait for the actors to leave, and end the cluster if it was started here."""
        ray = _ray()
        if self.calls:
            ray.wait(self.calls, num_returns=len(self.calls), timeout=_LEAVING)
        self.calls = []
        if self.ours:
            ray.shutdown()
            self.ours = False


def _ray() -> Any:
    """Return the module, which is imported when it is first used."""
    try:
        return import_module("ray")
    except ImportError as error:
        raise ValueError(f"workers on Ray need an extra: {install('ray')}") from error


class _Worker:
    """The actor: it works as any worker does, and is found dead or alive by its signs of life."""

    def work(self, job: Job) -> str:
        """Work until the run ends."""
        return work(job)
