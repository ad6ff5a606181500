r"""Long multiplication as a chain of single-digit steps, n x m of them for numbers of n and m digits.

A microagent sees four digits: one of each factor, the one that stands at this place already, and the carry. It never
sees the numbers.

    >>> task = Multiplication(98, 7)
    >>> print(task.prompt(task.initial_state())[-1].text)
    upper: 8
    lower: 7
    standing: 0
    carry: 0
    >>> task.advance(task.initial_state(), task.parse("8 * 7 is 56.\ndigit = 6\ncarry = 5"))
    {'upper': 9, 'lower': 7, 'standing': 0, 'carry': 5, 'step': 1, 'digits': '600'}
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from random import Random
from typing import Any, Final, Self

from langchain_core.messages import BaseMessage

from langgraph_maker.core.foreign import excerpt
from langgraph_maker.core.red_flags import RedFlag
from langgraph_maker.core.task import State, Task, Vote
from langgraph_maker.tasks.wording import asked, said, shown, written

__all__ = ["Multiplication"]

_SEEN: Final = ("upper", "lower", "standing", "carry")
_NUMBER: Final = re.compile(r"[0-9]+", re.ASCII)


class Multiplication(Task):
    """Multiply `a` by `b` as on paper: each digit of `b`, from the right, times each digit of `a`, from the right.

    A state is what one microagent sees (`upper`, `lower`, `standing`, `carry`), and what is carried along: the number
    of the `step`, and the product's `digits` so far as text, lowest first. The carry that a row ends on is written
    down as the digit to its left, where nothing stands yet.

    Args:
        a: A whole number of 0 or more, also as text, where zeros in front mean nothing.
        b: Another one.

    Raises:
        ValueError: When `a` or `b` is none, such as a negative number.

    Example:
        >>> task = Multiplication("0012", 34)
        >>> task.a, task.steps
        (12, 4)
        >>> task.product({"digits": "8040"})
        408
    """

    name = "multiplication"
    variants = 3

    def __init__(self, a: int | str, b: int | str) -> None:
        self.a, self.b = _number("a", a), _number("b", b)
        self._upper, self._lower = _digits(self.a), _digits(self.b)
        self.steps = len(self._upper) * len(self._lower)

    @classmethod
    def random(cls, digits: int = 6, *, seed: int = 0) -> Self:
        """Return two random numbers of so many digits each.

        Raises:
            ValueError: When `digits` is no whole number of at least 1.
        """
        if not isinstance(digits, int) or isinstance(digits, bool) or digits < 1:
            raise ValueError(f"digits is a whole number of at least 1, not {excerpt(digits)}")
        random = Random(seed)  # noqa: S311 - no secret
        a, b = ("".join(random.choices("123456789") + random.choices("0123456789", k=digits - 1)) for _ in "ab")
        return cls(a, b)

    def __repr__(self) -> str:
        return f"Multiplication of {len(self._upper)} by {len(self._lower)} digits"

    def parameters(self) -> dict[str, Any]:
        """Return the factors as text: they may have more than 64 bits."""
        return {"a": _text(self._upper), "b": _text(self._lower)}

    def initial_state(self) -> State:
        """Return the last digits, and only zeros in the product."""
        return self._at(0, 0, "0" * (len(self._upper) + len(self._lower)))

    def is_done(self, state: State) -> bool:
        """Return whether all digits have met."""
        return bool(state["step"] == self.steps)

    def prompt(self, state: State, variant: int = 0) -> list[BaseMessage]:
        """Return φ: four digits."""
        seen = {name: state[name] for name in _SEEN}
        return asked(_INSTRUCTIONS[variant], seen, reverse=variant % 2 == 1)

    def parse(self, text: str) -> Vote:
        """Return ψ: the digit to write down and the carry.

        Raises:
            RedFlag: `no_digit`, `no_carry`, `bad_digit` or `bad_carry`, when they are not there, or are no digits.
        """
        digit, carry = said(text, "digit", "carry")
        for name, value in (("digit", digit), ("carry", carry)):
            if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= 9:  # noqa: PLR2004
                raise RedFlag(f"bad_{name}", f"{str(value)[:80]} is no digit")
        return {"action": digit, "next_state": carry}

    def advance(self, state: State, vote: Vote) -> State:
        """Return the digit written down, and the next four digits with the carry that the vote chose."""
        row, column = divmod(state["step"], len(self._upper))
        place, digits, carry = row + column, state["digits"], vote["next_state"]
        said_so = str(vote["action"])
        if column == len(self._upper) - 1:  # the row ends: its carry is the digit to the left
            said_so, carry = f"{said_so}{carry}", 0
        digits = digits[:place] + said_so + digits[place + len(said_so) :]
        return self._at(state["step"] + 1, carry, digits)

    def _at(self, step: int, carry: int, digits: str) -> State:
        row, column = divmod(step, len(self._upper))
        last = row == len(self._lower)
        return {
            "upper": self._upper[column],
            "lower": 0 if last else self._lower[row],
            "standing": 0 if last else int(digits[row + column]),
            "carry": carry,
            "step": step,
            "digits": digits,
        }

    def product(self, state: State) -> int:
        """Return the number that a state's digits are: of a run's final state, the product."""
        return _value(state["digits"][::-1])

    def step_type(self, state: State) -> str:
        """Return whether there is something to carry or to add to the product of the two digits."""
        added = state["carry"] or state["standing"]
        return "product and sum" if added else "product alone"

    def oracle(self, state: State) -> Vote:
        """Return the one right digit and carry."""
        carry, digit = divmod(state["upper"] * state["lower"] + state["standing"] + state["carry"], 10)
        return {"action": digit, "next_state": carry}

    def read_state(self, messages: Sequence[BaseMessage]) -> State:
        """Return what a prompt of this task shows: the digits that a microagent needs, not the place where they stand.

        Raises:
            ValueError: When the last human message does not show four digits.
        """
        return dict(zip(_SEEN, shown(messages, *_SEEN), strict=True))

    def wrong_votes(self, state: State) -> list[Vote]:
        """Likely slips, for simulation: carry forgotten, digit there forgotten, a neighbour in the times table."""
        right, (upper, lower) = self.oracle(state), (state["upper"], state["lower"])
        slips = [
            upper * lower + state["standing"],
            upper * lower + state["carry"],
            max(0, upper - 1) * lower + state["standing"] + state["carry"],
            upper * lower + state["standing"] + state["carry"] + 1,
        ]
        votes = [Vote(action=total % 10, next_state=total // 10) for total in slips if total < _TOO_LARGE]
        votes.append({"action": right["action"], "next_state": (right["next_state"] + 1) % 10})
        return [vote for place, vote in enumerate(votes) if vote != right and vote not in votes[:place]]

    def render(self, vote: Vote) -> str:
        """Return how a model words `vote`, for simulation."""
        digit, carry = vote["action"], vote["next_state"]
        return f"In all {carry}{digit}.\n{written(digit=digit, carry=carry)}"


_TOO_LARGE: Final = 100


def _number(name: str, given: int | str) -> int:
    if isinstance(given, str) and _NUMBER.fullmatch(given):
        return _value(given)
    if isinstance(given, int) and not isinstance(given, bool) and given >= 0:
        return given
    raise ValueError(
        f"{name} is a whole number of 0 or more, not {excerpt(given)}: multiply without signs, and set the sign"
        " of the product"
    )


# Python converts at most 4,300 digits between int and text at once, so that hostile text costs no time.
_AT_ONCE: Final = 4000


def _value(text: str) -> int:
    value = 0
    for start in range(0, len(text), _AT_ONCE):
        piece = text[start : start + _AT_ONCE]
        value = value * 10 ** len(piece) + int(piece)
    return value


def _digits(number: int) -> list[int]:
    """Return its digits, lowest first."""
    digits: list[int] = []
    while number or not digits:
        number, digit = divmod(number, 10)
        digits.append(digit)
    return digits


def _text(digits: list[int]) -> str:
    return "".join(map(str, reversed(digits)))


_FORM: Final = """\
Reason in a few short sentences if it helps. Then end with exactly these two lines, filled in with one digit each:
digit = <the last digit of the total>
carry = <the digit before it, or 0>"""

_INSTRUCTIONS: Final = (
    f"""\
