"""What a host hears of a graph of ours inside its own: which events, and how a human is asked."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from inspect import signature
from typing import Any, Final, TypeAlias

from langgraph.config import get_stream_writer
from langgraph.types import interrupt

__all__ = ["Events", "Host", "ask_human", "emit"]

Events: TypeAlias = bool | Callable[[Any], Any]
"""What continues the host's custom stream: all events (True), none (False), or what a function makes of each (None for
nothing)."""


@dataclass(frozen=True)
class Host:
    """What a host asked for of a graph inside its own.

    Args:
        events: What continues the custom stream; True leaves it as it is further out.
        ask: From a question to what `interrupt` hands to the host; None for the question itself.

    Raises:
        TypeError: For what is neither.
    """

    events: Events = True
    ask: Callable[[Any], Any] | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.events, bool) and not callable(self.events):
            raise TypeError(f"events is True, False or a function of an event, not {self.events!r:.80}")
        if self.ask is not None and not callable(self.ask):
            raise TypeError(f"ask is a function of a question, not {self.ask!r:.80}")

    @contextmanager
    def inside(self) -> Iterator[None]:
        """Have what runs in here heard as this says; what it leaves open is as further out."""
        outer = _host.get()
        token = _host.set(Host(outer.events if self.events is True else self.events, self.ask or outer.ask))
        try:
            yield
        finally:
            _host.reset(token)


_host: Final[ContextVar[Host]] = ContextVar("host", default=Host())  # noqa: B039 - it is frozen


def emit(event: Any) -> None:
    """Put an event on the custom stream of the running graph, if there is one and the host wants it."""
    events = _host.get().events
    if events is False:
        return
    try:
        write = get_stream_writer()
    except (RuntimeError, KeyError):  # a node that is called by itself has no stream
        return
    if events is True:
        write(event)
    elif (instead := events(event)) is not None:
        write(instead)


def ask_human(question: Any) -> Any:
    """Return a human's answer to a question, in the words that the host wants it in.

    Where LangGraph takes it, the interrupt has the JSON schema of the answer, for clients that show a form.
    """
    ask = _host.get().ask
    shown = question if ask is None else ask(question)
    return interrupt(shown, response_schema=question["form"]) if _SCHEMAS else interrupt(shown)


_SCHEMAS: Final = "response_schema" in signature(interrupt).parameters  # since LangGraph 1.2.12
