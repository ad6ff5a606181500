"""Which model for a task: each calibrated alike, sorted by what the whole task would cost (MAKER, section 4.1).

Rows and sentences are plain data and text, for a command line or a notebook to show.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from typing_extensions import Unpack

from langgraph_maker.core.errors import SamplingError
from langgraph_maker.core.keywords import check_keywords
from langgraph_maker.core.task import Task, check_task
from langgraph_maker.journal import records
from langgraph_maker.models.chat_sampler import as_sampler
from langgraph_maker.models.event_loop import run_sync
from langgraph_maker.models.prices import Price
from langgraph_maker.models.resolve import Model, model_name
from langgraph_maker.prebuilt.maker import check_cost
from langgraph_maker.runs.calibration import CalibrateOptions, acalibrate, known_price
from langgraph_maker.runs.calibration.result import ASSUMED, SIGNIFICANT, Calibration

__all__ = ["Comparison", "ComparisonRow", "acompare", "compare", "ranked", "sentences"]


@dataclass(frozen=True)
class ComparisonRow:
    """One model in a comparison; costs in dollars, None where unknown or where no k can be had.

    `error` is 1 - p with its bounds, `cost_per_right` is c/p, by which the paper chooses among models, `cost` is that
    of the whole task at k_min, the margin of the lower bound, and `cost_estimate` at k_estimate, that of the estimate.
    `problem` says why a model cannot be used.
    """

    model: str
    price: Price | None
    tokens: float
    error: float | None
    error_low: float
    error_high: float
    valid_rate: float | None
    k_min: int | None
    k_estimate: int | None
    cost_per_right: float | None
    cost: float | None
    cost_estimate: float | None
    samples: float | None
    problem: str


@dataclass(frozen=True)
class Comparison:
    """Rows with the least projected cost first and unusable models last, their calibrations, and what is to be said.

    `failed` says by name why a model has no row, its calls having failed for good.
    """

    rows: list[ComparisonRow]
    calibrations: list[Calibration]
    sentences: list[str]
    failed: dict[str, str] = field(default_factory=dict)


def compare(
    task: Task,
    models: Iterable[Model] | Mapping[str, Model],
    *,
    for_steps: int | None = None,
    prices: Mapping[str, Price] | None = None,
    **options: Unpack[CalibrateOptions],
) -> Comparison:
    """Do what `acompare` does, for synchronous code.

    Example:
        >>> from langgraph_maker.tasks import TowersOfHanoi
        >>> models = ["sim:gpt-4.1-nano", "sim:gpt-4.1-mini", "sim:llama-3.2-3b"]
        >>> found = compare(TowersOfHanoi(10), models, for_steps=2**20 - 1, samples=400)
        >>> [(row.model, row.k_min) for row in found.rows]
        [('sim:gpt-4.1-mini', 4), ('sim:gpt-4.1-nano', 67), ('sim:llama-3.2-3b', None)]
    """
    check_keywords(compare, options, CalibrateOptions.__annotations__)
    return run_sync(acompare(task, models, for_steps=for_steps, prices=prices, **options))


async def acompare(
    task: Task,
    models: Iterable[Model] | Mapping[str, Model],
    *,
    for_steps: int | None = None,
    prices: Mapping[str, Price] | None = None,
    **options: Unpack[CalibrateOptions],
) -> Comparison:
    """Calibrate each model on the same steps and rank them for a task of `for_steps` steps, one after another.

    Args:
        task: What to calibrate on.
        models: What to compare, see `models.Model`; a mapping gives them names of its own.
        for_steps: Steps in the whole task; None for those of `task`.
        prices: By model name, where they are not known, or yours differ.
        **options: Those of `calibrate`. A `run_id` is followed by the model's name; `max_cost` is for each model.

    Raises:
        ValueError: For no model, two of one name, a price of none of them, and as `calibrate` does.
        SamplingError: When calls to all of the models continue failing. What was drawn is kept.
    """
    check_task(task)
    named = list(models.items() if isinstance(models, Mapping) else ((model_name(model), model) for model in models))
    names = [name for name, _ in named]
    if len(set(names)) < len(names):
        raise ValueError(f"two of the models have the same name: {', '.join(names)}")
    if strange := (prices or {}).keys() - set(names):
        raise ValueError(f"there is a price for {', '.join(sorted(strange))}, which is none of {', '.join(names)}")
    if (run_id := options.get("run_id")) is not None:
        records.check_id(run_id)
    for name, model in named:
        as_sampler(model, task=task)  # refuses what is no model before any is paid for
        check_cost(
            options.get("max_cost"), (prices or {}).get(name) or options.get("price") or known_price(model), name
        )
    calibrations, failed = [], dict[str, str]()
    for name, model in named:
        own: CalibrateOptions = {
            **options,
            "steps": options.get("steps") if for_steps is None else for_steps,
            "name": name,
        }
        if (price := (prices or {}).get(name)) is not None:
            own["price"] = price
        if (run_id := options.get("run_id")) is not None:
            own["run_id"] = f"{run_id} {name}"
        try:
            calibrations.append(await acalibrate(task, model, **own))
        except SamplingError as error:
            failed[name] = str(error)
            if len(failed) == len(named):
                raise
    found = ranked(calibrations)
    said = [f"{name} has no row, since it failed: {why}" for name, why in failed.items()]
    return replace(found, sentences=[*found.sentences, *said], failed=failed)


def ranked(calibrations: Iterable[Calibration]) -> Comparison:
    """Rank models by calibrations for one task.

    Raises:
        ValueError: When there are none, or they are not for the same number of steps and the same target.
    """
    found = list(calibrations)
    if not found:
        raise ValueError("there is no model to compare: name at least one")
    if len({(one.steps, one.target) for one in found}) > 1:
        raise ValueError("these calibrations are not for the same number of steps and the same target")
    found.sort(key=_by_cost)
    rows = [_row(one) for one in found]
    return Comparison(rows, found, [*_remarks(rows), *filter(None, map(_better_limit, found))])


def _by_cost(found: Calibration) -> tuple[bool, bool, float]:
    unusable, unpriced = found.k_min is None, found.expected_cost is None
    return unusable, unpriced, found.expected_cost or found.expected_samples or 0.0


def _row(found: Calibration) -> ComparisonRow:
    return ComparisonRow(
        model=found.model,
        price=found.price,
        tokens=found.tokens,
        error=None if found.p is None else 1 - found.p,
        error_low=1 - found.p_high,
        error_high=1 - found.p_low,
        valid_rate=found.valid_rate,
        k_min=found.k_min,
        k_estimate=found.k_estimate,
        cost_per_right=found.cost_per_sample / found.p if found.cost_per_sample is not None and found.p else None,
        cost=found.expected_cost,
        cost_estimate=found.cost_estimate,
        samples=found.expected_samples,
        problem=found.problem,
    )


def _remarks(rows: list[ComparisonRow]) -> list[str]:
    usable = [row for row in rows if row.cost is not None and row.cost_per_right is not None]
    by_ratio = sorted(usable, key=lambda row: row.cost_per_right or 0.0)
    said = []
    if by_ratio != usable:
        order = ", ".join(row.model for row in by_ratio)
        said.append(
            f"by c/p, the paper's rule, the order would be {order}: it leaves out k and the share of valid samples"
        )
    said += [f"{row.model} cannot be used: {row.problem}" for row in rows if row.problem]
    unpriced = [row.model for row in rows if not row.problem and row.cost is None]
    if unpriced:
        said.append(
            f"the cost is not known for {', '.join(unpriced)}: give dollars per million input and output tokens"
        )
    return said


def _better_limit(found: Calibration) -> str:
    """Return whether another token limit would be cheaper, as far as the samples tell."""
    cheaper = [one for one in found.other_limits if one.cheaper_than(found)]
    if not cheaper:
        return ""
    best = min(cheaper, key=lambda one: one.cost_estimate or 0.0)
    now = "no k can be had" if found.cost_estimate is None else f"it is about ${found.cost_estimate:,.0f}"
    limit = "without a limit" if found.token_limit is None else f"at {found.token_limit:,}"
    return (
        f"{found.model} would be cheaper with a token limit of {best.token_limit:,}: about"
        f" ${best.cost_estimate or 0.0:,.0f} by the estimates, with v = {best.valid_rate or 0.0:.3f}, where {limit}"
        f" {now}"
    )


def sentences(found: Calibration) -> list[str]:
    """Return what a calibration says, in sentences; the first line of a figure names its interval's meaning.

    Example:
        >>> from langgraph_maker.calibration import calibrate
        >>> from langgraph_maker.tasks import TowersOfHanoi
        >>> found = calibrate(TowersOfHanoi(10), "sim:error=0.02,flag=0.05", samples=200)
        >>> print(sentences(found)[0])
        p = 0.9793 (95 % interval 0.9478 to 0.9943): 189 of 193 valid samples were right.
    """
    said = []
    if found.p is not None:
        kind = "" if found.interval == "exact" else ", valid although sampling could end early"
        said.append(
            f"p = {found.p:.4f} (95 % interval {found.p_low:.4f} to {found.p_high:.4f}{kind}): {found.right:,} of"
            f" {found.valid:,} valid samples were right."
        )
    if found.p_first is not None and found.p_first_low is not None and found.p_first_high is not None:
        said.append(
            f"First votes, at their own temperature: {found.p_first:.4f} ({found.p_first_low:.4f} to"
            f" {found.p_first_high:.4f})."
        )
    if found.valid_rate is not None:
        said.append(
            f"v = {found.valid_rate:.4f} ({found.valid_low:.4f} to {found.valid_high:.4f}) of the samples raised no"
            " red flag."
        )
    said += [
        f"Flagged as {reason}: {flags.flagged:,}, of which {flags.right:,} were right ({flags.low:.1%} to"
        f" {flags.high:.1%})."
        for reason, flags in found.false_flags.items()
    ]
    pairs = found.independence
    if pairs.pairs:
        verdict = "errors cluster by step" if pairs.p_value < SIGNIFICANT else "no sign that errors cluster"
        failing = ", ".join(map(str, pairs.steps[:_LISTED])) + (", …" if len(pairs.steps) > _LISTED else "")
        listed = f" Steps that failed twice: {failing}." if pairs.steps else ""
        said.append(
            f"Of {pairs.pairs:,} steps sampled twice {pairs.collisions:,} failed twice, against {pairs.expected:.2f}"
            f" expected by chance (p-value {pairs.p_value:.3f}): {verdict}.{listed}"
        )
    if found.k_min is not None and found.p_full is not None and found.steps is not None:
        said.append(
            f"k = {found.k_min} for {found.steps:,} steps at {found.target:.0%} ({found.k_estimate} by the estimate"
            f" alone): p_full = {found.p_full:.4f} at the lower bound, if {ASSUMED}, and if there is no step"
            " that no k can save."
        )
    if found.unsalvageable_high is not None:
        said.append(
            f"Such steps: at most {found.unsalvageable_high:,.0f} of {found.steps:,} (95 % upper bound;"
            f" {found.unsalvageable:,} seen in {found.samples:,})."
        )
    if found.expected_samples is not None:
        cost = "cost unknown" if found.expected_cost is None else f"${found.expected_cost:,.2f}"
        said.append(f"Expected: {found.expected_samples:,.0f} samples, {cost}.")
    return [*said, *([f"It cannot be used as it is: {found.problem}."] if found.problem else []), *found.notes]


_LISTED = 20
