"""`update`: hand each winner's state on to the next microagent, and record the step."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.store.base import BaseStore, Op

from langgraph_maker.core.canonical import mark
from langgraph_maker.core.errors import ImpureTaskError
from langgraph_maker.core.events import Alarm, Detail, Event, Observer, StatefulObserver, check_detail
from langgraph_maker.core.margin import Margin, SubtaskTerms, goes_by_state, margin_asked, margin_terms
from langgraph_maker.core.state import START, BallotState, Outcome
from langgraph_maker.core.task import Task
from langgraph_maker.journal import records, run_data
from langgraph_maker.journal.admin import takeover
from langgraph_maker.journal.lock import is_held
from langgraph_maker.journal.position import Lane, RunPosition
from langgraph_maker.journal.records import Entry
from langgraph_maker.journal.store_ops import StoreOps
from langgraph_maker.nodes.ask import open_questions
from langgraph_maker.nodes.block_position import report
from langgraph_maker.nodes.context import overrides
from langgraph_maker.nodes.ladder.ladder import restarted
from langgraph_maker.nodes.node import Journalled, Node, journalling
from langgraph_maker.nodes.run_events import Emit, drifted, emitter, given_up, round_event, step_event
from langgraph_maker.nodes.run_position import move, take, was_open
from langgraph_maker.nodes.signals import signals_of
from langgraph_maker.nodes.state import MakerState
from langgraph_maker.nodes.tally import stands
from langgraph_maker.nodes.tenant import store_of
from langgraph_maker.nodes.totals import add

__all__ = ["keep_alarms", "update_node"]


def update_node(
    task: Task,
    *,
    k: Margin = 1,
    min_k: int | None = None,
    detail: Detail = "round",
    observer: Observer | None = None,
    advance: Callable[[Any, Any], Any] | None = None,
) -> Node:
    """Commit every decided ballot: `(state, vote) → next state`, pure, from the winning pair alone.

    With a store, a step is journalled before it counts as done, and so is what a ballot that stays open has counted;
    a step that the journal holds already stands as it is there. Without a store, actions are kept in state.

    What happened is then emitted, see `events`.

    Args:
        task: The task.
        k: The margin below which no ballot is committed, whatever the state says of it: it is open again.
        min_k: See `sample_node`.
        detail: "ballots" emits each step too.
        observer: Called with events, beside the custom stream.
        advance: What a winning vote hands on, where that was tried before (`purity.Trials`); None for `task.advance`.

    Raises:
        ValueError: For another `detail`; while running, when the task's next state cannot be kept (see `ballot.plain`).
        JournalError: While running, when the store failed for too long, or holds an entry that does not fit.
    """
    keep = observer.state_dict if isinstance(observer, StatefulObserver) else _nothing
    usual = margin_terms(k, None)

    def least() -> SubtaskTerms:
        return margin_terms(margin_asked(k, given, min_k), None) if (given := overrides()) else usual

    role = _Update(
        task, advance or task.advance, least, check_detail(detail), emitter(observer), keep, goes_by_state(k)
    )
    return journalling("update", role.update)


@dataclass(frozen=True)
class _Update:
    task: Task
    advance: Callable[[Any, Any], Any]
    least: Callable[[], SubtaskTerms]
    detailed: bool
    tell: Emit
    state_dict: Callable[[], dict[str, Any] | None]
    by_state: bool

    def update(self, state: MakerState, _: RunnableConfig) -> dict[str, Any] | Journalled:
        store = store_of(state)
        return self.in_state(state) if store is None else (store, self.journalled(state, store))

    def in_state(self, state: MakerState) -> dict[str, Any]:
        position, entries = self.commit(state, {})
        self.tell(self.events(state, position, entries, {}))
        acted = [*(state["acted"] or []), *(self.acted(state, entry) for entry in entries)]
        return {**position, "asked": [], "answered": [], "acted": acted}

    def acted(self, state: MakerState, entry: Entry) -> list[Any]:
        """Return the step, its action, by what margin it was decided, and where k goes by it the state before."""
        margin = None if entry["human"] else entry["margin"]
        states = {lane["step"]: lane["state"] for lane in state["lanes"]} if self.by_state else {}
        return [entry["step"], entry["vote"]["action"], margin, states.get(entry["step"])]

    def journalled(self, state: MakerState, store: BaseStore) -> StoreOps[dict[str, Any]]:
        run_id, written = state["run_id"], state.get("written")
        if not is_held(store, run_id):
            yield from takeover(run_id)
        held: dict[int, Entry] = {}
        if written is None:  # the journal may hold more than this invocation knows of
            held = yield from _held(state, store)
        position, entries = self.commit(state, held)
        ops: list[Op] = [
            records.put_entry(run_id, entry, state["stride"]) for entry in entries if entry["step"] not in held
        ]
        now = {ballot["id"]: _stand(ballot) for ballot in position["ballots"]}
        ops += [
            run_data.put_open(run_id, int(ballot["id"]), ballot)
            for ballot in position["ballots"]
            if ballot["samples"] and now[ballot["id"]] != (written or {}).get(ballot["id"])
        ]
        if (kept := self.state_dict()) is not None:
            ops.append(run_data.put_observer_state(run_id, kept))
        ops += [run_data.put_open(run_id, step, None) for step in state.get("closed") or ()]
        report(store, position)
        if ops:
            yield ops
        if answered := state.get("answered"):  # dropped once what follows of them is in
            yield [run_data.put_answer(run_id, name, None) for name in answered]
        if alarms := self.tell(self.events(state, position, entries, held)):
            yield from keep_alarms(run_id, alarms, self.state_dict())
        return {**position, "written": now if state.get("entered") and not held else None, "asked": [], "answered": []}

    def events(
        self, state: MakerState, position: RunPosition, entries: list[Entry], held: Mapping[int, Entry]
    ) -> Iterator[Event]:
        run_id, lanes = state["run_id"], position["lanes"]
        if self.detailed:
            ballots = {int(ballot["id"]): ballot for ballot in state["ballots"]}
            for entry in entries:
                yield step_event(run_id, entry, None if entry["step"] in held else ballots[entry["step"]])
        ahead = sum(lane["step"] < lane["end"] for lane in lanes)
        decided = [one for one in state["ballots"] if one["status"] == "decided" and int(one["id"]) not in held]
        told = round_event(run_id, state["totals"], position["totals"], ahead, position["ballots"], decided=decided)
        told["in_flight"] = state.get("in_flight", 0)
        margin_asked = state.get("asked") or ()
        for question in open_questions([ballot for ballot in position["ballots"] if ballot["id"] in margin_asked]):
            yield {"event": "question.asked", "run_id": run_id, "step": int(question["id"]), "question": question}
        if told["flags"]:
            yield {"event": "samples.flagged", "run_id": run_id, "flags": told["flags"]}
        yield told

    def commit(self, state: MakerState, held: Mapping[int, Entry]) -> tuple[RunPosition, list[Entry]]:
        """Return the position after all that is decided, with what was committed, in the order of steps."""
        decided = {int(ballot["id"]): ballot for ballot in state["ballots"] if ballot["status"] == "decided"}
        lanes: list[Lane] = []
        entries: list[Entry] = []
        keys: list[str] = []
        writer, revision = records.writer(), state.get("revision", 0) + 1
        least, undercut = self.least(), dict[str, BallotState]()
        for lane in state["lanes"]:
            if lane["step"] == lane["end"]:  # the step that it ends before is the next lane's
                lanes.append(lane)
            elif (entry := held.get(lane["step"])) is not None:
                lanes.append(take(self.task, lane, entry))
                entries.append(entry)
                keys.append(self.task.vote_key(entry["vote"]))
            elif (ballot := decided.get(lane["step"])) is None:
                lanes.append(lane)
            else:
                outcome = ballot.get("outcome")
                if outcome is None or not stands(ballot, least(ballot["id"], ballot["state"])[0]):
                    undercut[ballot["id"]] = restarted(ballot)
                    lanes.append(lane)
                    continue
                if mark(lane["state"]) != lane["mark"]:
                    raise ImpureTaskError(
                        f"the state of step {lane['step']} was changed while it was voted on: let prompt, validate,"
                        f" vote_key and advance of {self.task.name} make new ones"
                    )
                after = move(self.task, lane, outcome["vote"], self.advance)
                lanes.append(after)
                entries.append(_entry(lane, after, ballot, outcome, (writer, revision)))
                keys.append(outcome["key"])
        totals = add(state["totals"], zip(entries, keys, strict=True))
        ballots = [undercut.get(ballot["id"], ballot) for ballot in state["ballots"]]
        position: RunPosition = {
            "revision": revision,
            "lanes": lanes,
            "totals": totals,
            "ballots": [one for one in ballots if one["status"] != "decided" and int(one["id"]) not in held],
            "stride": state["stride"],
            "closed": [entry["step"] for entry in entries if was_open(entry)],
        }
        return position, entries


def _nothing() -> None:
    """Return what is kept for an observer that is no `StatefulObserver`."""


def _held(state: MakerState, store: BaseStore) -> StoreOps[dict[int, Entry]]:
    """Return those of the steps voted on that the journal has already.

    Raises:
        RunBusyError: When another process wrote them, which has taken the run over.
    """
    run_id, steps = state["run_id"], [int(ballot["id"]) for ballot in state["ballots"]]
    items = yield records.get_entries(run_id, steps, state["stride"])
    found = [(step, records.read_entry(item, run_id, step)) for step, item in zip(steps, items, strict=True)]
    held = {step: entry for step, entry in found if entry is not None}
    if held and not is_held(store, run_id):
        yield from takeover(run_id)
    return held


def keep_alarms(run_id: str, alarms: list[Alarm], kept: dict[str, Any] | None) -> StoreOps[None]:
    """Journal alarms beside those before them, the k that they raise, and how their tests are."""
    [before] = yield [run_data.get_alarms(run_id)]
    ops: list[Op] = [run_data.put_alarms(run_id, [*run_data.read_alarms(before, run_id), *alarms])]
    if raised := max((alarm.get("k", 0) for alarm in alarms), default=0):
        ops.append(run_data.put_raised(run_id, raised))
    if kept is not None:
        ops.append(run_data.put_observer_state(run_id, kept))
    yield ops


def _stand(ballot: BallotState) -> tuple[int, str, Any]:
    """Return what makes a ballot worth writing again."""
    return ballot["samples"], ballot["status"], ballot.get("ladder")


def _entry(lane: Lane, after: Lane, ballot: BallotState, outcome: Outcome, written: tuple[str, int]) -> Entry:
    ladder, by = ballot.get("ladder", START), outcome["by"]
    return {
        "step": lane["step"],
        "vote": outcome["vote"],
        "votes": outcome["votes"],
        "winner_votes": outcome["winner_votes"],
        "margin": outcome["margin"],
        "drifted": 0 if by or len(ballot["counts"]) == 1 else drifted(ballot, outcome["key"]),
        "alike": ballot.get("alike", 0),
        "samples": ballot["samples"],
        "flags": ballot["flags"],
        "rounds": ballot["rounds"],
        "cancelled": ballot["asked"] - ballot["samples"],
        "tier": ladder["tier"],
        "human": by == "human",
        "finer": outcome["steps"],
        "audits": ladder["audits"],
        "disagreed": ladder["disagreed"],
        **ballot["usage"],
        "tiers": ballot["usage"].get("tiers", {}),
        "start": lane["mark"],
        "end": after["mark"],
        "writer": written[0],
        "revision": written[1],
        "given_up": given_up(ballot),
        "timeouts": ballot.get("timeouts", 0),
        "late": 0 if by else _late(ballot, outcome["key"]),
        "by": by,
        "signals": signals_of(ballot),
    }


def _late(ballot: BallotState, winner: str) -> int:
    """Return which of the first votes was lost, that which arrived last or first, see `records.Entry`."""
    first, last = ballot.get("order", [winner, winner])
    return int(first == winner != last) - int(last == winner != first)
