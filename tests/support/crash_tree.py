"""A process for tests: a recursive run in a database, which kills itself in its nth round of sampling.

python crash_tree.py DB COUNTER ROUNDS PROBLEM [asks]; what each round draws is a line of COUNTER, 0 rounds have no end.
The model of one that "asks" is right in 6 of 10 answers, and a human stands above it.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Sequence
from typing import Any

from langgraph_maker import create_recursive_maker
from langgraph_maker.core.state import Request, Sampler, never_waits
from langgraph_maker.journal.databases import open_store
from langgraph_maker.nodes.ladder import AskHuman, LadderLike, Tier
from langgraph_maker.prebuilt.recursive.multiplication import simulated_multiplication

LADDER: LadderLike = [Tier(samples=6), AskHuman()]


def model(*asks: str) -> Sampler:
    """The model that the process asks."""
    return simulated_multiplication(small=0.6 if asks else 0.97, flag=0.05, seed=4)


def mortal(sampler: Sampler, path: str, rounds: int) -> Sampler:
    """The sampler, which does not survive its nth call."""
    file = os.open(path, os.O_CREAT | os.O_APPEND | os.O_WRONLY)
    calls = 0

    @never_waits
    async def sample(requests: Sequence[Request]) -> Sequence[Any]:
        nonlocal calls
        calls += 1
        os.write(file, f"{len(requests)}\n".encode())
        if calls == rounds:
            os.kill(os.getpid(), signal.SIGKILL)
        return await sampler(requests)

    return sample


def main() -> None:
    db, counter, rounds, problem, *asks = sys.argv[1:]
    with open_store(db) as store:
        graph = create_recursive_maker(mortal(model(*asks), counter, int(rounds)), ladder=LADDER if asks else None)
        result = graph.compile(store=store).invoke({"problem": problem, "run_id": "r"})
    names = ("status", "answer", "samples", "rounds", "depth", "questions")
    sys.stdout.write(json.dumps({name: result[name] for name in names}))


if __name__ == "__main__":
    main()
