"""How a tree is laid out in a store: a head that says what the run is and how far it is, and a record a node.

What a round has decided and counted is written in one batch before it is in the graph's state, so that the store is
never behind; a record holds the node's open ballot too. The head has a mark of the whole tree and names its writer, so
that two processes that write one run are found out, and their trees never mixed.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from langgraph.store.base import BaseStore, GetOp, Item, Op, PutOp
from typing_extensions import TypedDict

from langgraph_maker import plans, records
from langgraph_maker.errors import JournalError
from langgraph_maker.plans import Plan
from langgraph_maker.records import Header, Session
from langgraph_maker.recursion.tree import ROOT, Node, Tree
from langgraph_maker.state import BallotState, Usage, total_usage

__all__ = [
    "Counts",
    "Held",
    "alone",
    "counted",
    "fetch",
    "head",
    "headed",
    "listed",
    "node_of",
    "offspring",
    "read_node",
    "read_tree",
    "sums",
    "written",
]

FORMAT: Final = 2
"""Of the records of a tree; a journal of another format is not read."""


class Counts(TypedDict):
    """What the closed ballots of a run took: samples by stage, flags by reason; and its rounds of voting."""

    rounds: int
    samples: dict[str, int]
    flags: dict[str, int]
    usage: Usage


class Held(TypedDict):
    """A run as it stands."""

    tree: Tree
    ballots: list[BallotState]
    counts: Counts


def counted(counts: Counts, ballots: Iterable[BallotState]) -> Counts:
    """The counts with those of `ballots`."""
    samples, flags, usage = sums(counts, ballots)
    return {"rounds": counts["rounds"], "samples": samples, "flags": flags, "usage": usage}


def sums(counts: Counts, ballots: Iterable[BallotState]) -> tuple[dict[str, int], dict[str, int], Any]:
    """Samples by stage, flags by reason, and usage, with those of `ballots`."""
    ballots = [*ballots]
    samples, flags = Counter(counts["samples"]), Counter(counts["flags"])
    for ballot in ballots:
        samples[ballot["state"]["stage"]] += ballot["samples"]
        flags.update(ballot["flags"])
    return dict(samples), dict(flags), total_usage([counts["usage"], *(ballot["usage"] for ballot in ballots)])


def head(run_id: str) -> Plan[dict[str, Any] | None]:
    """What the run is, as its store has it, and None where it was never begun.

    That is `fixed`, `counts`, how many stages were `decided`, the `outcome` of a run that has ended, and of its tree
    the mark and the writer.

    Raises:
        JournalError: When it is not as it was written, or of another format.
    """
    [item] = yield [GetOp(records.tree(run_id), _HEAD, refresh_ttl=False)]
    if item is None:
        return None
    found = _read(item, run_id, _HEAD)
    if found.get("format") != FORMAT:
        raise JournalError(
            f"the tree of run {run_id!r} was written by another version of this package: go on with that version, or"
            " give another run id"
        )
    return found


def headed(store: BaseStore, run_id: str) -> dict[str, Any]:
    """The same, of a run that there is.

    Raises:
        JournalError: When there is none, too.
    """
    if (begun := plans.drive(head(run_id), store)) is None:
        raise JournalError(f"the store holds no recursive run {run_id!r}")
    return begun


def listed(
    run_id: str, fixed: Mapping[str, Any], settings: Mapping[str, Any], outcome: Mapping[str, Any] | None = None
) -> Plan[None]:
    """List the run among those of its store, with this process's work on it, which goes on, or with how it ended.

    Raises:
        JournalError: When the store has a run of another kind under this id.
    """
    found = records.read_header((yield [records.get_header(run_id)])[0], run_id)
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
    elif header["outcome"].get("status") != "solved":  # of a run that goes on nobody knows how it ends
        header["outcome"] = {}
    if outcome is None and (last is None or (last["writer"], last["settings"]) != (records.writer(), settings)):
        session: Session = {
            "writer": records.writer(),
            "began": now,
            "settings": dict(settings),
            "starts": [0],
            "end": 0,
        }
        header["sessions"].append(session)
    yield [records.put_header(header)]


def fetch(run_id: str, begun: Mapping[str, Any]) -> Plan[Held]:
    """The run with this head, node by node from the root."""
    tree: Tree = {}
    ballots: list[BallotState] = []
    ahead = [ROOT]
    while ahead:
        items = yield [node_of(run_id, one) for one in ahead]
        found = [read_node(item, run_id, one) for one, item in zip(ahead, items, strict=True)]
        ahead = []
        for record in found:
            node = record["node"]
            tree[node["id"]] = node
            ballots += [record["ballot"]] if record["ballot"] else []
            ahead += offspring(node)
    if records.mark(tree) != begun["tree"]:
        raise JournalError(
            f"the records of run {run_id!r} are not those of one tree: process {begun['writer']} wrote it last, and"
            " another at the same time; give another run id, and let one process at a time write it"
        )
    return {"tree": tree, "ballots": ballots, "counts": begun["counts"]}


def alone(run_id: str, begun: Mapping[str, Any] | None, rounds: int, tree: Tree) -> None:
    """Refuse to write where the store has the run otherwise than this process last saw it.

    Raises:
        JournalError: With both writers named.
    """
    if begun is None or begun["counts"]["rounds"] != rounds or begun["tree"] != records.mark(tree):
        there = "is gone" if begun is None else f"is at round {begun['counts']['rounds']} of {begun['writer']}"
        raise JournalError(
            f"the journal of run {run_id!r} {there}, where process {records.writer()} was at round {rounds}: another"
            " process writes this run too, and one at a time can; once it has ended, the same run id goes on"
        )


def read_tree(store: BaseStore, run_id: str) -> Tree:
    """The tree of a run as its journal has it: needs no model. In asynchronous code run it in a thread.

    Raises:
        JournalError: When there is no such run, or a record is not as it was written.
    """
    return plans.drive(fetch(run_id, headed(store, run_id)), store)["tree"]


def node_of(run_id: str, node_id: str) -> GetOp:
    """Asks for the record of a node."""
    return GetOp(records.tree(run_id), f"node-{node_id}", refresh_ttl=False)


def read_node(item: Item | None, run_id: str, node_id: str) -> dict[str, Any]:
    """The node and its open ballot, or None, in what the store returned.

    Raises:
        JournalError: When it is not there, or not as it was written.
    """
    return _read(item, run_id, f"node-{node_id}")


def offspring(node: Node) -> list[str]:
    """All children of a node, those of refuted ways included."""
    return [*node["children"], *(child for tried in node["refuted"] for child in tried["children"])]


def written(
    run_id: str, fixed: Mapping[str, Any], held: Held, before: Tree, outcome: Mapping[str, Any] | None = None
) -> list[Op]:
    """Writes the run, of its tree what is not as `before` or has an open ballot."""
    open_now = {ballot["id"].partition(":")[0]: ballot for ballot in held["ballots"]}
    decided = sum(len(node["decided"]) for node in held["tree"].values())
    stamp = {
        "format": FORMAT,
        "decided": decided,
        "tree": records.mark(held["tree"]),
        "writer": records.writer(),
    }
    changed = [one for one, node in held["tree"].items() if node is not before.get(one) or one in open_now]
    return [
        *_puts(run_id, ((f"node-{one}", {"node": held["tree"][one], "ballot": open_now.get(one)}) for one in changed)),
        *_puts(run_id, [(_HEAD, {"fixed": fixed, "counts": held["counts"], "outcome": outcome, **stamp})]),
    ]


_HEAD: Final = "head"


def _puts(run_id: str, values: Iterable[tuple[str, Any]]) -> list[Op]:
    where = records.tree(run_id)
    return [
        PutOp(where, key, {"record": json.dumps(value), "check": records.mark([run_id, key, value])}, index=False)
        for key, value in values
    ]


def _read(item: Item | None, run_id: str, key: str) -> dict[str, Any]:
    if item is None:
        raise JournalError(f"the journal of run {run_id!r} has no {key}: it is incomplete, give another run id")
    try:
        value: dict[str, Any] = json.loads(item.value["record"])
        sound = item.value["check"] == records.mark([run_id, key, value])
    except (TypeError, KeyError, ValueError, RecursionError) as error:
        raise JournalError(f"the record {key} of run {run_id!r} cannot be read: {error}") from error
    if not sound:
        raise JournalError(f"the record {key} of run {run_id!r} is not as it was written there")
    return value
