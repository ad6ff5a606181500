"""What single samples add up to: the counts of a calibration, and what is concluded from them."""

from __future__ import annotations

from dataclasses import dataclass, field

from langgraph_maker import theory
from langgraph_maker.calibration.findings import Calibration, FalseFlags, Independence, margin_or_none, no_better
from langgraph_maker.calibration.trials import Answer, Draw, Prices
from langgraph_maker.estimates import (
    collision_test,
    confidence_sequence,
    exact_interval,
    expected_collisions,
    upper_bound,
)

__all__ = ["Counts", "conclude"]


@dataclass
class Counts:
    """The counts of one calibration while it goes on. `truths` has the right key of each step, None if unknown."""

    oracle: bool
    truths: dict[int, str | None] = field(default_factory=dict)
    keys: dict[int, str] = field(default_factory=dict)
    samples: int = 0
    right: int = 0
    first: list[bool] = field(default_factory=list)
    pairs: list[tuple[int, bool, bool, bool]] = field(default_factory=list)
    flags: dict[str, list[bool]] = field(default_factory=dict)
    suspects: set[int] = field(default_factory=set)
    input_tokens: int = 0
    output_tokens: int = 0
    drawn: int = 0
    spent: float = 0.0
    notes: list[str] = field(default_factory=list)

    @property
    def valid(self) -> int:
        """Samples that raised no flag."""
        return len(self.keys)

    def add(self, draw: Draw, answer: Answer) -> None:
        """Count one answer; the sample of a step before its pair."""
        kind, step, _ = draw
        truth, key = self.truths[step], answer["key"]
        right = key is not None and key == truth
        if kind == "first" and key is not None:
            self.first.append(right)
        elif kind == "pair" and key is not None and step in self.keys:
            earlier = self.keys[step]
            self.pairs.append((step, earlier == truth, right, earlier == key))
        elif kind == "sample":
            self.samples += 1
            self.input_tokens += answer["input_tokens"]
            self.output_tokens += answer["output_tokens"]
            if key is not None:
                self.keys[step] = key
                self.right += right
                self.suspects |= set() if right else {step}
            else:
                known = answer["beneath"] is not None and answer["beneath"] == truth
                self.flags.setdefault(answer["flag"] or "", []).append(known)


def conclude(
    counts: Counts,
    *,
    task: str,
    model: str,
    run_id: str,
    steps: int | None,
    target: float,
    price: Prices | None,
    anytime: bool,
) -> Calibration:
    """What the counts say of a task of so many steps."""
    interval = confidence_sequence if anytime else exact_interval
    n, valid = counts.samples, counts.valid
    p, p_bounds = _share(counts.right, valid), interval(counts.right, valid)
    v, v_bounds = _share(valid, n), interval(valid, n)
    p_first, first_bounds = _share(sum(counts.first), len(counts.first)), interval(sum(counts.first), len(counts.first))
    first_low = first_bounds.low if p_first is not None else None
    read, written = counts.input_tokens / max(n, 1), counts.output_tokens / max(n, 1)
    cost = (price[0] * read + price[1] * written) / 1e6 if price and n else None
    k, k_estimate = (
        margin_or_none(low or 0.0, own, steps, target) for low, own in ((p_bounds.low, first_low), (p, p_first))
    )
    sure = sure_estimate = votes = total = total_estimate = None
    if steps is not None and k is not None and p is not None and v:
        sure = theory.p_full(p_bounds.low, k, steps, p_first=no_better(p_bounds.low, first_low))
        sure_estimate = theory.p_full(p, k, steps, p_first=p_first)
        votes = steps * theory.expected_votes(p, k, p_first=p_first) / v
        total = None if cost is None else votes * cost
    if steps is not None and k_estimate is not None and p is not None and v and cost is not None:
        total_estimate = theory.expected_cost(p, k_estimate, steps, cost, v, p_first=p_first)
    seen = len(counts.suspects)
    share = interval(seen, valid).high if anytime else upper_bound(seen, valid)
    notes = list(counts.notes)
    if not counts.oracle:
        notes.append(
            "scored against the winners of votes, since the task has no oracle: a step on which the model is mostly"
            " wrong counts as right, also among the steps that no k can save"
        )
    if model.startswith(("sim:", "Simulated")):
        notes.append("the model is simulated: what was measured says nothing about a real one")
    if cost is None:
        notes.append("the price is not known: give dollars per million input and output tokens for costs")
    elif counts.input_tokens == 0:
        notes.append("the model did not say how many input tokens it read: they are not in the costs")
    return Calibration(
        task=task,
        model=model,
        run_id=run_id,
        steps=steps,
        target=target,
        samples=n,
        valid=valid,
        right=counts.right,
        drawn=counts.drawn,
        spent=counts.spent if price else None,
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
        input_tokens=read,
        tokens=written,
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
        false_flags={
            reason: FalseFlags(len(right), sum(right), *interval(sum(right), len(right)))
            for reason, right in sorted(counts.flags.items())
        },
        unsalvageable=seen,
        unsalvageable_high=None if steps is None else share * steps,
        problem=_problem(counts, *p_bounds),
        notes=notes,
    )


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _independence(counts: Counts) -> Independence:
    failing = [(step, alike) for step, first, second, alike in counts.pairs if not first and not second]
    pairs, wrong = len(counts.pairs), sum(2 - first - second for _, first, second, _ in counts.pairs)
    return Independence(
        pairs=pairs,
        wrong=wrong,
        collisions=len(failing),
        alike=sum(alike for _, alike in failing),
        expected=expected_collisions(pairs, wrong),
        p_value=collision_test(pairs, wrong, len(failing)),
        steps=sorted(step for step, _ in failing),
    )


def _problem(counts: Counts, low: float, high: float) -> str:
    if not counts.samples:
        return "no sample was drawn"
    if not counts.valid:
        most = max(counts.flags, key=lambda reason: len(counts.flags[reason]))
        return (
            f"all of {counts.samples:,} samples were flagged, most often as {most}: see whether prompt, parser and red"
            " flags agree on what an answer is"
        )
    if high <= 0.5:  # noqa: PLR2004
        return f"p is at most {high:.3f}: it is wrong more often than right, and votes would confirm that"
    if low <= 0.5:  # noqa: PLR2004
        return f"p may be as low as {low:.3f}, and voting needs more than 0.5: draw more samples, or use a better model"
    return ""
