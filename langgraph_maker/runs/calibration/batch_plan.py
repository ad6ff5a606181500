"""How a run goes by batches: how many rounds, batches and enqueued tokens it takes, and how long.

>>> planned = plan_batches(0.9978, 3, 2**20 - 1, 65_536, input_tokens=600)
>>> round(planned.rounds), planned.batches, planned.warning
(19, 67, '')
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from typing import Final

import numpy as np
from numpy.typing import NDArray

from langgraph_maker import theory
from langgraph_maker.runs.calibration.planning import rounds_left

__all__ = ["BatchPlan", "few_lanes", "plan_batches"]


@dataclass(frozen=True)
class BatchPlan:
    """What a run by batches takes, on average.

    `rounds` are one after another, each of which waits for its batches; `batches` are all of them, and
    `enqueued_tokens` the most that are enqueued at a time. `seconds` are those of the rounds. `warning` says why the
    run should not be made like this, "" where nothing does.
    """

    rounds: float
    batches: int
    requests: float
    enqueued_tokens: float
    seconds: float
    warning: str


def plan_batches(
    p: float,
    k: int,
    steps: int,
    lanes: int,
    *,
    valid_rate: float = 1.0,
    p_first: float | None = None,
    input_tokens: float = 0.0,
    requests_per_batch: int = 50_000,
    enqueued_limit: float | None = None,
    batch_seconds: float = 3600.0,
) -> BatchPlan:
    """Plan a run whose lanes advance side by side, a round of all their open ballots being submitted together.

    A lane takes the sum of its steps' rounds, and the run as many as its slowest lane.

    Args:
        p: Probability that one valid sample is right.
        k: The margin.
        steps: Steps in the whole task.
        lanes: Stretches that advance side by side.
        valid_rate: Share of samples that raise no red flag (v).
        p_first: Probability that the first vote of a step is right; p when None.
        input_tokens: Of a prompt.
        requests_per_batch: At most.
        enqueued_limit: Input tokens that may be enqueued at a time; what is beyond waits for a turn of its own.
        batch_seconds: From submission to result.

    Raises:
        ValueError: For what is no probability, or no number of lanes.
    """
    if lanes < 1:
        raise ValueError(f"lanes is a whole number of at least 1, not {lanes!r}")
    lanes = min(lanes, steps)
    longest = -(-steps // lanes)
    undecided = rounds_left(p, k, valid_rate=valid_rate, p_first=p_first)
    lasting = _lasting(undecided, longest)
    share = 1 - np.power(1 - np.minimum(lasting, 1 - 1e-16), lanes)  # that the run takes more rounds than so many
    rounds = float(share.sum())
    requests = theory.expected_cost(p, k, steps, 1, valid_rate, p_first=p_first)
    each = requests / float(lasting.sum())  # a round, were all lanes as far
    of_rounds = [float(still) * each for still in lasting if still * lanes >= _LEAST]
    most = requests_per_batch
    if enqueued_limit is not None and input_tokens:
        most = max(1, min(most, int(enqueued_limit // input_tokens)))
    batches = sum(max(1, ceil(one / most)) for one in of_rounds)
    peak = max(of_rounds) * input_tokens
    turns = 1.0 if enqueued_limit is None else max(1.0, peak / enqueued_limit)
    return BatchPlan(
        rounds=rounds,
        batches=max(batches, ceil(rounds)),
        requests=requests,
        enqueued_tokens=peak if enqueued_limit is None else min(peak, enqueued_limit),
        seconds=rounds * batch_seconds * turns,
        warning=few_lanes(steps, lanes),
    )


def few_lanes(steps: int | None, lanes: int) -> str:
    """Return what is wrong with so few lanes for batches, "" if nothing.

    Example:
        >>> few_lanes(1023, 1)
        'a lane has 1,023 steps, each of which takes a batch at least, one after the other: more lanes, 43 at least'
        >>> few_lanes(2**20 - 1, 65_536)
        ''
    """
    longest = 1 if steps is None else -(-steps // max(1, lanes))
    if longest <= MOST_IN_A_LANE or steps is None:
        return ""
    return (
        f"a lane has {longest:,} steps, each of which takes a batch at least, one after the other: more lanes,"
        f" {-(-steps // MOST_IN_A_LANE):,} at least"
    )


def _lasting(undecided: NDArray[np.float64], longest: int) -> NDArray[np.float64]:
    """Return at index r the probability that a lane of so many steps takes more than r rounds."""
    if longest > _LONGEST:  # the mean is all there is to say
        return np.ones(ceil(longest * float(undecided.sum())))
    of_step = -np.diff(np.concatenate([undecided, [0.0]]), prepend=1.0)[1:]  # at index r: a step takes r + 1 rounds
    extra, size = np.array([1.0]), 64 + 4 * longest
    power, left = of_step, longest  # by squaring: rounds beyond one a step
    while left:
        if left & 1:
            extra = np.convolve(extra, power)[:size]
        power = np.convolve(power, power)[:size]
        left >>= 1
    beyond = np.clip(1 - np.cumsum(extra), 0.0, 1.0)
    return np.concatenate([np.ones(longest), beyond])


MOST_IN_A_LANE: Final = 24
"""Steps of a lane up to which batches are worth their time: a day or two."""
_LONGEST: Final = 2_000
_LEAST: Final = 0.5
