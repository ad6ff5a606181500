"""A whole run as one node of a host graph that knows nothing of this package."""

from __future__ import annotations

import json
import operator
from dataclasses import dataclass
from typing import Annotated, Any

import pytest
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, StateGraph
from langgraph.store.memory import InMemoryStore
from langgraph.types import Command, Send, interrupt
from pydantic import BaseModel
from scripted import Counting, Scripted, right, script
from typing_extensions import TypedDict

from langgraph_maker import create_maker, create_maker_node, solve
from langgraph_maker.core.errors import UnsolvedError
from langgraph_maker.journal.records import HEADERS

THREAD: Any = {"configurable": {"thread_id": "t"}}


class Dict(TypedDict, total=False):
    """Keys that a maker graph has too, with other meanings."""

    steps: int
    status: str
    run_id: str
    answer: Any


class Model(BaseModel):
    steps: int
    status: str = "mine"
    run_id: str = "mine"
    answer: Any = None


@dataclass
class Data:
    steps: int
    status: str = "mine"
    run_id: str = "mine"
    answer: Any = None


HOSTS_OWN = {"steps": 3, "status": "mine", "run_id": "mine"}


def counting(model: Any, **options: Any) -> Any:
    """Counts as far as the host says."""

    def maker(state: Any) -> Any:
        return create_maker(Counting(state["steps"] if isinstance(state, dict) else state.steps), model, **options)

    return maker


def host(schema: Any, node: Any) -> Any:
    return StateGraph(schema).add_node("count", node).add_edge(START, "count")


def answer(_: Any, run: Any) -> dict[str, Any]:
    return {"answer": run["final_state"]}


def run_ids(store: Any) -> list[str]:
    return [json.loads(item.value["header"])["run_id"] for item in store.search(HEADERS, limit=100)]


@pytest.mark.parametrize("schema", [Dict, Model, Data])
@pytest.mark.parametrize("checkpointer", [None, "memory"])
@pytest.mark.parametrize("store", [None, "memory"])
async def test_in_hosts_of_every_kind_no_other_key_is_touched(
    schema: Any, checkpointer: str | None, store: str | None
) -> None:
    graph = host(schema, create_maker_node(counting(Scripted(right)), write=answer)).compile(
        checkpointer=InMemorySaver() if checkpointer else None, store=InMemoryStore() if store else None
    )
    assert graph.invoke(HOSTS_OWN, THREAD) == {**HOSTS_OWN, "answer": 3}
    assert await graph.ainvoke(HOSTS_OWN, {"configurable": {"thread_id": "u"}}) == {**HOSTS_OWN, "answer": 3}


class TestRunsDoNotMix:
    """Each of these is on one store, and each run buys all of its samples: 3 a step."""

    def test_two_nodes_two_threads_two_hosts_and_a_loop(self) -> None:
        model, store = Scripted(right), InMemoryStore()

        def app() -> Any:
            node = create_maker_node(create_maker(Counting(2), model), write=lambda *_: {})
            return (
                StateGraph(Dict)
                .add_node("one", node)
                .add_node("two", node)
                .add_edge(START, "one")
                .add_edge("one", "two")
                .compile(checkpointer=InMemorySaver(), store=store)
            )

        for graph in (app(), app()):
            for thread in ("t", "u", "t"):
                graph.invoke({"steps": 0}, {"configurable": {"thread_id": thread}})
        ids = run_ids(store)
        assert len(set(ids)) == 2 * 3 * 2
        assert {run_id.partition(":")[0] for run_id in ids} == {"t/one", "t/two", "u/one", "u/two"}
        assert model.drawn == len(ids) * 2 * 3

    @pytest.mark.parametrize("checkpointer", [None, "memory"])
    async def test_send(self, checkpointer: str | None) -> None:
        class Many(TypedDict, total=False):
            steps: int
            answers: Annotated[list[int], operator.add]

        model, store = Scripted(right), InMemoryStore()
        node = create_maker_node(counting(model), write=lambda _, run: {"answers": [run["final_state"]]})
        builder: Any = StateGraph(Many).add_node("count", node)
        builder.add_conditional_edges(START, lambda _: [Send("count", {"steps": n}) for n in (1, 2, 2)], ["count"])
        graph: Any = builder.compile(checkpointer=InMemorySaver() if checkpointer else None, store=store)
        assert graph.invoke({}, THREAD)["answers"] == [1, 2, 2]
        assert (await graph.ainvoke({}, {"configurable": {"thread_id": "u"}}))["answers"] == [1, 2, 2]
        assert (len(set(run_ids(store))), model.drawn) == (6, 2 * 5 * 3)

    def test_a_maker_graph_that_is_itself_a_node(self) -> None:
        store = InMemoryStore()
        maker = create_maker(Counting(2), Scripted(right)).compile()
        host(Dict, maker).compile(store=store).invoke({"steps": 0}, THREAD)
        host(Dict, maker).compile(store=store).invoke({"steps": 0}, THREAD)
        assert len(set(run_ids(store))) == 2

    def test_a_run_id_of_ones_own_is_one_run(self) -> None:
        model, store = Scripted(right), InMemoryStore()
        node = create_maker_node(
            create_maker(Counting(2), model), read=lambda state: {"run_id": state["run_id"]}, write=answer
        )
        graph = host(Dict, node).compile(store=store)
        for _ in range(2):
            assert graph.invoke({"run_id": "mine"}, THREAD)["answer"] == 2
        assert (run_ids(store), model.drawn) == (["mine"], 6)

    def test_what_solve_does_inside_a_node_has_nothing_to_do_with_the_host(self) -> None:
        store = InMemoryStore()

        def node(_: Any) -> dict[str, Any]:
            return {"answer": solve(Counting(2), Scripted(right), k=3, run_id="own").samples}

        assert host(Dict, node).compile(store=store).invoke({}, THREAD, context={"k": 1})["answer"] == 6
        assert run_ids(store) == []


