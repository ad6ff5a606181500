"""What makes the calls of a chat model independent draws: no cache, no stream, no seed, no retries but ours."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Sequence
from collections.abc import Set as AbstractSet
from inspect import signature
from types import MethodType
from typing import Any, Final

from langchain_core.language_models import BaseChatModel
from langchain_core.outputs import ChatResult
from langchain_core.runnables import Runnable, RunnableBinding, RunnableConfig
from langchain_core.runnables.config import merge_configs
from pydantic import SecretStr

from langgraph_maker.calls import redact
from langgraph_maker.models import each_chat_model

__all__ = ["connected", "discreet", "heated", "independent", "secrets_of", "takes_n", "unbound"]


def independent(model: BaseChatModel, max_tokens: int | None) -> BaseChatModel:
    """A copy of `model` whose calls have nothing in common, and ask for `max_tokens` where it leaves that open."""
    update: dict[str, Any] = {"disable_streaming": True, "cache": False}
    if max_tokens and getattr(model, "max_tokens", 0) is None:
        update["max_tokens"] = max_tokens
    if getattr(model, "streaming", False):
        update["streaming"] = False
    if getattr(model, "seed", None) is not None:
        update["seed"] = None
    if "n" in type(model).model_fields and isinstance(getattr(model, "n", None), int):
        update["n"] = type(model).model_fields["n"].get_default()
    if "max_retries" in type(model).model_fields:
        update["max_retries"] = 0  # ours are the only retries
    for name in ("root_client", "root_async_client"):
        client: Any = getattr(model, name, None)
        if hasattr(client, "with_options"):
            once = client.with_options(max_retries=0)
            update |= {name: once, name.removeprefix("root_"): once.chat.completions}
    return model.model_copy(update=update)


def heated(
    model: BaseChatModel,
    temperature: float | None,
    left_out: AbstractSet[str],
    secrets: Sequence[str],
    http: Callable[[], Any],
) -> Runnable[Any, Any]:
    """`model` at a temperature (None: its own), without the settings that are `left_out`, with a client from `http`."""
    known = type(model).model_fields
    update: dict[str, Any] = {name: None for name in left_out & {"temperature", "max_tokens"} if name in known}
    hot = temperature is not None and "temperature" not in left_out
    if hot and "temperature" in known:
        update["temperature"] = temperature
    if (here := connected(model.model_copy(update=update) if update else model, http)) is not model:
        model = discreet(here, secrets)
    return model.bind(temperature=temperature) if hot and "temperature" not in known else model


def connected(model: BaseChatModel, http: Any) -> BaseChatModel:
    """`model` with an HTTP client of its own, where it is one of OpenAI's and its user gave it none.

    HTTP clients belong to the event loop that they were first used on, and LangChain shares one between all models.
    """
    client: Any = getattr(model, "root_async_client", None)
    if not hasattr(client, "copy") or getattr(model, "http_async_client", None) is not None:
        return model
    own = client.copy(http_client=http())
    return model.model_copy(update={"root_async_client": own, "async_client": own.chat.completions})


def discreet(model: BaseChatModel, secrets: Sequence[str]) -> BaseChatModel:
    """`model`, its errors without keys, and no answer an error: callbacks are told of both before we could be."""
    generate: Callable[..., Awaitable[ChatResult]] = MethodType(type(model)._agenerate, model)  # noqa: SLF001 - what subclasses of BaseChatModel write

    async def discreetly(*args: Any, **kwargs: Any) -> ChatResult:
        try:
            result = await generate(*args, **kwargs)
        except Exception as error:
            redact(error, secrets)
            raise
        if not result.generations:
            raise ValueError("no choices in the response")
        return result

    object.__setattr__(model, "_agenerate", discreetly)
    return model


def unbound(model: Runnable[Any, Any]) -> tuple[Runnable[Any, Any], dict[str, Any], RunnableConfig]:
    """What plain bindings bind, their arguments, and their config."""
    kwargs: dict[str, Any] = {}
    config: RunnableConfig = {}
    while isinstance(model, RunnableBinding) and not model.config_factories:
        kwargs, config = {**model.kwargs, **kwargs}, merge_configs(model.config, config)
        model = model.bound
    return model, kwargs, config


def takes_n(model: BaseChatModel) -> bool:
    """Whether one call of `model` may give several answers."""
    return "n" in type(model).model_fields or "n" in signature(model._generate).parameters  # noqa: SLF001


def secrets_of(model: Runnable[Any, Any]) -> list[str]:
    """The keys that errors of `model` must not show."""
    found = [value for name, value in os.environ.items() if name.endswith("_API_KEY")]

    def look(one: BaseChatModel) -> BaseChatModel:
        values = (getattr(one, name, None) for name in type(one).model_fields)
        found.extend(value.get_secret_value() for value in values if isinstance(value, SecretStr))
        return one

    each_chat_model(model, look)
    return [secret for secret in found if len(secret) >= _SHORTEST_SECRET]


_SHORTEST_SECRET: Final = 8  # what is shorter stands in ordinary words
