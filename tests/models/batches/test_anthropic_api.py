"""Votes by Anthropic's message batches: each answer is bought once, whatever becomes of a batch."""

from __future__ import annotations

from typing import Any

import pytest
from anthropic_batches import AnthropicBatchServer
from langchain_anthropic import ChatAnthropic
from langchain_core.messages import BaseMessage, HumanMessage
from langgraph.store.memory import InMemoryStore
from wire import KEY, anthropic_says

from langgraph_maker import solve
from langgraph_maker.core.task import Segment, Task, Vote
from langgraph_maker.models.batches import BatchLimits, BatchSampler
from langgraph_maker.models.prices import Price

QUICK = BatchLimits(delay=0.1, poll=0.02, grace=0.1)


class Count(Task):
    """Counts to ten, one step each, and is a lane a step."""

    name = "count"
    steps = 10

    def initial_state(self) -> int:
        return 0

    def prompt(self, state: int) -> list[BaseMessage]:
        return [HumanMessage(f"{state} + 1?")]

    def parse(self, text: str) -> Vote:
        return {"action": "+1", "next_state": int(text)}

    def advance(self, _: int, vote: Vote) -> int:
        return int(vote["next_state"])

    def is_done(self, state: int) -> bool:
        return state == 10

    def segments(self, lanes: int) -> list[Segment]:
        return [Segment(step=step, end=step + 1, state=step) for step in range(lanes)]


def answer(params: dict[str, Any]) -> dict[str, Any]:
    content = params["messages"][-1]["content"]
    text = content if isinstance(content, str) else content[0]["text"]
    said = anthropic_says(params)
    said["content"][0]["text"] = str(int(text.split()[0]) + 1)
    return said


def sampler(url: str, **options: Any) -> BatchSampler:
    return BatchSampler(ChatAnthropic(model="claude-x", base_url=url, api_key=KEY), limits=QUICK, **options)  # type: ignore[call-arg,arg-type]


@pytest.mark.parametrize("fault", ["", "errored", "expired", "canceled", "lost", "unanswered"])
def test_whatever_becomes_of_a_batch_each_answer_is_bought_once(fault: str) -> None:
    server = AnthropicBatchServer(answer, {1: fault})
    with server.running() as url:
        run = solve(Count(), sampler(url), k=2, lanes=10, price=Price(2.0, 10.0), store=InMemoryStore(), run_id="it")
    assert (run.status, run.final_state, server.calls) == ("solved", 10, 0)
    assert run.samples == 20 == sum(server.bought.values()) == len(server.bought)
    assert run.usage["cost"] == pytest.approx(20 * (5 * 2 + 10) / 1e6 / 2)
    assert len(server.batches) == (1 if fault in {"", "unanswered"} else 2)


def test_a_resumed_run_finds_its_batch() -> None:
    store, server = InMemoryStore(), AnthropicBatchServer(answer, {1: "running"})
    with server.running() as url:
        begun = lambda: bool(server.batches)  # noqa: E731
        first = solve(Count(), sampler(url), k=2, lanes=10, store=store, run_id="it", stop=begun)
        assert first.status == "stopped"
        server.faults.clear()
        run = solve(Count(), sampler(url), k=2, lanes=10, store=store, run_id="it")
    assert (run.status, run.samples, len(server.batches)) == ("solved", 20, 1)
