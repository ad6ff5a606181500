"""How a run is laid out in a store, and how it is reached: keys, records, and plans of store operations.

Everything is text under keys computed from the run id and the step, because stores differ in what values they take and
in how they order a search. Each record has a checksum over its text, its key and its run, and is read by one function
that refuses what is not as it was written, or what no run could have written.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from copy import copy
from datetime import datetime
from functools import cache, lru_cache
from hashlib import blake2b
from operator import itemgetter
from typing import Any, Final, Literal, NotRequired, cast
from urllib.parse import quote, unquote
from uuid import uuid4

import orjson
from langgraph.store.base import GetOp, Item, Op, PutOp
from pydantic import TypeAdapter
from typing_extensions import TypedDict

from langgraph_maker.core.canonical import mark
from langgraph_maker.core.errors import JournalError
from langgraph_maker.core.foreign import excerpt
from langgraph_maker.core.state import Usage

__all__ = [
    "Entry",
    "Header",
    "Pending",
    "Session",
    "batches",
    "blocks",
    "calibration",
    "check",
    "check_id",
    "damaged",
    "drop_entry",
    "drop_header",
    "evidence",
    "get_entries",
    "get_header",
    "get_node",
    "known_usage",
    "lost_in_flight",
    "name_of",
    "namespace",
    "put_entry",
    "put_header",
    "put_record",
    "read_entry",
    "read_header",
    "read_marked",
    "read_record",
    "tree",
    "writer",
]

ROOT: Final = "langgraph_maker"
HEADERS: Final = (ROOT, "headers")
ONE_LANE: Final = 10**12
"""The stride of a run that began with one lane: the first so many steps have keys in their own order.

The lanes of a run that began with several are a stride apart. Keys go by the place in the stride first, so that what
lanes write side by side lies side by side in the database, which is then twice as fast."""
FORMAT: Final = 8
"""Of what is written. A new field is no new format: it has a default where older records lack it."""
READABLE: Final = (7, FORMAT)
"""The formats that are read. In 7 entries alone have checksums; a run that is resumed is written in the newer one."""


class Entry(TypedDict):
    """One committed step: the winning vote as it was cast, and what deciding it took, `cost` in dollars.

    `margin` is by how many of its `votes` it led, at least the k of its step; `winner_votes` were for it, and
    `drifted` for its action with another next state. `alike` is 1 where the second and the third answer were the same
    text and another than the first one's, -1 where the first two were and the third was another; where two votes were
    counted first, and differed, it is of votes, and -1 where the third was equal to the first. `tier` is where on the
    ladder it was decided; where `human`, a human said what the vote is, and `margin` is 0. `finer` is the number of
    sub-steps that it was done in (`ladder.Split`), 0 if it was voted on as a whole; `votes` and `winner_votes` are
    then sums over them, and `margin` is the least of theirs. Of its `audits` so many `disagreed`.
    `start` and `end` are marks of the states before and after, so that each entry can be seen to follow the last.
    `revision` counts the rounds of the run that committed something, so that entries of two processes which wrote at
    the same time can be told; 0 where an older version wrote it.
    `given_up` has the shapes (`mixture.shape`) of ballots on it that were given up. `timeouts` counts calls that timed
    out and were retried. `late` is 1 where, of its first votes but for the very first, the one that arrived last was
    lost and the one that arrived first was not, -1 the other way round. `tiers` is as in `state.Usage`. `by` names the
    kind of tier that decided it otherwise than by votes on the step itself. `signals` are what else the step showed
    (`nodes.signals`).
    """

    step: int
    vote: Any
    votes: int
    winner_votes: int
    margin: int
    drifted: int
    alike: int
    samples: int
    flags: dict[str, int]
    rounds: int
    cancelled: int
    tier: int
    human: bool
    finer: int
    audits: int
    disagreed: int
    input_tokens: int
    cached_input_tokens: int
    output_tokens: int
    cost: float | None
    start: str
    end: str
    writer: str
    revision: int
    given_up: list[str]
    timeouts: int
    late: int
    tiers: dict[str, int]
    by: str
    signals: dict[str, int]


_DEFAULTS: Final[Mapping[str, Any]] = {
    "revision": 0,
    "given_up": [],
    "timeouts": 0,
    "late": 0,
    "tiers": {},
    "by": "",
    "signals": {},
}
"""Of fields added since format 7; entries are lists in the order of the fields, so add new ones at the end."""
_FIELDS: Final = tuple(Entry.__annotations__)
_values: Final = itemgetter(*_FIELDS)
_ENTRY: Final = TypeAdapter(Entry)


class Session(TypedDict):
    """One process's work on a run: what may change from one to the next. Its lanes began at the steps `starts`.

    `lost` is how many samples may have been in flight, and lost, where the process before it broke off, `wording` a
    fingerprint of how the task asks (`task.wording`), `least_k` the least margin where each step has its own.
    """

    writer: str
    began: str
    settings: dict[str, Any]
    starts: list[int]
    end: int
    lost: NotRequired[int]
    wording: NotRequired[str]
    least_k: NotRequired[int]


class Pending(TypedDict):
    """What is being done to a run as a whole: whoever opens the run next finishes it.

    A "delete" removes it; a "fork" copies the first `step` entries of the run `source`.
    """

    what: Literal["delete", "fork"]
    source: NotRequired[str]
    step: NotRequired[int]


class Header(TypedDict):
    """What a run is: fixed are the task, its parameters and k. `outcome` is how it stood when it last ended.

    `k` is "by step" where each step has its own. `stride` is how its entries' keys are laid out, see `ONE_LANE`. `kind`
    is "tree" for a recursive run, which has no entries, and a record for each node instead. `mixed` names processes
    that found, when they ended, that another had taken the run over while they wrote it;
    `found` has by their names how many steps of others the processes found done. `simulated` says of how many processes
    the model was a simulated one.
    """

    format: int
    run_id: str
    task: str
    parameters: dict[str, Any]
    k: int | str
    stride: int
    sessions: list[Session]
    outcome: dict[str, Any]
    kind: NotRequired[Literal["tree"]]
    pending: NotRequired[Pending]
    mixed: NotRequired[list[str]]
    found: NotRequired[dict[str, int]]
    simulated: NotRequired[Literal["all", "some", "none"]]


_HEADER: Final = TypeAdapter(Header)


def check_id(run_id: object) -> str:
    """Return `run_id`.

    Raises:
        ValueError: When it is not a text, or an empty one.
    """
    if not isinstance(run_id, str) or not run_id:
        raise ValueError(f"a run id is a text that is not empty, not {excerpt(run_id)}")
    return run_id


def get_header(run_id: str) -> GetOp:
    """Ask for a run's header."""
    return GetOp(HEADERS, _label(run_id), refresh_ttl=False)


