"""How a run converges: steps still undecided after j samples (MAKER, figure 8), and which steps are the hardest."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Final

from langgraph_maker.experiments.base import Experiment, Line
from langgraph_maker.experiments.bench import Bench
from langgraph_maker.experiments.clusters import Law, fit
from langgraph_maker.experiments.figures import COLOURS, GREY, Pictures
from langgraph_maker.experiments.published import UNDECIDED, published
from langgraph_maker.runs.result import Run

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["LANES", "Convergence", "convergence_panel", "course", "law_of"]

LANES: Final = 1024
_K: Final = 3  # as in the paper's run
_NAMED: Final = 5


class Convergence(Experiment):
    """One point a model: a whole run at k = 3, in lanes."""

    name: ClassVar[str] = "convergence"
    about: ClassVar[str] = "undecided after j samples over a run, against i.i.d. and clustered laws; hardest steps"
    models: ClassVar[tuple[str, ...]] = ("sim:gpt-4.1-mini",)
    disks: ClassVar[tuple[int, ...]] = (17,)

    def least(self, point: Line) -> int:  # noqa: ARG002 - the same for all
        """Return as many votes a step as the margin."""
        return _K * (self.task.steps or 0)

    def measure(self, bench: Bench, point: Line) -> Line:
        """Run the task to its end."""
        run = bench.solve(self.task, point["model"], _K, lanes=min(LANES, self.task.steps or 1))
        return course(run, _K)

    def sentences(self, lines: list[Line]) -> list[str]:
        """Return how it ended, how much slower than i.i.d. errors, which steps were hardest."""
        said = []
        for line in lines:
            how = "solved" if line["status"] == "solved" else f"{line['status']} ({line['reason']})"
            said.append(
                f"{line['model']}: {how}, {line['steps']:,} steps, {line['samples']:,} samples,"
                f" {line['flagged']:,} discarded"
            )
            law = law_of(line)
            if law is None:
                continue
            after = min(_K + 2, len(line["undecided"]) - 1)
            left, alike = line["undecided"][after], line["iid"][after]
            times = f", {left / alike:.1f} times as many" if alike and left > alike else ""
            said.append(
                f"after {after} samples {left:,} steps are undecided, where i.i.d. errors leave {alike:,.1f}{times}"
            )
            said.append(
                f"fitted: {law.above(0.2):.3%} of the steps fail in more than a fifth of their samples,"
                f" {law.above(0.5):.4%} in more than half"
            )
            hardest = ", ".join(f"step {step:,} ({samples} samples)" for samples, step in line["hardest"][:_NAMED])
            said.append(f"hardest: {hardest}")
        return said

    def draw(self, lines: list[Line], pictures: Pictures) -> None:
        """Draw a figure a model: what is undecided, and the hardest steps."""
        for place, line in enumerate(lines):
            name = self.name if not place else f"{self.name}-{place + 1}"
            with pictures.new(
                name, f"Convergence of a run: {line['model']}, {line['steps']:,} steps, k = {line['k']}", 2
            ) as (left, right):
                convergence_panel(left, line)
                _hardest(right, line)


def course(run: Run, k: int) -> Line:
    """Return how a run went, as JSON values."""
    found: Line = {"status": run.status, "reason": run.reason, "k": k, "steps": run.steps, "samples": run.samples}
    found |= {"flagged": run.flagged, "digest": run.digest, "undecided": run.undecided_after}
    outlook = run.outlook
    if outlook is None or outlook.p.value is None or not outlook.hardest:
        return found | {"hardest": [], "iid": []}
    votes = run.samples - run.flagged
    wrong = votes * (1 - outlook.p.value)
    return found | {
        "p": outlook.p.value,
        "v": outlook.valid_rate.value,
        "wrong_of_failures": wrong / (wrong + run.flagged) if wrong + run.flagged else 1.0,
        "iid": outlook.undecided_law,
        "hardest": outlook.hardest,
        "lanes": "their starts were known beforehand",
    }


def law_of(line: Line) -> Law | None:
    """Return the clustered law that fits a run, None of one that decided nothing."""
    undecided = line["undecided"]
    if not line["iid"] or undecided[0] == undecided[-1]:
        return None
    return fit(undecided, line["k"], line["wrong_of_failures"])


def convergence_panel(axes: Axes, line: Line, to: int | None = None) -> None:
    """Return the share of steps undecided after j samples, seen and by both laws; the clustered one goes on to `to`."""
    undecided: list[int] = line["undecided"]
    law = law_of(line)
    if law is None:
        axes.text(0.5, 0.5, "nothing was decided", transform=axes.transAxes, ha="center", color=GREY)
        return
    total, last, k = undecided[0], len(undecided) - 1, line["k"]
    least = 0.3 / total
    alike = [(j, steps / total) for j, steps in enumerate(line["iid"]) if j >= k - 1 and steps / total > least / 100]
    axes.plot(*_columns(alike), "--", color=GREY, label="i.i.d. errors, the same p and v")
    fitted = [(j, share) for j, share in enumerate(law.undecided(to or last)) if j >= k - 1 and share > least / 100]
    axes.plot(*_columns(fitted), "-", color=COLOURS[0], label="clustered: rates by step, fitted")
    seen = [(j, steps / total) for j, steps in enumerate(undecided) if j >= k - 1 and steps]
    axes.plot(*_columns(seen), "o", color=COLOURS[3], label="this run")
    if k == _K and published(line["model"]) is published("gpt-4.1-mini"):
        axes.plot(*_columns(list(UNDECIDED.items())), "D", mfc="none", color=COLOURS[6], label="published, 20 disks")
    axes.set(yscale="log", title="Steps still undecided", xlabel="samples drawn for the step, flagged ones included")
    axes.set_ylim(bottom=least / (100 if to else 10))
    axes.set_ylabel("undecided (share of steps)")
    axes.locator_params(axis="x", integer=True)
    axes.legend()


def _columns(points: list[tuple[int, float]]) -> tuple[list[int], list[float]]:
    return [x for x, _ in points], [y for _, y in points]


def _hardest(axes: Axes, line: Line) -> None:
    hardest: list[Any] = line["hardest"][::-1]
    axes.barh([f"{step:,}" for _, step in hardest], [samples for samples, _ in hardest], color=COLOURS[0])
    axes.set(title="The hardest steps", xlabel="samples until decided")
    axes.set_ylabel("step, counted from 0")
    axes.grid(visible=False, axis="y")
