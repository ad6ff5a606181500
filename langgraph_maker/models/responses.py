"""From what a chat model returns to messages whose usage adds up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from itertools import accumulate, pairwise
from typing import Any

from langchain_core.messages import AIMessage
from langchain_core.messages.ai import UsageMetadata
from langchain_core.outputs import LLMResult
from pydantic_core import to_json

from langgraph_maker.core.foreign import finite_count, shortened
from langgraph_maker.core.red_flags import RedFlag

__all__ = ["flagged", "message_in", "message_json", "messages_in"]


def message_json(response: AIMessage) -> str:
    """Return the message as JSON, without what of its metadata is none, such as a client's own objects.

    Example:
        >>> AIMessage.model_validate_json(message_json(AIMessage("yes"))).text
        'yes'
    """
    with suppress(ValueError):
        return _json(response)
    return _json(response.model_copy(update={"response_metadata": {}, "additional_kwargs": {}}))


def _json(response: AIMessage) -> str:
    said = to_json(response.model_dump(), bytes_mode="base64", inf_nan_mode="constants", fallback=lambda _: None)
    return said.decode()


def messages_in(result: LLMResult) -> list[AIMessage]:
    """Return the responses of one call, what it used shared out so that it adds up."""
    said = [_answer(getattr(generation, "message", generation.text)) for generation in result.generations[0]]
    if len(said) == 1:
        return said
    output = result.llm_output or {}
    used = _used(output.get("token_usage"), said[0])
    usages: Sequence[UsageMetadata | None] = [None] * len(said) if used is None else _shared(used, said)
    return [
        message.model_copy(
            update={
                "usage_metadata": usage,
                "response_metadata": {**_named(output), **message.response_metadata},
            }
        )
        for message, usage in zip(said, usages, strict=True)
    ]


def _answer(message: object) -> AIMessage:
    """Return the message of a chat model, flagged where it is none of the model's: a server may say any role."""
    if isinstance(message, (AIMessage, str)):
        return message_in(message)
    said = f"the response is a message of the role {getattr(message, 'role', getattr(message, 'type', '?'))}"
    flag = {"reason": "malformed", "detail": shortened(said)}
    return AIMessage("", id=getattr(message, "id", None), response_metadata={"red_flag": flag})


def _named(output: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a call says of itself and not with each response: its model, and the tier it was served at."""
    said = {name: output.get(name) for name in ("model_name", "service_tier")}
    return said if said["service_tier"] else {"model_name": said["model_name"]}


def _shared(used: tuple[int, int, int], said: Sequence[AIMessage]) -> list[UsageMetadata]:
    """Give each message its part of the output tokens, and the first one the input tokens."""
    read, cached, total = used
    usages: list[Mapping[str, Any]] = [message.usage_metadata or {} for message in said]
    written = [finite_count(usage.get("output_tokens")) or 0 for usage in usages]
    if sum(written) != total:  # each repeats the total, so that its share is estimated by the length of its text
        written = _shares(total, [1 + len(f"{message.content}{message.tool_calls}") for message in said])
    return [_usage(0 if place else read, 0 if place else cached, tokens) for place, tokens in enumerate(written)]


def _used(reported: Mapping[str, Any] | None, first: AIMessage) -> tuple[int, int, int] | None:
    """Input, cached input and output tokens of a call: as its result says, or else its first message.

    None where it does not say, or says what cannot be read.
    """
    if isinstance(reported, Mapping) and "prompt_tokens" in reported:
        names, inner = ("prompt_tokens", "completion_tokens", "prompt_tokens_details"), "cached_tokens"
        said: Mapping[str, Any] = reported
    else:
        names, inner = ("input_tokens", "output_tokens", "input_token_details"), "cache_read"
        said = first.usage_metadata or {}
    read, written, details = finite_count(said.get(names[0])), finite_count(said.get(names[1])), said.get(names[2])
    if read is None or written is None:
        return None
    cached = finite_count(details.get(inner), most=read) if isinstance(details, Mapping) else None
    return read, cached or 0, written


def _usage(read: int, cached: int, written: int) -> UsageMetadata:
    return {
        "input_tokens": read,
        "output_tokens": written,
        "total_tokens": read + written,
        "input_token_details": {"cache_read": cached},
    }


def _shares(total: int, weights: Sequence[int]) -> list[int]:
    """Return `total` cut in proportion to `weights`, into whole numbers that add up to it."""
    cuts = [total * reached // sum(weights) for reached in accumulate(weights, initial=0)]
    return [after - before for before, after in pairwise(cuts)]


def flagged(flag: RedFlag, error: BaseException) -> AIMessage:
    """Return the response that came as an error: no text, its flag, and what it used where the error says so."""
    used = getattr(getattr(error, "completion", None), "usage", None)
    read, written = (finite_count(getattr(used, name, None)) for name in ("prompt_tokens", "completion_tokens"))
    usage = None if read is None or written is None else _usage(read, 0, written)
    said = {"reason": flag.reason, "detail": flag.detail}
    return AIMessage("", usage_metadata=usage, response_metadata={"red_flag": said})


def message_in(response: object) -> AIMessage:
    """Return the message in what a model returned.

    Raises:
        TypeError: When there is none.
    """
    if isinstance(response, dict) and isinstance(response.get("raw"), AIMessage):
        response = response["raw"]  # of with_structured_output(include_raw=True)
    if isinstance(response, str):
        return AIMessage(response)
    if not isinstance(response, AIMessage):
        raise TypeError(
            f"a model must answer with an AIMessage or a string, not {type(response).__name__}"
            " (with_structured_output needs include_raw=True)"
        )
    return response