You carry out a single step of a long multiplication. Other people do the steps before and after yours, so work out \
this one step and nothing beyond it.

You are given four digits: one digit of the upper factor, one digit of the lower factor, the digit that is standing at \
this place of the product already, and the carry of the step before.
Multiply the upper digit by the lower digit. Add the standing digit and the carry. The total is at most 99: its last \
digit is written down, and the digit before it is the new carry.

EXAMPLE
upper: 7
lower: 8
standing: 3
carry: 4
7 * 8 is 56, and 56 + 3 + 4 is 63.
digit = 3
carry = 6

{_FORM}""",
    f"""\
Work out upper * lower + standing + carry, where each of the four is a digit. It is one place of a sum that others \
carry on with.

For instance, with carry: 2, standing: 9, lower: 6, upper: 4 you work out 4 * 6 = 24 and 24 + 9 + 2 = 35, and answer
digit = 5
carry = 3

{_FORM}""",
    f"""\
Imagine long multiplication on squared paper. Your pencil is at one square. The digit of the number on top (upper) is \
to be multiplied by the digit of the number below it (lower). In the square there may be a digit from an earlier row \
(standing), and the square to the right may have sent you a carry. All of these go into one total of one or two \
digits. The units stay in your square, the tens go to the next one.

With upper: 9, lower: 9, standing: 0 and carry: 8 the total is 81 + 0 + 8 = 89:
digit = 9
carry = 8

{_FORM}""",
)
