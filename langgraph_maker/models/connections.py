"""What a sampler has on one event loop: copies of its model with connections of their own, closed with the loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Hashable
from contextlib import suppress
from functools import cached_property
from importlib import import_module
from inspect import getattr_static
from typing import Any, cast
from weakref import finalize

from langchain_core.language_models import BaseChatModel
from langchain_core.runnables import Runnable

from langgraph_maker.models.odd_payloads import mend_body

__all__ = ["Connections", "connected", "fresh", "has_own_client", "once", "patient", "with_client"]


class Connections:
    """The copies of a model on the running event loop, and the HTTP clients made for them.

    HTTP clients belong to the event loop that they were first used on, and some of LangChain's models share one between
    all. They are closed with `aclose`, when nobody has them any more, and when the loop is shut down, as `asyncio.run`
    does at its end.
    """

    def __init__(self) -> None:
        self.models: dict[Hashable, Runnable[Any, Any]] = {}
        self.gate = asyncio.Lock()
        self._clients: dict[str, Any] = {}
        self._closing = _close_at_the_end(self._clients)
        with suppress(StopIteration):
            self._closing.__anext__().send(None)  # as far as its yield: the loop knows it from now on
        finalize(self, _close, asyncio.get_running_loop(), self._clients)

    def client(self, package: str) -> Any:
        """Return the HTTP client for models of this package, made if need be."""
        made = import_module(package).DefaultAsyncHttpxClient
        return self.keep(package, lambda: made(event_hooks={"response": [mend_body]}))

    def adopt(self, model: BaseChatModel, update: dict[str, Any]) -> BaseChatModel:
        """Return this event loop's own copy of `model`, updated; what it opens as it is used is closed with all here.

        One without an update is the same for all who ask, since a model may count its calls.
        """
        key = f"{id(model)} {sorted(update.items(), key=repr)}"
        return cast("BaseChatModel", self.keep(key, lambda: _Sessions(model.model_copy(update=update))).model)

    def keep(self, name: str, make: Callable[[], Any]) -> Any:
        """Return what `make` made, once for each `name`; it has `aclose`, and is closed with all here."""
        if name not in self._clients:
            self._clients[name] = make()
        return self._clients[name]

    async def aclose(self) -> None:
        """Close all connections."""
        self.models.clear()
        await self._closing.aclose()


async def _close_at_the_end(clients: dict[str, Any]) -> AsyncGenerator[None]:
    try:
        yield
    finally:
        await _close_all(clients)


async def _close_all(clients: dict[str, Any]) -> None:
    while clients:
        await clients.popitem()[1].aclose()


def _close(loop: asyncio.AbstractEventLoop, clients: dict[str, Any]) -> None:
    """Close the connections of a sampler that nobody has any more."""
    if clients and loop.is_running():
        asyncio.run_coroutine_threadsafe(_close_all(clients), loop)
        return
    for client in clients.values():
        if (abandon := getattr(client, "abandon", None)) is not None:
            abandon()


class _Sessions:
    """The connections that a model opened by itself, on a copy that is this event loop's own."""

    def __init__(self, model: BaseChatModel) -> None:
        self.model = model
        self.others = {id(value) for value in _values(model) if _is_session(value)}

    async def aclose(self) -> None:
        for value in _values(self.model):
            if _is_session(value) and id(value) not in self.others:
                await (value.aclose() if hasattr(value, "aclose") else value.close())


def connected(model: BaseChatModel, client: Callable[[str], Any]) -> BaseChatModel | None:
    """Return a copy of `model` with an HTTP client of its own, None where it is of no kind that can be given one.

    That is for the clients that Stainless makes (OpenAI's, Anthropic's, Groq's, …), where the user gave none and no
    proxy.
    """
    if has_own_client(model):
        return None
    with_own = _with_clients(
        model,
        lambda root: root.copy(http_client=client(type(root).__module__.partition(".")[0]), max_retries=0),
        lambda name: "async" in name,
    )
    return None if with_own is model else with_own


