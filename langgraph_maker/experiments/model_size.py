"""Which size of model: cost per reliable step and smallest k over models, and where the cheap one wins.

Curves are drawn from what the paper published of the models, and the figures say so; marks are measured here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Final

import numpy as np

from langgraph_maker import theory
from langgraph_maker.core.red_flags import TokenLimit, Truncated
from langgraph_maker.experiments.base import MILLION, TARGET, Experiment, Line
from langgraph_maker.experiments.bench import Bench
from langgraph_maker.experiments.figures import GREY, Pictures, colours, markers
from langgraph_maker.experiments.published import PUBLISHED, published
from langgraph_maker.tasks import TowersOfHanoi

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["ModelSize"]

_HALF: Final = 0.5
_LIMIT: Final = 2048
_LENGTHS: Final = tuple(10**power for power in range(1, 10))


class ModelSize(Experiment):
    """One point a model: p, v and the cost of a sample, of which cost and k of any length follow."""

    name: ClassVar[str] = "model-size"
    about: ClassVar[str] = "cost per reliable step and smallest k over models; where the cheap one wins"
    models: ClassVar[tuple[str, ...]] = tuple(f"sim:{name}" for name in PUBLISHED)
    disks: ClassVar[tuple[int, ...]] = (20,)
    any_task: ClassVar[bool] = True
    samples: ClassVar[int | None] = 1000
    sampled: ClassVar[str] = "steps sampled of each model"

    def least(self, point: Line) -> int:  # noqa: ARG002 - the same for all
        """Return one sample a step; second ones come on top."""
        return min(self.settings.size, self.task.steps or 1)

    def measure(self, bench: Bench, point: Line) -> Line:
        """Calibrate with long answers, which some of the models write."""
        task = self.task if self.chosen else TowersOfHanoi(self.settings.disks[0], repairing=True)
        flags = TokenLimit(_LIMIT) | Truncated()
        found = bench.calibrate(
            task, point["model"], samples=self.settings.size, steps=MILLION, target=TARGET, red_flags=flags
        )
        names = ("p", "p_low", "p_high", "valid_rate", "cost_per_sample", "k_min", "k_estimate", "problem")
        return {name: getattr(found, name) for name in names}

    def sentences(self, lines: list[Line]) -> list[str]:
        """Smallest k and cost of each, and which is the cheapest at which length."""
        said = []
        for line in lines:
            each = _cost(line, MILLION)
            if each is None:
                why = line["problem"] or "its price is not known"
                said.append(f"{line['model']}: no cost per reliable step ({why})")
            else:
                said.append(
                    f"{line['model']}: k = {line['k_estimate']}, ${each:.5f} a reliable step of {MILLION:,},"
                    f" 1 − p = {1 - line['p']:.4f}, ${line['cost_per_sample']:.5f} a sample"
                )
        said.append(f"measured, {_cheapest(lines)}")
        rows = [row for name in self.settings.models if (row := _published(name)) is not None]
        if rows:
            said.append(f"on published numbers (arXiv 2511.09030, 20 disks), {_cheapest(rows)}")
            said += _wins(rows)
        return said

    def draw(self, lines: list[Line], pictures: Pictures) -> None:
        """Cost over length, the plane of error and price, and k."""
        on = f" on {self.chosen.name}" if self.chosen else ""
        title = f"Model size: marks are measured{on}, lines and crosses are from published numbers"
        with pictures.new("model-size", f"{title} (Towers of Hanoi)" if on else title, 4) as axes:
            costs, margins, plane, key = axes
            names = list(self.settings.models)
            tints, shapes = colours(names), markers(names)
            for line in lines:
                name = line["model"]
                _over_length(costs, margins, line, tints[name], shapes[name])
            costs.set(
                xscale="log",
                yscale="log",
                title=f"Cost per reliable step, at k_min for {TARGET:.0%}",
                xlabel="s, steps in the task",
            )
            costs.set_ylabel("US dollars a step")
            margins.set(xscale="log", yscale="log", title="Smallest k", xlabel="s, steps in the task")
            margins.set_ylabel("k_min (votes)")
            margins.set_yticks([1, 2, 3, 5, 10, 20, 50], ["1", "2", "3", "5", "10", "20", "50"])
            margins.minorticks_off()
            key.set_axis_off()
            key.legend(*costs.get_legend_handles_labels(), loc="upper left", title="measured", alignment="left")
            _plane(plane, lines, tints, shapes)


def _published(model: str) -> Line | None:
    """Return the paper's row as a line of data, None of a model that cannot be used or is not in the table."""
    row = published(model)
    if row is None or row.error >= _HALF or row.cost_per_sample is None:
        return None
    return {"model": model, "p": 1 - row.error, "valid_rate": 1.0, "cost_per_sample": row.cost_per_sample}


