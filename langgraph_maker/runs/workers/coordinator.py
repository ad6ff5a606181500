"""Who coordinates a run: cuts it into blocks, adds up what workers report, holds all to the run's limits."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import uuid4

from langchain_core.runnables import RunnableConfig
from langgraph.store.base import BaseStore, Op

from langgraph_maker.core import errors
from langgraph_maker.core.errors import MakerError, RunBusyError
from langgraph_maker.core.events import OpenBallots, RoundEnded, Totals
from langgraph_maker.core.reasons import Reason, Stop, stop_reason
from langgraph_maker.core.state import Usage, no_usage
from langgraph_maker.core.task import Task
from langgraph_maker.journal import blocks, records, segments, store_ops
from langgraph_maker.journal.blocks import Block, Control
from langgraph_maker.journal.claims import Claims
from langgraph_maker.journal.records import Session
from langgraph_maker.journal.run_data import put_observer_state
from langgraph_maker.nodes.block_position import attach_block, block_progress, cells_of
from langgraph_maker.nodes.limits import overspent
from langgraph_maker.nodes.node import Node
from langgraph_maker.nodes.run_position import RunTerms
from langgraph_maker.nodes.tenant import store_of
from langgraph_maker.nodes.totals import summed, summed_open
from langgraph_maker.nodes.update import keep_alarms
from langgraph_maker.runs.monitor.monitor import Monitor
from langgraph_maker.runs.monitor.outlook import NONE_OPEN
from langgraph_maker.runs.workers.job import LEASE, Job, Workers
from langgraph_maker.runs.workers.worker import record_of_this

__all__ = ["Coordinator", "SharedLimits"]

_POLL: Final = 0.25
_MOST_A_WORKER: Final = 4
_LANES_A_BLOCK: Final = 64
"""Lanes that a block has before a run is cut into more blocks than workers: a worker advances one block at a time."""
_UNKNOWN: Final = 16
"""Workers for which a run is cut where it is not known how many will come."""
_SILENCE: Final = 30.0
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class SharedLimits:
    """What holds for all workers of a run together; `deadline` is in seconds since the epoch."""

    max_total_samples: int | None = None
    max_cost: float | None = None
    deadline: float | None = None


@dataclass
class Coordinator:
    """Waits until workers have advanced a run as far as they can.

    Args:
        task: The run's.
        lanes: How many stretches the run may be cut into.
        workers: What starts workers; None where they join by themselves.
        job: What they are given.
        limits: Of the whole run.
        monitor: Follows the run as a whole, and raises its k.
        stop: Asked about four times a second.
        on_progress: Called as often.
        lease: See `LEASE`.
    """

    task: Task
    lanes: int
    workers: Workers | None
    job: Job
    limits: SharedLimits
    monitor: Monitor
    stop: Stop
    on_progress: Callable[[Totals, OpenBallots, int], None]
    lease: float = LEASE
    session: str = ""
    verdict: Reason | None = None
    failure: str = ""
    rest: list[Totals] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)

    def node(self) -> Node:
        """Return the node of a coordinator's graph in which workers work."""

        async def wait(state: Any, config: RunnableConfig) -> dict[str, Any]:
            return await asyncio.to_thread(self.wait, state, config)

        return Node("workers", self.wait, wait)

    def stopped(self) -> bool | Reason:
        """Return why the run ends where it is, once no worker works on it; False while one may."""
        return self.verdict or False

    def wait(self, state: Any, _: RunnableConfig) -> dict[str, Any]:
        """Cut the run into blocks, and wait until they are done, or none can continue."""
        store, run_id = store_of(state), state["run_id"]
        if store is None:
            raise MakerError("a run of many workers needs a store")
        self.session = uuid4().hex[:12]
        self._cut(store, run_id, state)
        if self.workers is not None:
            self.workers.start(self.job)
        claims = Claims(store, run_id, {**record_of_this(), "name": ""})
        try:
            self._follow(store, run_id, claims)
        except RunBusyError:
            raise
        except BaseException:
            self.verdict = self.verdict or Reason("stop_requested", "the coordinator broke off")
            self._put_control(store, run_id, "working")
            raise
        else:
            self._put_control(store, run_id, "ended")
        finally:
            if self.workers is not None:
                self.workers.stop()
            claims.close()
        if self.failure:
            name, colon, text = self.failure.partition(": ")
            kind = getattr(errors, name, MakerError)
            raise kind(f"a worker failed: {text if colon and kind is not MakerError else self.failure}")
        return {"failure": ""}

    def _cut(self, store: BaseStore, run_id: str, state: Any) -> None:
        """Write a record for each block that is not done."""
        begun = self.monitor.begun
        limit = begun["limit"] if begun else 0
        terms: RunTerms = {
            "fixed": {},
            "margin": lambda *_: 0,
            "least": lambda: None,
            "settings": {},
            "limit": limit,
            "lanes": self.lanes,
        }
        cells = cells_of(self.task, segments.chain(store, run_id), terms)
        size = _size(len(cells), _UNKNOWN if self.workers is None else self.workers.count)
        ahead = [lane for lane in state["lanes"] if lane["step"] < lane["end"]]
        known = state["totals"]["steps"] or state["ballots"]
        ops: list[Op] = []
        for first in range(0, len(cells), size):
            group = cells[first : first + size]
            start, end = group[0]["step"], group[-1]["end"]
            progress = None
            if known:
                position = store_ops.drive(attach_block(self.task, run_id, terms, (start, end)), store)
                progress = block_progress(position)
            if any(start < lane["end"] <= end for lane in ahead):
                block: Block = {**blocks.fresh(start, end), "progress": progress}
                ops.append(blocks.put_block(run_id, block, self.session))
            elif progress is not None:
                self.rest.append(progress["totals"])
        self.keys = [op.key for op in ops]  # type: ignore[union-attr]
        store_ops.batch(store, ops)
        self._put_control(store, run_id, "working")

    def _put_control(self, store: BaseStore, run_id: str, state: Any) -> None:
        limits, rest = self.limits, summed(self.rest)
        control: Control = {
            "state": state,
            "session": self.session,
            "coordinator": records.writer(),
            "stop": None if self.verdict is None else list(self.verdict),
            "before": (rest["samples"], rest["usage"]["cost"]),
            "k": 0 if self.monitor.k is None else self.monitor.k.to,
            "lease": self.lease,
            "max_total_samples": limits.max_total_samples,
            "max_cost": limits.max_cost,
            "deadline": limits.deadline,
            "max_concurrency": None,
        }
        store_ops.batch(store, [blocks.put_control(run_id, control)])

    def _follow(self, store: BaseStore, run_id: str, claims: Claims) -> None:
        before = summed(self.rest)
        watched = heard = time.monotonic()
        while True:
            found = self._blocks(store, run_id)
            before = self._see(store, run_id, found, before)
            lives = store_ops.persisted(lambda: claims.lives(self.lease), store)
            alive = {worker["name"] for worker, lives in lives if lives and worker["left"] is None}
            held = [block for block in found if block["owner"] in alive]
            if self.verdict is None and (why := self._why(found)) is not None:
                self.verdict = why
                self._put_control(store, run_id, "working")
            if not held and (self.verdict is not None or not any(one["status"] == "open" for one in found)):
                self._say_lost(store, run_id, sum(block["lost"] for block in found))
                return
            now = time.monotonic()
            if self.workers is not None and self.verdict is None and now > watched + 1:
                watched = now
                self.workers.watch()
            if alive:
                heard = now
            elif now > heard + _SILENCE:
                heard = now
                logger.warning("no worker advances run %r: start one with langgraph-maker work", run_id)
            time.sleep(_POLL)

    def _blocks(self, store: BaseStore, run_id: str) -> list[Block]:
        """Return the blocks as they are.

        Raises:
            RunBusyError: When another process coordinates the run by now.
        """
        ops = [blocks.get_control(run_id), *(blocks.get_block(run_id, key) for key in self.keys)]
        control, *items = store_ops.batch(store, ops)
        asked = blocks.read_control(control, run_id)
        if asked is None or asked["session"] != self.session:
            raise RunBusyError(
                f"run {run_id!r} is coordinated by another process by now: let that one end it, and do not start two"
            )
        return blocks.read_blocks([item for item in items if item is not None], run_id)

    def _say_lost(self, store: BaseStore, run_id: str, lost: int) -> None:
        """Journal how many samples may have been in flight, and lost, where workers broke off."""
        if lost and (header := segments.found_header(store, run_id)) is not None:
            *earlier, last = header["sessions"]
            session: Session = {**last, "lost": last.get("lost", 0) + lost}
            store_ops.batch(store, [records.put_header({**header, "sessions": [*earlier, session]})])

    def _see(self, store: BaseStore, run_id: str, found: Sequence[Block], before: Totals) -> Totals:
        """Take in what workers report: as one round of the whole run, with its alarms."""
        progress = [block["progress"] for block in found if block["progress"] is not None]
        totals = summed([*self.rest, *(one["totals"] for one in progress)])
        still = summed_open([one["open"] for one in progress], NONE_OPEN)
        if totals == before and still == self.monitor.still:
            return totals
        votes = totals["votes"] - before["votes"]
        flags = {name: count - before["flags"].get(name, 0) for name, count in totals["flags"].items()}
        event: RoundEnded = {
            "event": "round.ended",
            "run_id": run_id,
            "steps": totals["steps"] - before["steps"],
            "samples": totals["samples"] - before["samples"],
            "votes": votes,
            "winner_votes": votes - totals["lost"] + before["lost"],
            "flags": {name: count for name, count in flags.items() if count},
            "lanes": sum(one["lanes"] for one in progress),
            "totals": totals,
            "open": still,
        }
        if alarms := self.monitor(event):
            store_ops.drive(keep_alarms(run_id, alarms, self.monitor.state_dict()), store)
            if any("k" in alarm for alarm in alarms):
                self._put_control(store, run_id, "working")
        elif (kept := self.monitor.state_dict()) is not None:
            store_ops.batch(store, [put_observer_state(run_id, kept)])
        self.on_progress(totals, still, event["lanes"])
        return totals

    def _why(self, found: Sequence[Block]) -> Reason | None:
        """Return why no worker is to continue, None while they may."""
        for block in found:
            if block["status"] == "failed":
                self.failure = block["reason"]
                return Reason("stop_requested", "a worker failed")
        if (why := stop_reason(self.stop)) is not None:
            return why
        for block in found:
            if block["status"] in {"unresolved", "stopped"}:
                return Reason(block["reason_code"], block["reason"].removesuffix(_RESUME))
        spent = [blocks.spent(block) for block in found]
        usages: list[Usage] = [{**no_usage(), "cost": cost} for _, cost in spent]
        usages += [part["usage"] for part in self.rest]
        samples = sum(count for count, _ in spent) + sum(part["samples"] for part in self.rest)
        limits = self.limits
        return overspent(samples, usages, max_total_samples=limits.max_total_samples, max_cost=limits.max_cost)


def _size(lanes: int, workers: int) -> int:
    """Return how many lanes a block has: one block a worker, or where lanes are many, up to four."""
    pieces = max(1, min(_MOST_A_WORKER, lanes // (workers * _LANES_A_BLOCK)))
    return max(1, math.ceil(lanes / (workers * pieces)))


_RESUME: Final = "; run it again under the same id to continue"
