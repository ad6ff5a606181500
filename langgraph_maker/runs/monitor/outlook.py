"""How sure a run is so far, how sure it will be in the end, and what that takes: all from its counts alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Any

from langgraph_maker.core.events import Alarm, OpenBallots, Totals
from langgraph_maker.runs.calibration.result import Calibration
from langgraph_maker.runs.monitor import sureness
from langgraph_maker.runs.monitor.guarantee import Outlook, caveats, refuted
from langgraph_maker.runs.monitor.sureness import IfEqual, IfMostlyRight
from langgraph_maker.theory.inference import Estimate, p_from_ballots, undecided_steps, valid_rate
from langgraph_maker.theory.intervals import upper_bound
from langgraph_maker.theory.mixture import DIFFER, FEW, contested, likelihood_gain, spread, sure

__all__ = ["NONE_OPEN", "IfEqual", "IfMostlyRight", "outlook", "refuted", "sure"]

NONE_OPEN: OpenBallots = {
    "ballots": 0,
    "samples": 0,
    "flagged": 0,
    "contested": 0,
    "drifted": 0,
    "flagged_steps": 0,
    "most_votes": 0,
    "cost": 0.0,
    "shapes": {},
    "above": {},
    "given_up": {},
    "timeouts": 0,
}


def outlook(
    totals: Totals,
    *,
    planned: int | None,
    limit: int | None = None,
    still: OpenBallots = NONE_OPEN,
    k: int | None = None,
    steps_per_second: float = 0.0,
    alarms: Sequence[Alarm] = (),
    earlier_alarms: Sequence[Alarm] = (),
    calibration: Calibration | None = None,
    task: str | None = None,
    settings: Mapping[str, Any] | None = None,
    in_flight_lost: int = 0,
) -> Outlook:
    """Return the estimates that follow from a run's totals.

    Args:
        totals: Of the run.
        planned: Steps in the whole task; None where that is not known.
        limit: As many as it may have, for which bounds are stated: how many there were in the end may itself follow
            from a wrong step. None for those planned.
        still: The ballots under way.
        k: The least margin of the steps to come; None where it is not known.
        steps_per_second: At which the run continues.
        alarms: Those raised so far by this process.
        earlier_alarms: Those raised by processes before it.
        calibration: What was measured before the run, with truth at hand.
        task: The run's, by name; None where processes before this one may have asked in another way.
        settings: What the run was started with, see `events.Begin`.
        in_flight_lost: As in `events.Begin`.

    Example:
        >>> from langgraph_maker import solve
        >>> from langgraph_maker.tasks import TowersOfHanoi
        >>> run = solve(TowersOfHanoi(8), "sim:error=0.05,seed=2", k=4)
        >>> found = run.outlook
        >>> round(found.p.value, 3), round(found.p.low, 3), round(found.if_equal.so_far, 3)
        (0.947, 0.912, 0.998)
    """
    settings = settings or {}
    steps, valid = totals["steps"], valid_rate(totals)
    p = p_from_ballots(totals, still, first_apart=_first_apart(settings))
    left = None if planned is None else max(0, planned - steps)
    samples = totals["samples"] + still["samples"]
    spent = totals["usage"]["cost"]
    cost = None if spent is None or still["cost"] is None else spent + still["cost"]
    more = None if left is None or not steps else left / steps
    begun = (totals["shapes"], totals["given_up"], still["shapes"], still["given_up"])
    lost_votes = contested(*begun)
    mixed = None if p.value is None else spread(*begun)
    differ = mixed is not None and p.value is not None and likelihood_gain(p.value, mixed, *begun) > DIFFER
    timeouts = totals["timeouts"] + still["timeouts"]
    latency = sureness.latency(
        totals, samples, p, drawn_again=timeouts + in_flight_lost, in_turns=sureness.in_turns(settings)
    )
    reasons = sureness.unknown(
        totals,
        still,
        p,
        lost_votes,
        latency=latency,
        alarmed=any(alarm["what"] != "cost" for alarm in (*alarms, *earlier_alarms)),  # which speaks of no error
        clusters=calibration is not None and calibration.clusters,
        hardly_sampled=calibration is not None and bool(calibration.thin),
        differ=differ,
    )
    mostly_right = None
    unknown = reasons[0] if reasons else ""
    if mixed is not None and not {"early", "half", "latency", "independence"}.intersection(reasons):
        mostly_right = sureness.mixed(mixed, totals, still, left, k)
    doubtful = unknown not in {"", "independence", "differ"} or timeouts or in_flight_lost
    otherwise = totals["climbed"] or totals["by_split"]
    most = max((one for one in (limit, planned) if one is not None), default=None)
    low, whole = None, max(most or 0, steps + still["ballots"])
    if calibration is not None and not (doubtful or otherwise) and most is not None:
        margins = [margin for margin, count in enumerate(totals["margins"]) if count]
        known = k is not None or whole == steps  # else steps to come may have a smaller margin
        own = calibration.steps == whole and sureness.as_calibrated(calibration, task, settings)
        if known and own and (least := min([*margins, *([] if k is None else [k])], default=0)):
            flagged = totals["flagged"] + still["flagged"]
            low = sureness.calibrated(calibration, begun, least, whole, flagged=flagged)
    return Outlook(
        steps=steps,
        planned=planned,
        p=p,
        valid_rate=valid,
        so_far=None if unknown or mostly_right is None else mostly_right.so_far,
        so_far_low=low,
        to_the_end=None if unknown or mostly_right is None else mostly_right.to_the_end,
        to_the_end_low=low,
        if_equal=sureness.if_equal(totals, p, left, k),
        if_mostly_right=mostly_right,
        differ=differ,
        contested=lost_votes,
        hard_high=sureness.hard_high(totals, still),
        effective_votes=None if mixed is None or lost_votes < FEW else sureness.effective_votes(mixed, totals),
        samples=samples,
        samples_projected=None if more is None else totals["samples"] * (1 + more),
        cost=cost,
        cost_projected=None if more is None or spent is None else spent * (1 + more),
        seconds_left=_seconds(left, steps_per_second),
        undecided=[steps - gone for gone in accumulate(totals["samples_per_step"])],
        undecided_law=_law(totals, p, valid),
        climbed=totals["climbed"],
        by_human=totals["by_human"],
        by_split=totals["by_split"],
        audits=totals["audits"],
        disagreed=totals["disagreed"],
        repeated_high=_repeated(totals),
        timeouts=timeouts,
        in_flight_lost=in_flight_lost,
        hardest=totals["hardest"],
        alarms=[*alarms],
        earlier_alarms=[*earlier_alarms],
        unknown=unknown,
        reasons=reasons,
        latency=latency,
        open_ballots=still["ballots"],
        caveats=caveats(
            totals,
            alarms=[*earlier_alarms, *alarms],
            calibration=calibration,
            timeouts=timeouts,
            in_flight_lost=in_flight_lost,
            hedged=bool(settings.get("hedge")),
            first_apart=_first_apart(settings),
            repeated_high=_repeated(totals),
            k_open=bool(left) and k is None,
        ),
    )


def _first_apart(settings: Mapping[str, Any]) -> bool:
    return bool(settings.get("first_temperature") != settings.get("temperature"))


def _repeated(totals: Totals) -> float | None:
    return upper_bound(totals["disagreed"], totals["audits"], 0.95) if totals["audits"] else None


def _seconds(left: int | None, steps_per_second: float) -> float | None:
    if left == 0:
        return 0.0
    return left / steps_per_second if left is not None and steps_per_second else None


def _law(totals: Totals, p: Estimate, valid: Estimate) -> list[float]:
    if p.value is None or valid.value is None:
        return []
    return undecided_steps(p.value, totals["margins"], len(totals["samples_per_step"]) - 1, valid.value)
