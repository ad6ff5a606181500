"""`tally`: count the round's votes and close the ballots that are decided, or that no longer can be."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import lru_cache
from operator import index, itemgetter
from typing import Any, TypeAlias

from langchain_core.runnables import RunnableConfig
from langgraph.config import get_stream_writer

from langgraph_maker.ballot import Ballot, check_margin
from langgraph_maker.context import MakerContext, overrides
from langgraph_maker.nodes.node import Node
from langgraph_maker.nodes.state import VotingState
from langgraph_maker.nodes.telling import told_votes
from langgraph_maker.raising import Raised
from langgraph_maker.red_flags import RedFlag
from langgraph_maker.state import BallotState, Decision, Verdict

__all__ = [
    "LARGEST_MARGIN",
    "Margin",
    "check_budget",
    "decision",
    "deficit",
    "in_words",
    "margins",
    "supersteps",
    "tally_node",
    "unanswered",
]

Margin: TypeAlias = int | Callable[[str], int] | Raised
"""The margin k, or from a subtask's id to the k of its own, or a k that may rise while the run goes on."""


def tally_node(*, k: Margin = 3, max_samples: int | None = None, hedge: int = 0, decisions: bool = True) -> Node:
    """Apply first-to-ahead-by-k to each ballot, votes in the order in which they were issued.

    A vote that arrives before one that was issued earlier waits for it, so that no answer gains by being fast. With
    hedges votes count as they arrive. A ballot whose remaining samples could not decide it any more is unresolved; no
    plurality ever wins. When no ballot is open, the decisions are written, one a subtask.

    Args:
        k: The margin, or from a subtask's id to its own.
        max_samples: Samples a ballot may use, flagged ones included; None for `check_budget`'s default.
        hedge: As given to `sample_node`.
        decisions: Whether to write them, and to tell of votes (`events.Votes`); a maker graph reads the ballots
            themselves, and tells of rounds.

    Raises:
        ValueError: For a bad `k` or `max_samples`; while running, for those of a subtask.
    """
    usual = margins(k, max_samples)

    def tally(state: VotingState, _: RunnableConfig) -> dict[str, Any]:
        given = overrides()
        own = margins(k, max_samples, given) if given else usual
        ballots = [
            _count(ballot, *own(ballot["id"]), hedge) if _to_count(ballot, hedge) else ballot
            for ballot in state["ballots"]
        ]
        update: dict[str, Any] = {"ballots": ballots}
        if not decisions:
            return update
        _tell([after for after, before in zip(ballots, state["ballots"], strict=True) if after is not before])
        if all(ballot["status"] != "open" for ballot in ballots):
            update["decisions"] = [decision(ballot) for ballot in ballots]
        return update

    return Node("tally", tally)


def margins(k: Margin, max_samples: int | None, given: MakerContext | None = None) -> Callable[[str], tuple[int, int]]:
    """From a subtask's id to its margin and to the samples that its ballot may use, see `check_budget`.

    What is `given` stands in place of the others, but no k that was raised is lowered.

    Raises:
        ValueError: When they are none: at once where all subtasks have the same, else where one is asked for.
    """
    if given:
        raised = k.to if isinstance(k, Raised) else 0
        k = max(given["k"], raised) if "k" in given else k
        max_samples = given.get("max_samples", max_samples)
    if isinstance(k, Raised):
        return _rising(k, max_samples)
    if not callable(k):
        all_alike = check_margin(k), check_budget(max_samples, k)
        return lambda _: all_alike

    @lru_cache(maxsize=_REMEMBERED)
    def own(subtask_id: str) -> tuple[int, int]:
        try:
            margin = check_margin(k(subtask_id))
            return margin, check_budget(max_samples, margin)
        except ValueError as error:
            raise ValueError(f"step {subtask_id}: {error}") from error

    return own


def _rising(k: Raised, max_samples: int | None) -> Callable[[str], tuple[int, int]]:
    base = margins(_by_id(k.base) if callable(k.base) else k.base, max_samples)

    @lru_cache(maxsize=_REMEMBERED)
    def raised(to: int) -> tuple[int, int]:
        return check_margin(to), check_budget(max_samples, to)

    def own(subtask_id: str) -> tuple[int, int]:
        pair = base(subtask_id)
        return raised(k.to) if k.to > pair[0] else pair

    return own


def _by_id(k: Callable[[int], int]) -> Callable[[str], int]:
    return lambda step: k(int(step))


