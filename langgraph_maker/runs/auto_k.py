"""`k="auto"`: calibrate before a run, and keep what was found with it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Literal, NamedTuple, TypeAlias

from langgraph.store.base import BaseStore, GetOp

from langgraph_maker.core.errors import CalibrationError, JournalError
from langgraph_maker.core.margin import ByState
from langgraph_maker.core.task import HasStepType, Task
from langgraph_maker.journal import records, store_ops
from langgraph_maker.models.resolve import Model
from langgraph_maker.runs.calibration import Calibration, acalibrate
from langgraph_maker.runs.calibration.margin_choice import OfType, by_type, mixed

__all__ = ["SHARE", "Aims", "Rule", "acalibrated", "check_rule", "ks", "margin", "stored"]

Rule: TypeAlias = Literal["average", "mixed", "lower bound"]
"""How k="auto" takes k from a calibration: so that the target is reached on average over what that leaves open of p;
likewise, by k on a share of the steps and k - 1 on the rest; or even at the lower bound of p."""


class Aims(NamedTuple):
    """What a calibration before a run is for: so many `samples`, the `target`, and how k is to be taken.

    `target` is the wanted probability of zero errors in the whole task.
    """

    samples: int
    target: float
    rule: Rule = "average"


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
    "service_tier",
    "stop",
)


async def acalibrated(
    task: Task,
    model: Model,
    options: Mapping[str, Any],
    aims: Aims,
    *,
    store: BaseStore,
    run_id: str,
    on_progress: Callable[[str, int], None],
) -> Calibration | None:
    """Return the calibration that a run goes by: that which is stored with it, else a new one, which is then stored.

    Answers are stored as they come, so that what broke off continues without buying them again.

    Args:
        task: The run's.
        model: The run's.
        options: Those of `create_maker`.
        aims: What the calibration is for.
        store: The journal's.
        run_id: The run's.
        on_progress: As of `calibrate`.

    Returns:
        What was found; None when `stop` ended it.

    Raises:
        CalibrationError: When no k can be recommended, it is above `max_samples_per_step`, or errors come again on the
            same steps while votes do not take several prompts in turns; the message says why.
        JournalError: When the run was started with a k of its own, or its calibration cannot be read.
        ValueError: As `calibrate`; also when the run was calibrated for another target.
    """
    kept, header = await store_ops.adrive(_look(run_id), store)
    if kept is not None:
        return _checked(_read(run_id, kept), aims.target)
    if header is not None:
        raise JournalError(
            f"run {run_id!r} was started with k {header['k']!r}, and not by a calibration: continue with that k, or"
            " give another run id"
        )
    max_cost = options.get("max_cost")
    measured = await acalibrate(
        task,
        model,
        samples=aims.samples,
        target=aims.target,
        max_cost=None if max_cost is None else SHARE * max_cost,
        store=store,
        run_id=run_id,
        on_progress=on_progress,
        **{name: options[name] for name in _PASSED_ON if name in options},
    )
    if (stop := options.get("stop")) is not None and stop():
        return None
    found = replace(measured, k_rule=aims.rule)
    problem = _problem(found) or _beyond(found, options.get("max_samples_per_step"))
    if problem or (problem := _repeating(task, found, options)):
        raise CalibrationError(f"the calibration before run {run_id!r} recommends no k for {found.model}: {problem}")
    await store_ops.adrive(_keep(run_id, found), store)
    return found


def check_rule(rule: object) -> None:
    """Refuse what is no `Rule`.

    Raises:
        ValueError: With those that there are.
    """
    if rule not in {"average", "mixed", "lower bound"}:
        raise ValueError(f'k_rule is "average", "mixed" or "lower bound", not {rule!r:.80}')


def _problem(found: Calibration) -> str:
    if found.steps is None or (found.k_rule == "lower bound" and not found.types):
        return found.problem
    try:
        margin(found)
    except ValueError as error:
        return found.problem or str(error)
    return ""


def _repeating(task: Task, found: Calibration, options: Mapping[str, Any]) -> str:
    if not found.repeating or options.get("decorrelate") == "variants":
        return ""
    variants = getattr(task, "variants", 1)
    turns = 'decorrelate="variants"' if variants > 1 else 'decorrelate="variants", for which the task needs `variants`'
    return f"{found.repeating}: let votes take prompts in turns ({turns}), diagnose these steps, or give k yourself"


def _beyond(found: Calibration, max_samples_per_step: int | None) -> str:
    """Return whether a step may draw fewer samples than k; answers are kept, so that a larger limit resumes."""
    if found.steps is None or max_samples_per_step is None:
        return ""
    most = max(ks(found))
    if most <= max_samples_per_step:
        return ""
    return (
        f"k would be {most:,}, and a step may draw {max_samples_per_step:,} samples: raise max_samples_per_step"
        " (--max-samples-per-step) to at least k"
    )


def ks(found: Calibration) -> list[int]:
    """Return each k that steps take, of a task whose length is known.

    Raises:
        ValueError: As `margin`.
    """
    k = margin(found)
    if isinstance(k, int):
        return [k]
    if isinstance(k, ByState):
        return sorted({one.k for one in _types(found) if one.k is not None})
    return sorted({k(0), k(1), *(k(step) for step in range(2, 100))})


def stored(store: BaseStore, run_id: str) -> Calibration | None:
    """Return the calibration that a run goes by, None where it has a k of its own.

    Raises:
        JournalError: When it cannot be read.
    """
    kept, _ = store_ops.drive(_look(run_id), store)
    return None if kept is None else _read(run_id, kept)


def _read(run_id: str, kept: str) -> Calibration:
    try:
        found = Calibration.from_json(kept)
        if found.target is None:
            raise ValueError("it has no target")  # noqa: TRY301 - one place says what to do
    except ValueError as error:
        raise records.damaged(run_id, "calibration", f"cannot be read: {str(error)[:160]}", _NO_CALIBRATION) from error
    return found


def margin(found: Calibration, task: Task | None = None) -> int | Callable[[int], int]:
    """Return the k that a calibration calls for by its `k_rule`.

    Of each step its own where the number of steps is not known (then at the lower bound), where types of steps differ
    in p, and by the rule "mixed".

    Raises:
        ValueError: When voting may not help, or k is above 1,000.
    """
    if found.steps is None:
        return found.margins()
    if types := _types(found):
        known = {one.type: one.k for one in types if one.k is not None}
        if len(known) < len(types):
            counts = ", ".join(f"{one.type}: {one.right:,} of {one.valid:,} right" for one in types)
            raise ValueError(f"no k up to 1,000 keeps the target for steps of all types ({counts:.300})")
        most = max(known.values())
        of_type = task.step_type if isinstance(task, HasStepType) else str
        return ByState(lambda _, state: known.get(of_type(state), most), least=min(known.values()))
    if found.k_rule == "lower bound":
        return found.margin()
    k = found.margin(rule="average")
    pair = mixed(found.right, found.valid, found.steps, found.target, first=found.first_counts)
    if found.k_rule == "average" or k == 1 or pair is None or pair[0] != k or pair[1] >= 1:
        return k
    return lambda step: k if step * _GOLDEN % 1 < pair[1] else k - 1


_GOLDEN = 0.6180339887498949
"""Multiples of it fall evenly between whole numbers, so that any stretch of steps has its share."""


def _types(found: Calibration) -> list[OfType]:
    if found.k_rule != "lower bound" or not found.types:
        return found.types
    return by_type(found.types, found.target, conservative=True) or [replace(one, k=None) for one in found.types]


def _look(run_id: str) -> store_ops.StoreOps[tuple[str | None, records.Header | None]]:
    kept, header = yield [
        GetOp(records.calibration(run_id), _CALIBRATION_KEY, refresh_ttl=False),
        records.get_header(run_id),
    ]
    where, what = _CALIBRATION_KEY, "calibration"
    found = None if kept is None else json.dumps(records.read_record(kept, run_id, where, what, what, _NO_CALIBRATION))
    return found, records.read_header(header, run_id)


def _keep(run_id: str, found: Calibration) -> store_ops.StoreOps[None]:
    value = json.loads(found.to_json())
    yield [records.put_record(records.calibration(run_id), run_id, _CALIBRATION_KEY, "calibration", value)]


_CALIBRATION_KEY = "found"
_NO_CALIBRATION = "restore the database from a backup, or remove the run with its calibration (journal.delete)"


def _checked(found: Calibration, target: float) -> Calibration:
    if found.target != target:
        raise ValueError(
            f"run {found.run_id!r} was calibrated for a target of {found.target}, not {target}: continue with that, or"
            " give another run id"
        )
    return found
