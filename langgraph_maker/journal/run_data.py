"""What a journal holds of a run beside its entries: open ballots, a raised k, humans' answers, alarms."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final, cast

from langgraph.store.base import GetOp, Item, PutOp
from pydantic import TypeAdapter

from langgraph_maker.core.ballot import outcome_of
from langgraph_maker.core.ballot_reader import ballot_type, check_counts
from langgraph_maker.core.events import Alarm
from langgraph_maker.core.state import BallotState, Usage
from langgraph_maker.journal.records import check, damaged, known_usage, namespace, put_record, read_record

__all__ = [
    "checked_ballot",
    "get_alarms",
    "get_answer",
    "get_observer_state",
    "get_open",
    "get_raised",
    "put_alarms",
    "put_answer",
    "put_observer_state",
    "put_open",
    "put_raised",
    "read_alarms",
    "read_answer",
    "read_observer_state",
    "read_open",
    "read_raised",
]


RAISED: Final = "raised"
KEPT: Final = "kept"
ALARMS: Final = "alarms"


def get_open(run_id: str, step: int) -> GetOp:
    """Ask for the ballot that is still open at `step`."""
    return GetOp(namespace(run_id), _open_key(step), refresh_ttl=False)


def put_open(run_id: str, step: int, ballot: BallotState | None) -> PutOp:
    """Write the ballot that is still open at `step`, or removes it."""
    return _put(run_id, _open_key(step), "ballot", ballot)


def read_open(item: Item | None, run_id: str, step: int) -> BallotState | None:
    """Return the open ballot in what the store returned.

    Raises:
        JournalError: When it is not as it was written, or none that any run writes.
    """
    if item is None:
        return None
    what = f"open ballot of step {step}"
    remedy = f"fork the run at step {step} or before (journal.fork) to vote on it anew: the ballot's samples are lost"
    try:
        return checked_ballot(read_record(item, run_id, _open_key(step), "ballot", what, remedy), str(step))
    except ValueError as error:
        raise damaged(run_id, what, f"cannot be read: {error}", remedy) from error


def checked_ballot(ballot: Any, name: str) -> BallotState:
    """Return the ballot on subtask `name`, its usage known or said not to be.

    Raises:
        ValueError: When no run writes such a ballot.
    """
    if not isinstance(ballot, dict) or not isinstance(ballot.get("usage"), dict):
        raise ValueError("it is no ballot")  # noqa: TRY004 - foreign data, not an argument
    try:
        _rename(ballot)
        ballot["usage"] = known_usage(cast("Usage", ballot["usage"]))
        found: BallotState = ballot_type().validate_json(json.dumps(ballot), strict=True)
    except (TypeError, AttributeError, KeyError, ValueError, RecursionError) as error:
        raise ValueError(f"{type(error).__name__}: {' '.join(str(error).split())[:160]}") from error
    if found["id"] != name:
        raise ValueError(f"it is that of {found['id']!r:.80}")
    check_counts(found)
    return cast("BallotState", ballot)


def _rename(ballot: dict[str, Any]) -> None:
    """Give a ballot that an older version wrote the names of today."""
    if "climb" in ballot:
        ladder = ballot["ladder"] = ballot.pop("climb")
        if (held := ladder.pop("held", None)) is not None:
            ballot["inner"] = {"kind": "audit", "label": "second vote", "held": held}
    if "finer" in ballot:
        steps = ballot.pop("finer")
        ballot["inner"] = {"kind": "split", "label": f"sub-step {len(steps['winners'])}", **steps}
    if "arrived" not in ballot:
        ballot["arrived"] = []
        ballot["waiting"] = [{"number": number, **verdict} for number, verdict in ballot["waiting"]]
    counts, human, merged = ballot["counts"], ballot.get("human"), ballot.pop("joined", None)
    if "outcome" in ballot or not (ballot["status"] == "decided" or ballot.get("refuted")):
        return
    if merged is not None:
        ballot["outcome"] = {"by": "split", **merged}
    elif human is None or "flag" in human:
        ballot["outcome"] = outcome_of(counts, ballot["votes"])
    else:
        votes, own = sum(counts.values()), counts.get(human["key"], 0)
        cast_by = {"by": "human", "votes": votes, "winner_votes": own, "margin": 0, "steps": 0}
        ballot["outcome"] = {**human, **cast_by}


def get_raised(run_id: str) -> GetOp:
    """Ask for the k that an alarm raised the margin to."""
    return GetOp(namespace(run_id), RAISED, refresh_ttl=False)


def put_raised(run_id: str, k: int | None) -> PutOp:
    """Write the k that an alarm raises the margin of all undecided steps to, or removes it."""
    return _put(run_id, RAISED, "k", k)


def read_raised(item: Item | None, run_id: str) -> int:
    """Return the k in what the store returned; 0 where there is none.

    Raises:
        JournalError: When it is not as it was written.
    """
    if item is None:
        return 0
    remedy = "restore the database from a backup, or fork the run (journal.fork) and give the fork that k"
    k = read_record(item, run_id, RAISED, "k", "raised k", remedy)
    if not isinstance(k, int) or isinstance(k, bool) or not 0 < k < 2**31:
        raise damaged(run_id, "raised k", f"is {k!r:.20}", remedy)
    return k


def get_answer(run_id: str, question_id: str) -> GetOp:
    """Ask for a human's answer to a question, which is named by its step."""
    return GetOp(namespace(run_id), _answer_key(question_id), refresh_ttl=False)


