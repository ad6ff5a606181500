"""A host app for the Studio test: it counts in a run of its own, votes, and then asks a human."""

import asyncio
from collections.abc import Sequence
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage
from langgraph.graph import START, StateGraph
from langgraph.types import interrupt
from typing_extensions import TypedDict

from langgraph_maker import Task, Vote, create_maker, create_maker_node, create_voting_node
from langgraph_maker.core.state import Request


class State(TypedDict, total=False):
    """Two of these keys are a maker graph's own as well, with another meaning."""

    status: str
    steps: int
    hangs: bool
    samples: int
    answer: str
    approved: str


class Counting(Task):
    """Count from 0 to `steps`."""

    name = "counting"

    def __init__(self, steps: int) -> None:
        self.steps = steps

    def initial_state(self) -> int:
        return 0

    def is_done(self, state: int) -> bool:
        return state == self.steps

    def prompt(self, state: int) -> list[BaseMessage]:
        return [HumanMessage(str(state))]

    def parse(self, text: str) -> Vote:
        return {"action": "add", "next_state": int(text)}

    def advance(self, state: int, vote: Vote) -> Any:
        return vote["next_state"]


hung: list[bool] = []


async def count(requests: Sequence[Request]) -> list[AIMessage]:
    """Says the next number."""
    return [AIMessage(str(int(request.messages[0].text) + 1)) for request in requests]


async def hang_once(requests: Sequence[Request]) -> list[AIMessage]:
    """Says the next number, but for the third step's first round it waits for ever."""
    if requests[0].messages[0].text == "2" and not hung:
        hung.append(True)
        await asyncio.Event().wait()
    return await count(requests)


async def torn(requests: Sequence[Request]) -> list[AIMessage]:
    """Says A, but B at first."""
    return [AIMessage("A" if request.number else "B") for request in requests]


def ask(state: State) -> State:
    """Ask whether the answer will do."""
    return {"approved": interrupt({"answer": state["answer"]})}


graph = (
    StateGraph(State)
    .add_node(
        "count",
        create_maker_node(
            lambda host: create_maker(Counting(host["steps"]), hang_once if host.get("hangs") else count),
            write=lambda _, run: {"samples": run["samples"]},
        ),
    )
    .add_node(
        "vote",
        create_voting_node(
            torn,
            read=lambda host: host["status"],
            prompt=str,
            parse=str,
            write=lambda _, decision: {"answer": decision["vote"]},
        ),
    )
    .add_node("ask", ask)
    .add_edge(START, "count")
    .add_edge("count", "vote")
    .add_edge("vote", "ask")
    .compile(name="host")
)
