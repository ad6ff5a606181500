"""`grow` and `escalate`: let the tree grow by what was decided, and send on what was not."""

from __future__ import annotations

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any

from langchain_core.runnables import RunnableConfig

from langgraph_maker.core.ballot import outcome_of
from langgraph_maker.core.margin import margin_asked
from langgraph_maker.core.reasons import Reason
from langgraph_maker.core.state import START, BallotState
from langgraph_maker.journal.store_ops import StoreOps
from langgraph_maker.journal.tree_records import TreeRun, check_single_writer, commit, counted, head
from langgraph_maker.journal.tree_types import DecidedStage, Tree, TreeNode, node_id_of
from langgraph_maker.nodes.ask import open_questions
from langgraph_maker.nodes.context import overrides
from langgraph_maker.nodes.emit import emit
from langgraph_maker.nodes.escalate import escalated, in_full
from langgraph_maker.nodes.ladder.human import Read
from langgraph_maker.nodes.ladder.ladder import Ladder
from langgraph_maker.nodes.node import Journalled, journalling
from langgraph_maker.nodes.node import Node as GraphNode
from langgraph_maker.nodes.tally import decision, reopened_below, unanswered
from langgraph_maker.nodes.tenant import store_of
from langgraph_maker.prebuilt.recursive.limits import Limits
from langgraph_maker.prebuilt.recursive.stages import Stages
from langgraph_maker.prebuilt.recursive.state import Asked, Grown, RecursiveState, Unsettled
from langgraph_maker.prebuilt.recursive.tree import converge, grow, offer, place, with_decision
from langgraph_maker.theory.mixture import shape_of

__all__ = ["Choosing", "escalate_tree_node", "grow_node", "question_title", "unsettled"]


@dataclass(frozen=True)
class Choosing(Ladder):
    """A ladder for stages some of which give candidates: that their votes are tied is no reason to escalate."""

    k: int = 1
    min_k: int | None = None
    candidates_for: AbstractSet[str] = frozenset()
    proposals: int = 1

    def gives_up(self, ballot: BallotState, k: int) -> str:
        """Return why an open ballot should escalate, if it should; one for candidates for its flags alone."""
        if ballot["state"]["stage"] in self.candidates_for:
            ballot = {**ballot, "counts": {"": sum(ballot["counts"].values())}}
        return super().gives_up(ballot, k)

    def concerns(self, ballot: BallotState) -> bool:
        """Return whether a ballot that was counted is not done with; one that has candidates enough is."""
        return super().concerns(ballot) and not self.enough(ballot)

    def enough(self, ballot: BallotState) -> bool:
        """Return whether a question for candidates has as many as were asked for, and none that leads by k."""
        if ballot["state"]["stage"] not in self.candidates_for or ballot["status"] == "decided" or "human" in ballot:
            return False
        least, _ = self.terms(ballot, margin_asked(self.k, overrides(), self.min_k), None)
        return not unanswered(ballot) and sum(ballot["counts"].values()) >= max(self.proposals, least)


def grow_node(stages: Stages, *, ladder: Choosing, limits: Limits) -> GraphNode:
    """Commit every decided ballot; where answers are candidates, hand them on once there are enough.

    A ballot that decided what is beyond a limit is kept as it is, for a larger one; a human, where the ladder has one,
    may overrule that an answer is wrong.

    With a store, what was decided is journalled before it counts as done, and so is what open ballots have counted.
    """
    role = _Grow(stages, ladder, limits)
    return journalling("grow", role.grow)


def escalate_tree_node(ladder: Ladder, read: Read) -> GraphNode:
    """Send what did not converge up the ladder or to a human, or leave it unresolved, see `nodes.escalate_node`.

    Unresolved ballots are kept, for a larger budget to continue from them.
    """

    def escalate(state: RecursiveState, _: RunnableConfig) -> dict[str, Any]:
        before, answers = state["ballots"], state.get("answers") or {}
        after = [_begun_again(ballot) for ballot in escalated(before, answers, ladder, read)]
        changed = [new for old, new in zip(before, after, strict=True) if new is not old]
        return {
            "ballots": after,
            "answers": None,
            "unused": {},
            "answered": [ballot["id"] for ballot in before if ballot["id"] in answers],
            "asked": [ballot["id"] for ballot in changed if ballot["status"] == "asking"],
        }

    return GraphNode("escalate", escalate)


