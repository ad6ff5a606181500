"""Whose connections a call goes out on: of its own event loop, of its own tenant, and closed when nobody needs them."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import aiohttp
import pytest
from langchain.chat_models import init_chat_model
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.runnables import ConfigurableField, RunnableLambda
from langchain_openai import ChatOpenAI
from langgraph.graph import START, StateGraph
from loopback import Loopback, completion, loopback
from pydantic import PrivateAttr
from typing_extensions import TypedDict

from langgraph_maker import create_voting_node
from langgraph_maker.models.chat_sampler import as_sampler
from langgraph_maker.models.configurable import frozen


class Text(TypedDict, total=False):
    text: str
    out: str


def app(model: Any, **options: Any) -> Any:
    options = {"parse": str, "k": 2, "outage_limit": 3, **options}
    node = create_voting_node(
        model, read=lambda it: it["text"], prompt=lambda it: it, write=lambda _, d: {"out": d["vote"]}, **options
    )
    return StateGraph(Text).add_node("vote", node).add_edge(START, "vote").compile()


def chat(url: str, **options: Any) -> ChatOpenAI:
    return ChatOpenAI(**{"model": "m", "base_url": url, "api_key": "sk-any-0123456789", **options})


def until(true: Callable[[], bool]) -> bool:
    end = time.monotonic() + 20
    while not true() and time.monotonic() < end:
        time.sleep(0.01)
    return true()


def keys(server: Loopback) -> list[str]:
    return [headers["authorization"].removeprefix("Bearer ") for headers, _, _ in server.seen]


class TestTenants:
    """A config's choice is known by its values, of which a key is one."""

    def of(self, url: str, kind: str) -> Any:
        made = init_chat_model("m", model_provider="openai", base_url=url, configurable_fields=("api_key", "model"))
        if kind == "in a sequence":
            return RunnableLambda(lambda messages: messages) | made
        if kind == "in a binding":
            return made.with_config(tags=["mine"])
        if kind == "under a prefix":
            return init_chat_model(
                "m", model_provider="openai", base_url=url, configurable_fields=("api_key",), config_prefix="mine"
            )
        return made

    @pytest.mark.parametrize("kind", ["alone", "in a sequence", "in a binding", "under a prefix"])
    def test_each_request_goes_out_under_its_own_key(self, kind: str) -> None:
        with loopback() as server:
            graph = app(self.of(server.url, kind))
            name = "mine_api_key" if kind == "under a prefix" else "api_key"
            for who in ("alice", "bob", "alice", "carol"):
                before = len(server.seen)
                graph.invoke({"text": "q"}, {"configurable": {name: f"sk-of-{who}-0123456789", "thread_id": "t"}})
                assert {*keys(server)[before:]} == {f"sk-of-{who}-0123456789"}

    def test_tenants_side_by_side(self) -> None:
        def answer(headers: dict[str, str], _: str, body: dict[str, Any]) -> tuple[int, Any]:
            return 200, completion(body, headers["authorization"].removeprefix("Bearer "))

        with loopback(answer) as server, ThreadPoolExecutor(8) as threads:
            graph = app(self.of(server.url, "alone"))

            def ask(number: int) -> tuple[str, str]:
                key = f"sk-of-tenant-{number % 5}-0123456789"
                return key, graph.invoke({"text": "q"}, {"configurable": {"api_key": key}})["out"]

            assert all(key == said for key, said in threads.map(ask, range(40)))

    def test_clients_are_bounded_and_closed_when_they_fall_out(self) -> None:
        with loopback() as server:
            graph = app(self.of(server.url, "alone"), k=1)
            for number in range(80):
                graph.invoke({"text": "q"}, {"configurable": {"api_key": f"sk-of-tenant-{number:03}-0123456789"}})
            assert until(lambda: server.open <= 40)

    def test_a_value_that_is_changed_later_is_another_choice(self) -> None:
        headers = {"X-Tenant": "one"}
        key = frozen({"default_headers": headers})
        headers["X-Tenant"] = "two"
        assert frozen({"default_headers": headers}) != key

    def test_alternatives_are_drawn_independently_too(self) -> None:
        with loopback() as server:
            model = chat(server.url, model="one").configurable_alternatives(
                ConfigurableField("llm"), default_key="one", two=chat(server.url, model="two", seed=7)
            )
            app(model).invoke({"text": "q"}, {"configurable": {"llm": "two"}})
        assert {(body["model"], body.get("seed")) for _, _, body in server.seen} == {("two", None)}


