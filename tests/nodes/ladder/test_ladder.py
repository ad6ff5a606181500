"""Ladders, audits and humans: what happens to a step that does not converge, or converges on an error that repeats."""

from __future__ import annotations

import asyncio
import operator
from collections.abc import Callable, Sequence
from typing import Annotated, Any, cast

import pytest
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, StateGraph
from langgraph.store.memory import InMemoryStore
from langgraph.types import Command
from scripted import Counting, Scripted, right
from typing_extensions import TypedDict

from langgraph_maker import create_maker, create_voting_graph, create_voting_node, journal, solve
from langgraph_maker.core.red_flags import RedFlag
from langgraph_maker.core.state import Request
from langgraph_maker.core.task import State, Vote
from langgraph_maker.nodes.ladder import AskHuman, Audit, Tier, read_ladder
from langgraph_maker.tasks import TowersOfHanoi


class VariedCounting(Counting):
    """Counting, asked in three ways."""

    variants = 3

    def prompt(self, state: State, variant: int = 0) -> list[BaseMessage]:
        return [HumanMessage(f"{state}" if not variant else f"{state} in way {variant}")]


def number(request: Request) -> int:
    return int(str(request.messages[0].content).split()[0])


def stuck(at: int, *, variants: Sequence[int] = (0,), models: Sequence[int] = (0,)) -> Callable[[Request], str]:
    """A model that says 99 at step `at` whenever it is asked in these ways, and is right else."""

    def answer(request: Request) -> str:
        wrong = number(request) == at and request.variant in variants and request.model in models
        return "99" if wrong else str(number(request) + 1)

    return answer


def level(at: int, until: int = 10**9) -> Callable[[Request], str]:
    """A model that gives two answers in turns at step `at`, for so many samples."""

    def answer(request: Request) -> str:
        undecided = number(request) == at and request.number < until
        return str(number(request) + 1 + (request.number % 2 if undecided else 0))

    return answer


ASKING: dict[str, Any] = {"k": 3, "ladder": [Tier(samples=6), AskHuman()]}


class TestDiversity:
    def test_votes_take_the_prompts_in_turns(self) -> None:
        model = Scripted(lambda request: str(number(request) + 1))
        assert solve(VariedCounting(2), model, k=4, decorrelate="variants").status == "solved"
        asked = [(request.number, request.variant, request.messages[0].content) for request in model.batches[0]]
        assert asked == [(0, 0, "0"), (1, 1, "0 in way 1"), (2, 2, "0 in way 2"), (3, 0, "0")]

    def test_what_one_prompt_repeats_is_outvoted(self) -> None:
        wrong = solve(VariedCounting(4), Scripted(stuck(2)), k=3, max_steps=4)
        assert (wrong.status, wrong.reason, wrong.final_state) == ("unresolved", "wrong_end", 100)
        run = solve(VariedCounting(4), Scripted(stuck(2)), k=3, decorrelate="variants")
        assert (run.status, run.final_state) == ("solved", 4)

    def test_models_are_taken_in_turns(self) -> None:
        first, second = Scripted(stuck(2)), Scripted(right)
        run = solve(Counting(4), first, k=3, ladder=[Tier(model=[first, second])], max_samples_per_step=100)
        assert run.status == "unresolved", "they tie, and no third breaks the tie"
        third = Scripted(right)
        run = solve(Counting(4), first, k=3, ladder=[Tier(model=[first, second, third])])
        assert run.status == "solved"
        assert {request.model for request in third.batches[0]} == {2}

    @pytest.mark.parametrize(("prompts", "models"), [(2, 2), (2, 4), (4, 6), (3, 2), (4, 2)])
    def test_each_pair_of_prompt_and_model_has_its_turn(self, prompts: int, models: int) -> None:
        asked = [f"sim:error=0.{number}" for number in range(models)]
        ladder = read_ladder([Tier(variants="all", model=asked)], model=asked[0], k=3, prompts=prompts)
        turns = [ladder.tiers[0].terms.turn(vote) for vote in range(prompts * models)]
        assert sorted(turns) == [(prompt, model) for prompt in range(prompts) for model in range(models)]
        assert turns[0][0] != turns[1][0] and turns[0][1] != turns[1][1]  # noqa: PT018 - both change


