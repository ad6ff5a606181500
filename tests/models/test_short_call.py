"""The short way of a call and the ordinary one send the same, read the same and fail the same."""

from __future__ import annotations

import asyncio
import gc
import json
import socket
import socketserver
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import openai
import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage
from langchain_openai import AzureChatOpenAI, ChatOpenAI
from langchain_openai.chat_models.base import BaseChatOpenAI

from langgraph_maker.core.state import Request
from langgraph_maker.models import http_session, short_call
from langgraph_maker.models.chat_sampler import ModelSampler
from langgraph_maker.models.error_reading import causes, reason
from langgraph_maker.models.failures import failure
from langgraph_maker.models.short_call import PRIVATE_NAMES, SWITCH, counting

KEY = "sk-any-key-0123456789"
CHOICE = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "4"}}
USAGE = {"prompt_tokens": 9, "completion_tokens": 2, "total_tokens": 11}
HEAD = {"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "m-2026", "usage": USAGE}
PLAIN = HEAD | {"choices": [CHOICE]}


def http(status: int, body: Any, *headers: str, kind: str = "application/json") -> bytes:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = [f"HTTP/1.1 {status} Any", f"content-type: {kind}", f"content-length: {len(data)}", *headers]
    return "\r\n".join([*lines, "", ""]).encode() + data


class Server:
    """What it was sent, and what is open."""

    def __init__(self) -> None:
        self.url = ""
        self.seen: list[tuple[str, dict[str, str], dict[str, Any]]] = []
        self.opened = self.open = 0


@contextmanager
def serving(answer: Callable[[dict[str, Any]], Any]) -> Iterator[Server]:
    """Answer requests: with bytes; with bytes in a tuple, to hang up after them; with an event, to wait for it."""
    server, lock = Server(), threading.Lock()

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            with lock:
                server.opened += 1
                server.open += 1
            with suppress(OSError):
                while self.request_answered():
                    pass
            with lock:
                server.open -= 1

        def request_answered(self) -> bool:
            path = self.rfile.readline().decode().split()[1:2]
            if not path:
                return False
            lines = iter(lambda: self.rfile.readline().decode().strip(), "")
            headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
            body = json.loads(self.rfile.read(int(headers["content-length"])))
            with lock:
                server.seen.append((path[0], headers, body))
            given = answer(body)
            if isinstance(given, threading.Event):
                given.wait(20)
                return False
            if isinstance(given, bytes):
                self.wfile.write(given)
                return True
            self.wfile.write(given[0])
            self.connection.shutdown(socket.SHUT_RDWR)
            return False

    class Listening(socketserver.ThreadingTCPServer):
        daemon_threads = True
        request_queue_size = 128

        def handle_error(self, *_: Any) -> None:
            """A client that goes away is no error."""

    listening = Listening(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=listening.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    server.url = f"http://127.0.0.1:{listening.server_address[1]}/v1"
    try:
        yield server
    finally:
        listening.shutdown()
        listening.server_close()
        thread.join()


def chat(server: Server, **options: Any) -> Any:
    return ChatOpenAI(**{"model": "m", "base_url": server.url, "api_key": KEY, **options})


def azure(server: Server, **options: Any) -> Any:
    given = {"azure_endpoint": server.url.removesuffix("/v1"), "api_version": "2024-10-21", "api_key": KEY}
    return AzureChatOpenAI(**{**given, "azure_deployment": "of-mine", **options})


def requests(n: int = 1, prompt: str = "2 + 2?\u00e9\u2713", temperature: float | None = 0.1) -> list[Request]:
    messages = [SystemMessage("Answer."), HumanMessage(prompt)]
    return [Request(messages, temperature, "q", number, run_id="r") for number in range(n)]


def drawn(model: Any, *groups: list[Request]) -> tuple[list[Any], dict[str, int]]:
    """What a sampler draws for one group after another, and how the calls went."""

    async def draw() -> list[Any]:
        sampler = ModelSampler(model, None)
        try:
            return [response for group in groups for response in await sampler(group)]
        finally:
            await sampler.aclose()

    with counting() as calls:
        said = asyncio.run(draw())
    return said, dict(calls)


def both_ways(
    answer: Callable[[dict[str, Any]], Any], of: Callable[[Server], Any], *groups: list[Request]
) -> tuple[list[Any], list[Any], Server, Server]:
    """The responses and the servers' records of the short way, which was taken, and of the ordinary one."""
    with serving(answer) as one:
        short, calls = drawn(of(one), *groups)
    assert set(calls) == {"short"}
    with pytest.MonkeyPatch.context() as patch, serving(answer) as other:
        patch.setenv(SWITCH, "0")
        ordinary, calls = drawn(of(other), *groups)
    assert set(calls) == {f"ordinary: {SWITCH} is 0"}
    return short, ordinary, one, other


def as_said(response: Any) -> Any:
    """All that can be read of a response or an error, but what is of one call: ids, ports, dates."""
    if isinstance(response, AIMessage):
        assert response.id is not None
        assert response.id.startswith("lc_run--")
        return response.model_dump(exclude={"id"})
    carried = {
        name: getattr(response, name, None)
        for name in ("message", "body", "code", "param", "type", "status_code", "request_id")
    }
    headers = getattr(getattr(response, "response", None), "headers", None)
    caused = [type(cause) for cause in causes(response)]
    said = type(response), str(response), reason(response)
    return said, carried, headers and dict(headers), caused, means(response)


def means(error: Any) -> tuple[Any, ...]:
    """What an error is taken for, its flag by value."""
    found = failure(error)
    return *found[:-1], found.flag and (found.flag.reason, found.flag.detail)


TOOL = {"type": "function", "function": {"name": "add", "parameters": {"type": "object", "properties": {}}}}
ASKED: dict[str, Callable[[Server], Any]] = {
    "plain": chat,
    "with headers and a query": lambda it: chat(
        it, default_headers={"X-Mine": "\u0061"}, default_query={"q": "a b"}, organization="o", max_completion_tokens=9
    ),
    "with an extra body": lambda it: chat(it, extra_body={"top_k": 4, "deep": {"a": [1, None]}}, stop=["x"], seed=3),
    "with model_kwargs": lambda it: chat(it, model_kwargs={"user": "me"}, service_tier="flex", logit_bias={"1": 2}),
    "bound to tools": lambda it: chat(it).bind_tools([TOOL], tool_choice="any"),
    "with a timeout": lambda it: chat(it, timeout=7.5),
    "o-series": lambda it: chat(it, model="o3", reasoning_effort="low"),
    "Azure": azure,
    "Azure by its model": lambda it: azure(it, azure_deployment=None, model="of-mine"),
    "Azure with a token": lambda it: azure(it, api_key=None, azure_ad_token=KEY),
}


def answers_n(body: dict[str, Any]) -> bytes:
    return http(200, HEAD | {"choices": [CHOICE | {"index": at} for at in range(body.get("n", 1))]})


@pytest.mark.parametrize("of", ASKED.values(), ids=ASKED)
def test_the_same_is_sent(of: Callable[[Server], Any]) -> None:
    short, ordinary, one, other = both_ways(answers_n, of, requests(), requests(), requests(3), requests(3))
    assert [*map(as_said, short)] == [*map(as_said, ordinary)]
    assert (len(short), len(one.seen), len(other.seen)) == (8, 4, 4)
    own = {"host", "connection", "accept-encoding", "content-length"}
    for (path, headers, body), (other_path, other_headers, other_body) in zip(one.seen, other.seen, strict=True):
        assert (path, body) == (other_path, other_body)
        assert {k: v for k, v in headers.items() if k not in own} == {
            k: v for k, v in other_headers.items() if k not in own
        }
    assert [message.usage_metadata["output_tokens"] for message in short[5:]] == [0, 1, 1]


def said(**message: Any) -> dict[str, Any]:
    return HEAD | {"choices": [CHOICE | {"message": CHOICE["message"] | message}]}  # type: ignore[operator]


def called(**function: Any) -> dict[str, Any]:
    return {"id": "c1", "type": "function", "function": {"name": "add", "arguments": "{}"} | function}


BODIES: dict[str, bytes] = {
    "no content": http(200, said(content=None)),
    "a refusal": http(200, said(content=None, refusal="I cannot")),
    "tool calls": http(200, said(content=None, tool_calls=[called(arguments='{"a": 1}'), called(arguments='{"a": ')])),
    "a tool call without arguments": http(200, said(tool_calls=[called(arguments=None)])),
    "a custom tool call": http(200, said(tool_calls=[{"id": "c", "type": "custom", "custom": {"name": "a"}}])),
    "tool calls that are none": http(200, said(tool_calls="none")),
    "reasoning": http(200, said(reasoning_content="hm", extra={"a": [1]})),
    "content in parts": http(200, said(content=[{"type": "text", "text": "4"}])),
    "an annotation": http(200, said(annotations=[{"type": "url_citation", "url_citation": {"url": "u"}}])),
    "another role": http(200, said(role="tool", tool_call_id="c")),
    "a parsed message": http(200, said(parsed={"a": 1})),
    "log probabilities": http(200, HEAD | {"choices": [CHOICE | {"logprobs": {"content": []}}]}),
    "no finish reason": http(200, HEAD | {"choices": [{"message": CHOICE["message"]}]}),
    "a filtered answer": http(200, HEAD | {"choices": [CHOICE | {"finish_reason": "content_filter"}]}),
    "no usage": http(200, {name: value for name, value in PLAIN.items() if name != "usage"}),
    "usage of null": http(200, PLAIN | {"usage": None}),
    "odd usage": http(200, PLAIN | {"usage": USAGE | {"prompt_tokens": "9"}}),
    "huge usage": http(200, PLAIN | {"usage": USAGE | {"prompt_tokens": 10**30}}),
    "usage in detail": http(
        200,
        PLAIN
        | {
            "service_tier": "flex",
            "system_fingerprint": "fp",
            "usage": USAGE | {"prompt_tokens_details": {"cached_tokens": 3}, "completion_tokens_details": {"x": 1}},
        },
    ),
    "no id and no model": http(200, {"choices": [CHOICE]}),
    "an error in a 200": http(200, {"error": {"code": 429, "message": "Provider returned error"}}),
    "an error beside choices": http(200, PLAIN | {"error": {"code": 502}}),
    "choices of null": http(200, HEAD | {"choices": None}),
    "no choices": http(200, HEAD | {"choices": []}),
    "a choice of null": http(200, HEAD | {"choices": [None]}),
    "no message": http(200, HEAD | {"choices": [{"index": 0}]}),
    "a list": http(200, [PLAIN]),
    "null": http(200, None),
    "a text": http(200, b"busy", kind="text/plain"),
    "a page": http(200, b"<html>busy</html>", kind="text/html"),
    "JSON as text": http(200, PLAIN, kind="text/plain; charset=utf-8"),
    "no JSON": http(200, b'{"choices": [', kind="application/json"),
    "NaN": http(200, b'{"choices": [], "a": NaN}'),
    "a lone surrogate": http(200, json.dumps(said(content="@")).replace("@", "\\ud800").encode()),
    "Latin-1": http(200, json.dumps(said(content="@")).encode().replace(b"@", b"\xe9")),
    "filters of Azure": http(
        200,
        PLAIN | {"prompt_filter_results": [1], "choices": [CHOICE | {"content_filter_results": {"hate": "safe"}}]},
    ),
    "201": http(201, PLAIN),
    "gateway metadata": http(200, PLAIN, 'x-langsmith-gateway-metadata: {"a": 1}'),
}
ERRORS: dict[str, Any] = {
    "400": http(400, {"error": {"message": "no", "code": "bad", "param": "p", "type": "t"}}, "x-request-id: req-7"),
    "400, too long": http(400, {"error": {"message": "prompt is too long", "code": "context_length_exceeded"}}),
    "401": http(401, {"error": {"message": f"Incorrect API key provided: {KEY}", "code": "invalid_api_key"}}),
    "403": http(403, b"", kind="text/plain"),
    "404": http(404, {"detail": "Not Found"}),
    "409": http(409, {"error": "busy"}),
    "422": http(422, {"detail": [{"loc": ["body"], "msg": "extra inputs"}]}),
    "429": http(429, {"error": {"message": "slow", "code": "rate_limit_exceeded"}}, "retry-after: 7"),
    "500": http(500, b"<html>no</html>", kind="text/html"),
    "503": http(503, {"error": None}),
    "no HTTP": (b"HTP/1.9 hello\r\n\r\n",),
    "half a body": (http(200, PLAIN)[:-9],),
    "nothing": (b"",),
}


def by_prompt(answers: dict[str, Any]) -> Callable[[dict[str, Any]], Any]:
    return lambda body: answers.get(body["messages"][-1]["content"], http(200, PLAIN))


@pytest.mark.parametrize("of", [chat, azure])
def test_the_same_is_read(of: Callable[[Server], Any]) -> None:
    groups = [requests(prompt=name) for name in BODIES]
    short, ordinary, _, _ = both_ways(by_prompt(BODIES), of, requests(), *groups)
    for name, one, other in zip(BODIES, short[1:], ordinary[1:], strict=True):
        assert as_said(one) == as_said(other), name


@pytest.mark.parametrize("proven", [True, False])
def test_errors_are_the_same(proven: bool) -> None:
    groups = [requests(prompt=name, temperature=0.1 if proven else at / 64) for at, name in enumerate(ERRORS)]
    short, ordinary, _, _ = both_ways(by_prompt(ERRORS), chat, requests(), *groups)
    for (name, answer), one, other in zip(ERRORS.items(), short[1:], ordinary[1:], strict=True):
        assert isinstance(one, openai.APIError), name
        assert KEY not in f"{one!r} {one.__cause__!r} {one.body!r} {vars(one)}"
        if isinstance(answer, bytes):
            assert as_said(one) == as_said(other), name
        else:  # each library has its own words for what it met
            assert (type(one), str(one), means(one)) == (type(other), str(other), means(other)), name
            assert any(type(cause).__module__.startswith("httpx") for cause in causes(one)), name


class Listener(BaseCallbackHandler):
    """Hears of calls."""

    def __init__(self) -> None:
        self.heard: list[Any] = []

    def on_chat_model_start(self, serialized: Any, messages: Any, *, run_id: Any, **said: Any) -> None:
        self.heard.append((messages, said["tags"], said["metadata"], said["invocation_params"], said["name"]))

    def on_llm_end(self, response: Any, **_: Any) -> None:
        self.heard.append([generation.message.text for generation in response.generations[0]])

    def on_llm_error(self, error: BaseException, **_: Any) -> None:
        self.heard.append((type(error), str(error)))


def test_who_listens_hears_the_same_and_changes_nothing() -> None:
    answers = {"no": ERRORS["401"]}
    groups = [requests(), requests(), requests(3), requests(3), requests(prompt="no")]
    heard = []
    responses = []
    for switch in ("1", "0"):
        listener = Listener()
        with pytest.MonkeyPatch.context() as patch, serving(answers_n) as server:
            patch.setenv(SWITCH, switch)
            responses.append(drawn(chat(server, callbacks=[listener], tags=["mine"]), *groups[:4])[0])
        with pytest.MonkeyPatch.context() as patch, serving(by_prompt(answers)) as server:
            patch.setenv(SWITCH, switch)
            drawn(chat(server, callbacks=[listener]), requests(), groups[4])
        heard.append(listener.heard)
    assert len(heard[0]) == 12
    assert heard[0] == heard[1]
    unheard, _, _, _ = both_ways(answers_n, chat, *groups[:4])
    assert [*map(as_said, responses[0])] == [*map(as_said, unheard)]


async def draw_once(sampler: ModelSampler) -> AIMessage:
    (message,) = await sampler(requests())
    assert isinstance(message, AIMessage), message
    return message


def test_connections_are_reused_and_closed_with_their_loop() -> None:
    with serving(answers_n) as server:
        sampler = ModelSampler(chat(server), None)

        async def twice(sampler: ModelSampler = sampler) -> None:
            await draw_once(sampler)
            await draw_once(sampler)

        for _ in range(3):
            asyncio.run(twice())  # ends its loop without a word to the sampler
        del sampler, twice
        gc.collect()
        assert (server.opened, len(server.seen)) == (3, 6)


def test_no_more_connections_than_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_session, "_most_connections", lambda: 4)

    async def many(sampler: ModelSampler) -> list[Any]:
        await draw_once(sampler)
        said = await asyncio.gather(*(sampler(requests()) for _ in range(40)))
        await sampler.aclose()
        return said

    with serving(answers_n) as server:
        said = asyncio.run(many(ModelSampler(chat(server), None)))
        assert all(isinstance(message, AIMessage) for (message,) in said)
        assert (len(server.seen), server.opened) == (41, 4)


def test_a_call_that_hangs_ends_in_a_timeout_of_openais() -> None:
    hangs = threading.Event()
    with serving(by_prompt({"slow": hangs})) as server:
        said, calls = drawn(chat(server, timeout=0.3), requests(), requests(prompt="slow"))
        hangs.set()
    assert isinstance(said[1], openai.APITimeoutError)
    assert calls == {"short": 2}


class Own(ChatOpenAI):
    """A model that makes its calls itself."""

    async def _agenerate(self, *args: Any, **kwargs: Any) -> Any:
        return await super()._agenerate(*args, **kwargs)


class OwnResult(ChatOpenAI):
    """A model that reads its answers itself."""

    def _create_chat_result(self, *args: Any, **kwargs: Any) -> Any:
        return super()._create_chat_result(*args, **kwargs)


ORDINARY: dict[str, tuple[Callable[[Server], Any], str]] = {
    "a subclass": (lambda it: Own(model="m", base_url=it.url, api_key=lambda: KEY), "another client's model"),
    "a result": (lambda it: OwnResult(model="m", base_url=it.url, api_key=lambda: KEY), "a result of its own"),
    "headers": (lambda it: chat(it, include_response_headers=True), "response headers, or their validation"),
    "each call's headers": (
        lambda it: chat(it, model_kwargs={"extra_headers": {"X": "y"}}),
        "a call that is more than a plain body",
    ),
    "a schema": (
        lambda it: chat(it).bind(response_format={"type": "json_object"}),
        "a call that is more than a plain body",
    ),
}


@pytest.mark.parametrize(("of", "why"), ORDINARY.values(), ids=ORDINARY)
def test_what_is_not_plain_goes_the_ordinary_way(of: Callable[[Server], Any], why: str) -> None:
    with serving(answers_n) as server:
        said, calls = drawn(of(server), requests(), requests())
    assert [message.text for message in said] == ["4", "4"]
    assert calls == {f"ordinary: {why}": 2}


def test_a_proxy_a_mock_and_a_key_for_each_call_go_the_ordinary_way(monkeypatch: pytest.MonkeyPatch) -> None:
    def reasons(model: Any) -> list[str]:
        return [*short_call._obstacles(model)]

    model = ChatOpenAI(model="m", base_url="http://models.example/v1", api_key=KEY)  # type: ignore[arg-type]
    assert reasons(model) == []
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
        assert reasons(model) == ["a proxy"]
        patch.setenv("NO_PROXY", "models.example")
        assert reasons(model) == []
    monkeypatch.setattr(short_call._library().AsyncHTTPTransport, "handle_async_request", lambda *_: None)
    assert reasons(model) == ["a client that something listens in"]
    of_each_call = ChatOpenAI(model="m", base_url="http://models.example/v1", api_key=lambda: KEY)
    assert "credentials that are made for each call" in reasons(of_each_call)


def test_private_names_are_there() -> None:
    assert all(callable(getattr(BaseChatOpenAI, name)) for name in PRIVATE_NAMES)
