r"""Hanoi from any position to any position, and Blocks World, as LongCoT (arXiv 2604.14140) poses them.

How many moves it takes is not known: a run needs `max_steps`. A move is checked for legality alone; whether it leads
on is what the vote decides.

>>> task = BlocksWorld([[1, 2], [], []], [[2], [1], []])
>>> print(task.prompt(task.initial_state())[-1].text)
stacks: [[1, 2], [], []]
goal: [[2], [1], []]
>>> task.oracle(task.initial_state())
{'action': [2, 0, 2], 'next_state': [[1], [], [2]]}
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from itertools import chain
from random import Random
from typing import Any, Final, Self, TypeAlias

from langchain_core.messages import BaseMessage

from langgraph_maker.core.foreign import excerpt
from langgraph_maker.core.red_flags import RedFlag
from langgraph_maker.core.task import State, Task, Vote
from langgraph_maker.tasks.wording import asked, said, shown, written

__all__ = ["BlocksWorld", "HanoiPositions", "Stacks"]

Stacks: TypeAlias = list[list[int]]
"""Numbers, from the bottom of each stack to its top."""

_MOST: Final = 60


class _StackTask(Task):
    """Numbers in stacks, of which the top one of a stack is moved to another until the goal is there."""

    instructions = ""

    def __init__(self, start: Sequence[Sequence[int]], goal: Sequence[Sequence[int]]) -> None:
        self.start, self.goal = _stacks(start, "start"), _stacks(goal, "goal")
        if len(self.start) != len(self.goal) or sorted(chain(*self.start)) != sorted(chain(*self.goal)):
            raise ValueError("start and goal have as many stacks, and the same numbers in them, each once")

    def __repr__(self) -> str:
        return f"{type(self).__name__} of {sum(map(len, self.start))} on {len(self.start)} stacks"

    def parameters(self) -> dict[str, Any]:
        """Return where it starts and ends."""
        return {"start": self.start, "goal": self.goal}

    def initial_state(self) -> State:
        """Return the start."""
        return [[*stack] for stack in self.start]

    def is_done(self, state: State) -> bool:
        """Return whether the goal is reached."""
        return bool(state == self.goal)

    def prompt(self, state: State) -> list[BaseMessage]:
        """Return φ: the strategy, the stacks, and the goal."""
        return asked(self.instructions, {"stacks": state, "goal": self.goal})

    def parse(self, text: str) -> Vote:
        """Return ψ: a move [number, from, to], and the stacks after it.

        Raises:
            RedFlag: `no_move`, `no_stacks`, `bad_move` or `bad_stacks`, when they are missing or malformed.
        """
        move, stacks = said(text, "move", "stacks")
        if not isinstance(move, list) or len(move) != 3 or not all(map(_whole, move)):  # noqa: PLR2004 - as published
            raise RedFlag("bad_move", f"{str(move)[:80]} is not [number, from, to]")
        if not isinstance(stacks, list) or not all(isinstance(one, list) and all(map(_whole, one)) for one in stacks):
            raise RedFlag("bad_stacks", f"{str(stacks)[:80]} is no list of stacks")
        return {"action": move, "next_state": stacks}

    def validate(self, state: State, vote: Vote) -> RedFlag | None:
        """Flag a move that is not legal, and stacks that are not those after it; which one is left to the vote."""
        if vote["action"] not in self._moves(state):
            return RedFlag("illegal_move", f"{vote['action']} in {str(state)[:80]}")
        if vote["next_state"] != _moved(state, vote["action"]):
            return RedFlag("contradiction", f"the stacks are not those after {vote['action']}")
        return None

    def advance(self, state: State, vote: Vote) -> State:  # noqa: ARG002 - the vote says it all
        """Return the stacks as the vote has them."""
        return vote["next_state"]

    def oracle(self, state: State) -> Vote:
        """Return the one move that the strategy makes."""
        return _vote(state, self._next(state))

    def read_state(self, messages: Sequence[BaseMessage]) -> State:
        """Return the stacks that a prompt of this task shows.

        Raises:
            ValueError: When the last human message does not show them.
        """
        return shown(messages, "stacks")[0]

    def wrong_votes(self, state: State) -> list[Vote]:
        """Return the other legal moves, for simulation."""
        right = self._next(state)
        return [_vote(state, move) for move in self._moves(state) if move != right]

    def render(self, vote: Vote) -> str:
        """Return how a model words `vote`, for simulation."""
        return written(move=vote["action"], stacks=vote["next_state"])

    @abstractmethod
    def _next(self, state: Stacks) -> list[int]:
        """Return the move of the strategy."""

    def _moves(self, state: Stacks) -> list[list[int]]:
        """Return all legal moves."""
        return [
            [stack[-1], start, end]
            for start, stack in enumerate(state)
            for end, other in enumerate(state)
            if stack and start != end and self._fits(stack[-1], other)
        ]

    def _fits(self, number: int, stack: list[int]) -> bool:  # noqa: ARG002 - a hook
        return True


class HanoiPositions(_StackTask):
    """Towers of Hanoi from one legal position to another, on three pegs.

    The strategy moves the largest disk that is not at its goal once, and smaller ones out of its way.

    Args:
        start: Disks on each of three pegs, from the bottom up; 1 is the smallest.
        goal: Likewise.

    Raises:
        ValueError: When they are no positions of the same disks, or a disk lies on a smaller one.

    Example:
        >>> task = HanoiPositions([[2], [1], []], [[], [], [2, 1]])
        >>> state, moves = task.initial_state(), []
        >>> while not task.is_done(state):
        ...     vote = task.oracle(state)
        ...     state, moves = task.advance(state, vote), [*moves, vote["action"]]
        >>> moves
        [[2, 0, 2], [1, 1, 2]]
    """

    name = "hanoi-positions"

    def __init__(self, start: Sequence[Sequence[int]], goal: Sequence[Sequence[int]]) -> None:
        super().__init__(start, goal)
        if len(self.start) != 3 or any(one != sorted(one, reverse=True) for one in self.start + self.goal):  # noqa: PLR2004
            raise ValueError("Hanoi has three pegs, and no disk lies on a smaller one, in start and goal alike")

    @classmethod
    def random(cls, disks: int = 6, *, seed: int = 0) -> Self:
        """Return two random positions of so many disks.

        Raises:
            ValueError: When `disks` is not from 1 to 60.
        """
        random, numbers = Random(seed), _numbers(disks, "disks")  # noqa: S311 - no secret

        def position() -> Stacks:
            pegs: Stacks = [[], [], []]
            for disk in reversed(numbers):
                random.choice(pegs).append(disk)
            return pegs

        return cls(position(), position())

    def _fits(self, number: int, stack: list[int]) -> bool:
        return not stack or stack[-1] > number

    def _next(self, state: Stacks) -> list[int]:
        move, target = list[int](), -1
        for disk in sorted(chain(*state), reverse=True):
            here = next(peg for peg, disks in enumerate(state) if disk in disks)
            wanted = target if move else next(peg for peg, disks in enumerate(self.goal) if disk in disks)
            if here != wanted:
                move, target = [disk, here, wanted], 3 - here - wanted
            elif move:
                target = wanted
        if not move:
            raise ValueError("the goal is reached: no move is left")
        return move


class BlocksWorld(_StackTask):
    """Blocks World on three or more stacks, up to 60 blocks, each microagent one move of a stated strategy.

    Goal places are filled in order, stack by stack and from the bottom up; what is in the way of the next block goes to
    a stack that neither gives nor takes it. Blocks that are in place are never moved again.

    Args:
        start: Blocks on each stack, from the bottom up.
        goal: Likewise.

    Raises:
        ValueError: When they are no positions of the same blocks, or there are less than three stacks.

    Example:
        >>> task = BlocksWorld.random(60, seed=3)
        >>> state, moves = task.initial_state(), 0
        >>> while not task.is_done(state):
        ...     state, moves = task.advance(state, task.oracle(state)), moves + 1
        >>> moves > 60
        True
    """

    name = "blocks-world"

    def __init__(self, start: Sequence[Sequence[int]], goal: Sequence[Sequence[int]]) -> None:
        super().__init__(start, goal)
        if len(self.start) < 3:  # noqa: PLR2004 - with two, what is in the way has no place to go
            raise ValueError(f"Blocks World has at least three stacks here, not {len(self.start)}")

    @classmethod
    def random(cls, blocks: int = 10, stacks: int = 3, *, seed: int = 0) -> Self:
        """Return two random positions of so many blocks on so many stacks.

        Raises:
            ValueError: When `blocks` is not from 1 to 60, or there are less than three stacks.
        """
        random, numbers = Random(seed), _numbers(blocks, "blocks")  # noqa: S311 - no secret

        def position() -> Stacks:
            piles: Stacks = [[] for _ in range(stacks)]
            for block in random.sample(numbers, len(numbers)):
                random.choice(piles).append(block)
            return piles

        return cls(position(), position())

    def _next(self, state: Stacks) -> list[int]:
        for end, goal in enumerate(self.goal):
            placed = 0
            while placed < len(goal) and state[end][placed : placed + 1] == goal[placed : placed + 1]:
                placed += 1
            if placed < len(goal):
                break
        else:
            raise ValueError("the goal is reached: no move is left")
        block = goal[placed]
        here = next(number for number, pile in enumerate(state) if block in pile)
        if here == end:
            aside = (end + 2) % len(state) if state[end][-1] == block else (end + 1) % len(state)
            return [state[end][-1], end, aside]
        aside = next(number for number in range(len(state)) if number not in {here, end})
        if len(state[end]) > placed:
            return [state[end][-1], end, aside]
        if state[here][-1] != block:
            return [state[here][-1], here, aside]
        return [block, here, end]


def _stacks(given: Sequence[Sequence[int]], name: str) -> Stacks:
    fine = isinstance(given, (list, tuple)) and all(isinstance(one, (list, tuple)) for one in given)
    numbers = [number for stack in given for number in stack] if fine else []
    if not numbers or not all(map(_whole, numbers)) or len(set(numbers)) < len(numbers) or len(numbers) > _MOST:
        raise ValueError(f"{name} is a list of stacks of 1 to {_MOST} whole numbers, each once, not {excerpt(given)}")
    return [[*stack] for stack in given]


def _numbers(count: int, name: str) -> list[int]:
    if not _whole(count) or not 1 <= count <= _MOST:
        raise ValueError(f"{name} is a whole number from 1 to {_MOST}, not {excerpt(count)}")
    return list(range(1, count + 1))


def _whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _moved(state: Stacks, move: list[int]) -> Stacks:
    after = [[*stack] for stack in state]
    after[move[2]].append(after[move[1]].pop())
    return after


def _vote(state: Stacks, move: list[int]) -> Vote:
    return {"action": move, "next_state": _moved(state, move)}


_FORM: Final = """

