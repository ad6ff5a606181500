"""`BatchSampler`: a chat model whose calls are made in batches, at half the price, some hours later."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from hashlib import blake2b
from importlib import import_module
from typing import Any, Final

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage
from langchain_core.runnables import Runnable

from langgraph_maker.core.state import Request
from langgraph_maker.models.batches.anthropic_api import AnthropicBatches
from langgraph_maker.models.batches.api import BatchApi, Line
from langgraph_maker.models.batches.intake import Intake
from langgraph_maker.models.batches.limits import BatchLimits, OnStop
from langgraph_maker.models.batches.openai_api import OpenAIBatches
from langgraph_maker.models.chat_sampler import ModelSampler
from langgraph_maker.models.connections import has_own_client, with_client
from langgraph_maker.models.independence import without_keys
from langgraph_maker.models.keeping import KEPT_IN
from langgraph_maker.models.resolve import BATCH, chat_model, each_chat_model, model_name
from langgraph_maker.models.settings import NAMES

__all__ = ["BatchSampler"]


class BatchSampler(ModelSampler):
    """Draws from a chat model by OpenAI's or Anthropic's batches: what is asked for at one time goes into one.

    A vote takes as many batches, one after another, as rounds: two to four where all questions are there from the
    start, and one at least for each step of a lane. What the model is given and how it answers is as in a call of
    its own. Each request is known by its run, its ballot and its number: asked for again, after whatever ended a
    process, it is answered by the batch that it is in.

    Args:
        model: A chat model, a Runnable around one, or the name of one, such as `openai:gpt-4.1-mini`.
        limits: How requests are gathered, see `BatchLimits`.
        on_stop: What becomes of batches when a run is stopped: "leave" them running, to be picked up when it is
            resumed, or "cancel" them, wait for what they did, and count that.
        max_tokens: Output tokens to ask for, where the model leaves that open.

    Raises:
        TypeError: For a model whose client has no batches.
        ValueError: For a name without its key, or an unknown `on_stop`.
    """

    max_concurrency: int | None = None  # type: ignore[assignment]
    may_be_refused = False
    at_once = 50_000
    """Samples to draw together, where more would be drawn than one waits for."""
    outlives = True
    """Calls go on when the process ends, so that they are recorded with the run."""

    def __init__(
        self,
        model: str | Runnable[Any, Any],
        *,
        limits: BatchLimits | None = None,
        on_stop: OnStop = "leave",
        max_tokens: int | None = None,
    ) -> None:
        if on_stop not in {"leave", "cancel"}:
            raise ValueError(f"on_stop is 'leave' or 'cancel', not {on_stop!r}")
        if isinstance(model, str):
            name = model.removeprefix(BATCH)
            model = chat_model(name if ":" in name else f"openai:{name}")
        super().__init__(model, max_tokens)
        self.tier = "batch"
        self.call_timeout = None  # a call takes as long as its batch
        self.limits, self.on_stop = limits or BatchLimits(), on_stop
        self.settings.left_out.add("n")  # some models repeat themselves within one request of a batch
        self._intakes: dict[asyncio.AbstractEventLoop, dict[str, Intake]] = {}
        self.__name__ = f"batch of {model_name(model)}"
        each_chat_model(model, _check)

    def limit(self, max_tokens: int | None) -> None:
        """Ask for so many output tokens, where neither the model nor the sampler was given a number."""
        if max_tokens is None or self.limits_tokens:
            return

        def limited(one: BaseChatModel) -> BaseChatModel:
            if getattr(one, "max_tokens", 0) is not None:
                return one
            self.limits_tokens = True
            return one.model_copy(update={"max_tokens": max_tokens})

        self._apart = each_chat_model(self._apart, limited)

    def _at(self, temperature: float | None, left_out: frozenset[str]) -> Runnable[Any, Any]:
        here = self._here()
        if (model := here.models.get((temperature, left_out))) is None:
            lose = {word for name in left_out for word in NAMES[name]}
            model = here.models[temperature, left_out] = each_chat_model(
                self._apart,
                lambda one: self._batched(one, temperature, left_out),
                lose=lose if temperature is None else {*lose, "temperature"},
            )
        return model

    def _batched(self, one: BaseChatModel, temperature: float | None, left_out: frozenset[str]) -> Runnable[Any, Any]:
        """Return a chat model whose calls go into batches."""
        known = type(one).model_fields
        update: dict[str, Any] = {name: None for name in left_out & {"temperature", "max_tokens"} if name in known}
        hot = temperature is not None and "temperature" not in left_out
        if hot and "temperature" in known:
            update["temperature"] = temperature
        theirs = has_own_client(one)
        own = with_client(one.model_copy(update=update), lambda package, root: self._client(package, root, theirs))
        own = without_keys(own, self.secrets, connected=True)
        return own.bind(temperature=temperature) if hot and "temperature" not in known else own

    def _client(self, package: str, root: Any, theirs: bool) -> Any:  # noqa: FBT001
        """Return an HTTP client that makes no calls but hands requests to the intake."""
        intake = self._intake(package, root, theirs)
        kind = import_module(package).DefaultAsyncHttpxClient
        http = import_module(
            next(one.__module__ for one in kind.__mro__ if one.__name__ == "AsyncClient").split(".")[0]
        )

        async def handle(request: Any) -> Any:
            if not str(request.url.path).endswith(intake.api.path):
                raise NotImplementedError(f"batches are of {intake.api.path} alone, not of {request.url.path}")
            line = Line(_key(request.content), request.content)
            result = await intake.ask(line, KEPT_IN.get())
            return http.Response(
                result.status, headers={"content-type": "application/json"}, content=result.body, request=request
            )

        return kind(transport=http.MockTransport(handle))

    def _intake(self, package: str, root: Any, theirs: bool) -> Intake:  # noqa: FBT001
        """Return what gathers the requests to one client on this event loop; `theirs` is the user's own connection."""
        loop = asyncio.get_running_loop()
        for ended in [one for one in self._intakes if one.is_closed()]:
            del self._intakes[ended]
        of_loop = self._intakes.setdefault(loop, {})
        account = repr([getattr(root, part, None) for part in _ACCOUNT])  # each has batches of its own
        name = f"{package} {root.base_url} {account}"
        if name not in of_loop:
            connection = {} if theirs else {"http_client": self._here().client(package)}
            client = root.copy(max_retries=0, **connection)
            of_loop[name] = Intake(_API[package](client), self.limits)
        return of_loop[name]

    async def _ask(self, group: list[Request]) -> list[AIMessage]:
        return await self._learn(group)  # no call goes ahead of the others, as each would take a batch of its own

    async def _generate(self, group: Sequence[Request], left_out: frozenset[str]) -> list[AIMessage]:
        request = group[0]
        kept = KEPT_IN.get()
        of = kept.name if kept else request.run_id
        before = _ASKED.set(f"{of}\n{request.subtask_id}\n{request.number}")
        try:
            said = await super()._generate(group, left_out)
        finally:
            _ASKED.reset(before)
        for message in said:
            message.response_metadata["service_tier"] = self.tier  # the provider names that of the call
        return said

    def drain(self) -> bool:
        """Submit nothing more, as a run was stopped; return whether what is with the provider is to be waited for."""
        cancel = self.on_stop == "cancel"
        for intake in self._intakes.get(asyncio.get_running_loop(), {}).values():
            intake.stop(cancel=cancel)
        return cancel

    async def aclose(self) -> None:
        """Look after no batch of this event loop any more, and close its connections; a later call opens new ones."""
        for intake in self._intakes.pop(asyncio.get_running_loop(), {}).values():
            await intake.aclose()
        await super().aclose()


def _key(body: bytes) -> str:
    """Return what a request is known by: of which run, ballot and number it is, and what it asks."""
    return blake2b(_ASKED.get().encode() + b"\n" + body, digest_size=16).hexdigest()


def _check(model: BaseChatModel) -> BaseChatModel:
    """Refuse a chat model whose client has no batches."""
    packages: list[str] = []

    def note(package: str, root: Any) -> Any:
        packages.append(package)
        return root._client  # noqa: SLF001

    with_client(model, note)
    if not packages or packages[0] not in _API:
        raise TypeError(f"{type(model).__name__} has no batches: they are of ChatOpenAI and ChatAnthropic")
    return model


_ACCOUNT: Final = ("api_key", "organization", "project", "auth_token")
_ASKED: ContextVar[str] = ContextVar("_ASKED", default="")
_API: Final[dict[str, Callable[[Any], BatchApi]]] = {"openai": OpenAIBatches, "anthropic": AnthropicBatches}
