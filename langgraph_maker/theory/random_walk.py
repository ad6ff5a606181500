"""What the scaling laws share: arguments checked and made arrays, and the walk of a ballot's lead.

The lead of the right answer over its likeliest rival is a random walk that ends at k or -k. It goes up with odds
p / p_alt, whatever other answers are cast.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from langgraph_maker.core.foreign import excerpt

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import ArrayLike, NDArray

    Floats: TypeAlias = NDArray[np.float64]

__all__ = [
    "between_0_and_1",
    "checked_integers",
    "duration",
    "first_right",
    "least_margin",
    "log_correct",
    "numbers",
    "rates",
    "refuse",
    "scalar",
    "subtasks",
]


def log_correct(log_odds: Floats, k: Floats, first: Floats | None) -> Floats:
    """Return the log probability that the winner is right; `first` is that of the first vote (None: as all).

    With r = p_alt/p the right answer loses from lead x with probability r^(k+x) (1 - r^(k-x)) / (1 - r^(2k)), and a
    first vote leads to x = 1 or to x = -1.
    """
    if first is None:
        return np.asarray(-np.log1p(np.exp(-log_odds * k)))
    with np.errstate(divide="ignore"):
        near, far, both = _powers(log_odds, k)
        lost = first * np.exp(-(k + 1) * log_odds) * near + (1 - first) * (1 + near) * far
        return np.asarray(np.log1p(-lost / both))


def duration(log_odds: Floats, drift: Floats, k: Floats, first: Floats | None) -> Floats:
    """Mean votes until the margin, if each moves the lead by `drift` on average; the first by 2 first - 1."""
    if first is None:
        # tanh(k L / 2) is 2 p_correct - 1, and keeps its digits as p nears 0.5
        return np.asarray(k * np.tanh(k * log_odds / 2) / drift)
    # Wald's identity on the votes after the first: (mean final lead - mean lead after the first vote) / drift,
    # in two parts, of which the second changes its sign with the first vote
    near, far, both = _powers(log_odds, k)
    with np.errstate(invalid="ignore"):
        lag = k * (1 + near) * np.expm1(-2 * log_odds) / both - 1
        lag = np.where(k * log_odds < _FLAT, -(k**2 - 1) * log_odds**2 / 6, lag)  # its digits cancel there
    return np.asarray(1 + (-k * near * far / both + (2 * first - 1) * lag) / drift)


_FLAT = 1e-4


def _powers(log_odds: Floats, k: Floats) -> tuple[Floats, Floats, Floats]:
    """Return r^(k-1) - 1, r^(k+1) - 1 and r^(2k) - 1."""
    with np.errstate(invalid="ignore"):  # r may be 0
        near = np.where(k == 1, 0.0, np.expm1(-(k - 1) * log_odds))
    return near, np.expm1(-(k + 1) * log_odds), np.expm1(-2 * k * log_odds)


def least_margin(
    log_odds: Floats, budget: Floats, first: Floats | None, enough: Callable[[Floats], NDArray[np.bool_]]
) -> NDArray[np.int64]:
    """Return the least k of which the logarithm of p_correct is `enough`: at least -budget, but for rounding."""

    def at(k: Floats, own: Floats | None = None) -> NDArray[np.bool_]:
        with np.errstate(over="ignore", invalid="ignore"):
            return enough(log_correct(log_odds, k, own))

    with np.errstate(over="ignore", invalid="ignore"):
        # the least positive float stands in where the odds allowed are too small for any
        k = np.fmax(1, np.ceil(-np.log(np.expm1(np.maximum(budget, 5e-324))) / log_odds))
    k = k + ~at(k)
    # near a tie rounding decides; where p_full is too flat to tell neighbours apart, Eq 14 stands
    k = k - ((k > 1) & at(k - 1) & ~at(k - 2))
    if first is not None:
        # errors rise with k, if at all, from k = 1 on, and then fall: so it is 1, or the one place where they cross
        low, high = np.broadcast_arrays(1.0, k + 1, first)[:2]
        while np.any(short := ~at(high, first)):
            low, high = np.where(short, high, low), np.where(short, 2 * high, high)
        while np.any(high - low > 1):
            middle = np.floor((low + high) / 2)
            reached = at(middle, first)
            low, high = np.where(reached, low, middle), np.where(reached, middle, high)
        k = np.where(at(np.ones_like(high), first), 1, high)
    return np.asarray(k).astype(np.int64)


def rates(p: ArrayLike, p_alt: ArrayLike | None) -> tuple[Floats, Floats, Floats]:
    """Check p and p_alt; return them and log(p / p_alt), infinite where p_alt is 0."""
    right = numbers("p", p)
    refuse((right < 0) | (right > 1), "p is a probability, from 0 to 1, not {}", right)
    wrong = 1 - right if p_alt is None else numbers("p_alt", p_alt)
    refuse(wrong < 0, "p_alt is a probability, from 0 to 1, not {}", wrong)
    remedy = ", or give p_alt where the wrong answers are known to differ" if p_alt is None else ""
    refuse(
        right <= wrong,
        "voting cannot help at p = {} with p_alt = {}: the right answer must be likelier than the likeliest"
        " wrong one; use a better model, a smaller step" + remedy,
        right,
        wrong,
    )
    # frequencies that add up to 1 may round to a little more
    refuse(right + wrong > 1 + 1e-12, "p + p_alt is at most 1, but p = {} and p_alt = {}", right, wrong)
    with np.errstate(divide="ignore", over="ignore"):
        return right, wrong, np.log1p((right - wrong) / wrong)


def first_right(p_first: ArrayLike | None) -> Floats | None:
    """Check the first vote's own probability."""
    if p_first is None:
        return None
    first = numbers("p_first", p_first)
    refuse((first < 0) | (first > 1), "p_first is a probability, from 0 to 1, not {}", first)
    return first


