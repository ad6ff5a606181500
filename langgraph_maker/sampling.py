"""From any chat model to a `Sampler`: independent draws, none shared, none from a cache."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import asynccontextmanager
from functools import cache
from inspect import signature
from itertools import accumulate, groupby, pairwise
from types import MethodType
from typing import Any, Final
from weakref import WeakKeyDictionary

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage
from langchain_core.messages.ai import UsageMetadata
from langchain_core.outputs import ChatResult, LLMResult
from langchain_core.runnables import Runnable, RunnableBinding, RunnableConfig
from langchain_core.runnables.config import ensure_config, merge_configs
from pydantic import SecretStr

from langgraph_maker.calls import redact
from langgraph_maker.models import Model, chat_model, each_chat_model
from langgraph_maker.red_flags import RuleLike, TokenLimit, each_rule
from langgraph_maker.simulation import simulated_sampler
from langgraph_maker.state import Request, Sampler
from langgraph_maker.task import Task

__all__ = ["ModelSampler", "as_sampler", "token_allowance"]


def as_sampler(model: Model, *, task: Task | None = None, max_tokens: int | None = None) -> Sampler:
    """Return the sampler that draws from `model`.

    Samples are independent draws: the model's cache and streaming are off, and samples stay out of the host's
    message stream (tag "nostream"). So it is for chat models inside bindings, retries, fallbacks and sequences; any
    other Runnable is called as it is.

    Args:
        model: See `models.Model`.
        task: What a simulated model ("sim:…") answers for.
        max_tokens: Output tokens to ask for, where the model has that setting and leaves it open.

    Raises:
        ValueError: For a string that names no model, or a model without its key.
        TypeError: For an object that is no model.

    Example:
        >>> import asyncio
        >>> from langchain_core.language_models import FakeListChatModel
        >>> from langchain_core.messages import HumanMessage
        >>> sampler = as_sampler(FakeListChatModel(responses=["4"]))
        >>> request = Request([HumanMessage("2 + 2?")], 0.0, "sum", 0)
        >>> [message.text for message in asyncio.run(sampler([request]))]
        ['4']
    """
    if isinstance(model, str) and model.startswith("sim:"):
        if task is None:
            raise ValueError(f"{model!r} simulates answers to a task; without one, use a SimulatedChatModel")
        return simulated_sampler(model, task)
    if isinstance(model, str):
        model = chat_model(model)
    if isinstance(model, Runnable):
        return ModelSampler(model, max_tokens)
    if callable(model):
        return model
    raise TypeError(f"a model is a chat model, a Runnable, a Sampler or a string like 'openai:NAME', not {model!r}")


def token_allowance(red_flags: RuleLike | None) -> int | None:
    """Output tokens to ask a provider for: 100 beyond the strictest `TokenLimit`, or the flag could never fire.

    Example:
        >>> from langgraph_maker.red_flags import Truncated
        >>> token_allowance(TokenLimit(750) | Truncated())
        850
    """
    limits = [rule.limit for rule in each_rule(red_flags) if isinstance(rule, TokenLimit)]
    return min(limits) + 100 if limits else None


class ModelSampler:
    """Draws from a Runnable: several samples of one prompt in one call where the model has `n`, else each in its own.

    The first call of each shape goes alone, and what the provider refuses or ignores (temperature, n, a length limit)
    is left out for good. Usage is exact however many samples a call gives: the prompt is counted once, with the first.
    """

    max_concurrency = 256
    """Calls at a time, unless the user says otherwise: what sockets and files suffice for anywhere."""

    def __init__(self, model: Runnable[Any, Any], max_tokens: int | None) -> None:
        self.secrets = _secrets(model)
        self.left_out: set[str] = set()
        self._proven: set[tuple[bool, bool]] = set()
        self._gates: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Lock] = WeakKeyDictionary()
        independent = each_chat_model(
            model, lambda one: _discreet(_independent(one, max_tokens), self.secrets), lose={"seed"}
        )

        @cache
        def at(temperature: float | None, left_out: frozenset[str]) -> Runnable[Any, Any]:
            lose = {word for name in left_out for word in _SETTINGS[name]}
            return each_chat_model(
                independent,
                lambda one: _heated(one, temperature, left_out, self.secrets),
                lose=lose if temperature is None else {*lose, "temperature"},
            )

        self._at = at
        target, _, _ = _unbound(independent)
        if not (isinstance(target, BaseChatModel) and _takes_n(target)):
            self.left_out.add("n")

    def split(self, requests: Sequence[Request]) -> list[list[Request]]:
        """The samples that go into one call together: those of one ballot at one temperature."""
        if "n" in self.left_out:
            return [[request] for request in requests]
        return [list(group) for _, group in groupby(requests, key=lambda one: (one.subtask_id, one.temperature))]

    async def __call__(self, requests: Sequence[Request]) -> list[AIMessage | Exception]:
        """Draw one response for each request, in order; an exception in its place where a call failed."""
        groups = self.split(requests)
        drawn = await asyncio.gather(*(self._draw(group) for group in groups))
        return [response for responses in drawn for response in responses]

    async def _draw(self, group: list[Request]) -> list[AIMessage | Exception]:
        try:
            responses: list[AIMessage | Exception] = [*await self._ask(group)]
        except Exception as error:  # noqa: BLE001 - given to the caller, who decides what it means
            redact(error, self.secrets)
            return [error] * len(group)
        if missing := group[len(responses) :]:  # the provider ignores n
            self.left_out.add("n")
            responses += await self([*missing])
        return responses

    async def _ask(self, group: list[Request]) -> list[AIMessage]:
        shape = (len(group) > 1, group[0].temperature is None)
        if shape in self._proven:
            return await self._generate(group)
        async with self._alone():
            while True:
                try:
                    responses = await self._generate(group)
                except Exception as error:
                    if not (refused := self._refused(error, several=len(group) > 1)):
                        raise
                    self.left_out |= refused
                    if "n" in refused:
                        group = group[:1]
                else:
                    self._proven.add(shape)
                    return responses

    @asynccontextmanager
    async def _alone(self) -> AsyncIterator[None]:
        """One at a time, though nobody waits for long: a first call may hang."""
        gate = self._gates.setdefault(asyncio.get_running_loop(), asyncio.Lock())
        try:
            await asyncio.wait_for(gate.acquire(), _TURN)
        except TimeoutError:
            yield
            return
        try:
            yield
        finally:
            gate.release()

    def _refused(self, error: Exception, *, several: bool) -> set[str]:
        """Which of the settings that we sent the provider refuses."""
        said = str(error)
        if several and isinstance(error, TypeError) and "'n'" in said:
            return {"n"}
        if getattr(error, "status_code", None) not in {400, 422}:
            return set()
        param = getattr(error, "param", None)
        return {
            name
            for name, words in _SETTINGS.items()
            if name not in self.left_out
            and (name != "n" or several)
            and (
                param in words or (param is None and any(f"'{word}'" in said or f"`{word}`" in said for word in words))
            )
        }

    async def _generate(self, group: Sequence[Request]) -> list[AIMessage]:
        request = group[0]
        model, kwargs, config = _unbound(self._at(request.temperature, frozenset(self.left_out)))
        config = merge_configs(config, _config(request))
        messages = list(request.messages)
        if not isinstance(model, BaseChatModel):
            return [_message(await model.ainvoke(messages, config, **kwargs))]
        config = ensure_config(config)  # the caller's callbacks, which agenerate does not look for
        if len(group) > 1:
            kwargs["n"] = len(group)
        try:
            result = await model.agenerate(
                [messages],
                callbacks=config.get("callbacks"),
                tags=config.get("tags"),
                metadata=config.get("metadata"),
                run_name=config.get("run_name"),
                **kwargs,
            )
        except Exception as error:
            if (cut := _cut_short(error)) is None:
                raise
            return [cut, *(AIMessage("", response_metadata=cut.response_metadata) for _ in group[1:])]
        return _messages(result)[: len(group)]


def _config(request: Request) -> RunnableConfig:
    """Where the sample belongs, for tracers."""
    metadata = {
        "run": request.run_id,
        "step": request.subtask_id,
        "ballot": request.subtask_id,
        "round": request.round,
        "sample": request.number,
    }
    return {"tags": ["nostream"], "metadata": metadata, "run_name": "sample"}


def _independent(model: BaseChatModel, max_tokens: int | None) -> BaseChatModel:
    update: dict[str, Any] = {"disable_streaming": True, "cache": False}
    if max_tokens and getattr(model, "max_tokens", 0) is None:
        update["max_tokens"] = max_tokens
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


def _heated(
    model: BaseChatModel, temperature: float | None, left_out: AbstractSet[str], secrets: Sequence[str]
) -> Runnable[Any, Any]:
    known = type(model).model_fields
    update: dict[str, Any] = {name: None for name in left_out & {"temperature", "max_tokens"} if name in known}
    heated = temperature is not None and "temperature" not in left_out
    if heated and "temperature" in known:
        update["temperature"] = temperature
    if update:
        model = _discreet(model.model_copy(update=update), secrets)
    return model.bind(temperature=temperature) if heated and "temperature" not in known else model


def _discreet(model: BaseChatModel, secrets: Sequence[str]) -> BaseChatModel:
    """`model`, its errors without keys: callbacks are told of an error before we could mend it."""
    generate: Callable[..., Awaitable[ChatResult]] = MethodType(type(model)._agenerate, model)  # noqa: SLF001 - what subclasses of BaseChatModel write

    async def discreetly(*args: Any, **kwargs: Any) -> ChatResult:
        try:
            return await generate(*args, **kwargs)
        except Exception as error:
            redact(error, secrets)
            raise

    object.__setattr__(model, "_agenerate", discreetly)
    return model


def _unbound(model: Runnable[Any, Any]) -> tuple[Runnable[Any, Any], dict[str, Any], RunnableConfig]:
    """What plain bindings bind, their arguments, and their config."""
    kwargs: dict[str, Any] = {}
    config: RunnableConfig = {}
    while type(model) is RunnableBinding and not model.config_factories:
        kwargs, config = {**model.kwargs, **kwargs}, merge_configs(model.config, config)
        model = model.bound
    return model, kwargs, config


def _takes_n(model: BaseChatModel) -> bool:
    return "n" in type(model).model_fields or "n" in signature(model._generate).parameters  # noqa: SLF001


def _messages(result: LLMResult) -> list[AIMessage]:
    """The responses of one call, what it used shared out so that it adds up."""
    generations = result.generations[0]
    if not generations:
        raise ValueError("no choices in the response")
    messages = [_message(getattr(generation, "message", generation.text)) for generation in generations]
    if len(messages) == 1:
        return messages
    output = result.llm_output or {}
    usages: list[Mapping[str, Any]] = [message.usage_metadata or {} for message in messages]
    written = [usage.get("output_tokens") or 0 for usage in usages]
    read, cached, total = _used(output.get("token_usage"), messages[0])
    if sum(written) != total:  # each repeats the total, so that its share is estimated by the length of its text
        written = _shares(total, [1 + len(message.model_dump_json(include=_SAID)) for message in messages])
    return [
        message.model_copy(
            update={
                "usage_metadata": _usage(0 if place else read, 0 if place else cached, tokens),
                "response_metadata": {"model_name": output.get("model_name"), **message.response_metadata},
            }
        )
        for place, (message, tokens) in enumerate(zip(messages, written, strict=True))
    ]


def _used(reported: Mapping[str, Any] | None, first: AIMessage) -> tuple[int, int, int]:
    """Input, cached input and output tokens of a call: as its result says, or else its first message."""
    if reported and "prompt_tokens" in reported:
        names, inner = ("prompt_tokens", "completion_tokens", "prompt_tokens_details"), "cached_tokens"
        said: Mapping[str, Any] = reported
    else:
        names, inner = ("input_tokens", "output_tokens", "input_token_details"), "cache_read"
        said = first.usage_metadata or {}
    read, written, details = (said.get(name) for name in names)
    return read or 0, (details or {}).get(inner) or 0, written or 0


def _usage(read: int, cached: int, written: int) -> UsageMetadata:
    return {
        "input_tokens": read,
        "output_tokens": written,
        "total_tokens": read + written,
        "input_token_details": {"cache_read": cached},
    }


def _shares(total: int, weights: Sequence[int]) -> list[int]:
    """`total` cut in proportion to `weights`, into whole numbers that add up to it."""
    cuts = [total * reached // sum(weights) for reached in accumulate(weights, initial=0)]
    return [after - before for before, after in pairwise(cuts)]


def _cut_short(error: Exception) -> AIMessage | None:
    """The response in an error that says it was cut short: a red flag, and no failure of the call."""
    reason = _CUT_SHORT.get(type(error).__name__)
    if reason is None:
        return None
    used = getattr(getattr(error, "completion", None), "usage", None)
    usage = _usage(getattr(used, "prompt_tokens", 0), 0, getattr(used, "completion_tokens", 0))
    return AIMessage("", usage_metadata=usage, response_metadata={"finish_reason": reason})


def _message(response: object) -> AIMessage:
    if isinstance(response, dict) and isinstance(response.get("raw"), AIMessage):
        response = response["raw"]  # of with_structured_output(include_raw=True)
    if isinstance(response, str):
        return AIMessage(response)
    if not isinstance(response, AIMessage):
        raise TypeError(
            f"a model must answer with an AIMessage or a string, not {type(response).__name__}"
            " (with_structured_output needs include_raw=True)"
        )
    return response


def _secrets(model: Runnable[Any, Any]) -> list[str]:
    """The keys that errors of `model` must not show."""
    found = [value for name, value in os.environ.items() if name.endswith("_API_KEY")]

    def look(one: BaseChatModel) -> BaseChatModel:
        values = (getattr(one, name, None) for name in type(one).model_fields)
        found.extend(value.get_secret_value() for value in values if isinstance(value, SecretStr))
        return one

    each_chat_model(model, look)
    return [secret for secret in found if len(secret) >= _SHORTEST_SECRET]


_SHORTEST_SECRET: Final = 8  # what is shorter stands in ordinary words
_TURN: Final = 5.0  # seconds
_SETTINGS: Final[Mapping[str, frozenset[str]]] = {
    "n": frozenset({"n"}),
    "temperature": frozenset({"temperature"}),
    "max_tokens": frozenset({"max_tokens", "max_completion_tokens", "max_output_tokens"}),
}
_SAID: Final = {"content", "tool_calls"}
_CUT_SHORT: Final = {"LengthFinishReasonError": "length", "ContentFilterFinishReasonError": "content_filter"}
