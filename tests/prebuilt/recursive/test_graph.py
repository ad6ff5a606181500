"""The recursive maker: each stage decided by a vote, each limit an honest end, and nothing bought twice."""

from __future__ import annotations

import asyncio
import itertools
import json
from functools import partial
from typing import Any

import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import AIMessage
from langchain_core.runnables import RunnableLambda
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.store.memory import InMemoryStore
from scripted import Recording
from staged import Staged, question_in, reversal

from langgraph_maker import MakerContext, RedFlag, create_maker_node, create_recursive_maker
from langgraph_maker.core.errors import JournalError
from langgraph_maker.journal import records
from langgraph_maker.models.prices import Price
from langgraph_maker.prebuilt.recursive import limits, read_tree
from langgraph_maker.prebuilt.recursive.multiplication import simulated_multiplication
from langgraph_maker.prebuilt.recursive.stage_sampler import shown
from langgraph_maker.prebuilt.recursive.stages import StageQuestion

WORD: Any = {"problem": "abcdefgh"}
NAMED: Any = {"problem": "abcdefgh", "run_id": "r"}
THREAD: Any = {"configurable": {"thread_id": "t"}}


def run(model: Any, problem: str = "abcdefgh", **options: Any) -> dict[str, Any]:
    return create_recursive_maker(model, **options).compile().invoke({"problem": problem})


def proposing(*decompositions: dict[str, Any]) -> Staged:
    """Proposes these, one after another, for the root."""

    def answer(question: StageQuestion, number: int) -> Any:
        root = question["stage"] == "propose" and not question["above"]
        return decompositions[number % len(decompositions)] if root else None

    return Staged(answer)


class TestSolving:
    def test_a_problem_is_split_solved_and_composed(self) -> None:
        result = run(Staged())
        assert (result["status"], result["answer"], result["depth"]) == ("solved", "hgfedcba", 3)
        assert result["samples"] == {
            "atomic": 45,
            "propose": 21,
            "solve": 24,
            "compose": 21,
            "check": 21,
        }
        assert [result["tree"][one]["problem"] for one in ("1", "1.1", "1.1.2", "1.1.2.1")] == [
            "abcdefgh",
            "abcd",
            "cd",
            "c",
        ]

    def test_what_is_atomic_is_answered_at_once(self) -> None:
        result = run(Staged(), "a")
        assert (result["answer"], result["depth"], result["samples"]) == ("a", 0, {"atomic": 3, "solve": 3})

    def test_commas_and_brackets_stay_in_their_subproblems(self) -> None:
        problem = '[1,{"a":(2,"}{1}")}]'
        assert run(Staged(), problem)["answer"] == problem[::-1]

    def test_siblings_are_asked_side_by_side(self) -> None:
        model = Staged()
        result = run(model)
        leaves = [f"1.{a}.{b}.{c}:solve" for a, b, c in itertools.product("12", repeat=3)]
        assert sorted(leaves) in [sorted({one for one, _ in batch}) for batch in model.batches]
        assert result["rounds"] == len(model.batches) == 3 * 4 + 2

    def test_equal_subproblems_are_solved_once(self) -> None:
        result = run(Staged(), "xyxy")
        assert (result["answer"], result["samples"]["solve"]) == ("yxyx", 6)
        assert result["tree"]["1.2"]["same_as"] == "1.1"

    @pytest.mark.parametrize("k", [1, 2, 4])
    def test_every_stage_is_decided_by_k(self, k: int) -> None:
        model = Staged(lambda question, number: {"answer": "?"} if number % 4 == 3 and "parts" in question else None)
        result = run(model, k=k)
        decided = [one for node in result["tree"].values() for one in node["decided"]]
        assert {one["stage"] for one in decided} == {"atomic", "propose", "solve", "compose", "check"}
        assert {one["margin"] for one in decided} == {k}
        assert sum(one["samples"] for one in decided) == sum(result["samples"].values()) == model.drawn

    @pytest.mark.parametrize("k", [1, 5])
    def test_a_runtime_context_may_begin_a_run_with_another_k(self, k: int) -> None:
        result = create_recursive_maker(Staged(), min_k=1).compile().invoke(WORD, context=MakerContext(k=k))
        assert {one["margin"] for node in result["tree"].values() for one in node["decided"]} == {k}

    def test_a_larger_k_of_the_context_takes_as_many_proposals(self) -> None:
        model = TestChoosing().proposing(lambda shown: shown.index(TestChoosing.SPLITS[0]) + 1)
        result = create_recursive_maker(model).compile().invoke(WORD, context=MakerContext(k=7))
        assert [one["samples"] for one in result["tree"]["1"]["decided"][1:3]] == [7, 7]

    async def test_async_is_the_same(self) -> None:
        graph = create_recursive_maker(Staged()).compile()
        result = await graph.ainvoke(WORD)
        assert {**result, "run_id": ""} == {**graph.invoke(WORD), "run_id": ""}

    @pytest.mark.parametrize("sync", [True, False])
    async def test_a_model_that_waits(self, sync: bool) -> None:
        inner = Staged()

        async def waits(requests: Any) -> Any:
            await asyncio.sleep(0)
            return await inner(requests)

        graph = create_recursive_maker(waits).compile()
        result = await (asyncio.to_thread(graph.invoke, WORD) if sync else graph.ainvoke(WORD))
        assert (result["answer"], inner.drawn) == ("hgfedcba", sum(result["samples"].values()))

    def test_wrong_answers_lose(self) -> None:
        result = run(Staged(lambda _, number: '{"answer": "?"}' if number == 1 else None))
        assert result["answer"] == "hgfedcba"


