"""`langgraph-maker diagnose`: can the task be decomposed for this model, and which steps stand in the way?"""

from __future__ import annotations

import json
import threading
from dataclasses import asdict
from typing import Annotated
from uuid import uuid4

import typer

from langgraph_maker import diagnosis, prices
from langgraph_maker.calibration.diagnosed import FINER, Asked, Diagnosis, StepType, Tried
from langgraph_maker.cli.loading import TASK, arguments, load_model, load_task, red_flags, seconds
from langgraph_maker.cli.shell import (
    ERROR,
    SOLVED,
    STOPPED,
    UNRESOLVED,
    USAGE,
    app,
    err,
    escape,
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
    steps_per_subtask: Annotated[
        list[str] | None,
        typer.Option(
            metavar="M,…",
            help="steps in one response to try too on steps that were lost in all ways, if prompts show the whole"
            " state; costs LOOKS samples for each of about 200 such steps at most, way to ask and M (repeatable)",
        ),
    ] = None,
    token_limit: Annotated[int, typer.Option(help="output tokens a step beyond which a response is flagged")] = 750,
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

    What is lost in all ways is tried in finer steps, where the task knows them, and with M steps in one response. Exit
    status 0 where no step that was sampled blocks the task as it is, 3 where one does or may.
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
            "granularities": _granularities(steps_per_subtask or []),
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


def _granularities(given: list[str]) -> list[int]:
    """Those of `--steps-per-subtask`, by commas or repeated.

    Example:
        >>> _granularities(["1,2", "4"])
        [1, 2, 4]
    """
    try:
        return [int(one) for text in given for one in text.split(",")]
    except ValueError:
        raise ValueError(f"--steps-per-subtask takes whole numbers such as 1,2,3, not {','.join(given)!r}") from None


def _report(task: Task, found: Diagnosis) -> str:
    ways = "one way to ask" if found.variants == 1 else f"{found.variants} ways to ask"
    spent = "" if found.spent is None else f", {dollars(found.spent)}"
    title = f"{found.task}, {found.model}: {_VERDICTS[found.verdict]}"
    rows = [row for one in found.types for row in _rows(one)]
    said = [*_evidence(found), *(f"{note}." for note in found.notes)]
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
    "otherwise": "not as it stands, but each step that blocks it is got past at another granularity",
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


def _evidence(found: Diagnosis) -> list[str]:
    blocking, saved = found.blocking, found.saved
    said = [f"Step {one.step:,} ({one.type}) blocks: {_each(one.tried)}." for one in blocking[:_LISTED]]
    if len(blocking) > _LISTED:
        said.append(f"And {len(blocking) - _LISTED:,} more.")
    if blocking:
        tried = [m for m in found.granularities if m != 1 and all(m in [at.m for at in one.tried] for one in blocking)]
        if tried:
            said.append(f"Of no use to them: {', '.join(map(_at, tried))}.")
        finer = "" if FINER in tried else " a finer decomposition of these steps,"
        said.append(f"Another prompt or variant,{finer} or another model may get past them.")
    said += [
        f"Step {one.step:,} ({one.type}) blocks as it is, and is saved by {_each(one.saved_by)}; as it is,"
        f" {_each([tried for tried in one.tried if tried.m == 1])}."
        for one in saved[:_LISTED]
    ]
    if len(saved) > _LISTED:
        said.append(f"And {len(saved) - _LISTED:,} more.")
    for m in found.granularities if saved else []:
        if count := sum(any(tried.m == m for tried in one.saved_by) for one in saved):
            said.append(
                f"{_at(m).capitalize()} get past {count:,} of {len(saved) + len(blocking):,}{_HOW[m == FINER]}."
            )
    return said


_HOW = (
    ": --steps-per-subtask of a run, whose other steps were not sampled so",
    ": as steps of the task itself, for Split() in a ladder is for what does not settle, and a wrong answer may win",
)


def _each(tried: list[Tried]) -> str:
    """Each way that it was asked as it is, and the best at each other granularity."""
    as_it_is, rest = [one for one in tried if one.m == 1], {one.m: one for one in sorted(tried, key=Tried.standing)}
    others = [one for m, one in sorted(rest.items()) if m != 1]
    return "; ".join(
        f"{_way(one)}: {one.right} right, {one.rival} alike and wrong, {one.flagged} flagged of {one.samples}"
        for one in [*as_it_is, *others]
    )


def _way(one: Tried) -> str:
    worst = f", the worst of them number {one.part}" if one.m == FINER else ""
    return f"way {one.variant}" if one.m == 1 else f"{_at(one.m)}, best in way {one.variant}{worst}"


def _at(m: int) -> str:
    return "finer steps" if m == FINER else f"{m} steps in one response"
