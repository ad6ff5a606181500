"""What single samples add up to: the counts of a calibration, and what is concluded from them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from langgraph_maker import theory
from langgraph_maker.core.state import Usage, no_usage, total_usage
from langgraph_maker.models.prices import Price
from langgraph_maker.runs.calibration.margin_choice import OfType, averaged, by_type, fisher, types_differ
from langgraph_maker.runs.calibration.result import (
    SIGNIFICANT,
    TOO_LARGE,
    Calibration,
    FalseFlags,
    Independence,
    OtherLimit,
    first_vote,
    margin_or_none,
    no_better,
)
from langgraph_maker.runs.calibration.second_look import cleared, condemned, power
from langgraph_maker.runs.calibration.trials import Draw, TrialAnswer
from langgraph_maker.theory.intervals import (
    collision_test,
    confidence_sequence,
    exact_interval,
    expected_collisions,
    upper_bound,
)

__all__ = ["LIMITS", "SampleCounts", "at_other_limits", "conclude"]

LIMITS = (500, 750, 1000, 1500, 2048)
"""Token limits that samples are looked at under; 750 is that of MAKER's run, 2,048 that of its calibration."""


class _Seen(NamedTuple):
    """One sample: its answer, whether the vote is right, and whether what lies beneath a flag is."""

    answer: TrialAnswer
    right: bool
    beneath: bool


@dataclass
class SampleCounts:
    """The counts of one calibration while it continues. `truths` has the right key of each step, None if unknown.

    `elsewhere` says that they are for a task of another length, `looked` has the suspects that were looked at again, or
    whose truth is not known, and `fresh` the keys of their fresh samples. `types` has the type of each sampled step,
    `shares` how many of all steps are of each, by the `typed` steps of which the type is known, and `rares` the samples
    that were drawn for their type alone.
    """

    oracle: bool
    limit: int | None = None
    elsewhere: bool = False
    truths: dict[int, str | None] = field(default_factory=dict)
    singles: dict[int, _Seen] = field(default_factory=dict)
    pairs: dict[int, _Seen] = field(default_factory=dict)
    firsts: list[_Seen] = field(default_factory=list)
    used: Usage = field(default_factory=no_usage)
    looked: set[int] = field(default_factory=set)
    fresh: dict[int, list[str | None]] = field(default_factory=dict)
    types: dict[int, str] = field(default_factory=dict)
    shares: dict[str, float] = field(default_factory=dict)
    typed: int = 0
    rares: list[tuple[str, _Seen]] = field(default_factory=list)
    drawn: int = 0
    spent: float | None = 0.0
    notes: list[str] = field(default_factory=list)

    @property
    def samples(self) -> int:
        """Steps sampled."""
        return len(self.singles)

    @property
    def valid(self) -> int:
        """Samples that raised no flag."""
        return sum(self.flag(one) is None for one in self.singles.values())

    @property
    def right(self) -> int:
        """Valid samples that were right."""
        return sum(one.right for one in self.singles.values() if self.flag(one) is None)

    @property
    def suspects(self) -> list[int]:
        """Steps whose sample gave no right vote, being wrong or flagged."""
        return [step for step, one in self.singles.items() if not one.right or self.flag(one) is not None]

    @property
    def uncleared(self) -> list[int]:
        """Suspects that were looked at, of which fresh samples do not show that right answers prevail."""
        return [
            step
            for step in self.suspects
            if step in self.looked and not cleared(self.fresh.get(step, []), self.truths[step])
        ]

    @property
    def systematic(self) -> list[int]:
        """Suspects of which they show that right answers do not prevail."""
        return sorted(
            step
            for step, keys in self.fresh.items()
            if step in self.singles
            and condemned(keys, self.truths[step], self.singles[step].answer["key"], len(self.looked))
        )

    @property
    def again(self) -> dict[int, bool]:
        """Of steps whose valid sample was wrong whether the first fresh one was wrong too, where it is valid."""
        wrong = [step for step, one in self.singles.items() if not one.right and self.flag(one) is None]
        first = {step: self.fresh[step][0] for step in wrong if self.fresh.get(step)}
        return {step: key != self.truths[step] for step, key in first.items() if key is not None}

    def strata(self) -> list[tuple[int, int, int, int]]:
        """Return what `choice.fisher` compares: by type where the task has types."""
        again, tables = self.again, dict[str, list[int]]()
        for step, one in self.singles.items():
            if self.flag(one) is None:
                table = tables.setdefault(self.types.get(step, ""), [0, 0, 0, 0])
                table[2] += not one.right
                table[3] += 1
                table[0] += again.get(step, False)
                table[1] += step in again
        return [(one[0], one[1], one[2], one[3]) for one in tables.values()]

    def of_types(self, steps: int | None) -> list[OfType]:
        """Return the counts of each type of steps."""
        found = dict[str, list[int]]()
        for name, one in [*((self.types.get(step), one) for step, one in self.singles.items()), *self.rares]:
            if name is not None and self.flag(one) is None:
                counts = found.setdefault(name, [0, 0])
                counts[0] += one.right
                counts[1] += 1
        shares = self.shares or {
            name: sum(one == name for one in self.types.values()) / len(self.types) for name in found
        }
        whole = 1 if steps is None else steps
        return [
            OfType(name, share * whole, *reversed(found.get(name, [0, 0]))) for name, share in sorted(shares.items())
        ]

    def flag(self, seen: _Seen) -> str | None:
        """Return why a sample is flagged, if it is."""
        answer = seen.answer
        return "token_limit" if self.limit is not None and answer["tokens"] > self.limit else answer["flag"]

    def judged(self, step: int, answer: TrialAnswer) -> _Seen:
        """Return an answer with whether it is right."""
        truth = self.truths[step]
        known = truth is not None
        return _Seen(answer, known and answer["key"] == truth, known and answer["beneath"] == truth)

    def add_rare(self, name: str, draw: Draw, answer: TrialAnswer) -> None:
        """Count an answer for its type alone."""
        self.rares.append((name, self.judged(draw.at, answer)))

    def add(self, draw: Draw, answer: TrialAnswer) -> None:
        """Count one answer."""
        kind, step, _ = draw
        seen = self.judged(step, answer)
        if kind == "first":
            self.firsts.append(seen)
        elif kind == "pair":
            self.pairs[step] = seen
        else:
            self.singles[step] = seen
            self.used = total_usage([self.used, answer["usage"]])


