"""A chat model's call with all that LangChain emits about it, and without that where nobody listens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from langchain_core.callbacks import AsyncCallbackManager
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import BaseMessage
from langchain_core.outputs import ChatResult, LLMResult
from langchain_core.runnables import RunnableConfig
from langchain_core.runnables.config import ensure_config, merge_configs
from langchain_core.utils.utils import LC_ID_PREFIX
from langchain_core.utils.uuid import uuid7

from langgraph_maker.models.short_call import is_openai

__all__ = ["generate"]


async def generate(
    model: BaseChatModel,
    messages: Sequence[BaseMessage],
    config: RunnableConfig,
    place: RunnableConfig,
    kwargs: Mapping[str, Any],
) -> LLMResult:
    """Return what `model.agenerate` does, under the model's `config` and the caller's.

    Args:
        model: Whom to call.
        messages: The prompt.
        config: What is bound to the model.
        place: Tags, metadata and run name of the call, for those who listen.
        kwargs: Further arguments.
    """
    if _adds_nothing(model) and all(isinstance(message.content, str) for message in messages):
        callbacks = ensure_config(config).get("callbacks")
        if not AsyncCallbackManager.configure(callbacks, model.callbacks, model.verbose).handlers:
            return await _unheard(model, messages, kwargs)
    whole = ensure_config(merge_configs(config, place))  # the caller's callbacks, which agenerate does not look for
    return await model.agenerate(
        [[*messages]],
        callbacks=whole.get("callbacks"),
        tags=whole.get("tags"),
        metadata=whole.get("metadata"),
        run_name=whole.get("run_name"),
        **kwargs,
    )


def _adds_nothing(model: BaseChatModel) -> bool:
    """Return whether LangChain adds nothing to a call of `model` but what it tells: no cache, limit or other form."""
    kind = type(model)
    return (
        is_openai(model)
        and kind.agenerate is BaseChatModel.agenerate
        and kind._agenerate_with_cache is BaseChatModel._agenerate_with_cache  # noqa: SLF001 - what is left out here
        and model.cache is False
        and model.disable_streaming is True
        and model.rate_limiter is None
        and getattr(model, "output_version", None) != "v1"
    )


async def _unheard(model: BaseChatModel, messages: Sequence[BaseMessage], kwargs: Mapping[str, Any]) -> LLMResult:
    """Return what `model.agenerate` does, without callbacks."""
    kwargs = {name: value for name, value in kwargs.items() if name not in _FOR_TRACERS}
    result: ChatResult = await model._agenerate([*messages], **kwargs)  # noqa: SLF001 - what agenerate calls
    run_id = uuid7()
    for number, generation in enumerate(result.generations):
        message = generation.message
        if message.id is None:
            message.id = f"{LC_ID_PREFIX}-{run_id}-{number}"
        message.response_metadata = {**(generation.generation_info or {}), **message.response_metadata}
    if len(result.generations) == 1 and result.llm_output is not None:
        message = result.generations[0].message
        message.response_metadata = {**result.llm_output, **message.response_metadata}
    combined = model._combine_llm_outputs([result.llm_output])  # noqa: SLF001 - what agenerate calls
    return LLMResult.model_construct(generations=[[*result.generations]], llm_output=combined)


_FOR_TRACERS = frozenset({"ls_structured_output_format", "structured_output_format"})
