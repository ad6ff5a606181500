"""Votes of the real clients of other providers, over loopback."""

from __future__ import annotations

import gc
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from langchain_anthropic import ChatAnthropic
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import HumanMessage, SystemMessage
from langchain_deepseek import ChatDeepSeek
from langchain_groq import ChatGroq
from langchain_ollama import ChatOllama
from langchain_openai import AzureChatOpenAI, ChatOpenAI
from pydantic import BaseModel
from wire import KEY, anthropic_says, ollama_says, openai_says, openai_streams, served, vote

from langgraph_maker import create_voting_graph, create_voting_node, solve
from langgraph_maker.core.errors import SamplingError
from langgraph_maker.simulation.chat_model import SimulatedChatModel
from langgraph_maker.tasks import TowersOfHanoi

Says = Callable[..., Any]

_OPENED: list[ChatOllama] = []


def _ollama(url: str) -> ChatOllama:
    _OPENED.append(ChatOllama(model="m", base_url=url))
    return _OPENED[-1]


CLIENTS: dict[str, tuple[Callable[[str], Any], Says, str]] = {
    "openai": (lambda url: ChatOpenAI(model="m", base_url=f"{url}/v1", api_key=KEY), openai_says, "length"),  # type: ignore[arg-type]
    "deepseek": (
        lambda url: ChatDeepSeek(model="m", api_base=f"{url}/v1", api_key=KEY),  # type: ignore[call-arg,arg-type]
        openai_says,
        "insufficient_system_resource",
    ),
    "groq": (lambda url: ChatGroq(model="m", base_url=url, api_key=KEY), openai_says, "length"),  # type: ignore[arg-type]
    "anthropic": (lambda url: ChatAnthropic(model="m", base_url=url, api_key=KEY), anthropic_says, "refusal"),  # type: ignore[call-arg,arg-type]
    "ollama": (_ollama, ollama_says, "load"),
}


pytestmark = [
    pytest.mark.filterwarnings("ignore:Pydantic serializer:UserWarning"),  # Groq's, over what is garbled on purpose
]


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr("langgraph_maker.models.retry._FIRST_PAUSE", 0.001)
    yield
    while _OPENED:
        _OPENED.pop()._client.close()  # type: ignore[no-untyped-call] # its own session for threads, which nothing else closes
    gc.collect()


@pytest.mark.parametrize("name", CLIENTS)
class TestEach:
    def test_half_answers_are_flagged_by_their_ending_and_whole_ones_vote(self, name: str) -> None:
        make, says, ending = CLIENTS[name]
        with served(lambda before, body: (200, says(body, ending) if before == 0 else says(body))) as (url, _):
            decision = vote(make(url))
        assert (decision["vote"], decision["flags"], decision["last_flag"]) == (
            7,
            {"truncated": 1},
            f"truncated: {ending}",
        )

    @pytest.mark.parametrize("status", [429, 503])
    def test_what_passes_is_waited_for(self, name: str, status: int) -> None:
        make, says, _ = CLIENTS[name]
        refused = {"error": {"message": "slow down", "code": status, "status": "UNAVAILABLE"}}
        with served(lambda before, body: (status, refused) if before == 1 else (200, says(body))) as (url, _):
            decision = vote(make(url))
        assert (decision["vote"], decision["flags"]) == (7, {})

    @pytest.mark.parametrize("status", [401, 404])
    def test_what_does_not_ends_at_once_with_the_providers_reason(self, name: str, status: int) -> None:
        make, _, _ = CLIENTS[name]
        refused = {"error": {"message": "no such thing", "code": status, "type": "refused", "status": "NO"}}
        with (
            served(lambda *_: (status, refused)) as (url, calls),
            pytest.raises(SamplingError, match="the model refused: .*no such thing"),
        ):
            vote(make(url))
        assert len(calls) <= 3

    def test_a_refused_temperature_is_left_out(self, name: str) -> None:
        make, says, _ = CLIENTS[name]
        refused = {"error": {"message": "temperature is not for this model", "code": 400, "status": "INVALID_ARGUMENT"}}

        def script(_: int, body: dict[str, Any]) -> tuple[int, Any]:
            return (400, refused) if '"temperature": 0' in json.dumps(body) else (200, says(body))

        with served(script) as (url, calls):
            assert vote(make(url))["vote"] == 7
        assert sum('"temperature": 0' in json.dumps(body) for body in calls) == 1

    def test_a_body_that_is_of_another_shape_is_no_vote_and_no_end(self, name: str) -> None:
        make, says, _ = CLIENTS[name]
        garbled = [b'{"choices": {"0": 1}, "content": 7}', b"[" * 10**5 + b"]" * 10**5]
        with served(lambda before, body: (200, garbled.pop() if before and garbled else says(body))) as (url, _):
            assert vote(make(url))["vote"] == 7
        assert not garbled


