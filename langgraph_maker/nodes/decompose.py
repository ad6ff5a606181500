"""`decompose`: turn the run's position into subtasks, or end the run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from operator import itemgetter
from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.config import get_store
from langgraph.store.base import BaseStore

from langgraph_maker.core.ballot import check_margin
from langgraph_maker.core.errors import JournalError
from langgraph_maker.core.events import Observer, RunEnded, RunStarted
from langgraph_maker.core.margin import asked_of, check_budget, least_of, margin_asked
from langgraph_maker.core.numbers import check_whole
from langgraph_maker.core.reasons import UNRESOLVED, Reason, Stop, stop_reason
from langgraph_maker.core.state import BallotState
from langgraph_maker.core.task import Partitionable, Task, instance, wording
from langgraph_maker.journal import records, run_data
from langgraph_maker.journal.blocks import cleared
from langgraph_maker.journal.lock import held
from langgraph_maker.journal.position import Lane, RunPosition
from langgraph_maker.journal.store_ops import StoreOps
from langgraph_maker.journal.tenants import key_of, scoped, under
from langgraph_maker.journal.worker_store import WorkerStore, worker_store
from langgraph_maker.nodes.ask import check_answers, check_can_ask, open_questions, pending_answers, stored_answers
from langgraph_maker.nodes.block_position import attach_block
from langgraph_maker.nodes.context import Given, overrides
from langgraph_maker.nodes.ladder.ladder import restarted
from langgraph_maker.nodes.limits import overspent, run_id_of
from langgraph_maker.nodes.node import Journalled, Node, journalling
from langgraph_maker.nodes.run_events import Emit, ballots_under_way, emitter
from langgraph_maker.nodes.run_position import (
    BY_STEP,
    RunTerms,
    attach,
    begin,
    check_fixed,
    check_undercut,
    could_be_in_flight,
    own_header,
    reopened,
)
from langgraph_maker.nodes.state import MakerState, RunStatus
from langgraph_maker.nodes.tenant import Namespace, checked_tenancy, tenant_of

__all__ = ["MOST_ACTIONS", "SEGMENT_ENDED", "decompose_node"]

MOST_ACTIONS = 4096
SEGMENT_ENDED = Reason(
    "recursion_limit",
    "the recursion limit is near: call the graph again with {} on the same thread (it needs a checkpointer or a store),"
    " or give a larger recursion_limit; one of less than 12 leaves no room for any round",
)
_SUPERSTEPS_TO_FINISH = 6  # decompose, vote and its own, escalate, update, decompose: a round must have room to end
_SUPERSTEPS_TO_DRAIN = 5  # vote, escalate, update, decompose, and one to spare: so has one that waits for late answers


def decompose_node(
    task: Task,
    *,
    k: int | Callable[[int], int] = 3,
    lanes: int = 1,
    max_steps: int | None = None,
    max_samples_per_step: int | None = None,
    min_k: int | None = None,
    settings: Mapping[str, Any] | None = None,
    asks: bool = False,
    max_total_samples: int | None = None,
    max_cost: float | None = None,
    stop: Stop | None = None,
    observer: Observer | None = None,
    left_out: Callable[[], Sequence[str]] = tuple,
    namespace: Namespace | None = None,
) -> Node:
    """Give the next step of each lane to a ballot, begin the run where it has not started, end it where it is done.

    An unresolved or stopped run that is entered again continues, open ballots and all; a solved one stays solved.
    With a store the journal is the truth: a run is moved on to where its journal ends. Where a lane ends, its state
    must be the one that the next lane began from, or the run is unresolved.

    Args:
        task: The task.
        k: The margin, which a run's journal fixes; or from a step to its own, of which the journal has what each step
            was decided by.
        lanes: How many stretches of the chain advance side by side; more than one needs a `Partitionable` task.
        max_steps: Where the task does not know its number of steps: after how many it ends as "wrong_end".
        max_samples_per_step: Samples a step may use, to be recorded in the journal; see `sample_node`.
        min_k: See `sample_node`.
        settings: What else to record there, such as the model.
        asks: Whether a human may be asked, which takes a store or a checkpointer to keep the question.
        max_total_samples: Samples after which the run ends as "stopped".
        max_cost: Dollars after which it does.
        stop: Asked before each round; when it says True, or why, the run ends as "stopped" with all that was counted.
        observer: Called with events how a run begins and ends, beside the custom stream.
        left_out: The settings that models refused, to be recorded in the journal when the run ends.
        namespace: Whose runs these are, see `create_maker`.

    Raises:
        ValueError: When neither the task nor `max_steps` says how many steps there may be, or the task is one chain
            and `lanes` more than 1; while running, when a run of more than 4,096 steps has no store to be journalled
            in, or a run id is not a text.
        JournalError: While running, when the journal or thread is of another task or k, has a step that was decided by
            less than its k, was altered, or ends before the checkpoint.
    """
    limit, fixed = _steps(task, max_steps), fixed_terms(task, k, min_k)

    def terms(given: Given) -> RunTerms:
        k_now, budget = margin_asked(k, given, min_k), given.get("max_samples_per_step", max_samples_per_step)
        return {
            "fixed": fixed(given),
            "margin": partial(asked_of, k_now),
            "least": partial(least_of, k_now, limit),
            "settings": {
                **(settings or {}),
                **{name: given[name] for name in ("first_temperature", "temperature") if name in given},
                "max_samples_per_step": budget if callable(k_now) else check_budget(budget, k_now),
            },
            "limit": limit,
            "lanes": _lanes(task, lanes),
        }

    role = _Decompose(
        task=task,
        terms=terms({}),
        terms_under=terms,
        asks=asks,
        max_total_samples=None if max_total_samples is None else check_whole("max_total_samples", max_total_samples),
        max_cost=max_cost,
        stop=stop or (lambda: False),
        tell=emitter(observer),
        left_out=left_out,
        namespace=checked_tenancy(namespace),
    )
    return journalling("decompose", role.decompose)


def fixed_terms(task: Task, k: int | Callable[[int], int], min_k: int | None) -> Callable[..., dict[str, Any]]:
    """Return what gives what a run is of, which never changes, by what a runtime context gives (None: that of now)."""
    about = {"task": task.name, "parameters": task.parameters()}

    def fixed(given: Given | None = None) -> dict[str, Any]:
        k_now = margin_asked(k, overrides() if given is None else given, min_k)
        return {**about, "k": BY_STEP if callable(k_now) else check_margin(k_now)}

    return fixed


@dataclass(frozen=True)
class _Decompose:
    task: Task
    terms: RunTerms
    terms_under: Callable[[Given], RunTerms]
    asks: bool
    max_total_samples: int | None
    max_cost: float | None
    stop: Stop
    tell: Emit
    left_out: Callable[[], Sequence[str]]
    namespace: Namespace | None = None
    tenant: tuple[str, ...] = ()

    def decompose(self, state: MakerState, config: RunnableConfig) -> dict[str, Any] | Journalled:
        role, run_id, store = self.asked(config), run_id_of(state, config), get_store()
        if store is None:
            if self.asks:
                check_can_ask(config)
            return role.unjournalled(state, run_id)
        store = under(store, role.tenant)
        return store, role.journalled(state, run_id, store)

    def asked(self, config: RunnableConfig) -> _Decompose:
        """Return what the runtime context asks for, of the tenant whose invocation this is."""
        given, tenant = overrides(), tenant_of(self.namespace, config)
        role = replace(self, terms=self.terms_under(given)) if given else self
        return replace(role, tenant=tenant) if tenant else role

    def unjournalled(self, state: MakerState, run_id: str) -> dict[str, Any]:
        limit = self.terms["limit"]
        acted = state.get("acted")
        key = key_of(self.tenant, run_id)
        if (here := self.here(state, key)) is None:
            if limit > MOST_ACTIONS:
                raise ValueError(
                    f"{self.task.name} may take {limit:,} steps; above {MOST_ACTIONS:,} the actions go to a"
                    " store: compile the graph with store=…, such as langgraph.store.memory.InMemoryStore()"
                )
            here, acted = begin(self.task, self.terms), []
            self.tell([self.begin(run_id, here, 0, None)])
        elif acted is None:
            raise JournalError(f"run {run_id!r} was started with a store: compile the graph with that store")
        if not state.get("entered"):
            for step, _, margin, before in acted:
                check_undercut(run_id, step, margin, self.terms["margin"](step, before))
        actions = [one[1] for one in sorted(acted, key=itemgetter(0))]
        left = pending_answers(state, key, here["ballots"]) if self.asks else {}
        answers = {**left, **(state.get("answers") or {})}
        update = self.load_state({**state, "answers": answers}, run_id, here, key)
        return {**update, "acted": acted, "actions": actions, "unused": answers}

    def journalled(self, state: MakerState, run_id: str, store: BaseStore) -> StoreOps[dict[str, Any]]:
        key, worker = scoped(store, run_id), worker_store(store)
        here = self.here(state, key)
        last = None if state.get("written") is None else here
        if here is None and (hold := held(store, run_id)) is not None:
            last, hold.position = hold.position, None
        if last is None:
            last = yield from self.attach(run_id, here, worker)
            given = state.get("answers") or {}
            check_answers(given, last["ballots"])
            if given:
                yield [run_data.put_answer(run_id, name, form) for name, form in given.items()]
            answers = yield from stored_answers(run_id, last["ballots"])
            if not self.asks and answers and not given:  # the question is asked no more, and might be another next time
                yield [run_data.put_answer(run_id, name, None) for name in answers]
                answers = {}
            state = {**state, "answers": {**answers, **given}}
            raised, kept, alarms, found = yield [
                run_data.get_raised(run_id),
                run_data.get_observer_state(run_id),
                run_data.get_alarms(run_id),
                records.get_header(run_id),
            ]
            [again] = yield [run_data.get_raised(run_id)]  # it is never lowered, and a store may answer from the past
            k = max(run_data.read_raised(item, run_id) for item in (raised, again))
            begun = self.begin(run_id, last, k, run_data.read_observer_state(kept, run_id))
            begun["alarms"] = run_data.read_alarms(alarms, run_id)
            begun["in_flight_lost"] = records.lost_in_flight(records.read_header(found, run_id))
            self.tell([begun])
        update = self.load_state(state, run_id, last, key)
        if update["status"] != "running":
            if worker is None and (header := (yield from own_header(run_id))) is not None:
                outcome = _outcome(update, header["outcome"], self.left_out())
                yield [records.put_header({**header, "outcome": outcome})]
            if last["closed"]:
                yield [run_data.put_open(run_id, step, None) for step in last["closed"]]
        return update if state.get("acted") is None else {**update, "acted": None, "actions": None}

    def attach(self, run_id: str, here: RunPosition | None, worker: WorkerStore | None) -> StoreOps[RunPosition]:
        """Return where the journal has the run, or the block that a worker holds."""
        if worker is not None:
            position = yield from attach_block(self.task, run_id, self.terms, worker.bounds)
            worker.took_over(could_be_in_flight(position, self.terms))
            return position
        yield from cleared(run_id)
        return (yield from attach(self.task, run_id, here, self.terms))

    def begin(self, run_id: str, position: RunPosition, raised: int, kept: dict[str, Any] | None) -> RunStarted:
        k = self.terms["fixed"]["k"]
        return {
            "event": "run.started",
            "run_id": run_id,
            "task": self.task.name,
            "k": None if k == BY_STEP else k,
            "raised": raised,
            "limit": self.terms["limit"],
            "totals": position["totals"],
            "open": ballots_under_way(position["ballots"]),
            "kept": kept,
            "settings": dict(self.terms["settings"]),
            "in_flight_lost": 0,
            "alarms": [],
            "wording": wording(self.task),
            "instance": instance(self.terms["fixed"]["task"], self.terms["fixed"]["parameters"]),
            "least_k": self.terms["least"](),
        }

    def here(self, state: MakerState, key: str) -> RunPosition | None:
        """Return where the graph's own state has the run, by its name among those of all tenants."""
        if state.get("started") != key:
            return None
        check_fixed(f"thread of run {state['run_id']!r}", state["fixed"], self.terms["fixed"])
        return {
            "revision": state.get("revision", 0),
            "lanes": state["lanes"],
            "totals": state["totals"],
            "ballots": state["ballots"],
            "stride": state["stride"],
            "closed": state.get("closed", []),
        }

    def load_state(self, state: MakerState, run_id: str, position: RunPosition, key: str) -> dict[str, Any]:
        if not self.asks and any(ballot["status"] == "asking" for ballot in position["ballots"]):
            again = [restarted(one) if one["status"] == "asking" else one for one in position["ballots"]]
            position = {**position, "ballots": again}
        check_answers(state.get("answers") or {}, position["ballots"])
        status, (code, reason) = self.outcome(position, state)
        draining = status == "stopped" and state.get("in_flight", 0) > 0 and bool(position["ballots"])
        if draining:  # what is paid for is waited for
            status = "running"
        update: dict[str, Any] = {"status": status, "run_id": run_id, "draining": draining, "failure": "", **position}
        update["entered"] = True
        if state.get("answers"):
            update["answers"] = state["answers"]
        if state.get("started") != key:
            update |= {"started": key, "fixed": dict(self.terms["fixed"])}
            if self.tenant or state.get("namespace"):
                update["namespace"] = [*self.tenant]
        lanes, totals, ballots = position["lanes"], position["totals"], position["ballots"]
        if status == "running":
            active = self.active(lanes, ballots, draining=draining)
            return update | {"subtasks": [{"id": str(lane["step"]), "state": lane["state"]} for lane in active]}
        ended: RunEnded = {
            "event": "run.ended",
            "run_id": run_id,
            "status": status,
            "reason": reason,
            "reason_code": code,
            "totals": totals,
        }
        self.tell([ended])
        return update | {
            "reason": reason,
            "reason_code": code,
            "questions": open_questions(ballots),
            "ballots": reopened(ballots),
            "final_state": lanes[-1 if status == "solved" else 0]["state"],
            "steps": totals["steps"],
            "samples": totals["samples"] + sum(ballot["samples"] for ballot in ballots),
            "flagged": totals["flagged"] + sum(sum(ballot["flags"].values()) for ballot in ballots),
            "rounds": totals["rounds"] + sum(ballot["rounds"] for ballot in ballots),
            "digest": totals["digest"],
        }

    def active(self, lanes: list[Lane], ballots: list[BallotState], *, draining: bool) -> list[Lane]:
        """Return the lanes to continue: all with an open ballot, and others up to the number that was asked for."""
        begun = {ballot["id"] for ballot in ballots}
        ahead = [lane for lane in lanes if lane["step"] < lane["end"]]  # one at its end stands at the next one's step
        if draining:
            return [lane for lane in ahead if str(lane["step"]) in begun]
        parked = {ballot["id"] for ballot in ballots if ballot["status"] == "asking"}
        if ahead[-1:] == lanes[-1:] and self.at_end(lanes[-1]):
            ahead.pop()
        if len(ahead) <= self.terms["lanes"]:
            return ahead
        ahead.sort(key=lambda lane: str(lane["step"]) not in begun)
        waiting = [lane for lane in ahead if str(lane["step"]) in parked]
        others = [lane for lane in ahead if str(lane["step"]) not in parked]
        return waiting + others[: max(self.terms["lanes"], len(begun - parked))]

    def outcome(self, position: RunPosition, state: MakerState) -> tuple[RunStatus, Reason]:
        lanes, ballots = position["lanes"], position["ballots"]
        undecided = any(ballot["status"] == "unresolved" for ballot in ballots)
        failed = Reason(state["reason_code"], state["reason"]) if undecided else _open_seam(lanes)
        if failed is not None:
            return "unresolved", failed
        last = lanes[-1]
        done = self.at_end(last)
        if all(lane["step"] == lane["end"] for lane in lanes[:-1]) and (done or last["step"] == last["end"]):
            return ("solved", Reason()) if done else ("unresolved", Reason("wrong_end", "wrong_end"))
        if not state.get("answers") and self.waits(position):
            number = sum(ballot["status"] == "asking" for ballot in ballots)
            waits = "a step waits" if number == 1 else f"{number} steps wait"
            return "waiting", Reason("waiting", f"{waits} for a human's answer")
        if (why := self.limited(position, state)) is not None:
            return _ended(why)
        late = _SUPERSTEPS_TO_DRAIN if state.get("in_flight") else 0
        if state["remaining_steps"] < _SUPERSTEPS_TO_FINISH + late:
            return "stopped", SEGMENT_ENDED
        return "running", Reason()

    def at_end(self, lane: Lane) -> bool:
        """Return whether the last lane is where it is to end: the task is done, or, of a block, the next one begins."""
        if lane["goal"]:
            return lane["step"] == lane["end"] and lane["mark"] == lane["goal"]
        return self.task.is_done(lane["state"])

    def waits(self, position: RunPosition) -> bool:
        """Return whether nothing can continue before a human has answered."""
        asking = {ballot["id"] for ballot in position["ballots"] if ballot["status"] == "asking"}
        if not asking:
            return False
        active = self.active(position["lanes"], position["ballots"], draining=False)
        return all(str(lane["step"]) in asking for lane in active)

    def limited(self, position: RunPosition, state: MakerState) -> Reason | None:
        """Return why the run stops here, if it does."""
        if failure := state.get("failure"):
            return Reason("outage", failure)
        if (why := stop_reason(self.stop)) is not None:
            return why
        totals, ballots = position["totals"], position["ballots"]
        return overspent(
            totals["samples"] + sum(ballot["samples"] for ballot in ballots),
            [totals["usage"], *(ballot["usage"] for ballot in ballots)],
            max_total_samples=self.max_total_samples,
            max_cost=self.max_cost,
        )


