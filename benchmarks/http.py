"""What a vote costs over HTTP: `python -m benchmarks.http [--disks 10] [--repeats 3]`.

Towers of Hanoi at k = 3 in 64 lanes, through `ChatOpenAI` over loopback, against `langgraph-maker serve` in a process
of its own: with the provider's n (one call for the later votes of a step) and with a server that ignores it. Client
CPU is this process's, all of it: HTTP, LangChain, the engine, the journal in memory. The model is simulated.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from langchain_openai import ChatOpenAI

from langgraph_maker import Run, solve
from langgraph_maker.tasks import TowersOfHanoi


@contextmanager
def served(disks: int, *options: str) -> Iterator[str]:
    """The base URL of a server in a process of its own."""
    command = [sys.executable, "-m", "langgraph_maker", "serve", "--disks", str(disks), "--port", "0", *options]
    with subprocess.Popen(  # noqa: S603
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env={**os.environ, "COLUMNS": "200"}
    ) as server:
        try:
            assert server.stderr is not None  # noqa: S101
            yield next(word.rstrip(";") for word in server.stderr.readline().split() if word.startswith("http://"))
        finally:
            server.terminate()


def measured(disks: int, *options: str) -> tuple[float, float, Run]:
    """Client CPU and time of one run, in seconds."""
    with served(disks, *options) as url:
        model = ChatOpenAI(base_url=url, api_key="any", model="sim")  # type: ignore[arg-type]
        began, cpu = time.perf_counter(), time.process_time()
        run = solve(TowersOfHanoi(disks), model, lanes=64)
        return time.process_time() - cpu, time.perf_counter() - began, run


def main() -> None:
    """Print the table."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--disks", type=int, default=10)
    arguments.add_argument("--repeats", type=int, default=3, help="medians are printed")
    given = arguments.parse_args()
    print(
        f"{platform.machine()}, Python {platform.python_version()}; {given.disks} disks, simulated gpt-4.1-mini, k = 3"
    )
    measured(4)  # imports and first connections
    for name, options in (("with n", ()), ("without n", ("--ignores", "n"))):
        rows = [measured(given.disks, *options) for _ in range(given.repeats)]
        cpu = statistics.median(cpu / run.samples for cpu, _, run in rows)
        took = statistics.median(seconds for _, seconds, _ in rows)
        run = rows[0][2]
        print(
            f"{name:10} {cpu * 1e3:.2f} ms client CPU a vote, {took:.1f} s; {run.samples:,} samples,"
            f" {run.usage['input_tokens']:,} prompt tokens billed, {run.usage['output_tokens']:,} output tokens"
        )


if __name__ == "__main__":
    main()
