"""The position of a run: its lanes, its totals, its open ballots."""

from __future__ import annotations

from typing import Any
from weakref import WeakKeyDictionary

from langgraph.store.base import BaseStore
from typing_extensions import TypedDict

from langgraph_maker.core.events import Totals
from langgraph_maker.core.state import BallotState
from langgraph_maker.journal.tenants import root_of, scoped

__all__ = ["Lane", "Position", "forget", "hand_over", "handed_over", "known", "remember"]


class Lane(TypedDict):
    """A stretch of the chain: the next `step` to decide, the step it ends before, its `state`.

    `mark` is the state's fingerprint, `goal` the one it must have at the end: where the next lane began ("": none did).
    """

    step: int
    end: int
    state: Any
    mark: str
    goal: str


class Position(TypedDict):
    """The lanes, what was done so far, and the ballots still open.

    `revision` counts the rounds that committed something. What the last one `closed` are steps whose records of open
    ballots may be dropped now: never in the batch that commits the steps, of which a store may do a part.
    """

    lanes: list[Lane]
    totals: Totals
    ballots: list[BallotState]
    stride: int
    revision: int
    closed: list[int]


_known: WeakKeyDictionary[BaseStore, dict[str, Position]] = WeakKeyDictionary()


_handed: WeakKeyDictionary[BaseStore, dict[str, Position]] = WeakKeyDictionary()


def known(store: BaseStore, run_id: str) -> Position | None:
    """Return where this process last saw the journal of a run end."""
    return _known.get(root_of(store), {}).get(scoped(store, run_id))


def remember(store: BaseStore, run_id: str, position: Position) -> None:
    """Keep where the journal of a run ends, so that the next node need not look."""
    _known.setdefault(root_of(store), {})[scoped(store, run_id)] = position


def forget(store: BaseStore, run_id: str) -> None:
    """Drop what is known of a run."""
    _known.get(root_of(store), {}).pop(scoped(store, run_id), None)


def hand_over(store: BaseStore, run_id: str, position: Position) -> None:
    """Let the next invocation begin where the last one ended, for a caller that held the run all the while."""
    _handed.setdefault(root_of(store), {})[scoped(store, run_id)] = position


def handed_over(store: BaseStore, run_id: str) -> Position | None:
    """Return what was handed over, once."""
    return _handed.get(root_of(store), {}).pop(scoped(store, run_id), None)
