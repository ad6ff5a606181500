"""What a recursive maker's own nodes do: gather what is to be asked, and let the tree grow by what was decided."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.config import get_store, get_stream_writer

from langgraph_maker import records
from langgraph_maker.ballot import Ballot
from langgraph_maker.errors import JournalError
from langgraph_maker.nodes.decompose import SEGMENT_ENDED
from langgraph_maker.nodes.limits import overspent, run_id_of
from langgraph_maker.nodes.node import Node as GraphNode
from langgraph_maker.nodes.position import check_fixed, reopened
from langgraph_maker.nodes.state import RunStatus
from langgraph_maker.nodes.tally import decision, in_words, unanswered
from langgraph_maker.records import Plan
from langgraph_maker.recursion.record import Counts, Held, fetch, head, written
from langgraph_maker.recursion.stages import Stages
from langgraph_maker.recursion.state import Grown, RecursiveState, TreeDone, Unsettled
from langgraph_maker.recursion.tree import ROOT, Node, Tree, ask, depth, grow, offer, planted, settle, told, waiting
from langgraph_maker.state import BallotState, no_usage, total_usage

__all__ = ["Limits", "escalate_node", "frontier_node", "grow_node"]


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What bounds a run, see `create_recursive_maker`."""

    max_depth: int
    max_children: int
    max_nodes: int
    max_total_samples: int | None
    max_cost: float | None
    deadline: float | None
    stop: Callable[[], bool | str]


def frontier_node(*, k: int, limits: Limits) -> GraphNode:
    """Gather all that waits for a vote, whatever its stage and place, or end the run."""
    role = _Frontier(k, limits)
    return GraphNode("frontier", role.frontier, role.afrontier)


def escalate_node() -> GraphNode:
    """Say which questions did not settle, and end the run; their ballots are kept, for a larger budget to go on."""

    def escalate(state: RecursiveState, _: RunnableConfig) -> dict[str, Any]:
        unsettled = [_unsettled(ballot) for ballot in state["ballots"] if ballot["status"] == "unresolved"]
        first = unsettled[0]
        where = _place(state["tree"][first["node"]])
        return {"unsettled": unsettled, "reason": f"{where}: {first['question']['stage']}: {first['reason']}"}

    return GraphNode("escalate", escalate)


def grow_node(stages: Stages, *, candidates_for: AbstractSet[str], proposals: int) -> GraphNode:
    """Commit every decided ballot; where answers are candidates, hand them on once there are enough.

    With a store, what was decided is journalled before it counts as done, and so is what open ballots have counted.
    """
    role = _Grow(stages, candidates_for, proposals)
    return GraphNode("grow", role.grow, role.agrow)


