"""What a report says, as plain data: one pass over the journal, in memory that does not grow with the steps."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from itertools import islice, pairwise
from typing import Any, Final, Literal

from langgraph.store.base import BaseStore
from typing_extensions import TypedDict

from langgraph_maker import journal
from langgraph_maker.core.errors import JournalError
from langgraph_maker.core.events import Alarm, OpenBallots, Totals
from langgraph_maker.core.questions import Question, question_of
from langgraph_maker.core.reasons import Reason, ReasonCode
from langgraph_maker.core.state import BallotState, Usage, VoteCount, total_usage
from langgraph_maker.core.task import instance
from langgraph_maker.journal import records, run_data
from langgraph_maker.journal.records import Entry, Header
from langgraph_maker.journal.tenants import namespace_of, under
from langgraph_maker.nodes.run_events import ballots_under_way
from langgraph_maker.nodes.totals import add, nothing
from langgraph_maker.report.moves import Moves, hanoi
from langgraph_maker.runs import auto_k
from langgraph_maker.runs.calibration.result import Calibration
from langgraph_maker.runs.monitor.monitor import calibration_in
from langgraph_maker.runs.monitor.outlook import outlook, refuted

__all__ = ["Numbers", "OpenBallot", "Time", "Work", "numbers"]

_BATCH = 1024
_ALARMS = {"alarms", "earlier_alarms"}
_SHOWN = 10
_SESSIONS = 20

_MOVES: Mapping[str, Callable[[Mapping[str, Any], int], Moves | None]] = {"hanoi": hanoi}
"""By the name of a task: from its parameters and how many steps are done to what collects its moves."""


class OpenBallot(TypedDict):
    """A step that is not decided: what its ballot has counted so far, the most frequent vote first.

    Where a tier votes on something else in its place, these are votes on that, and `inner` says what it is.
    """

    step: int
    status: str
    inner: str
    counts: list[VoteCount]
    samples: int
    flags: dict[str, int]
    last_flag: str
    rounds: int


class Work(TypedDict):
    """One process's work on the run: when it began, in how many lanes, and its settings."""

    began: str
    lanes: int
    settings: dict[str, Any]


class Time(TypedDict):
    """When the run began and ended; `ended` is None where that is not known, `seconds` include all pauses between."""

    began: str | None
    ended: str | None
    seconds: float | None
    read: str


class Numbers(TypedDict):
    """All that a report says of a run.

    Attributes:
        run_id: The run's name in the journal.
        task: The task's name.
        parameters: Its parameters.
        status: "solved", "unresolved", "stopped" or "waiting", or "unfinished" for a run that continues, or broke off
            unsaid.
        reason: Why, where it is not solved.
        reason_code: The same for programs, see `core.reasons`.
        planned: Steps of the task, or as many as it may have; None where that is not known.
        guarantee: How sure the result is, with what that is conditional on.
        simulated: Of how many processes the model was a simulated one: "all", "some" or "none".
        k: The margin that was asked for, or "by step".
        raised: The k that an alarm raised it to; 0 if none did.
        undercut: Decided steps whose margin is less than k: 0 unless the journal was altered.
        least_margin: The least margin of a decided step; None before the first.
        lanes: The most that advanced side by side.
        started: How many processes worked on the run.
        sessions: Their settings, the last ones.
        steps: Steps decided.
        samples: Responses drawn, those of open ballots included, as in all figures up to `usage`.
        flagged: Of these, how many were discarded for a red flag.
        flags: The same by reason, the most frequent first.
        rounds: Rounds of voting, summed over steps.
        usage: Tokens and dollars.
        totals: Sums and histograms over the decided steps alone, see `events.Totals`; without the digest.
        digest: A fingerprint of what was decided, once the run has ended.
        open: What the ballots under way amount to.
        open_ballots: Those of them that took most samples.
        questions: What the run waits to have answered by a human.
        outlook: Estimates, see `Outlook`; its alarms stand under `alarms`.
        hardest: The journal's entries of the steps that took most samples.
        alarms: All that were journalled, see `events.Alarm`.
        calibration: What k = "auto" went by, or the run was watched with, see `Calibration`.
        time: When.
        moves: For a picture that moves, where the task has one.
    """

    run_id: str
    namespace: list[str]
    task: str
    parameters: dict[str, Any]
    status: str
    reason: str
    reason_code: ReasonCode
    planned: int | None
    guarantee: str
    simulated: Literal["all", "some", "none"]
    k: int | str
    raised: int
    undercut: int
    least_margin: int | None
    lanes: int
    begun: int
    sessions: list[Work]
    steps: int
    samples: int
    flagged: int
    flags: dict[str, int]
    rounds: int
    usage: Usage
    totals: dict[str, Any]
    digest: str | None
    open: OpenBallots
    open_ballots: list[OpenBallot]
    questions: list[Question]
    outlook: dict[str, Any]
    hardest: list[Entry]
    alarms: list[Alarm]
    calibration: dict[str, Any] | None
    time: Time
    moves: dict[str, Any] | None


