"""How a chat model is reached: on this event loop, in a thread, or by its stream, as the model itself can be."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from types import MethodType
from typing import Any, Final

from langchain_core.language_models import BaseChatModel
from langchain_core.language_models.chat_models import agenerate_from_stream
from langchain_core.outputs import ChatResult
from langchain_core.runnables.config import run_in_executor

from langgraph_maker.models.event_loop import in_background
from langgraph_maker.models.failures import read
from langgraph_maker.models.short_call import ShortCall, counted

__all__ = ["reaching"]

Ask = Callable[..., Awaitable[ChatResult]]


def reaching(model: BaseChatModel, *, connected: bool, short: ShortCall | str = "") -> Ask:
    """Return how to make one call of `model`, by its `short` way unless that is why there is none.

    Where its connections are none that could be made this event loop's own (`connected`), a call from synchronous code
    is one of the model's synchronous client, as `model.invoke` would make it, and so is one whose connections turn out
    to be another loop's. A model that has nothing but a stream, or whose provider takes nothing else, is asked for
    that, and its parts are put together.
    """
    return _Reaching(model, connected=connected, short=short).ask


class _Reaching:
    def __init__(self, model: BaseChatModel, *, connected: bool, short: ShortCall | str) -> None:
        kind = type(model)
        self.model = model
        self.why = short if isinstance(short, str) else ""
        ordinary: Ask = MethodType(kind._agenerate, model)  # noqa: SLF001 - what subclasses of BaseChatModel write
        self.generate = ordinary if isinstance(short, str) else short
        self.connected = connected or kind._agenerate is BaseChatModel._agenerate  # noqa: SLF001 - it has threads
        self.can_stream = (kind._astream, kind._stream) != (BaseChatModel._astream, BaseChatModel._stream)  # noqa: SLF001
        self.streams = self.elsewhere = False

    async def ask(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> ChatResult:
        if self.why:
            counted(f"ordinary: {self.why}")
        if self.streams:
            return await self.stream(messages, stop, kwargs)
        try:
            return await self.whole(messages, stop, run_manager, kwargs)
        except Exception as error:
            if not (self.can_stream and _wants_a_stream(error)):
                raise
            result = await self.stream(messages, stop, kwargs)
        self.streams = True
        return result

    async def whole(self, messages: Any, stop: Any, run_manager: Any, kwargs: dict[str, Any]) -> ChatResult:
        if self.elsewhere or (in_background() and not self.connected):
            try:
                return await self.in_thread(messages, stop, run_manager, kwargs)
            except NotImplementedError:  # it has nothing but an asynchronous client
                return await self.generate(messages, stop, run_manager, **kwargs)
        try:
            return await self.generate(messages, stop, run_manager, **kwargs)
        except Exception as error:
            if not _of_another_loop(error):
                raise
            self.elsewhere = True
            try:
                return await self.in_thread(messages, stop, run_manager, kwargs)
            except NotImplementedError:
                raise error from None

    async def in_thread(self, messages: Any, stop: Any, run_manager: Any, kwargs: dict[str, Any]) -> ChatResult:
        manager = run_manager.get_sync() if run_manager else None
        return await run_in_executor(None, self.model._generate, messages, stop, manager, **kwargs)  # noqa: SLF001

    async def stream(self, messages: Any, stop: Any, kwargs: dict[str, Any]) -> ChatResult:
        """Ask for the parts, which no callback sees: samples stay out of the host's message stream."""
        kwargs = {name: value for name, value in kwargs.items() if name != "n"}
        return await agenerate_from_stream(self.model._astream(messages, stop, None, **kwargs))  # noqa: SLF001


def _wants_a_stream(error: BaseException) -> bool:
    """Return whether a model has no other way to answer, or its provider says that it takes nothing but streams."""
    if isinstance(error, NotImplementedError):
        return True
    said = read(error)
    return said.status in _NOT_SO and bool(_STREAM.search(said.text))


def _of_another_loop(error: BaseException) -> bool:
    cause: BaseException | None = error
    for _ in range(8):
        if cause is None:
            return False
        if isinstance(cause, RuntimeError) and _OTHER_LOOP.search(str(cause)):
            return True
        cause = cause.__cause__ or cause.__context__
    return False


_NOT_SO: Final = frozenset({400, 405, 415, 422, 501})
_STREAM: Final = re.compile(r"\bstream")
_OTHER_LOOP: Final = re.compile(r"different (event )?loop|event loop is closed|another (event )?loop", re.IGNORECASE)
