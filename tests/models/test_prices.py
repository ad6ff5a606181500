"""Prices: by service tier, cached input included, from a list that says how old it is, or a file."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import AIMessage

from langgraph_maker.core.state import total_usage
from langgraph_maker.models import price_list, prices
from langgraph_maker.models.prices import Price, usage_of

MILLION = 1_000_000


def response(tier: str | None = None, *, model: str = "o3", **details: Any) -> AIMessage:
    """Return a response of a million input tokens, of them a half cached, and a tenth of a million output tokens."""
    cached = {f"{tier}_cache_read" if tier in {"flex", "priority"} else "cache_read": MILLION // 2}
    usage: Any = {"input_tokens": MILLION, "output_tokens": MILLION // 10, "total_tokens": 11 * MILLION // 10}
    metadata = {"model_name": model} | ({"service_tier": tier} if tier else {})
    return AIMessage("4", usage_metadata=usage | {"input_token_details": cached} | details, response_metadata=metadata)


@pytest.mark.parametrize(
    ("tier", "dollars"),
    [
        (None, 0.5 * 2 + 0.5 * 0.5 + 0.1 * 8),
        ("default", 0.5 * 2 + 0.5 * 0.5 + 0.1 * 8),
        ("flex", 0.5 * 1 + 0.5 * 0.25 + 0.1 * 4),
        ("batch", 0.5 * 1 + 0.5 * 0.5 + 0.1 * 4),
        ("priority", 0.5 * 3.5 + 0.5 * 0.875 + 0.1 * 14),
    ],
)
def test_a_response_costs_what_its_tier_does_cached_input_included(tier: str | None, dollars: float) -> None:
    usage = usage_of(response(tier))
    assert usage["cached_input_tokens"] == MILLION // 2
    assert usage["cost"] == pytest.approx(dollars)
    assert usage.get("tiers", {}) == ({tier: 1} if tier not in {None, "default"} else {})


def test_a_price_given_is_of_the_standard_tier_and_halved_for_flex_and_batches() -> None:
    given = Price(2, 8, 0.5)
    standard, flex, batch = (usage_of(response(tier), given)["cost"] for tier in (None, "flex", "batch"))
    assert standard is not None
    assert flex == batch == standard / 2
    assert usage_of(response("priority"), given)["cost"] is None  # what it costs is not known, and no less is said
    assert usage_of(response("priority"), Price(2, 8, tiers={"priority": Price(4, 16)}))["cost"] == 4 + 1.6


def test_a_tier_that_a_model_has_not_costs_the_standard_price() -> None:
    assert prices.of("gpt-4.1-mini", "flex") == Price(0.4, 1.6, 0.1)
    assert prices.of("gpt-4.1-mini", "turbo") is None


def test_what_was_reasoned_is_output_wherever_it_is_counted() -> None:
    usage = usage_of(response(total_tokens=13 * MILLION // 10))
    assert usage["output_tokens"] == 3 * MILLION // 10


def test_usage_says_which_tiers_served_it() -> None:
    total = total_usage(map(usage_of, [response("flex"), response("flex"), response(), response("batch")]))
    assert total["tiers"] == {"flex": 2, "batch": 1}


def test_open_models_cost_what_their_host_says_so_that_none_is_listed() -> None:
    assert prices.of("gpt-oss-20b") is None
    assert prices.of("sim:gpt-oss-20b") == Price(0.05, 0.2)


def test_long_prompts_cost_what_they_do() -> None:
    short, long = prices.of("gemini-2.5-pro"), prices.of("gemini-2.5-pro", input_tokens=300_000)
    assert short is not None
    assert long is not None
    assert long.input == 2 * short.input


def test_a_file_replaces_the_list(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "prices.json"
    own = {"input": 1, "output": 2, "batch": {"input": 0.3, "output": 0.6}}
    path.write_text(json.dumps({"as_of": "2026-01-31", "models": {"Mine": own}}))
    monkeypatch.setenv(price_list.FILE, str(path))
    assert prices.of("openai:mine") == Price(1, 2, tiers={"batch": Price(0.3, 0.6)})
    assert prices.of("ChatOpenAI mine", "batch") == Price(0.3, 0.6)
    assert prices.of("mine-2026-01-14") == prices.of("mine-20260114") == prices.of("anthropic:Mine")
    assert prices.of("o3") is not None
    assert prices.dated(date(2026, 7, 1)) == f"by the price list {path}, of 2026-01"
    assert prices.dated(date(2026, 8, 1)).endswith("7 months old: give your own price where it differs")


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "prices.json"
    path.write_text('{"models": []}')
    monkeypatch.setenv(price_list.FILE, str(path))
    with pytest.raises(ValueError, match="LANGGRAPH_MAKER_PRICES"):
        prices.of("o3")


def test_the_list_is_recent() -> None:
    name, as_of = price_list.origin()
    assert name.startswith("genai-prices")
    assert as_of >= date(2026, 10, 1)