class TestChoosing:
    SPLITS = [{"subproblems": ["abcdefgh"[:at], "abcdefgh"[at:]], "compose": "{2}{1}"} for at in (2, 3, 4, 5)]

    def proposing(self, discriminate: Any) -> Staged:
        """Each proposal is another; then `discriminate` picks among the candidates as they are shown."""

        def answer(question: StageQuestion, number: int) -> Any:
            if question["problem"] != "abcdefgh":
                return None
            if question["stage"] == "choose":
                return {"choice": discriminate(question["candidates"])}
            return self.SPLITS[number % 4] if question["stage"] == "propose" else None

        return Staged(answer)

    def test_discriminators_choose_what_they_mean_wherever_it_stands(self) -> None:
        for best in self.SPLITS:
            result = run(self.proposing(lambda shown, best=best: shown.index(best) + 1))
            assert (result["answer"], result["samples"]["choose"]) == ("hgfedcba", 3)
            told = {one["stage"]: (one["margin"], one["candidates"]) for one in result["tree"]["1"]["decided"]}
            assert (told["propose"][1], told["choose"]) == (4, (3, 0))
            assert result["tree"]["1.1"]["problem"] == best["subproblems"][0]

    def test_a_liking_for_a_place_decides_nothing(self) -> None:
        result = run(self.proposing(lambda _: 1), k=2)
        assert result["status"] == "unresolved"
        assert result["reason"].startswith("node 1 (abcdefgh): choose: no answer led by the margin after ")
        counts = [each["count"] for each in result["unsettled"][0]["counts"]]
        assert len(counts) == 4
        assert max(counts) - min(counts) <= 1

    def test_each_candidate_stands_at_each_place_equally_often(self) -> None:
        question: StageQuestion = {"stage": "choose", "problem": "p", "candidates": [*"abcde"]}
        orders = [shown(question, number) or [] for number in range(5)]
        for place in range(5):
            assert sorted(order[place] for order in orders) == [0, 1, 2, 3, 4]

    @pytest.mark.parametrize("choice", [0, -1, 5])
    def test_a_number_that_no_candidate_has_is_a_flag(self, choice: int) -> None:
        result = run(self.proposing(lambda _: choice), max_samples_per_step=10)
        assert result["status"] == "unresolved"
        assert set(result["flags"]) == {"no_such_candidate"}

    def test_answers_that_cannot_be_compared_are_chosen_too(self) -> None:
        words = ["red", "Red.", "It is red", "crimson", "scarlet"]

        def answer(question: StageQuestion, number: int) -> Any:
            if question["stage"] == "choose":
                return {"choice": question["candidates"].index({"answer": "crimson"}) + 1}
            return {"atomic": True} if question["stage"] == "atomic" else {"answer": words[number % 5]}

        assert run(Staged(answer), "Which colour?", max_samples_per_step=12)["status"] == "unresolved"
        result = run(Staged(answer), "Which colour?", max_samples_per_step=12, comparable=False)
        assert (result["status"], result["answer"]) == ("solved", "crimson")


