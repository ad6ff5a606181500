"""What a journal holds of a run beside its entries: open ballots, a raised k, humans' answers, alarms."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from langgraph.store.base import GetOp, Item, PutOp
from pydantic import TypeAdapter
from typing_extensions import TypedDict

from langgraph_maker.errors import JournalError
from langgraph_maker.events import Alarm
from langgraph_maker.records import check, namespace
from langgraph_maker.state import BallotState, Climb, Finer

__all__ = [
    "get_alarms",
    "get_answer",
    "get_kept",
    "get_open",
    "get_raised",
    "put_alarms",
    "put_answer",
    "put_kept",
    "put_open",
    "put_raised",
    "read_alarms",
    "read_answer",
    "read_kept",
    "read_open",
    "read_raised",
]


class _InFinerSteps(TypedDict):
    """What a ballot holds as long as it is done in finer steps."""

    finer: Finer
    climb: Climb


_IN_FINER_STEPS: Final = TypeAdapter(_InFinerSteps)
_RAISED: Final = "raised"
_KEPT: Final = "kept"
_ALARMS: Final = "alarms"


def get_open(run_id: str, step: int) -> GetOp:
    """Asks for the ballot that is still open at `step`."""
    return GetOp(namespace(run_id), f"open-{step:012d}", refresh_ttl=False)


def put_open(run_id: str, step: int, ballot: BallotState | None) -> PutOp:
    """Writes the ballot that is still open at `step`, or removes it."""
    value = None if ballot is None else {"ballot": json.dumps(ballot)}
    return PutOp(namespace(run_id), f"open-{step:012d}", value, index=False)


def read_open(item: Item | None, run_id: str, step: int) -> BallotState | None:
    """The open ballot in what the store returned.

    Raises:
        JournalError: When it cannot be read.
    """
    if item is None:
        return None
    try:
        ballot: BallotState = json.loads(item.value["ballot"])
        if "finer" in ballot:
            _IN_FINER_STEPS.validate_python(ballot)
    except (TypeError, KeyError, ValueError, RecursionError) as error:
        raise JournalError(f"the open ballot of step {step} of run {run_id!r} cannot be read: {error}") from error
    return ballot


def get_raised(run_id: str) -> GetOp:
    """Asks for the k that an alarm raised the margin to."""
    return GetOp(namespace(run_id), _RAISED, refresh_ttl=False)


def put_raised(run_id: str, k: int | None) -> PutOp:
    """Writes the k that an alarm raises the margin of all undecided steps to, or removes it."""
    return PutOp(namespace(run_id), _RAISED, None if k is None else {"k": k}, index=False)


def read_raised(item: Item | None, run_id: str) -> int:
    """The k in what the store returned; 0 where there is none.

    Raises:
        JournalError: When it cannot be read.
    """
    try:
        return 0 if item is None else int(item.value["k"])
    except (TypeError, KeyError, ValueError) as error:
        raise JournalError(f"the raised k of run {run_id!r} cannot be read: {error}") from error


def get_answer(run_id: str, question_id: str) -> GetOp:
    """Asks for a human's answer to a question, which is named by its step."""
    return GetOp(namespace(run_id), f"answer-{question_id:0>12}", refresh_ttl=False)


def put_answer(run_id: str, question_id: str, form: Any) -> PutOp:
    """Keeps a human's answer until the run goes on, or removes it."""
    value = None if form is None else {"form": json.dumps(form)}
    return PutOp(namespace(run_id), f"answer-{question_id:0>12}", value, index=False)


def read_answer(item: Item | None) -> Any:
    """The form in what the store returned; None where there is none that can be read, so that it is asked for again."""
    try:
        return None if item is None else json.loads(item.value["form"])
    except (TypeError, KeyError, ValueError, RecursionError):
        return None


def get_kept(run_id: str) -> GetOp:
    """Asks for what an observer had kept."""
    return GetOp(namespace(run_id), _KEPT, refresh_ttl=False)


def put_kept(run_id: str, kept: Mapping[str, Any] | None) -> PutOp:
    """Writes what an observer wants kept, or removes it."""
    if kept is None:
        return PutOp(namespace(run_id), _KEPT, None, index=False)
    text = json.dumps(kept)
    return PutOp(namespace(run_id), _KEPT, {"kept": text, "check": check(run_id, text)}, index=False)


def read_kept(item: Item | None, run_id: str) -> dict[str, Any] | None:
    """What the store returned; None where it is not as it was written, so that the observer begins anew."""
    if item is None:
        return None
    try:
        text = item.value["kept"]
        kept: dict[str, Any] | None = json.loads(text) if item.value["check"] == check(run_id, text) else None
    except (TypeError, KeyError, ValueError, RecursionError):
        return None
    return kept


def get_alarms(run_id: str) -> GetOp:
    """Asks for the alarms of a run."""
    return GetOp(namespace(run_id), _ALARMS, refresh_ttl=False)


def put_alarms(run_id: str, alarms: Sequence[Alarm] | None) -> PutOp:
    """Writes all alarms of a run, or removes them."""
    value = None if alarms is None else {"alarms": json.dumps(alarms, default=str)}  # a caller's own may hold anything
    return PutOp(namespace(run_id), _ALARMS, value, index=False)


def read_alarms(item: Item | None, run_id: str) -> list[Alarm]:
    """The alarms in what the store returned, in the order in which they were raised.

    Raises:
        JournalError: When they cannot be read.
    """
    try:
        return [] if item is None else list(json.loads(item.value["alarms"]))
    except (TypeError, KeyError, ValueError) as error:
        raise JournalError(f"the alarms of run {run_id!r} cannot be read: {error}") from error
