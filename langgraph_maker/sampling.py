"""From any chat model to a `Sampler`: independent draws, none shared, none from a cache."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Awaitable, Coroutine, Sequence
from functools import cache
from importlib.util import find_spec
from typing import Any, TypeAlias, TypeVar, cast

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage
from langchain_core.runnables import Runnable, RunnableBinding, RunnableConfig
from langchain_core.runnables.config import ensure_config, merge_configs

from langgraph_maker.red_flags import AnyOf, RuleLike, TokenLimit
from langgraph_maker.simulation import simulated_sampler
from langgraph_maker.state import Request, Sampler
from langgraph_maker.task import Task

__all__ = ["Model", "as_sampler", "chat_model", "model_name", "run_at_once", "run_sync", "token_allowance"]

Model: TypeAlias = str | BaseChatModel | Runnable[Any, Any] | Sampler
"""A chat model, a Runnable from messages to a message, "provider:name", or a `Sampler`."""

T = TypeVar("T")


def as_sampler(model: Model, *, task: Task | None = None, max_tokens: int | None = None) -> Sampler:
    """Return the sampler that draws from `model`.

    Samples are independent draws: the model's cache and streaming are off, and samples stay out of the host's
    message stream (tag "nostream"). A Runnable that wraps no chat model directly keeps its own temperature.

    Args:
        model: See `Model`.
        task: What a simulated model ("sim:…") answers for.
        max_tokens: Output tokens to ask for, where the model has that setting and leaves it open.

    Raises:
        ValueError: For a string that names no model, or a model without its key.
        TypeError: For an object that is no model.

    Example:
        >>> from langchain_core.language_models import FakeListChatModel
        >>> from langchain_core.messages import HumanMessage
        >>> sampler = as_sampler(FakeListChatModel(responses=["4"]))
        >>> request = Request([HumanMessage("2 + 2?")], 0.0, "sum", 0)
        >>> [message.text for message in run_sync(sampler([request]))]
        ['4']
    """
    if isinstance(model, str) and model.startswith("sim:"):
        if task is None:
            raise ValueError(f"{model!r} simulates answers to a task; without one, use a SimulatedChatModel")
        return simulated_sampler(model, task)
    bound: Any = chat_model(model) if isinstance(model, str) else model
    kwargs: dict[str, Any] = {}
    config: RunnableConfig = {}
    while isinstance(bound, RunnableBinding):
        kwargs = {**bound.kwargs, **kwargs}
        config = merge_configs(bound.config, config)
        bound = bound.bound
    if isinstance(bound, BaseChatModel):
        return _ChatSampler(bound, kwargs, config, max_tokens)
    if isinstance(model, Runnable):
        return _RunnableSampler(model)
    if callable(model):
        return model
    raise TypeError(f"a model is a chat model, a Runnable, a Sampler or a string like 'openai:NAME', not {model!r}")


def chat_model(name: str, **settings: Any) -> BaseChatModel:
    """Return the chat model that "provider:name" stands for, with further `settings` such as `base_url`.

    Raises:
        ValueError: When the name has no provider, the provider's package or its key is missing.

    Example:
        >>> chat_model("gpt-4.1-mini")
        Traceback (most recent call last):
        ValueError: unknown model 'gpt-4.1-mini': use 'openai:NAME', 'sim:NAME' or another 'provider:NAME'
    """
    provider, colon, model = name.partition(":")
    if not (provider and colon and model):
        raise ValueError(f"unknown model {name!r}: use 'openai:NAME', 'sim:NAME' or another 'provider:NAME'")
    if provider == "openai":
        if not (settings.get("api_key") or os.environ.get("OPENAI_API_KEY")):
            raise ValueError(
                f"{name} needs a key: set the environment variable OPENAI_API_KEY"
                " (to anything, for a server that asks for none)"
            )
        from langchain_openai import ChatOpenAI  # noqa: PLC0415 - a second to import, and often not needed

        return ChatOpenAI(model=model, **settings)
    if find_spec("langchain") is None:
        raise ValueError(f"unknown model {name!r}: for {provider!r} models, pip install langchain langchain-{provider}")
    from langchain.chat_models import init_chat_model  # noqa: PLC0415 - optional

    try:
        return cast("BaseChatModel", init_chat_model(name, **settings))
    except ImportError as error:
        raise ValueError(f"{name}: {error}") from error


def model_name(model: Model) -> str:
    """What to call a model in a record: never its settings, which may hold a key."""
    if isinstance(model, str):
        return model
    inner: Any = model
    while isinstance(inner, RunnableBinding):
        inner = inner.bound
    name = getattr(inner, "model_name", None) or getattr(inner, "model", None)
    kind = type(inner).__name__
    return f"{kind} {name}" if isinstance(name, str) else getattr(inner, "__name__", kind)


def token_allowance(red_flags: RuleLike | None) -> int | None:
    """Output tokens to ask a provider for: 100 beyond the strictest `TokenLimit`, or the flag could never fire.

    Example:
        >>> from langgraph_maker.red_flags import Truncated
        >>> token_allowance(TokenLimit(750) | Truncated())
        850
    """
    rules = red_flags.rules if isinstance(red_flags, AnyOf) else (red_flags,)
    limits = [rule.limit for rule in rules if isinstance(rule, TokenLimit)]
    return min(limits) + 100 if limits else None


class _ChatSampler:
    """Draws each sample with a call of its own, all at once."""

    def __init__(
        self, model: BaseChatModel, kwargs: dict[str, Any], config: RunnableConfig, max_tokens: int | None
    ) -> None:
        self.model = model.model_copy(update={"disable_streaming": True, "cache": False})
        self.kwargs = {name: value for name, value in kwargs.items() if name != "seed"}
        self.config = config
        if max_tokens and "max_tokens" not in kwargs and getattr(model, "max_tokens", 0) is None:
            self.model = self.model.model_copy(update={"max_tokens": max_tokens})

    async def __call__(self, requests: Sequence[Request]) -> list[AIMessage | Exception]:
        config = merge_configs(ensure_config(), self.config)
        return await _gather([self._draw(request, config) for request in requests])

    async def _draw(self, request: Request, config: RunnableConfig) -> AIMessage:
        model, kwargs = self._at(request.temperature)
        result = await model.agenerate(
            [list(request.messages)],
            callbacks=config.get("callbacks"),
            tags=[*config.get("tags", []), "nostream"],
            metadata={**config.get("metadata", {}), "subtask": request.subtask_id, "sample": request.number},
            run_name="sample",
            **kwargs,
        )
        return _message(getattr(result.generations[0][0], "message", None))

    def _at(self, temperature: float | None) -> tuple[BaseChatModel, dict[str, Any]]:
        if temperature is None:
            return self.model, self.kwargs
        if "temperature" not in type(self.model).model_fields:
            return self.model, {**self.kwargs, "temperature": temperature}
        kwargs = {name: value for name, value in self.kwargs.items() if name != "temperature"}
        return self.model.model_copy(update={"temperature": temperature}), kwargs


class _RunnableSampler:
    """Draws each sample from a Runnable as it is."""

    def __init__(self, runnable: Runnable[Any, Any]) -> None:
        self.runnable = runnable

    async def __call__(self, requests: Sequence[Request]) -> list[AIMessage | Exception]:
        config = merge_configs(ensure_config(), {"tags": ["nostream"]})
        return await _gather([self._draw(request, config) for request in requests])

    async def _draw(self, request: Request, config: RunnableConfig) -> AIMessage:
        return _message(await self.runnable.ainvoke(list(request.messages), config))


def _message(response: object) -> AIMessage:
    if isinstance(response, str):
        return AIMessage(response)
    if not isinstance(response, AIMessage):
        raise TypeError(f"a model must answer with an AIMessage or a string, not {type(response).__name__}")
    return response


async def _gather(draws: Sequence[Awaitable[AIMessage]]) -> list[AIMessage | Exception]:
    drawn = await asyncio.gather(*draws, return_exceptions=True)
    for response in drawn:
        if isinstance(response, BaseException) and not isinstance(response, Exception):
            raise response
    return cast("list[AIMessage | Exception]", drawn)


def run_sync(awaitable: Awaitable[T]) -> T:
    """Wait for `awaitable` from synchronous code, inside a running event loop too (Jupyter).

    One long-lived loop in the background serves all such calls, because HTTP clients stay bound to the loop that
    they were first used on. The caller's context variables go along.
    """

    async def run() -> T:
        return await awaitable

    future = asyncio.run_coroutine_threadsafe(run(), _background_loop(os.getpid()))
    try:
        return future.result()
    except BaseException:
        future.cancel()
        raise


def run_at_once(coroutine: Coroutine[Any, Any, T]) -> T:
    """The result of a coroutine that never waits, without an event loop.

    Raises:
        RuntimeError: When it does wait.
    """
    try:
        coroutine.send(None)
    except StopIteration as done:
        return cast("T", done.value)
    coroutine.close()
    raise RuntimeError("a sampler marked never_waits waited: take the mark off")


@cache
def _background_loop(pid: int) -> asyncio.AbstractEventLoop:  # noqa: ARG001 - a fork has no threads, so needs its own
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, name="langgraph-maker", daemon=True).start()
    return loop