@pytest.mark.parametrize("name", ["openai", "deepseek", "groq"])
def test_a_provider_that_takes_nothing_but_streams(name: str) -> None:
    said = {"error": {"message": "This model supports streams only: set stream to true", "code": 400}}

    def script(before: int, body: dict[str, Any]) -> tuple[int, Any]:
        if not body.get("stream"):
            return 400, said
        return 200, openai_streams("length" if before == 1 else "stop")

    with served(script) as (url, _):
        decision = vote(CLIENTS[name][0](url))
    assert (decision["vote"], decision["flags"]) == (7, {"truncated": 1})


class TestOpenAI:
    def chat(self, url: str, **options: Any) -> ChatOpenAI:
        return ChatOpenAI(model="m", base_url=f"{url}/v1", api_key=KEY, **options)  # type: ignore[arg-type]

    def test_refusals_in_their_own_field(self) -> None:
        with served(lambda _, body: (200, openai_says(body, content=None, refusal="I can't."))) as (url, _):
            decision = vote(self.chat(url))
        assert (decision["status"], decision["last_flag"]) == ("unresolved", "refusal: I can't.")
        assert decision["samples"] < 10

    @pytest.mark.parametrize("code", [429, 502])
    def test_an_error_in_a_200_is_the_outage_that_it_says(self, code: int) -> None:
        error = {"error": {"message": "Provider returned error", "code": code}, "choices": None}

        def script(before: int, body: dict[str, Any]) -> tuple[int, Any]:
            return 200, error if 1 <= before <= 8 else openai_says(body)

        with served(script) as (url, calls):
            decision = vote(self.chat(url))
        assert (decision["vote"], decision["flags"], len(calls)) == (7, {}, 10)

    def test_a_used_up_quota_ends_at_once(self) -> None:
        error = {"message": "You exceeded your current quota", "type": "insufficient_quota", "code": None}
        with served(lambda *_: (429, {"error": error})) as (url, calls), pytest.raises(SamplingError, match="quota"):
            vote(self.chat(url))
        assert len(calls) <= 2

    def test_one_filtered_prompt_leaves_the_others_their_votes(self) -> None:
        error = {"message": "The response was filtered", "type": None, "param": "prompt", "code": "content_filter"}

        def script(_: int, body: dict[str, Any]) -> tuple[int, Any]:
            bad = "kill" in body["messages"][-1]["content"]
            return (400, {"error": error}) if bad else (200, openai_says(body))

        with served(script) as (url, _):
            graph = create_voting_graph(self.chat(url), prompt=str, parse=int, k=3).compile()
            asked: Any = [
                {"id": str(at), "state": text} for at, text in enumerate(["3 + 4?", "kill a process?", "5 + 2?"])
            ]
            decisions = graph.invoke({"subtasks": asked})["decisions"]
        assert [one["vote"] for one in decisions] == [7, None, 7]
        assert decisions[1]["last_flag"] == "refusal: Error code: 400 - The response was filtered"

    def test_the_responses_api_says_by_status_how_a_response_ended(self) -> None:
        def says(_: dict[str, Any], status: str = "completed", error: Any = None) -> dict[str, Any]:
            part = {"type": "output_text", "text": "7", "annotations": []}
            message = {"id": "1", "type": "message", "role": "assistant", "status": "completed", "content": [part]}
            rest = {"parallel_tool_calls": True, "tool_choice": "auto", "tools": [], "object": "response"}
            return {
                "id": "r",
                "created_at": 1,
                "model": "m",
                "status": status,
                "error": error,
                "output": [message],
                **rest,
            }

        def script(before: int, body: dict[str, Any]) -> tuple[int, Any]:
            if before == 0:
                return 200, says(body, "incomplete")
            failed = {"code": "server_error", "message": "oops"}
            return 200, says(body, "failed", failed) if before == 1 else says(body)

        with served(script) as (url, _):
            decision = vote(self.chat(url, use_responses_api=True))
        assert (decision["vote"], decision["flags"]) == (7, {"truncated": 1})

    def test_a_response_that_azure_withheld_is_flagged(self) -> None:
        finish = ["content_filter"]
        with served(lambda _, body: (200, openai_says(body, finish.pop() if finish else "stop"))) as (url, _):
            model = AzureChatOpenAI(azure_deployment="d", azure_endpoint=url, api_key=KEY, api_version="1")  # type: ignore[arg-type]
            decision = vote(model)
        assert (decision["vote"], decision["flags"]) == (7, {"truncated": 1})

    def test_callbacks_and_causes_are_the_clients_error_without_keys(self) -> None:
        seen: list[Any] = []

        class Handler(BaseCallbackHandler):
            def on_llm_error(self, error: BaseException, **_: Any) -> None:
                seen.append(error)

        error = {"message": f"Incorrect API key provided: {KEY}", "code": "invalid_api_key"}
        with served(lambda *_: (401, {"error": error})) as (url, _), pytest.raises(SamplingError) as caught:
            vote(self.chat(url, callbacks=[Handler()]))
        assert caught.value.__cause__ in seen
        for one in seen:
            assert (one.response.status_code, one.response.headers["x-request-id"]) == (401, "req-7")
            assert one.body["code"] == "invalid_api_key"
            assert KEY not in f"{one} {one.body} {one.response.text} {one.response.request.headers['authorization']}"