class TestBadInput:
    @pytest.mark.parametrize(
        ("parts", "compose", "flag"),
        [
            (["abcdefgh"], "{1}", "breadth"),
            ([f"p{place}" for place in range(1000)], "{1}", "breadth"),
            (["abcdefgh", "x"], "{1}{2}", "cycle"),
            (["abcdefgh again", "x"], "{1}{2}", "not_simpler"),
            (["abcd", "what follows the answer of subproblem 1"], "{1}{2}", "sibling"),
            (["abcd", "efgh"], "{1}", "ignored_part"),
        ],
    )
    def test_a_bad_decomposition_never_wins(self, parts: list[str], compose: str, flag: str) -> None:
        bad = {"subproblems": parts, "compose": compose}
        result = run(proposing(bad), max_samples_per_step=10, red_flags=None)
        assert (result["status"], result["answer"], set(result["flags"])) == ("unresolved", None, {flag})
        assert result["reason"].startswith("node 1 (abcdefgh): propose: no answer led")
        assert flag in result["reason"]
        good = {"subproblems": ["abcd", "efgh"], "compose": "{2}{1}"}
        assert run(proposing(bad, bad, good), red_flags=None)["answer"] == "hgfedcba"

    def test_a_loop_further_down_is_seen(self) -> None:
        def answer(question: StageQuestion, _: int) -> Any:
            other = {"abcdefgh": "tail", "tail": "abcdefgh"}.get(question["problem"])
            return {"subproblems": [other, "x"], "compose": "{1}{2}"} if question["stage"] == "propose" else None

        result = run(Staged(answer), max_samples_per_step=10)
        assert (result["status"], [*result["flags"]]) == ("unresolved", ["cycle"])
        assert result["reason"].startswith("node 1.1 (tail): propose:")

    def test_a_composer_that_ignores_a_child_is_refuted(self) -> None:
        def answer(question: StageQuestion, _: int) -> Any:
            ignores = question["stage"] == "compose" and question["problem"] == "abcd"
            return {"answer": question["parts"][0]["answer"]} if ignores else None

        result = run(Staged(answer), max_attempts=1)
        assert (result["status"], result["answer"]) == ("unresolved", None)
        assert (
            result["reason"]
            == "node 1.1 (abcd): check: the answer 'ba' was voted wrong, and max_attempts is 1: raise it"
        )
        assert result["unsettled"][0]["question"]["stage"] == "check"

    def test_a_check_of_the_users_own_keeps_wrong_answers_out_of_the_vote(self) -> None:
        def length(problem: str, answer: str) -> RedFlag | None:
            return None if len(problem) == len(answer) else RedFlag("wrong_length", answer)

        short = Staged(lambda question, number: {"answer": "?"} if "parts" in question and number % 2 else None)
        result = run(short, check=length)
        assert (result["answer"], set(result["flags"])) == ("hgfedcba", {"wrong_length", "malformed"})

    @pytest.mark.parametrize("problem", [{}, {"problem": ""}, {"problem": " "}, {"problem": None}, {"problem": 3}])
    def test_nothing_to_solve(self, problem: Any) -> None:
        with pytest.raises(ValueError, match="nothing to solve"):
            create_recursive_maker(Staged()).compile().invoke(problem)

    def test_what_no_store_could_keep(self) -> None:
        with pytest.raises(ValueError, match="lone surrogates"):
            run(Staged(), "\ud800")

    @pytest.mark.parametrize(
        ("options", "said"),
        [
            ({"k": 0}, "k, the margin"),
            ({"proposals": 0}, "proposals is a whole number"),
            ({"max_children": 1}, "max_children is a whole number of at least 2"),
            ({"max_depth": -1}, "max_depth is a whole number of at least 0"),
            ({"max_nodes": 2.5}, "max_nodes is a whole number"),
            ({"deadline": "1h"}, "deadline is a number of seconds"),
            ({"deadline": float("nan")}, "deadline is a number of seconds"),
            ({"max_cost": -1}, "max_cost is a number"),
        ],
    )
    def test_options_out_of_range(self, options: Any, said: str) -> None:
        with pytest.raises(ValueError, match=said):
            create_recursive_maker(Staged(), **options)

    def test_a_bug_in_check_may_surface(self) -> None:
        def check(_: str, __: str) -> None:
            raise KeyError("bug")

        with pytest.raises(KeyError, match="bug"):
            run(Staged(), check=check, strict_parse=True)

    @pytest.mark.parametrize("options", [{"stages": 3}, {"stages": False}, {"check": 3}, {"comparable": "x"}])
    def test_options_of_another_type(self, options: Any) -> None:
        with pytest.raises(TypeError, match=next(iter(options))):
            create_recursive_maker(Staged(), **options)

    def test_a_simulated_model_of_a_task_is_none_of_this(self) -> None:
        with pytest.raises(ValueError, match="give a Sampler that answers the stages"):
            create_recursive_maker("sim:gpt-4.1-mini")


