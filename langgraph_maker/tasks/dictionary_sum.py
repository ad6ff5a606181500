r"""Dictionary sum: look a word up, add its value to the running sum, a word a step (arXiv 2509.09677).

>>> task = DictionarySum({"apple": 5, "grape": -4}, ["grape", "apple", "apple"])
>>> print(task.prompt(task.initial_state())[-1].text)
sum: 0
done: 0
keys: ["grape"]
>>> task.advance(task.initial_state(), task.parse("grape is -4, and 0 - 4 = -4. <answer>-4</answer>"))
{'sum': -4, 'done': 1, 'keys': ['apple']}
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from random import Random
from typing import Any, Final, Self

import orjson
from langchain_core.messages import BaseMessage

from langgraph_maker.core.canonical import check_one_reading
from langgraph_maker.core.foreign import excerpt
from langgraph_maker.core.red_flags import RedFlag
from langgraph_maker.core.task import State, Task, Vote
from langgraph_maker.core.variants import pick
from langgraph_maker.tasks.wording import asked, fingerprint, shown

__all__ = ["DictionarySum"]

_LARGEST: Final = 10**12
_BOUND: Final = 2**63 - 1
_VALUE: Final = 99  # of a random dictionary, as published: values from -99 to 99


class DictionarySum(Task):
    """Keep the running sum of the values that words have in a dictionary: the task on which horizons are published.

    The dictionary stands in the instructions, the same for every step. A state is the `sum`, how many keys are `done`,
    and the `keys` that come next, as many as a turn has: a microagent sees those and no others. It answers with the
    sum after one key; with `steps_per_subtask` (`Grouped`) of the same number as `turn`, after each key of its turn.

    Args:
        dictionary: Whole numbers by word.
        keys: Words of the dictionary, in the order in which their values are added.
        turn: How many of the next keys a prompt shows.

    Raises:
        ValueError: When there is no key, a key is not in the dictionary, a word cannot be printed, a value is no whole
            number of up to 10^12, or `turn` no whole number of at least 1.

    Example:
        >>> from langgraph_maker.core.grouped import Grouped
        >>> task = Grouped(DictionarySum({"apple": 5, "grape": -4}, ["grape", "apple", "apple"], turn=2), 2)
        >>> task.steps, task.oracle(task.initial_state())["next_state"]
        (2, [-4, 1])
    """

    name = "dictionary-sum"
    variants = 3

    def __init__(self, dictionary: Mapping[str, int], keys: Sequence[str], *, turn: int = 1) -> None:
        for word, value in dictionary.items():
            if not isinstance(word, str) or not word or not word.isprintable():
                raise ValueError(f"a word of the dictionary is a text of printable characters, not {excerpt(word)}")
            if not _whole(value, _LARGEST):
                raise ValueError(f"the value of {excerpt(word)} is a whole number of up to 10^12, not {excerpt(value)}")
        if isinstance(keys, str) or not isinstance(keys, Sequence) or not keys:
            raise ValueError(f"keys is a list of at least one word of the dictionary, not {excerpt(keys)}")
        for place, key in enumerate(keys):
            if not isinstance(key, str) or key not in dictionary:
                raise ValueError(f"key {place}, {excerpt(key)}, is not in the dictionary: add it, or leave it out")
        if not _whole(turn, _LARGEST) or turn < 1:
            raise ValueError(f"turn is a whole number of at least 1, not {excerpt(turn)}")
        self.dictionary, self.keys, self.turn = dict(dictionary), list(keys), turn
        self.steps = len(self.keys)

    @classmethod
    def random(cls, count: int = 100, words: int = 100, *, turn: int = 1, seed: int = 0) -> Self:
        """Return so many keys, drawn from a dictionary of so many made-up words of five letters, -99 to 99 each.

        Raises:
            ValueError: When there is less than 1 key or 2 words, or there are more than 1,000 words.
        """
        if not _whole(count, _LARGEST) or count < 1 or not _whole(words, 1000) or words < 2:  # noqa: PLR2004
            raise ValueError(
                f"count is at least 1 and words are at least 2 and at most 1,000, not {excerpt(count)} and"
                f" {excerpt(words)}"
            )
        random = Random(seed)  # noqa: S311 - no secret
        known = dict[str, int]()
        while len(known) < words:
            word = "".join(random.choice("aeiou" if place % 2 else "bdfgklmnprst") for place in range(5))
            known.setdefault(word, random.randint(-_VALUE, _VALUE))
        return cls(known, random.choices(list(known), k=count), turn=turn)

    def __repr__(self) -> str:
        turn = "" if self.turn == 1 else f", {self.turn:,} shown"
        return f"DictionarySum of {len(self.dictionary):,} words and {len(self.keys):,} keys{turn}"

    def parameters(self) -> dict[str, Any]:
        """Return how many words and keys, how many a prompt shows, and a digest of them."""
        return {
            "words": len(self.dictionary),
            "keys": len(self.keys),
            "turn": self.turn,
            "digest": fingerprint([self.dictionary, self.keys]),
        }

    def initial_state(self) -> State:
        """Return the state in which nothing is added yet."""
        return self._at(0, 0)

    def is_done(self, state: State) -> bool:
        """Return whether no key is left."""
        return not state["keys"]

    def prompt(self, state: State, variant: int = 0) -> list[BaseMessage]:
        """Return φ: the dictionary, the sum so far, and the next key, or those of a turn."""
        values = {"sum": state["sum"], "done": state["done"], "keys": state["keys"]}
        instructions = pick(_INSTRUCTIONS, variant).replace("{dictionary}", json.dumps(self.dictionary))
        return asked(instructions, values, reverse=variant % 2 == 1)

    def parse(self, text: str) -> Vote:
        """Return ψ: the sum in the last `<answer>` tags, in the published format.

        Raises:
            RedFlag: `no_answer` or `bad_answer`, when they are missing, not closed, or hold no whole number.
        """
        _, *pieces = _OPEN.split(text)
        if not pieces:
            raise RedFlag("no_answer", f"the text ends {text[-80:]!r}")
        answer, closed, _ = pieces[-1].partition("</answer>")
        written = answer.strip()[:_LONGEST]
        try:
            value = orjson.loads(written)
            check_one_reading(written)
        except ValueError:
            value = None
        if not closed or not _whole(value, _BOUND):
            raise RedFlag("bad_answer", repr(pieces[-1][:80]))
        return {"action": value, "next_state": value}

    def advance(self, state: State, vote: Vote) -> State:
        """Return the sum as the vote has it, and the next keys."""
        return self._at(state["done"] + 1, vote["next_state"])

    def step_type(self, state: State) -> str:
        """Return what the value does to the sum."""
        value = self.dictionary[state["keys"][0]]
        if value == 0:
            return "adds nothing"
        crosses = state["sum"] != 0 and (state["sum"] + value < 0) != (state["sum"] < 0)
        return "crosses zero" if crosses else "negative value" if value < 0 else "positive value"

    def oracle(self, state: State) -> Vote:
        """Return the sum with the value of the next key."""
        return _sum(state["sum"] + self.dictionary[state["keys"][0]])

    def read_state(self, messages: Sequence[BaseMessage]) -> State:
        """Return what a prompt of this task shows: the sum, how many keys are done, and those that come next.

        Raises:
            ValueError: When the last human message does not show them.
        """
        total, done, keys = shown(messages, "sum", "done", "keys")
        return {"sum": total, "done": done, "keys": keys}

    def wrong_votes(self, state: State) -> list[Vote]:
        """Likely slips, for simulation: the value of the word below, a wrong sign, a lost ten, a key left out."""
        before, words = state["sum"], list(self.dictionary)
        value = self.dictionary[state["keys"][0]]
        below = self.dictionary[words[(words.index(state["keys"][0]) + 1) % len(words)]]
        right = before + value
        slips = [before + below, before - value, right + 10, right - 10, before]
        return [_sum(one) for place, one in enumerate(slips) if one != right and one not in slips[:place]]

    def render(self, vote: Vote) -> str:
        """Return how a model words `vote`, for simulation."""
        total = vote["next_state"]
        return f"With the value of the key the running sum comes to {total}.\n<answer>{total}</answer>"

    def _at(self, done: int, total: int) -> State:
        return {"sum": total, "done": done, "keys": self.keys[done : done + self.turn]}


def _whole(value: object, most: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and -most <= value <= most


def _sum(total: int) -> Vote:
    return {"action": total, "next_state": total}


_OPEN: Final = re.compile("<answer>", re.IGNORECASE)
_LONGEST: Final = 40

_FORM: Final = """\
Reason in a few short sentences if it helps. Then end with the running sum alone, a whole number, in tags: \
<answer>…</answer>"""

_INSTRUCTIONS: Final = (
    """\
