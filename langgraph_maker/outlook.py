"""How sure a run is so far, how sure it will be in the end, and what that takes: all from its counts alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from math import exp, log1p
from typing import Any, Final

from langgraph_maker.calibration.findings import Calibration
from langgraph_maker.estimates import upper_bound
from langgraph_maker.events import Alarm, Open, Totals
from langgraph_maker.guarantee import refuted, sentence, sure
from langgraph_maker.inference import (
    Estimate,
    calibrated_bound,
    latency_matters,
    log_all_right,
    p_from_ballots,
    undecided_steps,
    valid_rate,
)
from langgraph_maker.mixture import Spread, contested, likelihood_gain, most_contested, spread

__all__ = ["NONE_OPEN", "IfEqual", "Outlook", "outlook", "refuted", "sure"]

NONE_OPEN: Open = {
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
_HALF: Final = 0.5
_FEW: Final = 5
"""Contested ballots below which nothing is seen of whether samples err independently."""
_DIFFER: Final = 4.0
"""The gain in log likelihood from which steps are said to differ; if they do not, one run in a hundred reaches it."""
_LATE: Final = 0.01
"""The share of samples that may have been drawn again, because the first try was slow, before nothing is known."""


@dataclass(frozen=True)
class IfEqual:
    """What would be known if all steps were equally hard: probabilities of no error, and bounds of 95 % on them."""

    so_far: float
    so_far_at_least: float
    to_the_end: float | None
    to_the_end_at_least: float | None


@dataclass(frozen=True)
class Outlook:
    """Estimates of a run, with bounds of 95 %; None where nothing can be said.

    Ballots under way count as they are. All probabilities are conditional on samples that err independently of each
    other, and on steps that the model gets right more often than not: nothing in a run can tell a model that is mostly
    wrong from one that is mostly right, and this holds step by step. So a lower bound that does not take the steps for
    equally hard needs truth from without, which a calibration has; where there is none, or too little of it for so many
    steps, it is None.

    Attributes:
        steps: Steps decided.
        planned: Steps in the whole task, or as many as it may take.
        p: Share of right answers among valid ones, if all steps are equally hard. Where they are not, hard ones draw
            more votes, and it reads lower than the mean over steps.
        valid_rate: Share of samples without a red flag (v).
        so_far: Probability that no step was decided wrongly so far, each step having its own p (`mixture.spread`); None
            where too little is decided, or too few votes are lost to see whether samples err independently.
        so_far_low: A lower bound on it, whatever the steps are like (`inference.calibrated_bound`).
        to_the_end: Probability that none will have been when all planned steps are done.
        to_the_end_low: A lower bound on that.
        if_equal: The same if all steps are equally hard; None where some were decided above the first tier.
        differ: Whether the ballots show that they are not.
        contested: Steps begun with a vote for a second answer.
        hard_high: Of the steps begun, at most so many get one vote of three wrong, or right, or oftener: bound of 95 %.
            Steps that the model always gets wrong are not among them.
        effective_votes: How many independent votes those of a step, in the mean, amount to; votes on one step are alike
            where steps differ. None where too few are lost.
        samples: Samples drawn, those of open ballots included.
        samples_projected: As many as the whole task takes at this rate.
        cost: Dollars spent.
        cost_projected: Dollars for the whole task at this rate.
        seconds_left: Until the end, at the speed of this process.
        undecided: Index j counts the decided steps that took more than j samples, flagged ones included.
        undecided_law: As many are to be expected if all steps have the same p and v. More of them are hard steps.
        climbed: Steps decided above the first tier of the ladder.
        by_human: Steps decided by a human, of whom no probability here speaks.
        by_split: Steps decided in finer steps (`ladder.Split`), of which none does either: their p is another.
        audits: Second votes asked in another way, of which `disagreed` had another winner, or none.
        repeated_high: Errors repeat under one prompt on at most this share of the steps; None without an audit.
        timeouts: Samples that timed out and were drawn again.
        in_flight_lost: Samples that may have been in flight, and lost, where a process broke off.
        hardest: The ten steps that took most samples, as pairs of samples and step, most first.
        alarms: Those raised so far.
        why_unknown: Why there is no `so_far`, in words; "" where there is, or no step is decided.
        caveats: What else the guarantee rests on, or speaks against it, in words.
    """

    steps: int
    planned: int | None
    p: Estimate
    valid_rate: Estimate
    so_far: float | None
    so_far_low: float | None
    to_the_end: float | None
    to_the_end_low: float | None
    if_equal: IfEqual | None
    differ: bool
    contested: int
    hard_high: int | None
    effective_votes: float | None
    samples: int
    samples_projected: float | None
    cost: float | None
    cost_projected: float | None
    seconds_left: float | None
    undecided: list[int]
    undecided_law: list[float]
    climbed: int
    by_human: int
    by_split: int
    audits: int
    disagreed: int
    repeated_high: float | None
    timeouts: int
    in_flight_lost: int
    hardest: list[list[int]]
    alarms: list[Alarm]
    why_unknown: str
    caveats: list[str]

    @property
    def guarantee(self) -> str:
        """How sure the result is, in one line of plain words, with what that is conditional on."""
        return sentence(self)

    @property
    def unvoted(self) -> int:
        """Steps that no vote on the step itself decided."""
        return self.by_human + self.by_split

    @property
    def besides(self) -> str:
        """What the guarantee goes on with, whatever it is."""
        return "".join(f"; {caveat}" for caveat in self.caveats)


def outlook(
    totals: Totals,
    *,
    planned: int | None,
    still: Open = NONE_OPEN,
    k: int | None = None,
    steps_per_second: float = 0.0,
    alarms: Sequence[Alarm] = (),
    calibration: Calibration | None = None,
    settings: Mapping[str, Any] | None = None,
    in_flight_lost: int = 0,
) -> Outlook:
    """Return the estimates that follow from a run's totals.

    Args:
        totals: Of the run.
        planned: Steps in the whole task; None where that is not known.
        still: The ballots under way.
        k: The margin of the steps to come; None for the largest so far.
        steps_per_second: At which the run goes on.
        alarms: Those raised so far.
        calibration: What was measured before the run, with truth at hand.
        settings: What the run was begun with, see `events.Begin`.
        in_flight_lost: As in `events.Begin`.

    Example:
        >>> from langgraph_maker import solve
        >>> from langgraph_maker.tasks import TowersOfHanoi
        >>> run = solve(TowersOfHanoi(8), "sim:error=0.05,seed=2", k=4)
        >>> found = run.outlook
        >>> round(found.p.value, 3), round(found.p.low, 3), round(found.if_equal.so_far, 3)
        (0.947, 0.917, 0.999)
    """
    settings = settings or {}
    steps, valid = totals["steps"], valid_rate(totals)
    p = p_from_ballots(totals, still, first_apart=_first_apart(settings))
    left = None if planned is None else max(0, planned - steps)
    samples = totals["samples"] + still["samples"]
    spent = totals["usage"]["cost"]
    cost = None if spent is None or still["cost"] is None else spent + still["cost"]
    ahead = k if k is not None else len(totals["margins"]) - 1
    more = None if left is None or not steps else left / steps
    begun = (totals["shapes"], totals["given_up"], still["shapes"], still["given_up"])
    lost_votes = contested(*begun)
    mixed = None if p.value is None else spread(*begun)
    differ = mixed is not None and p.value is not None and likelihood_gain(p.value, mixed, *begun) > _DIFFER
    timeouts = totals["timeouts"] + still["timeouts"]
    unknown = _why_unknown(totals, still, p, lost_votes, samples, timeouts + in_flight_lost)
    so_far = to_the_end = None
    if mixed is not None and not unknown:
        so_far, to_the_end = _mixed(mixed, totals, still, left, ahead)
    low = None
    if not (unknown or alarms or timeouts or in_flight_lost or totals["climbed"] or totals["by_split"]):
        low = _calibrated(calibration, p, ahead, planned)
    return Outlook(
        steps=steps,
        planned=planned,
        p=p,
        valid_rate=valid,
        so_far=so_far,
        so_far_low=low,
        to_the_end=to_the_end,
        to_the_end_low=low,
        if_equal=_if_equal(totals, p, left, ahead),
        differ=differ,
        contested=lost_votes,
        hard_high=_hard(totals, still),
        effective_votes=None if mixed is None or lost_votes < _FEW else _effective(mixed, totals),
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
        why_unknown=unknown if steps else "",
        caveats=caveats(totals, settings, alarms, calibration, timeouts, in_flight_lost),
    )


def _why_unknown(totals: Totals, still: Open, p: Estimate, lost_votes: int, samples: int, drawn_again: int) -> str:
    """Return why nothing is known, in words; "" where something is."""
    if p.value is None:
        if not any(totals["margins"]):
            return "no step was decided by a vote"
        return "with k = 1 no vote is ever lost, and ballots tell nothing of p; k = 2 or more does"
    if totals["steps"] < still["ballots"]:
        return f"{totals['steps']:,} steps are decided, and {still['ballots']:,} are open"
    if p.low <= _HALF:
        return "by its ballots the model may be wrong as often as right"
    if lost_votes < _FEW:
        ballots = sum(totals["margins"]) + still["ballots"]
        return (
            f"{lost_votes or 'none'} of {ballots:,} ballots had a lost vote, too few to see whether samples err"
            " independently: answers of a cache or a fixed seed look alike"
        )
    if drawn_again > _LATE * samples:
        return (
            f"up to {drawn_again:,} samples were slow and drawn again, beside {samples:,} that count: if slow answers"
            " are others than fast ones, votes are biased"
        )
    if late := latency_matters(totals):
        return f"{late}, so slow answers are others than fast ones"
    return ""


def _mixed(mixed: Spread, totals: Totals, still: Open, left: int | None, k: int) -> tuple[float | None, float | None]:
    """Return the probabilities of no error so far and to the end, where each step has its own p."""
    log_right = mixed.decided(totals["shapes"])
    higher = spread(totals["above"], still["above"])
    if higher is not None:
        log_right += higher.decided(totals["above"])
    if left is None or k < 1:
        return exp(log_right), None
    log_end = log_right + mixed.to_decide(still["shapes"], k)
    if higher is not None:
        log_end += higher.to_decide(still["above"], k)
    log_end += max(0, left - still["ballots"]) * log1p(-mixed.to_come(k))
    return exp(log_right), exp(log_end)


def _if_equal(totals: Totals, p: Estimate, left: int | None, k: int) -> IfEqual | None:
    if p.value is None or totals["climbed"] or totals["given_up"]:
        return None
    margins, to_come = totals["margins"], None if left is None else [0] * max(0, k) + [left]
    value, low = (exp(log_all_right(one, margins)) for one in (p.value, p.low))
    if to_come is None:
        return IfEqual(value, low, None, None)
    then, then_low = (exp(log_all_right(one, to_come)) for one in (p.value, p.low))
    return IfEqual(value, low, value * then, low * then_low)


def _calibrated(found: Calibration | None, p: Estimate, k: int, planned: int | None) -> float | None:
    """Return the lower bound that a calibration allows, if the run's own ballots do not contradict it."""
    if found is None or found.reference != "oracle" or planned is None or k < 1:
        return None
    right = min(found.p_low, p.low, 1.0 if found.p_first_low is None else found.p_first_low)
    return calibrated_bound(1 - right, k, planned)


