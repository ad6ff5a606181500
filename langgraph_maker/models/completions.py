"""The body of a plain chat completion, as OpenAI's client would hand it to LangChain."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any, NamedTuple

import orjson

__all__ = ["read_completion"]


def read_completion(body: bytes) -> dict[str, Any] | None:
    """Return a completion with all that OpenAI's types leave open as None; None for what is not of the plain kind.

    Plain are answers by an assistant in text and calls of functions, with usage in whole numbers. All else (errors in
    a 200, audio, log probabilities, what another server made up) is for OpenAI's client itself to read.

    Example:
        >>> message = b'{"role": "assistant", "content": "4"}'
        >>> choice = b'{"message": %b, "finish_reason": "stop"}' % message
        >>> found = read_completion(b'{"id": "x", "model": "m", "choices": [%b]}' % choice)
        >>> found["choices"][0]["message"]["content"], found["service_tier"]
        ('4', None)
        >>> read_completion(b'{"error": {"code": 502}}') is None
        True
    """
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    if not isinstance(found, dict) or "error" in found or not isinstance(found.get("choices"), list):
        return None
    choices = found["choices"]
    named = all(isinstance(found.get(name), str) for name in ("id", "model"))
    if not (named and choices and all(map(_is_plain, choices)) and _is_usage(found.get("usage"))):
        return None
    open_fields = _open_fields()
    for choice in choices:
        choice["message"] = open_fields.message | choice["message"]
    found["choices"] = [open_fields.choice | choice for choice in choices]
    if (usage := found.get("usage")) is not None:
        usage = found["usage"] = open_fields.usage | usage
        for name, fields in open_fields.details.items():
            if usage[name] is not None:
                usage[name] = fields | usage[name]
    return open_fields.completion | found


class _OpenFields(NamedTuple):
    """The fields that may be missing in a body, which OpenAI's types say are None then."""

    completion: dict[str, None]
    choice: dict[str, None]
    message: dict[str, None]
    usage: dict[str, None]
    details: Mapping[str, dict[str, None]]


@cache
def _open_fields() -> _OpenFields:
    from openai.types import CompletionUsage  # noqa: PLC0415 - slow to import, and not used with other models
    from openai.types.chat import ChatCompletion, ChatCompletionMessage  # noqa: PLC0415
    from openai.types.chat.chat_completion import Choice  # noqa: PLC0415
    from openai.types.completion_usage import CompletionTokensDetails, PromptTokensDetails  # noqa: PLC0415

    def fields(kind: Any) -> dict[str, None]:
        return {name: None for name, field in kind.model_fields.items() if not field.is_required()}

    details = {
        "prompt_tokens_details": fields(PromptTokensDetails),
        "completion_tokens_details": fields(CompletionTokensDetails),
    }
    return _OpenFields(
        completion=fields(ChatCompletion),
        choice=fields(Choice),
        message=fields(ChatCompletionMessage),
        usage=fields(CompletionUsage),
        details=details,
    )


def _is_plain(choice: Any) -> bool:
    if not isinstance(choice, dict) or choice.get("logprobs") is not None:
        return False
    message = choice.get("message")
    if not isinstance(message, dict) or message.get("role") != "assistant" or "parsed" in message:
        return False
    if message.get("annotations") or any(message.get(name) is not None for name in ("audio", "function_call")):
        return False
    calls = message.get("tool_calls")
    return all(isinstance(message.get(name), (str, type(None))) for name in ("content", "refusal")) and (
        calls is None or (isinstance(calls, list) and all(map(_is_function_call, calls)))
    )


def _is_function_call(call: Any) -> bool:
    if not isinstance(call, dict) or call.get("type") != "function" or not isinstance(call.get("id"), str):
        return False
    function = call.get("function")
    return isinstance(function, dict) and all(isinstance(function.get(name), str) for name in ("name", "arguments"))


def _is_usage(usage: Any) -> bool:
    """Return whether this is usage in whole numbers, or none."""
    if usage is None:
        return True
    if not isinstance(usage, dict) or not all(type(usage.get(name)) is int for name in _COUNTS):
        return False
    details = [usage.get(name) for name in ("prompt_tokens_details", "completion_tokens_details")]
    return all(part is None or (isinstance(part, dict) and all(map(_is_count, part.values()))) for part in details)


def _is_count(value: Any) -> bool:
    return value is None or type(value) is int


_COUNTS = frozenset({"prompt_tokens", "completion_tokens", "total_tokens"})
