"""Ballots that come from outside are read strictly."""

from __future__ import annotations

from typing import Any

import pytest

from langgraph_maker.core.ballot_reader import check_ballots
from langgraph_maker.nodes.sample import new_ballot

NEW: Any = new_ballot({"id": "7", "state": "?"})


def test_what_a_vote_writes_is_taken() -> None:
    check_ballots([])
    check_ballots([NEW, {**NEW, "counts": {"a": 1}, "votes": {"a": "A"}, "asked": 2, "samples": 1, "k": 3}])


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        ({"k": True}, "k: Input should be a valid integer, not True"),
        ({"counts": {"a": 0}, "votes": {"a": "A"}}, "it has a count below 1"),
        ({"counts": {"a": 1}, "asked": 1, "samples": 1}, "what was counted and the votes differ"),
        ({"inner": {"kind": "x", "label": "", "held": {"counts": {}, "votes": {}}}}, "was in no tier that does"),
        ({"flags": {"x": 10**400}}, "it has 0 votes and 10000"),
    ],
)
def test_what_none_writes_is_refused_in_one_short_error(edit: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message) as raised:
        check_ballots([NEW, {**NEW, **edit}])
    assert str(raised.value).startswith("ballots[1] cannot be read: ")
    assert len(str(raised.value)) < 400
