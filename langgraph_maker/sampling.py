"""From any chat model to a `Sampler`: independent draws, none shared, none from a cache."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from collections.abc import Set as AbstractSet
from functools import cache
from importlib.util import find_spec
from typing import Any, TypeAlias, TypeVar, cast

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage
from langchain_core.runnables import (
    Runnable,
    RunnableBinding,
    RunnableConfig,
    RunnableSequence,
    RunnableWithFallbacks,
)
from langchain_core.runnables.base import RunnableBindingBase
from langchain_core.runnables.configurable import DynamicRunnable
from pydantic import SecretStr

from langgraph_maker.errors import SamplingError
from langgraph_maker.red_flags import AnyOf, RuleLike, TokenLimit
from langgraph_maker.simulation import simulated_sampler
from langgraph_maker.state import Request, Sampler
from langgraph_maker.task import Task

__all__ = [
    "Model",
    "as_sampler",
    "chat_model",
    "each_chat_model",
    "model_name",
    "run_at_once",
    "run_sync",
    "token_allowance",
]

Model: TypeAlias = str | BaseChatModel | Runnable[Any, Any] | Sampler
"""A chat model, a Runnable from messages to a message, "provider:name", or a `Sampler`."""

T = TypeVar("T")


def as_sampler(model: Model, *, task: Task | None = None, max_tokens: int | None = None) -> Sampler:
    """Return the sampler that draws from `model`.

    Samples are independent draws: the model's cache and streaming are off, and samples stay out of the host's
    message stream (tag "nostream"). So it is for chat models inside bindings, retries, fallbacks and sequences; any
    other Runnable is called as it is.

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
    if isinstance(model, str):
        model = chat_model(model)
    if isinstance(model, Runnable):
        return _ModelSampler(model, max_tokens)
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
    limits = [rule.limit for rule in _flat(red_flags) if isinstance(rule, TokenLimit)]
    return min(limits) + 100 if limits else None


def _flat(rule: RuleLike | None) -> list[RuleLike | None]:
    return [inner for one in rule.rules for inner in _flat(one)] if isinstance(rule, AnyOf) else [rule]


class _ModelSampler:
    """Draws each sample with a call of its own, all at once."""

    def __init__(self, model: Runnable[Any, Any], max_tokens: int | None) -> None:
        self.secrets = _secrets(model)
        independent = each_chat_model(model, lambda one: _independent(one, max_tokens), lose={"seed"})

        @cache
        def at(temperature: float | None) -> Runnable[Any, Any]:
            if temperature is None:
                return independent
            return each_chat_model(independent, lambda one: _heated(one, temperature), lose={"temperature"})

        self.at = at

    async def __call__(self, requests: Sequence[Request]) -> list[AIMessage | Exception]:
        return await _gather([self._draw(request) for request in requests])

    async def _draw(self, request: Request) -> AIMessage:
        config: RunnableConfig = {
            "tags": ["nostream"],
            "metadata": {"subtask": request.subtask_id, "sample": request.number},
            "run_name": "sample",
        }
        try:
            return _message(await self.at(request.temperature).ainvoke(list(request.messages), config))
        except Exception as error:
            said = str(error)
            if any(secret in said for secret in self.secrets):
                raise SamplingError(f"{type(error).__name__}: {_without(self.secrets, said)}") from None
            raise


def each_chat_model(
    model: Runnable[Any, Any],
    change: Callable[[BaseChatModel], Runnable[Any, Any]],
    *,
    lose: AbstractSet[str] = frozenset(),
) -> Runnable[Any, Any]:
    """`model` with every chat model in it changed: inside bindings, retries, fallbacks, sequences, configurables.

    What bindings bind is kept, but for the arguments to `lose`.
    """

    def inside(part: Any) -> Any:
        return each_chat_model(part, change, lose=lose)

    if isinstance(model, BaseChatModel):
        return change(model)
    if isinstance(model, RunnableBindingBase):
        kwargs = {name: value for name, value in model.kwargs.items() if name not in lose}
        return model.model_copy(update={"bound": inside(model.bound), "kwargs": kwargs})
    if isinstance(model, RunnableWithFallbacks):
        return model.model_copy(
            update={"runnable": inside(model.runnable), "fallbacks": [inside(one) for one in model.fallbacks]}
        )
    if isinstance(model, RunnableSequence):
        first, *middle, last = (inside(step) for step in model.steps)
        return model.model_copy(update={"first": first, "middle": middle, "last": last})
    if isinstance(model, DynamicRunnable):
        return model.model_copy(update={"default": inside(model.default)})
    return model


def _independent(model: BaseChatModel, max_tokens: int | None) -> BaseChatModel:
    update: dict[str, Any] = {"disable_streaming": True, "cache": False}
    if max_tokens and getattr(model, "max_tokens", 0) is None:
        update["max_tokens"] = max_tokens
    if getattr(model, "seed", None) is not None:
        update["seed"] = None
    return model.model_copy(update=update)


def _heated(model: BaseChatModel, temperature: float) -> Runnable[Any, Any]:
    if "temperature" in type(model).model_fields:
        return model.model_copy(update={"temperature": temperature})
    return model.bind(temperature=temperature)


def _secrets(model: Runnable[Any, Any]) -> list[str]:
    """The keys that errors of `model` must not show."""
    found = [value for name, value in os.environ.items() if name.endswith("_API_KEY")]

    def look(one: BaseChatModel) -> BaseChatModel:
        values = (getattr(one, name, None) for name in type(one).model_fields)
        found.extend(value.get_secret_value() for value in values if isinstance(value, SecretStr))
        return one

    each_chat_model(model, look)
    return [secret for secret in found if len(secret) >= _SHORTEST_SECRET]


def _without(secrets: Sequence[str], text: str) -> str:
    for secret in secrets:
        text = text.replace(secret, "[key]")
    return text


_SHORTEST_SECRET = 8  # what is shorter stands in ordinary words


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
