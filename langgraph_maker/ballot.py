"""First-to-ahead-by-k voting (MAKER, Algorithm 2): one answer wins when it leads every other by k votes.

The rule is exact and pure: no sampling, no timing, no graph. Votes are JSON values, and two votes are one
answer when their keys, by default their canonical JSON, are equal.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from copy import deepcopy
from operator import index
from typing import Any, Final, Protocol, Self, TypeAlias, cast, runtime_checkable

import orjson

from langgraph_maker.errors import NotJSONError, NotTextError
from langgraph_maker.excerpts import excerpt
from langgraph_maker.normalisation import composed
from langgraph_maker.red_flags import RedFlag

__all__ = [
    "Ballot",
    "Key",
    "Relation",
    "called_key",
    "canonical",
    "canonical_bytes",
    "check_key",
    "check_margin",
    "key_function",
    "key_of",
    "key_text",
    "plain",
]


@runtime_checkable
class Relation(Protocol):
    """Which votes are equal, where that is found by comparing them: see `matchers.Pairwise`."""

    def classes(self, known: dict[str, str]) -> Callable[[Any], str]:
        """The key function of the ballot that has seen the votes in `known`."""
        ...


Key: TypeAlias = Callable[[Any], str] | Relation
"""Which votes are equal: those for which a function returns equal strings, or as a relation has it, see `matchers`."""


def check_key(key: object) -> None:
    """Refuse what says of no votes that they are equal.

    Raises:
        TypeError: With what to give instead.
    """
    if not callable(key) and not isinstance(key, Relation):
        raise TypeError(f"key is a function from a vote to a text, or one of matchers, not {excerpt(key)}")


def key_function(key: Key, known: dict[str, str]) -> Callable[[Any], str]:
    """The key function of one ballot; a relation remembers in `known` which votes it has seen."""
    classes = getattr(key, "classes", None)  # isinstance of a protocol takes longer than a vote
    return cast("Relation", key).classes(known) if classes is not None else cast("Callable[[Any], str]", key)


def key_of(vote: Any, key: Callable[[Any], str]) -> str:
    """The text under which a key function puts a vote.

    Raises:
        NotTextError: When it returns something else, as one without a `return` does: all votes would be equal.
    """
    return key_text(called_key(vote, key), vote)


def called_key(vote: Any, key: Callable[[Any], Any]) -> Any:
    """What a key function returns of a vote; what it raises says on which."""
    try:
        return key(vote)
    except RedFlag:
        raise
    except Exception as error:
        error.add_note(f"raised by key, which says which votes are equal, for the vote {excerpt(vote)}")
        raise


def key_text(found: object, vote: Any) -> str:
    """What a key function found, if it is a text.

    Raises:
        NotTextError: When it is not.
    """
    if isinstance(found, str):
        return found
    raise NotTextError(
        f"key returned {excerpt(found)} for the vote {excerpt(vote)}: it returns a text, and votes with equal ones are"
        " equal"
    )


class Ballot:
    """A vote in progress: the first answer to lead every other by `k` votes wins.

    Args:
        k: The margin, a whole number of at least 1.
        key: Which votes are equal: those for which it returns equal strings, or a relation of `matchers`.

    Raises:
        ValueError: When `k` is not a whole number of at least 1.

    Example:
        >>> ballot = Ballot(2)
        >>> for vote in ["A", "B", "A", "A"]:
        ...     ballot.cast(vote)
        >>> ballot.winner, ballot.margin, ballot.deficit
        ('A', 2, 0)
    """

    __slots__ = ("_counts", "_key", "_votes", "k")

    def __init__(self, k: int, *, key: Key | None = None) -> None:
        self.k = check_margin(k)
        self._key = canonical if key is None else key_function(key, {})
        self._counts: dict[str, int] = {}
        self._votes: dict[str, Any] = {}

    @classmethod
    def resume(cls, k: int, counts: Mapping[str, int], votes: Mapping[str, Any]) -> Self:
        """The ballot with these `counts` per key, and the vote first cast for each key.

        Example:
            >>> Ballot.resume(3, {'"A"': 2}, {'"A"': "A"}).deficit
            1
        """
        ballot = cls(k)
        ballot._counts = dict(counts)
        ballot._votes = dict(votes)
        return ballot

    def cast(self, vote: Any, key: str | None = None) -> None:
        """Count one vote. What is kept is a copy, unless the caller has the `key` already and gives the vote away.

        Raises:
            ValueError: When the vote is not JSON (see `canonical`).
            TypeError: When the key function returns no text.
            RedFlag: When a relation is no equivalence on the votes cast and this one.
            RuntimeError: When the ballot is decided: a vote cast then could be mistaken for one that counted.
        """
        if self.deficit == 0:
            raise RuntimeError(f"this ballot is decided (ahead by {self.k}); a further vote cannot count")
        if key is None:
            key, vote = key_of(vote, self._key), deepcopy(vote)
        self._counts[key] = self._counts.get(key, 0) + 1
        self._votes.setdefault(key, vote)

    @property
    def counts(self) -> dict[str, int]:
        """Votes per key, in the order in which the keys were first seen."""
        return dict(self._counts)

    @property
    def votes(self) -> dict[str, Any]:
        """The vote first cast for each key, as it was cast."""
        return dict(self._votes)

    @property
    def margin(self) -> int:
        """By how many votes the most frequent answer leads the next; 0 on a tie and at the start."""
        if len(self._counts) <= 1:
            return sum(self._counts.values())
        second, first = sorted(self._counts.values())[-2:]
        return first - second

    @property
    def deficit(self) -> int:
        """The least number of further votes that could decide: k at the start, 0 when decided."""
        return max(0, self.k - self.margin)  # a ballot that is resumed with a smaller k may lead by more

    @property
    def leader(self) -> Any:
        """The vote that leads, as first cast; None at the start and on a tie."""
        return self._votes[max(self._counts, key=self._counts.__getitem__)] if self.margin else None

    @property
    def winner(self) -> Any:
        """The vote that leads by k, as first cast; None while there is none. `deficit == 0` says there is one."""
        return self.leader if self.deficit == 0 else None

    def __repr__(self) -> str:
        return f"Ballot(k={self.k}, counts={self._counts})"


def check_margin(k: object) -> int:
    """Return the margin `k` as an int.

    Raises:
        ValueError: When `k` is not a whole number of at least 1.
    """
    try:
        margin = index(k)  # type: ignore[arg-type]
    except TypeError:
        margin = 0
    if margin < 1 or isinstance(k, bool):
        raise ValueError(
            f"k, the margin by which an answer must lead, is a whole number of at least 1, not {excerpt(k)}"
        )
    return margin


def canonical(value: Any) -> str:
    r"""The canonical JSON text of a value: equal texts are equal votes.

    Key order does not matter, strings compare in Unicode normal form C, 1 and 1.0 are one number, and True is
    no number.

    Raises:
        ValueError: For NaN and infinities, keys that become equal when normalised, and values nested too deeply to
            write.
        NotJSONError: For what JSON has no form for, tuples, sets and keys that are no strings among it. It is a
            `ValueError` as well as a `TypeError`.

    Example:
        >>> canonical({"b": [1.0, True], "a": "é"}) == canonical({"a": "e\u0301", "b": [1, True]})
        True
        >>> canonical([1, True])
        '[1,true]'
    """
    try:
        text = orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
        # Most values are ASCII without floats, which need no normalising. What comes back equal was JSON.
        if text.isascii() and not _TO_NORMALISE.search(text) and orjson.loads(text) == value:
            return text.decode()
    except (TypeError, RecursionError):  # large integers, deep nesting, or what is not JSON
        pass
    try:
        return json.dumps(_normal(value), sort_keys=True, separators=(",", ":"))
    except RecursionError:
        raise ValueError("this value is nested too deeply to be a vote or a state") from None


def canonical_bytes(value: Any) -> bytes:
    """`canonical`, encoded, of a value that is `plain` already."""
    text = orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    return text if text.isascii() and not _TO_NORMALISE.search(text) else canonical(value).encode()


_TO_NORMALISE: Final = re.compile(rb"\.|e[-+0-9]|\x7f")


def plain(value: Any) -> Any:
    """The value in builtin types, as any store or checkpoint gives it back; a copy.

    Raises:
        ValueError: For what databases and checkpoints cannot hold: integers beyond 64 bits, lone surrogates, nesting
            beyond 250 levels, NaN and infinities, and keys that become equal when normalised.
        NotJSONError: For what is not JSON.

    Example:
        >>> plain([1, {"a": None}])
        [1, {'a': None}]
    """
    try:
        text = orjson.dumps(value)
        if text.isascii() and (copy := orjson.loads(text)) == value:
            return copy
    except TypeError:
        pass
    canonical(value)  # says what is not JSON
    try:
        return orjson.loads(orjson.dumps(json.loads(json.dumps(value))))
    except (TypeError, RecursionError):
        raise ValueError(
            "integers beyond 64 bits, lone surrogates and nesting beyond 250 levels cannot be kept: write such a number"
            " as text"
        ) from None


def _normal(value: Any) -> Any:
    if isinstance(value, str):
        return composed(value)
    if value is None or isinstance(value, (bool, int)):
        return value
    if isinstance(value, list):
        return [_normal(item) for item in value]
    if isinstance(value, float):
        if value - value != 0:  # NaN and infinities
            raise ValueError(f"{value} is not JSON: a vote or a state holds finite numbers only")
        return int(value) if value.is_integer() else value
    if isinstance(value, dict):
        return _normal_dict(value)
    raise NotJSONError(
        f"{type(value).__name__} is not JSON: votes and states are dicts with string keys, lists, strings,"
        " finite numbers, booleans or None"
    )


def _normal_dict(value: dict[Any, Any]) -> dict[str, Any]:
    normal: dict[str, Any] = {}
    for name, item in value.items():
        if not isinstance(name, str):
            raise NotJSONError(f"the key {excerpt(name)} is not JSON: keys are strings")
        if (key := _normal(name)) in normal:
            raise ValueError(f"the key {excerpt(name)} occurs twice in one object once its Unicode form is normalised")
        normal[key] = _normal(item)
    return normal