def test_a_host_graph_holds_a_recursive_maker() -> None:
    node = create_maker_node(
        create_recursive_maker(Staged()),
        read=lambda host: {"problem": host["word"]},
        write=lambda _, run: {"backwards": run["answer"]},
    )
    assert node.invoke({"word": "abcd"}) == {"backwards": "dcba"}


@pytest.mark.parametrize("problem", ["12 * 34", "12*34", "what is 12 x 34?", "What is 12 × 34 ?", "012 * 34"])
def test_the_simulated_model_reads_a_product_as_people_write_it(problem: str) -> None:
    assert run(simulated_multiplication(), problem)["answer"] == "408"


class TestLimits:
    """Each ends the run, says why and where, and can be raised: what is decided then is not bought again."""

    @pytest.mark.parametrize(
        ("limit", "raised", "status", "reason"),
        [
            ({"max_depth": 2}, {"max_depth": 3}, "unresolved", "it is not atomic, and max_depth = 2 allows no"),
            ({"max_nodes": 6}, {"max_nodes": 15}, "unresolved", "the tree would have 7 nodes, and max_nodes is 6"),
            ({"max_total_samples": 40}, {}, "stopped", "and the limit is 40: raise it; run it again under the same id"),
            ({"deadline": 0}, {}, "stopped", "the deadline of 0 s has passed; run it again"),
            ({"stop": lambda: "tea"}, {}, "stopped", "tea; run it again"),
        ],
    )
    @pytest.mark.parametrize("kept_by", ["checkpointer", "store"])
    def test_a_limit(self, limit: Any, raised: Any, status: str, reason: str, kept_by: str) -> None:
        keep: Any = {"checkpointer": InMemorySaver()} if kept_by == "checkpointer" else {"store": InMemoryStore()}
        model = Staged()
        first = create_recursive_maker(model, **limit).compile(**keep).invoke(WORD, THREAD)
        assert (first["status"], first["answer"]) == (status, None)
        assert reason in first["reason"]
        assert first["reason"].startswith("node 1")
        again = create_recursive_maker(model, **limit).compile(**keep).invoke({}, THREAD)
        assert again["status"] == status
        last = create_recursive_maker(model, **raised).compile(**keep).invoke({}, THREAD)
        assert (last["status"], last["answer"], last["unsettled"]) == ("solved", "hgfedcba", [])
        assert model.drawn == sum(last["samples"].values()) == 132

    def test_a_deadline_counts_from_where_an_invocation_takes_the_run_up(self, monkeypatch: pytest.MonkeyPatch) -> None:
        clock = [0.0]
        monkeypatch.setattr(limits, "monotonic", lambda: clock[0])
        graph = create_recursive_maker(Staged(), deadline=60).compile(store=InMemoryStore())
        begin: Any = {**WORD, "run_id": "r"}
        next(graph.stream(begin))  # and is broken off
        clock[0] = 61
        assert graph.invoke({"run_id": "r"})["status"] == "solved"

    def test_what_did_not_settle_is_said_as_it_was_asked(self) -> None:
        def answer(question: StageQuestion, number: int) -> Any:
            return {"answer": str(number)} if (question["stage"], question["problem"]) == ("solve", "c") else None

        result = run(Staged(answer), max_samples_per_step=9)
        [unsettled] = result["unsettled"]
        assert (unsettled["node"], unsettled["question"]) == ("1.1.2.1", {"stage": "solve", "problem": "c"})
        assert len(unsettled["counts"]) == unsettled["samples"]

    def test_a_larger_budget_goes_on_with_the_votes_that_were_counted(self) -> None:
        def answer(question: StageQuestion, number: int) -> Any:
            return (
                {"answer": "?"} if question["stage"] == "solve" and question["problem"] == "c" and number < 2 else None
            )

        model, store = Staged(answer), InMemoryStore()
        first = create_recursive_maker(model, max_samples_per_step=4).compile(store=store).invoke(WORD, THREAD)
        assert first["status"] == "unresolved"
        last = create_recursive_maker(model, max_samples_per_step=9).compile(store=store).invoke({}, THREAD)
        assert (last["answer"], last["samples"]["solve"]) == ("hgfedcba", 7 * 3 + 7)
        assert model.drawn == sum(last["samples"].values())

    def test_the_recursion_limit_is_no_end(self) -> None:
        graph = create_recursive_maker(Staged()).compile(checkpointer=InMemorySaver())
        config: Any = {**THREAD, "recursion_limit": 16}
        result = graph.invoke(WORD, config)
        assert (result["status"], "the recursion limit is near" in result["reason"]) == ("stopped", True)
        while (result := graph.invoke({}, config))["status"] == "stopped":
            pass
        assert (result["answer"], sum(result["samples"].values())) == ("hgfedcba", 132)


