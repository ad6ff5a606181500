"""`update`: hand each winner's state on to the next microagent, and record the step."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.config import get_store
from langgraph.store.base import BaseStore, Op

from langgraph_maker import notes, plans, records
from langgraph_maker.ballot import Ballot
from langgraph_maker.events import Alarm, Detail, Event, Keeper, Observer, check_detail
from langgraph_maker.nodes.ask import waiting_for
from langgraph_maker.nodes.node import Node
from langgraph_maker.nodes.position import Position, forget, known, move, remember, take
from langgraph_maker.nodes.state import Lane, MakerState
from langgraph_maker.nodes.telling import Tell, drifted, given_up, told_round, told_step, who_listens
from langgraph_maker.nodes.totals import add
from langgraph_maker.plans import Plan
from langgraph_maker.records import Entry
from langgraph_maker.state import BallotState, Verdict
from langgraph_maker.task import Task

__all__ = ["update_node"]


def update_node(task: Task, *, detail: Detail = "round", observer: Observer | None = None) -> Node:
    """Commit every decided ballot: `(state, vote) → next state`, pure, from the winning pair alone.

    With a store, a step is journalled before it counts as done, and so is what a ballot that stays open has counted;
    a step that the journal holds already stands as it is there. Without a store, actions are kept in state.

    What happened is then told, see `events`.

    Args:
        task: The task.
        detail: "ballots" tells of each step too.
        observer: Whom to tell, beside the custom stream.

    Raises:
        ValueError: For another `detail`; while running, when the task's next state cannot be kept (see `ballot.plain`).
        JournalError: While running, when the store failed for too long, or holds an entry that does not fit.
    """
    keep = observer.keep if isinstance(observer, Keeper) else _nothing
    role = _Update(task, check_detail(detail), who_listens(observer), keep)
    return Node("update", role.update, role.aupdate)


@dataclass(frozen=True)
class _Update:
    task: Task
    detailed: bool
    tell: Tell
    keep: Callable[[], dict[str, Any] | None]

    def update(self, state: MakerState, _: RunnableConfig) -> dict[str, Any]:
        store = get_store()
        return self.in_state(state) if store is None else plans.drive(self.journalled(state, store), store)

    async def aupdate(self, state: MakerState, _: RunnableConfig) -> dict[str, Any]:
        store = get_store()
        return self.in_state(state) if store is None else await plans.adrive(self.journalled(state, store), store)

    def in_state(self, state: MakerState) -> dict[str, Any]:
        position, entries = self.commit(state, {})
        self.tell(self.events(state, position, entries, {}))
        acted = [*(state["acted"] or []), *([e["step"], e["vote"]["action"]] for e in entries)]
        return {**position, "asked": [], "answered": [], "acted": acted}

    def journalled(self, state: MakerState, store: BaseStore) -> Plan[dict[str, Any]]:
        run_id, last = state["begun"], known(store, state["begun"])
        held: dict[int, Entry] = {}
        if last is None or last["lanes"] is not state["lanes"]:  # the journal may hold more than this process knows of
            steps = [int(ballot["id"]) for ballot in state["ballots"] if ballot["status"] == "decided"]
            for step, item in zip(steps, (yield records.get_entries(run_id, steps, state["stride"])), strict=True):
                if (entry := records.read_entry(item, run_id, step)) is not None:
                    held[step] = entry
        position, entries = self.commit(state, held)
        ops = [op for entry in entries if entry["step"] not in held for op in _written(run_id, entry, state["stride"])]
        written = {} if last is None else {ballot["id"]: _stand(ballot) for ballot in last["ballots"]}
        ops += [
            notes.put_open(run_id, int(ballot["id"]), ballot)
            for ballot in position["ballots"]
            if ballot["samples"] and _stand(ballot) != written.get(ballot["id"])
        ]
        ops += [notes.put_answer(run_id, name, None) for name in state.get("answered") or ()]
        if (kept := self.keep()) is not None:
            ops.append(notes.put_kept(run_id, kept))
        forget(store, run_id)  # until it is known how the journal ends
        if ops:
            yield ops
        if not held:
            remember(store, run_id, position)
        if alarms := self.tell(self.events(state, position, entries, held)):
            yield from _keep_alarms(run_id, alarms, self.keep())
        return {**position, "asked": [], "answered": []}

    def events(
        self, state: MakerState, position: Position, entries: list[Entry], held: Mapping[int, Entry]
    ) -> Iterator[Event]:
        run_id, lanes = state["begun"], position["lanes"]
        if self.detailed:
            ballots = {int(ballot["id"]): ballot for ballot in state["ballots"]}
            for entry in entries:
                yield told_step(run_id, entry, None if entry["step"] in held else ballots[entry["step"]])
        ahead = sum(lane["step"] < lane["end"] for lane in lanes)
        told = told_round(run_id, state["totals"], position["totals"], ahead, position["ballots"])
        asked = state.get("asked") or ()
        for question in waiting_for([ballot for ballot in position["ballots"] if ballot["id"] in asked]):
            yield {"event": "maker.question", "run_id": run_id, "step": int(question["id"]), "question": question}
        if told["flags"]:
            yield {"event": "maker.red_flag", "run_id": run_id, "flags": told["flags"]}
        yield told

    def commit(self, state: MakerState, held: Mapping[int, Entry]) -> tuple[Position, list[Entry]]:
        """The position after all that is decided, with what was committed, in the order of steps."""
        decided = {int(ballot["id"]): ballot for ballot in state["ballots"] if ballot["status"] == "decided"}
        lanes: list[Lane] = []
        entries: list[Entry] = []
        keys: list[str] = []
        writer = records.writer()
        for lane in state["lanes"]:
            ended = lane["step"] == lane["end"]  # the step that it ends before is the next lane's
            if ended or (ballot := decided.get(lane["step"])) is None:
                lanes.append(lane)
            elif (entry := held.get(lane["step"])) is not None:
                lanes.append(take(self.task, lane, entry))
                entries.append(entry)
                keys.append(self.task.vote_key(entry["vote"]))
            else:
                won = _won(ballot)
                lanes.append(after := move(self.task, lane, won["vote"]))
                entries.append(_entry(lane, after, ballot, won, writer))
                keys.append(won["key"])
        totals = add(state["totals"], zip(entries, keys, strict=True))
        still_open = [ballot for ballot in state["ballots"] if ballot["status"] != "decided"]
        return {"lanes": lanes, "totals": totals, "ballots": still_open, "stride": state["stride"]}, entries


def _written(run_id: str, entry: Entry, stride: int) -> Iterator[Op]:
    yield records.put_entry(run_id, entry, stride)
    if entry["rounds"] > 1 or entry["tier"] or entry["human"]:  # it was open after some round
        yield notes.put_open(run_id, entry["step"], None)


def _nothing() -> None:
    """What is kept for an observer that is no `Keeper`."""


def _keep_alarms(run_id: str, alarms: list[Alarm], kept: dict[str, Any] | None) -> Plan[None]:
    [before] = yield [notes.get_alarms(run_id)]
    ops: list[Op] = [notes.put_alarms(run_id, [*notes.read_alarms(before, run_id), *alarms])]
    if raised := max((alarm.get("k", 0) for alarm in alarms), default=0):
        ops.append(notes.put_raised(run_id, raised))
    if kept is not None:
        ops.append(notes.put_kept(run_id, kept))
    yield ops


def _stand(ballot: BallotState) -> tuple[int, str, Any]:
    """What makes a ballot worth writing again."""
    return ballot["samples"], ballot["status"], ballot.get("climb")


def _won(ballot: BallotState) -> Verdict:
    """The key and the vote that a decided ballot was won by."""
    if (human := ballot.get("human")) is not None:
        return human
    if (joined := ballot.get("joined")) is not None:
        return {"key": joined["key"], "vote": joined["vote"]}
    counts = ballot["counts"]
    winner = max(counts, key=counts.__getitem__) if len(counts) > 1 else next(iter(counts))
    return {"key": winner, "vote": ballot["votes"][winner]}


def _entry(lane: Lane, after: Lane, ballot: BallotState, won: Verdict, writer: str) -> Entry:
    climb, human, counts, winner = ballot.get("climb"), "human" in ballot, ballot["counts"], won["key"]
    joined = ballot.get("joined")
    voted = not human and joined is None
    return {
        "step": lane["step"],
        "vote": won["vote"],
        "votes": joined["votes"] if joined else sum(counts.values()),
        "winner_votes": joined["winner_votes"] if joined else counts.get(winner, 0),
        "margin": joined["margin"] if joined else Ballot.resume(1, counts, ballot["votes"]).margin if voted else 0,
        "drifted": drifted(ballot, winner) if len(counts) > 1 and voted else 0,
        "alike": ballot.get("alike", 0),
        "samples": ballot["samples"],
        "flags": ballot["flags"],
        "rounds": ballot["rounds"],
        "cancelled": ballot["asked"] - ballot["samples"],
        "tier": climb["tier"] if climb else 0,
        "human": human,
        "finer": joined["steps"] if joined else 0,
        "audits": climb["audits"] if climb else 0,
        "disagreed": climb["disagreed"] if climb else 0,
        **ballot["usage"],
        "start": lane["mark"],
        "end": after["mark"],
        "writer": writer,
        "given_up": given_up(ballot),
        "timeouts": ballot.get("timeouts", 0),
        "late": _late(ballot, winner) if voted else 0,
    }


def _late(ballot: BallotState, winner: str) -> int:
    """Return which of the first votes was lost, that which arrived last or first, see `records.Entry`."""
    first, last = ballot.get("order", [winner, winner])
    return int(first == winner != last) - int(last == winner != first)
