"""`langgraph-maker diagnose`: can the task be decomposed for this model, and which steps stand in the way?"""

from __future__ import annotations

import json
import threading
from dataclasses import asdict
from typing import Annotated
from uuid import uuid4

import typer
from rich.markup import escape

from langgraph_maker import diagnosis, prices
from langgraph_maker.calibration.diagnosed import Asked, Diagnosis, StepType, Suspect
from langgraph_maker.cli.loading import TASK, arguments, load_model, load_task, red_flags, seconds
from langgraph_maker.cli.shell import (
    ERROR,
    SOLVED,
    STOPPED,
    UNRESOLVED,
    USAGE,
    app,
    err,
    out,
    same_command,
    stopping,
    to_stdout,
    told,
)
from langgraph_maker.cli.tables import columns, dollars, interval, paragraph
from langgraph_maker.progress import follow_samples
from langgraph_maker.records import check_id
from langgraph_maker.runner import in_time
from langgraph_maker.stores import default_db, open_store, shown
from langgraph_maker.task import Task

__all__ = ["diagnose"]

_LISTED = 10


@app.command()
def diagnose(  # noqa: PLR0917 - typer reads the options from the signature
    task: Annotated[str, typer.Argument(help=TASK)],
    disks: Annotated[int | None, typer.Option(help="hanoi: number of disks", show_default="10")] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="an argument of the factory (repeatable)")
    ] = None,
    model: Annotated[str, typer.Option(help='"sim:NAME", "openai:NAME", …')] = "sim:gpt-4.1-mini",
    base_url: Annotated[str | None, typer.Option(help="of an OpenAI-compatible server, with openai:NAME")] = None,
    samples: Annotated[int, typer.Option(help="steps to sample of each type, once in each way to ask")] = 100,
    looks: Annotated[int, typer.Option(help="fresh samples of a step that was lost in all ways, in each way")] = 20,
    token_limit: Annotated[int, typer.Option(help="output tokens beyond which a response is flagged")] = 750,
    price: Annotated[str | None, typer.Option(metavar="IN,OUT[,CACHED]", help="dollars per million tokens")] = None,
    max_cost: Annotated[float | None, typer.Option(metavar="USD", help="dollars to spend")] = None,
    deadline: Annotated[str | None, typer.Option(metavar="TIME", help="after which sampling ends, like 15m")] = None,
    max_concurrency: Annotated[int | None, typer.Option(help="model calls at a time")] = None,
    call_timeout: Annotated[str, typer.Option(metavar="TIME", help="after which a call is made again")] = "10m",
    outage_limit: Annotated[str, typer.Option(metavar="TIME", help="for which a failing call is made again")] = "10m",
    max_steps: Annotated[int | None, typer.Option(help="for a task of unknown length: how far to look")] = None,
    db: Annotated[
        str | None, typer.Option(help="SQLite file or postgresql:// URL for the answers", show_default="data folder")
    ] = None,
    run_id: Annotated[
        str | None, typer.Option(help="go on with this diagnosis, or begin it", show_default="a new one")
    ] = None,
    seed: Annotated[int, typer.Option(help="of the choice of steps, and of a simulated model")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="print the result as one JSON object")] = False,  # noqa: FBT002
) -> None:
    """Find the steps that a model gets wrong as often as right, however they are asked: no vote gets past them.

    Exit status 0 where there is none among those sampled, 3 where one blocks the task or may.
    """
    run_id, db = uuid4().hex[:12] if run_id is None else run_id, db or default_db()
    stop = threading.Event()
    with told(USAGE):
        check_id(run_id)
        chosen = load_task(task, arguments(disks, settings or []))
        asked = load_model(model, chosen, base_url, seed)
        options: diagnosis.Options = {
            "samples": samples,
            "looks": looks,
            "red_flags": red_flags(token_limit),
            "max_steps": max_steps,
            "price": None if price is None else prices.read_price(price),
            "max_cost": max_cost,
            "stop": in_time(None if deadline is None else seconds(deadline), stop.is_set),
            "max_concurrency": max_concurrency,
            "call_timeout": seconds(call_timeout),
            "outage_limit": seconds(outage_limit),
            "seed": seed,
            "run_id": run_id,
        }
    command = same_command(db, run_id)
    with told(USAGE, command), open_store(db) as store:
        with follow_samples(err) as on_progress, stopping(stop):
            kept: diagnosis.Options = {**options, "store": store, "on_progress": on_progress}
            found = diagnosis.diagnose(chosen, asked, **kept)
        with told(ERROR), to_stdout():
            if as_json:
                print(json.dumps({**asdict(found), "verdict": found.verdict}))  # noqa: T201
            else:
                out.print(_report(chosen, found), markup=False)
                out.print(f"\nThe answers are kept as {run_id} in {shown(db)}.", markup=False)
    if stop.is_set():
        err.print(f"stopped; this goes on: {escape(command)}")
        raise typer.Exit(STOPPED)
    raise typer.Exit(SOLVED if found.verdict == "yes" else UNRESOLVED)