You are an AI assistant. You have a dictionary, and keys are given one at a time. Your task is to keep a running total \
by adding the value of each key. Others added the keys before this one, "done" of them, and came to "sum"; add the \
value of the first of "keys" to it.

Dictionary to maintain: {dictionary}

EXAMPLE, with another dictionary, {"apple": 5, "cherry": 7}
sum: -4
done: 9
keys: ["cherry"]
The value of "cherry" is 7. The running sum is -4, and -4 + 7 is 3.
<answer>3</answer>

"""
    + _FORM,
    """\
Look one word up, and add.

Values: {dictionary}

Take the first word of the list "keys", find its value, and add that to the number "sum". A negative value makes the \
sum smaller. The number "done" has no part in it.

If "fig" were -12 and the sum 5, this would be right, for 5 - 12 is -7:
<answer>-7</answer>

"""
    + _FORM,
    """\
You keep the score of a game. Each card has a word on it, and the table says how many points a word gives; points \
below zero are taken away.

Table: {dictionary}

You are shown the score so far ("sum"), how many cards were played before ("done"), and the card that is played now, \
first in "keys". What is the score after this card? Check the word letter by letter: others look like it.

Say the score is 98, and the card gives 7 points. 98 + 7 = 105:
<answer>105</answer>

"""
    + _FORM,
)
