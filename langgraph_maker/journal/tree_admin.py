"""A tree in a store that has ended, or continues elsewhere: what is wrong with it, and how it is copied out."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Final

from langgraph.store.base import BaseStore

from langgraph_maker.core.canonical import mark
from langgraph_maker.core.errors import JournalError
from langgraph_maker.journal import admin, records, store_ops
from langgraph_maker.journal.segments import found_header
from langgraph_maker.journal.store_ops import StoreOps
from langgraph_maker.journal.tree_records import Head, checked, head, node_of, offspring, read_node, snapshot
from langgraph_maker.journal.tree_types import ROOT, Tree, TreeNode, node_id_of, undercut

__all__ = ["inspect", "lines"]

_ATTEMPTS: Final = 100


def inspect(store: BaseStore, run_id: str) -> list[tuple[str, str, str]]:
    """Return what is wrong with the records of a tree: the node, the kind (see `journal.Problem`), and in words.

    Of a run that continues it is looked at again until it has stood still.
    """
    for _ in range(_ATTEMPTS):
        try:
            begun = store_ops.drive(head(run_id), store)
        except JournalError as error:
            return [("head", "altered", str(error))]
        if begun is None:
            return [("head", "missing", "the run is listed, and has no tree")]
        problems = _problems(store, run_id, begun)
        try:
            if not problems or store_ops.drive(head(run_id), store) == begun:
                break
        except JournalError as error:
            return [("head", "altered", str(error))]
    return problems


def _problems(store: BaseStore, run_id: str, begun: Head) -> list[tuple[str, str, str]]:
    tree, problems = store_ops.drive(_found(run_id, begun), store)
    k = begun["fixed"]["k"]
    for node in tree.values():
        problems += [(node["id"], kind, said) for kind, said in _wrong(tree, node, k)]
    known = {"head", *(f"node-{one}" for one in tree), *(f"node-{one}" for one, _, _ in problems)}
    problems += [
        (key.removeprefix("node-"), "mixed writers", "it is no part of the tree")
        for key in store_ops.drive(admin.keys_in(records.tree(run_id)), store)
        if key not in known
    ]
    if not problems and mark(tree) != begun["tree"]:
        problems.append((ROOT, "mixed writers", f"the tree is not the one that {begun['writer']} wrote last"))
    header = found_header(store, run_id)
    for writer in header.get("mixed", []) if header else []:
        problems.append(("header", "mixed writers", f"{writer} found at its end that another had taken the run over"))
    return problems


def _found(run_id: str, begun: Head) -> StoreOps[tuple[Tree, list[tuple[str, str, str]]]]:
    """Return the nodes that can be read, from the root down, and what is wrong with the others."""
    tree: Tree = {}
    problems: list[tuple[str, str, str]] = []
    ahead = [ROOT]
    changes = begun["changes"]
    while ahead:
        items = yield [node_of(run_id, one) for one in ahead]
        found, ahead = zip(ahead, items, strict=True), []
        for one, item in found:
            if item is None and one not in changes:
                problems.append((one, "missing", "the tree has this node, and no record of it"))
                continue
            try:
                record = checked(changes[one], run_id, one) if one in changes else read_node(item, run_id, one)
                tree[one] = record["node"]
            except JournalError as error:
                problems.append((one, "altered", str(error)))
                continue
            ahead += offspring(tree[one])
    return tree, problems


def _wrong(tree: Tree, node: TreeNode, k: int) -> Iterator[tuple[str, str]]:
    for why in undercut(node, k):
        yield "undercut", why
    if node["stage"] == "done":
        for child in node["children"]:
            if child in tree and tree[child]["stage"] != "done":
                yield "broken succession", f"it is done, and its part {child} is not"


def lines(store: BaseStore, run_id: str) -> Iterator[str]:
    """Return a node a line, with its ballot where one is open, from the root down.

    Raises:
        JournalError: When a record is not as it was written.
    """
    _, held = store_ops.drive(snapshot(run_id), store)
    ballots = {node_id_of(ballot["id"]): ballot for ballot in held["ballots"]}
    for node in held["tree"].values():
        yield json.dumps({"node": node, "ballot": ballots.get(node["id"])})
