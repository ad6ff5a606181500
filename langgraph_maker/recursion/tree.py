"""The tree of problems, and how a vote makes it grow: pure functions on plain dicts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, Literal, TypeAlias, cast

from typing_extensions import TypedDict

from langgraph_maker.recursion.stages import Question, Stage

__all__ = ["Decided", "Node", "Tree", "ask", "depth", "grow", "offer", "place", "planted", "settle", "told", "waiting"]


class Decided(TypedDict):
    """How a stage ended: after how many samples, and by which margin, at least k.

    Where its answers became candidates there are so many of these, and the vote that decided is that of "choose".
    """

    stage: Stage
    margin: int
    samples: int
    candidates: int


class Node(TypedDict):
    """One problem. Its id is its place: "1.2" is the second subproblem of "1".

    `stage` is what it is asked next, or that it waits for its `children`, or for the node whose problem is the `same`,
    or that it is done, or that its answer was `refuted`. `candidates` are answers to the stage `of`, to be chosen from.
    """

    id: str
    parent: str
    depth: int
    problem: str
    stage: Stage | Literal["children", "same", "done", "refuted"]
    of: str
    candidates: list[Any]
    children: list[str]
    how: str
    same_as: str
    answer: Any
    decided: list[Decided]


Tree: TypeAlias = dict[str, Node]
ROOT: Final = "1"
_ASKED: Final = frozenset({"atomic", "solve", "propose", "choose", "compose", "check"})


def planted(problem: str) -> Tree:
    """The tree of a problem that nothing is known about.

    Example:
        >>> tree = planted("12 * 3")
        >>> tree = grow(tree, "1", {"atomic": False}, str)
        >>> tree = grow(tree, "1", {"subproblems": ["10 * 3", "2 * 3"], "compose": "{1} + {2}"}, str)
        >>> [node["problem"] for node in waiting(tree)]
        ['10 * 3', '2 * 3']
    """
    return {ROOT: _node(ROOT, "", 0, problem)}


def waiting(tree: Tree) -> list[Node]:
    """The nodes that something is to be asked about."""
    return [node for node in tree.values() if node["stage"] in _ASKED]


def ask(tree: Tree, node: Node, most_children: int) -> Question:
    """What is to be asked about a node."""
    stage = node["stage"]
    question: Question = {"stage": stage, "problem": node["problem"]}
    if stage == "propose":
        question |= {"above": [tree[one]["problem"] for one in _above(tree, node)], "at_most": most_children}
    if stage == "choose":
        question |= {"of": node["of"], "candidates": node["candidates"]}
    if stage in {"compose", "check"} or node["of"] == "compose":
        parts = [{"problem": tree[child]["problem"], "answer": tree[child]["answer"]} for child in node["children"]]
        question |= {"how": node["how"], "parts": parts}
    if stage == "check":
        question |= {"answer": node["answer"]}
    return question


def grow(tree: Tree, node_id: str, vote: Any, key: Callable[[str], str]) -> Tree:
    """The tree after what a node was asked is decided; `key` says which problems are equal."""
    node = tree[node_id]
    stage = node["stage"]
    if stage == "choose":
        chosen = node["candidates"][vote["choice"]]
        asked: Node = {**node, "stage": cast("Stage", node["of"]), "of": "", "candidates": []}
        return grow({**tree, node_id: asked}, node_id, chosen, key)
    if stage == "propose":
        return _split(tree, node, vote, key)
    after: Node = node
    match stage:
        case "atomic":
            after = {**node, "stage": "solve" if vote["atomic"] else "propose"}
        case "solve":
            after = {**node, "stage": "done", "answer": vote["answer"]}
        case "compose":
            after = {**node, "stage": "check", "answer": vote["answer"]}
        case "check":
            after = {**node, "stage": "done" if vote["right"] else "refuted"}
    return {**tree, node_id: after}


def offer(tree: Tree, node_id: str, candidates: Iterable[Any]) -> Tree:
    """The tree after answers to a node's question are there to be chosen from."""
    node = tree[node_id]
    return {**tree, node_id: {**node, "stage": "choose", "of": node["stage"], "candidates": [*candidates]}}


def told(tree: Tree, node_id: str, decided: Decided) -> Tree:
    """The tree with a note of how a stage was decided."""
    node = tree[node_id]
    return {**tree, node_id: {**node, "decided": [*node["decided"], decided]}}


def settle(tree: Tree) -> Tree:
    """The tree after answers have gone to where they are waited for."""
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


def depth(tree: Mapping[str, Node]) -> int:
    """How many times the root was split, along the longest branch."""
    return max((node["depth"] for node in tree.values()), default=0)


def place(node: Node) -> str:
    """A node as messages name it."""
    problem = node["problem"]
    return f"node {node['id']} ({problem if len(problem) <= _SHOWN else problem[:_SHOWN] + '…'})"


_SHOWN: Final = 80


def _node(node_id: str, parent: str, deep: int, problem: str) -> Node:
    return {
        "id": node_id,
        "parent": parent,
        "depth": deep,
        "problem": problem,
        "stage": "atomic",
        "of": "",
        "candidates": [],
        "children": [],
        "how": "",
        "same_as": "",
        "answer": None,
        "decided": [],
    }


def _above(tree: Tree, node: Node) -> list[str]:
    above = []
    while node["parent"]:
        node = tree[node["parent"]]
        above.append(node["id"])
    return above[::-1]


def _split(tree: Tree, node: Node, vote: Any, key: Callable[[str], str]) -> Tree:
    """The node with its children; a problem that another node has already is answered there, once."""
    known = {key(other["problem"]): other["id"] for other in tree.values() if not other["same_as"]}
    ids = [f"{node['id']}.{place}" for place in range(1, len(vote["subproblems"]) + 1)]
    tree = {**tree, node["id"]: {**node, "stage": "children", "children": ids, "how": vote["compose"]}}
    for child_id, problem in zip(ids, vote["subproblems"], strict=True):
        child = _node(child_id, node["id"], node["depth"] + 1, problem)
        twin = known.setdefault(key(problem), child_id)
        if twin != child_id and not _needs(tree, twin, node["id"]):
            child |= {"stage": "same", "same_as": twin}
        tree[child_id] = child
    return tree


def _needs(tree: Tree, node_id: str, other: str) -> bool:
    """Whether a node waits, by whatever way, for another; it must not wait for itself."""
    seen, ahead = {node_id}, [node_id]
    while ahead:
        node = tree[ahead.pop()]
        more = {*node["children"], *([node["same_as"]] if node["same_as"] else [])} & tree.keys() - seen
        seen |= more
        ahead += more
    return other in seen
