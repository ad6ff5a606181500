"""What the engine adds to LangGraph itself: `python -m benchmarks.overhead [--disks 10] [--repeats 9]`.

One lane, k = 3, a sampler that answers at once with what was written down beforehand. The programs take turns in one
process: the maker graph (its sampler called in place, and on the background loop), a bare LangGraph graph of the same
shape whose nodes do nothing, and a plain asyncio loop that only samples, parses and counts. Printed are medians over
the repeats, and of the ratio pair by pair.
"""

from __future__ import annotations

import argparse
import asyncio
import platform
import time
from collections.abc import Callable, Sequence
from statistics import median
from typing import Any

from langchain_core.messages import AIMessage
from langgraph.graph import END, START, StateGraph

from langgraph_maker import Ballot, create_maker
from langgraph_maker.core.state import Request, never_waits
from langgraph_maker.nodes.state import MakerInput, MakerOutput, MakerState, RoundInput, RoundOutput, VotingState
from langgraph_maker.tasks import TowersOfHanoi


def written_down(task: TowersOfHanoi) -> dict[str, AIMessage]:
    """The right response to each prompt."""
    written: dict[str, AIMessage] = {}
    state = task.initial_state()
    while not task.is_done(state):
        vote = task.oracle(state)
        written[task.prompt(state)[-1].text] = AIMessage(task.render(vote))
        state = task.advance(state, vote)
    return written


def maker(task: TowersOfHanoi, written: dict[str, AIMessage], *, in_place: bool) -> Callable[[], None]:
    """The maker graph, its sampler called in place or on the background event loop, as models over a network are."""

    async def sampler(requests: Sequence[Request]) -> list[AIMessage]:
        return [written[request.messages[-1].text] for request in requests]

    graph = create_maker(task, never_waits(sampler) if in_place else sampler).compile()

    def run() -> None:
        assert graph.invoke({}, {"recursion_limit": 10**9})["status"] == "solved"  # noqa: S101

    return run


def bare(steps: int) -> Callable[[], None]:
    """LangGraph alone: the same nodes, edges and channels, and nothing done but counting."""

    def nothing(state: Any) -> dict[str, Any]:  # noqa: ARG001
        return {"ballots": []}

    voting = (
        StateGraph(VotingState, input_schema=RoundInput, output_schema=RoundOutput)
        .add_node("sample", nothing)
        .add_node("guard", nothing)
        .add_node("tally", nothing)
        .add_edge(START, "sample")
        .add_edge("sample", "guard")
        .add_edge("guard", "tally")
        .add_edge("tally", END)
    )
    graph = (
        StateGraph(MakerState, input_schema=MakerInput, output_schema=MakerOutput)
        .add_node("decompose", lambda state: {"steps": state.get("steps", -1) + 1, "subtasks": []})
        .add_node("vote", voting.compile(checkpointer=False))
        .add_node("escalate", nothing)
        .add_node("update", nothing)
        .add_edge(START, "decompose")
        .add_conditional_edges("decompose", lambda state: "vote" if state["steps"] < steps else END, ["vote", END])
        .add_conditional_edges("vote", lambda _: "update", ["escalate", "update", "decompose"])
        .add_edge("escalate", "update")
        .add_edge("update", "decompose")
        .compile()
    )

    def run() -> None:
        graph.invoke({}, {"recursion_limit": 10**9})

    return run


def loop(task: TowersOfHanoi, written: dict[str, AIMessage]) -> Callable[[], None]:
    """No graph at all: a plain asyncio loop."""

    async def sample(prompt: str) -> AIMessage:
        return written[prompt]

    async def solve() -> None:
        state = task.initial_state()
        while not task.is_done(state):
            prompt = task.prompt(state)[-1].text
            ballot = Ballot(3)
            for response in await asyncio.gather(*(sample(prompt) for _ in range(3))):
                ballot.cast(task.parse(response.text))
            state = task.advance(state, ballot.winner)

    return lambda: asyncio.run(solve())


def main() -> None:
    """Measure and print."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    options.add_argument("--disks", type=int, default=10)
    options.add_argument("--repeats", type=int, default=9)
    given = options.parse_args()
    task = TowersOfHanoi(given.disks)
    steps, written = 2**given.disks - 1, written_down(task)
    programs = {
        "maker": maker(task, written, in_place=True),
        "maker, background loop": maker(task, written, in_place=False),
        "bare graph": bare(steps),
        "asyncio loop": loop(task, written),
    }
    times: dict[str, list[float]] = {name: [] for name in programs}
    for repeat in range(given.repeats + 1):
        for name, program in programs.items():
            began = time.perf_counter()
            program()
            if repeat:  # the first is a warm-up
                times[name].append((time.perf_counter() - began) / steps * 1e6)
    print(f"{steps:,} steps, one lane, k = 3, instant sampler; Python {platform.python_version()}")
    for name, taken in times.items():
        ratio = median(theirs / ours for theirs, ours in zip(taken, times["bare graph"], strict=True))
        print(f"{name:>22}: {median(taken):6.0f} µs a step (min {min(taken):.0f}), {ratio:.2f} times the bare graph")


if __name__ == "__main__":
    main()