@dataclass(frozen=True)
class _Frontier:
    k: int
    limits: Limits
    clocks: dict[str, float] = field(default_factory=dict)

    def frontier(self, state: RecursiveState, config: RunnableConfig) -> dict[str, Any]:
        run_id, store = run_id_of(state, config), get_store()
        if store is None:
            return self.go_on(state, run_id, self.here(state, run_id) or self.begin(state))
        return records.drive(self.journalled(state, run_id), store)

    async def afrontier(self, state: RecursiveState, config: RunnableConfig) -> dict[str, Any]:
        run_id, store = run_id_of(state, config), get_store()
        if store is None:
            return self.go_on(state, run_id, self.here(state, run_id) or self.begin(state))
        return await records.adrive(self.journalled(state, run_id), store)

    def begin(self, state: RecursiveState) -> Held:
        problem = state.get("problem")
        if not isinstance(problem, str) or not problem.strip():
            raise ValueError('there is nothing to solve: begin a run with {"problem": "…"}')
        counts: Counts = {"rounds": 0, "samples": {}, "flags": {}, "usage": no_usage()}
        return {"tree": planted(problem), "ballots": [], "counts": counts}

    def fixed(self, tree: Tree) -> dict[str, Any]:
        return {"problem": tree[ROOT]["problem"], "k": self.k}

    def here(self, state: RecursiveState, run_id: str) -> Held | None:
        """Where the graph's own state has the run."""
        if state.get("begun") != run_id:
            return None
        self.check(f"thread of run {run_id!r}", state, state["fixed"])
        return {"tree": state["tree"], "ballots": state["ballots"], "counts": state["counts"]}

    def check(self, what: str, state: RecursiveState, held: Mapping[str, Any]) -> None:
        check_fixed(what, held, {"k": self.k, "problem": state.get("problem", held["problem"])})

    def journalled(self, state: RecursiveState, run_id: str) -> Plan[dict[str, Any]]:
        here, begun = self.here(state, run_id), (yield from head(run_id))
        at = here["counts"]["rounds"] if here else 0
        if begun is None and here is not None:
            raise JournalError(_AHEAD.format(run_id=run_id, at=at, why="the store holds no such run"))
        if begun is None:
            here = self.begin(state)
            yield written(run_id, self.fixed(here["tree"]), here, {})
        else:
            self.check(f"run {run_id!r}", state, begun["fixed"])
            journalled = begun["counts"]["rounds"]
            if at > journalled:
                raise JournalError(_AHEAD.format(run_id=run_id, at=at, why=f"which has {journalled}"))
            if here is None or at < journalled:
                here = yield from fetch(run_id, begun)
                here["ballots"] = reopened(here["ballots"])
        update = self.go_on(state, run_id, here)
        if update["status"] != "running":
            outcome = {name: update[name] for name in ("status", "reason", "answer")}
            yield written(run_id, update.get("fixed", state.get("fixed")), here, here["tree"], outcome)
        return update

    def go_on(self, state: RecursiveState, run_id: str, held: Held) -> dict[str, Any]:
        tree, ballots, counts = held["tree"], held["ballots"], held["counts"]
        status, reason = self.outcome(state, run_id, held)
        draining = status == "stopped" and state.get("in_flight", 0) > 0 and bool(ballots)
        if draining:  # what is paid for is waited for
            status = "running"
        update: dict[str, Any] = {"status": status, "run_id": run_id, "draining": draining, "failure": "", **held}
        if state.get("begun") != run_id:
            update |= {"begun": run_id, "fixed": self.fixed(tree)}
        if status == "running":
            begun = {ballot["id"] for ballot in ballots}
            asked = [
                {"id": f"{node['id']}:{node['stage']}", "state": ask(tree, node, self.limits.max_children)}
                for node in waiting(tree)
            ]
            asked = [subtask for subtask in asked if not draining or subtask["id"] in begun]
            return update | {"subtasks": asked, "unsettled": []}
        self.clocks.pop(run_id, None)
        root = tree[ROOT]
        samples, flags, usage = _sums(counts, ballots)
        answer = root["answer"] if status == "solved" else None
        done: TreeDone = {
            "event": "maker.tree",
            "run_id": run_id,
            "status": status,
            "reason": reason,
            "answer": answer,
            "samples": samples,
        }
        get_stream_writer()(done)
        return update | {
            "reason": reason,
            "ballots": reopened(ballots),
            "answer": answer,
            "depth": depth(tree),
            "samples": samples,
            "flags": flags,
            "rounds": counts["rounds"],
            "usage": usage,
            "unsettled": state.get("unsettled", []),
        }

    def outcome(self, state: RecursiveState, run_id: str, held: Held) -> tuple[RunStatus, str]:
        if held["tree"][ROOT]["stage"] == "done":
            return "solved", ""
        if any(ballot["status"] == "unresolved" for ballot in held["ballots"]):
            return "unresolved", state["reason"]
        if why := self.blocked(held["tree"]):
            return "unresolved", why
        if why := self.limited(state, run_id, held):
            return "stopped", f"{why}; run it again under the same id to go on"
        late = _SUPERSTEPS_TO_DRAIN if state.get("in_flight") else 0
        if state["remaining_steps"] < _SUPERSTEPS_TO_FINISH + late:
            return "stopped", SEGMENT_ENDED
        return "running", ""

    def blocked(self, tree: Tree) -> str:
        """The node that cannot go on, and why, if there is one."""
        for node in tree.values():
            if node["stage"] == "refuted":
                return f"{_place(node)}: check: the answer {node['answer']!r} was voted wrong"
            if node["stage"] == "propose" and node["depth"] >= self.limits.max_depth:
                return (
                    f"{_place(node)}: it is not atomic, and max_depth = {self.limits.max_depth} leaves no smaller one"
                )
        if len(tree) > self.limits.max_nodes:
            last = tree[[*tree][-1]]
            return f"{_place(last)}: the tree has {len(tree)} nodes, and max_nodes is {self.limits.max_nodes}"
        return ""

    def limited(self, state: RecursiveState, run_id: str, held: Held) -> str:
        """Why the run stops here, if it does: at which nodes it stood, too."""
        samples, _, usage = _sums(held["counts"], held["ballots"])
        said = state.get("failure") or self.limits.stop()
        why = said if isinstance(said, str) else "stopped on request" if said else ""
        if not why:
            why = overspent(
                sum(samples.values()),
                [usage],
                max_total_samples=self.limits.max_total_samples,
                max_cost=self.limits.max_cost,
            )
        began = self.clocks.setdefault(run_id, monotonic())
        if not why and self.limits.deadline is not None and monotonic() - began >= self.limits.deadline:
            why = f"the deadline of {self.limits.deadline:g} s has passed"
        open_now = waiting(held["tree"])
        return f"{_place(open_now[0])}, and {len(open_now) - 1} more: {why}" if why and open_now else why


