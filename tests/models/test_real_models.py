"""Real `ChatOpenAI` over real HTTP, on loopback: n, usage, money, faults, keys. The model behind it is simulated."""

from __future__ import annotations

import asyncio
import json
import logging
import threading
import traceback
from pathlib import Path
from typing import Any

import pytest
from langchain_core.caches import InMemoryCache
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.globals import set_llm_cache
from langchain_core.messages import AIMessage, HumanMessage
from langchain_openai import ChatOpenAI
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, StateGraph
from langgraph.store.memory import InMemoryStore
from typing_extensions import TypedDict

from langgraph_maker import asolve, create_maker, create_voting_node, journal, solve
from langgraph_maker.core.errors import SamplingError
from langgraph_maker.core.state import Request
from langgraph_maker.models.chat_sampler import as_sampler
from langgraph_maker.models.event_loop import run_sync
from langgraph_maker.models.prices import Price
from langgraph_maker.simulation.server import SimulatedServer
from langgraph_maker.tasks import TowersOfHanoi

KEY = "sk-revealed-to-nobody"


def chat(url: str, key: str = KEY, **options: Any) -> ChatOpenAI:
    return ChatOpenAI(base_url=url, api_key=key, model="sim", **options)  # type: ignore[arg-type]


def requests(task: TowersOfHanoi, n: int = 3) -> list[Request]:
    messages = task.prompt(task.initial_state())
    return [Request(messages, 0.1 if number else 0.0, "0", number) for number in range(n)]


class TestN:
    """One call for the later votes of a ballot."""

    def test_the_first_vote_and_all_later_ones_are_two_calls(self) -> None:
        task = TowersOfHanoi(3)
        provider = SimulatedServer(task, "sim:error=0.01")
        with provider.running() as url:
            responses = run_sync(as_sampler(chat(url))(requests(task, 5)))
        assert [type(response) for response in responses] == [AIMessage] * 5
        assert (provider.stats.requests, provider.stats.samples, provider.stats.prompt_tokens) == (2, 5, 1200)

    @pytest.mark.parametrize("how", [{"ignores": {"n"}}, {"refuses": {"n"}}])
    def test_a_server_without_n_is_asked_once_and_then_one_by_one(self, how: Any) -> None:
        task = TowersOfHanoi(4)
        provider = SimulatedServer(task, "sim:error=0", **how)
        with provider.running() as url:
            run = solve(task, chat(url))
        assert (run.status, run.samples, provider.stats.samples) == ("solved", 45, 45)
        assert provider.stats.requests == 45 + len(provider.stats.refused)
        assert sum(provider.stats.refused.values()) == len(provider.stats.refused) == ("refuses" in how)

    @pytest.mark.parametrize("n", [True, False])
    @pytest.mark.parametrize("cached", [0, 512])
    def test_usage_is_the_servers_own_count_to_the_token(self, n: bool, cached: int) -> None:
        task = TowersOfHanoi(6)
        provider = SimulatedServer(task, "gpt-4.1-mini", ignores=() if n else {"n"}, cached_tokens=cached)
        with provider.running() as url:
            run = solve(task, chat(url), price=Price(0.4, 1.6, 0.1))
        stats = provider.stats
        assert run.status == "solved"
        assert run.samples == stats.samples
        counted = {"input_tokens": stats.prompt_tokens, "cached_input_tokens": stats.cached_tokens}
        fresh = stats.prompt_tokens - stats.cached_tokens
        cost = (0.4 * fresh + 0.1 * stats.cached_tokens + 1.6 * stats.completion_tokens) / 1e6
        assert run.usage == counted | {"output_tokens": stats.completion_tokens, "cost": pytest.approx(cost)}
        assert (stats.prompt_tokens < 600 * stats.samples) is n

    def test_bindings_keep_n_and_no_call_asks_for_too_many(self) -> None:
        task = TowersOfHanoi(1)
        provider = SimulatedServer(task, "sim:error=0")
        with provider.running() as url:
            assert solve(task, chat(url).bind(stop=["never"]), k=140).samples == 140
        assert (provider.stats.requests, provider.stats.refused) == (3, {})  # 1, 128 and 11 samples

    def test_a_model_that_streams_does_not_stream_samples(self) -> None:
        task = TowersOfHanoi(2)
        with SimulatedServer(task, "sim:error=0").running() as url:
            assert solve(task, chat(url, streaming=True)).status == "solved"

    def test_refused_n_is_learned_by_all_lanes(self) -> None:
        task = TowersOfHanoi(5)
        provider = SimulatedServer(task, "sim:error=0", refuses={"n"}, latency=0.01)
        with provider.running() as url:
            run = solve(task, chat(url), lanes=8)
        assert (run.status, run.samples, provider.stats.samples) == ("solved", 93, 93)

    def test_a_models_own_n_or_seed_has_no_part(self) -> None:
        task = TowersOfHanoi(3)
        provider = SimulatedServer(task, "sim:error=0.4")
        with provider.running() as url:
            run_sync(as_sampler(chat(url, n=5, seed=7))(requests(task, 4)))
        assert provider.stats.samples == 4