def put_header(header: Header) -> PutOp:
    """Write a run's header."""
    run_id, written = header["run_id"], header["format"]
    kept = {**header, "format": FORMAT if written in READABLE else written, "simulated": _simulated(header)}
    return put_record(HEADERS, run_id, _label(run_id), "header", kept)


def drop_header(run_id: str) -> PutOp:
    """Remove a run's header."""
    return PutOp(HEADERS, _label(run_id), None)


def read_header(item: Item | None, run_id: str) -> Header | None:
    """Return the header in what the store returned.

    Raises:
        JournalError: When it is no header of ours.
    """
    if item is None:
        return None
    what = "header"
    header: Header = read_record(item, run_id, _label(run_id), "header", what, _NO_HEADER)
    written = header.get("format") if isinstance(header, dict) else None
    if written not in READABLE:
        raise JournalError(
            f"run {run_id!r} was written in format {repr(written)[:20]}, and this version reads 7 to {FORMAT}: resume"
            " it with the version that began it, or give another run id"
        )
    try:
        _HEADER.validate_python(header, strict=True)
        _check_header(header)
        _complete(header)
    except (TypeError, ValueError) as error:
        raise damaged(run_id, what, _reason(error), _NO_HEADER) from error
    if header["run_id"] != run_id:
        raise damaged(run_id, what, "is that of another run", _NO_HEADER)
    return header


def _complete(header: Header) -> None:
    """Add what headers of older versions lack, as far as it is to be seen."""
    header.setdefault("simulated", _simulated(header))
    if (outcome := header["outcome"]) and "reason_code" not in outcome:
        outcome["reason_code"] = "wrong_end" if outcome.get("reason") == "wrong_end" else ""


def _simulated(header: Header) -> Literal["all", "some", "none"]:
    settings = [session["settings"] for session in header["sessions"]]
    marks = [one.get("simulated", str(one.get("model", "")).startswith(("sim:", "Simulated"))) for one in settings]
    return "none" if not any(marks) else "all" if all(marks) else "some"


def lost_in_flight(header: Header | None) -> int:
    """Return how many samples may have been in flight, and lost, where processes on this run broke off."""
    return sum(session.get("lost", 0) for session in header["sessions"]) if header else 0


def _check_header(header: Header) -> None:
    """Refuse what no run writes."""
    k, sessions, pending = header["k"], header["sessions"], header.get("pending")
    if header["stride"] < 1 or (k < 1 if isinstance(k, int) else k != "by step"):
        raise ValueError("its stride or its k is none")
    for moment in [*(session["began"] for session in sessions), header["outcome"].get("ended")]:
        if moment is not None:
            datetime.fromisoformat(moment)
    for session in sessions:
        if session["starts"] != sorted(session["starts"]) or min([session["end"], *session["starts"]]) < 0:
            raise ValueError("its lanes are none")
    if pending is not None and pending["what"] == "fork" and not {"source", "step"} <= pending.keys():
        raise ValueError("it says not what it is a fork of")
    if not sessions or not isinstance(header["outcome"].get("steps", 0), int):
        raise ValueError("it says not who worked on it, or how far it came")


