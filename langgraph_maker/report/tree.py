"""The report of a recursive run: its tree, what each vote in it took, and what is still open."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from typing import Any, Final, Literal

from langgraph.store.base import BaseStore
from typing_extensions import TypedDict

from langgraph_maker import journal
from langgraph_maker.core.questions import Question
from langgraph_maker.core.reasons import ReasonCode
from langgraph_maker.core.state import BallotState, Usage, VoteCount
from langgraph_maker.journal import store_ops
from langgraph_maker.journal.tenants import namespace_of, under
from langgraph_maker.journal.tree_records import snapshot, sums
from langgraph_maker.journal.tree_types import ROOT, Tree, TreeNode, node_id_of
from langgraph_maker.models.prices import dated
from langgraph_maker.nodes.ask import open_questions
from langgraph_maker.prebuilt.recursive.tree import depth
from langgraph_maker.report import markup
from langgraph_maker.report.escalated import asked_of
from langgraph_maker.report.markup import Child, Html, h
from langgraph_maker.report.numbers import Work
from langgraph_maker.report.page import document
from langgraph_maker.report.words import counted, dollars, figures, note, sentence, table, utc

__all__ = ["OpenStage", "TreeNumbers", "tree_numbers", "tree_page"]


class OpenStage(TypedDict):
    """A stage of a node that is not decided: what its ballot has counted so far, the most frequent vote first."""

    node: str
    stage: str
    status: str
    counts: list[VoteCount]
    samples: int
    flags: dict[str, int]


class TreeNumbers(TypedDict):
    """All that a report says of a recursive run.

    `status` is "unfinished" for a run that continues, or broke off unsaid; `decided` counts stages, `samples` are by
    stage, `flags` by reason, and both include those of the `open` ballots, as `usage` does. `least_margin` is None
    before the first vote is decided; `by_human` counts the stages that none decided.
    """

    run_id: str
    namespace: list[str]
    problem: str
    status: str
    reason: str
    reason_code: ReasonCode
    simulated: Literal["all", "some", "none"]
    answer: Any
    k: int
    least_margin: int | None
    by_human: int
    climbed: int
    refuted: int
    decided: int
    depth: int
    samples: dict[str, int]
    flags: dict[str, int]
    rounds: int
    usage: Usage
    tree: Tree
    open: list[OpenStage]
    questions: list[Question]
    sessions: list[Work]
    read: str


def tree_numbers(store: BaseStore, run_id: str, *, namespace: tuple[str, ...] = ()) -> TreeNumbers:
    """Read a recursive run's numbers from its journal; no model is needed. The `namespace` is its tenant's.

    Raises:
        JournalError: When there is no such run, or a record is not as it was written.

    Example:
        >>> from langgraph.store.memory import InMemoryStore
        >>> tree_numbers(InMemoryStore(), "mine")
        Traceback (most recent call last):
        langgraph_maker.core.errors.JournalError: there is no run 'mine' in this store
    """
    store = under(store, namespace)
    header = journal.header(store, run_id)
    begun, held = store_ops.drive(snapshot(run_id), store)
    tree, ballots = held["tree"], held["ballots"]
    samples, flags, usage = sums(held["counts"], ballots)
    outcome = begun["outcome"] or {"status": "unfinished", "reason": "", "answer": None}
    decided = [one for node in tree.values() for one in node["decided"]]
    voted = [one["margin"] for one in decided if not one["candidates"] and not one["human"]]
    return {
        "run_id": run_id,
        "namespace": list(namespace_of(store)),
        "problem": tree[ROOT]["problem"],
        "status": outcome["status"],
        "reason": outcome["reason"],
        "reason_code": outcome.get("reason_code", ""),
        "simulated": header.get("simulated", "none"),
        "answer": outcome["answer"],
        "k": begun["fixed"]["k"],
        "least_margin": min(voted, default=None),
        "by_human": sum(one["human"] for one in decided),
        "climbed": sum(one["tier"] > 0 for one in decided),
        "refuted": sum(len(node["refuted"]) for node in tree.values()),
        "decided": len(decided),
        "depth": depth(tree),
        "samples": samples,
        "flags": dict(Counter(flags).most_common()),
        "rounds": held["counts"]["rounds"],
        "usage": usage,
        "tree": tree,
        "open": [_open(ballot) for ballot in ballots],
        "questions": open_questions(ballots),
        "sessions": [
            {"began": one["began"], "lanes": 1, "settings": one["settings"]} for one in header["sessions"][-_ROWS:]
        ],
        "read": datetime.now(UTC).isoformat(timespec="seconds"),
    }


_ROWS: Final = 20
_NODES: Final = 2000
_DEEPEST: Final = 50


def _open(ballot: BallotState) -> OpenStage:
    ranking = sorted(ballot["counts"].items(), key=lambda item: -item[1])
    return {
        "node": node_id_of(ballot["id"]),
        "stage": ballot["state"]["stage"],
        "status": ballot["status"],
        "counts": [{"vote": ballot["votes"][key], "count": count} for key, count in ranking],
        "samples": ballot["samples"],
        "flags": ballot["flags"],
    }


def tree_page(found: TreeNumbers) -> str:
    """Return what a recursive run did and what it cost, to open in a browser; all that models said is escaped.

    Args:
        found: The run's numbers.

    Example:
        >>> from langgraph.store.memory import InMemoryStore
        >>> from langgraph_maker import create_recursive_maker
        >>> from langgraph_maker.prebuilt.recursive.multiplication import simulated_multiplication
        >>> store = InMemoryStore()
        >>> graph = create_recursive_maker(simulated_multiplication()).compile(store=store)
        >>> result = graph.invoke({"problem": "12 * 34", "run_id": "mine"})
        >>> "<code>408</code>" in tree_page(tree_numbers(store, "mine"))
        True
    """
    sections = [
        ("What a human is asked", "full", asked_of(found["run_id"], found["questions"], found["namespace"])),
        ("Votes under way", "full", _under_way(found)),
        ("The tree", "full", _tree(found)),
        ("Samples by stage", "half", _stages(found)),
        ("Red flags", "half", _flags(found)),
        ("Tokens and money", "half", _money(found)),
        ("Settings", "full", _settings(found)),
    ]
    title = f"{found['problem'][:60]} {found['run_id']}: {found['status']}"
    return document(title, _head(found), [one for one in sections if one[2]], found["read"])


def _head(found: TreeNumbers) -> Html:
    simulated = found["simulated"] != "none"
    return h(
        "header",
        h("p", h("code", markup.shown(found["run_id"], 100)), " · a problem without a given plan", class_="dim"),
        h("h1", markup.shown(found["problem"], 200)),
        h("p", h("b", found["status"].upper()), " ", _outcome(found), class_=f"outcome {found['status']}"),
        h("p", "The model is a simulated one: no figure says anything about a real one.", class_="outcome warning")
        if simulated
        else "",
        figures(
            ("problems in the tree", f"{len(found['tree']):,}"),
            ("times split, at the deepest", f"{found['depth']:,}"),
            ("stages decided", f"{found['decided']:,}"),
            ("samples drawn", f"{sum(found['samples'].values()):,}"),
            ("discarded for a red flag", f"{sum(found['flags'].values()):,}"),
            ("answers voted wrong, and tried again", f"{found['refuted']:,}"),
            ("decided above the first tier", f"{found['climbed']:,}"),
            ("decided by a human", f"{found['by_human']:,}"),
            ("cost, had it been a real model" if simulated else "cost", dollars(found["usage"]["cost"])),
        ),
        note(
            f"A lead of {found['k']} votes over every other answer decides a stage; none is decided by less, but for"
            " those that a human decided. Flagged responses never vote. No probability is given for the whole: it would"
            " take p of each stage, which was not measured. Errors that repeat are not corrected."
        ),
    )


def _outcome(found: TreeNumbers) -> Child:
    if found["status"] == "solved":
        lead = found["least_margin"]
        led = "" if lead is None else f" Each vote was won by a lead of at least {counted(lead, 'vote')}."
        return "The answer is ", h("code", markup.shown(found["answer"], 1000)), f".{led}"
    if found["status"] == "unfinished":
        return "It continues as this is written, or broke off without a word; under the same run id it continues."
    nothing = "Nothing was guessed: " if found["status"] == "unresolved" else ""
    return f"{nothing}{sentence(markup.shown(found['reason']))}"


def _under_way(found: TreeNumbers) -> Child:
    most = sorted(found["open"], key=lambda one: -one["samples"])[:_ROWS]
    rows: list[list[Child]] = [
        [
            h("code", one["node"]),
            one["stage"],
            one["status"],
            f"{one['samples']:,}",
            [
                h("div", h("b", f"{cast['count']:,} × "), h("code", markup.shown(cast["vote"])))
                for cast in one["counts"][:_ROWS]
            ],
            ", ".join(f"{reason} {count:,}" for reason, count in one["flags"].items()),
        ]
        for one in most
    ]
    if not rows:
        return ""
    more = len(found["open"]) - len(rows)
    return (
        table(["node", "stage", "", "samples", "votes so far", "flags"], rows),
        note(f"{more:,} more have fewer samples.") if more else "",
    )


def _tree(found: TreeNumbers) -> Child:
    """Each node inside of the one that it is a part of; children come after their parents, so from the last back."""
    tree = found["tree"]
    shown = [node for node in tree.values() if node["depth"] <= _DEEPEST][:_NODES]
    drawn: dict[str, Html] = {}
    for node in reversed(shown):
        drawn[node["id"]] = _node(node, drawn)
    left_out = len(tree) - len(shown)
    return drawn[ROOT], note(f"{left_out:,} nodes further down are left out.") if left_out else ""


def _node(node: TreeNode, drawn: dict[str, Html]) -> Html:
    answer = "" if node["answer"] is None else (" → ", h("code", markup.shown(node["answer"])))
    summary = h("summary", h("code", node["id"]), " ", markup.shown(node["problem"]), answer, f" {_state(node)}")
    below: list[Child] = [h("p", f"{one['stage']}: ", _decided(one), class_="dim") for one in node["decided"]]
    if node["how"]:
        below.append(h("p", "composed as ", h("code", markup.shown(node["how"])), class_="dim"))
    below += [drawn[child] for child in node["children"] if child in drawn]
    for tried in node["refuted"]:
        said = ("tried before: ", h("code", markup.shown(tried["answer"])), ", which was voted wrong")
        parts = [drawn[child] for child in tried["children"] if child in drawn]
        below.append(h("details", h("summary", said, class_="dim"), parts, class_="tree"))
    return h("details", summary, below, class_="tree", **({"open": ""} if node["depth"] < _OPENED else {}))


_OPENED: Final = 2


def _state(node: TreeNode) -> str:
    match node["stage"]:
        case "done":
            return f"(as {node['same_as']})" if node["same_as"] else ""
        case "same":
            return f"(waits for {node['same_as']}, which is the same)"
        case "children":
            return "(waits for its parts)"
    return f"(to be decided: {node['stage']})"


def _decided(one: Any) -> str:
    samples = counted(one["samples"], "sample")
    if one["candidates"]:
        return f"{counted(one['candidates'], 'candidate')} from {samples}, to choose from"
    how = "by a human" if one["human"] else f"by a lead of {counted(one['margin'], 'vote')}"
    tier = f", in tier {one['tier']} of the ladder" if one["tier"] else ""
    return f"decided {how}, {samples}{tier}"


def _stages(found: TreeNumbers) -> Child:
    decided = Counter(one["stage"] for node in found["tree"].values() for one in node["decided"])
    return table(
        ["stage", "decided", "samples"],
        [[stage, f"{decided[stage]:,}", f"{count:,}"] for stage, count in found["samples"].items()],  # type: ignore[index]
    )


def _flags(found: TreeNumbers) -> Child:
    if not found["flags"]:
        return note("None was raised.")
    rows: list[list[Child]] = [[markup.shown(reason, 60), f"{count:,}"] for reason, count in found["flags"].items()]
    return table(["reason", "responses"], rows[:_ROWS])


def _money(found: TreeNumbers) -> Child:
    usage = found["usage"]
    models = [str(work["settings"].get("model")) for work in found["sessions"]]
    real = usage["cost"] and not any(name.startswith(("sim:", "Simulated")) for name in models)
    by_list = real and any(work["settings"].get("price") is None for work in found["sessions"])
    shown = figures(
        ("input tokens", f"{usage['input_tokens']:,}"),
        ("of these cached", f"{usage['cached_input_tokens']:,}"),
        ("output tokens", f"{usage['output_tokens']:,}"),
        *((f"served as {tier}", f"{samples:,}") for tier, samples in usage.get("tiers", {}).items()),
        ("cost", dollars(usage["cost"])),
    )
    return shown, note(f"Dollars are {dated()}.") if by_list else ""


def _settings(found: TreeNumbers) -> Child:
    rows: list[list[Child]] = [
        [utc(one["began"]), h("code", markup.shown(one["settings"], 1000))] for one in found["sessions"]
    ]
    return table(["process started", "settings"], rows)
