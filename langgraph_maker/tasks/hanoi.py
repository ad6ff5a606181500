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

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Final

from langchain_core.messages import BaseMessage, HumanMessage, SystemMessage

from langgraph_maker.core.foreign import excerpt
from langgraph_maker.core.task import Segment, State, Task, Vote
from langgraph_maker.core.variants import pick
from langgraph_maker.tasks.hanoi_moves import Pegs, moved, state_after, strategy
from langgraph_maker.tasks.hanoi_parsers import parse_flagging, parse_repairing, shown_state
from langgraph_maker.tasks.hanoi_prompts import instructions

__all__ = ["TowersOfHanoi"]

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
            raise ValueError(f"disks is a whole number from 1 to {MAX_DISKS}, not {excerpt(disks)}")
        self.disks = disks
        self.repairing = repairing
        self.steps = 2**disks - 1
        self._turn = 1 if disks % 2 == 0 else -1
        self._ascending = list(range(1, disks + 1))
        self._goal: Pegs = [[], [], self._ascending[::-1]]
        self._instructions = [SystemMessage(text) for text in instructions(disks, self._turn)]
        self.variants = len(self._instructions)

    def __repr__(self) -> str:
        return f"TowersOfHanoi(disks={self.disks}, repairing={self.repairing})"

    def initial_state(self) -> State:
        """Return all disks on peg 0, and no move before."""
        return {"previous": None, "pegs": [self._ascending[::-1], [], []]}

    def is_done(self, state: State) -> bool:
        """Return whether all disks lie on peg 2, in order."""
        return bool(state["pegs"] == self._goal)

    def prompt(self, state: State, variant: int = 0) -> list[BaseMessage]:
        """Return φ: the instructions, the same for every state so that a provider can cache them, then the state.

        Variants word the instructions otherwise, work another example and order the sections otherwise. The state is
        shown alike in all, and all ask for the same form of answer.

        Raises:
            ValueError: For a variant that there is not.
        """
        return [
            pick(self._instructions, variant),
            HumanMessage(f"Previous move: {state['previous']}\nCurrent state: {state['pegs']}"),
        ]

    def parse(self, text: str) -> Vote:
        r"""Return ψ: the move and the next state that `text` ends on.

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
            langgraph_maker.core.red_flags.RedFlag: bad_move: '[1, 0]\nnext_state = [[2], [1], []]'
            >>> TowersOfHanoi(2, repairing=True).parse("move = [1, 0, 1\nnext_state = [[2], [1], []")
            {'action': [1, 0, 1], 'next_state': [[2], [1], []]}
        """
        if self.repairing:
            return parse_repairing(text)
        return parse_flagging(text, self._ascending)

    def advance(self, state: State, vote: Vote) -> State:  # noqa: ARG002 - the vote holds all that follows
        """Return the state that the model wrote and the vote chose, not one computed from the move."""
        return {"previous": vote["action"], "pegs": vote["next_state"]}

    def step_type(self, state: State) -> str:
        """Return which of the strategy's two rules applies."""
        return "another disk" if state["previous"] and state["previous"][0] == 1 else "disk 1"

    def oracle(self, state: State) -> Vote:
        """Return the one answer that follows the strategy: disk 1 one peg on, or the only legal move without disk 1.

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
        return strategy(state["previous"], pegs, self._turn)

    def read_state(self, messages: Sequence[BaseMessage]) -> State:
        """Return the state that a prompt of this task was written for, read from the last human message.

        Raises:
            ValueError: When that message does not show a previous move and a current state as `prompt` does.
        """
        text = next((message.text for message in reversed(messages) if isinstance(message, HumanMessage)), "")
        return shown_state(text)

    def render(self, vote: Vote) -> str:
        """Return how a model words `vote`, for simulation: a sentence, then the two lines that the prompt asks for."""
        disk, start, end = vote["action"]
        return (
            f"Disk {disk} is on top of peg {start} and goes to peg {end}.\n"
            f"move = {vote['action']}\nnext_state = {vote['next_state']}"
        )

    def segments(self, lanes: int) -> list[Segment]:
        """Cut the run into lanes of equal length. Their starts come from the closed form of the strategy's states.

        Example:
            >>> [(lane["step"], lane["state"]["pegs"]) for lane in TowersOfHanoi(2).segments(2)]
            [(0, [[2, 1], [], []]), (1, [[2], [1], []])]
        """
        steps = 2**self.disks - 1
        lanes = min(lanes, steps)
        cuts = [lane * steps // lanes for lane in range(lanes + 1)]
        return [
            {"step": step, "end": end, "state": state_after(step, self.disks, self._turn)}
            for step, end in pairwise(cuts)
        ]

    def parameters(self) -> dict[str, Any]:
        """Return the number of disks; how responses are read may change from one session of a run to the next."""
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
            Vote(action=[peg[-1], here, there], next_state=moved(pegs, here, there))
            for here, peg in enumerate(pegs)
            for there, other in enumerate(pegs)
            if peg and (not other or other[-1] > peg[-1])
        ]
        return [
            *(move for move in moves if move != right),
            Vote(action=action, next_state=moved(pegs, start, 3 - start - end)),
            Vote(action=action, next_state=[[*peg] for peg in pegs]),
        ]
