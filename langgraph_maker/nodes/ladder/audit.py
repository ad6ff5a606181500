"""`Audit`: a second vote on a share of the steps, in another way, before they count as done."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, ClassVar

from langgraph_maker.core.ballot import outcome_of
from langgraph_maker.core.canonical import canonical_bytes
from langgraph_maker.core.foreign import excerpt
from langgraph_maker.core.margin import check_budget
from langgraph_maker.core.state import START, BallotState, LadderState
from langgraph_maker.models.resolve import Model
from langgraph_maker.nodes.ladder.kind import PLAIN, Absorbed, Setting, TierKind, TierTerms, left
from langgraph_maker.nodes.ladder.plain import Variants, is_whole, turns

__all__ = ["DISAGREED", "Audit", "AuditTier"]

DISAGREED = "a second vote, asked in another way, did not agree"


@dataclass(frozen=True, kw_only=True)
class Audit:
    """A second vote on a share of the steps, before they count as done: it sees errors that repeat under one prompt.

    The steps are chosen by a hash of the state. Where the second vote has another winner, or none, the step escalates.

    Attributes:
        share: Of the steps, from above 0 to 1.
        k: The margin of the second vote.
        variants: Prompts that it takes in turns; None for those that the first vote did not use.
        model: Whom it asks; None for the run's model.
    """

    share: float = 0.01
    k: int = 2
    variants: Variants | None = None
    model: Model | Sequence[Model] | None = None

    def tier(self, setting: Setting) -> AuditTier:
        """Return the second vote as it is used, see `TierOption`."""
        share, first = self.share, (setting.first or PLAIN).turns
        if isinstance(share, bool) or not isinstance(share, (int, float)) or not 0 < share <= 1:
            raise ValueError(f"the share of audited steps is a number above 0 and up to 1, not {excerpt(share)}")
        if not is_whole(self.k) or self.k < 1:
            raise ValueError(f"the k of an audit is a whole number of at least 1, not {excerpt(self.k)}")
        variants = self.variants
        if variants is None and self.model is None:
            used = {variant for variant, _ in first}
            variants = [variant for variant in range(setting.prompts) if variant not in used]
            if not variants:
                raise ValueError(
                    "an audit asks in another way than the vote: give it another model, or the task more prompt"
                    " variants than the first tier uses"
                )
        asked = turns(variants, self.model, setting)
        if {*asked} <= {*first}:
            raise ValueError("the audit asks as the vote does: give it other variants, or another model")
        return AuditTier(TierTerms(asked, None, self.k, max(20, 10 * self.k**2), carry=False), {}, share)


@dataclass(frozen=True)
class AuditTier(TierKind):
    """The second vote; the first one is held, and decides where this one agrees."""

    share: float = 0.0
    name: ClassVar[str] = "audit"

    def wants(self, ballot: BallotState) -> bool:
        """Return whether a ballot that is decided is among those that get a second vote.

        What a higher tier decides does not: it was asked in another way already.
        """
        ladder = ballot.get("ladder") or START
        confirmed = ladder["audits"] > ladder["disagreed"]
        return ladder["tier"] == 0 and not confirmed and self.drawn_by_lot(ballot)

    def drawn_by_lot(self, ballot: BallotState) -> bool:
        """Return whether a step is among those that are audited."""
        text = ballot["id"].encode() + canonical_bytes(ballot["state"])
        return int.from_bytes(blake2b(text, digest_size=8).digest()) < self.share * 2.0**64

    def begin(self, ballot: BallotState) -> dict[str, Any] | str:
        """Vote on the same step again."""
        del ballot
        return {"label": "second vote"}

    def bounds(self, ballot: BallotState, k: int, max_samples_per_step: int | None) -> tuple[int, int]:
        """Return its own margin and budget."""
        del k, max_samples_per_step
        return self.terms.k, check_budget(self.terms.samples, self.terms.k) + ballot["ladder"]["drawn"]

    def absorb(self, ballot: BallotState, why: str) -> Absorbed:
        """Let the first vote stand where the second agrees; else the ballot escalates with both."""
        held, ladder = ballot["inner"]["held"], ballot["ladder"]
        contested = ladder.get("contested", 0) + (len(ballot["counts"]) > 1 or bool(why))
        after: LadderState = {**ladder, "audits": ladder["audits"] + 1, "contested": contested}
        first = outcome_of(held["counts"], held["votes"])
        if not why and first["key"] == ballot["outcome"]["key"]:
            return Absorbed({**left(ballot), "ladder": after, "outcome": first})
        counts, votes = _both(held["counts"], ballot["counts"]), held["votes"] | ballot["votes"]
        after = {**after, "disagreed": after["disagreed"] + 1}
        both: BallotState = {**left(ballot), "ladder": after, "counts": counts, "votes": votes}
        return Absorbed(both, DISAGREED, carries=False)

    def event(self, run_id: str, ballot: BallotState) -> None:
        """Say nothing: where the votes differ, the step escalates."""


def _both(one: Mapping[str, int], other: Mapping[str, int]) -> dict[str, int]:
    return {key: one.get(key, 0) + other.get(key, 0) for key in [*one, *(key for key in other if key not in one)]}
