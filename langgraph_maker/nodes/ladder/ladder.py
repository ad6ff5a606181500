"""Where a ballot is on the ladder, and where it goes from there."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any, NamedTuple

from langgraph_maker.core.ballot import Ballot
from langgraph_maker.core.canonical import canonical_bytes
from langgraph_maker.core.foreign import terminal_safe
from langgraph_maker.core.margin import check_budget, unresolved_reason
from langgraph_maker.core.state import START, BallotState, LadderState
from langgraph_maker.models.resolve import Model
from langgraph_maker.nodes.ladder.decomposition import Splitting
from langgraph_maker.theory.abandonment import gives_up
from langgraph_maker.theory.mixture import shape

__all__ = ["DISAGREED", "PLAIN", "Ladder", "TierTerms", "restarted"]

logger = logging.getLogger(__name__)


class TierTerms(NamedTuple):
    """A tier as it is used: each vote is asked by the next of `turns`, pairs of a prompt and a model by number.

    Where it `splits`, votes are on the steps of a chain of sub-steps.
    """

    turns: Sequence[tuple[int, int]]
    temperature: float | None
    k: int
    samples: int | None
    carry: bool
    splits: bool = False

    def turn(self, vote: int) -> tuple[int, int]:
        """Return which prompt and which model the vote of this number has, counted from where the ballot began here."""
        return self.turns[vote % len(self.turns)]


PLAIN = TierTerms([(0, 0)], None, 1, None, carry=False)
"""Asks as the run does, and takes the run's margin and samples."""


