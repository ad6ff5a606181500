"""Matchers: which votes are equal.

A key function, from a vote to a text, makes votes with equal texts equal: an equivalence, whatever it does. One that
cannot place a vote raises a `RedFlag`, and so discards it; what else a matcher raises is a bug in it, and surfaces. A
tolerance is none: 1.0 is close to 1.4, and 1.4 to 1.8, but 1.0 is not close to 1.8. So what compares votes in pairs is
a `Pairwise` relation, which each ballot checks on the votes that it sees. Either goes where a `key=` is asked for, and
the winner is handed back as it was first cast.

    >>> from langgraph_maker import Ballot
    >>> ballot = Ballot(2, key=fields(vendor=text, total=within(0.01)))
    >>> ballot.cast({"vendor": "ACME  Ltd", "total": 9.99, "note": "paid"})
    >>> ballot.cast({"vendor": "Acme Ltd", "total": 10.0})
    >>> ballot.winner
    {'vendor': 'ACME  Ltd', 'total': 9.99, 'note': 'paid'}
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Any

from langgraph_maker.core.ballot import Key, Relation, key_of
from langgraph_maker.core.canonical import canonical
from langgraph_maker.core.foreign import excerpt
from langgraph_maker.core.json_form import decimal_form
from langgraph_maker.core.normalisation import compatible
from langgraph_maker.core.red_flags import RedFlag

__all__ = ["Pairwise", "alike", "behaviour", "canonical", "exact", "fields", "sets", "text", "within"]


@dataclass(frozen=True)
class Pairwise:
    """Votes are equal when `relation` says so of two of them.

    A ballot holds the relation against all the votes that it has seen, whether it is reflexive, symmetric and
    transitive on them. A vote with which it would not be is a red flag "no_equivalence" that names the votes, and so is
    counted and discarded like all others: which answer it supports would depend on which votes came before it. In a
    graph those are the votes that arrived before it.

    Args:
        relation: From two votes to whether they are equal. It sees them as JSON has them (lists, no tuples).

    Example:
        >>> from langgraph_maker import Ballot
        >>> ballot = Ballot(2, key=Pairwise(lambda one, other: abs(one - other) < 5))
        >>> ballot.cast(10)
        >>> ballot.cast(14)
        >>> ballot.winner, ballot.counts
        (10, {'10': 2})
    """

    relation: Callable[[Any, Any], bool]

    def classes(self, known: dict[str, str]) -> Callable[[Any], str]:
        """Return the key function of one ballot, which enters in `known` each vote's text with the text of its class.

        Example:
            >>> known: dict[str, str] = {}
            >>> key = within(0.5).classes(known)
            >>> [key(vote) for vote in (1.0, 1.4, 3.0)], known
            (['1', '1', '3'], {'1': '1', '1.4': '1', '3': '3'})
            >>> key(1.8)  # doctest: +ELLIPSIS
            Traceback (most recent call last):
            langgraph_maker.core.red_flags.RedFlag: no_equivalence: 1.8 equals 1.4 and 1.4 equals 1, but ...
        """

        def key(vote: Any) -> str:
            if (text := canonical(vote)) not in known:
                known[text] = self._class_of(text, known)
            return known[text]

        return key

    def _class_of(self, text: str, known: dict[str, str]) -> str:
        vote = json.loads(text)
        if not self.relation(vote, vote):
            raise _flag(f"{_short(text)} does not equal itself")
        equal = {}
        for other_text in known:
            other = json.loads(other_text)
            equal[other_text] = bool(self.relation(vote, other))
            if equal[other_text] != bool(self.relation(other, vote)):
                one, two = (text, other_text) if equal[other_text] else (other_text, text)
                raise _flag(f"{_short(one)} equals {_short(two)}, but not the other way round")
        first = next((other for other, same in equal.items() if same), None)
        if first is None:
            return text
        for other, same in equal.items():
            if same != (known[other] == known[first]):
                chain = (first, text, other) if same else (text, first, other)
                one, middle, last = map(_short, chain)
                raise _flag(f"{one} equals {middle} and {middle} equals {last}, but {one} does not equal {last}")
        return known[first]


def alike(key: Key, one: Any, other: Any) -> bool:
    """Return whether a matcher takes two votes for equal.

    Example:
        >>> alike(text, "Yes", " yes"), alike(within(1), 1, 3)
        (True, False)
    """
    return (
        key.relation(one, other) if isinstance(key, Pairwise) else _key_function(key)(one) == _key_function(key)(other)
    )


def exact(vote: Any) -> str:
    """Take votes for equal that are written alike: 1 is not 1.0, the order of keys counts, and so do Unicode forms.

    Example:
        >>> alike(exact, 1, 1.0), alike(canonical, 1, 1.0)
        (False, True)
    """
    return json.dumps(vote)


def text(vote: Any) -> str:
    r"""Take texts for equal but for case, white space and Unicode's compatible forms; 10² is not 102, nor is ① 1.

    Raises:
        RedFlag: For a vote that is not a text.

    Example:
        >>> alike(text, "The  Answer", "the answer\n"), alike(text, "no", "no.")
        (True, False)
    """
    if not isinstance(vote, str):
        raise _malformed(f"the matcher text compares texts, not {excerpt(vote)}")
    if len(vote) > _LONGEST:
        raise _malformed(f"the matcher text compares texts of up to {_LONGEST:,} characters, not of {len(vote):,}")
    return " ".join(compatible(compatible(vote).casefold()).split())


def within(absolute: float = 0.0, *, relative: float = 0.0) -> Pairwise:
    """Take numbers for equal that differ by at most `absolute`, or by the share `relative` of the larger one.

    So are lists and objects with such numbers in the same places; all else is compared as by `canonical`. Numbers are
    taken as they are written: 1.1 differs from 1 by 0.1 and no more. A decimal with more digits than a JSON number
    holds, which a vote has as its text (see `json_form`), is one of them.

    Raises:
        ValueError: When neither tolerance is above 0, or one is no finite number of at least 0.
        RedFlag: While voting, for a decimal of more than 400 digits.

    Example:
        >>> alike(within(0.01), {"total": 9.99}, {"total": 10}), alike(within(relative=0.01), 100, 102)
        (True, False)
    """
    for name, tolerance in (("absolute", absolute), ("relative", relative)):
        if not _is_number(tolerance) or not 0 <= tolerance < float("inf"):
            raise ValueError(f"{name}, a tolerance, is a finite number of at least 0, not {excerpt(tolerance)}")
    if absolute == relative == 0:
        raise ValueError("within needs a tolerance, absolute or relative; without one votes are compared by canonical")

    def close(one: Any, other: Any) -> bool:
        if (ours := _number(one)) is not None and (theirs := _number(other)) is not None:
            return abs(ours - theirs) <= max(_written(absolute), _written(relative) * max(abs(ours), abs(theirs)))
        if isinstance(one, list) and isinstance(other, list):
            return len(one) == len(other) and all(map(close, one, other))
        if isinstance(one, dict) and isinstance(other, dict):
            named = [{canonical(name): value for name, value in each.items()} for each in (one, other)]
            return named[0].keys() == named[1].keys() and all(
                close(named[0][name], named[1][name]) for name in named[0]
            )
        return (isinstance(one, str) and one == other) or canonical(one) == canonical(other)

    return Pairwise(close)


def fields(*names: str, **matchers: Key) -> Key:
    """Take objects for equal when the chosen fields are: `names` by `canonical`, the others by their matchers.

    Raises:
        ValueError: When no field is chosen.
        RedFlag: While voting, for a vote without one of them.

    Example:
        >>> key = fields("id", name=text)
        >>> alike(key, {"id": 7, "name": "Ada", "at": 1}, {"id": 7, "name": "ADA", "at": 2})
        True
    """
    rules: dict[str, Key] = {**dict.fromkeys(names, canonical), **matchers}
    if not rules:
        raise ValueError('name the fields to compare: fields("id", total=within(0.01))')

    def chosen(vote: Any) -> dict[str, Any]:
        if not isinstance(vote, dict) or not rules.keys() <= vote.keys():
            raise _malformed(f"the matcher compares the fields {sorted(rules)}, which {excerpt(vote)} does not have")
        return {name: vote[name] for name in rules}

    if any(isinstance(rule, Relation) for rule in rules.values()):

        def equal(one: Any, other: Any) -> bool:
            ours, theirs = chosen(one), chosen(other)
            return all(alike(rule, ours[name], theirs[name]) for name, rule in rules.items())

        return _FieldRelation(equal, rules)
    keys = {name: _key_function(rule) for name, rule in rules.items()}

    def key(vote: Any) -> str:
        return canonical({name: keys[name](value) for name, value in chosen(vote).items()})

    key.rules = rules  # type: ignore[attr-defined]
    return key


@dataclass(frozen=True)
class _FieldRelation(Pairwise):
    rules: Mapping[str, Key]


def rules_of(key: Key) -> Mapping[str, Key] | None:
    """Return which fields a matcher of `fields` compares, and by what; None for another matcher."""
    return getattr(key, "rules", None)


def sets(of: Key = canonical) -> Key:
    """Take lists for equal as sets: whatever the order, however often an item is named.

    Args:
        of: Which items are equal; a key function.

    Raises:
        TypeError: When `of` compares in pairs: items that are equal in a chain would make sets that are no sets.
        RedFlag: While voting, for a vote that is no list.

    Example:
        >>> alike(sets(of=text), ["b", "A", "a"], ["a", "B"])
        True
    """
    key = _key_function(of)

    def items(vote: Any) -> str:
        if not isinstance(vote, list):
            raise _malformed(f"the matcher sets compares lists, not {excerpt(vote)}")
        return canonical(sorted({key(item) for item in vote}))

    return items


def behaviour(run: Callable[[str, Sequence[Sequence[Any]]], list[Any]], probes: Sequence[Sequence[Any]]) -> Key:
    """Take programs for equal that give the same results on the probe inputs, however they are written.

    Two programs that differ on no probe are one answer, also where they differ elsewhere: choose probes that tell
    likely errors apart. Each text is run once.

    Args:
        run: From a program and the probes to its results, such as `core.sandbox.Sandbox`; it raises a `RedFlag` for
            a program that fails, hangs or gives no result.
        probes: Lists of arguments.

    Raises:
        ValueError: When there is no probe.
        RedFlag: While voting, for a vote that is not a text, and as `run` does.

    Example:
        >>> def run(program, probes):  # stands for a sandbox
        ...     return [2 * x if "2" in program else x**2 for [x] in probes]
        >>> key = behaviour(run, [[2], [3]])
        >>> alike(key, "x * 2", "2 * x"), alike(key, "x * 2", "x * x")
        (True, False)
    """
    if not probes:
        raise ValueError("behaviour needs at least one probe: a list of arguments, as [[3], [-1]] for one of one")
    seen = dict[str, str | RedFlag]()

    def key(vote: Any) -> str:
        if not isinstance(vote, str):
            raise _malformed(f"the matcher behaviour compares programs, not {excerpt(vote)}")
        if vote not in seen:
            if len(seen) >= _REMEMBERED:
                seen.clear()
            try:
                seen[vote] = canonical(run(vote, probes))
            except RedFlag as flag:
                seen[vote] = flag
        found = seen[vote]
        if isinstance(found, RedFlag):
            raise RedFlag(found.reason, found.detail)
        return found

    return key


def _key_function(key: Key) -> Callable[[Any], str]:
    if isinstance(key, Relation):
        raise TypeError(f"{excerpt(key)} compares votes in pairs, where a key function is needed")
    return lambda vote: key_of(vote, key)


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _written(number: float) -> Fraction:
    return Fraction(number) if isinstance(number, int) else Fraction(repr(float(number)))


def _number(value: Any) -> Fraction | None:
    """Return the number that a vote holds, as such or as the text of a decimal that JSON has no number for."""
    if _is_number(value):
        return _written(value)
    if not isinstance(value, str) or len(value) > _LONGEST_DECIMAL or not _DECIMAL.fullmatch(value):
        return None
    number = Decimal(value)
    if decimal_form(number) != value:  # a text that looks like one
        return None
    if abs(number.adjusted()) > _MOST_DIGITS:
        raise _malformed(f"within compares numbers of up to {_MOST_DIGITS} digits, not {excerpt(value)}")
    return Fraction(number)


def _flag(detail: str) -> RedFlag:
    return RedFlag("no_equivalence", detail)


def _malformed(detail: str) -> RedFlag:
    return RedFlag("malformed", detail)


def _short(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


_DECIMAL = re.compile(r"-?\d+(\.\d+(E[+-]\d{1,9})?|E[+-]\d{1,9})")  # digits alone are more likely a name
_LONGEST_DECIMAL = 1000  # characters
_MOST_DIGITS = 400
_LONGEST = 1_000_000
_SHOWN = 40
_REMEMBERED = 1000
