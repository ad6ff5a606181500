"""`langgraph-maker experiment`: the paper's experiments, repeated."""

from __future__ import annotations

import json
import shlex
import sys
import threading
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from langgraph_maker.cli.calibrate import prices_of
from langgraph_maker.cli.console import err, say, show
from langgraph_maker.cli.loading import arguments, load_task
from langgraph_maker.cli.options import AsJson, BaseUrl, MaxConcurrency, MaxCost, ModelNames, Prices, Seed, Settings
from langgraph_maker.cli.progress import follow_samples
from langgraph_maker.cli.shell import (
    ERROR,
    STOPPED,
    USAGE,
    Command,
    command_line,
    fail,
    renamed,
    stopping,
    to_stdout,
    told,
)
from langgraph_maker.cli.tables import paragraph
from langgraph_maker.experiments import EXPERIMENTS, Outcome
from langgraph_maker.experiments import experiment as repeat
from langgraph_maker.experiments.figures import MISSING, can_draw
from langgraph_maker.models.resolve import BATCH, Model, chat_model

__all__ = ["app", "experiment"]

app = command_line()

_NAMES = "\n\n".join(
    f"{name}: {kind.about}" + (f" (--samples: {kind.sampled}, {kind.samples:,})" if kind.samples else "")
    for name, kind in EXPERIMENTS.items()
)


@app.command(
    cls=Command,
    help=f"Repeat an experiment of the paper; the same command resumes it, and buys nothing twice.\n\n{_NAMES}",
)
def experiment(  # noqa: PLR0917 - typer reads the options from the signature
    name: Annotated[str, typer.Argument(help=", ".join(EXPERIMENTS))],
    models: ModelNames = None,
    base_url: BaseUrl = None,
    disks: Annotated[
        list[int] | None, typer.Option(help="repeatable for calibration; default: the experiment's own")
    ] = None,
    task: Annotated[
        str | None,
        typer.Option("--task", metavar="TASK", help="of decorrelation and model-size, as of run; default: hanoi"),
    ] = None,
    settings: Settings = None,
    samples: Annotated[int | None, typer.Option(help="how much is sampled; default: the experiment's own")] = None,
    seed: Seed = 0,
    folder: Annotated[Path, typer.Option("--out", metavar="DIR", help="for data, figures, and answers")] = Path(
        "experiments"
    ),
    price: Prices = None,
    max_total_samples: Annotated[int | None, typer.Option(help="samples after which it stops")] = None,
    max_cost: MaxCost = None,
    max_concurrency: MaxConcurrency = None,
    as_json: AsJson = False,  # noqa: FBT002
    _max_samples: Annotated[str | None, renamed("--max-samples", "--max-total-samples")] = None,
) -> None:
    """Measure, say and draw."""
    stop = threading.Event()
    command = shlex.join(["langgraph-maker", *sys.argv[1:]])
    with told(USAGE, command):
        if not can_draw():
            say(f"{MISSING}; the data are written, and drawn once it is there", "note:")
        if settings and task is None:
            raise ValueError("--set goes with --task, of which it sets an argument")
        chosen = None if task is None else load_task(task, arguments(None, settings or []))
        with follow_samples(err, name) as on_progress, stopping(stop):
            found = repeat(
                name,
                out=folder,
                models=None if models is None else _models(models, base_url),
                disks=disks,
                task=chosen,
                samples=samples,
                seed=seed,
                prices=prices_of(price or []),
                max_total_samples=max_total_samples,
                max_cost=max_cost,
                max_concurrency=max_concurrency,
                stop=stop.is_set,
                on_progress=on_progress,
            )
    with told(ERROR), to_stdout():
        if as_json:
            print(json.dumps(asdict(found), default=str))  # noqa: T201
        else:
            show(_report(found))
    if found.stopped:
        budget = " with a larger budget" if "budget" in found.stopped else ""
        say(f"stopped: {found.stopped}; to resume{budget}: {command}")
        raise typer.Exit(STOPPED)
    if found.problem:
        fail(ERROR, f"{found.problem}; the data are in {found.data}, and the same command draws them")


def _models(names: list[str], base_url: str | None) -> dict[str, Model]:
    if base_url is not None and not any(name.startswith("openai:") for name in names):
        raise ValueError("--base-url goes with openai:NAME, and there is no such --model")
    if len(set(names)) < len(names):
        raise ValueError(f"a --model is given twice: {', '.join(names)}")
    settings = {} if base_url is None else {"base_url": base_url}
    return {
        name: name
        if name.startswith(("sim:", BATCH))
        else chat_model(name, **(settings if name.startswith("openai:") else {}))
        for name in names
    }


def _report(found: Outcome) -> str:
    kind = EXPERIMENTS[found.name]
    done = (
        f"{len(found.lines)} of {found.planned} points"
        if found.stopped
        else f"{found.planned} point{'s' if found.planned > 1 else ''}"
    )
    simulated = ", had the models been real ones" if found.simulated else ""
    cost = f", ${found.spent:,.2f}{simulated}" if found.spent else ""
    on = f", on {found.settings.task}" if found.settings.task else ""
    parts = [paragraph(f"{found.name}: {kind.about}{on}; {done}, {found.drawn:,} samples{cost}", "")]
    parts += ["\n".join(map(paragraph, found.sentences))] if found.sentences else []
    if found.prices:
        parts.append(paragraph(f"Dollars are {found.prices}.", ""))
    if found.simulated:
        parts.append("Simulated models: no figure says anything about a real one.")
    parts.append("\n".join(map(str, [found.data, *found.figures])))
    return "\n\n".join(parts)