def _report(task: Task, found: Diagnosis) -> str:
    ways = "one way to ask" if found.variants == 1 else f"{found.variants} ways to ask"
    spent = "" if found.spent is None else f", {dollars(found.spent)}"
    title = f"{found.task}, {found.model}: {_VERDICTS[found.verdict]}"
    rows = [row for one in found.types for row in _rows(one)]
    suspects = [suspect for one in found.types for suspect in one.suspects]
    said = [*_evidence(suspects), *(f"{note}." for note in found.notes)]
    parts = [
        paragraph(title, ""),
        f"{found.drawn:,} samples{spent}; {ways}; {task!r}",
        columns([_HEADER, *rows]),
        paragraph(
            "p is that of single samples, with its interval of 95 %. Rescued steps were lost as first asked and won in"
            " another way; the last column is the upper bound on the share of steps that may block.",
            "",
        ),
        *(["\n".join(map(paragraph, said))] if said else []),
    ]
    return "\n\n".join(parts)


_VERDICTS = {
    "yes": "no step that was sampled blocks it",
    "unclear": "no step is shown to block it, and not all are cleared: draw more samples",
    "no": "NO, as it stands some steps block it, which no k gets past",
}
_HEADER = ["step type", "way", "right/valid", "p (95 % interval)", "rescued", "block", "may block", "at most"]


def _rows(one: StepType) -> list[list[str]]:
    blocking = sum(suspect.blocks for suspect in one.suspects)
    open_ends = sum(not suspect.blocks and not suspect.cleared for suspect in one.suspects)
    whole = [f"{one.rescued:,}", f"{blocking:,}", f"{open_ends:,}", f"{one.share_high:.1%}"]
    return [
        [one.type if not place else "", *_figures(asked), *(whole if not place else [""] * len(whole))]
        for place, asked in enumerate(one.asked)
    ]


def _figures(asked: Asked) -> list[str]:
    return [str(asked.variant), f"{asked.right:,}/{asked.valid:,}", interval(asked.p, asked.p_low, asked.p_high)]


def _evidence(suspects: list[Suspect]) -> list[str]:
    blocking = [suspect for suspect in suspects if suspect.blocks]
    said = [
        f"Step {suspect.step:,} ({suspect.type}) blocks: "
        + "; ".join(
            f"way {one.variant}: {one.right} right, {one.rival} alike and wrong, {one.flagged} flagged of {one.samples}"
            for one in suspect.tried
        )
        + "."
        for suspect in blocking[:_LISTED]
    ]
    if len(blocking) > _LISTED:
        said.append(f"And {len(blocking) - _LISTED:,} more.")
    if blocking:
        said.append(
            "Another prompt or variant, a finer decomposition of these steps, or another model may get past them."
        )
    return said
