"""The moves of Towers of Hanoi: the strategy that every prompt teaches, and the states it goes through."""

from __future__ import annotations

from typing import TypeAlias

from langgraph_maker.core.task import State, Vote

__all__ = ["Pegs", "moved", "state_after", "strategy"]

Pegs: TypeAlias = list[list[int]]


def strategy(previous: list[int] | None, pegs: Pegs, turn: int) -> Vote:
    """Return the one answer: disk 1 moves `turn` pegs on, or stays and the only other legal move is made."""
    here = next(peg for peg in range(3) if pegs[peg][-1:] == [1])
    if previous is None or previous[:1] != [1]:
        start, end = here, (here + turn) % 3
    else:
        start, end = (here + 1) % 3, (here + 2) % 3
        if not pegs[start] or (pegs[end] and pegs[end][-1] < pegs[start][-1]):
            start, end = end, start
        if not pegs[start]:
            raise ValueError(f"no move is left in {pegs} after {previous}")
    return {"action": [pegs[start][-1], start, end], "next_state": moved(pegs, start, end)}


def moved(pegs: Pegs, start: int, end: int) -> Pegs:
    """Return the pegs once the top disk of `start` lies on `end`."""
    after = [[*peg] for peg in pegs]
    after[end].append(after[start].pop())
    return after


def state_after(moves: int, disks: int, turn: int) -> State:
    """Return the state after so many moves of the strategy, in closed form.

    After t moves disk d has moved ⌊t / 2^d + 1/2⌋ times, always the same way round, odd disks like disk 1 and even
    ones the other way.

    Example:
        >>> state_after(3, disks=2, turn=1)
        {'previous': [1, 1, 2], 'pegs': [[], [], [2, 1]]}
    """
    pegs: Pegs = [[], [], []]
    for disk in range(disks, 0, -1):
        pegs[_peg(disk, moves, turn)].append(disk)
    last = (moves & -moves).bit_length()  # the disk that the last move was of
    previous = [last, _peg(last, moves - 1, turn), _peg(last, moves, turn)] if moves else None
    return {"previous": previous, "pegs": pegs}


def _peg(disk: int, moves: int, turn: int) -> int:
    times = (moves + (1 << disk - 1)) >> disk
    return times * (turn if disk % 2 else -turn) % 3
