"""`langgraph-maker run`: solve a task, and go on with it."""

from __future__ import annotations

import gc
import json
import textwrap
import threading
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Literal, cast
from uuid import uuid4

import typer

from langgraph_maker import auto, prices
from langgraph_maker.calibration.run import check_aims
from langgraph_maker.cli.answer import asked_in_words, read_tiers
from langgraph_maker.cli.loading import TASK, arguments, load_model, load_task, margin, red_flags, seconds
from langgraph_maker.cli.shell import (
    ERROR,
    SOLVED,
    STOPPED,
    UNRESOLVED,
    USAGE,
    WAITING,
    app,
    err,
    escape,
    out,
    same_command,
    stopping,
    to_stdout,
    told,
)
from langgraph_maker.cli.writing import check_file, reported
from langgraph_maker.graph import create_maker
from langgraph_maker.grouping import Grouped
from langgraph_maker.models import Model, model_name
from langgraph_maker.progress import alarmed, calibrated, follow
from langgraph_maker.records import check_id
from langgraph_maker.run import Progress, Run
from langgraph_maker.runner import Options, solve
from langgraph_maker.stores import default_db, open_store, shown
from langgraph_maker.task import Task

__all__ = ["run"]

_EXIT = {"solved": SOLVED, "unresolved": UNRESOLVED, "stopped": STOPPED, "waiting": WAITING}
_MOST_ACTIONS = 4096


