r"""What the domains' prompts and answers have in common: named lines of JSON.

>>> said("7 * 8 + 1 is 57.\n**digit = 7**\ncarry = 5", "digit", "carry")
[7, 5]
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from functools import cache
from hashlib import blake2b
from typing import Any, Final

import orjson
from langchain_core.messages import BaseMessage, HumanMessage, SystemMessage

from langgraph_maker.core.canonical import canonical, check_one_reading
from langgraph_maker.core.red_flags import RedFlag

__all__ = ["asked", "fingerprint", "said", "shown", "written"]

_LONGEST: Final = 10_000
_MARKS: Final = " \t*`"


def asked(instructions: str, values: Mapping[str, Any], *, reverse: bool = False) -> list[BaseMessage]:
    """Return a prompt: instructions, the same for every step so that providers cache them, and lines `name: JSON`."""
    lines = [f"{name}: {json.dumps(value)}" for name, value in values.items()]
    return [SystemMessage(instructions), HumanMessage("\n".join(reversed(lines) if reverse else lines))]


def shown(messages: Sequence[BaseMessage], *names: str) -> list[Any]:
    """Return the values of the lines `name: JSON` in the last human message.

    Raises:
        ValueError: When one of them is missing, or is no JSON.

    Example:
        >>> shown(asked("Add.", {"left": 3, "right": [4]}), "right", "left")
        [[4], 3]
    """
    text = next((message.text for message in reversed(messages) if isinstance(message, HumanMessage)), "")
    lines = dict(line.split(": ", 1) for line in text.splitlines() if ": " in line)
    try:
        return [orjson.loads(lines[name]) for name in names]
    except (KeyError, ValueError):
        wanted = " and ".join(f"'{name}: …'" for name in names)
        raise ValueError(
            f"not a prompt of this task: the last human message must have the lines {wanted}, not {text[:80]!r}"
        ) from None


def written(**values: Any) -> str:
    """Return the lines that a prompt asks for.

    Example:
        >>> print(written(digit=7, carry=5))
        digit = 7
        carry = 5
    """
    return "\n".join(f"{name} = {json.dumps(value)}" for name, value in values.items())


def said(text: str, *names: str) -> list[Any]:
    r"""Return the values of the last line `name = JSON` of each name, in any letter case, with markdown marks around.

    A malformed last line is not made good by an earlier one.

    Raises:
        RedFlag: `no_NAME` where there is no such line, `bad_NAME` where what it says is no JSON, or two things.

    Example:
        >>> said("digit = 1\ndigit = 07", "digit")
        Traceback (most recent call last):
        langgraph_maker.core.red_flags.RedFlag: bad_digit: '07'
    """
    values = []
    for name in names:
        found = _line(name).findall(text)
        if not found:
            raise RedFlag(f"no_{name}", f"the text ends {text[-80:]!r}")
        value = found[-1].strip(_MARKS)[:_LONGEST]
        try:
            values.append(orjson.loads(value))
            check_one_reading(value)
        except ValueError:
            raise RedFlag(f"bad_{name}", repr(value[:80])) from None
    return values


@cache
def _line(name: str) -> re.Pattern[str]:
    return re.compile(rf"^[{_MARKS}]*{name}[*`]*[ \t]*=(.*)$", re.IGNORECASE | re.ASCII | re.MULTILINE)


def fingerprint(value: Any) -> str:
    """Return a short digest of a long parameter, by which a run knows that it is resumed with the same."""
    return blake2b(canonical(value).encode(), digest_size=8).hexdigest()
