"""Measure a model on single steps before a run: p, v, cost, and the k they call for (MAKER, section 4.1).

>>> from langgraph_maker.tasks import TowersOfHanoi
>>> found = calibrate(TowersOfHanoi(10), "sim:error=0.05,input_price=0.4,output_price=1.6", samples=400)
>>> found.k_estimate, found.k_min, found.p_low < found.p < found.p_high
(4, 5, True)
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any
from uuid import uuid4

from langgraph.store.base import BaseStore
from langgraph.store.memory import InMemoryStore
from typing_extensions import TypedDict, Unpack

from langgraph_maker import theory
from langgraph_maker.core.ballot import check_margin
from langgraph_maker.core.callables import check_callbacks
from langgraph_maker.core.keywords import check_keywords
from langgraph_maker.core.numbers import check_number, check_whole
from langgraph_maker.core.reasons import Stop
from langgraph_maker.core.red_flags import RuleLike, check_rule, each_rule
from langgraph_maker.core.task import Task, check_task, instance, wording
from langgraph_maker.journal import records
from langgraph_maker.journal.lock import ahold
from langgraph_maker.models import prices
from langgraph_maker.models.chat_sampler import as_sampler, token_allowance
from langgraph_maker.models.event_loop import run_sync
from langgraph_maker.models.pool import Pool
from langgraph_maker.models.prices import Price
from langgraph_maker.models.resolve import Model, model_name
from langgraph_maker.nodes.guard import DEFAULT_RED_FLAGS
from langgraph_maker.nodes.sample import check_temperatures
from langgraph_maker.prebuilt.maker import check_cost, described_rule
from langgraph_maker.runs.calibration.procedure import Procedure
from langgraph_maker.runs.calibration.result import Calibration
from langgraph_maker.runs.calibration.statistics import at_other_limits, conclude
from langgraph_maker.runs.calibration.trials import Trials
from langgraph_maker.runs.opened import check_opened

_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")

__all__ = ["CalibrateOptions", "Calibration", "acalibrate", "calibrate", "check_aims", "known_price"]


class CalibrateOptions(TypedDict, total=False):
    """What `calibrate` takes besides a task and a model."""

    samples: int
    target: float
    steps: int | None
    temperature: float | None
    first_temperature: float | None
    red_flags: RuleLike | None
    lenient: Callable[[str], Any] | None
    pairs: float
    firsts: float
    reference_k: int
    early: bool
    max_steps: int | None
    price: Price | None
    service_tier: str | None
    max_cost: float | None
    stop: Stop | None
    on_progress: Callable[[str, int], None] | None
    max_concurrency: int | None
    call_timeout: float | None
    outage_limit: float
    seed: int
    store: BaseStore | None
    run_id: str | None
    name: str | None


def calibrate(task: Task, model: Model, **options: Unpack[CalibrateOptions]) -> Calibration:
    """Do what `acalibrate` does, for synchronous code. Works inside a running event loop too.

    Example:
        >>> from langgraph_maker.tasks import TowersOfHanoi
        >>> found = calibrate(TowersOfHanoi(8), "sim:error=0.3", samples=200, steps=2**20 - 1)
        >>> found.steps, found.samples, found.k_min > found.k_estimate
        (1048575, 200, True)
    """
    check_keywords(calibrate, options, CalibrateOptions.__annotations__)
    return run_sync(acalibrate(task, model, **options))


async def acalibrate(
    task: Task,
    model: Model,
    *,
    samples: int = 1000,
    target: float = 0.95,
    steps: int | None = None,
    temperature: float | None = 0.1,
    first_temperature: float | None = 0.0,
    red_flags: RuleLike | None = DEFAULT_RED_FLAGS,
    lenient: Callable[[str], Any] | None = None,
    pairs: float = 0.25,
    firsts: float = 0.25,
    reference_k: int = 5,
    early: bool = False,
    max_steps: int | None = None,
    price: Price | None = None,
    service_tier: str | None = None,
    max_cost: float | None = None,
    stop: Stop | None = None,
    on_progress: Callable[[str, int], None] | None = None,
    max_concurrency: int | None = None,
    call_timeout: float | None = None,
    outage_limit: float = 600.0,
    seed: int = 0,
    store: BaseStore | None = None,
    run_id: str | None = None,
    name: str | None = None,
) -> Calibration:
    """Draw single samples on random steps of the whole task and conclude which k it needs and what that costs.

    One sample a step, so that errors which cluster by step leave the intervals right. Where the task has an oracle,
    samples are scored against the truth, else against the winner of a vote of fresh samples at the margin
    `reference_k`; a step where that vote does not converge counts as wrong. On some steps a second sample is drawn, to
    see whether errors are independent, and one at the first vote's temperature. Steps that went wrong or
    were flagged are voted on (at most 200, at k = 3, by 30 samples at most), to see whether voting saves them.

    Intervals are exact for a number of samples fixed beforehand; where sampling may end early (`early`, `max_cost`,
    or `stop` said so) they are those of a confidence sequence, which are wider.

    Args:
        task: What to calibrate for; on a smaller instance, if need be.
        model: What to ask, see `models.Model`.
        samples: How many steps to sample; all of them where the task has fewer.
        target: Wanted probability of zero errors in the whole task, for k_min.
        steps: How long the task is that k and cost are projected to; None for this one.
        temperature: Of the samples, as in the run.
        first_temperature: Of a step's first vote in the run.
        red_flags: As in the run.
        lenient: Reads flagged responses, to see how many were right, such as a repairing parser; default `task.parse`.
        pairs: Share of the steps that are sampled twice.
        firsts: Share of the steps that are sampled at `first_temperature` as well, where that differs.
        reference_k: The margin of the votes that stand in for an oracle.
        early: End as soon as both ends of the interval of p call for the same k.
        max_steps: Of a task of unknown length, how many steps to look at.
        price: What tokens cost; None for what is known of the model, see `known_price`.
        service_tier: Of calls, see `create_maker`.
        max_cost: Dollars to spend at most; the batch under way may exceed it a little. Where states come from a pilot
            run, half of them are for that.
        stop: Asked before each batch and while calls are waited for; True, or why, ends the sampling.
        on_progress: Called after each batch with which model was asked, and how many samples were drawn so far.
        max_concurrency: Model calls at a time, and samples in a batch; None for 256 to a chat model, and 64 elsewhere.
        call_timeout: Seconds after which a call is given up and retried; None for 600, 900 for the flex tier, and
            none in batches.
        outage_limit: Seconds for which a failing call is retried.
        seed: Chooses the steps.
        store: Keeps every answer, so that the same call with the same `run_id` resumes where it stopped.
        run_id: The calibration's name in the store; None makes a fresh one. Answers are kept as they were judged, so
            other red flags or another `lenient` (as far as their `repr` tells) need another name.
        name: What to call the model; None for its own name.

    Raises:
        ValueError: For an option out of range, a task that is done at its start, a budget without a price, or an id
            that holds another calibration.
        SamplingError: When calls continue failing. What was drawn is kept.
        RunBusyError: When a live process is at work on this id.

    Example:
        >>> import asyncio
        >>> from langgraph_maker.tasks import TowersOfHanoi
        >>> found = asyncio.run(acalibrate(TowersOfHanoi(5), "sim:error=0.01"))
        >>> found.samples, found.p, round(found.p_low, 4), found.notes[0]
        (31, 1.0, 0.8878, 'the task has 31 steps: as many samples, one a step')
    """
    check_task(task)
    if red_flags is not None:
        check_rule(red_flags)
    sampler = as_sampler(model, task=task, max_tokens=token_allowance(red_flags), service_tier=service_tier)
    check_callbacks(stop=stop, on_progress=on_progress, lenient=lenient)
    check_whole("seed", seed, 0)
    if max_steps is not None:
        check_whole("max_steps", max_steps)
    check_opened("store", store, BaseStore, "SqliteStore")
    name = model_name(model) if name is None else name
    price = known_price(model) if price is None else price
    tier = getattr(sampler, "tier", "")
    check_cost(max_cost, price, name, tier)
    check_temperatures(first_temperature, temperature)
    check_margin(reference_k)
    check_aims(samples, target)
    theory.k_min(1, 1 if steps is None else steps)
    for what, share in (("pairs", pairs), ("firsts", firsts)):
        check_number(what, share, "a share of the steps, from 0 to 1", lambda part: 0 <= part <= 1)
    steps = task.steps if steps is None else steps
    run_id = uuid4().hex if run_id is None else records.check_id(run_id)
    trials = Trials(
        task=task,
        pool=Pool(
            sampler,
            max_concurrency=max_concurrency,
            call_timeout=call_timeout,
            outage_limit=outage_limit,
        ),
        red_flags=red_flags,
        lenient=lenient,
        temperatures=(first_temperature, temperature),
        seed=seed,
        price=price,
        max_cost=max_cost,
        stop=stop or (lambda: False),
        on_progress=partial(on_progress, name) if on_progress is not None else lambda _: None,
        store=store if store is not None else InMemoryStore(),
        run_id=run_id,
    )
    about = {
        "task": task.name,
        "parameters": task.parameters(),
        "model": name,
        "token_limit": trials.limit,
        "red_flags": _names(*each_rule(red_flags)),
        "lenient": _names(lenient),
        "samples": samples,
        "seed": seed,
        "temperatures": [first_temperature, temperature],
        "shares": [pairs, firsts if first_temperature != temperature else 0],
        "reference_k": reference_k,
    }
    planned = Procedure(task, trials, about, steps, target, early=early, max_steps=max_steps)
    async with ahold(trials.store, f"calibration {run_id}"):
        await trials.load(about)
        counts = await planned.run()
    found = conclude(
        counts,
        task=task.name,
        model=name,
        run_id=run_id,
        steps=steps,
        target=target,
        price=None if price is None else price.at(tier),
        anytime=early or max_cost is not None or planned.ended,
    )
    asked = {
        "first_temperature": first_temperature,
        "temperature": temperature,
        "red_flags": [described_rule(rule) for rule in each_rule(red_flags)],
        "wording": wording(task),
        "instance": instance(task.name, task.parameters()),
    }
    return replace(found, other_limits=at_other_limits(counts, found), asked=asked)


def known_price(model: Model) -> Price | None:
    """Return what a model costs, as far as that is known: of a simulated one as it says, of others the list price.

    A simulated model of which only one of two prices was published (llama-3.2-3b) costs what nobody knows.

    Example:
        >>> known_price("sim:error=0.1,input_price=1,output_price=2"), known_price("sim:llama-3.2-3b")
        (Price(input=1.0, output=2.0, cached_input=None), None)
    """
    return prices.of(model_name(model))


def _names(*given: object) -> list[str]:
    """Return what rules and parsers are called, the same in every process."""
    return [_ADDRESS.sub("", repr(one)) for one in given]


def check_aims(samples: int, target: float) -> None:
    """Refuse what is not a number of samples, or no target.

    Raises:
        ValueError: With what to give instead.
    """
    check_whole("samples", samples)
    theory.k_min(1, 1, target)