class TestClimbing:
    def test_a_ballot_that_runs_level_climbs_and_is_decided_afresh(self) -> None:
        store = InMemoryStore()
        model = Scripted(lambda request: level(1)(request) if request.temperature != 0.9 else right(request))
        run = solve(Counting(3), model, k=3, store=store, run_id="a", ladder=[Tier(), Tier(temperature=0.9)])
        assert (run.status, run.final_state) == ("solved", 3)
        first, hard, _ = journal.read(store, "a")
        assert (first["tier"], hard["tier"]) == (0, 1)
        assert (hard["votes"], hard["winner_votes"]) == (3, 3), "votes of the first tier do not count in the second"
        assert hard["samples"] > 6, "they are paid for all the same"
        assert run.samples == model.drawn
        assert run.outlook is not None
        assert run.outlook.climbed == 1

    def test_it_climbs_long_before_its_budget(self) -> None:
        model = Scripted(lambda request: level(1)(request) if request.temperature != 0.9 else right(request))
        run = solve(Counting(3), model, k=3, max_samples_per_step=1000, ladder=[Tier(), Tier(temperature=0.9)])
        assert run.status == "solved"
        assert run.samples < 60

    def test_without_a_tier_above_it_uses_its_budget(self) -> None:
        run = solve(Counting(3), Scripted(level(1)), k=3, max_samples_per_step=80, ladder=[Tier()])
        assert (run.status, run.samples) == ("unresolved", 3 + 79), "three more would not do"

    def test_flags_without_end_climb_too(self) -> None:
        model = Scripted(lambda request: "flag" if request.temperature != 0.9 else right(request))
        run = solve(Counting(1), model, k=3, ladder=[Tier(), Tier(temperature=0.9)])
        assert (run.status, run.final_state) == ("solved", 1)
        assert run.samples < 40

    def test_after_the_last_tier_it_is_unresolved(self) -> None:
        run = solve(Counting(3), Scripted(level(1)), k=3, ladder=[Tier(samples=8), Tier(k=4, samples=8)])
        assert (run.status, run.steps) == ("unresolved", 1)
        assert "in 2 tiers" in run.reason

    def test_a_run_that_is_entered_again_begins_in_the_first_tier(self) -> None:
        store, ladder = InMemoryStore(), [Tier(samples=8), Tier(k=4, samples=8)]
        once = solve(Counting(3), Scripted(level(1)), k=3, store=store, run_id="a", ladder=ladder)
        again = solve(Counting(3), Scripted(level(1, until=once.samples)), k=3, store=store, run_id="a", ladder=ladder)
        assert again.status == "solved"
        assert next(journal.read(store, "a", 1))["tier"] == 0

    def test_votes_are_carried_over_where_that_is_asked_for(self) -> None:
        model = Scripted(level(0, until=5))
        ladder = [Tier(samples=6), Tier(temperature=0.9, carry=True)]
        store = InMemoryStore()
        assert solve(Counting(1), model, k=3, store=store, run_id="a", ladder=ladder).status == "solved"
        [entry] = journal.read(store, "a")
        assert (entry["tier"], entry["votes"], entry["winner_votes"]) == (1, 7, 5)

    def test_a_tiers_margin_is_what_decides_there(self) -> None:
        store = InMemoryStore()
        model = Scripted(level(0, until=5))
        solve(Counting(1), model, k=3, store=store, run_id="a", ladder=[Tier(samples=6), Tier(k=5)])
        [entry] = journal.read(store, "a")
        assert (entry["tier"], entry["margin"], entry["votes"]) == (1, 5, 5)

    def test_so_is_that_of_a_single_tier(self) -> None:
        store = InMemoryStore()
        solve(Counting(2), Scripted(right), k=3, store=store, run_id="a", ladder=[Tier(k=5)])
        assert [entry["margin"] for entry in journal.read(store, "a")] == [5, 5]
        run = solve(Counting(2), Scripted(level(0)), k=3, ladder=[Tier(samples=6)])
        assert (run.status, run.samples) == ("unresolved", 5)

    def test_hedges_of_a_tier_that_was_left_do_not_count_in_the_next(self) -> None:
        async def model(requests: Sequence[Request]) -> list[AIMessage]:
            return [AIMessage("7" if request.temperature == 0.9 else str(request.number % 2)) for request in requests]

        graph = create_voting_graph(
            model, prompt=str, parse=int, k=3, hedge=2, ladder=[Tier(samples=8), Tier(temperature=0.9)]
        ).compile()
        [decision] = graph.invoke({"subtasks": [{"id": "a", "state": 0}]})["decisions"]
        assert (decision["status"], decision["vote"], decision["tier"]) == ("decided", 7, 1)
        assert [count["vote"] for count in decision["counts"]] == [7]

    def test_they_are_drawn_and_neither_flags_nor_in_its_budget(self) -> None:
        async def model(requests: Sequence[Request]) -> list[AIMessage]:
            [request] = requests
            if request.temperature == 0.9:
                climbed.set()
                while late:
                    await asyncio.sleep(0)
                return [AIMessage("7")]
            if request.number >= 4:
                late.append(request)
                await climbed.wait()
                late.remove(request)
                return [AIMessage("no number")]
            return [AIMessage(str(request.number % 2))]

        climbed, late = asyncio.Event(), list[Request]()
        graph = create_voting_graph(
            model, prompt=str, parse=int, k=3, hedge=2, ladder=[Tier(samples=6), Tier(temperature=0.9, samples=3)]
        ).compile()
        [decision] = graph.invoke({"subtasks": [{"id": "a", "state": 0}]})["decisions"]
        assert (decision["status"], decision["tier"], decision["flagged"]) == ("decided", 1, 0)
        assert decision["samples"] > 4 + 3, "the late one is counted as drawn"

    def test_lanes_that_need_not_climb_go_on(self) -> None:
        run = solve(TowersOfHanoi(6), "sim:hard=0.1,repeats=0.5,error=0.01", k=3, lanes=8, ladder="default")
        assert (run.status, run.steps) == ("solved", 63)


