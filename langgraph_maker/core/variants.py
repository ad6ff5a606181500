r"""Prompt variants: the same step asked in several ways, so that what one wording gets wrong another may get right.

A vote cures errors that are random. An error that one prompt brings about repeats under it, at whatever temperature,
and is cured by asking otherwise: with other examples, in another order, in other words. A task that does so is
`HasVariants`: it says how many `variants` it has, and its `prompt(state, variant)` gives each.

    >>> from langchain_core.messages import HumanMessage
    >>> from langgraph_maker import Task
    >>> from langgraph_maker.core.task import HasVariants
    >>> ASKED = ["What follows {}?", "Add one to {}.", "{} + 1 ="]
    >>> SUMS = ["3 -> 4", "19 -> 20", "99 -> 100", "7 -> 8"]
    >>> class CountUp(Task):
    ...     name, steps, variants = "count-up", 3, len(ASKED)
    ...     def initial_state(self): return 0
    ...     def is_done(self, state): return state == 3
    ...     def prompt(self, state, variant=0):
    ...         question = pick(ASKED, variant).format(state)
    ...         return [HumanMessage("\n".join([*examples(SUMS, 2, variant), question]))]
    ...     def parse(self, text): return {"action": "add", "next_state": int(text)}
    ...     def advance(self, state, vote): return vote["next_state"]
    >>> isinstance(CountUp(), HasVariants)
    True
    >>> print(CountUp().prompt(7, variant=1)[0].text)
    99 -> 100
    7 -> 8
    Add one to 7.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import lcm, perm
from typing import TypeVar

from langgraph_maker.core.foreign import excerpt

__all__ = ["examples", "pick"]

T = TypeVar("T")


def pick(templates: Sequence[T], variant: int) -> T:
    """Return the template of one variant: `templates[variant]`, where a number that none has is an error.

    Raises:
        ValueError: When `variant` is not a whole number from 0 to len(templates) - 1.

    Example:
        >>> pick(["Add {} and {}.", "{} + {} ="], 1)
        '{} + {} ='
        >>> pick(["Add {} and {}.", "{} + {} ="], 2)
        Traceback (most recent call last):
        ValueError: variant is a whole number from 0 to 1, not 2
    """
    _check(variant, len(templates))
    return templates[variant]


def examples(pool: Sequence[T], count: int, variant: int) -> list[T]:
    """Return the examples that one variant shows: `count` of the `pool`, others in another order for each variant.

    Variant 0 shows the first `count` as they stand, the next those that follow, and so on round the pool: others, as
    long as there are any. No two variants show the same in the same order. With the whole pool as `count` it shuffles.

    Raises:
        ValueError: When `count` is not a whole number from 1 to len(pool), or `variant` none from 0 to one less than
            the number of ways there are to show them.

    Example:
        >>> [examples(["1 + 1 = 2", "4 + 8 = 12", "9 + 9 = 18"], 2, variant) for variant in range(2)]
        [['1 + 1 = 2', '4 + 8 = 12'], ['9 + 9 = 18', '1 + 1 = 2']]
        >>> ["".join(examples("abcd", 4, variant)) for variant in (1, 2, 4, 5)]
        ['bcda', 'cdab', 'acdb', 'bdac']
    """
    if isinstance(count, bool) or not isinstance(count, int) or not 1 <= count <= len(pool):
        raise ValueError(f"count is a whole number from 1 to {len(pool)}, the examples there are, not {excerpt(count)}")
    _check(variant, perm(len(pool), count))
    # each begins where the one before ended, and one further on once they come round to where they began
    start = variant * count
    index, left, chosen = start + start // lcm(count, len(pool)), list(pool), []
    for size in range(len(pool), len(pool) - count, -1):
        index %= size
        chosen.append(left[index])
        left = left[index + 1 :] + left[:index]
        index = variant = variant // size
    return chosen


def _check(variant: int, variants: int) -> None:
    if isinstance(variant, bool) or not isinstance(variant, int) or not 0 <= variant < variants:
        raise ValueError(f"variant is a whole number from 0 to {variants - 1}, not {excerpt(variant)}")
