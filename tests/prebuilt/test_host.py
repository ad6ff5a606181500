"""Voted steps where hosts put nodes: subgraphs, loops, `Send`, interrupts, streams; and what their `write` returns."""

from __future__ import annotations

import operator
from dataclasses import dataclass
from typing import Annotated, Any

import pytest
from langchain_core.messages import AIMessage, AnyMessage, HumanMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, StateGraph
from langgraph.graph.message import add_messages
from langgraph.store.memory import InMemoryStore
from langgraph.types import Command, Send, interrupt
from pydantic import BaseModel
from scripted import Recording, Scripted, script
from typing_extensions import TypedDict

from langgraph_maker import create_voting_node

THREAD: Any = {"configurable": {"thread_id": "t"}}


class Chat(TypedDict, total=False):
    messages: Annotated[list[AnyMessage], add_messages]
    notes: Annotated[list[str], operator.add]
    subtasks: str
    ballots: str
    decisions: str


def voted(model: Any, **options: Any) -> Any:
    defaults: dict[str, Any] = {
        "read": lambda state: state["messages"][-1].text,
        "prompt": str,
        "parse": str,
        "write": lambda _, decision: {"notes": [decision["vote"]]},
    }
    return create_voting_node(model, **(defaults | options))


def echo(request: Any) -> str:
    return f"answer to {request.messages[0].text}"


def chat(text: str) -> dict[str, Any]:
    return {"messages": [HumanMessage(text)], "subtasks": "mine", "ballots": "mine", "decisions": "mine"}


def test_streams_of_all_kinds_at_once_and_no_sample_among_the_messages() -> None:
    answer = voted(
        Recording(answer=lambda text: text.upper(), calls=[]),
        write=lambda _, decision: {"messages": [AIMessage(decision["vote"])]},
    )
    graph: Any = StateGraph(Chat).add_node("vote", answer).add_edge(START, "vote").compile()
    modes: Any = ["messages", "updates", "custom", "values"]
    chunks: list[Any] = list(graph.stream(chat("hi"), stream_mode=modes, subgraphs=True))
    assert [chunk[0].text for _, mode, chunk in chunks if mode == "messages"] == ["HI"]
    [told] = [chunk for _, mode, chunk in chunks if mode == "custom"]
    standing = {"subtask_id": "vote", "status": "decided", "samples": 3, "flags": {}}
    assert told == {"event": "votes.counted", "ballots": [{**standing, "counts": [{"vote": "HI", "count": 3}]}]}
    final = [chunk for namespace, mode, chunk in chunks if mode == "values" and not namespace][-1]
    assert [final[name] for name in ("subtasks", "ballots", "decisions")] == ["mine"] * 3


@pytest.mark.parametrize("checkpointer", [None, "memory"])
async def test_under_send_each_has_its_own_vote(checkpointer: str | None) -> None:
    builder = StateGraph(Chat).add_node("vote", voted(Scripted(echo)))
    builder.add_conditional_edges(START, lambda _: [Send("vote", chat(text)) for text in "abc"], ["vote"])
    graph: Any = builder.compile(checkpointer=InMemorySaver() if checkpointer else None, store=InMemoryStore())
    expected = ["answer to a", "answer to b", "answer to c"]
    assert graph.invoke({}, THREAD)["notes"] == expected
    assert (await graph.ainvoke({}, {"configurable": {"thread_id": "u"}}))["notes"] == expected


@pytest.mark.parametrize("checkpointer", [None, "memory"])
def test_in_a_subgraph_of_the_host(checkpointer: str | None) -> None:
    inner = StateGraph(Chat).add_node("vote", voted(Scripted(echo))).add_edge(START, "vote").compile()
    outer = StateGraph(Chat).add_node("inner", inner).add_edge(START, "inner")
    graph: Any = outer.compile(checkpointer=InMemorySaver() if checkpointer else None)
    assert graph.invoke(chat("a"), THREAD)["notes"] == ["answer to a"]
    nodes = graph.get_graph(xray=True).nodes
    assert {"inner:vote:sample", "inner:vote:guard", "inner:vote:tally"} <= set(nodes)


