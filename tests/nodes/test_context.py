"""Settings from a runtime context, whatever the host's context is."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import AgentMiddleware
from langchain_core.messages import AIMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, StateGraph
from langgraph.store.memory import InMemoryStore
from scripted import Counting, Recording, Scripted, right, script
from staged import Staged
from typing_extensions import TypedDict

from langgraph_maker import (
    MakerContext,
    create_maker,
    create_maker_node,
    create_recursive_maker,
    create_voting_graph,
    create_voting_node,
)
from langgraph_maker.core.errors import JournalError, SamplingError, UnresolvedError
from langgraph_maker.journal.records import HEADERS
from langgraph_maker.ladder import Audit
from langgraph_maker.middleware import VotingMiddleware
from langgraph_maker.nodes.run_position import reopened
from langgraph_maker.prebuilt.recursive.state import RecursiveState
from langgraph_maker.testing import ScriptedChatModel

WORD: Any = {"problem": "abcdefgh"}
THREAD: Any = {"configurable": {"thread_id": "t"}}


class State(TypedDict, total=False):
    question: str
    samples: int


class Ours(MakerContext):
    user: str = "u"


@dataclass
class Rag:
    """A host's own settings, some of which it calls as we do: k documents are fetched."""

    k: Any = 1
    temperature: Any = 0.9
    max_samples_per_step: Any = 1
    maker: Any = None


class Typed(TypedDict, total=False):
    k: int
    maker: Any


class Both(TypedDict, total=False):
    two: int
    six: int


class Failing:
    """A function of a host that fails at first, after the vote was paid for."""

    def __init__(self) -> None:
        self.fails, self.got = True, list[Any]()

    def __call__(self, _: Any, outcome: Any) -> dict[str, Any]:
        if self.fails:
            raise OSError("the disk is full")
        self.got.append(outcome)
        return {"samples": outcome["samples"]}


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
        (MakerContext, {"k": 5}),
        (MakerContext, {"k": 5, "temperature": None, "thread_id": "added by a server"}),
        (MakerContext, MakerContext(k=5)),
        (MakerContext, {"maker": {"k": 5}}),
        (Ours, {"k": 5, "user": "me"}),
        (Ours, Ours(k=5)),
        (None, MakerContext(k=5)),
        (None, {"maker": {"k": 5}}),
        (None, {"maker": MakerContext(k=5), "k": 1}),
        (None, SimpleNamespace(maker={"k": 5})),
        (Typed, {"maker": {"k": 5}, "k": 1}),
        (Rag, {"maker": {"k": 5}}),
        (Rag, Rag(maker=MakerContext(k=5))),
    ],
)
async def test_what_is_meant_for_us_overrides(schema: Any, context: Any) -> None:
    assert host(script("A"), schema).invoke({"question": "?"}, context=context) == {"question": "?", "samples": 5}
    assert (await host(script("A"), schema).ainvoke({"question": "?"}, context=context))["samples"] == 5


class Lazy:
    @property
    def maker(self) -> Any:
        raise RuntimeError("no database")


FOREIGN = [
    None,
    {},
    {"k": 1, "temperature": 0.9, "max_samples_per_step": 1},
    {"k": "vector"},
    {"K": 7},
    {"maker": "Bosch"},
    {"maker": {"name": "Bosch"}},
    {"maker": None},
    {"maker": {"k": None}},
    SimpleNamespace(k=1),
    Lazy(),
    "text",
    7,
    [1],
    object(),
]


