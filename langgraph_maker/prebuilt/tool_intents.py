"""What an agent's model means to do: the intent that votes on its messages are about, and what flags one."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import Any, TypeAlias

from langchain_core.messages import AIMessage
from langchain_core.tools import BaseTool
from langchain_core.utils.function_calling import convert_to_openai_tool
from pydantic import BaseModel, TypeAdapter, ValidationError

from langgraph_maker.core.ballot import Key, Relation, check_key, key_of
from langgraph_maker.core.canonical import canonical
from langgraph_maker.core.extras import install
from langgraph_maker.core.foreign import error_text, excerpt, shortened
from langgraph_maker.core.matchers import Pairwise, alike
from langgraph_maker.core.red_flags import RedFlag, Rule

__all__ = ["Check", "OneOfTools", "checks_of", "intent_of", "intents_by", "json_check", "type_check"]

logger = logging.getLogger(__name__)

Check: TypeAlias = Callable[[Any], None]
"""Raises a ValueError for arguments that a tool would not take."""


def intent_of(response: AIMessage, answer: Check | None = None) -> dict[str, Any]:
    """Return the calls of a message, in order and without their ids, or its answer where it has none.

    Args:
        response: What the model said.
        answer: What an answer in JSON must pass; None for an answer in words.

    Raises:
        ValueError: For an answer that is no such JSON.

    Example:
        >>> intent_of(AIMessage("42"))
        {'answer': '42'}
        >>> intent_of(AIMessage("", tool_calls=[{"name": "add", "args": {"a": 2}, "id": "x"}]))
        {'calls': [{'name': 'add', 'args': {'a': 2}}]}
    """
    if response.tool_calls:
        return {"calls": [{"name": call["name"], "args": call["args"]} for call in response.tool_calls]}
    if answer is None:
        return {"answer": response.text}
    said = json.loads(response.text)
    answer(said)
    return {"answer": said}


def intents_by(answers: Key, arguments: Mapping[str, Key] = MappingProxyType({})) -> Key:
    """Return the matcher of votes {"intent": …}.

    Args:
        answers: Which answers are equal.
        arguments: By the names of tools, which arguments are equal; those of other tools by `canonical`.

    Raises:
        TypeError: For an invalid matcher.
    """
    if not isinstance(arguments, Mapping):
        raise TypeError(f'arguments are matchers by the names of tools, {{"search": …}}, not {excerpt(arguments)}')
    for key in (answers, *arguments.values()):
        check_key(key)

    def equal(one: Any, other: Any) -> bool:
        ours, theirs = one["intent"], other["intent"]
        if "answer" in ours or "answer" in theirs:
            return "answer" in ours and "answer" in theirs and alike(answers, ours["answer"], theirs["answer"])
        calls = [*zip(ours["calls"], theirs["calls"], strict=False)]
        return len(ours["calls"]) == len(theirs["calls"]) and all(
            call["name"] == its["name"] and alike(arguments.get(call["name"], canonical), call["args"], its["args"])
            for call, its in calls
        )

    if isinstance(answers, Relation) or any(isinstance(key, Relation) for key in arguments.values()):
        return Pairwise(equal)

    functions = {name: key for name, key in arguments.items() if not isinstance(key, Relation)}

    def text(vote: Any) -> str:
        intent = vote["intent"]
        if "answer" in intent:
            return f"answer {key_of(intent['answer'], answers)}"
        calls = [[one["name"], key_of(one["args"], functions.get(one["name"], canonical))] for one in intent["calls"]]
        return f"calls {canonical(calls)}"

    return text


@dataclass(frozen=True)
class OneOfTools(Rule):
    """Flags calls that no tool would take, and an answer where a call was asked for.

    Args:
        checks: The tools that there are, and what their arguments must pass.
        forced: Whether a call was asked for.
    """

    checks: Mapping[str, Check]
    forced: bool = False

    def __call__(self, response: AIMessage) -> RedFlag | None:
        """Return the first flag that a call raises, or None."""
        for broken in response.invalid_tool_calls:
            return RedFlag("invalid_tool_call", f"{broken['name']}: {broken['error'] or broken['args']}")
        for call in response.tool_calls:
            if (check := self.checks.get(call["name"])) is None:
                return RedFlag("unknown_tool", f"{excerpt(call['name'])} is none of {sorted(self.checks)}")
            try:
                check(call["args"])
            except ValueError as error:
                return RedFlag("invalid_arguments", f"{call['name']}: {error}")
        if self.forced and not response.tool_calls:
            return RedFlag("no_tool_call", "an answer, where a tool call was asked for")
        return None


def checks_of(tools: Sequence[Any]) -> dict[str, Check]:
    """Return the names of tools, as they are bound to a model, with what their arguments must pass.

    Raises:
        ImportError: For a tool described by a JSON schema, where the extra `agents` is missing.

    Example:
        >>> from langchain_core.tools import tool
        >>> @tool
        ... def add(a: int, b: int) -> int:
        ...     "Add."
        >>> checks_of([add])["add"]({"a": "x", "b": 2})
        Traceback (most recent call last):
        ValueError: a: Input should be a valid integer, unable to parse string as an integer
    """
    return dict(_check_of(tool) for tool in tools)


def _check_of(tool: Any) -> tuple[str, Check]:
    if isinstance(tool, BaseTool):
        schema = tool.get_input_schema()
        if not isinstance(tool.args_schema, dict) and issubclass(schema, BaseModel):
            offered: Any = tool.tool_call_schema
            return tool.name, _model_check(schema, {*schema.model_fields} - {*offered.model_fields})
    try:
        described = convert_to_openai_tool(tool)
    except ValueError:  # what only one provider knows
        described = tool if isinstance(tool, dict) else {}
    function = described.get("function", described)
    name = function.get("name") or described.get("type") or next(iter(described), "")
    return name, _tolerant_check(name, function.get("parameters") or {})


def _tolerant_check(name: str, schema: Any) -> Check:
    """Return what a tool's JSON schema says; nothing, where the validator cannot take it."""
    try:
        return json_check(schema)
    except ImportError:
        raise
    except Exception as error:  # noqa: BLE001 - the tool itself may do with it what it likes
        _tell_unchecked(name, error_text(error).splitlines()[0])
        return lambda _: None