class TestSettings:
    @pytest.mark.parametrize("refused", ["temperature", "max_completion_tokens"])
    def test_what_a_model_refuses_is_left_out_for_good(self, refused: str) -> None:
        task = TowersOfHanoi(4)
        provider = SimulatedServer(task, "sim:error=0", refuses={refused})
        with provider.running() as url:
            run = solve(task, chat(url))
        assert (run.status, run.samples) == ("solved", 45)
        assert provider.stats.refused == {"400": 1}

    def test_a_model_that_refuses_three_settings(self) -> None:
        task = TowersOfHanoi(3)
        provider = SimulatedServer(task, "sim:error=0.01", refuses={"temperature", "max_completion_tokens", "n"})
        with provider.running() as url:
            assert solve(task, chat(url)).status == "solved"
        assert provider.stats.refused == {"400": 3}

    def test_answers_beyond_the_limit_are_seen_to_be_so(self) -> None:  # lesson 8: not cut off at the limit itself
        task = TowersOfHanoi(3)
        provider = SimulatedServer(task, "sim:output_tokens=2000")
        with provider.running() as url:
            run = solve(task, chat(url), max_samples_per_step=10)
        assert run.status == "unresolved"
        assert provider.stats.completion_tokens == run.flagged * 850 == run.samples * 850
        assert "token_limit" in run.reason

    def test_a_global_cache_answers_no_vote(self) -> None:
        task = TowersOfHanoi(4)
        provider = SimulatedServer(task, "sim:error=0")
        set_llm_cache(InMemoryCache())
        try:
            with provider.running() as url:
                run = solve(task, chat(url))
        finally:
            set_llm_cache(None)
        assert run.samples == provider.stats.samples == 45


class TestHost:
    """Samples in someone else's graph."""

    def test_no_sample_lands_in_the_hosts_message_stream(self) -> None:
        class Host(TypedDict, total=False):
            state: Any
            answer: Any

        task = TowersOfHanoi(3)
        with SimulatedServer(task, "sim:error=0.01").running() as url:
            node = create_voting_node(
                chat(url),
                read=lambda state: state["state"],
                prompt=task.prompt,
                parse=task.parse,
                write=lambda _, decision: {"answer": decision["vote"]},
            )
            graph = StateGraph(Host).add_node("vote", node).add_edge(START, "vote").compile()
            chunks: Any = list(graph.stream({"state": task.initial_state()}, stream_mode=["messages", "values"]))
        assert [mode for mode, _ in chunks if mode == "messages"] == []
        assert chunks[-1][1]["answer"]["action"] == [1, 0, 2]

    def test_the_tracer_sees_where_each_call_belongs(self) -> None:
        class Seen(BaseCallbackHandler):
            calls: list[tuple[Any, ...]] = []

            def on_chat_model_start(self, serialized: Any, messages: Any, **said: Any) -> None:
                metadata = said["metadata"]
                where = tuple(metadata[name] for name in ("run", "step", "ballot", "round", "sample"))
                self.calls.append((said["name"], "nostream" in said["tags"], *where))

        task = TowersOfHanoi(1)
        with SimulatedServer(task, "sim:error=0").running() as url:
            create_maker(task, chat(url)).compile().invoke({"run_id": "r"}, {"callbacks": [Seen()]})
        assert sorted(Seen.calls) == [("sample", True, "r", "0", "0", 1, number) for number in (0, 1)]


