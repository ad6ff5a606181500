"""Horizons on the dictionary sum: how long a chain is of which half of the runs are still right (arXiv 2509.09677)."""

from __future__ import annotations

from collections.abc import Sequence
from math import comb, log
from typing import Any, ClassVar, Final

from langgraph_maker import theory
from langgraph_maker.core.red_flags import TokenLimit, Truncated
from langgraph_maker.experiments.base import Experiment, Line
from langgraph_maker.experiments.bench import Bench, draw_all
from langgraph_maker.experiments.figures import GREY, Pictures, colours
from langgraph_maker.experiments.published import HORIZONS
from langgraph_maker.runs.calibration.trials import Draw, Trials
from langgraph_maker.tasks.dictionary_sum import DictionarySum

__all__ = ["Horizon", "half_right"]

_MARGINS: Final = (1, 2, 3, 4)
_AHEAD: Final = 16  # samples of a run drawn at once; those after the first error are paid for and not looked at
_LIMIT: Final = 2048
_HALF: Final = 0.5


class _Numbered(DictionarySum):
    """One of the runs: its number and k are part of the name under which it is kept."""

    label = ""

    def parameters(self) -> dict[str, Any]:
        """Return those of the task, and which of the runs it is."""
        return {**super().parameters(), "run": self.label}


class Horizon(Experiment):
    """One point a model and k; at k = 1 a run is a chain of single samples, of which no flagged one is drawn again."""

    name: ClassVar[str] = "horizon"
    about: ClassVar[str] = "dictionary sum: the length at which half of the runs are still right, alone and voted"
    models: ClassVar[tuple[str, ...]] = ("sim:error=0.1",)
    disks: ClassVar[tuple[int, ...]] = ()
    samples: ClassVar[int | None] = 20
    sampled: ClassVar[str] = "runs of each model and k"
    longest: ClassVar[int] = 1000
    """Keys of a run: as many as the longest published horizon."""

    def points(self) -> list[Line]:
        """Return every model alone, and with each k."""
        return [{"model": name, "k": k} for name in self.settings.models for k in _MARGINS]

    def least(self, point: Line) -> int:
        """Return a sample a run alone, and k votes a step otherwise."""
        return self.settings.size * (1 if point["k"] == 1 else point["k"] * self.longest)

    def measure(self, bench: Bench, point: Line) -> Line:
        """Return how many steps each run has right before its first wrong one."""
        runs = [self._run(number, point["k"]) for number in range(self.settings.size)]
        if point["k"] == 1:
            ends = [_alone(bench, task, point["model"]) for task in runs]
            lengths, wrong = [length for length, _ in ends], sum(flawed == "wrong" for _, flawed in ends)
            p = sum(lengths) / (sum(lengths) + wrong) if wrong or sum(lengths) else None
            found: Line = {"p": p, "flagged": sum(flawed == "flagged" for _, flawed in ends)}
        else:
            lengths, found = [_voted(bench, task, point["model"], point["k"]) for task in runs], {}
        low, half, high = half_right(lengths, self.longest)
        return {"longest": self.longest, "lengths": lengths, "half": half, "half_low": low, "half_high": high, **found}

    def sentences(self, lines: list[Line]) -> list[str]:
        """Return the horizons, what Eq 9 makes of the samples of a model alone, and the published ones."""
        said = []
        for line in lines:
            how = "alone" if line["k"] == 1 else f"voted, k = {line['k']}"
            high = f"{line['half_high']:,}" if line["half_high"] is not None else "beyond the longest run"
            half = (
                f"half of {len(line['lengths'])} runs are right up to step {line['half']:,}"
                if line["half"] is not None
                else f"more than half of {len(line['lengths'])} runs are right to the end, step {line['longest']:,}"
            )
            said.append(f"{line['model']}, {how}: {half} (95 %: {line['half_low']:,} to {high}){_law(line, lines)}")
        named = ", ".join(f"{model} {steps}" for model, steps in HORIZONS.items())
        said.append(
            f"published (arXiv 2509.09677): {named}. Those are keys summed within a single response, another measure"
            " than chains of single steps"
        )
        return said

    def draw(self, lines: list[Line], pictures: Pictures) -> None:
        """Draw the share of runs that are still right, over the steps."""
        names = list(dict.fromkeys(line["model"] for line in lines))
        tints = colours([f"k = {k}" for k in _MARGINS])
        with pictures.new(self.name, "Dictionary sum: runs still right", len(names), width=5.4) as axes:
            for panel, name in zip(axes, names, strict=True):
                for line in (line for line in lines if line["model"] == name):
                    ends = sorted(line["lengths"])
                    share = [1 - place / len(ends) for place in range(len(ends) + 1)]
                    label = "alone" if line["k"] == 1 else f"k = {line['k']}"
                    panel.step([1, *(end + 1 for end in ends)], share, where="post", label=label)
                    panel.lines[-1].set_color(tints[f"k = {line['k']}"])
                panel.axhline(_HALF, color=GREY, linewidth=0.8, linestyle=":")
                panel.set(xscale="log", title=name, xlabel="steps")
                panel.set_ylabel("runs without a wrong step (share)")
                panel.legend()

    def _run(self, number: int, k: int) -> _Numbered:
        task = _Numbered.random(self.longest, seed=1000 * self.settings.seed + number)
        task.label = f"run {number} k {k}"
        return task