class TestModelsThatWait:
    """Calls in flight when a run ends, and calls that fail."""

    @staticmethod
    def waiting(inner: Staged, fails_at: int = 0) -> Any:
        """Answers after more or fewer turns of the event loop; refuses for good from one call on."""
        calls = itertools.count(1)

        async def model(requests: Any) -> Any:
            call = next(calls)
            for _ in range(call * 7 % 5):
                await asyncio.sleep(0)
            if fails_at and call >= fails_at:
                return [PermissionError("revoked") for _ in requests]
            return await inner(requests)

        return model

    async def test_what_is_in_flight_at_a_limit_is_counted(self) -> None:
        inner, store = Staged(), InMemoryStore()
        limited = create_recursive_maker(self.waiting(inner), max_total_samples=40).compile(store=store)
        first = await limited.ainvoke(NAMED)
        assert (first["status"], sum(first["samples"].values())) == ("stopped", inner.drawn)
        last = await create_recursive_maker(self.waiting(inner)).compile(store=store).ainvoke(NAMED)
        assert (last["answer"], inner.drawn) == ("hgfedcba", 132)

    async def test_a_model_that_refuses_stops_the_run_where_it_is(self) -> None:
        inner, store = Staged(), InMemoryStore()
        refusing = create_recursive_maker(self.waiting(inner, fails_at=8)).compile(store=store)
        first = await refusing.ainvoke(NAMED)
        assert (first["status"], "the model refused" in first["reason"]) == ("stopped", True)
        assert first["reason"].startswith("node 1")
        last = await create_recursive_maker(self.waiting(inner)).compile(store=store).ainvoke(NAMED)
        assert (last["answer"], inner.drawn) == ("hgfedcba", 132)

    async def test_a_deadline_does_not_wait_for_an_outage(self) -> None:
        inner = Staged()

        async def down(requests: Any) -> Any:
            if not inner.batches[3:]:
                return await inner(requests)
            return [ConnectionError("down") for _ in requests]

        result = await create_recursive_maker(down, deadline=0.3).compile().ainvoke(WORD)
        assert (result["status"], "a model call failed" in result["reason"]) == ("stopped", True)

    @pytest.mark.parametrize("given", [[], ["text"], None])
    def test_a_sampler_that_is_none_is_an_error(self, given: Any) -> None:
        async def odd(_: Any) -> Any:
            return given

        with pytest.raises(TypeError, match="the sampler gave"):
            run(odd)

    def test_dollars_are_a_limit_too(self) -> None:
        priced: Any = {"max_cost": 0.001, "price": Price(1.0, 1.0)}
        result = run(simulated_multiplication(), "123 * 456", **priced)
        assert (result["status"], "$0.00 were spent" in result["reason"]) == ("stopped", True)
        assert 0.001 <= result["usage"]["cost"] < 0.1


