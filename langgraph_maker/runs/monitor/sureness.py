"""What the ballots of a run say of its errors, and whether they say anything: the parts of an `outlook.Outlook`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import exp, log1p, sqrt
from typing import Any, Final, Literal, TypeAlias

from langgraph_maker.core.events import OpenBallots, Totals
from langgraph_maker.runs.calibration.result import Calibration
from langgraph_maker.theory.inference import Estimate, calibrated_bound, latency_matters, log_all_right
from langgraph_maker.theory.intervals import confidence_sequence, exact_interval
from langgraph_maker.theory.mixture import FEW, Shapes, Spread, most_contested, pooled, spread

__all__ = [
    "IfEqual",
    "IfMostlyRight",
    "Unknown",
    "as_calibrated",
    "calibrated",
    "effective_votes",
    "hard_high",
    "if_equal",
    "in_turns",
    "latency",
    "mixed",
    "unknown",
]

_HALF: Final = 0.5
_LATE: Final = 0.01
"""How many wrong answers, in the mean, may have come in the place of slow ones before nothing is known."""
_TWO: Final = 2.0

Unknown: TypeAlias = Literal[
    "", "votes", "k", "early", "half", "latency", "alarm", "clusters", "types", "independence", "differ"
]
"""Why nothing is known, see `outlook.Outlook`."""


@dataclass(frozen=True)
class IfEqual:
    """What would be known if all steps were equally hard: probabilities of no error, and bounds of 95 % on them."""

    so_far: float
    so_far_at_least: float
    to_the_end: float | None
    to_the_end_at_least: float | None


@dataclass(frozen=True)
class IfMostlyRight:
    """Probabilities of no error by the mixture of steps that fits the ballots, if none of these is mostly wrong."""

    so_far: float
    to_the_end: float | None


def unknown(
    totals: Totals,
    still: OpenBallots,
    p: Estimate,
    lost_votes: int,
    *,
    latency: str,
    alarmed: bool,
    clusters: bool,
    hardly_sampled: bool,
    differ: bool,
) -> list[Unknown]:
    """Return all reasons for which nothing is known; none where something is.

    Args:
        totals: Of the run.
        still: The ballots under way.
        p: Pooled over both.
        lost_votes: How many of them have a lost vote.
        latency: What `latency` says.
        alarmed: Whether an alarm was raised.
        clusters: Whether calibration saw errors cluster by step.
        hardly_sampled: Whether it has too few samples of some types of steps.
        differ: Whether ballots suggest that steps differ in how hard they are.
    """
    said, k = p.value is not None, any(totals["margins"])
    rules: list[tuple[Unknown, bool]] = [
        ("k", not said and k),
        ("votes", not said and not k),
        ("early", said and totals["steps"] < still["ballots"]),
        ("half", said and p.low <= _HALF),
        ("latency", bool(latency)),
        ("alarm", alarmed),
        ("clusters", clusters),
        ("types", hardly_sampled),
        ("independence", said and lost_votes < FEW),
        ("differ", differ),
    ]
    return [code for code, applies in rules if applies]


def latency(totals: Totals, samples: int, p: Estimate, *, drawn_again: int, in_turns: bool = False) -> str:
    """Return what speaks for votes that are biased towards fast answers, in words.

    Slow answers that were all right are not seen. In the place of each came another, which is wrong with 1 - p; one
    wrong answer more may decide a ballot on which others were wrong before. Where votes take prompts or models
    `in_turns`, that late ones differ from early ones says nothing: they were asked in another way.
    """
    replaced = drawn_again + totals["cancelled"]
    if replaced * (1 - p.low) > _LATE:
        again = f"up to {drawn_again:,} samples were slow or lost, and drawn again" if drawn_again else ""
        left = f"{totals['cancelled']:,} hedged ones were not waited for" if totals["cancelled"] else ""
        return f"{' and '.join(filter(None, [again, left]))}, beside {samples:,} that count"
    return latency_matters({**totals, "last_lost": 0, "first_lost": 0} if in_turns else totals)


def in_turns(settings: Mapping[str, Any]) -> bool:
    """Return whether votes on one step may be asked in several ways, by a run's settings."""
    asked = [tier.get(what) for tier in settings.get("ladder") or [] for what in ("variants", "model")]
    return any(one == "all" or (isinstance(one, list) and len(one) > 1) for one in asked)


