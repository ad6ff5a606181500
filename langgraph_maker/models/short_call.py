"""The short way of a model's call: its own payload and result, and between them one POST by aiohttp with orjson.

OpenAI's client takes some ten times the CPU of the request itself. A plain `ChatOpenAI` or `AzureChatOpenAI` does
without it where it can be seen that nothing is lost: the first call of each shape is made by the ordinary code over
the same connections, and the short way is taken from then on if it would have sent the same and read the same. What is
no plain answer (an error, a lost connection, an odd body) is handed to the ordinary code as it came, so that errors
are its own. Whatever is not plain goes the ordinary way altogether, and is counted with why.
"""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Hashable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import FunctionType, MethodType
from typing import Any, Final, NamedTuple
from urllib.request import getproxies, proxy_bypass

import orjson
from langchain_core.language_models import BaseChatModel
from langchain_core.outputs import ChatResult

from langgraph_maker.models.completions import read_completion
from langgraph_maker.models.connections import Connections, connected

__all__ = ["PRIVATE_NAMES", "SWITCH", "ShortCall", "counted", "counting", "is_openai", "short_call"]

SWITCH: Final = "LANGGRAPH_MAKER_SHORT_CALLS"
"""The environment variable that, set to 0, has all calls go the ordinary way."""

PRIVATE_NAMES: Final = ("_agenerate", "_create_chat_result", "_get_request_payload")
"""What the short way takes of langchain-openai's `BaseChatOpenAI` beside its fields."""


@contextmanager
def counting() -> Iterator[Counter[str]]:
    """Count the calls of models made in this context by how they went: "short", or "ordinary: " and why."""
    calls: Counter[str] = Counter()
    token = _counter.set(calls)
    try:
        yield calls
    finally:
        _counter.reset(token)


def counted(way: str) -> None:
    """Count a call, where somebody does."""
    if (calls := _counter.get()) is not None:
        calls[way] += 1


def is_openai(model: object) -> bool:
    """Return whether this is a chat model of langchain-openai's that makes its calls as `BaseChatOpenAI` does."""
    base = getattr(sys.modules.get(f"{_LANGCHAIN}.base"), "BaseChatOpenAI", None)
    return base is not None and isinstance(model, base) and type(model)._agenerate is base._agenerate  # noqa: SLF001


def short_call(model: BaseChatModel, here: Connections) -> ShortCall | str:
    """Return the short way to call `model`, which has connections of `here`, or why there is none."""
    if os.environ.get(SWITCH) == "0":
        return f"{SWITCH} is 0"
    if why := next(_obstacles(model), ""):
        return why
    from langgraph_maker.models.http_session import HttpSession  # noqa: PLC0415 - an extra

    client: Any = model
    scheme = client.root_async_client.base_url.scheme
    secure = scheme == "https"
    session = here.keep(f"aiohttp, {scheme}", lambda: HttpSession(_library().create_ssl_context() if secure else None))
    aside = connected(model, lambda package: import_module(package).DefaultAsyncHttpxClient(transport=_Transport()))
    return _LISTENED if aside is None else ShortCall(model, aside, session)


def _obstacles(model: Any) -> Iterator[str]:
    """Yield why calls of a model cannot go the short way, if they cannot."""
    if not is_openai(model):
        yield "another client's model"
    results = [
        getattr(getattr(sys.modules.get(f"{_LANGCHAIN}.{file}"), kind, None), "_create_chat_result", None)
        for file, kind in (("base", "BaseChatOpenAI"), ("azure", "AzureChatOpenAI"))
    ]
    if type(model)._create_chat_result not in results:  # noqa: SLF001 - see PRIVATE_NAMES
        yield "a result of its own"
    if find_spec("aiohttp") is None:
        yield "the extra fast is not installed"
    client, openai = model.root_async_client, sys.modules["openai"]
    if type(client) not in {openai.AsyncOpenAI, openai.AsyncAzureOpenAI}:
        yield "a client of the user's own kind"
    if any(getattr(client, name, None) for name in _OF_EACH_CALL):
        yield "credentials that are made for each call"
    if model.include_response_headers or getattr(client, _VALIDATION, False):
        yield "response headers, or their validation"
    if not all(_is_original(package, code) for package, code in _client_code()):
        yield _LISTENED
    url, proxies = client.base_url, getproxies()
    if (url.scheme in proxies or "all" in proxies) and not proxy_bypass(url.host):
        yield "a proxy"


