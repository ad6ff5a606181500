"""What a step shows beside its votes: numbers that its entry keeps, that totals add up, and that alarms look at.

A new one is a line here: it needs no field of its own in a journal.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from langgraph_maker.core.state import BallotState

__all__ = ["SIGNALS", "signals_of"]

SIGNALS: Final[Mapping[str, Callable[[BallotState], int]]] = {
    "refused": lambda ballot: int("refusal" in ballot["flags"]),
}
"""By their names in `journal.Entry` and `events.Totals`, where they are kept unless they are 0."""


def signals_of(ballot: BallotState) -> dict[str, int]:
    """Return what a decided ballot shows."""
    return {name: value for name, signal in SIGNALS.items() if (value := signal(ballot))}