@app.command()
def run(  # noqa: PLR0917 - typer reads the options from the signature
    task: Annotated[str, typer.Argument(help=TASK)],
    disks: Annotated[int | None, typer.Option(help="hanoi: number of disks, 1 to 30", show_default="10")] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="an argument of the factory (repeatable)")
    ] = None,
    model: Annotated[
        str, typer.Option(help='"sim:NAME" (simulated, no key), "openai:NAME" or another "provider:NAME"')
    ] = "sim:gpt-4.1-mini",
    base_url: Annotated[str | None, typer.Option(help="of an OpenAI-compatible server, with openai:NAME")] = None,
    k: Annotated[str, typer.Option("--k", help='votes by which an answer must lead; "auto" calibrates first')] = "3",
    target: Annotated[float, typer.Option(help="with --k auto: wanted probability of zero errors")] = 0.95,
    calibrate_samples: Annotated[int, typer.Option(help="with --k auto: steps to sample")] = 1000,
    k_rule: Annotated[
        str,
        typer.Option(
            help="with --k auto: the target on average, mixed (k on some steps, k - 1 on others), lower bound"
        ),
    ] = "average",
    raise_k: Annotated[bool, typer.Option("--raise-k", help="raise k for the steps to come when p falls")] = False,  # noqa: FBT002
    token_limit: Annotated[int, typer.Option(help="output tokens a step beyond which a response is flagged")] = 750,
    steps_per_subtask: Annotated[
        int, typer.Option(metavar="M", help="steps in one response, if prompts show the whole state")
    ] = 1,
    ladder: Annotated[
        Literal["none", "default", "human"],
        typer.Option(help="for steps that do not settle: default tries other ways, human asks one on top of these"),
    ] = "none",
    tier: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY=VALUE,…",
            help='a tier of a ladder of your own; "split" does a subtask in finer steps, as of --steps-per-subtask; the'
            ' last may be "human" (repeatable)',
        ),
    ] = None,
    decorrelate: Annotated[bool, typer.Option("--decorrelate", help="votes take prompt variants in turns")] = False,  # noqa: FBT002
    audit: Annotated[
        float | None, typer.Option(metavar="SHARE", help="of the steps that get a second vote in another way")
    ] = None,
    lanes: Annotated[int, typer.Option(help="stretches that advance side by side, if the task can be cut")] = 1,
    hedge: Annotated[int, typer.Option(help="samples in flight a step beyond those that could be needed")] = 0,
    max_cost: Annotated[float | None, typer.Option(metavar="USD", help="dollars after which the run stops")] = None,
    max_samples: Annotated[
        int | None, typer.Option(help="samples after which the run stops, those of --k auto apart")
    ] = None,
    max_step_samples: Annotated[int | None, typer.Option(help="samples after which a step is unresolved")] = None,
    deadline: Annotated[
        str | None, typer.Option(metavar="TIME", help="after which the run stops: seconds, or like 15m, 2h")
    ] = None,
    price: Annotated[
        str | None,
        typer.Option(metavar="IN,OUT[,CACHED]", help="dollars per million tokens", show_default="the list price"),
    ] = None,
    max_concurrency: Annotated[
        int | None, typer.Option(help="model calls at a time", show_default="256 to a chat model")
    ] = None,
    call_timeout: Annotated[str, typer.Option(metavar="TIME", help="after which a call is made again")] = "10m",
    outage_limit: Annotated[
        str, typer.Option(metavar="TIME", help="for which a failing call is made again before the run stops")
    ] = "10m",
    max_steps: Annotated[int | None, typer.Option(help="for a task of unknown length")] = None,
    db: Annotated[
        str | None, typer.Option(help="SQLite file or postgresql:// URL to journal in", show_default="the data folder")
    ] = None,
    run_id: Annotated[
        str | None, typer.Option(help="go on with this run, or begin it", show_default="a new one")
    ] = None,
    seed: Annotated[int, typer.Option(help="of a simulated model")] = 0,
    report: Annotated[
        Path | None, typer.Option(metavar="FILE", help="write a page that shows the run, however it ended")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="print the result as one JSON object")] = False,  # noqa: FBT002
) -> None:
    """Solve a task, every step decided by a vote. The same command with the printed --run-id goes on."""
    run_id, db = uuid4().hex[:12] if run_id is None else run_id, db or default_db()
    asked_k = margin(k)
    stop = threading.Event()
    with told(USAGE):
        options: Options = {
            "red_flags": red_flags(token_limit * max(1, steps_per_subtask)),
            "lanes": lanes,
            "hedge": hedge,
            "ladder": read_tiers(ladder, tier or []),
            "decorrelate": "variants" if decorrelate else None,
            "audit": audit,
            "max_samples": max_step_samples,
            "max_steps": max_steps,
            "max_total_samples": max_samples,
            "max_cost": max_cost,
            "price": None if price is None else prices.read_price(price),
            "max_concurrency": max_concurrency,
            "call_timeout": seconds(call_timeout),
            "outage_limit": seconds(outage_limit),
            "stop": stop.is_set,
        }
        due = None if deadline is None else seconds(deadline)
        check_id(run_id)
        check_file(report, db)
        chosen = load_task(task, arguments(disks, settings or []))
        if steps_per_subtask != 1:
            chosen = Grouped(chosen, steps_per_subtask)
        asked = load_model(model, chosen, base_url, seed)
        if asked_k == "auto":
            check_aims(calibrate_samples, target)
        elif (target, calibrate_samples) != (0.95, 1000):
            raise ValueError("--target and --calibrate-samples go with --k auto")
        create_maker(chosen, asked, k=3 if asked_k == "auto" else asked_k, **options)
    command = same_command(db, run_id)
    with told(USAGE), open_store(db) as store, reported(store, run_id, report), told(ERROR, command):
        with follow(err) as on_progress, stopping(stop):
            gc.freeze()  # what is loaded by now stays, and need not be looked through again and again
            gc.set_threshold(50_000, 20, 20)  # lanes hold many small things, of which few are garbage
            result = solve(
                chosen,
                asked,
                k=asked_k,
                target=target,
                calibration_samples=calibrate_samples,
                k_rule=cast("auto.Rule", k_rule),
                raise_k=raise_k,
                store=store,
                run_id=run_id,
                deadline=due,
                on_progress=_warning(on_progress),
                **options,
            )
        with to_stdout():
            if as_json:
                print(json.dumps(_as_json(result)))  # noqa: T201
            else:
                out.print(_summary(chosen, model, asked_k, db, result, asked=asked))
    if result.status == "stopped":
        raised = ", with a larger limit" if result.reason.partition(";")[0].endswith("raise it") else ""
        err.print(f"stopped at step {result.steps:,}; this goes on{raised}: {escape(command)}")
    for question in result.questions:
        err.print(escape(asked_in_words(question, db, run_id)))
    if result.status == "waiting":
        err.print(f"waiting at step {result.steps:,}; once answered, this goes on: {escape(command)}")
    raise typer.Exit(_EXIT[result.status])


