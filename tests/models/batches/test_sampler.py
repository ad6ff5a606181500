"""Votes by batches: what is asked for at one time is one batch, at every fault each answer is bought once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from langchain_core.language_models import FakeListChatModel
from langchain_openai import ChatOpenAI
from langgraph.store.memory import InMemoryStore
from pydantic import SecretStr

from langgraph_maker import create_voting_graph, solve
from langgraph_maker.core.errors import SamplingError
from langgraph_maker.models.batches import BatchLimits, BatchSampler
from langgraph_maker.models.chat_sampler import as_sampler
from langgraph_maker.simulation.server import SimulatedServer
from langgraph_maker.tasks import TowersOfHanoi

TASK = TowersOfHanoi(4)
QUICK = BatchLimits(delay=0.1, poll=0.02, grace=0.1)


@contextmanager
def serving(**options: Any) -> Iterator[tuple[SimulatedServer, str]]:
    server = SimulatedServer(TASK, "sim:gpt-4.1-mini", **options)
    with server.running() as url:
        yield server, url


def chat(url: str, **options: Any) -> ChatOpenAI:
    return ChatOpenAI(model="gpt-4.1-mini", base_url=url, api_key=SecretStr("any"), **options)


def answered(server: SimulatedServer) -> Counter[str]:
    """Return how often each request was answered, in whatever batch."""
    import orjson

    rows = [
        orjson.loads(row)
        for name, content, _ in server.batches.files.values()
        for row in content.splitlines()
        if "output" in name
    ]
    return Counter(row["custom_id"] for row in rows if row["response"] and row["response"]["status_code"] == 200)


def used(usage: Any) -> tuple[int, int]:
    return usage["input_tokens"], usage["output_tokens"]


def test_a_run_is_solved_by_few_batches_and_its_usage_is_the_servers_own() -> None:
    with serving() as (server, url):
        run = solve(TASK, BatchSampler(chat(url), limits=QUICK), lanes=8)
    counted = server.stats
    assert (run.status, run.steps) == ("solved", 15)
    assert used(run.usage) == (counted.prompt_tokens, counted.completion_tokens)
    assert counted.requests == 0  # no call was made by itself
    assert 2 <= len(server.batches.jobs) <= 12
    assert sum(len(job.lines) for job in server.batches.jobs.values()) == run.samples


@pytest.mark.parametrize("fault", ["expired", "failed", "lost", "half", "errors", "unanswered"])
def test_whatever_becomes_of_a_batch_each_answer_is_bought_once(fault: str) -> None:
    with serving(batch_faults=f"{fault}@1") as (server, url):
        run = solve(TASK, BatchSampler(chat(url), limits=QUICK), lanes=8)
    assert run.status == "solved"
    assert used(run.usage) == (server.stats.prompt_tokens, server.stats.completion_tokens)
    assert set(answered(server).values()) == {1}
    assert run.samples == server.stats.samples


def test_more_tokens_than_may_be_enqueued_wait_for_their_turn() -> None:
    with serving(enqueued_tokens=6_000) as (server, url):
        run = solve(TASK, BatchSampler(chat(url), limits=QUICK), lanes=8)
    jobs = [*server.batches.jobs.values()]
    assert run.status == "solved"
    assert sum(job.status == "failed" for job in jobs) == 1  # what is allowed is learned from the first refusal
    assert max(len(job.lines) for job in jobs) <= 10
    assert set(answered(server).values()) == {1}


def test_a_request_that_is_more_than_may_be_enqueued_ends_the_run_with_the_reason() -> None:
    refused = pytest.raises(SamplingError, match="Enqueued token limit reached")
    with serving(enqueued_tokens=20) as (server, url), refused:
        solve(TASK, BatchSampler(chat(url), limits=QUICK), lanes=8)
    assert len(server.batches.jobs) <= 1 + 2 * 24  # together, each by itself, and once without our settings


@pytest.mark.parametrize("on_stop", ["leave", "cancel"])
def test_a_stop_while_requests_wait_for_room_is_a_stop(on_stop: Any) -> None:
    store = InMemoryStore()
    with serving(enqueued_tokens=6_000) as (server, url):
        begun = lambda: len(server.batches.jobs) > 1  # noqa: E731
        server.batches.progress = 0.5
        limits = BatchLimits(delay=0.1, poll=0.02, grace=0.1, enqueued_tokens=4_000)
        sampler = BatchSampler(chat(url), limits=limits, on_stop=on_stop)
        stopped = solve(TASK, sampler, lanes=8, store=store, run_id="it", stop=begun, deadline=1.0)
        assert stopped.status == "stopped"
        server.batches.progress = None
        run = solve(TASK, BatchSampler(chat(url), limits=QUICK), lanes=8, store=store, run_id="it")
    assert run.status == "solved"
    assert set(answered(server).values()) == {1}


def test_batches_are_within_the_limits_given() -> None:
    limits = BatchLimits(delay=1.0, poll=0.02, requests=5)
    with serving() as (server, url):
        graph = create_voting_graph(
            BatchSampler(chat(url), limits=limits), prompt=TASK.prompt, parse=TASK.parse, k=2
        ).compile()
        state = TASK.initial_state()
        decided = graph.invoke({"subtasks": [{"id": str(item), "state": state} for item in range(7)]})["decisions"]
    assert [one["status"] for one in decided] == ["decided"] * 7
    assert [len(job.lines) for job in server.batches.jobs.values()][:3] == [5, 5, 4]


def test_a_setting_that_is_refused_is_left_out_and_nothing_is_lost() -> None:
    with serving(refuses={"temperature"}) as (server, url):
        sampler = BatchSampler(chat(url), limits=QUICK)
        run = solve(TASK, sampler, lanes=8)
    assert run.status == "solved"
    assert sampler.left_out == ["ChatOpenAI gpt-4.1-mini: temperature"]
    assert used(run.usage) == (server.stats.prompt_tokens, server.stats.completion_tokens)


def test_a_request_that_is_asked_again_by_a_resumed_run_is_answered_by_the_batch_that_it_is_in() -> None:
    store = InMemoryStore()
    with serving() as (server, url):
        begun = lambda: bool(server.batches.jobs)  # noqa: E731
        server.batches.progress = 0.0
        first = solve(TASK, BatchSampler(chat(url), limits=QUICK), lanes=8, store=store, run_id="it", stop=begun)
        assert first.status == "stopped"
        assert server.stats.samples == 0
        server.batches.progress = None
        run = solve(TASK, BatchSampler(chat(url), limits=QUICK), lanes=8, store=store, run_id="it")
    assert run.status == "solved"
    assert set(answered(server).values()) == {1}
    assert len({line.custom_id for job in server.batches.jobs.values() for line in job.lines}) == run.samples
    assert used(run.usage) == (server.stats.prompt_tokens, server.stats.completion_tokens)


def test_a_stop_may_cancel_batches_and_what_they_did_is_counted() -> None:
    store = InMemoryStore()
    with serving() as (server, url):
        begun = lambda: bool(server.batches.jobs)  # noqa: E731
        server.batches.progress = 0.5
        sampler = BatchSampler(chat(url), limits=QUICK, on_stop="cancel")
        stopped = solve(TASK, sampler, lanes=8, store=store, run_id="it", stop=begun)
        assert stopped.status == "stopped"
        assert [job.status for job in server.batches.jobs.values()] == ["cancelled"]
        assert stopped.samples == server.stats.samples == 12
        assert used(stopped.usage) == (server.stats.prompt_tokens, server.stats.completion_tokens)
        server.batches.progress = None
        run = solve(TASK, sampler, lanes=8, store=store, run_id="it")
    assert run.status == "solved"
    assert set(answered(server).values()) == {1}
    assert used(run.usage) == (server.stats.prompt_tokens, server.stats.completion_tokens)


def test_requests_of_another_account_go_by_its_own_key() -> None:
    with serving(keys={"good"}) as (server, url):
        refused = ChatOpenAI(model="gpt-4.1-mini", base_url=url, api_key=SecretStr("bad"))
        model = refused.with_fallbacks([ChatOpenAI(model="gpt-4.1-mini", base_url=url, api_key=SecretStr("good"))])
        run = solve(TASK, BatchSampler(model, limits=QUICK), lanes=8)
    assert (run.status, server.stats.samples) == ("solved", run.samples)


def test_a_name_stands_for_a_model_asked_by_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "any")
    sampler = as_sampler("openai-batch:gpt-4.1-mini", max_tokens=850)
    assert isinstance(sampler, BatchSampler)
    with pytest.raises(TypeError, match="FakeListChatModel has no batches"):
        BatchSampler(FakeListChatModel(responses=["4"]))
    with pytest.raises(ValueError, match="on_stop is 'leave' or 'cancel'"):
        BatchSampler("gpt-4.1-mini", on_stop="wait")  # type: ignore[arg-type]
