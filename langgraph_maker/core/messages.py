"""What a prompt returns, in any form that people write it in, as the messages of one question."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from langchain_core.messages import BaseMessage, HumanMessage, convert_to_messages
from langchain_core.prompt_values import PromptValue

from langgraph_maker.core.foreign import error_text, excerpt

__all__ = ["as_messages"]


def as_messages(asked: Any) -> list[BaseMessage]:
    """Return what a prompt returned as messages.

    Raises:
        TypeError: When it is none.

    Example:
        >>> [message.type for message in as_messages([("system", "Add."), {"role": "user", "content": "2 + 2?"}])]
        ['system', 'human']
    """
    if isinstance(asked, str):
        return [HumanMessage(asked)]
    if isinstance(asked, PromptValue):
        return asked.to_messages()
    if isinstance(asked, (BaseMessage, dict)) or _is_pair(asked):
        asked = [asked]
    if not isinstance(asked, Sequence) or isinstance(asked, (bytes, bytearray)) or not asked:
        raise TypeError(f"prompt returned {excerpt(asked)}: what it returns is a text or a list of messages")
    if all(isinstance(one, BaseMessage) for one in asked):
        return list(asked)
    try:
        return convert_to_messages([HumanMessage(one) if isinstance(one, str) else one for one in asked])
    except Exception as error:  # also what a value raises that is asked for its text
        raise TypeError(
            f"prompt returned {excerpt(asked)}: what it returns is a text or a list of messages ({error_text(error)})"
        ) from error


def _is_pair(asked: Any) -> bool:
    """Return whether this is one message, as a role and a text."""
    return isinstance(asked, tuple) and len(asked) == 2 and asked[0] in _ROLES  # noqa: PLR2004


_ROLES: Final = ("user", "human", "system", "developer", "ai", "assistant")