@dataclass(frozen=True)
class _Grow:
    stages: Stages
    candidates_for: AbstractSet[str]
    proposals: int

    def grow(self, state: RecursiveState, _: RunnableConfig) -> dict[str, Any]:
        held, events = self.grown(state)
        if (store := get_store()) is not None:
            records.drive(self.journalled(state, held), store)
        return self.tell(held, events)

    async def agrow(self, state: RecursiveState, _: RunnableConfig) -> dict[str, Any]:
        held, events = self.grown(state)
        if (store := get_store()) is not None:
            await records.adrive(self.journalled(state, held), store)
        return self.tell(held, events)

    def journalled(self, state: RecursiveState, held: Held) -> Plan[None]:
        yield written(state["begun"], state["fixed"], held, state["tree"])

    def tell(self, held: Held, events: list[Grown]) -> dict[str, Any]:
        write = get_stream_writer()
        for event in events:
            write(event)
        return dict(held)

    def grown(self, state: RecursiveState) -> tuple[Held, list[Grown]]:
        tree, still_open, closed, events = state["tree"], [], [], []
        for ballot in state["ballots"]:
            node = tree[ballot["id"].partition(":")[0]]
            if ballot["status"] == "decided":
                after = grow(tree, node["id"], vote := decision(ballot)["vote"], self.stages.key)
            elif self.enough(ballot):
                vote = None
                after = offer(tree, node["id"], ballot["votes"].values())
            else:
                still_open.append(ballot)
                continue
            closed.append(ballot)
            margin = Ballot.resume(1, ballot["counts"], ballot["votes"]).margin
            stage = ballot["state"]["stage"]
            tree = told(after, node["id"], {"stage": stage, "margin": margin, "samples": ballot["samples"]})
            events.append(_event(state["begun"], node, ballot, vote))
        samples, flags, usage = _sums(state["counts"], closed)
        counts: Counts = {
            "rounds": state["counts"]["rounds"] + 1,
            "samples": samples,
            "flags": flags,
            "usage": usage,
        }
        return {"tree": settle(tree), "ballots": still_open, "counts": counts}, events

    def enough(self, ballot: BallotState) -> bool:
        """Whether a question whose answers are candidates has as many as were asked for."""
        return (
            ballot["state"]["stage"] in self.candidates_for
            and ballot["status"] == "open"
            and not unanswered(ballot)
            and sum(ballot["counts"].values()) >= self.proposals
        )


def _event(run_id: str, node: Node, ballot: BallotState, vote: Any) -> Grown:
    return {
        "event": "maker.node",
        "run_id": run_id,
        "node": node["id"],
        "depth": node["depth"],
        "problem": node["problem"],
        "stage": ballot["state"]["stage"],
        "vote": vote,
        "counts": decision(ballot)["counts"],
        "samples": ballot["samples"],
        "flags": ballot["flags"],
    }


def _unsettled(ballot: BallotState) -> Unsettled:
    return {
        "node": ballot["id"].partition(":")[0],
        "question": ballot["state"],
        "counts": decision(ballot)["counts"],
        "samples": ballot["samples"],
        "reason": in_words(ballot["samples"], ballot["flags"], ballot["last_flag"], ballot["counts"].values()),
    }


def _sums(counts: Counts, ballots: Iterable[BallotState]) -> tuple[dict[str, int], dict[str, int], Any]:
    """Samples by stage, flags by reason, and usage, with those of `ballots`."""
    ballots = [*ballots]
    samples, flags = Counter(counts["samples"]), Counter(counts["flags"])
    for ballot in ballots:
        samples[ballot["state"]["stage"]] += ballot["samples"]
        flags.update(ballot["flags"])
    return dict(samples), dict(flags), total_usage([counts["usage"], *(ballot["usage"] for ballot in ballots)])


def _place(node: Node) -> str:
    problem = node["problem"]
    return f"node {node['id']} ({problem if len(problem) <= _SHOWN else problem[:_SHOWN] + '…'})"


_SHOWN = 80
_SUPERSTEPS_TO_FINISH = 6  # frontier, vote and its own, escalate, grow, frontier: a round must have room to end
_SUPERSTEPS_TO_DRAIN = 5
_AHEAD = (
    "the checkpoint is at round {at} of run {run_id!r}, ahead of its journal ({why}): use the store that the run was"
    " written to, or begin a new run id"
)