class ShortCall:
    """Calls of one model on one event loop, as its `_agenerate` makes them.

    Args:
        model: The model, for whatever goes the ordinary way.
        aside: A copy of it whose client has a `_Transport`: the ordinary code without connections of its own.
        session: Whom to send by.
    """

    def __init__(self, model: Any, aside: Any, session: Any) -> None:
        self.model, self.session = model, session
        self.routes: dict[Hashable, _Route | str] = {}
        self._ordinary = MethodType(type(model)._agenerate, model)  # noqa: SLF001 - see PRIVATE_NAMES
        self._aside = MethodType(type(model)._agenerate, aside)  # noqa: SLF001
        self._code = _client_code()

    async def __call__(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> ChatResult:
        """Make one call, by the short way unless it is not plain."""
        payload = self.model._get_request_payload(messages, stop=stop, **kwargs)  # noqa: SLF001 - see PRIVATE_NAMES
        shape = (*payload, payload.get("model"))
        route = self.routes.get(shape) if self._code == _client_code() else _LISTENED
        body = _encoded(payload) if route is None or isinstance(route, _Route) else None
        if body is None:
            counted(f"ordinary: {route if isinstance(route, str) else _NO_BODY}")
            result: ChatResult = await self._ordinary(messages, stop, run_manager, **kwargs)
            return result
        counted("short")
        if not isinstance(route, _Route):
            first = _First(self.session)
            result = await self._by_ordinary_code(first, messages, stop, run_manager, kwargs)
            same = len(first.answers) == 1 and self._read(first.answers[0]) == result
            self.routes[shape] = (first.route(body) if same else None) or _OTHERWISE
            return result
        answer = await self.session.post(route.url, route.headers, body, route.timeout)
        if (read := self._read(answer)) is not None:
            return read
        exchange: _First | _Again = _Again(answer)
        if getattr(answer, "status", 0) // 100 == 3:  # noqa: PLR2004 - HTTP's: to be followed by the ordinary code
            exchange, self.routes[shape] = _First(self.session), _OTHERWISE
        return await self._by_ordinary_code(exchange, messages, stop, run_manager, kwargs)

    async def _by_ordinary_code(
        self, exchange: _First | _Again, messages: Any, stop: Any, run_manager: Any, kwargs: Mapping[str, Any]
    ) -> ChatResult:
        token = _exchange.set(exchange)
        try:
            result: ChatResult = await self._aside(messages, stop, run_manager, **kwargs)
        finally:
            _exchange.reset(token)
        return result

    def _read(self, answer: Any) -> ChatResult | None:
        """Return the result in a plain answer, None where it is for the ordinary code to read."""
        if getattr(answer, "status", 0) != 200 or not _is_json(answer.headers):  # noqa: PLR2004 - HTTP's
            return None
        if (found := read_completion(answer.body)) is None:
            return None
        try:
            result: ChatResult = self.model._create_chat_result(found, {})  # noqa: SLF001 - see PRIVATE_NAMES
        except Exception:  # noqa: BLE001 - whatever it is, the ordinary code is to raise it
            return None
        # as is done for an answer of OpenAI's own type
        result.generations[0].message.additional_kwargs["refusal"] = found["choices"][0]["message"]["refusal"]
        return result


class _Route(NamedTuple):
    """Where requests of one shape go."""

    url: Any
    headers: Mapping[str, str]
    timeout: Any


class _First:
    """Sends what the ordinary code asks, and keeps it."""

    def __init__(self, session: Any) -> None:
        self.session = session
        self.requests: list[Any] = []
        self.answers: list[Any] = []

    async def answer(self, request: Any) -> Any:
        await request.aread()
        self.requests.append(request)
        route = _route(request)
        self.answers.append(await self.session.post(route.url, route.headers, request.content, route.timeout))
        return self.answers[-1]

    def route(self, body: bytes) -> _Route | None:
        """Return where the request went, if it had this body."""
        (request,) = self.requests
        return _route(request) if orjson.loads(request.content) == orjson.loads(body) else None


class _Again:
    """Gives the ordinary code what came."""

    def __init__(self, answer: Any) -> None:
        self._answer = answer

    async def answer(self, _: Any) -> Any:
        return self._answer


class _Transport:
    """A transport of httpx for `ShortCall`: what came of a request, or what was lost, as httpx would put it."""

    async def handle_async_request(self, request: Any) -> Any:
        answer = await _exchange.get().answer(request)
        library = import_module(type(request).__module__.partition(".")[0])
        if hasattr(answer, "kind"):
            raise getattr(library, answer.kind)(answer.said, request=request) from answer.cause
        decoded = any(name.lower() == b"content-encoding" for name, _ in answer.headers)
        headers = [(name, value) for name, value in answer.headers if not (decoded and name.lower() in _OF_CODED)]
        return library.Response(answer.status, headers=headers, content=answer.body, request=request)

    async def aclose(self) -> None:
        """Hold nothing."""


def _route(request: Any) -> _Route:
    """Return where a request of httpx goes, for aiohttp."""
    from yarl import URL  # noqa: PLC0415 - an extra

    from langgraph_maker.models.http_session import timeouts  # noqa: PLC0415 - an extra

    headers = {name: value for name, value in request.headers.items() if name not in _OF_THE_SENDER}
    url = URL(str(request.url), encoded=True).with_user(None)
    return _Route(url, headers, timeouts(request.extensions.get("timeout", {})))


def _encoded(payload: Mapping[str, Any]) -> bytes | None:
    """Return the body that OpenAI's client makes of a payload, None where more than a body is made of it."""
    if not payload.keys().isdisjoint(_NOT_OF_THE_BODY) or "messages" not in payload:
        return None
    body = {name: value for name, value in payload.items() if name != "extra_body"}
    try:
        return orjson.dumps({**body, **(payload.get("extra_body") or {})}, option=_AS_JSON_DOES)
    except TypeError:
        return None


def _is_json(headers: Any) -> bool:
    """Return whether this is JSON, with nothing in the headers that the ordinary code would read."""
    kind = b""
    for name, value in headers:
        lower = name.lower()
        if lower == b"content-type":
            kind = value
        elif lower == b"x-langsmith-gateway-metadata":
            return False
    return kind.partition(b";")[0].endswith(b"json")


def _client_code() -> tuple[tuple[str, Any], ...]:
    """Return the code that a call runs through and others listen in at: tests' mocks, recorders, instrumentation."""
    library, openai = _library(), sys.modules["openai"]
    core = sys.modules.get(f"httpcore{library.__name__.removeprefix('httpx')}")
    pool = getattr(core, "AsyncConnectionPool", library.AsyncHTTPTransport)
    return (
        ("openai", openai.resources.chat.completions.AsyncCompletions.create),
        ("openai", openai.AsyncOpenAI.request),
        (library.__name__, library.AsyncClient.send),
        (library.__name__, library.AsyncHTTPTransport.handle_async_request),
        (pool.__module__.partition(".")[0], pool.handle_async_request),
    )


def _is_original(package: str, code: Any) -> bool:
    home = Path(str(sys.modules[package].__file__)).parent
    return isinstance(code, FunctionType) and home in Path(code.__code__.co_filename).parents


@cache
def _library() -> Any:
    """Return httpx, or its successor httpx2: what OpenAI's client is built on."""
    kinds = sys.modules["openai"].DefaultAsyncHttpxClient.__mro__
    return import_module(next(kind.__module__ for kind in kinds if kind.__name__ == "AsyncClient").partition(".")[0])


_counter: ContextVar[Counter[str] | None] = ContextVar("model calls", default=None)
_exchange: ContextVar[Any] = ContextVar("exchange")
_LANGCHAIN: Final = "langchain_openai.chat_models"
_LISTENED: Final = "a client that something listens in"
_OTHERWISE: Final = "a call that the short way would make otherwise"
_NO_BODY: Final = "a call that is more than a plain body"
_VALIDATION: Final = "_strict_response_validation"
_OF_EACH_CALL: Final = ("_api_key_provider", "workload_identity", "_provider", "_azure_ad_token_provider")
_NOT_OF_THE_BODY: Final = frozenset({"extra_headers", "extra_query", "timeout", "response_format"})
_OF_THE_SENDER: Final = frozenset({"host", "content-length", "accept-encoding", "connection"})
_OF_CODED: Final = frozenset({b"content-encoding", b"content-length"})
_AS_JSON_DOES: Final = orjson.OPT_PASSTHROUGH_DATETIME | orjson.OPT_PASSTHROUGH_DATACLASS | orjson.OPT_NON_STR_KEYS
