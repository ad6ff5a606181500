"""By how much an answer must lead, and how many samples that may take."""

from __future__ import annotations

import reprlib
from collections.abc import Callable, Collection, Mapping
from functools import lru_cache
from operator import index
from typing import Any, Protocol, TypeAlias, TypeVar

from langgraph_maker.core.ballot import check_margin

__all__ = [
    "LARGEST_MARGIN",
    "ByState",
    "Margin",
    "RaisableMargin",
    "SubtaskTerms",
    "asked_of",
    "check_budget",
    "check_least",
    "goes_by_state",
    "least_of",
    "margin_asked",
    "margin_terms",
    "unresolved_reason",
]


class RaisableMargin:
    """The k of each step: that of `base`, or `to` where that is more.

    Steps that are decided keep what they were decided by; all others, open ballots among them, go by the new margin.

    Example:
        >>> k = RaisableMargin(3)
        >>> k.up_to(5), k.up_to(4), k.to, k(0)
        (None, None, 5, 5)
    """

    def __init__(self, base: int | Callable[[int], int]) -> None:
        self.base = base
        self.to = 0

    def up_to(self, k: int) -> None:
        """Ask for at least `k` from now on."""
        self.to = max(self.to, k)

    def __call__(self, step: int) -> int:
        """Return the k of a step."""
        return max(self.base(step) if callable(self.base) else self.base, self.to)


Margin: TypeAlias = int | Callable[[str], int] | RaisableMargin
"""The margin k, or from a subtask's id to the k of its own, or a k that may rise while the run continues."""

M = TypeVar("M", int, "Callable[[int], int]", "int | Callable[[int], int]", Margin)


class ByState:
    """A margin that goes by the state that a step starts from, as by its type.

    Args:
        of: From a step's number and its state to its k, the same each time.
        least: The least that it gives: all that is known of a step without its state.

    Example:
        >>> k = ByState(lambda step, state: 5 if state["hard"] else 2, least=2)
        >>> k(7), k.of(7, {"hard": True})
        (2, 5)
    """

    def __init__(self, of: Callable[[int, Any], int], least: int) -> None:
        self.of, self.least = of, least

    def __call__(self, _: int) -> int:
        """Return the least k, whatever the step."""
        return self.least


def goes_by_state(k: Margin) -> bool:
    """Return whether a step's margin goes by the state that it starts from."""
    return isinstance(k.base if isinstance(k, RaisableMargin) else k, ByState)


def asked_of(k: int | Callable[[int], int], step: int, state: Any = None) -> int:
    """Return the margin of a step that starts from `state`; the least there is where that is not known.

    Example:
        >>> hard = ByState(lambda step, state: 5 if state else 2, least=2)
        >>> asked_of(3, 7), asked_of(lambda step: step, 7), asked_of(hard, 7, True), asked_of(hard, 7)
        (3, 7, 5, 2)
    """
    if isinstance(k, ByState) and state is not None:
        return k.of(step, state)
    return k(step) if callable(k) else k


def least_of(k: int | Callable[[int], int], steps: int) -> int | None:
    """Return the least margin of any of so many steps; None where it cannot be known, or takes long to.

    Example:
        >>> least_of(3, 9), least_of(lambda step: 5 if step < 6 else 2, 9), least_of(lambda step: 5, 10**6)
        (3, 2, None)
    """
    if not callable(k):
        return k
    if isinstance(k, ByState):
        return k.least
    if isinstance(k, RaisableMargin) and (known := least_of(k.base, steps)) is not None:
        return max(known, k.to)
    if steps > _ASKED:
        return None
    try:
        return min(map(k, range(steps)), default=None)
    except Exception:  # noqa: BLE001 - a user's; the step that asks so says what is wrong with it
        return None


_ASKED = 10_000


class SubtaskTerms(Protocol):
    """From a subtask's id and its state to its margin and to the samples that its ballot may use."""

    def __call__(self, subtask_id: str, state: Any = None, /) -> tuple[int, int]:
        """Return both."""
        ...


def margin_asked(k: M, given: Mapping[str, Any], min_k: int | None) -> M:
    """Return the margin under what a runtime context says: nowhere less than `k`, or than `min_k` where that is less.

    Example:
        >>> margin_asked(3, {"k": 5}, None), margin_asked(3, {"k": 1}, None), margin_asked(3, {"k": 1}, 2)
        (5, 3, 2)
    """
    if "k" not in given:
        return k

    def of(own: int) -> int:
        return max(int(given["k"]), own if min_k is None else min(own, min_k))

    if isinstance(k, RaisableMargin):
        under = RaisableMargin(margin_asked(k.base, given, min_k))
        under.up_to(k.to)
        return under  # type: ignore[return-value]
    if isinstance(k, ByState):
        return ByState(lambda step, state: of(k.of(step, state)), of(k.least))  # type: ignore[return-value]
    return (lambda step: of(k(step))) if callable(k) else of(k)  # type: ignore[return-value]


