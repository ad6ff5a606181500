"""How a response ended: the endings by which clients say that it is whole, and refusals.

A list of bad endings is always one short, so this is a list of good ones: what is not in it is cut short. The client of
one provider has that provider's, a client that servers of any kind are asked through has all of them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from langchain_core.messages import AIMessage

__all__ = ["NO_ENDING", "WHOLE", "cut_short", "withheld"]

WHOLE: Final[Mapping[str, frozenset[str]]] = {
    "OpenAI, and all servers in its shape": frozenset({"stop", "tool_calls", "function_call"}),
    "OpenAI's Responses": frozenset({"completed"}),
    "Anthropic": frozenset({"end_turn", "tool_use", "stop_sequence"}),
    "Gemini": frozenset({"stop"}),
    "Bedrock's Converse": frozenset({"end_turn", "tool_use", "stop_sequence"}),
    "Bedrock": frozenset({"finish", "finished", "endoftext"}),
    "Cohere": frozenset({"complete", "tool_call", "stop_sequence"}),
    "Ollama": frozenset({"stop", "tool_calls"}),
    "Together, Fireworks, llama.cpp": frozenset({"eos", "stop", "word"}),
    "Text Generation Inference, watsonx": frozenset({"eos_token", "stop_sequence"}),
    "YandexGPT": frozenset({"alternative_status_final", "alternative_status_tool_calls"}),
}
"""Endings of whole responses in lower case, by who has them. A gateway may pass on those of any other."""

_ANY: Final = frozenset().union(*WHOLE.values())
_OPENAI: Final = WHOLE["OpenAI, and all servers in its shape"]
_OF_CLIENT: Final[Mapping[str, frozenset[str]]] = {
    "anthropic": WHOLE["Anthropic"],
    "google_genai": WHOLE["Gemini"],
    "google_vertexai": WHOLE["Gemini"],
    "bedrock_converse": WHOLE["Bedrock's Converse"],
    "cohere": WHOLE["Cohere"],
    "ollama": WHOLE["Ollama"],
    **dict.fromkeys(("deepseek", "groq", "mistral", "mistralai", "xai"), _OPENAI),
    **dict.fromkeys(("fireworks", "together"), _OPENAI | WHOLE["Together, Fireworks, llama.cpp"]),
}
"""The list of a client, by the `model_provider` in its metadata, where it is the client of one provider."""
_PLACES: Final = ("finish_reason", "stop_reason", "done_reason", "stopReason", "finishReason")
_ALWAYS_SAY: Final = frozenset(
    {"openai", "azure", "anthropic", "google_genai", "google_vertexai", "bedrock", "bedrock_converse", "ollama", "groq"}
    | {"amazon_bedrock", "mistral", "mistralai", "deepseek", "openrouter", "fireworks", "together", "xai", "cohere"}
)
"""Clients, by the `model_provider` in their metadata, whose every whole response says how it ended."""
NO_ENDING: Final = "no finish reason"
"""How a response is flagged that does not say how it ended, of a client whose responses do."""
_MOST: Final = 100  # characters of an ending that is told


def cut_short(response: AIMessage) -> str | None:
    """Return the ending of a response that is not known to be whole, None for a whole one.

    A model that is no client of a provider need not say how its responses end.

    Example:
        >>> cut_short(AIMessage("move = [1,", response_metadata={"stop_reason": "refusal"}))
        'refusal'
        >>> cut_short(AIMessage("42", response_metadata={"finish_reason": "STOP"})), cut_short(AIMessage("42"))
        (None, None)
    """
    metadata = response.response_metadata
    if status := metadata.get("status"):  # of OpenAI's Responses; "status" may be another client's HTTP status
        if status == "incomplete":
            return f"incomplete: {metadata.get('incomplete_details')}"[:_MOST]
        if status in {"failed", "cancelled", "in_progress", "queued"}:
            return str(status)
        if status == "completed":
            return None
    provider = metadata.get("model_provider")
    ending = next((metadata[place] for place in _PLACES if metadata.get(place)), None)
    if ending is None:
        return NO_ENDING if isinstance(provider, str) and provider in _ALWAYS_SAY else None
    ending = str(getattr(ending, "name", ending))[:_MOST]
    whole = _OF_CLIENT.get(provider, _ANY) if isinstance(provider, str) else _ANY
    return None if _once(ending.lower()) in whole else ending


def withheld(response: AIMessage) -> tuple[str, str] | None:
    """Return why there is no answer in a response: the reason and the detail of a flag, or None.

    That is a refusal that the provider marks as one, a prompt that was blocked, or a call that failed in a way that is
    a response's own fault, see `failures.Failure.flag`.

    Example:
        >>> withheld(AIMessage("", additional_kwargs={"refusal": "I can't help with that."}))
        ('refusal', "I can't help with that.")
        >>> withheld(AIMessage([{"type": "refusal", "refusal": "No."}])), withheld(AIMessage("42"))
        (('refusal', 'No.'), None)
    """
    metadata = response.response_metadata
    if isinstance(flag := metadata.get("red_flag"), Mapping):
        return str(flag.get("reason")), str(flag.get("detail", ""))
    if refusal := response.additional_kwargs.get("refusal"):
        return "refusal", str(refusal)
    for block in response.content if isinstance(response.content, list) else ():
        if isinstance(block, dict) and block.get("type") == "refusal":
            return "refusal", str(block.get("refusal") or "the model refused")
    if blocked := _blocked(metadata.get("prompt_feedback")):
        return "refusal", f"the prompt was blocked: {blocked}"
    return None


def _blocked(feedback: Any) -> str:
    """Return why Gemini blocked a prompt, "" where it did not."""
    reason = feedback.get("block_reason") if isinstance(feedback, Mapping) else None
    said = str(getattr(reason, "name", reason or ""))
    return "" if said in {"", "0", "BLOCKED_REASON_UNSPECIFIED"} else said


def _once(ending: str) -> str:
    """Return the ending of a response whose parts all said it, as joined from a stream: "STOPSTOP" is "STOP"."""
    return repeated.group(1) if (repeated := re.fullmatch(r"(.+?)\1*", ending)) else ending
