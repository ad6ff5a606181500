"""First-to-ahead-by-k, exactly; the numbered lessons are defects of other implementations."""

import itertools
import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from langgraph_maker.core.ballot import Ballot, check_margin
from langgraph_maker.core.canonical import _normal, canonical

MARGINS = st.integers(1, 6)
VOTES = st.lists(st.sampled_from("ABC"), max_size=60)


def _nested(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.lists(values) | st.dictionaries(st.text(), values)


def cast(k: int, votes: Any) -> Ballot:
    """The ballot after as many of `votes` as it takes."""
    ballot = Ballot(k)
    for vote in votes:
        if ballot.deficit == 0:
            break
        ballot.cast(vote)
    return ballot


class TestAheadByK:
    def test_first_to_k_is_not_ahead_by_k(self) -> None:  # lesson 1
        ballot = cast(3, "ABABA")
        assert (ballot.winner, ballot.deficit, ballot.counts) == (None, 2, {'"A"': 3, '"B"': 2})

    def test_a_tie_at_k_is_open(self) -> None:  # lesson 2
        ballot = cast(3, "ABABABAB")
        assert (ballot.winner, ballot.leader, ballot.margin, ballot.deficit) == (None, None, 0, 3)

    @pytest.mark.parametrize("k", [1, 2, 3, 10])
    def test_a_unanimous_vote_wins_at_exactly_k(self, k: int) -> None:  # lesson 3
        ballot = Ballot(k)
        for _ in range(k):
            assert ballot.winner is None
            ballot.cast("A")
        assert ballot.winner == "A"

    @pytest.mark.parametrize("k", [2, 3, 5])
    def test_no_lead_below_k_ever_wins(self, k: int) -> None:  # lesson 4
        ballot = cast(k, ["A"] * (k - 1) + ["B", "A"] * 50)
        assert ballot.winner is None
        assert ballot.margin == k - 1

    def test_winner_is_one_pair_as_it_was_first_cast(self) -> None:  # lessons 5 and 12
        first = {"next_state": [1.0, "e\u0301"], "action": "a"}
        ballot = cast(
            2, [first, {"action": "a", "next_state": [9, "é"]}, {"action": "a", "next_state": [1, "é"]}, first]
        )
        assert repr(ballot.winner) == repr(first)

    def test_a_vote_of_none_can_win(self) -> None:
        ballot = cast(2, [None, None])
        assert (ballot.winner, ballot.deficit, ballot.counts) == (None, 0, {"null": 2})

    def test_casting_after_the_decision_raises(self) -> None:
        with pytest.raises(RuntimeError, match="decided"):
            cast(1, "A").cast("A")

    def test_leads_are_over_every_other_answer(self) -> None:
        assert cast(2, "ABCA").winner is None
        assert cast(2, "ABCAA").winner == "A"

    @given(MARGINS, VOTES)
    def test_agrees_with_the_rule_as_the_paper_writes_it(self, k: int, votes: list[str]) -> None:
        counts: dict[str, int] = {}
        winner = None
        for vote in votes:
            counts[vote] = counts.get(vote, 0) + 1
            if counts[vote] >= k + max((n for other, n in counts.items() if other != vote), default=0):
                winner = vote
                break
        assert cast(k, votes).winner == winner

    @given(MARGINS, VOTES)
    def test_deficit_is_the_least_number_of_votes_that_decides(self, k: int, votes: list[str]) -> None:
        ballot = cast(k, votes)
        enough = next(n for n in itertools.count() if any(_decides(ballot, vote, n) for vote in "ABCD"))
        assert ballot.deficit == enough

    @given(MARGINS, VOTES)
    def test_margin_and_deficit_add_up_to_k(self, k: int, votes: list[str]) -> None:
        ballot = cast(k, votes)
        assert ballot.margin + ballot.deficit == k
        assert 0 <= ballot.deficit <= k

    @given(MARGINS, VOTES, st.randoms(use_true_random=False))
    def test_order_changes_neither_counts_nor_margin_of_an_open_ballot(
        self, k: int, votes: list[str], random: Any
    ) -> None:
        ballot = Ballot.resume(k, *_tallied(votes))
        shuffled = votes.copy()
        random.shuffle(shuffled)
        other = Ballot.resume(k, *_tallied(shuffled))
        assert ballot.counts == other.counts
        assert ballot.margin == other.margin

    def test_order_can_change_the_winner(self) -> None:
        assert cast(2, "AABBB").winner == "A"
        assert cast(2, "BBBAA").winner == "B"

    @given(MARGINS, VOTES)
    def test_resuming_changes_nothing(self, k: int, votes: list[str]) -> None:
        whole, half = cast(k, votes), cast(k, votes[: len(votes) // 2])
        resumed = Ballot.resume(k, half.counts, half.votes)
        for vote in votes[len(votes) // 2 :]:
            if resumed.deficit:
                resumed.cast(vote)
        assert (resumed.winner, resumed.counts, resumed.votes) == (whole.winner, whole.counts, whole.votes)

    def test_counts_handed_out_are_copies(self) -> None:
        ballot = cast(3, "A")
        ballot.counts.clear()
        ballot.votes.clear()
        assert (ballot.counts, ballot.leader) == ({'"A"': 1}, "A")


def _decides(ballot: Ballot, vote: str, votes: int) -> bool:
    further = Ballot.resume(ballot.k, ballot.counts, ballot.votes)
    for _ in range(votes):
        if further.deficit:
            further.cast(vote)
    return further.deficit == 0


def _tallied(votes: list[str]) -> tuple[dict[str, int], dict[str, str]]:
    counts: dict[str, int] = {}
    for vote in votes:
        counts[canonical(vote)] = counts.get(canonical(vote), 0) + 1
    return counts, {canonical(vote): vote for vote in votes}


class TestMargin:
    @pytest.mark.parametrize("k", [0, -1, 2.5, True, False, "3", None, math.nan])
    def test_bad_k_is_refused(self, k: Any) -> None:
        with pytest.raises(ValueError, match="whole number of at least 1"):
            Ballot(k)

    def test_whole_numbers_of_other_types_are_taken(self) -> None:
        assert check_margin(np.int64(4)) == 4


class TestCanonical:  # lesson 11
    @pytest.mark.parametrize(
        ("one", "other"),
        [
            ({"a": 1, "b": [2]}, {"b": [2], "a": 1}),
            (1, 1.0),
            (0, -0.0),
            (10**22, 1e22),
            ([[1, 0], [2.0]], [[1.0, 0.0], [2]]),
            ("\u00e9", "e\u0301"),
            ({"\u00e9": 1}, {"e\u0301": 1}),
        ],
    )
    def test_equal_votes(self, one: Any, other: Any) -> None:
        assert canonical(one) == canonical(other)

    @pytest.mark.parametrize(
        ("one", "other"),
        [
            (1, True),
            (0, False),
            (0, None),
            (1, "1"),
            ([1, 2], [2, 1]),
            ([[1], 2], [1, [2]]),
            ({}, []),
            ("", None),
            (1, 1.0000000000000002),
            (2**53, 2**53 + 1),
            ("a", "A"),
            ("\ud800", "\ud801"),
        ],
    )
    def test_different_votes(self, one: Any, other: Any) -> None:
        assert canonical(one) != canonical(other)

    @pytest.mark.parametrize(
        "value",
        [math.nan, math.inf, -math.inf, (1, 2), {1}, {1: 2}, b"x", object(), 1j, [math.nan], {"a": {2}}, [10**5000]],
        ids=lambda value: type(value).__name__,
    )
    def test_what_is_not_json_is_refused(self, value: Any) -> None:
        with pytest.raises(ValueError, match="JSON|digits"):
            Ballot(1).cast(value)

    def test_keys_that_normalise_alike_are_refused(self) -> None:
        with pytest.raises(ValueError, match="twice"):
            canonical({"\u00e9": 1, "e\u0301": 2})

    def test_deep_nesting_is_refused_not_fatal(self) -> None:
        value: Any = []
        for _ in range(100_000):
            value = [value]
        with pytest.raises(ValueError, match="nested too deeply"):
            canonical(value)

    @given(st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(), _nested, max_leaves=8))
    def test_the_text_says_what_the_plain_way_of_writing_it_says(self, value: Any) -> None:
        try:
            slow: object = json.dumps(_normal(value), sort_keys=True, separators=(",", ":"))
        except ValueError as error:
            slow = str(error)
        try:
            quick: object = canonical(value)
        except ValueError as error:
            quick = str(error)
        assert quick == slow

    def test_a_vote_that_is_changed_after_it_was_cast_counts_as_it_was(self) -> None:
        ballot, vote = Ballot(1), {"action": [1]}
        ballot.cast(vote)
        vote["action"].append(2)
        assert ballot.winner == {"action": [1]}

    def test_a_refused_vote_leaves_the_ballot_as_it_was(self) -> None:
        ballot = cast(2, "A")
        with pytest.raises(ValueError, match="JSON"):
            ballot.cast(math.nan)
        assert ballot.counts == {'"A"': 1}

    def test_a_key_function_decides_what_is_equal(self) -> None:
        ballot = Ballot(2, key=str.casefold)
        ballot.cast("Yes")
        ballot.cast("YES")
        assert ballot.winner == "Yes"
