"""Settings from a runtime context, whatever the host's context is."""

from __future__ import annotations

import json
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import pytest
from langchain_core.messages import AIMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, StateGraph
from langgraph.store.memory import InMemoryStore
from pydantic import BaseModel
from scripted import Counting, Recording, Scripted, right, script
from typing_extensions import TypedDict

from langgraph_maker import MakerContext, create_maker, create_maker_node, create_voting_graph, create_voting_node
from langgraph_maker.errors import JournalError, SamplingError, UnresolvedError
from langgraph_maker.nodes.position import reopened
from langgraph_maker.records import HEADERS

THREAD: Any = {"configurable": {"thread_id": "t"}}


class State(TypedDict, total=False):
    question: str
    samples: int


class Pydantic(BaseModel):
    k: int | None = None
    user: str = "u"


@dataclass
class Data:
    k: int | None = None
    user: str = "u"


def host(model: Any, schema: Any = None, **options: Any) -> Any:
    node = create_voting_node(
        model,
        read=lambda state: state["question"],
        prompt=str,
        parse=str,
        write=lambda _, decision: {"samples": decision["samples"]},
        **options,
    )
    return StateGraph(State, schema).add_node("vote", node).add_edge(START, "vote").compile()


@pytest.mark.parametrize(
    ("schema", "context"),
    [
        (None, {"k": 5}),
        (dict, {"k": 5, "user": "u"}),
        (MakerContext, {"k": 5}),
        (Pydantic, {"k": 5}),
        (Pydantic, Pydantic(k=5)),
        (Data, {"k": 5}),
        (Data, Data(k=5)),
        (None, SimpleNamespace(k=5)),
    ],
)
async def test_contexts_of_every_kind_override(schema: Any, context: Any) -> None:
    assert host(script("A"), schema).invoke({"question": "?"}, context=context) == {"question": "?", "samples": 5}
    assert (await host(script("A"), schema).ainvoke({"question": "?"}, context=context))["samples"] == 5


@pytest.mark.parametrize(
    "context", [None, {}, {"user": "u"}, {"k": None}, Data(), Pydantic(), "text", 7, [1], object()]
)
def test_contexts_that_say_nothing_leave_the_arguments(context: Any) -> None:
    assert host(script("A"), k=2).invoke({"question": "?"}, context=context)["samples"] == 2


def test_every_setting_reaches_its_sample() -> None:
    model = Recording(answer=lambda _: "A", calls=[])
    host(model).invoke({"question": "?"}, context={"k": 2, "first_temperature": 0.3, "temperature": 1})
    assert [call["temperature"] for call in model.calls] == [0.3, 1]
    with pytest.raises(UnresolvedError, match="after 9 samples"):
        host(Scripted(lambda request: str(request.number))).invoke(
            {"question": "?"}, context={"max_samples_per_step": 9}
        )


def test_a_larger_k_has_the_samples_and_supersteps_it_needs() -> None:
    torn = Scripted(lambda request: "B" if 8 < request.number < 400 and request.number % 2 else "A")
    assert host(torn).invoke({"question": "?"}, context={"k": 10})["samples"] > 400


@pytest.mark.parametrize(
    ("context", "message"),
    [
        ({"k": 0}, "the runtime context is refused: k: Input should be greater than or equal to 1, not 0"),
        ({"k": 1001}, "k: Input should be less than or equal to 1000"),
        ({"k": True}, "k: Input should be a valid integer, not True"),
        ({"k": "3"}, "k: Input should be a valid integer, not '3'"),
        ({"k": 2.5}, "k: Input should be a valid integer"),
        ({"temperature": -1}, "temperature: Input should be greater than or equal to 0"),
        ({"first_temperature": float("nan")}, "first_temperature: Input should be a finite number"),
        ({"max_samples_per_step": 2}, "max_samples_per_step is a whole number of at least k = 3"),
        ({"k": 0, "temperature": "hot"}, r"k: .*; temperature: .*, not 'hot'"),
    ],
)
def test_bad_settings_are_refused_before_anything_is_bought(context: Any, message: str) -> None:
    model = Scripted(right)
    with pytest.raises(ValueError, match=message):
        host(model).invoke({"question": "1"}, context=context)
    with pytest.raises(ValueError, match=message):
        create_maker(Counting(2), model).compile().invoke({}, context=context)
    assert model.batches == []


