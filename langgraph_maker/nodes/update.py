"""`update`: hand each winner's state on to the next microagent, and record the step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from langchain_core.runnables import Runnable, RunnableConfig
from langgraph.config import get_store
from langgraph.store.base import BaseStore, Op

from langgraph_maker import records
from langgraph_maker.nodes.node import Node
from langgraph_maker.nodes.position import Position, add, copied, remember, take
from langgraph_maker.nodes.state import Lane, MakerState
from langgraph_maker.records import Entry, Plan
from langgraph_maker.state import BallotState
from langgraph_maker.task import Task

__all__ = ["update_node"]


def update_node(task: Task) -> Runnable[MakerState, dict[str, Any]]:
    """Commit every decided ballot: `(state, vote) → next state`, pure, from the winning pair alone.

    With a store, a step is journalled before it counts as done, and so is what a ballot that stays open has counted;
    a step that the journal holds already stands as it is there. Without a store, actions are kept in state.

    Raises:
        JournalError: While running, when the store failed for too long, or holds an entry that does not fit.
    """
    role = _Update(task)
    return Node("update", role.update, role.aupdate)


@dataclass(frozen=True)
class _Update:
    task: Task

    def update(self, state: MakerState, _: RunnableConfig) -> dict[str, Any]:
        store = get_store()
        return self.in_state(state) if store is None else records.drive(self.journalled(state, store), store)

    async def aupdate(self, state: MakerState, _: RunnableConfig) -> dict[str, Any]:
        store = get_store()
        return self.in_state(state) if store is None else await records.adrive(self.journalled(state, store), store)

    def in_state(self, state: MakerState) -> dict[str, Any]:
        entries = {lane["step"]: entry for lane, entry in _decided(state)}
        actions = state["actions"] + [entry["vote"]["action"] for entry in entries.values()]
        return {**self.commit(state, entries), "actions": actions}

    def journalled(self, state: MakerState, store: BaseStore) -> Plan[dict[str, Any]]:
        run_id, ours = state["begun"], _decided(state)
        held = (yield records.get_entries(run_id, [lane["step"] for lane, _ in ours])) if ours else []
        entries: dict[int, Entry] = {}
        ops: list[Op] = []
        for (lane, entry), item in zip(ours, held, strict=True):
            step = lane["step"]
            if (theirs := records.read_entry(item, run_id, step)) is not None:
                entries[step] = theirs
                continue
            end = records.mark(take(self.task, lane, entry)["state"])
            entries[step] = {**entry, "start": records.mark(lane["state"]), "end": end, "writer": records.writer()}
            ops.append(records.put_entry(run_id, entries[step]))
            if entry["rounds"] > 1:
                ops.append(records.put_open(run_id, step, None))
        position = self.commit(state, entries)
        ops += [records.put_open(run_id, int(ballot["id"]), ballot) for ballot in position["ballots"]]
        if ops:
            yield ops
        remember(store, run_id, position)
        return dict(position)

    def commit(self, state: MakerState, entries: dict[int, Entry]) -> Position:
        totals = copied(state["totals"])
        for entry in entries.values():
            add(totals, entry, self.task.vote_key(entry["vote"]))
        return {
            "lanes": [
                take(self.task, lane, entries[lane["step"]]) if lane["step"] in entries else lane
                for lane in state["lanes"]
            ],
            "totals": totals,
            "ballots": [ballot for ballot in state["ballots"] if ballot["status"] != "decided"],
        }


def _decided(state: MakerState) -> list[tuple[Lane, Entry]]:
    ballots = {ballot["id"]: ballot for ballot in state["ballots"] if ballot["status"] == "decided"}
    return [
        (lane, _entry(lane["step"], ballots[str(lane["step"])]))
        for lane in state["lanes"]
        if str(lane["step"]) in ballots
    ]


def _entry(step: int, ballot: BallotState) -> Entry:
    winner = max(ballot["counts"], key=ballot["counts"].__getitem__)
    return {
        "step": step,
        "vote": ballot["votes"][winner],
        "votes": sum(ballot["counts"].values()),
        "samples": ballot["samples"],
        "flags": ballot["flags"],
        "rounds": ballot["rounds"],
        "input_tokens": ballot["usage"]["input_tokens"],
        "output_tokens": ballot["usage"]["output_tokens"],
        "start": "",
        "end": "",
        "writer": "",
    }
