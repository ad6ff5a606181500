"""A worker: takes free blocks of a run, and advances them with the engine as it is, until the run ends."""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final, cast
from uuid import uuid4

from langchain_core.runnables import RunnableConfig
from langgraph.graph.state import CompiledStateGraph
from langgraph.store.base import BaseStore

from langgraph_maker.core.errors import BlockLostError, JournalError
from langgraph_maker.core.events import Alarm, Event
from langgraph_maker.core.foreign import bounded_text
from langgraph_maker.core.margin import RaisableMargin
from langgraph_maker.core.reasons import Reason
from langgraph_maker.core.state import Usage, no_usage
from langgraph_maker.journal import blocks, records, segments, store_ops
from langgraph_maker.journal.blocks import Block, Control, WorkerRecord
from langgraph_maker.journal.claims import Claims
from langgraph_maker.journal.lock import hold
from langgraph_maker.journal.position import RunPosition
from langgraph_maker.journal.tenants import root_of, scoped, under
from langgraph_maker.journal.worker_store import WorkerStore
from langgraph_maker.models.pool import abandon
from langgraph_maker.nodes.limits import overspent
from langgraph_maker.prebuilt.maker import create_maker
from langgraph_maker.runs import auto_k
from langgraph_maker.runs.workers.job import Assignment, Job

__all__ = ["BEAT", "Worker", "record_of_this", "work"]

BEAT: Final = 1.0
"""Seconds between two signs of life."""
_IDLE: Final = 0.2
_SEGMENT: Final = 6000
logger = logging.getLogger(__name__)


def work(job: Job, *, leave: Callable[[], bool] = lambda: False) -> str:
    """Advance blocks of a run until it ends, or until `leave` says so; return why it ended, in words.

    Args:
        job: The run.
        leave: Asked before each round, and while it waits: True gives the block back, which others take.

    Raises:
        JournalError: When there is no such run, or the database failed for too long.
        MakerError: What ended the run, such as a model that never answered; the coordinator raises it too.
    """
    from langgraph_maker.journal.databases import open_store  # noqa: PLC0415 - opens what extras bring

    with open_store(job.db, job.namespace) as store:
        return Worker(store, job, leave).run()