def put_record(where: tuple[str, ...], run_id: str, key: str, name: str, value: Any) -> PutOp:
    """Write a record of a run, its text under `name`, with a checksum over the text, its key and the run."""
    text = json.dumps(value)
    return PutOp(where, key, {name: text, "check": check(run_id, f"{key}\n{text}")}, index=False)


def read_record(item: Item, run_id: str, key: str, name: str, what: str, remedy: str) -> Any:  # noqa: PLR0917
    """Return the value of a record in what the store returned; `what` it is and the `remedy` are for messages.

    Format 7 had no checksums: what reads a record must look at all of its fields.

    Raises:
        JournalError: When it is not as it was written there.
    """
    try:
        text = item.value[name]
        if item.value.keys() == {name}:
            return json.loads(text) if isinstance(text, str) else text
        sound = item.value["check"] == check(run_id, f"{key}\n{text}")
        value = json.loads(text) if sound else None
    except (TypeError, KeyError, ValueError, AttributeError, RecursionError) as error:
        raise damaged(run_id, what, _reason(error), remedy) from error
    if not sound:
        raise damaged(run_id, what, _ALTERED, remedy)
    return value


def read_marked(item: Item, run_id: str, key: str, what: str, remedy: str) -> Any:
    """Do what `read_record` does, of a tree, where format 7 had a checksum of what the text stands for."""
    try:
        text, checksum = item.value["record"], item.value["check"]
        value = json.loads(text)
        sound = checksum in {check(run_id, f"{key}\n{text}"), mark([run_id, key, value])}
    except (TypeError, KeyError, ValueError, AttributeError, RecursionError) as error:
        raise damaged(run_id, what, _reason(error), remedy) from error
    if not sound:
        raise damaged(run_id, what, _ALTERED, remedy)
    return value


def damaged(run_id: str, what: str, why: str, remedy: str) -> JournalError:
    """Return the error that says that a record of a run cannot be used, why, and what to do."""
    return JournalError(f"the {what} of run {repr(run_id)[:200]} {why}; {remedy}")


def _reason(error: Exception) -> str:
    """Return what a parser or a validator says, in a few words."""
    return f"cannot be read: {type(error).__name__}: {' '.join(str(error).split())[:160]}"


_ALTERED: Final = "is not as it was written there"
_NO_HEADER: Final = (
    "restore the database from a backup, or remove the run (journal.delete): nothing else says what its entries are"
    " steps of"
)


def get_node(run_id: str, key: str) -> GetOp:
    """Ask for a record of a recursive run: its head, or a node."""
    return GetOp(tree(run_id), key, refresh_ttl=False)


def get_entries(run_id: str, steps: Sequence[int], stride: int = ONE_LANE) -> list[Op]:
    """Ask for the entries of `steps`."""
    where = namespace(run_id)
    return [GetOp(where, _entry_key(step, stride), refresh_ttl=False) for step in steps]


def _entry_key(step: int, stride: int) -> str:
    return f"step-{step % stride:012d}-{step // stride:06d}"


def put_entry(run_id: str, entry: Entry, stride: int = ONE_LANE) -> PutOp:
    """Write one entry, its fields in the order of the type, with a checksum over all of it and its run."""
    values = _values(entry)
    try:
        text = orjson.dumps(values).decode()
    except TypeError:  # whole numbers of more than 64 bits
        text = _WIDE + json.dumps(values)
    value = {"entry": text, "check": check(run_id, text)}
    return PutOp(namespace(run_id), _entry_key(entry["step"], stride), value, index=False)


def drop_entry(run_id: str, step: int, stride: int = ONE_LANE) -> PutOp:
    """Remove an entry."""
    return PutOp(namespace(run_id), _entry_key(step, stride), None)


def read_entry(item: Item | None, run_id: str, step: int) -> Entry | None:
    """Return the entry in what the store returned.

    Raises:
        JournalError: When it is not the entry of this step of this run as it was written, or none that any run writes.
    """
    if item is None:
        return None
    what = f"entry of step {step}"
    remedy = f"fork the run at step {step} or before (journal.fork) to resume it from there without the later steps"
    try:
        text = item.value["entry"]
        if item.value["check"] != check(run_id, text):
            raise damaged(run_id, what, _ALTERED, remedy)
        values = json.loads(text) if text.startswith(_WIDE) else orjson.loads(text)
        entry: Entry = dict(zip(_FIELDS, values, strict=False))  # type: ignore[assignment]
        for name in _FIELDS[len(values) :]:
            entry[name] = copy(_DEFAULTS[name])  # type: ignore[literal-required]
        _check_entry(entry, step)
    except (TypeError, KeyError, ValueError, AttributeError, RecursionError) as error:
        raise damaged(run_id, what, _reason(error), remedy) from error
    return entry


