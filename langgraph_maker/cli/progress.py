"""How a run looks while it continues: a bar on a terminal, plain lines elsewhere. Needs the extra `cli`."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.progress import BarColumn, TextColumn
from rich.progress import Progress as Bar
from rich.text import Text

from langgraph_maker.cli.tables import counted, dollars
from langgraph_maker.core.events import Alarm
from langgraph_maker.core.foreign import terminal_safe
from langgraph_maker.runs import auto_k
from langgraph_maker.runs.calibration import Calibration
from langgraph_maker.runs.monitor.outlook import sure
from langgraph_maker.runs.result import Progress

__all__ = ["alarmed", "calibrated", "follow", "follow_samples"]

_EVERY = 0.5  # seconds between two estimates


class _Run(Bar):
    """A bar as wide as the terminal, with the figures of the run below it; a line breaks between two figures."""

    figures: tuple[str, ...] = ("starting",)

    def get_renderables(self) -> Iterable[RenderableType]:
        yield self.make_tasks_table(self.tasks)
        yield _Figures(self.figures)


class _Figures:
    def __init__(self, figures: Sequence[str]) -> None:
        self.figures = figures

    def __rich_console__(self, _: Console, options: ConsoleOptions) -> RenderResult:
        yield Text("\n".join(_filled(self.figures, options.max_width - 2)))  # an encoding may write ≥ as two


def _filled(figures: Iterable[str], width: int) -> list[str]:
    """Return lines of as many figures as fit.

    Example:
        >>> _filled(["12 votes", "1 flag", "0 undecided"], 18)
        ['12 votes · 1 flag', '0 undecided']
    """
    lines: list[str] = []
    for figure in figures:
        if lines and len(f"{lines[-1]} · {figure}") <= width:
            lines[-1] += f" · {figure}"
        else:
            lines.append(figure)
    return lines


@contextmanager
def follow(console: Console) -> Iterator[Callable[[Progress], None]]:
    """Give the `on_progress` that shows a run on `console`, for as long as the context lasts."""
    if not console.is_terminal:
        yield _lines(console)
        return
    columns = (BarColumn(bar_width=None), TextColumn("{task.description}"))
    with _Run(*columns, console=console, refresh_per_second=4, transient=True, expand=True) as bar:
        shown = bar.add_task("", total=None)
        due, told, cost = 0.0, 0, ""
        below: list[str] = []

        def on_progress(now: Progress) -> None:
            nonlocal due, told, cost, below
            for alarm in now.alarms[told:]:
                bar.console.print(Text(terminal_safe(alarmed(alarm))))
            told = len(now.alarms)
            if now.seconds >= due:
                due, below, cost = now.seconds + _EVERY, _estimates(now), _spent(now)
            if now.calibration is not None:
                bar.console.print(Text(terminal_safe(calibrated(now.calibration))))
            bar.figures = (*_figures(now, _short), *below)
            beside = " · ".join(filter(None, [_left(now), cost]))
            bar.update(shown, completed=now.steps, total=now.total_steps, description=beside)

        yield on_progress


@contextmanager
def follow_samples(console: Console, what: str = "calibrating") -> Iterator[Callable[[str, int], None]]:
    """Give the `on_progress` that shows on `console` how many samples are drawn, for as long as the context lasts."""

    def drawn_so_far(name: str, drawn: int) -> Text:
        return Text(f"{what} {terminal_safe(name)}: {counted(drawn, 'sample')}")

    if console.is_terminal:
        with console.status(what, spinner="line") as status:
            yield lambda name, drawn: status.update(drawn_so_far(name, drawn))
        return
    began = time.monotonic()
    due = 1.0

    def on_progress(name: str, drawn: int) -> None:
        nonlocal due
        if (seconds := time.monotonic() - began) >= due:
            due = max(seconds + 1, seconds * 1.1)
            console.print(drawn_so_far(name, drawn))

    yield on_progress


def _lines(console: Console) -> Callable[[Progress], None]:
    due = 1.0
    told = 0

    def on_progress(now: Progress) -> None:
        nonlocal due, told
        for alarm in now.alarms[told:]:
            console.print(Text(terminal_safe(alarmed(alarm))))
        told = len(now.alarms)
        if now.calibration is not None:
            console.print(Text(terminal_safe(calibrated(now.calibration))))
            return
        if now.seconds < due:
            return
        due = max(now.seconds + 1, now.seconds * 1.1)  # ever rarer, so that a log of days stays readable
        figures = [*_figures(now, "{:,}".format), *_estimates(now), _spent(now), _left(now)]
        console.print(Text(" · ".join(filter(None, figures))))

    return on_progress


def _rate(now: Progress) -> float:
    return (now.steps - now.earlier) / now.seconds if now.seconds else 0.0


def calibrated(found: Calibration) -> str:
    """Return what k="auto" goes by, and what it took."""
    ks = [] if found.steps is None else auto_k.ks(found)
    how = " by type of step" if found.types else " by step"
    k = f"is {' or '.join(map(str, ks))}{how if len(ks) > 1 else ''}" if ks else "grows with the step"
    cost = "" if found.spent is None else f", ${found.spent:,.4f}"
    return f"calibrated: k {k}, p at least {found.p_low:.4f}, {counted(found.drawn, 'sample')}{cost}"


def alarmed(alarm: Alarm) -> str:
    """Return an alarm in one line."""
    return f"alarm after {counted(alarm['steps'], 'step')}: {alarm['finding']}. Remedy: {alarm['remedy']}"


def _left(now: Progress) -> str:
    """Return how much there is to do, and how long that takes at the speed so far."""
    rate = _rate(now)
    if not now.total_steps or not rate:
        return ""
    minutes, seconds = divmod(round((now.total_steps - now.steps) / rate), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{now.steps / now.total_steps:.0%}, {hours:,}:{minutes:02}:{seconds:02} left"


def _spent(now: Progress) -> str:
    return "" if now.outlook is None or now.outlook.cost is None else f"${now.outlook.cost:,.2f} spent"


def _estimates(now: Progress) -> list[str]:
    """Return what the ballots say of the run."""
    found = now.outlook
    if found is None or found.p.value is None:
        return []
    if found.so_far is None:
        said = [f"p {found.p.value:.4f} if samples err independently", "no error so far not yet known"]
    else:
        said = [
            f"p {found.p.value:.4f} (≥ {found.p.low:.4f} if all steps are alike)",
            f"no error so far {sure(found.so_far, found.so_far_low)}",
        ]
    if found.to_the_end is not None:
        said.append(f"to the end {sure(found.to_the_end, found.to_the_end_low)}")
    if found.cost_projected:
        said.append(f"{dollars(found.cost_projected)} in all")
    return said


def _figures(now: Progress, number: Callable[[int], str]) -> list[str]:
    if now.calibrating:
        return ["calibrating", _noun(now.samples, number, "sample")]
    of = f"/{number(now.total_steps)}" if now.total_steps else ""
    lanes = [f"{now.lanes:,} lanes"] if now.lanes > 1 else []
    return [
        f"{number(now.steps)}{of} steps",
        f"{number(round(_rate(now)))} steps/s",
        *lanes,
        _noun(now.samples - now.flagged, number, "vote"),
        _noun(now.flagged, number, "flag"),
        f"{now.undecided:,} undecided now",
    ]


def _noun(count: int, number: Callable[[int], str], what: str) -> str:
    return f"{number(count)} {what}{'' if count == 1 else 's'}"


def _short(count: int) -> str:
    """Three or four digits, so that the lines fit on 80 columns."""
    for unit, name in ((10**9, "G"), (10**6, "M"), (10**4, "k")):
        if count >= unit:
            size = 1000 if name == "k" else unit
            return f"{count / size:.3g}{name}" if count < 1000 * size else f"{count / size:.0f}{name}"
    return f"{count:,}"
