"""How `solve` follows a run, and what comes before one with k="auto"."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from itertools import accumulate
from typing import Any, Self, cast

from langgraph.store.base import BaseStore

from langgraph_maker.core.errors import SamplingError
from langgraph_maker.core.events import OpenBallots, Totals
from langgraph_maker.core.reasons import Reason, Stop, stop_reason
from langgraph_maker.core.state import no_usage, total_usage
from langgraph_maker.core.task import Task
from langgraph_maker.journal.lock import Hold
from langgraph_maker.journal.position import RunPosition
from langgraph_maker.models.resolve import Model
from langgraph_maker.models.short_call import counting
from langgraph_maker.nodes.langgraph_keys import INTERRUPTED
from langgraph_maker.nodes.state import MakerInput
from langgraph_maker.runs import auto_k
from langgraph_maker.runs.calibration import Calibration
from langgraph_maker.runs.monitor.monitor import Monitor
from langgraph_maker.runs.result import Progress, Run

__all__ = ["CalibrationProgress", "Session"]


class Session:
    """Follows a run by the updates of its nodes, so that what was spent is known however it ends."""

    def __init__(
        self,
        task: Task,
        on_progress: Callable[[Progress], None] | None,
        monitor: Monitor,
        answers: Mapping[str, Any] | None,
    ) -> None:
        self.monitor = monitor
        self.answers = answers
        self.total_steps = task.steps
        self.on_progress = on_progress
        self.began = time.monotonic()
        self.state: dict[str, Any] = {}
        self.earlier = 0
        self.counting = counting()

    def __enter__(self) -> Self:
        self.calls = self.counting.__enter__()
        return self

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        self.counting.__exit__(None, None, None)
        if error is None or not self.state:
            return
        now = self.progress()
        spent = f"at step {now.steps:,}, after {now.samples:,} samples, {now.flagged:,} of them flagged"
        if isinstance(error, SamplingError):
            raise SamplingError(f"{error} ({spent})") from error
        error.add_note(spent)

    def given(self, run_id: str) -> MakerInput:
        """Return the input of a segment; the first has the answers."""
        if not self.answers:
            return {"run_id": run_id}
        answers, self.answers = dict(self.answers), None
        return {"run_id": run_id, "answers": answers}

    def goes_on(self, own: Hold) -> bool:
        """Return whether a (further) segment is due: at first, and after one that only its recursion limit ended."""
        if not self.state:
            return True
        if self.state["status"] != "stopped" or self.state["reason_code"] != "recursion_limit":
            return False
        own.position = cast("RunPosition", {name: self.state[name] for name in RunPosition.__annotations__})
        return True

    def see(self, chunk: dict[str, Any]) -> None:
        """Take in what a node did."""
        for node, update in chunk.items():
            if node == INTERRUPTED:  # the state holds the questions
                continue
            if not self.state:  # the first node finds where the run stands
                self.earlier = update["totals"]["steps"]
            self.state.update(update)
            if self.on_progress is not None and node == "update":
                self.on_progress(self.progress())

    def progress(self) -> Progress:
        """Return how the run stands now."""
        totals, ballots = self.state["totals"], self.state["ballots"]
        return Progress(
            run_id=self.state["run_id"],
            steps=totals["steps"],
            earlier=self.earlier,
            total_steps=self.total_steps,
            samples=totals["samples"] + sum(ballot["samples"] for ballot in ballots),
            flagged=totals["flagged"] + sum(sum(ballot["flags"].values()) for ballot in ballots),
            lanes=sum(lane["step"] < lane["end"] for lane in self.state["lanes"]),
            undecided=len(ballots),
            seconds=time.monotonic() - self.began,
            alarms=tuple(self.monitor.raised),
            later=self.monitor.later(),
        )

    def see_totals(self, totals: Totals, still: OpenBallots, lanes: int) -> None:
        """Take in how a run stands that others advance."""
        if self.on_progress is None:
            return
        now = Progress(
            run_id=self.state["run_id"],
            steps=totals["steps"],
            earlier=self.earlier,
            total_steps=self.total_steps,
            samples=totals["samples"] + still["samples"],
            flagged=totals["flagged"] + still["flagged"],
            lanes=lanes,
            undecided=still["ballots"],
            seconds=time.monotonic() - self.began,
            alarms=tuple(self.monitor.raised),
        )
        object.__setattr__(now, "_later", self.monitor.later())
        self.on_progress(now)

    def run(self, store: BaseStore, found: Calibration | None) -> Run:
        """Return the run, once no segment is due."""
        state, totals = self.state, self.state["totals"]
        begun = totals["steps"] + len(state["ballots"])
        return Run(
            status=state["status"],
            reason=state["reason"],
            run_id=state["run_id"],
            steps=state["steps"],
            samples=state["samples"],
            flagged=state["flagged"],
            rounds=state["rounds"],
            usage=total_usage([totals["usage"], *(ballot["usage"] for ballot in state["ballots"])]),
            cancelled=totals["cancelled"],
            digest=state["digest"],
            final_state=state["final_state"],
            votes_per_step=totals["votes_per_step"],
            undecided_after=[begun - gone for gone in accumulate(totals["samples_per_step"])],
            calibration=found,
            outlook=self.monitor.outlook(),
            questions=state["questions"],
            calls=dict(self.calls),
            reason_code=state["reason_code"],
            store=store,
        )


class CalibrationProgress:
    """What comes before a run with k="auto"."""

    def __init__(self, task: Task, run_id: str, on_progress: Callable[[Progress], None] | None) -> None:
        self.task, self.run_id = task, run_id
        self.on_progress = on_progress or (lambda _: None)
        self.began = time.monotonic()

    async def calibrated(
        self,
        model: Model,
        options: Mapping[str, Any],
        store: BaseStore,
        aims: auto_k.Aims,
    ) -> Calibration | None:
        """Return what was found; None when it was stopped before that was there."""
        found = await auto_k.acalibrated(
            self.task,
            model,
            options,
            aims,
            store=store,
            run_id=self.run_id,
            on_progress=lambda _, drawn: self.tell(drawn),
        )
        if found is not None:
            self.tell(found.drawn, found)
        return found

    def tell(self, drawn: int, found: Calibration | None = None) -> None:
        """Say how far the calibration is."""
        seconds = time.monotonic() - self.began
        self.on_progress(
            Progress(self.run_id, 0, 0, self.task.steps, drawn, 0, 0, 0, seconds, calibrating=True, calibration=found)
        )

    @staticmethod
    def left(found: Calibration, max_cost: float | None) -> float | None:
        """Return what the calibration leaves of the run's dollars."""
        return None if max_cost is None else max(1e-9, max_cost - (found.spent or 0.0))

    def stopped(self, store: BaseStore, stop: Stop) -> Run:
        """Return a run that did not begin."""
        why = stop_reason(stop) or Reason("stop_requested")
        return Run(
            status="stopped",
            reason="stopped while calibrating; run it again under the same id to continue",
            run_id=self.run_id,
            steps=0,
            samples=0,
            flagged=0,
            rounds=0,
            usage=no_usage(),
            cancelled=0,
            digest=f"{0:032x}",
            final_state=self.task.initial_state(),
            votes_per_step=[],
            undecided_after=[],
            reason_code=why.code,
            store=store,
        )
