"""`frontier`: gather all that waits for a vote, whatever its stage and place in the tree, or end the run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.config import get_store

from langgraph_maker.core.canonical import plain
from langgraph_maker.core.errors import JournalError
from langgraph_maker.core.margin import margin_asked
from langgraph_maker.core.reasons import Reason
from langgraph_maker.core.state import BallotState, no_usage
from langgraph_maker.journal import run_data
from langgraph_maker.journal.admin import check_clear, opened
from langgraph_maker.journal.store_ops import StoreOps
from langgraph_maker.journal.tenants import key_of, scoped, under
from langgraph_maker.journal.tree_records import (
    TreeCounts,
    TreeRun,
    check_single_writer,
    commit,
    counted,
    fetch,
    head,
    listed,
    settled,
    sums,
)
from langgraph_maker.journal.tree_types import ROOT, Tree, ballot_key, node_id_of, undercut
from langgraph_maker.nodes.ask import check_answers, check_can_ask, open_questions, pending_answers, stored_answers
from langgraph_maker.nodes.context import overrides
from langgraph_maker.nodes.decompose import SEGMENT_ENDED
from langgraph_maker.nodes.emit import emit
from langgraph_maker.nodes.ladder.ladder import restarted
from langgraph_maker.nodes.limits import run_id_of
from langgraph_maker.nodes.node import Journalled, journalling
from langgraph_maker.nodes.node import Node as GraphNode
from langgraph_maker.nodes.run_position import check_fixed, reopened
from langgraph_maker.nodes.state import RunStatus
from langgraph_maker.nodes.tally import decision
from langgraph_maker.nodes.tenant import Namespace, checked_tenancy, tenant_of
from langgraph_maker.prebuilt.recursive.growth import question_title, unsettled
from langgraph_maker.prebuilt.recursive.guarantee import guarantee
from langgraph_maker.prebuilt.recursive.limits import Limits, as_decided
from langgraph_maker.prebuilt.recursive.stages import StageQuestion
from langgraph_maker.prebuilt.recursive.state import RecursiveState, TreeDone, Unsettled
from langgraph_maker.prebuilt.recursive.tree import ask, depth, new_tree, place, waiting

__all__ = ["frontier_node"]


def frontier_node(
    *,
    k: int,
    limits: Limits,
    accept: Callable[[str], None],
    asks: bool,
    settings: Mapping[str, Any],
    min_k: int | None = None,
    namespace: Namespace | None = None,
) -> GraphNode:
    """Gather all that waits for a vote, whatever its stage and place, or end the run.

    Where a human may be asked (`asks`) it takes a store or a checkpointer to keep the question; what waits for the
    answer holds up nothing that can continue without it. `accept` is as `Stages` has it; `settings` are recorded for
    each process; `min_k` is as of `sample_node`, `namespace` as of `create_recursive_maker`.
    """
    role = _Frontier(k, limits, accept, asks, settings, min_k, checked_tenancy(namespace))
    return journalling("frontier", role.frontier)


@dataclass(frozen=True)
class _Frontier:
    k: int
    limits: Limits
    accept: Callable[[str], None]
    asks: bool
    settings: Mapping[str, Any]
    min_k: int | None
    namespace: Namespace | None = None
    tenant: tuple[str, ...] = ()

    def frontier(self, state: RecursiveState, config: RunnableConfig) -> dict[str, Any] | Journalled:
        role, run_id, store = self.asked(config), run_id_of(state, config), get_store()
        if store is None:
            return role.unjournalled(state, run_id, config)
        store = under(store, role.tenant)
        return store, role.journalled(state, run_id, scoped(store, run_id))

    def asked(self, config: RunnableConfig) -> _Frontier:
        """Return what the runtime context asks for, of the tenant whose invocation this is."""
        return replace(self, k=margin_asked(self.k, overrides(), self.min_k), tenant=tenant_of(self.namespace, config))

    def begin(self, state: RecursiveState) -> TreeRun:
        problem = state.get("problem")
        if not isinstance(problem, str) or not problem.strip():
            raise ValueError('there is nothing to solve: begin a run with {"problem": "…"}')
        plain(problem)  # or no store could keep it
        self.accept(problem)
        counts: TreeCounts = {"rounds": 0, "samples": {}, "flags": {}, "usage": no_usage()}
        return {"tree": new_tree(problem), "ballots": [], "counts": counts}

    def fixed(self, tree: Tree) -> dict[str, Any]:
        return {"problem": tree[ROOT]["problem"], "k": self.k}

    def here(self, state: RecursiveState, key: str) -> TreeRun | None:
        """Return where the graph's own state has the run, by its name among those of all tenants."""
        if state.get("started") != key:
            return None
        self.check(f"thread of run {state['run_id']!r}", state, state["fixed"])
        return {"tree": state["tree"], "ballots": state["ballots"], "counts": state["counts"]}

    def check(self, what: str, state: RecursiveState, held: Mapping[str, Any]) -> None:
        check_fixed(what, held, {"k": self.k, "problem": state.get("problem", held["problem"])})

    def unjournalled(self, state: RecursiveState, run_id: str, config: RunnableConfig) -> dict[str, Any]:
        if self.asks:
            check_can_ask(config)
        key = key_of(self.tenant, run_id)
        held = self.here(state, key) or self.begin(state)
        update = self.load_state(state, run_id, held, key, pending_answers(state, key, held["ballots"]))
        return {**update, "unused": update.get("answers") or {}}

    def journalled(self, state: RecursiveState, run_id: str, key: str) -> StoreOps[dict[str, Any]]:
        here = self.here(state, key)
        listed_as = (yield from opened(run_id)) if here is None else None
        begun = yield from head(run_id)
        at = here["counts"]["rounds"] if here else 0
        if here is None:  # taken up by this invocation: another one may have broken off
            self.limits.clocks.pop(key, None)
        entered = key not in self.limits.clocks
        if begun is None and here is not None:
            raise JournalError(_AHEAD.format(run_id=run_id, at=at, why="the store holds no such run"))
        if begun is None:
            here = self.begin(state)
            if listed_as is None:
                yield from check_clear(run_id)
            yield from listed(run_id, self.fixed(here["tree"]), self.settings)
            yield from commit(run_id, None, self.fixed(here["tree"]), here, {})
        else:
            self.check(f"run {run_id!r}", state, begun["fixed"])
            journalled = begun["counts"]["rounds"]
            if at > journalled:
                raise JournalError(_AHEAD.format(run_id=run_id, at=at, why=f"which has {journalled}"))
            if here is None or at < journalled:
                here = yield from fetch(run_id, begun)
                yield from settled(run_id, begun)
                here["ballots"] = _reopened(here["ballots"])
            else:
                check_single_writer(run_id, begun, at, here["tree"])
        kept = yield from stored_answers(run_id, here["ballots"])
        update = self.load_state(state, run_id, here, key, kept)
        if entered and begun is not None:
            yield from listed(run_id, begun["fixed"], self.settings)
        if given := state.get("answers"):
            yield [run_data.put_answer(run_id, name, form) for name, form in given.items()]
        if update["status"] != "running":
            outcome = {name: update[name] for name in ("status", "reason", "reason_code", "answer")}
            held: TreeRun = {"tree": update["tree"], "ballots": update["ballots"], "counts": update["counts"]}
            had_ballots = {node_id_of(ballot["id"]) for ballot in here["ballots"]}  # some of which may be gone
            before = {one: node for one, node in here["tree"].items() if one not in had_ballots}
            now = yield from head(run_id)
            check_single_writer(run_id, now, here["counts"]["rounds"], here["tree"])
            yield from commit(run_id, now, self.fixed(held["tree"]), held, before, outcome)
            ended = {name: outcome[name] for name in ("status", "reason", "reason_code")}
            yield from listed(run_id, self.fixed(held["tree"]), self.settings, ended)
        return update

    def check_tree(self, run_id: str, tree: Tree) -> None:
        """Refuse a stage that was decided by less than k."""
        for name, node in tree.items():
            for why in undercut(node, self.k):
                raise JournalError(
                    f"node {name} of run {run_id!r}: {why}; continue with a k that asks no more, or give another run id"
                )

    def load_state(
        self,
        state: RecursiveState,
        run_id: str,
        held: TreeRun,
        key: str,
        kept: Mapping[str, Any] = MappingProxyType({}),
    ) -> dict[str, Any]:
        tree = held["tree"]
        if not state.get("entered"):
            self.check_tree(run_id, tree)
        questions = {ballot_key(node): ask(tree, node, self.limits.max_children) for node in waiting(tree)}
        held = _asked_still(held, questions)
        ballots = [self.limits.asked(tree, ballot, human=self.asks) for ballot in held["ballots"]]
        if not self.asks:
            ballots = [restarted(ballot) if ballot["status"] == "asking" else ballot for ballot in ballots]
        held = {**held, "ballots": ballots}
        check_answers(given := state.get("answers") or {}, ballots)
        asking = {ballot["id"] for ballot in ballots if ballot["status"] == "asking"}
        answers = {**{name: form for name, form in kept.items() if name in asking}, **given}
        state = {**state, "answers": answers}
        status, (code, reason), failed = self.outcome(state, key, held)
        draining = status == "stopped" and state.get("in_flight", 0) > 0 and bool(ballots)
        if draining:  # what is paid for is waited for
            status = "running"
        update: dict[str, Any] = {"status": status, "run_id": run_id, "draining": draining, "failure": "", **held}
        update["entered"] = True
        if state.get("started") != key:
            update |= {"started": key, "fixed": self.fixed(tree)}
            if self.tenant or state.get("namespace"):
                update["namespace"] = [*self.tenant]
        if answers:
            update["answers"] = answers
        if status == "running":
            due = {ballot["id"] for ballot in ballots} if draining else questions.keys()
            margin_asked = [{"id": one, "state": question} for one, question in questions.items() if one in due]
            return update | {"subtasks": margin_asked}
        self.limits.clocks.pop(key, None)
        samples, flags, usage = sums(held["counts"], ballots)
        answer = tree[ROOT]["answer"] if status == "solved" else None
        done: TreeDone = {
            "event": "tree.ended",
            "run_id": run_id,
            "status": status,
            "reason": reason,
            "reason_code": code,
            "answer": answer,
            "samples": samples,
        }
        emit(done)
        return update | {
            "reason": reason,
            "reason_code": code,
            "ballots": _reopened(ballots),
            "answer": answer,
            "guarantee": guarantee(tree, answered=status == "solved"),
            "depth": depth(tree),
            "samples": samples,
            "flags": flags,
            "rounds": held["counts"]["rounds"],
            "usage": usage,
            "unsettled": failed,
            "questions": open_questions(ballots),
        }

    def outcome(self, state: RecursiveState, key: str, held: TreeRun) -> tuple[RunStatus, Reason, list[Unsettled]]:
        if held["tree"][ROOT]["stage"] == "done":
            return "solved", Reason(), []
        if failed := self.failed(held):
            return "unresolved", Reason(failed[0]["reason_code"], question_title(held["tree"], failed)), failed
        asking = sum(ballot["status"] == "asking" for ballot in held["ballots"])
        if asking and asking == len(waiting(held["tree"])) and not state.get("answers"):
            said = "a node waits" if asking == 1 else f"{asking} nodes wait"
            return "waiting", Reason("waiting", f"{said} for a human's answer"), []
        if (why := self.limited(state, key, held)) is not None:
            return "stopped", Reason(why.code, f"{why.text}; run it again under the same id to continue"), []
        late = _SUPERSTEPS_TO_DRAIN if state.get("in_flight") else 0
        if state["remaining_steps"] < _SUPERSTEPS_TO_FINISH + late:
            return "stopped", SEGMENT_ENDED, []
        return "running", Reason(), []

    def failed(self, held: TreeRun) -> list[Unsettled]:
        """Return what did not converge, was decided and may not be followed, or may not be asked, and why."""
        limits, tree = self.limits, held["tree"]
        failed = [unsettled(ballot) for ballot in held["ballots"] if ballot["status"] == "unresolved"]
        for ballot in held["ballots"]:
            node = tree[node_id_of(ballot["id"])]
            if ballot["status"] == "decided" and (why := limits.beyond(tree, node, decision(ballot)["vote"])):
                failed.append(unsettled(ballot, why))
        for node in tree.values():
            if why := limits.too_deep(node):
                question = ask(tree, node, limits.max_children)
                unasked: Unsettled = {
                    "node": node["id"],
                    "question": question,
                    "counts": [],
                    "samples": 0,
                    "reason": why,
                    "reason_code": "tree_limit",
                }
                failed.append(unasked)
        return failed

    def limited(self, state: RecursiveState, key: str, held: TreeRun) -> Reason | None:
        """Return why the run stops here, if it does: at which nodes it stood, too."""
        samples, _, usage = sums(held["counts"], held["ballots"])
        if failure := state.get("failure"):
            why: Reason | None = Reason("outage", failure)
        else:
            why = self.limits.reached(key, sum(samples.values()), usage)
        open_now = waiting(held["tree"])
        if why is None or not open_now:
            return why
        return Reason(why.code, f"{place(open_now[0])}, and {len(open_now) - 1} more: {why.text}")


def _reopened(ballots: list[BallotState]) -> list[BallotState]:
    """Return the ballots of a resumed run; a verdict that a human neither took nor overruled is still valid."""
    return reopened([as_decided(one) if one["status"] == "unresolved" else one for one in ballots])


def _asked_still(held: TreeRun, questions: Mapping[str, StageQuestion]) -> TreeRun:
    """Return the run without ballots on questions that are asked otherwise by now; what they took is counted."""
    lost = [ballot for ballot in held["ballots"] if questions.get(ballot["id"]) != ballot["state"]]
    if not lost:
        return held
    ballots = [ballot for ballot in held["ballots"] if ballot not in lost]
    return {**held, "ballots": ballots, "counts": counted(held["counts"], lost)}


_SUPERSTEPS_TO_FINISH = 6  # frontier, vote and its own, escalate, grow, frontier: a round must have room to end
_SUPERSTEPS_TO_DRAIN = 5
_AHEAD = (
    "the graph's state is at round {at} of run {run_id!r}, ahead of its journal ({why}): use the store that the run was"
    " written to, let one process at a time write it, or begin a new run id"
)
