"""Responses whose token counts cannot be read, or that say how some of their choices ended: read all the same.

Clients turn a body into a message with code of their own, which fails over usage that is a text, and gives a choice
without an ending that of the choice before it. So they are handed the body without what is odd in it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from copy import copy
from functools import partial
from typing import Any, Final

import orjson
from langchain_core.language_models import BaseChatModel

from langgraph_maker.core.endings import NO_ENDING
from langgraph_maker.core.foreign import bounded_text, finite_count
from langgraph_maker.models.prices import say_unreadable

__all__ = ["forgiving", "mend_body", "mended"]


def forgiving(model: BaseChatModel) -> BaseChatModel:
    """Have `model`, a copy that is ours, read responses without what is odd in them; return it."""
    for name in _READERS:
        if (reader := getattr(model, name, None)) is not None:
            object.__setattr__(model, name, partial(_read, reader))
    for name in _OLLAMA:
        if (client := getattr(model, name, None)) is not None and hasattr(client, "_request"):
            client = copy(client)  # ours, with the user's connections
            client._request = partial(_request, client._request)  # noqa: SLF001 - where it makes objects of bodies
            setattr(model, name, client)
    return model


async def mend_body(response: Any) -> None:
    """Mend the body of a response of httpx's that OpenAI's client reads by no method of the model: its Responses."""
    kind = response.headers.get("content-type", "").partition(";")[0]
    if not (kind.endswith("json") and response.url.path.endswith("/responses")):
        return
    body = await response.aread()
    with suppress(ValueError):
        if isinstance(said := orjson.loads(body), dict) and (other := mended(said)) is not said:
            response._content = orjson.dumps(other)  # noqa: SLF001 - as read


def mended(response: Any) -> Any:
    """Return a body, or what a client made of it, without usage that cannot be read, each choice with an ending.

    Example:
        >>> mended({"usage": "12 tokens"}), mended({"usage": {"prompt_tokens": 5, "completion_tokens": 1}})
        ({'usage': None}, {'usage': {'prompt_tokens': 5, 'completion_tokens': 1}})
        >>> mended({"choices": [{"finish_reason": "stop"}, {"finish_reason": None}]})["choices"][1]
        {'finish_reason': 'no finish reason'}
    """
    usage = _get(response, "usage")
    if (readable := _usage(usage)) is not usage:
        say_unreadable(bounded_text(_get(response, "model") or "", 100))
        response = _with(response, "usage", readable)
    choices = _get(response, "choices")
    if isinstance(choices, list) and len(choices) > 1:
        said = [bool(_get(choice, _ENDING)) for choice in choices]
        if any(said) and not all(said):
            ended = [one if has else _with(one, _ENDING, NO_ENDING) for one, has in zip(choices, said, strict=True)]
            response = _with(response, "choices", ended)
    return response


def _read(reader: Callable[..., Any], response: Any, *args: Any, **kwargs: Any) -> Any:
    response = mended(response)
    result = reader(response, *args, **kwargs)
    if _get(response, "usage") is None:  # which Anthropic's reads as none used
        for generation in result.generations:
            generation.message.usage_metadata = None
    return result


def _request(request: Callable[..., Any], kind: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    def made(**said: Any) -> Any:
        odd = [name for name in _OF_OLLAMA if said.get(name) is not None and finite_count(said[name]) is None]
        if odd:
            say_unreadable(bounded_text(said.get("model", ""), 100))
        return kind(**{name: None if name in odd else value for name, value in said.items()})

    return request(made, *args, **kwargs)


def _usage(usage: Any) -> Any:
    """Return usage as it is where its counts can be read; without details that cannot; None where it cannot at all."""
    if usage is None:
        return None
    fields = dict(_fields(usage))
    counts = {name for name in _COUNTS if fields.get(name) is not None}
    if any(_is_odd(fields[name]) for name in counts) or not any(names <= counts for names in _ENOUGH):
        return None
    odd = [name for name, value in fields.items() if name not in _COUNTS and _is_odd_detail(name, value)]
    for name in odd:
        usage = _with(usage, name, None)
    return usage


def _is_odd(count: Any) -> bool:
    return count is not None and finite_count(count) is None


def _is_odd_detail(name: str, value: Any) -> bool:
    if "detail" not in name and "token" not in name and name != "cache_creation":
        return False
    if "detail" not in name and name != "cache_creation":
        return _is_odd(value)
    fields = dict(_fields(value))
    return value is not None and (not _is_object(value) or any(map(_is_odd, fields.values())))


def _is_object(value: Any) -> bool:
    return isinstance(value, Mapping) or hasattr(value, "model_fields_set")


def _fields(value: Any) -> Iterator[tuple[str, Any]]:
    """Yield what is in a body, or in what a client made of one with pydantic."""
    if isinstance(value, Mapping):
        yield from value.items()
    elif _is_object(value):
        yield from {**vars(value), **(getattr(value, "model_extra", None) or {})}.items()


def _get(value: Any, name: str) -> Any:
    return value.get(name) if isinstance(value, Mapping) else getattr(value, name, None)


def _with(value: Any, name: str, other: Any) -> Any:
    return {**value, name: other} if isinstance(value, Mapping) else value.model_copy(update={name: other})


_ENDING: Final = "finish_reason"
_READERS: Final = ("_create_chat_result", "_format_output")
"""The methods by which clients make a result of a body: those in OpenAI's shape, and Anthropic's."""
_OLLAMA: Final = ("_client", "_async_client")
_OF_OLLAMA: Final = ("prompt_eval_count", "eval_count")
_ENOUGH: Final = ({"prompt_tokens", "completion_tokens"}, {"input_tokens", "output_tokens"}, {"total_tokens"})
_COUNTS: Final = frozenset().union(*_ENOUGH)