def has_own_client(model: BaseChatModel) -> bool:
    """Return whether the user gave the model an HTTP client or a proxy."""
    return any(getattr(model, name, None) is not None for name in _OF_THE_USER)


def with_client(model: BaseChatModel, client: Callable[[str, Any], Any]) -> BaseChatModel:
    """Return a copy of `model` whose asynchronous calls go through what `client` makes for a package and its client."""
    copy = _with_clients(
        model,
        lambda root: root.copy(http_client=client(type(root).__module__.partition(".")[0], root), max_retries=0),
        lambda name: "async" in name,
    )
    if copy is not model and "http_async_client" in type(copy).model_fields:
        copy.__dict__["http_async_client"] = vars(copy)["root_async_client"]._client  # noqa: SLF001 - as if given
    return copy


def once(model: BaseChatModel) -> BaseChatModel:
    """Return `model` with clients that make no call again by themselves."""
    return _with_clients(
        model, lambda root: root.with_options(max_retries=0), lambda name: name in type(model).model_fields
    )


def patient(model: BaseChatModel, seconds: float) -> BaseChatModel:
    """Return `model` with clients that wait so long for an answer, unless the user has said how long."""
    if getattr(model, "request_timeout", None) is not None:
        return model
    return _with_clients(
        model, lambda root: root.with_options(timeout=seconds), lambda name: name in type(model).model_fields
    )


def fresh(model: BaseChatModel) -> BaseChatModel:
    """Return a copy of `model` that has none of the connections that `model` opened when it was used."""
    copy = model.model_copy()
    for name in [*copy.__dict__]:
        if isinstance(getattr_static(type(copy), name, None), cached_property):
            del copy.__dict__[name]
    for name, attribute in type(copy).__private_attributes__.items():
        if _is_session(getattr(copy, name, None)) and attribute.default is None:
            setattr(copy, name, None)
    return copy


def _with_clients(model: BaseChatModel, change: Callable[[Any], Any], takes: Callable[[str], bool]) -> BaseChatModel:
    """Return a copy of `model` with changed clients: in fields, in resources of clients, where made on demand."""
    changed: dict[int, Any] = {}
    update: dict[str, Any] = {}
    kind = type(model)
    made = [name for name in ("_async_client",) if isinstance(getattr_static(kind, name, None), cached_property)]
    for name in filter(takes, [*kind.model_fields, *made]):
        value = getattr(model, name, None)
        root = value if _is_client(value) else _root(value)
        if not _is_client(root):
            continue
        if id(root) not in changed:
            changed[id(root)] = change(root)
        own = changed[id(root)]
        update[name] = own if value is root else _resource(value, root, own)
    if not update:
        return model
    copy = model.model_copy(update={name: value for name, value in update.items() if name in kind.model_fields})
    copy.__dict__.update(update)
    return copy


def _is_client(value: Any) -> bool:
    return hasattr(value, "with_options") and hasattr(value, "copy") and hasattr(value, "max_retries")


def _root(value: Any) -> Any:
    """Return the client that a resource, such as `client.chat.completions`, is one of."""
    return getattr(value, "_client", None)


def _resource(value: Any, root: Any, own: Any) -> Any:
    """Return the same resource of another client."""
    chat = getattr(root, "chat", None)
    return own.chat.completions if type(value) is type(getattr(chat, "completions", None)) else type(value)(own)


def _is_session(value: Any) -> bool:
    """Return whether this is an HTTP client of an event loop's: httpx's or aiohttp's."""
    return any(
        kind.__name__ in {"AsyncClient", "ClientSession"}
        and kind.__module__.partition(".")[0] in {"httpx", "httpx2", "aiohttp"}
        for kind in type(value).__mro__
    )


def _values(model: BaseChatModel) -> list[Any]:
    private = getattr(model, "__pydantic_private__", None) or {}
    return [*model.__dict__.values(), *private.values()]


_OF_THE_USER = ("http_async_client", "openai_proxy", "anthropic_proxy", "groq_proxy", "proxy")
