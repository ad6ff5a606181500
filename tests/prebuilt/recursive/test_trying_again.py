"""An answer that the check finds wrong: another way is tried, within bounds, and nothing is accepted in silence."""

from __future__ import annotations

import itertools
from functools import partial
from typing import Any

import pytest
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.store.memory import InMemoryStore
from langgraph.types import Command
from staged import Staged

from langgraph_maker import create_recursive_maker, journal
from langgraph_maker.nodes.ladder import AskHuman, Tier
from langgraph_maker.prebuilt.recursive.stages import StageQuestion, Stages

WORD: Any = {"problem": "abcdefgh"}
NAMED: Any = {"problem": "abcdefgh", "run_id": "r"}
THREAD: Any = {"configurable": {"thread_id": "t"}}
HALVES = {"subproblems": ["abcd", "efgh"], "compose": "{2}{1}"}
BAD = {"subproblems": ["abc", "efgh"], "compose": "{2}{1}"}  # d is lost
WORSE = {"subproblems": ["ab", "efgh"], "compose": "{2}{1}"}


def is_root(question: StageQuestion) -> bool:
    return question["stage"] == "propose" and not question["above"]


def unlike(question: StageQuestion, _: int) -> Any:
    """Proposes what loses a letter, until told that it was wrong."""
    return (HALVES if "refuted" in question else BAD) if is_root(question) else None


def always_wrong(question: StageQuestion, _: int) -> Any:
    return BAD if is_root(question) else None


def run(model: Any, **options: Any) -> dict[str, Any]:
    return create_recursive_maker(model, **options).compile().invoke(WORD)


