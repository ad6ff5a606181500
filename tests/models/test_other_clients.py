"""Votes of the real clients that the extra `clients` brings, over loopback."""

from __future__ import annotations

import asyncio
import gc
import json
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from pydantic import BaseModel
from wire import KEY, bedrock_says, cohere_says, gemini_says, openai_says, openai_streams, served, vote

from langgraph_maker import create_voting_node
from langgraph_maker.core.errors import SamplingError

pytestmark = [
    pytest.mark.clients,
    pytest.mark.filterwarnings("ignore"),  # of the clients, over themselves and over what is garbled on purpose
]


def gemini(url: str) -> Any:
    from langchain_google_genai import ChatGoogleGenerativeAI

    return ChatGoogleGenerativeAI(model="gemini-3-flash-preview", google_api_key=KEY, base_url=url)


def bedrock(url: str) -> Any:
    from langchain_aws import ChatBedrockConverse

    return ChatBedrockConverse(
        model="anthropic.m",
        provider="anthropic",
        region_name="us-east-1",
        endpoint_url=url,
        aws_access_key_id="nobody",
        aws_secret_access_key=KEY,
        max_retries=0,
    )


def mistral(url: str) -> Any:
    from langchain_mistralai import ChatMistralAI

    return ChatMistralAI(model="m", endpoint=f"{url}/v1", api_key=KEY)


def cohere(url: str) -> Any:
    from langchain_cohere import ChatCohere

    return ChatCohere(model="m", base_url=url, cohere_api_key=KEY)


def fireworks(url: str) -> Any:
    from langchain_fireworks import ChatFireworks

    return ChatFireworks(model="m", base_url=f"{url}/v1", api_key=KEY)


def together(url: str) -> Any:
    from langchain_together import ChatTogether

    return ChatTogether(model="m", base_url=f"{url}/v1", api_key=KEY)


def xai(url: str) -> Any:
    from langchain_xai import ChatXAI

    return ChatXAI(model="m", xai_api_base=f"{url}/v1", api_key=KEY)


def openrouter(url: str) -> Any:
    from langchain_openrouter import ChatOpenRouter

    return ChatOpenRouter(model="m", base_url=f"{url}/v1", api_key=KEY)


def openrouter_says(body: dict[str, Any], finish: Any = "stop") -> dict[str, Any]:
    return openai_says(body, finish) | {"system_fingerprint": None}


def message(status: int, said: str) -> dict[str, Any]:
    return {"message": said}


def error(status: int, said: str) -> dict[str, Any]:
    return {"error": {"message": said, "code": status}}


def google(status: int, said: str) -> dict[str, Any]:
    names = {400: "INVALID_ARGUMENT", 403: "PERMISSION_DENIED", 404: "NOT_FOUND", 429: "RESOURCE_EXHAUSTED"}
    return {"error": {"code": status, "message": said, "status": names.get(status, "UNAVAILABLE")}}


def amazon(status: int, said: str) -> dict[str, Any]:
    names = {400: "ValidationException", 403: "AccessDeniedException", 404: "ResourceNotFoundException"}
    names |= {429: "ThrottlingException"}
    return {"__type": names.get(status, "ServiceUnavailableException"), "message": said}


CLIENTS: dict[str, tuple[Callable[[str], Any], Callable[..., Any], Callable[[int, str], Any], str]] = {
    "gemini": (gemini, gemini_says, google, "MALFORMED_RESPONSE"),
    "bedrock": (bedrock, bedrock_says, amazon, "malformed_model_output"),
    "mistral": (mistral, openai_says, message, "model_length"),
    "cohere": (cohere, cohere_says, message, "ERROR_LIMIT"),
    "fireworks": (fireworks, openai_says, error, "length"),
    "together": (together, openai_says, error, "length"),
    "xai": (xai, openai_says, error, "length"),
    "openrouter": (openrouter, openrouter_says, error, "error"),
}


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr("langgraph_maker.models.retry._FIRST_PAUSE", 0.001)
    yield
    gc.collect()


class Answer(BaseModel):
    total: int