def check_least(min_k: int | None, k: Margin) -> None:
    """Refuse a least margin that a context could not ask for.

    Raises:
        ValueError: With what to give instead.
    """
    if min_k is None:
        return
    most = k.base if isinstance(k, RaisableMargin) else k
    if check_margin(min_k) > (LARGEST_MARGIN if callable(most) else check_margin(most)):
        raise ValueError(f"min_k, the least k that a context may ask for, is at most k = {most}, not {min_k}")


def margin_terms(k: Margin, max_samples_per_step: int | None) -> SubtaskTerms:
    """Return what gives a subtask's margin and the samples that its ballot may use, see `check_budget`.

    Raises:
        ValueError: When they are none: at once where all subtasks have the same, else where one is asked for.
    """
    if isinstance(k, RaisableMargin):
        return _rising(k, max_samples_per_step)
    if not callable(k):
        all_alike = check_margin(k), check_budget(max_samples_per_step, k)
        return lambda *_: all_alike

    @lru_cache(maxsize=_REMEMBERED)
    def own(subtask_id: str) -> tuple[int, int]:
        try:
            margin = check_margin(k(subtask_id))
            return margin, check_budget(max_samples_per_step, margin)
        except ValueError as error:
            raise ValueError(f"step {subtask_id}: {error}") from error

    return lambda subtask_id, _=None: own(subtask_id)


def _rising(k: RaisableMargin, max_samples_per_step: int | None) -> SubtaskTerms:
    if isinstance(by_state := k.base, ByState):

        def of(subtask_id: str, state: Any = None) -> tuple[int, int]:
            margin = max(check_margin(by_state.of(int(subtask_id), state)), k.to)
            return margin, check_budget(max_samples_per_step, margin)

        return of
    base = margin_terms(_by_id(k.base) if callable(k.base) else k.base, max_samples_per_step)

    @lru_cache(maxsize=_REMEMBERED)
    def raised(to: int) -> tuple[int, int]:
        return check_margin(to), check_budget(max_samples_per_step, to)

    def own(subtask_id: str, _: Any = None) -> tuple[int, int]:
        pair = base(subtask_id)
        return raised(k.to) if k.to > pair[0] else pair

    return own


def _by_id(k: Callable[[int], int]) -> Callable[[str], int]:
    return lambda step: k(int(step))


LARGEST_MARGIN = 1000
_REMEMBERED = 65_536  # more than there are lanes


def check_budget(max_samples_per_step: int | None, k: int) -> int:
    """Return the samples that a ballot may use.

    The default is 10 k², and at least 100: the vote between two equally likely answers is a random walk that is
    still undecided after 10 k² votes with probability (4/π) exp(−10 π²/8) < 1e-5.

    Raises:
        ValueError: When `max_samples_per_step` is not a whole number of at least k, or k is beyond 1,000.

    Example:
        >>> check_budget(None, 3), check_budget(None, 29)
        (100, 8410)
    """
    if k > LARGEST_MARGIN:
        raise ValueError(f"k is at most {LARGEST_MARGIN:,}: no round could hold the votes that {k} takes")
    if max_samples_per_step is None:
        return max(100, 10 * k * k)
    try:
        budget = index(max_samples_per_step)
    except TypeError:
        budget = 0
    if budget < k or isinstance(max_samples_per_step, bool):
        raise ValueError(
            f"max_samples_per_step is a whole number of at least k = {k}, or no ballot could be decided; not"
            f" {reprlib.repr(max_samples_per_step)}"
        )
    return budget


def unresolved_reason(samples: int, flags: Mapping[str, int] | int, last_flag: str, counts: Collection[int]) -> str:
    """Return why a ballot with these counts did not converge; `flags` may be all there is to know of their number.

    Example:
        >>> unresolved_reason(10, {"malformed": 10}, "malformed: KeyError", [])
        'no answer led by the margin after 10 samples, all of them flagged for one reason (last: malformed: KeyError)'
    """
    said = f"no answer led by the margin after {samples} samples"
    known = flags if isinstance(flags, Mapping) else {}
    if flagged := flags if isinstance(flags, int) else sum(flags.values()):
        if len(known) == 1 and flagged >= samples:
            said += ", all of them flagged for one reason"
        else:
            said += f", {flagged} of them flagged"
            said += f", most often as {max(known, key=known.__getitem__)}" if known else ""
        said += f" (last: {last_flag})"
    if counts:
        said += f"; {len(counts)} different answers, the most frequent {max(counts)} times"
    return said
