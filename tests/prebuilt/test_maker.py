"""The maker graph as LangGraph users meet it: input, output, threads, checkpoints, interruptions."""

from __future__ import annotations

import json
from typing import Any

import pytest
from langchain_core.messages import AIMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.store.memory import InMemoryStore
from scripted import Counting, Scripted, right, script

from langgraph_maker import journal
from langgraph_maker.core.errors import JournalError, SamplingError
from langgraph_maker.core.task import Vote
from langgraph_maker.prebuilt.maker import create_maker

THREAD: Any = {"configurable": {"thread_id": "t"}}


def confused(request: Any) -> str:
    """Counts right, but its first answer is wrong on every third step and flagged on every fourth."""
    state = int(request.messages[0].text)
    if request.number == 0 and state % 3 == 0:
        return str(state + 7)
    if request.number == 1 and state % 4 == 0:
        return "flag"
    return right(request)


@pytest.fixture
def strict(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LANGGRAPH_STRICT_MSGPACK", "true")


class TestOutcome:
    def test_solved(self) -> None:
        result = create_maker(Counting(5), Scripted(confused)).compile().invoke({})
        assert {name: result[name] for name in ("status", "reason", "final_state", "steps")} == {
            "status": "solved",
            "reason": "",
            "final_state": 5,
            "steps": 5,
        }
        assert result["actions"] == ["add"] * 5
        # steps 0 and 4 have a flag, 0 and 3 a wrong vote: 3 + 2·2 + 2·1 samples more than unanimous
        assert (result["samples"], result["flagged"]) == (5 * 3 + 2 * 2 + 2, 2)
        assert result["run_id"]

    def test_a_task_that_is_done_at_once_takes_no_samples(self) -> None:
        model = script("1")
        result = create_maker(Counting(5, goal=0), model).compile().invoke({})
        assert (result["status"], result["steps"], result["actions"], model.batches) == ("solved", 0, [], [])

    def test_steps_used_up_without_being_done_is_wrong_end(self) -> None:
        result = create_maker(Counting(3, goal=9), Scripted(right)).compile().invoke({})
        assert (result["status"], result["reason"], result["steps"]) == ("unresolved", "wrong_end", 3)

    def test_a_task_of_unknown_length_needs_max_steps(self) -> None:
        with pytest.raises(ValueError, match="give max_steps"):
            create_maker(Counting(None, goal=4), Scripted(right))
        result = create_maker(Counting(None, goal=4), Scripted(right), max_steps=10).compile().invoke({})
        assert (result["status"], result["steps"]) == ("solved", 4)

    @pytest.mark.parametrize("max_steps", [0, -1, 2.5, True, "5"])
    def test_bad_max_steps_are_refused(self, max_steps: Any) -> None:
        with pytest.raises(ValueError, match="max_steps"):
            create_maker(Counting(5), Scripted(right), max_steps=max_steps)

    def test_a_step_that_does_not_settle_ends_the_run_unresolved(self) -> None:  # lesson 6
        model = Scripted(lambda request: str(request.number) if request.messages[0].text == "2" else right(request))
        result = create_maker(Counting(5), model).compile().invoke({})
        assert (result["status"], result["steps"], result["final_state"]) == ("unresolved", 2, 2)
        assert "step 2: no answer led by the margin after 99 samples" in result["reason"]
        assert result["samples"] == model.drawn

    def test_a_parser_that_always_flags_is_named(self) -> None:  # lesson 18
        result = create_maker(Counting(5), script("flag")).compile().invoke({})
        assert (result["status"], result["flagged"], result["samples"]) == ("unresolved", 12, 12)
        assert "after 12 samples, all of them flagged for one reason (last: asked_for: the test)" in result["reason"]

    def test_an_always_wrong_model_is_followed_not_checked(self) -> None:  # lesson 19
        result = create_maker(Counting(3), script("7")).compile().invoke({})
        assert (result["status"], result["reason"]) == ("unresolved", "wrong_end")
        assert result["final_state"] == 7

    def test_the_state_handed_on_is_that_of_the_winning_pair(self) -> None:  # lesson 5
        class Pairs(Counting):
            def parse(self, text: str) -> Vote:
                vote: Vote = json.loads(text)
                return vote

        minority, winner = {"action": "a", "next_state": 99}, {"action": "a", "next_state": 1}
        model = script(json.dumps(minority), json.dumps(winner))
        result = create_maker(Pairs(1), model, k=2).compile().invoke({})
        assert (result["final_state"], result["actions"], result["samples"]) == (1, ["a"], 4)

    def test_digest_depends_on_decisions_alone(self) -> None:
        def digest(model: Any, k: int) -> str:
            value: str = create_maker(Counting(5), model, k=k).compile().invoke({})["digest"]
            return value

        assert digest(Scripted(confused), 3) == digest(Scripted(right), 2)
        assert digest(Scripted(right), 2) != digest(script("7"), 2)

    async def test_async_does_as_sync_does(self) -> None:
        graph = create_maker(Counting(5), Scripted(confused)).compile()
        assert await graph.ainvoke({"run_id": "r"}) == graph.invoke({"run_id": "r"})


class TestRunId:
    def test_given_then_thread_then_fresh(self) -> None:
        builder = create_maker(Counting(2), Scripted(right))
        graph = builder.compile(checkpointer=InMemorySaver())
        assert graph.invoke({"run_id": "mine"}, {"configurable": {"thread_id": "1"}})["run_id"] == "mine"
        assert graph.invoke({}, {"configurable": {"thread_id": "2"}})["run_id"] == "2"
        fresh = [builder.compile().invoke({})["run_id"] for _ in range(2)]
        assert fresh[0] != fresh[1]

    def test_another_run_id_on_the_same_thread_begins_anew(self) -> None:
        model = Scripted(right)
        graph = create_maker(Counting(2), model).compile(checkpointer=InMemorySaver())
        assert graph.invoke({"run_id": "a"}, THREAD)["steps"] == 2
        assert graph.invoke({"run_id": "b"}, THREAD)["actions"] == ["add", "add"]
        assert model.drawn == 12


class TestReentry:
    def test_a_solved_run_returns_its_result_and_buys_nothing(self) -> None:
        model = Scripted(right)
        graph = create_maker(Counting(3), model).compile(checkpointer=InMemorySaver())
        first = graph.invoke({}, THREAD)
        drawn = model.drawn
        assert graph.invoke({}, THREAD) == first
        assert model.drawn == drawn

    @pytest.mark.parametrize("stops", [{"interrupt_after": ["vote"]}, {"interrupt_after": "*"}])
    def test_entering_again_at_a_breakpoint_buys_nothing_again(self, stops: Any) -> None:
        model = Scripted(right)
        graph = create_maker(Counting(3), model).compile(checkpointer=InMemorySaver(), **stops)
        result = graph.invoke({}, THREAD)
        for _ in range(30):
            result = graph.invoke({} if result["status"] == "running" else None, THREAD)
        assert model.drawn <= 9

    @pytest.mark.parametrize("store", [None, InMemoryStore()])
    def test_entering_again_after_a_bug_in_advance_buys_nothing_again(self, store: Any) -> None:
        class Mended(Counting):
            broken = True

            def advance(self, state: Any, vote: Any) -> Any:
                if state == 1 and self.broken:
                    raise RuntimeError("bug")
                return super().advance(state, vote)

        task, model = Mended(3), Scripted(right)
        graph = create_maker(task, model).compile(checkpointer=InMemorySaver(), store=store)
        with pytest.raises(RuntimeError, match="bug") as raised:
            graph.invoke({}, THREAD)
        assert any(note.startswith("raised by advance of counting at step 1, for") for note in raised.value.__notes__)
        task.broken = False
        assert graph.invoke({}, THREAD)["status"] == "solved"
        assert model.drawn == 9

    def test_a_thread_is_of_one_task_and_k(self) -> None:
        saver = InMemorySaver()
        create_maker(Counting(3), Scripted(right)).compile(checkpointer=saver).invoke({}, THREAD)
        for task, k, what in ((Counting(4), 3, "parameters"), (Counting(3), 4, "with k 3, not 4")):
            with pytest.raises(JournalError, match=what):
                create_maker(task, Scripted(right), k=k).compile(checkpointer=saver).invoke({}, THREAD)

    def test_a_run_keeps_its_store(self) -> None:
        saver, model = InMemorySaver(), Scripted(right)
        builder = create_maker(Counting(9), model)
        result = builder.compile(checkpointer=saver, store=InMemoryStore()).invoke({}, THREAD | {"recursion_limit": 14})
        assert "actions" not in result
        with pytest.raises(JournalError, match="started with a store"):
            builder.compile(checkpointer=saver).invoke({}, THREAD)
        other: Any = {"configurable": {"thread_id": "u"}}
        builder.compile(checkpointer=saver).invoke({}, other | {"recursion_limit": 14})
        with pytest.raises(JournalError, match="ahead of its journal"):
            builder.compile(checkpointer=saver, store=InMemoryStore()).invoke({}, other)

    def test_near_the_recursion_limit_a_run_stops_and_goes_on_where_it_was(self) -> None:
        model = Scripted(confused)
        graph = create_maker(Counting(9), model).compile(checkpointer=InMemorySaver())
        undisturbed = create_maker(Counting(9), Scripted(confused)).compile().invoke({"run_id": "t"})
        results = [graph.invoke({}, THREAD | {"recursion_limit": 14})]
        assert results[0]["status"] == "stopped"
        assert "recursion limit" in results[0]["reason"]
        while results[-1]["status"] == "stopped":
            results.append(graph.invoke({}, THREAD | {"recursion_limit": 14}))
        assert len(results) > 2
        assert results[-1] == undisturbed
        assert model.drawn == undisturbed["samples"]

    @pytest.mark.parametrize("limit", range(1, 30))
    def test_every_recursion_limit_either_suffices_or_stops_cleanly(self, limit: int) -> None:
        graph = create_maker(Counting(3), Scripted(confused)).compile()
        if limit < 2:  # LangGraph itself needs two supersteps to run a node
            return
        assert graph.invoke({}, {"recursion_limit": limit})["status"] in ("stopped", "solved")

    def test_an_unresolved_run_keeps_its_ballot_and_goes_on_with_a_larger_budget(self) -> None:
        model = Scripted(lambda request: right(request) if request.number > 12 else f"{request.number}")
        saver = InMemorySaver()
        small = create_maker(Counting(1), model, max_samples_per_step=10).compile(checkpointer=saver)
        result = small.invoke({}, THREAD)
        assert result["status"] == "unresolved"
        assert small.invoke({}, THREAD) == result
        drawn = model.drawn
        assert drawn == result["samples"]
        large = create_maker(Counting(1), model, max_samples_per_step=100).compile(checkpointer=saver)
        assert large.invoke({}, THREAD)["status"] == "solved"
        numbers = [request.number for batch in model.batches for request in batch]
        assert numbers == list(range(model.drawn))


class TestInterruption:
    """After any superstep, with any checkpointer: the same result, and no counted vote is bought again."""

    @pytest.mark.parametrize("kind", ["memory", "sqlite"])
    def test_breakpoints_after_every_node(self, kind: str, strict: None) -> None:
        undisturbed = create_maker(Counting(6), Scripted(confused)).compile().invoke({"run_id": "t"})
        model = Scripted(confused)
        with SqliteSaver.from_conn_string(":memory:") as sqlite:
            saver = sqlite if kind == "sqlite" else InMemorySaver(serde=JsonPlusSerializer())
            graph = create_maker(Counting(6), model).compile(checkpointer=saver, interrupt_after="*")
            result = graph.invoke({}, THREAD)
            pauses = 0
            while graph.get_state(THREAD).next:
                result = graph.invoke(None, THREAD)
                pauses += 1
        assert pauses > 6 * 3
        assert result == undisturbed
        assert model.drawn == undisturbed["samples"]

    @pytest.mark.parametrize("durability", ["sync", "async", "exit"])
    @pytest.mark.parametrize("fatal", range(1, 12))
    def test_a_model_that_dies_in_any_round(self, fatal: int, durability: Any) -> None:
        undisturbed = create_maker(Counting(4), Scripted(confused)).compile().invoke({"run_id": "t"})
        rounds = iter(range(1, 1000))

        async def dying(requests: Any) -> list[AIMessage]:
            if next(rounds) == fatal:
                raise OSError("gone")
            return [AIMessage(confused(request)) for request in requests]

        graph = create_maker(Counting(4), dying, outage_limit=0).compile(checkpointer=InMemorySaver())
        if fatal == 1:
            with pytest.raises(SamplingError, match="OSError: gone"):  # a model that never answered
                graph.invoke({}, THREAD, durability=durability)
        result = graph.invoke({}, THREAD, durability=durability)
        if result["status"] == "stopped":
            assert "OSError: gone" in result["reason"]
            result = graph.invoke({}, THREAD, durability=durability)
            assert next(rounds) == undisturbed["rounds"] + 2  # each round once, and the one that died
        else:
            assert fatal == 1 or fatal > undisturbed["rounds"]
        assert {**result, "rounds": 0} == {**undisturbed, "rounds": 0}

    def test_state_history_is_small_and_plain(self, strict: None) -> None:
        graph = create_maker(Counting(40), Scripted(confused)).compile(
            checkpointer=InMemorySaver(), store=InMemoryStore()
        )
        graph.invoke({}, THREAD)
        sizes = [len(json.dumps(snapshot.values)) for snapshot in graph.get_state_history(THREAD)]
        assert max(sizes) < 2000  # lesson 16; and json.dumps proves the state builtin-typed (lesson 20)


class TestStore:
    def test_with_a_store_actions_go_to_the_journal(self) -> None:
        store = InMemoryStore()
        result = create_maker(Counting(5), Scripted(confused)).compile(store=store).invoke({"run_id": "a.b/c d"})
        assert result.get("actions", []) == []
        entries = list(journal.read(store, "a.b/c d"))
        assert [entry["step"] for entry in entries] == [0, 1, 2, 3, 4]
        assert [entry["vote"]["next_state"] for entry in entries] == [1, 2, 3, 4, 5]
        assert sum(entry["samples"] for entry in entries) == result["samples"]
        assert sum(sum(entry["flags"].values()) for entry in entries) == result["flagged"]

    async def test_async_writes_the_same_journal(self) -> None:
        store, other = InMemoryStore(), InMemoryStore()
        builder = create_maker(Counting(5), Scripted(confused))
        builder.compile(store=store).invoke({"run_id": "r"})
        await builder.compile(store=other).ainvoke({"run_id": "r"})
        assert list(journal.read(store, "r")) == list(journal.read(other, "r"))

    def test_a_long_run_asks_for_a_store_before_it_buys_anything(self) -> None:
        model = Scripted(right)
        with pytest.raises(ValueError, match="compile the graph with store="):
            create_maker(Counting(4097), model).compile().invoke({})
        assert model.batches == []

    def test_runs_of_one_store_do_not_mix(self) -> None:
        store = InMemoryStore()
        graph = create_maker(Counting(2), Scripted(right)).compile(store=store)
        for run_id in ("a", "b", "a.b", "ä", "\ud800", " ", "x" * 500):
            graph.invoke({"run_id": run_id})
            assert len(list(journal.read(store, run_id))) == 2
        assert list(journal.read(store, "c")) == []


class TestPicture:
    def test_xray_shows_the_roles(self) -> None:
        graph = create_maker(Counting(5), Scripted(right)).compile()
        assert {"decompose", "vote:sample", "vote:guard", "vote:tally", "update", "escalate"} <= set(
            graph.get_graph(xray=1).nodes
        )
        assert "vote" in graph.get_graph().nodes

    def test_edges_lead_only_where_they_can(self) -> None:
        edges = {
            (edge.source, edge.target)
            for edge in create_maker(Counting(5), Scripted(right)).compile().get_graph().edges
        }
        assert edges == {
            ("__start__", "decompose"),
            ("decompose", "vote"),
            ("decompose", "__end__"),
            ("vote", "update"),
            ("vote", "escalate"),
            ("escalate", "update"),
            ("update", "decompose"),
        }
