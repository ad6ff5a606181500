"""Votes by field: each field of an object is decided by its own first-to-ahead-by-k (MAKER, Algorithm 2).

One sample votes on all fields at once. A field that is decided counts no further votes, so that each is decided as if
it were voted on alone, and what is handed back may be an object that no single response gave.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from dataclasses import dataclass
from typing import Any, Final, cast

from langgraph_maker.core.ballot import Ballot, Key, key_function, key_of
from langgraph_maker.core.canonical import canonical
from langgraph_maker.core.foreign import excerpt
from langgraph_maker.core.red_flags import RedFlag
from langgraph_maker.core.state import Agreement, FieldDecision, FieldState

__all__ = ["FieldVotes", "agreement", "cast_fields", "field_decisions", "fields_deficit", "least_agreement", "whole"]

_ABSENT: Final = ""  # no canonical text


@dataclass(frozen=True)
class FieldVotes:
    """The key of votes by field: a text that holds the key of each field.

    Args:
        rules: The fields that are voted on, and which values of each are equal; None for all fields, by `canonical`.
            A field that a vote lacks is absent, which is an answer like others.

    Example:
        >>> from langgraph_maker.core.matchers import text, within
        >>> key = FieldVotes({"vendor": text, "total": within(0.01)}).classes({})
        >>> key({"vendor": "ACME", "total": 10}) == key({"vendor": "acme", "total": 9.99})
        True
    """

    rules: Mapping[str, Key] | None = None

    def classes(self, known: dict[str, str]) -> Callable[[Any], str]:
        """Return the key function of one ballot, see `matchers.Pairwise.classes`."""
        rules = self.rules or {}
        keys = {name: key_function(rule, cast("Any", _Part(known, name))) for name, rule in rules.items()}

        def key(vote: Any) -> str:
            if not isinstance(vote, dict):
                raise RedFlag("malformed", f"votes by field are on objects, not on {excerpt(vote)}")
            if self.rules is None:
                return json.dumps({name: canonical(value) for name, value in sorted(vote.items())})
            return json.dumps({name: key_of(vote[name], of) if name in vote else _ABSENT for name, of in keys.items()})

        return key


class _Part(MutableMapping[str, str]):
    """What a ballot has seen of one field, under the field's name."""

    def __init__(self, known: dict[str, str], name: str) -> None:
        self._known, self._prefix = known, f"{json.dumps(name)}:"

    def __getitem__(self, text: str) -> str:
        return self._known[self._prefix + text]

    def __setitem__(self, text: str, of: str) -> None:
        self._known[self._prefix + text] = of

    def __delitem__(self, text: str) -> None:
        del self._known[self._prefix + text]

    def __iter__(self) -> Iterator[str]:
        start = len(self._prefix)
        return (text[start:] for text in self._known if text.startswith(self._prefix))

    def __len__(self) -> int:
        return sum(1 for _ in self)


def cast_fields(
    fields: Mapping[str, FieldState], k: int, key: str, vote: Mapping[str, Any], before: int
) -> dict[str, FieldState]:
    """Return the votes of each field after one more sample; a field that is decided counts it no more.

    Args:
        fields: The votes so far.
        k: The margin of each.
        key: What `FieldVotes` makes of the vote.
        vote: What the sample says.
        before: How many votes there were before: a field that comes up now was absent from them.

    Example:
        >>> one = cast_fields({}, 1, '{"total": "9"}', {"total": 9}, 0)
        >>> cast_fields(one, 1, '{"total": "8"}', {"total": 8}, 1)["total"]["counts"]
        {'9': 1}
    """
    keys = json.loads(key)
    after = {}
    for name in [*fields, *(name for name in keys if name not in fields)]:
        held = fields.get(name)
        ballot = Ballot.resume(k, held["counts"], held["votes"]) if held else Ballot(k)
        for _ in range(0 if held else min(before, k)):
            ballot.cast(None, _ABSENT)
        if ballot.deficit:
            ballot.cast(vote.get(name), keys.get(name, _ABSENT))
        after[name] = FieldState(counts=ballot.counts, votes=ballot.votes, decided=ballot.deficit == 0)
    return after


def fields_deficit(fields: Mapping[str, FieldState], k: int, room: int | None = None) -> int:
    """Return the least number of further samples that could decide all fields; 0 once they are.

    Args:
        fields: The votes so far.
        k: The margin of each.
        room: How many samples there may be: a field that they cannot decide is left out, unless none can be decided.
    """
    if not fields:
        return k
    open_fields = sorted(filter(None, (_deficit(one, k) for one in fields.values())))
    return max(
        (one for one in open_fields if room is None or one <= room), default=open_fields[0] if open_fields else 0
    )


def whole(fields: Mapping[str, FieldState]) -> dict[str, Any]:
    """Return the object of the winners, where all fields are decided; an absent field is left out."""
    winners = {name: Ballot.resume(1, one["counts"], one["votes"]) for name, one in fields.items()}
    return {name: one.leader for name, one in winners.items() if max(one.counts, key=one.counts.__getitem__) != _ABSENT}


def field_decisions(fields: Mapping[str, FieldState]) -> dict[str, FieldDecision]:
    """Return how the vote on each field ended."""
    return {name: _decision(one) for name, one in fields.items()}


def agreement(counts: Mapping[str, int]) -> Agreement:
    """Return how far votes agree.

    Example:
        >>> agreement({"A": 4, "B": 1})
        {'lead': 3, 'share': 0.8, 'samples': 5}
    """
    votes, most = sum(counts.values()), max(counts.values(), default=0)
    return {"lead": Ballot.resume(1, counts, {}).margin, "share": most / votes if votes else 0.0, "samples": votes}


def least_agreement(fields: Mapping[str, FieldState]) -> Agreement:
    """Return the least lead and share of any field, and the most votes."""
    each = [agreement(one["counts"]) for one in fields.values()] or [agreement({})]
    return {
        "lead": min(one["lead"] for one in each),
        "share": min(one["share"] for one in each),
        "samples": max(one["samples"] for one in each),
    }


def _decision(field: FieldState) -> FieldDecision:
    ranking = sorted(field["counts"].items(), key=lambda item: -item[1])
    return {
        "status": "decided" if field["decided"] else "unresolved",
        "vote": field["votes"][ranking[0][0]] if field["decided"] else None,
        "counts": [{"vote": field["votes"][key], "count": count} for key, count in ranking],
        "agreement": agreement(field["counts"]),
    }


def _deficit(field: FieldState, k: int) -> int:
    return Ballot.resume(k, field["counts"], field["votes"]).deficit
