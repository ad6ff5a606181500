"""`langgraph-maker diagnose`: can the task be decomposed for this model, and which steps stand in the way?"""

from __future__ import annotations

import json
import threading
from dataclasses import asdict
from typing import Annotated
from uuid import uuid4

import typer

from langgraph_maker.cli.console import err, say, show
from langgraph_maker.cli.loading import Batches, arguments, load_model, load_task, red_flags, seconds
from langgraph_maker.cli.options import (
    AsJson,
    BaseUrl,
    Batch,
    BatchLimitsText,
    CallTimeout,
    Db,
    Deadline,
    Disks,
    MaxConcurrency,
    MaxCost,
    MaxSteps,
    ModelName,
    Namespace,
    NewRunId,
    OnStop,
    OutageLimit,
    Price,
    Seed,
    ServiceTier,
    Settings,
    TaskName,
    TokenLimit,
)
from langgraph_maker.cli.progress import follow_samples
from langgraph_maker.cli.shell import (
    ERROR,
    SOLVED,
    STOPPED,
    UNRESOLVED,
    USAGE,
    Command,
    command_line,
    same_command,
    stopping,
    to_stdout,
    told,
)
from langgraph_maker.cli.tables import columns, counted, dollars, interval, paragraph
from langgraph_maker.core.task import Task
from langgraph_maker.journal.databases import database, open_store, shown
from langgraph_maker.journal.records import check_id
from langgraph_maker.models import prices
from langgraph_maker.runs import diagnosis
from langgraph_maker.runs.diagnosis.result import FINER, Diagnosis, Remedy, StepType, SuspectSamples
from langgraph_maker.runs.solve import in_time

__all__ = ["app", "diagnose"]

_LISTED = 10

app = command_line()


@app.command(cls=Command)
def diagnose(  # noqa: PLR0917 - typer reads the options from the signature
    task: TaskName,
    disks: Disks = None,
    settings: Settings = None,
    model: ModelName = "sim:gpt-4.1-mini",
    base_url: BaseUrl = None,
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
    token_limit: TokenLimit = 750,
    price: Price = None,
    max_cost: MaxCost = None,
    deadline: Deadline = None,
    max_concurrency: MaxConcurrency = None,
    call_timeout: CallTimeout = None,
    outage_limit: OutageLimit = "10m",
    max_steps: MaxSteps = None,
    db: Db = None,
    namespace: Namespace = None,
    run_id: NewRunId = None,
    seed: Seed = 0,
    batch: Batch = False,  # noqa: FBT002
    batch_limits: BatchLimitsText = None,
    on_stop: OnStop = "leave",
    service_tier: ServiceTier = None,
    as_json: AsJson = False,  # noqa: FBT002
) -> None:
    """Find the steps that a model gets wrong as often as right, however they are asked: no vote gets past them.

    What is lost in all ways is tried in sub-steps, where the task knows them, and with M steps in one response. Exit
    status 0 where no step that was sampled blocks the task as it is, 3 where one does or may.
    """
    run_id = uuid4().hex[:12] if run_id is None else run_id
    stop = threading.Event()
    with told(USAGE):
        db = database(db)
        check_id(run_id)
        chosen = load_task(task, arguments(disks, settings or []))
        asked = load_model(model, chosen, base_url, seed, Batches.read(batch, batch_limits, on_stop))
        options: diagnosis.DiagnoseOptions = {
            "samples": samples,
            "looks": looks,
            "granularities": _granularities(steps_per_subtask or []),
            "red_flags": red_flags(token_limit),
            "max_steps": max_steps,
            "price": None if price is None else prices.read_price(price),
            "max_cost": max_cost,
            "service_tier": service_tier,
            "stop": in_time(None if deadline is None else seconds(deadline), stop.is_set),
            "max_concurrency": max_concurrency,
            "call_timeout": None if call_timeout is None else seconds(call_timeout),
            "outage_limit": seconds(outage_limit),
            "seed": seed,
            "run_id": run_id,
        }
    command = same_command(db, run_id)
    with told(USAGE, command), open_store(db, namespace) as store:
        with follow_samples(err) as on_progress, stopping(stop):
            kept: diagnosis.DiagnoseOptions = {**options, "store": store, "on_progress": on_progress}
            found = diagnosis.diagnose(chosen, asked, **kept)
        with told(ERROR), to_stdout():
            if as_json:
                print(json.dumps({**asdict(found), "verdict": found.verdict}))  # noqa: T201
            else:
                show(_report(chosen, found, by_list=price is None))
                show(f"\nThe answers are saved as {run_id} in {shown(db)}.")
    if stop.is_set():
        say(f"stopped; to resume: {command}")
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


def _report(task: Task, found: Diagnosis, *, by_list: bool) -> str:
    ways = "one way to ask" if found.variants == 1 else f"{found.variants} ways to ask"
    listed = f" {prices.dated()}" if by_list and not found.model.startswith("sim:") else ""
    spent = "" if found.spent is None else f", {dollars(found.spent)}{listed}"
    title = f"{found.task}, {found.model}: {_VERDICTS[found.verdict]}"
    rows = [row for one in found.types for row in _rows(one)]
    said = [*_evidence(found), *(f"{note}." for note in found.notes)]
    parts = [
        paragraph(title, ""),
        paragraph(f"{counted(found.drawn, 'sample')}{spent}; {ways}; {task!r}", ""),
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


def _figures(asked: SuspectSamples) -> list[str]:
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
    ": as steps of the task itself, for Split() in a ladder is for what does not converge, and a wrong answer may win",
)


def _each(tried: list[Remedy]) -> str:
    """Return each way that it was asked as it is, and the best at each other granularity."""
    as_it_is, rest = [one for one in tried if one.m == 1], {one.m: one for one in sorted(tried, key=Remedy.standing)}
    others = [one for m, one in sorted(rest.items()) if m != 1]
    return "; ".join(
        f"{_way(one)}: {one.right} right, {one.rival} alike and wrong, {one.flagged} flagged of {one.samples}"
        for one in [*as_it_is, *others]
    )


def _way(one: Remedy) -> str:
    worst = f", the worst of them number {one.part}" if one.m == FINER else ""
    return f"way {one.variant}" if one.m == 1 else f"{_at(one.m)}, best in way {one.variant}{worst}"


def _at(m: int) -> str:
    return "sub-steps" if m == FINER else f"{m} steps in one response"