def conclude(
    counts: SampleCounts,
    *,
    task: str,
    model: str,
    run_id: str,
    steps: int | None,
    target: float,
    price: Price | None,
    anytime: bool,
) -> Calibration:
    """Return what the counts say of a task of so many steps."""
    interval = confidence_sequence if anytime else exact_interval
    n, valid, right = counts.samples, counts.valid, counts.right
    firsts = [one.right for one in counts.firsts if counts.flag(one) is None]
    p, p_bounds = _share(right, valid), interval(right, valid)
    v, v_bounds = _share(valid, n), interval(valid, n)
    p_first, first_bounds = _share(sum(firsts), len(firsts)), interval(sum(firsts), len(firsts))
    first_low = first_bounds.low if p_first is not None else None
    cost = _cost_per_sample(counts)
    own = None if p is None or v is None else first_vote(p, p_first, v)
    k, k_estimate = (
        margin_or_none(low or 0.0, first, steps, target) for low, first in ((p_bounds.low, first_low), (p, own))
    )
    sure = sure_estimate = votes = total = total_estimate = None
    if steps is not None and k is not None and p is not None and v:
        sure = theory.p_full(p_bounds.low, k, steps, p_first=no_better(p_bounds.low, first_low))
        sure_estimate = theory.p_full(p, k, steps, p_first=own)
        votes = steps * theory.expected_votes(p, k, p_first=own) / v
        total = None if cost is None else votes * cost
    if steps is not None and k_estimate is not None and p is not None and v and cost is not None:
        total_estimate = theory.expected_cost(p, k_estimate, steps, cost, v, p_first=own)
    seen, share = _beyond_saving(counts, anytime=anytime)
    own_counts = (sum(firsts), len(firsts)) if firsts else None
    average = None if steps is None or not valid else averaged(right, valid, float(steps), target, first=own_counts)
    types = [] if steps is None else counts.of_types(steps)
    thin = _thin(types)
    if types_differ({one.type: (one.right, one.valid) for one in types}) < SIGNIFICANT:
        types = by_type(types, target) or [replace(one, k=None) for one in types]
    else:
        types = []
    found = Calibration(
        task=task,
        model=model,
        run_id=run_id,
        steps=steps,
        target=target,
        token_limit=counts.limit,
        samples=n,
        valid=valid,
        right=right,
        drawn=counts.drawn,
        spent=counts.spent,
        interval="anytime" if anytime else "exact",
        reference="oracle" if counts.oracle else "vote",
        p=p,
        p_low=p_bounds.low,
        p_high=p_bounds.high,
        valid_rate=v,
        valid_low=v_bounds.low,
        valid_high=v_bounds.high,
        p_first=p_first,
        p_first_low=first_low,
        p_first_high=first_bounds.high if p_first is not None else None,
        input_tokens=counts.used["input_tokens"] / max(n, 1),
        tokens=sum(one.answer["tokens"] for one in counts.singles.values()) / max(n, 1),
        price=price,
        cost_per_sample=cost,
        k_min=k,
        k_estimate=k_estimate,
        p_full=sure,
        p_full_estimate=sure_estimate,
        expected_samples=votes,
        expected_cost=total,
        cost_estimate=total_estimate,
        independence=_independence(counts),
        false_flags=_false_flags(counts),
        other_limits=[],
        unsalvageable=seen,
        unsalvageable_high=None if steps is None else share * steps,
        problem=_problem(counts, *p_bounds) or (TOO_LARGE if k is None and steps is not None else ""),
        notes=[],
        k_average=average,
        types=types,
        thin=thin,
        typed=counts.typed,
        systematic=counts.systematic,
        differing=_differing(counts),
        firsts=len(firsts),
        firsts_drawn=len(counts.firsts),
    )
    return replace(found, notes=[*filter(None, [found.warning]), *counts.notes, *_notes(counts, found)])