class TestAudit:
    def test_a_winner_that_another_prompt_confirms_stands(self) -> None:
        store = InMemoryStore()
        run = solve(VariedCounting(3), Scripted(right_in_any_way), k=3, store=store, run_id="a", audit=1.0)
        assert (run.status, run.samples) == ("solved", 3 * (3 + 2))
        entries = [*journal.read(store, "a")]
        assert [(entry["audits"], entry["disagreed"], entry["votes"]) for entry in entries] == [(1, 0, 3)] * 3
        assert run.outlook is not None
        assert (run.outlook.audits, run.outlook.disagreed) == (3, 0)
        assert "of 3 second votes, asked in another way, 0 did not agree" in run.guarantee or run.guarantee.startswith(
            "not"
        )

    def test_an_error_that_repeats_under_one_prompt_climbs(self) -> None:
        store = InMemoryStore()
        ladder = [Tier(), Tier(variants="all")]
        run = solve(
            VariedCounting(4), Scripted(stuck(2)), k=3, store=store, run_id="a", audit=Audit(share=1.0), ladder=ladder
        )
        assert (run.status, run.final_state) == ("solved", 4)
        third = next(journal.read(store, "a", 2))
        assert (third["tier"], third["audits"], third["disagreed"]) == (1, 1, 1)

    def test_without_a_ladder_it_is_unresolved_and_says_why(self) -> None:
        store = InMemoryStore()
        run = solve(VariedCounting(4), Scripted(stuck(2)), k=3, store=store, run_id="a", audit=1.0)
        assert (run.status, run.steps) == ("unresolved", 2)
        assert "did not agree" in run.reason
        again = solve(VariedCounting(4), Scripted(stuck(2)), k=3, store=store, run_id="a", audit=1.0)
        assert (again.status, again.steps) == ("unresolved", 2), "entering again does not let the first vote stand"

    def test_no_audit_vote_decides_where_a_run_goes_on_without_the_audit(self) -> None:
        model, saver = Scripted(stuck(0, variants=(1, 2))), InMemorySaver()
        task, config = VariedCounting(1), cast("Any", {"configurable": {"thread_id": "a"}})
        graph = create_maker(task, model, k=3, audit=1.0).compile(checkpointer=saver, interrupt_before=["escalate"])
        graph.invoke({}, config)
        graph.invoke(None, config)  # the vote is right, 3 to 0; its audit is wrong, 2 to 0, and not looked at
        result = create_maker(task, model, k=3).compile(checkpointer=saver).invoke(None, config)
        assert (result["status"], result["final_state"]) == ("solved", 1)

    @pytest.mark.parametrize("ladder", ["default", [Tier(), Tier(k=10)]])
    def test_a_tier_has_the_samples_that_its_margin_takes(self, ladder: Any) -> None:
        run = solve(Counting(1), Scripted(level(0)), k=3, max_samples_per_step=4, ladder=ladder)
        assert run.status == "unresolved"

    def test_another_model_may_audit(self) -> None:
        other = Scripted(right)
        run = solve(Counting(4), Scripted(stuck(2)), k=3, audit=Audit(share=1.0, model=other))
        assert (run.status, run.steps) == ("unresolved", 2)
        assert other.drawn >= 3 * 2

    def test_the_share_is_of_the_steps(self) -> None:
        run = solve(TowersOfHanoi(10), "sim:error=0.001", k=3, lanes=64, audit=0.1)
        assert run.outlook is not None
        assert 70 < run.outlook.audits < 140  # 102 expected; beyond this with probability 0.001

    def test_errors_that_repeat_raise_the_alarm(self) -> None:
        ladder = [Tier(), Tier(variants="all")]
        run = solve(TowersOfHanoi(10), "sim:hard=0.05,repeats=0.9,error=0.001", lanes=64, audit=1.0, ladder=ladder)
        assert run.outlook is not None
        assert "audit" in {alarm["what"] for alarm in run.outlook.alarms}

    def test_no_alarm_without(self) -> None:
        run = solve(TowersOfHanoi(10), "sim:error=0.03", lanes=64, audit=0.5, ladder=[Tier(), Tier(variants="all")])
        assert run.outlook is not None
        assert run.outlook.alarms == []
        assert run.outlook.audits > 400


def right_in_any_way(request: Request) -> str:
    return str(number(request) + 1)