class TestGoingOn:
    """What a host's thread resumes, it has not to buy again."""

    @pytest.mark.parametrize("store", [None, "memory"])
    @pytest.mark.parametrize("way", ["sync", "async"])
    @pytest.mark.parametrize("durability", ["sync", "async", "exit"])
    async def test_a_run_that_stopped(self, store: str | None, way: str, durability: Any) -> None:
        gone = [False]

        def answers(request: Any) -> Any:
            gone[0] = gone[0] or (request.messages[0].text == "2" and model.drawn < 10)
            return OSError("gone") if gone[0] else right(request)

        model = Scripted(answers)
        node = create_maker_node(counting(model, outage_limit=0), write=answer)
        graph = host(Dict, node).compile(checkpointer=InMemorySaver(), store=InMemoryStore() if store else None)

        async def run(given: Any) -> Any:
            if way == "async":
                return await graph.ainvoke(given, THREAD, durability=durability)
            return graph.invoke(given, THREAD, durability=durability)

        with pytest.raises(UnsolvedError, match=r"run 't/count:.* is stopped after 2 steps: .*OSError: gone") as caught:
            await run(HOSTS_OWN)
        assert caught.value.output["steps"] == 2
        gone[0] = False
        assert await run(None) == {**HOSTS_OWN, "answer": 3}
        assert model.drawn == 2 * 3 + 3 + 3  # three samples failed, and were no votes

    def test_a_run_that_broke_off(self) -> None:
        broken = [True]

        class Breaking(Counting):
            def advance(self, state: Any, vote: Any) -> Any:
                if state == 1 and broken[0]:
                    raise RuntimeError("a bug")
                return super().advance(state, vote)

        model = Scripted(right)
        node = create_maker_node(create_maker(Breaking(3), model), write=answer)
        graph = host(Dict, node).compile(checkpointer=InMemorySaver())
        with pytest.raises(RuntimeError, match="a bug"):
            graph.invoke(HOSTS_OWN, THREAD)
        broken[0] = False
        assert graph.invoke(None, THREAD)["answer"] == 3
        assert model.drawn == 9

    def test_a_host_that_asks_a_human_between_two_runs(self) -> None:
        model = Scripted(right)

        def ask(state: Any) -> dict[str, Any]:
            return {"steps": interrupt({"counted": state["answer"]})}

        graph = (
            StateGraph(Dict)
            .add_node("count", create_maker_node(counting(model), write=answer))
            .add_node("ask", ask)
            .add_node("again", create_maker_node(counting(model), write=answer))
            .add_edge(START, "count")
            .add_edge("count", "ask")
            .add_edge("ask", "again")
            .compile(checkpointer=InMemorySaver())
        )
        assert graph.invoke({"steps": 2}, THREAD)["__interrupt__"][0].value == {"counted": 2}
        assert graph.invoke(Command(resume=4), THREAD)["answer"] == 4
        assert model.drawn == (2 + 4) * 3

    @pytest.mark.parametrize("way", ["sync", "async"])
    async def test_an_interrupt_from_inside_the_run(self, way: str) -> None:
        def observer(event: Any) -> list[Any]:
            if event["event"] == "step.unresolved":
                told.append(interrupt({"step": event["step"]}))
            return []

        told: list[str] = []
        model = Scripted(lambda request: str(request.number) if request.messages[0].text == "1" else right(request))
        maker = create_maker(Counting(3), model, max_samples_per_step=6, observer=observer)
        node = create_maker_node(maker, write=lambda _, run: {"answer": run["reason"]}, on_unresolved="write")
        graph = host(Dict, node).compile(checkpointer=InMemorySaver())
        asked = await graph.ainvoke(HOSTS_OWN, THREAD) if way == "async" else graph.invoke(HOSTS_OWN, THREAD)
        assert asked["__interrupt__"][0].value == {"step": 1}
        drawn = model.drawn
        resume: Any = Command(resume="I see")
        result = await graph.ainvoke(resume, THREAD) if way == "async" else graph.invoke(resume, THREAD)
        assert (told, model.drawn) == (["I see"], drawn)
        assert result["answer"].startswith("step 1: no answer led by the margin")

    def test_a_low_limit_of_the_host_does_not_cut_it_short(self) -> None:
        node = create_maker_node(counting(Scripted(right)), write=answer)
        assert host(Dict, node).compile().invoke({"steps": 30}, {"recursion_limit": 3})["answer"] == 30


