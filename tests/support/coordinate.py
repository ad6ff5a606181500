"""A process for tests to kill: coordinates workers, which it starts, each of whose samples is a byte in a file.

python coordinate.py DB RUN_ID DISKS LANES WORKERS COUNTER LEASE
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Any

from langgraph_maker import solve
from langgraph_maker.core.state import Request
from langgraph_maker.journal.databases import open_store
from langgraph_maker.runs.workers.local import LocalWorkers
from langgraph_maker.simulation.chat_model import simulated_sampler
from langgraph_maker.tasks import TowersOfHanoi

SPEC = "sim:error=0.1,flag=0.05"


class CountedSampler:
    """A simulated model that can be sent to another process, and notes what it draws."""

    never_waits = True

    def __init__(self, disks: int, path: str) -> None:
        self.disks, self.path = disks, path

    async def __call__(self, requests: Sequence[Request]) -> Sequence[Any]:
        if "file" not in self.__dict__:
            self.file = os.open(self.path, os.O_CREAT | os.O_APPEND | os.O_WRONLY)
            self.sampler = simulated_sampler(SPEC, TowersOfHanoi(self.disks))
        os.write(self.file, b"." * len(requests))
        return await self.sampler(requests)


def main() -> None:
    db, run_id, disks, lanes, workers, counter, lease = sys.argv[1:]
    with open_store(db) as store:
        run = solve(
            TowersOfHanoi(int(disks)),
            CountedSampler(int(disks), counter),
            k=5,
            store=store,
            run_id=run_id,
            lanes=int(lanes),
            workers=LocalWorkers(int(workers), lease=float(lease)) if int(workers) else 0,
        )
    sys.stdout.write(f"{run.status} {run.steps} {run.samples} {run.digest}\n")


if __name__ == "__main__":
    main()
