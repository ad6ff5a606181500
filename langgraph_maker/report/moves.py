"""Moves for a picture that moves: what a run did, thinned out where it is long."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from langgraph_maker.journal.records import Entry

__all__ = ["FRAMES", "Moves", "hanoi"]

FRAMES = 4096
"""The most positions that are kept."""


class Moves(Protocol):
    """Is shown every entry of a run, in any order, and keeps what there is to draw."""

    def see(self, entries: Iterable[Entry]) -> None:
        """Take entries in."""
        ...

    def found(self) -> dict[str, Any] | None:
        """Return what there is to draw, as plain data; None when the entries are not those that were expected."""
        ...


def hanoi(parameters: Mapping[str, Any], steps: int) -> Moves | None:
    """Return the positions of a Towers of Hanoi; None when `parameters` are not those of one."""
    disks = parameters.get("disks")
    return _Pegs(disks, steps) if isinstance(disks, int) and 1 <= disks <= _MOST_DISKS and steps else None


_MOST_DISKS = 64


class _Pegs:
    """Every so many moves a position: a power of two, so that a tower moves as one disk and the play stays one.

    Example:
        >>> pegs = _Pegs(1, 1)
        >>> pegs.see([{"step": 0, "vote": {"action": [1, 0, 2], "next_state": [[], [], [1]]}}])
        >>> pegs.found()
        {'kind': 'hanoi', 'disks': 1, 'every': 1, 'steps': [0, 1], 'pegs': [[[1], [], []], [[], [], [1]]]}
    """

    def __init__(self, disks: int, steps: int) -> None:
        self.disks = disks
        self.every = 1 << max(0, (steps - 1) // FRAMES).bit_length()
        self.last = 0
        self.pegs: dict[int, Any] = {0: [list(range(disks, 0, -1)), [], []]}

    def see(self, entries: Iterable[Entry]) -> None:
        for entry in entries:
            moves = entry["step"] + 1
            if moves > self.last:  # the end is shown, wherever it falls
                if self.last % self.every:
                    del self.pegs[self.last]
                self.last = moves
                self.pegs[moves] = entry["vote"]["next_state"]
            elif moves % self.every == 0:
                self.pegs[moves] = entry["vote"]["next_state"]

    def found(self) -> dict[str, Any] | None:
        steps = sorted(self.pegs)
        pegs = [self.pegs[moves] for moves in steps]
        if not all(self.holds(position) for position in pegs):
            return None
        return {"kind": "hanoi", "disks": self.disks, "every": self.every, "steps": steps, "pegs": pegs}

    def holds(self, position: Any) -> bool:
        """Return whether it is three lists that hold each disk once: a task of another make may have the same name."""
        return (
            isinstance(position, list)
            and [type(peg) for peg in position] == [list] * 3
            and all(type(disk) is int for peg in position for disk in peg)
            and sorted(disk for peg in position for disk in peg) == list(range(1, self.disks + 1))
        )