class TestWhatARunWasBegunWith:
    """A k from a context is the run's, and no other undercuts it."""

    @pytest.mark.parametrize("where", ["store", "checkpointer"])
    @pytest.mark.parametrize("later", [None, {"k": 1}, {"k": 3}])
    def test_stays(self, where: str, later: Any) -> None:
        model = Scripted(right)
        graph: Any = create_maker(Counting(4), model, k=3, stop=lambda: model.drawn >= 10).compile(
            store=InMemoryStore() if where == "store" else None,
            checkpointer=InMemorySaver() if where == "checkpointer" else None,
        )
        begun = graph.invoke({"run_id": "r"}, THREAD, context={"k": 5})
        assert (begun["status"], begun["steps"], begun["samples"]) == ("stopped", 2, 10)
        with pytest.raises(JournalError, match="was begun with k 5, not"):
            graph.invoke({"run_id": "r"}, THREAD, context=later)
        assert model.drawn == 10

    def test_holds_for_a_k_by_step_too(self) -> None:
        store, model = InMemoryStore(), Scripted(right)
        graph: Any = create_maker(Counting(2), model, k=lambda step: 3 + step).compile(store=store)
        assert graph.invoke({"run_id": "own"})["samples"] == 3 + 4
        with pytest.raises(JournalError, match="was begun with k 'by step', not 1"):
            graph.invoke({"run_id": "own"}, context={"k": 1})
        assert graph.invoke({"run_id": "other"}, context={"k": 5})["samples"] == 5 + 5

    def test_is_what_the_journal_and_the_events_say(self) -> None:
        store = InMemoryStore()
        graph: Any = create_maker(Counting(2), Scripted(right)).compile(store=store)
        begin = next(
            iter(graph.stream({"run_id": "r"}, context={"k": 5, "max_samples_per_step": 40}, stream_mode="custom"))
        )
        assert (begin["event"], begin["k"]) == ("maker.begin", 5)
        [item] = store.search(HEADERS)
        header = json.loads(item.value["header"])
        assert (header["k"], header["sessions"][0]["settings"]["max_samples_per_step"]) == (5, 40)


def test_nodes_inside_nodes_see_the_hosts_context() -> None:
    node = create_maker_node(
        create_maker(Counting(2), Scripted(right)), write=lambda _, run: {"samples": run["samples"]}
    )
    inner = StateGraph(State).add_node("count", node).add_edge(START, "count").compile()
    outer: Any = StateGraph(State).add_node("inner", inner).add_edge(START, "inner").compile()
    assert outer.invoke({}, context=Data(k=4))["samples"] == 8


@pytest.mark.parametrize("builder", ["maker", "voting"])
def test_the_schema_describes_and_bounds_each_setting(builder: str) -> None:
    built: Any = (
        create_maker(Counting(2), script("1"))
        if builder == "maker"
        else create_voting_graph(script("1"), prompt=str, parse=str)
    )
    settings = built.compile().get_context_jsonschema()["properties"]
    assert set(settings) == {"k", "first_temperature", "temperature", "max_samples_per_step"}
    assert (settings["k"]["minimum"], settings["k"]["maximum"]) == (1, 1000)
    assert all(setting["description"] for setting in settings.values())


def test_a_vote_that_broke_off_goes_on_under_a_larger_k() -> None:
    failing = [True]

    def answers(request: Any) -> Any:
        return OSError("gone") if failing[0] and request.number == 1 else AIMessage("A")

    node = create_voting_node(
        Scripted(answers),
        read=lambda state: state["question"],
        prompt=str,
        parse=str,
        write=lambda _, decision: {"samples": decision["samples"]},
        outage_limit=0,
    )
    graph: Any = StateGraph(State).add_node("vote", node).add_edge(START, "vote").compile(checkpointer=InMemorySaver())
    with pytest.raises(SamplingError):
        graph.invoke({"question": "?"}, THREAD, context={"k": 2})
    failing[0] = False
    assert graph.invoke(None, THREAD, context={"k": 4})["samples"] == 4


@pytest.mark.parametrize("at", ["outage", "unresolved", "sample", "guard"])
def test_a_vote_under_way_takes_no_smaller_k(at: str) -> None:
    failing = [at == "outage"]

    def answers(request: Any) -> Any:
        return OSError("gone") if failing[0] and request.number > 3 else "AB"[request.number % 2]

    graph: Any = create_voting_graph(
        Scripted(answers), prompt=str, parse=str, outage_limit=0, max_samples_per_step=7 if at == "unresolved" else None
    ).compile(checkpointer=InMemorySaver())
    asked = {"subtasks": [{"id": "a", "state": "?"}]}
    if at == "outage":
        with pytest.raises(SamplingError):
            graph.invoke(asked, THREAD)
    elif at == "unresolved":
        [decision] = graph.invoke(asked, THREAD)["decisions"]
        assert decision["status"] == "unresolved"
        ended = graph.get_state(THREAD).values
        graph.update_state(THREAD, {"ballots": reopened(ended["ballots"]), "decisions": []}, "tally")
    else:
        graph.invoke(asked, THREAD, interrupt_after=[at])
    failing[0] = False
    with pytest.raises(ValueError, match="the vote 'a' was begun with k = 3 and cannot go on with less, 1: leave k"):
        graph.invoke(None, THREAD, context={"k": 1})
    graph.invoke(asked, {"configurable": {"thread_id": "another"}}, context={"k": 1})


def test_a_context_that_fails_says_at_which_setting() -> None:
    class Broken:
        @property
        def k(self) -> int:
            raise RuntimeError("no database")

    with pytest.raises(ValueError, match="the runtime context cannot be asked for k: RuntimeError: no database"):
        host(script("A")).invoke({"question": "?"}, context=Broken())
