"""`langgraph-maker calibrate`: which model and which k, what it costs, how sure that is."""

from __future__ import annotations

import json
import threading
from dataclasses import asdict
from pathlib import Path
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
    ModelNames,
    Namespace,
    NewRunId,
    OnStop,
    OutageLimit,
    Prices,
    Seed,
    ServiceTier,
    Settings,
    Target,
    TaskName,
    TokenLimit,
)
from langgraph_maker.cli.progress import follow_samples
from langgraph_maker.cli.shell import (
    ERROR,
    STOPPED,
    UNRESOLVED,
    USAGE,
    Command,
    command_line,
    fail,
    same_command,
    stopping,
    to_stdout,
    told,
)
from langgraph_maker.cli.tables import columns, dollars, interval, paragraph, share
from langgraph_maker.cli.writing import check_file, write
from langgraph_maker.core.task import Task
from langgraph_maker.journal.databases import database, open_store, shown
from langgraph_maker.journal.records import check_id
from langgraph_maker.models import prices
from langgraph_maker.models.prices import Price
from langgraph_maker.models.resolve import BATCH
from langgraph_maker.runs.calibration import CalibrateOptions, Calibration
from langgraph_maker.runs.calibration.comparison import Comparison, ComparisonRow, compare, sentences
from langgraph_maker.runs.calibration.statistics import LIMITS
from langgraph_maker.runs.solve import in_time
from langgraph_maker.tasks import TowersOfHanoi

__all__ = ["app", "calibrate", "prices_of"]

app = command_line()


@app.command(cls=Command)
def calibrate(  # noqa: PLR0917 - typer reads the options from the signature
    task: TaskName,
    disks: Disks = None,
    for_disks: Annotated[int | None, typer.Option(help="hanoi: disks that k and costs are for")] = None,
    for_steps: Annotated[
        int | None, typer.Option(help="steps that k and costs are for; default: those of the task")
    ] = None,
    settings: Settings = None,
    models: ModelNames = None,
    base_url: BaseUrl = None,
    samples: Annotated[int, typer.Option(help="steps to sample, one sample each")] = 1000,
    target: Target = 0.95,
    token_limit: TokenLimit = 750,
    price: Prices = None,
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
    file: Annotated[Path | None, typer.Option("--out", metavar="FILE", help="write what was found, for plan")] = None,
    batch: Batch = False,  # noqa: FBT002
    batch_limits: BatchLimitsText = None,
    on_stop: OnStop = "leave",
    service_tier: ServiceTier = None,
    as_json: AsJson = False,  # noqa: FBT002
) -> None:
    """Measure models on single steps before a run: how often they are right, the k they need, what that costs.

    The same command with the printed --run-id resumes it, and buys no answer twice. If no model can be used it
    exits with 3.
    """
    run_id = uuid4().hex[:12] if run_id is None else run_id
    stop = threading.Event()
    with told(USAGE):
        db = database(db)
        check_id(run_id)
        chosen = load_task(task, arguments(disks, settings or []))
        names = models or ["sim:gpt-4.1-mini"]
        options: CalibrateOptions = {
            "samples": samples,
            "target": target,
            "red_flags": red_flags(token_limit),
            "lenient": TowersOfHanoi(chosen.disks, repairing=True).parse if isinstance(chosen, TowersOfHanoi) else None,
            "max_steps": max_steps,
            "max_cost": max_cost,
            "service_tier": service_tier,
            "stop": in_time(None if deadline is None else seconds(deadline), stop.is_set),
            "max_concurrency": max_concurrency,
            "call_timeout": None if call_timeout is None else seconds(call_timeout),
            "outage_limit": seconds(outage_limit),
            "seed": seed,
            "run_id": run_id,
        }
        steps = _steps(chosen, for_disks, for_steps)
        given = prices_of(price or [])
        if base_url is not None and not any(name.startswith(("openai:", BATCH)) for name in names):
            raise ValueError("--base-url goes with openai:NAME, and there is no such --model")
        asked = {
            name: load_model(
                name,
                chosen,
                base_url if name.startswith(("openai:", BATCH)) else None,
                seed,
                Batches.read(batch, batch_limits, on_stop),
            )
            for name in names
        }
        if len(asked) < len(names):
            raise ValueError(f"a --model is given twice: {', '.join(names)}")
        check_file(file, db)
    command = same_command(db, run_id)
    with told(USAGE, command), open_store(db, namespace) as store:
        with follow_samples(err) as on_progress, stopping(stop):
            kept: CalibrateOptions = {**options, "store": store, "on_progress": on_progress}
            found = compare(chosen, asked, for_steps=steps, prices=given, **kept)
        with told(ERROR), to_stdout():
            if file is not None:
                write(file, json.dumps([asdict(one) for one in found.calibrations], indent=1))
            if as_json:
                print(json.dumps(asdict(found)))  # noqa: T201
            else:
                show(_report(chosen, found, given))
                show(f"\nThe answers are saved as {run_id} in {shown(db)}.")
    if found.failed:
        fail(ERROR, f"{', '.join(found.failed)} failed; what was drawn is saved, to resume: {command}")
    if stop.is_set():
        say(f"stopped; to resume: {command}")
        raise typer.Exit(STOPPED)
    if all(one.problem and one.interval == "exact" for one in found.calibrations):  # more samples would not help
        raise typer.Exit(UNRESOLVED)