class Worker:
    """One process's work on a run.

    Args:
        store: The journal's.
        job: The run.
        leave: See `work`.
    """

    def __init__(self, store: BaseStore, job: Job, leave: Callable[[], bool]) -> None:
        self.store, self.run_id, self.leave = store, job.run_id, leave
        self.header = segments.chain(store, job.run_id)
        assignment = job.make()
        self.claims = Claims(store, job.run_id, record_of_this())
        own = under(WorkerStore(root_of(store), self.claims), job.namespace)
        self.own, self.key = own, scoped(own, job.run_id)
        self.k = RaisableMargin(self._margin(assignment))
        self.control: Control | None = None
        self.ended = threading.Event()
        self.maker: CompiledStateGraph[Any, Any, Any, Any] = create_maker(
            assignment.task,
            assignment.model,
            k=self.k,
            stop=self.stop,
            observer=self.observe,
            **assignment.options,
        ).compile(store=own)

    def run(self) -> str:
        """Advance blocks until the run ends; return why it ended."""
        why = "failed"
        beating = threading.Thread(target=self._beat_on, name="sign of life", daemon=True)
        try:
            self._beat()
            beating.start()
            why = self._blocks()
        finally:
            self.ended.set()
            if beating.ident is not None:
                beating.join()
            self.claims.worker["left"] = why
            try:
                self.claims.beat()
            except Exception:  # what ended it matters more
                logger.debug("the last sign of life could not be written", exc_info=True)
            self.claims.close()
        return why

    def stop(self) -> bool | Reason:
        """Return why no further round is to start, False while one may."""
        control, claims = self.control, self.claims
        if self.leave():
            return Reason("stop_requested", "the worker leaves")
        if control is None or (claims.session and control["session"] != claims.session):
            return Reason("stop_requested", "another process coordinates the run")
        if control["stop"]:
            code, text = control["stop"]
            return Reason(cast("Any", code), text)
        if control["deadline"] is not None and time.time() > control["deadline"]:
            return Reason("deadline", "the deadline has passed")
        spent: list[tuple[int, float | None]] = [claims.spent, control["before"]]
        usages: list[Usage] = [{**no_usage(), "cost": cost} for _, cost in spent]
        limits: dict[str, Any] = {"max_total_samples": control["max_total_samples"], "max_cost": control["max_cost"]}
        return overspent(sum(samples for samples, _ in spent), usages, **limits) or False

    def observe(self, event: Event) -> list[Alarm]:
        """Take in what the engine emits: a raised k, and what was done."""
        if event["event"] == "run.started":
            self.k.up_to(event["raised"])
        elif event["event"] == "round.ended":
            self.claims.worker["steps"] += event["steps"]
            self.claims.worker["samples"] += event["samples"]
        return []

    def _margin(self, assignment: Assignment) -> int | Callable[[int], int]:
        if assignment.k != "auto":
            return assignment.k
        found = auto_k.stored(self.store, self.run_id)
        if found is None:
            raise JournalError(f"run {self.run_id!r} has no calibration yet: whoever started it calibrates first")
        return auto_k.margin(found, assignment.task)

    def _blocks(self) -> str:
        waited = time.monotonic()
        while not self.leave():
            control = self.control
            if control is not None and control["state"] == "ended":
                return "the run has ended"
            block = None
            if control is not None:
                self.claims.session = control["session"]
                if not self.stop():
                    block = self._claim(control)
            if block is not None:
                self._advance(block)
                waited = time.monotonic()
            else:
                if time.monotonic() > waited + 5:
                    waited = time.monotonic()
                    if segments.chain(self.store, self.run_id)["outcome"] != self.header["outcome"]:
                        return "the run has ended"
                self.ended.wait(_IDLE)
        return "it was asked to leave"

    def _claim(self, control: Control) -> Block | None:
        return store_ops.persisted(lambda: self.claims.claim(control["session"], control["lease"]), self.store)

    def _advance(self, block: Block) -> None:
        """Run the engine on a block until it ends, and say how."""
        logger.info("steps %d to %d of run %s", block["start"], block["end"], self.run_id)
        try:
            state = self._engine()
        except BlockLostError as lost:
            logger.warning("%s", lost)
            self.claims.block = None
            return
        except Exception as error:
            self._release("failed", f"{type(error).__name__}: {bounded_text(error)}", "")
            raise
        finally:
            abandon(self.key)
        status, code = state["status"], state["reason_code"]
        if status == "solved":
            self.claims.worker["blocks"] += 1
            self._release("done", "", "")
        elif status == "stopped" and (code == "stop_requested" or self._asked_to_stop()):
            self._release("open", "", "")
        else:
            self._release(status, state["reason"], code)

    def _engine(self) -> dict[str, Any]:
        config: RunnableConfig = {
            "recursion_limit": _SEGMENT,
            "configurable": {"thread_id": self.key},
            "run_name": f"maker {self.run_id}",
            "metadata": {"worker": self.claims.worker["name"]},
        }
        state: dict[str, Any] = {}
        with hold(self.own, self.run_id) as own:
            while not state or state["reason_code"] == "recursion_limit":
                if state:
                    own.position = cast("RunPosition", {name: state[name] for name in RunPosition.__annotations__})
                for chunk in self.maker.stream({"run_id": self.run_id}, config, stream_mode="updates"):
                    for update in chunk.values():
                        state.update(update)
        return state

    def _asked_to_stop(self) -> bool:
        return self.control is not None and self.control["stop"] is not None

    def _release(self, status: Any, reason: str, code: Any) -> None:
        if (block := self.claims.block) is None:
            return
        outcome: Block = {**block, "status": status, "reason": reason, "reason_code": code}
        try:
            store_ops.persisted(lambda: self.claims.release(outcome), self.store)
        except BlockLostError as lost:
            logger.warning("%s", lost)

    def _beat_on(self) -> None:
        while not self.ended.wait(BEAT):
            try:
                self._beat()
            except Exception as error:  # noqa: BLE001 - the next one may come through
                logger.warning("no sign of life could be written: %s: %s", type(error).__name__, bounded_text(error))

    def _beat(self) -> None:
        """Show a sign of life, and learn what the coordinator asks."""
        self.claims.beat()
        [item] = store_ops.batch(self.store, [blocks.get_control(self.run_id)])
        control = blocks.read_control(item, self.run_id)
        if control is not None:
            self.k.up_to(control["k"])
        self.control = control


def record_of_this() -> WorkerRecord:
    """Return what a worker in this process is, before it has done anything."""
    return {
        "name": f"{socket.gethostname()}-{os.getpid()}-{uuid4().hex[:6]}",
        "writer": records.writer(),
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "began": datetime.now(UTC).isoformat(timespec="seconds"),
        "block": None,
        "blocks": 0,
        "steps": 0,
        "samples": 0,
        "left": None,
    }