def _tell(ballots: Sequence[BallotState]) -> None:
    try:
        write = get_stream_writer()
    except (RuntimeError, KeyError):  # a node that is called by itself has no stream
        return
    write(told_votes(ballots))


LARGEST_MARGIN = 1000
_REMEMBERED = 65_536  # more than there are lanes


def check_budget(max_samples: int | None, k: int) -> int:
    """Return the samples that a ballot may use.

    The default is 10 k², and at least 100: the vote between two equally likely answers is a random walk that is
    still undecided after 10 k² votes with probability (4/π) exp(−10 π²/8) < 1e-5.

    Raises:
        ValueError: When `max_samples` is not a whole number of at least k, or k is beyond 1,000.

    Example:
        >>> check_budget(None, 3), check_budget(None, 29)
        (100, 8410)
    """
    if k > LARGEST_MARGIN:
        raise ValueError(f"k is at most {LARGEST_MARGIN:,}: no round could hold the votes that {k} takes")
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


def supersteps(k: int, max_samples: int | None) -> int:
    """What one vote may take, under the runtime context too, so that a host's own limit does not cut it short."""
    given = overrides()
    return 3 * check_budget(given.get("max_samples", max_samples), given.get("k", k)) + 10


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
        "last_flag": ballot["last_flag"],
        "rounds": ballot["rounds"],
        "cancelled": ballot["asked"] - ballot["samples"],
        "usage": ballot["usage"],
    }


def deficit(ballot: BallotState, k: int) -> int:
    """The least number of votes, beside all that have arrived, that could decide a ballot."""
    counted = Ballot.resume(k, ballot["counts"], ballot["votes"])
    for _, verdict in ballot["waiting"]:
        if "key" in verdict and counted.deficit:
            counted.cast(verdict["vote"], verdict["key"])
    return counted.deficit


def unanswered(ballot: BallotState) -> int:
    """How many samples that were issued have still to be counted in their turn, and have not arrived."""
    return ballot["asked"] - ballot["following"] - len(ballot["waiting"])


def in_words(samples: int, flags: Mapping[str, int], last_flag: str, counts: Collection[int]) -> str:
    """Why a ballot with these counts did not settle."""
    said = f"no answer led by the margin after {samples} samples"
    if flagged := sum(flags.values()):
        most = max(flags, key=flags.__getitem__)
        said += f", {flagged} of them flagged, most often as {most} (last: {last_flag})"
    if counts:
        said += f"; {len(counts)} different answers, the most frequent {max(counts)} times"
    return said


def _to_count(ballot: BallotState, hedge: int) -> bool:
    """Whether something arrived, or nothing is out and the budget may have changed."""
    return ballot["status"] == "open" and bool(ballot["verdicts"] or hedge or not unanswered(ballot))


def _count(state: BallotState, k: int, budget: int, hedge: int) -> BallotState:
    ballot = Ballot.resume(k, state["counts"], state["votes"])
    flags, last_flag = state["flags"], state["last_flag"]
    earlier = [verdict for _, verdict in state["waiting"]]
    due, waiting = ([*earlier, *state["verdicts"]], []) if hedge else _due(state)
    for verdict in due:
        if "flag" in verdict:
            reason, last_flag = verdict["flag"]["reason"], str(RedFlag(**verdict["flag"]))
            flags = {**flags, reason: flags.get(reason, 0) + 1}
        elif not hedge or ballot.deficit:  # a hedge that came beside the deciding vote is drawn, and does not count
            ballot.cast(verdict["vote"], verdict["key"])
    after: BallotState = {
        **state,
        "counts": ballot.counts,
        "votes": ballot.votes,
        "samples": state["samples"] + len(state["verdicts"]),
        "following": state["asked"] if hedge else state["following"] + len(due),
        "waiting": waiting,
        "flags": flags,
        "last_flag": last_flag,
        "numbers": [],
        "verdicts": [],
    }
    if ballot.deficit == 0:
        after["status"] = "decided"
    elif (hedge or not unanswered(after)) and after["samples"] + ballot.deficit > budget:
        after["status"] = "unresolved"
    return after


def _due(state: BallotState) -> tuple[list[Verdict], list[tuple[int, Verdict]]]:
    """The verdicts that are next in the order of issue, and those that wait for an earlier one."""
    arrived = [*state["waiting"], *zip(state["numbers"], state["verdicts"], strict=True)]
    arrived.sort(key=itemgetter(0))
    due = [verdict for place, (number, verdict) in enumerate(arrived) if number == state["following"] + place]
    return due, arrived[len(due) :]
