"""`sample`, `guard` and `tally` together, as the voting graph runs them."""

from __future__ import annotations

import json
from enum import StrEnum
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, HumanMessage
from langgraph.checkpoint.memory import InMemorySaver
from scripted import Scripted, script, scripts

from langgraph_maker.core.ballot import Ballot
from langgraph_maker.core.errors import SamplingError, UnresolvedError
from langgraph_maker.core.red_flags import RedFlag, Truncated
from langgraph_maker.core.state import Decision, Request
from langgraph_maker.ladder import Tier
from langgraph_maker.nodes import guard_node, sample_node, tally_node
from langgraph_maker.prebuilt.voting import create_voting_graph
from langgraph_maker.prebuilt.voting_node import create_voting_node


def vote(model: Any, *, k: int = 3, ids: str = "q", **options: Any) -> list[Decision]:
    defaults: dict[str, Any] = {"prompt": str, "parse": str.strip}
    graph = create_voting_graph(model, k=k, **(defaults | options)).compile()
    decisions: list[Decision] = graph.invoke({"subtasks": [{"id": name, "state": name} for name in ids]})["decisions"]
    return decisions


class TestRounds:
    def test_a_unanimous_ballot_takes_k_samples_in_one_round(self) -> None:
        model = script("A")
        [decision] = vote(model, k=4)
        assert (decision["status"], decision["vote"], decision["samples"], decision["rounds"]) == ("decided", "A", 4, 1)
        assert [len(batch) for batch in model.batches] == [4]

    def test_each_round_draws_what_could_still_decide_and_no_more(self) -> None:
        model = script("A", "B", "A", "B", "A", "A", "A", "A")  # 2:1, 3:2, then 5:2
        [decision] = vote(model)
        assert [len(batch) for batch in model.batches] == [3, 2, 2]
        assert decision["counts"] == [{"vote": "A", "count": 5}, {"vote": "B", "count": 2}]

    @settings(deadline=None, max_examples=60)
    @given(st.lists(st.sampled_from(["A", "B", "C", ""]), min_size=1, max_size=40), st.integers(1, 4))
    def test_uses_exactly_the_samples_of_voting_one_after_another(self, answers: list[str], k: int) -> None:
        assume(any(answers[:9]))  # else it is given up
        answers = [*answers, *"A" * (len(answers) + 2 * k)]  # a tail that decides
        one_by_one = Ballot(k)
        drawn = 0
        while one_by_one.deficit:
            if answers[drawn]:
                one_by_one.cast(answers[drawn])
            drawn += 1
        model = script(*answers)
        [decision] = vote(model, k=k, max_samples_per_step=1000)
        assert model.drawn == decision["samples"] == drawn
        assert decision["vote"] == one_by_one.winner
        assert {count["vote"]: count["count"] for count in decision["counts"]} == {
            json.loads(key): count for key, count in one_by_one.counts.items()
        }

    def test_a_batch_keeps_its_ballots_apart(self) -> None:
        model = scripts({"a": "XXX", "b": "XYXYXXX", "c": "YYY"})
        decisions = vote(model, ids="abc")
        assert [(d["subtask_id"], d["vote"], d["samples"]) for d in decisions] == [
            ("a", "X", 3),
            ("b", "X", 7),
            ("c", "Y", 3),
        ]
        batches = ["".join(request.subtask_id for request in batch) for batch in model.batches]
        assert batches == ["aaa", "bbb", "ccc", "bb", "bb"]

    def test_no_subtasks_no_decisions(self) -> None:
        model = script("A")
        assert vote(model, ids="") == []
        assert model.batches == []

    def test_equal_ids_are_refused(self) -> None:
        with pytest.raises(ValueError, match="same id"):
            vote(script("A"), ids="aa")

    @pytest.mark.parametrize("given", [{}, {"subtasks": [{"id": "a"}]}, {"subtasks": [{"state": 1}]}])
    def test_subtasks_are_asked_for(self, given: Any) -> None:
        graph = create_voting_graph(script("A"), prompt=str, parse=str).compile()
        with pytest.raises(ValueError, match="subtasks are given as|EmptyInput|Must write to at least one"):
            graph.invoke(given)

    def test_a_sampler_is_async(self) -> None:
        with pytest.raises(TypeError, match="a Sampler is an async function"):
            vote(lambda requests: [AIMessage("A") for _ in requests])

    def test_a_prompt_is_text_or_messages(self) -> None:
        with pytest.raises(TypeError, match="prompt returned None"):
            vote(script("A"), prompt=lambda _: None)


