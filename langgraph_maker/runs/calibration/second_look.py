"""Second looks at steps that went wrong or were flagged: is the right answer the more frequent one, beyond chance?

A step that no k can save (its right answer is no more frequent than one wrong answer) gives no right sample with
probability 1/2 or more. Fresh samples of it then clear it with probability 1/10 at most, however often one looks: the
bets on a majority of right answers, a mixture over its size, reach 10 with that (Ville). So of the steps that no k can
save at least the share `power` is among those that were not cleared, and what bounds these, divided by it, bounds all.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from math import exp, log
from typing import Final

__all__ = ["CLEARED", "bets", "cleared", "condemned", "power", "rival"]

CLEARED: Final = 10.0
_SURE: Final = 20.0
_SIZES: Final = (0.6, 0.75, 0.9, 0.99)


def bets(more: int, less: int) -> float:
    """Return what bets on `more` come to, against even odds; their mean is at most 1 where `less` is as frequent.

    Example:
        >>> [round(bets(*counts), 2) for counts in ((0, 0), (5, 0), (4, 1))]
        [1.0, 14.85, 1.65]
    """
    return sum(exp(more * log(2 * size) + less * log(2 * (1 - size))) for size in _SIZES) / len(_SIZES)


def rival(keys: Sequence[str | None], truth: str | None) -> int:
    """Return how many of the valid samples gave what most of the wrong ones did."""
    wrong = Counter(key for key in keys if key is not None and key != truth)
    return max(wrong.values(), default=0)


def cleared(keys: Sequence[str | None], truth: str | None) -> bool:
    """Return whether fresh samples of a step show that its right answer is the most frequent one."""
    return bets(keys.count(truth) if truth is not None else 0, rival(keys, truth)) >= CLEARED


def condemned(keys: Sequence[str | None], truth: str | None, wrong: str | None, looked: int) -> bool:
    """Return whether they show that it is not: that of all `looked` steps with one chance of 1/20 to accuse any.

    Args:
        keys: Fresh samples; None stands for a flagged one.
        truth: The right answer.
        wrong: Which answer it is held against: one that was given before these samples. Without one there is no case.
        looked: How many steps are looked at.
    """
    if wrong is None or truth is None:
        return False
    return bets(keys.count(wrong), keys.count(truth)) >= _SURE * max(1, looked)


def power(ways: int = 1, others: float = 0.0) -> float:
    """Return the least share of the steps that no k can save which are found and not cleared.

    Args:
        ways: In how many ways each step was sampled once; one wrong answer makes it a suspect.
        others: Further chances to clear it wrongly.
    """
    return (1 - 0.5**ways) * max(0.0, 1 - 1 / CLEARED - others)
