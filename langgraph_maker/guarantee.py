"""How sure a run is, in one line of plain words: a number, what it rests on, and where that is weakest."""

from __future__ import annotations

from math import floor
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from langgraph_maker.events import Alarm, Totals
    from langgraph_maker.outlook import Outlook

__all__ = ["caveats", "refuted", "sentence", "sure"]


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
        if found.unknown != "independence" or equal is None:
            return said
        return f"{said}; if they do, equally often at every step, {of} {sure(equal.so_far, equal.so_far_at_least)}"
    if found.so_far is None:
        return "not known"
    to_come = f", in all {whole} {_digits(found.to_the_end)}" if partly and found.to_the_end is not None else ""
    alarmed = found.alarms or found.earlier_alarms
    if alarmed or found.differ or equal is None:
        why = "an alarm stands" if alarmed else "steps differ in how hard they are" if found.differ else ""
        known = f"not known, as {why}: at best, " if why else ""
        return (
            f"{known}{of} {_digits(found.so_far)}{to_come}, by the mixture of steps that fits its ballots, if samples"
            " err independently, and less often than not at every step"
        )
    said = f"{of} {sure(equal.so_far, equal.so_far_at_least)}"
    if partly and equal.to_the_end is not None and equal.to_the_end_at_least is not None:
        said += f", in all {whole} {sure(equal.to_the_end, equal.to_the_end_at_least)}"
    return (
        f"{said}, bounds of 95 %, if samples err independently, equally often at every step, and less often than not;"
        f" {_digits(found.so_far)}{to_come} if steps differ as its ballots suggest"
    )


def _why(found: Outlook) -> str:
    """Return why nothing is known."""
    ballots = found.steps - found.unvoted + found.open_ballots
    return {
        "votes": "no step was decided by a vote",
        "k": "with k = 1 no vote is ever lost, and ballots tell nothing of p; k = 2 or more does",
        "early": f"{found.steps:,} steps are decided, and {found.open_ballots:,} are open",
        "half": "by its ballots the model may be wrong as often as right",
        "latency": f"{found.latency}: votes are biased if slow answers are others than fast ones",
        "independence": f"{found.contested or 'none'} of {ballots:,} ballots had a lost vote, too few to see whether"
        " samples err independently: answers of a cache or a fixed seed look alike",
    }[found.unknown]


def _weakest(found: Outlook) -> str:
    """Return what is known without steps that are equally hard."""
    if found.p.value is None:
        return ""
    if found.so_far_low is not None:
        return f"; at least {_digits(found.so_far_low)} (95 %) if it is right as often as when calibrated, in the mean"
    begun = found.steps - found.unvoted + found.open_ballots
    most = f"up to {min(found.hard_high, begun):,}" if found.hard_high is not None else "some"
    return (
        f"; without equal steps no bound is known: of {begun:,} steps {most} may be ones that this model gets wrong"
        " repeatedly, for which no vote counts, and those that it always gets wrong show on no ballot"
    )


def caveats(
    totals: Totals,
    *,
    alarms: Sequence[Alarm],
    clusters: float | None,
    timeouts: int,
    in_flight_lost: int,
    hedged: bool,
    first_apart: bool,
    repeated_high: float | None,
) -> list[str]:
    """Return what the guarantee rests on beside its assumptions, or what speaks against it, in words.

    Args:
        totals: Of the run.
        alarms: Those raised so far.
        clusters: The p-value of errors that cluster, where calibration warned of it.
        timeouts: Samples that timed out and were drawn again.
        in_flight_lost: Samples lost where a process broke off.
        hedged: Whether votes count as they arrive.
        first_apart: Whether first votes are drawn at a temperature of their own.
        repeated_high: See `outlook.Outlook`.
    """
    human, split = totals["by_human"], totals["by_split"]
    told = {
        f"calibration saw errors cluster by step (p-value {clusters or 0:.3f})": clusters is not None,
        f"{timeouts:,} samples timed out and were drawn again, so that slow answers count less often": timeouts,
        f"up to {in_flight_lost:,} samples in flight were lost with a process, and drawn again": in_flight_lost,
        "votes count as they arrive, so that fast answers count more": hedged,
        "first votes are drawn at another temperature, and may have another p": first_apart and any(totals["margins"]),
        f"{human:,} of the steps {'was' if human == 1 else 'were'} decided by a human": human,
        f"{split:,} {'was' if split == 1 else 'were'} done in finer steps, each by a vote of its own, of which p says"
        " nothing": split,
        f"of {totals['audits']:,} second votes, asked in another way, {totals['disagreed']:,} did not agree: errors"
        f" repeat under one prompt on at most {100 * (repeated_high or 0):.2g} % of the steps": repeated_high
        is not None,
    }
    raised = [f"ALARM about {alarm['what']} after {alarm['steps']:,} steps" for alarm in alarms]
    return raised + [caveat for caveat, holds in told.items() if holds]


def refuted(reason: str, planned: int | None) -> str:
    """Return what the end of a run says against all its ballots; nothing where its `reason` is another.

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


def sure(value: float, low: float | None) -> str:
    """Return a probability with its lower bound, if any, rounded down, with two digits of how far it is from 1.

    Example:
        >>> sure(0.99996, 0.987), sure(1.0, 0.5), sure(0.9, None)
        ('0.999960 (≥ 0.987)', '> 0.9999999 (≥ 0.50)', '0.900')
    """
    return _digits(value) if low is None else f"{_digits(value)} (≥ {_digits(low)})"


def _digits(value: float) -> str:
    for digits in range(2, 8):
        if 1 - value >= 10.0 ** (1 - digits):
            return f"{floor(value * 10**digits + 1e-6) / 10**digits:.{digits}f}"
    return "> 0.9999999" if value > 0.9999999 else "> 0.999999"  # noqa: PLR2004 - what is said
