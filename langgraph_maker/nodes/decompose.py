"""`decompose`: turn the run's position into subtasks, or end the run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from operator import index
from typing import Any
from uuid import uuid4

from langchain_core.runnables import Runnable, RunnableConfig
from langgraph.config import get_store
from langgraph.store.base import BaseStore

from langgraph_maker import records
from langgraph_maker.ballot import check_margin
from langgraph_maker.nodes.node import Node
from langgraph_maker.nodes.position import Position, attach, begin, forget, known, remember, reopened
from langgraph_maker.nodes.state import MakerState, RunStatus
from langgraph_maker.records import Plan
from langgraph_maker.task import Task

__all__ = ["SEGMENT_ENDED", "decompose_node"]

_MOST_ACTIONS_IN_STATE = 4096
SEGMENT_ENDED = (
    "the recursion limit is near: call the graph again with {} on the same thread (it needs a checkpointer or a store),"
    " or give a larger recursion_limit"
)
_SUPERSTEPS_TO_FINISH = 6  # decompose, vote and its own, escalate, update, decompose: a round must have room to end


def decompose_node(
    task: Task,
    *,
    k: int = 3,
    max_steps: int | None = None,
    settings: Mapping[str, Any] | None = None,
    stop: Callable[[], bool] | None = None,
) -> Runnable[MakerState, dict[str, Any]]:
    """Give the next step of the chain to a ballot, begin the run where it has not begun, end it where it is done.

    An unresolved or stopped run that is entered again goes on, open ballots and all; a solved one stays solved.
    With a store the journal is the truth: a run is moved on to where its journal ends.

    Args:
        task: The task.
        k: The margin, which a run's journal fixes.
        max_steps: Where the task does not know its number of steps: after how many it ends as "wrong_end".
        settings: What to record in the journal beside it: the model, the budget.
        stop: Asked before each round; when it says True, the run ends as "stopped" with all that was counted.

    Raises:
        ValueError: When neither the task nor `max_steps` says how many steps there may be; while running, when a
            run of more than 4,096 steps has no store to be journalled in, or a run id is no text.
        JournalError: While running, when the journal is of another task or k, was altered, or ends before the
            checkpoint.
    """
    role = _Decompose(
        task=task,
        limit=_steps(task, max_steps),
        fixed={"task": task.name, "parameters": task.parameters(), "k": check_margin(k)},
        settings=settings or {},
        stop=stop or (lambda: False),
    )
    return Node("decompose", role.decompose, role.adecompose)


@dataclass(frozen=True)
class _Decompose:
    task: Task
    limit: int
    fixed: Mapping[str, Any]
    settings: Mapping[str, Any]
    stop: Callable[[], bool]

    def decompose(self, state: MakerState, config: RunnableConfig) -> dict[str, Any]:
        run_id, store = _run_id(state, config), get_store()
        if store is None:
            return self.unjournalled(state, run_id)
        return records.drive(self.journalled(state, run_id, store), store)

    async def adecompose(self, state: MakerState, config: RunnableConfig) -> dict[str, Any]:
        run_id, store = _run_id(state, config), get_store()
        if store is None:
            return self.unjournalled(state, run_id)
        return await records.adrive(self.journalled(state, run_id, store), store)

    def unjournalled(self, state: MakerState, run_id: str) -> dict[str, Any]:
        if state.get("begun") == run_id:
            return self.go_on(state, run_id, _position(state))
        if self.limit > _MOST_ACTIONS_IN_STATE:
            raise ValueError(
                f"{self.task.name} may take {self.limit:,} steps; above {_MOST_ACTIONS_IN_STATE:,} the actions go to a"
                " store: compile the graph with store=…, such as langgraph.store.memory.InMemoryStore()"
            )
        return self.go_on(state, run_id, begin(self.task, self.limit))

    def journalled(self, state: MakerState, run_id: str, store: BaseStore) -> Plan[dict[str, Any]]:
        here = _position(state) if state.get("begun") == run_id else None
        last = known(store, run_id)
        if here is None or last is None or _at(here) != _at(last):
            start = here or last or begin(self.task, self.limit)
            here = yield from attach(self.task, run_id, start, fixed=self.fixed, settings=self.settings)
            remember(store, run_id, here)
        update = self.go_on(state, run_id, here)
        if update["status"] != "running":
            [found] = yield [records.get_header(run_id)]
            if (header := records.read_header(found, run_id)) is not None:
                outcome = {name: update[name] for name in ("status", "reason", "steps", "samples", "flagged", "digest")}
                yield [records.put_header({**header, "outcome": outcome})]
        if update["status"] == "solved":
            forget(store, run_id)
        return update

    def go_on(self, state: MakerState, run_id: str, position: Position) -> dict[str, Any]:
        status, reason = self.outcome(position, state)
        update: dict[str, Any] = {"status": status}
        if state.get("begun") != run_id:
            update |= {"run_id": run_id, "begun": run_id, "actions": []}
        if position["lanes"] is not state.get("lanes"):
            update |= position
        if status == "running":
            lanes = position["lanes"]
            return update | {"subtasks": [{"id": str(lane["step"]), "state": lane["state"]} for lane in lanes]}
        totals, ballots = position["totals"], position["ballots"]
        return update | {
            "reason": reason,
            "ballots": reopened(ballots),
            "final_state": position["lanes"][-1]["state"],
            "steps": totals["steps"],
            "samples": totals["samples"] + sum(ballot["samples"] for ballot in ballots),
            "flagged": totals["flagged"] + sum(sum(ballot["flags"].values()) for ballot in ballots),
            "rounds": totals["rounds"] + sum(ballot["rounds"] for ballot in ballots),
            "digest": totals["digest"],
        }

    def outcome(self, position: Position, state: MakerState) -> tuple[RunStatus, str]:
        lane = position["lanes"][0]
        if self.task.is_done(lane["state"]):
            return "solved", ""
        if any(ballot["status"] == "unresolved" for ballot in position["ballots"]):
            return "unresolved", state["reason"]
        if lane["step"] >= self.limit:
            return "unresolved", "wrong_end"
        if self.stop():
            return "stopped", "stopped on request; run it again under the same id to go on"
        if state["remaining_steps"] < _SUPERSTEPS_TO_FINISH:
            return "stopped", SEGMENT_ENDED
        return "running", ""


def _run_id(state: MakerState, config: RunnableConfig) -> str:
    run_id = state.get("run_id") or config.get("configurable", {}).get("thread_id") or uuid4().hex
    if not isinstance(run_id, str):
        raise ValueError(f"a run id is a text, not {run_id!r}")  # noqa: TRY004 - bad input like any other
    return run_id


def _position(state: MakerState) -> Position:
    return {"lanes": state["lanes"], "totals": state["totals"], "ballots": state["ballots"]}


def _at(position: Position) -> list[int]:
    return [lane["step"] for lane in position["lanes"]]


def _steps(task: Task, max_steps: int | None) -> int:
    if max_steps is None:
        if task.steps is None:
            raise ValueError(f"{task.name} does not know its number of steps: give max_steps, by which it must be done")
        return task.steps
    try:
        limit = index(max_steps)
    except TypeError:
        limit = 0
    if limit < 1 or isinstance(max_steps, bool):
        raise ValueError(f"max_steps is a whole number of at least 1, not {max_steps!r}")
    return limit if task.steps is None else min(limit, task.steps)
