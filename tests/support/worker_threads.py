"""Workers as threads of the test's own process, each on a connection of its own: all but the processes is real."""

from __future__ import annotations

import threading
from collections.abc import Callable

from langgraph_maker.core.errors import MakerError
from langgraph_maker.runs.workers.job import LEASE, Job
from langgraph_maker.runs.workers.worker import work


class WorkerThreads:
    """So many workers; the errors that ended some are in `errors`, what the others said in `left`."""

    def __init__(self, count: int, lease: float = LEASE) -> None:
        self.count, self.lease = count, lease
        self.errors: list[MakerError] = []
        self.left: list[str] = []
        self.threads: list[threading.Thread] = []
        self.leave: Callable[[], bool] = lambda: False

    def start(self, job: Job) -> None:
        self.threads = [threading.Thread(target=self.one, args=(job,)) for _ in range(self.count)]
        for thread in self.threads:
            thread.start()

    def one(self, job: Job) -> None:
        try:
            self.left.append(work(job, leave=self.leave))
        except MakerError as error:
            self.errors.append(error)

    def watch(self) -> None:
        """Nothing: threads do not die."""

    def stop(self) -> None:
        for thread in self.threads:
            thread.join()