def numbers(store: BaseStore, run_id: str, *, namespace: tuple[str, ...] = ()) -> Numbers:
    """Read a run's numbers from its journal; neither its task nor its model is needed. The `namespace` is its tenant's.

    Raises:
        JournalError: When there is no such run, or its journal is of another format, damaged or incomplete.

    Example:
        >>> from langgraph.store.memory import InMemoryStore
        >>> numbers(InMemoryStore(), "mine")
        Traceback (most recent call last):
        langgraph_maker.core.errors.JournalError: there is no run 'mine' in this store
    """
    store = under(store, namespace)
    head, done = journal.header(store, run_id), journal.steps(store, run_id)
    moves = _MOVES[head["task"]](head["parameters"], done) if head["task"] in _MOVES else None
    totals = _totals(store, run_id, moves)
    ballots = journal.open_ballots(store, run_id)
    still, current = ballots_under_way(ballots), _current(head, totals, ballots)
    [raised] = store.batch([run_data.get_raised(run_id)])
    lifted = run_data.read_raised(raised, run_id)  # type: ignore[arg-type]
    k, planned = head["k"], _planned(head)
    ahead = max(k if isinstance(k, int) else _least(head), lifted) or None
    calibration, alarms = _basis(store, run_id), journal.alarms(store, run_id)
    found = outlook(
        totals,
        planned=totals["steps"] if current == "solved" else planned,
        limit=head["sessions"][-1]["end"] if head["sessions"] else None,
        still=still,
        k=ahead,
        alarms=alarms,
        calibration=calibration,
        task=head["task"] if len(head["sessions"]) == 1 else None,
        settings=_asked(head),
        in_flight_lost=records.lost_in_flight(head),
    )
    outcome = head["outcome"] if current != "unfinished" else {}
    why = Reason(outcome.get("reason_code", ""), outcome.get("reason", ""))
    wrong = refuted(why, planned)
    return {
        "run_id": run_id,
        "namespace": list(namespace_of(store)),
        "task": head["task"],
        "parameters": head["parameters"],
        "status": current,
        "reason": why.text,
        "reason_code": why.code,
        "planned": planned,
        "guarantee": f"{wrong}{found.besides}" if wrong else found.guarantee,
        "simulated": head.get("simulated", "none"),
        "k": k,
        "raised": lifted,
        "undercut": sum(totals["margins"][:k]) if isinstance(k, int) else 0,
        "least_margin": next((margin for margin, steps in enumerate(totals["margins"]) if steps), None),
        "lanes": max((len(session["starts"]) for session in head["sessions"]), default=1),
        "begun": len(head["sessions"]),
        "sessions": [
            {"began": session["began"], "lanes": len(session["starts"]), "settings": session["settings"]}
            for session in head["sessions"][-_SESSIONS:]
        ],
        "steps": totals["steps"],
        "samples": totals["samples"] + still["samples"],
        "flagged": totals["flagged"] + still["flagged"],
        "flags": _by_reason([totals["flags"], *(ballot["flags"] for ballot in ballots)]),
        "rounds": totals["rounds"] + sum(ballot["rounds"] for ballot in ballots),
        "usage": total_usage([totals["usage"], *(ballot["usage"] for ballot in ballots)]),
        "totals": {name: value for name, value in totals.items() if name != "digest"},
        "digest": outcome.get("digest"),
        "open": still,
        "open_ballots": _shown(ballots),
        "questions": [question_of(ballot) for ballot in ballots if ballot["status"] == "asking"],
        "outlook": {name: value for name, value in asdict(found).items() if name not in _ALARMS},
        "hardest": _entries(store, head, [step for _, step in totals["hardest"]]),
        "alarms": alarms,
        "calibration": None if calibration is None else asdict(calibration),
        "time": _time(head, outcome),
        "moves": None if moves is None else moves.found(),
    }


