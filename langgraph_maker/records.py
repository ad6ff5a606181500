"""How a run is laid out in a store, and how it is reached: keys, entries, and plans of store operations.

Everything is canonical text under keys computed from the run id and the step, because stores differ in what values
they take and in how they order a search.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from functools import cache, lru_cache
from hashlib import blake2b
from typing import Any, Final, Literal, NotRequired
from urllib.parse import quote
from uuid import uuid4

import orjson
from langgraph.store.base import GetOp, Item, Op, PutOp
from typing_extensions import TypedDict

from langgraph_maker.ballot import canonical_bytes
from langgraph_maker.errors import JournalError

__all__ = [
    "Entry",
    "Header",
    "Session",
    "calibration",
    "check",
    "check_id",
    "drop_entry",
    "drop_header",
    "get_entries",
    "get_header",
    "mark",
    "namespace",
    "put_entry",
    "put_header",
    "read_entry",
    "read_header",
    "tree",
    "writer",
]

ROOT: Final = "langgraph_maker"
HEADERS: Final = (ROOT, "headers")
ONE_LANE: Final = 10**12
"""The stride of a run that began with one lane: the first so many steps have keys in their own order.

The lanes of a run that began with several are a stride apart. Keys go by the place in the stride first, so that what
lanes write side by side lies side by side in the database, which is then twice as fast."""
FORMAT: Final = 7
"""Of headers and entries; a journal of another format is not read."""


class Entry(TypedDict):
    """One committed step: the winning vote as it was cast, and what deciding it took, `cost` in dollars.

    `margin` is by how many of its `votes` it led, at least the k of its step; `winner_votes` were for it, and
    `drifted` for its action with another next state. `alike` is 1 where the second and the third answer were the same
    text and another than the first one's, -1 where the first two were and the third was another; where two votes were
    counted first, and differed, it is of votes, and -1 where the third was equal to the first. `tier` is where on the
    ladder it was decided; where `human`, a human said what the vote is, and `margin` is 0. `finer` is the number of
    finer steps that it was done in (`ladder.Split`), 0 if it was voted on as a whole; `votes` and `winner_votes` are
    then sums over them, and `margin` is the least of theirs. Of its `audits` so many `disagreed`.
    `start` and `end` are marks of the states before and after, so that each entry can be seen to follow the last.
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


class Session(TypedDict):
    """One process's work on a run: what may change from one to the next. Its lanes began at the steps `starts`."""

    writer: str
    began: str
    settings: dict[str, Any]
    starts: list[int]
    end: int


class Header(TypedDict):
    """What a run is: fixed are the task, its parameters and k. `outcome` is how it stood when it last ended.

    `k` is "by step" where each step has its own. `stride` is how its entries' keys are laid out, see `ONE_LANE`. `kind`
    is "tree" for a recursive run, which has no entries, and a record for each node instead.
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


def check_id(run_id: object) -> str:
    """Return `run_id`.

    Raises:
        ValueError: When it is no text, or an empty one.
    """
    if not isinstance(run_id, str) or not run_id:
        raise ValueError(f"a run id is a text that is not empty, not {run_id!r}")
    return run_id


def get_header(run_id: str) -> GetOp:
    """Asks for a run's header."""
    return GetOp(HEADERS, _label(run_id), refresh_ttl=False)


def put_header(header: Header) -> PutOp:
    """Writes a run's header."""
    return PutOp(HEADERS, _label(header["run_id"]), {"header": json.dumps(header, sort_keys=True)}, index=False)


def drop_header(run_id: str) -> PutOp:
    """Removes a run's header."""
    return PutOp(HEADERS, _label(run_id), None)


