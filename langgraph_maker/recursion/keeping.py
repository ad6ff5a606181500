"""A tree in a store that has ended, or goes on elsewhere: what is wrong with it, how it is removed and copied out."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import IO, Any

from langgraph.store.base import BaseStore, Item, PutOp, SearchOp

from langgraph_maker import plans, records
from langgraph_maker.errors import JournalError
from langgraph_maker.plans import Plan
from langgraph_maker.recursion.record import fetch, head, headed, node_of, offspring, read_node
from langgraph_maker.recursion.tree import ROOT, Node, Tree

__all__ = ["export", "inspect", "is_tree", "remove"]


def is_tree(store: BaseStore, run_id: str) -> bool:
    """Whether a run is a recursive one, also one that an older version left, which lists none."""
    header = records.read_header(store.batch([records.get_header(run_id)])[0], run_id)  # type: ignore[arg-type]
    if header is None:
        return store.batch([node_of(run_id, ROOT)])[0] is not None
    return header.get("kind") == "tree"


def inspect(store: BaseStore, run_id: str) -> list[tuple[str, str, str]]:
    """What is wrong with the records of a tree: at which node, of what kind (see `journal.Problem`), and in words."""
    try:
        begun = plans.drive(head(run_id), store)
    except JournalError as error:
        return [("head", "altered", str(error))]
    if begun is None:
        return [("head", "missing", "the run is listed, and has no tree")]
    tree, problems = plans.drive(_found(run_id), store)
    k = begun["fixed"]["k"]
    for node in tree.values():
        problems += [(node["id"], kind, said) for kind, said in _wrong(tree, node, k)]
    known = {"head", *(f"node-{one}" for one in tree), *(f"node-{one}" for one, _, _ in problems)}
    problems += [
        (key.removeprefix("node-"), "mixed writers", "it is no part of the tree")
        for key in _keys(store, records.tree(run_id))
        if key not in known
    ]
    if not problems and records.mark(tree) != begun["tree"]:
        problems.append((ROOT, "mixed writers", f"the tree is not the one that {begun['writer']} wrote last"))
    return problems


def _found(run_id: str) -> Plan[tuple[Tree, list[tuple[str, str, str]]]]:
    """The nodes that can be read, from the root down, and what is wrong with the others."""
    tree: Tree = {}
    problems: list[tuple[str, str, str]] = []
    ahead = [ROOT]
    while ahead:
        items = yield [node_of(run_id, one) for one in ahead]
        found, ahead = zip(ahead, items, strict=True), []
        for one, item in found:
            if item is None:
                problems.append((one, "missing", "the tree has this node, and no record of it"))
                continue
            try:
                tree[one] = read_node(item, run_id, one)["node"]
            except JournalError as error:
                problems.append((one, "altered", str(error)))
                continue
            ahead += offspring(tree[one])
    return tree, problems


def _wrong(tree: Tree, node: Node, k: int) -> Iterator[tuple[str, str]]:
    for one in node["decided"]:
        if one["margin"] < k and not one["human"] and not one["candidates"]:
            yield "undercut", f"its stage {one['stage']!r} was decided by {one['margin']}, where k is {k}"
    if node["stage"] == "done":
        for child in node["children"]:
            if child in tree and tree[child]["stage"] != "done":
                yield "broken succession", f"it is done, and its part {child} is not"


def remove(store: BaseStore, run_id: str) -> None:
    """Remove all records of a tree, and what humans answered."""
    for where in (records.tree(run_id), records.namespace(run_id)):
        store.batch([PutOp(where, key, None) for key in _keys(store, where)])
    store.batch([records.drop_header(run_id)])


def export(store: BaseStore, run_id: str, file: IO[str]) -> None:
    """Write a node a line, with its ballot where one is open, from the root down.

    Raises:
        JournalError: When a record is not as it was written.
    """
    held = plans.drive(fetch(run_id, headed(store, run_id)), store)
    ballots = {ballot["id"].partition(":")[0]: ballot for ballot in held["ballots"]}
    for node in held["tree"].values():
        file.write(json.dumps({"node": node, "ballot": ballots.get(node["id"])}) + "\n")


def _keys(store: BaseStore, where: tuple[str, ...]) -> list[str]:
    keys: list[str] = []
    offset = 0
    while found := _page(store, where, offset):
        keys += [item.key for item in found if item.namespace == where]  # databases take wildcards in it
        offset += len(found)
    return keys


def _page(store: BaseStore, where: tuple[str, ...], offset: int) -> list[Item]:
    found: Any = store.batch([SearchOp(where, limit=256, offset=offset, refresh_ttl=False)])[0]
    return list(found)
