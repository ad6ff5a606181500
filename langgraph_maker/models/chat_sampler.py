"""From any chat model to a `Sampler`: independent draws, none shared, none from a cache."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Hashable, Sequence
from collections.abc import Set as AbstractSet
from contextlib import asynccontextmanager
from importlib import import_module
from itertools import groupby
from threading import Lock
from typing import Any, Final, cast

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage
from langchain_core.runnables import Runnable, RunnableConfig
from langchain_core.runnables.config import ensure_config, merge_configs

from langgraph_maker.core.foreign import excerpt
from langgraph_maker.core.red_flags import RuleLike, TokenLimit, each_rule
from langgraph_maker.core.state import Request, Sampler
from langgraph_maker.core.task import Task
from langgraph_maker.models.call_path import can_stream
from langgraph_maker.models.configurable import choices, frozen, is_configurable, resolved
from langgraph_maker.models.connections import Connections
from langgraph_maker.models.failures import failure
from langgraph_maker.models.independence import (
    at_temperature,
    independent,
    is_streaming,
    secrets_of,
    takes_n,
    unbound,
    without_keys,
)
from langgraph_maker.models.listeners import generate
from langgraph_maker.models.resolve import BATCH, Model, chat_model, check_model, each_chat_model, model_name
from langgraph_maker.models.responses import message_in, messages_in
from langgraph_maker.models.retry import redact
from langgraph_maker.models.service_tiers import (
    OR_DEFAULT,
    at_service_tier,
    call_timeout,
    check_service_tier,
    has_no_room,
    takes_service_tier,
    tier_of,
)
from langgraph_maker.models.settings import NAMES, STREAM_FALSE, STREAM_TRUE, Settings
from langgraph_maker.simulation.chat_model import simulated_sampler

__all__ = ["ModelSampler", "as_sampler", "token_allowance"]


def as_sampler(
    model: Model, *, task: Task | None = None, max_tokens: int | None = None, service_tier: str | None = None
) -> Sampler:
    """Return the sampler that draws from `model`.

    Samples are independent draws: the model's cache and streaming are off, and samples stay out of the host's
    message stream (tag "nostream"). So it is for chat models inside bindings, retries, fallbacks and sequences; any
    other Runnable is called as it is.

    Args:
        model: See `models.Model`.
        task: What a simulated model ("sim:…") answers for.
        max_tokens: Output tokens to ask for, where the model has that setting and leaves it open.
        service_tier: At which its calls are made, see `service_tiers`; None for what the model says.

    Raises:
        ValueError: For a string that names no model, or a model without its key.
        TypeError: For an object that is not a model.

    Example:
        >>> import asyncio
        >>> from langchain_core.language_models import FakeListChatModel
        >>> from langchain_core.messages import HumanMessage
        >>> sampler = as_sampler(FakeListChatModel(responses=["4"]))
        >>> request = Request([HumanMessage("2 + 2?")], 0.0, "sum", 0)
        >>> [message.text for message in asyncio.run(sampler([request]))]
        ['4']
    """
    check_model(model)
    if check_service_tier(service_tier) is not None and not takes_service_tier(model):
        raise ValueError(f"{excerpt(model_name(model))} has no service tiers: leave service_tier out")
    if isinstance(model, str) and model.startswith("sim:"):
        if task is None:
            raise ValueError(f"{excerpt(model)} simulates answers to a task; without one, use a SimulatedChatModel")
        return simulated_sampler(model, task)
    if isinstance(model, str) and model.startswith(BATCH):
        batches = import_module("langgraph_maker.models.batches")  # which is built on the class below
        return cast("Sampler", batches.BatchSampler(model, max_tokens=max_tokens))
    if isinstance(model, str):
        model = chat_model(model)
    if isinstance(model, Runnable):
        return (_ConfigurableSampler if is_configurable(model) else ModelSampler)(model, max_tokens, service_tier)
    if callable(model):
        if (limit := getattr(model, "limit", None)) is not None:
            limit(max_tokens)
        return model
    raise TypeError(
        f"a model is a chat model, a Runnable, a Sampler or a string like 'openai:NAME', not {excerpt(model)}"
    )


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
    may_be_refused = True
    """Whether few calls are to be out until one was answered."""

    def __init__(self, model: Runnable[Any, Any], max_tokens: int | None, service_tier: str | None = None) -> None:
        model = at_service_tier(model, service_tier)
        self.tier, self.or_default = tier_of(model), service_tier == OR_DEFAULT
        self.call_timeout: float | None = call_timeout(self.tier)
        self.secrets = secrets_of(model)
        self.settings = Settings(model_name(model))
        self.limits_tokens = self.can_stream = self.streams = False
        self._proven: set[tuple[bool, bool]] = set()

        def apart_from_others(one: BaseChatModel) -> BaseChatModel:
            alone = independent(one, max_tokens)
            self.limits_tokens |= getattr(alone, "max_tokens", None) != getattr(one, "max_tokens", None)
            self.can_stream |= can_stream(one)
            if is_streaming(one):
                self.streams = True
                self.settings.left_out |= {STREAM_FALSE, "n"}
            return without_keys(alone, self.secrets)

        apart = each_chat_model(model, apart_from_others, lose={"seed"})
        self._apart = apart
        self._connections: dict[asyncio.AbstractEventLoop, Connections] = {}
        self._calls, self._retired = 0, False
        self._lock = Lock()
        target, _, _ = unbound(apart)
        if not (isinstance(target, BaseChatModel) and takes_n(target)):
            self.settings.left_out.add("n")

    def _at(self, temperature: float | None, left_out: frozenset[str]) -> Runnable[Any, Any]:
        """Return the model at a temperature, without what is left out, with the connections of this event loop."""
        here = self._here()
        if (model := here.models.get((temperature, left_out))) is None:
            lose = {word for name in left_out for word in NAMES[name]}
            model = here.models[temperature, left_out] = each_chat_model(
                self._apart,
                lambda one: at_temperature(one, temperature, left_out, self.secrets, here),
                lose=lose if temperature is None else {*lose, "temperature"},
            )
        return model

    @property
    def left_out(self) -> list[str]:
        """The settings that the provider refused, for the record."""
        return sorted(f"{self.settings.model}: {name}" for name in self.settings.refused)

    def _here(self) -> Connections:
        """Return the connections of this event loop; those of loops that have ended are forgotten."""
        loop = asyncio.get_running_loop()
        if (here := self._connections.get(loop)) is None:
            with self._lock:
                for ended in [one for one in self._connections if one.is_closed()]:
                    del self._connections[ended]
                here = self._connections[loop] = Connections()
        return here

    async def aclose(self) -> None:
        """Close the connections of this event loop; a later call opens new ones."""
        if (here := self._connections.pop(asyncio.get_running_loop(), None)) is not None:
            await here.aclose()

    def retire(self) -> None:
        """Close the connections of all event loops, once no call is out any more."""
        with self._lock:
            self._retired = True
            left = {} if self._calls else dict(self._connections)
            for loop in left:
                del self._connections[loop]
        for loop, here in left.items():
            if loop.is_running():
                asyncio.run_coroutine_threadsafe(here.aclose(), loop)

    def split(self, requests: Sequence[Request]) -> list[list[Request]]:
        """Return the samples that go into one call together: those of one ballot that are asked alike."""
        if "n" in self.settings.left_out:
            return [[request] for request in requests]
        together = groupby(requests, key=lambda one: (one.subtask_id, one.temperature, one.variant))
        groups = [list(group) for _, group in together]
        return [group[first : first + _MOST] for group in groups for first in range(0, len(group), _MOST)]

    async def __call__(self, requests: Sequence[Request]) -> list[AIMessage | Exception]:
        """Draw one response for each request, in order; an exception in its place where a call failed."""
        groups = self.split(requests)
        with self._lock:
            self._calls += 1
        try:
            drawn = await asyncio.gather(*(self._draw(group) for group in groups))
        finally:
            with self._lock:
                self._calls -= 1
            if self._retired:
                self.retire()
        return [response for responses in drawn for response in responses]

    async def _draw(self, group: list[Request]) -> list[AIMessage | Exception]:
        try:
            responses: list[AIMessage | Exception] = [*await self._ask(group)]
        except Exception as error:  # noqa: BLE001 - given to the caller, who decides what it means
            redact(error, self.secrets)
            return [error] * len(group)
        if missing := group[len(responses) :]:  # the provider ignores n, or refuses it
            if "n" not in self.settings.doubted:
                self.settings.left_out.add("n")
            for one in missing:
                responses += await self._draw([one])
        return responses

    async def _ask(self, group: list[Request]) -> list[AIMessage]:
        shape = (len(group) > 1, group[0].temperature is None)
        if shape in self._proven and not self.settings.doubted:
            return await self._learn(group)
        async with self._alone():
            responses = await self._learn(group)
        self._proven.add(shape)
        return responses

    async def _learn(self, group: list[Request]) -> list[AIMessage]:
        """Make a call, again without what the provider refuses; without n it answers the first of the group."""
        while True:
            left_out = self.settings.omitted
            try:
                responses = await self._generate(group, left_out)
            except Exception as error:  # noqa: BLE001 - raised below, if it is about none of our settings
                refused = error
            else:
                self.settings.took(self._carried(group, left_out))
                return responses
            if left_out == self.settings.omitted:  # else another call has learned something meanwhile
                return await self._try_without(group, left_out, refused)

    async def _try_without(self, group: list[Request], left_out: frozenset[str], refused: Exception) -> list[AIMessage]:
        """Make a refused call without those of our settings that it may be about."""
        for omitted in self.settings.trials(refused, left_out, self._carried(group, left_out)):
            carried = self._carried(group, omitted)
            try:
                responses = await self._generate(group, omitted)
            except Exception as error:
                if not self.settings.moves_on(refused, error, carried):
                    if failure(error).kind == "transient" != failure(refused).kind:
                        raise
                    self.settings.tried_in_vain(refused, omitted)
                    continue
                after = error
            else:
                self.settings.went_without(omitted - left_out, refused)
                self.settings.took(carried)
                return responses
            self.settings.went_without(omitted - left_out, refused)
            return await self._try_without(group, omitted, after)
        raise refused

    def _carried(self, group: Sequence[Request], left_out: AbstractSet[str]) -> set[str]:
        """Return which of our settings a call carries."""
        carried = {"n"} if len(group) > 1 else set()
        if group[0].temperature is not None:
            carried.add("temperature")
        if self.limits_tokens:
            carried.add("max_tokens")
        if self.can_stream:
            carried.add(STREAM_FALSE)
        if self.streams:
            carried.add(STREAM_TRUE)
        return carried - left_out

    @asynccontextmanager
    async def _alone(self) -> AsyncIterator[None]:
        """Return one at a time, though nobody waits for long: a first call may hang."""
        gate = self._here().gate
        try:
            await asyncio.wait_for(gate.acquire(), _TURN)
        except TimeoutError:
            yield
            return
        try:
            yield
        finally:
            gate.release()

    async def _generate(self, group: Sequence[Request], left_out: frozenset[str]) -> list[AIMessage]:
        request = group[0]
        if left_out & {"n", STREAM_FALSE}:
            group = group[:1]
        model, kwargs, config = unbound(self._at(request.temperature, left_out))
        messages = list(request.messages)
        if not isinstance(model, BaseChatModel):
            config = merge_configs(config, _config(request))
            return [message_in(await model.ainvoke(messages, config, **kwargs))]
        if len(group) > 1:
            kwargs = {**kwargs, "n": len(group)}
        place = _config(request)
        try:
            result = await generate(model, messages, config, place, kwargs)
        except Exception as error:
            if not (self.or_default and has_no_room(error)):
                raise
            result = await generate(model, messages, config, place, {**kwargs, "service_tier": "default"})
        said = messages_in(result)[: len(group)]
        for message in said:  # where a stream was cut off, not even this is said
            if "model_provider" not in message.response_metadata:
                provider = model._get_ls_params().get("ls_provider")  # noqa: SLF001 - there is no other name
                message.response_metadata["model_provider"] = provider
            if self.tier:
                message.response_metadata.setdefault("service_tier", self.tier)
        return said


class _ConfigurableSampler:
    """Draws from a model that the host's config has a say in: each choice is a model of its own, with its own clients.

    A choice is known by the values that it is made of, keys among them, so that no client is one of another tenant's.
    The latest are kept, and the connections of the others closed.
    """

    max_concurrency, may_be_refused = ModelSampler.max_concurrency, True

    def __init__(self, model: Any, max_tokens: int | None, service_tier: str | None = None) -> None:
        self.model, self.max_tokens, self.service_tier = model, max_tokens, service_tier
        self.samplers: OrderedDict[Hashable, tuple[Any, ModelSampler]] = OrderedDict()
        self._lock = Lock()

    def split(self, requests: Sequence[Request]) -> list[list[Request]]:
        return self.chosen().split(requests)

    async def __call__(self, requests: Sequence[Request]) -> list[AIMessage | Exception]:
        return await self.chosen()(requests)

    @property
    def left_out(self) -> list[str]:
        return sorted({name for _, sampler in self.samplers.values() for name in sampler.left_out})

    async def aclose(self) -> None:
        for _, sampler in [*self.samplers.values()]:
            await sampler.aclose()

    def chosen(self) -> ModelSampler:
        config = ensure_config()
        values = choices(self.model, config)
        key = frozen(values)
        with self._lock:
            if key in self.samplers:
                self.samplers.move_to_end(key)
                return self.samplers[key][1]
        sampler = ModelSampler(resolved(self.model, config), self.max_tokens, self.service_tier)
        with self._lock:
            _, sampler = self.samplers.setdefault(key, (values, sampler))  # values: no object's id is used again
            over = [self.samplers.popitem(last=False)[1][1] for _ in range(len(self.samplers) - _MOST_CHOICES)]
        for one in over:
            one.retire()
        return sampler


def _config(request: Request) -> RunnableConfig:
    """Return where the sample belongs, for tracers."""
    metadata = {
        "run": request.run_id,
        "step": request.subtask_id,
        "ballot": request.subtask_id,
        "round": request.round,
        "sample": request.number,
    }
    return {"tags": ["nostream"], "metadata": metadata, "run_name": "sample"}


_TURN: Final = 5.0  # seconds
_MOST_CHOICES: Final = 32
_MOST: Final = 128  # samples in one call, as OpenAI has it
