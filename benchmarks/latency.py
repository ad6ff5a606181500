"""What waiting costs: `python -m benchmarks.latency [--quick]`.

Towers of Hanoi at k = 3, p = .95, by an in-process sampler whose calls take a log-normal time (median 15 ms, or 300
ms; sigma = 1). Answers are simulated. One lane: time and calls a step, one vote after another, in waste-free rounds
and with hedges. Many lanes: steps a second against lanes that run free: a plain asyncio program, one task a lane, the
same prompts, parser, red flags and ballots, no LangGraph, no journal; over the first 70 % of the steps, when all lanes
are busy still. Every row is a process of its own, in turns.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from math import exp
from random import Random
from typing import Any

from langchain_core.messages import AIMessage
from langchain_core.messages.ai import UsageMetadata

from benchmarks.overhead import written_down
from langgraph_maker import Ballot, solve
from langgraph_maker.core.state import Request
from langgraph_maker.nodes.guard import DEFAULT_RED_FLAGS
from langgraph_maker.tasks import TowersOfHanoi

K, P = 3, 0.95


class Slow:
    """A sampler that takes its time; the samples of one call run side by side."""

    def __init__(self, task: TowersOfHanoi, median: float, hang: str = "") -> None:
        usage: UsageMetadata = {"input_tokens": 600, "output_tokens": 50, "total_tokens": 650}
        self.as_served: dict[str, Any] = {"usage_metadata": usage, "response_metadata": {"finish_reason": "stop"}}
        self.right = [AIMessage(one.text, **self.as_served) for one in written_down(task).values()]
        self.pegs = [disk for peg in task.initial_state()["pegs"] for disk in peg]
        self.median, self.hang, self.random, self.calls = median, hang, Random(7), 0  # noqa: S311

    def answer(self, request: Request) -> AIMessage:
        """The right answer, or one of many wrong ones: what is wrong here never wins, so that all runs are whole."""
        right = self.right[int(request.subtask_id)]
        if self.random.random() < P:
            return right
        self.random.shuffle(self.pegs)
        pegs = [self.pegs[::3], self.pegs[1::3], self.pegs[2::3]]
        return AIMessage(f"move = [1, 0, 1]\nnext_state = {pegs}", **self.as_served)

    async def __call__(self, requests: Sequence[Request]) -> Sequence[AIMessage | Exception]:
        """Answer the samples of one call, after the slowest of their latencies."""
        self.calls += len(requests)
        seconds = self.median * exp(max(self.random.gauss(0, 1) for _ in requests))
        if self.hang and any(request.subtask_id == self.hang for request in requests):
            self.hang, seconds = "", 60.0
        await asyncio.sleep(seconds)
        return [self.answer(request) for request in requests]


async def free(
    task: TowersOfHanoi, lanes: int, sampler: Slow, done: Callable[[int], None], *, at_once: bool = True
) -> None:
    """A program without an engine: every lane is a task of its own."""
    steps = 0

    async def lane(segment: Any) -> None:
        nonlocal steps
        state = segment["state"]
        for step in range(segment["step"], segment["end"]):
            ballot, number, messages = Ballot(K), 0, task.prompt(state)
            while ballot.deficit:
                due = range(number, number + (ballot.deficit if at_once else 1))
                number = due.stop
                for response in await sampler([Request(messages, 0.1, str(step), n) for n in due]):
                    assert isinstance(response, AIMessage)  # noqa: S101
                    if DEFAULT_RED_FLAGS(response) is None:
                        ballot.cast(task.parse(response.text))
            state = task.advance(state, ballot.winner)
            steps += 1
            done(steps)

    await asyncio.gather(*(lane(segment) for segment in task.segments(lanes)))


class Watch:
    """The time at which so many steps were done, while all lanes were busy still."""

    def __init__(self, steps: int) -> None:
        self.goal, self.began, self.seconds, self.steps = _BUSY * steps, time.perf_counter(), 0.0, 0

    def __call__(self, steps: int) -> None:
        """Look at the clock when the goal is passed."""
        if not self.seconds and steps >= self.goal:
            self.steps, self.seconds = steps, time.perf_counter() - self.began


_BUSY = 0.7


def row(disks: int, lanes: int, median: float, how: str) -> dict[str, Any]:
    """One measurement, in this process."""
    task = TowersOfHanoi(disks)
    sampler = Slow(task, median, hang="1" if how == "hang" else "")
    gc.collect()
    gc.freeze()  # as the command line does, and so the next line
    gc.set_threshold(50_000, 20, 20)
    watch = Watch(2**disks - 1)
    if how.startswith("free") or how == "one after another":
        asyncio.run(free(task, lanes, sampler, watch, at_once=how != "one after another"))
    else:
        hedge = int(how.removeprefix("hedge ")) if how.startswith("hedge") else 0
        run = solve(task, sampler, k=K, lanes=lanes, hedge=hedge, on_progress=lambda progress: watch(progress.steps))
        assert run.status == "solved", run.reason  # noqa: S101
    return {
        "lanes": lanes,
        "median": median,
        "how": how,
        "steps/s": watch.steps / watch.seconds,
        "ms/step": watch.seconds / watch.steps * 1e3,
        "calls/step": sampler.calls / (2**disks - 1),
        "to the end": time.perf_counter() - watch.began,
    }


def measured(disks: int, lanes: int, median: float, how: str) -> dict[str, Any]:
    """A row from a process of its own."""
    arguments = [sys.executable, "-m", "benchmarks.latency", "--row", str(disks), str(lanes), str(median), how]
    return dict(json.loads(subprocess.run(arguments, check=True, capture_output=True, text=True).stdout))  # noqa: S603


def main() -> None:
    """Print the tables."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--repeats", type=int, default=3, help="of each pair; medians are printed")
    arguments.add_argument("--quick", action="store_true", help="two disks less")
    arguments.add_argument("--row", nargs=4, help=argparse.SUPPRESS)
    given = arguments.parse_args()
    if given.row:
        disks, lanes, median, how = given.row
        print(json.dumps(row(int(disks), int(lanes), float(median), how)))
        return
    less = 2 if given.quick else 0
    print(f"{platform.machine()}, Python {platform.python_version()}; simulated answers, k = {K}, p = {P}, sigma = 1")
    print("one lane, median 15 ms:")
    for how in ("one after another", "waste-free", "hedge 1", "hedge 2"):
        rows = [measured(8 - less, 1, 0.015, how) for _ in range(given.repeats)]
        middle = statistics.median(one["ms/step"] for one in rows)
        print(f"  {how:18} {middle:7.1f} ms a step, {rows[0]['calls/step']:.2f} calls a step")
    for lanes, median, disks in ((64, 0.015, 14), (64, 0.3, 11), (1024, 0.015, 16), (1024, 0.3, 14)):
        ratios, ours = [], []
        for _ in range(given.repeats):
            one, other = (measured(disks - less, lanes, median, how)["steps/s"] for how in ("waste-free", "free lanes"))
            ours.append(one)
            ratios.append(one / other)
        print(
            f"{lanes:,} lanes, median {median * 1e3:.0f} ms: {statistics.median(ours):,.0f} steps/s,"
            f" {statistics.median(ratios):.2f} of free lanes ({', '.join(f'{ratio:.2f}' for ratio in ratios)})"
        )
    hung = measured(12 - less, 64, 0.015, "hang")
    print(f"one call of 60 s among 64 lanes: {hung['to the end']:.1f} s to the end, {hung['steps/s']:,.0f} steps/s")


if __name__ == "__main__":
    main()
