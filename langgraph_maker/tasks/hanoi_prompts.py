"""What a microagent of Towers of Hanoi is told, in six variants: two wordings by three worked examples.

No two variants share more than one of the wording, the worked example and the order of the sections.
"""

from __future__ import annotations

from typing import Final

from langgraph_maker.tasks.hanoi_moves import state_after, strategy

__all__ = ["instructions"]


def instructions(disks: int, turn: int) -> list[str]:
    """Return the instructions of each variant, the same at every step of a puzzle whose disk 1 turns by `turn`."""
    way_round = "clockwise: 0 > 1 > 2 > 0" if turn > 0 else "counter-clockwise: 0 > 2 > 1 > 0"
    texts = []
    for wording, moves, order in _VARIANTS:
        sections = {name: text.format(disks=disks, way_round=way_round) for name, text in wording.items()}
        sections["example"] = _example(moves, turn)
        texts.append("\n\n".join(sections[name] for name in ("role", *order, "output")))
    return texts


def _example(moves: int, turn: int) -> str:
    """Return the step after so many moves of a small puzzle whose disk 1 turns the same way, with its answer."""
    height = 4 if turn > 0 else 5
    state = state_after(moves, height, turn)
    (disk, _, here), pegs = state["previous"], state["pegs"]
    answer = strategy(state["previous"], pegs, turn)
    moving, start, end = answer["action"]
    if moving == 1:
        why = (
            f"The previous move was of disk {disk}, so it is disk 1's turn. It lies on peg {start}, and the next peg in"
            f" its order is peg {end}, so disk 1 goes from peg {start} to peg {end}."
        )
    else:
        first, second = sorted((start, end))
        there = f"the larger disk {pegs[end][-1]}" if pegs[end] else "is empty"
        why = (
            f"Disk 1 has just been moved to peg {here}, so it stays there. Of pegs {first} and {second}, peg {start}"
            f" has disk {moving} on top and peg {end} {there}, so disk {moving} goes from peg {start} to peg {end}."
        )
    return f"""\
EXAMPLE (of a puzzle with {height} disks)
Previous move: {state["previous"]}
Current state: {pegs}
{why}
move = {answer["action"]}
next_state = {answer["next_state"]}"""


_PLAIN: Final = {
    "role": """\
You carry out a single step of a Towers of Hanoi puzzle. Other people do the steps before and after yours, \
so work out this one move and nothing beyond it.""",
    "rules": """\
RULES
- There are three pegs, numbered 0, 1 and 2, and {disks} disks, numbered by size: disk 1 is the smallest, \
disk {disks} the largest.
- A state is written as three lists, for pegs 0, 1 and 2 in that order. Each list names the disks on its \
peg from bottom to top, so the last number is the disk on top. A peg without disks is written [].
- A move is written [disk, from, to]: the disk, the peg it leaves and the peg it lands on.
- Only the top disk of a peg can be moved, and it becomes the top disk of another peg.
- A disk may land on an empty peg or on a larger disk, never on a smaller one.
- The puzzle began with all disks on peg 0 and is over when all of them are on peg 2.""",
    "choice": """\
HOW TO CHOOSE THE MOVE
You are told the previous move and the current state. One of two cases holds:
1. The previous move was of a disk other than 1, or there was none (None). Then move disk 1 to the next peg \
{way_round}.
2. The previous move was of disk 1. Then leave disk 1 where it is. Between the two other pegs just one move \
is legal: the smaller of their two top disks goes onto the other of these pegs. If one of them is empty, \
the top disk of the other one goes there.""",
    "writing": """\
HOW TO WRITE THE NEXT STATE
Copy the three lists of the current state. Remove the disk from the end of the list of the peg it leaves, \
and add it to the end of the list of the peg it lands on. Nothing else changes, and every disk still \
appears once.""",
    "output": """\
OUTPUT
Reason in a few short sentences if it helps. Then end with exactly these two lines, filled in with numbers, \
and write nothing after them:
move = [disk, from, to]
next_state = [[...], [...], [...]]""",
}

_REWORDED: Final = {
    "role": """\
A tower of disks is being carried from one peg to another, and you make exactly one of the moves. Say which \
disk moves where, and what the pegs look like afterwards.""",
    "rules": """\
THE PUZZLE
You see {disks} disks on the pegs 0, 1 and 2. A disk's number is its size, from 1, the smallest, up to \
{disks}. Each peg is a list that starts with its lowest disk and ends with its top disk; [] is a peg on which \
nothing lies. [[...], [...], [...]] is peg 0, then peg 1, then peg 2. The move [disk, from, to] takes the last \
number of list `from` and puts it at the end of list `to`. It is allowed only if that list is empty or ends \
with a larger number. At the start every disk was on peg 0; the aim is to have every disk on peg 2.""",
    "choice": """\
WHICH DISK MOVES
Look at the first number of the previous move.
- If it is 1, disk 1 must rest now. Look only at the two pegs that do not hold disk 1, and compare the disks \
on top of them. The smaller one moves onto the larger one; if one of the two pegs is empty, the disk on top \
of the other moves to the empty peg.
- If it is any other number, or the previous move is None, disk 1 moves. It always goes one peg further \
{way_round}.""",
    "writing": """\
THE STATE AFTERWARDS
Two of the three lists change, by one number each: the list of the peg that the disk left loses its last \
number, and the list of the peg that it went to gains that number at its end. The third list stays the same.""",
    "output": """\
YOUR ANSWER
You may think it through briefly first. The last two lines of your answer, with nothing below them, are these \
with the numbers put in:
move = [disk, from, to]
next_state = [[...], [...], [...]]""",
}

_ORDER: Final = ("rules", "choice", "writing", "example")
_EXAMPLE_EARLY: Final = ("rules", "example", "choice", "writing")
_CHOICE_LAST: Final = ("rules", "writing", "example", "choice")

# wording, moves made before the worked example, order: disk 1 stays after moves 1 and 5, and goes after move 2
_VARIANTS: Final = (
    (_PLAIN, 1, _ORDER),
    (_REWORDED, 2, _ORDER),
    (_PLAIN, 5, _EXAMPLE_EARLY),
    (_REWORDED, 1, _EXAMPLE_EARLY),
    (_PLAIN, 2, _CHOICE_LAST),
    (_REWORDED, 5, _CHOICE_LAST),
)