class TestHumans:
    def test_a_run_waits_and_goes_on_with_the_answer(self) -> None:
        store, model = InMemoryStore(), Scripted(level(1))
        run = solve(Counting(3), model, store=store, run_id="a", **ASKING)
        assert (run.status, run.steps, run.samples) == ("waiting", 1, 3 + 5)
        [question] = run.questions
        assert (question["id"], question["state"]) == ("1", 1)
        assert [(one["vote"]["next_state"], one["count"]) for one in question["candidates"]] == [(2, 3), (3, 2)]
        drawn = model.drawn
        done = solve(Counting(3), model, store=store, run_id="a", answers={"1": {"pick": 0}}, **ASKING)
        assert (done.status, done.final_state, done.steps) == ("solved", 3, 3)
        assert model.drawn == drawn + 3, "the answer bought no vote"
        entry = next(journal.read(store, "a", 1))
        assert (entry["human"], entry["vote"]["next_state"], entry["samples"]) == (True, 2, 5)
        assert journal.verify(store, "a") == []
        assert done.outlook is not None
        assert done.outlook.by_human == 1

    @pytest.mark.parametrize(
        ("form", "problem"),
        [
            ({"answer": "nonsense"}, "malformed"),
            ({"answer": "flag"}, "asked_for"),
            ({"pick": 2}, "there is no candidate 2: there is 0 to 1"),
            ({"pick": True}, "there is no candidate True"),
            ("perhaps", "an answer is one of"),
            ({"pick": 0, "abort": True}, "an answer is one of"),
            ({}, "an answer is one of"),
            (None, "an answer is one of"),
            ({"answer": {"no": float("nan")}}, "malformed"),
            ({"answer": None}, "malformed"),
            ({"answer": {}}, "malformed"),
            ({"answer": {"action": "x", "next_state": "y"}}, "malformed"),
            ({"answer": [1, 2]}, "malformed"),
            ({"abort": 0}, "an answer is one of"),
            ({"abort": "false"}, "an answer is one of"),
            ({"retry": "no"}, "an answer is one of"),
        ],
    )
    def test_what_is_no_answer_is_asked_again_and_nothing_is_lost(self, form: Any, problem: str) -> None:
        store, model = InMemoryStore(), Scripted(level(1))
        run = solve(Counting(3), model, store=store, run_id="a", **ASKING)
        again = solve(Counting(3), model, store=store, run_id="a", answers={"1": form}, **ASKING)
        assert (again.status, again.samples) == ("waiting", run.samples)
        assert problem in again.questions[0]["problem"]
        assert again.questions[0]["candidates"] == run.questions[0]["candidates"]
        done = solve(Counting(3), model, store=store, run_id="a", answers={"1": {"answer": "2"}}, **ASKING)
        assert done.status == "solved"

    @pytest.mark.parametrize(
        "vote",
        [{"action": "x", "next_state": "y"}, {"action": [9, 9, 9], "next_state": [[], [], []]}, {"next_state": 2}, 5],
    )
    def test_no_vote_is_taken_that_no_response_could_be(self, vote: Any) -> None:
        store, task = InMemoryStore(), TowersOfHanoi(3)
        options: dict[str, Any] = {"store": store, "run_id": "a", "ladder": [Tier(samples=4), AskHuman()]}
        run = solve(task, "sim:error=0.6", **options)
        [question] = run.questions
        again = solve(task, "sim:error=0.6", answers={question["id"]: {"answer": vote}}, **options)
        assert (again.status, again.steps) == ("waiting", run.steps)
        assert "not an answer to this step" in again.questions[0]["problem"]
        right_one = task.oracle(question["state"])
        done = solve(task, "sim:error=0", answers={question["id"]: {"answer": right_one}}, **options)
        assert (done.status, journal.verify(store, "a")) == ("solved", [])

    def test_an_answer_is_kept_until_what_follows_is_journalled(self) -> None:
        store, limited = InMemoryStore(), {**ASKING, "max_total_samples": 5}
        solve(Counting(3), Scripted(level(1)), store=store, run_id="a", **ASKING)
        journal.answer(store, "a", "1", {"pick": 0})
        with pytest.raises(ValueError, match="no open question '77'"):
            solve(Counting(3), Scripted(level(1)), store=store, run_id="a", answers={"77": {"pick": 0}}, **ASKING)
        assert solve(Counting(3), Scripted(level(1)), store=store, run_id="a", **limited).status == "stopped"
        assert solve(Counting(3), Scripted(level(1)), store=store, run_id="a", **ASKING).status == "solved"

    def test_and_so_is_one_that_is_given_to_a_run_that_stops(self) -> None:
        store, limited = InMemoryStore(), {**ASKING, "max_total_samples": 5}
        solve(Counting(3), Scripted(level(1)), store=store, run_id="a", **ASKING)
        answers = {"1": {"pick": 0}}
        stopped = solve(Counting(3), Scripted(level(1)), store=store, run_id="a", answers=answers, **limited)
        assert stopped.status == "stopped"
        assert solve(Counting(3), Scripted(level(1)), store=store, run_id="a", **ASKING).status == "solved"

    def test_parked_steps_take_no_lane(self) -> None:
        store, task = InMemoryStore(), TowersOfHanoi(4)

        def answer(request: Request) -> str:
            state = task.read_state(request.messages)
            lost = request.subtask_id == "0" and request.number % 2
            return task.render(task.wrong_votes(state)[0] if lost else task.oracle(state))

        first = solve(task, Scripted(answer), lanes=4, store=store, run_id="a", max_total_samples=12, **ASKING)
        assert first.status == "stopped"
        run = solve(task, Scripted(answer), lanes=1, store=store, run_id="a", **ASKING)
        assert (run.status, [question["id"] for question in run.questions]) == ("waiting", ["0"])
        assert run.steps == 15 - 3, "all but the lane of the parked step"

    def test_another_answer_is_read_as_a_response_is(self) -> None:
        store = InMemoryStore()
        solve(Counting(3), Scripted(level(1)), store=store, run_id="a", **ASKING)
        answers = {"1": {"answer": {"action": "add", "next_state": 2}}}
        done = solve(Counting(3), Scripted(level(1)), store=store, run_id="a", answers=answers, **ASKING)
        assert (done.status, done.final_state) == ("solved", 3)

    def test_retry_begins_again_in_the_first_tier(self) -> None:
        store = InMemoryStore()
        model = Scripted(level(1, until=5))
        solve(Counting(3), model, store=store, run_id="a", **ASKING)
        done = solve(Counting(3), model, store=store, run_id="a", answers={"1": {"retry": True}}, **ASKING)
        assert done.status == "solved"
        entry = next(journal.read(store, "a", 1))
        assert (entry["human"], entry["tier"], entry["votes"], entry["samples"]) == (False, 0, 3, 8)

    def test_abort_is_unresolved(self) -> None:
        store = InMemoryStore()
        solve(Counting(3), Scripted(level(1)), store=store, run_id="a", **ASKING)
        run = solve(Counting(3), Scripted(level(1)), store=store, run_id="a", answers={"1": {"abort": True}}, **ASKING)
        assert (run.status, run.reason) == ("unresolved", "step 1: a human gave it up")

    def test_an_answer_to_no_question_is_refused(self) -> None:
        store = InMemoryStore()
        solve(Counting(3), Scripted(level(1)), store=store, run_id="a", **ASKING)
        with pytest.raises(ValueError, match="no open question '2' to answer: open are 1"):
            solve(Counting(3), Scripted(level(1)), store=store, run_id="a", answers={"2": {"pick": 0}}, **ASKING)

    @pytest.mark.parametrize("kept_by", ["checkpointer", "both"])
    def test_and_stands_in_the_way_of_none_that_follows(self, kept_by: str) -> None:
        keep: Any = {"checkpointer": InMemorySaver(), "store": InMemoryStore() if kept_by == "both" else None}
        thread: Any = {"configurable": {"thread_id": "a"}}
        run: Any = create_maker(Counting(3), Scripted(level(1)), **ASKING).compile(**keep)
        waits = run.invoke({}, thread)
        with pytest.raises(ValueError, match="no open question '2' to answer: open are 1"):
            run.invoke({"answers": {"2": {"pick": 0}}}, thread)
        assert run.invoke({}, thread)["questions"] == waits["questions"]
        with pytest.raises(TypeError, match="answers are {.*}, not 5"):
            run.invoke({"answers": 5}, thread)
        given = {"answers": {"1": {"pick": 0}}}
        assert run.invoke(given, thread)["status"] == "solved"
        with pytest.raises(ValueError, match="no question is open"):
            run.invoke(given, thread)
        assert run.invoke({}, thread)["status"] == "solved"

    def test_an_answer_that_a_thread_keeps_is_none_to_another_run_on_it(self) -> None:
        saver, thread = InMemorySaver(), {"configurable": {"thread_id": "a"}}
        run: Any = create_maker(Counting(3), Scripted(level(1)), **ASKING).compile(checkpointer=saver)
        limited: Any = create_maker(Counting(3), Scripted(level(1)), max_total_samples=5, **ASKING).compile(
            checkpointer=saver
        )
        given: Any = {"answers": {"1": {"pick": 0}}}
        for run_id in ("one", "other"):
            assert run.invoke({"run_id": run_id}, thread)["status"] == "waiting"
            assert limited.invoke(given, thread)["status"] == "stopped"
        assert run.invoke({}, thread)["status"] == "solved"

    def test_other_lanes_go_on_until_only_questions_are_left(self) -> None:
        store, task = InMemoryStore(), TowersOfHanoi(5)
        hard = {"5", "20"}

        def answer(request: Request) -> str:
            move = task.oracle(task.read_state(request.messages))
            if request.subtask_id in hard and request.number % 2:
                move = task.wrong_votes(task.read_state(request.messages))[0]
            return task.render(move)

        run = solve(task, Scripted(answer), lanes=4, store=store, run_id="a", **ASKING)
        assert (run.status, {question["id"] for question in run.questions}) == ("waiting", hard)
        assert run.steps == 31 - 2 - 3, "all but what lies behind the two questions in their lanes"
        answers = {question["id"]: {"pick": 0} for question in run.questions}
        done = solve(task, Scripted(answer), lanes=4, store=store, run_id="a", answers=answers, **ASKING)
        assert (done.status, done.steps) == ("solved", 31)

    async def test_an_interrupt_a_question_resumed_by_id(self) -> None:
        task = TowersOfHanoi(3)
        graph = create_maker(task, "sim:error=0.5", lanes=4, ladder=[Tier(samples=5), AskHuman()]).compile(
            checkpointer=InMemorySaver()
        )
        config: Any = {"configurable": {"thread_id": "a"}}
        result = await graph.ainvoke({}, config)
        asked = 0
        while "__interrupt__" in result:
            asked += len(result["__interrupt__"])
            samples = result["samples"]
            answers = {
                one.id: {"answer": task.render(task.oracle(one.value["state"]))} for one in result["__interrupt__"]
            }
            result = await graph.ainvoke(Command(resume=answers), config)
            assert result["samples"] >= samples
        assert (result["status"], result["steps"]) == ("solved", 7)
        assert asked >= 3

    def test_events_tell_of_questions_and_climbs(self) -> None:
        graph = create_maker(Counting(2), Scripted(level(1)), **ASKING).compile(store=InMemoryStore())
        events: list[Any] = [*graph.stream({"run_id": "a"}, stream_mode="custom")]
        [question] = [event for event in events if event["event"] == "question.asked"]
        assert (question["step"], question["question"]["candidates"][0]["count"]) == (1, 3)

    def test_what_was_counted_is_in_the_journal_before_a_human_hears_of_it(self) -> None:
        store = InMemoryStore()
        graph = create_maker(Counting(2), Scripted(level(1)), **ASKING).compile(store=store)
        for event in graph.stream({"run_id": "a"}, stream_mode="custom"):
            if event["event"] == "question.asked":  # and the process ends here
                break
        [question] = journal.questions(store, "a")
        assert (question["id"], question["samples"]) == ("1", 5)
        model = Scripted(level(1))
        run = solve(Counting(2), model, store=store, run_id="a", **ASKING)
        assert (run.status, run.questions, model.drawn) == ("waiting", [question], 0)

    def test_refused_where_the_question_could_not_wait(self) -> None:
        model = Scripted(level(1))
        with pytest.raises(ValueError, match="with a checkpointer"):
            create_maker(Counting(2), model, **ASKING).compile().invoke({})
        graph = create_voting_graph(model, prompt=str, parse=int, **ASKING).compile()
        with pytest.raises(ValueError, match="with a checkpointer"):
            graph.invoke({"subtasks": [{"id": "a", "state": 0}]})
        assert model.drawn == 0, "before anything was asked"

    def test_an_answer_kept_in_the_journal_is_taken_by_the_next_solve(self) -> None:
        store = InMemoryStore()
        solve(Counting(3), Scripted(level(1)), store=store, run_id="a", **ASKING)
        assert [question["id"] for question in journal.questions(store, "a")] == ["1"]
        with pytest.raises(ValueError, match="no candidate 5"):
            journal.answer(store, "a", "1", {"pick": 5})
        with pytest.raises(ValueError, match="no open question '3': open are 1"):
            journal.answer(store, "a", "3", {"pick": 0})
        journal.answer(store, "a", "1", {"pick": 0})
        assert solve(Counting(3), Scripted(level(1)), store=store, run_id="a", **ASKING).status == "solved"
        assert journal.questions(store, "a") == []

    def test_an_answer_kept_for_a_run_that_asks_no_more_is_dropped(self) -> None:
        store = InMemoryStore()
        solve(Counting(3), Scripted(level(1)), store=store, run_id="a", **ASKING)
        journal.answer(store, "a", "1", {"pick": 1})
        run = solve(Counting(3), Scripted(level(1)), store=store, run_id="a", max_samples_per_step=8)
        assert (run.status, run.outlook and run.outlook.by_human) == ("unresolved", 0)
        again = solve(Counting(3), Scripted(level(1)), store=store, run_id="a", **ASKING)
        assert (again.status, [question["id"] for question in again.questions]) == ("waiting", ["1"])

    def test_a_human_is_not_taken_for_a_margin(self) -> None:
        store = InMemoryStore()
        solve(Counting(3), Scripted(level(1)), store=store, run_id="a", **ASKING)
        run = solve(Counting(3), Scripted(level(1)), store=store, run_id="a", answers={"1": {"pick": 0}}, **ASKING)
        assert sum(run.votes_per_step) == 2
        entries = [*journal.read(store, "a")]
        assert [entry["margin"] for entry in entries] == [3, 0, 3]


