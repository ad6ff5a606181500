"""First-to-ahead-by-k voting (MAKER, Algorithm 2): one answer wins when it leads every other by k votes.

The rule is exact and pure: no sampling, no timing, no graph. Votes are JSON values, and two votes are one
answer when their keys, by default their canonical JSON, are equal.
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Callable, Mapping
from operator import index
from typing import Any, Self

__all__ = ["Ballot", "canonical", "check_margin"]


class Ballot:
    """A vote in progress: the first answer to lead every other by `k` votes wins.

    Args:
        k: The margin, a whole number of at least 1.
        key: Which votes are equal: those for which it returns equal strings.

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

    def __init__(self, k: int, *, key: Callable[[Any], str] | None = None) -> None:
        self.k = check_margin(k)
        self._key = key or canonical
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
        """Count one vote; `key` where the caller has it already.

        Raises:
            ValueError: When the vote is not JSON (see `canonical`).
            RuntimeError: When the ballot is decided: a vote cast then could be mistaken for one that counted.
        """
        if self.deficit == 0:
            raise RuntimeError(f"this ballot is decided (ahead by {self.k}); a further vote cannot count")
        key = self._key(vote) if key is None else key
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
        return self.k - self.margin

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
        raise ValueError(f"k, the margin by which an answer must lead, is a whole number of at least 1, not {k!r}")
    return margin


def canonical(value: Any) -> str:
    r"""The canonical JSON text of a value: equal texts are equal votes.

    Key order does not matter, strings compare in Unicode normal form C, 1 and 1.0 are one number, and True is
    no number.

    Raises:
        ValueError: For what is not JSON (tuples and sets too), NaN and infinities, keys that are no strings or
            become equal when normalised, and values nested too deeply to write.

    Example:
        >>> canonical({"b": [1.0, True], "a": "é"}) == canonical({"a": "e\u0301", "b": [1, True]})
        True
        >>> canonical([1, True])
        '[1,true]'
    """
    try:
        return json.dumps(_normal(value), sort_keys=True, separators=(",", ":"))
    except RecursionError:
        raise ValueError("this value is nested too deeply to be a vote or a state") from None


def _normal(value: Any) -> Any:
    if isinstance(value, str):
        return value if value.isascii() else unicodedata.normalize("NFC", value)
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
    raise ValueError(
        f"{type(value).__name__} is not JSON: votes and states are dicts with string keys, lists, strings,"
        " finite numbers, booleans or None"
    )


def _normal_dict(value: dict[Any, Any]) -> dict[str, Any]:
    normal: dict[str, Any] = {}
    for name, item in value.items():
        if not isinstance(name, str):
            raise ValueError(f"the key {name!r} is not JSON: keys are strings")  # noqa: TRY004 - one error type
        if (key := _normal(name)) in normal:
            raise ValueError(f"the key {name!r} occurs twice in one object once its Unicode form is normalised")
        normal[key] = _normal(item)
    return normal