def half_right(lengths: Sequence[int], longest: int) -> tuple[int, int | None, int | None]:
    """Return the length at which half of the runs are still right, between the bounds of a 95 % interval.

    Args:
        lengths: Right steps of each run before its first wrong one; `longest` for a run that has none.
        longest: Steps of a run: a horizon or an upper bound that is not below it is not known, and None.

    The bounds are order statistics, whatever the lengths are distributed like.

    Example:
        >>> half_right([3, 9, 4, 7, 5, 30, 6, 8], 30)
        (3, 7, None)
        >>> half_right([30, 30, 30, 2], 30)
        (0, None, None)
    """
    ends, count = sorted(lengths), len(lengths)
    rank, tail = 0, 0.0
    while rank < count and (tail := tail + comb(count, rank) / 2**count) <= 0.025:  # noqa: PLR2004 - two sides of 5 %
        rank += 1
    half = ends[count // 2]  # so many runs, or more, are right up to there
    low, high = (ends[rank - 1], ends[count - rank]) if rank else (0, longest)
    return low, None if half >= longest else half, None if high >= longest else high


def _law(line: Line, lines: list[Line]) -> str:
    """Return what Eq 9 predicts for a k of two or more from the samples of the same model alone."""
    p = next((one["p"] for one in lines if one["model"] == line["model"] and one["k"] == 1), None)
    if line["k"] == 1 or p is None or not _HALF < p < 1:
        return ""
    steps = log(_HALF) / log(theory.p_correct(p, line["k"]))
    return f"; Eq 9 at the p = {p:.3f} of single samples, all steps alike: {steps:,.0f}"


def _alone(bench: Bench, task: _Numbered, model: str) -> tuple[int, str]:
    """Return the right single samples of a run before its first other one, and what that was, "" for none."""
    states, truths = [], []
    state = task.initial_state()
    while not task.is_done(state):
        vote = task.oracle(state)
        states.append(state)
        truths.append(task.vote_key(vote))
        state = task.advance(state, vote)

    async def course(trials: Trials) -> tuple[int, str]:
        for begin in range(0, len(states), _AHEAD):
            draws = [(Draw("vote", at, 0), states[at]) for at in range(begin, min(begin + _AHEAD, len(states)))]
            for (draw, _), answer in zip(draws, await draw_all(trials, draws), strict=True):
                if answer["flag"] is not None or answer["key"] != truths[draw.at]:
                    return draw.at, "flagged" if answer["flag"] is not None else "wrong"
        return len(states), ""

    return bench.sample(task, model, course, red_flags=TokenLimit(_LIMIT) | Truncated())


def _voted(bench: Bench, task: _Numbered, model: str, k: int) -> int:
    """Return the right steps of a voted run before its first wrong or unresolved one."""
    run = bench.solve(task, model, k, red_flags=TokenLimit(_LIMIT) | Truncated())
    right = total = 0
    for key, found in zip(task.keys, run.actions(), strict=False):
        total += task.dictionary[key]
        if found != total:
            break
        right += 1
    return right
