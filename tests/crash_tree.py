"""A process for tests: a recursive run in a database, which kills itself in its nth round of sampling.

python crash_tree.py DB COUNTER ROUNDS PROBLEM; what each round draws is a line of COUNTER, 0 rounds have no end.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Sequence
from typing import Any

from langgraph_maker import create_recursive_maker
from langgraph_maker.recursion.multiplication import simulated_multiplication
from langgraph_maker.state import Request, Sampler, never_waits
from langgraph_maker.stores import open_store


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
    db, counter, rounds, problem = sys.argv[1:]
    model = mortal(simulated_multiplication(flag=0.05, seed=4), counter, int(rounds))
    with open_store(db) as store:
        result = create_recursive_maker(model).compile(store=store).invoke({"problem": problem, "run_id": "r"})
    sys.stdout.write(json.dumps({name: result[name] for name in ("status", "answer", "samples", "rounds", "depth")}))


if __name__ == "__main__":
    main()