class TestAHostsOwnContext:
    """Whatever it calls its own fields, none of them is ours."""

    @pytest.mark.parametrize("context", FOREIGN)
    def test_leaves_a_node_as_the_code_has_it(self, context: Any) -> None:
        model = Recording(answer=lambda _: "A", calls=[])
        assert host(model, k=2).invoke({"question": "?"}, context=context)["samples"] == 2
        assert [call["temperature"] for call in model.calls] == [0.0, 0.1]

    @pytest.mark.parametrize("schema", [Rag, Typed, None])
    @pytest.mark.parametrize("value", [1, "vector", 2.0, True])
    def test_does_so_under_every_kind_of_schema(self, schema: Any, value: Any) -> None:
        assert host(script("A"), schema).invoke({"question": "?"}, context={"k": value})["samples"] == 3

    @pytest.mark.parametrize("context", [Rag(), {"k": 1}])
    @pytest.mark.parametrize("as_node", [True, False])
    def test_reaches_no_run_inside_the_host(self, context: Any, as_node: bool) -> None:
        maker = create_maker(Counting(3), Scripted(right), k=5)
        node: Any = (
            create_maker_node(maker, write=lambda _, run: {"samples": run["samples"]}) if as_node else maker.compile()
        )
        outer: Any = StateGraph(State, Rag if isinstance(context, Rag) else None)
        graph = outer.add_node("count", node).add_edge(START, "count").compile(store=InMemoryStore())
        assert graph.invoke({}, context=context)["samples"] == 15

    def test_reaches_no_recursive_run(self) -> None:
        model = Staged()
        graph: Any = create_recursive_maker(model, k=3).compile()
        asked = graph.invoke(WORD)["samples"]
        host_graph: Any = StateGraph(RecursiveState, Rag).add_node("tree", graph).add_edge(START, "tree").compile()
        assert host_graph.invoke(WORD, context=Rag())["samples"] == asked


class TestNoContextLowersK:
    """It is held at what the code asks for, or at the least that the code allows."""

    @pytest.mark.parametrize(("asked", "least", "samples"), [(1, None, 4), (1, 2, 2), (3, 2, 3), (3, 4, 4), (6, 2, 6)])
    def test_below_the_code(self, asked: int, least: int | None, samples: int) -> None:
        graph = host(script("A"), MakerContext, k=4, min_k=least)
        assert graph.invoke({"question": "?"}, context={"k": asked})["samples"] == samples
        maker: Any = create_maker(Counting(2), Scripted(right), k=4, min_k=least).compile()
        assert maker.invoke({}, context={"k": asked})["samples"] == 2 * samples

    def test_each_node_is_held_at_its_own(self) -> None:
        def node(k: int, name: str) -> Any:
            return create_voting_node(
                script("A"),
                read=lambda _: "?",
                prompt=str,
                parse=str,
                write=lambda _, decision: {name: decision["samples"]},
                k=k,
            )

        graph: Any = StateGraph(Both, MakerContext).add_node("a", node(2, "two")).add_node("b", node(6, "six"))
        app = graph.add_edge(START, "a").add_edge("a", "b").compile()
        assert app.invoke({}, context={"k": 4}) == {"two": 4, "six": 6}

    def test_of_a_k_by_step(self) -> None:
        graph: Any = create_maker(Counting(3), Scripted(right), k=lambda step: 1 + 2 * step).compile()
        assert graph.invoke({}, context={"k": 2})["samples"] == 2 + 3 + 5

    @pytest.mark.parametrize(("least", "message"), [(0, "at least 1"), (4, "is at most k = 3, not 4")])
    def test_a_bad_least_is_refused_at_once(self, least: int, message: str) -> None:
        with pytest.raises(ValueError, match=message):
            host(script("A"), k=3, min_k=least)
        with pytest.raises(ValueError, match=message):
            create_recursive_maker(script("A"), k=3, min_k=least)


def test_every_setting_reaches_its_sample() -> None:
    model = Recording(answer=lambda _: "A", calls=[])
    settings = {"k": 2, "first_temperature": 0.3, "temperature": 1}
    host(model, k=2).invoke({"question": "?"}, context={"maker": settings})
    assert [call["temperature"] for call in model.calls] == [0.3, 1]
    with pytest.raises(UnresolvedError, match="after 9 samples"):
        host(Scripted(lambda request: str(request.number))).invoke(
            {"question": "?"}, context={"maker": {"max_samples_per_step": 9}}
        )


def test_a_larger_k_has_the_samples_and_supersteps_it_needs() -> None:
    torn = Scripted(lambda request: "B" if 8 < request.number < 400 and request.number % 2 else "A")
    assert host(torn, MakerContext).invoke({"question": "?"}, context={"k": 10})["samples"] > 400