def read_header(item: Item | None, run_id: str) -> Header | None:
    """The header in what the store returned.

    Raises:
        JournalError: When it is no header of ours.
    """
    if item is None:
        return None
    try:
        header: Header = json.loads(item.value["header"])
        written, of = header["format"], header["run_id"]
    except (TypeError, KeyError, ValueError) as error:
        raise JournalError(f"the header of run {run_id!r} cannot be read: {error}") from error
    if written != FORMAT:
        raise JournalError(
            f"run {run_id!r} was written in format {written!r:.20}, and this version reads {FORMAT}: go on with the"
            " version that began it, or give another run id"
        )
    if of != run_id:
        raise JournalError(f"the header of run {run_id!r} is that of another run")
    return header


def get_entries(run_id: str, steps: Sequence[int], stride: int = ONE_LANE) -> list[Op]:
    """Asks for the entries of `steps`."""
    where = namespace(run_id)
    return [GetOp(where, _entry_key(step, stride), refresh_ttl=False) for step in steps]


def _entry_key(step: int, stride: int) -> str:
    return f"step-{step % stride:012d}-{step // stride:06d}"


def put_entry(run_id: str, entry: Entry, stride: int = ONE_LANE) -> PutOp:
    """Writes one entry, with a checksum over all of it and the run it belongs to."""
    text = orjson.dumps([*entry.values()]).decode()
    value = {"entry": text, "check": check(run_id, text)}
    return PutOp(namespace(run_id), _entry_key(entry["step"], stride), value, index=False)


def drop_entry(run_id: str, step: int, stride: int = ONE_LANE) -> PutOp:
    """Removes an entry."""
    return PutOp(namespace(run_id), _entry_key(step, stride), None)


def read_entry(item: Item | None, run_id: str, step: int) -> Entry | None:
    """The entry in what the store returned.

    Raises:
        JournalError: When it is not the entry of this step of this run as it was written.
    """
    if item is None:
        return None
    try:
        text = item.value["entry"]
        values = orjson.loads(text)
        entry: Entry = dict(zip(Entry.__annotations__, values, strict=True))  # type: ignore[assignment]
        sound = item.value["check"] == check(run_id, text) and entry["step"] == step
    except (TypeError, KeyError, ValueError, AttributeError, RecursionError) as error:
        raise JournalError(f"the entry of step {step} of run {run_id!r} cannot be read: {error}") from error
    if not sound:
        raise JournalError(f"the entry of step {step} of run {run_id!r} is not as it was written there")
    return entry


def mark(state: Any) -> str:
    """A short fingerprint of a state, which is `plain`."""
    return blake2b(canonical_bytes(state), digest_size=6).hexdigest()


def writer() -> str:
    """This process's token, in every entry that it writes."""
    return _token(os.getpid())


@cache
def _token(pid: int) -> str:
    return f"{pid}-{uuid4().hex[:8]}"


@lru_cache(maxsize=64)
def namespace(run_id: str) -> tuple[str, ...]:
    """Where a run's entries and open ballots are."""
    return (ROOT, "runs", _label(run_id))


def calibration(run_id: str) -> tuple[str, ...]:
    """Where the answers of a calibration are, and what was found."""
    return (ROOT, "calibrations", _label(run_id))


def tree(run_id: str) -> tuple[str, ...]:
    """Where the tree of a recursive run is."""
    return (ROOT, "trees", _label(run_id))


@lru_cache(maxsize=64)
def _label(run_id: str) -> str:
    """The run id as stores can hold it: no dots, bounded length, no two ids alike, none the beginning of another."""
    label = quote(run_id.encode("utf-8", "surrogatepass"), safe="").replace(".", "%2E").replace("~", "%7E")
    if len(label) > 200:  # noqa: PLR2004 - Postgres bounds the length of a key
        label = f"~{blake2b(label.encode(), digest_size=16).hexdigest()}"
    return f"{label}~"


def check(run_id: str, text: str) -> str:
    """A checksum over what is written, and the run it belongs to."""
    return blake2b(f"{_label(run_id)}\n{text}".encode(), digest_size=6).hexdigest()