class OwnSession(BaseChatModel):
    """A model with an aiohttp session that it opens when it is first used, and a synchronous way beside it."""

    url: str
    _session: Any = PrivateAttr(default=None)

    @property
    def _llm_type(self) -> str:
        return "own session"

    def _generate(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> ChatResult:
        said = chat(self.url).invoke(messages).text
        return ChatResult(generations=[ChatGeneration(message=AIMessage(said))])

    async def _agenerate(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> ChatResult:
        if self._session is None:
            self._session = aiohttp.ClientSession()
        body = {"messages": [{"role": "user", "content": messages[0].text}]}
        async with self._session.post(f"{self.url}/chat/completions", json=body) as response:
            said = (await response.json())["choices"][0]["message"]["content"]
        return ChatResult(generations=[ChatGeneration(message=AIMessage(said))])


class SharedSession(OwnSession):
    """The same, of which all copies share one session: the first loop's."""

    kept: list[Any] = []

    async def _agenerate(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> ChatResult:
        if not self.kept:
            self.kept.append((asyncio.get_running_loop(), asyncio.Lock()))
        if self.kept[0][0] is not asyncio.get_running_loop():
            raise RuntimeError("<asyncio.locks.Event object> is bound to a different event loop")
        return ChatResult(generations=[ChatGeneration(message=AIMessage("A"))])


MODELS: dict[str, Callable[[str], Any]] = {
    "openai": chat,
    "openai, used before": chat,
    "own session": lambda url: OwnSession(url=url),
    "own session, used before": lambda url: OwnSession(url=url),
    "shared session": lambda url: SharedSession(url=url, kept=[]),
    "in a sequence": lambda url: OwnSession(url=url) | RunnableLambda(lambda message: message),
}


class TestEventLoops:
    """What a plain model can do, a node can: invoke, ainvoke, threads, one `asyncio.run` after another."""

    @pytest.mark.parametrize("kind", MODELS)
    def test_from_everywhere(self, kind: str, caplog: pytest.LogCaptureFixture) -> None:
        with loopback() as server:
            model = MODELS[kind](server.url)

            async def before() -> None:
                await model.ainvoke("q")
                if (session := getattr(model, "_session", None)) is not None:
                    await session.close()

            if "used before" in kind:
                asyncio.run(before())
            graph = app(model)
            for _ in range(3):
                assert graph.invoke({"text": "q"})["out"] == "A"
                assert asyncio.run(graph.ainvoke({"text": "q"}))["out"] == "A"
            with ThreadPoolExecutor(6) as threads:
                said = [threads.submit(graph.invoke, {"text": "q"}) for _ in range(6)]
                said += [threads.submit(lambda: asyncio.run(graph.ainvoke({"text": "q"}))) for _ in range(6)]
                assert {one.result()["out"] for one in said} == {"A"}
        assert "retried" not in caplog.text

    @pytest.mark.parametrize("kind", ["openai", "own session"])
    def test_connections_are_closed_with_their_loop(self, kind: str) -> None:
        with loopback() as server:
            graph = app(MODELS[kind](server.url))
            for _ in range(10):
                asyncio.run(graph.ainvoke({"text": "q"}))
                assert until(lambda: server.open == 0)

    async def test_connections_are_kept_while_the_loop_goes_on(self) -> None:
        with loopback() as server:
            sampler: Any = as_sampler(chat(server.url))
            graph = app(sampler)
            for _ in range(3):
                await graph.ainvoke({"text": "q"})
            assert 1 <= server.open <= 2
            await sampler.aclose()

    def test_synchronous_code_has_as_many_calls_out_as_it_asks_for(self) -> None:
        together = threading.Barrier(12, timeout=20)

        class Waiting(OwnSession):
            def _generate(self, *_: Any, **__: Any) -> ChatResult:
                together.wait()
                return ChatResult(generations=[ChatGeneration(message=AIMessage("A"))])

        graph = app(Waiting(url=""), k=1, outage_limit=30)
        with ThreadPoolExecutor(12) as threads:
            assert {one["out"] for one in threads.map(graph.invoke, [{"text": "q"}] * 12)} == {"A"}


def stream(body: dict[str, Any]) -> list[dict[str, Any]]:
    head = {"id": "x", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    parts = [{"role": "assistant", "content": "A"}, {"content": "B"}]
    return [
        *({**head, "choices": [{"index": 0, "delta": part, "finish_reason": None}]} for part in parts),
        {**head, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]},
    ]


class OnlyStreams(BaseChatModel):
    @property
    def _llm_type(self) -> str:
        return "only streams"

    def _generate(self, *_: Any, **__: Any) -> ChatResult:
        raise NotImplementedError

    async def _astream(self, *_: Any, **__: Any) -> Any:
        for text in ("A", "B"):
            yield ChatGenerationChunk(message=AIMessageChunk(content=text))


class TestStreams:
    """A model that only streams is voted on: its parts are put together."""

    def test_a_model_that_has_nothing_else(self) -> None:
        assert app(OnlyStreams()).invoke({"text": "q"})["out"] == "AB"

    def test_a_provider_that_takes_nothing_else(self) -> None:
        def answer(_: Any, __: str, body: dict[str, Any]) -> tuple[int, Any]:
            if body.get("stream"):
                return 200, stream(body)
            return 400, {
                "error": {"message": "This model only supports stream mode, please enable the stream parameter."}
            }

        with loopback(answer) as server:
            graph = app(chat(server.url, streaming=True))
            assert graph.invoke({"text": "q"})["out"] == "AB"
            assert [*graph.stream({"text": "q"}, stream_mode="messages")] == []
        refused = [body for _, _, body in server.seen if not body.get("stream")]
        assert len(refused) <= 2  # one for each shape of call