def test_streams_of_all_kinds_at_once_and_no_sample_among_the_messages() -> None:
    node = create_maker_node(counting(Scripted(right)), write=answer)
    graph = host(Dict, node).compile()
    chunks: list[Any] = list(
        graph.stream({"steps": 2}, stream_mode=["messages", "updates", "custom", "values"], subgraphs=True)
    )
    assert [chunk for namespace, mode, chunk in chunks if mode == "messages"] == []
    assert [chunk for namespace, mode, chunk in chunks if mode == "updates" and not namespace] == [
        {"count": {"answer": 2}}
    ]
    told: list[Any] = [chunk["event"] for namespace, mode, chunk in chunks if mode == "custom"]
    assert told == ["run.started", "round.ended", "round.ended", "run.ended"]
    assert [chunk for namespace, mode, chunk in chunks if mode == "values" and not namespace][-1]["answer"] == 2


class TestUnsolved:
    def test_is_written_where_asked_for(self) -> None:
        node = create_maker_node(
            create_maker(Counting(3), script("7")),
            write=lambda _, run: {"answer": f"{run['status']}: {run['reason']}"},
            on_unresolved="write",
        )
        assert host(Dict, node).compile().invoke({"steps": 0})["answer"] == "unresolved: wrong_end"

    def test_is_an_error_otherwise(self) -> None:
        node = create_maker_node(create_maker(Counting(3), script("7")), write=answer)
        with pytest.raises(UnsolvedError, match="is unresolved after 3 steps: wrong_end"):
            host(Dict, node).compile().invoke({"steps": 0})


class TestBadInput:
    def test_a_write_that_returns_no_update_is_named_with_its_node(self) -> None:
        node = create_maker_node(counting(Scripted(right)), write=lambda _, run: run["final_state"])
        with pytest.raises(TypeError, match=r"node 'count': write returned 2, a int: what it returns is a dict"):
            host(Dict, node).compile().invoke({"steps": 2})

    def test_a_host_without_the_key(self) -> None:
        node = create_maker_node(counting(Scripted(right)), write=answer)
        with pytest.raises(
            ValueError, match=r"maker failed with KeyError 'steps' on the graph's state, a dict of \['status'\]"
        ):
            host(Dict, node).compile().invoke({"status": "?"})

    @pytest.mark.parametrize("found", ["mine", None, {"id": "mine"}])
    def test_what_is_no_input(self, found: Any) -> None:
        node = create_maker_node(counting(Scripted(right)), read=lambda _: found, write=answer)
        with pytest.raises(TypeError, match=r"read returned .*: what it returns is {\"run_id\": …}"):
            host(Dict, node).compile().invoke({"steps": 2})

    def test_what_is_no_maker(self) -> None:
        wrong: Any = create_maker(Counting(3), script("7")).compile()
        with pytest.raises(TypeError, match="maker is what create_maker returns"):
            create_maker_node(wrong, write=answer)
        with pytest.raises(TypeError, match="not 7"):
            create_maker_node(lambda _: 7, write=answer).invoke({})  # type: ignore[arg-type, return-value]

    def test_on_unresolved(self) -> None:
        with pytest.raises(ValueError, match="on_unresolved"):
            create_maker_node(counting(script("7")), write=answer, on_unresolved="ignore")  # type: ignore[arg-type]


def test_the_picture_shows_the_roles_inside_the_host() -> None:
    node = create_maker_node(create_maker(Counting(3), script("7")), write=answer)
    assert {"count:decompose", "count:vote", "count:update"} <= set(host(Dict, node).compile().get_graph(xray=1).nodes)
    nodes = host(Dict, node).compile().get_graph(xray=True).nodes
    assert {"count:vote:sample", "count:vote:guard", "count:vote:tally"} <= set(nodes)


@pytest.mark.parametrize("store", [None, "memory"])
async def test_the_actions_are_there_with_a_store_and_without(store: str | None) -> None:
    node = create_maker_node(create_maker(Counting(3), Scripted(right)), write=lambda _, run: {"moves": run["actions"]})
    graph = StateGraph(Moves).add_node("count", node).add_edge(START, "count")
    app: Any = graph.compile(store=InMemoryStore() if store else None)
    assert app.invoke({"moves": []})["moves"] == ["add"] * 3
    assert (await app.ainvoke({"moves": []}))["moves"] == ["add"] * 3


class Moves(TypedDict):
    """A host that wants to know what was done."""

    moves: list[Any]
