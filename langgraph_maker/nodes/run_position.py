"""Where a run stands, and how it gets there: from its start, step by step, or from its journal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any, Final

from langgraph.store.base import PutOp
from pydantic import TypeAdapter, ValidationError
from typing_extensions import TypedDict

from langgraph_maker.core.ballot import Ballot
from langgraph_maker.core.canonical import mark, plain
from langgraph_maker.core.errors import JournalError
from langgraph_maker.core.foreign import excerpt
from langgraph_maker.core.state import BallotState
from langgraph_maker.core.task import Partitionable, Segment, Task, wording
from langgraph_maker.journal import records, run_data
from langgraph_maker.journal.admin import check_clear, opened
from langgraph_maker.journal.position import Lane, RunPosition
from langgraph_maker.journal.records import Entry, Header, Session
from langgraph_maker.journal.store_ops import StoreOps
from langgraph_maker.nodes.ladder.ladder import restarted
from langgraph_maker.nodes.totals import add, nothing

__all__ = [
    "BY_STEP",
    "RunTerms",
    "attach",
    "begin",
    "check_fixed",
    "check_undercut",
    "could_be_in_flight",
    "laid_over",
    "move",
    "open_ballots",
    "own_header",
    "reopened",
    "replayed",
    "segments_of",
    "take",
    "was_open",
]

_BATCH = 1024
BY_STEP = "by step"
"""What a journal fixes as the k of a run where each step has its own."""


class RunTerms(TypedDict):
    """What a run is of, and how: `fixed` may never change, `settings` are recorded for each process.

    `margin` gives the k that is asked of a step, from the state that it starts from where that is known; `least` gives
    the least there is (`least_of`).
    """

    fixed: Mapping[str, Any]
    margin: Callable[..., int]
    least: Callable[[], int | None]
    settings: Mapping[str, Any]
    limit: int
    lanes: int


def begin(task: Task, terms: RunTerms) -> RunPosition:
    """Return the start of a run."""
    segments = segments_of(task, terms["lanes"], terms["limit"])
    lanes = [_lane(task, segment) for segment in segments]
    for lane, following in pairwise(lanes):
        lane["goal"] = following["mark"]
    stride = _stride(terms["limit"], len(lanes))
    return {"revision": 0, "lanes": lanes, "totals": nothing(), "ballots": [], "stride": stride, "closed": []}


def _stride(limit: int, lanes: int) -> int:
    """Return how far apart the lanes of a run begin, see `records.ONE_LANE`."""
    return -(-limit // lanes) if lanes > 1 else records.ONE_LANE


def segments_of(task: Task, lanes: int, limit: int) -> list[Segment]:
    """Return the stretches of a run's chain that may advance side by side."""
    if lanes == 1 or not isinstance(task, Partitionable):
        return [{"step": 0, "end": limit, "state": _state(task, task.initial_state())}]
    given = task.segments(lanes)
    try:
        segments = _SEGMENTS.validate_python(given)
    except ValidationError as error:
        raise ValueError(
            f"segments({lanes}) of {task.name} must be a list of Segment(step=…, end=…, state=…), not {excerpt(given)}"
        ) from error
    bounds = [0, *(segment["end"] for segment in segments)]
    joined = bounds[:-1] == [segment["step"] for segment in segments] and bounds[-1] >= limit
    if not joined or len(segments) > lanes:
        raise ValueError(
            f"segments({lanes}) of {task.name} must be at most {lanes}, from step 0 to {limit}, each from where the"
            " last one ends"
        )
    return [{**segment, "end": min(segment["end"], limit)} for segment in segments if segment["step"] < limit]


_SEGMENTS: Final = TypeAdapter(list[Segment])


def _lane(task: Task, segment: Segment) -> Lane:
    state = _state(task, segment["state"])
    return {**segment, "state": state, "mark": mark(state), "goal": ""}


def _state(task: Task, state: Any) -> Any:
    try:
        return plain(state)
    except ValueError as error:
        raise type(error)(f"a state of {task.name} is none that can be kept: {error}") from error


