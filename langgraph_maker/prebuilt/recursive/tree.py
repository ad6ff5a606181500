"""The tree of problems, and how a vote makes it grow: pure functions on plain dicts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from typing import Any, Final, Literal, cast

from langgraph_maker.journal.tree_types import ROOT, DecidedStage, RefutedWay, Stage, Tree, TreeNode
from langgraph_maker.prebuilt.recursive.stages import StageQuestion

__all__ = ["ask", "converge", "depth", "grow", "new_tree", "offer", "parts", "place", "waiting", "with_decision"]


_ASKED: Final = frozenset({"atomic", "solve", "propose", "choose", "compose", "check"})


def new_tree(problem: str) -> Tree:
    """Return the tree of a problem that nothing is known about.

    Example:
        >>> tree = new_tree("12 * 3")
        >>> tree = grow(tree, "1", {"atomic": False}, str)
        >>> tree = grow(tree, "1", {"subproblems": ["10 * 3", "2 * 3"], "compose": "{1} + {2}"}, str)
        >>> [node["problem"] for node in waiting(tree)]
        ['10 * 3', '2 * 3']
    """
    return {ROOT: _node(ROOT, "", 0, problem)}


def waiting(tree: Tree) -> list[TreeNode]:
    """Return the nodes that something is to be asked about."""
    return [node for node in tree.values() if node["stage"] in _ASKED]


def ask(tree: Tree, node: TreeNode, most_children: int) -> StageQuestion:
    """Return what is to be asked about a node."""
    stage = node["stage"]
    question: StageQuestion = {"stage": stage, "problem": node["problem"]}
    if stage == "propose":
        question |= {"above": [tree[one]["problem"] for one in _above(tree, node)], "at_most": most_children}
    if stage == "choose":
        question |= {"of": node["of"], "candidates": node["candidates"]}
    if stage in {"compose", "check"} or node["of"] == "compose":
        parts = [{"problem": tree[child]["problem"], "answer": tree[child]["answer"]} for child in node["children"]]
        question |= {"how": node["how"], "parts": parts}
    if stage == "check":
        question |= {"answer": node["answer"]}
    if node["refuted"] and "propose" in {stage, node["of"]}:
        question |= {"refuted": [_tried(tree, one) for one in node["refuted"]]}
    return question


def grow(tree: Tree, node_id: str, vote: Any, key: Callable[[str], str]) -> Tree:
    """Return the tree after what a node was asked is decided; `key` says which problems are equal."""
    node = tree[node_id]
    stage = node["stage"]
    if stage == "choose":
        of, chosen = cast("Stage", node["of"]), vote["choice"]
        rest = [one for one in node["candidates"] if one != chosen] if of == "propose" else node["rest"]
        asked: TreeNode = {**node, "stage": of, "of": "", "candidates": [], "rest": rest}
        return grow({**tree, node_id: asked}, node_id, chosen, key)
    if stage == "propose":
        return _split(tree, node, vote, key)
    after: TreeNode = node
    match stage:
        case "atomic":
            after = {**node, "stage": "solve" if vote["atomic"] else "propose"}
        case "solve":
            after = {**node, "stage": "done", "answer": vote["answer"]}
        case "compose":
            after = {**node, "stage": "check", "answer": vote["answer"]}
        case "check":
            answer = vote.get("answer", node["answer"])  # a human may have another one
            if not vote["right"]:
                return _freed({**tree, node_id: _again(node)}, _below(tree, node["children"]))
            after = {**node, "stage": "done", "answer": answer}
    return {**tree, node_id: after}


def parts(vote: Any) -> int:
    """Return how many subproblems what was decided splits a problem into; 0 where it splits none.

    Example:
        >>> split = {"subproblems": ["a", "b"], "compose": "{1}{2}"}
        >>> parts(split), parts({"choice": split}), parts({"choice": {"answer": "a"}}), parts({"atomic": True})
        (2, 2, 0, 0)
    """
    return len(vote.get("choice", vote).get("subproblems", ()))


def offer(tree: Tree, node_id: str, candidates: Iterable[Any]) -> Tree:
    """Return the tree after answers to a node's question are there to be chosen from."""
    node = tree[node_id]
    return {**tree, node_id: {**node, "stage": "choose", "of": node["stage"], "candidates": [*candidates]}}


def with_decision(tree: Tree, node_id: str, decided: DecidedStage) -> Tree:
    """Return the tree with a note of how a stage was decided."""
    node = tree[node_id]
    return {**tree, node_id: {**node, "decided": [*node["decided"], decided]}}


def converge(tree: Tree) -> Tree:
    """Return the tree after answers have gone to where they are waited for."""
    tree = dict(tree)
    changed = True
    while changed:
        changed = False
        for node in [*tree.values()]:
            if node["stage"] == "same" and (twin := tree[node["same_as"]])["stage"] == "done":
                tree[node["id"]] = {**node, "stage": "done", "answer": twin["answer"]}
                changed = True
            elif node["stage"] == "children" and all(tree[child]["stage"] == "done" for child in node["children"]):
                tree[node["id"]] = {**node, "stage": "compose"}
    return tree


def depth(tree: Mapping[str, TreeNode]) -> int:
    """Return how many times the root was split, along the longest branch."""
    return max((node["depth"] for node in tree.values()), default=0)


