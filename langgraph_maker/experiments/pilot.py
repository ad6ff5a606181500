"""A pilot: a shorter run with calibrated k, before the full one is paid for (MAKER, section 4.3).

It says whether the full run may be started, and why.
"""

from __future__ import annotations

from math import log
from typing import ClassVar, Final

from langgraph_maker.core.margin import check_budget
from langgraph_maker.experiments.base import MILLION, TARGET, Experiment, Line
from langgraph_maker.experiments.bench import Bench
from langgraph_maker.experiments.convergence import LANES, convergence_panel, course, law_of
from langgraph_maker.experiments.figures import COLOURS, GREY, Pictures
from langgraph_maker.runs.calibration.result import ASSUMED

__all__ = ["Pilot", "verdict"]

_FURTHEST: Final = 400  # samples a step, up to which the law is followed
_UNSEEN: Final = 3.0  # of a kind of which none was seen, so many may be there all the same, at 95 %


class Pilot(Experiment):
    """One point a model: its calibration for the full run, then the pilot at that k."""

    name: ClassVar[str] = "pilot"
    about: ClassVar[str] = "15 disks with calibrated k: may the full run of 20 disks begin, and why?"
    models: ClassVar[tuple[str, ...]] = ("sim:gpt-4.1-mini",)
    disks: ClassVar[tuple[int, ...]] = (15,)
    samples: ClassVar[int | None] = 1000
    sampled: ClassVar[str] = "steps sampled to calibrate"

    def least(self, point: Line) -> int:  # noqa: ARG002 - the same for all
        """Return the calibration, and a vote a step."""
        return min(self.settings.size, self.task.steps or 1) + (self.task.steps or 0)

    def measure(self, bench: Bench, point: Line) -> Line:
        """Calibrate, and run if there is a k to run with."""
        found = bench.calibrate(self.task, point["model"], samples=self.settings.size, steps=MILLION, target=TARGET)
        line: Line = {"full_steps": MILLION, "target": TARGET, "k": found.k_min, "p_low": found.p_low}
        line |= {"cost_per_sample": found.cost_per_sample, "problem": found.problem, "warning": found.warning}
        if found.k_min is None:
            return line
        run = bench.solve(self.task, point["model"], found.k_min, lanes=min(LANES, self.task.steps or 1))
        return line | course(run, found.k_min)

    def sentences(self, lines: list[Line]) -> list[str]:
        """Say the verdict on each model, with its reasons."""
        said = []
        for line in lines:
            allowed, reasons = verdict(line)
            said += [
                f"{line['model']}: {'the full run may begin' if allowed else 'do not begin the full run'}",
                *reasons,
            ]
        return said

    def draw(self, lines: list[Line], pictures: Pictures) -> None:
        """Draw what is undecided, followed to the full run; and what that would take."""
        for place, line in enumerate(line for line in lines if "undecided" in line):
            name = self.name if not place else f"{self.name}-{place + 1}"
            with pictures.new(name, f"Pilot: {line['model']}, {line['steps']:,} steps, k = {line['k']}", width=6) as (
                axes,
            ):
                convergence_panel(axes, line, to=2 * len(line["undecided"]) + 4)
                axes.axhline(1 / line["steps"], color=GREY, linewidth=0.8, linestyle=":")
                axes.axhline(1 / MILLION, color=COLOURS[1], linewidth=1, linestyle=":")
                near, far = axes.get_xlim()
                axes.text(
                    far, 1 / line["steps"], "one step of the pilot", ha="right", va="bottom", fontsize=7.5, color=GREY
                )
                axes.text(near, 1 / MILLION, "one step of the full run", va="bottom", fontsize=7.5)
                axes.set_ylim(bottom=0.1 / MILLION)
                axes.set_title("Full run: go" if verdict(line)[0] else "Full run: no go")


def verdict(line: Line) -> tuple[bool, list[str]]:
    """Return whether the full run may begin, and the reasons for or against it."""
    if line["k"] is None:
        return False, [f"no k reaches {line['target']:.0%}: {line['problem']}"]
    if line["status"] != "solved" or (law := law_of(line)) is None:
        return False, [f"the pilot ended as {line['status']}: {line['reason']}"]
    full, k, steps = line["full_steps"], line["k"], line["steps"]
    allowed_errors = -log(line["target"])
    most = check_budget(None, k)
    following = law.undecided(min(most, _FURTHEST))
    last = next((j for j, share in enumerate(following) if share * full < allowed_errors), None)
    errors = law.errors * full
    settles, right = last is not None, errors <= allowed_errors
    reasons = [
        f"the pilot is solved: {steps:,} steps, the hardest after {len(line['undecided']) - 1} samples",
        f"the undecided share falls as the clustered law says; of {full:,} steps it leaves "
        + (
            f"less than {allowed_errors:.2f} after {last} samples"
            if settles
            else f"{following[-1] * full:,.2f} after {len(following) - 1} samples, more than {allowed_errors:.2f}"
        ),
        f"by that law {errors:.2g} of {full:,} steps are decided wrongly at k = {k}, "
        + ("less" if right else "more")
        + f" than the {allowed_errors:.2f} that {line['target']:.0%} allows",
    ]
    samples = line["samples"] / steps * full
    cost = "" if line["cost_per_sample"] is None else f", about ${samples * line['cost_per_sample']:,.0f}"
    reasons.append(f"the full run takes about {samples:,.0f} samples{cost}")
    reasons.append(
        f"what the pilot cannot show: steps of a kind it had none of, up to {_UNSEEN / steps * full:,.0f} of"
        f" {full:,} at 95 %, and wrong answers that repeat. k is calibrated as if {ASSUMED}"
    )
    if line["warning"]:
        reasons.append(line["warning"])
    return settles and right, reasons
