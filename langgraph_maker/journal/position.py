"""The position of a run: its lanes, its totals, its open ballots."""

from __future__ import annotations

from typing import Any

from typing_extensions import TypedDict

from langgraph_maker.core.events import Totals
from langgraph_maker.core.state import BallotState

__all__ = ["Lane", "RunPosition"]


class Lane(TypedDict):
    """A stretch of the chain: the next `step` to decide, the step it ends before, its `state`.

    `mark` is the state's fingerprint, `goal` the one it must have at the end: where the next lane began ("": none did).
    """

    step: int
    end: int
    state: Any
    mark: str
    goal: str


class RunPosition(TypedDict):
    """The lanes, what was done so far, and the ballots still open.

    `revision` counts the rounds that committed something. What the last one `closed` are steps whose records of open
    ballots may be dropped now: never in the batch that commits the steps, of which a store may do a part.
    """

    revision: int
    lanes: list[Lane]
    totals: Totals
    ballots: list[BallotState]
    stride: int
    closed: list[int]