@dataclass(frozen=True)
class _Grow:
    stages: Stages
    ladder: Choosing
    limits: Limits

    def grow(self, state: RecursiveState, _: RunnableConfig) -> dict[str, Any] | Journalled:
        held, events = self.grown(state)
        store = store_of(state)
        return self.tell(held, events) if store is None else (store, self.journalled(state, held, events))

    def journalled(self, state: RecursiveState, held: TreeRun, events: list[Grown | Asked]) -> StoreOps[dict[str, Any]]:
        run_id = state["run_id"]
        begun = yield from head(run_id)
        check_single_writer(run_id, begun, state["counts"]["rounds"], state["tree"])
        still_open = {ballot["id"] for ballot in held["ballots"]}
        escalated = {ballot["id"] for ballot in state["ballots"] if "ladder" in ballot}
        used = {*(state.get("answered") or ()), *escalated - still_open}  # one of that name may be asked again
        yield from commit(run_id, begun, state["fixed"], held, state["tree"], answered=sorted(used))
        return self.tell(held, events)

    def tell(self, held: TreeRun, events: list[Grown | Asked]) -> dict[str, Any]:
        for event in events:
            emit(event)
        return {**held, "asked": [], "answered": []}

    def grown(self, state: RecursiveState) -> tuple[TreeRun, list[Grown | Asked]]:
        tree, asking = state["tree"], [*(state.get("asked") or ())]
        still_open: list[BallotState] = []
        closed: list[BallotState] = []
        events: list[Grown | Asked] = []
        k = margin_asked(self.ladder.k, overrides(), self.ladder.min_k)
        for one in state["ballots"]:
            ballot = reopened_below(one, k)
            node = tree[node_id_of(ballot["id"])]
            candidates = 0
            if node["stage"] != ballot["state"]["stage"]:  # what it asks about hung on a way that is refuted just now
                closed.append(ballot)
                continue
            if ballot["status"] == "decided":
                vote = decision(ballot)["vote"]
                if self.limits.beyond(tree, node, vote):
                    left = self.limits.asked(tree, ballot, human=self.ladder.human)
                    still_open.append(left)
                    asking += [left["id"]] if left["status"] == "asking" else []
                    continue
                after = grow(tree, node["id"], vote, self.stages.key)
            elif self.ladder.enough(ballot):
                vote, candidates = None, len(ballot["votes"])
                after = offer(tree, node["id"], ballot["votes"].values())
            else:
                still_open.append(ballot)
                continue
            closed.append(ballot)
            tree = with_decision(after, node["id"], _decided(ballot, candidates))
            events.append(_event(state["run_id"], node, ballot, vote))
        events += [
            {"event": "question.asked", "run_id": state["run_id"], "node": node_id_of(one["id"]), "question": one}
            for one in open_questions([ballot for ballot in still_open if ballot["id"] in asking])
        ]
        counts = counted({**state["counts"], "rounds": state["counts"]["rounds"] + 1}, closed)
        return {"tree": converge(tree), "ballots": still_open, "counts": counts}, events


def _begun_again(ballot: BallotState) -> BallotState:
    """Return a ballot that a human lets begin again is none that was decided."""
    if ballot["status"] != "open" or "refuted" not in ballot:
        return ballot
    after: BallotState = {**ballot}
    del after["refuted"]
    return after


def _decided(ballot: BallotState, candidates: int) -> DecidedStage:
    human, counts = "human" in ballot, ballot["counts"]
    lead = outcome_of(counts, ballot["votes"])["margin"] if counts else 0
    found: DecidedStage = {
        "stage": ballot["state"]["stage"],
        "margin": 0 if human else lead,
        "samples": ballot["samples"],
        "candidates": candidates,
        "tier": ballot.get("ladder", START)["tier"],
        "human": human,
        "shape": shape_of(counts),
    }
    if timeouts := ballot.get("timeouts", 0):
        found["timeouts"] = timeouts
    return found


def _event(run_id: str, node: TreeNode, ballot: BallotState, vote: Any) -> Grown:
    return {
        "event": "node.decided",
        "run_id": run_id,
        "node": node["id"],
        "depth": node["depth"],
        "problem": node["problem"],
        "stage": ballot["state"]["stage"],
        "vote": vote,
        "counts": decision(ballot)["counts"],
        "samples": ballot["samples"],
        "flags": ballot["flags"],
        "tier": ballot.get("ladder", START)["tier"],
        "human": "human" in ballot,
    }


def unsettled(ballot: BallotState, why: str = "") -> Unsettled:
    """Return what a ballot did not converge, or decided beyond a limit, `why`."""
    code, reason = Reason("tree_limit", why) if why else in_full(ballot)
    return {
        "node": node_id_of(ballot["id"]),
        "question": ballot["state"],
        "counts": decision(ballot)["counts"],
        "samples": ballot["samples"],
        "reason": reason,
        "reason_code": code,
    }


def question_title(tree: Tree, failed: Sequence[Unsettled]) -> str:
    """Return the first of these in words, and how many there are beside it."""
    first, more = failed[0], len(failed) - 1
    where = place(tree[first["node"]]) + (f", and {more} more" if more else "")
    return f"{where}: {first['question']['stage']}: {first['reason']}"
