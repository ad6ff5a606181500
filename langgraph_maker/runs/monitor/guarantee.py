"""How sure a run is, in one line of plain words: a number, what it rests on, and where that is weakest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from langgraph_maker.core.events import Alarm, Totals
from langgraph_maker.core.reasons import Reason
from langgraph_maker.runs.calibration.result import Calibration
from langgraph_maker.runs.monitor.sureness import IfEqual, IfMostlyRight, Unknown
from langgraph_maker.theory.inference import Estimate
from langgraph_maker.theory.mixture import _digits

__all__ = ["Outlook", "caveats", "refuted", "sentence"]


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
        so_far: Probability that no step was decided wrongly so far, by the mixture of steps that fits the ballots
            (`mixture.spread`), if none of them is mostly wrong; None where anything speaks against that, see `unknown`.
        so_far_low: A lower bound on it, whatever the steps are like, where a calibration of the same model allows one
            (`inference.calibrated_bound`): one of the same task with the same parameters, so on steps drawn at random
            of these, with the same temperatures and red flags, as far as the run knows them. It takes some ten samples
            of each step; `calibrate` draws one, which allows none.
        to_the_end: Probability that none will have been when all planned steps are done, at the least k that may come;
            None where that is not known.
        to_the_end_low: A lower bound on that.
        if_equal: The same if all steps are equally hard; None where some were decided above the first tier.
        if_mostly_right: What the mixture says, also where something speaks against taking it for more than that.
        differ: Whether the ballots suggest that steps are not equally hard, as one run of twenty does by chance.
        contested: Steps started with a vote for a second answer.
        hard_high: Of the steps started, at most so many have split answers, right in one vote of three to two of three:
            bound of 95 %. Steps that the model gets wrong oftener than that are not among them, and show less.
        effective_votes: How many independent votes those of a step, in the mean, amount to; votes on one step are alike
            where steps differ. None where too few are lost.
        samples: Samples drawn, those of open ballots included.
        samples_projected: As many as the whole task takes at this rate.
        cost: Dollars spent.
        cost_projected: Dollars for the whole task at this rate.
        seconds_left: Until the end, at the speed of this process.
        undecided: Index j counts the decided steps that took more than j samples, flagged ones included.
        undecided_law: As many are to be expected if all steps have the same p and v. More of them are hard steps.
        escalated: Steps decided above the first tier of the ladder.
        by_human: Steps decided by a human, of whom no probability here speaks.
        by_split: Steps decided in sub-steps (`ladder.Split`), of which none does either: their p is another.
        audits: Second votes asked in another way, of which `disagreed` had another winner, or none.
        repeated_high: The second way to ask disagrees on at most this share of the steps, bound of 95 %; None without
            an audit. Errors that repeat in the first way alone are no more than that, and may be none, where the second
            is merely worse; of errors that both ways share it says nothing.
        timeouts: Samples that timed out and were drawn again.
        in_flight_lost: Samples that may have been in flight, and lost, where a process broke off.
        hardest: The ten steps that took most samples, as pairs of samples and step, most first.
        alarms: Those raised so far by this process.
        earlier_alarms: Those raised by processes before it.
        unknown: Why there is no `so_far`: no step was decided by a vote ("votes"), k is 1 ("k"), more ballots are open
            than decided ("early"), p may be 1/2 ("half"), slow answers are drawn again or are others than fast ones
            ("latency", which says how), an alarm was raised ("alarm"), calibration saw errors cluster ("clusters"), or
            has too few samples of some types of steps ("types"), too few votes are lost to see whether samples err
            independently and steps are alike ("independence"), or steps differ in how hard they are, and no ballot says
            whether a hard one is mostly right ("differ"); "" where there is. The first of them.
        reasons: All of them.
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
    if_mostly_right: IfMostlyRight | None
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
    reasons: list[Unknown]
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
        """What the guarantee resumes, whatever it is."""
        return "".join(f"; {caveat}" for caveat in self.caveats)


def sentence(found: Outlook) -> str:
    """Return the line for an outlook."""
    if not found.steps:
        return "no step is decided yet"
    return f"{_number(found)}{_weakest(found)}{found.besides}"


def _number(found: Outlook) -> str:
    voted = f"the {found.steps - found.unvoted:,} voted" if found.unvoted else f"{found.steps:,}"
    of = f"no error in {voted} steps with probability"
    equal, partly = found.if_equal, found.planned not in {None, found.steps}
    whole = f"{(found.planned or 0) - found.unvoted:,}"
    if found.unknown:
        said = f"not known{' yet' if partly and found.p.value is not None else ''}: {_why(found)}"
        if found.reasons == ["independence"] and equal is not None:
            without = "" if found.so_far_low is not None else ", without a bound"
            return f"{said}; if they do, equally often at every step, {of} {_digits(equal.so_far)}{without}"
        if (by_ballots := found.if_mostly_right) is None:
            return said
        end = by_ballots.to_the_end
        to_come = f", in all {whole} {_digits(end)}" if partly and end is not None else ""
        return (
            f"{said}; {of} {_digits(by_ballots.so_far)}{to_come} by the mixture of steps that fits its ballots, if"
            " samples err independently and no step is mostly wrong, which no ballot shows"
        )
    if found.so_far is None:
        return "not known"
    to_come = f", in all {whole} {_digits(found.to_the_end)}" if partly and found.to_the_end is not None else ""
    if equal is None:
        return (
            f"{of} {_digits(found.so_far)}{to_come}, by the mixture of steps that fits its ballots, if samples err"
            " independently, and less often than not at every step"
        )
    said = f"{of} {_digits(equal.so_far)}"
    if partly and equal.to_the_end is not None:
        said += f", in all {whole} {_digits(equal.to_the_end)}"
    return (
        f"{said} if samples err independently, equally often at every step, and less often than not;"
        f" {_digits(found.so_far)}{to_come} if steps differ as its ballots suggest"
    )


def _why(found: Outlook) -> str:
    """Return why nothing is known, all reasons."""
    ballots = found.steps - found.unvoted + found.open_ballots
    why = {
        "votes": "no step was decided by a vote",
        "k": "with k = 1 no vote is ever lost, and ballots say nothing of p; k = 2 or more does",
        "early": f"{found.steps:,} steps are decided, and {found.open_ballots:,} are open",
        "half": "by its ballots the model may be wrong as often as right",
        "latency": f"{found.latency}: votes are biased if slow answers are others than fast ones",
        "independence": f"{found.contested or 'none'} of {ballots:,} ballots had a lost vote, too few to see whether"
        " samples err independently and steps are alike: answers of a cache or a fixed seed look the same",
        "alarm": "an alarm stands",
        "clusters": "calibration saw errors come again on the same steps",
        "types": "calibration has too few samples of some types of steps",
        "differ": "its ballots suggest that steps differ in how hard they are",
    }
    return "; and ".join(why[reason] for reason in found.reasons)


def _weakest(found: Outlook) -> str:
    """Return what is known without steps that are equally hard."""
    if found.p.value is None:
        return ""
    if found.so_far_low is not None:
        return f"; at least {_digits(found.so_far_low)} (95 %) if it is right as often as when calibrated, in the mean"
    begun = found.steps - found.unvoted + found.open_ballots
    most = f"up to {min(found.hard_high, begun):,}" if found.hard_high is not None else "some"
    known = "" if found.unknown else "not known without the assumption of equal steps: "
    return (
        f"; {known}without equal steps no bound is known: of {begun:,} steps {most} may be"
        " ones that this model gets wrong repeatedly, in one vote of three to two of three, for which no vote counts,"
        " and those that it gets wrong oftener show on few ballots or none, as do answers that a cache or seed repeats"
    )


def caveats(
    totals: Totals,
    *,
    alarms: Sequence[Alarm],
    calibration: Calibration | None,
    timeouts: int,
    in_flight_lost: int,
    hedged: bool,
    first_apart: bool,
    repeated_high: float | None,
    k_open: bool,
) -> list[str]:
    """Return what the guarantee rests on beside its assumptions, or what speaks against it, in words.

    Args:
        totals: Of the run.
        alarms: Those raised so far.
        calibration: What was measured before the run.
        timeouts: Samples that timed out and were drawn again.
        in_flight_lost: Samples lost where a process broke off.
        hedged: Whether votes count as they arrive.
        first_apart: Whether first votes are drawn at a temperature of their own.
        repeated_high: See `outlook.Outlook`.
        k_open: Whether steps are left of which not even the least k is known.
    """
    human, split, apart = totals["by_human"], totals["by_split"], totals["disagreed"]
    human_was, split_was = ("was" if count == 1 else "were" for count in (human, split))
    bias = "latency bias possible:"
    clustered = 1.0 if calibration is None else calibration.independence.p_value
    rate = (
        f"the second way disagrees on at most {100 * (repeated_high or 0):.2g} % of the steps (95 %); errors that both"
        " ways share do not show"
    )
    told: list[tuple[object, str]] = [
        (k_open, "of the steps to come nothing is known: each has a k of its own"),
        (
            calibration is not None and calibration.clusters,
            f"calibration saw errors cluster by step (p-value {clustered:.3f})",
        ),
        *((said, said) for said in ((calibration.hardly_sampled, calibration.untyped) if calibration else ())),
        (
            timeouts,
            f"{bias} {timeouts:,} samples timed out and were drawn again, so that slow answers count less often",
        ),
        (
            in_flight_lost,
            f"{bias} up to {in_flight_lost:,} samples in flight were lost with a process, and drawn again",
        ),
        (hedged, f"{bias} votes count as they arrive, so that fast answers count more"),
        (
            first_apart and any(totals["margins"]),
            "first votes are drawn at another temperature, and may have another p",
        ),
        (human, f"{human:,} of the steps {human_was} decided by a human"),
        (
            split,
            f"{split:,} {split_was} done in sub-steps, each by a vote of its own, of which p says nothing",
        ),
        (
            repeated_high is not None,
            f"of {totals['audits']:,} second votes, asked in another way, {apart:,} did not agree: {rate}",
        ),
    ]
    raised = [f"ALARM about {alarm['what']} after {alarm['steps']:,} steps" for alarm in alarms]
    return raised + [caveat for holds, caveat in told if holds]


def refuted(reason: Reason, planned: int | None) -> str:
    """Return what the end of a run says against all its ballots; nothing where its `reason` is another.

    Example:
        >>> refuted(Reason("wrong_end"), 31), refuted(Reason("no_convergence", "step 3: no answer led"), 31)
        ('at least one step is wrong: all are done, and the task is not', '')
    """
    if reason.code == "wrong_end" and planned is None:
        return "not known: the task is not done after as many steps as it may take, so one is wrong, or it takes more"
    if reason.code == "wrong_end":
        return "at least one step is wrong: all are done, and the task is not"
    if reason.code == "segment_mismatch":
        return f"at least one step is wrong, or where a lane begins: {reason.text.removeprefix('segment boundary: ')}"
    return ""
