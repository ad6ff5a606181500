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
from langgraph_maker.cli.shell import (
    ERROR,
    STOPPED,
    USAGE,
    app,
    err,
    escape,
    fail,
    out,
    renamed,
    stopping,
    to_stdout,
    told,
)
from langgraph_maker.cli.tables import paragraph
from langgraph_maker.experiments import EXPERIMENTS, Outcome
from langgraph_maker.experiments import experiment as repeat
from langgraph_maker.experiments.figures import MISSING, can_draw
from langgraph_maker.models import Model, chat_model
from langgraph_maker.progress import follow_samples

__all__ = ["experiment"]

_NAMES = "\n\n".join(
    f"{name}: {kind.about}" + (f" (--samples: {kind.sampled}, {kind.samples:,})" if kind.samples else "")
    for name, kind in EXPERIMENTS.items()
)


@app.command(help=f"Repeat an experiment of the paper; the same command goes on, and buys nothing twice.\n\n{_NAMES}")
def experiment(  # noqa: PLR0917 - typer reads the options from the signature
    name: Annotated[str, typer.Argument(help=", ".join(EXPERIMENTS))],
    models: Annotated[
        list[str] | None,
        typer.Option("--model", help='"sim:NAME", "openai:NAME", … (repeatable)', show_default="simulated ones"),
    ] = None,
    base_url: Annotated[str | None, typer.Option(help="of an OpenAI-compatible server, with openai:NAME")] = None,
    disks: Annotated[
        list[int] | None, typer.Option(help="repeatable for calibration", show_default="the experiment's own")
    ] = None,
    samples: Annotated[
        int | None, typer.Option(help="how much is sampled", show_default="the experiment's own")
    ] = None,
    seed: Annotated[int, typer.Option(help="of the choice of steps, and of simulated models")] = 0,
    folder: Annotated[Path, typer.Option("--out", metavar="DIR", help="for data, figures, and answers")] = Path(
        "experiments"
    ),
    price: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=IN,OUT[,CACHED]", help="dollars per million tokens of a model (repeatable)"),
    ] = None,
    max_total_samples: Annotated[int | None, typer.Option(help="samples after which it stops")] = None,
    max_cost: Annotated[
        float | None,
        typer.Option(metavar="USD", help="dollars after which it stops; input without a list price is free"),
    ] = None,
    max_concurrency: Annotated[
        int | None, typer.Option(help="model calls at a time", show_default="256 to a chat model")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="print the outcome as one JSON object")] = False,  # noqa: FBT002
    _max_samples: Annotated[str | None, renamed("--max-samples", "--max-total-samples")] = None,
) -> None:
    """Measure, say and draw."""
    stop = threading.Event()
    command = shlex.join(["langgraph-maker", *sys.argv[1:]])
    with told(USAGE, command):
        if not can_draw():
            err.print(f"[bold]note:[/] {escape(MISSING)}; the data are written, and drawn once it is there")
        with follow_samples(err, name) as on_progress, stopping(stop):
            found = repeat(
                name,
                out=folder,
                models=None if models is None else _models(models, base_url),
                disks=disks,
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
            out.print(_report(found), markup=False)
    if found.stopped:
        budget = " with a larger budget" if "budget" in found.stopped else ""
        err.print(f"stopped: {escape(found.stopped)}; this goes on{budget}: {escape(command)}")
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
        name: name if name.startswith("sim:") else chat_model(name, **(settings if name.startswith("openai:") else {}))
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
    parts = [paragraph(f"{found.name}: {kind.about}; {done}, {found.drawn:,} samples{cost}", "")]
    parts += ["\n".join(map(paragraph, found.sentences))] if found.sentences else []
    if found.simulated:
        parts.append("Simulated models: no figure says anything about a real one.")
    parts.append("\n".join(map(str, [found.data, *found.figures])))
    return "\n\n".join(parts)
