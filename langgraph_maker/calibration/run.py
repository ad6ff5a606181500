"""Measure a model on single steps before a run: p, v, cost, and the k they call for (MAKER, section 4.1).

>>> from langgraph_maker.tasks import TowersOfHanoi
>>> found = calibrate(TowersOfHanoi(10), "sim:error=0.05,input_price=0.4,output_price=1.6", samples=400)
>>> found.k_estimate, found.k_min, found.p_low < found.p < found.p_high
(4, 5, True)
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import Any
from uuid import uuid4

from langgraph.store.base import BaseStore
from langgraph.store.memory import InMemoryStore
from typing_extensions import TypedDict, Unpack

from langgraph_maker import records, theory
from langgraph_maker.ballot import check_margin
from langgraph_maker.calibration.counting import conclude
from langgraph_maker.calibration.course import Course
from langgraph_maker.calibration.findings import Calibration
from langgraph_maker.calibration.trials import Prices, Trials
from langgraph_maker.lock import ahold
from langgraph_maker.loops import run_sync
from langgraph_maker.models import Model, model_name
from langgraph_maker.nodes.guard import DEFAULT_RED_FLAGS
from langgraph_maker.profiles import read_spec
from langgraph_maker.red_flags import RuleLike
from langgraph_maker.sampling import as_sampler, token_allowance
from langgraph_maker.task import Task

__all__ = ["Calibration", "Options", "acalibrate", "calibrate", "known_price"]


class Options(TypedDict, total=False):
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
    price: Prices | None
    max_cost: float | None
    stop: Callable[[], bool] | None
    concurrency: int
    seed: int
    store: BaseStore | None
    run_id: str | None


def calibrate(task: Task, model: Model, **options: Unpack[Options]) -> Calibration:
    """`acalibrate`, for synchronous code. Works inside a running event loop too.

    Example:
        >>> from langgraph_maker.tasks import TowersOfHanoi
        >>> found = calibrate(TowersOfHanoi(8), "sim:error=0.3", samples=200, steps=2**20 - 1)
        >>> found.steps, found.samples, found.k_min > found.k_estimate
        (1048575, 200, True)
    """
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
    price: Prices | None = None,
    max_cost: float | None = None,
    stop: Callable[[], bool] | None = None,
    concurrency: int = 64,
    seed: int = 0,
    store: BaseStore | None = None,
    run_id: str | None = None,
) -> Calibration:
    """Draw single samples on random steps of the whole task and conclude which k it needs and what that costs.

    One sample a step, so that errors which cluster by step leave the intervals right. Where the task has an oracle,
    samples are scored against the truth, else against the winner of a vote of fresh samples at the margin
    `reference_k`; a step where that vote does not settle counts as wrong. On some steps a second sample is drawn, to
    see whether errors are independent, and one at the first vote's temperature. Steps that went wrong are voted on
    (at most 200, at k = 3), to see whether voting saves them.

    Intervals are exact for a number of samples fixed beforehand; where sampling may end early (`early`, `max_cost`,
    or `stop` said so) they are those of a confidence sequence, which are wider.

    Args:
        task: What to calibrate for; on a smaller instance, if need be.
        model: What to ask, see `sampling.Model`.
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
        price: Dollars per million input and output tokens; a simulated model knows its own.
        max_cost: Dollars to spend at most; the batch under way may exceed it a little.
        stop: Asked before each batch; True ends the sampling.
        concurrency: Samples in a batch.
        seed: Chooses the steps.
        store: Keeps every answer, so that the same call with the same `run_id` goes on where it broke off.
        run_id: The calibration's name in the store; None makes a fresh one.

    Raises:
        ValueError: For an option out of range, a task that is done at its start, a budget without a price, or an id
            that holds another calibration.
        SamplingError: When calls go on failing. What was drawn is kept.
        RunBusyError: When a live process is at work on this id.

    Example:
        >>> import asyncio
        >>> from langgraph_maker.tasks import TowersOfHanoi
        >>> found = asyncio.run(acalibrate(TowersOfHanoi(5), "sim:error=0.01"))
        >>> found.samples, found.p, round(found.p_low, 4), found.notes[0]
        (31, 1.0, 0.8878, 'the task has 31 steps: as many samples, one a step')
    """
    price = price if price is not None else known_price(model)
    _check(
        {
            "samples": samples,
            "concurrency": concurrency,
            "pairs": pairs,
            "firsts": firsts,
            "temperature": temperature,
            "first_temperature": first_temperature,
            "price": price,
            "max_cost": max_cost,
            "reference_k": reference_k,
            "steps": steps,
            "target": target,
        }
    )
    steps = task.steps if steps is None else steps
    run_id = uuid4().hex if run_id is None else records.check_id(run_id)
    trials = Trials(
        task=task,
        sampler=as_sampler(model, task=task, max_tokens=token_allowance(red_flags)),
        red_flags=red_flags,
        lenient=lenient,
        temperatures=(first_temperature, temperature),
        seed=seed,
        price=price,
        max_cost=max_cost,
        stop=stop,
        concurrency=concurrency,
        store=store if store is not None else InMemoryStore(),
        run_id=run_id,
    )
    about = {
        "task": task.name,
        "parameters": task.parameters(),
        "model": model_name(model),
        "samples": samples,
        "seed": seed,
        "temperatures": [first_temperature, temperature],
        "shares": [pairs, firsts if first_temperature != temperature else 0],
        "reference_k": reference_k,
    }
    planned = Course(task, trials, about, steps, target, early=early, max_steps=max_steps)
    async with ahold(trials.store, f"calibration {run_id}"):
        await trials.load(about)
        counts = await planned.run()
    return conclude(
        counts,
        task=task.name,
        model=model_name(model),
        run_id=run_id,
        steps=steps,
        target=target,
        price=price,
        anytime=early or max_cost is not None or planned.ended,
    )


def known_price(model: Model) -> Prices | None:
    """The prices of a simulated model, where both are known; None for others.

    Example:
        >>> known_price("sim:gpt-4.1-mini"), known_price("sim:llama-3.2-3b")
        ((0.4, 1.6), None)
    """
    if not (isinstance(model, str) and model.startswith("sim:")):
        return None
    profile, _ = read_spec(model)
    if profile.input_price is None or profile.output_price is None:
        return None
    return profile.input_price, profile.output_price


def _check(options: dict[str, Any]) -> None:
    """Refuse what cannot be used before anything is paid for."""
    for name in ("samples", "concurrency"):
        count = options[name]
        if not isinstance(count, int) or isinstance(count, bool) or count < 1:
            raise ValueError(f"{name} is a whole number of at least 1, not {count!r}")
    for name in ("pairs", "firsts"):
        if not 0 <= options[name] <= 1:
            raise ValueError(f"{name} is a share of the steps, from 0 to 1, not {options[name]!r}")
    for name in ("temperature", "first_temperature"):
        if (heat := options[name]) is not None and not 0 <= heat < inf:
            raise ValueError(f"{name} is a number of at least 0, or None for the model's own, not {heat!r}")
    price, max_cost = options["price"], options["max_cost"]
    if price is not None and not (len(price) == 2 and all(0 <= one < inf for one in price)):  # noqa: PLR2004
        raise ValueError(f"price is two numbers, dollars per million input and output tokens, not {price!r}")
    if max_cost is not None and not 0 < max_cost < inf:
        raise ValueError(f"max_cost is a number of dollars above 0, not {max_cost!r}")
    if max_cost is not None and price is None:
        raise ValueError("max_cost needs a price: give price=(dollars per million input tokens, per million output)")
    check_margin(options["reference_k"])
    theory.k_min(1, 1 if options["steps"] is None else options["steps"], options["target"])
