"""How sure a run is so far, how sure it will be in the end, and what that takes: all from its counts alone."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate
from math import exp, floor
from typing import Any

from langgraph_maker.estimates import upper_bound
from langgraph_maker.events import Alarm, Open, Totals
from langgraph_maker.inference import Estimate, log_all_right, p_from_ballots, undecided_steps, valid_rate

__all__ = ["NONE_OPEN", "Outlook", "outlook", "refuted", "sure"]

NONE_OPEN: Open = {
    "ballots": 0,
    "samples": 0,
    "flagged": 0,
    "contested": 0,
    "drifted": 0,
    "flagged_steps": 0,
    "most_votes": 0,
    "cost": 0.0,
}
_HALF = 0.5


@dataclass(frozen=True)
class Outlook:
    """Estimates of a run, with bounds of 95 %; None where nothing can be said.

    All probabilities are conditional on samples that err independently of each other, and are right more often than
    not. Nothing in a run can tell a model that is mostly wrong from one that is mostly right. Where errors cluster on
    some steps, these draw more votes, and p, which is pooled over votes, reads lower than the mean over steps.

    Attributes:
        steps: Steps decided.
        planned: Steps in the whole task, or as many as it may take.
        p: Share of right answers among valid ones.
        valid_rate: Share of samples without a red flag (v).
        so_far: Probability that no step was decided wrongly so far.
        so_far_low: The same at the lower bound of p.
        to_the_end: Probability that none will have been when all planned steps are done.
        to_the_end_low: The same at the lower bound of p.
        samples: Samples drawn, those of open ballots included.
        samples_projected: As many as the whole task takes at this rate.
        cost: Dollars spent.
        cost_projected: Dollars for the whole task at this rate.
        seconds_left: Until the end, at the speed of this process.
        undecided: Index j counts the decided steps that took more than j samples, flagged ones included.
        undecided_law: As many are to be expected if all steps have the same p and v. More of them are hard steps, which
            p does not speak for.
        climbed: Steps decided above the first tier of the ladder.
        by_human: Steps decided by a human, of whom no probability here speaks.
        by_split: Steps decided in finer steps (`ladder.Split`), of which none does either: their p is another.
        audits: Second votes asked in another way, of which `disagreed` had another winner, or none.
        repeated_high: Errors repeat under one prompt on at most this share of the steps; None without an audit.
        hardest: The ten steps that took most samples, as pairs of samples and step, most first.
        alarms: Those raised so far by this process.
    """

    steps: int
    planned: int | None
    p: Estimate
    valid_rate: Estimate
    so_far: float | None
    so_far_low: float | None
    to_the_end: float | None
    to_the_end_low: float | None
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
    hardest: list[list[int]]
    alarms: list[Alarm]

    @property
    def guarantee(self) -> str:
        """How sure the result is, in one line of plain words, with what that is conditional on."""
        if not self.steps:
            return "no step is decided yet"
        if self.p.value is None or self.so_far is None or self.so_far_low is None:
            why = (
                "with k = 1 no vote is ever lost, and ballots tell nothing of p; k = 2 or more does"
                if self.unvoted < self.steps
                else "no step was decided by a vote"
            )
            return f"not known: {why}{self.besides}"
        if self.p.low <= _HALF:
            return f"not known yet: by its ballots the model may be wrong as often as right{self.besides}"
        voted = f"the {self.steps - self.unvoted:,} voted" if self.unvoted else f"{self.steps:,}"
        said = f"no error in {voted} steps with probability {sure(self.so_far, self.so_far_low)}"
        if self.to_the_end is not None and self.to_the_end_low is not None and self.planned not in {None, self.steps}:
            whole = (self.planned or 0) - self.unvoted
            said += f", in all {whole:,} {sure(self.to_the_end, self.to_the_end_low)}"
        condition = "if samples err independently, equally often at every step, and less often than not"
        return f"{said}, bounds of 95 %, {condition}{self.besides}"

    @property
    def unvoted(self) -> int:
        """Steps that no vote on the step itself decided."""
        return self.by_human + self.by_split

    @property
    def besides(self) -> str:
        """What audits, humans and finer steps add to the guarantee."""
        were = "was" if self.by_human == 1 else "were"
        said = f"; {self.by_human:,} of the steps {were} decided by a human" if self.by_human else ""
        if self.by_split:
            were = "was" if self.by_split == 1 else "were"
            said += (
                f"; {self.by_split:,} {were} done in finer steps, each by a vote of its own, of which p says nothing"
            )
        if self.repeated_high is not None:
            said += (
                f"; of {self.audits:,} second votes, asked in another way, {self.disagreed:,} did not agree: errors"
                f" repeat under one prompt on at most {100 * self.repeated_high:.2g} % of the steps"
            )
        return said


def outlook(
    totals: Totals,
    *,
    planned: int | None,
    still: Open = NONE_OPEN,
    k: int | None = None,
    steps_per_second: float = 0.0,
    alarms: list[Alarm] | None = None,
) -> Outlook:
    """The estimates that follow from a run's totals.

    Args:
        totals: Of the run.
        planned: Steps in the whole task; None where that is not known.
        still: The ballots under way.
        k: The margin of the steps to come; None for the largest so far.
        steps_per_second: At which the run goes on.
        alarms: Those raised so far.

    Example:
        >>> from langgraph_maker import solve
        >>> from langgraph_maker.tasks import TowersOfHanoi
        >>> run = solve(TowersOfHanoi(8), "sim:error=0.05,seed=2", k=4)
        >>> found = run.outlook
        >>> round(found.p.value, 3), round(found.p.low, 3), round(found.so_far_low, 3)
        (0.947, 0.931, 0.993)
    """
    steps, p, valid = totals["steps"], p_from_ballots(totals), valid_rate(totals)
    left = None if planned is None else max(0, planned - steps)
    samples = totals["samples"] + still["samples"]
    spent = totals["usage"]["cost"]
    cost = None if spent is None or still["cost"] is None else spent + still["cost"]
    ahead = k if k is not None else len(totals["margins"]) - 1
    to_come = None if left is None else [0] * max(0, ahead) + [left]
    so_far, low = _right(p.value, totals["margins"]), _right(p.low, totals["margins"])
    then, then_low = _right(p.value, to_come), _right(p.low, to_come)
    more = None if left is None or not steps else left / steps
    return Outlook(
        steps=steps,
        planned=planned,
        p=p,
        valid_rate=valid,
        so_far=None if p.value is None else so_far,
        so_far_low=None if p.value is None else low,
        to_the_end=_both(so_far, then),
        to_the_end_low=None if p.value is None else _both(low, then_low),
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
        repeated_high=upper_bound(totals["disagreed"], totals["audits"], 0.95) if totals["audits"] else None,
        hardest=totals["hardest"],
        alarms=list(alarms or []),
    )


def _seconds(left: int | None, steps_per_second: float) -> float | None:
    if left == 0:
        return 0.0
    return left / steps_per_second if left is not None and steps_per_second else None


def _law(totals: Totals, p: Estimate, valid: Estimate) -> list[float]:
    if p.value is None or valid.value is None:
        return []
    return undecided_steps(p.value, totals["margins"], len(totals["samples_per_step"]) - 1, valid.value)


def _right(p: float | None, margins: Any) -> float | None:
    return None if p is None or margins is None else exp(log_all_right(p, margins))


def _both(one: float | None, other: float | None) -> float | None:
    return None if one is None or other is None else one * other


def refuted(reason: str, planned: int | None) -> str:
    """What the end of a run says against all its ballots; nothing where its `reason` is another.

    Example:
        >>> refuted("wrong_end", 31), refuted("step 3: no answer led", 31)
        ('at least one step is wrong: all are done, and the task is not', '')
    """
    if reason == "wrong_end" and planned is None:
        return "not known: the task is not done after as many steps as it may take, so one is wrong, or it takes more"
    if reason == "wrong_end":
        return "at least one step is wrong: all are done, and the task is not"
    if reason.startswith("seam: "):
        return f"at least one step is wrong, or where a lane begins: {reason.removeprefix('seam: ')}"
    return ""


def sure(value: float, low: float) -> str:
    """A probability with its lower bound, rounded down, with two digits of how far it is from 1.

    Example:
        >>> sure(0.99996, 0.987), sure(1.0, 0.5)
        ('0.999960 (≥ 0.987)', '> 0.9999999 (≥ 0.50)')
    """
    return f"{_digits(value)} (≥ {_digits(low)})"


def _digits(value: float) -> str:
    for digits in range(2, 8):
        if 1 - value >= 10.0 ** (1 - digits):
            return f"{floor(value * 10**digits + 1e-6) / 10**digits:.{digits}f}"
    return "> 0.9999999" if value > 0.9999999 else "> 0.999999"  # noqa: PLR2004 - what is said
