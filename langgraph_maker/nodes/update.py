"""`update`: hand each winner's state on to the next microagent, and record the step."""

from __future__ import annotations

from hashlib import blake2b
from typing import Any

from langchain_core.runnables import Runnable, RunnableConfig
from langgraph.config import get_store

from langgraph_maker import journal
from langgraph_maker.nodes.node import Node
from langgraph_maker.nodes.state import Lane, MakerState, Totals
from langgraph_maker.state import BallotState
from langgraph_maker.task import Task

__all__ = ["update_node"]


def update_node(task: Task) -> Runnable[MakerState, dict[str, Any]]:
    """Commit every decided ballot: `(state, vote) → next state`, pure, from the winning pair alone.

    With a store, a step is journalled before it counts as done; without one, its action is kept in state.
    """

    def commit(state: MakerState) -> tuple[dict[str, Any], list[journal.Entry]]:
        decided = {ballot["id"]: ballot for ballot in state["ballots"] if ballot["status"] == "decided"}
        totals = _copy(state["totals"])
        lanes: list[Lane] = []
        entries: list[journal.Entry] = []
        for lane in state["lanes"]:
            ballot = decided.get(str(lane["step"]))
            if ballot is None:
                lanes.append(lane)
                continue
            key = max(ballot["counts"], key=ballot["counts"].__getitem__)
            entry = _entry(lane["step"], ballot, ballot["votes"][key])
            _add(totals, entry, key)
            entries.append(entry)
            lanes.append({**lane, "step": lane["step"] + 1, "state": task.advance(lane["state"], entry["vote"])})
        kept = [ballot for ballot in state["ballots"] if ballot["status"] != "decided"]
        return {"lanes": lanes, "totals": totals, "ballots": kept}, entries

    def in_state(state: MakerState, entries: list[journal.Entry]) -> dict[str, Any]:
        return {"actions": state["actions"] + [entry["vote"]["action"] for entry in entries]}

    def update(state: MakerState, _: RunnableConfig) -> dict[str, Any]:
        committed, entries = commit(state)
        if (store := get_store()) is None:
            return committed | in_state(state, entries)
        store.batch(journal.puts(state["begun"], entries))
        return committed

    async def aupdate(state: MakerState, _: RunnableConfig) -> dict[str, Any]:
        committed, entries = commit(state)
        if (store := get_store()) is None:
            return committed | in_state(state, entries)
        await store.abatch(journal.puts(state["begun"], entries))
        return committed

    return Node("update", update, aupdate)


def _entry(step: int, ballot: BallotState, vote: Any) -> journal.Entry:
    return {
        "step": step,
        "vote": vote,
        "votes": sum(ballot["counts"].values()),
        "samples": ballot["samples"],
        "flags": ballot["flags"],
        "rounds": ballot["rounds"],
        "input_tokens": ballot["usage"]["input_tokens"],
        "output_tokens": ballot["usage"]["output_tokens"],
    }


def _copy(totals: Totals) -> Totals:
    return {
        **totals,
        "usage": {**totals["usage"]},
        "votes_per_step": totals["votes_per_step"].copy(),
        "samples_per_step": totals["samples_per_step"].copy(),
    }


def _add(totals: Totals, entry: journal.Entry, key: str) -> None:
    totals["steps"] += 1
    totals["samples"] += entry["samples"]
    totals["flagged"] += sum(entry["flags"].values())
    totals["rounds"] += entry["rounds"]
    totals["usage"]["input_tokens"] += entry["input_tokens"]
    totals["usage"]["output_tokens"] += entry["output_tokens"]
    _count(totals["votes_per_step"], entry["votes"])
    _count(totals["samples_per_step"], entry["samples"])
    mark = blake2b(f"{entry['step']}:{key}".encode(), digest_size=16).digest()
    total = int(totals["digest"], 16) + int.from_bytes(mark)
    totals["digest"] = f"{total % 2**128:032x}"


def _count(histogram: list[int], value: int) -> None:
    histogram.extend([0] * (value + 1 - len(histogram)))
    histogram[value] += 1
