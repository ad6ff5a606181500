"""Ballots that come from outside: a journal, a checkpoint, or someone's edit of a graph's state."""

from __future__ import annotations

from functools import cache

from pydantic import TypeAdapter

from langgraph_maker.core.foreign import excerpt, first_problem
from langgraph_maker.core.state import BallotState

__all__ = ["ballot_type", "check_ballots", "check_counts"]


@cache
def ballot_type() -> TypeAdapter[BallotState]:
    """Return what reads a ballot, strictly."""
    return TypeAdapter(BallotState)


def check_ballots(written: object) -> None:
    """Refuse ballots that no vote writes.

    Raises:
        ValueError: With what is wrong, and what to do.

    Example:
        >>> check_ballots([{"id": "7"}])
        Traceback (most recent call last):
        ...
        ValueError: ballots[0] cannot be read: state: Field required: leave ballots as the graph wrote them, ...
    """
    if not isinstance(written, list):
        raise _unread("ballots", f"it is a list, not {excerpt(written)}")
    for place, ballot in enumerate(written):
        try:
            check_counts(ballot_type().validate_python(ballot, strict=True))
        except ValueError as error:
            raise _unread(f"ballots[{place}]", first_problem(error)) from error


def check_counts(ballot: BallotState) -> None:
    """Refuse a ballot whose numbers contradict each other.

    Raises:
        ValueError: With those that do.
    """
    counts, flags = ballot["counts"], ballot["flags"]
    if counts.keys() != ballot["votes"].keys():
        raise ValueError("what was counted and the votes differ")
    if min([ballot["rounds"], *counts.values(), *flags.values()]) < 0 or min(counts.values(), default=1) < 1:
        raise ValueError("it has a count below 1")
    if "inner" in ballot and "ladder" not in ballot:
        raise ValueError("it votes on something else, and was in no tier that does")
    votes, flagged, samples = sum(counts.values()), sum(flags.values()), ballot["samples"]
    if not votes + flagged <= samples <= ballot["asked"]:
        raise ValueError(f"it has {votes} votes and {flagged} flags of {samples} samples, {ballot['asked']} issued")


def _unread(what: str, why: str) -> ValueError:
    return ValueError(
        f"{what} cannot be read: {why}: leave ballots as the graph wrote them, or resume from an earlier"
        " checkpoint (graph.get_state_history)"
    )