class TestAnotherWay:
    def test_a_fresh_decomposition_where_there_is_none_that_was_not_chosen(self) -> None:
        model = Staged(unlike)
        result = run(model)
        assert (result["status"], result["answer"]) == ("solved", "hgfedcba")
        root = result["tree"]["1"]
        assert root["refuted"] == [{"children": ["1.1", "1.2"], "how": "{2}{1}", "answer": "hgfecba"}]
        assert root["children"] == ["1.3", "1.4"]
        assert [one["stage"] for one in root["decided"]] == ["atomic", *["propose", "compose", "check"] * 2]
        assert model.drawn == sum(result["samples"].values())

    def test_microagents_are_told_what_was_wrong(self) -> None:
        model = Staged(unlike)
        run(model)
        asked = [question for batch in model.batches for one, question in batch if one == "1:propose"]
        assert [question.get("refuted") for question in asked] == [None] * 3 + [[{**BAD, "answer": "hgfecba"}]] * 3
        told = ["take another one" in str(Stages().ask({"stage": "propose", **one})) for one in asked]
        assert told == [False] * 3 + [True] * 3

    def test_another_proposal_that_was_not_chosen_comes_first(self) -> None:
        proposals = [BAD, WORSE, HALVES]

        def answer(question: StageQuestion, number: int) -> Any:
            if question["stage"] == "choose":
                shown = question["candidates"]
                return {"choice": shown.index(BAD if BAD in shown else HALVES) + 1}
            return proposals[number % 3] if is_root(question) else None

        model = Staged(answer)
        result = run(model)
        assert (result["answer"], result["samples"]["choose"]) == ("hgfedcba", 6)
        root = result["tree"]["1"]
        assert [one["stage"] for one in root["decided"]].count("propose") == 1, "no proposal was bought again"
        assert (len(root["refuted"]), root["children"]) == (1, ["1.3", "1.4"])
        chosen = [question for batch in model.batches for one, question in batch if one == "1:choose"]
        assert sorted(map(str, chosen[-1]["candidates"])) == sorted(map(str, [WORSE, HALVES]))

    def test_its_parts_are_solved_afresh(self) -> None:
        """What was found wrong may have been so because of a part, whose answer is not taken over."""
        first = itertools.count()

        def answer(question: StageQuestion, _: int) -> Any:
            wrong = question == {"stage": "solve", "problem": "c"} and next(first) < 3
            return {"answer": "?"} if wrong else None

        result = run(Staged(answer))
        assert (result["status"], result["answer"]) == ("solved", "hgfedcba")
        refuted = [node["id"] for node in result["tree"].values() if node["refuted"]]
        assert refuted == ["1.1.2"], "where the check first saw it"
        assert [result["tree"][one]["answer"] for one in ("1.1.2.1", "1.1.2.3")] == ["?", "c"]

    @pytest.mark.parametrize("order", ["AB", "BA"])
    def test_nor_is_what_another_part_took_over_of_it_kept(self, order: str) -> None:
        """A part that two others share is answered wrongly, and the check of one of them sees it."""
        first = itertools.count()
        parts = {"P": [*order], "A": ["p", "a"], "B": ["p", "b"]}

        def answer(question: StageQuestion, _: int) -> Any:
            problem = question["problem"]
            match question["stage"]:
                case "atomic":
                    return {"atomic": problem not in parts}
                case "propose":
                    return {
                        "subproblems": parts[problem],
                        "compose": "{1}{2} again"[: 12 if "refuted" in question else 6],
                    }
                case "solve":
                    return {"answer": "?" if problem == "p" and next(first) < 3 else problem}
                case "compose":
                    return {"answer": "".join(part["answer"] for part in question["parts"])}
            return {"right": problem != "A" or question["answer"] == "pa"}

        store = InMemoryStore()
        result = create_recursive_maker(Staged(answer)).compile(store=store).invoke({"problem": "P", "run_id": "r"})
        found = {node["problem"]: node for node in result["tree"].values()}
        assert (result["status"], found["A"]["answer"], journal.verify(store, "r")) == ("solved", "pa", [])
        if order == "AB":  # else it is B's own, whose check saw nothing
            assert found["B"]["answer"] == "pb"
            stages = [one["stage"] for one in found["B"]["decided"]]
            assert stages == ["atomic", "propose", "compose", "compose", "check"], "the check under way went with it"

    async def test_async_is_the_same(self) -> None:
        graph = create_recursive_maker(Staged(unlike)).compile()
        assert {**await graph.ainvoke(WORD), "run_id": ""} == {**graph.invoke(WORD), "run_id": ""}

    def test_wherever_it_broke_off_it_goes_on(self) -> None:
        whole = create_recursive_maker(Staged(unlike)).compile().invoke(NAMED)
        store, model = InMemoryStore(), Staged(unlike)
        result: dict[str, Any] = {"status": "stopped"}
        while result["status"] == "stopped":
            left = itertools.repeat(False, 1)
            graph = create_recursive_maker(model, stop=partial(next, left, True)).compile(store=store)
            result = graph.invoke(NAMED)
        assert (result, model.drawn) == (whole, sum(whole["samples"].values()))
        assert journal.verify(store, "r") == []

    def test_a_crash_loses_the_round_in_flight_at_most(self) -> None:
        whole = sum(run(Staged(unlike))["samples"].values())
        for crash_at in (8, 13, 19):
            store, model = InMemoryStore(), Staged(unlike)

            async def dies(requests: Any, model: Staged = model, crash_at: int = crash_at) -> Any:
                if len(model.batches) == crash_at:
                    raise KeyboardInterrupt
                return await model(requests)

            dies.never_waits = True  # type: ignore[attr-defined]
            with pytest.raises(KeyboardInterrupt):
                create_recursive_maker(dies).compile(store=store).invoke(NAMED)
            result = create_recursive_maker(model).compile(store=store).invoke({"run_id": "r"})
            assert (result["answer"], model.drawn) == ("hgfedcba", whole)


