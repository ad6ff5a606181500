"""How a run looks while it goes on: a bar on a terminal, plain lines elsewhere. Needs the extra `cli`."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from langgraph_maker import auto
from langgraph_maker.calibration import Calibration
from langgraph_maker.cli.tables import dollars
from langgraph_maker.events import Alarm
from langgraph_maker.outlook import sure
from langgraph_maker.run import Progress

__all__ = ["alarmed", "calibrated", "follow", "follow_samples"]


@contextmanager
def follow(console: Console) -> Iterator[Callable[[Progress], None]]:
    """Give the `on_progress` that shows a run on `console`, for as long as the context lasts."""
    if not console.is_terminal:
        yield _lines(console)
        return
    columns = (BarColumn(bar_width=12), TextColumn("{task.description}"), TimeRemainingColumn(compact=True))
    with Bar(*columns, console=console, refresh_per_second=4, transient=True, speed_estimate_period=60) as bar:
        shown = bar.add_task("", total=None)
        due, told, below = 0.0, 0, ""

        def on_progress(now: Progress) -> None:
            nonlocal due, told, below
            for alarm in now.alarms[told:]:
                bar.console.print(escape(alarmed(alarm)))
            told = len(now.alarms)
            if now.seconds >= due:
                due, below = now.seconds + 0.5, _sure(now)
            if now.calibration is not None:
                bar.console.print(calibrated(now.calibration))
            bar.update(shown, completed=now.steps, total=now.total_steps, description=_line(now, _short, "\n") + below)

        yield on_progress


@contextmanager
def follow_samples(console: Console, what: str = "calibrating") -> Iterator[Callable[[str, int], None]]:
    """Give the `on_progress` that shows on `console` how many samples are drawn, for as long as the context lasts."""
    if console.is_terminal:
        with console.status(what) as status:
            yield lambda name, drawn: status.update(f"{what} {escape(name)}: {drawn:,} samples")
        return
    began = time.monotonic()
    due = 1.0

    def on_progress(name: str, drawn: int) -> None:
        nonlocal due
        if (seconds := time.monotonic() - began) >= due:
            due = max(seconds + 1, seconds * 1.1)
            console.print(f"{what} {escape(name)}: {drawn:,} samples")

    yield on_progress


def _lines(console: Console) -> Callable[[Progress], None]:
    due = 1.0
    told = 0

    def on_progress(now: Progress) -> None:
        nonlocal due, told
        for alarm in now.alarms[told:]:
            console.print(escape(alarmed(alarm)))
        told = len(now.alarms)
        if now.calibration is not None:
            console.print(calibrated(now.calibration))
            return
        if now.seconds < due:
            return
        due = max(now.seconds + 1, now.seconds * 1.1)  # ever rarer, so that a log of days stays readable
        left = ""
        if now.total_steps and (rate := _rate(now)):
            left = f" · {(now.total_steps - now.steps) / rate:,.0f} s left"
        console.print(_line(now, "{:,}".format) + left + _sure(now).replace("\n", " · "))

    return on_progress


def _rate(now: Progress) -> float:
    return (now.steps - now.earlier) / now.seconds if now.seconds else 0.0


def calibrated(found: Calibration) -> str:
    """What k="auto" goes by, and what it took."""
    ks = [] if found.steps is None else auto.ks(found)
    how = " by type of step" if found.types else " by step"
    k = f"is {' or '.join(map(str, ks))}{how if len(ks) > 1 else ''}" if ks else "grows with the step"
    cost = "" if found.spent is None else f", ${found.spent:,.4f}"
    return f"calibrated: k {k}, p at least {found.p_low:.4f}, {found.drawn:,} samples{cost}"


def alarmed(alarm: Alarm) -> str:
    """An alarm in one line."""
    return f"alarm after {alarm['steps']:,} steps: {alarm['finding']}. Remedy: {alarm['remedy']}"


def _sure(now: Progress) -> str:
    """What the ballots say, on a line of its own."""
    found = now.outlook
    if found is None or found.p.value is None or found.so_far is None or found.so_far_low is None:
        return ""
    said = f"\np {found.p.value:.4f} (≥ {found.p.low:.4f}) · no error so far {sure(found.so_far, found.so_far_low)}"
    if found.to_the_end is not None and found.to_the_end_low is not None:
        said += f", to the end {sure(found.to_the_end, found.to_the_end_low)}"
    if found.cost_projected:
        said += f" · {dollars(found.cost_projected)} in all"
    return said


def _line(now: Progress, number: Callable[[int], str], between: str = " · ") -> str:
    if now.calibrating:
        return f"calibrating · {number(now.samples)} samples"
    of = f"/{number(now.total_steps)}" if now.total_steps else ""
    lanes = f" · {now.lanes:,} lanes" if now.lanes > 1 else ""
    done = f"{number(now.steps)}{of} steps · {number(round(_rate(now)))} steps/s{lanes}"
    votes = f"{number(now.samples - now.flagged)} votes · {number(now.flagged)} flags"
    return f"{done}{between}{votes} · {now.undecided:,} undecided now"


def _short(count: int) -> str:
    """Three or four digits, so that the lines fit on 80 columns."""
    for unit, name in ((10**9, "G"), (10**6, "M"), (10**4, "k")):
        if count >= unit:
            size = 1000 if name == "k" else unit
            return f"{count / size:.3g}{name}" if count < 1000 * size else f"{count / size:.0f}{name}"
    return f"{count:,}"
