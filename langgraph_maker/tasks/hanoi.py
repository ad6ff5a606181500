r"""Towers of Hanoi: 2^n - 1 dependent steps, one microagent each (MAKER, arXiv 2511.09030, section 4).

A state is what one microagent needs to know: the move before and the pegs. A vote is the move and the pegs
that the model says follow. Neither the parser nor `advance` consults the rules of the puzzle: a wrong answer
in the right form is a vote, and it takes other votes to beat it.

    >>> task = TowersOfHanoi(disks=3)
    >>> vote = task.parse("Disk 1 goes first.\nmove = [1, 0, 2]\nnext_state = [[3, 2], [], [1]]")
    >>> task.advance(task.initial_state(), vote)
    {'previous': [1, 0, 2], 'pegs': [[3, 2], [], [1]]}
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any, Final, TypeAlias

import orjson
from langchain_core.messages import BaseMessage, HumanMessage, SystemMessage

from langgraph_maker.red_flags import RedFlag
from langgraph_maker.task import Segment, State, Task, Vote

__all__ = ["TowersOfHanoi"]

Pegs: TypeAlias = list[list[int]]

MAX_DISKS: Final = 30


class TowersOfHanoi(Task):
    """Move all disks from peg 0 to peg 2, one disk at a time, never a larger one onto a smaller.

    A state is `{"previous": [disk, from, to] or None, "pegs": [[...], [...], [...]]}`, each peg listed
    from bottom to top. Disk 1, the smallest, makes every second move, always the same way round: clockwise
    (0, 1, 2, 0) for an even number of disks, counter-clockwise for an odd one, so that either ends on peg 2.

    Args:
        disks: Number of disks, 1 to 30: 2^disks - 1 steps.
        repairing: Read responses with the repairing parser, which takes what it can, instead of the flagging
            one: for the red-flag ablation, because repaired answers bring correlated errors.

    Raises:
        ValueError: When `disks` is not a whole number from 1 to 30.

    Example:
        >>> task = TowersOfHanoi(disks=4)
        >>> task.steps
        15
        >>> print(task.prompt(task.initial_state())[-1].text)
        Previous move: None
        Current state: [[4, 3, 2, 1], [], []]
        >>> task.oracle(task.initial_state())
        {'action': [1, 0, 1], 'next_state': [[4, 3, 2], [1], []]}
    """

    name = "hanoi"

    def __init__(self, disks: int = 10, *, repairing: bool = False) -> None:
        if not isinstance(disks, int) or isinstance(disks, bool) or not 1 <= disks <= MAX_DISKS:
            raise ValueError(f"disks is a whole number from 1 to {MAX_DISKS}, not {disks!r}")
        self.disks = disks
        self.repairing = repairing
        self.steps = 2**disks - 1
        self._turn = 1 if disks % 2 == 0 else -1
        self._ascending = list(range(1, disks + 1))
        self._goal: Pegs = [[], [], self._ascending[::-1]]
        self._instructions = SystemMessage(_instructions(disks, self._turn))

    def __repr__(self) -> str:
        return f"TowersOfHanoi(disks={self.disks}, repairing={self.repairing})"

    def initial_state(self) -> State:
        """All disks on peg 0, and no move before."""
        return {"previous": None, "pegs": [self._ascending[::-1], [], []]}

    def is_done(self, state: State) -> bool:
        """Whether all disks lie on peg 2, in order."""
        return bool(state["pegs"] == self._goal)

    def prompt(self, state: State) -> list[BaseMessage]:
        """φ: the instructions, the same for every state so that a provider can cache them, then the state."""
        return [
            self._instructions,
            HumanMessage(f"Previous move: {state['previous']}\nCurrent state: {state['pegs']}"),
        ]

    def parse(self, text: str) -> Vote:
        r"""ψ: the move and the next state that `text` ends on.

        The last `move = [` and the last `next_state = [` decide, in any letter case and with markdown stars
        or backticks around; a malformed last one is not made good by an earlier one. A colon does not stand
        for the equals sign: `Previous move: [...]` is the prompt's wording, which models quote. The move is
        three integers of at most nine digits, the state three lists that hold each disk once. That is all:
        whether the move is legal, or fits the state, is left to the vote.

        With `repairing`, the last occurrence from which anything can be read counts, colons and missing
        brackets or commas are forgiven, and nothing is checked.

        Raises:
            RedFlag: `no_move` or `no_state` for what is missing, `bad_move` or `bad_state` if malformed.

        Example:
            >>> TowersOfHanoi(2).parse("move = [1, 0]\nnext_state = [[2], [1], []]")
            Traceback (most recent call last):
            langgraph_maker.red_flags.RedFlag: bad_move: '[1, 0]\nnext_state = [[2], [1], []]'
            >>> TowersOfHanoi(2, repairing=True).parse("move = [1, 0, 1\nnext_state = [[2], [1], []")
            {'action': [1, 0, 1], 'next_state': [[2], [1], []]}
        """
        if self.repairing:
            return _parse_repairing(text)
        return _parse_flagging(text, self._ascending)

    def advance(self, state: State, vote: Vote) -> State:  # noqa: ARG002 - the vote holds all that follows
        """The state that the model wrote and the vote chose, not one computed from the move."""
        return {"previous": vote["action"], "pegs": vote["next_state"]}

    def step_type(self, state: State) -> str:
        """Which of the strategy's two rules applies."""
        return "another disk" if state["previous"] and state["previous"][0] == 1 else "disk 1"

    def oracle(self, state: State) -> Vote:
        """The one answer that follows the strategy: disk 1 one peg on, or the only legal move without disk 1.

        It answers any legal position, also one off the shortest path.

        Raises:
            ValueError: When the pegs are not a legal position of this many disks, or no move is left.
        """
        pegs = state["pegs"]
        if (
            len(pegs) != len(self._goal)
            or sorted(pegs[0] + pegs[1] + pegs[2]) != self._ascending
            or any(peg != sorted(peg, reverse=True) for peg in pegs)
        ):
            raise ValueError(f"{pegs} is not a legal position of {self.disks} disks on three pegs")
        return _strategy(state["previous"], pegs, self._turn)

    def read_state(self, messages: Sequence[BaseMessage]) -> State:
        """The state that a prompt of this task was written for, read from the last human message.

        Raises:
            ValueError: When that message does not show a previous move and a current state as `prompt` does.
        """
        text = next((message.text for message in reversed(messages) if isinstance(message, HumanMessage)), "")
        try:
            if shown := _SHOWN.search(text):
                return {"previous": orjson.loads(shown[1] or "null"), "pegs": orjson.loads(shown[2])}
        except ValueError:  # the numbers in the lists are no JSON: the same verdict as no lists at all
            pass
        raise ValueError(
            "not a prompt of TowersOfHanoi: the last human message must show 'Previous move: [1, 0, 2]' and "
            f"then 'Current state: [[...], [...], [...]]' in numbers, not {text[:80]!r}"
        )

    def render(self, vote: Vote) -> str:
        """How a model words `vote`, for simulation: a sentence, then the two lines that the prompt asks for."""
        disk, start, end = vote["action"]
        return (
            f"Disk {disk} is on top of peg {start} and goes to peg {end}.\n"
            f"move = {vote['action']}\nnext_state = {vote['next_state']}"
        )

    def segments(self, lanes: int) -> list[Segment]:
        """Cut the run into lanes of equal length. Their starts come from the closed form of the strategy's states.

        After t moves disk d has moved ⌊t / 2^d + 1/2⌋ times, always the same way round, odd disks like disk 1 and
        even ones the other way.

        Example:
            >>> [(lane["step"], lane["state"]["pegs"]) for lane in TowersOfHanoi(2).segments(2)]
            [(0, [[2, 1], [], []]), (1, [[2], [1], []])]
        """
        steps = 2**self.disks - 1
        lanes = min(lanes, steps)
        cuts = [lane * steps // lanes for lane in range(lanes + 1)]
        return [{"step": step, "end": end, "state": self._state(step)} for step, end in pairwise(cuts)]

    def _state(self, moves: int) -> State:
        if moves == 0:
            return self.initial_state()
        pegs: Pegs = [[], [], []]
        for disk in reversed(self._ascending):
            pegs[self._peg(disk, moves)].append(disk)
        last = (moves & -moves).bit_length()  # the disk that the last move was of
        return {"previous": [last, self._peg(last, moves - 1), self._peg(last, moves)], "pegs": pegs}

    def _peg(self, disk: int, moves: int) -> int:
        moved = (moves + (1 << disk - 1)) >> disk
        return moved * (self._turn if disk % 2 else -self._turn) % 3

    def parameters(self) -> dict[str, Any]:
        """The number of disks; how responses are read may change from one session of a run to the next."""
        return {"disks": self.disks}

    def wrong_votes(self, state: State) -> list[Vote]:
        """Likely wrong answers, for simulation: each other legal move, and the right move with a wrong next state.

        The wrong next states are: the disk on the third peg, and no disk moved.

        Example:
            >>> [vote["action"] for vote in TowersOfHanoi(2).wrong_votes({"previous": None, "pegs": [[2, 1], [], []]})]
            [[1, 0, 2], [1, 0, 1], [1, 0, 1]]
        """
        right = self.oracle(state)
        pegs = state["pegs"]
        action, (_, start, end) = right["action"], right["action"]
        moves = [
            Vote(action=[peg[-1], here, there], next_state=_moved(pegs, here, there))
            for here, peg in enumerate(pegs)
            for there, other in enumerate(pegs)
            if peg and (not other or other[-1] > peg[-1])
        ]
        return [
            *(move for move in moves if move != right),
            Vote(action=action, next_state=_moved(pegs, start, 3 - start - end)),
            Vote(action=action, next_state=[[*peg] for peg in pegs]),
        ]


def _moved(pegs: Pegs, start: int, end: int) -> Pegs:
    after = [[*peg] for peg in pegs]
    after[end].append(after[start].pop())
    return after


def _instructions(disks: int, turn: int) -> str:
    near, far = turn % 3, -turn % 3  # where disk 1 goes from peg 0, and the peg that leaves free
    previous = [1, 0, near]
    height = 4 if turn > 0 else 5  # a puzzle in which disk 1 goes the same way round
    pegs: Pegs = [list(range(height, 1, -1)), [], []]
    pegs[near] = [1]
    answer = _strategy(previous, pegs, turn)
    way_round = "clockwise: 0 > 1 > 2 > 0" if turn > 0 else "counter-clockwise: 0 > 2 > 1 > 0"
    return f"""\
You carry out a single step of a Towers of Hanoi puzzle. Other people do the steps before and after yours, \
so work out this one move and nothing beyond it.

RULES
- There are three pegs, numbered 0, 1 and 2, and {disks} disks, numbered by size: disk 1 is the smallest, \
disk {disks} the largest.
- A state is written as three lists, for pegs 0, 1 and 2 in that order. Each list names the disks on its \
peg from bottom to top, so the last number is the disk on top. A peg without disks is written [].
- A move is written [disk, from, to]: the disk, the peg it leaves and the peg it lands on.
- Only the top disk of a peg can be moved, and it becomes the top disk of another peg.
- A disk may land on an empty peg or on a larger disk, never on a smaller one.
- The puzzle began with all disks on peg 0 and is over when all of them are on peg 2.

HOW TO CHOOSE THE MOVE
You are told the previous move and the current state. One of two cases holds:
1. The previous move was of a disk other than 1, or there was none (None). Then move disk 1 to the next peg \
{way_round}.
2. The previous move was of disk 1. Then leave disk 1 where it is. Between the two other pegs just one move \
is legal: the smaller of their two top disks goes onto the other of these pegs. If one of them is empty, \
the top disk of the other one goes there.

HOW TO WRITE THE NEXT STATE
Copy the three lists of the current state. Remove the disk from the end of the list of the peg it leaves, \
and add it to the end of the list of the peg it lands on. Nothing else changes, and every disk still \
appears once.

EXAMPLE (of a puzzle with {height} disks)
Previous move: {previous}
Current state: {pegs}
Disk 1 has just been moved to peg {near}, so it stays there. Of pegs 0 and {far}, peg 0 has disk 2 on top \
and peg {far} is empty, so disk 2 goes from peg 0 to peg {far}.
move = {answer["action"]}
next_state = {answer["next_state"]}

OUTPUT
Reason in a few short sentences if it helps. Then end with exactly these two lines, filled in with numbers, \
and write nothing after them:
move = [disk, from, to]
next_state = [[...], [...], [...]]"""


def _strategy(previous: list[int] | None, pegs: Pegs, turn: int) -> Vote:
    here = next(peg for peg in range(3) if pegs[peg][-1:] == [1])
    if previous is None or previous[:1] != [1]:
        start, end = here, (here + turn) % 3
    else:
        start, end = (here + 1) % 3, (here + 2) % 3
        if not pegs[start] or (pegs[end] and pegs[end][-1] < pegs[start][-1]):
            start, end = end, start
        if not pegs[start]:
            raise ValueError(f"no move is left in {pegs} after {previous}")
    return {"action": [pegs[start][-1], start, end], "next_state": _moved(pegs, start, end)}


def _parse_flagging(text: str, disks: list[int]) -> Vote:
    move = _last("move", _MOVE_HEAD, _MOVE, text)
    pegs = _last("state", _STATE_HEAD, _STATE, text)
    if sorted(pegs[0] + pegs[1] + pegs[2]) != disks:
        raise RedFlag("bad_state", f"{str(pegs)[:80]} does not hold disks 1 to {len(disks)} once each")
    return {"action": move, "next_state": pegs}


def _last(half: str, head: re.Pattern[str], value: re.Pattern[str], text: str) -> list[Any]:
    if (found := head.match(text)) is None:
        raise RedFlag(f"no_{half}", f"the text ends {text[-80:]!r}")
    start = found.end()
    try:
        if (match := value.match(text, start)) is not None:
            return list(orjson.loads(match[0]))
    except ValueError:  # brackets in place, but no JSON integers inside
        pass
    raise RedFlag(f"bad_{half}", repr(text[start : start + 80]))


def _parse_repairing(text: str) -> Vote:
    move = next((lists[0][:3] for lists in _salvage(_MOVE_NAME, text) if lists[0]), None)
    if move is None:
        raise RedFlag("no_move", f"the text ends {text[-80:]!r}")
    pegs = next((lists[:3] for lists in _salvage(_STATE_NAME, text) if any(lists)), None)
    if pegs is None:
        raise RedFlag("no_state", f"the text ends {text[-80:]!r}")
    return {"action": move, "next_state": pegs}


def _salvage(name: re.Pattern[str], text: str) -> Iterator[Pegs]:
    """What can be read as lists of integers after each occurrence of `name`, the last occurrence first."""
    for piece in reversed(name.split(text)[1:]):
        parts = _FOREIGN.split(piece, maxsplit=1)[0].lstrip(_BEFORE_FIRST).split("[")
        yield [[int(number) for number in _INTEGER.findall(part.partition("]")[0])] for part in parts]


# Every pattern takes linear time: nothing repeated can begin with what follows it. The greedy start of a head
# makes it find the last occurrence.
_FLAGS: Final = re.IGNORECASE | re.ASCII
_MOVE_HEAD: Final = re.compile(r"(?s:.*)\bmove[*`]*\s*=\s*[*`]*(?=\[)", _FLAGS)
_STATE_HEAD: Final = re.compile(r"(?s:.*)\bnext_state[*`]*\s*=\s*[*`]*(?=\[)", _FLAGS)
_SHORT: Final = r"\s*-?[0-9]{1,9}\s*"
_MOVE: Final = re.compile(rf"\[{_SHORT},{_SHORT},{_SHORT}\](?!\s*\])", _FLAGS)
_LIST: Final = r"\[[-0-9,\s]*\]"
_STATE: Final = re.compile(rf"\[\s*{_LIST}\s*,\s*{_LIST}\s*,\s*{_LIST}\s*\](?!\s*\])", _FLAGS)
_MOVE_NAME: Final = re.compile(r"\bmove[\"'*`\s]*[:=]", _FLAGS)
_STATE_NAME: Final = re.compile(r"\bnext_state[\"'*`\s]*[:=]", _FLAGS)
_FOREIGN: Final = re.compile(r"[^][0-9,\s\"'*`-]", _FLAGS)
_BEFORE_FIRST: Final = "[\"'*` \t\r\n"
_INTEGER: Final = re.compile(r"-?\b[0-9]{1,9}\b", _FLAGS)
_SHOWN: Final = re.compile(rf"Previous move: (?:None|({_LIST}))\s+Current state: (\[(?:{_LIST}(?:, )?)*\])", _FLAGS)