@dataclass(frozen=True)
class Ladder:
    """The tiers of a graph; `models` are those that they name, the run's first.

    `error` is how often a step may be decided wrongly for its ballot not to escalate, see `climbing.gives_up`.
    `splitting` knows the chains of sub-steps, where a tier asks for them. `margin` is the run's, 1 where each step has
    its own; `budget` is what a step may use in all tiers together, None for no limit.
    """

    rungs: Sequence[TierTerms]
    models: Sequence[Model]
    human: bool = False
    audit: TierTerms | None = None
    share: float = 0.0
    error: float = 0.001
    described: Mapping[str, Any] = field(default_factory=dict)
    splitting: Splitting | None = None
    margin: int = 1
    budget: int | None = None

    @property
    def plain(self) -> bool:
        """Whether there is nothing but one tier that asks as the run does."""
        return [*self.rungs] == [PLAIN] and not self.human and self.audit is None

    @property
    def varied(self) -> bool:
        """Whether votes of one ballot are asked in different ways."""
        return any(len(rung.turns) > 1 for rung in self.rungs[:1])

    def rung(self, ballot: BallotState) -> TierTerms:
        """Return where a ballot is."""
        if (climb := ballot.get("climb")) is None:
            return self.rungs[0]
        if self.audit is not None and climb["held"] is not None:
            return self.audit
        return self.rungs[min(climb["tier"], len(self.rungs) - 1)]

    def terms(self, ballot: BallotState, margin: int, max_samples_per_step: int | None) -> tuple[int, int]:
        """Return the margin that a ballot takes, at least `margin`, and how many samples it may have used by then."""
        rung, climb = self.rung(ballot), ballot.get("climb") or START
        if rung is self.audit:
            return rung.k, check_budget(rung.samples, rung.k) + climb["drawn"]
        k = max(rung.k, margin)
        if rung.splits and max_samples_per_step is not None:  # a sub-step is a step
            return k, max_samples_per_step + climb["drawn"]
        here = rung.samples if rung.samples is not None else max_samples_per_step
        budget = (check_budget(None, k) if here is None else here) + climb["drawn"]
        if max_samples_per_step is not None:
            budget = min(budget, max_samples_per_step + climb.get("base", 0))
        return k, budget

    @staticmethod
    def place(ballot: BallotState, why: str) -> LadderState:
        """Return where a ballot is, which is given up there for this reason."""
        return {**(ballot.get("climb") or START), "why": why}

    def has_more(self, ballot: BallotState) -> bool:
        """Return whether there is anything above the tier of a ballot."""
        climb = ballot.get("climb")
        return self.human or (climb["tier"] if climb else 0) < len(self.rungs) - 1

    def gives_up(self, ballot: BallotState, k: int) -> str:
        """Why an open ballot should escalate, if it should."""
        climb = ballot.get("climb")
        if not self.has_more(ballot) or (climb is not None and climb["held"] is not None):
            return ""
        flagged = sum(ballot["flags"].values()) - (climb["flagged"] if climb else 0)
        return gives_up(list(ballot["counts"].values()), flagged, k, self.error)

    def concerns(self, ballot: BallotState) -> bool:
        """Return whether a ballot that was counted is not done with: it did not converge, or is to be audited.

        What a higher tier decides is not audited: it was asked in another way already. A sub-step that is decided
        is not yet the subtask.
        """
        if "finer" in ballot:
            return ballot["status"] in {"decided", "unresolved"}
        if ballot["status"] != "decided" or "human" in ballot:
            return ballot["status"] == "unresolved" and "human" not in ballot
        climb = ballot.get("climb") or START
        if climb["held"] is not None or self.audit is None:
            return climb["held"] is not None
        confirmed = climb["audits"] > climb["disagreed"]
        return climb["tier"] == 0 and not confirmed and self.drawn_by_lot(ballot)

    def fitting(self, ballot: BallotState, margin: int = 0) -> BallotState:
        """Return the ballot, started again where it is in what is not asked for any more, where votes cannot decide.

        That is an audit, a chain of sub-steps, one that the task has another for now, or one of which a step was
        decided by less than `margin`.
        """
        if self.audit is None and ballot.get("climb", START)["held"] is not None:
            return restarted(ballot)
        if (finer := ballot.get("finer")) is None:
            return ballot
        if not self.rung(ballot).splits:
            return restarted(_left(ballot))
        another = self.splitting is not None and self.splitting.is_another(ballot)
        if another:
            logger.warning("step %s: %s", terminal_safe(ballot["id"]), _ANOTHER)
        if another or (finer["winners"] and finer["margin"] < margin):
            return self.split(_afresh(_left(ballot), ballot["climb"], carry=True))
        return ballot

    def split(self, ballot: BallotState) -> BallotState:
        """Return the ballot at the beginning of its chain of sub-steps, or above it where it has none."""
        if self.splitting is None:
            return ballot
        finer = self.splitting.begin(ballot)
        if isinstance(finer, str):
            return self.climbed(ballot, self.place(ballot, finer))
        return {**ballot, "finer": finer, "counts": {}, "votes": {}}

    def stepped(self, ballot: BallotState) -> BallotState:
        """Return the ballot after a sub-step is decided: at the next sub-step, decided as a whole, or escalated."""
        if self.splitting is None:
            return ballot
        after = self.splitting.after(ballot)
        if isinstance(after, str):  # on top of the ladder its votes stay, for a task that is mended
            return self.climbed(_left(ballot) if self.has_more(ballot) else ballot, self.place(ballot, after))
        if "state" in after:
            return {**_afresh(ballot, ballot["climb"]), "finer": after}  # type: ignore[typeddict-item]
        return {**_left(ballot), "joined": after}

    def drawn_by_lot(self, ballot: BallotState) -> bool:
        """Return whether a step is among those that are audited."""
        text = ballot["id"].encode() + canonical_bytes(ballot["state"])
        return int.from_bytes(blake2b(text, digest_size=8).digest()) < self.share * 2.0**64

    def next(self, ballot: BallotState) -> BallotState:
        """Return what becomes of a ballot that `concerns` the ladder.

        It goes into an audit or comes out of it, escalates, waits for a human, or stays unresolved.
        """
        climb = ballot.get("climb") or START
        if (fitting := self.fitting(ballot)) is not ballot:
            return fitting
        if "finer" in ballot and ballot["status"] == "decided":
            return self.stepped(ballot)
        if "climb" not in ballot and not self.has_more(ballot) and ballot["status"] == "unresolved":
            return ballot
        if ballot["status"] == "decided" and climb["held"] is None:
            return _afresh(ballot, {**climb, "held": {"counts": ballot["counts"], "votes": ballot["votes"]}})
        if (held := climb["held"]) is not None:
            contested = climb.get("contested", 0) + (len(ballot["counts"]) > 1 or ballot["status"] != "decided")
            climb = {**climb, "held": None, "audits": climb["audits"] + 1, "contested": contested}
            if ballot["status"] == "decided" and _most(held["counts"]) == _most(ballot["counts"]):
                return {**ballot, "counts": held["counts"], "votes": held["votes"], "climb": climb}
            climb = {**climb, "disagreed": climb["disagreed"] + 1, "why": DISAGREED}
            ballot = {
                **ballot,
                "counts": _both(held["counts"], ballot["counts"]),
                "votes": held["votes"] | ballot["votes"],
            }
        elif not climb["why"]:
            climb = {**climb, "why": _why(ballot, climb)}
        if (finer := ballot.get("finer")) is not None:
            climb = {**climb, "why": f"sub-step {len(finer['winners'])}: {climb['why']}"}
            ballot = _left(ballot) if self.has_more(ballot) else ballot
        return self.climbed(ballot, climb, carries=held is None)

    def climbed(self, ballot: BallotState, climb: LadderState, *, carries: bool = True) -> BallotState:
        """Return a ballot that continues in the next tier, waits for a human, or stays unresolved."""
        if self.rungs[climb["tier"] : climb["tier"] + 1] and self.rungs[climb["tier"]].splits:
            climb = {**climb, "base": ballot["samples"]}  # its sub-steps were steps of their own
        left = float("inf") if self.budget is None else self.budget - ballot["samples"] + climb.get("base", 0)
        for tier in range(climb["tier"] + 1, len(self.rungs)):
            rung = self.rungs[tier]
            if rung.splits or rung.carry or left >= max(rung.k, self.margin):  # else it could not decide
                after = _afresh(ballot, {**climb, "tier": tier}, carry=rung.splits or (rung.carry and carries))
                return self.split(after) if rung.splits else after
        return {**ballot, "climb": climb, "status": "asking" if self.human else "unresolved"}


