"""`grow` and `escalate`: let the tree grow by what was decided, or say what was not."""

from __future__ import annotations

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.config import get_store, get_stream_writer

from langgraph_maker import plans
from langgraph_maker.ballot import Ballot
from langgraph_maker.margins import in_words
from langgraph_maker.nodes.node import Node as GraphNode
from langgraph_maker.nodes.tally import decision, unanswered
from langgraph_maker.plans import Plan
from langgraph_maker.recursion.record import Held, alone, counted, head, written
from langgraph_maker.recursion.stages import Stages
from langgraph_maker.recursion.state import Grown, RecursiveState, Unsettled
from langgraph_maker.recursion.tree import Decided, Node, Tree, grow, offer, place, settle, told
from langgraph_maker.state import BallotState

__all__ = ["escalate_node", "grow_node", "in_short"]


def grow_node(stages: Stages, *, candidates_for: AbstractSet[str], proposals: int) -> GraphNode:
    """Commit every decided ballot; where answers are candidates, hand them on once there are enough.

    With a store, what was decided is journalled before it counts as done, and so is what open ballots have counted.
    """
    role = _Grow(stages, candidates_for, proposals)
    return GraphNode("grow", role.grow, role.agrow)


def escalate_node() -> GraphNode:
    """Say which questions did not settle, and end the run; their ballots are kept, for a larger budget to go on."""

    def escalate(state: RecursiveState, _: RunnableConfig) -> dict[str, Any]:
        unsettled = [_unsettled(ballot) for ballot in state["ballots"] if ballot["status"] == "unresolved"]
        return {"unsettled": unsettled, "reason": in_short(state["tree"], unsettled)}

    return GraphNode("escalate", escalate)


@dataclass(frozen=True)
class _Grow:
    stages: Stages
    candidates_for: AbstractSet[str]
    proposals: int

    def grow(self, state: RecursiveState, _: RunnableConfig) -> dict[str, Any]:
        held, events = self.grown(state)
        if (store := get_store()) is not None:
            plans.drive(self.journalled(state, held), store)
        return self.tell(held, events)

    async def agrow(self, state: RecursiveState, _: RunnableConfig) -> dict[str, Any]:
        held, events = self.grown(state)
        if (store := get_store()) is not None:
            await plans.adrive(self.journalled(state, held), store)
        return self.tell(held, events)

    def journalled(self, state: RecursiveState, held: Held) -> Plan[None]:
        begun = yield from head(state["begun"])
        alone(state["begun"], begun, state["counts"]["rounds"], state["tree"])
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
            candidates = 0
            if ballot["status"] == "decided":
                after = grow(tree, node["id"], vote := decision(ballot)["vote"], self.stages.key)
            elif self.enough(ballot, state["fixed"]["k"]):
                vote, candidates = None, len(ballot["votes"])
                after = offer(tree, node["id"], ballot["votes"].values())
            else:
                still_open.append(ballot)
                continue
            closed.append(ballot)
            decided: Decided = {
                "stage": ballot["state"]["stage"],
                "margin": Ballot.resume(1, ballot["counts"], ballot["votes"]).margin,
                "samples": ballot["samples"],
                "candidates": candidates,
            }
            tree = told(after, node["id"], decided)
            events.append(_event(state["begun"], node, ballot, vote))
        counts = counted({**state["counts"], "rounds": state["counts"]["rounds"] + 1}, closed)
        return {"tree": settle(tree), "ballots": still_open, "counts": counts}, events

    def enough(self, ballot: BallotState, k: int) -> bool:
        """Whether a question whose answers are candidates has as many as were asked for."""
        return (
            ballot["state"]["stage"] in self.candidates_for
            and ballot["status"] == "open"
            and not unanswered(ballot)  # what is out is paid for
            and sum(ballot["counts"].values()) >= max(self.proposals, k)
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


def in_short(tree: Tree, unsettled: Sequence[Unsettled]) -> str:
    """The first of these in words, and how many there are beside it."""
    first, more = unsettled[0], len(unsettled) - 1
    where = place(tree[first["node"]]) + (f", and {more} more" if more else "")
    return f"{where}: {first['question']['stage']}: {first['reason']}"
