"""When all responses are flagged for one reason: prompt, parser and red flags do not agree, and more are wasted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from langgraph_maker.core.state import BallotState

__all__ = ["FEW", "hopeless"]

FEW: Final = 10
"""Samples, all flagged for one reason, after which a ballot is given up."""
_CHANCE: Final = 0.01


def hopeless(ballots: Sequence[BallotState], state: Mapping[str, Any]) -> set[str]:
    """Return the ids of the ballots whose samples, `FEW` at least, were all flagged for one reason.

    So are all of a run whose first samples were, but for those in a higher tier, which asks in another way: they have
    as many there. Where others of the run were not, it must be no accident: as many flags in a row as there are had to
    come up in one ballot of a hundred runs like this one, if samples are flagged as often as the others were.
    """
    alike = {ballot["id"]: _flagged_alike(ballot) for ballot in ballots}
    steps, samples, flagged = _before(state)
    samples += sum(ballot["samples"] for ballot in ballots)
    flagged += sum(sum(ballot["flags"].values()) for ballot in ballots)
    if samples == flagged:
        reasons = {reason for ballot in ballots for reason in ballot["flags"]}
        enough = samples >= FEW and len(reasons) == 1
        tried = {ballot["id"] for ballot in ballots if alike[ballot["id"]] >= (FEW if "ladder" in ballot else 1)}
        return tried if enough else set()
    return {
        name
        for name, run in alike.items()
        if run >= FEW and (steps + len(ballots)) * ((flagged - run + 1) / (samples - run + 1)) ** run < _CHANCE
    }


def _flagged_alike(ballot: BallotState) -> int:
    """Return how many samples a ballot has had in its tier, if all of them were flagged for one reason; else 0."""
    ladder, flags = ballot.get("ladder"), ballot["flags"]
    if len(flags) != 1 or ballot["counts"]:
        return 0
    flagged = sum(flags.values()) - (ladder["flagged"] if ladder else 0)
    return flagged if flagged >= ballot["samples"] - (ladder["drawn"] if ladder else 0) else 0


def _before(state: Mapping[str, Any]) -> tuple[int, int, int]:
    """Return the steps that a run has done, the samples that they took, and how many of these were flagged."""
    if (totals := state.get("totals")) is not None:
        return totals["steps"], totals["samples"], totals["flagged"]
    if (counts := state.get("counts")) is not None:  # of a recursive run
        samples = sum(counts["samples"].values())
        return samples, samples, sum(counts["flags"].values())
    return 0, 0, 0
