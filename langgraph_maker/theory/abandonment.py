"""When a ballot is given up in its tier: sequential tests of whether this is a step that the tier finds easy.

A count of samples would give up ballots that are merely long, and stay too long with those that are going nowhere.
Here a ballot is given up once what it has counted is unlikely enough for an easy step, one of which both are true:

- k errs on it at most once in 1 / `error` ballots. By Eq 9 a valid sample is then right with probability
  p0 = 1 / (1 + e^-L) or more, L = ln((1 - error) / error) / k.
- A sample raises no red flag with probability v0 = 0.4 or more, the least of the published models (gpt-4.1-nano, whose
  long answers are cut). Flags cost samples and nothing else, so fewer flags are no reason to go.

**Answers running level.** Against p0 stands 1/2. After n votes, r of them right, the likelihood ratio is
(1/2)^n / (p0^r (1 - p0)^(n-r)) = cosh(L/2)^n e^(-L/2 (2r - n)). While p >= p0 its mean never grows, so by Ville's
inequality it ever reaches 1 / alpha with probability alpha at most, however often one looks. Which answer is right is
not known: the leader is taken for it. It has r votes or more, which makes the ratio smaller, so that this gives
up no ballot that the test proper would keep.

**Flags.** Likewise for the share of samples without a flag: v0 against 0.1, (0.9/0.6)^flags (0.1/0.4)^votes.

An easy step is given up with probability `ALPHA_LEVEL` + `ALPHA_FLAGS` < 1 % at most, whatever its votes and flags
have to do with each other. What the test cannot do: on a step with two equally likely answers the lead is a random walk
that reaches k by itself after k^2 votes, and half of these decisions are wrong. Before that, k = 3 and `error` = 0.001
give up 22 % of such ballots, 0.00001 gives up 52 %. So give the `error` that the task can afford, and spread votes over
prompt variants: a step that most votes get wrong does not tie at all.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from math import cosh, log
from typing import Final

from langgraph_maker.core.ballot import check_margin
from langgraph_maker.core.foreign import excerpt

__all__ = ["ALPHA_FLAGS", "ALPHA_LEVEL", "LEAST_VALID", "gives_up"]

ALPHA_LEVEL: Final = 0.007
"""The most that an easy step is given up for answers that tie."""

ALPHA_FLAGS: Final = 0.002
"""The most that an easy step is given up for its flags."""

LEAST_VALID: Final = 0.4
"""The least share of samples without a flag on an easy step."""

_HARDLY_VALID: Final = 0.1  # the share that is held against it
_FLAG: Final = log((1 - _HARDLY_VALID) / (1 - LEAST_VALID))
_VALID: Final = log(_HARDLY_VALID / LEAST_VALID)


def gives_up(counts: Sequence[int], flagged: int, k: int, error: float = 0.001) -> str:
    """Return why a ballot should be given up in its tier, in words; "" while it should continue.

    Args:
        counts: Votes of each answer, of a ballot that is not decided.
        flagged: Samples that raised a red flag.
        k: The margin.
        error: How often k may err on an easy step. The less, the sooner a contested ballot is given up: (1 - target)
            / steps is what a task can afford, and 0.001 what one of fifty steps can, if it is to be right in 95 %.

    Raises:
        ValueError: When `k` is not a whole number of at least 1, or `error` not above 0 and below 1/2.

    Example:
        >>> gives_up([5, 5], flagged=0, k=3)
        'votes are tied: the leading answer has 5 of 10 votes'
        >>> gives_up([5, 3], flagged=2, k=3), gives_up([3, 3], flagged=0, k=3, error=0.00001)
        ('', 'votes are tied: the leading answer has 3 of 6 votes')
        >>> gives_up([1], flagged=20, k=3)
        'flags exceed votes: 20 of 21 samples were flagged'
    """
    half, growth = _odds(k, error)
    votes, leading = sum(counts), max(counts, default=0)
    if votes * growth - half * (2 * leading - votes) >= -log(ALPHA_LEVEL):
        return f"votes are tied: the leading answer has {leading} of {votes} votes"
    if flagged * _FLAG + votes * _VALID >= -log(ALPHA_FLAGS):
        return f"flags exceed votes: {flagged} of {flagged + votes} samples were flagged"
    return ""


@lru_cache(maxsize=1024)
def _odds(k: int, error: float) -> tuple[float, float]:
    """L/2 and ln cosh(L/2)."""
    if not 0 < error < 0.5:  # noqa: PLR2004 - where p0 would be 1/2
        raise ValueError(f"error, how often k may err on an easy step, is above 0 and below 1/2, not {excerpt(error)}")
    half = log((1 - error) / error) / check_margin(k) / 2
    return half, log(cosh(half))
