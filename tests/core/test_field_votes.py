"""Votes by field: each field by its own first-to-ahead-by-k, over the same samples."""

from __future__ import annotations

import json
from math import sqrt
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from langgraph_maker.core.ballot import Ballot
from langgraph_maker.core.field_votes import (
    FieldVotes,
    agreement,
    cast_fields,
    field_decisions,
    fields_deficit,
    least_agreement,
    whole,
)
from langgraph_maker.core.matchers import text, within
from langgraph_maker.core.red_flags import RedFlag
from langgraph_maker.core.state import FieldState
from langgraph_maker.theory import p_correct


def voted(k: int, samples: list[dict[str, Any]]) -> tuple[dict[str, FieldState], int]:
    """The fields after as many of the samples as decide them, and how many these were."""
    key, fields = FieldVotes().classes({}), dict[str, FieldState]()
    for number, sample in enumerate(samples):
        if fields and not fields_deficit(fields, k):
            return fields, number
        fields = cast_fields(fields, k, key(sample), sample, number)
    return fields, len(samples)


SAMPLES = st.lists(st.fixed_dictionaries({name: st.integers(0, 2) for name in "abc"}), max_size=40)


@given(SAMPLES, st.integers(1, 4))
def test_each_field_is_decided_as_if_it_were_voted_on_alone(samples: list[dict[str, Any]], k: int) -> None:
    fields, drawn = voted(k, samples)
    stops = []
    for name in fields:
        ballot, stop = Ballot(k), 0
        for sample in samples:
            if ballot.deficit:
                ballot.cast(sample[name])
                stop += 1
        assert fields[name]["counts"] == ballot.counts
        assert fields[name]["decided"] == (ballot.deficit == 0)
        stops.append(stop)
    assert drawn == max(stops, default=0), "not one sample more than the slowest field takes"


@given(SAMPLES, st.integers(1, 4))
def test_the_deficit_is_the_least_that_decides_all(samples: list[dict[str, Any]], k: int) -> None:
    fields, drawn = voted(k, samples)
    if not (deficit := fields_deficit(fields, k)) or not fields:
        return
    leaders = {}
    for name, field in fields.items():
        leaders[name] = max(field["counts"], key=field["counts"].__getitem__)
    further = {name: json.loads(leader) for name, leader in leaders.items()}
    for more in range(deficit):
        assert fields_deficit(fields, k), more
        fields = cast_fields(fields, k, json.dumps(leaders), further, drawn + more)
    assert not fields_deficit(fields, k)


def test_a_field_that_the_room_cannot_decide_is_left_out_of_the_deficit() -> None:
    fields, _ = voted(3, [{"a": 1, "b": 1}, {"a": 1, "b": 2}])
    assert [fields_deficit(fields, 3, room) for room in (None, 2, 0)] == [3, 1, 1]


def test_fields_are_as_often_wrong_as_votes_on_them_alone() -> None:
    rng, k, runs, rights = Random(7), 2, 4_000, {"easy": 0.9, "hard": 0.7}
    wrong = dict.fromkeys(rights, 0)
    for _ in range(runs):
        samples = [{name: int(rng.random() < p) for name, p in rights.items()} for _ in range(60)]
        decided = whole(voted(k, samples)[0])
        for name in rights:
            wrong[name] += decided[name] != 1
    for name, p in rights.items():
        expected = 1 - float(p_correct(p, k))
        assert abs(wrong[name] / runs - expected) < 4 * sqrt(expected / runs), name


def test_a_field_that_comes_up_late_was_absent_before() -> None:
    fields, _ = voted(2, [{"a": 1}, {"a": 1, "b": 5}])
    assert fields["b"]["counts"] == {"": 1, "5": 1}
    assert whole(voted(2, [{"a": 1}, {"a": 1}, {"a": 1, "b": 5}])[0]) == {"a": 1}


def test_fields_have_matchers_of_their_own_and_what_is_not_named_is_not_voted_on() -> None:
    known: dict[str, str] = {}
    key = FieldVotes({"vendor": text, "total": within(0.01)}).classes(known)
    one, other = key({"vendor": "ACME", "total": 1, "note": "x"}), key({"vendor": "acme", "total": 1.005, "note": "y"})
    assert one == other
    assert all(isinstance(value, str) for value in known.values())
    again = FieldVotes({"vendor": text, "total": within(0.01)}).classes(json.loads(json.dumps(known)))
    assert again({"vendor": "Acme", "total": 1.01}) == one, "what was seen is known after a restart"


def test_a_chain_of_tolerances_is_a_flag_of_the_sample() -> None:
    key = FieldVotes({"total": within(1)}).classes({})
    key({"total": 1}), key({"total": 2})
    with pytest.raises(RedFlag, match="no_equivalence"):
        key({"total": 3})


def test_what_is_no_object_is_flagged() -> None:
    with pytest.raises(RedFlag, match="malformed: votes by field are on objects, not on 7"):
        FieldVotes().classes({})(7)


def test_agreement_is_of_the_weakest_field() -> None:
    fields, _ = voted(2, [{"a": 1, "b": 1}, {"a": 1, "b": 2}, {"a": 1, "b": 1}])
    assert field_decisions(fields)["a"]["agreement"] == {"lead": 2, "share": 1.0, "samples": 2}
    assert field_decisions(fields)["b"]["vote"] is None
    assert least_agreement(fields) == {"lead": 1, "share": 2 / 3, "samples": 3}
    assert agreement({}) == {"lead": 0, "share": 0.0, "samples": 0}