@pytest.mark.parametrize("name", CLIENTS)
class TestEach:
    def test_half_answers_are_flagged_by_their_ending_and_whole_ones_vote(self, name: str) -> None:
        make, says, _, half = CLIENTS[name]
        with served(lambda before, body: (200, says(body, half) if before == 0 else says(body))) as (url, _):
            decision = vote(make(url))
        assert (decision["vote"], decision["flags"]) == (7, {"truncated": 1})
        assert decision["last_flag"] == f"truncated: {half}"

    @pytest.mark.parametrize("status", [429, 500, 503])
    def test_what_passes_is_waited_for(self, name: str, status: int) -> None:
        make, says, refused, _ = CLIENTS[name]
        with served(
            lambda before, body: (status, refused(status, "slow down")) if before == 1 else (200, says(body))
        ) as (url, _):
            decision = vote(make(url))
        assert (decision["vote"], decision["flags"]) == (7, {})

    @pytest.mark.parametrize(("status", "most"), [(403, 3), (404, 3), (400, 6)])
    def test_what_does_not_ends_at_once_with_the_providers_reason(self, name: str, status: int, most: int) -> None:
        make, _, refused, _ = CLIENTS[name]
        with (
            served(lambda *_: (status, refused(status, "no such thing"))) as (url, calls),
            pytest.raises(SamplingError, match="the model refused: .*no such thing"),
        ):
            vote(make(url))
        assert len(calls) <= most

    def test_a_month_that_is_used_up_ends_at_once(self, name: str) -> None:
        make, _, refused, _ = CLIENTS[name]
        said = "This key is limited to 1000 API calls / month"
        with served(lambda *_: (429, refused(429, said))) as (url, calls), pytest.raises(SamplingError, match="month"):
            vote(make(url))
        assert len(calls) <= (9 if name == "cohere" else 3)  # Cohere's client asks three times

    @pytest.mark.parametrize("words", ["temperature is not for this model", "Bad request"])
    def test_a_refused_temperature_is_left_out(self, name: str, words: str) -> None:
        make, says, refused, _ = CLIENTS[name]

        def script(_: int, body: dict[str, Any]) -> tuple[int, Any]:
            return (400, refused(400, words)) if '"temperature": 0' in json.dumps(body) else (200, says(body))

        with served(script) as (url, calls):
            assert vote(make(url))["vote"] == 7
        assert sum('"temperature": 0' in json.dumps(body) for body in calls) <= 2

    @pytest.mark.parametrize("words", ["the prompt was blocked by our content policy", "your prompt is too long"])
    def test_a_prompt_that_is_refused_leaves_its_vote_unresolved(self, name: str, words: str) -> None:
        make, _, refused, _ = CLIENTS[name]
        with served(lambda *_: (400, refused(400, words))) as (url, _):
            decision = vote(make(url))
        assert (decision["status"], [*decision["flags"]]) == ("unresolved", ["refusal"])
        assert words in decision["last_flag"]

    def test_output_that_the_provider_could_not_parse_is_drawn_again(self, name: str) -> None:
        make, says, refused, _ = CLIENTS[name]
        said = refused(400, "Failed to parse tool call arguments as JSON")
        with served(lambda before, body: (400, said) if before == 1 else (200, says(body))) as (url, _):
            decision = vote(make(url))
        assert (decision["vote"], [*decision["flags"]]) == (7, ["malformed"])

    def test_a_body_that_is_of_another_shape_is_no_vote_and_no_end(self, name: str) -> None:
        make, says, _, _ = CLIENTS[name]
        garbled = [b'{"choices": {"0": 1}, "candidates": 4, "output": 3}', b"[" * 10**5 + b"]" * 10**5, b"<html>", b""]
        with served(lambda before, body: (200, garbled.pop() if before and garbled else says(body))) as (url, _):
            assert vote(make(url))["vote"] == 7
        assert not garbled

    def test_usage_that_cannot_be_read_ends_nothing(self, name: str) -> None:
        make, says, _, _ = CLIENTS[name]

        def script(before: int, body: dict[str, Any]) -> tuple[int, Any]:
            said = says(body)
            for usage in ("usage", "usageMetadata"):
                if before == 1 and usage in said:
                    said[usage] = dict.fromkeys(said[usage], "ten")
            return 200, said

        with served(script) as (url, _):
            assert vote(make(url))["vote"] == 7

    def test_threads_and_one_event_loop_after_another(self, name: str) -> None:
        make, says, _, _ = CLIENTS[name]
        with served(lambda _, body: (200, says(body))) as (url, _):
            node = create_voting_node(
                make(url),
                read=lambda state: state,
                prompt=lambda asked: asked,
                parse=int,
                write=lambda _, decision: {"vote": decision["vote"]},
                k=2,
            )
            votes: list[Any] = [node.invoke("?")]
            votes += [asyncio.run(node.ainvoke("?")) for _ in range(2)]
            threads = [
                threading.Thread(target=lambda: votes.append(node.invoke("?"))),
                threading.Thread(target=lambda: votes.append(asyncio.run(node.ainvoke("?")))),
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            votes.append(node.invoke("?"))
        assert votes == [{"vote": 7}] * 6


@pytest.mark.parametrize("name", ["mistral", "fireworks", "together", "xai"])
def test_a_provider_that_takes_nothing_but_streams(name: str) -> None:
    make, _, refused, _ = CLIENTS[name]
    said = refused(400, "This model supports streams only: set stream to true")

    def script(before: int, body: dict[str, Any]) -> tuple[int, Any]:
        if not body.get("stream"):
            return 400, said
        return 200, openai_streams("length" if before == 1 else "stop")

    with served(script) as (url, _):
        decision = vote(make(url))
    assert (decision["vote"], decision["flags"]) == (7, {"truncated": 1})


class TestGemini:
    def test_several_candidates_that_it_refuses(self) -> None:
        seen: list[int] = []

        def script(_: int, body: dict[str, Any]) -> tuple[int, Any]:
            seen.append(body.get("generationConfig", {}).get("candidateCount", 1))
            return 200, gemini_says(body)

        with served(script) as (url, _):
            assert vote(gemini(url))["vote"] == 7
        assert seen == [1, 1, 1]

    def test_a_prompt_that_is_blocked_in_a_200(self) -> None:
        with served(lambda *_: (200, {"promptFeedback": {"blockReason": "SAFETY"}})) as (url, _):
            decision = vote(gemini(url))
        assert (decision["status"], decision["last_flag"]) == ("unresolved", "refusal: the prompt was blocked: SAFETY")


class TestBedrock:
    def test_callers_read_the_clients_own_error_without_keys(self) -> None:
        with (
            served(lambda *_: (403, amazon(403, f"no access with {KEY}"))) as (url, _),
            pytest.raises(SamplingError) as caught,
        ):
            vote(bedrock(url))
        cause: Any = caught.value.__cause__
        assert cause.response["Error"]["Code"] == "AccessDeniedException"
        assert KEY not in f"{caught.value} {cause} {cause.response}"
