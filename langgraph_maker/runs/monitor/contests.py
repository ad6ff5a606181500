"""What contested ballots say beyond their number: how few there may be, and how deep their contests may go.

Of one step, let a sample be right with probability p and x = p (1 - p), so that two samples differ with probability
2 x or more. With two answers, k votes are not all alike with probability c(x) = 1 - p^k - (1 - p)^k, a concave function
of x: however x differs from step to step, the mean of c is at most c of the mean, and at least what steps of x = 0 and
x = 1/4 alone would give, 4 (1 - 2^(1 - k)) times the mean of x.

    >>> round(least_contested(0.09, 3), 4), round(1 - 0.9**3 - 0.1**3, 4)
    (0.27, 0.27)

A contested ballot has two lost votes or more with the probability `deep_share`, if all steps have one p; where some are
hard and the others easy, it happens far oftener.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from langgraph_maker.core.events import Totals
from langgraph_maker.runs.monitor.step_counts import ALPHA, p_of_contested, scaled_bound

__all__ = ["Second", "deep", "deep_share", "least_contested"]

_MOST: Final = 3.75


def least_contested(differing: float, k: int, *, first_alike: bool = True) -> float:
    """Return the least share of ballots that are contested, whatever the distribution of p over steps.

    Args:
        differing: The least mean of p (1 - p) over steps.
        k: The margin.
        first_alike: Whether the first vote is drawn as all others. Else it is taken for the likeliest answer.

    Example:
        >>> [round(least_contested(0.05, k), 4) for k in (1, 2, 3, 5)]
        [0.0, 0.1, 0.15, 0.1875]
        >>> [round(least_contested(0.05, k, first_alike=False), 4) for k in (1, 2, 3, 5)]
        [0.0, 0.05, 0.1, 0.1875]
    """
    times = 4 * (1 - 2.0 ** (1 - k)) if first_alike else min(k - 1, _MOST)
    return min(1.0, max(0.0, differing) * times)


def deep_share(p: float, k: int) -> float:
    """Return the probability that a contested ballot has two lost votes or more, if all steps have one p.

    The wrong answers are taken to be all different, of which it is a little more.

    Example:
        >>> [round(deep_share(p, 3), 3) for p in (0.99, 0.9, 0.6)]
        [0.03, 0.274, 0.802]
    """
    wrong = 1 - p
    contested = 1 - p**k
    return 1 - k * p ** (k + 1) * wrong / contested if contested > 0 else 0.0


def deep(totals: Totals) -> tuple[int, int]:
    """Return how many steps decided in the first tier had a lost vote, and how many had two or more.

    Example:
        >>> from langgraph_maker.nodes.totals import nothing
        >>> deep({**nothing(), "shapes": {"3:3:3": 6, "5:4:3": 2, "7:5:3": 1, "4:3:2": 1}})
        (4, 1)
    """
    contested = twice = 0
    for name, count in totals["shapes"].items():
        votes, leading, _ = map(int, name.split(":"))
        contested += count if votes > leading else 0
        twice += count if votes > leading + 1 else 0
    return contested, twice


@dataclass
class Second:
    """What the second votes of audits say of the p of the way in which they are asked; they are counted as they come.

    A bound is taken from the first 32, and again whenever there are twice as many, with half the chance to miss.
    """

    votes: int = 0
    contested: int = 0
    share: float | None = None
    due: int = 32
    miss: float = ALPHA / 2

    def add(self, votes: int, contested: int) -> None:
        """Count second votes, and how many of them were contested or not decided."""
        self.votes += votes
        self.contested += contested
        if self.votes >= self.due:
            self.share = scaled_bound(self.contested, self.votes, 1 - self.miss)
            self.due, self.miss = 2 * self.votes, self.miss / 2

    def least(self, k: int) -> float | None:
        """Return a lower bound on p where their margin is k; None while there are too few.

        Example:
            >>> second = Second()
            >>> second.add(100, 5)
            >>> round(second.least(3), 3)
            0.942
        """
        return None if self.share is None else p_of_contested(self.share, [0] * k + [1])
