"""How sure a run is, in one line of plain words: a number, what it rests on, and where that is weakest."""

from __future__ import annotations

from math import floor
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from langgraph_maker.outlook import Outlook

__all__ = ["refuted", "sentence", "sure"]


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
    if found.why_unknown:
        yet = " yet" if partly and found.p.value is not None else ""
        said = f"not known{yet}: {found.why_unknown}"
        if equal is None or found.p.low <= _HALF:
            return said
        return f"{said}; if they do, and equally often at every step, {of} {sure(equal.so_far, equal.so_far_at_least)}"
    if found.so_far is None:
        return "not known"
    to_come = f", in all {whole} {_digits(found.to_the_end)}" if partly and found.to_the_end is not None else ""
    if found.alarms or found.differ or equal is None:
        why = "an alarm stands" if found.alarms else "steps differ in how hard they are" if found.differ else ""
        known = f"not known for sure, as {why}: " if why else ""
        return (
            f"{known}{of} {_digits(found.so_far)}{to_come} by a mixture of steps that fits its ballots, if samples err"
            " independently, and less often than not at every step"
        )
    said = f"{of} {sure(equal.so_far, equal.so_far_at_least)}"
    if partly and equal.to_the_end is not None and equal.to_the_end_at_least is not None:
        said += f", in all {whole} {sure(equal.to_the_end, equal.to_the_end_at_least)}"
    return (
        f"{said}, bounds of 95 %, if samples err independently, equally often at every step, and less often than not;"
        f" {_digits(found.so_far)}{to_come} if steps differ as its ballots allow"
    )


def _weakest(found: Outlook) -> str:
    """Return what is known without steps that are equally hard."""
    if found.p.value is None:
        return ""
    if found.so_far_low is not None:
        return f"; whatever the steps are like, ≥ {_digits(found.so_far_low)}, by the calibration"
    begun = found.steps - found.unvoted
    up_to = f"up to {found.hard_high:,} of its steps" if found.hard_high else "some of its steps"
    up_to = f"all {begun:,} of its steps" if found.hard_high is not None and found.hard_high >= begun else up_to
    return (
        f"; without equal steps no bound is known: by its ballots {up_to} may be steps that this model gets wrong"
        " repeatedly, for which no vote counts, and no ballot shows those that it always gets wrong"
    )


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
        ('0.999960 (≥ 0.987)', '> 0.9999999 (≥ 0.50)', '0.90')
    """
    return _digits(value) if low is None else f"{_digits(value)} (≥ {_digits(low)})"


def _digits(value: float) -> str:
    for digits in range(2, 8):
        if 1 - value >= 10.0 ** (1 - digits):
            return f"{floor(value * 10**digits + 1e-6) / 10**digits:.{digits}f}"
    return "> 0.9999999" if value > 0.9999999 else "> 0.999999"  # noqa: PLR2004 - what is said


_HALF = 0.5
