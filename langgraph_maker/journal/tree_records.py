"""How a tree is laid out in a store: a head that says what the run is and how far it is, and a record a node.

What a round has decided and counted becomes true by one record, the head, which holds the nodes that the round changed,
each with its open ballot. Their own records are written before the next head is: so a reader that puts the head's nodes
over those has the tree as it is, however much of a batch a store did. The head has a mark of the whole tree, a revision
and its writer: a reader that finds another tree reads again where the revision moved, and two processes that write one
run are found out, and their trees never mixed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from langgraph.store.base import BaseStore, GetOp, Item, Op
from pydantic import TypeAdapter
from typing_extensions import TypedDict

from langgraph_maker.core.canonical import mark
from langgraph_maker.core.errors import JournalError
from langgraph_maker.core.state import BallotState, Usage, total_usage
from langgraph_maker.journal import records, run_data, store_ops
from langgraph_maker.journal.records import Header, Session
from langgraph_maker.journal.store_ops import StoreOps
from langgraph_maker.journal.tenants import under
from langgraph_maker.journal.tree_types import ROOT, Tree, TreeNode, node_id_of

__all__ = [
    "Head",
    "TreeCounts",
    "TreeRun",
    "check_single_writer",
    "checked",
    "commit",
    "counted",
    "existing_head",
    "fetch",
    "head",
    "listed",
    "node_of",
    "offspring",
    "read_node",
    "read_tree",
    "settled",
    "snapshot",
    "sums",
]

FORMAT: Final = 3
"""Of the records of a tree; 2, whose heads hold no nodes, is read too."""
_ATTEMPTS: Final = 100
"""How often a reader starts again, where each time the run has gone on."""


class TreeCounts(TypedDict):
    """What the closed ballots of a run took: samples by stage, flags by reason; and its rounds of voting."""

    rounds: int
    samples: dict[str, int]
    flags: dict[str, int]
    usage: Usage


class Head(TypedDict):
    """What a run is, and how far.

    `changes` are the records of nodes that the last round changed; the `answered` questions are those whose answers it
    used. What is of an older version has no revision, 0.
    """

    format: int
    fixed: dict[str, Any]
    counts: TreeCounts
    decided: int
    outcome: dict[str, Any] | None
    tree: str
    writer: str
    revision: int
    changes: dict[str, Any]
    answered: list[str]


class TreeRun(TypedDict):
    """A run as it stands."""

    tree: Tree
    ballots: list[BallotState]
    counts: TreeCounts


def counted(counts: TreeCounts, ballots: Iterable[BallotState]) -> TreeCounts:
    """Return the counts with those of `ballots`."""
    samples, flags, usage = sums(counts, ballots)
    return {"rounds": counts["rounds"], "samples": samples, "flags": flags, "usage": usage}


def sums(counts: TreeCounts, ballots: Iterable[BallotState]) -> tuple[dict[str, int], dict[str, int], Any]:
    """Return samples by stage, flags by reason, and usage, with those of `ballots`."""
    ballots = [*ballots]
    samples, flags = Counter(counts["samples"]), Counter(counts["flags"])
    for ballot in ballots:
        samples[ballot["state"]["stage"]] += ballot["samples"]
        flags.update(ballot["flags"])
    return dict(samples), dict(flags), total_usage([counts["usage"], *(ballot["usage"] for ballot in ballots)])


def head(run_id: str) -> StoreOps[Head | None]:
    """Return what the run is, as its store has it, and None where it was never started.

    Raises:
        JournalError: When it is not as it was written, or of another format.
    """
    [item] = yield [records.get_node(run_id, _HEAD)]
    if item is None:
        return None
    found = _read(item, run_id, _HEAD)
    if found.get("format") not in (2, FORMAT):
        raise JournalError(
            f"the tree of run {run_id!r} was written by another version of this package: continue with that version, or"
            " give another run id"
        )
    begun: Head = {"revision": 0, "changes": {}, "answered": [], **found}  # type: ignore[typeddict-item]
    try:
        begun["counts"]["usage"] = records.known_usage(begun["counts"]["usage"])
        _HEADS.validate_python(begun, strict=True)
        if min([begun["counts"]["rounds"], begun["decided"], *begun["counts"]["samples"].values()]) < 0:
            raise ValueError("it has a count below 0")  # noqa: TRY301 - one place says what to do
        if type(k := begun["fixed"]["k"]) is not int or k < 1 or not isinstance(begun["fixed"]["problem"], str):
            raise ValueError("its k or its problem is none")  # noqa: TRY301
        if not {"status", "reason"} <= (begun["outcome"] or {"status": "", "reason": ""}).keys():
            raise ValueError("it says not how the run ended")  # noqa: TRY301
    except (TypeError, KeyError, ValueError) as error:
        raise records.damaged(run_id, _HEAD, f"cannot be read: {_short(error)}", _REMEDY) from error
    return begun


def existing_head(store: BaseStore, run_id: str) -> Head:
    """Return the same, of a run that there is.

    Raises:
        JournalError: When there is none, too.
    """
    if (begun := store_ops.drive(head(run_id), store)) is None:
        raise JournalError(f"the store holds no recursive run {run_id!r}")
    return begun


def listed(
    run_id: str, fixed: Mapping[str, Any], settings: Mapping[str, Any], outcome: Mapping[str, Any] | None = None
) -> StoreOps[None]:
    """List the run among those of its store, with this process's work on it, which continues, or with how it ended.

    Raises:
        JournalError: When the store has a run of another kind under this id.
    """
    found = records.read_header((yield [records.get_header(run_id)])[0], run_id)
    if found is not None and outcome is not None and found["sessions"][-1]["writer"] != records.writer():
        found = records.read_header((yield [records.get_header(run_id)])[0], run_id)  # it may be from the past
    if found is not None and found.get("kind") != "tree":
        raise JournalError(f"run {run_id!r} of this store is one of {found['task']}: give another run id")
    header: Header = found or {
        "format": records.FORMAT,
        "run_id": run_id,
        "task": "recursive",
        "parameters": {"problem": fixed["problem"]},
        "k": fixed["k"],
        "stride": records.ONE_LANE,
        "sessions": [],
        "outcome": {},
        "kind": "tree",
    }
    now = datetime.now(UTC).isoformat(timespec="seconds")
    last = header["sessions"][-1] if header["sessions"] else None
    if outcome is not None:
        solved_again = outcome["status"] == header["outcome"].get("status") == "solved"
        header["outcome"] = {**outcome, "ended": header["outcome"]["ended"] if solved_again else now}
        if last is not None and last["writer"] != (me := records.writer()):
            header["mixed"] = [*header.get("mixed", []), me]
    elif header["outcome"].get("status") != "solved":  # of a run that continues nobody knows how it ends
        header["outcome"] = {}
    if last is None or (outcome is None and (last["writer"], last["settings"]) != (records.writer(), settings)):
        session: Session = {
            "writer": records.writer(),
            "began": now,
            "settings": dict(settings),
            "starts": [0],
            "end": 0,
        }
        header["sessions"].append(session)
    yield [records.put_header(header)]


def snapshot(run_id: str) -> StoreOps[tuple[Head, TreeRun]]:
    """Return a run that may continue meanwhile, as it was at one of its rounds.

    Raises:
        JournalError: When there is no such run, or a record is not as it was written.
    """
    begun = yield from head(run_id)
    for _ in range(_ATTEMPTS):
        if begun is None:
            break
        try:
            return begun, (yield from fetch(run_id, begun))
        except JournalError:
            before, begun = begun, (yield from head(run_id))
            if begun is not None and begun["revision"] == before["revision"]:
                raise
    raise JournalError(f"the store holds no recursive run {run_id!r}, or it is written faster than it can be read")


def fetch(run_id: str, begun: Head) -> StoreOps[TreeRun]:
    """Return the run with this head, node by node from the root.

    Raises:
        JournalError: When a record is not as it was written, or not of this tree.
    """
    tree: Tree = {}
    ballots: list[BallotState] = []
    ahead = [ROOT]
    while ahead:
        stored = [one for one in ahead if one not in begun["changes"]]
        items = (yield [node_of(run_id, one) for one in stored]) if stored else []
        found = dict(zip(stored, items, strict=True))
        records_of = [
            read_node(found[one], run_id, one) if one in found else checked(begun["changes"][one], run_id, one)
            for one in ahead
        ]
        ahead = []
        for record in records_of:
            node = record["node"]
            tree[node["id"]] = node
            ballots += [record["ballot"]] if record["ballot"] else []
            ahead += offspring(node)
    if mark(tree) != begun["tree"]:
        raise JournalError(
            f"the records of run {run_id!r} are not those of one tree: process {begun['writer']} wrote it last, and"
            " another at the same time; give another run id, and let one process at a time write it"
        )
    return {"tree": tree, "ballots": ballots, "counts": begun["counts"]}


def settled(run_id: str, begun: Head) -> StoreOps[None]:
    """Drop the answers that the last round used, where the process that did it broke off before."""
    if begun["answered"]:
        yield [run_data.put_answer(run_id, name, None) for name in begun["answered"]]


def check_single_writer(run_id: str, begun: Head | None, rounds: int, tree: Tree) -> None:
    """Refuse to write where the store has the run otherwise than this process last saw it.

    Raises:
        JournalError: With both writers named.
    """
    if begun is None or begun["counts"]["rounds"] != rounds or begun["tree"] != mark(tree):
        there = "is gone" if begun is None else f"is at round {begun['counts']['rounds']} of {begun['writer']}"
        raise JournalError(
            f"the journal of run {run_id!r} {there}, where process {records.writer()} was at round {rounds}: another"
            " process writes this run too, and one at a time can; once it has ended, the same run id continues"
        )


def read_tree(store: BaseStore, run_id: str, *, namespace: tuple[str, ...] = ()) -> Tree:
    """Return the tree of a run as its journal has it: needs no model. In asynchronous code run it in a thread.

    Raises:
        JournalError: When there is no such run, or a record is not as it was written.
    """
    return store_ops.drive(snapshot(run_id), under(store, namespace))[1]["tree"]


def node_of(run_id: str, node_id: str) -> GetOp:
    """Ask for the record of a node."""
    return records.get_node(run_id, f"node-{node_id}")


def read_node(item: Item | None, run_id: str, node_id: str) -> dict[str, Any]:
    """Return the node and its open ballot, or None, in what the store returned.

    Raises:
        JournalError: When it is not there, or not as it was written.
    """
    return checked(_read(item, run_id, f"node-{node_id}"), run_id, node_id)


def checked(record: Any, run_id: str, node_id: str) -> dict[str, Any]:
    """Return a node's record, if a run could have written it."""
    try:
        node, ballot = record["node"], record["ballot"]
        _NODES.validate_python(node, strict=True)
        if node["id"] != node_id:
            raise ValueError(f"it is that of node {node['id']!r:.80}")  # noqa: TRY301 - one place says what to do
        if ballot is not None:
            run_data.checked_ballot(ballot, f"{node_id}:{ballot['state']['stage']}")
    except (TypeError, KeyError, ValueError) as error:
        raise records.damaged(run_id, f"node {node_id}", f"cannot be read: {_short(error)}", _REMEDY) from error
    return {"node": node, "ballot": ballot}