Stacks are numbered from 0, and each is listed from its bottom to its top. End with exactly these two lines, the move as
[number, from stack, to stack], and all stacks after it:
move = [1, 0, 2]
stacks = [[3, 2], [], [1]]"""

HanoiPositions.instructions = (
    """\
You make a single move in a game of the Towers of Hanoi; others make those before and after it. "stacks" are the pegs
with their disks, and "goal" is how they shall end.
The top disk of a peg moves to another peg, never onto a smaller disk.

STRATEGY
Go through the disks from the largest to the smallest. Each has a peg where it should be: at first the one of the goal.
For the first disk that is not where it should be, note the move there. From then on, each smaller disk should be on the
peg that the noted move neither leaves nor enters; if it is not, note its move there instead, and if it is, the next \
smaller disk should be on that same peg. Make the move that you noted last."""
    + _FORM
)
BlocksWorld.instructions = (
    """\
You make a single move in Blocks World; others make those before and after it. "stacks" are the blocks as they are, and
"goal" is how they shall end. The top block of a stack moves to the top of any other stack.

STRATEGY
Compare stacks with the goal, stack 0 first and each from the bottom up, and find the first place whose block is not \
there yet: its block B, and its stack T.
- If B is in T, too high: if B is on top, move it to the stack two after T (counting on from 0 after the last); \
otherwise move the top of T to the stack after T.
- If B is in another stack S: if T has blocks above its right ones, move the top of T to the lowest-numbered stack \
other than S and T; otherwise, if B is not on top, move the top of S there; otherwise move B to T."""
    + _FORM
)
