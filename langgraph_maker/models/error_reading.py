"""What errors carry, whichever client raises them: status, codes, the provider's own words, and a wait."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from time import time
from typing import Any, Final, NamedTuple

from langchain_core.language_models import BaseChatModel

from langgraph_maker.core.foreign import bounded_text

__all__ = ["Reading", "causes", "plain_code", "read", "reason"]


class Reading(NamedTuple):
    """What an error and its causes carry.

    `status` is the HTTP status, also one in the body of a 200; `codes` the words by which a provider classes the error
    (letters and digits alone); `kinds` the names of the classes, with and without their package, `own` those of the
    error itself; `text` all that is said, in lower case; `messages` the provider's own; `wait` the seconds that it asks
    for; `unreadable` whether a client failed as clients do over what they did not expect.
    """

    status: int | None
    codes: frozenset[str]
    kinds: frozenset[str]
    own: frozenset[str]
    text: str
    messages: list[str]
    wait: float
    unreadable: bool


def read(error: BaseException) -> Reading:
    """Return all that is to be known of an error."""
    chain = causes(error)
    facts = _Facts()
    for cause in chain:
        facts.look_at(cause)
    return Reading(
        status=facts.status,
        codes=frozenset(facts.codes),
        kinds=frozenset(name for cause in chain for name in _names(cause)),
        own=_names(error),
        text=" ".join([*map(_text, chain), *facts.messages])[:_LONGEST].lower(),
        messages=facts.messages,
        wait=facts.wait,
        unreadable=_is_misread(error) and _in_a_client(error),
    )


def reason(error: BaseException) -> str:
    """Return an error in words, with the provider's own reason where the client leaves that out.

    Example:
        >>> error = ValueError("Error code: 400")
        >>> error.body = {"detail": "Invalid n value"}
        >>> reason(error)
        'Error code: 400 - Invalid n value'
    """
    said = _text(error)
    messages = read(error).messages
    if not messages:
        return said[:_LONGEST_REASON]
    if not any(message in said for message in messages):
        said = f"{said} - {messages[0]}" if said else messages[0]
    elif not any(message in said[:_SHOWN] for message in messages):  # as in Cohere's, behind the headers
        said = f"{messages[0]} ({said})"
    return said[:_LONGEST_REASON]


def _text(error: BaseException) -> str:
    """Return what an error says, bounded, whatever it holds."""
    return bounded_text(error, _LONGEST)


def causes(error: BaseException) -> list[BaseException]:
    """Return an error and what caused it, each once."""
    chain: list[BaseException] = []
    cause: BaseException | None = error
    while cause is not None and len(chain) < _MOST_PARTS and not any(cause is one for one in chain):
        chain.append(cause)
        cause = cause.__cause__ or cause.__context__
    return chain


@dataclass
class _Facts:
    """What errors of all clients carry, wherever they do: attributes, bodies, a response, arguments."""

    status: int | None = None
    codes: set[str] = field(default_factory=set)
    messages: list[str] = field(default_factory=list)
    wait: float = 0.0

    def look_at(self, cause: BaseException) -> None:
        response = getattr(cause, "response", None)
        for place in (cause, response):
            for name in _STATUS_IN:
                self.number(getattr(place, name, None))
        for name in ("code", "type", "status"):
            self.code(getattr(cause, name, None))
        headers = getattr(response, "headers", None)
        if isinstance(response, Mapping):  # botocore's
            headers = (response.get("ResponseMetadata") or {}).get("HTTPHeaders")
        self.wait = self.wait or _retry_after(headers)
        body = [getattr(cause, name, None) for name in _BODY_IN]
        for place in (*body, response, *cause.args, _text_of(response), *_own_words(cause)):
            self.look_into(place)

    def look_into(self, value: Any, depth: int = 6) -> None:
        """Find codes and messages in a body: a mapping, JSON, or an object as the client made it of that."""
        if isinstance(value, (str, bytes)):
            value = _json_in(value)
        elif hasattr(value, "model_dump") and not isinstance(value, type):  # such as openai's ResponseError
            value = {name: getattr(value, name, None) for name in ("code", "message", "type", "error")}
        if not depth:
            return
        if isinstance(value, (list, tuple)):
            for inner in value[:_MOST_PARTS]:
                self.look_into(inner, depth - 1)
        elif isinstance(value, Mapping):
            for name, inner in value.items():
                self.entry(name, inner)
                self.look_into(inner, depth - 1)

    def entry(self, name: Any, value: Any) -> None:
        if name in _CODE_IN or name in _STATUS_IN:
            self.number(value)
            self.code(value)
        elif name == "retryDelay" and isinstance(value, str):  # Google's RetryInfo
            self.wait = self.wait or _seconds(value.removesuffix("s"))
        elif name in _MESSAGE_IN and isinstance(value, str):
            self.messages.append(value[:_LONGEST_REASON])

    def number(self, value: Any) -> None:
        if isinstance(value, int) and not isinstance(value, bool) and 400 <= value < 600:  # noqa: PLR2004 - HTTP's
            self.status = self.status or value

    def code(self, value: Any) -> None:
        if isinstance(value, str) and value:
            self.codes.add(plain_code(value))


_STATUS_IN: Final = ("status_code", "status", "code", "http_status", "HTTPStatusCode")
_CODE_IN: Final = ("code", "type", "status", "Code", "reason", "error_code", "quotaId")
_BODY_IN: Final = ("body", "details", "error", "data", "json_body")
_MESSAGE_IN: Final = ("message", "Message", "detail", "msg", "error", "raw", "error_message")
_LONGEST, _LONGEST_REASON = 20_000, 1000  # characters
_SHOWN: Final = 180  # characters of which a flag's detail has room
_MOST_PARTS: Final = 20
_LONGEST_WAIT: Final = 1e9  # seconds, which is for ever


def _names(error: BaseException) -> frozenset[str]:
    kinds = type(error).__mro__
    return frozenset(name for kind in kinds for name in (kind.__name__, f"{_package(kind)}.{kind.__name__}"))


def _package(kind: type) -> str:
    return kind.__module__.partition(".")[0]


def plain_code(code: str) -> str:
    """Return a code's letters and digits alone, in lower case.

    Example:
        >>> plain_code("context_length_exceeded"), plain_code("AllocationQuota.FreeTierOnly")
        ('contextlengthexceeded', 'allocationquotafreetieronly')
    """
    return re.sub(r"[^a-z0-9]", "", code[:200].lower())


def _own_words(cause: BaseException) -> list[str]:
    """Text that a client wraps a body in, as Mistral's does."""
    return [] if any(not isinstance(one, str) for one in cause.args) else [_text(cause)]


