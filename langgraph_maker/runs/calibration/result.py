"""What a calibration found: the `Calibration`, and the k that follows from it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from math import ceil
from typing import Any, Literal, Self

from pydantic import TypeAdapter

from langgraph_maker import theory
from langgraph_maker.core.foreign import excerpt
from langgraph_maker.core.margin import LARGEST_MARGIN
from langgraph_maker.models.prices import Price
from langgraph_maker.runs.calibration.margin_choice import OfType, averaged
from langgraph_maker.theory.intervals import upper_bound

__all__ = [
    "ASSUMED",
    "REFUSED",
    "SIGNIFICANT",
    "TOO_LARGE",
    "Calibration",
    "FalseFlags",
    "Independence",
    "OtherLimit",
    "first_vote",
    "margin_or_none",
    "no_better",
]

ASSUMED = "errors are independent and equally likely at every step"
"""What p_full, and so k, holds for."""

TOO_LARGE = (
    f"k would be above {LARGEST_MARGIN:,}, the most that a ballot takes: draw more samples, or use a better model"
)
"""Why there is no k where p allows one."""

SIGNIFICANT = 0.05
"""The p-value below which errors are said to cluster by step."""

REFUSED = 0.01
"""That below which no k is recommended; between the two a run begins, and says that nothing is known."""


@dataclass(frozen=True)
class Independence:
    """Steps sampled twice alike: whether errors fall on the same ones more often than chance puts them there.

    Attributes:
        pairs: Steps of which both samples were valid.
        wrong: Wrong samples among them.
        collisions: Steps of which both were wrong.
        alike: Of these, how many gave the same wrong answer twice.
        expected: Collisions to expect of independent errors.
        p_value: Probability of what was seen, or more, if errors are independent: that of `looked` steps whose sample
            was wrong the first fresh one was wrong too for `again` (`choice.fisher`, by type of step), and of as many
            collisions (`estimates.collision_test`).
        steps: The steps that failed twice.
    """

    pairs: int
    wrong: int
    collisions: int
    alike: int
    expected: float
    p_value: float
    steps: list[int]
    again: int = 0
    looked: int = 0


@dataclass(frozen=True)
class FalseFlags:
    """Of the samples `flagged` for one reason, how many were `right`, and bounds on that share."""

    flagged: int
    right: int
    low: float
    high: float


@dataclass(frozen=True)
class OtherLimit:
    """What the same samples say of another token limit; the fields are those of `Calibration`."""

    token_limit: int
    valid_rate: float | None
    p: float | None
    p_low: float
    p_high: float
    k_min: int | None
    k_estimate: int | None
    expected_cost: float | None
    cost_estimate: float | None

    def cheaper_than(self, found: Calibration) -> bool:
        """Return whether the estimates say so, by more than 5 %; any cost is less than that of a model without a k."""
        if self.cost_estimate is None:
            return False
        return found.cost_estimate is None or self.cost_estimate < _WORTH_IT * found.cost_estimate

    def differs_from(self, found: Calibration) -> bool:
        """Return whether another share of the samples is valid, or another k is called for."""
        shares = abs((self.valid_rate or 0) - (found.valid_rate or 0))
        return shares >= _NOTABLE or self.k_estimate != found.k_estimate


_WORTH_IT, _NOTABLE = 0.95, 0.01


@dataclass(frozen=True)
class Calibration:
    """What a model is worth on a task. All intervals are of 95 %; None stands for what could not be measured.

    Attributes:
        task: The task's name.
        model: The model's.
        run_id: What the answers are kept under.
        steps: The length of the task that k and costs are for; None if it is not known.
        target: Wanted probability of zero errors in it.
        token_limit: Output tokens beyond which a sample is flagged; None for no limit.
        samples: Steps sampled, one sample each; `valid` of them raised no red flag, and `right` of these were right.
        drawn: All samples, with second ones and those of votes; they cost `spent` dollars.
        interval: "exact", or "anytime" where sampling could end early (`estimates.confidence_sequence`).
        reference: What samples were scored against: the "oracle", or the winner of a "vote".
        p: Share of right samples among the valid ones.
        valid_rate: Share of valid samples (v).
        p_first: p at the temperature of a step's first vote; None where that is the same or was not sampled.
        input_tokens: Mean of a sample.
        tokens: Mean output tokens of a sample, flagged ones included.
        price: As given, or known of the model.
        cost_per_sample: Dollars (c).
        k_min: The least margin that reaches the target even at the lower bounds of p and p_first.
        k_estimate: That of the estimates. A first vote that is better than the others is not counted on.
        p_full: Probability of zero errors at k_min and the lower bounds, if errors are independent and equally likely
            at every step (see `warning`), and there is no step that no k can save (see `unsalvageable_high`).
        p_full_estimate: The same at the estimates.
        expected_samples: Mean samples of the whole task at k_min, flagged ones included.
        expected_cost: Dollars for them.
        cost_estimate: Dollars at k_estimate.
        independence: Whether errors come independently.
        false_flags: By reason, what red flags cost in right answers.
        other_limits: What other token limits would give, as far as these samples show.
        unsalvageable: Sampled steps, wrong or flagged, of which fresh samples did not show that right answers prevail.
        unsalvageable_high: Upper bound of 95 % on the steps among all `steps` that no k can save: those whose right
            answer is no more frequent than a wrong one. It allows for those that looked good (`second_look`), and so is
            about twice the bound on those that were seen. For another length than that of the task sampled it assumes
            that its steps are like those sampled.
        problem: Why the model cannot be used as it is; "" if it can.
        notes: What the figures rest on or leave out.
        k_average: The least margin of which the probability of zero errors is the target on average over what these
            samples leave open of p (`choice.averaged`); k_min takes the least that p may be. By it k="auto" goes.
        types: Where the task tells types of steps apart, and their p differ beyond chance: what was counted of each,
            and the k of each that takes the fewest votes (`choice.by_type`), None where none reaches the target.
        systematic: Sampled steps of which fresh samples show, beyond chance, that the right answer does not prevail:
            no k gets past them.
        differing: The least mean over steps of p (1 - p): where fewer ballots are contested than follows, answers
            repeat.
        firsts: Valid samples at the temperature of a step's first vote, where that differs.
        firsts_drawn: All of those, flagged ones included.
        asked: How samples were asked for, by the names of a run's settings; empty where that was not kept.
        k_rule: How a run with k="auto" takes its k from this.
        thin: Types of steps of which so few samples are right that the model may be mostly wrong there.
        typed: Steps of which the type is known, where the task has types: of a type that none of them is of nothing is
            known.
    """

    task: str
    model: str
    run_id: str
    steps: int | None
    target: float
    token_limit: int | None
    samples: int
    valid: int
    right: int
    drawn: int
    spent: float | None
    interval: Literal["exact", "anytime"]
    reference: Literal["oracle", "vote"]
    p: float | None
    p_low: float
    p_high: float
    valid_rate: float | None
    valid_low: float
    valid_high: float
    p_first: float | None
    p_first_low: float | None
    p_first_high: float | None
    input_tokens: float
    tokens: float
    price: Price | None
    cost_per_sample: float | None
    k_min: int | None
    k_estimate: int | None
    p_full: float | None
    p_full_estimate: float | None
    expected_samples: float | None
    expected_cost: float | None
    cost_estimate: float | None
    independence: Independence
    false_flags: dict[str, FalseFlags]
    other_limits: list[OtherLimit]
    unsalvageable: int
    unsalvageable_high: float | None
    problem: str
    notes: list[str]
    k_average: int | None = None
    types: list[OfType] = field(default_factory=list)
    systematic: list[int] = field(default_factory=list)
    differing: float = 0.0
    firsts: int = 0
    firsts_drawn: int = 0
    asked: dict[str, Any] = field(default_factory=dict)
    k_rule: Literal["average", "mixed", "lower bound"] = "lower bound"
    thin: list[OfType] = field(default_factory=list)
    typed: int = 0

    @property
    def simulated(self) -> bool:
        """Whether the model is a simulated one."""
        return self.model.startswith(("sim:", "Simulated"))

    @property
    def warning(self) -> str:
        """Why k and p_full do not hold, which take p to be the same at every step; "" where nothing speaks against."""
        clusters = (
            f"ERRORS CLUSTER BY STEP (p-value {self.independence.p_value:.3f}): K AND P_FULL DO NOT HOLD, since they"
            " take p to be the same at every step, and hard steps fail more often"
        )
        return "; ".join(filter(None, [clusters if self.clusters else "", self.hardly_sampled]))

    @property
    def clusters(self) -> bool:
        """Whether errors come again on the same steps."""
        return self.independence.p_value < SIGNIFICANT

    @property
    def hardly_sampled(self) -> str:
        """Which types of steps have too few right samples to tell what votes on them are worth; "" where none has."""
        if not self.thin:
            return ""
        listed = ", ".join(f"{excerpt(one.type)}: {one.right:,} of {one.valid:,} right" for one in self.thin[:_LISTED])
        more = ", …" if len(self.thin) > _LISTED else ""
        return f"too few samples are of some types of steps to know whether votes help there ({listed}{more})"

    @property
    def untyped(self) -> str:
        """What may be steps of a type that was not seen, in words; "" where the types of all steps are known."""
        if not self.typed or self.steps is None or self.typed >= self.steps:
            return ""
        most = ceil(upper_bound(0, self.typed) * self.steps)
        return (
            f"calibration looked at the types of {self.typed:,} of {self.steps:,} steps: up to {most:,} (95 %) may be"
            " of types that it did not sample"
        )

    @property
    def first_counts(self) -> tuple[int, int] | None:
        """How many first votes were right, of how many valid ones; None where they are drawn as all others."""
        return None if self.p_first is None else (round(self.p_first * self.firsts), self.firsts)

    @property
    def repeating(self) -> str:
        """Why no k can be recommended that holds: errors that come again on the same steps; "" where none surely do."""
        if self.systematic:
            listed = ", ".join(map(str, self.systematic[:_LISTED])) + (", …" if len(self.systematic) > _LISTED else "")
            some = f"the model is wrong as often as right on {len(self.systematic):,} of {self.samples:,} sampled steps"
            return f"{some} ({listed}), and no k gets past those"
        pairs = self.independence
        if pairs.p_value < REFUSED:
            return (
                f"errors come again on the same steps (p-value {pairs.p_value:.3f}: of {pairs.looked:,} steps whose"
                f" sample was wrong, {pairs.again:,} were wrong again), and a k that takes all steps to be alike does"
                " not hold"
            )
        return ""

    @property
    def collisions(self) -> int:
        """Steps of which two samples were both wrong."""
        return self.independence.collisions

    def margin(
        self,
        *,
        target: float | None = None,
        steps: int | None = None,
        rule: Literal["lower bound", "average"] = "lower bound",
    ) -> int:
        """Return the k to run with: the least margin that reaches the target even at the lower bounds, or on average.

        Args:
            target: Wanted probability of zero errors; None for that of the calibration.
            steps: Of the whole task; None likewise.
            rule: "lower bound", or "average" over what the samples leave open of p (`choice.averaged`).

        Raises:
            ValueError: When voting may not help at all, k is above 1,000, or the task's length is not known.
        """
        steps = self.steps if steps is None else steps
        if steps is None:
            raise ValueError("the task's length is not known: give steps=, or use margins() step by step")
        target = self.target if target is None else target
        if rule == "average":
            k = averaged(self.right, self.valid, float(steps), target, first=self.first_counts) if self.valid else None
        else:
            k = margin_or_none(self.p_low, self.p_first_low, steps, target)
        if k is None:
            raise ValueError(f"no k can be recommended for {self.model}: {self.problem or TOO_LARGE}")
        return k

    def margins(self, *, target: float | None = None) -> Callable[[int], int]:
        """From the number of a step, counted from 0, to its k, for a task of unknown length (`theory.k_at_step`).

        Raises:
            ValueError: When voting may not help at all.
        """
        self.margin(steps=1)
        p, own, wanted = self.p_low, no_better(self.p_low, self.p_first_low), self.target if target is None else target
        return lambda step: theory.k_at_step(p, step, wanted, p_first=own)

    def to_json(self) -> str:
        """Return as one JSON object with the fields as its keys."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read what `to_json` wrote.

        Raises:
            ValueError: For text that is no calibration.
        """
        try:
            values: dict[str, Any] = json.loads(text)
            values["independence"] = Independence(**values["independence"])
            values["false_flags"] = {name: FalseFlags(**flags) for name, flags in values["false_flags"].items()}
            values["other_limits"] = [OtherLimit(**limit) for limit in values["other_limits"]]
            values["price"] = values["price"] and Price(**values["price"])
            for name in ("types", "thin"):
                values[name] = [OfType(**one) for one in values.get(name, [])]
            found = TypeAdapter(cls).validate_python(values)
        except (TypeError, KeyError, ValueError, AttributeError) as error:
            raise ValueError(f"this is no calibration: {error}") from error
        if not (0 < found.target < 1 and 0 <= found.right <= found.valid <= found.samples < 2**31):
            raise ValueError("this is no calibration: its counts or its target cannot be")
        return found


_LISTED = 10


def margin_or_none(p: float, p_first: float | None, steps: int | None, target: float) -> int | None:
    """Return k_min, not counting on a first vote better than the others.

    None where voting cannot help, s is unknown, or k is beyond what a ballot takes.
    """
    if p <= 0.5 or steps is None:  # noqa: PLR2004 - the worst case of p_alt
        return None
    k = theory.k_min(p, steps, target, p_first=no_better(p, p_first))
    return k if k <= LARGEST_MARGIN else None


def no_better(p: float, p_first: float | None) -> float | None:
    """Return the first vote's own probability, p at most."""
    return None if p_first is None else min(p, p_first)


def first_vote(p: float, p_first: float | None, valid_rate: float) -> float | None:
    """Probability that the first vote is right: a flagged first sample is drawn again like all others.

    Example:
        >>> first_vote(0.5, 1.0, valid_rate=0.5)
        0.75
    """
    return None if p_first is None else valid_rate * p_first + (1 - valid_rate) * p