@pytest.mark.parametrize(
    ("context", "message"),
    [
        ({"k": 0}, r"MakerContext\s+k\s+Input should be greater than or equal to 1 .*input_value=0"),
        ({"k": 1001}, "Input should be less than or equal to 1000"),
        ({"k": True}, r"\s+k\s+Input should be a valid integer .*input_value=True"),
        ({"k": "3"}, "Input should be a valid integer"),
        ({"k": 2.5}, "Input should be a valid integer"),
        ({"temperature": -1}, "Input should be greater than or equal to 0"),
        ({"first_temperature": float("nan")}, "Input should be a finite number"),
        ({"max_samples_per_step": 2}, "max_samples_per_step is a whole number of at least k = 3"),
        ({"k": 0, "temperature": "hot"}, "2 validation errors"),
    ],
)
def test_bad_settings_of_ours_are_refused_before_anything_is_bought(context: Any, message: str) -> None:
    model = Scripted(right)
    with pytest.raises(ValueError, match=message):
        host(model, MakerContext).invoke({"question": "1"}, context=context)
    said = message if "max_samples" in message else "^maker in the runtime context: "
    with pytest.raises(ValueError, match=said) as raised:
        host(model, Rag).invoke({"question": "1"}, context=Rag(maker=context))
    assert len(str(raised.value).splitlines()) == 1
    with pytest.raises(ValueError, match=message):
        create_maker(Counting(2), model).compile().invoke({}, context=context)
    assert model.batches == []


def test_a_bad_setting_under_our_key_is_said_in_one_line() -> None:
    said = "^maker in the runtime context: k: Input should be a valid integer, not 'vector' .see MakerContext."
    with pytest.raises(ValueError, match=said):
        host(script("A")).invoke({"question": "?"}, context={"maker": {"k": "vector"}})


@pytest.mark.parametrize(
    ("slip", "meant"),
    [
        ("K", "did you mean k?"),
        ("max_samples", "it is called max_samples_per_step now"),
        ("temprature", "did you mean temperature?"),
    ],
)
def test_slips_are_refused_with_what_was_meant(slip: str, meant: str) -> None:
    model = Scripted(right)
    with pytest.raises(TypeError, match=re.escape(f"MakerContext() takes no {slip}: {meant}")):
        host(model, MakerContext).invoke({"question": "1"}, context={slip: 5})
    with pytest.raises(TypeError, match=re.escape(f"MakerContext() takes no {slip}: {meant}")):
        host(model).invoke({"question": "1"}, context={"maker": {slip: 5}})
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
        with pytest.raises(JournalError, match="was started with k 5, not"):
            graph.invoke({"run_id": "r"}, THREAD, context=later)
        assert model.drawn == 10

    def test_holds_for_a_k_by_step_too(self) -> None:
        store, model = InMemoryStore(), Scripted(right)
        graph: Any = create_maker(Counting(2), model, k=lambda step: 3 + step).compile(store=store)
        assert graph.invoke({"run_id": "own"})["samples"] == 3 + 4
        assert graph.invoke({"run_id": "own"}, context={"k": 1})["samples"] == 3 + 4
        with pytest.raises(
            JournalError, match="step 0 of run 'own' was decided by a margin of 3, and k now asks for 5"
        ):
            graph.invoke({"run_id": "own"}, context={"k": 5})
        assert graph.invoke({"run_id": "other"}, context={"k": 5})["samples"] == 5 + 5

    def test_is_what_the_journal_and_the_events_say(self) -> None:
        store = InMemoryStore()
        graph: Any = create_maker(Counting(2), Scripted(right)).compile(store=store)
        begin = next(
            iter(graph.stream({"run_id": "r"}, context={"k": 5, "max_samples_per_step": 40}, stream_mode="custom"))
        )
        assert (begin["event"], begin["k"]) == ("run.started", 5)
        [item] = store.search(HEADERS)
        header = json.loads(item.value["header"])
        assert (header["k"], header["sessions"][0]["settings"]["max_samples_per_step"]) == (5, 40)


