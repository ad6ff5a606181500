"""`langgraph-maker run`: solve a task, and continue with it."""
# ruff: noqa: ARG001 - what a task and its options are made of is read from the context

from __future__ import annotations

import gc
import json
import threading
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Literal, cast
from uuid import uuid4

import typer

from langgraph_maker.cli.answer import asked_in_words
from langgraph_maker.cli.assignment import asked_of, by_command
from langgraph_maker.cli.console import err, say, show
from langgraph_maker.cli.loading import margin, seconds
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
    Settings,
    Target,
    TaskName,
    TokenLimit,
)
from langgraph_maker.cli.progress import follow
from langgraph_maker.cli.resume import Resuming, options_of, save
from langgraph_maker.cli.shell import (
    ERROR,
    SOLVED,
    STOPPED,
    UNRESOLVED,
    USAGE,
    WAITING,
    command_line,
    renamed,
    same_command,
    stopping,
    to_stdout,
    told,
)
from langgraph_maker.cli.summary import summary
from langgraph_maker.cli.writing import check_file, reported
from langgraph_maker.journal.databases import database, open_store
from langgraph_maker.journal.records import check_id
from langgraph_maker.prebuilt.maker import create_maker
from langgraph_maker.runs import auto_k
from langgraph_maker.runs.calibration.measurement import check_aims
from langgraph_maker.runs.result import Progress, Run
from langgraph_maker.runs.solve import solve
from langgraph_maker.runs.workers.assembly import check_workers

__all__ = ["app", "run"]

_EXIT = {"solved": SOLVED, "unresolved": UNRESOLVED, "stopped": STOPPED, "waiting": WAITING}
_MOST_ACTIONS = 4096

app = command_line()


@app.command(cls=Resuming)
def run(  # noqa: PLR0917 - typer reads the options from the signature
    context: typer.Context,
    task: TaskName,
    disks: Disks = None,
    settings: Settings = None,
    model: ModelName = "sim:gpt-4.1-mini",
    base_url: BaseUrl = None,
    k: Annotated[str, typer.Option("--k", help='votes by which an answer must lead; "auto" calibrates first')] = "3",
    target: Target = 0.95,
    calibrate_samples: Annotated[int, typer.Option(help="with --k auto: steps to sample")] = 1000,
    k_rule: Annotated[
        str,
        typer.Option(
            help="with --k auto: the target on average, mixed (k on some steps, k - 1 on others), lower bound"
        ),
    ] = "average",
    raise_k: Annotated[bool, typer.Option("--raise-k", help="raise k for the steps to come when p falls")] = False,  # noqa: FBT002
    token_limit: TokenLimit = 750,
    steps_per_subtask: Annotated[
        int, typer.Option(metavar="M", help="steps in one response, if prompts show the whole state")
    ] = 1,
    ladder: Annotated[
        Literal["none", "default", "human"],
        typer.Option(help="for steps that do not converge: default tries other ways, human asks one on top of these"),
    ] = "none",
    tier: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY=VALUE,…",
            help='a tier of a ladder of your own; "split" does a subtask in sub-steps, as of --steps-per-subtask; the'
            ' last may be "human" (repeatable); or the service tier: "flex" (half the price, later), "flex-or-default"'
            ' (what it has no room for costs the full price), "priority"',
        ),
    ] = None,
    decorrelate: Annotated[bool, typer.Option("--decorrelate", help="votes take prompt variants in turns")] = False,  # noqa: FBT002
    audit: Annotated[
        float | None, typer.Option(metavar="SHARE", help="of the steps that get a second vote in another way")
    ] = None,
    lanes: Annotated[int, typer.Option(help="stretches that advance side by side, if the task can be cut")] = 1,
    hedge: Annotated[int, typer.Option(help="samples in flight a step beyond those that could be needed")] = 0,
    max_cost: MaxCost = None,
    max_total_samples: Annotated[
        int | None, typer.Option(help="samples after which the run stops, those of --k auto apart")
    ] = None,
    max_samples_per_step: Annotated[int | None, typer.Option(help="samples after which a step is unresolved")] = None,
    deadline: Deadline = None,
    price: Price = None,
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
    workers: Annotated[
        str | None,
        typer.Option(
            metavar="N",
            help="processes that advance the lanes, coordinated by this one; 0 for those that join it (work)",
        ),
    ] = None,
    report: Annotated[
        Path | None, typer.Option(metavar="FILE", help="write a page that shows the run, however it ended")
    ] = None,
    as_json: AsJson = False,  # noqa: FBT002
    _max_samples: Annotated[str | None, renamed("--max-samples", "--max-total-samples")] = None,
    _max_step_samples: Annotated[str | None, renamed("--max-step-samples", "--max-samples-per-step")] = None,
) -> None:
    """Solve a task, every step decided by a vote. The same task with the printed --run-id resumes it."""
    run_id = uuid4().hex[:12] if run_id is None else run_id
    asked_k = margin(k)
    stop = threading.Event()
    with told(USAGE):
        chosen, asked, _, options = asked_of(context.params)
        options["stop"] = stop.is_set
        engine = None if workers is None else by_command(workers, context.params)
        if engine is not None:
            check_workers(chosen, asked, None if isinstance(engine, int) else engine, lanes, None)
        due = None if deadline is None else seconds(deadline)
        db = database(db)
        check_id(run_id)
        check_file(report, db)
        if asked_k == "auto":
            check_aims(calibrate_samples, target)
        elif (target, calibrate_samples) != (0.95, 1000):
            raise ValueError("--target and --calibrate-samples go with --k auto")
        create_maker(chosen, asked, k=3 if asked_k == "auto" else asked_k, **options)
    command = same_command(db, run_id)
    with told(USAGE), open_store(db, namespace) as store, reported(store, run_id, report), told(ERROR, command):
        save(store, run_id, command, options_of(context))
        with follow(err) as on_progress, stopping(stop):
            gc.freeze()  # what is loaded by now stays, and need not be looked through again and again
            gc.set_threshold(50_000, 20, 20)  # lanes hold many small things, of which few are garbage
            result = solve(
                chosen,
                asked,
                k=asked_k,
                target=target,
                calibration_samples=calibrate_samples,
                k_rule=cast("auto_k.Rule", k_rule),
                raise_k=raise_k,
                store=store,
                run_id=run_id,
                deadline=due,
                on_progress=_warning(on_progress),
                workers=engine,
                **options,
            )
        with to_stdout():
            if as_json:
                print(json.dumps(_as_json(result)))  # noqa: T201
            else:
                show(summary(chosen, model, asked_k, db, result, asked=asked, by_list=price is None))
    if result.status == "stopped":
        raised = ", with a larger limit" if result.reason_code == "budget" else ""
        say(f"stopped at step {result.steps:,}; to resume{raised}: {command}")
    for question in result.questions:
        say(asked_in_words(question, db, run_id, namespace))
    if result.status == "waiting":
        say(f"waiting at step {result.steps:,}; once answered, resume it with: {command}")
    raise typer.Exit(_EXIT[result.status])


def _warning(on_progress: Callable[[Progress], None]) -> Callable[[Progress], None]:
    """Say what speaks against the k of a calibration, before the run is paid for."""

    def told_of(now: Progress) -> None:
        on_progress(now)
        if now.calibration is not None and now.calibration.warning:
            say(now.calibration.warning, "warning:")

    return told_of


def _as_json(result: Run) -> dict[str, Any]:
    """Return the fields of `Run`; `actions` up to 4,096 steps."""
    return asdict(result) | {"actions": list(result.actions()) if result.steps <= _MOST_ACTIONS else None}
