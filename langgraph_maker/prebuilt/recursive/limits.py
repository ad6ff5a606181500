"""What bounds a recursive run."""

from __future__ import annotations

from dataclasses import dataclass, field
from time import monotonic
from typing import Any

from langgraph_maker.core.reasons import Reason, Stop, stop_reason
from langgraph_maker.core.state import START, BallotState, LadderState, Usage
from langgraph_maker.journal.tree_types import Tree, TreeNode, node_id_of
from langgraph_maker.nodes.limits import overspent
from langgraph_maker.nodes.tally import decision
from langgraph_maker.prebuilt.recursive.tree import parts

__all__ = ["Limits", "as_decided"]


@dataclass(frozen=True, kw_only=True)
class Limits:
    """See `create_recursive_maker`."""

    max_depth: int
    max_children: int
    max_nodes: int
    max_attempts: int
    max_total_samples: int | None
    max_cost: float | None
    deadline: float | None
    stop: Stop
    clocks: dict[str, float] = field(default_factory=dict)

    def reached(self, run_id: str, samples: int, usage: Usage) -> Reason | None:
        """Return why the run stops here, if it does."""
        why = stop_reason(self.stop) or overspent(
            samples, [usage], max_total_samples=self.max_total_samples, max_cost=self.max_cost
        )
        if why is None and self.late(run_id):
            return Reason("deadline", f"the deadline of {self.deadline:g} s has passed")
        return why

    def late(self, run_id: str) -> bool:
        """Return whether a run has passed its deadline, counted from when this is first asked."""
        began = self.clocks.setdefault(run_id, monotonic())
        return self.deadline is not None and monotonic() - began >= self.deadline

    def too_deep(self, node: TreeNode) -> str:
        """Return why a problem cannot be split, if it cannot."""
        if node["stage"] != "propose" or node["depth"] < self.max_depth:
            return ""
        return f"it is not atomic, and max_depth = {self.max_depth} allows no further split"

    def beyond(self, tree: Tree, node: TreeNode, vote: Any) -> str:
        """Return why the tree may not grow by what was decided, if it may not: a larger limit takes it from there."""
        grown = len(tree) + parts(vote)
        if grown > max(self.max_nodes, len(tree)):
            return f"the tree would have {grown:,} nodes, and max_nodes is {self.max_nodes:,}: raise it"
        tried = len(node["refuted"]) + 1
        if node["stage"] != "check" or vote["right"] or tried < self.max_attempts:
            return ""
        ways = "" if tried == 1 else f", the last of {tried} ways tried"
        said = f"the answer {node['answer']!r:.200} was voted wrong{ways}"
        return f"{said}, and max_attempts is {self.max_attempts}: raise it"

    def asked(self, tree: Tree, ballot: BallotState, *, human: bool) -> BallotState:
        """Return a ballot on whether an answer is right under these limits: a `human` is asked about the last attempt.

        That it is wrong stands until the human says otherwise: where none is asked any more, or a larger limit allows
        another way, the ballot is decided as it was.
        """
        stands = as_decided(ballot) if ballot["status"] == "asking" else ballot
        overruled = human and stands["state"]["stage"] == "check" and "human" not in stands
        if stands["status"] != "decided" or not overruled:
            return stands
        if not (why := self.beyond(tree, tree[node_id_of(stands["id"])], decision(stands)["vote"])):
            return stands
        said = f'{why}, or answer true to take it all the same, or {{"answer": …}} with another'
        ladder: LadderState = {**stands.get("ladder", START), "why": said}
        return {**stands, "status": "asking", "refuted": True, "ladder": ladder}


def as_decided(ballot: BallotState) -> BallotState:
    """Return a ballot that a human was asked to overrule, as the votes decided it; any other as it is."""
    if "refuted" not in ballot:
        return ballot
    after: BallotState = {**ballot, "status": "decided"}
    after.pop("human", None)
    del after["refuted"]
    return after
