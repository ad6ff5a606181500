"""From any chat model to a `Sampler`: independent draws, none shared, none from a cache."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import cache
from itertools import groupby
from typing import Any, Final
from weakref import WeakKeyDictionary

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage
from langchain_core.runnables import Runnable, RunnableConfig
from langchain_core.runnables.config import ensure_config, merge_configs

from langgraph_maker.calls import redact
from langgraph_maker.independent import discreet, heated, independent, secrets_of, takes_n, unbound
from langgraph_maker.models import Model, chat_model, each_chat_model
from langgraph_maker.red_flags import RuleLike, TokenLimit, each_rule
from langgraph_maker.responses import cut_short, message_in, messages_in
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
    if hasattr(model, "_default_config") and hasattr(model, "_model"):
        return _ConfigurableSampler(model, max_tokens)
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
        self.secrets = secrets_of(model)
        self.left_out: set[str] = set()
        self._proven: set[tuple[bool, bool]] = set()
        self._gates: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Lock] = WeakKeyDictionary()
        apart = each_chat_model(model, lambda one: discreet(independent(one, max_tokens), self.secrets), lose={"seed"})

        @cache
        def at(temperature: float | None, left_out: frozenset[str]) -> Runnable[Any, Any]:
            lose = {word for name in left_out for word in _SETTINGS[name]}
            return each_chat_model(
                apart,
                lambda one: heated(one, temperature, left_out, self.secrets),
                lose=lose if temperature is None else {*lose, "temperature"},
            )

        self._at = at
        target, _, _ = unbound(apart)
        if not (isinstance(target, BaseChatModel) and takes_n(target)):
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
        model, kwargs, config = unbound(self._at(request.temperature, frozenset(self.left_out)))
        config = merge_configs(config, _config(request))
        messages = list(request.messages)
        if not isinstance(model, BaseChatModel):
            return [message_in(await model.ainvoke(messages, config, **kwargs))]
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
            if (cut := cut_short(error)) is None:
                raise
            return [cut, *(AIMessage("", response_metadata=cut.response_metadata) for _ in group[1:])]
        return messages_in(result)[: len(group)]


class _ConfigurableSampler:
    """Draws from what `init_chat_model` returns for configurable fields: the host's config says which model that is."""

    max_concurrency = ModelSampler.max_concurrency

    def __init__(self, model: Any, max_tokens: int | None) -> None:
        self.model, self.max_tokens = model, max_tokens
        self.samplers: dict[str, ModelSampler] = {}

    def split(self, requests: Sequence[Request]) -> list[list[Request]]:
        return self.chosen().split(requests)

    async def __call__(self, requests: Sequence[Request]) -> list[AIMessage | Exception]:
        return await self.chosen()(requests)

    def chosen(self) -> ModelSampler:
        given = ensure_config().get("configurable", {})
        fields = {name: value for name, value in given.items() if not name.startswith(_OF_THE_GRAPH)}
        key = repr(sorted(fields.items()))
        if key not in self.samplers:
            model = self.model._model({"configurable": fields})  # noqa: SLF001 - it offers no other way to it
            self.samplers[key] = ModelSampler(model, self.max_tokens)
        return self.samplers[key]


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


_TURN: Final = 5.0  # seconds
_SETTINGS: Final[Mapping[str, frozenset[str]]] = {
    "n": frozenset({"n"}),
    "temperature": frozenset({"temperature"}),
    "max_tokens": frozenset({"max_tokens", "max_completion_tokens", "max_output_tokens"}),
}
_OF_THE_GRAPH: Final = ("__", "thread_", "checkpoint_", "langgraph_", "run_id", "graph_id", "assistant_id")