def put_answer(run_id: str, question_id: str, form: Any) -> PutOp:
    """Keep a human's answer until the run continues, or removes it."""
    return _put(run_id, _answer_key(question_id), "form", form)


def read_answer(item: Item | None, run_id: str, question_id: str) -> Any:
    """Return the form in what the store returned, None where there is none.

    Raises:
        JournalError: When it is not as it was written.
    """
    if item is None:
        return None
    what = f"answer to question {question_id!r:.40}"
    return read_record(item, run_id, _answer_key(question_id), "form", what, "answer it again (journal.answer)")


def get_observer_state(run_id: str) -> GetOp:
    """Ask for what an observer had kept."""
    return GetOp(namespace(run_id), KEPT, refresh_ttl=False)


def put_observer_state(run_id: str, kept: Mapping[str, Any] | None) -> PutOp:
    """Write what an observer wants kept, or removes it."""
    if kept is None:
        return PutOp(namespace(run_id), KEPT, None, index=False)
    text = json.dumps(kept)
    return PutOp(namespace(run_id), KEPT, {"kept": text, "check": check(run_id, text)}, index=False)


def read_observer_state(item: Item | None, run_id: str) -> dict[str, Any] | None:
    """Return what the store returned; None where it is not as it was written, so that the observer begins anew."""
    if item is None:
        return None
    try:
        text = item.value["kept"]
        kept: dict[str, Any] | None = json.loads(text) if item.value["check"] == check(run_id, text) else None
    except (TypeError, KeyError, ValueError, AttributeError, RecursionError):
        return None
    return kept


def get_alarms(run_id: str) -> GetOp:
    """Ask for the alarms of a run."""
    return GetOp(namespace(run_id), ALARMS, refresh_ttl=False)


def put_alarms(run_id: str, alarms: Sequence[Alarm] | None) -> PutOp:
    """Write all alarms of a run, or removes them."""
    plain = None if alarms is None else json.loads(json.dumps(alarms, default=str))  # a caller's own may hold anything
    return _put(run_id, ALARMS, "alarms", plain)


def read_alarms(item: Item | None, run_id: str) -> list[Alarm]:
    """Return the alarms in what the store returned, in the order in which they were raised.

    Raises:
        JournalError: When they are not as they were written.
    """
    if item is None:
        return []
    remedy = "fork the run at its last step (journal.fork) to resume it without them"
    alarms = read_record(item, run_id, ALARMS, "alarms", "alarms", remedy)
    try:
        return _ALARMS_READ.validate_python(alarms, strict=True)
    except ValueError as error:
        raise damaged(run_id, "alarms", "are not a list of alarms", remedy) from error


_ALARMS_READ: Final = TypeAdapter(list[Alarm])


def _open_key(step: int) -> str:
    return f"open-{step:012d}"


def _answer_key(question_id: str) -> str:
    return f"answer-{question_id:0>12}"


def _put(run_id: str, key: str, name: str, value: Any) -> PutOp:
    where = namespace(run_id)
    return PutOp(where, key, None, index=False) if value is None else put_record(where, run_id, key, name, value)