def subtasks(steps: ArrayLike, m: ArrayLike, first: Floats | None = None) -> Floats:
    """Check steps and m; return how many subtasks they make."""
    total, size = checked_integers("steps", steps), checked_integers("m", m)
    refuse(size > total, "m = {} steps per subtask are more than the task's {} steps", size, total)
    if first is not None:
        refuse(size > 1, "p_first is of single steps, but m = {}: give one of the two", size)
    return np.asarray(total / size)


def between_0_and_1(name: str, value: ArrayLike) -> Floats:
    """Check a number that is neither 0 nor 1."""
    between = numbers(name, value)
    refuse((between <= 0) | (between >= 1), name + " is above 0 and below 1, not {}", between)
    return between


def checked_integers(name: str, value: ArrayLike, least: int = 1) -> Floats:
    """Check a whole number."""
    count = numbers(name, value)
    refuse((count < least) | (count % 1 != 0), f"{name} is a whole number of at least {least}, not {{}}", count)
    return count


def numbers(name: str, value: ArrayLike) -> Floats:
    """Check that `value` is a finite number, or an array of them."""
    array = np.asarray(value)
    try:
        floats = array.astype(np.float64) if array.dtype.kind in "iufO" else None
    except (TypeError, ValueError, OverflowError):
        floats = None
    if floats is None:
        raise ValueError(f"{name} is a number or an array of numbers that fit a float, not {excerpt(value)}")
    refuse(~np.isfinite(floats), name + " is a finite number, not {}: check where it comes from", floats)
    return floats


def refuse(bad: NDArray[np.bool_] | np.bool_, message: str, *values: Floats) -> None:
    """Raise ValueError with the first offending values in `message`, if there are any."""
    if np.any(bad):
        raise ValueError(message.format(*(np.broadcast_to(value, np.shape(bad))[bad][0] for value in values)))


def scalar(values: Any) -> Any:
    """Return a Python number where there is one, else the array."""
    array = np.asarray(values)
    return array if array.ndim else array.item()