def _cost(line: Line, steps: int) -> float | None:
    """Return dollars a step of a task of so many, at the least k by the estimate of p."""
    p, v, cost = line["p"], line["valid_rate"], line["cost_per_sample"]
    if p is None or p <= _HALF or not v or cost is None:
        return None
    return theory.expected_cost(p, theory.k_min(p, steps, TARGET), steps, cost, v) / steps


def _cheapest(lines: list[Line]) -> str:
    """Return which model is the cheapest at which length."""
    stretches: list[tuple[str, int]] = []
    for steps in _LENGTHS:
        costs = [(each, line["model"]) for line in lines if (each := _cost(line, steps)) is not None]
        if not costs:
            return "no model has a cost per reliable step"
        name = min(costs)[1]
        if not stretches or stretches[-1][0] != name:
            stretches.append((name, steps))
    first, *others = stretches
    return (
        f"the cheapest a reliable step is {first[0]}"
        + "".join(f", from {steps:,} steps on {name}" for name, steps in others)
        + ("" if others else f", at all lengths from {_LENGTHS[0]:,} to {_LENGTHS[-1]:,} steps")
    )


def _wins(lines: list[Line]) -> list[str]:
    """Return each pair of a cheaper sample and a better one: which of the two makes the cheaper step."""
    said = []
    for better in lines:
        worse = [
            line for line in lines if line["cost_per_sample"] < better["cost_per_sample"] and line["p"] < better["p"]
        ]
        verdicts = []
        for cheap in worse:
            costs = [(_cost(cheap, steps) or 0.0, _cost(better, steps) or 0.0) for steps in _LENGTHS]
            won = [steps for steps, (one, other) in zip(_LENGTHS, costs, strict=True) if one < other]
            where = "at every length" if len(won) == len(_LENGTHS) else f"up to {won[-1]:,} steps" if won else "at none"
            verdicts.append(f"{cheap['model']} {where}")
        if verdicts:
            said.append(
                f"published: of those cheaper a sample than {better['model']}, and worse, a reliable step is cheaper"
                f" from {', '.join(verdicts)}"
            )
    return said


def _over_length(costs: Axes, margins: Axes, line: Line, tint: str, shape: str) -> None:
    paper = _published(line["model"])
    if paper is not None:
        dense = [round(10 ** (power / 10)) for power in range(10, 91)]
        costs.plot(dense, [_cost(paper, steps) or 0.0 for steps in dense], color=tint, linewidth=1)
        margins.plot(dense, [theory.k_min(paper["p"], steps, TARGET) for steps in dense], color=tint, linewidth=1)
    if line["p"] is None or line["p"] <= _HALF:
        costs.plot([], [], shape, color=tint, label=f"{line['model']} (no k)")
        return
    margins.plot(_LENGTHS, [theory.k_min(line["p"], steps, TARGET) for steps in _LENGTHS], shape, color=tint)
    each = [cost for steps in _LENGTHS if (cost := _cost(line, steps)) is not None]
    if each:
        costs.plot(_LENGTHS, each, shape, color=tint, label=line["model"])


def _plane(axes: Axes, lines: list[Line], tints: dict[str, str], shapes: dict[str, str]) -> None:
    """Error rate and price of a sample: a model below another's curve makes the cheaper reliable step."""
    errors = np.geomspace(5e-4, 0.45, 300)
    votes = theory.expected_votes(1 - errors, theory.k_min(1 - errors, MILLION, TARGET))
    for line in lines:
        each = _cost(line, MILLION)
        if each is None:
            continue
        axes.plot(errors, each / votes, color=tints[line["model"]], linewidth=0.7, linestyle=":")
        axes.plot(
            max(1 - line["p"], errors[0]),
            line["cost_per_sample"] / line["valid_rate"],
            shapes[line["model"]],
            color=tints[line["model"]],
        )
        if (paper := _published(line["model"])) is not None:
            axes.plot(1 - paper["p"], paper["cost_per_sample"], "x", color=tints[line["model"]])
    axes.text(
        0.02,
        0.03,
        "dotted: equal cost per reliable step;\nwhat lies below a model's line is cheaper",
        transform=axes.transAxes,
        fontsize=7.5,
        color=GREY,
    )
    axes.set(
        xscale="log",
        yscale="log",
        title=f"Where the cheap one wins, {MILLION:,} steps",
        xlabel="1 − p, wrong valid samples (share)",
    )
    axes.set_ylabel("US dollars a valid sample")