class TestBounds:
    @pytest.mark.parametrize(("kept_by", "attempts"), [("checkpointer", 1), ("store", 2)])
    def test_after_so_many_ways_it_is_unresolved_and_a_larger_limit_goes_on(self, kept_by: str, attempts: int) -> None:
        keep: Any = {"checkpointer": InMemorySaver()} if kept_by == "checkpointer" else {"store": InMemoryStore()}
        stubborn = create_recursive_maker(Staged(always_wrong), max_attempts=attempts).compile(**keep)
        first = stubborn.invoke(WORD, THREAD)
        ways = f", the last of {attempts} ways tried" if attempts > 1 else ""
        assert (first["status"], first["answer"]) == ("unresolved", None)
        assert first["reason"] == (
            f"node 1 (abcdefgh): check: the answer 'hgfecba' was voted wrong{ways}, and max_attempts is {attempts}:"
            " raise it"
        )
        [unsettled] = first["unsettled"]
        assert (unsettled["question"]["stage"], unsettled["counts"]) == (
            "check",
            [{"vote": {"right": False}, "count": 3}],
        )
        again = stubborn.invoke({}, THREAD)
        assert (again["status"], again["samples"]) == ("unresolved", first["samples"])
        model = Staged(unlike)
        last = create_recursive_maker(model, max_attempts=attempts + 1).compile(**keep).invoke({}, THREAD)
        assert (last["status"], last["answer"]) == ("solved", "hgfedcba")
        assert sum(last["samples"].values()) == sum(first["samples"].values()) + model.drawn

    @pytest.mark.slow
    def test_other_limits_bound_it_too(self) -> None:
        result = run(Staged(always_wrong), max_attempts=10**6, max_total_samples=300)
        assert (result["status"], 300 <= sum(result["samples"].values()) < 400) == ("stopped", True)
        result = run(Staged(always_wrong), max_attempts=10**6, max_nodes=40)
        assert (result["status"], len(result["tree"]) <= 40) == ("unresolved", True)
        assert "max_nodes is 40" in result["reason"]

    @pytest.mark.parametrize(
        ("form", "status", "said"),
        [
            ({"answer": True}, "solved", "hgfecba"),
            ({"answer": {"answer": "hgfedcba"}}, "solved", "hgfedcba"),
            ({"answer": {"answer": " "}}, "waiting", "a node waits"),
            ({"answer": {"right": True, "answer": "x"}}, "waiting", "a node waits"),
            ({"pick": 0}, "unresolved", "the answer 'hgfecba' was voted wrong"),
            ({"retry": True}, "waiting", "a node waits for a human's answer"),
        ],
    )
    def test_a_human_may_overrule_the_last(self, form: Any, status: str, said: str) -> None:
        ladder: Any = [Tier(), AskHuman()]
        graph = create_recursive_maker(Staged(always_wrong), max_attempts=2, ladder=ladder).compile(
            checkpointer=InMemorySaver()
        )
        [question] = graph.invoke(WORD, THREAD)["questions"]
        assert (question["id"], question["state"]["answer"]) == ("1:check", "hgfecba")
        assert question["why"].startswith("the answer 'hgfecba' was voted wrong, the last of 2 ways tried")
        result = graph.invoke(Command(resume=form), THREAD)
        assert (result["status"], said in (result["answer"] or result["reason"])) == (status, True)
        assert result["tree"]["1"]["decided"][-1]["human"] == (status == "solved")


