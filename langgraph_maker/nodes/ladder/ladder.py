"""Where a ballot is on the ladder, and where it goes from there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from langgraph_maker.core.events import Event
from langgraph_maker.core.margin import unresolved_reason
from langgraph_maker.core.state import START, BallotState, LadderState, undecided
from langgraph_maker.models.resolve import Model
from langgraph_maker.nodes.ladder.audit import AuditTier
from langgraph_maker.nodes.ladder.kind import PLAIN, TierKind, left, placed
from langgraph_maker.theory.abandonment import gives_up
from langgraph_maker.theory.mixture import shape_of

__all__ = ["Ladder", "restarted"]


@dataclass(frozen=True)
class Ladder:
    """The tiers of a graph; `models` are those that they name, the run's first.

    `human` says whether a human stands on top. `error` is how often a step may be decided wrongly for its ballot not to
    escalate, see `abandonment.gives_up`. `margin` is the run's, 1 where each step has its own; `budget` is what a step
    may use in all tiers together, None for no limit.
    """

    tiers: Sequence[TierKind] = (TierKind(),)
    models: Sequence[Model] = ()
    human: bool = False
    audit: AuditTier | None = None
    error: float = 0.001
    described: Mapping[str, Any] = field(default_factory=dict)
    margin: int = 1
    budget: int | None = None

    @cached_property
    def plain(self) -> bool:
        """Whether there is nothing but one tier that asks as the run does."""
        [first, *others] = self.tiers
        alone = not others and not self.human and self.audit is None
        return alone and type(first) is TierKind and first.terms == PLAIN

    @property
    def varied(self) -> bool:
        """Whether votes of one ballot are asked in different ways."""
        return len(self.tiers[0].terms.turns) > 1

    def tier(self, ballot: BallotState) -> TierKind:
        """Return where a ballot is."""
        if (ladder := ballot.get("ladder")) is None:
            return self.tiers[0]
        if self.audit is not None and "inner" in ballot and ballot["inner"]["kind"] == self.audit.name:
            return self.audit
        return self.tiers[min(ladder["tier"], len(self.tiers) - 1)]

    def terms(self, ballot: BallotState, margin: int, max_samples_per_step: int | None) -> tuple[int, int]:
        """Return the margin that a ballot takes, at least `margin`, and how many samples it may have used by then."""
        return self.tier(ballot).bounds(ballot, margin, max_samples_per_step)

    def has_more(self, ballot: BallotState) -> bool:
        """Return whether there is anything above the tier of a ballot."""
        return self.human or (ballot.get("ladder") or START)["tier"] < len(self.tiers) - 1

    def gives_up(self, ballot: BallotState, k: int) -> str:
        """Return why an open ballot should escalate, if it should."""
        if not self.has_more(ballot) or self.tier(ballot) is self.audit:
            return ""
        flagged = sum(ballot["flags"].values()) - (ballot.get("ladder") or START)["flagged"]
        return gives_up(list(ballot["counts"].values()), flagged, k, self.error)

    def concerns(self, ballot: BallotState) -> bool:
        """Return whether a ballot that was counted is not done with: it did not converge, or is to be audited.

        One that is decided on something `inner` is not yet decided on its step.
        """
        if "inner" in ballot:
            return ballot["status"] in {"decided", "unresolved"}
        if ballot["status"] != "decided" or "human" in ballot:
            return ballot["status"] == "unresolved" and "human" not in ballot
        return self.audit is not None and self.audit.wants(ballot)

    def fitting(self, ballot: BallotState, margin: int = 0) -> BallotState:
        """Return the ballot, started again where it votes on what is not to be voted on any more.

        That is on something of a tier that is not there, or that has another one for the step by now, or of which a
        part was decided by less than `margin`.
        """
        if (inner := ballot.get("inner")) is None:
            return ballot
        if (tier := self.tier(ballot)).name != inner["kind"]:
            return restarted(left(ballot))
        tier.check(ballot)
        if not tier.is_current(ballot, margin):
            return self.enter(_afresh(left(ballot), ballot["ladder"], carry=True), tier)
        return ballot

    def enter(self, ballot: BallotState, tier: TierKind) -> BallotState:
        """Return the ballot at the beginning of a tier, or above it where it cannot be there."""
        begun = tier.begin(ballot)
        if isinstance(begun, str):
            return self.escalated(ballot, placed(ballot, begun))
        if not begun:
            return ballot
        held = {"counts": ballot["counts"], "votes": ballot["votes"]}
        inner: Any = {"kind": tier.name, "held": held, **begun}
        return {**ballot, "inner": inner, "counts": {}, "votes": {}}

    def next(self, ballot: BallotState) -> BallotState:
        """Return what becomes of a ballot that `concerns` the ladder.

        It goes into an audit or comes out of it, escalates, waits for a human, or stays unresolved.
        """
        if (fitting := self.fitting(ballot)) is not ballot:
            return fitting
        if "inner" in ballot:
            return self.absorbed(ballot)
        ladder = ballot.get("ladder") or START
        if ballot["status"] == "decided" and self.audit is not None:
            return _afresh(self.enter(ballot, self.audit), ladder)
        if "ladder" not in ballot and not self.has_more(ballot):
            return ballot
        return self.escalated(ballot, {**ladder, "why": ladder["why"] or _why(ballot, ladder)})

    def absorbed(self, ballot: BallotState) -> BallotState:
        """Return what its tier makes of a ballot that was voted on something `inner`."""
        ladder = ballot["ladder"]
        failed = "" if ballot["status"] == "decided" else ladder["why"] or _why(ballot, ladder)
        after, why, carries = self.tier(ballot).absorb(ballot, failed)
        if why:  # on top of the ladder its votes stay, for a task that is mended
            after = left(after) if self.has_more(after) else after
            return self.escalated(after, placed(after, why), carries=carries)
        return _afresh(after, after["ladder"]) if "inner" in after else after

    def escalated(self, ballot: BallotState, ladder: LadderState, *, carries: bool = True) -> BallotState:
        """Return a ballot that continues in the next tier, waits for a human, or stays unresolved."""
        if self.tiers[ladder["tier"] : ladder["tier"] + 1] and self.tiers[ladder["tier"]].own_votes:
            ladder = {**ladder, "base": ballot["samples"]}  # what it voted on there had a budget of its own
        remaining = float("inf") if self.budget is None else self.budget - ballot["samples"] + ladder.get("base", 0)
        for place, tier in enumerate(self.tiers[ladder["tier"] + 1 :], start=ladder["tier"] + 1):
            terms, own = tier.terms, tier.own_votes
            if own or terms.carry or remaining >= max(terms.k, self.margin):  # else it could not decide
                carry = own or (terms.carry and carries)
                if carry and not own and ballot["counts"]:  # what the tier makes of them is not what they were here
                    ladder = {**ladder, "given_up": [*ladder.get("given_up", []), shape_of(ballot["counts"])]}
                return self.enter(_afresh(ballot, {**ladder, "tier": place}, carry=carry), tier)
        return {**ballot, "ladder": ladder, "status": "asking" if self.human else "unresolved"}

    def event(self, run_id: str, ballot: BallotState) -> Event | None:
        """Return what is to be said of a ballot that is decided on something `inner`."""
        decided = "inner" in ballot and ballot["status"] == "decided"
        return self.tier(ballot).event(run_id, ballot) if decided else None


def restarted(ballot: BallotState) -> BallotState:
    """Return a ballot that begins again in the first tier, with what was drawn counted.

    One that never left it resumes its votes instead, and one that votes on something `inner` from where it is.
    """
    if (ladder := ballot.get("ladder")) is None:
        return undecided(ballot)
    if "inner" in ballot:
        return {**undecided(ballot), "ladder": {**ladder, "why": ""}}
    return _afresh(ballot, {**ladder, "tier": 0, "base": ballot["samples"]})


def _afresh(ballot: BallotState, ladder: LadderState, *, carry: bool = False) -> BallotState:
    began: LadderState = {
        **ladder,
        "first": ballot["asked"],
        "drawn": ballot["samples"],
        "flagged": sum(ballot["flags"].values()),
        "left": ladder["why"],
        "why": "",
        "problem": "",
    }
    if ballot["counts"] and not carry and "inner" not in ballot:
        began["given_up"] = [*ladder.get("given_up", []), shape_of(ballot["counts"])]
    counts, votes = (ballot["counts"], ballot["votes"]) if carry else ({}, {})
    after: BallotState = {**ballot, "counts": counts, "votes": votes, "status": "open", "ladder": began}
    after.pop("human", None)
    after.pop("outcome", None)
    return after


def _why(ballot: BallotState, ladder: LadderState) -> str:
    flags: Mapping[str, int] | int = ballot["flags"]
    if before := ladder["flagged"]:  # in other tiers, of which it is not known how often for which reason
        flagged = sum(ballot["flags"].values()) - before
        flags = dict.fromkeys(ballot["flags"], flagged) if len(ballot["flags"]) == 1 else flagged
    samples = ballot["samples"] - ladder["drawn"]
    return unresolved_reason(samples, flags, ballot["last_flag"], ballot["counts"].values())
