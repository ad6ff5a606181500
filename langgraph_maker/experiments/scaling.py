"""How success and cost grow (MAKER, section 3.2): p_full against p and k, cost against s and against m.

Each model gives one p. The steps of a small task are voted on at the largest margin, many times over; the same votes,
read up to a smaller margin, are the votes at that margin.
"""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import TYPE_CHECKING, Any, ClassVar, Final

import numpy as np

from langgraph_maker import theory
from langgraph_maker.core.ballot import Ballot
from langgraph_maker.core.red_flags import TokenLimit, Truncated
from langgraph_maker.experiments.base import MILLION, TARGET, Experiment, Line
from langgraph_maker.experiments.bench import Bench, draw_all
from langgraph_maker.experiments.figures import GREY, Pictures, colours, markers
from langgraph_maker.runs.calibration.step_selection import choose
from langgraph_maker.runs.calibration.trials import Draw, Trials
from langgraph_maker.theory.intervals import exact_interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["Scaling"]

_LARGEST_K: Final = 12
_SHOWN: Final = (1, 2, 3, 5, 8, 12)
_EACH: Final = 1024  # sample numbers for one ballot: each time a step is voted on, it has samples of its own
_MOST_TIMES: Final = 900  # beyond are no numbers left
_SIZES: Final = (1, 2, 3, 4, 6, 8, 12, 16)
_MOST_VOTES: Final = 150  # a subtask that takes more is not put together
_SUBTASKS: Final = 300
_MOST_SHOWN: Final = 100  # samples a step
_SURE: Final = 0.5  # the p that voting needs


class Scaling(Experiment):
    """One point a model: what became of `samples` small tasks, for each k, and of subtasks of m steps."""

    name: ClassVar[str] = "scaling"
    about: ClassVar[str] = "p_full against p and k; cost against s and m; theory and simulation"
    models: ClassVar[tuple[str, ...]] = tuple(f"sim:error={error:g}" for error in (0.4, 0.3, 0.2, 0.1, 0.05, 0.01))
    disks: ClassVar[tuple[int, ...]] = (5,)
    samples: ClassVar[int | None] = 30
    sampled: ClassVar[str] = "times that the small task is voted through"

    def points(self) -> list[Line]:
        """Return one point for each model."""
        if self.settings.size > _MOST_TIMES:
            raise ValueError(f"samples is at most {_MOST_TIMES} here: {self.sampled}, not {self.settings.size}")
        return super().points()

    def least(self, point: Line) -> int:  # noqa: ARG002 - the same for all
        """Return what each step takes if it is right every time: as many votes as the margin."""
        return _LARGEST_K * (self.task.steps or 0) * self.settings.size

    def measure(self, bench: Bench, point: Line) -> Line:
        """Vote each step through, and read the votes at every margin."""
        task: Any = self.task
        steps, states, _ = choose(task, task.steps or 0, seed=0)
        truths = [task.vote_key(task.oracle(state)) for state in states]

        async def course(trials: Trials) -> list[tuple[int, list[str | None]]]:
            return await _vote(trials, states, self.settings.size)

        votes = bench.sample(task, point["model"], course, red_flags=TokenLimit(750) | Truncated())
        keys = [[key == truths[step] if key is not None else None for key in cast] for step, cast in votes]
        valid = [key for cast in keys for key in cast if key is not None]
        total = sum(map(len, keys))
        p = sum(valid) / max(1, len(valid))
        low, high = exact_interval(sum(valid), len(valid))
        by_k = [_at_margin(votes, truths, k, len(states)) for k in range(1, _LARGEST_K + 1)]
        found: Line = {
            "p": p,
            "p_low": low,
            "p_high": high,
            "v": len(valid) / total,
            "steps": len(states),
            "by_k": by_k,
        }
        order = np.argsort(steps or [])  # a subtask is of steps that follow each other
        pools = [[key for at, cast in votes if at == step for key in cast if key is not None] for step in order]
        right = [truths[step] for step in order]
        return found | {"by_m": list(_by_size(pools, right, p, self.settings.seed))}

    def sentences(self, lines: list[Line]) -> list[str]:
        """Return how often theory lies within the bounds of what was seen."""
        seen = [(line, one) for line in lines if line["p"] > _SURE for one in line["by_k"]]
        within = sum(
            one["low"] <= theory.p_full(line["p"], one["k"], line["steps"]) <= one["high"] for line, one in seen
        )
        ratios = [
            one["samples_per_step"] * line["v"] / theory.expected_votes(line["p"], one["k"]) for line, one in seen
        ]
        said = [
            f"p = {line['p']:.4f}: {line['model']} is wrong at least as often as right"
            for line in lines
            if line["p"] <= _SURE
        ]
        if seen:
            said.append(
                f"p_full (Eq 13) lies within the 95 % interval of what was seen at {within} of {len(seen)} pairs of p"
                f" and k; votes are {min(ratios):.2f} to {max(ratios):.2f} times those of Eq 16"
            )
        if composed := [one | {"model": line["model"]} for line in lines for one in line["by_m"] if one["m"] > 1]:
            worst = max(composed, key=lambda one: one["votes"] / one["theory"])
            said.append(
                f"with m steps a subtask cost grows as p^(1 - m); most above Eq 17 is m = {worst['m']} of"
                f" {worst['model']}, {worst['votes'] / worst['theory']:.2f} times, since it counts one rival"
                " answer, and there are m"
            )
        return said

    def draw(self, lines: list[Line], pictures: Pictures) -> None:
        """Draw four panels: curves are theory, marks are what was seen."""
        usable = [line for line in lines if line["p"] > _SURE]
        steps = self.task.steps or 0
        with pictures.new(
            "scaling",
            "Scaling laws: curves are theory, marks with 95 % intervals are samples drawn",
            4,
        ) as axes:
            _success_by_p(axes[0], usable, steps)
            _success_by_k(axes[1], usable, steps)
            _cost_by_steps(axes[2], usable)
            _cost_by_size(axes[3], usable)


