"""What makes the calls of a chat model independent draws: no cache, no seed, no retries but ours."""

from __future__ import annotations

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from inspect import signature
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.outputs import ChatResult
from langchain_core.runnables import Runnable, RunnableBinding, RunnableConfig
from langchain_core.runnables.config import merge_configs

from langgraph_maker.models.call_path import reaching
from langgraph_maker.models.connections import Connections, connected, fresh, once
from langgraph_maker.models.credentials import credentials_in, credentials_of_environment, credentials_sent
from langgraph_maker.models.odd_payloads import forgiving
from langgraph_maker.models.resolve import each_chat_model
from langgraph_maker.models.retry import redact
from langgraph_maker.models.settings import STREAM_FALSE, STREAM_TRUE
from langgraph_maker.models.short_call import ShortCall, short_call

__all__ = ["at_temperature", "independent", "is_streaming", "secrets_of", "takes_n", "unbound", "without_keys"]


def independent(model: BaseChatModel, max_tokens: int | None) -> BaseChatModel:
    """Return a copy of `model` whose calls share nothing, and ask for `max_tokens` where it leaves that open."""
    update: dict[str, Any] = {"disable_streaming": True, "cache": False}
    if max_tokens and getattr(model, "max_tokens", 0) is None:
        update["max_tokens"] = max_tokens
    if getattr(model, "seed", None) is not None:
        update["seed"] = None
    if "n" in type(model).model_fields and isinstance(getattr(model, "n", None), int):
        update["n"] = type(model).model_fields["n"].get_default()
    if "max_retries" in type(model).model_fields:
        update["max_retries"] = 0  # ours are the only retries
    return forgiving(once(fresh(model).model_copy(update=update)))


def at_temperature(
    model: BaseChatModel,
    temperature: float | None,
    left_out: AbstractSet[str],
    secrets: Sequence[str],
    here: Connections,
) -> Runnable[Any, Any]:
    """Return `model` at a temperature (None: its own), without what is `left_out`, with connections of `here`."""
    known = type(model).model_fields
    update: dict[str, Any] = {name: None for name in left_out & {"temperature", "max_tokens"} if name in known}
    hot = temperature is not None and "temperature" not in left_out
    if hot and "temperature" in known:
        update["temperature"] = temperature
    if STREAM_TRUE in left_out and is_streaming(model):
        update["streaming"] = False
    own = connected(model.model_copy(update=update), here.client)
    short = _OF_THE_USER if own is None else short_call(own, here)
    streams = STREAM_TRUE not in left_out and (STREAM_FALSE in left_out or is_streaming(model))
    model = without_keys(
        own or here.adopt(model, update), secrets, connected=own is not None, short=short, streams=streams
    )
    return model.bind(temperature=temperature) if hot and "temperature" not in known else model


def is_streaming(model: BaseChatModel) -> bool:
    """Return whether its user has asked for streams, as a provider may take nothing else."""
    return getattr(model, "streaming", False) is True


def without_keys(
    model: BaseChatModel,
    secrets: Sequence[str],
    *,
    connected: bool = False,
    short: ShortCall | str = "",
    streams: bool = False,
) -> BaseChatModel:
    """Return `model`, its errors without keys, and no answer an error: callbacks see both before we could be."""
    ask = reaching(model, connected=connected, short=short, streams=streams)

    async def discreetly(*args: Any, **kwargs: Any) -> ChatResult:
        try:
            result = await ask(*args, **kwargs)
        except Exception as error:
            held = [*credentials_in({name: getattr(model, name, None) for name in type(model).model_fields})]
            redact(error, [*secrets, *held, *credentials_in(kwargs), *credentials_sent(error)])
            raise
        if not result.generations:
            raise ValueError("no choices in the response")
        return result

    object.__setattr__(model, "_agenerate", discreetly)
    return model


def unbound(model: Runnable[Any, Any]) -> tuple[Runnable[Any, Any], dict[str, Any], RunnableConfig]:
    """Return what plain bindings bind, their arguments, and their config."""
    kwargs: dict[str, Any] = {}
    config: RunnableConfig = {}
    while isinstance(model, RunnableBinding) and not model.config_factories:
        kwargs, config = {**model.kwargs, **kwargs}, merge_configs(model.config, config)
        model = model.bound
    return model, kwargs, config


def takes_n(model: BaseChatModel) -> bool:
    """Return whether one call of `model` may give several answers."""
    return "n" in type(model).model_fields or "n" in signature(model._generate).parameters  # noqa: SLF001


def secrets_of(model: Runnable[Any, Any]) -> list[str]:
    """Return the keys that errors of `model` must not show."""
    found = [*credentials_of_environment(), *credentials_in(unbound(model)[1])]

    def look(one: BaseChatModel) -> BaseChatModel:
        found.extend(credentials_in({name: getattr(one, name, None) for name in type(one).model_fields}))
        return one

    each_chat_model(model, look)
    return found


_OF_THE_USER = "connections that are not made here"