def restarted(ballot: BallotState) -> BallotState:
    """Return a ballot that begins again in the first tier, with what was drawn counted.

    One that never left it resumes its votes instead, and a chain of sub-steps from where it is.
    """
    if (climb := ballot.get("climb")) is None:
        return {**ballot, "status": "open"}
    if "finer" in ballot:
        return {**ballot, "status": "open", "climb": {**climb, "why": ""}}
    return _afresh(ballot, {**climb, "tier": 0, "held": None, "base": ballot["samples"]})


_ANOTHER = "split(state) gives another chain of sub-steps than it did, so that they begin afresh"
DISAGREED = "a second vote, asked in another way, did not agree"


def _afresh(ballot: BallotState, climb: LadderState, *, carry: bool = False) -> BallotState:
    began: LadderState = {
        **climb,
        "first": ballot["asked"],
        "drawn": ballot["samples"],
        "flagged": sum(ballot["flags"].values()),
        "left": climb["why"],
        "why": "",
        "problem": "",
    }
    if ballot["counts"] and not carry and "finer" not in ballot and climb["held"] is None:
        began["given_up"] = [*climb.get("given_up", []), _shape(ballot)]
    counts, votes = (ballot["counts"], ballot["votes"]) if carry else ({}, {})
    after: BallotState = {**ballot, "counts": counts, "votes": votes, "status": "open", "climb": began}
    after.pop("human", None)
    return after


def _shape(ballot: BallotState) -> str:
    counts = [*ballot["counts"].values()]
    return shape(sum(counts), max(counts), Ballot.resume(1, ballot["counts"], ballot["votes"]).margin)


def _left(ballot: BallotState) -> BallotState:
    """Return the ballot without its chain of sub-steps, and with the votes that it had before."""
    after = {**ballot, **ballot["finer"]["held"]}
    del after["finer"]
    return after  # type: ignore[return-value]


def _both(one: Mapping[str, int], other: Mapping[str, int]) -> dict[str, int]:
    return {key: one.get(key, 0) + other.get(key, 0) for key in [*one, *(key for key in other if key not in one)]}


def _most(counts: Mapping[str, int]) -> str:
    return max(counts, key=counts.__getitem__)


def _why(ballot: BallotState, climb: LadderState) -> str:
    flags: Mapping[str, int] | int = ballot["flags"]
    if before := climb["flagged"]:  # in other tiers, of which it is not known how often for which reason
        flagged = sum(ballot["flags"].values()) - before
        flags = dict.fromkeys(ballot["flags"], flagged) if len(ballot["flags"]) == 1 else flagged
    return unresolved_reason(ballot["samples"] - climb["drawn"], flags, ballot["last_flag"], ballot["counts"].values())
