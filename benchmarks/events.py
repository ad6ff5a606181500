"""What watching a run costs: `python -m benchmarks.events [--disks 14] [--lanes 1024] [--repeats 7]`.

Towers of Hanoi at k = 3 with a sampler that hands out responses written down beforehand, in four ways that take turns
in one process: the graph alone, with nobody listening; with a `Monitor`; with its custom stream read; and with every
ballot told. Times are CPU time of this process. Run it on an idle machine.
"""

from __future__ import annotations

import argparse
import gc
import statistics
import time
from typing import Any

from langgraph.store.memory import InMemoryStore

from benchmarks.engine import Instant, K
from langgraph_maker import create_maker
from langgraph_maker.monitor import Monitor
from langgraph_maker.tasks import TowersOfHanoi

WAYS: dict[str, tuple[dict[str, Any], str]] = {
    "nobody listens": ({}, "updates"),
    "monitor": ({"observer": True}, "updates"),
    "monitor and custom stream": ({"observer": True}, "custom"),
    "every ballot": ({"observer": True, "detail": "ballots"}, "custom"),
}


def seconds(task: TowersOfHanoi, model: Instant, way: str, lanes: int) -> float:
    """CPU seconds of one run."""
    options, mode = WAYS[way]
    given = {**options, "observer": Monitor() if options.get("observer") else None}
    graph = create_maker(task, model.sampler(), k=K, lanes=lanes, **given).compile(store=InMemoryStore())
    gc.collect()
    gc.freeze()
    began = time.process_time()
    for _ in graph.stream({}, {"recursion_limit": 10**9}, stream_mode=mode):  # type: ignore[call-overload]
        pass
    return time.process_time() - began


def main() -> None:
    """Print the table."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--disks", type=int, default=14)
    arguments.add_argument("--lanes", type=int, default=1024)
    arguments.add_argument("--repeats", type=int, default=7)
    chosen = arguments.parse_args()
    task = TowersOfHanoi(chosen.disks)
    model = Instant(task)
    taken: dict[str, list[float]] = {way: [] for way in WAYS}
    for _ in range(chosen.repeats):
        for way, each in taken.items():
            each.append(seconds(task, model, way, chosen.lanes) / (2**chosen.disks - 1) * 1e6)
    alone = statistics.median(taken["nobody listens"])
    for way, each in taken.items():
        median = statistics.median(each)
        print(f"{way:28}{median:8.1f} µs a step, {100 * (median / alone - 1):+.1f} % ({min(each):.1f}–{max(each):.1f})")


if __name__ == "__main__":
    main()