def mixed(fitted: Spread, totals: Totals, still: OpenBallots, left: int | None, k: int | None) -> IfMostlyRight:
    """Return the probabilities of no error so far and to the end, where each step has its own p of 1/2 or more.

    Steps to come have a margin of `k` or more; what is not known is None.
    """
    log_right = fitted.decided(totals["shapes"])
    higher = spread(totals["above"], still["above"])
    if higher is not None:
        log_right += higher.decided(totals["above"])
    if left == 0 and not still["ballots"]:
        return IfMostlyRight(exp(log_right), exp(log_right))
    if left is None or k is None or k < 1:
        return IfMostlyRight(exp(log_right), None)
    log_end = log_right + fitted.to_decide(still["shapes"], k)
    if higher is not None:
        log_end += higher.to_decide(still["above"], k)
    log_end += max(0, left - still["ballots"]) * log1p(-fitted.to_come(k))
    return IfMostlyRight(exp(log_right), exp(log_end))


def if_equal(totals: Totals, p: Estimate, left: int | None, k: int | None) -> IfEqual | None:
    """Return what equally hard steps would mean; None where some were decided above the first tier, or p is unknown.

    Steps to come have a margin of `k` or more; what is not known is None.
    """
    if p.value is None or totals["climbed"] or totals["given_up"]:
        return None
    known = left == 0 or (left is not None and k is not None)
    margins, to_come = totals["margins"], [0] * (k or 0) + [left or 0] if known else None
    value, low = (exp(log_all_right(one, margins)) for one in (p.value, p.low))
    if to_come is None:
        return IfEqual(value, low, None, None)
    then, then_low = (exp(log_all_right(one, to_come)) for one in (p.value, p.low))
    return IfEqual(value, low, value * then, low * then_low)


def calibrated(
    found: Calibration | None, begun: Sequence[Shapes], k: int, steps: int | None, *, flagged: int = 0
) -> float | None:
    """Return the lower bound for `steps` that a calibration allows, if ballots have no more lost votes and flags.

    Samples that were flagged when calibrated count as wrong, first votes at a temperature of their own too.
    """
    seen = pooled(*begun)
    if found is None or found.reference != "oracle" or steps is None or k < 1 or seen is None:
        return None
    usual = (1 - min(found.p_low, 1.0 if found.p_first_low is None else found.p_first_low)) * seen.votes
    if seen.wrong > usual + 1 + _TWO * sqrt(usual):
        return None
    interval = confidence_sequence if found.interval == "anytime" else exact_interval
    right = interval(found.right, found.samples).low
    if found.asked.get("first_temperature") != found.asked.get("temperature"):
        right = min(right, interval((found.first_counts or (0, 0))[0], found.firsts_drawn).low)
    usual = (1 - right) * (seen.votes + flagged)
    if seen.wrong + flagged > usual + 1 + _TWO * sqrt(usual):
        return None
    return calibrated_bound(1 - right, k, steps)


def as_calibrated(found: Calibration, task: str | None, settings: Mapping[str, Any]) -> bool:
    """Return whether a run is known to ask what its calibration did, and as that did.

    What a function is called says not which model.

    Args:
        found: What was calibrated.
        task: The run's, by name; None where processes before this one may have asked in another way.
        settings: The run's, with its wording, see `events.RunStarted`.
    """
    ladder = settings.get("ladder") or [{}]
    plain = len(ladder) == 1 and not {*ladder[0]} - {"k", "samples"}
    function = found.model.isidentifier() or found.model.startswith("<")
    named = found.task == task and found.model == settings.get("model") and not function
    known = bool(found.asked.get("wording") and found.asked.get("instance"))
    asked = known and found.asked == {name: settings.get(name) for name in found.asked}
    return named and plain and asked and not settings.get("audit") and not settings.get("hedge")


def hard_high(totals: Totals, still: OpenBallots) -> int | None:
    """Return a bound on the steps on which answers are split; those that left the first tier are taken for such."""
    decided_elsewhere = totals["climbed"] + sum(still["above"].values())
    return most_contested(totals["shapes"], still["shapes"], decided_elsewhere)


def effective_votes(fitted: Spread, totals: Totals) -> float | None:
    """Return how many independent votes a ballot's votes amount to, in the mean over decided ballots."""
    votes = sum(int(name.split(":")[0]) * count for name, count in totals["shapes"].items())
    ballots = sum(totals["shapes"].values())
    return votes / (ballots + (votes - ballots) * fitted.alike) if ballots else None
