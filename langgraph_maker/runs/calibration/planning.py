"""Before a run: which k, what it costs, how many waves of calls it takes, and what a budget buys.

>>> planned = plan(0.9978, 2**20 - 1, cost_per_sample=0.0011008)
>>> planned.k, [(choice.k, round(choice.p_full, 4), round(choice.cost)) for choice in planned.choices]
(3, [(2, 0.0061, 2319), (3, 0.9888, 3478), (4, 1.0, 4637)])
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from math import pi, sqrt

import numpy as np
from numpy.typing import NDArray

from langgraph_maker import theory
from langgraph_maker.core.margin import LARGEST_MARGIN
from langgraph_maker.runs.calibration.margin_choice import averaged, by_type, mixed
from langgraph_maker.runs.calibration.result import ASSUMED, Calibration, first_vote, no_better

__all__ = [
    "Choice",
    "RuleCost",
    "RunPlan",
    "expected_rounds",
    "expected_seconds",
    "expected_waves",
    "plan",
    "rounds_left",
]

_LARGEST_STEPS = 10**15
_WIDEST = 5  # the spread of latencies
_ROUNDS_UP_TO = 200  # k beyond which the chain of leads takes long to solve


@dataclass(frozen=True)
class Choice:
    """What one margin gives: for the whole task, on average.

    `cost` is in dollars. `rounds` are rounds of calls where each step waits for the one before, `waves` where all steps
    are voted on side by side. None where unknown.
    """

    k: int
    p_full: float
    samples: float
    cost: float | None
    rounds: float | None
    waves: float | None


@dataclass(frozen=True)
class RuleCost:
    """What one way to take k from a calibration costs (`calibration.choice`), for the whole task.

    `rule` is one of `solve(k_rule=…)`, or "by type": there the target is kept by the summed risk of all types. `ks` are
    the margins that steps take.
    """

    rule: str
    ks: list[int]
    samples: float
    cost: float | None


@dataclass(frozen=True)
class RunPlan:
    """The least k that reaches the target, with its neighbours, and what a budget buys.

    `largest_steps` is the longest task whose own k_min the budget pays for, `k_for_budget` the largest k it pays for
    on this one, at most 1,000; both are None without a budget, and 0 where it buys nothing. `notes` says what the
    figures rest on. `rules` says what each way to take k from a calibration costs, where it is for this task.
    """

    steps: int
    target: float
    k: int
    choices: list[Choice]
    budget: float | None
    largest_steps: int | None
    k_for_budget: int | None
    notes: list[str]
    rules: list[RuleCost] = field(default_factory=list)

    @property
    def choice(self) -> Choice:
        """That of `k`."""
        return next(choice for choice in self.choices if choice.k == self.k)


@dataclass(frozen=True)
class _Rates:
    """What is expected of the samples, and what of them is sure; `sure_first` is that of the first valid vote."""

    p: float
    p_first: float | None
    sure: float
    sure_first: float | None
    valid: float
    cost: float | None

    def k(self, steps: int, target: float) -> int:
        return theory.k_min(self.sure, steps, target, p_first=self.sure_first)

    def samples(self, k: int, steps: int) -> float:
        first = first_vote(self.p, self.p_first, self.valid)
        return theory.expected_cost(self.p, k, steps, 1, self.valid, p_first=first)

    def choice(self, k: int, steps: int) -> Choice:
        samples = self.samples(k, steps)
        each = waves = None
        if k <= _ROUNDS_UP_TO:
            each = expected_rounds(self.p, k, valid_rate=self.valid, p_first=self.p_first)
            waves = expected_waves(self.p, k, steps, valid_rate=self.valid, p_first=self.p_first)
        return Choice(
            k=k,
            p_full=theory.p_full(self.sure, k, steps, p_first=self.sure_first),
            samples=samples,
            cost=None if self.cost is None else samples * self.cost,
            rounds=None if each is None else each * steps,
            waves=waves,
        )


def plan(
    source: float | Calibration,
    steps: int | None = None,
    target: float | None = None,
    *,
    p_first: float | None = None,
    valid_rate: float = 1.0,
    cost_per_sample: float | None = None,
    budget: float | None = None,
) -> RunPlan:
    """Plan a run, from numbers or from a calibration.

    Of a calibration, k and p_full come from the lower bounds, costs and rounds from the estimates.

    Args:
        source: p, or a `Calibration`, which also has what the other arguments say.
        steps: Steps in the whole task; None for those of the calibration.
        target: Wanted probability of zero errors; None for that of the calibration, or 0.95.
        p_first: Probability that the first sample of a step is right if it is valid; p when None. One that is flagged
            is drawn again like all others, so the first vote is right with v p_first + (1 - v) p.
        valid_rate: Share of samples that raise no red flag (v).
        cost_per_sample: Dollars.
        budget: Dollars.

    Raises:
        ValueError: When voting cannot help, the number of steps is missing, or a budget comes without a cost.

    Example:
        >>> planned = plan(0.99, 1023, cost_per_sample=0.001, budget=5)
        >>> planned.k, round(planned.choice.cost, 2), planned.k_for_budget, planned.largest_steps
        (3, 3.13, 4, 1633)
    """
    if isinstance(source, Calibration):
        if not (p_first is None and valid_rate == 1.0 and cost_per_sample is None):
            raise ValueError("a calibration says what p_first, valid_rate and cost_per_sample would: leave them out")
        rates, steps = _measured(source), source.steps if steps is None else steps
        target = source.target if target is None else target
        notes = [
            *filter(None, [source.warning]),
            f"k and p_full at the lower bound p = {rates.sure:.4f}, costs at the estimate p = {rates.p:.4f}",
        ]
    else:
        own = first_vote(source, p_first, valid_rate)
        rates, notes = _Rates(source, p_first, source, own, valid_rate, cost_per_sample), []
    if rates.cost is not None and not 0 <= rates.cost < float("inf"):
        raise ValueError(f"cost_per_sample is a number of dollars, 0 or more, not {rates.cost}")
    target = 0.95 if target is None else target
    if steps is None:
        raise ValueError("steps is missing: a plan is for a task of known length; without one use theory.k_at_step")
    k = rates.k(steps, target)
    notes.append(f"k and p_full hold if {ASSUMED}, and if there is no step that no k can save")
    if k > LARGEST_MARGIN:
        notes.append(f"k is above {LARGEST_MARGIN:,}, the most that a ballot takes: no run can have it")
    if rates.cost is None:
        notes.append("costs are unknown: give cost_per_sample, in dollars")
    planned = RunPlan(
        steps=steps,
        target=target,
        k=k,
        choices=[rates.choice(margin, steps) for margin in (k - 1, k, k + 1) if margin >= 1],
        budget=budget,
        largest_steps=None,
        k_for_budget=None,
        notes=notes,
    )
    if isinstance(source, Calibration):
        planned = replace(planned, rules=_rules(source, rates, steps, target))
    return planned if budget is None else _with_budget(planned, rates, budget)


def _rules(found: Calibration, rates: _Rates, steps: int, target: float) -> list[RuleCost]:
    """Return what each rule costs, for those under which there is a k."""

    def cost(rule: str, parts: list[tuple[int, float]]) -> RuleCost:
        samples = sum(rates.samples(k, 1) * count for k, count in parts if count)
        ks = sorted({k for k, count in parts if count})
        return RuleCost(rule, ks, samples, None if rates.cost is None else samples * rates.cost)

    rules = [cost("lower bound", [(rates.k(steps, target), float(steps))])]
    counts = found.right, found.valid, float(steps), target
    if (k := averaged(*counts, first=found.first_counts)) is not None:
        rules.append(cost("average", [(k, float(steps))]))
    if (pair := mixed(*counts, first=found.first_counts)) is not None and pair[0] > 1:
        rules.append(cost("mixed", [(pair[0], pair[1] * steps), (pair[0] - 1, (1 - pair[1]) * steps)]))
    scale = steps / found.steps if found.steps else 1.0
    types = by_type([replace(one, steps=one.steps * scale) for one in found.types], target) if found.types else None
    if types:
        samples = sum(
            one.steps * theory.expected_votes((one.right + 0.5) / (one.valid + 1), one.k) / rates.valid
            for one in types
            if one.k is not None
        )
        ks = sorted({one.k for one in types if one.k is not None})
        rules.append(RuleCost("by type", ks, samples, None if rates.cost is None else samples * rates.cost))
    return rules


def _measured(found: Calibration) -> _Rates:
    found.margin(steps=1)  # says why, where voting may not help
    if found.p is None or found.valid_rate is None:  # which a margin rules out
        raise ValueError(found.problem)
    own = no_better(found.p_low, found.p_first_low)  # with v = 1: a flagged first sample would make it likelier
    return _Rates(found.p, found.p_first, found.p_low, own, found.valid_rate, found.cost_per_sample)


def _with_budget(planned: RunPlan, rates: _Rates, budget: float) -> RunPlan:
    cost = rates.cost
    if not 0 <= budget < float("inf"):
        raise ValueError(f"budget is a number of dollars, 0 or more, not {budget}")
    if cost is None:
        raise ValueError("a budget needs a cost: give cost_per_sample, in dollars")
    return replace(
        planned,
        k_for_budget=_largest(LARGEST_MARGIN, lambda k: rates.samples(k, planned.steps) * cost <= budget),
        largest_steps=_largest(
            _LARGEST_STEPS, lambda steps: rates.samples(rates.k(steps, planned.target), steps) * cost <= budget
        ),
    )


def _largest(most: int, paid: Callable[[int], bool]) -> int:
    """Return the largest number up to `most` that is paid for, 0 if none is."""
    low, high = 0, most + 1
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if paid(middle) else (low, middle)
    return low


def expected_rounds(p: float, k: int, *, valid_rate: float = 1.0, p_first: float | None = None) -> float:
    """Mean rounds until a step is decided, each round drawing the k - lead samples that could decide it.

    A Markov chain over the lead, exact with one wrong answer.

    Example:
        >>> round(expected_rounds(0.9978, 3), 4), expected_rounds(1, 3)
        (1.0066, 1.0)
    """
    start, walk = _chain(p, k, valid_rate, p_first)
    return 1 + float(start @ np.linalg.solve(np.eye(start.size) - walk, np.ones(start.size)))


def expected_waves(p: float, k: int, steps: int, *, valid_rate: float = 1.0, p_first: float | None = None) -> float:
    """Mean rounds until the last of so many steps is decided, when all are voted on side by side.

    Example:
        >>> round(expected_waves(0.9978, 3, 2**20 - 1), 1)
        3.3
    """
    undecided, walk = _chain(p, k, valid_rate, p_first)
    waves = 1.0
    while (share := float(undecided.sum())) * steps > 1e-9:  # noqa: PLR2004 - no digit of the mean changes below
        waves -= float(np.expm1(steps * np.log1p(-min(share, 1 - 1e-16))))
        undecided = undecided @ walk
    return waves


def rounds_left(p: float, k: int, *, valid_rate: float = 1.0, p_first: float | None = None) -> NDArray[np.float64]:
    """Return at index r the probability that a step is undecided after r rounds, as far as that is above 1e-12.

    Example:
        >>> rounds_left(1, 3).tolist()
        [1.0, 0.0]
    """
    undecided, walk = _chain(p, k, valid_rate, p_first)
    left = [1.0]
    while left[-1] > 1e-12:  # noqa: PLR2004 - less makes no difference to any mean
        left.append(float(undecided.sum()))
        undecided = undecided @ walk
    return np.array(left)


def expected_seconds(
    p: float,
    k: int,
    latency: float,
    *,
    spread: float = 1.0,
    valid_rate: float = 1.0,
    p_first: float | None = None,
) -> float:
    """Mean seconds until a step is decided, in rounds that each wait for the slowest of their calls.

    Times the steps of a lane this is how long a run takes, where calls and not the engine set the pace.

    Args:
        p: Probability that one valid sample is right.
        k: The margin.
        latency: Median seconds of a call, taken to be log-normal.
        spread: Standard deviation of the logarithm of the latency.
        valid_rate: Share of samples that raise no red flag (v).
        p_first: Probability that the first vote of a step is right; p when None.

    Raises:
        ValueError: For what is no probability, and for a latency or a spread below 0.

    Example:
        >>> round(expected_seconds(0.95, 3, latency=0.015), 3)
        0.053
    """
    if not (0 <= latency < float("inf") and 0 <= spread <= _WIDEST):
        raise ValueError(f"a latency is seconds, at least 0, and a spread from 0 to {_WIDEST}: not {latency}, {spread}")
    start, walk = _chain(p, k, valid_rate, p_first)
    slowest = latency * _slowest_of(k, spread)
    drawn = k - np.abs(np.arange(1 - k, k))  # samples in a round that begins at each lead
    visits = np.linalg.solve((np.eye(start.size) - walk).T, start)
    return float(slowest[k] + visits @ slowest[drawn])


def _slowest_of(most: int, spread: float) -> NDArray[np.float64]:
    """Return at index n the mean of the largest of n log-normal numbers of median 1, up to `most`."""
    grid = np.linspace(-12.0, 12.0 + spread, 8001)
    density = np.exp(-(grid**2) / 2) / sqrt(2 * pi)
    below = np.clip(np.cumsum(density) * (grid[1] - grid[0]) - density * (grid[1] - grid[0]) / 2, 0.0, 1.0)
    powers = [n * below ** (n - 1) for n in range(1, most + 1)]
    means = [np.sum(np.exp(spread * grid) * density * power) * (grid[1] - grid[0]) for power in powers]
    return np.array([0.0, *means])


def _chain(
    p: float, k: int, valid_rate: float, p_first: float | None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the probabilities of leads 1 - k to k - 1 after the first round, and from each to each in one round."""
    theory.expected_cost(p, k, 1, 1, valid_rate, p_first=p_first)  # refuses what is no probability
    drawn = [np.array([1.0])]  # how the lead moves by so many samples: at index i by i - samples
    vote = np.array([valid_rate * (1 - p), 1 - valid_rate, valid_rate * p])
    for _ in range(k):
        drawn.append(np.convolve(drawn[-1], vote))
    walk = np.zeros((2 * k - 1, 2 * k - 1))
    for lead in range(1 - k, k):
        samples = k - abs(lead)
        for move in range(-samples, samples + 1):
            if abs(lead + move) < k:
                walk[lead + k - 1, lead + move + k - 1] = drawn[samples][move + samples]
    first = p if p_first is None else p_first
    own = np.array([valid_rate * (1 - first), 1 - valid_rate, valid_rate * first])
    return np.convolve(own, drawn[k - 1])[1:-1], walk
