"""The journal: the full record of a run, one entry a committed step, on any LangGraph `BaseStore`.

Entries are canonical JSON text under keys computed from the run id and the step, so that a node that runs
twice writes the same entry to the same place.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any
from urllib.parse import quote

from langgraph.store.base import BaseStore, GetOp, PutOp
from typing_extensions import TypedDict

from langgraph_maker.errors import JournalError

__all__ = ["Entry", "puts", "read"]

_BATCH = 1024


class Entry(TypedDict):
    """One committed step: the winning vote as it was cast, and what deciding it took."""

    step: int
    vote: Any
    votes: int
    samples: int
    flags: dict[str, int]
    rounds: int
    input_tokens: int
    output_tokens: int


def puts(run_id: str, entries: Sequence[Entry]) -> list[PutOp]:
    """The store operations that write `entries`, for one `batch` or `abatch`."""
    namespace = _namespace(run_id)
    return [
        PutOp(namespace, _key(entry["step"]), {"entry": json.dumps(entry, sort_keys=True)}, index=False)
        for entry in entries
    ]


def read(store: BaseStore, run_id: str, start: int = 0) -> Iterator[Entry]:
    """Iterate over a run's entries in order, from step `start` to the first gap.

    Raises:
        JournalError: When an entry is not one of ours.
    """
    namespace = _namespace(run_id)
    while True:
        steps = range(start, start + _BATCH)
        for step, item in zip(steps, store.batch([GetOp(namespace, _key(step)) for step in steps]), strict=True):
            if item is None:
                return
            try:
                entry: Entry = json.loads(item.value["entry"])  # type: ignore[union-attr]
            except (TypeError, KeyError, ValueError) as error:
                raise JournalError(f"the entry of step {step} of run {run_id!r} cannot be read: {error}") from error
            yield entry
        start += _BATCH


def _key(step: int) -> str:
    return f"step-{step:016d}"


def _namespace(run_id: str) -> tuple[str, str]:
    """Labels may hold neither dots nor what a database's text cannot, so the run id is percent-encoded."""
    return ("langgraph_maker", quote(run_id.encode("utf-8", "surrogatepass"), safe="").replace(".", "%2E"))