class TestTheJournal:
    def test_a_run_goes_on_wherever_it_broke_off(self) -> None:
        store, model = InMemoryStore(), Staged()
        whole = create_recursive_maker(Staged()).compile().invoke(NAMED)
        result: dict[str, Any] = {"status": "stopped"}
        visits = 0
        while result["status"] == "stopped":
            visits += 1
            left = itertools.repeat(False, 1)
            graph = create_recursive_maker(model, stop=partial(next, left, True)).compile(store=store)
            result = graph.invoke(NAMED)
        assert visits == whole["rounds"]
        assert result == whole
        assert model.drawn == sum(whole["samples"].values())

    def test_a_crash_loses_the_round_in_flight_at_most(self) -> None:
        store = InMemoryStore()
        for crash_at in range(1, 14, 3):
            model = Staged()

            async def dies(requests: Any, model: Staged = model, crash_at: int = crash_at) -> Any:
                if len(model.batches) == crash_at:
                    raise KeyboardInterrupt
                return await model(requests)

            dies.never_waits = True  # type: ignore[attr-defined]
            run_id = f"r{crash_at}"
            with pytest.raises(KeyboardInterrupt):
                create_recursive_maker(dies).compile(store=store).invoke({"problem": "abcdefgh", "run_id": run_id})
            result = create_recursive_maker(model).compile(store=store).invoke({"run_id": run_id})
            assert (result["answer"], model.drawn) == ("hgfedcba", 132)

    def test_a_solved_run_is_not_bought_again(self) -> None:
        store, model = InMemoryStore(), Staged()
        graph = create_recursive_maker(model).compile(store=store)
        assert graph.invoke(NAMED) == graph.invoke({"run_id": "r"})
        assert model.drawn == 132

    def test_a_checkpoint_behind_the_journal_is_moved_on(self) -> None:
        model, store, saver = Staged(), InMemoryStore(), InMemorySaver()
        graph = create_recursive_maker(model).compile(store=store, checkpointer=saver)
        graph.invoke(WORD, THREAD)
        early = [*graph.get_state_history(THREAD)][-5]
        assert early.values["counts"]["rounds"] < 3
        assert graph.invoke(None, early.config)["answer"] == "hgfedcba"
        assert model.drawn <= 132 + 6

    def test_a_checkpoint_ahead_of_the_journal_is_an_error(self) -> None:
        saver, model = InMemorySaver(), create_recursive_maker(Staged(), max_total_samples=20)
        model.compile(checkpointer=saver, store=InMemoryStore()).invoke(WORD, THREAD)
        with pytest.raises(JournalError, match="ahead of its journal"):
            model.compile(checkpointer=saver, store=InMemoryStore()).invoke({}, THREAD)

    @pytest.mark.parametrize("kept_by", ["checkpointer", "store"])
    @pytest.mark.parametrize(("problem", "k", "said"), [("other", 3, "problem"), ("abcdefgh", 4, "with k 3, not 4")])
    def test_a_run_is_of_one_problem_and_k(self, kept_by: str, problem: str, k: int, said: str) -> None:
        keep: Any = {"checkpointer": InMemorySaver()} if kept_by == "checkpointer" else {"store": InMemoryStore()}
        create_recursive_maker(Staged()).compile(**keep).invoke(WORD, THREAD)
        with pytest.raises(JournalError, match=said):
            create_recursive_maker(Staged(), k=k).compile(**keep).invoke({"problem": problem}, THREAD)

    @pytest.mark.parametrize("kept_by", ["checkpointer", "store"])
    def test_no_runtime_context_undercuts_the_k_of_a_run(self, kept_by: str) -> None:
        keep: Any = {"checkpointer": InMemorySaver()} if kept_by == "checkpointer" else {"store": InMemoryStore()}
        create_recursive_maker(Staged(), max_total_samples=20).compile(**keep).invoke(WORD, THREAD)
        graph = create_recursive_maker(Staged(), min_k=1).compile(**keep)
        with pytest.raises(JournalError, match="started with k 3, not 1"):
            graph.invoke({}, THREAD, context=MakerContext(k=1))
        graph = create_recursive_maker(Staged()).compile(**keep)
        result = graph.invoke({}, THREAD, context=MakerContext(k=1))
        assert {one["margin"] for node in result["tree"].values() for one in node["decided"]} == {3}

    def test_what_the_context_asks_for_is_what_the_journal_says(self) -> None:
        store = InMemoryStore()
        create_recursive_maker(Staged(), min_k=1).compile(store=store).invoke(NAMED, context=MakerContext(k=1))
        head = store.get(records.tree("r"), "head")
        assert head is not None
        assert json.loads(head.value["record"])["fixed"]["k"] == 1

    def test_a_state_that_says_decided_decides_nothing(self) -> None:
        graph = create_recursive_maker(Staged()).compile(checkpointer=InMemorySaver(), interrupt_before=["grow"])
        graph.invoke(WORD, THREAD)
        [ballot] = graph.get_state(THREAD).values["ballots"]
        forged = {**ballot, "counts": dict.fromkeys(ballot["counts"], 1), "samples": 1, "asked": 1, "following": 1}
        graph.update_state(THREAD, {"ballots": [forged]}, "vote")
        graph.invoke(None, THREAD)
        state = graph.get_state(THREAD).values
        assert (state["tree"]["1"]["decided"], state["ballots"][0]["samples"]) == ([], 3)

    def test_two_processes_at_one_run_are_found_out(self) -> None:
        """The second begins while the first has decided nothing, and would split the problem elsewhere."""

        def elsewhere(question: StageQuestion, _: int) -> Any:
            root = question["stage"] == "propose" and not question["above"]
            return {"subproblems": ["abc", "defgh"], "compose": "{2}{1}"} if root else None

        store = InMemoryStore()
        first, second = (
            create_recursive_maker(model).compile(store=store).stream(NAMED, stream_mode="updates")
            for model in (Staged(), Staged(elsewhere))
        )
        next(first)
        next(second)
        with pytest.raises(JournalError, match="another process writes this run too"):
            for _ in zip(first, second, strict=True):
                pass
        result = create_recursive_maker(Staged(elsewhere)).compile(store=store).invoke({"run_id": "r"})
        assert (result["status"], result["answer"]) == ("solved", "hgfedcba")

    def test_records_of_two_trees_are_no_tree(self) -> None:
        """As two processes leave them that write at the same instant."""
        one, other = InMemoryStore(), InMemoryStore()
        for store, parts in ((one, ["abcd", "efgh"]), (other, ["abc", "defgh"])):
            model = proposing({"subproblems": parts, "compose": "{2}{1}"})
            create_recursive_maker(model, max_total_samples=20).compile(store=store).invoke(NAMED)
        record = other.get(records.tree("r"), "node-1.1")
        assert record is not None
        one.put(records.tree("r"), "node-1.1", record.value)
        with pytest.raises(JournalError, match=r"'r' are not those of one tree: process .* wrote it last"):
            create_recursive_maker(Staged()).compile(store=one).invoke({"run_id": "r"})

    @pytest.mark.parametrize("key", ["head", "node-1", "node-1.2"])
    @pytest.mark.parametrize("change", [lambda text: text.replace("abcd", "abce"), lambda _: "{", lambda _: 7])
    def test_what_was_altered_is_an_error(self, key: str, change: Any) -> None:
        store = InMemoryStore()
        graph = create_recursive_maker(Staged(), max_total_samples=40).compile(store=store)
        graph.invoke({"problem": "abcdabcdabcd", "run_id": "r"})
        item = store.get(records.tree("r"), key)
        assert item is not None
        store.put(records.tree("r"), key, {**item.value, "record": change(item.value["record"])})
        with pytest.raises(JournalError, match="run 'r'"):
            graph.invoke({"run_id": "r"})

    def test_a_tree_is_read_without_a_model(self) -> None:
        store = InMemoryStore()
        result = create_recursive_maker(Staged()).compile(store=store).invoke(NAMED)
        assert read_tree(store, "r") == result["tree"]
        with pytest.raises(JournalError, match="no recursive run 'other'"):
            read_tree(store, "other")

    def test_what_is_missing_is_an_error(self) -> None:
        store = InMemoryStore()
        graph = create_recursive_maker(Staged()).compile(store=store)
        graph.invoke(NAMED)
        store.delete(records.tree("r"), "node-1.2")
        with pytest.raises(JournalError, match="has no node-1.2"):
            graph.invoke({"run_id": "r"})

    def test_a_question_that_is_asked_otherwise_begins_anew_and_what_was_drawn_counts(self) -> None:
        bad = {"subproblems": [*"abc"], "compose": "{1}{2}{3}"}
        model, store = proposing(bad), InMemoryStore()
        limited = create_recursive_maker(model, max_children=2, max_samples_per_step=5).compile(store=store)
        assert limited.invoke(WORD, THREAD)["flags"] == {"breadth": 3}
        widened = create_recursive_maker(model, max_children=3, max_samples_per_step=9, max_attempts=1)
        last = widened.compile(store=store).invoke({}, THREAD)
        assert last["samples"]["propose"] == 3 + 3
        assert model.drawn == sum(last["samples"].values())

    def test_what_such_a_question_took_is_counted_once_however_often_the_run_is_entered(self) -> None:
        bad = {"subproblems": [*"abc"], "compose": "{1}{2}{3}"}
        model, store = proposing(bad), InMemoryStore()
        create_recursive_maker(model, max_children=2, max_samples_per_step=5).compile(store=store).invoke(NAMED)
        for _ in range(3):
            stopped = create_recursive_maker(model, max_children=3, max_total_samples=1).compile(store=store)
            assert sum(stopped.invoke(NAMED)["samples"].values()) == model.drawn


