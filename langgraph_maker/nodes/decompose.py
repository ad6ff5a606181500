"""`decompose`: turn the run's position into subtasks, or end the run."""

from __future__ import annotations

from operator import index
from typing import Any
from uuid import uuid4

from langchain_core.runnables import Runnable, RunnableConfig
from langgraph.config import get_store

from langgraph_maker.nodes.node import Node
from langgraph_maker.nodes.state import MakerState, RunStatus
from langgraph_maker.task import Task

__all__ = ["decompose_node"]

_MOST_ACTIONS_IN_STATE = 4096
_SUPERSTEPS_TO_FINISH = 6  # decompose, vote and its own, escalate, update, decompose: a round must have room to end


def decompose_node(task: Task, *, max_steps: int | None = None) -> Runnable[MakerState, dict[str, Any]]:
    """Give the next step of the chain to a ballot, begin the run where it has not begun, end it where it is done.

    An unresolved or stopped run that is entered again goes on, open ballots and all; a solved one stays solved.

    Args:
        task: The task.
        max_steps: Where the task does not know its number of steps: after how many it ends as "wrong_end".

    Raises:
        ValueError: When neither the task nor `max_steps` says how many steps there may be; while running, when a
            run of more than 4,096 steps has no store to be journalled in.
    """
    limit = _steps(task, max_steps)

    def begin(run_id: str) -> dict[str, Any]:
        if limit > _MOST_ACTIONS_IN_STATE and get_store() is None:
            raise ValueError(
                f"{task.name} may take {limit:,} steps; above {_MOST_ACTIONS_IN_STATE:,} the actions go to a store:"
                " compile the graph with store=…, such as langgraph.store.memory.InMemoryStore()"
            )
        return {
            "run_id": run_id,
            "begun": run_id,
            "lanes": [{"step": 0, "end": limit, "state": task.initial_state()}],
            "ballots": [],
            "actions": [],
            "totals": {
                "steps": 0,
                "samples": 0,
                "flagged": 0,
                "rounds": 0,
                "usage": {"input_tokens": 0, "output_tokens": 0},
                "digest": f"{0:032x}",
                "votes_per_step": [],
                "samples_per_step": [],
            },
        }

    def outcome(state: MakerState) -> tuple[RunStatus, str]:
        lane = state["lanes"][0]
        if task.is_done(lane["state"]):
            return "solved", ""
        if any(ballot["status"] == "unresolved" for ballot in state["ballots"]):
            return "unresolved", state["reason"]
        if lane["step"] >= limit:
            return "unresolved", "wrong_end"
        if state["remaining_steps"] < _SUPERSTEPS_TO_FINISH:
            return "stopped", (
                f"the recursion limit is near, at step {lane['step']}: call the graph again with {{}} on the same"
                " thread (it needs a checkpointer), or give a larger recursion_limit"
            )
        return "running", ""

    def decompose(state: MakerState, config: RunnableConfig) -> dict[str, Any]:
        run_id = state.get("run_id") or config.get("configurable", {}).get("thread_id") or uuid4().hex
        begun = {} if state.get("begun") == run_id else begin(str(run_id))
        now: MakerState = {**state, **begun}  # type: ignore[typeddict-item]
        status, reason = outcome(now)
        if status == "running":
            subtasks = [{"id": str(lane["step"]), "state": lane["state"]} for lane in now["lanes"]]
            return {**begun, "status": status, "subtasks": subtasks}
        totals, ballots = now["totals"], now["ballots"]
        return {
            **begun,
            "status": status,
            "reason": reason,
            "ballots": [{**ballot, "status": "open"} for ballot in ballots],
            "final_state": now["lanes"][-1]["state"],
            "steps": totals["steps"],
            "samples": totals["samples"] + sum(ballot["samples"] for ballot in ballots),
            "flagged": totals["flagged"] + sum(sum(ballot["flags"].values()) for ballot in ballots),
            "rounds": totals["rounds"] + sum(ballot["rounds"] for ballot in ballots),
            "digest": totals["digest"],
        }

    return Node("decompose", decompose)


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
