"""Answers stand whatever is said of their tokens, and each choice of a response has an ending of its own."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from langchain_anthropic import ChatAnthropic
from langchain_deepseek import ChatDeepSeek
from langchain_groq import ChatGroq
from langchain_ollama import ChatOllama
from langchain_openai import ChatOpenAI
from wire import KEY, anthropic_says, ollama_says, openai_says, served, vote

from langgraph_maker.models import prices
from langgraph_maker.models.short_call import SWITCH


def _responses(_: dict[str, Any]) -> dict[str, Any]:
    text = {"type": "output_text", "text": "7", "annotations": []}
    said = {"type": "message", "id": "i", "role": "assistant", "status": "completed", "content": [text]}
    return {"id": "r", "object": "response", "created_at": 1, "model": "m", "status": "completed", "output": [said]}


def _openai(url: str, **options: Any) -> ChatOpenAI:
    return ChatOpenAI(model="m", base_url=f"{url}/v1", api_key=KEY, **options)  # type: ignore[arg-type]


CLIENTS: dict[str, tuple[Callable[[str], Any], Callable[..., Any]]] = {
    "openai": (_openai, openai_says),
    "openai, responses": (lambda url: _openai(url, use_responses_api=True), _responses),
    "deepseek": (lambda url: ChatDeepSeek(model="m", api_base=f"{url}/v1", api_key=KEY), openai_says),  # type: ignore[call-arg,arg-type]
    "groq": (lambda url: ChatGroq(model="m", base_url=url, api_key=KEY), openai_says),  # type: ignore[arg-type]
    "anthropic": (lambda url: ChatAnthropic(model="m", base_url=url, api_key=KEY), anthropic_says),  # type: ignore[call-arg,arg-type]
}
ODD: dict[str, Any] = {
    "a text": "12 tokens",
    "a list": [5, 1],
    "a number": 6,
    "texts": {"prompt_tokens": "5", "completion_tokens": "1", "input_tokens": "5", "output_tokens": "1"},
    "negative": {"prompt_tokens": -5, "completion_tokens": 1, "input_tokens": -5, "output_tokens": 1},
    "objects": {"prompt_tokens": {"a": 1}, "completion_tokens": 1, "input_tokens": {"a": 1}, "output_tokens": 1},
}
KNOWN = {"prompt_tokens": 5, "completion_tokens": 1, "total_tokens": 6, "input_tokens": 5, "output_tokens": 1}
DETAILS: dict[str, Any] = {
    "a text": {"prompt_tokens_details": "?", "input_tokens_details": "?", "cache_read_input_tokens": "?"},
    "a list": {"completion_tokens_details": [1], "output_tokens_details": [1], "cache_creation": [1]},
    "texts in it": {"prompt_tokens_details": {"cached_tokens": "2"}, "input_tokens_details": {"cached_tokens": "2"}},
}


def _with_usage(says: Callable[..., Any], usage: Any) -> Any:
    return lambda _, body: (200, says(body) | {"usage": usage})


@pytest.mark.parametrize("short", [True, False])
@pytest.mark.parametrize("name", CLIENTS)
def test_the_answer_stands_and_its_usage_is_not_known(name: str, short: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SWITCH, str(int(short)))
    make, says = CLIENTS[name]
    for odd in ODD.values():
        with served(_with_usage(says, odd)) as (url, _):
            decision = vote(make(url), price=prices.Price(1, 2), k=2)
        assert (decision["vote"], decision["flags"], decision["usage"]["cost"]) == (7, {}, None), odd


@pytest.mark.parametrize("name", CLIENTS)
def test_details_that_cannot_be_read_leave_the_counts(name: str) -> None:
    make, says = CLIENTS[name]
    odd = [KNOWN | one for one in DETAILS.values()]
    with served(lambda before, body: (200, says(body) | {"usage": odd[before % len(odd)], "n": 1})) as (url, calls):
        decision = vote(make(url), k=4)
    assert (decision["vote"], decision["flags"]) == (7, {})
    assert decision["usage"]["input_tokens"] == 5 * len(calls)


def test_counts_of_ollama() -> None:
    odd: Iterator[Any] = iter(["many", [1], -1, {}, 1e308, None, 5])

    def script(_: int, body: dict[str, Any]) -> tuple[int, Any]:
        said = json.loads(ollama_says(body))
        return 200, json.dumps(said | {"prompt_eval_count": next(odd, 5)}).encode() + b"\n"

    with served(script) as (url, _):
        model = ChatOllama(model="m", base_url=url)
        decision = vote(model, k=9)
        session: Any = model._client
        session.close()  # its own session for threads, which nothing else closes
    assert (decision["vote"], decision["flags"]) == (7, {})


def test_it_is_said_once_a_model(caplog: pytest.LogCaptureFixture) -> None:
    prices.say_unreadable.cache_clear()
    with (
        caplog.at_level(logging.WARNING),
        served(lambda _, body: (200, openai_says(body) | {"usage": "?"})) as (url, _),
    ):
        vote(_openai(url))
    [said] = [record.getMessage() for record in caplog.records if "token counts" in record.getMessage()]
    assert said.startswith("m reports token counts that cannot be read")


@pytest.mark.parametrize("short", [True, False])
@pytest.mark.parametrize("make", [_openai, CLIENTS["deepseek"][0]])
def test_a_choice_without_an_ending_has_not_that_of_the_choice_before_it(
    make: Any, short: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(SWITCH, str(int(short)))

    def script(_: int, body: dict[str, Any]) -> tuple[int, Any]:
        said = openai_says(body)
        for choice in said["choices"][1:]:
            choice |= {"finish_reason": None, "message": choice["message"] | {"content": "1"}}
        return 200, said

    with served(script) as (url, calls):
        decision = vote(make(url), k=3)
    assert any(body.get("n", 1) > 1 for body in calls)
    assert (decision["vote"], decision["last_flag"]) == (7, "truncated: no finish reason")


@pytest.mark.parametrize("short", [True, False])
@pytest.mark.parametrize("call", [{}, None])
def test_an_empty_call_beside_an_answer_is_none(call: Any, short: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SWITCH, str(int(short)))
    with served(lambda _, body: (200, openai_says(body, function_call=call, tool_calls=call and []))) as (url, _):
        decision = vote(_openai(url))
    assert (decision["vote"], decision["flags"]) == (7, {})
