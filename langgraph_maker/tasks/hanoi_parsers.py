"""How answers to Towers of Hanoi are read: by the form that was asked for, or by whatever can be made of them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

import orjson

from langgraph_maker.core.red_flags import RedFlag
from langgraph_maker.core.task import State, Vote
from langgraph_maker.tasks.hanoi_moves import Pegs

__all__ = ["parse_flagging", "parse_repairing", "shown_state"]


def parse_flagging(text: str, disks: list[int]) -> Vote:
    """Return the vote in the last `move = ` and the last `next_state = `; flag it unless both are in the asked form."""
    move = _last("move", _MOVE_HEAD, _MOVE, text)
    pegs = _last("state", _STATE_HEAD, _STATE, text)
    if sorted(pegs[0] + pegs[1] + pegs[2]) != disks:
        raise RedFlag("bad_state", f"{str(pegs)[:80]} does not hold disks 1 to {len(disks)} once each")
    return {"action": move, "next_state": pegs}


def _last(half: str, head: re.Pattern[str], value: re.Pattern[str], text: str) -> list[Any]:
    if (found := head.match(text)) is None:
        raise RedFlag(f"no_{half}", f"the text ends {text[-80:]!r}")
    start = found.end()
    try:
        if (match := value.match(text, start)) is not None:
            return list(orjson.loads(match[0]))
    except ValueError:  # brackets in place, but no JSON integers inside
        pass
    raise RedFlag(f"bad_{half}", repr(text[start : start + 80]))


def parse_repairing(text: str) -> Vote:
    """Return the vote in the last occurrences from which anything can be read; nothing is checked."""
    move = next((lists[0][:3] for lists in _salvage(_MOVE_NAME, text) if lists[0]), None)
    if move is None:
        raise RedFlag("no_move", f"the text ends {text[-80:]!r}")
    pegs = next((lists[:3] for lists in _salvage(_STATE_NAME, text) if any(lists)), None)
    if pegs is None:
        raise RedFlag("no_state", f"the text ends {text[-80:]!r}")
    return {"action": move, "next_state": pegs}


def shown_state(text: str) -> State:
    """Return the state that a prompt shows.

    Raises:
        ValueError: When it shows no previous move and current state.
    """
    try:
        if shown := _SHOWN.search(text):
            return {"previous": orjson.loads(shown[1] or "null"), "pegs": orjson.loads(shown[2])}
    except ValueError:  # the numbers in the lists are no JSON: the same verdict as no lists at all
        pass
    raise ValueError(
        "not a prompt of TowersOfHanoi: the last human message must show 'Previous move: [1, 0, 2]' and "
        f"then 'Current state: [[...], [...], [...]]' in numbers, not {text[:80]!r}"
    )


def _salvage(name: re.Pattern[str], text: str) -> Iterator[Pegs]:
    """Return what can be read as lists of integers after each occurrence of `name`, the last occurrence first."""
    for piece in reversed(name.split(text)[1:]):
        parts = _FOREIGN.split(piece, maxsplit=1)[0].lstrip(_BEFORE_FIRST).split("[")
        yield [[int(number) for number in _INTEGER.findall(part.partition("]")[0])] for part in parts]


# Every pattern takes linear time: nothing repeated can begin with what follows it. The greedy start of a head
# makes it find the last occurrence.
_FLAGS: Final = re.IGNORECASE | re.ASCII
_MOVE_HEAD: Final = re.compile(r"(?s:.*)\bmove[*`]*\s*=\s*[*`]*(?=\[)", _FLAGS)
_STATE_HEAD: Final = re.compile(r"(?s:.*)\bnext_state[*`]*\s*=\s*[*`]*(?=\[)", _FLAGS)
_SHORT: Final = r"\s*-?[0-9]{1,9}\s*"
_MOVE: Final = re.compile(rf"\[{_SHORT},{_SHORT},{_SHORT}\](?!\s*\])", _FLAGS)
_LIST: Final = r"\[[-0-9,\s]*\]"
_STATE: Final = re.compile(rf"\[\s*{_LIST}\s*,\s*{_LIST}\s*,\s*{_LIST}\s*\](?!\s*\])", _FLAGS)
_MOVE_NAME: Final = re.compile(r"\bmove[\"'*`\s]*[:=]", _FLAGS)
_STATE_NAME: Final = re.compile(r"\bnext_state[\"'*`\s]*[:=]", _FLAGS)
_FOREIGN: Final = re.compile(r"[^][0-9,\s\"'*`-]", _FLAGS)
_BEFORE_FIRST: Final = "[\"'*` \t\r\n"
_INTEGER: Final = re.compile(r"-?\b[0-9]{1,9}\b", _FLAGS)
_SHOWN: Final = re.compile(rf"Previous move: (?:None|({_LIST}))\s+Current state: (\[(?:{_LIST}(?:, )?)*\])", _FLAGS)