def move(task: Task, lane: Lane, vote: Any, advance: Callable[[Any, Any], Any]) -> Lane:
    """Return the lane one step on, by the winning vote."""
    try:
        after = advance(lane["state"], vote)
    except Exception as error:
        error.add_note(f"raised by advance of {task.name} at step {lane['step']}, for the vote {excerpt(vote)}")
        raise
    state = _state(task, after)
    return {**lane, "step": lane["step"] + 1, "state": state, "mark": mark(state)}


def take(task: Task, lane: Lane, entry: Entry) -> Lane:
    """Return the lane one step on, as the journal has it.

    Raises:
        JournalError: When the entry does not start from the lane's state.
    """
    if entry["start"] != lane["mark"]:
        raise JournalError(
            f"the journal's step {lane['step']} does not start from the state that the run has reached: the task has"
            " changed, or the journal was altered (see journal.verify)"
        )
    try:
        return move(task, lane, entry["vote"], task.advance)
    except (TypeError, ValueError, LookupError, AttributeError) as error:
        raise JournalError(
            f"{task.name} cannot take the journal's step {lane['step']}: {type(error).__name__}: {str(error)[:200]};"
            " the task has changed, or the journal was altered (see journal.verify)"
        ) from error


def attach(task: Task, run_id: str, here: RunPosition | None, terms: RunTerms) -> StoreOps[RunPosition]:
    """Find the run in its journal, or begin it there; returns where the journal ends.

    Args:
        task: The task.
        run_id: The run.
        here: Where a checkpoint has the run, if one does.
        terms: What the run is of.

    Raises:
        JournalError: When the journal is of another task, ends before `here`, or was altered.
    """
    found = yield from opened(run_id)
    segments = segments_of(task, terms["lanes"], terms["limit"])
    header = found or _header(run_id, terms["fixed"], _stride(terms["limit"], len(segments)))
    check_fixed(f"run {run_id!r}", header, terms["fixed"])
    if found is None:
        _check_ahead(run_id, here, 0)
        yield from check_clear(run_id, [segment["step"] for segment in segments], header["stride"])
    session: Session = {
        "writer": records.writer(),
        "began": datetime.now(UTC).isoformat(timespec="seconds"),
        "settings": dict(terms["settings"]),
        "starts": [segment["step"] for segment in segments],
        "end": terms["limit"],
        "wording": wording(task),
    }
    if terms["fixed"]["k"] == BY_STEP and (least := terms["least"]()) is not None:
        session["least_k"] = least
    if found is None:
        yield [records.put_header(_joined(header, session, 0))]
        return begin(task, terms)
    position, wrote = yield from replayed(
        task, header, laid_over(task, header, segments, terms["limit"]), terms["margin"]
    )
    if (yield from _is_from_the_past(run_id, position)):
        cells = laid_over(task, header, segments, terms["limit"])
        position, wrote = yield from replayed(task, header, cells, terms["margin"])
    _check_ahead(run_id, here, position["totals"]["steps"])
    if wrote.keys() - {one["writer"] for one in header["sessions"]}:  # the store answered from the past
        header = records.read_header((yield [records.get_header(run_id)])[0], run_id) or header
    ballots = yield from open_ballots(run_id, position["lanes"], here["ballots"] if here else [])
    position = {**position, "ballots": ballots}
    if lost := _lost_in_flight(header, position, terms):
        session["lost"] = lost
    if (now := _joined(header, session, sum(wrote.values()) - wrote[records.writer()])) != header:
        yield [records.put_header(now)]
    return position


def _lost_in_flight(header: Header, position: RunPosition, terms: RunTerms) -> int:
    """Return how many samples were in flight, at most, where the process before broke off.

    An end in order waits for them. Else what each open ballot lacked to be decided may have been out, and in each lane
    with no open ballot the first samples of its step.
    """
    outcome, totals, ballots = header["outcome"], position["totals"], position["ballots"]
    samples = totals["samples"] + sum(ballot["samples"] for ballot in ballots)
    if (outcome.get("steps"), outcome.get("samples")) == (totals["steps"], samples):
        return 0
    return could_be_in_flight(position, terms)