class Host(TypedDict):
    """A host's own state."""

    question: str
    verdict: str
    log: Annotated[list[str], operator.add]


def host(model: Any, **options: Any) -> Any:
    node = create_voting_node(
        model,
        read=lambda state: state["question"],
        prompt=[str, lambda question: f"{question}, please"],
        parse=str.lower,
        write=lambda _, decision: {"verdict": decision["vote"], "log": [f"by human: {decision['human']}"]},
        **options,
    )
    return StateGraph(Host).add_node("judge", node).add_edge(START, "judge")


class TestVotingNode:
    def test_a_human_is_asked_inside_a_host(self) -> None:
        model = Scripted(lambda request: "yes" if request.number % 2 else "no")
        app = host(model, **ASKING).compile(checkpointer=InMemorySaver())
        config: Any = {"configurable": {"thread_id": "a"}}
        result = app.invoke({"question": "well?"}, config)
        [interrupt] = result["__interrupt__"]
        assert [one["vote"] for one in interrupt.value["candidates"]] == ["no", "yes"]
        drawn = model.drawn
        refused = app.invoke(Command(resume={"pick": 7}), config)
        assert "no candidate 7" in refused["__interrupt__"][0].value["problem"]
        done = app.invoke(Command(resume={"answer": "YES"}), config)
        assert (done["verdict"], done["log"]) == ("yes", ["by human: True"])
        assert model.drawn == drawn, "votes counted before the interrupt are not bought again"

    def test_what_is_given_up_is_not_asked_again_while_another_vote_goes_on(self) -> None:
        model = Scripted(lambda request: str(request.number % 2) if request.number < 6 else "7")
        graph = create_voting_graph(model, prompt=str, parse=int, **ASKING).compile(checkpointer=InMemorySaver())
        config: Any = {"configurable": {"thread_id": "a"}}
        asked = graph.invoke({"subtasks": [{"id": "a", "state": 0}, {"id": "b", "state": 0}]}, config)
        forms = {"a": {"abort": True}, "b": {"retry": True}}
        answers = {one.id: forms[one.value["id"]] for one in asked["__interrupt__"]}
        done = graph.invoke(Command(resume=answers), config)
        assert "__interrupt__" not in done
        assert [(one["status"], one["vote"]) for one in done["decisions"]] == [("unresolved", None), ("decided", 7)]

    def test_prompts_in_turns(self) -> None:
        model = Scripted(lambda request: "yes" if "please" in str(request.messages[0].content) else "no")
        app = host(model, k=2, ladder=[Tier(samples=8), Tier(variants=[1])]).compile()
        assert app.invoke({"question": "well?"})["verdict"] == "no"
        app = host(model, k=2, decorrelate="variants", ladder=[Tier(samples=8), Tier(variants=[1])]).compile()
        assert app.invoke({"question": "well?"})["verdict"] == "yes", (
            "level at first, and the second prompt alone above"
        )

    def test_an_audit_in_a_host(self) -> None:
        model = Scripted(lambda request: "yes" if "please" in str(request.messages[0].content) else "no")
        app = host(model, audit=1.0, on_unresolved="write").compile()
        assert app.invoke({"question": "well?"})["verdict"] is None