class TestFaults:
    """An API on a bad day."""

    @pytest.mark.slow
    def test_all_faults_at_once_cost_no_sample_and_flag_nothing(self) -> None:
        solved_over_bad_http(disks=6, lanes=16)

    @pytest.mark.slow
    def test_ten_disks_with_all_faults_at_once(self) -> None:
        solved_over_bad_http(disks=10, lanes=64)

    def test_an_outage_in_mid_run(self) -> None:
        over_an_outage(seconds=1.5)

    @pytest.mark.slow
    def test_an_outage_of_twenty_seconds(self) -> None:
        over_an_outage(seconds=20)

    @pytest.mark.parametrize("kind", ["html", "empty", "null", "cut", "truncated", "reset", "502", "503", "timeout"])
    def test_each_kind_alone(self, kind: str) -> None:
        task = TowersOfHanoi(2)
        provider = SimulatedServer(task, "sim:error=0", faults=f"{kind}@2-4")
        with provider.running() as url:
            run = solve(task, chat(url), call_timeout=0.3)
        assert (run.status, run.samples, run.flagged) == ("solved", 9, 0)
        assert provider.stats.faults == {kind: 3}

    def test_a_server_that_answers_no_is_not_one_that_is_not_there(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("langgraph_maker.models.pool._FIRST_ANSWER", 0.3)
        task = TowersOfHanoi(2)
        with SimulatedServer(task, "sim:error=0", faults="reset@1-3,503@4-6,outage@0+1").running() as url:
            assert solve(task, chat(url)).status == "solved"

    def test_retry_after_is_kept(self) -> None:
        task = TowersOfHanoi(1)
        provider = SimulatedServer(task, "sim:error=0", faults="429@2,retry_after=2")
        with provider.running() as url:
            began = threading.Event()
            run = solve(task, chat(url), on_progress=lambda now: began.set() if now.seconds >= 2 else None)
        assert run.status == "solved"
        assert began.is_set()

    def test_one_that_asks_to_wait_too_long_stops_the_run_at_once(self) -> None:
        task = TowersOfHanoi(3)
        store = InMemoryStore()
        provider = SimulatedServer(task, "sim:error=0", faults="429@6-99,retry_after=7200")
        with provider.running() as url:
            run = solve(task, chat(url), store=store, run_id="r")
            assert run.status == "stopped"
            assert "it asks to wait 7,200 s" in run.reason
            provider.faults = type(provider.faults)()
            assert solve(task, chat(url), store=store, run_id="r").samples == provider.stats.samples == 21

    @pytest.mark.parametrize(("kind", "said"), [("404", "does not exist"), ("403", "no access")])
    def test_what_waiting_cannot_mend_ends_at_once_with_the_providers_reason(self, kind: str, said: str) -> None:
        task = TowersOfHanoi(3)
        provider = SimulatedServer(task, "sim:error=0", faults=f"{kind}@1-999")
        with provider.running() as url, pytest.raises(SamplingError, match=f"the model refused: .*{said}"):
            solve(task, chat(url))
        assert provider.stats.requests <= 2

    def test_a_prompt_that_a_filter_refuses_leaves_its_step_unresolved(self) -> None:
        task = TowersOfHanoi(3)
        provider = SimulatedServer(task, "sim:error=0", faults="400@3-999")
        with provider.running() as url:
            run = solve(task, chat(url))
        assert (run.status, run.steps) == ("unresolved", 1)
        assert "content policy" in run.reason
        assert provider.stats.requests < 10

    @pytest.mark.slow
    @pytest.mark.parametrize("most", [None, 2000])
    def test_two_thousand_ballots_in_flight(self, most: int | None) -> None:
        task = TowersOfHanoi(11)
        with SimulatedServer(task, "sim:error=0", latency=0.2).running() as url:
            run = solve(task, chat(url), k=1, lanes=2000, max_concurrency=most)
        assert (run.status, run.steps, run.samples) == ("solved", 2047, 2047)


class TestLoops:
    """HTTP clients belong to an event loop; a model may be used on any number of them."""

    def test_one_model_on_one_loop_after_another(self) -> None:
        task = TowersOfHanoi(3)
        provider = SimulatedServer(task, "sim:error=0")
        with provider.running() as url:
            model = chat(url)
            runs = [asyncio.run(asolve(task, model, lanes=4)) for _ in range(3)]
            runs += [solve(task, model, lanes=4), asyncio.run(asolve(task, model)), solve(task, model)]
        assert [run.status for run in runs] == ["solved"] * 6
        assert provider.stats.samples == 6 * 21

    async def test_inside_a_running_loop_beside_another(self) -> None:
        task = TowersOfHanoi(2)
        with SimulatedServer(task, "sim:error=0").running() as url:
            model = chat(url)
            assert (await asolve(task, model)).status == "solved"
            assert solve(task, model).status == "solved"
            assert (await asolve(task, model)).status == "solved"


def solved_over_bad_http(disks: int, lanes: int) -> None:
    task = TowersOfHanoi(disks)
    rates = "429=0.1,retry_after=0.1,500=0.05,reset=0.03,truncated=0.03,timeout=0.02"
    provider = SimulatedServer(task, "sim:error=0.01,flag=0.02", faults=rates, seed=disks)
    with provider.running() as url:
        run = solve(task, chat(url), k=4, lanes=lanes, call_timeout=2 if disks < 10 else 10)
    assert run.status == "solved"
    assert list(run.actions()) == list(solve(task, "sim:error=0").actions())
    assert set(provider.stats.faults) == {"429", "500", "reset", "truncated", "timeout"}
    assert run.samples == provider.stats.samples
    assert run.usage["output_tokens"] == provider.stats.completion_tokens
    flags = {reason for entry in journal.read(vars(run)["store"], run.run_id) for reason in entry["flags"]}
    assert flags <= {"no_move", "bad_state", "no_state", "bad_move", "token_limit", "truncated"}


def over_an_outage(seconds: float) -> None:
    task = TowersOfHanoi(6)
    provider = SimulatedServer(task, "sim:error=0", faults=f"outage@0.3+{seconds}")
    with provider.running() as url:
        run = solve(task, chat(url), lanes=4)
    assert (run.status, run.samples) == ("solved", 189)
    assert provider.stats.samples == 189
    assert 1 <= sum(provider.stats.faults.values()) <= 8 * (8 + seconds)  # pauses grow: it never spins


class TestKeys:
    """A key revoked in mid-run, and a key that shows nowhere."""

    def test_revoked_and_gone_on_with_a_new_one(self, caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
        class Tracer(BaseCallbackHandler):
            errors: list[str] = []

            def on_llm_error(self, error: BaseException, **said: Any) -> None:
                self.errors.append("".join(traceback.format_exception(error)) + repr(vars(error)) + repr(said))

        caplog.set_level(logging.DEBUG, "langgraph_maker")
        task, store, saver = TowersOfHanoi(5), InMemoryStore(), InMemorySaver()
        provider = SimulatedServer(task, "sim:error=0", keys={KEY})

        def revoke(now: Any) -> None:
            if now.steps == 10:
                provider.keys = {"sk-another-one"}

        with provider.running() as url:
            model = chat(url, callbacks=[Tracer()])
            run = solve(task, model, store=store, checkpointer=saver, run_id="r", on_progress=revoke)
            assert (run.status, run.steps) == ("stopped", 10)
            assert "Incorrect API key provided: [key]" in run.reason
            with pytest.raises(SamplingError, match=r"Incorrect API key provided: \[key\]") as caught:
                solve(task, model, store=store, checkpointer=saver, run_id="r")
            again = solve(task, chat(url, "sk-another-one"), store=store, checkpointer=saver, run_id="r")
        assert (again.status, again.samples, provider.stats.samples) == ("solved", 93, 93)
        error = caught.value
        shown = [
            *Tracer.errors,
            "".join(traceback.format_exception(error)),
            caplog.text,
            repr(store._data),
            repr(saver.storage) + repr(saver.writes) + repr(saver.blobs),
            json.dumps(run.reason),
        ]
        assert len(Tracer.errors) >= 2
        assert not [text for text in shown if KEY in text or "sk-another-one" in text]


class TestLimits:
    def test_a_run_stops_at_its_cost_and_goes_on(self) -> None:
        task, store = TowersOfHanoi(5), InMemoryStore()
        model = "sim:gpt-4.1-mini"
        run = solve(task, model, store=store, run_id="r", price=Price(0, 10_000), max_cost=100)  # a cent a token
        assert run.status == "stopped"
        assert run.usage["cost"] == pytest.approx(run.usage["output_tokens"] / 100)
        assert 100 <= run.usage["output_tokens"] / 100 <= 100 + 3 * 10
        assert "were spent, and the limit is $100.00" in run.reason
        assert solve(task, model, store=store, run_id="r").status == "solved"

    @pytest.mark.parametrize("lanes", [1, 8])
    def test_a_run_stops_at_its_samples_with_what_was_in_flight_counted(self, lanes: int) -> None:
        task, store = TowersOfHanoi(5), InMemoryStore()
        provider = SimulatedServer(task, "sim:error=0", latency=0.02)
        with provider.running() as url:
            run = solve(task, chat(url), store=store, run_id="r", lanes=lanes, max_total_samples=30)
            assert run.status == "stopped"
            assert 30 <= run.samples == provider.stats.samples <= 30 + 3 * lanes
            assert solve(task, chat(url), store=store, run_id="r", lanes=lanes).samples == 93

    @pytest.mark.parametrize("value", [0, -1, "soon", True])
    def test_deadlines_that_are_none(self, value: Any) -> None:
        with pytest.raises(ValueError, match="deadline is a number of seconds above 0"):
            solve(TowersOfHanoi(2), "sim:error=0", deadline=value)

    async def test_a_deadline_stops_an_outage_too(self) -> None:
        task, store = TowersOfHanoi(3), InMemoryStore()
        provider = SimulatedServer(task, "sim:error=0", faults="503@8-9999")
        with provider.running() as url:
            run = await asolve(task, chat(url), store=store, run_id="r", deadline=1)
            assert (run.status, run.samples) == ("stopped", provider.stats.samples)
            assert "the deadline of 1 s has passed" in run.reason


@pytest.fixture(autouse=True)
def alone_and_in_haste(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.setattr("langgraph_maker.models.retry._FIRST_PAUSE", 0.05)


def test_facts_about_n_that_the_sampler_rests_on() -> None:  # a change here is a change of langchain-openai
    task = TowersOfHanoi(2)
    prompt = task.prompt(task.initial_state())
    with SimulatedServer(task, "sim:error=0").running() as url:
        model = chat(url, temperature=0.5)
        result = model.generate([prompt], n=4)
        assert len(result.generations[0]) == 4
        usages = [generation.message.usage_metadata for generation in result.generations[0]]  # type: ignore[union-attr]
        assert result.llm_output is not None
        total = result.llm_output["token_usage"]["completion_tokens"]
        assert [usage["output_tokens"] for usage in usages] == [total] * 4  # each repeats the total
        assert isinstance(model.invoke([HumanMessage(prompt[-1].text), *prompt][1:], n=4), AIMessage)
        assert not hasattr(model.with_retry(), "agenerate") or not callable(getattr(model.with_retry(), "n", None))