def could_be_in_flight(position: RunPosition, terms: RunTerms) -> int:
    """Return how many samples are in flight at a position, at most."""
    ballots = position["ballots"]
    counted = {int(ballot["id"]) for ballot in ballots}
    begun = [lane["step"] for lane in position["lanes"] if lane["step"] < lane["end"] and lane["step"] not in counted]
    lacked = sum(Ballot.resume(terms["margin"](int(one["id"])), one["counts"], one["votes"]).deficit for one in ballots)
    return lacked + sum(terms["margin"](step) for step in begun[: terms["lanes"]])


def _joined(header: Header, session: Session, others: int) -> Header:
    """Return the header with this process's work on the run, where others have done so many steps."""
    sessions, me = header["sessions"], session["writer"]
    if not sessions or {**session, "began": sessions[-1]["began"]} != sessions[-1]:
        sessions = [*sessions, session]
    return {**header, "sessions": sessions, "found": {**header.get("found", {}), me: others}}


def own_header(run_id: str) -> StoreOps[Header | None]:
    """Return the header of a run that this process has written; where another took it over meanwhile, it says so."""
    header: Header | None = None
    for _ in range(2):  # a store may answer from the past
        header = records.read_header((yield [records.get_header(run_id)])[0], run_id)
        if header is None or header["sessions"][-1]["writer"] == records.writer():
            return header
    if header is None:
        return None
    yield [PutOp(records.evidence(run_id), records.writer(), {"by": header["sessions"][-1]["writer"]}, index=False)]
    return {**header, "mixed": [*header.get("mixed", []), records.writer()]}


def laid_over(task: Task, header: Header, segments: list[Segment], limit: int) -> list[Lane]:
    """Return the lanes of all sessions so far laid over each other: what any of them did is the beginning of a cell."""
    starts = {segment["step"]: segment for segment in segments}
    for begun in {tuple(session["starts"]) for session in header["sessions"]}:
        again = {segment["step"]: segment for segment in segments_of(task, len(begun), limit)}
        if not again.keys() >= {step for step in begun if step < limit}:
            raise JournalError(f"run {header['run_id']!r} was cut into other lanes before: {task.name} has changed")
        starts |= again
    cuts = sorted(starts)
    cells = [_lane(task, {**starts[step], "end": end}) for step, end in zip(cuts, [*cuts[1:], limit], strict=True)]
    for cell, following in pairwise(cells):
        cell["goal"] = following["mark"]
    return cells


def replayed(
    task: Task, header: Header, cells: list[Lane], margin: Callable[..., int]
) -> StoreOps[tuple[RunPosition, Counter[str]]]:
    """Move each cell on to where the journal has it; those at their end are left out, but for the last.

    Also how many of the steps each process wrote.
    """
    run_id, stride = header["run_id"], header["stride"]
    totals, lanes = nothing(), []
    revision, closed, wrote = 0, list[int](), Counter[str]()
    lane: Lane | None = None
    for cell in cells:
        came_from = lane if lane and lane["step"] == lane["end"] else None
        lane, reading = cell, True
        while reading and lane["step"] < lane["end"]:
            steps = range(lane["step"], min(lane["step"] + _BATCH, lane["end"]))
            committed: list[tuple[Entry, str]] = []
            for step, item in zip(steps, (yield records.get_entries(run_id, steps, stride)), strict=True):
                if (entry := records.read_entry(item, run_id, step)) is None:
                    reading = False
                    break
                if step == cell["step"] and came_from and entry["start"] == came_from["mark"]:
                    lane = {
                        **cell,
                        "state": came_from["state"],
                        "mark": came_from["mark"],
                    }  # no boundary then
                check_undercut(run_id, step, None if entry["human"] else entry["margin"], margin(step, lane["state"]))
                lane = take(task, lane, entry)
                committed.append((entry, task.vote_key(entry["vote"])))
                wrote[entry["writer"]] += 1
                if entry["revision"] > revision:
                    revision, closed = entry["revision"], []
                if entry["revision"] == revision and was_open(entry):
                    closed.append(step)
            totals = add(totals, committed)
        if lane["step"] < lane["end"] or lane["mark"] != lane["goal"] or cell is cells[-1]:
            lanes.append(lane)
    closed = closed if revision else []
    position: RunPosition = {
        "revision": revision,
        "lanes": lanes,
        "totals": totals,
        "ballots": [],
        "stride": stride,
        "closed": closed,
    }
    return position, wrote