def _hard(totals: Totals, still: Open) -> int | None:
    decided_elsewhere = totals["climbed"] + sum(still["above"].values())
    return most_contested(totals["shapes"], still["shapes"], decided_elsewhere)


def _effective(mixed: Spread, totals: Totals) -> float | None:
    votes = sum(int(name.split(":")[0]) * count for name, count in totals["shapes"].items())
    ballots = sum(totals["shapes"].values())
    return votes / (ballots + (votes - ballots) * mixed.alike) if ballots else None


def _first_apart(settings: Mapping[str, Any]) -> bool:
    return bool(settings.get("first_temperature") != settings.get("temperature"))


def _repeated(totals: Totals) -> float | None:
    return upper_bound(totals["disagreed"], totals["audits"], 0.95) if totals["audits"] else None


def caveats(
    totals: Totals,
    settings: Mapping[str, Any],
    alarms: Sequence[Alarm],
    calibration: Calibration | None,
    timeouts: int,
    in_flight_lost: int,
) -> list[str]:
    """Return what the guarantee rests on beside its assumptions, or what speaks against it, in words."""
    told = [f"ALARM about {alarm['what']} after {alarm['steps']:,} steps" for alarm in alarms]
    if calibration is not None and calibration.warning:
        told.append(f"calibration saw errors cluster by step (p-value {calibration.independence.p_value:.3f})")
    if timeouts:
        told.append(f"{timeouts:,} samples timed out and were drawn again, so that slow answers count less often")
    if in_flight_lost:
        told.append(f"up to {in_flight_lost:,} samples in flight were lost where a process broke off, and drawn again")
    if settings.get("hedge"):
        told.append("votes count as they arrive, so that fast answers count more")
    if _first_apart(settings) and any(totals["margins"]):
        told.append("first votes are drawn at another temperature, and may have another p")
    if human := totals["by_human"]:
        told.append(f"{human:,} of the steps {'was' if human == 1 else 'were'} decided by a human")
    if split := totals["by_split"]:
        were = "was" if split == 1 else "were"
        told.append(f"{split:,} {were} done in finer steps, each by a vote of its own, of which p says nothing")
    if (repeated := _repeated(totals)) is not None:
        told.append(
            f"of {totals['audits']:,} second votes, asked in another way, {totals['disagreed']:,} did not agree: errors"
            f" repeat under one prompt on at most {100 * repeated:.2g} % of the steps"
        )
    return told


def _seconds(left: int | None, steps_per_second: float) -> float | None:
    if left == 0:
        return 0.0
    return left / steps_per_second if left is not None and steps_per_second else None


def _law(totals: Totals, p: Estimate, valid: Estimate) -> list[float]:
    if p.value is None or valid.value is None:
        return []
    return undecided_steps(p.value, totals["margins"], len(totals["samples_per_step"]) - 1, valid.value)
