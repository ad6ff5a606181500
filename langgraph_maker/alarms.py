"""Alarms: assumptions of a run that no longer hold, each seen without truth at hand, each with its remedy.

Steps count once they are decided, with all that happened to them. Hard steps are decided late, so where lanes end what
comes last are hard ones: lost votes, flags and drift are looked at until the first lane has ended, and held against
the beginning of a run only once four times as many steps are decided as are open.

Every one is a sequential test with a probability of at most 0.1 % to be wrong in a whole run, and those that have
nothing to go by but the run's own beginning as much again for taking that too low: together less than 1 % of runs. The
journal keeps how the tests stand, so that an interruption does not begin them anew.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Final, Literal

from langgraph_maker.calibration.findings import margin_or_none
from langgraph_maker.detectors import Rising, above
from langgraph_maker.estimates import upper_bound
from langgraph_maker.events import Alarm, Begin, Open, Round, Totals
from langgraph_maker.expected import TOLERATED, Expected
from langgraph_maker.inference import undecided
from langgraph_maker.seen import ALPHA, First, Seen, contested, mean, p_of_contested, scaled, scaled_bound
from langgraph_maker.theory import p_correct

__all__ = ["Alarms"]

_LEAST_STEPS: Final = 50
_WINDOW: Final = 30  # steps of which p is estimated anew
_HALF: Final = 0.5


class Alarms:
    """Follows the rounds of a run and says what no longer holds; each alarm comes once, that of p again once k rose.

    Args:
        begin: How the run begins, or goes on; then from where its tests stood when they were last kept.
        expected: What it is held against. Tests that were held against something else begin anew.
    """

    def __init__(self, begin: Begin, expected: Expected) -> None:
        self.run_id, self.limit, self.expected = begin["run_id"], begin["limit"], expected
        self.p = expected.p
        self.k = max(begin["k"] or 0, begin["raised"])
        self.seen = Seen.of(begin["totals"])
        self.usual = mean(self.seen.margins)
        self.lanes = self.raises = 0
        self.tests = {
            "p": Rising(ALPHA),
            "flags": Rising(ALPHA),
            "drift": Rising(ALPHA),
            "repeats": Rising(ALPHA, (4.0, 16.0, 64.0)),
            "audit": Rising(ALPHA, (4.0, 16.0, 64.0, 256.0)),
        }
        self.first = {name: First() for name in ("p", "flags", "drift")}
        self.silent: set[str] = set()
        self.longest: tuple[float, int, int] | None = None
        kept = begin["kept"] or {}
        if kept.get("against") == self.against() and kept["seen"]["steps"] <= begin["totals"]["steps"]:
            self.go_on(kept)
        else:
            still, seen = begin["open"], self.seen
            self.first["p"].add(seen.steps, seen.contested, still["ballots"], still["contested"])
            self.first["flags"].add(seen.steps, seen.flags, still["ballots"], still["flagged_steps"])
            self.first["drift"].add(seen.steps, seen.drift, still["ballots"], still["drifted"])

    def keep(self) -> dict[str, Any]:
        """How the tests stand, as plain values."""
        return {
            "against": self.against(),
            "seen": asdict(self.seen),
            "p": self.p,
            "usual": self.usual,
            "lanes": self.lanes,
            "raises": self.raises,
            "silent": sorted(self.silent),
            "tests": {name: test.keep() for name, test in self.tests.items()},
            "first": {name: asdict(first) for name, first in self.first.items()},
        }

    def against(self) -> dict[str, Any]:
        """What the tests go by, of all that is expected."""
        return {name: getattr(self.expected, name) for name in ("p", "flagged", "cost_per_step", "audit_k")}

    def go_on(self, kept: Mapping[str, Any]) -> None:
        """Take up the tests where they stood; what was journalled since then counts with the next round."""
        self.seen = Seen(**kept["seen"])
        self.p, self.usual, self.lanes, self.raises = (kept[name] for name in ("p", "usual", "lanes", "raises"))
        self.silent = set(kept["silent"]) - ({"p"} if self.expected.raise_k else set())  # k may be raised by now
        self.first = {name: First(**first) for name, first in kept["first"].items()}
        if self.raises:
            self.tests["p"] = Rising(ALPHA / 2**self.raises)
        for name, test in self.tests.items():
            test.go_on(kept["tests"][name])

    def see(self, event: Round) -> list[Alarm]:
        """What the round shows, and what was journalled before it since the tests were kept."""
        totals, still, lanes = event["totals"], event["open"], event["lanes"]
        seen = Seen.of(totals)
        new = seen.since(self.seen)
        self.seen = seen
        self.lanes = max(self.lanes, lanes)
        if any(new.margins):
            self.k = max(k for k, count in enumerate(new.margins) if count)
        if all(first.bound is None for first in self.first.values()):
            self.usual = mean(seen.margins)
        found = [
            self.of_repeats(new, totals),
            self.of_votes(totals, still),
            self.of_cost(totals),
            self.of_audit(new, totals),
        ]
        if lanes == self.lanes or self.lanes <= 1:
            found = [*self.of_steps(new, totals, still), *found]
        return [alarm for alarm in found if alarm is not None]

    def of_steps(self, new: Seen, totals: Totals, still: Open) -> list[Alarm | None]:
        """What is looked at only where steps are as hard as those before."""
        return [self.of_p(new, totals, still), self.of_flags(new, totals, still), self.of_drift(new, totals, still)]

    def of_p(self, new: Seen, totals: Totals, still: Open) -> Alarm | None:
        """Steps with a lost vote, of which few are to be expected at the least p, however unevenly errors fall."""
        if "p" in self.silent or self.k <= 1:
            return None
        if self.p is None:
            share = self.first["p"].share(new.steps, new.contested, still["ballots"], still["contested"])
            if share is not None:
                self.p = p_of_contested(share, totals["margins"])
            return None
        margins = new.margins if any(new.margins) else [0] * self.k + [1]
        test, null = self.tests["p"], contested(self.p, margins)
        if not test.see(new.steps, new.contested, null) or test.trials_since < _WINDOW:
            return None
        some = min(test.events_since, test.trials_since)
        least = p_of_contested(scaled_bound(some, test.trials_since, 0.95), margins)
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

    def of_flags(self, new: Seen, totals: Totals, still: Open) -> Alarm | None:
        """Steps with a flagged sample, of which a larger margin has more."""
        if "flags" in self.silent:
            return None
        share = self.first["flags"].share(new.steps, new.flags, still["ballots"], still["flagged_steps"])
        margin = mean(new.margins)
        if self.expected.flagged is None:
            null = None if share is None else scaled(share, margin / self.usual if self.usual else 1.0)
        else:
            led = sum(k * count for k, count in enumerate(totals["margins"]))
            null = scaled(self.expected.flagged, margin * totals["votes"] / led) if led and margin else None
        if null is None or not self.tests["flags"].see(new.steps, new.flags, null):
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

    def of_drift(self, new: Seen, totals: Totals, still: Open) -> Alarm | None:
        """Steps with a vote for the winner's action and another next state, of which a larger margin has more."""
        if "drift" in self.silent:
            return None
        share = self.first["drift"].share(new.steps, new.drift, still["ballots"], still["drifted"])
        null = None if share is None else scaled(share, mean(new.margins) / self.usual if self.usual else 1.0)
        if null is None or not self.tests["drift"].see(new.steps, new.drift, null):
            return None
        test = self.tests["drift"]
        return self.alarm(
            "drift",
            f"in {test.events_since:,} of the last {test.trials_since:,} steps votes agreed on the action and not on"
            " the next state: the model loses track of the state",
            "make the state in the prompt smaller or plainer, or work out the next state from the action in advance()",
            totals,
        )

    def of_repeats(self, new: Seen, totals: Totals) -> Alarm | None:
        """Second and third answers that are the same text, oftener than they are that of the first.

        The text that is likeliest is at least as likely to come up as any two are to be the same, so the share of
        these pairs among both kinds is at most 1/2 where answers are independent and the first is the likeliest.
        """
        if "repeats" in self.silent or not self.tests["repeats"].see(new.pairs, new.alike, _HALF):
            return None
        return self.alarm(
            "repeats",
            f"in {totals['alike']:,} steps the second and third answers were the same text and the first was not, the"
            f" other way round in {totals['unlike']:,}: answers repeat beyond chance",
            "look for a cache or a fixed seed between you and the model: votes must be independent draws",
            totals,
        )

    def of_votes(self, totals: Totals, still: Open) -> Alarm | None:
        """A ballot that takes more votes than any step of the run should."""
        if "votes" in self.silent or self.p is None or self.p <= _HALF:
            return None
        k = max(self.k, len(totals["margins"]) - 1)  # of any step so far
        if self.longest is None or self.longest[:2] != (self.p, k):
            bound = ALPHA / max(1, self.limit)
            law = enumerate(undecided(self.p, k, 10 * k**2))
            votes = next((j for j, share in law if share < bound), 10 * k**2)
            self.longest = (self.p, k, votes)
        votes = self.longest[2]
        most = max(still["most_votes"], len(totals["votes_per_step"]) - 1)
        if most <= votes:
            return None
        return self.alarm(
            "votes",
            f"a step took {most:,} votes, where {votes:,} are enough for all {self.limit:,} steps at p = {self.p:.4f}:"
            " its answers are split",
            "let a stronger model decide such steps, or cut them into simpler ones",
            totals,
        )

    def of_cost(self, totals: Totals) -> Alarm | None:
        """Cost a step, against what was projected and a tenth more."""
        cost = totals["usage"]["cost"]
        steps, projected = totals["steps"], self.expected.cost_per_step
        if "cost" in self.silent or projected is None or cost is None or steps < _LEAST_STEPS:
            return None
        mean = totals["samples"] / steps
        squared = sum(count * samples**2 for samples, count in enumerate(totals["samples_per_step"]))
        each = max(mean, squared / steps - mean**2) * (cost / totals["samples"]) ** 2
        if not above(cost - TOLERATED * projected * steps, each * steps, ALPHA, each * _LEAST_STEPS):
            return None
        return self.alarm(
            "cost",
            f"a step costs ${cost / steps:.3g}, where ${projected:.3g} were projected:"
            f" ${cost / steps * self.limit:,.2f} for the whole",
            "calibrate again, and compare token limits: long answers cost most and are wrong most often",
            totals,
        )

    def of_audit(self, new: Seen, totals: Totals) -> Alarm | None:
        """Second votes, asked in another way, that have another winner oftener than votes are wrong by chance."""
        if "audit" in self.silent or self.expected.audit_k is None or self.p is None or not _HALF < self.p < 1:
            return None
        null = sum(1 - p_correct(self.p, k) for k in (max(1, self.k), self.expected.audit_k))
        if not self.tests["audit"].see(new.audits, new.disagreed, min(null, _HALF)):
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
