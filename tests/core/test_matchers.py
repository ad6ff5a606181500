"""Which votes are equal, and that no ballot rests on a relation that is no equivalence."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langgraph.checkpoint.memory import InMemorySaver
from scripted import Counting, Scripted, right, script

from langgraph_maker import Ballot, RedFlag, create_maker, create_voting_graph
from langgraph_maker.core.errors import SamplingError
from langgraph_maker.core.json_form import json_form
from langgraph_maker.core.matchers import Pairwise, alike, canonical, exact, fields, sets, text, within

NO_TEXT: Any = {}.get
INVOICE = {"vendor": "ACME Ltd", "total": 9.99, "lines": ["b", "a"]}


class TestEqual:
    @pytest.mark.parametrize(
        ("key", "one", "other"),
        [
            (exact, [1, "a"], [1, "a"]),
            (canonical, {"a": 1, "b": 2.0}, {"b": 2, "a": 1.0}),
            (text, "Straße  9", "STRASSE 9\n"),
            (text, "ﬁ\u00a0x", "FI x"),
            (text, "\uff14\uff12 m", "42 M"),
            (text, "e\u0301", "\u00c9"),
            (within(0.5), 1, 1.5),
            (within(0.1), 1.0, 1.1),
            (within(0.05), 10.05, 10.0),
            (within(relative=0.1), 1.0, 0.9),
            (within(0.1), {"\u00e9": 1}, {"e\u0301": 1}),
            (within(0.5), {"a": [1, "x"]}, {"a": [1.2, "x"]}),
            (within(relative=0.1), 100, 109),
            (fields("vendor"), INVOICE, {"vendor": "ACME Ltd"}),
            (fields(vendor=text, total=within(0.02)), INVOICE, {"vendor": "acme ltd", "total": 10}),
            (fields(lines=sets(), vendor=canonical), INVOICE, {**INVOICE, "lines": ["a", "b", "a"], "total": 1}),
            (sets(of=fields("id")), [{"id": 1, "x": 1}, {"id": 2}], [{"id": 2}, {"id": 1}]),
            (Pairwise(lambda one, other: one % 3 == other % 3), 1, 7),
            (str.casefold, "A", "a"),
        ],
    )
    def test_votes(self, key: Any, one: Any, other: Any) -> None:
        assert alike(key, one, other)

    @pytest.mark.parametrize(
        ("key", "one", "other"),
        [
            (exact, 1, 1.0),
            (exact, "\u00e9", "e\u0301"),
            (exact, {"a": 1, "b": 2}, {"b": 2, "a": 1}),
            (text, "5", "-5"),
            (text, "10²", "102"),
            (text, "x₁", "x1"),
            (text, "①", "1"),
            (text, "1½", "11\u20442"),
            (text, "m2", "㎡"),
            (text, "3⒈", "31."),
            (within(0.1), 1.0, 1.1000000000000003),
            (within(0.5), 1, 1.6),
            (within(2), 0, True),
            (within(2), 0, "0"),
            (within(2), [1], [1, 1]),
            (within(2), {"a": 1}, {"b": 1}),
            (within(2), {"a": 1, "b": "x"}, {"a": 1, "b": "y"}),
            (fields("vendor", total=within(0.01)), INVOICE, {"vendor": "ACME Ltd", "total": 10.01}),
            (sets(), ["a", "b"], ["a"]),
        ],
    )
    def test_other_votes(self, key: Any, one: Any, other: Any) -> None:
        assert not alike(key, one, other)


class TestRelation:
    def test_a_chain_is_a_flag_that_names_its_votes(self) -> None:
        ballot = cast(3, within(0.5), [1.0, 1.4])
        with pytest.raises(
            RedFlag, match=r"no_equivalence: 1\.8 equals 1\.4 and 1\.4 equals 1, but 1\.8 does not equal 1$"
        ):
            ballot.cast(1.8)
        assert ballot.counts == {"1": 2}

    def test_a_vote_between_two_answers_counts_for_neither(self) -> None:
        ballot = cast(3, within(0.5), [1.0, 1.8])
        with pytest.raises(RedFlag, match=r"1 equals 1\.4 and 1\.4 equals 1\.8, but 1 does not equal 1\.8$"):
            ballot.cast(1.4)
        assert ballot.counts == {"1": 1, "1.8": 1}

    @pytest.mark.parametrize(
        ("relation", "votes", "said"),
        [
            (lambda one, other: one != other, [1], "1 does not equal itself"),
            (lambda one, other: one <= other, [1, 2], "1 equals 2, but not the other way round"),
        ],
    )
    def test_so_is_what_is_not_reflexive_or_symmetric(self, relation: Any, votes: Any, said: str) -> None:
        with pytest.raises(RedFlag, match=said):
            cast(3, Pairwise(relation), votes)

    @given(st.lists(st.integers(0, 30), max_size=25), st.integers(1, 4))
    def test_what_a_ballot_counts_is_an_equivalence(self, votes: list[int], tolerance: int) -> None:
        ballot, counted = Ballot(1000, key=within(tolerance)), []
        known: dict[str, str] = {}
        key = within(tolerance).classes(known)
        for vote in votes:
            try:
                ballot.cast(vote)
            except RedFlag:
                with pytest.raises(RedFlag):
                    key(vote)
            else:
                counted.append((vote, key(vote)))
        assert all((abs(one - other) <= tolerance) == (k == m) for one, k in counted for other, m in counted)
        assert sum(ballot.counts.values()) == len(counted)

    @given(st.lists(st.sampled_from([0, 1, 2, 10, 11, 12, 20, 21]), max_size=40), st.integers(1, 4), st.randoms())
    def test_on_an_equivalence_it_is_the_ballot_of_its_classes(self, votes: list[int], k: int, random: Any) -> None:
        pairwise, plain = Ballot(k, key=within(2)), Ballot(k, key=lambda vote: str(vote // 10))
        random.shuffle(votes)
        for vote in votes:
            if plain.deficit:
                pairwise.cast(vote)
                plain.cast(vote)
        assert (pairwise.winner, pairwise.deficit, [*pairwise.counts.values()]) == (
            plain.winner,
            plain.deficit,
            [*plain.counts.values()],
        )

    @given(st.lists(st.integers(0, 30), max_size=25), st.integers(0, 25))
    def test_what_is_known_survives_json(self, votes: list[int], at: int) -> None:
        whole: dict[str, str] = {}
        half: dict[str, str] = {}
        judged = [verdict(within(3), whole, vote) for vote in votes]
        first = [verdict(within(3), half, vote) for vote in votes[:at]]
        half = json.loads(json.dumps(half))
        assert judged == first + [verdict(within(3), half, vote) for vote in votes[at:]]


def cast(k: int, key: Any, votes: list[Any]) -> Ballot:
    ballot = Ballot(k, key=key)
    for vote in votes:
        ballot.cast(vote)
    return ballot


def verdict(key: Pairwise, known: dict[str, str], vote: Any) -> str:
    try:
        return key.classes(known)(vote)
    except RedFlag as flag:
        return str(flag)


class TestInGraphs:
    def decide(self, model: Any, **options: Any) -> Any:
        graph = create_voting_graph(model, prompt=lambda state: state, parse=json.loads, **options).compile()
        return graph.invoke({"subtasks": [{"id": "a", "state": "?"}]})["decisions"][0]

    def test_the_winner_is_as_it_was_first_written(self) -> None:
        decision = self.decide(script("2.00", "1.999", "7", "2.001", "2"), key=within(0.01), k=3)
        assert (repr(decision["vote"]), [count["count"] for count in decision["counts"]]) == ("2.0", [4, 1])

    def test_votes_that_make_no_equivalence_are_flags_and_decide_nothing(self) -> None:
        decision = self.decide(script("1.0", "1.4", "1.8", "1.8", "1.0"), key=within(0.5), k=3)
        assert (decision["vote"], decision["flags"]) == (1.0, {"no_equivalence": 2})
        assert (decision["samples"], [count["count"] for count in decision["counts"]]) == (5, [3])

    def test_no_more_is_drawn_than_could_decide(self) -> None:
        model = script("1.0", "1.1", "9", "1.2", "1.3")
        assert self.decide(model, key=within(0.5), k=3)["samples"] == model.drawn == 5

    def test_a_vote_that_broke_off_knows_its_classes(self) -> None:
        rounds = iter(range(10))

        async def dying(requests: Any) -> Any:
            if next(rounds) == 1:
                raise OSError("gone")
            return await answers(requests)

        answers = script("1.0", "1.4", "3", "1.8", "1.1", "1.2")
        graph = create_voting_graph(
            dying, prompt=lambda state: state, parse=float, key=within(0.5), outage_limit=0
        ).compile(checkpointer=InMemorySaver())
        thread: Any = {"configurable": {"thread_id": "t"}}
        with pytest.raises(SamplingError):
            graph.invoke({"subtasks": [{"id": "a", "state": "?"}]}, thread)
        decision = graph.invoke(None, thread)["decisions"][0]
        assert (decision["flags"], [count["count"] for count in decision["counts"]]) == ({"no_equivalence": 1}, [4, 1])

    def test_a_field_that_is_not_there_is_a_flag(self) -> None:
        decision = self.decide(script('{"b": 1}', '{"a": 1}'), key=fields("a"), k=2)
        assert (decision["flags"], decision["vote"]) == ({"malformed": 1}, {"a": 1})
        assert "fields ['a']" in decision["last_flag"]


class TestDecimals:
    """A decimal with more digits than a JSON number holds is the text of its digits in a vote."""

    def test_they_are_numbers_to_a_tolerance(self) -> None:
        long, longer = (json_form(Decimal(text)) for text in ("0.10000000000000000001", "0.10900000000000000001"))
        assert (type(long), type(longer)) == (str, str)
        assert alike(within(0.01), long, longer)
        assert alike(within(0.01), long, 0.1)
        assert not alike(within(0.001), long, longer)

    def test_other_texts_are_none(self) -> None:
        assert not alike(within(0.1), "1.50", "1.5")
        assert not alike(within(relative=0.1), "1234567890123456789012", "1234567890123456789013")

    def test_what_is_too_long_is_refused_in_words(self) -> None:
        one, other = (json_form(Decimal(text)) for text in ("1E+999999999", "2E+999999999"))
        with pytest.raises(RedFlag, match="up to 400 digits, not '1E"):
            alike(within(1), one, other)


class TestBadInput:
    @pytest.mark.parametrize("tolerances", [{"absolute": -1}, {"relative": float("inf")}, {"absolute": True}, {}])
    def test_tolerances(self, tolerances: Any) -> None:
        with pytest.raises(ValueError, match="tolerance"):
            within(**tolerances)

    def test_a_key_that_no_database_takes(self) -> None:
        with pytest.raises(TypeError, match="for the vote 1: it returns a text, without lone surrogates"):
            Ballot(1, key=lambda _: "\ud800").cast(1)

    def test_no_fields(self) -> None:
        with pytest.raises(ValueError, match="name the fields"):
            fields()

    def test_items_of_sets_have_keys(self) -> None:
        with pytest.raises(TypeError, match="in pairs, where a key function is needed"):
            sets(of=within(1))

    @pytest.mark.parametrize(("key", "vote"), [(text, 1), (sets(), "ab"), (fields("a"), [1]), (fields("a"), {"b": 1})])
    def test_votes_of_another_form_are_refused(self, key: Any, vote: Any) -> None:
        with pytest.raises(RedFlag, match="malformed: the matcher .*compares"):
            key(vote)

    @pytest.mark.parametrize("raised", [LookupError, TypeError, ZeroDivisionError])
    def test_whatever_a_matcher_raises_surfaces_but_flags(self, raised: type[Exception]) -> None:
        def key(vote: Any) -> str:
            raise RedFlag("unclear") if vote == 1 else raised("a bug")

        with pytest.raises(raised, match="a bug") as caught:
            TestInGraphs().decide(script("2"), key=key, strict_parse=True)
        assert "raised by key, which says which votes are equal, for the vote 2" in caught.value.__notes__
        assert TestInGraphs().decide(script("1"), key=key, max_samples_per_step=3)["flags"] == {"unclear": 3}

    def test_a_vote_whose_keys_are_one_when_normalised_is_a_flag(self) -> None:
        decision = TestInGraphs().decide(script('{"\u00e9": 1, "e\u0301": 2}', "1"), k=1)
        assert (decision["flags"], decision["vote"]) == ({"malformed": 1}, 1)

    @pytest.mark.parametrize("key", [lambda vote: vote["x"], Pairwise(lambda one, other: one["x"] == other["x"])])
    def test_a_matcher_that_raises_says_on_which_vote(self, key: Any) -> None:
        with pytest.raises(KeyError) as caught:
            TestInGraphs().decide(script('{"y": 1}'), key=key, strict_parse=True)
        assert "raised by key, which says which votes are equal, for the vote {'y': 1}" in caught.value.__notes__

    def test_a_key_is_a_text(self) -> None:
        with pytest.raises(TypeError, match="key returned 3 for the vote 1: it returns a text"):
            TestInGraphs().decide(script("1"), key=lambda _: 3)

    @pytest.mark.parametrize(
        ("key", "vote"),
        [
            (NO_TEXT, 1),
            (fields(v=NO_TEXT), {"v": 1}),
            (fields(v=NO_TEXT, w=within(1)), {"v": 1, "w": 1}),
            (sets(of=NO_TEXT), [1]),
        ],
    )
    def test_a_matcher_without_a_text_makes_no_votes_equal(self, key: Any, vote: Any) -> None:
        with pytest.raises(TypeError, match="key returned None for the vote 1: it returns a text"):
            alike(key, vote, vote)
        with pytest.raises(TypeError, match="key returned None for the vote 1: it returns a text"):
            Ballot(3, key=key).cast(vote)

    def test_a_task_journals_keys(self) -> None:
        class Close(Counting):
            vote_key: Any = within(1)

        with pytest.raises(TypeError, match="vote_key of counting is a function"):
            create_maker(Close(), Scripted(right))