async def _vote(trials: Trials, states: list[Any], times: int) -> list[tuple[int, list[str | None]]]:
    """Return the keys that were cast on each step, None for a flagged sample, until one leads by the largest margin."""
    ballots = {(turn, step): Ballot(_LARGEST_K) for turn in range(times) for step in range(len(states))}
    cast: dict[tuple[int, int], list[str | None]] = {place: [] for place in ballots}
    while wanted := [
        (place, number)
        for place, ballot in ballots.items()
        if len(cast[place]) + ballot.deficit < _EACH
        for number in range(len(cast[place]), len(cast[place]) + ballot.deficit)
    ]:
        draws = [
            (Draw("vote", turn * len(states) + step, turn * _EACH + number), states[step])
            for (turn, step), number in wanted
        ]
        for (place, _), answer in zip(wanted, await draw_all(trials, draws), strict=True):
            key = trials.key(answer)
            cast[place].append(key)
            if key is not None:
                ballots[place].cast(key, key)
    return [(step, cast[turn, step]) for turn, step in ballots]


def _at_margin(votes: list[tuple[int, list[str | None]]], truths: list[str], k: int, steps: int) -> Line:
    right, drawn = [], 0
    for step, cast in votes:
        ballot, used = Ballot(k), 0
        for key in cast:
            used += 1
            if key is not None:
                ballot.cast(key, key)
                if not ballot.deficit:
                    break
        right.append(not ballot.deficit and ballot.winner == truths[step])
        drawn += used
    tasks = [all(right[begin : begin + steps]) for begin in range(0, len(right), steps)]
    low, high = exact_interval(sum(tasks), len(tasks))
    found = {"k": k, "tasks": len(tasks), "without_error": sum(tasks), "low": low, "high": high}
    return found | {"samples_per_step": drawn / len(votes)}


def _by_size(pools: list[list[str]], right: list[str], p: float, seed: int) -> Iterator[Line]:
    """Return votes that a subtask of m steps takes: its answers are put together from the single answers drawn."""
    random = Random(seed)  # noqa: S311 - no secret
    for m in _SIZES:
        if p <= _SURE or m > len(pools):
            return
        k = theory.k_min(p, MILLION, TARGET, m)
        expected = theory.expected_cost(p, k, m, 1, m=m) / m
        if expected > _MOST_VOTES:
            return
        votes, wins = 0, 0
        for number in range(_SUBTASKS):
            first = number % (len(pools) - m + 1)
            ballot, places = Ballot(k), range(first, first + m)
            while ballot.deficit:
                answer = "\n".join([random.choice(pools[place]) for place in places])
                ballot.cast(answer, answer)
                votes += 1
            wins += ballot.winner == "\n".join(right[first : first + m])
        yield {"m": m, "k": k, "votes": votes / _SUBTASKS, "theory": expected, "right": wins / _SUBTASKS}


