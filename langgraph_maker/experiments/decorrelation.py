"""Whether samples that differ in temperature, wording or model fail on other steps (open question 2 of MAKER).

Votes of one kind fail together where a step is hard for that kind. All answers are read here, long and malformed ones
too, as in the paper's calibration: red flags are another way to the same end.
"""

from __future__ import annotations

from copy import copy
from itertools import combinations
from math import comb, sqrt
from typing import TYPE_CHECKING, Any, ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from langgraph_maker.core.red_flags import TokenLimit, Truncated
from langgraph_maker.experiments.base import Experiment, Line
from langgraph_maker.experiments.bench import Bench, draw_all
from langgraph_maker.experiments.figures import Pictures, colours, markers
from langgraph_maker.runs.calibration.step_selection import choose
from langgraph_maker.runs.calibration.trials import Draw, Trials

if TYPE_CHECKING:
    from langchain_core.messages import BaseMessage
    from matplotlib.axes import Axes

    from langgraph_maker.core.task import State, Task

__all__ = ["Decorrelation", "joint"]

_TEMPERATURES: Final = (0.1, 1.0)
_EACH: Final = 10  # samples a step and kind
_APART: Final = 64  # numbers of samples a kind, so that no two kinds share a draw of a simulated model
_MOST_VARIANTS: Final = 3
_RESAMPLED: Final = 400
_MANY: Final = 14  # kinds whose figures no longer fit into the squares


def _worded(task: Any, wording: int) -> Task:
    """Return the task in one of its wordings, all else as it is."""
    kind: Any = type(task)

    def prompt(self: Task, state: State, variant: int = 0) -> list[BaseMessage]:  # noqa: ARG001 - it has its own
        found: list[BaseMessage] = kind.prompt(self, state, variant=wording) if wording else kind.prompt(self, state)
        return found

    worded: Task = copy(task)
    worded.__class__ = type(kind.__name__, (kind,), {"prompt": prompt})
    return worded


class Decorrelation(Experiment):
    """One point a model, temperature and wording: how often each of the same `samples` steps goes wrong."""

    name: ClassVar[str] = "decorrelation"
    about: ClassVar[str] = "spread of per-step error rates over temperatures, variants, models"
    models: ClassVar[tuple[str, ...]] = ("sim:gpt-4.1-mini,hard=0.05", "sim:haiku-4.5,error=0.02,hard=0.05")
    disks: ClassVar[tuple[int, ...]] = (20,)
    any_task: ClassVar[bool] = True
    samples: ClassVar[int | None] = 800
    sampled: ClassVar[str] = f"steps, each sampled {_EACH} times in every way"

    def points(self) -> list[Line]:
        """Return every model, temperature and wording; wordings where the task has them."""
        variants = range(min(getattr(self.task, "variants", 1), _MOST_VARIANTS))
        return [
            {"model": name, "temperature": temperature, "variant": variant}
            for name in self.settings.models
            for temperature in _TEMPERATURES
            for variant in variants
        ]

    def least(self, point: Line) -> int:  # noqa: ARG002 - the same for all
        """Return the number of all samples, which is fixed."""
        return _EACH * min(self.settings.size, self.task.steps or 1)

    def measure(self, bench: Bench, point: Line) -> Line:
        """Sample each step so many times."""
        task: Any = _worded(self.task, point["variant"])
        steps, states, _ = choose(task, self.settings.size, seed=self.settings.seed)
        truths = [task.vote_key(task.oracle(state)) for state in states]
        first = self.points().index(point) * _APART

        async def course(trials: Trials) -> list[int]:
            draws = [(Draw("vote", at, first + one), state) for at, state in enumerate(states) for one in range(_EACH)]
            wrong = [0] * len(states)
            for (draw, _), answer in zip(draws, await draw_all(trials, draws), strict=True):
                read = answer["key"] if answer["flag"] is None and answer["beneath"] is None else answer["beneath"]
                wrong[draw.at] += read != truths[draw.at]
            return wrong

        flags, temperature = TokenLimit(2048) | Truncated(), point["temperature"]
        label = f"temperature {temperature} variant {point['variant']}"
        wrong = bench.sample(task, point["model"], course, red_flags=flags, temperature=temperature, label=label)
        failing = {str(step): count for step, count in zip(steps or [], wrong, strict=True) if count}
        one = np.array([wrong], dtype=float)
        mean, within = float(one.mean() / _EACH), joint(one)[0, 0]
        spread = sqrt(max(0.0, within - 1) * mean**2) if mean else 0.0
        return {"steps": len(wrong), "each": _EACH, "mean": mean, "spread": spread, "wrong": failing}

    def sentences(self, lines: list[Line]) -> list[str]:
        """Say how much more often than independent errors two samples of a step fail together, by what differs."""
        said = [
            f"{_name(line)}: {line['mean']:.2%} wrong, from step to step ± {line['spread']:.2%} (standard deviation"
            " beyond chance)"
            for line in lines
        ]
        counts = _counts(lines)
        for kind, pairs in _kinds(lines).items():
            low, value, high = _resampled(counts, pairs, self.settings.seed)
            if value is not None:
                said.append(
                    f"{kind}: two samples of a step are both wrong {value:.1f} times as often as if independent"
                    f" (95 %: {low:.1f} to {high:.1f})"
                )
        return said

    def draw(self, lines: list[Line], pictures: Pictures) -> None:
        """Draw the spread over steps, and who fails together with whom."""
        with pictures.new("decorrelation", "Decorrelation: do errors fall on the same steps?", 2, width=5.4) as (
            left,
            right,
        ):
            _spread(left, lines)
            _matrix(right, lines)