def _ended(why: Reason) -> tuple[RunStatus, Reason]:
    """Return how a run ends for this reason: a step that does not converge may be what a worker found of its block."""
    if why.code in UNRESOLVED:
        return "unresolved", why
    return "stopped", Reason(why.code, f"{why.text}; run it again under the same id to continue")


def _outcome(update: Mapping[str, Any], before: Mapping[str, Any], left_out: Sequence[str]) -> dict[str, Any]:
    """Return what the journal keeps of a run that ends; of a solved one also when, however often it is resumed."""
    ended = {name: update[name] for name in _ENDED}
    if refused := sorted({*before.get("left_out", ()), *left_out}):
        ended["left_out"] = refused
    again = update["status"] == before.get("status") == "solved" and "ended" in before
    return {**ended, "ended": before["ended"] if again else datetime.now(UTC).isoformat(timespec="seconds")}


_ENDED = ("status", "reason", "reason_code", "steps", "samples", "flagged", "digest")


def _open_seam(lanes: list[Lane]) -> Reason | None:
    """Return where a lane ended in another state than the next one began from."""
    for lane in lanes:
        if lane["goal"] and lane["step"] == lane["end"] and lane["mark"] != lane["goal"]:
            return Reason(
                "segment_mismatch",
                f"segment boundary: the lane that ends before step {lane['end']} ended in another state than the one"
                f" that step {lane['end']} began from",
            )
    return None


def _lanes(task: Task, lanes: int) -> int:
    count = check_whole("lanes", lanes)
    if count > 1 and not isinstance(task, Partitionable):
        raise ValueError(
            f"{task.name} is one chain: no intermediate state is known beforehand (it has no segments(lanes)), so"
            " lanes must be 1"
        )
    return count


def _steps(task: Task, max_steps: int | None) -> int:
    if max_steps is None:
        if task.steps is None:
            raise ValueError(f"{task.name} does not know its number of steps: give max_steps, by which it must be done")
        return task.steps
    limit = check_whole("max_steps", max_steps)
    return limit if task.steps is None else min(limit, task.steps)
