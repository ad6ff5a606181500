"""How sure the answer of a recursive run is, by stage: each stage asks for something else, and has a p of its own."""

from __future__ import annotations

from collections import Counter
from math import exp, log, log1p
from typing import Final

from langgraph_maker.journal.tree_types import ROOT, DecidedStage, Tree, TreeNode
from langgraph_maker.theory.mixture import DIFFER, FEW, contested, equal, likelihood_gain, spread, sure

__all__ = ["guarantee"]


def guarantee(tree: Tree) -> str:
    """Return how sure it is that no stage was decided wrongly, in one line, or why that is not known.

    All stages that the answer rests on count, but for a wrong answer that is composed and that the check refutes: the
    product over nodes of (1 - e_atomic) (1 - e_solve), or of (1 - e_propose) (1 - e_compose e_check), where e is the
    error of a ballot by Eq 9, at the p of its stage.

    Example:
        >>> from langgraph_maker.prebuilt.recursive.tree import new_tree
        >>> guarantee(new_tree("12 * 3"))
        'no stage is decided yet'
    """
    nodes = _answering(tree, ROOT)
    decided = [one for node in nodes for one in node["decided"] if not one["candidates"]]
    if not decided:
        return "no stage is decided yet"
    if human := sum(one["human"] for one in decided):
        return f"not known: a human decided {human:,} of its {len(decided):,} stages"
    shapes: dict[str, Counter[str]] = {}
    for one in decided:
        shapes.setdefault(one["stage"], Counter()).update([one.get("shape", "0:0:0")])
    untested = {stage: counted for stage, counted in shapes.items() if contested(counted) < FEW}
    p = {stage: equal(counted) or _HALF for stage, counted in shapes.items() if stage not in untested}
    if untested:
        said = [f"{contested(counted)} of {counted.total():,} ({stage})" for stage, counted in untested.items()]
        return (
            "not known: too few ballots have a lost vote to see whether samples err independently:"
            f" {', '.join(said)}; each stage has a p of its own{_each(p, shapes)}"
        )
    right = exp(sum(_log_right(node, p) for node in nodes))
    if differ := [stage for stage, value in p.items() if _differs(value, shapes[stage])]:
        return (
            "not known: its ballots suggest that problems differ in how hard they are at a stage"
            f" ({', '.join(differ)}), and no ballot shows whether a hard one is mostly right; if all were alike, no"
            f" error in {len(decided):,} stages with probability {sure(right, None)}{_each(p, shapes)}"
        )
    return (
        f"no error in {len(decided):,} stages with probability {sure(right, None)}{_each(p, shapes)}, if samples err"
        " independently, equally often at all problems of a stage, and less often than not; no bound is known"
    )


def _differs(p: float, counted: Counter[str]) -> bool:
    mixture = spread(counted)
    return mixture is not None and likelihood_gain(p, mixture, counted) > DIFFER


def _answering(tree: Tree, node_id: str) -> list[TreeNode]:
    """Return the nodes that an answer rests on; of those with the same problem one."""
    found, todo = dict[str, TreeNode](), [node_id]
    while todo:
        if (one := todo.pop()) in found:
            continue
        node = found[one] = tree[one]
        todo += [*node["children"], *([node["same_as"]] if node["same_as"] else [])]
    return [*found.values()]


def _log_right(node: TreeNode, p: dict[str, float]) -> float:
    """Return the log probability that nothing that the node's answer rests on was decided wrongly."""
    errors = {one["stage"]: _error(one, p[one["stage"]]) for one in node["decided"] if not one["candidates"]}
    if "compose" in errors and "check" in errors:
        errors["compose"] *= errors.pop("check")
    return sum(log1p(-min(error, 1 - 1e-15)) for error in errors.values())


def _error(decided: DecidedStage, p: float) -> float:
    return 0.0 if p >= 1 else 1 / (1 + exp(decided["margin"] * (log(p) - log1p(-p))))


def _each(p: dict[str, float], shapes: dict[str, Counter[str]]) -> str:
    said = ", ".join(f"{stage} {value:.3f} of {shapes[stage].total():,} ballots" for stage, value in p.items())
    return f" (p: {said})" if said else ""


_HALF: Final = 0.5