def joint(counts: NDArray[np.float64], each: int = _EACH) -> NDArray[np.float64]:
    """Return how many times as often two samples of a step are both wrong as if errors were independent of the step.

    Args:
        counts: Wrong samples, by kind and step.
        each: Samples of each.

    Returns:
        By kind and kind; NaN where nothing was wrong.
    """
    mean = counts.mean(axis=1) / each
    both = counts @ counts.T / counts.shape[1] / each**2
    np.fill_diagonal(both, (counts * (counts - 1)).mean(axis=1) / (each * (each - 1)))
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(both / np.outer(mean, mean))


def _counts(lines: list[Line]) -> NDArray[np.float64]:
    steps = sorted({step for line in lines for step in line["wrong"]})
    counts = np.zeros((len(lines), lines[0]["steps"]))  # the steps on which nothing was wrong come last
    for row, line in enumerate(lines):
        counts[row, : len(steps)] = [line["wrong"].get(step, 0) for step in steps]
    return counts


def _name(line: Line) -> str:
    wording = f", wording {line['variant']}" if line["variant"] else ""
    return f"{line['model'].removeprefix('sim:')}, τ = {line['temperature']:g}{wording}"


def _kinds(lines: list[Line]) -> dict[str, list[tuple[int, int]]]:
    """Return pairs of lines by the one thing that sets them apart."""
    kinds: dict[str, list[tuple[int, int]]] = {"in the same way": [(place, place) for place in range(len(lines))]}
    for (a, one), (b, two) in combinations(enumerate(lines), 2):
        apart = [what for what in ("temperature", "variant", "model") if one[what] != two[what]]
        if len(apart) == 1:
            kinds.setdefault(
                f"at another {apart[0]}".replace("at another model", "from another model").replace(
                    "at another variant", "in another wording"
                ),
                [],
            ).append((a, b))
    return kinds


def _resampled(
    counts: NDArray[np.float64], pairs: list[tuple[int, int]], seed: int
) -> tuple[float, float | None, float]:
    """Return the mean ratio over these pairs, with bounds of 95 % from resampled steps."""
    random = np.random.default_rng(seed)

    def mean(of: NDArray[np.float64]) -> float:
        found = joint(of)
        values = np.array([found[pair] for pair in pairs])
        values = values[np.isfinite(values)]
        return float(values.mean()) if values.size else float("nan")

    value, steps = mean(counts), counts.shape[1]
    if np.isnan(value):
        return 0.0, None, 0.0
    drawn = [mean(counts[:, random.integers(steps, size=steps)]) for _ in range(_RESAMPLED)]
    low, high = np.nanpercentile(drawn, [2.5, 97.5])
    return float(low), value, float(high)


def _spread(axes: Axes, lines: list[Line]) -> None:
    names = [str(place) for place in range(1, len(lines) + 1)]
    tints, shapes = colours(names), markers(names)
    for line, name in zip(lines, names, strict=True):
        each, steps = line["each"], line["steps"]
        wrong = list(line["wrong"].values())
        shares = [(at, sum(count >= at for count in wrong) / steps) for at in range(1, each + 1)]
        shown = [(at, share) for at, share in shares if share]
        axes.plot(
            [at for at, _ in shown],
            [share for _, share in shown],
            shapes[name] + "-",
            color=tints[name],
            linewidth=0.8,
            label=name,
        )
        p = line["mean"]
        tail = [
            sum(comb(each, n) * p**n * (1 - p) ** (each - n) for n in range(at, each + 1)) for at in range(1, each + 1)
        ]
        law = [(at, share) for at, share in enumerate(tail, 1) if share > 0.1 / steps]
        axes.plot([at for at, _ in law], [share for _, share in law], "--", color=tints[name], linewidth=0.8)
    axes.set(
        yscale="log",
        title="Spread over steps (dashed: all steps alike)",
        xlabel=f"wrong samples of a step, of {_EACH}, at least",
    )
    axes.set_ylabel("steps (share)")
    axes.legend(ncols=2, title="numbered as on the right", title_fontsize=8)


def _matrix(axes: Axes, lines: list[Line]) -> None:
    ratios = joint(_counts(lines))
    shown = np.log10(np.clip(ratios, 0.1, None))
    axes.imshow(shown, cmap="cividis_r", vmin=0, vmax=max(1.0, float(np.nanmax(shown, initial=1.0))))
    dark = float(np.nanmax(shown, initial=1.0)) / 2
    for row, column in np.ndindex(*ratios.shape):
        if len(lines) <= _MANY:
            value = ratios[row, column]
            said = "–" if np.isnan(value) else f"{value:.1f}"
            axes.text(
                column,
                row,
                said,
                ha="center",
                va="center",
                fontsize=7.5,
                color="white" if shown[row, column] > dark else "black",
            )
    names = [_name(line) for line in lines]
    axes.set_xticks(range(len(names)), [str(place + 1) for place in range(len(names))])
    axes.set_yticks(range(len(names)), [f"{name}  {place + 1}" for place, name in enumerate(names)])
    axes.set_title("Both wrong, times as often as if independent")
    axes.set_xlabel("the other sample")
    axes.grid(visible=False)
