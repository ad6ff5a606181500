"""OpenAI's chat completions on the wire: what a request must look like, what an answer and a refusal look like.

    >>> asked = read_request(b'{"model": "m", "messages": [{"role": "user", "content": "Hello"}], "n": 2}')
    >>> asked.n, asked.messages[0].text
    (2, 'Hello')

Only what changes a text answer is read. What would change its form (`stream`, `tools`, `response_format`, ...) is
refused, and so is any name unknown here.
"""

from __future__ import annotations

from collections.abc import Collection
from math import ceil
from typing import Annotated, Any, Final, Literal, NamedTuple

import orjson
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage
from langchain_core.outputs import ChatResult
from pydantic import BaseModel, BeforeValidator, ConfigDict, FailFast, Field, ValidationError

__all__ = ["PARAMETERS", "ApiError", "ChatRequest", "completion", "read_request"]

PARAMETERS: Final = ("n", "temperature", "max_tokens", "max_completion_tokens")
"""The parameters that a server may refuse or ignore."""


class ApiError(Exception):
    """A request that is refused, in OpenAI's words and shape.

    Args:
        status: The HTTP status.
        message: What was wrong.
        kind: OpenAI's `type`.
        param: The parameter at fault.
        code: OpenAI's `code`.
        retry_after: Seconds to wait, sent whole as `Retry-After` and in milliseconds as `retry-after-ms`.

    Example:
        >>> ApiError(429, "too many requests", retry_after=0.25).headers
        {'Retry-After': '1', 'retry-after-ms': '250'}
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        kind: str = "invalid_request_error",
        param: str | None = None,
        code: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.body = {"error": {"message": message, "type": kind, "param": param, "code": code}}
        wait = retry_after
        self.headers = {} if wait is None else {"Retry-After": f"{ceil(wait)}", "retry-after-ms": f"{ceil(wait * 1e3)}"}


class ChatRequest(NamedTuple):
    """What is asked for, the defaults filled in; None leaves temperature or length to the model."""

    model: str
    messages: list[BaseMessage]
    n: int
    temperature: float | None
    max_tokens: int | None
    service_tier: str | None = None


def read_request(body: bytes, *, refuses: Collection[str] = (), ignores: Collection[str] = ()) -> ChatRequest:
    """Read the body of a request.

    Args:
        body: JSON.
        refuses: Those of `PARAMETERS` that are refused unless they have their default value.
        ignores: Those of `PARAMETERS` that are taken as if not given.

    Raises:
        ApiError: 400, with what is wrong.

    Example:
        >>> read_request(b'{"model": "m", "messages": []}')  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        langgraph_maker.simulation.server.chat_api.ApiError: Invalid 'messages': List should have at least 1 item ...
    """
    try:
        given = orjson.loads(body)
    except ValueError:
        raise ApiError(400, "The body of the request is not valid JSON.") from None
    if not isinstance(given, dict):
        raise ApiError(400, "The body of the request is no JSON object.")
    given = {name: value for name, value in given.items() if value is not None and name not in ignores}
    for name in given:
        if name not in _KNOWN:
            raise ApiError(400, f"Unrecognized request argument supplied: {name[:80]} (answers are plain text here)")
    for name in sorted(refuses):
        if name in given and given[name] != _DEFAULTS.get(name):
            raise _refused(name, given[name])
    if {"max_tokens", "max_completion_tokens"} <= set(given):
        raise ApiError(400, "Give 'max_tokens' or 'max_completion_tokens', not both.", param="max_tokens")
    try:
        read = _Body.model_validate(given)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise ApiError(
            400, f"Invalid '{where}': {first['msg'].removeprefix('Value error, ')}", param=where, code="invalid_value"
        ) from None
    messages: list[BaseMessage] = [_KINDS[message.role](message.content) for message in read.messages]
    most = read.max_tokens or read.max_completion_tokens
    return ChatRequest(read.model, messages, read.n, read.temperature, most, read.service_tier)


def completion(asked: ChatRequest, result: ChatResult, *, name: str, created: int, cached: int) -> dict[str, Any]:
    """Return the body of an answer, with the prompt counted once however many choices there are.

    Args:
        asked: The request.
        result: The model's answers, with `token_usage` in `llm_output`.
        name: The answer's id.
        created: Seconds since 1970.
        cached: How many of the prompt's tokens came from a cache.
    """
    usage = (result.llm_output or {})["token_usage"]
    choices = [
        {
            "index": index,
            "message": {"role": "assistant", "content": generation.text, "refusal": None},
            "logprobs": None,
            "finish_reason": (generation.generation_info or {})["finish_reason"],
        }
        for index, generation in enumerate(result.generations)
    ]
    return {
        "id": name,
        "object": "chat.completion",
        "created": created,
        "model": asked.model,
        "choices": choices,
        "usage": usage | {"prompt_tokens_details": {"cached_tokens": cached}},
        "service_tier": _SERVED.get(asked.service_tier or "auto", asked.service_tier),
        "system_fingerprint": "simulated",
    }


def _refused(name: str, value: Any) -> ApiError:
    if name in _DEFAULTS:
        message = (
            f"Unsupported value: '{name}' does not support {str(value)[:40]} with this model."
            f" Only the default ({_DEFAULTS[name]}) value is supported."
        )
        return ApiError(400, message, param=name, code="unsupported_value")
    message = f"Unsupported parameter: '{name}' is not supported with this model."
    return ApiError(400, message, param=name, code="unsupported_parameter")


def _text(content: Any) -> Any:
    """Return the text of a message given as a string or as a list of text parts."""
    if not isinstance(content, list):
        return content
    if not all(isinstance(part, dict) and part.get("type") == "text" for part in content):
        raise ValueError("only parts of type 'text' are supported")
    return "".join(part["text"] if isinstance(part.get("text"), str) else "" for part in content)


def _no_stream(asked: bool) -> bool:  # noqa: FBT001 - a validator
    if asked:
        raise ValueError("streaming is not supported by this server, leave 'stream' out")
    return asked


class _Message(BaseModel):
    model_config = ConfigDict(strict=True)

    role: Literal["system", "developer", "user", "assistant"]
    content: Annotated[str, BeforeValidator(_text)]


class _Body(BaseModel):
    model_config = ConfigDict(strict=True)

    model: str
    messages: Annotated[list[_Message], FailFast()] = Field(min_length=1)
    n: int = Field(default=1, ge=1, le=128)
    temperature: float | None = Field(default=None, ge=0, le=2)
    max_tokens: int | None = Field(default=None, ge=1)
    max_completion_tokens: int | None = Field(default=None, ge=1)
    stream: Annotated[bool, BeforeValidator(_no_stream)] = False
    seed: int | None = None
    service_tier: Literal["auto", "default", "flex", "priority"] | None = None


_KINDS: Final[dict[str, type[SystemMessage | HumanMessage | AIMessage]]] = {
    "system": SystemMessage,
    "developer": SystemMessage,
    "user": HumanMessage,
    "assistant": AIMessage,
}
_SERVED: Final = {"auto": "default"}
_DEFAULTS: Final = {"n": 1, "temperature": 1}
_WITHOUT_EFFECT: Final = {
    *("stop", "top_p", "frequency_penalty", "presence_penalty", "reasoning_effort"),
    *("user", "metadata", "store", "safety_identifier", "prompt_cache_key"),
}
_KNOWN: Final = {*_Body.model_fields, *_WITHOUT_EFFECT}