def test_nodes_inside_nodes_see_the_hosts_context() -> None:
    node = create_maker_node(
        create_maker(Counting(2), Scripted(right)), write=lambda _, run: {"samples": run["samples"]}
    )
    inner = StateGraph(State).add_node("count", node).add_edge(START, "count").compile()
    outer: Any = StateGraph(State).add_node("inner", inner).add_edge(START, "inner").compile()
    assert outer.invoke({}, context={"maker": {"k": 4}})["samples"] == 8


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
        graph.invoke({"question": "?"}, THREAD, context={"maker": {"k": 3}})
    failing[0] = False
    assert graph.invoke(None, THREAD, context={"maker": {"k": 4}})["samples"] == 4


@pytest.mark.parametrize("at", ["outage", "unresolved", "sample", "guard"])
def test_a_vote_under_way_takes_no_smaller_k(at: str) -> None:
    failing = [at == "outage"]

    def answers(request: Any) -> Any:
        return OSError("gone") if failing[0] and request.number > 3 else "AB"[request.number % 2]

    graph: Any = create_voting_graph(
        Scripted(answers),
        prompt=str,
        parse=str,
        outage_limit=0,
        max_samples_per_step=7 if at == "unresolved" else None,
        min_k=1,
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
    with pytest.raises(
        ValueError, match="the vote 'a' was started with k = 3 and cannot continue with less, 1: leave k"
    ):
        graph.invoke(None, THREAD, context={"k": 1})
    graph.invoke(asked, {"configurable": {"thread_id": "another"}}, context={"k": 1})


class TestNothingElseLowersK:
    """What a process with a smaller margin left behind is not what this one asks for."""

    def test_a_configurable_of_that_name_is_the_hosts(self) -> None:
        settings: Any = {"configurable": {"k": 1, "maker": {"k": 1}, "temperature": 2}}
        assert host(script("A")).with_config(settings).invoke({"question": "?"})["samples"] == 3
        made: Any = create_maker(Counting(2), Scripted(right)).compile().with_config(settings)
        assert made.invoke({}, settings)["samples"] == 6

    @pytest.mark.parametrize("later", [3, 5])
    def test_a_ballot_that_a_smaller_k_decided_is_open_for_a_larger_one(self, later: int) -> None:
        answers = Scripted(lambda request: "A" if request.subtask_id == "a" else f"{request.number % 2}")
        saver, asked = InMemorySaver(), {"subtasks": [{"id": "a", "state": "?"}, {"id": "b", "state": "?"}]}

        def graph(k: int, stop: Any = ()) -> Any:
            return create_voting_graph(answers, prompt=str, parse=str, k=k, max_samples_per_step=40).compile(
                checkpointer=saver, interrupt_after=stop
            )

        graph(2, ["tally"]).invoke(asked, THREAD)
        assert [one["status"] for one in graph(2).get_state(THREAD).values["ballots"]] == ["decided", "open"]
        [decided, torn] = graph(later).invoke(None, THREAD)["decisions"]
        assert (decided["samples"], decided["counts"][0]["count"], torn["status"]) == (later, later, "unresolved")

    def test_a_state_that_says_decided_decides_nothing(self) -> None:
        graph: Any = create_maker(Counting(2), Scripted(right), k=3).compile(
            checkpointer=InMemorySaver(), interrupt_before=["update"]
        )
        graph.invoke({}, THREAD)
        [ballot] = graph.get_state(THREAD).values["ballots"]
        forged = {**ballot, "counts": dict.fromkeys(ballot["counts"], 1), "samples": 1, "asked": 1, "following": 1}
        graph.update_state(THREAD, {"ballots": [forged]}, "vote")
        graph.invoke(None, THREAD)
        state = graph.get_state(THREAD).values
        assert (state["totals"]["steps"], state["ballots"][0]["samples"]) == (0, 3)
        while graph.get_state(THREAD).next:
            result = graph.invoke(None, THREAD)
        assert (result["status"], result["samples"]) == ("solved", 6)

    @pytest.mark.parametrize("ladder", [None, "audit"])
    @pytest.mark.parametrize("asynchronous", [False, True])
    async def test_a_vote_that_was_not_written_yet_is_held_to_the_k_of_now(
        self, ladder: Any, asynchronous: bool
    ) -> None:
        saver, model, write = InMemorySaver(), script("A"), Failing()

        def graph(k: int) -> Any:
            node = create_voting_node(
                model,
                read=lambda _: "?",
                prompt=[str, lambda question: f"Once more: {question}"],
                parse=str,
                write=write,
                k=k,
                audit=Audit(share=1.0, k=1, variants=[1]) if ladder else None,
            )
            return StateGraph(State).add_node("vote", node).add_edge(START, "vote").compile(checkpointer=saver)

        async def call(k: int, given: Any) -> Any:
            return await graph(k).ainvoke(given, THREAD) if asynchronous else graph(k).invoke(given, THREAD)

        audits = 1 if ladder else 0
        with pytest.raises(OSError, match="disk"):
            await call(1, {"question": "?"})
        assert model.drawn == 1 + audits
        with pytest.raises(OSError, match="disk"):
            await call(3, None)
        assert model.drawn == 3 + audits
        with pytest.raises(OSError, match="disk"):
            await call(3, None)  # it stands, and nothing more is bought
        write.fails = False
        assert (await call(2, None))["samples"] == model.drawn == 3 + audits
        assert [one["agreement"]["lead"] for one in write.got] == [3]

    @pytest.mark.parametrize("store", [True, False])
    def test_a_run_that_was_not_written_yet_is_held_to_the_k_of_now(self, store: bool) -> None:
        saver, model, write = InMemorySaver(), Scripted(right), Failing()
        where = InMemoryStore() if store else None

        def graph(k: int) -> Any:
            node = create_maker_node(create_maker(Counting(2), model, k=k), write=write)
            outer: Any = StateGraph(State).add_node("count", node).add_edge(START, "count")
            return outer.compile(checkpointer=saver, store=where)

        with pytest.raises(OSError, match="disk"):
            graph(1).invoke({}, THREAD)
        with pytest.raises(JournalError, match="was started with k 1, not 5"):
            graph(5).invoke(None, THREAD)
        write.fails = False
        assert graph(1).invoke(None, THREAD)["samples"] == model.drawn == 2

    def test_an_agents_call_that_was_not_made_yet_is_held_to_the_k_of_now(self) -> None:
        saver, model = InMemorySaver(), ScriptedChatModel(answers=["4"])
        fails = [True]

        class After(AgentMiddleware):
            def wrap_model_call(self, request: Any, handler: Any) -> Any:
                answer = handler(request)
                if fails[0]:
                    raise OSError("the disk is full")
                return answer

        def agent(k: int) -> Any:
            return create_agent(model, [], middleware=[After(), VotingMiddleware(k=k)], checkpointer=saver)

        with pytest.raises(OSError, match="disk"):
            agent(1).invoke({"messages": "2 + 2?"}, THREAD)
        fails[0] = False
        answer = agent(4).invoke(None, THREAD)["messages"][-1]
        assert answer.response_metadata["vote"]["samples"] == 4

    @pytest.mark.parametrize(
        "edit",
        [
            {"counts": {'"A"': 1}, "samples": 1},
            {"outcome": None},
            {"outcome": {"margin": 3, "votes": 3, "winner_votes": 3, "key": '"B"', "vote": "B"}},
            {"outcome": {"vote": "B"}},
            {"counts": {'"A"': 2, '"B"': 1}, "votes": {'"A"': "A", '"B"': "B"}},
        ],
    )
    @pytest.mark.parametrize("at", ["guard", "tally"])
    def test_an_edited_ballot_is_decided_by_its_votes(self, edit: Any, at: str) -> None:
        graph: Any = create_voting_graph(script("A"), prompt=str, parse=str, k=3).compile(checkpointer=InMemorySaver())
        asked = {"subtasks": [{"id": "a", "state": "?"}]}
        graph.invoke(asked, THREAD)
        [ballot] = graph.get_state(THREAD).values["ballots"]
        outcome = {**ballot["outcome"], **(edit.get("outcome") or {})}
        edited = {**ballot, **edit, "outcome": outcome}
        if edit.get("outcome", outcome) is None:
            del edited["outcome"]
        graph.update_state(THREAD, {"ballots": [edited], "decisions": []}, at)
        graph.invoke(None, THREAD)
        [decision] = graph.get_state(THREAD).values["decisions"]
        assert (decision["status"], decision["vote"], decision["agreement"]["lead"] >= 3) == ("decided", "A", True)

    @pytest.mark.parametrize(
        ("edit", "message"),
        [
            ({"k": None}, r"ballots\[0\] cannot be read: k: Input should be a valid integer, not None"),
            ({"k": float("inf")}, r"ballots\[0\] cannot be read: k: Input should be a .* integer, not inf"),
            ({"counts": {'"A"': 9}}, "it has 9 votes and 0 flags of 3 samples, 3 issued"),
            ({"status": "won" * 1000}, r"status: Input should be 'open'.*: leave ballots as the graph wrote them"),
            (7, "ballots cannot be read: it is a list, not 7"),
        ],
    )
    @pytest.mark.parametrize("maker", [True, False])
    def test_an_edit_that_no_vote_writes_is_refused(self, edit: Any, message: str, maker: bool) -> None:
        if maker:
            made: Any = create_maker(Counting(1), Scripted(right), k=3)
            graph = made.compile(checkpointer=InMemorySaver(), interrupt_before=["update"])
            graph.invoke({}, THREAD)
        else:
            made = create_voting_graph(script("A"), prompt=str, parse=str, k=3)
            graph = made.compile(checkpointer=InMemorySaver())
            graph.invoke({"subtasks": [{"id": "a", "state": "?"}]}, THREAD)
        [ballot] = graph.get_state(THREAD).values["ballots"]
        if isinstance(edit, dict) and "counts" in edit:
            edit = {"counts": dict.fromkeys(ballot["counts"], 9)}
        with pytest.raises(ValueError, match=message) as raised:
            graph.update_state(
                THREAD,
                {"ballots": [{**ballot, **edit}] if isinstance(edit, dict) else edit},
                "vote" if maker else "tally",
            )
        assert len(str(raised.value)) < 500

    @pytest.mark.parametrize("edit", [{"ballots": []}, {"decisions": []}, {"ballots": [], "decisions": []}])
    def test_a_vote_that_lost_its_ballots_is_held_again(self, edit: Any) -> None:
        saver, write = InMemorySaver(), Failing()
        node = create_voting_node(script("A"), read=lambda _: "?", prompt=str, parse=str, write=write)
        graph: Any = StateGraph(State).add_node("vote", node).add_edge(START, "vote").compile(checkpointer=saver)
        with pytest.raises(OSError, match="disk"):
            graph.invoke({"question": "?"}, THREAD)
        inner = graph.get_state(THREAD, subgraphs=True).tasks[0].state
        graph.update_state(inner.config, edit, "tally")
        write.fails = False
        assert graph.invoke(None, THREAD)["samples"] == 3

    @pytest.mark.parametrize("store", [True, False])
    def test_a_k_by_step_holds_where_a_round_broke_off_under_another(self, store: bool) -> None:
        where: Any = {"checkpointer": InMemorySaver(), "store": InMemoryStore() if store else None}
        create_maker(Counting(2), Scripted(right), k=lambda _: 1).compile(**where, interrupt_before=["update"]).invoke(
            {}, THREAD
        )
        result: Any = create_maker(Counting(2), Scripted(right), k=lambda _: 4).compile(**where).invoke(None, THREAD)
        assert (result["status"], result["samples"]) == ("solved", 8)

    def test_a_fork_from_an_earlier_checkpoint_is_held_to_the_same_k(self) -> None:
        graph: Any = create_maker(Counting(3), Scripted(right), k=3, min_k=1).compile(checkpointer=InMemorySaver())
        graph.invoke({"run_id": "r"}, THREAD)
        earlier = [one for one in graph.get_state_history(THREAD) if one.next == ("decompose",)][-2]
        with pytest.raises(JournalError, match="was started with k 3, not 1"):
            graph.invoke(None, earlier.config, context={"k": 1})
        assert graph.invoke(None, earlier.config)["samples"] == 9