class TestTemperature:
    def test_only_the_first_sample_of_a_ballot_is_at_the_first_temperature(self) -> None:  # lesson 7
        model = script("A", "B", "A", "A", "A")
        vote(model)
        assert [[r.temperature for r in batch] for batch in model.batches] == [[0.0, 0.1, 0.1], [0.1, 0.1]]
        assert [r.number for batch in model.batches for r in batch] == [0, 1, 2, 3, 4]

    def test_a_flagged_first_sample_is_drawn_again_at_the_later_temperature(self) -> None:
        def loops(request: Any) -> str:
            return "flag" if request.temperature == 0 else "A"

        def parse(text: str) -> str:
            if text == "flag":
                raise RedFlag("flagged")
            return text

        model = Scripted(loops)
        [decision] = vote(model, k=1, parse=parse)
        assert (decision["status"], decision["samples"], decision["flagged"]) == ("decided", 2, 1)
        assert [r.temperature for batch in model.batches for r in batch] == [0.0, 0.1]

    @pytest.mark.parametrize("value", [-0.1, float("nan"), float("inf"), "hot", True])
    def test_impossible_temperatures_are_refused(self, value: float) -> None:
        with pytest.raises(ValueError, match="first_temperature"):
            vote(script("A"), first_temperature=value)


