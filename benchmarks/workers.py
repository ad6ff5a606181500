"""What workers bring, and what they take of the store: `python -m benchmarks.workers DB [--disks 14] [--lanes 256]`.

Towers of Hanoi with the instant simulated model, which is bound by the processes' CPU, on a database all can write:
one process alone, then 1 and 2 workers. Votes a second are of wall time, from the first step seen to the last, so the
machine should have nothing else to do; with `--base-url` the model is asked over HTTP, of a server in a process of its
own (`langgraph-maker serve`). Then, for each part of the store that grows with the workers, how long one operation
takes, and of how many workers one connection's time is full: a round's commit, a sign of life, the coordinator's look.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any
from uuid import uuid4

from langchain_openai import ChatOpenAI
from langgraph.store.base import BaseStore
from pydantic import SecretStr

from langgraph_maker import solve
from langgraph_maker.journal import blocks, store_ops
from langgraph_maker.journal.claims import Claims
from langgraph_maker.journal.databases import open_store
from langgraph_maker.models.resolve import Model
from langgraph_maker.runs.workers.worker import BEAT, record_of_this
from langgraph_maker.tasks import TowersOfHanoi

ROUNDS_A_SECOND = 10
"""Of one worker, for the table: rounds of 16 lanes and more over HTTP take a tenth of a second or longer."""


def speed(db: str, model: Model, disks: int, lanes: int, workers: int | None) -> float:
    """Return votes a second, from the first progress to the last."""
    seen: list[tuple[float, int]] = []
    with open_store(db) as store:
        run = solve(
            TowersOfHanoi(disks),
            model,
            k=4,
            lanes=lanes,
            store=store,
            run_id=uuid4().hex,
            workers=workers,
            on_progress=lambda now: seen.append((time.perf_counter(), now.samples)) if now.samples else None,
        )
    if run.status != "solved":
        raise SystemExit(f"the run is {run.status}: {run.reason}")
    (began, first), (ended, last) = seen[0], seen[-1]
    return (last - first) / (ended - began)


def milliseconds(operation: Callable[[], Any], times: int = 300) -> float:
    """Return how long an operation takes."""
    began = time.perf_counter()
    for _ in range(times):
        operation()
    return 1000 * (time.perf_counter() - began) / times


def parts(store: BaseStore, workers: int) -> list[tuple[str, float, float]]:
    """Return what grows with the workers: its name, milliseconds, and how often a second so many workers do it."""
    run_id, session = uuid4().hex, "s"
    records = [blocks.put_block(run_id, blocks.fresh(10 * one, 10 * one + 10), session) for one in range(4 * workers)]
    store_ops.batch(store, records)
    claims = Claims(store, run_id, record_of_this())
    try:
        claims.beat()
        claims.claim(session, 15)
        look = [blocks.get_block(run_id, op.key) for op in records]
        return [
            ("a round's commit, with the sum over all blocks", milliseconds(lambda: claims.write([])), ROUNDS_A_SECOND),
            ("a sign of life", milliseconds(claims.beat), 1 / BEAT),
            (
                "the coordinator's look at all blocks",
                milliseconds(lambda: store_ops.batch(store, look), 50),
                4 / workers,
            ),
            ("the coordinator's look at all workers", milliseconds(lambda: claims.lives(15), 50), 4 / workers),
        ]
    finally:
        claims.close()


def main() -> None:
    """Print both tables."""
    read = argparse.ArgumentParser(description=__doc__)
    read.add_argument("db")
    read.add_argument("--disks", type=int, default=14)
    read.add_argument("--lanes", type=int, default=256)
    read.add_argument("--base-url")
    read.add_argument("--workers", type=int, nargs="*", default=[1, 2])
    given = read.parse_args()
    model: Model = "sim:error=0.05"
    if given.base_url:
        model = ChatOpenAI(model="gpt-4.1-mini", base_url=given.base_url, api_key=SecretStr("none"))
    alone = speed(given.db, model, given.disks, given.lanes, None)
    print(f"one process alone: {alone:,.0f} votes/s (simulated model)")
    for workers in given.workers:
        votes = speed(given.db, model, given.disks, given.lanes, workers)
        print(f"{workers} workers: {votes:,.0f} votes/s, {votes / alone:.2f} times")
    with open_store(given.db) as store:
        for workers in (1, 64):
            print(f"{workers} workers, {4 * workers} blocks:")
            for name, one, often in parts(store, workers):
                share = workers * often * one / 1000
                print(f"  {name}: {one:.2f} ms, {workers * often:.0f} a second, {share:.1%} of one connection's time")


if __name__ == "__main__":
    main()