class TestDrift:
    """A next state that does not follow from the action: with a task that can tell, and with one that cannot."""

    class Checked(Counting):
        def validate(self, state: State, vote: Vote) -> RedFlag | None:
            return RedFlag("drift", "not one more") if vote["next_state"] != state + 1 else None

    class Moving(Counting):
        def advance(self, state: State, vote: Vote) -> State:
            if vote["next_state"] != state + 1:
                raise RedFlag("cannot_move", f"{state} is followed by {state + 1}")
            return vote["next_state"]

    @pytest.mark.parametrize("task", [Checked(3), Moving(3)])
    def test_is_flagged_where_the_task_can_tell(self, task: Counting) -> None:
        run = solve(task, Scripted(lambda request: "50" if request.number < 4 else right(request)), k=3)
        assert (run.status, run.flagged) == ("solved", 3 * 4)

    def test_is_voted_on_where_it_cannot(self) -> None:
        run = solve(Counting(3), Scripted(lambda request: "50" if request.number < 4 else right(request)), k=3)
        assert (run.status, run.flagged, run.final_state) == ("unresolved", 0, 50)


class TestBadInput:
    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"ladder": []}, "the ladder is empty"),
            ({"ladder": [Tier(), Tier()]}, "tier 1 of the ladder asks as the one before"),
            ({"ladder": [Tier(), Tier(samples=50)]}, "tier 1 of the ladder asks as the one before"),
            ({"ladder": [Tier(), Tier(k=3)]}, "tier 1 of the ladder asks as the one before"),
            ({"ladder": [Tier(variants=[0, 1]), Tier(variants=[1, 0])]}, "tier 1 of the ladder asks as the one before"),
            ({"ladder": [Tier(variants=[0, 0])]}, "names a variant twice"),
            ({"ladder": [Tier(), Tier(k=4, carry=cast("Any", "x"))]}, "carry='x'"),
            ({"ladder": [AskHuman(), Tier()]}, "nothing comes after a human"),
            ({"ladder": [Tier(variants=[3])]}, "asks for variant 3: there is 0 to 2"),
            ({"ladder": [Tier(variants=[-1])]}, "asks for variant -1"),
            ({"ladder": [Tier(variants=[])]}, "or a list of variants by number"),
            ({"ladder": [Tier(k=2)]}, "at least the run's k"),
            ({"ladder": [Tier(k=True)]}, "at least the run's k"),
            ({"ladder": [Tier(samples=2)]}, "at least k = 3"),
            ({"ladder": [Tier(temperature=-1)]}, "temperature=-1"),
            ({"ladder": [Tier(temperature=float("nan"))]}, "temperature=nan"),
            ({"ladder": [Tier(model=[])]}, "an empty list of models"),
            ({"ladder": [Tier(), Tier(model="nonsense")]}, "unknown model 'nonsense'"),
            ({"decorrelate": "temperature"}, 'decorrelate is "variants"'),
            ({"audit": 0}, "the share of audited steps"),
            ({"audit": 1.5}, "the share of audited steps"),
            ({"audit": Audit(k=0)}, "the k of an audit"),
            ({"audit": Audit(variants=[0])}, "asks as the vote does"),
            ({"audit": 0.5, "decorrelate": "variants"}, "asks in another way than the vote"),
        ],
    )
    def test_is_refused_before_anything_is_asked(self, options: dict[str, Any], message: str) -> None:
        with pytest.raises(ValueError, match=message):
            create_maker(VariedCounting(3), Scripted(right), k=3, **options)

    @pytest.mark.parametrize("ladder", [[3], "none", 7, ["default"]])
    def test_what_is_no_ladder(self, ladder: Any) -> None:
        with pytest.raises(TypeError, match="a ladder"):
            create_maker(Counting(3), Scripted(right), ladder=ladder)

    def test_a_task_with_one_prompt_cannot_be_decorrelated(self) -> None:
        with pytest.raises(ValueError, match="one prompt"):
            create_maker(Counting(3), Scripted(right), decorrelate="variants")
        with pytest.raises(ValueError, match="one prompt"):
            create_maker(Counting(3), Scripted(right), ladder=[Tier(), Tier(variants=[1])])