def _text_of(response: Any) -> str | None:
    """Return the body of an HTTP response that has been read."""
    try:
        text = getattr(response, "text", None)
    except Exception:  # noqa: BLE001 - each library has its own for "not read yet"
        return None
    return text if isinstance(text, str) else None


def _json_in(text: str | bytes) -> Any:
    said = text[:_LONGEST].decode(errors="replace") if isinstance(text, bytes) else text[:_LONGEST]
    first, last = said.find("{"), said.rfind("}")
    try:
        return json.loads(said[first : last + 1]) if 0 <= first < last else None
    except (ValueError, RecursionError):
        return None


def _retry_after(headers: Any) -> float:
    """Return seconds that the provider asks to wait, 0 where it does not say."""
    try:
        if (milliseconds := (headers or {}).get("retry-after-ms")) is not None:
            return _seconds(milliseconds) / 1000
        said = (headers or {}).get("retry-after") or "0"
        return _seconds(said) if said[:1].isdigit() else max(0.0, parsedate_to_datetime(said).timestamp() - time())
    except (ValueError, TypeError, AttributeError, OverflowError):
        return 0.0


def _seconds(said: str) -> float:
    try:
        seconds = float(said)
    except ValueError:
        return 0.0
    return min(seconds, _LONGEST_WAIT) if 0 <= seconds < float("inf") else 0.0


def _is_misread(error: BaseException) -> bool:
    """Return whether this is how code fails over a response that it did not expect, and not over its own arguments."""
    if isinstance(error, _MISREAD):
        return not _NO_SUCH_ARGUMENT.search(_text(error))
    title = getattr(error, "title", None)  # of what pydantic was to make
    return type(error).__name__ == "ValidationError" and isinstance(title, str) and bool(_OF_A_RESPONSE.search(title))


def _in_a_client(error: BaseException) -> bool:
    """Return whether it was raised while a chat model was called, and not by what a user has around it."""
    trace = error.__traceback__
    while trace is not None:
        frame = trace.tb_frame
        if frame.f_code.co_name in _CALLS and isinstance(frame.f_locals.get("self"), BaseChatModel):
            return True
        trace = trace.tb_next
    return False


_CALLS: Final = frozenset({"_agenerate", "_generate", "_astream", "_stream"})
_MISREAD: Final = (AttributeError, TypeError, KeyError, IndexError, RecursionError)
_OF_A_RESPONSE: Final = re.compile(r"Response|Completion|Chunk|Usage|AIMessage|ChatGeneration|ChatResult|Candidate")
_NO_SUCH_ARGUMENT: Final = re.compile(r"(keyword|positional|required) arguments?\b")