def _warning(on_progress: Callable[[Progress], None]) -> Callable[[Progress], None]:
    """Say what speaks against the k of a calibration, before the run is paid for."""

    def told_of(now: Progress) -> None:
        on_progress(now)
        if now.calibration is not None and now.calibration.warning:
            err.print(f"[bold]warning:[/] {escape(now.calibration.warning)}")

    return told_of


def _as_json(result: Run) -> dict[str, Any]:
    """The fields of `Run`; `actions` up to 4,096 steps."""
    return asdict(result) | {"actions": list(result.actions()) if result.steps <= _MOST_ACTIONS else None}


def _others(result: Run) -> str:
    """How many steps no vote on the step itself decided, before what is said of the others."""
    human, split = (result.outlook.by_human, result.outlook.by_split) if result.outlook else (0, 0)
    ways = [f"{human:,} of them by a human"] * (human > 0) + [f"{split:,} of them in finer steps"] * (split > 0)
    return ", ".join([*ways, "each other" if ways else "each"])


def _summary(task: Task, model: str, k: int | Literal["auto"], db: str, result: Run, *, asked: Model) -> str:
    simulated = " (a simulated model)" if model.startswith("sim:") else ""
    ended = result.status == "solved" and result.steps != task.steps  # earlier than it could have
    whole = "" if task.steps is None or ended else f" of {task.steps:,}"
    steps = f"{result.steps:,}{whole}"
    by = f"{_others(result)} by a margin of {_margin(k, result)}"
    sure = textwrap.fill(result.guarantee, 90, subsequent_indent=" " * 11)
    lines = [
        f"[bold]{result.status}[/]: {escape(task.name)}, {steps} steps decided, {by}",
        f"  model    {escape(model)}{simulated}",
        f"  samples  {result.samples:,}, of them {result.flagged:,} discarded for a red flag",
        f"  tokens   {_tokens(result)}",
        f"  cost     {_cost(result, model)}",
        f"  sure     {sure}",
        f"  digest   {result.digest}",
        f"  run id   {escape(result.run_id)}, in {escape(shown(db))}",
    ]
    raised = result.outlook.alarms if result.outlook else []
    lines += [f"  alarm    {escape(alarmed(alarm))}" for alarm in raised]
    if result.calibration is not None:
        lines.insert(2, f"  k        {calibrated(result.calibration)}")
        if result.calibration.model != model_name(asked):
            lines[2] += f"; that was {escape(result.calibration.model)}, whose k a run that goes on keeps"
        if result.calibration.warning:
            lines.insert(3, f"  warning  [bold]{escape(result.calibration.warning)}[/]")
    if result.status == "solved" and result.undecided_after:
        lines.insert(3, f"  hardest  step took {len(result.undecided_after) - 1} samples")
    if result.reason:
        reason = "wrong_end: all steps are done, and the task is not" if result.reason == "wrong_end" else result.reason
        lines.insert(1, f"  reason   {escape(reason)}")
    return "\n".join(lines)


def _margin(k: int | Literal["auto"], result: Run) -> str:
    if k != "auto":
        return str(k)
    found = result.calibration
    ks = [] if found is None or found.steps is None else auto.ks(found)
    return str(ks[0]) if len(ks) == 1 else "its own"


def _tokens(result: Run) -> str:
    usage = result.usage
    cached = f" ({usage['cached_input_tokens']:,} of them cached)" if usage["cached_input_tokens"] else ""
    return f"{usage['input_tokens']:,} in{cached}, {usage['output_tokens']:,} out"


def _cost(result: Run, model: str) -> str:
    cost = result.usage["cost"]
    if cost is None:
        return "not known: give --price to have it counted"
    simulated = ", had the model been a real one" if model.startswith("sim:") else ""
    cancelled = f", without {result.cancelled:,} cancelled calls" if result.cancelled else ""
    return f"${cost:,.4f}{simulated}{cancelled}"
