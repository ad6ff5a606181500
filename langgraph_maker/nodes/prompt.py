"""φ as people write it: functions and templates, and all that they return, as the messages of one question."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from inspect import isawaitable
from typing import Any, TypeAlias

from langchain_core.messages import BaseMessage
from langchain_core.prompt_values import PromptValue
from langchain_core.prompts import BasePromptTemplate

from langgraph_maker.core.foreign import error_text, excerpt, shortened
from langgraph_maker.core.messages import as_messages

__all__ = ["Asked", "Prompt", "ask", "each_prompt"]

Asked: TypeAlias = str | BaseMessage | PromptValue | dict[str, Any] | Sequence[Any]
"""A text, a message, a list of messages, of dicts with a role and a content, or of pairs of them, or a prompt value."""

Prompt: TypeAlias = Callable[[Any], Asked | Awaitable[Asked]] | BasePromptTemplate[Any]
"""φ: all that a microagent sees of a state; a template is filled in with it."""


def each_prompt(prompt: Prompt | Sequence[Prompt]) -> list[Callable[[Any], Any]]:
    """Return the variants of a prompt as functions.

    Raises:
        TypeError: For what is none.
    """
    single = callable(prompt) or isinstance(prompt, BasePromptTemplate)
    given: Sequence[Any] = [prompt] if single else prompt if isinstance(prompt, (list, tuple)) else []
    prompts = [*map(_filled, given)]
    if not prompts or not all(map(callable, prompts)):
        raise TypeError(
            "prompt is a function from a state to messages or a text, a prompt template, or a list of such, not"
            f" {excerpt(prompt)}"
            + ("; ChatPromptTemplate.from_template makes one of a text" if isinstance(prompt, str) else "")
        )
    return prompts


def _filled(prompt: Any) -> Any:
    """Return a template as a function, whose mistakes are said in words; any function as it is."""
    template = prompt.invoke if isinstance(prompt, BasePromptTemplate) else prompt
    if template is prompt and not isinstance(getattr(prompt, "__self__", None), str):  # such as "{}?".format
        return prompt

    def fill(state: Any) -> Any:
        try:
            return template(state)
        except (LookupError, TypeError, ValueError) as error:
            plain = isinstance(prompt, BasePromptTemplate) and error.args and isinstance(error.args[0], str)
            text, shown = (
                error.args[0] if plain else error_text(error),
                excerpt(getattr(prompt, "__self__", prompt), 80),
            )
            raise ValueError(
                f"the template {shown} cannot be filled in with {excerpt(state)}: {shortened(text, 500)}"
            ) from error

    return fill


def ask(prompt: Callable[[Any], Any], state: Any) -> list[BaseMessage] | Awaitable[Any]:
    """Return the messages that a prompt makes of a state, or what is to be awaited for what `as_messages` takes.

    Raises:
        TypeError: When it makes none.
    """
    try:
        asked = prompt(state)
    except Exception as error:
        error.add_note(f"raised by prompt, for the state {excerpt(state)}")
        raise
    return asked if isawaitable(asked) else as_messages(asked)
