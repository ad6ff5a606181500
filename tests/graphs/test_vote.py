"""The question that `graphs/vote.py` puts to a vote."""

from __future__ import annotations

from runpy import run_path
from typing import Any

import pytest
from paths import ROOT

VOTE = run_path(str(ROOT / "graphs" / "vote.py"))


@pytest.mark.parametrize(("one", "other"), [("Yes", " yes."), ("5", "5."), ("a  b", "A b .")])
def test_answers_that_are_one(one: str, other: str) -> None:
    assert VOTE["key"](one) == VOTE["key"](other)


@pytest.mark.parametrize(("one", "other"), [(".5", "5"), (".NET", "net"), ("...", "."), ("-.5", "-5")])
def test_answers_that_differ(one: str, other: str) -> None:
    assert VOTE["key"](one) != VOTE["key"](other)


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({}, "there is no question"),
        ({"question": None}, "there is no question"),
        ({"question": 5}, "there is no question: fill in what to ask, a text"),
        ({"question": "?", "answers": "yes"}, "answers is a list of texts to choose from, or empty, not 'yes'"),
        ({"question": "?", "answers": [1, 2]}, "answers is a list of texts"),
        ({"question": "?", "answers": [""]}, "answers is a list of texts"),
        ({"question": "?", "answers": ["Yes", "yes."]}, "two of the answers .* are one"),
    ],
)
def test_bad_questions_are_refused_in_words(asked: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        VOTE["graph"].invoke(asked)
