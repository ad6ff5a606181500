"""`langgraph-maker plan`: which k, what it costs, and what a budget buys."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from langgraph_maker.cli.console import show
from langgraph_maker.cli.options import AsJson, ServiceTier
from langgraph_maker.cli.shell import ERROR, USAGE, Command, command_line, to_stdout, told
from langgraph_maker.cli.tables import columns, dollars, paragraph
from langgraph_maker.models import prices
from langgraph_maker.models.service_tiers import OR_DEFAULT, check_service_tier
from langgraph_maker.runs.calibration import Calibration, planning
from langgraph_maker.runs.calibration.batch_plan import BatchPlan, plan_batches
from langgraph_maker.runs.calibration.planning import Choice, RuleCost, RunPlan
from langgraph_maker.tasks import TowersOfHanoi

__all__ = ["app", "plan"]

app = command_line()


@app.command(cls=Command)
def plan(  # noqa: C901, PLR0917 - typer reads the options from the signature
    p: Annotated[float | None, typer.Option("--p", help="probability that one valid sample is right")] = None,
    valid_rate: Annotated[float, typer.Option("--v", help="share of samples that raise no red flag")] = 1.0,
    p_first: Annotated[float | None, typer.Option(help="that of a step's first vote; default: p")] = None,
    steps: Annotated[int | None, typer.Option(help="steps in the whole task")] = None,
    disks: Annotated[int | None, typer.Option(help="hanoi: number of disks, in place of --steps")] = None,
    target: Annotated[
        float | None, typer.Option(help="wanted probability of zero errors in the whole task; default: 0.95")
    ] = None,
    cost_per_sample: Annotated[float | None, typer.Option(metavar="USD", help="dollars a sample")] = None,
    tokens: Annotated[str | None, typer.Option(metavar="IN,OUT", help="tokens of a sample, with --price")] = None,
    price: Annotated[
        str | None,
        typer.Option(metavar="IN,OUT[,CACHED]|NAME", help="dollars per million tokens, or a model of the price list"),
    ] = None,
    tier: ServiceTier = None,
    cached: Annotated[float, typer.Option(min=0, max=1, help="share of the input tokens that a cache had")] = 0.0,
    batch: Annotated[bool, typer.Option("--batch", help="by batches: how many rounds and batches, how long")] = False,  # noqa: FBT002
    enqueued_tokens: Annotated[
        float | None, typer.Option(help="with --batch: input tokens that may be enqueued at a time")
    ] = None,
    batch_hours: Annotated[float, typer.Option(help="with --batch: from submission to result")] = 1.0,
    budget: Annotated[float | None, typer.Option(metavar="USD", help="dollars: what do they buy?")] = None,
    latency: Annotated[float | None, typer.Option(help="median seconds of a call: how long does it take?")] = None,
    spread: Annotated[float, typer.Option(help="of latencies: standard deviation of their logarithm")] = 1.0,
    lanes: Annotated[int, typer.Option(min=1, help="stretches that advance side by side, for --latency")] = 1,
    calibration: Annotated[
        Path | None, typer.Option(metavar="FILE", help="what calibrate --out wrote, in place of --p, --v and costs")
    ] = None,
    model: Annotated[str | None, typer.Option(help="which of its models; default: the cheapest")] = None,
    as_json: AsJson = False,  # noqa: FBT002
) -> None:
    """Plan a run: the least k that reaches the target, its neighbours, their costs, and what a budget buys."""
    with told(USAGE):
        if disks is not None:
            if steps is not None:
                raise ValueError("give --steps or --disks, and not both")
            steps = TowersOfHanoi(disks).steps
        served = "batch" if batch else "flex" if tier == OR_DEFAULT else check_service_tier(tier) or prices.STANDARD
        cost = _cost(cost_per_sample, tokens, price, served, cached)
        if latency is None and not batch and (lanes != 1 or spread != 1.0):
            raise ValueError("--lanes and --spread go with --latency, --lanes with --batch too")
        if calibration is not None:
            if not (p is None and p_first is None and cost is None and valid_rate == 1.0):
                raise ValueError("--calibration says what --p, --p-first, --v and costs would: give one or the other")
            source: float | Calibration = _chosen(calibration, model)
        elif p is None:
            raise ValueError("give --p, or --calibration FILE")
        elif model is not None:
            raise ValueError("--model goes with --calibration")
        else:
            source = p
        planned = planning.plan(
            source, steps, target, p_first=p_first, valid_rate=valid_rate, cost_per_sample=cost, budget=budget
        )
        pace = (
            (source.p, source.valid_rate, source.p_first)
            if isinstance(source, Calibration)
            else (p, valid_rate, p_first)
        )
        by_batches = _by_batches(planned, pace, lanes, tokens, enqueued_tokens, batch_hours) if batch else None
        seconds = None if latency is None else _seconds(planned, pace, latency, spread, lanes)
    with told(ERROR), to_stdout():
        if as_json:
            batches = None if by_batches is None else asdict(by_batches)
            print(json.dumps({**asdict(planned), "seconds": seconds, "batches": batches}))  # noqa: T201
        else:
            show(_report(planned, source))
            if by_batches is not None:
                show(paragraph(_in_batches(by_batches, lanes), ""))
            if seconds is not None:
                show(f"It takes about {_time(seconds)} in {lanes:,} lane{'s' if lanes > 1 else ''}, hedges apart.")


def _by_batches(  # noqa: PLR0917 - as the options are
    planned: RunPlan,
    pace: tuple[float | None, ...],
    lanes: int,
    tokens: str | None,
    enqueued_tokens: float | None,
    hours: float,
) -> BatchPlan | None:
    """Return what the run takes by batches."""
    p, valid_rate, p_first = pace
    if p is None or valid_rate is None:
        return None
    return plan_batches(
        p,
        planned.k,
        planned.steps,
        lanes,
        valid_rate=valid_rate,
        p_first=p_first,
        input_tokens=0.0 if tokens is None else float(tokens.split(",", maxsplit=1)[0]),
        enqueued_limit=enqueued_tokens,
        batch_seconds=3600 * hours,
    )


def _in_batches(planned: BatchPlan, lanes: int) -> str:
    enqueued = f", {planned.enqueued_tokens:,.0f} input tokens enqueued at most" if planned.enqueued_tokens else ""
    said = (
        f"By batches, in {lanes:,} lane{'s' if lanes > 1 else ''}: {planned.rounds:,.0f} rounds, {planned.batches:,}"
        f" batches, {planned.requests:,.0f} requests{enqueued}; about {_time(planned.seconds)}, should each batch"
        " take as long as --batch-hours says (a day at most)."
    )
    return f"{said}\nWarning: {planned.warning} (--lanes)." if planned.warning else said


def _cost(
    given: float | None, tokens: str | None, price: str | None, tier: str = prices.STANDARD, cached: float = 0.0
) -> float | None:
    """Return dollars a sample."""
    if (tokens is None) != (price is None):
        raise ValueError("--tokens and --price go together")
    if tokens is None or price is None:
        return given
    if given is not None:
        raise ValueError("give --cost-per-sample, or --tokens with --price, and not both")
    try:
        read, written = (float(part) for part in tokens.split(","))
    except ValueError:
        raise ValueError(f"--tokens takes IN,OUT, not {tokens!r}") from None
    if not all(0 <= count < float("inf") for count in (read, written)):
        raise ValueError(f"--tokens takes two numbers of tokens, 0 or more, not {tokens!r}")
    listed = prices.of(price) if any(letter.isalpha() for letter in price) else prices.read_price(price)
    if listed is None or (at := listed.at(tier)) is None:
        raise ValueError(f"--price {price} is not known at the service tier {tier!r}: give IN,OUT")
    return at.cost({"input_tokens": read, "cached_input_tokens": cached * read, "output_tokens": written})


def _seconds(
    planned: RunPlan, pace: tuple[float | None, ...], latency: float, spread: float, lanes: int
) -> float | None:
    """Return how long the run takes where calls set the pace."""
    p, valid_rate, p_first = pace
    if p is None or valid_rate is None:
        return None
    each = planning.expected_seconds(p, planned.k, latency, spread=spread, valid_rate=valid_rate, p_first=p_first)
    return each * -(-planned.steps // lanes)


def _time(seconds: float) -> str:
    for size, name in ((86400, "days"), (3600, "hours"), (60, "minutes")):
        if seconds >= 2 * size:
            return f"{seconds / size:,.1f} {name}"
    return f"{seconds:,.1f} seconds"


def _chosen(file: Path, model: str | None) -> Calibration:
    """Return the calibration of `model` in a file, or the first."""
    try:
        found: Any = json.loads(file.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise ValueError(f"{file} cannot be read: {error}") from error
    calibrations = [Calibration.from_json(json.dumps(one)) for one in (found if isinstance(found, list) else [found])]
    if not calibrations:
        raise ValueError(f"{file} holds no calibration")
    if model is None:
        return calibrations[0]
    for one in calibrations:
        if one.model == model:
            return one
    raise ValueError(f"{file} holds no calibration of {model}: it has {', '.join(one.model for one in calibrations)}")


def _report(planned: RunPlan, source: float | Calibration) -> str:
    if isinstance(source, Calibration):
        simulated = " (a simulated model)" if source.simulated else ""
        what = f"{source.model}{simulated}, calibrated on {source.samples:,} steps"
    else:
        what = f"p = {source:g}"
    parts = [
        f"{planned.steps:,} steps without an error at {planned.target:.0%}, {what}: k = {planned.k}",
        columns([_HEADER, *(_row(choice, planned.k) for choice in planned.choices)]),
    ]
    if planned.rules:
        parts += ["What --k auto would take and cost, by --k-rule:", columns([_RULES, *map(_rule, planned.rules)])]
    said = [f"{note}." for note in planned.notes]
    if planned.budget is not None:
        pays = f"k = {planned.k_for_budget:,}" if planned.k_for_budget else "no k"
        said.append(
            f"{dollars(planned.budget)} pay for {pays} on this task, and for a task of {planned.largest_steps or 0:,}"
            f" steps at its own k."
        )
    return "\n\n".join([*parts, "\n".join(map(paragraph, said))])


_RULES = ["rule", "k", "samples", "cost"]


def _rule(one: RuleCost) -> list[str]:
    return [one.rule, " or ".join(map(str, one.ks)), f"{one.samples:,.0f}", dollars(one.cost)]


_HEADER = ["k", "p_full", "samples", "cost", "rounds, one lane", "waves, all side by side"]


def _row(choice: Choice, chosen: int) -> list[str]:
    return [
        f"{choice.k}{' <' if choice.k == chosen else ''}",
        f"{choice.p_full:.4f}",
        f"{choice.samples:,.0f}",
        dollars(choice.cost),
        "?" if choice.rounds is None else f"{choice.rounds:,.0f}",
        "?" if choice.waves is None else f"{choice.waves:,.1f}",
    ]
