"""The ladder of a recursive maker: tiers to escalate, and a human who is asked while the rest of the tree continues."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from langchain_core.messages import AIMessage
from langchain_core.runnables import RunnableLambda
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, StateGraph
from langgraph.store.memory import InMemoryStore
from langgraph.types import Command
from scripted import Recording
from staged import Staged, question_in, reversal
from typing_extensions import TypedDict

from langgraph_maker import create_maker_node, create_recursive_maker, journal
from langgraph_maker.core.state import Request
from langgraph_maker.journal import records
from langgraph_maker.nodes.ladder import AskHuman, Tier
from langgraph_maker.prebuilt.recursive.stages import INSTRUCTIONS, StageQuestion, Stages

WORD: Any = {"problem": "abcdefgh"}
NAMED: Any = {"problem": "abcdefgh", "run_id": "r"}
THREAD: Any = {"configurable": {"thread_id": "t"}}
ASKING: dict[str, Any] = {"ladder": [Tier(samples=6), AskHuman()]}
ASKED = "1.1.2.1:solve"
HOSTILE = "</script><script>alert(1)</script>\u202e\u2028{1} [/red]'\""


def level(*problems: str, until: int = 10**9, stage: str = "solve") -> Callable[[StageQuestion, int], Any]:
    """Two answers in turns at one stage of these problems, for so many samples."""

    def answer(question: StageQuestion, number: int) -> Any:
        undecided = question["stage"] == stage and question["problem"] in problems and number < until
        return {"answer": "?!"[number % 2]} if undecided else None

    return answer


def graph(model: Any, *, store: Any = None, saver: Any = None, **options: Any) -> Any:
    return create_recursive_maker(model, **options).compile(store=store, checkpointer=saver)


class TestClimbing:
    def test_what_does_not_settle_climbs_and_is_decided_afresh(self) -> None:
        first, second = Staged(level("c")), Staged()
        result = graph(first, ladder=[Tier(), Tier(model=second)]).invoke(WORD)
        assert (result["status"], result["answer"]) == ("solved", "hgfedcba")
        assert {(one, question["problem"]) for batch in second.batches for one, question in batch} == {(ASKED, "c")}
        decided = result["tree"]["1.1.2.1"]["decided"][-1]
        assert (decided["tier"], decided["margin"], decided["human"]) == (1, 3, False)
        assert first.drawn + second.drawn == sum(result["samples"].values())

    def test_it_climbs_long_before_its_budget(self) -> None:
        result = graph(Staged(level("c")), max_samples_per_step=1000, ladder=[Tier(), Tier(model=Staged())]).invoke(
            WORD
        )
        assert result["samples"]["solve"] < 7 * 3 + 30

    def test_a_tiers_margin_is_what_decides_there(self) -> None:
        result = graph(Staged(level("c")), ladder=[Tier(samples=6), Tier(model=Staged(), k=5)]).invoke(WORD)
        assert result["tree"]["1.1.2.1"]["decided"][-1]["margin"] == 5

    def test_a_tier_may_have_a_model_that_calls_tools(self) -> None:
        class Tools(Recording):
            def bind_tools(self, tools: Any, **_: Any) -> Any:
                def call(messages: Any) -> AIMessage:
                    args = reversal(question_in(messages[-1].text))
                    return AIMessage("", tool_calls=[{"name": tools[0].__name__, "args": args, "id": "1"}])

                return RunnableLambda(call)

        ladder: Any = [Tier(samples=6), Tier(model=Tools(answer=str, calls=[]))]
        result = graph(Staged(level("c", "g")), ladder=ladder).invoke(WORD)
        assert (result["answer"], result["tree"]["1.2.2.1"]["decided"][-1]["tier"]) == ("hgfedcba", 1)

    def test_after_the_last_tier_it_is_unresolved(self) -> None:
        result = graph(Staged(level("c")), ladder=[Tier(samples=6), Tier(samples=8, temperature=0.5)]).invoke(WORD)
        assert (result["status"], result["answer"]) == ("unresolved", None)
        assert result["reason"].startswith("node 1.1.2.1 (c): solve: no answer led by the margin")
        assert "in 2 tiers" in result["unsettled"][0]["reason"]

    def test_proposals_that_differ_are_no_reason_to_climb(self) -> None:
        """Eight are asked for, of four kinds: such a ballot would be given up after five votes anywhere else."""
        splits = [{"subproblems": ["abcdefgh"[:at], "abcdefgh"[at:]], "compose": "{2}{1}"} for at in (2, 3, 4, 5)]

        def answer(question: StageQuestion, number: int) -> Any:
            if question["stage"] == "choose":
                return {"choice": question["candidates"].index(splits[0]) + 1}
            return splits[number % 4] if question["stage"] == "propose" and not question["above"] else None

        result = graph(Staged(answer), proposals=8, ladder=[Tier(), Tier(model=Staged())]).invoke(WORD)
        told = {one["stage"]: one for one in result["tree"]["1"]["decided"]}
        assert (told["propose"]["candidates"], told["propose"]["samples"], told["propose"]["tier"]) == (4, 9, 0)

    def test_nor_is_that_the_budget_of_the_tier_is_used_up_by_then(self) -> None:
        def answer(question: StageQuestion, number: int) -> Any:
            if question["stage"] == "choose":
                return {"choice": question["candidates"].index(min(question["candidates"], key=str)) + 1}
            at = 2 + number
            split = {"subproblems": ["abcdefgh"[:at], "abcdefgh"[at:]], "compose": "{2}{1}"}
            return split if question["stage"] == "propose" and not question["above"] else None

        second = Staged()
        result = graph(Staged(answer), ladder=[Tier(samples=6), Tier(model=second)]).invoke(WORD)
        assert (result["answer"], second.drawn) == ("hgfedcba", 0)
        assert [one["candidates"] for one in result["tree"]["1"]["decided"]] == [0, 6, 0, 0, 0]

    def test_proposals_that_are_all_flagged_are(self) -> None:
        looping = {"subproblems": ["abcdefgh", "x"], "compose": "{1}{2}"}
        model = Staged(lambda question, _: looping if question["stage"] == "propose" else None)
        result = graph(model, red_flags=None, max_samples_per_step=1000, ladder=[Tier(), Tier(model=Staged())]).invoke(
            WORD
        )
        assert (result["status"], result["tree"]["1"]["decided"][1]["tier"]) == ("solved", 1)
        assert result["flags"]["cycle"] < 7 * 20

    def test_variants_are_the_paraphrases_of_the_stages(self) -> None:
        asked: list[tuple[int, str]] = []

        class Wordings(Staged):
            async def __call__(self, requests: Sequence[Request]) -> list[AIMessage | Exception]:
                asked.extend((request.variant, request.messages[0].text) for request in requests)
                return await super().__call__(requests)

        stages = Stages(paraphrases=[{"solve": INSTRUCTIONS["solve"] + " Think twice."}])
        result = graph(Wordings(), stages=stages, ladder=[Tier(variants="all")]).invoke(WORD)
        assert result["answer"] == "hgfedcba"
        assert {variant for variant, _ in asked} == {0, 1}
        for variant, text in asked:
            assert ("Think twice." in text) == (variant == 1 and text.startswith(INSTRUCTIONS["solve"]))

    @pytest.mark.parametrize(
        ("ladder", "said"),
        [
            ([Tier(), Tier(variants=[1])], "asks for variant 1: there is 0 alone"),
            ([Tier(k=1)], "at least the run's k"),
            ([AskHuman(), Tier()], "AskHuman stands on top"),
            ([Tier(), Tier()], "asks as the one before it does"),
            ([], "the ladder is empty"),
            ([Tier(), Tier(model="sim:gpt-4.1-mini")], "give a Sampler that answers the stages"),
        ],
    )
    def test_a_ladder_that_makes_no_sense(self, ladder: Any, said: str) -> None:
        with pytest.raises(ValueError, match=said):
            create_recursive_maker(Staged(), ladder=ladder)

    @pytest.mark.slow
    @pytest.mark.parametrize("name", ["default", "human"])
    def test_ladders_by_name(self, name: Any) -> None:
        result = graph(Staged(level("c", until=20)), saver=InMemorySaver(), ladder=name).invoke(WORD, THREAD)
        assert (result["answer"], result["tree"]["1.1.2.1"]["decided"][-1]["tier"]) == ("hgfedcba", 1)


class TestHumans:
    @pytest.mark.parametrize("sync", [True, False])
    async def test_an_interrupt_asks_and_the_rest_of_the_tree_goes_on(self, sync: bool) -> None:
        model, saver = Staged(level("c")), InMemorySaver()

        async def call(given: Any) -> Any:
            run = graph(model, saver=saver, **ASKING)
            return run.invoke(given, THREAD) if sync else await run.ainvoke(given, THREAD)

        result = await call(WORD)
        [interrupt] = result["__interrupt__"]
        assert (result["status"], result["reason"]) == ("waiting", "a node waits for a human's answer")
        assert interrupt.value == result["questions"][0]
        assert (interrupt.value["id"], interrupt.value["state"]) == (ASKED, {"stage": "solve", "problem": "c"})
        assert interrupt.value["candidates"][0] == {"vote": {"answer": "?"}, "count": 3}
        assert "no answer led by the margin after 5 samples" in interrupt.value["why"]
        left = {node["id"] for node in result["tree"].values() if node["stage"] != "done"}
        assert left == {"1", "1.1", "1.1.2", "1.1.2.1"}, "all but what needs the answer"
        drawn = model.drawn
        done = await call(Command(resume={"answer": "c"}))
        assert (done["status"], done["answer"], done["questions"]) == ("solved", "hgfedcba", [])
        assert model.drawn == drawn + 3 * 6, "the answer bought no vote; three compositions and checks are left"
        decided = done["tree"]["1.1.2.1"]["decided"][-1]
        assert (decided["human"], decided["margin"], decided["samples"]) == (True, 0, 5)

    @pytest.mark.parametrize("sync", [True, False])
    async def test_with_a_store_it_waits_and_goes_on_with_answers(self, sync: bool) -> None:
        model, store = Staged(level("c")), InMemoryStore()

        async def call(given: Any) -> Any:
            run = graph(model, store=store, **ASKING)
            return run.invoke(given) if sync else await run.ainvoke(given)

        assert (await call(NAMED))["status"] == "waiting"
        assert [question["id"] for question in journal.questions(store, "r")] == [ASKED]
        done = await call({"run_id": "r", "answers": {ASKED: {"answer": "c"}}})
        assert (done["status"], done["answer"]) == ("solved", "hgfedcba")
        assert (journal.questions(store, "r"), journal.verify(store, "r")) == ([], [])
        assert model.drawn == sum(done["samples"].values())

    def test_an_answer_kept_in_the_journal_is_taken(self) -> None:
        model, store = Staged(level("c")), InMemoryStore()
        graph(model, store=store, **ASKING).invoke(NAMED)
        with pytest.raises(ValueError, match="no candidate 5"):
            journal.answer(store, "r", ASKED, {"pick": 5})
        with pytest.raises(ValueError, match=f"no open question '1:solve': open are {ASKED}"):
            journal.answer(store, "r", "1:solve", {"pick": 0})
        journal.answer(store, "r", ASKED, {"answer": "c"})
        limited = graph(model, store=store, max_total_samples=20, **ASKING).invoke({"run_id": "r"})
        assert limited["status"] == "stopped"
        assert graph(model, store=store, **ASKING).invoke({"run_id": "r"})["answer"] == "hgfedcba"

    @pytest.mark.parametrize("kept_by", ["store", "checkpointer"])
    def test_an_answer_that_is_given_to_a_run_that_stops_is_kept(self, kept_by: str) -> None:
        model = Staged(level("c"))
        keep: Any = {"store": InMemoryStore()} if kept_by == "store" else {"saver": InMemorySaver()}
        graph(model, **keep, **ASKING).invoke(WORD, THREAD)
        limited = graph(model, **keep, max_total_samples=20, **ASKING)
        assert limited.invoke({"answers": {ASKED: {"answer": "c"}}}, THREAD)["status"] == "stopped"
        assert graph(model, **keep, **ASKING).invoke({}, THREAD)["answer"] == "hgfedcba"

    def test_an_answer_to_one_run_is_none_to_another_on_its_thread(self) -> None:
        saver, store = InMemorySaver(), InMemoryStore()
        model = Staged(level("c", "q"))
        other: Any = {"problem": "ijqlmnop", "run_id": "s"}
        for keep in ({"saver": saver}, {"saver": saver, "store": store}):
            run, limited = graph(model, **keep, **ASKING), graph(model, **keep, max_total_samples=20, **ASKING)
            run.invoke(NAMED, THREAD)
            assert limited.invoke({"answers": {ASKED: {"answer": "c"}}}, THREAD)["status"] == "stopped"
            waits = run.invoke(other, THREAD)
            assert (waits["status"], waits["questions"][0]["state"]["problem"]) == ("waiting", "q")
            assert run.invoke({"problem": "ab", "run_id": "t"}, THREAD)["answer"] == "ba"

    @pytest.mark.parametrize("kept_by", ["checkpointer", "both"])
    def test_answers_that_fit_no_question_are_refused_once(self, kept_by: str) -> None:
        keep: Any = {"saver": InMemorySaver(), "store": InMemoryStore() if kept_by == "both" else None}
        run = graph(Staged(level("c")), **keep, **ASKING)
        waits = run.invoke(WORD, THREAD)
        for wrong in ({"7": {"pick": 0}}, {ASKED: {"answer": "z"}, "7": {"pick": 0}}):
            with pytest.raises(ValueError, match=f"no open question '7' to answer: open are {ASKED}"):
                run.invoke({"answers": wrong}, THREAD)
            assert run.invoke({}, THREAD)["questions"] == waits["questions"]
        for none in (5, "c", [ASKED]):
            with pytest.raises(TypeError, match="answers are {.*}, not "):
                run.invoke({"answers": none}, THREAD)
        given = {"answers": {ASKED: {"answer": "c"}}}
        assert run.invoke(given, THREAD)["answer"] == "hgfedcba"
        with pytest.raises(ValueError, match="no question is open"):
            run.invoke(given, THREAD)
        assert run.invoke({}, THREAD)["answer"] == "hgfedcba"

    def test_a_late_answer_on_another_thread_of_the_run_is_refused_once(self) -> None:
        store = InMemoryStore()
        one, late = (graph(Staged(level("c")), store=store, saver=InMemorySaver(), **ASKING) for _ in range(2))
        one.invoke(NAMED, THREAD)
        late.invoke(NAMED, THREAD)
        assert one.invoke(Command(resume={"answer": "c"}), THREAD)["answer"] == "hgfedcba"
        with pytest.raises(ValueError, match="no question is open"):
            late.invoke(Command(resume={"answer": "z"}), THREAD)
        assert late.invoke({}, THREAD)["answer"] == "hgfedcba"

    def test_a_kept_answer_is_no_error_once_another_process_went_on(self) -> None:
        store, saver = InMemoryStore(), InMemorySaver()
        run = graph(Staged(level("c")), store=store, saver=saver, **ASKING)
        run.invoke(NAMED, THREAD)
        limited = graph(Staged(level("c")), store=store, saver=saver, max_total_samples=20, **ASKING)
        limited.invoke({"answers": {ASKED: {"answer": "c"}}}, THREAD)
        assert graph(Staged(), store=store, **ASKING).invoke({"run_id": "r"})["answer"] == "hgfedcba"
        assert run.invoke({}, THREAD)["answer"] == "hgfedcba"

    def test_a_later_answer_in_the_journal_takes_the_place_of_one_on_the_thread(self) -> None:
        store, saver = InMemoryStore(), InMemorySaver()
        run = graph(Staged(level("c")), store=store, saver=saver, **ASKING)
        run.invoke(NAMED, THREAD)
        limited = graph(Staged(level("c")), store=store, saver=saver, max_total_samples=20, **ASKING)
        limited.invoke({"answers": {ASKED: {"answer": "x"}}}, THREAD)
        journal.answer(store, "r", ASKED, {"answer": "c"})
        assert run.invoke({}, THREAD)["tree"]["1.1.2.1"]["answer"] == "c"

    def test_what_was_counted_is_in_the_journal_before_a_human_hears_of_it(self) -> None:
        store = InMemoryStore()
        for event in graph(Staged(level("c")), store=store, **ASKING).stream(NAMED, stream_mode="custom"):
            if event["event"] == "question.asked":  # and the process ends here
                break
        assert (event["node"], event["question"]["id"]) == ("1.1.2.1", ASKED)
        assert journal.questions(store, "r") == [event["question"]]
        again = Staged(level("c"))
        result = graph(again, store=store, **ASKING).invoke(NAMED)
        assert (result["status"], result["questions"]) == ("waiting", [event["question"]])
        assert not [one for batch in again.batches for one, _ in batch if one == ASKED]

    @pytest.mark.parametrize(
        ("form", "answer"),
        [
            ({"pick": 0}, "?"),
            ({"answer": "c"}, "c"),
            ({"answer": '{"answer": "c"}'}, "c"),
            ('{"answer": "c"}', "c"),
            ({"answer": 7}, "7"),
            ({"answer": '{"a": 1}'}, '{"a": 1}'),
            ({"answer": "true"}, "true"),
            ({"answer": HOSTILE}, HOSTILE),
        ],
    )
    def test_answers(self, form: Any, answer: str) -> None:
        store = InMemoryStore()
        graph(Staged(level("c")), store=store, **ASKING).invoke(NAMED)
        done = graph(Staged(), store=store, **ASKING).invoke({"run_id": "r", "answers": {ASKED: form}})
        assert done["tree"]["1.1.2.1"]["answer"] == answer

    @pytest.mark.parametrize(
        ("form", "problem"),
        [
            ({"answer": ""}, "empty_answer"),
            ({"answer": None}, "malformed"),
            ({"answer": {"no": 1}}, "malformed"),
            ({"answer": "[" * 100_000}, None),
            ({"answer": "\ud800"}, "malformed"),
            ({"pick": 2}, "there is no candidate 2: there is 0 to 1"),
            ("perhaps", "an answer is one of"),
        ],
    )
    def test_what_is_no_answer_is_asked_again_and_nothing_is_lost(self, form: Any, problem: str | None) -> None:
        saver, model = InMemorySaver(), Staged(level("c"))
        first = graph(model, saver=saver, **ASKING).invoke(WORD, THREAD)
        again = graph(model, saver=saver, red_flags=None, **ASKING).invoke(Command(resume=form), THREAD)
        if problem is None:  # a text is an answer, whatever it looks like
            assert again["tree"]["1.1.2.1"]["decided"][-1]["human"]
            return
        [question] = again["questions"]
        assert problem in question.pop("problem")
        assert (again["samples"], [question]) == (first["samples"], first["questions"])

    def test_an_answer_that_was_used_is_not_kept_any_longer(self) -> None:
        store = InMemoryStore()
        run = graph(Staged(level("c")), store=store, **ASKING)
        run.invoke(NAMED)
        again = run.invoke({"run_id": "r", "answers": {ASKED: {"answer": ""}}})
        assert (again["status"], "empty_answer" in again["questions"][0]["problem"]) == ("waiting", True)
        assert [*store.search(records.namespace("r"))] == []
        assert run.invoke({"run_id": "r"})["questions"] == again["questions"]

    def test_retry_begins_again_in_the_first_tier(self) -> None:
        saver, model = InMemorySaver(), Staged(level("c", until=5))
        run = graph(model, saver=saver, **ASKING)
        run.invoke(WORD, THREAD)
        done = run.invoke(Command(resume={"retry": True}), THREAD)
        decided = done["tree"]["1.1.2.1"]["decided"][-1]
        assert (done["answer"], decided["samples"], decided["margin"]) == ("hgfedcba", 8, 3)

    def test_abort_is_unresolved(self) -> None:
        run = graph(Staged(level("c")), saver=InMemorySaver(), **ASKING)
        run.invoke(WORD, THREAD)
        done = run.invoke(Command(resume={"abort": True}), THREAD)
        assert (done["status"], done["reason"]) == ("unresolved", "node 1.1.2.1 (c): solve: a human gave it up")

    def test_several_questions_have_answers_of_their_own(self) -> None:
        run = graph(Staged(level("c", "f")), saver=InMemorySaver(), **ASKING)
        asked = run.invoke(WORD, THREAD)["__interrupt__"]
        assert sorted(one.value["state"]["problem"] for one in asked) == ["c", "f"]
        forms = {one.id: {"answer": one.value["state"]["problem"]} for one in asked[:1]}
        forms[asked[1].id] = {"pick": 9}
        [left] = run.invoke(Command(resume=forms), THREAD)["__interrupt__"]
        assert left.value["id"] == asked[1].value["id"]
        right = {"answer": left.value["state"]["problem"]}
        assert run.invoke(Command(resume=right), THREAD)["answer"] == "hgfedcba"

    def test_an_answer_to_no_question_is_refused(self) -> None:
        run = graph(Staged(level("c")), store=InMemoryStore(), **ASKING)
        run.invoke(NAMED)
        with pytest.raises(ValueError, match=f"no open question '7' to answer: open are {ASKED}"):
            run.invoke({"run_id": "r", "answers": {"7": {"pick": 0}}})

    def test_refused_where_the_question_could_not_wait(self) -> None:
        model = Staged()
        with pytest.raises(ValueError, match="with a checkpointer"):
            graph(model, **ASKING).invoke(WORD)
        assert model.drawn == 0, "before anything was asked"

    @pytest.mark.parametrize("kept_by", ["store", "checkpointer"])
    def test_a_kill_between_an_answer_and_what_follows_loses_no_answer(self, kept_by: str) -> None:
        keep: Any = {"store": InMemoryStore()} if kept_by == "store" else {"saver": InMemorySaver()}
        run = graph(Staged(level("c")), **keep, **ASKING)
        run.invoke(NAMED, THREAD)
        given = {"run_id": "r", "answers": {ASKED: {"answer": "c"}}}
        at_once: Any = {"durability": "sync"} if kept_by == "checkpointer" else {}
        for update in run.stream(given, THREAD, stream_mode="updates", **at_once):
            if "frontier" in update:  # and the process ends here
                break
        assert run.invoke({"run_id": "r"}, THREAD)["answer"] == "hgfedcba"

    def test_an_answer_that_was_kept_for_a_question_that_is_not_asked_any_more_is_no_error(self) -> None:
        model, store = Staged(level("c", until=5)), InMemoryStore()
        graph(model, store=store, **ASKING).invoke(NAMED)
        journal.answer(store, "r", ASKED, {"answer": "kept"})
        done = graph(model, store=store).invoke({"run_id": "r"})
        assert (done["answer"], done["tree"]["1.1.2.1"]["decided"][-1]["human"]) == ("hgfedcba", False)
        assert [*store.search(records.namespace("r"))] == []

    def test_a_question_is_voted_on_again_where_no_human_is_on_the_ladder_any_more(self) -> None:
        model, store = Staged(level("c", until=5)), InMemoryStore()
        graph(model, store=store, **ASKING).invoke(NAMED)
        done = graph(model, store=store).invoke({"run_id": "r"})
        assert (done["answer"], done["tree"]["1.1.2.1"]["decided"][-1]["human"]) == ("hgfedcba", False)

    @pytest.mark.parametrize("form", [{"pick": 1}, {"answer": "2"}, {"answer": {"choice": 2}}, "split"])
    def test_candidates_are_shown_to_a_human_as_they_are_and_counted_from_one(self, form: Any) -> None:
        splits = [{"subproblems": ["abcdefgh"[:at], "abcdefgh"[at:]], "compose": "{2}{1}"} for at in (2, 3, 4)]

        def answer(question: StageQuestion, number: int) -> Any:
            if question["stage"] == "choose":
                return {"choice": question["candidates"].index(splits[number % 2]) + 1}
            return splits[number % 3] if question["stage"] == "propose" and not question["above"] else None

        run = graph(Staged(answer), saver=InMemorySaver(), **ASKING)
        [question] = run.invoke(WORD, THREAD)["questions"]
        assert question["state"]["candidates"] == splits
        assert [one["vote"] for one in question["candidates"]] == [{"choice": splits[0]}, {"choice": splits[1]}]
        given = {"answer": {"choice": splits[1]}} if form == "split" else form
        done = run.invoke(Command(resume=given), THREAD)
        assert (done["answer"], done["tree"]["1.1"]["problem"]) == ("hgfedcba", "abc")

    def test_yes_and_no_may_be_said_in_a_word(self) -> None:
        def answer(question: StageQuestion, number: int) -> Any:
            return {"atomic": number % 2 == 0} if question == {"stage": "atomic", "problem": "abcd"} else None

        for form in ({"answer": False}, {"answer": "false"}):
            run = graph(Staged(answer), saver=InMemorySaver(), **ASKING)
            assert run.invoke(WORD, THREAD)["questions"][0]["id"] == "1.1:atomic"
            assert run.invoke(Command(resume=form), THREAD)["answer"] == "hgfedcba"

    def test_a_question_is_json_whatever_the_problem_says(self) -> None:
        def answer(question: StageQuestion, number: int) -> Any:
            undecided = question["stage"] == "atomic"
            return {"atomic": number % 2 == 0} if undecided else reversal(question)

        run = graph(Staged(answer), saver=InMemorySaver(), **ASKING)
        [question] = run.invoke({"problem": HOSTILE}, THREAD)["questions"]
        assert json.loads(json.dumps(question)) == question
        assert question["state"]["problem"] == HOSTILE

    def test_a_k_of_the_context_is_what_the_first_tier_takes(self) -> None:
        run = graph(Staged(level("c", until=12)), saver=InMemorySaver(), ladder=[Tier(), AskHuman()])
        result = run.invoke(WORD, THREAD, context={"k": 5})
        assert {one["margin"] for node in result["tree"].values() for one in node["decided"]} <= {5}


class Host(TypedDict, total=False):
    """A host's own state."""

    word: str
    backwards: str


@pytest.mark.parametrize("sync", [True, False])
async def test_a_human_is_asked_inside_a_host(sync: bool) -> None:
    model = Staged(level("c"))
    node = create_maker_node(
        create_recursive_maker(model, **ASKING),
        read=lambda host: {"problem": host["word"]},
        write=lambda _, run: {"backwards": run["answer"]},
    )
    app = StateGraph(Host).add_node("reverse", node).add_edge(START, "reverse").compile(checkpointer=InMemorySaver())

    async def call(given: Any) -> Any:
        return app.invoke(given, THREAD) if sync else await app.ainvoke(given, THREAD)

    [interrupt] = (await call({"word": "abcdefgh"}))["__interrupt__"]
    assert interrupt.value["id"] == ASKED
    drawn = model.drawn
    assert (await call(Command(resume={"answer": "c"})))["backwards"] == "hgfedcba"
    assert model.drawn == drawn + 3 * 6
