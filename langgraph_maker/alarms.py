"""Alarms: assumptions of a run that no longer hold, each seen without truth at hand, each with its remedy.

Steps count once they are decided, with all that happened to them. Hard steps are decided late, so where lanes end what
comes last are hard ones: lost votes, flags and drift are looked at until the first lane has ended, and held against
the beginning of a run only once four times as many steps are decided as are open.

Every one is a sequential test with a probability of at most 0.1 % to be wrong in a whole run, and those that have
nothing to go by but the run's own beginning as much again for taking that too low: together less than 1 % of runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from typing import Literal

from langgraph_maker.calibration.findings import Calibration, margin_or_none, no_better
from langgraph_maker.detectors import Rising, above
from langgraph_maker.estimates import exact_interval, upper_bound
from langgraph_maker.events import Alarm, Begin, Open, Round, Totals
from langgraph_maker.inference import undecided
from langgraph_maker.theory import p_correct

__all__ = ["ALPHA", "Alarms", "Expected"]

ALPHA = 0.001
"""Probability of a false alarm of one kind in a whole run."""

_FIRST = 200  # steps that stand for all, where there is no calibration
_SETTLED = 4  # times as many steps as are open
_EXACT_UP_TO = 10_000
_TOLERATED = 1.1  # of the projected cost
_LEAST_STEPS = 50
_WINDOW = 30  # steps of which p is estimated anew
_LARGEST_MARGIN = 1000
_HALF = 0.5


@dataclass(frozen=True)
class Expected:
    """What a run is held against.

    Attributes:
        p: The least that p may be; None to hold it against the run's own first 200 steps.
        flagged: The largest share of flagged samples; None likewise.
        cost_per_step: Dollars; None for no projection.
        target: Wanted probability of zero errors, by which a k to raise to is chosen.
        raise_k: Whether k is raised when p is found to have fallen.
        max_k: Up to which k.
        audit_k: The margin of the second votes that a share of the steps get.
    """

    p: float | None = None
    flagged: float | None = None
    cost_per_step: float | None = None
    target: float = 0.95
    raise_k: bool = False
    max_k: int = _LARGEST_MARGIN
    audit_k: int | None = None

    @classmethod
    def of(
        cls,
        found: Calibration | None,
        *,
        target: float,
        raise_k: bool,
        max_k: int | None,
        max_cost: float | None,
        steps: int | None,
        audit_k: int | None = None,
    ) -> Expected:
        """By a calibration where there is one, else by what the run may cost."""
        top = _LARGEST_MARGIN if max_k is None else min(max_k, _LARGEST_MARGIN)
        if found is None:
            paid = None if max_cost is None or steps is None else max_cost / steps / _TOLERATED
            return cls(cost_per_step=paid, target=target, raise_k=raise_k, max_k=top, audit_k=audit_k)
        cost = None if found.expected_cost is None or not found.steps else found.expected_cost / found.steps
        return cls(
            p=no_better(found.p_low, found.p_first_low) or found.p_low,
            flagged=1 - exact_interval(found.valid, found.samples).low,
            cost_per_step=cost,
            target=found.target,
            raise_k=raise_k,
            max_k=top,
            audit_k=audit_k,
        )


class Alarms:
    """Follows the rounds of a run and says what no longer holds; each alarm comes once, that of p again once k rose.

    Args:
        begin: How the run begins, or goes on.
        expected: What it is held against.
    """

    def __init__(self, begin: Begin, expected: Expected) -> None:
        self.run_id, self.limit, self.expected = begin["run_id"], begin["limit"], expected
        self.p = expected.p
        self.k = max(begin["k"] or 0, begin["raised"])
        self.last = begin["totals"]
        self.seen = _seen(self.last)
        self.lanes = 0
        self.raises = 0
        self.tests = {
            "p": Rising(ALPHA),
            "flags": Rising(ALPHA),
            "drift": Rising(ALPHA),
            "repeats": Rising(ALPHA, (4.0, 16.0, 64.0)),
            "audit": Rising(ALPHA, (4.0, 16.0, 64.0, 256.0)),
        }
        self.first = {name: _First() for name in ("p", "flags", "drift")}
        self.usual = _mean(self.last["margins"])
        self.silent: set[str] = set()
        self.longest: tuple[float, int, int] | None = None
        for name, events in (("p", 1), ("flags", 2), ("drift", 3)):
            self.first[name].add(self.seen[0], self.seen[events], begin["open"]["ballots"], 0)

    def see(self, event: Round) -> list[Alarm]:
        """What the round shows."""
        totals, still = event["totals"], event["open"]
        now = _seen(totals)
        self.lanes = max(self.lanes, event["lanes"])
        steps, contested, flagged, drifted, pairs, alike = (
            after - before for after, before in zip(now, self.seen, strict=True)
        )
        margins = [
            count - (self.last["margins"][k] if k < len(self.last["margins"]) else 0)
            for k, count in enumerate(totals["margins"])
        ]
        if any(margins):
            self.k = max(k for k, count in enumerate(margins) if count)
        audited = totals["audits"] - self.last["audits"], totals["disagreed"] - self.last["disagreed"]
        self.seen, self.last = now, totals
        if all(first.bound is None for first in self.first.values()):
            self.usual = _mean(totals["margins"])
        of_steps: list[Alarm | None] = []
        if event["lanes"] == self.lanes or self.lanes <= 1:
            of_steps = [
                self.of_p(steps, contested, totals, margins if any(margins) else [0] * self.k + [1], still),
                self.of_flags(steps, flagged, totals, _mean(margins), still),
                self.of_drift(steps, drifted, totals, _mean(margins), still),
            ]
        found = [
            *of_steps,
            self.of_repeats(pairs, alike, totals),
            self.of_votes(event),
            self.of_cost(event),
            self.of_audit(*audited, totals),
        ]
        return [alarm for alarm in found if alarm is not None]

    def of_p(self, steps: int, contested: int, totals: Totals, margins: Sequence[int], still: Open) -> Alarm | None:
        """Steps with a lost vote, of which few are to be expected at the least p, however unevenly errors fall."""
        if "p" in self.silent or self.k <= 1:
            return None
        if self.p is None:
            share = self.first["p"].share(steps, contested, still["ballots"], still["contested"])
            if share is not None:
                self.p = _p_of_contested(share, totals["margins"])
            return None
        test, null = self.tests["p"], _contested(self.p, margins)
        if not test.see(steps, contested, null) or test.trials_since < _WINDOW:
            return None
        some = min(test.events_since, test.trials_since)
        least = _p_of_contested(_scaled_bound(some, test.trials_since, 0.95), margins)
        finding = (
            f"{some:,} of the last {test.trials_since:,} steps had a lost vote, where p = {self.p:.4f} lets expect"
            f" {100 * null:.2g} %: p has fallen, to {least:.4f} or more"
        )
        remedy = "stop, calibrate again, and go on with a k that fits (--k auto in a new run)"
        alarm = self.alarm("p", finding, remedy, totals)
        return self.remedied(alarm, least, totals) if self.expected.raise_k else alarm

    def remedied(self, alarm: Alarm, least: float, totals: Totals) -> Alarm:
        """The alarm with the k that makes up for a p of `least`; the next is set off by what is worse than that."""
        left = max(1, self.limit - totals["steps"])
        k = margin_or_none(least, None, left, self.expected.target)
        if k is None or self.k >= self.expected.max_k:
            alarm["remedy"] = "use a better model or smaller steps: no k that is allowed makes up for this p"
            return alarm
        alarm["k"] = min(self.expected.max_k, max(k, self.k + 1))
        alarm["remedy"] = f"k is {alarm['k']} for the steps to come; calibrate again if this lasts"
        self.silent.discard("p")
        self.raises += 1
        self.p, self.k = least, alarm["k"]
        self.tests["p"] = Rising(ALPHA / 2**self.raises)
        self.longest = None
        return alarm

    def of_flags(self, steps: int, flagged: int, totals: Totals, margin: float, still: Open) -> Alarm | None:
        """Steps with a flagged sample, of which a larger margin has more."""
        if "flags" in self.silent:
            return None
        share = self.first["flags"].share(steps, flagged, still["ballots"], still["flagged_steps"])
        if self.expected.flagged is None:
            null = None if share is None else _scaled(share, margin / self.usual if self.usual else 1.0)
        else:
            led = sum(k * count for k, count in enumerate(totals["margins"]))
            null = _scaled(self.expected.flagged, margin * totals["votes"] / led) if led and margin else None
        if null is None or not self.tests["flags"].see(steps, flagged, null):
            return None
        most = max(totals["flags"], key=totals["flags"].__getitem__, default="flagged")
        test = self.tests["flags"]
        return self.alarm(
            "flags",
            f"{test.events_since:,} of the last {test.trials_since:,} steps had a flagged sample, where at most"
            f" {100 * null:.2g} % are to be expected; most flags so far are {most}",
            f"look at what is flagged as {most}: has the model, its length limit or its output format changed?",
            totals,
        )

    def of_drift(self, steps: int, drifted: int, totals: Totals, margin: float, still: Open) -> Alarm | None:
        """Steps with a vote for the winner's action and another next state, of which a larger margin has more."""
        if "drift" in self.silent:
            return None
        share = self.first["drift"].share(steps, drifted, still["ballots"], still["drifted"])
        null = None if share is None else _scaled(share, margin / self.usual if self.usual else 1.0)
        if null is None or not self.tests["drift"].see(steps, drifted, null):
            return None
        test = self.tests["drift"]
        return self.alarm(
            "drift",
            f"in {test.events_since:,} of the last {test.trials_since:,} steps votes agreed on the action and not on"
            " the next state: the model loses track of the state",
            "make the state in the prompt smaller or plainer, or work out the next state from the action in advance()",
            totals,
        )

    def of_repeats(self, pairs: int, alike: int, totals: Totals) -> Alarm | None:
        """Second and third answers that are the same text, oftener than they are that of the first.

        The text that is likeliest is at least as likely to come up as any two are to be the same, so the share of
        these pairs among both kinds is at most 1/2 where answers are independent and the first is the likeliest.
        """
        if "repeats" in self.silent or not self.tests["repeats"].see(pairs, alike, _HALF):
            return None
        return self.alarm(
            "repeats",
            f"in {totals['alike']:,} steps the second and third answers were the same text and the first was not, the"
            f" other way round in {totals['unlike']:,}: answers repeat beyond chance",
            "look for a cache or a fixed seed between you and the model: votes must be independent draws",
            totals,
        )

    def of_votes(self, event: Round) -> Alarm | None:
        """A ballot that takes more votes than any step of the run should."""
        if "votes" in self.silent or self.p is None or self.p <= _HALF:
            return None
        k = max(self.k, len(event["totals"]["margins"]) - 1)  # of any step so far
        if self.longest is None or self.longest[:2] != (self.p, k):
            bound = ALPHA / max(1, self.limit)
            law = enumerate(undecided(self.p, k, 10 * k**2))
            votes = next((j for j, share in law if share < bound), 10 * k**2)
            self.longest = (self.p, k, votes)
        votes, totals = self.longest[2], event["totals"]
        most = max(event["open"]["most_votes"], len(totals["votes_per_step"]) - 1)
        if most <= votes:
            return None
        return self.alarm(
            "votes",
            f"a step took {most:,} votes, where {votes:,} are enough for all {self.limit:,} steps at p = {self.p:.4f}:"
            " its answers are split",
            "let a stronger model decide such steps, or cut them into simpler ones",
            totals,
        )

    def of_cost(self, event: Round) -> Alarm | None:
        """Cost a step, against what was projected and a tenth more."""
        totals, cost = event["totals"], event["totals"]["usage"]["cost"]
        steps, projected = totals["steps"], self.expected.cost_per_step
        if "cost" in self.silent or projected is None or cost is None or steps < _LEAST_STEPS:
            return None
        mean = totals["samples"] / steps
        squared = sum(count * samples**2 for samples, count in enumerate(totals["samples_per_step"]))
        each = max(mean, squared / steps - mean**2) * (cost / totals["samples"]) ** 2
        if not above(cost - _TOLERATED * projected * steps, each * steps, ALPHA, each * _LEAST_STEPS):
            return None
        return self.alarm(
            "cost",
            f"a step costs ${cost / steps:.3g}, where ${projected:.3g} were projected:"
            f" ${cost / steps * self.limit:,.2f} for the whole",
            "calibrate again, and compare token limits: long answers cost most and are wrong most often",
            totals,
        )

    def of_audit(self, audits: int, disagreed: int, totals: Totals) -> Alarm | None:
        """Second votes, asked in another way, that have another winner oftener than votes are wrong by chance."""
        if "audit" in self.silent or self.expected.audit_k is None or self.p is None or not _HALF < self.p < 1:
            return None
        null = sum(1 - p_correct(self.p, k) for k in (max(1, self.k), self.expected.audit_k))
        if not self.tests["audit"].see(audits, disagreed, min(null, _HALF)):
            return None
        return self.alarm(
            "audit",
            f"of {totals['audits']:,} audited steps {totals['disagreed']:,} had another winner when asked in another"
            f" way, where {100 * null:.2g} % are to be expected: errors repeat under one prompt, on up to"
            f" {100 * upper_bound(totals['disagreed'], totals['audits'], 0.95):.2g} % of the steps",
            'let votes take several prompts or models in turns (decorrelate="variants", Tier(model=[…])) in a new run:'
            " steps that were not audited may be wrong",
            totals,
        )

    def alarm(
        self,
        what: Literal["p", "votes", "cost", "flags", "drift", "repeats", "audit"],
        finding: str,
        remedy: str,
        totals: Totals,
    ) -> Alarm:
        """An alarm, which is not raised again."""
        self.silent.add(what)
        return {
            "event": "maker.alarm",
            "run_id": self.run_id,
            "what": what,
            "finding": finding,
            "remedy": remedy,
            "steps": totals["steps"],
        }


