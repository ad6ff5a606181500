"""How sure the answer of a recursive run is, by stage: each stage asks for something else, and has a p of its own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from math import exp, log, log1p
from typing import Final

from langgraph_maker.journal.tree_types import ROOT, DecidedStage, Tree, TreeNode
from langgraph_maker.theory.mixture import DIFFER, FEW, contested, equal, likelihood_gain, pooled, spread, sure

__all__ = ["guarantee"]


def guarantee(tree: Tree, *, answered: bool = True) -> str:
    """Return how sure it is that no stage was decided wrongly, in one line, or why that is not known.

    All stages that the answer rests on count, but for a wrong answer that is composed and that the check refutes: the
    product over nodes of (1 - e_atomic) (1 - e_solve), or of (1 - e_propose) (1 - e_compose e_check), where e is the
    error of a ballot by Eq 9, at the p of its stage. That is seen on all ballots, also on those of ways refuted later.

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
    shapes: dict[str, Counter[str]] = {}
    for one in _decided(tree.values()):
        shapes.setdefault(one["stage"], Counter()).update([one.get("shape", "0:0:0")])
    untested = {stage: counted for stage, counted in shapes.items() if contested(counted) < FEW}
    p = {
        stage: _cautious(counted) if stage in untested else equal(counted) or _HALF for stage, counted in shapes.items()
    }
    right = exp(sum(_log_right(node, p) for node in nodes))
    if untested:
        said = [f"{contested(counted)} of {counted.total():,} ({stage})" for stage, counted in untested.items()]
        return (
            "not known: too few ballots have a lost vote to see whether samples err independently:"
            f" {', '.join(said)}; if they do, and problems of a stage are alike, no error in {len(decided):,} stages"
            f" with probability {sure(right, None)}, with one lost vote more at each of these stages; each stage has"
            f" a p of its own{_each(p, shapes)}; no bound is known"
        )
    if differ := [stage for stage, value in p.items() if _differs(value, shapes[stage])]:
        return (
            "not known: its ballots suggest that problems differ in how hard they are at a stage"
            f" ({', '.join(differ)}), and no ballot shows whether a hard one is mostly right; if all were alike, no"
            f" error in {len(decided):,} stages with probability {sure(right, None)}{_each(p, shapes)}"
        )
    return (
        f"no error in {len(decided):,} stages with probability {sure(right, None)}{_each(p, shapes)}, if samples err"
        " independently, equally often at all problems of a stage, and less often than not; not known without the"
        " assumption of problems that are alike, and no bound is known"
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


def _cautious(counted: Counter[str]) -> float:
    """Return a stage's p with one lost vote more than was seen."""
    seen = pooled(counted)
    return _HALF if seen is None else max(_HALF, 1 - (seen.wrong + 1) / (seen.votes + 1))


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