def offspring(node: TreeNode) -> list[str]:
    """Return all children of a node, those of refuted ways included."""
    return [*node["children"], *(child for tried in node["refuted"] for child in tried["children"])]


def commit(  # noqa: PLR0917 - one round, as it is known to those who commit it
    run_id: str,
    begun: Head | None,
    fixed: Mapping[str, Any],
    held: TreeRun,
    before: Tree,
    outcome: Mapping[str, Any] | None = None,
    answered: Iterable[str] = (),
) -> StoreOps[None]:
    """Write the run that has this head, of its tree what is not as `before` or has an open ballot.

    First the nodes that the head holds get their own records; the new head makes the round true. Used answers are
    dropped after that.
    """
    if begun is not None and begun["changes"]:
        yield _puts(run_id, ((f"node-{one}", record) for one, record in begun["changes"].items()))
    open_now = {node_id_of(ballot["id"]): ballot for ballot in held["ballots"]}
    changed = [one for one, node in held["tree"].items() if node is not before.get(one) or one in open_now]
    now: Head = {
        "format": FORMAT,
        "fixed": {**fixed},
        "counts": held["counts"],
        "decided": sum(len(node["decided"]) for node in held["tree"].values()),
        "outcome": None if outcome is None else {**outcome},
        "tree": mark(held["tree"]),
        "writer": records.writer(),
        "revision": 1 if begun is None else begun["revision"] + 1,
        "changes": {one: {"node": held["tree"][one], "ballot": open_now.get(one)} for one in changed},
        "answered": [*answered],
    }
    yield _puts(run_id, [(_HEAD, now)])
    yield from settled(run_id, now)


_HEAD: Final = "head"
_HEADS: Final = TypeAdapter(Head)
_NODES: Final = TypeAdapter(TreeNode)
_REMEDY: Final = "restore the database from a backup, or remove the run (journal.delete) and begin it anew"


def _puts(run_id: str, values: Iterable[tuple[str, Any]]) -> list[Op]:
    where = records.tree(run_id)
    return [records.put_record(where, run_id, key, "record", value) for key, value in values]


def _read(item: Item | None, run_id: str, key: str) -> dict[str, Any]:
    if item is None:
        raise JournalError(f"the journal of run {run_id!r} has no {key}: it is incomplete, give another run id")
    value = records.read_marked(item, run_id, key, f"record {key}", _REMEDY)
    if not isinstance(value, dict):
        raise records.damaged(run_id, f"record {key}", "is no record of a tree", _REMEDY)
    return value


def _short(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:160]}"