class TestComparison:
    """12 disks, 1 % hard steps whose wrong answer repeats with probability 0.7 under one prompt (simulated)."""

    MODEL = "sim:hard=0.01,repeats=0.7,error=0.002"

    @pytest.mark.parametrize(
        ("disks", "seed"),
        [(9, 0), pytest.param(12, 0, marks=pytest.mark.slow), pytest.param(12, 1, marks=pytest.mark.slow)],
    )
    def test_plain_voting_goes_wrong_and_both_remedies_solve(self, disks: int, seed: int) -> None:
        task, model = TowersOfHanoi(disks), f"{self.MODEL},seed={seed}"
        truth = solve(task, "sim:error=0", k=1, lanes=1024).digest
        plain = solve(task, model, lanes=256)
        ladder = solve(task, model, lanes=256, ladder="default")
        diverse = solve(task, model, lanes=256, decorrelate="variants")
        assert plain.digest != truth
        assert (plain.status, ladder.status, diverse.status) == ("unresolved", "solved", "solved")
        assert ladder.digest == diverse.digest == truth
        assert max(ladder.samples, diverse.samples) < 1.1 * 3 * (2**disks - 1)

    @pytest.mark.slow
    def test_easy_steps_hardly_ever_climb(self) -> None:
        run = solve(TowersOfHanoi(12), "sim:error=0.05", k=4, lanes=256, ladder="default")
        assert run.outlook is not None
        assert run.outlook.climbed < 0.01 * 4095


@pytest.mark.parametrize("top", ["human", "default"])
def test_a_smaller_budget_buys_less_and_never_more_than_it_says(top: Any) -> None:
    bought: list[int] = []
    for budget in (3, 4, 5, 6, 8, 12, 20, 40, None):
        model = Scripted(level(0))
        run = solve(Counting(1), model, k=3, ladder=top, max_samples_per_step=budget)
        assert run.status == ("waiting" if top == "human" else "unresolved")
        assert all(len(question["candidates"]) == 2 for question in run.questions)
        assert budget is None or model.drawn <= budget
        bought.append(model.drawn)
    assert bought == sorted(bought)


def test_a_human_who_says_retry_gives_the_step_its_budget_again() -> None:
    store, model = InMemoryStore(), Scripted(level(0))
    options: Any = {"k": 3, "ladder": "human", "max_samples_per_step": 5, "store": store, "run_id": "r"}
    assert solve(Counting(1), model, **options).status == "waiting"
    assert solve(Counting(1), model, answers={"0": {"retry": True}}, **options).status == "waiting"
    assert 5 < model.drawn <= 10