class TestGuard:
    def test_flagged_responses_are_counted_and_never_vote(self) -> None:
        long = AIMessage("A", usage_metadata={"input_tokens": 1, "output_tokens": 751, "total_tokens": 752})
        cut = AIMessage("A", response_metadata={"finish_reason": "length"})
        [decision] = vote(script(long, cut, "", "B"))
        assert (decision["vote"], decision["samples"], decision["flagged"]) == ("B", 6, 3)
        assert decision["flags"] == {"token_limit": 1, "truncated": 1, "empty": 1}
        assert decision["counts"] == [{"vote": "B", "count": 3}]

    @pytest.mark.parametrize(
        ("parse", "reason"),
        [
            (json.loads, "malformed"),
            (int, "malformed"),
            (lambda text: RedFlag("returned"), "returned"),
            (lambda text: float("nan"), "malformed"),
            (lambda text: json.loads("[" * 100_000), "malformed"),
        ],
    )
    def test_what_parse_cannot_read_is_a_flag(self, parse: Any, reason: str) -> None:
        [decision] = vote(script("not a number"), parse=parse, max_samples_per_step=3)
        assert decision["status"] == "unresolved"
        assert decision["flags"] == {reason: 3}

    @pytest.mark.parametrize(
        "vote_of", [lambda text: object(), lambda text: np.int64(4), lambda text: [{1: {object()}}]]
    )
    def test_a_vote_of_a_type_that_is_not_json_is_a_bug(self, vote_of: Any) -> None:
        model = script("4")
        with pytest.raises(TypeError, match=r"parse returned what is not a vote: .* is not JSON"):
            vote(model, parse=vote_of)
        assert model.drawn == 3

    @pytest.mark.parametrize("number", [10**30, 10**5000, -(2**63) - 1], ids=["big", "huge", "negative"])
    def test_a_number_that_cannot_be_kept_is_a_flag(self, number: int) -> None:
        [decision] = vote(script("?", "4"), parse=lambda text: number if text == "?" else int(text))
        assert (decision["vote"], decision["flags"]) == (4, {"malformed": 1})

    def test_votes_are_of_builtin_types(self) -> None:
        class Mood(StrEnum):
            GOOD = "good"

        [decision] = vote(script("good"), parse=Mood)
        assert type(decision["vote"]) is str
        [decision] = vote(script("1.5"), parse=np.float64)
        assert type(decision["vote"]) is float

    @pytest.mark.parametrize("where", ["validate", "red_flags"])
    def test_what_is_no_flag_is_a_bug(self, where: str) -> None:
        options: dict[str, Any] = {where: lambda *_: "off the board"}
        with pytest.raises(TypeError, match="'off the board': what it returns is a RedFlag or None"):
            vote(script("A"), **options)

    def test_usage_may_be_partial(self) -> None:
        partial: Any = {"input_tokens": 7, "output_tokens": None}
        message = AIMessage("A").model_copy(update={"usage_metadata": partial})
        [decision] = vote(script(message))
        assert decision["usage"] == {  # a half that is known says nothing of what was used
            "input_tokens": 0,
            "cached_input_tokens": 0,
            "output_tokens": 0,
            "cost": None,
        }

    @pytest.mark.parametrize("how", ["raise", "return"])
    def test_validate_sees_state_and_vote(self, how: str) -> None:
        def validate(state: str, text: str) -> RedFlag | None:
            flag = RedFlag("wrong", f"{state} {text}") if text == "B" else None
            if flag and how == "raise":
                raise flag
            return flag

        [decision] = vote(script("B", "A"), validate=validate)
        assert (decision["vote"], decision["flags"]) == ("A", {"wrong": 1})

    @pytest.mark.parametrize("error", [TypeError, KeyError, AssertionError, ZeroDivisionError, ValueError])
    @pytest.mark.parametrize("where", ["parse", "validate", "key", "red_flags"])
    def test_an_exception_on_a_response_is_a_flag(self, error: type[Exception], where: str) -> None:
        def picky(*given: Any) -> Any:
            said = given[-1].text if where == "red_flags" else given[-1]
            if said == "odd":
                raise error("department")
            return said if where in ("parse", "key") else None

        options: dict[str, Any] = {where: picky}
        [decision] = vote(script("odd", "A"), **options)
        assert (decision["vote"], decision["flags"], decision["samples"]) == ("A", {"malformed": 1}, 4)
        assert error.__name__ in decision["last_flag"]
        assert "department" in decision["last_flag"]

    def test_a_missing_key_is_named(self) -> None:
        answers = ['{"department": "billing"}', '{"dept": "billing"}', '["billing"]', "null", '{"department": []}']
        [decision] = vote(
            script(*answers[1:], *[answers[0]] * 3), parse=lambda text: json.loads(text)["department"][0:9]
        )
        assert (decision["vote"], decision["flags"]) == ("billing", {"malformed": 3})
        [decision] = vote(script(answers[1]), parse=lambda text: json.loads(text)["department"])
        assert decision["last_flag"] == "malformed: KeyError 'department'"

    @pytest.mark.parametrize("error", [TypeError, KeyError, AssertionError, ZeroDivisionError])
    @pytest.mark.parametrize("where", ["parse", "validate", "key", "red_flags"])
    def test_or_surfaces_as_the_bug_it_is(self, error: type[Exception], where: str) -> None:
        def broken(*_: object) -> Any:
            raise error("bug")

        options: dict[str, Any] = {where: broken}
        with pytest.raises(error, match="bug"):
            vote(script("A"), strict_parse=True, **options)

    def test_why_the_last_tier_gave_up_is_said(self) -> None:
        node = create_voting_node(
            script('{"dept": 1}'),
            read=lambda state: state["q"],
            prompt=str,
            parse=lambda text: json.loads(text)["department"],
            write=lambda _, __: {},
            ladder=[Tier(), Tier(k=4)],
        )
        with pytest.raises(
            UnresolvedError, match="after 2[0-9] samples, all of them flagged for one reason .last: malf"
        ):
            node.invoke({"q": "?"})

    @pytest.mark.parametrize("how", ["raises", "flags"])
    def test_a_ballot_whose_first_samples_are_all_flagged_for_one_reason_is_given_up(
        self, how: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        def parse(text: str) -> Any:
            return text.nonsense if how == "raises" else RedFlag("off_topic")  # type: ignore[attr-defined]

        [first, second] = vote(script("A"), ids="ab", parse=parse)
        assert {first["status"], second["status"]} == {"unresolved"}
        assert first["samples"] + second["samples"] == 12
        told = [record.getMessage() for record in caplog.records]
        assert len(told) == (how == "raises")
        assert all("in parse" in one and "nonsense" in one for one in told)

    def test_flags_for_several_reasons_are_no_such_sign(self) -> None:
        answers = [RedFlag("one"), RedFlag("two")]
        [decision] = vote(script("0", "1"), parse=lambda text: answers[int(text)], max_samples_per_step=40)
        assert decision["samples"] > 30

    def test_nor_are_many_flags_where_many_are_usual(self) -> None:
        def parse(text: str) -> Any:
            return RedFlag("asked_for") if text == "bad" else text

        def often(request: Request) -> str:
            good = request.number > 12 if request.subtask_id == "!" else request.number % 4 == 0
            return "A" if good else "bad"

        decisions = vote(Scripted(often), ids="abcdefghijklmnopqrst!", parse=parse, k=2)
        assert {decision["status"] for decision in decisions} == {"decided"}

    def test_what_a_flag_says_is_bounded(self) -> None:
        huge = RedFlag("r" * 1_000_000, "\ud800" * 1_000_000)
        [decision] = vote(script("A"), parse=lambda text: huge, max_samples_per_step=3)
        assert len(decision["last_flag"]) < 400
        assert len(json.dumps(decision["flags"])) < 200
        decision["last_flag"].encode()

    def test_identical_responses_of_a_ballot_are_parsed_once(self) -> None:
        parsed: list[str] = []

        def parse(text: str) -> str:
            parsed.append(text)
            return text

        vote(script("A"), k=5, parse=parse)
        assert parsed == ["A"]

    def test_five_megabytes_of_brackets_are_a_flag(self) -> None:
        [decision] = vote(script("[" * 5_000_000), parse=json.loads, max_samples_per_step=3, k=3)
        assert decision["flags"] == {"token_limit": 3}
        [decision] = vote(script("[" * 5_000_000), parse=json.loads, max_samples_per_step=1, k=1, red_flags=None)
        assert decision["flags"] == {"malformed": 1}

    def test_the_winner_is_handed_back_as_written(self) -> None:  # lesson 12
        def parse(text: str) -> Any:
            return json.loads(text)

        [decision] = vote(script('{"b": 1.0, "a": "e\u0301"}', '{"a": "\u00e9", "b": 1}'), parse=parse)
        assert json.dumps(decision["vote"], ensure_ascii=False) == '{"b": 1.0, "a": "e\u0301"}'
        assert decision["counts"][0]["count"] == 3


class TestBudget:
    def test_a_new_answer_each_time_ends_unresolved_with_its_samples_reported(self) -> None:  # lesson 6
        model = Scripted(lambda request: str(request.number))
        [decision] = vote(model, k=3)
        assert (decision["status"], decision["vote"]) == ("unresolved", None)
        assert model.drawn == decision["samples"]
        assert 98 <= decision["samples"] <= 100
        assert len(decision["counts"]) == decision["samples"]

    def test_a_plurality_at_the_end_of_the_budget_is_unresolved(self) -> None:
        model = Scripted(lambda request: "B" if request.number in (0, 4) else "A")
        [decision] = vote(model, k=4, max_samples_per_step=7)
        assert (decision["status"], decision["vote"]) == ("unresolved", None)
        assert decision["counts"][0] == {"vote": "A", "count": 4}
        assert decision["samples"] == 6  # the lead of 2 needs 2 more, and 1 is left: it is not bought

    def test_the_last_sample_of_the_budget_may_decide(self) -> None:
        [decision] = vote(script("B", "A"), k=3, max_samples_per_step=5)
        assert (decision["status"], decision["samples"]) == ("decided", 5)

    @pytest.mark.parametrize("budget", [0, 2, -1, 2.5, True, "9"])
    def test_a_budget_that_could_never_decide_is_refused(self, budget: Any) -> None:
        with pytest.raises(ValueError, match="at least k = 3"):
            vote(script("A"), max_samples_per_step=budget)

    @pytest.mark.parametrize("k", [0, -1, 2.5, True, "3"])
    def test_bad_margins_are_refused_before_anything_is_bought(self, k: Any) -> None:
        model = script("A")
        with pytest.raises(ValueError, match="whole number of at least 1"):
            vote(model, k=k)
        assert model.batches == []


class TestFailures:
    def test_a_failed_call_is_neither_vote_nor_flag_and_is_made_again(self) -> None:  # lesson 9
        failures = iter([TimeoutError("slow")])

        def answer(request: Any) -> Any:
            return next(failures, "A") if request.number == 1 else "A"

        model = Scripted(answer)
        [decision] = vote(model)
        assert (decision["samples"], decision["flagged"], decision["status"]) == (3, 0, "decided")
        assert [len(batch) for batch in model.batches] == [3, 1]

    def test_a_call_that_keeps_failing_raises_with_the_cause(self) -> None:
        model = script(TimeoutError("slow"))
        with pytest.raises(
            SamplingError, match="a model call failed once, the last time with TimeoutError: slow"
        ) as caught:
            vote(model, outage_limit=0)
        assert isinstance(caught.value.__cause__, TimeoutError)
        assert len(model.batches) == 1

    def test_a_sampler_that_raises_fails_the_round(self) -> None:
        async def broken(_: Any) -> Any:
            raise OSError("no network")

        with pytest.raises(SamplingError, match="OSError: no network"):
            vote(broken, outage_limit=0)

    def test_a_sampler_that_answers_too_little_is_named(self) -> None:
        async def short(requests: Any) -> Any:
            return [AIMessage("A")] * (len(requests) - 1)

        with pytest.raises(TypeError, match="2 responses to 3 requests"):
            vote(short)


class TestThreads:
    """The voting graph under a checkpointer of its own."""

    def test_a_second_vote_on_the_same_thread_starts_afresh(self) -> None:
        model = script("A")
        graph = create_voting_graph(model, prompt=str, parse=str.strip).compile(checkpointer=InMemorySaver())
        config: Any = {"configurable": {"thread_id": "1"}}
        for _ in range(2):
            [decision] = graph.invoke({"subtasks": [{"id": "q", "state": "?"}]}, config)["decisions"]
            assert decision["samples"] == 3
        assert model.drawn == 6

    def test_other_subtasks_after_an_abandoned_vote_get_ballots_of_their_own(self) -> None:
        model = Scripted(lambda request: "A" if request.messages[0].text == "old" else "B")
        graph = create_voting_graph(model, prompt=str, parse=str.strip, k=2).compile(
            checkpointer=InMemorySaver(), interrupt_after=["sample"]
        )
        config: Any = {"configurable": {"thread_id": "1"}}
        graph.invoke({"subtasks": [{"id": "q", "state": "old"}]}, config)
        graph.invoke({"subtasks": [{"id": "q", "state": "new"}]}, config)
        result = graph.invoke(None, config)
        assert result["decisions"][0]["counts"] == [{"vote": "B", "count": 2}]

    async def test_async_does_as_sync_does(self) -> None:
        model = script("A", "B", "A", "A", "A")
        graph = create_voting_graph(model, prompt=lambda q: [HumanMessage(q)], parse=str.strip).compile()
        subtasks: Any = {"subtasks": [{"id": "q", "state": "?"}]}
        assert await graph.ainvoke(subtasks) == graph.invoke(subtasks)

    async def test_sync_inside_a_running_event_loop(self) -> None:
        assert vote(script("A"))[0]["vote"] == "A"


def test_nodes_are_runnables_with_both_sides() -> None:
    nodes = [sample_node(script("A"), prompt=str), guard_node(parse=str, red_flags=Truncated()), tally_node()]
    state: Any = {"subtasks": [{"id": "q", "state": "?"}]}
    for node in nodes:
        state |= node.invoke(state)
    assert [node.get_name() for node in nodes] == ["sample", "guard", "tally"]
    assert state["decisions"][0]["vote"] == "A"