def _is_from_the_past(run_id: str, position: RunPosition) -> StoreOps[bool]:
    """Return whether the journal goes on where it was found to end: a store may answer from the past."""
    steps = [lane["step"] for lane in position["lanes"] if lane["step"] < lane["end"]]
    return any(item is not None for item in (yield records.get_entries(run_id, steps, position["stride"])))


def was_open(entry: Entry) -> bool:
    """Return whether the ballot of a step was open after some round, and so has a record of its own."""
    return entry["rounds"] > 1 or entry["tier"] > 0 or entry["human"]


def open_ballots(run_id: str, lanes: list[Lane], ours: list[BallotState]) -> StoreOps[list[BallotState]]:
    """For each lane the ballot that has counted more, the journal's or the checkpoint's; what was given up is open."""
    steps = [lane["step"] for lane in lanes]
    mine = {ballot["id"]: ballot for ballot in ours}
    ballots = []
    items = yield [run_data.get_open(run_id, step) for step in steps]
    again = yield [run_data.get_open(run_id, step) for step in steps]  # a store may answer from the past
    for step, item, second in zip(steps, items, again, strict=True):
        found = [mine.get(str(step)), *(run_data.read_open(one, run_id, step) for one in (item, second))]
        if counted := [ballot for ballot in found if ballot is not None]:
            ballots.append(max(counted, key=lambda ballot: ballot["samples"]))
    return reopened(ballots)


def reopened(ballots: list[BallotState]) -> list[BallotState]:
    """Return the ballots of a run that is entered again: what was given up is tried again, if the budget now allows."""
    return [restarted(ballot) if ballot["status"] == "unresolved" else ballot for ballot in ballots]


def _header(run_id: str, fixed: Mapping[str, Any], stride: int) -> Header:
    return {
        "format": records.FORMAT,
        "run_id": run_id,
        "task": fixed["task"],
        "parameters": fixed["parameters"],
        "k": fixed["k"],
        "stride": stride,
        "sessions": [],
        "outcome": {},
    }


def check_fixed(what: str, held: Mapping[str, Any], fixed: Mapping[str, Any]) -> None:
    """Refuse another task, other parameters or another k than a run was started with.

    Raises:
        JournalError: With the difference named.
    """
    for name, value in fixed.items():
        if held[name] != value:
            raise JournalError(
                f"{what} was started with {name} {excerpt(held[name])}, not {excerpt(value)}: continue with"
                " that, or give another"
                " run id"
            )


def check_undercut(run_id: str, step: int, margin: int | None, k: int) -> None:
    """Refuse a step that was decided by a smaller `margin` than is asked for now; None is that of a human.

    Raises:
        JournalError: With what to do.
    """
    if margin is not None and margin < k:
        raise JournalError(
            f"step {step} of run {run_id!r} was decided by a margin of {margin}, and k now asks for"
            f" {k} there: continue with a k that asks no more of the steps that are done, or give another run id"
        )


def _check_ahead(run_id: str, here: RunPosition | None, journalled: int) -> None:
    """Return a checkpoint may lag behind the journal, and never the other way round."""
    if here is None or (step := here["totals"]["steps"]) <= journalled:
        return
    why = f"which has {journalled}" if journalled else "the store holds no such run"
    raise JournalError(
        f"the checkpoint is at step {step} of run {run_id!r}, ahead of its journal ({why}): use the store that the run"
        " was written to, or begin a new run id"
    )
