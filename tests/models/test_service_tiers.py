"""Service tiers: asked for by name, priced as served; refusals wait, or fall back where that is allowed."""

from __future__ import annotations

import pytest
from langchain_openai import ChatOpenAI
from pydantic import SecretStr

from langgraph_maker import solve
from langgraph_maker.models.chat_sampler import as_sampler
from langgraph_maker.models.failures import failure
from langgraph_maker.models.pool import Pool
from langgraph_maker.simulation.server import SimulatedServer
from langgraph_maker.tasks import TowersOfHanoi

TASK = TowersOfHanoi(4)


def chat(url: str, model: str = "gpt-5-mini", tier: str | None = None) -> ChatOpenAI:
    return ChatOpenAI(model=model, base_url=url, api_key=SecretStr("any"), service_tier=tier)


def test_a_flex_run_whose_server_refuses_a_fifth_of_the_calls_is_solved_at_half_the_price() -> None:
    server = SimulatedServer(TASK, "sim:gpt-4.1-mini", faults="unavailable=0.2,retry_after=0.01")
    with server.running() as url:
        run = solve(TASK, chat(url), lanes=8, service_tier="flex")
    counted = server.stats
    assert run.status == "solved"
    assert counted.faults["unavailable"] > 0
    assert (run.usage["input_tokens"], run.usage["output_tokens"]) == (counted.prompt_tokens, counted.completion_tokens)
    assert run.usage["tiers"] == {"flex": run.samples}
    assert run.usage["cost"] == pytest.approx((counted.prompt_tokens * 0.125 + counted.completion_tokens) / 1e6)


def test_what_flex_has_no_room_for_may_be_asked_at_the_default_tier_and_costs_so() -> None:
    server = SimulatedServer(TASK, "sim:gpt-4.1-mini", faults="unavailable=0.5,retry_after=60")
    with server.running() as url:
        run = solve(TASK, chat(url), lanes=8, service_tier="flex-or-default")
    assert run.status == "solved"
    flex = run.usage["tiers"]["flex"]
    assert 0 < flex < run.samples
    listed = (server.stats.prompt_tokens * 0.25 + server.stats.completion_tokens * 2) / 1e6
    assert run.usage["cost"] is not None
    assert listed / 2 < run.usage["cost"] < listed


def test_the_models_own_tier_is_known_and_calls_have_more_time() -> None:
    sampler = as_sampler(chat("http://127.0.0.1:9/v1", tier="flex"))
    assert Pool(sampler).call_timeout == 900
    assert Pool(sampler, call_timeout=5).call_timeout == 5
    assert Pool(as_sampler(chat("http://127.0.0.1:9/v1"))).call_timeout == 600


def test_max_cost_needs_the_price_at_the_tier(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "any")
    with pytest.raises(ValueError, match="at the service tier 'priority'"):
        solve(TASK, "openai:gpt-4.1-nano-x", max_cost=1, service_tier="priority")


def test_a_tier_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="service_tier is one of default, flex, flex-or-default"):
        solve(TASK, chat("http://127.0.0.1:9/v1"), service_tier="cheap")
    with pytest.raises(ValueError, match="'sim:gpt-4.1-mini' has no service tiers"):
        solve(TASK, "sim:gpt-4.1-mini", service_tier="flex")


def test_no_room_is_transient() -> None:
    assert failure(ValueError({"message": "Resource unavailable", "code": 429})).kind == "transient"