def at_other_limits(counts: SampleCounts, found: Calibration) -> list[OtherLimit]:
    """Return what the same samples say of other token limits: lower ones, and higher ones where none was cut off."""
    cut = any(one.answer["cut"] for one in counts.singles.values() if counts.flag(one) == "token_limit")
    others = []
    for limit in LIMITS:
        lower = counts.limit is None or limit < counts.limit
        if limit == counts.limit or (cut and not lower):
            continue
        other = conclude(
            replace(counts, limit=limit),
            task=found.task,
            model=found.model,
            run_id=found.run_id,
            steps=found.steps,
            target=found.target,
            price=found.price,
            anytime=found.interval == "anytime",
        )
        others.append(OtherLimit(**{name: getattr(other, name) for name in OtherLimit.__annotations__}))
    return others


def _beyond_saving(counts: SampleCounts, *, anytime: bool) -> tuple[int, float]:
    """Return how many sampled steps may be systematic errors, and the upper bound on their share of all steps."""

    def bound(seen: int, samples: int, confidence: float = 0.95) -> float:
        if anytime:
            return confidence_sequence(seen, samples, confidence).high
        return upper_bound(seen, samples, confidence)

    suspects, uncleared = len(counts.suspects), len(counts.uncleared)
    if not counts.looked or len(counts.looked) == suspects:
        seen = uncleared if counts.looked else suspects
        return seen, min(1.0, bound(seen, counts.samples) / power())
    both = 0.975  # either bound may miss
    return uncleared, min(
        1.0, bound(suspects, counts.samples, both) * bound(uncleared, len(counts.looked), both) / power()
    )


def _thin(types: list[OfType]) -> list[OfType]:
    """Return the types of which so few samples are right that they may be mostly wrong.

    Where most steps are of such types, types are too many to say anything, and the sampled steps speak for all.
    """
    thin = [one for one in types if exact_interval(one.right, one.valid).low <= 0.5]  # noqa: PLR2004 - votes do not help
    few = sum(one.steps for one in thin) <= sum(one.steps for one in types) / 2
    return thin if few else [one for one in thin if not one.valid]


def _differing(counts: SampleCounts) -> float:
    """Return a lower bound on the mean over steps of p (1 - p): how often a sample is wrong and a fresh one right."""
    again = counts.again
    wrong_low = exact_interval(counts.valid - counts.right, counts.valid).low
    return wrong_low * exact_interval(len(again) - sum(again.values()), len(again)).low


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _cost_per_sample(counts: SampleCounts) -> float | None:
    """Return dollars, None where a price is not known or nothing was counted."""
    used = counts.used
    counted = used["cost"] is not None and used["input_tokens"] + used["output_tokens"] > 0
    return used["cost"] / counts.samples if counted and used["cost"] is not None else None