class TestDeepSeek:
    def test_a_run_with_single_samples(self) -> None:
        task = TowersOfHanoi(3)
        model = SimulatedChatModel(task=task, model="error=0")

        def script(_: int, body: dict[str, Any]) -> tuple[int, Any]:
            if (body.get("n") or 1) > 1:
                error = {
                    "message": "Invalid n value (currently only n = 1 is supported)",
                    "code": "invalid_request_error",
                }
                return 400, {"error": error}
            roles = {"system": SystemMessage, "user": HumanMessage}
            said = model.invoke([roles[one["role"]](one["content"]) for one in body["messages"]])
            return 200, openai_says(body, content=said.text)

        with served(script) as (url, calls):
            run = solve(task, CLIENTS["deepseek"][0](url))
        assert (run.status, run.samples, len(calls)) == ("solved", 21, 22)


class TestOllama:
    class Invoice(BaseModel):
        total: int

    @pytest.mark.parametrize("status", [200, 500])
    def test_a_tool_call_that_it_could_not_parse_is_drawn_again_at_the_other_temperature(self, status: int) -> None:
        call = {"function": {"name": "Invoice", "arguments": {"total": 7}}}

        def script(_: int, body: dict[str, Any]) -> tuple[int, Any]:
            if body["options"]["temperature"] == 0:
                return status, b'{"error": "error parsing tool call: raw=\'{\\"total\\": 7]\', err=invalid"}\n'
            said = json.loads(ollama_says(body))
            return 200, json.dumps(
                said | {"message": {"role": "assistant", "content": "", "tool_calls": [call]}}
            ).encode()

        with served(script) as (url, calls):
            node = create_voting_node(
                CLIENTS["ollama"][0](url),
                read=lambda state: state,
                prompt=lambda asked: asked,
                schema=self.Invoice,
                write=lambda _, decision: dict(decision),
                k=3,
            )
            decision = node.invoke("?")
        assert (decision["vote"], decision["flags"]) == ({"total": 7}, {"malformed": 1})
        assert [body["options"]["temperature"] for body in calls].count(0) == 1

    def test_a_stream_that_breaks_off_is_no_whole_response(self) -> None:
        with served(lambda before, body: (200, ollama_says(body, None if before == 0 else "stop"))) as (url, _):
            decision = vote(CLIENTS["ollama"][0](url))
        assert (decision["vote"], decision["last_flag"]) == (7, "truncated: no finish reason")
