"""A process for tests to kill: solves a task in a database, and notes every sample it draws in a file.

python crash.py DB RUN_ID TASK COUNTER SPEC MODE LANES

TASK is a number of disks, or "ledger:" and a number of transactions.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
from collections.abc import Sequence
from typing import Any

from langgraph_maker import asolve, solve
from langgraph_maker.core.state import Request, Sampler, never_waits
from langgraph_maker.core.task import Task
from langgraph_maker.journal.databases import open_store
from langgraph_maker.simulation.chat_model import simulated_sampler
from langgraph_maker.tasks import Ledger, TowersOfHanoi


def counting(sampler: Sampler, path: str) -> Sampler:
    """The sampler, each sample that it draws a byte in the file."""
    file = os.open(path, os.O_CREAT | os.O_APPEND | os.O_WRONLY)

    @never_waits
    async def sample(requests: Sequence[Request]) -> Sequence[Any]:
        os.write(file, b"." * len(requests))
        return await sampler(requests)

    return sample


def task_called(name: str) -> Task:
    kind, colon, count = name.partition(":")
    return Ledger.random(int(count), 100) if colon else TowersOfHanoi(int(kind))


def main() -> None:
    db, run_id, name, counter, spec, mode, lanes = sys.argv[1:]
    task = task_called(name)
    sampler = counting(simulated_sampler(spec, task), counter)
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    with open_store(db) as store:
        if mode == "async":
            run = asyncio.run(
                asolve(task, sampler, k=5, store=store, run_id=run_id, lanes=int(lanes), stop=stop.is_set)
            )
        else:
            run = solve(task, sampler, k=5, store=store, run_id=run_id, lanes=int(lanes), stop=stop.is_set)
    sys.stdout.write(f"{run.status} {run.steps} {run.samples} {run.digest}\n")


if __name__ == "__main__":
    main()
