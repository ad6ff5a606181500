"""First-to-ahead-by-k voting (MAKER, Algorithm 2): one answer wins when it leads every other by k votes.

The rule is exact and pure: no sampling, no timing, no graph. Votes are JSON values, and two votes are one
answer when their keys, by default their canonical JSON, are equal.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import deepcopy
from operator import index
from typing import Any, Protocol, Self, TypeAlias, cast, runtime_checkable

from langgraph_maker.core.canonical import canonical
from langgraph_maker.core.errors import NotTextError
from langgraph_maker.core.foreign import excerpt
from langgraph_maker.core.red_flags import RedFlag
from langgraph_maker.core.state import Outcome

__all__ = [
    "Ballot",
    "Key",
    "Relation",
    "called_key",
    "check_key",
    "check_margin",
    "key_function",
    "key_of",
    "key_text",
    "outcome_of",
    "ranked",
]


@runtime_checkable
class Relation(Protocol):
    """Which votes are equal, where that is found by comparing them: see `matchers.Pairwise`."""

    def classes(self, known: dict[str, str]) -> Callable[[Any], str]:
        """Return the key function of the ballot that has seen the votes in `known`."""
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
    """Return the key function of one ballot; a relation remembers in `known` which votes it has seen."""
    classes = getattr(key, "classes", None)  # isinstance of a protocol takes longer than a vote
    return cast("Relation", key).classes(known) if classes is not None else cast("Callable[[Any], str]", key)


def key_of(vote: Any, key: Callable[[Any], str]) -> str:
    """Return the text under which a key function puts a vote.

    Raises:
        NotTextError: When it returns something else, as one without a `return` does: all votes would be equal.
    """
    return key_text(called_key(vote, key), vote)


def called_key(vote: Any, key: Callable[[Any], Any]) -> Any:
    """Return what a key function returns of a vote; what it raises says on which."""
    try:
        return key(vote)
    except RedFlag:
        raise
    except Exception as error:
        error.add_note(f"raised by key, which says which votes are equal, for the vote {excerpt(vote)}")
        raise


def key_text(found: object, vote: Any) -> str:
    """Return what a key function found, if it is a text.

    Raises:
        NotTextError: When it is not.
    """
    if isinstance(found, str) and (found.isascii() or _can_be_kept(found)):
        return found
    raise NotTextError(
        f"key returned {excerpt(found)} for the vote {excerpt(vote)}: it returns a text, without lone surrogates, and"
        " votes with equal ones are equal"
    )


def _can_be_kept(text: str) -> bool:
    """Return whether a text is free of lone surrogates, which no database takes."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


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
        """Return the ballot with these `counts` per key, and the vote first cast for each key.

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


def outcome_of(counts: Mapping[str, int], votes: Mapping[str, Any]) -> Outcome:
    """Return how votes decide: the one place that says which answer is in front, of two the one that came up first.

    Example:
        >>> outcome_of({"a": 1, "b": 4}, {"a": "A", "b": "B"})["vote"]
        'B'
    """
    ranking = ranked(counts)
    winner = ranking[0]
    second = counts[ranking[1]] if len(ranking) > 1 else 0
    return {
        "by": "",
        "key": winner,
        "vote": votes[winner],
        "votes": sum(counts.values()),
        "winner_votes": counts[winner],
        "margin": counts[winner] - second,
        "steps": 0,
    }


def ranked(counts: Mapping[str, int]) -> list[str]:
    """Return the keys with the most frequent first, of two the one that came up first."""
    return [*counts] if len(counts) == 1 else sorted(counts, key=lambda key: -counts[key])


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
