"""`tally`: count the round's votes and close the ballots that are decided, or that no longer can be."""

from __future__ import annotations

from operator import index
from typing import Any

from langchain_core.runnables import Runnable, RunnableConfig

from langgraph_maker.ballot import Ballot, check_margin
from langgraph_maker.nodes.node import Node
from langgraph_maker.nodes.state import VotingState
from langgraph_maker.state import BallotState, Decision

__all__ = ["check_budget", "decision", "tally_node"]


def tally_node(*, k: int = 3, max_samples: int | None = None) -> Runnable[VotingState, dict[str, Any]]:
    """Apply first-to-ahead-by-k to each ballot, votes in the order in which they were issued.

    A ballot whose remaining samples could not decide it any more is unresolved; no plurality ever wins. When no
    ballot is open, the decisions are written, one a subtask.

    Args:
        k: The margin.
        max_samples: Samples a ballot may use, flagged ones included; None for `check_budget`'s default.

    Raises:
        ValueError: For a bad `k` or `max_samples`.
    """
    k = check_margin(k)
    budget = check_budget(max_samples, k)

    def tally(state: VotingState, _: RunnableConfig) -> dict[str, Any]:
        ballots = [_count(ballot, k, budget) if ballot["status"] == "open" else ballot for ballot in state["ballots"]]
        update: dict[str, Any] = {"ballots": ballots}
        if all(ballot["status"] != "open" for ballot in ballots):
            update["decisions"] = [decision(ballot) for ballot in ballots]
        return update

    return Node("tally", tally)


def check_budget(max_samples: int | None, k: int) -> int:
    """Return the samples that a ballot may use.

    The default is 10 k², and at least 100: the vote between two equally likely answers is a random walk that is
    still undecided after 10 k² votes with probability (4/π) exp(−10 π²/8) < 1e-5.

    Raises:
        ValueError: When `max_samples` is not a whole number of at least k.

    Example:
        >>> check_budget(None, 3), check_budget(None, 29)
        (100, 8410)
    """
    if max_samples is None:
        return max(100, 10 * k * k)
    try:
        budget = index(max_samples)
    except TypeError:
        budget = 0
    if budget < k or isinstance(max_samples, bool):
        raise ValueError(
            f"max_samples is a whole number of at least k = {k}, or no ballot could be decided; not {max_samples!r}"
        )
    return budget


def decision(ballot: BallotState) -> Decision:
    """The closed ballot as its `Decision`."""
    ranking = sorted(ballot["counts"].items(), key=lambda item: -item[1])
    decided = ballot["status"] == "decided"
    return {
        "subtask_id": ballot["id"],
        "status": "decided" if decided else "unresolved",
        "vote": ballot["votes"][ranking[0][0]] if decided else None,
        "counts": [{"vote": ballot["votes"][key], "count": count} for key, count in ranking],
        "samples": ballot["samples"],
        "flagged": sum(ballot["flags"].values()),
        "flags": ballot["flags"],
        "rounds": ballot["rounds"],
        "usage": ballot["usage"],
    }


def _count(state: BallotState, k: int, budget: int) -> BallotState:
    ballot = Ballot.resume(k, state["counts"], state["votes"])
    samples, flags = state["samples"], dict(state["flags"])
    for verdict in state["verdicts"]:
        samples += 1
        if "flag" in verdict:
            reason = verdict["flag"]["reason"]
            flags[reason] = flags.get(reason, 0) + 1
        else:
            ballot.cast(verdict["vote"], verdict["key"])
    deficit = ballot.deficit
    return {
        **state,
        "status": "decided" if deficit == 0 else "unresolved" if samples + deficit > budget else "open",
        "counts": ballot.counts,
        "votes": ballot.votes,
        "samples": samples,
        "flags": flags,
        "rounds": state["rounds"] + bool(state["verdicts"]),
        "verdicts": [],
    }
