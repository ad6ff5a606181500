"""Workers as processes of this host."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import sys
import threading
import time
from multiprocessing.process import BaseProcess
from typing import Final

from langgraph_maker.core.errors import MakerError
from langgraph_maker.core.foreign import bounded_text
from langgraph_maker.core.numbers import check_number, check_whole
from langgraph_maker.runs.workers.job import LEASE, Job
from langgraph_maker.runs.workers.worker import work

__all__ = ["LocalWorkers"]

_SOON: Final = 30.0  # seconds; one that ends within them has hardly worked
_MOST: Final = 5
_LEAVING: Final = 60.0


class LocalWorkers:
    """So many processes of this host, each started anew where it dies.

    Args:
        count: How many.
        lease: Seconds without a sign of life after which a worker's block goes to another.
    """

    def __init__(self, count: int, *, lease: float = LEASE) -> None:
        self.count = check_whole("workers", count)
        self.lease = check_number("lease", lease, "a number of seconds above 0", lambda seconds: seconds > 0)
        self.processes: list[tuple[BaseProcess, float]] = []
        self.died = 0
        self.job: Job | None = None

    def start(self, job: Job) -> None:
        """Start the processes, by "spawn": a script that does it needs `if __name__ == "__main__"`.

        Raises:
            TypeError: When the task, the model or an option cannot be sent to another process.
        """
        try:
            pickle.dumps(job)
        except (pickle.PicklingError, TypeError, AttributeError) as error:
            raise TypeError(
                f"workers are other processes, and this run cannot be sent to them ({bounded_text(error)}): give a"
                " task, functions and classes of a module, and the model by its name"
            ) from error
        self.job = job
        self.processes = [self._started(job) for _ in range(self.count)]

    def watch(self) -> None:
        """Start those again that died.

        Raises:
            MakerError: When they end again and again as soon as they have started.
        """
        for place, (process, began) in enumerate(self.processes):
            if self.job is None or process.is_alive() or process.exitcode == 0:
                continue
            self.died = self.died + 1 if time.monotonic() < began + _SOON and process.exitcode != -signal.SIGKILL else 0
            if self.died >= _MOST:
                raise MakerError(
                    f"{self.died} workers in a row ended soon after they had started, the last with exit status"
                    f" {process.exitcode}: see what they wrote to standard error"
                )
            process.close()
            self.processes[place] = self._started(self.job)

    def stop(self) -> None:
        """Wait for the processes to leave; end those that have not after a minute."""
        due = time.monotonic() + _LEAVING
        for process, _ in self.processes:
            process.join(max(0.0, due - time.monotonic()))
            if process.is_alive():
                process.kill()
                process.join()
            process.close()
        self.processes = []

    @staticmethod
    def _started(job: Job) -> tuple[BaseProcess, float]:
        process = multiprocessing.get_context("spawn").Process(target=_main, args=(job, os.getpid()), daemon=True)
        process.start()
        return process, time.monotonic()


def _main(job: Job, parent: int) -> None:
    """Work until the run ends, SIGTERM comes, or the parent process is gone."""
    asked = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: asked.set())
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends it to all; the parent says what follows
    try:
        work(job, leave=lambda: asked.is_set() or os.getppid() != parent)
    except MakerError as error:
        sys.stderr.write(f"worker {os.getpid()}: {type(error).__name__}: {bounded_text(error)}\n")
        sys.exit(1)
