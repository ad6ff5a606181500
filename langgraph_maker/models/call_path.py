"""How a chat model is reached: on this event loop, in a thread, or by its stream, as the model itself can be."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from types import MethodType
from typing import Any, Final

from langchain_core.language_models import BaseChatModel
from langchain_core.language_models.chat_models import agenerate_from_stream, generate_from_stream
from langchain_core.outputs import ChatResult
from langchain_core.runnables.config import run_in_executor

from langgraph_maker.models.event_loop import in_background
from langgraph_maker.models.short_call import ShortCall, counted

__all__ = ["can_stream", "reaching"]

Ask = Callable[..., Awaitable[ChatResult]]


def reaching(model: BaseChatModel, *, connected: bool, short: ShortCall | str = "", streams: bool = False) -> Ask:
    """Return how to make one call of `model`, by its `short` way unless that is why there is none.

    Where its connections are none that could be made this event loop's own (`connected`), a call from synchronous code
    is one of the model's synchronous client, as `model.invoke` would make it, and so is one whose connections turn out
    to be another loop's. A model that has nothing but a stream, or is to be asked for that (`streams`), is, and its
    parts are put together.
    """
    return _Reaching(model, connected=connected, short=short, streams=streams).ask


def can_stream(model: BaseChatModel) -> bool:
    """Return whether a model can be asked for a stream."""
    kind = type(model)
    return (kind._astream, kind._stream) != (BaseChatModel._astream, BaseChatModel._stream)  # noqa: SLF001


class _Reaching:
    def __init__(self, model: BaseChatModel, *, connected: bool, short: ShortCall | str, streams: bool) -> None:
        kind = type(model)
        self.model = model
        self.why = short if isinstance(short, str) else ""
        ordinary: Ask = MethodType(kind._agenerate, model)  # noqa: SLF001 - what subclasses of BaseChatModel write
        self.generate = ordinary if isinstance(short, str) else short
        self.connected = connected or kind._agenerate is BaseChatModel._agenerate  # noqa: SLF001 - it has threads
        self.can_stream = can_stream(model)
        self.streams, self.elsewhere = streams and self.can_stream, False

    async def ask(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> ChatResult:
        if self.streams or self.why:
            counted(f"ordinary: {'a stream' if self.streams else self.why}")
        if not self.streams:
            try:
                answered: ChatResult = await self.whole(messages, stop, run_manager, kwargs)
            except NotImplementedError:
                if not self.can_stream:
                    raise
                self.streams = True
            else:
                return answered
        streamed: ChatResult = await self.stream(messages, stop, kwargs)
        return streamed

    async def whole(self, messages: Any, stop: Any, run_manager: Any, kwargs: dict[str, Any]) -> Any:
        def in_thread() -> ChatResult:
            manager = run_manager.get_sync() if run_manager else None
            return self.model._generate(messages, stop, manager, **kwargs)  # noqa: SLF001

        return await self.reach(lambda: self.generate(messages, stop, run_manager, **kwargs), in_thread)

    async def stream(self, messages: Any, stop: Any, kwargs: dict[str, Any]) -> Any:
        """Ask for the parts, which no callback sees: samples stay out of the host's message stream."""
        kwargs = {name: value for name, value in kwargs.items() if name != "n"}

        def in_thread() -> ChatResult:
            return generate_from_stream(self.model._stream(messages, stop, None, **kwargs))  # noqa: SLF001

        return await self.reach(
            lambda: agenerate_from_stream(self.model._astream(messages, stop, None, **kwargs)),  # noqa: SLF001
            in_thread,
        )

    async def reach(self, on_loop: Callable[[], Awaitable[ChatResult]], in_thread: Callable[[], ChatResult]) -> Any:
        """Return what comes of a call where the model's connections are: on this event loop, or in a thread."""
        if self.elsewhere or (in_background() and not self.connected):
            try:
                return await run_in_executor(None, in_thread)
            except NotImplementedError:  # it has nothing but an asynchronous client
                return await on_loop()
        try:
            return await on_loop()
        except Exception as error:
            if not _of_another_loop(error):
                raise
            self.elsewhere = True
            try:
                return await run_in_executor(None, in_thread)
            except NotImplementedError:
                raise error from None


def _of_another_loop(error: BaseException) -> bool:
    cause: BaseException | None = error
    for _ in range(8):
        if cause is None:
            return False
        if isinstance(cause, RuntimeError) and _OTHER_LOOP.search(str(cause)):
            return True
        cause = cause.__cause__ or cause.__context__
    return False


_OTHER_LOOP: Final = re.compile(r"different (event )?loop|event loop is closed|another (event )?loop", re.IGNORECASE)