class TestWatching:
    def test_each_decided_stage_is_told(self) -> None:
        graph = create_recursive_maker(Staged()).compile()
        *grown, done = graph.stream(WORD, stream_mode="custom")
        assert {event["event"] for event in grown} == {"node.decided"}
        assert len(grown) == 15 + 7 + 8 + 7 + 7
        assert sum(event["samples"] for event in grown) == sum(done["samples"].values()) == 132
        first = grown[0]
        assert (first["node"], first["stage"], first["vote"]) == ("1", "atomic", {"atomic": False})
        assert (done["event"], done["status"], done["answer"]) == ("tree.ended", "solved", "hgfedcba")
        assert json.loads(json.dumps(grown)) == grown

    @pytest.mark.parametrize("sync", [True, False])
    async def test_a_tracer_sees_stage_and_node(self, sync: bool) -> None:
        seen: list[tuple[str, set[str]]] = []
        calls: list[Any] = []

        class Tracer(BaseCallbackHandler):
            def on_chain_start(self, serialized: Any, inputs: Any, **kwargs: Any) -> None:
                seen.append((kwargs.get("name", ""), set(kwargs.get("tags") or ())))

            def on_chat_model_start(self, serialized: Any, messages: Any, **kwargs: Any) -> None:
                calls.append((kwargs["metadata"]["step"], kwargs.get("parent_run_id")))

        model = Recording(answer=lambda text: json.dumps(reversal(question_in(text))), calls=[])
        graph = create_recursive_maker(model).compile()
        config: Any = {"callbacks": [Tracer()]}
        word: Any = {"problem": "ab"}
        result = graph.invoke(word, config) if sync else await graph.ainvoke(word, config)
        assert result["answer"] == "ba"
        names = {name for name, _ in seen}
        assert {"atomic 1", "propose 1", "atomic 1.1", "solve 1.2", "compose 1", "check 1"} <= names
        assert {"stage:solve", "node:1.2"} <= next(tags for name, tags in seen if name == "solve 1.2")
        assert {step for step, _ in calls} >= {"1:propose", "1.2:solve"}
        assert all(parent for _, parent in calls)

    def test_the_picture_shows_the_stages_of_a_round(self) -> None:
        nodes = create_recursive_maker(Staged()).compile().get_graph(xray=True).nodes
        assert {"frontier", "vote:sample", "vote:guard", "vote:tally", "escalate", "grow"} <= set(nodes)


