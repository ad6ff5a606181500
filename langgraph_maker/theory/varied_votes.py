"""The law of a vote that is spread over prompt variants or models: unequal p, and errors that repeat.

Eq 9 takes every vote of a step to be right with the same p. Where votes take turns through variants, each variant has
its own. What one variant gets wrong again and again then costs a vote each turn, and not the ballot.
"""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING, Final

import numpy as np

from langgraph_maker.core.foreign import excerpt
from langgraph_maker.theory.random_walk import checked_integers, numbers, refuse

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

__all__ = ["p_correct_varied"]

_MOST_VARIANTS: Final = 12
_LARGEST_MARGIN: Final = 1000


def p_correct_varied(ps: ArrayLike, k: int, *, hard: float = 0.0, repeats: float = 1.0, shared: float = 0.0) -> float:
    """Probability that the right answer wins one vote that takes turns through variants, each with its own p.

    The first vote is of the first variant, and after the last it is the first one's turn again. All wrong answers are
    taken to agree, the worst case. Exact, by the Markov chain of lead and turn; with equal `ps` it is Eq 9.

    A variant is not wrong at random only: on a share `hard` of the steps it repeats one wrong answer, which makes its
    own probability (1 - repeats) p there. Which variants do so is drawn for each step, and the result is the mean
    over these draws: one for each variant, but on a share `shared` of the steps one for all of them. What is hard for
    all no variant cures, nor a larger k.

    Args:
        ps: Probability of each variant that one valid sample is right, in the order of their turns.
        k: The margin, in votes, at most 1,000.
        hard: Share of the steps on which a variant repeats a wrong answer.
        repeats: Probability of that wrong answer on such a step.
        shared: How far hard steps are the same for all variants, from 0 (each has its own) to 1 (all have the same).

    Returns:
        A probability. A vote that never converges, such as of [1, 0] at k = 2, is not right.

    Raises:
        ValueError: When an argument is NaN or outside its range, or for more than 12 variants with `hard`.

    Example:
        One variant of three is stuck, 0.7 of its answers are one wrong answer, and the two others are right. Whoever
        votes with the stuck one alone is mostly wrong; a variant drawn at random for each vote is Eq 9 with the mean
        p; taking turns is right.

        >>> stuck = [0.3, 1, 1]
        >>> [round(p, 4) for p in (p_correct_varied([0.3], 3), p_correct_varied([np.mean(stuck)], 3))]
        [0.073, 0.9726]
        >>> p_correct_varied(stuck, 3)
        1.0

        4,095 steps, 1 % of them hard: with one prompt, with six variants, and with six that share a tenth of that.

        >>> rates = {"hard": 0.01, "repeats": 0.7}
        >>> spread = [p_correct_varied([1], 3, **rates), p_correct_varied([1] * 6, 3, **rates)]
        >>> spread.append(p_correct_varied([1] * 6, 3, shared=0.1, **rates))
        >>> [round(p**4095, 4) for p in spread]
        [0.0, 0.9984, 0.0224]
    """
    rights = numbers("ps", ps)
    if rights.ndim != 1 or not rights.size:
        raise ValueError(f"ps is a list of probabilities, one for each variant, not {excerpt(ps)}")
    rates: dict[str, ArrayLike] = {"ps": rights, "hard": hard, "repeats": repeats, "shared": shared}
    for name, rate in rates.items():
        share = numbers(name, rate)
        refuse((share < 0) | (share > 1), name + " is from 0 to 1, not {}", share)
    margin = checked_integers("k", k)
    refuse(margin > _LARGEST_MARGIN, "k is at most 1,000, not {:g}", margin)
    if not hard:
        return _wins(rights, int(margin))
    if rights.size > _MOST_VARIANTS:
        raise ValueError(f"with hard steps there are at most {_MOST_VARIANTS} variants, not {rights.size}")

    def given(stuck: tuple[bool, ...]) -> float:
        return _wins(np.where(stuck, (1 - repeats) * rights, rights), int(margin))

    own = sum(
        hard ** sum(stuck) * (1 - hard) ** (len(stuck) - sum(stuck)) * given(stuck)
        for stuck in product((False, True), repeat=rights.size)
    )
    common = hard * given((True,) * rights.size) + (1 - hard) * given((False,) * rights.size)
    return shared * common + (1 - shared) * own


def _wins(rights: NDArray[np.float64], k: int) -> float:
    if np.isin(rights, (0, 1)).all():  # nothing is random: the lead is what it is, and may come back for ever
        leads = np.cumsum(np.tile(2 * rights - 1, k))
        return float(np.any(reached := np.abs(leads) >= k) and leads[reached.argmax()] > 0)
    # from the lead at which a turn through all variants begins (rows) to the one it has come to (columns)
    at, won = np.eye(2 * k - 1), np.zeros(2 * k - 1)
    for right in rights:
        won += right * at[:, -1]
        before, at = at, np.zeros_like(at)
        at[:, 1:] += right * before[:, :-1]
        at[:, :-1] += (1 - right) * before[:, 1:]
    return float(np.linalg.solve(np.eye(2 * k - 1) - at, won)[k - 1])