class _First:
    """An upper bound on a rate, from the first steps of a run."""

    def __init__(self) -> None:
        self.trials = self.events = 0
        self.bound: float | None = None

    def add(self, trials: int, events: int, still: int, pending: int) -> None:
        """Count steps; of those that are `still` open, so many are `pending` events, and count as such."""
        self.trials += trials
        self.events += events
        if self.trials >= max(_FIRST, _SETTLED * still):
            self.bound = _scaled_bound(self.events + pending, self.trials, 1 - ALPHA)

    def share(self, trials: int, events: int, still: int, pending: int) -> float | None:
        """The bound, None until these steps are there; those given are the first until then."""
        if self.bound is None:
            self.add(trials, events, still, pending)
            return None
        return self.bound


def _seen(totals: Totals) -> Sequence[int]:
    """Steps decided, of them contested, flagged and drifted ones; pairs of answers, of them alike ones."""
    return (
        totals["steps"] - totals["by_human"] - totals["by_split"],
        sum(totals["contested"]),
        totals["flagged_steps"],
        totals["drifted"],
        totals["alike"] + totals["unlike"],
        totals["alike"],
    )


def _mean(margins: Sequence[int]) -> float:
    """The mean margin of so many steps by margin; 0 where there is none."""
    return sum(k * count for k, count in enumerate(margins)) / sum(margins) if any(margins) else 0.0


def _scaled(share: float, times: float) -> float:
    """The probability of an event in so many times as many draws."""
    return float(1 - (1 - share) ** max(times, 0.0))


def _scaled_bound(events: int, trials: int, confidence: float) -> float:
    if trials > _EXACT_UP_TO:
        events, trials = ceil(events * _EXACT_UP_TO / trials), _EXACT_UP_TO
    return upper_bound(max(0, min(events, trials)), trials, confidence)


def _contested(p: float, margins: Sequence[int]) -> float:
    """The mean probability that a ballot has a lost vote, of so many by margin; unevenly spread errors make it less."""
    lost = sum(count * (1 - p**k - (1 - p) ** k) for k, count in enumerate(margins) if k and count)
    return float(lost / sum(margins))


def _p_of_contested(share: float, margins: Sequence[int]) -> float:
    low, high = _HALF, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if _contested(middle, margins) > share else (low, middle)
    return low
