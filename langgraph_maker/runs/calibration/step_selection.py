"""Which steps of a task to sample: random ones of the whole, with the states that they start from."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from random import Random
from typing import Any, NamedTuple

from langgraph_maker.core.foreign import shortened
from langgraph_maker.core.task import HasOracle, Partitionable, Segment, State, Task

__all__ = ["SelectedSteps", "choose", "states_at"]

_LANES_PER_SAMPLE = 16  # what is walked from a lane's start is then short
_WALK = 100_000


class SelectedSteps(NamedTuple):
    """Steps in random order, no step twice, and the states that they start from. `note` says what they fall short of.

    `steps` is None where the states are not known without a run.
    """

    steps: list[int] | None
    states: list[State]
    note: str


def choose(task: Task, samples: int, *, seed: int, max_steps: int | None = None) -> SelectedSteps:
    """Choose `samples` steps at random, all alike; all steps of a task that has no more.

    States come from `task.segments` where there is one, and from following the oracle. A task that has neither has to
    be run to know them. Memory holds as many states as samples, and 16 lane starts for each.

    Args:
        task: What to choose from.
        samples: How many steps, at least 1.
        seed: The same seed chooses the same steps.
        max_steps: Of a task of unknown length, how far the oracle is followed at most; default 100,000.

    Raises:
        ValueError: When the task is done at its start.

    Example:
        >>> from langgraph_maker.tasks import TowersOfHanoi
        >>> chosen = choose(TowersOfHanoi(20), 2, seed=1)
        >>> chosen.steps, chosen.states[0]["previous"]
        ([140891, 596853], [1, 2, 0])
    """
    total, random = task.steps, Random(seed)  # noqa: S311 - no secret
    if task.is_done(task.initial_state()):
        raise ValueError(f"{shortened(task.name)} is done at its start: there is no step to sample")
    if isinstance(task, Partitionable) and total is not None:
        if isinstance(task, HasOracle):
            steps = random.sample(range(total), min(samples, total))
            return SelectedSteps(
                steps, _followed(task, steps, task.segments(min(total, _LANES_PER_SAMPLE * samples))), ""
            )
        return _lane_starts(task, samples, total, random)
    if isinstance(task, HasOracle):
        return _walked(task, samples, total or max_steps or _WALK, random)
    return SelectedSteps(None, [], "")


def states_at(task: Any, steps: Sequence[int]) -> dict[int, State]:
    """Return the state that each of these steps starts from, by the oracle; steps beyond the chain are left out.

    Example:
        >>> from langgraph_maker.tasks import TowersOfHanoi
        >>> states_at(TowersOfHanoi(20), [140891])[140891]["previous"]
        [1, 2, 0]
    """
    wanted, total = {*steps}, task.steps
    if isinstance(task, Partitionable) and total is not None and wanted:
        lanes = task.segments(min(total, _LANES_PER_SAMPLE * len(wanted)))
        return dict(zip(wanted, _followed(task, [*wanted], lanes), strict=True))
    found, state = {}, task.initial_state()
    for step in range(max(wanted, default=-1) + 1):
        if task.is_done(state):
            break
        if step in wanted:
            found[step] = state
        state = task.advance(state, task.oracle(state))
    return found


def _followed(task: Any, steps: Sequence[int], lanes: Sequence[Segment]) -> list[State]:
    """Return the state of each step, by the oracle from the start of its lane on."""
    starts = [lane["step"] for lane in lanes]
    states = []
    for step in steps:
        lane = lanes[bisect_right(starts, step) - 1]
        state = lane["state"]
        for _ in range(step - lane["step"]):
            state = task.advance(state, task.oracle(state))
        states.append(state)
    return states


def _lane_starts(task: Any, samples: int, total: int, random: Random) -> SelectedSteps:
    if total <= _LANES_PER_SAMPLE * samples:
        lanes, note = task.segments(total), ""
    else:  # a random number of them, so that no period of the task's own repeats in the cuts
        lanes = task.segments(random.randrange(2 * samples, 4 * samples))
        note = "steps are sampled where lanes start, since what lies between is known to the oracle alone"
    drawn = random.sample(lanes, min(samples, len(lanes)))
    return SelectedSteps([lane["step"] for lane in drawn], [lane["state"] for lane in drawn], note)


def _walked(task: Any, samples: int, most: int, random: Random) -> SelectedSteps:
    """Follow the chain once and keep each step with equal probability (reservoir sampling)."""
    kept: list[tuple[int, State]] = []
    state, step = task.initial_state(), 0
    while step < most and not task.is_done(state):
        place = step if step < samples else random.randrange(step + 1)
        if place < samples:
            kept[place : place + 1] = [(step, state)]
        state = task.advance(state, task.oracle(state))
        step += 1
    random.shuffle(kept)
    short = not task.is_done(state) and task.steps is None
    note = f"the task's length is unknown: its first {most:,} steps were sampled" if short else ""
    return SelectedSteps([step for step, _ in kept], [state for _, state in kept], note)
