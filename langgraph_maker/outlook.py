"""How sure a run is so far, how sure it will be in the end, and what that takes: all from its counts alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, Final

from langgraph_maker import sureness
from langgraph_maker.calibration.findings import Calibration
from langgraph_maker.estimates import upper_bound
from langgraph_maker.events import Alarm, Open, Totals
from langgraph_maker.guarantee import caveats, refuted, sentence, sure
from langgraph_maker.inference import Estimate, p_from_ballots, undecided_steps, valid_rate
from langgraph_maker.mixture import contested, likelihood_gain, spread
from langgraph_maker.sureness import IfEqual, Unknown

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
_DIFFER: Final = 3.0
"""The gain in log likelihood from which steps are said to differ; less than one run in a hundred has it by chance."""


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
        so_far_low: A lower bound on it, whatever the steps are like, where a calibration of the same model allows one
            (`inference.calibrated_bound`).
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
        alarms: Those raised so far by this process.
        earlier_alarms: Those raised by processes before it.
        unknown: Why there is no `so_far`: no step was decided by a vote ("votes"), k is 1 ("k"), more ballots are open
            than decided ("early"), p may be 1/2 ("half"), slow answers are drawn again or are others than fast ones
            ("latency", which says how), or too few votes are lost to see whether samples err independently
            ("independence"); "" where there is.
        latency: What speaks for votes that are biased towards fast answers, in words.
        open_ballots: Ballots under way.
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
    earlier_alarms: list[Alarm]
    unknown: Unknown
    latency: str
    open_ballots: int
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
    earlier_alarms: Sequence[Alarm] = (),
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
        alarms: Those raised so far by this process.
        earlier_alarms: Those raised by processes before it.
        calibration: What was measured before the run, with truth at hand.
        settings: What the run was begun with, see `events.Begin`.
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
    ahead = k if k is not None else len(totals["margins"]) - 1
    more = None if left is None or not steps else left / steps
    begun = (totals["shapes"], totals["given_up"], still["shapes"], still["given_up"])
    lost_votes = contested(*begun)
    mixed = None if p.value is None else spread(*begun)
    differ = mixed is not None and p.value is not None and likelihood_gain(p.value, mixed, *begun) > _DIFFER
    timeouts = totals["timeouts"] + still["timeouts"]
    latency = sureness.latency(totals, samples, timeouts + in_flight_lost)
    unknown = sureness.unknown(totals, still, p, lost_votes, latency)
    so_far = to_the_end = None
    if mixed is not None and not unknown:
        so_far, to_the_end = sureness.mixed(mixed, totals, still, left, ahead)
    doubtful = unknown not in {"", "independence"} or alarms or earlier_alarms or timeouts or in_flight_lost
    otherwise = totals["climbed"] or totals["by_split"]
    low = None if doubtful or otherwise else sureness.calibrated(calibration, begun, ahead, planned)
    return Outlook(
        steps=steps,
        planned=planned,
        p=p,
        valid_rate=valid,
        so_far=so_far,
        so_far_low=low,
        to_the_end=to_the_end,
        to_the_end_low=low,
        if_equal=sureness.if_equal(totals, p, left, ahead),
        differ=differ,
        contested=lost_votes,
        hard_high=sureness.hard_high(totals, still),
        effective_votes=None if mixed is None or lost_votes < sureness.FEW else sureness.effective_votes(mixed, totals),
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
        latency=latency,
        open_ballots=still["ballots"],
        caveats=caveats(
            totals,
            alarms=[*earlier_alarms, *alarms],
            clusters=None if calibration is None or not calibration.warning else calibration.independence.p_value,
            timeouts=timeouts,
            in_flight_lost=in_flight_lost,
            hedged=bool(settings.get("hedge")),
            first_apart=_first_apart(settings),
            repeated_high=_repeated(totals),
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