@lru_cache(maxsize=1024)
def _tell_unchecked(name: str, why: str) -> None:
    logger.warning("the arguments of calls of the tool %s are not checked, as its schema cannot be read: %s", name, why)


def _model_check(schema: type[BaseModel], injected: set[str]) -> Check:
    """Return the tool's own model, whose validators no schema shows; what the agent adds is not the model's to give."""

    def check(args: Any) -> None:
        try:
            schema.model_validate(args)
        except ValidationError as error:
            _refuse(error, but=injected)
        except Exception as error:
            raise ValueError(error_text(error)) from error  # of a validator that does not expect such arguments

    return check


def json_check(schema: Mapping[str, Any]) -> Check:
    """Return what a JSON schema says; one that refers to other documents is refused."""
    if not schema:
        return lambda _: None
    try:
        from jsonschema_rs import validator_for  # noqa: PLC0415 - of the extra
    except ImportError as error:
        raise ImportError(f"tools with a JSON schema need an extra: {install('agents')}") from error

    validator = validator_for(dict(schema), retriever=_no_document)

    def check(value: Any) -> None:
        if error := next(iter(validator.iter_errors(value)), None):
            raise ValueError(f"{'.'.join(map(str, error.instance_path))}: {shortened(error.message)}")

    return check


def type_check(kind: Any) -> Check:
    """Return what a type says: a pydantic model, a dataclass, a TypedDict."""
    adapter: TypeAdapter[Any] = TypeAdapter(kind)

    def check(value: Any) -> None:
        try:
            adapter.validate_python(value)
        except ValidationError as error:
            _refuse(error)
        except Exception as error:
            raise ValueError(error_text(error)) from error

    return check


def _refuse(error: ValidationError, but: AbstractSet[str] = frozenset()) -> None:
    for one in error.errors():
        if not one["loc"] or one["loc"][0] not in but:
            raise ValueError(f"{'.'.join(map(str, one['loc']))}: {one['msg']}") from error


def _no_document(uri: str) -> Any:
    raise ValueError(f"a tool's schema must not refer to another document, as to {uri}")
