"""Which model: error rates over the number of disks, and what a million steps would cost (MAKER, section 4.1).

As the paper's calibration did, it reads answers of up to 2,048 tokens with the repairing parser.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, ClassVar, Final

from langgraph_maker.core.red_flags import TokenLimit, Truncated
from langgraph_maker.experiments.base import MILLION, TARGET, Experiment, Line
from langgraph_maker.experiments.bench import Bench
from langgraph_maker.experiments.figures import GREY, Pictures, colours, markers
from langgraph_maker.experiments.published import PUBLISHED, published
from langgraph_maker.runs.calibration import Calibration
from langgraph_maker.runs.calibration.comparison import ranked
from langgraph_maker.tasks import TowersOfHanoi

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["ErrorRates"]

_LIMIT: Final = 2048


class ErrorRates(Experiment):
    """One point a model and number of disks: a calibration, projected to the largest number."""

    name: ClassVar[str] = "calibration"
    about: ClassVar[str] = "error rate over disks and models; the model table with projected cost"
    models: ClassVar[tuple[str, ...]] = tuple(f"sim:{name}" for name in PUBLISHED)
    disks: ClassVar[tuple[int, ...]] = (10, 12, 14, 16, 18, 20)
    samples: ClassVar[int | None] = 1000
    sampled: ClassVar[str] = "steps sampled of each model and number of disks"

    @property
    def _steps(self) -> int:
        """What costs are projected to."""
        return int(2 ** max(self.settings.disks)) - 1

    def points(self) -> list[Line]:
        """Return each model at each number of disks."""
        return [{"model": name, "disks": disks} for name in self.settings.models for disks in self.settings.disks]

    def least(self, point: Line) -> int:
        """Return one sample a step; second ones come on top."""
        return min(self.settings.size, int(2 ** point["disks"]) - 1)

    def measure(self, bench: Bench, point: Line) -> Line:
        """Calibrate."""
        found = bench.calibrate(
            TowersOfHanoi(point["disks"], repairing=True),
            point["model"],
            samples=self.settings.size,
            steps=self._steps,
            target=TARGET,
            red_flags=TokenLimit(_LIMIT) | Truncated(),
        )
        return {"calibration": asdict(found)}

    def sentences(self, lines: list[Line]) -> list[str]:
        """Return the table for the largest number of disks, the cheapest model first."""
        table = ranked(self._largest(lines))
        said = []
        for row in table.rows:
            cost = (
                "no k, or no price"
                if row.cost_estimate is None
                else f"about ${row.cost_estimate:,.0f} at k = {row.k_estimate}"
            )
            sure = "" if row.cost is None else f", ${row.cost:,.0f} at k = {row.k_min}, that of the lower bound of p"
            paper = published(row.model)
            beside = (
                ""
                if paper is None
                else f" (published: 1 − p = {paper.error}{f', {paper.said}' if self._steps == MILLION else ''})"
            )
            error = "?" if row.error is None else f"{row.error:.4f} ({row.error_low:.4f} to {row.error_high:.4f})"
            said.append(f"{row.model}: 1 − p = {error}, {row.tokens:,.0f} output tokens, {cost}{sure}{beside}")
        return [*said, *table.sentences]

    def draw(self, lines: list[Line], pictures: Pictures) -> None:
        """Error rates over disks, and projected costs."""
        with pictures.new(
            "calibration", "Calibration on single steps, as in the paper: all answers up to 2,048 tokens", 2
        ) as (left, right):
            self._errors(left, lines)
            self._costs(right, ranked(self._largest(lines)).calibrations)

    def _largest(self, lines: list[Line]) -> list[Calibration]:
        """Return the calibrations at the largest number of disks that there is of each model."""
        last = {line["model"]: line for line in sorted(lines, key=lambda line: line["disks"])}
        return [Calibration.from_json(json.dumps(line["calibration"])) for line in last.values()]

    def _errors(self, axes: Axes, lines: list[Line]) -> None:
        names = list(self.settings.models)
        tints, shapes = colours(names), markers(names)
        for place, name in enumerate(names):
            shift = 0.12 * (place - (len(names) - 1) / 2)
            points = [(line["disks"] + shift, line["calibration"]) for line in lines if line["model"] == name]
            some = [(x, found) for x, found in points if found["right"] < found["valid"]]
            none = [(x, found) for x, found in points if found["valid"] and found["right"] == found["valid"]]
            for shown, label in ((some, name), (none, None if some else name)):
                if not shown:
                    continue
                error = [1 - found["p"] for _, found in shown]
                low, high = [1 - found["p_high"] for _, found in shown], [1 - found["p_low"] for _, found in shown]
                x = [at for at, _ in shown]
                if shown is some:
                    bars = [
                        [y - one for y, one in zip(error, low, strict=True)],
                        [one - y for y, one in zip(error, high, strict=True)],
                    ]
                    axes.errorbar(
                        x, error, yerr=bars, fmt=shapes[name] + "-", color=tints[name], linewidth=0.8, label=label
                    )
                else:
                    axes.plot(x, high, "v", mfc="none", color=tints[name], label=label)
        axes.set(
            yscale="log",
            title="Error rate (hollow: none seen, upper bound)",
            xlabel="disks",
            xticks=self.settings.disks,
        )
        axes.set_ylabel("1 − p, wrong valid samples (share)")
        axes.set_ylim(axes.get_ylim()[0] / 100, 1.6)  # room for the legend
        axes.legend(ncols=2, loc="lower center")

    def _costs(self, axes: Axes, found: list[Calibration]) -> None:
        shown = [one for one in reversed(found) if one.cost_estimate is not None]
        for place, one in enumerate(shown):
            estimate, sure = one.cost_estimate or 0.0, one.expected_cost
            if sure is not None:
                axes.plot([estimate, sure], [place, place], color=colours(["a"])["a"], linewidth=1)
            axes.plot(
                estimate,
                place,
                "o",
                color=colours(["a"])["a"],
                label=None if place else "at the estimate, line to the bound of p",
            )
            paper = published(one.model)
            if paper is not None and paper.cost is not None and self._steps == MILLION:
                axes.plot(
                    paper.cost,
                    place,
                    "D",
                    mfc="none",
                    color=colours(["a", "b", "c", "d"])["d"],
                    label=None if place else "published for the real model",
                )
        without = [one.model for one in found if one.cost_estimate is None]
        if without:
            axes.text(
                0.02,
                0.03,
                "\n".join(f"{name}: no k, or no price" for name in without),
                transform=axes.transAxes,
                fontsize=7.5,
                color=GREY,
            )
        axes.set(
            xscale="log",
            title=f"Projected cost of {self._steps:,} steps at {TARGET:.0%}",
            xlabel="US dollars",
        )
        axes.set_yticks(range(len(shown)), [one.model for one in shown])
        axes.set_ylim(-0.9, len(shown) + 0.4)
        axes.legend(loc="upper right")