def _steps(task: Task, for_disks: int | None, for_steps: int | None) -> int | None:
    if for_disks is None:
        return for_steps
    if not isinstance(task, TowersOfHanoi):
        raise ValueError(f"--for-disks goes with hanoi: for {task.name} give --for-steps")  # noqa: TRY004 - usage
    if for_steps is not None:
        raise ValueError("give --for-disks or --for-steps, and not both")
    return TowersOfHanoi(for_disks).steps


def prices_of(given: list[str]) -> dict[str, Price]:
    """Return what `--price NAME=IN,OUT` says of each model."""
    found = {}
    for one in given:
        name, equals, numbers = one.rpartition("=")
        if not equals:
            raise ValueError(f"--price takes NAME=IN,OUT, with a NAME given as --model, not {one!r}")
        found[name] = prices.read_price(numbers)
    return found


def _report(task: Task, found: Comparison, given: dict[str, Price]) -> str:
    first = found.calibrations[0]
    parameters = ", ".join(f"{name}={value}" for name, value in task.parameters().items())
    whole = "a task of unknown length" if first.steps is None else f"{first.steps:,} steps"
    limit = "" if first.token_limit is None else f"; answers of more than {first.token_limit:,} tokens are flagged"
    title = f"{task.name} ({parameters}), for {whole} without an error at {first.target:.0%}{limit}"
    said = [*found.sentences, *(_simulated(found.calibrations))]
    parts = [
        paragraph(title, ""),
        columns([_HEADER, *map(_row, found.rows)]),
        paragraph(
            f"$/M: dollars per million input/output tokens{_by_list(found, given)}. k and cost are those of the lower"
            " bound of p, and in brackets those of the estimate.",
            "",
        ),
        *(["\n".join(map(paragraph, said))] if said else []),
    ]
    if others := [line for one in found.calibrations for line in _others(one)]:
        parts += ["At other token limits, estimated from the same samples:", columns([_OTHER_HEADER, *others])]
    parts += ["\n".join([one.model, *map(paragraph, sentences(one))]) for one in found.calibrations]
    return "\n\n".join(parts)


_HEADER = ["model", "$/M", "tokens", "1 − p (95 % interval)", "v", "k (est.)", "c/p", "cost (est.)"]
_OTHER_HEADER = ["model", "limit", "1 − p (95 % interval)", "v", "k (est.)", "cost (est.)"]


def _row(row: ComparisonRow) -> list[str]:
    price = "?" if row.price is None else f"{row.price.input:g}/{row.price.output:g}"
    return [
        row.model,
        price,
        f"{row.tokens:,.0f}",
        interval(row.error, row.error_low, row.error_high),
        share(row.valid_rate),
        _both(row.k_min, row.k_estimate),
        dollars(row.cost_per_right),
        _money(row.cost, row.cost_estimate),
    ]


def _others(found: Calibration) -> list[list[str]]:
    """Return limits that would be cheaper, and that of the paper's calibration if it makes a difference."""
    return [
        [
            found.model,
            f"{one.token_limit:,}",
            interval(None if one.p is None else 1 - one.p, 1 - one.p_high, 1 - one.p_low),
            share(one.valid_rate),
            _both(one.k_min, one.k_estimate),
            _money(one.expected_cost, one.cost_estimate),
        ]
        for one in found.other_limits
        if one.cheaper_than(found) or (one.token_limit == LIMITS[-1] and one.differs_from(found))
    ]


def _both(k: int | None, estimate: int | None) -> str:
    return "none" if k is None and estimate is None else f"{'none' if k is None else k} ({estimate})"


def _money(cost: float | None, estimate: float | None) -> str:
    return dollars(cost) if cost is estimate is None else f"{dollars(cost)} ({dollars(estimate)})"


def _by_list(found: Comparison, given: dict[str, Price]) -> str:
    """Say by which list, for models that no price was given for."""
    known = [row.model for row in found.rows if row.price is not None and not row.model.startswith("sim:")]
    listed = any(model not in given for model in known)
    return f", {prices.dated()}" if listed else ""


def _simulated(calibrations: list[Calibration]) -> list[str]:
    names = [one.model for one in calibrations if one.simulated]
    return [f"{', '.join(names)}: simulated, no figure says anything about a real model"] if names else []