@pytest.mark.parametrize("way", ["sync", "async"])
async def test_beside_and_before_an_interrupt_nothing_is_bought_twice(way: str) -> None:
    model = Scripted(echo)

    def ask(_: Chat) -> dict[str, Any]:
        return {"messages": [HumanMessage(interrupt("What next?"))]}

    builder: Any = StateGraph(Chat)
    graph = (
        builder.add_node("before", voted(model))
        .add_node("beside", voted(model))
        .add_node("ask", ask)
        .add_node("after", voted(model))
        .add_edge(START, "before")
        .add_edge("before", "ask")
        .add_edge("before", "beside")
        .add_edge("ask", "after")
        .compile(checkpointer=InMemorySaver())
    )
    if way == "sync":
        assert graph.invoke(chat("a"), THREAD)["__interrupt__"][0].value == "What next?"
        result = graph.invoke(Command(resume="b"), THREAD)
    else:
        assert (await graph.ainvoke(chat("a"), THREAD))["__interrupt__"][0].value == "What next?"
        result = await graph.ainvoke(Command(resume="b"), THREAD)
    assert result["notes"] == ["answer to a", "answer to a", "answer to b"]
    assert model.drawn == 9


def test_two_voting_nodes_of_one_name_are_refused_and_two_names_do_not_mix() -> None:
    one, two = voted(Scripted(echo)), voted(script("two"))
    with pytest.raises(ValueError, match="Node `vote` already present"):
        StateGraph(Chat).add_node(one).add_node(two)
    graph: Any = (
        StateGraph(Chat).add_node("one", one).add_node("two", two).add_edge(START, "one").add_edge("one", "two")
    )
    result = graph.compile(checkpointer=InMemorySaver()).invoke(chat("a"), THREAD)
    assert result["notes"] == ["answer to a", "two"]


class Model(BaseModel):
    answer: str = ""


@dataclass
class Data:
    answer: str = ""


class TestWrite:
    @pytest.mark.parametrize(
        "update",
        [{}, {"answer": "A"}, Command(update={"answer": "A"}), [Command(update={"answer": "A"})], Data("A")],
    )
    def test_may_return_all_that_a_node_may(self, update: Any) -> None:
        node = voted(script("A"), read=lambda _: "?", write=lambda *_: update)
        graph: Any = StateGraph(Data).add_node("vote", node).add_edge(START, "vote").compile()
        assert graph.invoke(Data()) == {"answer": "" if update == {} else "A"}

    @pytest.mark.parametrize("update", [None, "A", 7, ["A"], [{"answer": "A"}], {"A"}, Model])
    @pytest.mark.parametrize("schema", [Model, Data, Chat])
    async def test_anything_else_is_an_error_that_names_the_node(self, schema: Any, update: Any) -> None:
        node = voted(script("A"), read=lambda _: "?", write=lambda *_: update)
        graph: Any = StateGraph(schema).add_node("decide", node).add_edge(START, "decide").compile()
        start: Any = {"notes": []} if schema is Chat else {"answer": ""}
        with pytest.raises(TypeError, match=r"node 'decide': write returned .*: what it returns is a dict"):
            graph.invoke(start)
        with pytest.raises(TypeError, match=r"node 'decide': write returned .*: what it returns is a dict"):
            await graph.ainvoke(start)

    def test_a_state_that_is_one_value_takes_any(self) -> None:
        node = voted(script("A"), read=len, write=lambda state, decision: [decision["vote"]])
        schema: Any = Annotated[list, operator.add]
        graph: Any = StateGraph(schema).add_node("vote", node).add_edge(START, "vote").compile()
        assert graph.invoke(["start"]) == ["start", "A"]