def _totals(store: BaseStore, run_id: str, moves: Moves | None) -> Totals:
    """Return the totals of all decided steps, a batch at a time; votes have no key here, so the digest is void."""
    totals, entries = nothing(), journal.entries(store, run_id)
    while batch := list(islice(entries, _BATCH)):
        totals = add(totals, ((entry, "") for entry in batch))
        if moves is not None:
            moves.see(batch)
    return totals


def _current(head: Header, totals: Totals, ballots: list[BallotState]) -> str:
    """Return how the run stands: as it last ended, unless it continued since then.

    Raises:
        JournalError: When there are fewer steps than when it ended.
    """
    outcome, steps = head["outcome"], totals["steps"]
    if outcome.get("steps", 0) > steps:
        raise JournalError(
            f"run {head['run_id']!r} had {outcome['steps']:,} steps when it ended, of which {steps:,} are there:"
            " journal.verify names what is missing"
        )
    if outcome.get("status") == "solved":
        return "solved"
    samples = totals["samples"] + sum(ballot["samples"] for ballot in ballots)
    later = head["sessions"] and head["sessions"][-1]["began"] > outcome.get("ended", "")
    if "status" not in outcome or later or (outcome.get("steps"), outcome.get("samples")) != (steps, samples):
        return "unfinished"
    return str(outcome["status"])


def _asked(head: Header) -> dict[str, Any]:
    """Return the settings of the last process, with how it asked."""
    if not head["sessions"]:
        return {}
    last = head["sessions"][-1]
    about = {"wording": last.get("wording", ""), "instance": instance(head["task"], head["parameters"])}
    return {**last["settings"], **about}


def _least(head: Header) -> int:
    """Return the least k of any step, where each has its own; 0 where the last process did not know it."""
    return head["sessions"][-1].get("least_k", 0) if head["sessions"] else 0


def _basis(store: BaseStore, run_id: str) -> Calibration | None:
    """Return the calibration that the number rests on: that of k = "auto", else what the run's monitor had kept."""
    if (found := auto_k.stored(store, run_id)) is not None:
        return found
    [item] = store.batch([run_data.get_observer_state(run_id)])
    return calibration_in(run_data.read_observer_state(item, run_id))  # type: ignore[arg-type]


def _planned(head: Header) -> int | None:
    """Return the steps of the whole task; unknown to tasks that do not say, whose limit is none to be expected."""
    known = head["parameters"].get("steps", 0) is not None
    return head["sessions"][-1]["end"] if head["sessions"] and known else None


def _shown(ballots: list[BallotState]) -> list[OpenBallot]:
    most = sorted(ballots, key=lambda ballot: -ballot["samples"])[:_SHOWN]
    return [
        {
            "step": int(ballot["id"]),
            "status": ballot["status"],
            "inner": ballot["inner"]["label"] if "inner" in ballot else "",
            "counts": sorted(
                ({"vote": ballot["votes"][key], "count": count} for key, count in ballot["counts"].items()),
                key=lambda counted: -counted["count"],
            ),
            "samples": ballot["samples"],
            "flags": ballot["flags"],
            "last_flag": ballot["last_flag"],
            "rounds": ballot["rounds"],
        }
        for ballot in most
    ]


def _by_reason(flags: list[dict[str, int]]) -> dict[str, int]:
    counts: Counter[str] = Counter()
    for counted in flags:
        counts.update(counted)
    return dict(counts.most_common())


def _entries(store: BaseStore, head: Header, steps: list[int]) -> list[Entry]:
    items = store.batch(records.get_entries(head["run_id"], steps, head["stride"]))
    found = (
        records.read_entry(item, head["run_id"], step)  # type: ignore[arg-type]
        for step, item in zip(steps, items, strict=True)
    )
    return [entry for entry in found if entry is not None]


def _time(head: Header, outcome: Mapping[str, Any]) -> Time:
    began = head["sessions"][0]["began"] if head["sessions"] else None
    ended: str | None = outcome.get("ended")
    return {
        "began": began,
        "ended": ended,
        "seconds": _seconds([session["began"] for session in head["sessions"]], ended) if began and ended else None,
        "read": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _seconds(began: Sequence[str], ended: str) -> float | None:
    """Return the seconds from the first session to the end; None where the clock was set back, or wrong at first."""
    (first, *later), end = map(datetime.fromisoformat, began), datetime.fromisoformat(ended)
    in_order = first <= end and all(one <= other for one, other in pairwise([first, *later]))
    return (end - first).total_seconds() if in_order and first.year >= _FIRST_YEAR else None


_FIRST_YEAR: Final = 2025  # no run was journalled before
