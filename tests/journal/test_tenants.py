"""Tenants of one store: each has its own runs, whatever ids others chose, and cannot reach theirs."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, StateGraph
from langgraph.store.memory import InMemoryStore
from langgraph.store.sqlite import SqliteStore
from typing_extensions import TypedDict

from langgraph_maker import asolve, create_maker, create_maker_node, create_recursive_maker, journal, solve
from langgraph_maker.core.errors import JournalError, RunBusyError
from langgraph_maker.core.state import Request
from langgraph_maker.journal.lock import hold
from langgraph_maker.journal.tenants import check_namespace, key_of, under
from langgraph_maker.nodes.ladder import AskHuman, Tier
from langgraph_maker.prebuilt.recursive import read_tree
from langgraph_maker.prebuilt.recursive.multiplication import simulated_multiplication
from langgraph_maker.report import numbers
from langgraph_maker.simulation.chat_model import simulated_sampler
from langgraph_maker.tasks import TowersOfHanoi

ANN, BOB = ("users", "ann"), ("users", "bob")
LABELS = st.text(min_size=1, max_size=12)


class Host(TypedDict, total=False):
    user: str
    order: str
    moves: int
    status: str


def ids(store: Any, *namespace: str) -> set[str]:
    return {header["run_id"] for header in journal.runs(store, namespace=namespace)}


def test_two_tenants_use_one_run_id_and_neither_gets_the_others_run() -> None:
    store = InMemoryStore()
    ann = solve(TowersOfHanoi(2), "sim:error=0", store=store, run_id="order-1", namespace=ANN)
    bob = solve(TowersOfHanoi(3), "sim:error=0", store=store, run_id="order-1", namespace=BOB)
    plain = solve(TowersOfHanoi(1), "sim:error=0", store=store, run_id="order-1")
    assert [run.steps for run in (ann, bob, plain)] == [3, 7, 1]
    assert [len(list(run.actions())) for run in (ann, bob, plain)] == [3, 7, 1]
    assert [journal.steps(store, "order-1", namespace=one) for one in (ANN, BOB, ())] == [3, 7, 1]
    assert ids(store, *ANN) == ids(store, *BOB) == ids(store) == {"order-1"}
    assert ids(store, "users") == set()


def test_every_record_is_under_the_tenants_prefix() -> None:
    store = InMemoryStore()
    solve(TowersOfHanoi(3), "sim:error=0.2", store=store, run_id="r", namespace=ANN, max_total_samples=9)
    graph: Any = create_recursive_maker(simulated_multiplication(), namespace=ANN).compile(store=store)
    assert graph.invoke({"problem": "2 * 34", "run_id": "t"})["namespace"] == list(ANN)
    found = store.search((), limit=1000)
    assert len(found) > 5
    assert {item.namespace[:2] for item in found} == {ANN}
    assert len(read_tree(store, "t", namespace=ANN)) > 1


def test_every_function_of_the_journal_takes_the_tenant() -> None:
    store, task = InMemoryStore(), TowersOfHanoi(3)
    ladder: Any = [Tier(samples=4), AskHuman()]
    run = solve(task, "sim:error=0.12,seed=5", store=store, run_id="r", namespace=ANN, ladder=ladder)
    assert run.status == "waiting"
    [question] = journal.questions(store, "r", namespace=ANN)
    for act in (
        lambda: [*journal.read(store, "r")] or journal.header(store, "r"),
        lambda: journal.questions(store, "r"),
        lambda: [*journal.entries(store, "r")],
        lambda: journal.open_ballots(store, "r"),
        lambda: journal.verify(store, "r"),
        lambda: journal.export(store, "r", io.StringIO()),
        lambda: journal.fork(store, "r", 0, "f"),
        lambda: journal.delete(store, "r"),
        lambda: journal.answer(store, "r", question["id"], {"pick": 0}),
        lambda: numbers(store, "r"),
    ):
        with pytest.raises(JournalError, match="there is no run 'r'"):
            act()
    journal.answer(store, "r", question["id"], {"answer": task.oracle(question["state"])}, namespace=ANN)
    whole = solve(task, "sim:error=0", store=store, run_id="r", namespace=ANN)
    assert whole.status == "solved"
    journal.fork(store, "r", 2, "f", namespace=ANN)
    assert ids(store, *ANN) == {"r", "f"}
    assert [entry["step"] for entry in journal.read(store, "f", namespace=ANN)] == [0, 1]
    assert len([*journal.entries(store, "r", namespace=ANN)]) == numbers(store, "r", namespace=ANN)["steps"] == 7
    assert [journal.alarms(store, "r", namespace=ANN), journal.open_ballots(store, "r", namespace=ANN)] == [[], []]
    journal.export(store, "r", io.StringIO(), namespace=ANN)
    assert journal.verify(store, "r", namespace=ANN) == []
    for run_id in ("r", "f"):
        journal.delete(store, run_id, namespace=ANN)
    assert store.search((), limit=10) == []


@pytest.mark.parametrize("how", ["placeholder", "function"])
def test_one_graph_serves_tenants_by_config_and_runtime(how: str) -> None:
    store = InMemoryStore()
    namespace: Any = (
        ("users", "{user_id}")
        if how == "placeholder"
        else lambda runtime, config: ("users", config["configurable"]["user_id"] if runtime.store is store else "")
    )
    graph: Any = create_maker(TowersOfHanoi(3), "sim:error=0.03,seed=3", namespace=namespace).compile(store=store)
    drawn = {}
    for user in ("ann", "bob"):
        result = graph.invoke({"run_id": "order-1"}, {"configurable": {"user_id": user}})
        assert (result["status"], result["namespace"]) == ("solved", ["users", user])
        drawn[user] = result["samples"]
    assert drawn["ann"] > 0 < drawn["bob"]
    assert [journal.steps(store, "order-1", namespace=one) for one in (ANN, BOB)] == [7, 7]
    assert ids(store) == set()
    with pytest.raises(ValueError, match="user_id") if how == "placeholder" else pytest.raises(KeyError):
        graph.invoke({"run_id": "order-1"})


def test_tenants_who_run_at_the_same_time_take_none_of_each_others_samples() -> None:
    store = InMemoryStore()

    async def both() -> Any:
        sampler = simulated_sampler("sim:error=0.05", task := TowersOfHanoi(3), 3)

        async def model(requests: Sequence[Request]) -> Sequence[Any]:
            await asyncio.sleep(0)
            return await sampler(requests)

        graph: Any = create_maker(task, model, namespace=("{user}",)).compile(store=store)
        return await asyncio.gather(
            *(graph.ainvoke({"run_id": "same"}, {"configurable": {"user": user}}) for user in ("ann", "bob"))
        )

    for result in asyncio.run(both()):
        assert result["status"] == "solved"
        tenant = tuple(result["namespace"])
        counted = sum(entry["samples"] for entry in journal.read(store, "same", namespace=tenant))
        assert counted == result["samples"]
        assert journal.verify(store, "same", namespace=tenant) == []


def test_a_thread_of_one_tenant_hands_nothing_to_another() -> None:
    store, saver = InMemoryStore(), InMemorySaver()
    graph: Any = create_maker(TowersOfHanoi(3), "sim:error=0", namespace=("{user}",), max_total_samples=9).compile(
        checkpointer=saver, store=store
    )
    first = graph.invoke({}, {"configurable": {"thread_id": "t", "user": "ann"}})
    second = graph.invoke({}, {"configurable": {"thread_id": "t", "user": "bob"}})
    assert (first["status"], first["steps"]) == (second["status"], second["steps"]) == ("stopped", 3)
    assert second["samples"] == 9
    assert second["namespace"] == ["bob"]


def test_solve_keeps_checkpoints_of_tenants_apart_and_resumes() -> None:
    store, saver = InMemoryStore(), InMemorySaver()
    options: Any = {"store": store, "checkpointer": saver, "run_id": "r"}
    solve(TowersOfHanoi(3), "sim:error=0", namespace=ANN, max_total_samples=9, **options)
    assert solve(TowersOfHanoi(2), "sim:error=0", namespace=BOB, **options).steps == 3
    run = asyncio.run(asolve(TowersOfHanoi(3), "sim:error=0", namespace=ANN, **options))
    assert (run.status, run.steps, run.samples) == ("solved", 7, 21)


def test_the_node_of_a_host_says_whose_run_it_is() -> None:
    store = InMemoryStore()
    node = create_maker_node(
        create_maker(TowersOfHanoi(2), "sim:error=0"),
        read=lambda host: {"run_id": host["order"]},
        write=lambda _, run: {"moves": len(run["actions"]), "status": run["status"]},
        namespace=lambda _, config: ("users", config["configurable"]["user_id"]),
    )
    host: Any = StateGraph(Host).add_node("solve", node).add_edge(START, "solve").compile(store=store)
    for user in ("ann", "bob"):
        result = host.invoke({"order": "order-1"}, {"configurable": {"user_id": user}})
        assert (result["moves"], result["status"]) == (3, "solved")
    assert ids(store, *ANN) == ids(store, *BOB) == {"order-1"}
    assert ids(store) == set()


def test_locks_are_of_tenants(tmp_path: Path) -> None:
    with SqliteStore.from_conn_string(str(tmp_path / "runs.sqlite")) as store:
        store.setup()
        held = hold(under(store, ANN), "r"), hold(under(store, BOB), "r"), hold(store, "r")
        with held[0], held[1], held[2], pytest.raises(RunBusyError, match="ann"):
            solve(TowersOfHanoi(1), "sim:error=0", store=store, run_id="r", namespace=ANN)
        assert solve(TowersOfHanoi(1), "sim:error=0", store=store, run_id="r", namespace=ANN).status == "solved"
        assert ids(store, *ANN) == {"r"}


@pytest.mark.parametrize("label", ["ann@example.com", "a%b", "a%2Eb", "100%", "_", "\x00", "\ud800", "ü" * 150, "~"])
def test_any_user_name_is_a_label(label: str, tmp_path: Path) -> None:
    with SqliteStore.from_conn_string(str(tmp_path / "runs.sqlite")) as store:
        store.setup()
        solve(TowersOfHanoi(1), "sim:error=0", store=store, run_id="other", namespace=("a.b",))
        solve(TowersOfHanoi(1), "sim:error=0", store=store, run_id="another", namespace=("axb",))
        solve(TowersOfHanoi(1), "sim:error=0", store=store, run_id="r", namespace=(label,))
        assert ids(store, label) == {"r"}
        journal.delete(store, "r", namespace=(label,))
        assert ids(store, label) == set()
        assert ids(store, "a.b") == {"other"}


@pytest.mark.parametrize("odd", ["ann", ("",), ("a", 3), ("x" * 201,), ("langgraph",), ("{user_id}",), {"a": 1}, None])
def test_what_is_no_namespace_is_refused(odd: Any) -> None:
    with pytest.raises(ValueError, match=r"namespace|label"):
        journal.verify(InMemoryStore(), "r", namespace=odd)


@pytest.mark.parametrize("odd", ["ann", ("",), ("a", 3), ("langgraph", "{user}")])
def test_what_is_no_namespace_is_refused_when_the_graph_is_made(odd: Any) -> None:
    with pytest.raises(ValueError, match=r"namespace|label"):
        create_maker(TowersOfHanoi(1), "sim:error=0", namespace=odd)
    with pytest.raises(ValueError, match=r"namespace|label"):
        create_maker_node(create_maker(TowersOfHanoi(1), "sim:error=0"), write=lambda *_: {}, namespace=odd)


def test_a_function_of_other_arguments_is_refused() -> None:
    odd: Any = lambda: ("a",)  # noqa: E731 - as short as a user's
    with pytest.raises(TypeError, match="runtime, config"):
        create_maker(TowersOfHanoi(1), "sim:error=0", namespace=odd)


@given(st.lists(LABELS, max_size=3), LABELS, st.lists(LABELS, max_size=3), LABELS)
def test_no_two_runs_have_one_name(one: list[str], run: str, other: list[str], run_2: str) -> None:
    assert (key_of(one, run) == key_of(other, run_2)) == ((one, run) == (other, run_2))


@given(LABELS, LABELS)
def test_no_two_labels_are_written_alike(one: str, other: str) -> None:
    where: list[Any] = []
    for label in (one, other):
        store = InMemoryStore()
        try:
            check_namespace((label,))
        except ValueError:
            return
        under(store, (label,)).put(("x",), "key", {})
        where.append(store.search(())[0].namespace)
    assert (where[0] == where[1]) == (one == other)
