"""Alarms: assumptions of a run that no longer hold, each seen without truth at hand, each with its remedy.

Hard steps are decided late, the later the more lanes there are. So an open ballot counts as it stands: where all have
one margin, lost votes are counted by ballots started, open ones among them, and whoever looks from some time on (see
`detectors.Rising`) counts the ballots that were open then. Else steps count once they are decided, and who begins to
look pays for open ballots that are contested, as if flags and drift came to each of them. The beginning of a run that
all is held against ends when 200 steps are decided, and four times as many as are open and contested.

Every one is a sequential test with a probability of at most 0.1 % to be wrong in a whole run, and those that have
nothing to go by but the run's own beginning as much again for taking that too low: together less than 1 % of runs. The
journal keeps how the tests stand, so that an interruption does not begin them anew.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Final

from langgraph_maker.core.events import Alarm, AlarmKind, OpenBallots, RoundEnded, RunStarted, Totals
from langgraph_maker.runs.calibration.result import margin_or_none
from langgraph_maker.runs.monitor.baseline import TOLERATED, Baseline
from langgraph_maker.runs.monitor.contests import Second, deep, deep_share, least_contested
from langgraph_maker.runs.monitor.step_counts import (
    ALPHA,
    EarlySteps,
    StepCounts,
    mean,
    p_of_contested,
    scaled,
    scaled_bound,
)
from langgraph_maker.theory.change_detection import Rising, above
from langgraph_maker.theory.inference import undecided
from langgraph_maker.theory.intervals import upper_bound
from langgraph_maker.theory.scaling import p_correct

__all__ = ["Alarms"]

_LEAST_STEPS: Final = 50
REFUSED: Final = 0.01
"""Of the steps, on how many a refusal may be by chance."""
_WINDOW: Final = 30  # steps of which p is estimated anew
_HALF: Final = 0.5


class Alarms:
    """Follows the rounds of a run and says what no longer holds; each alarm comes once, that of p again once k rose.

    Args:
        begin: How the run begins, or continues; then from where its tests stood when they were last kept.
        expected: What it is held against. Tests that were held against something else begin anew.
    """

    def __init__(self, begin: RunStarted, expected: Baseline) -> None:
        self.run_id, self.limit, self.expected = begin["run_id"], begin["limit"], expected
        self.p = expected.p
        self.k = max(begin["k"] or 0, begin["raised"])
        self.seen = StepCounts.of(begin["totals"])
        self.usual = mean(self.seen.margins)
        self.one_margin = begin["k"] is not None
        self.raises = 0
        self.open = (0, 0)
        self.depth = (0, 0)
        self.second = Second()
        self.tests = {
            "p": Rising(ALPHA),
            "flags": Rising(ALPHA),
            "drift": Rising(ALPHA),
            "repeats": Rising(ALPHA, (4.0, 16.0, 64.0)),
            "audit": Rising(ALPHA, (4.0, 16.0, 64.0, 256.0)),
            "uncontested": Rising(ALPHA, (4.0, 16.0, 256.0)),
            "uneven": Rising(ALPHA, (2.0, 4.0, 16.0), always=True),
            "refusals": Rising(ALPHA, (4.0, 16.0), always=True),
        }
        self.refused = (begin["totals"]["steps"], begin["totals"]["signals"].get("refused", 0))
        self.first = {name: EarlySteps() for name in ("p", "flags", "drift")}
        self.silent: set[str] = set()
        self.climbed = begin["totals"]["climbed"]
        self.longest: tuple[list[tuple[float, int]], tuple[int, float]] | None = None
        kept = begin["kept"] or {}
        if kept.get("against") == self.against() and kept["seen"]["steps"] <= begin["totals"]["steps"]:
            self.load_state(kept)
        else:
            still, seen = begin["open"], self.seen
            self.open = self.opened(still)
            self.tests["p"].under_way = self.under_way(still)
            self.tests["flags"].under_way = 0, min(still["ballots"], still["flagged_steps"] + still["contested"])
            self.tests["drift"].under_way = 0, still["contested"]
            self.tests["uncontested"].under_way = 0, still["ballots"] - still["contested"]
            self.depth = deep(begin["totals"])
            self.first["p"].add(seen.steps + still["contested"], seen.contested + still["contested"], 0, 0)
            self.first["flags"].add(seen.steps, seen.flags, still["contested"], still["flagged_steps"])
            self.first["drift"].add(seen.steps, seen.drift, still["contested"], still["drifted"])

    def state_dict(self) -> dict[str, Any]:
        """Return how the tests stand, as plain values."""
        return {
            "against": self.against(),
            "seen": asdict(self.seen),
            "p": self.p,
            "usual": self.usual,
            "raises": self.raises,
            "open": self.open,
            "depth": self.depth,
            "second": asdict(self.second),
            "silent": sorted(self.silent),
            "climbed": self.climbed,
            "refused": self.refused,
            "tests": {name: test.state_dict() for name, test in self.tests.items()},
            "first": {name: asdict(first) for name, first in self.first.items()},
        }

    def against(self) -> dict[str, Any]:
        """Return what the tests go by, of all that is expected."""
        names = ("p", "flagged", "cost_per_step", "audit_k", "differing", "contested")
        return {name: getattr(self.expected, name) for name in names}

    def load_state(self, kept: Mapping[str, Any]) -> None:
        """Take up the tests where they stood; what was journalled since then counts with the next round."""
        self.seen = StepCounts(**kept["seen"])
        self.p, self.usual, self.raises = (kept[name] for name in ("p", "usual", "raises"))
        self.open, self.depth = (kept["open"][0], kept["open"][1]), (kept["depth"][0], kept["depth"][1])
        self.second, self.climbed = Second(**kept["second"]), kept["climbed"]
        if "refused" in kept:
            self.refused = (kept["refused"][0], kept["refused"][1])
        self.silent = set(kept["silent"]) - ({"p"} if self.expected.raise_k else set())  # k may be raised by now
        self.first = {name: EarlySteps(**first) for name, first in kept["first"].items()}
        if self.raises:
            self.tests["p"] = Rising(ALPHA / 2**self.raises)
        for name, test in self.tests.items():
            if name in kept["tests"]:  # else it is of a newer version than the record
                test.load_state(kept["tests"][name])

    def see(self, event: RoundEnded) -> list[Alarm]:
        """Return what the round shows, and what was journalled before it since the tests were kept."""
        totals, still = event["totals"], event["open"]
        seen = StepCounts.of(totals)
        new = seen.since(self.seen)
        self.seen = seen
        if any(new.margins):
            self.k = max(k for k, count in enumerate(new.margins) if count)
        if all(first.bound is None for first in self.first.values()):
            self.usual = mean(seen.margins)
        before, self.open = self.open, self.opened(still)
        begun = tuple(now - then for now, then in zip(self.open, before, strict=True))
        audited, contested_audits = event.get("audited") or (0, 0)
        found = [
            self.of_p(new, begun, totals, still),
            self.of_flags(new, totals, still),
            self.of_drift(new, totals, still),
            self.of_uncontested(new, begun[1], totals, still),
            self.of_uneven(totals),
            self.of_repeats(new, totals),
            self.of_votes(totals, still),
            self.of_cost(totals),
            self.of_audit(new, totals),
            self.of_refusals(totals, still),
        ]
        self.second.add(audited, contested_audits)
        return [alarm for alarm in found if alarm is not None]

    def under_way(self, still: OpenBallots) -> tuple[int, int]:
        """Of open ballots those that wait to be contested, and those that are, where they count once decided."""
        return (still["ballots"] - still["contested"], 0) if self.one_margin else (0, still["contested"])

    @staticmethod
    def opened(still: OpenBallots) -> tuple[int, int]:
        """Return ballots that are open, and how many of them are contested."""
        return still["ballots"], still["contested"]

    def of_p(self, new: StepCounts, begun: tuple[int, ...], totals: Totals, still: OpenBallots) -> Alarm | None:
        """Watch steps with a lost vote, of which few are expected at the least p, however unevenly errors fall."""
        if "p" in self.silent or self.k <= 1:
            return None
        test, (waiting, owed) = self.tests["p"], self.under_way(still)
        if self.p is None:
            # what is contested is known to be so before others are known not to be: this share is no lower than that
            share = self.first["p"].share(new.steps + begun[1], new.contested + begun[1], 0, 0)
            if share is not None:
                self.p = p_of_contested(share, totals["margins"])
            test.see(0, 0, 0, waiting=waiting, owed=owed)
            return None
        margins = new.margins if any(new.margins) else [0] * self.k + [1]
        trials, events = new.steps, new.contested
        if self.one_margin:
            trials, events, margins = trials + begun[0], events + begun[1], [0] * self.k + [1]
        null = self.expected.share(margins, self.p)
        if not test.see(trials, events, null, waiting=waiting, owed=owed) or test.trials_since < _WINDOW:
            return None
        some = min(test.events_since, test.trials_since)
        least = p_of_contested(scaled_bound(some, test.trials_since, 0.95), margins)
        finding = (
            f"{some:,} of the last {test.trials_since:,} steps had a lost vote, where p = {self.p:.4f} lets expect"
            f" {100 * null:.2g} %: p has fallen, to {least:.4f} or more"
        )
        remedy = "stop, calibrate again, and continue with a k that fits (--k auto in a new run)"
        alarm = self.alarm("p", finding, remedy, totals)
        return self.remedied(alarm, least, totals) if self.expected.raise_k else alarm

    def remedied(self, alarm: Alarm, least: float, totals: Totals) -> Alarm:
        """Return the alarm with the k that makes up for a p of `least`; only what is worse sets off the next."""
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

    def of_flags(self, new: StepCounts, totals: Totals, still: OpenBallots) -> Alarm | None:
        """Return steps with a flagged sample, of which a larger margin has more."""
        if "flags" in self.silent:
            return None
        share = self.first["flags"].share(new.steps, new.flags, still["contested"], still["flagged_steps"])
        margin = mean(new.margins)
        if self.expected.flagged is None:
            null = None if share is None else scaled(share, margin / self.usual if self.usual else 1.0)
        else:
            led = sum(k * count for k, count in enumerate(totals["margins"]))
            null = scaled(self.expected.flagged, margin * totals["votes"] / led) if led and margin else None
        owed = min(still["ballots"], still["flagged_steps"] + still["contested"])
        if null is None and self.expected.flagged is not None:
            return None
        if not self.tests["flags"].see(new.steps, new.flags, null or 0.0, owed=owed) or null is None:
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

    def of_drift(self, new: StepCounts, totals: Totals, still: OpenBallots) -> Alarm | None:
        """Watch steps with a vote for the winner's action and another next state, of which a larger margin has more."""
        if "drift" in self.silent:
            return None
        share = self.first["drift"].share(new.steps, new.drift, still["contested"], still["drifted"])
        null = None if share is None else scaled(share, mean(new.margins) / self.usual if self.usual else 1.0)
        owed = still["contested"]
        if not self.tests["drift"].see(new.steps, new.drift, null or 0.0, owed=owed) or null is None:
            return None
        test = self.tests["drift"]
        return self.alarm(
            "drift",
            f"in {test.events_since:,} of the last {test.trials_since:,} steps votes agreed on the action and not on"
            " the next state: the model loses track of the state",
            "make the state in the prompt smaller or plainer, or work out the next state from the action in advance()",
            totals,
        )

    def of_uncontested(self, new: StepCounts, begun: int, totals: Totals, still: OpenBallots) -> Alarm | None:
        """Too few contested ballots, where calibration saw samples of one step differ.

        That a ballot is contested is known before that it is not: open ones that are count, and others are owed.
        """
        margins = [k for k, count in enumerate(new.margins) if count] or [self.k]
        if "uncontested" in self.silent or not self.expected.differing:
            return None
        least = least_contested(self.expected.differing, min(margins), first_alike=self.expected.first_alike)
        climbed = totals["climbed"] - self.climbed
        self.climbed = totals["climbed"]
        trials = new.steps + begun
        alike, owed = max(0, new.steps - new.contested - climbed), still["ballots"] - still["contested"]
        if not self.tests["uncontested"].see(trials, alike, 1 - least, owed=owed):
            return None
        test = self.tests["uncontested"]
        some = max(0, test.trials_since - test.events_since)
        return self.alarm(
            "uncontested",
            f"{some:,} of the last {test.trials_since:,} steps had a lost vote, where samples of one step differed so"
            f" often in calibration that {100 * least:.2g} % or more should: answers repeat, or it is no longer that"
            " model",
            "look for a cache or a fixed seed between you and the model: votes must be independent draws, and the"
            " ballots since then show nothing",
            totals,
        )

    def of_uneven(self, totals: Totals) -> Alarm | None:
        """Contested ballots with two lost votes or more, oftener than if all steps had one p."""
        if "uneven" in self.silent or self.p is None or not _HALF < self.p < 1:
            return None
        before, self.depth = self.depth, deep(totals)
        contested, now = self.depth
        margins = [k for k, count in enumerate(totals["margins"]) if count and k > 1]
        null = max((deep_share(self.expected.p_of(k, self.p), k) for k in margins), default=1.0)
        if not self.tests["uneven"].see(contested - before[0], now - before[1], null):
            return None
        return self.alarm(
            "uneven",
            f"of {contested:,} contested steps {now:,} had two lost votes or more, where one p for all steps lets"
            f" expect {100 * null:.2g} % at most: some steps are far harder than others, and errors gather there",
            "do not rely on a probability that takes all steps to be alike; diagnose which steps are hard, let k go by"
            ' step type, or let votes take several prompts or models in turns (decorrelate="variants")',
            totals,
        )

    def of_repeats(self, new: StepCounts, totals: Totals) -> Alarm | None:
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

    def of_votes(self, totals: Totals, still: OpenBallots) -> Alarm | None:
        """Return a ballot that takes more votes than any step of the run should, each type at its own p and k."""
        if "votes" in self.silent or self.p is None or self.p <= _HALF:
            return None
        k = max(self.k, len(totals["margins"]) - 1)  # of any step so far
        if k < 1:  # each step has its own, and none is decided
            return None
        laws = [(self.expected.p_of(one, self.p), one) for one in sorted({k, *map(int, self.expected.contested)})]
        if min(laws)[0] <= _HALF:
            return None
        if self.longest is None or self.longest[0] != laws:
            bound = ALPHA / max(1, self.limit)
            self.longest = laws, max((_votes(p, one, bound), p) for p, one in laws)
        votes, p = self.longest[1]
        most = max(still["most_votes"], len(totals["votes_per_step"]) - 1)
        if most <= votes:
            return None
        return self.alarm(
            "votes",
            f"a step took {most:,} votes, where {votes:,} are enough for all {self.limit:,} steps at p = {p:.4f}:"
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

    def of_audit(self, new: StepCounts, totals: Totals) -> Alarm | None:
        """Second votes that have another winner oftener than both ways to ask err by chance, each at its own p."""
        if "audit" in self.silent or self.expected.audit_k is None or self.p is None or not _HALF < self.p < 1:
            return None
        if (least := self.second.least(self.expected.audit_k)) is None:
            return None
        ways = (self.p, max(1, self.k)), (least, self.expected.audit_k)
        null = sum(1 - p_correct(p, k) if p > _HALF else _HALF for p, k in ways)
        if not self.tests["audit"].see(new.audits, new.disagreed, min(null, _HALF)):
            return None
        return self.alarm(
            "audit",
            f"of {totals['audits']:,} audited steps {totals['disagreed']:,} had another winner when asked in another"
            f" way, where {100 * null:.2g} % are to be expected of p = {self.p:.4f} and, of the second way, of"
            f" p = {least:.4f} or more: errors repeat under one of both, which"
            f" disagree on up to {100 * upper_bound(totals['disagreed'], totals['audits'], 0.95):.2g} % of the steps",
            'let votes take several prompts or models in turns (decorrelate="variants", Tier(model=[…])) in a new run:'
            " steps that were not audited may be wrong",
            totals,
        )

    def of_refusals(self, totals: Totals, still: OpenBallots) -> Alarm | None:
        """Return the alarm where more steps have a response that refuses than chance allows."""
        before, self.refused = self.refused, (totals["steps"], totals["signals"].get("refused", 0))
        trials, events = self.refused[0] - before[0], self.refused[1] - before[1]
        if "refusals" in self.silent or not self.tests["refusals"].see(trials, events, REFUSED, owed=still["ballots"]):
            return None
        return self.alarm(
            "refusals",
            f"on {self.refused[1]:,} of {self.refused[0]:,} steps the model refused an answer, where up to"
            f" {100 * REFUSED:.2g} % may be by chance: the votes there are those of the samples that did not",
            "look at what is refused: word the prompt otherwise, or ask another model",
            totals,
        )

    def alarm(
        self,
        what: AlarmKind,
        finding: str,
        remedy: str,
        totals: Totals,
    ) -> Alarm:
        """Return an alarm, which is not raised again."""
        self.silent.add(what)
        return {
            "event": "alarm.raised",
            "run_id": self.run_id,
            "what": what,
            "finding": finding,
            "remedy": remedy,
            "steps": totals["steps"],
        }


def _votes(p: float, k: int, bound: float) -> int:
    """Return after how many votes a ballot is open with less than this probability."""
    most = 10 * k**2
    return next((votes for votes, share in enumerate(undecided(p, k, most)) if share < bound), most)
