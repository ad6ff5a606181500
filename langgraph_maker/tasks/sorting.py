r"""Sorting a long list by voted merge steps: each microagent sees two numbers and takes the smaller one.

>>> task = Sorting([3, 1, 2])
>>> print(task.prompt(task.initial_state())[-1].text)
left: 3
right: 1
>>> task.advance(task.initial_state(), task.parse('1 is less than 3.\ntake = "right"\nnumber = 1'))
{'runs': [[2], [1, 3]], 'merged': []}
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from random import Random
from typing import Any, Final, Literal, Self

from langchain_core.messages import BaseMessage

from langgraph_maker.core.foreign import excerpt
from langgraph_maker.core.red_flags import RedFlag
from langgraph_maker.core.task import State, Task, Vote
from langgraph_maker.tasks.wording import asked, fingerprint, said, shown, written

__all__ = ["Sorting"]

_LEAST, _MOST = -(2**63), 2**63 - 1


class Sorting(Task):
    """Sort numbers in ascending order by merging: the first two runs are merged into one, which goes to the end.

    A state is the sorted `runs`, at first one of each number, and what is `merged` of the first two of them so far. It
    is done when one run is left. What remains of one run when the other is used up follows without a step, so that
    `steps` is the most that there can be. Of two equal numbers the left one is taken.

    Args:
        numbers: At least two whole numbers of 64 bits.

    Raises:
        ValueError: When there is nothing to sort, or something else than a whole number.

    Example:
        >>> task = Sorting([5, -2, 5, 0])
        >>> state = task.initial_state()
        >>> while not task.is_done(state):
        ...     state = task.advance(state, task.oracle(state))
        >>> state["runs"]
        [[-2, 0, 5, 5]]
    """

    name = "sorting"
    variants = 3

    def __init__(self, numbers: Sequence[int]) -> None:
        if isinstance(numbers, str) or not isinstance(numbers, Sequence) or len(numbers) < 2:  # noqa: PLR2004
            raise ValueError(f"there is nothing to sort in {excerpt(numbers)}: give a list of at least two numbers")
        for place, number in enumerate(numbers):
            if not isinstance(number, int) or isinstance(number, bool) or not _LEAST <= number <= _MOST:
                raise ValueError(
                    f"number {place} of the list is {excerpt(number)}, and should be a whole number of 64 bits"
                )
        self.numbers = list(numbers)
        self.steps = _most_steps(len(numbers))

    @classmethod
    def random(cls, count: int = 100, *, seed: int = 0) -> Self:
        """Return so many random numbers, some of them negative, some equal.

        Raises:
            ValueError: When `count` is no whole number of at least 2.
        """
        if not isinstance(count, int) or isinstance(count, bool) or count < 2:  # noqa: PLR2004
            raise ValueError(f"count is a whole number of at least 2, not {excerpt(count)}")
        random = Random(seed)  # noqa: S311 - no secret
        return cls([random.randint(-2 * count, 8 * count) for _ in range(count)])

    def __repr__(self) -> str:
        return f"Sorting of {len(self.numbers):,} numbers"

    def parameters(self) -> dict[str, Any]:
        """Return how many numbers, and a digest of them."""
        return {"count": len(self.numbers), "numbers": fingerprint(self.numbers)}

    def initial_state(self) -> State:
        """Return one run of each number."""
        return {"runs": [[number] for number in self.numbers], "merged": []}

    def is_done(self, state: State) -> bool:
        """Return whether one run is left."""
        return len(state["runs"]) == 1

    def prompt(self, state: State, variant: int = 0) -> list[BaseMessage]:
        """Return φ: the next number of each of two runs."""
        [left, *_], [right, *_], *_ = state["runs"]
        return asked(_INSTRUCTIONS[variant], {"left": left, "right": right}, reverse=variant % 2 == 1)

    def parse(self, text: str) -> Vote:
        """Return ψ: which number is taken, the left or the right, and the number itself.

        Raises:
            RedFlag: `no_take`, `no_number`, `bad_take` or `bad_number`, when they are not there or malformed.
        """
        take, number = said(text, "take", "number")
        if str(take) not in {"left", "right"}:
            raise RedFlag("bad_take", f"{str(take)[:80]} is neither left nor right")
        if not isinstance(number, int) or isinstance(number, bool) or not _LEAST <= number <= _MOST:
            raise RedFlag("bad_number", f"{str(number)[:80]} is no whole number of 64 bits")
        return {"action": take, "next_state": number}

    def validate(self, state: State, vote: Vote) -> RedFlag | None:
        """Flag a number other than that of the side it is said to be taken from; which side is left to the vote."""
        [left, *_], [right, *_], *_ = state["runs"]
        if vote["next_state"] == (left if vote["action"] == "left" else right):
            return None
        return RedFlag("contradiction", f"{vote['next_state']} is not the number on the {vote['action']}")

    def advance(self, state: State, vote: Vote) -> State:
        """Shorten the run that the vote took from, and merge the number that it wrote."""
        left, right, *rest = state["runs"]
        merged = [*state["merged"], vote["next_state"]]
        left, right = (left[1:], right) if vote["action"] == "left" else (left, right[1:])
        if left and right:
            return {"runs": [left, right, *rest], "merged": merged}
        return {"runs": [*rest, merged + left + right], "merged": []}

    def step_type(self, state: State) -> str:
        """Name what tells the two numbers apart."""
        [left, *_], [right, *_], *_ = state["runs"]
        if left == right:
            return "equal numbers"
        if (left < 0) != (right < 0):
            return "one negative"
        if left < 0:
            return "both negative"
        return "equal length" if len(str(left)) == len(str(right)) else "different length"

    def oracle(self, state: State) -> Vote:
        """Return the smaller number; the left one of two that are equal."""
        [left, *_], [right, *_], *_ = state["runs"]
        return _taken("left", left) if left <= right else _taken("right", right)

    def read_state(self, messages: Sequence[BaseMessage]) -> State:
        """Return what a prompt of this task shows: two runs, as far as a microagent sees them.

        Raises:
            ValueError: When the last human message does not show two numbers.
        """
        left, right = shown(messages, "left", "right")
        return {"runs": [[left], [right]], "merged": []}

    def wrong_votes(self, state: State) -> list[Vote]:
        """Likely slips, for simulation: the larger number; and, to be flagged, one miscopied or of the other side."""
        [left, *_], [right, *_], *_ = state["runs"]
        right_vote = self.oracle(state)
        smaller, larger = min(left, right), max(left, right)
        this: _Side = "left" if right_vote["action"] == "left" else "right"
        other: _Side = "right" if this == "left" else "left"
        votes = [_taken(other, larger), _taken(this, smaller + (1 if smaller < _MOST else -1)), _taken(other, smaller)]
        return [vote for place, vote in enumerate(votes) if vote not in votes[:place]]

    def render(self, vote: Vote) -> str:
        """Return how a model words `vote`, for simulation."""
        return f"The next number is {vote['next_state']}.\n{written(take=vote['action'], number=vote['next_state'])}"


_Side = Literal["left", "right"]


def _taken(side: _Side, number: int) -> Vote:
    return {"action": side, "next_state": number}


def _most_steps(count: int) -> int:
    """Return the most steps: each merge of two runs takes one less than they have numbers."""
    lengths, steps = deque([1] * count), 0
    while len(lengths) > 1:
        length = lengths.popleft() + lengths.popleft()
        steps += length - 1
        lengths.append(length)
    return steps


_FORM: Final = """\
Reason in a short sentence if it helps. Then end with exactly these two lines:
take = "left" or "right"
number = <the number taken, copied digit by digit, with its sign>"""

_INSTRUCTIONS: Final = (
    f"""\
You carry out a single step of merging two sorted lists. Other people do the steps before and after yours, so work out \
this one step and nothing beyond it.

You are given the first number of the left list and the first number of the right list. Take the smaller one. If both \
are equal, take the left one. A negative number is smaller than any other number, and of two negative numbers the one \
with more after the minus sign is smaller.

EXAMPLE
left: 104
right: 98
98 has two digits and 104 has three, so 98 is smaller.
take = "right"
number = 98

{_FORM}""",
    f"""\
Which of two whole numbers comes first when counting upwards? They are called left and right. Left comes first also \
when they are the same number. Mind the signs: -20 comes before -3, and -3 before 5.

For instance, with right: 17 and left: -4 the answer is
take = "left"
number = -4

{_FORM}""",
    f"""\
Two queues of people stand at a door, each person with a number, and the one with the lower number goes in first. You \
see the numbers of the two people in front, left and right. On a tie the person on the left goes in. Numbers below \
zero are lower the farther they are from zero.

With left: 55 and right: 55 there is a tie:
take = "left"
number = 55

{_FORM}""",
)
