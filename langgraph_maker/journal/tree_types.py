"""The tree of a recursive run, as data."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, Literal, NotRequired, TypeAlias

from typing_extensions import TypedDict

from langgraph_maker.core.foreign import excerpt

__all__ = ["DecidedStage", "RefutedWay", "Stage", "Tree", "TreeNode", "ballot_key", "node_id_of", "undercut"]


Stage: TypeAlias = Literal["atomic", "solve", "propose", "choose", "compose", "check"]
"""What microagents are asked about a problem."""


class DecidedStage(TypedDict):
    """How a stage ended: after how many samples, and by which margin, at least k, or by a human.

    Where its answers became candidates there are so many of these, and the vote that decided is that of "choose".
    `tier` is where on the ladder it was decided, `shape` what its votes came to (`mixture.shape`), and
    `timeouts` counts the samples that timed out and were drawn again.
    """

    stage: Stage
    margin: int
    samples: int
    candidates: int
    tier: int
    human: bool
    shape: NotRequired[str]
    timeouts: NotRequired[int]


class RefutedWay(TypedDict):
    """A way to split a problem whose outcome was voted wrong: its children, how they were composed, and to what."""

    children: list[str]
    how: str
    answer: Any


class TreeNode(TypedDict):
    """One problem. Its id is its place: "1.2" is the second subproblem of "1".

    `stage` is what it is asked next, or that it waits for its `children`, or for the node whose problem is the `same`,
    or that it is done. `candidates` are answers to the stage `of`, to be chosen from; `rest` are the splits that were
    not. `refuted` are the ways that were tried before, the nodes of which stay in the tree.
    """

    id: str
    parent: str
    depth: int
    problem: str
    stage: Stage | Literal["children", "same", "done"]
    of: str
    candidates: list[Any]
    rest: list[Any]
    refuted: list[RefutedWay]
    children: list[str]
    how: str
    same_as: str
    answer: Any
    decided: list[DecidedStage]


Tree: TypeAlias = dict[str, TreeNode]


ROOT: Final = "1"


def ballot_key(node: TreeNode) -> str:
    """Return how the ballot on what a node is asked next is named in the graph's state and the store."""
    return f"{node['id']}:{node['stage']}"


def undercut(node: TreeNode, k: int) -> Iterator[str]:
    """Yield in words each stage of a node that was decided by less than `k`, and not by a human."""
    for one in node["decided"]:
        if one["margin"] < k and not one["human"] and not one["candidates"]:
            yield f"its stage {excerpt(one['stage'])} was decided by {one['margin']}, where k is {k}"


def node_id_of(key: str) -> str:
    """Return the node of a ballot that is named so.

    Example:
        >>> node_id_of("1.2:solve")
        '1.2'
    """
    return key.partition(":")[0]
