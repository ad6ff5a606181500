"""How a run looks while it goes on: a bar on a terminal, plain lines elsewhere. Needs the extra `cli`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from langgraph_maker.runner import Progress

__all__ = ["follow"]


@contextmanager
def follow(console: Console) -> Iterator[Callable[[Progress], None]]:
    """Give the `on_progress` that shows a run on `console`, for as long as the context lasts."""
    if not console.is_terminal:
        yield _lines(console)
        return
    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("steps · {task.description}"), TimeRemainingColumn())
    with Bar(*columns, console=console, refresh_per_second=8, transient=True) as bar:
        shown = bar.add_task("", total=None)

        def on_progress(now: Progress) -> None:
            bar.update(shown, completed=now.steps, total=now.total_steps, description=_counts(now))

        yield on_progress


def _lines(console: Console) -> Callable[[Progress], None]:
    due = 1.0

    def on_progress(now: Progress) -> None:
        nonlocal due
        if now.seconds < due:
            return
        due = max(now.seconds + 1, now.seconds * 1.1)  # ever rarer, so that a log of days stays readable
        of = f"/{now.total_steps:,}" if now.total_steps else ""
        left = ""
        if now.total_steps and (rate := _rate(now)):
            left = f" · {(now.total_steps - now.steps) / rate:,.0f} s left"
        console.print(f"{now.steps:,}{of} steps · {_counts(now)}{left}")

    return on_progress


def _rate(now: Progress) -> float:
    return (now.steps - now.earlier) / now.seconds if now.seconds else 0.0


def _counts(now: Progress) -> str:
    return (
        f"{_rate(now):,.0f} steps/s · {now.samples - now.flagged:,} votes · {now.flagged:,} flags"
        f" · {now.undecided:,} undecided now"
    )
