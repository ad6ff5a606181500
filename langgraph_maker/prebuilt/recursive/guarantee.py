"""How sure the answer of a recursive run is, by stage: each stage asks for something else, and has a p of its own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from math import ceil, exp, log, log1p
from typing import Final

from langgraph_maker.journal.tree_types import ROOT, DecidedStage, Tree, TreeNode
from langgraph_maker.theory.intervals import upper_bound
from langgraph_maker.theory.mixture import DIFFER, FEW, contested, equal, likelihood_gain, pooled, spread, sure

__all__ = ["guarantee"]


def guarantee(tree: Tree, *, answered: bool = True) -> str:
    """Return how sure it is that no stage was decided wrongly, in one line, or why that is not known.

    All stages that the answer rests on count, but for checks: the product over nodes of (1 - e_atomic) (1 - e_solve),
    or of (1 - e_propose) (1 - e_compose), where e is the error of a ballot by Eq 9, at the p of its stage. That is seen
    on all ballots, also on those of ways refuted later. A check gets no credit for what it refuses: most answers that
    it sees are right, so that its ballots do not show how often it says "right" of one that is wrong.

    Args:
        tree: The run's.
        answered: Whether it has its answer: before, the stages that are decided are the easy ones.

    Example:
        >>> from langgraph_maker.prebuilt.recursive.tree import new_tree
        >>> guarantee(new_tree("12 * 3"))
        'no stage is decided yet'
    """
    nodes = _answering(tree, ROOT)
    decided = _decided(nodes)
    if not decided:
        return "no stage is decided yet"
    if why := _elsewhere(tree, decided, answered=answered):
        return why
    counting = [one for node in nodes for one in _counting(node)]
    shapes: dict[str, Counter[str]] = {}
    for one in _decided(tree.values()):
        if one["stage"] != "check":
            shapes.setdefault(one["stage"], Counter()).update([one.get("shape", "0:0:0")])
    untested = {stage: counted for stage, counted in shapes.items() if contested(counted) < FEW}
    least = _least if untested else lambda counted: equal(counted) or _HALF
    p = {stage: least(counted) for stage, counted in shapes.items()}
    right = exp(sum(log1p(-min(_error(one, p[one["stage"]]), 1 - 1e-15)) for one in counting))
    no_error = f"no error in {len(counting):,} stages with probability {sure(right, None)}"
    unseen = _UNSEEN if any(one["stage"] == "check" for one in decided) else ""
    if untested:
        said = [f"{contested(counted)} of {counted.total():,} ({stage})" for stage, counted in untested.items()]
        return (
            "not known: too few ballots have a lost vote to see whether samples err independently:"
            f" {', '.join(said)}; if they do, and problems of a stage are alike, {no_error}, at the"
            f" lower bound (95 %) of the p of each stage{_each(p, shapes)}{unseen}; no bound is known"
        )
    if differ := [stage for stage, value in p.items() if _differs(value, shapes[stage])]:
        return (
            "not known: its ballots suggest that problems differ in how hard they are at a stage"
            f" ({', '.join(differ)}), and no ballot shows whether a hard one is mostly right; if all were alike,"
            f" {no_error}{_each(p, shapes)}{unseen}"
        )
    return (
        f"{no_error}{_each(p, shapes)}, if samples err independently, equally often at all problems of a stage, and"
        f" less often than not{unseen}; not known without the assumption of problems that are alike, and no bound is"
        " known"
    )


def _elsewhere(tree: Tree, decided: list[DecidedStage], *, answered: bool) -> str:
    """Return why votes of the first tier, all of which came, are not what the answer rests on; "" where they are."""
    stages = f"of its {len(decided):,} stages"
    if not answered:
        return f"not known yet: {len(decided):,} stages are decided, and what the answer rests on is not"
    if human := sum(one["human"] for one in decided):
        return f"not known: a human decided {human:,} {stages}"
    if above := sum(one["tier"] > 0 for one in decided):
        return f"not known: {above:,} {stages} were decided above the first tier, at another p"
    if slow := sum(one.get("timeouts", 0) for one in _decided(tree.values())):
        return (
            f"not known: latency bias possible, {slow:,} samples timed out and were drawn again, so that slow answers"
            " count less often"
        )
    return ""


def _decided(nodes: Iterable[TreeNode]) -> list[DecidedStage]:
    """Return the stages that votes decided."""
    return [one for node in nodes for one in node["decided"] if not one["candidates"]]


def _least(counted: Counter[str]) -> float:
    """Return the lower bound of a stage's p by all its votes."""
    seen = pooled(counted)
    return _HALF if seen is None else max(_HALF, 1 - upper_bound(ceil(seen.wrong), seen.votes))


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


def _counting(node: TreeNode) -> list[DecidedStage]:
    """Return what decided each stage of a node last, or chose among answers to it, but for its checks."""
    last: dict[str, DecidedStage] = {}
    of: str = "propose"  # of the splits of a way that was refuted, another may be chosen
    for one in node["decided"]:
        if one["candidates"]:
            of = one["stage"]
            continue
        stage, of = of if one["stage"] == "choose" else one["stage"], "propose"
        last[stage] = one
    return [one for stage, one in last.items() if stage != "check"]


def _error(decided: DecidedStage, p: float) -> float:
    return 0.0 if p >= 1 else 1 / (1 + exp(decided["margin"] * (log(p) - log1p(-p))))


def _each(p: dict[str, float], shapes: dict[str, Counter[str]]) -> str:
    said = ", ".join(f"{stage} {value:.3f} of {shapes[stage].total():,} ballots" for stage, value in p.items())
    return f" (p: {said})" if said else ""


_HALF: Final = 0.5
_UNSEEN: Final = (
    "; checks have no credit in it, since most answers that they see are right, and how often they pass a wrong one is"
    " not known"
)
