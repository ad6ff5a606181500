"""How nodes emit events: on LangGraph's custom stream, and to an observer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeAlias

from langgraph_maker.core.ballot import ranked
from langgraph_maker.core.events import (
    Alarm,
    BallotStatus,
    Event,
    Observer,
    OpenBallots,
    RoundEnded,
    StepDecided,
    Totals,
    VotesCounted,
)
from langgraph_maker.core.state import BallotState, VoteCount, total_usage
from langgraph_maker.journal.records import Entry
from langgraph_maker.nodes.emit import emit
from langgraph_maker.theory.mixture import shape_of

__all__ = [
    "Emit",
    "ballots_under_way",
    "drifted",
    "emitter",
    "given_up",
    "round_event",
    "step_event",
    "votes_event",
]

Emit: TypeAlias = Callable[[Iterable[Event]], list[Alarm]]
"""Sends events out, and returns the alarms that the observer answered with."""


def emitter(observer: Observer | None) -> Emit:
    """Return what emits events to the running graph's stream, read or not, and to `observer`."""

    def tell(events: Iterable[Event]) -> list[Alarm]:
        alarms: list[Alarm] = []
        for event in events:
            emit(event)
            if observer is not None:
                answered = list(observer(event) or ())
                for alarm in answered:
                    emit(alarm)
                alarms += answered
        return alarms

    return tell


def round_event(
    run_id: str,
    before: Totals,
    after: Totals,
    lanes: int,
    ballots: Sequence[BallotState],
    *,
    decided: Sequence[BallotState] = (),
) -> RoundEnded:
    """Return what lies between two totals."""
    audited = [ballot["ladder"] for ballot in decided if "ladder" in ballot and ballot["ladder"]["audits"]]
    votes = after["votes"] - before["votes"]
    return {
        "event": "round.ended",
        "run_id": run_id,
        "steps": after["steps"] - before["steps"],
        "samples": after["samples"] - before["samples"],
        "votes": votes,
        "winner_votes": votes - after["lost"] + before["lost"],
        "flags": _more(before["flags"], after["flags"]),
        "lanes": lanes,
        "totals": after,
        "open": ballots_under_way(ballots),
        "audited": [sum(one["audits"] for one in audited), sum(one.get("contested", 0) for one in audited)],
    }


def step_event(run_id: str, entry: Entry, ballot: BallotState | None) -> StepDecided:
    """Return one committed step, with its ballot unless the journal held it already."""
    return {
        "event": "step.decided",
        "run_id": run_id,
        "step": entry["step"],
        "vote": entry["vote"],
        "counts": [] if ballot is None else _counts(ballot),
        "margin": entry["margin"],
        "finer": entry["finer"],
        "samples": entry["samples"],
        "flags": entry["flags"],
        "rounds": entry["rounds"],
    }


def votes_event(ballots: Sequence[BallotState]) -> VotesCounted:
    """Return how ballots stand that a round has moved."""
    standing: list[BallotStatus] = [
        {
            "subtask_id": ballot["id"],
            "status": ballot["status"],
            "counts": _counts(ballot),
            "samples": ballot["samples"],
            "flags": ballot["flags"],
        }
        for ballot in ballots
    ]
    return {"event": "votes.counted", "ballots": standing}


def _counts(ballot: BallotState) -> list[VoteCount]:
    return [{"vote": ballot["votes"][key], "count": count} for key, count in ballot["counts"].items()]


def ballots_under_way(ballots: Sequence[BallotState]) -> OpenBallots:
    """Return what open ballots amount to."""
    return {
        "ballots": len(ballots),
        "samples": sum(ballot["samples"] for ballot in ballots),
        "flagged": sum(sum(ballot["flags"].values()) for ballot in ballots),
        "contested": sum(len(ballot["counts"]) > 1 for ballot in ballots),
        "drifted": sum(
            drifted(ballot, ranked(ballot["counts"])[0]) > 0 for ballot in ballots if len(ballot["counts"]) > 1
        ),
        "flagged_steps": sum(bool(ballot["flags"]) for ballot in ballots),
        "most_votes": max((sum(ballot["counts"].values()) for ballot in ballots), default=0),
        "cost": total_usage(ballot["usage"] for ballot in ballots)["cost"],
        "shapes": dict(Counter(shape_of(ballot["counts"]) for ballot in ballots if not _above(ballot))),
        "above": dict(Counter(shape_of(ballot["counts"]) for ballot in ballots if _above(ballot))),
        "given_up": dict(Counter(one for ballot in ballots for one in given_up(ballot))),
        "timeouts": sum(ballot.get("timeouts", 0) for ballot in ballots),
    }


def _above(ballot: BallotState) -> bool:
    """Return whether a ballot's votes are not those of the first tier on the step itself."""
    return "ladder" in ballot and (ballot["ladder"]["tier"] > 0 or "inner" in ballot)


def given_up(ballot: BallotState) -> list[str]:
    """Return the shapes of the ballots on this step that were given up.

    That on the step itself is one of them where a human decides, or where votes on something else do.
    """
    shapes = ballot["ladder"].get("given_up", []) if "ladder" in ballot else []
    if (inner := ballot.get("inner")) is not None:
        counts = inner["held"]["counts"]
    else:
        elsewhere = "outcome" in ballot and ballot["outcome"]["by"]
        counts = ballot["counts"] if elsewhere or (ballot["status"] == "asking" and _above(ballot)) else {}
    return [*shapes, shape_of(counts)] if counts else shapes


def _more(before: Mapping[str, int], after: Mapping[str, int]) -> dict[str, int]:
    if before is after:
        return {}
    return {reason: more for reason, count in after.items() if (more := count - before.get(reason, 0))}


def drifted(ballot: BallotState, winner: str) -> int:
    """Return votes for the winner's action with another next state."""
    vote = ballot["votes"][winner]
    if not isinstance(vote, dict):  # of a tier that votes on something else
        return 0
    return sum(
        count
        for key, count in ballot["counts"].items()
        if key != winner and ballot["votes"][key]["action"] == vote["action"]
    )