def _check_entry(entry: Entry, step: int) -> None:
    """Refuse what no run writes; usage that is not known, or cannot be, is read as such."""
    if entry["step"] != step:
        raise ValueError(f"it is that of step {entry['step']!r:.20}")
    entry.update(known_usage(cast("Usage", entry)))  # type: ignore[typeddict-item]
    _ENTRY.validate_python(entry, strict=True)
    if not isinstance(entry["vote"], dict) or not {"action", "next_state"} <= entry["vote"].keys():
        raise ValueError("its vote is none")
    voted = 0 <= entry["margin"] <= entry["winner_votes"] <= entry["votes"]
    if not voted or entry["votes"] + sum(entry["flags"].values()) > entry["samples"]:
        raise ValueError("its votes are more than its samples, or its lead than its votes")


def known_usage(usage: Usage) -> Usage:
    """Return the usage, itself where it is finite and not negative; else what is not is not known, nor is its cost.

    Example:
        >>> known_usage({"input_tokens": None, "cached_input_tokens": 0, "output_tokens": 7, "cost": float("nan")})
        {'input_tokens': 0, 'cached_input_tokens': 0, 'output_tokens': 7, 'cost': None}
    """
    read, cached, written, cost = _usage(usage)
    counted = _is_count(read) and _is_count(cached) and _is_count(written)
    if counted and (cost is None or (isinstance(cost, (int, float)) and 0 <= cost < math.inf)):
        return usage
    counts = [count if _is_count(count) else 0 for count in (read, cached, written)]
    return {"input_tokens": counts[0], "cached_input_tokens": counts[1], "output_tokens": counts[2], "cost": None}


def _is_count(value: object) -> bool:
    return isinstance(value, int) and 0 <= value < 2**63


_usage: Final = itemgetter("input_tokens", "cached_input_tokens", "output_tokens", "cost")
_WIDE: Final = " "
"""What the text of an entry begins with that holds whole numbers of more than 64 bits, which the fast reader rounds."""


def writer() -> str:
    """Return this process's token, in every entry that it writes."""
    return _token(os.getpid())


@cache
def _token(pid: int) -> str:
    return f"{pid}-{uuid4().hex[:8]}"


@lru_cache(maxsize=64)
def namespace(run_id: str) -> tuple[str, ...]:
    """Return where a run's entries and open ballots are."""
    return (ROOT, "runs", _label(run_id))


def calibration(run_id: str) -> tuple[str, ...]:
    """Return where the answers of a calibration are, and what was found."""
    return (ROOT, "calibrations", _label(run_id))


def batches(run_id: str) -> tuple[str, ...]:
    """Return where it is recorded which batches hold which requests of a run."""
    return (ROOT, "batches", _label(run_id))


def blocks(run_id: str) -> tuple[str, ...]:
    """Return where it is recorded which worker has which lanes of a run, and how far it is."""
    return (ROOT, "blocks", _label(run_id))


def evidence(run_id: str) -> tuple[str, ...]:
    """Return where processes say that another had taken the run over while they wrote it, each under its own name."""
    return (ROOT, "mixed", _label(run_id))


def tree(run_id: str) -> tuple[str, ...]:
    """Return where the tree of a recursive run is."""
    return (ROOT, "trees", _label(run_id))


@lru_cache(maxsize=64)
def _label(run_id: str) -> str:
    """Return the run id as stores can hold it: no dots, bounded length, no two alike, none the beginning of another."""
    label = quote(run_id.encode("utf-8", "surrogatepass"), safe="").replace(".", "%2E").replace("~", "%7E")
    if len(label) > 200:  # noqa: PLR2004 - Postgres bounds the length of a key
        label = f"~{blake2b(label.encode(), digest_size=16).hexdigest()}"
    return f"{label}~"


def name_of(item: Item) -> str:
    """Return the id of the run whose header this is: from its key, or where that is too short, from the header."""
    if not item.key.startswith("~"):
        return unquote(item.key.removesuffix("~"), errors="surrogatepass")
    with suppress(TypeError, KeyError, ValueError, AttributeError, RecursionError):
        run_id = json.loads(item.value["header"])["run_id"]
        if _label(run_id) == item.key:
            return str(run_id)
    return item.key


def check(run_id: str, text: str) -> str:
    """Return a checksum over what is written, and the run it belongs to."""
    return blake2b(f"{_label(run_id)}\n{text}".encode(), digest_size=6).hexdigest()