def place(node: TreeNode) -> str:
    """Return a node as messages name it."""
    problem = node["problem"]
    return f"node {node['id']} ({problem if len(problem) <= _SHOWN else problem[:_SHOWN] + '…'})"


_SHOWN: Final = 80


def _node(node_id: str, parent: str, deep: int, problem: str) -> TreeNode:
    return {
        "id": node_id,
        "parent": parent,
        "depth": deep,
        "problem": problem,
        "stage": "atomic",
        "of": "",
        "candidates": [],
        "rest": [],
        "refuted": [],
        "children": [],
        "how": "",
        "same_as": "",
        "answer": None,
        "decided": [],
    }


def _above(tree: Tree, node: TreeNode) -> list[str]:
    above = []
    while node["parent"]:
        node = tree[node["parent"]]
        above.append(node["id"])
    return above[::-1]


def _tried(tree: Tree, tried: RefutedWay) -> dict[str, Any]:
    """Return a way that was tried, as microagents see it."""
    problems = [tree[child]["problem"] for child in tried["children"]]
    return {"subproblems": problems, "compose": tried["how"], "answer": tried["answer"]}


def _again(node: TreeNode) -> TreeNode:
    """Return the node with what was tried set aside: a split that was not chosen is next, or else a fresh one.

    One split alone is no choice.
    """
    tried: RefutedWay = {"children": node["children"], "how": node["how"], "answer": node["answer"]}
    again: TreeNode = {
        **node,
        "stage": "propose",
        "refuted": [*node["refuted"], tried],
        "rest": [],
        "children": [],
        "how": "",
        "answer": None,
    }
    return {**again, "stage": "choose", "of": "propose", "candidates": node["rest"]} if node["rest"][1:] else again


def _below(tree: Tree, node_ids: Iterable[str]) -> set[str]:
    """These nodes, and all that they were split into."""
    below: set[str] = set()
    ahead = [*node_ids]
    while ahead:
        below.add(one := ahead.pop())
        ahead += tree[one]["children"]
    return below


def _freed(tree: Tree, refuted: AbstractSet[str]) -> Tree:
    """Return the tree in which no live node depends on a refuted one: what took their answers is asked itself.

    What was composed of those answers is composed and checked anew, also what a human said of it.
    """
    tree = dict(tree)
    fresh: dict[str, str] = {}
    ahead: list[str] = []
    for node in [*_live(tree)]:
        if node["same_as"] not in refuted:
            continue
        twin = fresh.setdefault(node["same_as"], node["id"])
        ahead.append(node["parent"])
        if twin == node["id"]:
            tree[twin] = {**node, "stage": "atomic", "same_as": "", "answer": None}
        else:
            tree[node["id"]] = {**node, "stage": "same", "same_as": twin, "answer": None}
    while ahead:
        node = tree[ahead.pop()]
        if node["stage"] in {"children", "same"}:
            continue
        waits: Literal["same", "children"] = "same" if node["same_as"] else "children"
        tree[node["id"]] = {**node, "stage": waits, "of": "", "candidates": [], "answer": None}
        ahead += [node["parent"]] if node["parent"] else []
        ahead += [one["id"] for one in _live(tree) if one["same_as"] == node["id"]]
    return tree


def _live(tree: Tree) -> Iterator[TreeNode]:
    """Return the nodes that the root is answered by: not those of a way that was refuted."""
    ahead = [ROOT]
    while ahead:
        node = tree[ahead.pop()]
        yield node
        ahead += node["children"]


def _split(tree: Tree, node: TreeNode, vote: Any, key: Callable[[str], str]) -> Tree:
    """Return the node with its children; a problem that another node has already is answered there, once.

    Where another way was refuted before, here or above, what it rested on is not taken over.
    """
    tried = [way for one in (*_above(tree, node), node["id"]) for way in tree[one]["refuted"]]
    barred = {node["id"], *_needed(tree, [child for way in tried for child in way["children"]])}
    known = {key(one["problem"]): one["id"] for one in _live(tree) if not one["same_as"] and one["id"] not in barred}
    first = 1 + sum(len(tried["children"]) for tried in node["refuted"])
    ids = [f"{node['id']}.{place}" for place in range(first, first + len(vote["subproblems"]))]
    tree = {**tree, node["id"]: {**node, "stage": "children", "children": ids, "how": vote["compose"]}}
    for child_id, problem in zip(ids, vote["subproblems"], strict=True):
        child = _node(child_id, node["id"], node["depth"] + 1, problem)
        twin = known.get(key(problem))
        if twin is not None and barred.isdisjoint(_needed(tree, [twin])):  # nor must a node wait for itself
            child |= {"stage": "same", "same_as": twin}
        else:
            known[key(problem)] = child_id
        tree[child_id] = child
    return tree


def _needed(tree: Tree, node_ids: Iterable[str]) -> set[str]:
    """These nodes, and all whose answers theirs are made of or taken from."""
    ahead = [*node_ids]
    seen = {*ahead}
    while ahead:
        node = tree[ahead.pop()]
        more = {*node["children"], *([node["same_as"]] if node["same_as"] else [])} & tree.keys() - seen
        seen |= more
        ahead += more
    return seen
