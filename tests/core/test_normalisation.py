"""Answers of ten megabytes of whatever a model may write cost bounded time, and raise nothing but a flag."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from contextlib import suppress
from random import Random
from time import process_time
from typing import Any

import pytest
from langchain_core.messages import AIMessage

from langgraph_maker import Ballot, RedFlag
from langgraph_maker.core.canonical import plain
from langgraph_maker.core.foreign import error_text, excerpt
from langgraph_maker.core.matchers import alike, exact, fields, sets, text, within
from langgraph_maker.core.normalisation import composed
from langgraph_maker.core.red_flags import Matches, TokenLimit, Truncated
from langgraph_maker.core.task import Task
from langgraph_maker.prebuilt.schema import Schema
from langgraph_maker.tasks import TowersOfHanoi
from langgraph_maker.tasks.ledger import Ledger
from langgraph_maker.tasks.multiplication import Multiplication
from langgraph_maker.tasks.sorting import Sorting

SIZE = 10_000_000
KINDS = {
    "marks": "a" + "\u0301\u0327" * (SIZE // 4),
    "marks on letters": "a\u0327\u0301" * (SIZE // 5),
    "decomposing": "\u0f73" * (SIZE // 3),
    "ligatures": "\ufdfa" * (SIZE // 3),
    "brackets": "[" * SIZE,
    "braces": '{"a":' * (SIZE // 5),
    "digits": "9" * SIZE,
    "moves": "move = [" * (SIZE // 8),
    "surrogates": "\ud800" * (SIZE // 3),
    "right to left": "\u202e\u05d0" * (SIZE // 5),
    "nuls": "\x00" * SIZE,
    "spaces": " " * SIZE,
    "lines": "\n" * SIZE,
    "commas": "1," * (SIZE // 2),
    "exponents": "1e" * (SIZE // 2),
    "quotes": '"\\' * (SIZE // 2),
}
TASKS: list[Task] = [
    TowersOfHanoi(10),
    Ledger({"a": 1, "b": 0}, [{"id": "t", "kind": "deposit", "account": "a", "amount": 1}]),
    Multiplication(12, 34),
    Sorting([2, 1]),
]
SCHEMA = Schema({"title": "answer", "type": "object"})
PARTS: dict[str, Callable[[str], Any]] = {
    **{f"{task.name} parse": task.parse for task in TASKS},
    "schema": SCHEMA.read,
    "plain": plain,
    "text": text,
    "exact": lambda said: exact(said.encode("utf-8", "replace").decode()),
    "within": lambda said: alike(within(1), said, said),
    "fields": lambda said: alike(fields("a"), said, said),
    "sets": lambda said: alike(sets(), said, said),
    "cast": lambda said: Ballot(1).cast(said),
    "token limit": lambda said: TokenLimit(750)(AIMessage(said)),
    "truncated": lambda said: Truncated()(AIMessage(said)),
    "matches": lambda said: Matches("as an AI")(AIMessage(said)),
    "excerpt": excerpt,
    "words": lambda said: error_text(ValueError(said)),
}


@pytest.mark.parametrize("kind", KINDS)
def test_ten_megabytes(kind: str) -> None:
    for name, part in PARTS.items():
        began = process_time()
        with suppress(RedFlag, ValueError, RecursionError):  # each of them a flag where it is raised on a response
            part(KINDS[kind])
        assert process_time() - began < 2, f"{name} of {kind}"  # 1 s where nothing else runs


def test_marks_in_any_number_are_put_in_their_order() -> None:
    random = Random(7)
    marks = [chr(code) for code in range(0x1F000) if unicodedata.combining(chr(code))]
    letters = ["a", "\u00e9", "\u1e69", "\u0f73", "\u0344", "\uac01", "\u1100\u1161", "\u0b47"]
    for _ in range(200):
        text = "".join(
            random.choice(letters) + "".join(random.choices(marks, k=random.randint(0, 60))) for _ in range(20)
        )
        assert composed(text) == unicodedata.normalize("NFC", text)


def test_an_answer_of_marks_is_a_vote_like_any_other() -> None:
    ballot = Ballot(2)
    for answer in ("a" + "\u0301\u0327" * 10_000, "a" + "\u0327" * 10_000 + "\u0301" * 10_000):
        ballot.cast(answer)
    assert ballot.winner == "a" + "\u0301\u0327" * 10_000


def nested(depth: int) -> Any:
    value: Any = []
    for _ in range(depth):
        value = [value]
    return value


class Broken:
    def __repr__(self) -> str:
        raise RuntimeError("no text")


@pytest.mark.parametrize(
    "value",
    [nested(100_000), {"a": nested(100_000)}, Broken(), [Broken()], "x" * 10**7, 10**5000],
    ids=["deep", "deep in an object", "broken", "broken in a list", "long", "huge"],
)
def test_no_message_is_without_bound(value: Any) -> None:
    assert len(excerpt(value)) <= 200
    assert len(error_text(ValueError(value))) <= 200
    assert len(error_text(KeyError(value))) <= 200
    with pytest.raises((ValueError, TypeError)) as caught:
        Ballot(1, key=lambda _: 5).cast(value)  # type: ignore[arg-type]
    assert len(str(caught.value)) < 1000
    assert all(len(note) < 1000 for note in getattr(caught.value, "__notes__", ()))
