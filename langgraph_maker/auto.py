"""`k="auto"`: calibrate before a run, and keep what was found with it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from langgraph.store.base import BaseStore, GetOp, PutOp

from langgraph_maker import plans, records
from langgraph_maker.calibration import Calibration, acalibrate
from langgraph_maker.errors import CalibrationError, JournalError
from langgraph_maker.models import Model
from langgraph_maker.task import Task

__all__ = ["SHARE", "acalibrated", "margin", "stored"]

SHARE = 0.1
"""Of a run's `max_cost`, what its calibration may spend."""

_PASSED_ON = (
    "red_flags",
    "first_temperature",
    "temperature",
    "max_steps",
    "max_concurrency",
    "call_timeout",
    "outage_limit",
    "price",
    "stop",
)


async def acalibrated(
    task: Task,
    model: Model,
    options: Mapping[str, Any],
    *,
    store: BaseStore,
    run_id: str,
    samples: int,
    target: float,
    on_progress: Callable[[str, int], None],
) -> Calibration | None:
    """The calibration that a run goes by: that which is stored with it, else a new one, which is then stored.

    Answers are stored as they come, so that what broke off goes on without buying them again.

    Args:
        task: The run's.
        model: The run's.
        options: Those of `create_maker`.
        store: The journal's.
        run_id: The run's.
        samples: Steps to sample.
        target: Wanted probability of zero errors.
        on_progress: As of `calibrate`.

    Returns:
        What was found; None when `stop` ended it.

    Raises:
        CalibrationError: When no k can be recommended, or it is above `max_samples_per_step`; the message says why.
        JournalError: When the run was begun with a k of its own.
        ValueError: As `calibrate`; also when the run was calibrated for another target.
    """
    kept, header = await plans.adrive(_look(run_id), store)
    if kept is not None:
        return _checked(Calibration.from_json(kept), target)
    if header is not None:
        raise JournalError(
            f"run {run_id!r} was begun with k {header['k']!r}, and not by a calibration: go on with that k, or give"
            " another run id"
        )
    max_cost = options.get("max_cost")
    found = await acalibrate(
        task,
        model,
        samples=samples,
        target=target,
        max_cost=None if max_cost is None else SHARE * max_cost,
        store=store,
        run_id=run_id,
        on_progress=on_progress,
        **{name: options[name] for name in _PASSED_ON if name in options},
    )
    if (stop := options.get("stop")) is not None and stop():
        return None
    if problem := found.problem or _beyond(found, options.get("max_samples_per_step")):
        raise CalibrationError(f"the calibration before run {run_id!r} recommends no k for {found.model}: {problem}")
    await plans.adrive(_keep(run_id, found), store)
    return found


def _beyond(found: Calibration, max_samples_per_step: int | None) -> str:
    """Whether a step may draw fewer samples than k; answers are kept, so that a larger limit goes on with them."""
    if found.k_min is None or max_samples_per_step is None or found.k_min <= max_samples_per_step:
        return ""
    return (
        f"k would be {found.k_min:,}, and a step may draw {max_samples_per_step:,} samples: raise max_samples_per_step"
        " (--max-samples-per-step) to at least k"
    )


def stored(store: BaseStore, run_id: str) -> Calibration | None:
    """The calibration that a run goes by, None where it has a k of its own.

    Raises:
        JournalError: When it cannot be read.
    """
    kept, _ = plans.drive(_look(run_id), store)
    try:
        return None if kept is None else Calibration.from_json(kept)
    except ValueError as error:
        raise JournalError(f"the calibration of run {run_id!r} cannot be read: {error}") from error


def margin(found: Calibration) -> int | Callable[[int], int]:
    """The k that a calibration calls for: of each step its own where the number of steps is not known."""
    return found.margins() if found.steps is None else found.margin()


def _look(run_id: str) -> plans.Plan[tuple[str | None, records.Header | None]]:
    kept, header = yield [GetOp(records.calibration(run_id), _FOUND, refresh_ttl=False), records.get_header(run_id)]
    return kept and str(kept.value["calibration"]), records.read_header(header, run_id)


def _keep(run_id: str, found: Calibration) -> plans.Plan[None]:
    yield [PutOp(records.calibration(run_id), _FOUND, {"calibration": found.to_json()}, index=False)]


_FOUND = "found"


def _checked(found: Calibration, target: float) -> Calibration:
    if found.target != target:
        raise ValueError(
            f"run {found.run_id!r} was calibrated for a target of {found.target}, not {target}: go on with that, or"
            " give another run id"
        )
    return found
