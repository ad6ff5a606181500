"""From any chat model to a `Sampler`: independent draws, none shared, none from a cache."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Hashable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import asynccontextmanager
from itertools import groupby
from threading import Lock
from typing import Any, Final

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage
from langchain_core.runnables import Runnable, RunnableConfig
from langchain_core.runnables.config import ensure_config, merge_configs

from langgraph_maker.calls import redact
from langgraph_maker.configurable import choices, frozen, is_configurable, resolved
from langgraph_maker.connections import Connections
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
    if isinstance(model, Runnable):
        return (_ConfigurableSampler if is_configurable(model) else ModelSampler)(model, max_tokens)
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
        apart = each_chat_model(model, lambda one: discreet(independent(one, max_tokens), self.secrets), lose={"seed"})

        self._apart = apart
        self._connections: dict[asyncio.AbstractEventLoop, Connections] = {}
        self._calls, self._retired = 0, False
        self._lock = Lock()
        target, _, _ = unbound(apart)
        if not (isinstance(target, BaseChatModel) and takes_n(target)):
            self.left_out.add("n")

    def _at(self, temperature: float | None, left_out: frozenset[str]) -> Runnable[Any, Any]:
        """The model at a temperature, without what is left out, with the connections of this event loop."""
        here = self._here()
        if (model := here.models.get((temperature, left_out))) is None:
            lose = {word for name in left_out for word in _SETTINGS[name]}
            model = here.models[temperature, left_out] = each_chat_model(
                self._apart,
                lambda one: heated(one, temperature, left_out, self.secrets, here),
                lose=lose if temperature is None else {*lose, "temperature"},
            )
        return model

    def _here(self) -> Connections:
        """The connections of this event loop; those of loops that have ended are forgotten."""
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
        """The samples that go into one call together: those of one ballot that are asked alike."""
        if "n" in self.left_out:
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
            self.left_out.add("n")
            for one in missing:
                responses += await self._draw([one])
        return responses

    async def _ask(self, group: list[Request]) -> list[AIMessage]:
        shape = (len(group) > 1, group[0].temperature is None)
        if shape in self._proven:
            return await self._learn(group)
        async with self._alone():
            responses = await self._learn(group)
        self._proven.add(shape)
        return responses

    async def _learn(self, group: list[Request]) -> list[AIMessage]:
        """Make a call, again without what the provider refuses; without n it answers the first of the group."""
        while True:
            left_out = frozenset(self.left_out)
            sent = group[:1] if "n" in left_out else group
            try:
                return await self._generate(sent, left_out)
            except Exception as error:
                if not (refused := self._refused(error, left_out, several=len(sent) > 1)):
                    raise
                self.left_out |= refused

    @asynccontextmanager
    async def _alone(self) -> AsyncIterator[None]:
        """One at a time, though nobody waits for long: a first call may hang."""
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

    @staticmethod
    def _refused(error: Exception, left_out: AbstractSet[str], *, several: bool) -> set[str]:
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
            if name not in left_out
            and (name != "n" or several)
            and (
                param in words or (param is None and any(f"'{word}'" in said or f"`{word}`" in said for word in words))
            )
        }

    async def _generate(self, group: Sequence[Request], left_out: frozenset[str]) -> list[AIMessage]:
        request = group[0]
        model, kwargs, config = unbound(self._at(request.temperature, left_out))
        config = merge_configs(config, _config(request))
        messages = list(request.messages)
        try:
            if not isinstance(model, BaseChatModel):
                return [message_in(await model.ainvoke(messages, config, **kwargs))]
            config = ensure_config(config)  # the caller's callbacks, which agenerate does not look for
            if len(group) > 1:
                kwargs["n"] = len(group)
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
    """Draws from a model that the host's config has a say in: each choice is a model of its own, with its own clients.

    A choice is known by the values that it is made of, keys among them, so that no client is one of another tenant's.
    The latest are kept, and the connections of the others closed.
    """

    max_concurrency = ModelSampler.max_concurrency

    def __init__(self, model: Any, max_tokens: int | None) -> None:
        self.model, self.max_tokens = model, max_tokens
        self.samplers: OrderedDict[Hashable, tuple[Any, ModelSampler]] = OrderedDict()
        self._lock = Lock()

    def split(self, requests: Sequence[Request]) -> list[list[Request]]:
        return self.chosen().split(requests)

    async def __call__(self, requests: Sequence[Request]) -> list[AIMessage | Exception]:
        return await self.chosen()(requests)

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
        sampler = ModelSampler(resolved(self.model, config), self.max_tokens)
        with self._lock:
            _, sampler = self.samplers.setdefault(key, (values, sampler))  # values: no object's id is used again
            over = [self.samplers.popitem(last=False)[1][1] for _ in range(len(self.samplers) - _MOST_CHOICES)]
        for one in over:
            one.retire()
        return sampler


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
_MOST_CHOICES: Final = 32
_MOST: Final = 128  # samples in one call, as OpenAI has it
_SETTINGS: Final[Mapping[str, frozenset[str]]] = {
    "n": frozenset({"n"}),
    "temperature": frozenset({"temperature"}),
    "max_tokens": frozenset({"max_tokens", "max_completion_tokens", "max_output_tokens"}),
}