class TestTheVerdict:
    """That an answer is wrong was decided by k votes, and is not voted on again because somebody else is asked."""

    @staticmethod
    def wavering(question: StageQuestion, number: int) -> Any:
        """The root's check would be passed by more votes than its first three."""
        whole = question["stage"] == "check" and question["problem"] == "abcdefgh"
        return {"right": number >= 3} if whole else always_wrong(question, number)

    @pytest.mark.parametrize("kept_by", ["checkpointer", "store"])
    def test_it_stands_where_no_human_is_asked_any_more(self, kept_by: str) -> None:
        keep: Any = {"checkpointer": InMemorySaver()} if kept_by == "checkpointer" else {"store": InMemoryStore()}
        model = Staged(self.wavering)
        asks = create_recursive_maker(model, max_attempts=1, ladder=[Tier(), AskHuman()]).compile(**keep)
        assert asks.invoke(NAMED, THREAD)["status"] == "waiting"
        drawn = model.drawn
        alone = create_recursive_maker(model, max_attempts=1).compile(**keep).invoke({"run_id": "r"}, THREAD)
        assert (alone["status"], model.drawn) == ("unresolved", drawn)
        assert alone["reason"].startswith("node 1 (abcdefgh): check: the answer 'hgfecba' was voted wrong")
        again = asks.invoke({"run_id": "r"}, THREAD)
        assert ([one["id"] for one in again["questions"]], model.drawn) == (["1:check"], drawn)

    @pytest.mark.parametrize("kept_by", ["checkpointer", "store"])
    @pytest.mark.parametrize("human", [True, False])
    def test_a_larger_limit_takes_another_way_at_once(self, kept_by: str, human: bool) -> None:
        keep: Any = {"checkpointer": InMemorySaver()} if kept_by == "checkpointer" else {"store": InMemoryStore()}
        ladder: Any = [Tier(), AskHuman()]
        create_recursive_maker(Staged(unlike), max_attempts=1, ladder=ladder).compile(**keep).invoke(NAMED, THREAD)
        model = Staged(unlike)
        larger = create_recursive_maker(model, max_attempts=2, ladder=ladder if human else None).compile(**keep)
        assert larger.invoke({"run_id": "r"}, THREAD)["answer"] == "hgfedcba"
        assert {one for one, _ in model.batches[0]} == {"1:propose"}, "no vote on the verdict"

    @pytest.mark.parametrize("kept_by", ["checkpointer", "store"])
    def test_a_human_who_comes_later_is_asked_about_it(self, kept_by: str) -> None:
        keep: Any = {"checkpointer": InMemorySaver()} if kept_by == "checkpointer" else {"store": InMemoryStore()}
        model = Staged(self.wavering)
        first = create_recursive_maker(model, max_attempts=1).compile(**keep).invoke(NAMED, THREAD)
        assert first["status"] == "unresolved"
        asks = create_recursive_maker(model, max_attempts=1, ladder=[Tier(), AskHuman()]).compile(**keep)
        waits = asks.invoke({"run_id": "r"}, THREAD)
        assert (waits["status"], waits["samples"]) == ("waiting", first["samples"])
        given: Any = {"run_id": "r", "answers": {"1:check": {"answer": {"answer": "hgfedcba"}}}}
        assert asks.invoke(given, THREAD)["answer"] == "hgfedcba"

    @pytest.mark.parametrize("kept_by", ["checkpointer", "store"])
    def test_a_human_who_gives_it_up_is_asked_again_and_nothing_is_voted_on(self, kept_by: str) -> None:
        keep: Any = {"checkpointer": InMemorySaver()} if kept_by == "checkpointer" else {"store": InMemoryStore()}
        model = Staged(self.wavering)
        asks = create_recursive_maker(model, max_attempts=1, ladder=[Tier(), AskHuman()]).compile(**keep)
        waits, drawn = asks.invoke(NAMED, THREAD), model.drawn
        given: Any = {"run_id": "r", "answers": {"1:check": {"abort": True}}}
        assert asks.invoke(given, THREAD)["reason"] == "node 1 (abcdefgh): check: a human gave it up"
        again = asks.invoke({"run_id": "r"}, THREAD)
        assert (again["questions"], model.drawn) == (waits["questions"], drawn)

    def test_a_human_may_let_it_be_voted_on_again(self) -> None:
        def later(question: StageQuestion, number: int) -> Any:
            whole = question["stage"] == "check" and question["problem"] == "abcdefgh"
            return {"right": bool(number % 2)} if whole and number >= 3 else self.wavering(question, number)

        graph = create_recursive_maker(Staged(later), max_attempts=1, ladder=[Tier(samples=6), AskHuman()]).compile(
            checkpointer=InMemorySaver()
        )
        graph.invoke(WORD, THREAD)
        again = graph.invoke(Command(resume={"retry": True}), THREAD)
        assert (again["status"], "no answer led by the margin" in again["questions"][0]["why"]) == ("waiting", True)
        assert graph.invoke({}, THREAD)["questions"] == again["questions"], (
            "it is undecided now, and asked about as such"
        )


class TestMaxNodes:
    @pytest.mark.parametrize("kept_by", ["checkpointer", "store"])
    @pytest.mark.parametrize("most", [1, 6, 13])
    def test_the_tree_never_has_more(self, kept_by: str, most: int) -> None:
        """Splits of one round are side by side: two of them, and four, would pass a bound that is looked at after."""
        keep: Any = {"checkpointer": InMemorySaver()} if kept_by == "checkpointer" else {"store": InMemoryStore()}
        model = Staged()
        first = create_recursive_maker(model, max_nodes=most).compile(**keep).invoke(WORD, THREAD)
        assert (first["status"], len(first["tree"])) == ("unresolved", most - 1 + most % 2)
        assert f"the tree would have {most + 1 + most % 2} nodes, and max_nodes is {most}: raise it" in first["reason"]
        last = create_recursive_maker(model, max_nodes=15).compile(**keep).invoke({}, THREAD)
        assert (last["answer"], len(last["tree"]), model.drawn) == ("hgfedcba", 15, 132)