def test_a_model_that_calls_tools_is_made_to() -> None:
    bound: list[str] = []

    class Tools(Recording):
        def bind_tools(self, tools: Any, **kwargs: Any) -> Any:
            bound.append(tools[0].__name__)
            assert kwargs == {"tool_choice": "any"}

            def call(messages: Any) -> AIMessage:
                args = reversal(question_in(messages[-1].text))
                call = {"name": tools[0].__name__, "args": args, "id": "1"}
                return AIMessage("", tool_calls=[call])

            return RunnableLambda(call)

    result = run(Tools(answer=str, calls=[]), "ab")
    assert (result["status"], result["answer"]) == ("solved", "ba")
    assert set(bound) == {"Atomic", "Answer", "Decomposition", "Choice", "Check"}


@pytest.mark.parametrize("where", ["store", "checkpointer"])
def test_a_k_of_the_runtime_context_is_the_runs(where: str) -> None:
    stopping = [True]
    graph: Any = create_recursive_maker(
        simulated_multiplication(), k=3, stop=lambda: stopping[0] and "the test says so"
    ).compile(
        store=InMemoryStore() if where == "store" else None,
        checkpointer=InMemorySaver() if where == "checkpointer" else None,
    )
    named = {"problem": "12 * 34", "run_id": "r"}
    assert graph.invoke(named, THREAD, context={"k": 5})["status"] == "stopped"
    with pytest.raises(JournalError, match="was started with k 5, not 3"):
        graph.invoke(named, THREAD, context=MakerContext(k=1))
    stopping[0] = False
    assert graph.invoke(named, THREAD, context={"k": 5})["answer"] == "408"
    settings = graph.get_context_jsonschema()["properties"]
    assert set(settings) == {"k", "first_temperature", "temperature", "max_samples_per_step"}