def _independence(counts: SampleCounts) -> Independence:
    both = [(step, counts.singles[step], second) for step, second in counts.pairs.items() if step in counts.singles]
    both = [(step, one, two) for step, one, two in both if counts.flag(one) is None and counts.flag(two) is None]
    failing = [(step, one, two) for step, one, two in both if not one.right and not two.right]
    wrong = sum(2 - one.right - two.right for _, one, two in both)
    return Independence(
        pairs=len(both),
        wrong=wrong,
        collisions=len(failing),
        alike=sum(one.answer["key"] == two.answer["key"] for _, one, two in failing),
        expected=expected_collisions(len(both), wrong),
        p_value=_repeating(counts, collision_test(len(both), wrong, len(failing))),
        again=sum(counts.again.values()),
        looked=len(counts.again),
        steps=sorted(step for step, _, _ in failing),
    )


def _repeating(counts: SampleCounts, collisions: float) -> float:
    """Return the p-value of both tests, four fifths of the chance to be wrong being that of the one which sees more."""
    return min(1.0, fisher(counts.strata()) / 0.8, collisions / 0.2) if counts.again else collisions


def _false_flags(counts: SampleCounts) -> dict[str, FalseFlags]:
    flagged, right = Counter[str](), Counter[str]()
    for one in counts.singles.values():
        if (reason := counts.flag(one)) is not None:
            flagged[reason] += 1
            right[reason] += one.beneath
    return {
        reason: FalseFlags(flagged[reason], right[reason], *exact_interval(right[reason], flagged[reason]))
        for reason in sorted(flagged)
    }


def _problem(counts: SampleCounts, low: float, high: float) -> str:
    if not counts.samples:
        return "no sample was drawn"
    if not counts.valid:
        flags = _false_flags(counts)
        most = max(flags, key=lambda reason: flags[reason].flagged)
        return (
            f"all of {counts.samples:,} samples were flagged, most often as {most}: see whether prompt, parser and red"
            " flags agree on what an answer is"
        )
    if high <= 0.5:  # noqa: PLR2004
        return f"p is at most {high:.3f}: it is wrong more often than right, and votes would confirm that"
    if low <= 0.5:  # noqa: PLR2004
        return f"p may be as low as {low:.3f}, and voting needs more than 0.5: draw more samples, or use a better model"
    return ""


def _notes(counts: SampleCounts, found: Calibration) -> list[str]:
    notes = []
    if not counts.oracle:
        notes.append(
            "scored against the winners of votes, since the task has no oracle: a step on which the model is mostly"
            " wrong counts as right, also among the steps that no k can save"
        )
    if found.steps is None:
        notes.append("the task's length is not known: say for how many steps k and costs are wanted")
    notes += _notes_on_lost_steps(counts)
    if found.simulated:
        notes.append("the model is simulated: what was measured says nothing about a real one")
    if counts.used["cost"] is None and found.price is None:
        notes.append("the price is not known: give dollars per million input and output tokens for costs")
    elif counts.used["cost"] is None or not counts.used["output_tokens"]:
        notes.append("the model did not say how many tokens it wrote: costs are not known")
    elif not counts.used["input_tokens"]:
        notes.append("the model did not say how many tokens it read: they are not in the costs")
    if cut := sum(one.answer["cut"] for one in counts.singles.values()):
        notes.append(f"{cut:,} answers were cut off: what a higher token limit gives is not known of them")
    return notes


def _notes_on_lost_steps(counts: SampleCounts) -> list[str]:
    notes = []
    suspects, looked = len(counts.suspects), len(counts.looked)
    if looked and suspects > looked:
        notes.append(
            f"of {suspects:,} steps that went wrong or were flagged {looked:,} were looked at again: the bound on steps"
            " that no k can save is a bound on the share of suspects times one on that of lost ones among them"
        )
    elif suspects > looked:
        notes.append(
            f"{suspects:,} steps that went wrong or were flagged were not looked at again: they count as such errors"
        )
    if counts.elsewhere:
        notes.append("the bound on steps that no k can save takes the steps sampled to be like those of the whole task")
    return notes
