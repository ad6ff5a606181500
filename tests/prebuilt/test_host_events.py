"""What a host hears of a node of ours: which events, and in which words a human is asked."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.messages import AIMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.config import get_store
from langgraph.graph import START, StateGraph
from langgraph.runtime import get_runtime
from langgraph.store.memory import InMemoryStore
from langgraph.types import Command
from scripted import Counting, Scripted, right, script
from staged import Staged
from typing_extensions import TypedDict

from langgraph_maker import create_maker, create_maker_node, create_recursive_maker, create_voting_node
from langgraph_maker.nodes.ladder import AskHuman, Tier

THREAD: Any = {"configurable": {"thread_id": "t"}}
LADDER: Any = [Tier(), AskHuman()]


class State(TypedDict, total=False):
    answer: Any


def voting(model: Any, **options: Any) -> Any:
    return create_voting_node(
        model,
        read=lambda _: "?",
        prompt=str,
        parse=str,
        write=lambda _, decision: {"answer": decision["vote"]},
        **options,
    )


def making(**options: Any) -> Any:
    maker = create_maker(Counting(2), Scripted(right))
    return create_maker_node(maker, write=lambda _, run: {"answer": run["steps"]}, **options)


def growing(**options: Any) -> Any:
    return create_maker_node(
        create_recursive_maker(Staged()),
        read=lambda _: {"problem": "ab"},
        write=lambda _, run: {"answer": run["answer"]},
        **options,
    )


def host(node: Any, **where: Any) -> Any:
    return StateGraph(State).add_node("node", node).add_edge(START, "node").compile(**where)


NODES = [lambda **options: voting(script("A"), **options), making, growing]


EVENTS = {"run.started", "run.ended", "round.ended", "votes.counted", "samples.flagged", "tree.ended", "node.decided"}


async def heard(graph: Any, kind: str) -> list[Any]:
    modes: Any = {"stream_mode": "custom", "subgraphs": True}
    if kind == "async":
        return [event async for _, event in graph.astream({}, **modes)]
    return [event for _, event in graph.stream({}, **modes)]


@pytest.mark.parametrize("kind", ["sync", "async"])
@pytest.mark.parametrize("node", NODES)
class TestEvents:
    async def test_are_all_there_unless_said_otherwise(self, node: Any, kind: str) -> None:
        told = await heard(host(node()), kind)
        assert told
        assert all(event["event"] in EVENTS for event in told)

    async def test_may_be_off(self, node: Any, kind: str) -> None:
        assert await heard(host(node(events=False)), kind) == []

    async def test_may_be_put_into_other_words_or_left_out_one_by_one(self, node: Any, kind: str) -> None:
        told = await heard(host(node()), kind)
        assert await heard(host(node(events=lambda event: [event["event"]])), kind) == [[one["event"]] for one in told]
        assert await heard(host(node(events=lambda _: None)), kind) == []


class TestAsk:
    """A question in the form that the host's users know."""

    @staticmethod
    def worded(question: Any) -> Any:
        return {"title": f"Which is right for {question['state']}?", "choices": len(question["candidates"])}

    @pytest.mark.parametrize("kind", ["sync", "async"])
    async def test_of_a_voting_node(self, kind: str) -> None:
        model = Scripted(lambda request: "AB"[request.number % 2])
        graph = host(voting(model, ladder=LADDER, ask=self.worded), checkpointer=InMemorySaver())

        async def run(given: Any) -> Any:
            return await graph.ainvoke(given, THREAD) if kind == "async" else graph.invoke(given, THREAD)

        [asked] = (await run({}))["__interrupt__"]
        assert asked.value == {"title": "Which is right for ??", "choices": 2}
        assert (await run(Command(resume={"pick": 0})))["answer"] == "A"

    def test_of_a_maker_node(self) -> None:
        model = Scripted(lambda request: right(request) if request.number % 2 else "7")
        maker = create_maker(Counting(1), model, ladder=LADDER)
        node = create_maker_node(maker, write=lambda _, run: {"answer": run["status"]}, ask=self.worded)
        graph = host(node, checkpointer=InMemorySaver())
        [asked] = graph.invoke({}, THREAD)["__interrupt__"]
        assert asked.value == {"title": "Which is right for 0?", "choices": 2}
        assert graph.invoke(Command(resume={"pick": 1}), THREAD)["answer"] == "solved"

    def test_what_is_no_function_is_refused(self) -> None:
        with pytest.raises(TypeError, match="ask is a function of a question, not 'nicely'"):
            voting(script("A"), ask="nicely")


@pytest.mark.parametrize("kind", ["sync", "async"])
async def test_what_a_node_is_made_of_reaches_the_hosts_context_and_store(kind: str) -> None:
    seen: list[Any] = []

    def told(name: str, value: Any) -> Any:
        store = get_store().get(("own",), "who")
        seen.append((name, get_runtime().context, store and store.value))
        return value

    async def model(requests: Any) -> Any:
        return [told("model", AIMessage("A")) for _ in requests]

    node = create_voting_node(
        model,
        read=lambda _: told("read", "?"),
        prompt=lambda asked: told("prompt", asked),
        parse=lambda text: told("parse", text),
        write=lambda *_: told("write", {"answer": 1}),
        k=1,
    )
    store = InMemoryStore()
    store.put(("own",), "who", {"name": "Ada"})
    graph = host(node, store=store)
    context = {"k": 9}
    _ = await graph.ainvoke({}, context=context) if kind == "async" else graph.invoke({}, context=context)
    assert seen == [(name, context, {"name": "Ada"}) for name in ("read", "prompt", "model", "parse", "write")]