def _success_by_p(axes: Axes, lines: list[Line], steps: int) -> None:
    tints, shapes = colours(list(map(str, _SHOWN))), markers(list(map(str, _SHOWN)))
    grid = np.linspace(0.505, 0.9999, 400)
    for k in _SHOWN:
        tint = tints[str(k)]
        axes.plot(grid, theory.p_full(grid, k, steps), color=tint)
        points = [(line["p"], line["by_k"][k - 1]) for line in lines]
        _bars(axes, [(p, one) for p, one in points], tint, shapes[str(k)], f"k = {k}")
    axes.set(
        title=f"Success against p, {steps} steps", xlabel="p, of one valid sample (probability)", ylim=(-0.03, 1.03)
    )
    axes.set_ylabel("p_full: no error (probability)")
    axes.legend()


def _success_by_k(axes: Axes, lines: list[Line], steps: int) -> None:
    names = [line["model"] for line in lines]
    tints, shapes = colours(names), markers(names)
    margins = np.arange(1, _LARGEST_K + 1)
    for line in lines:
        tint = tints[line["model"]]
        axes.plot(margins, theory.p_full(line["p"], margins, steps), color=tint)
        _bars(axes, [(one["k"], one) for one in line["by_k"]], tint, shapes[line["model"]], f"p = {line['p']:.3f}")
    axes.set(title=f"Success against k, {steps} steps", xlabel="k (votes)", ylim=(-0.03, 1.03))
    axes.set_ylabel("p_full: no error (probability)")
    axes.set_xticks(margins)
    axes.legend(loc="lower right")


def _bars(axes: Axes, points: list[tuple[float, Line]], tint: str, shape: str, label: str) -> None:
    seen = [one["without_error"] / one["tasks"] for _, one in points]
    errors = [
        [y - one["low"] for y, (_, one) in zip(seen, points, strict=True)],
        [one["high"] - y for y, (_, one) in zip(seen, points, strict=True)],
    ]
    axes.errorbar([x for x, _ in points], seen, yerr=errors, fmt=shape, color=tint, elinewidth=0.8, label=label)


def _cost_by_steps(axes: Axes, lines: list[Line]) -> None:
    names = [line["model"] for line in lines]
    tints, shapes = colours(names), markers(names)
    sizes = 2 ** np.arange(1, 31) - 1
    for line in lines:
        p, tint = line["p"], tints[line["model"]]
        k = theory.k_min(p, sizes, TARGET)
        axes.plot(sizes, theory.expected_votes(p, k) / line["v"], color=tint, drawstyle="steps-mid")
        seen = {one["k"]: one["samples_per_step"] for one in line["by_k"]}
        points = [(size, seen[margin]) for size, margin in zip(sizes, k, strict=True) if margin in seen]
        axes.plot(*zip(*points, strict=True), shapes[line["model"]], color=tint, label=f"p = {p:.3f}")
    axes.set(xscale="log", ylim=(0, _MOST_SHOWN), title=f"Cost grows as s ln s, at k_min for {TARGET:.0%}")
    axes.set(xlabel="s, steps in the task", ylabel="samples a step")
    axes.legend(ncols=2, loc="upper right")


def _cost_by_size(axes: Axes, lines: list[Line]) -> None:
    names = [line["model"] for line in lines]
    tints, shapes = colours(names), markers(names)
    for line in lines:
        if not line["by_m"]:
            continue
        tint, p = tints[line["model"]], line["p"]
        sizes = np.arange(1, line["by_m"][-1]["m"] + 1)
        k = theory.k_min(p, MILLION, TARGET, sizes)
        axes.plot(sizes, theory.expected_cost(p, k, MILLION, 1, line["v"], sizes) / MILLION, color=tint)
        seen = [(one["m"], one["votes"] / line["v"]) for one in line["by_m"]]
        axes.plot(*zip(*seen, strict=True), shapes[line["model"]], color=tint, label=f"p = {p:.3f}")
    axes.axvline(1, color=GREY, linewidth=0.8, linestyle=":")
    axes.set(yscale="log", title=f"Cost against m, {MILLION:,} steps", xlabel="m, steps a subtask")
    axes.set_ylabel("cost a step (single-step samples)")
    axes.legend(ncols=2)
