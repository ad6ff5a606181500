"""From the options of a graph to its ladder; whatever is wrong with them is said before anything is asked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal, TypeAlias

from langgraph_maker.core.foreign import excerpt
from langgraph_maker.core.task import Task
from langgraph_maker.models.resolve import Model
from langgraph_maker.nodes.ladder.audit import Audit
from langgraph_maker.nodes.ladder.human import AskHuman
from langgraph_maker.nodes.ladder.kind import Setting, TierKind, TierOption
from langgraph_maker.nodes.ladder.ladder import Ladder
from langgraph_maker.nodes.ladder.plain import NO_VARIANTS, Tier, Variants

__all__ = ["LadderLike", "read_ladder"]

LadderLike: TypeAlias = Sequence[TierOption] | Literal["default", "human"] | None
"""A list of tiers (`Tier`, `Split`, `AskHuman`), the first one first; "default", or "human"; None for one plain tier.

"default" needs no settings, "human" is the same with a human on top."""


def read_ladder(
    ladder: LadderLike,
    *,
    model: Model,
    k: int | None,
    max_samples_per_step: int | None = None,
    prompts: int = 1,
    steps: int | None = None,
    decorrelate: Literal["variants"] | None = None,
    audit: Audit | float | None = None,
    task: Task | None = None,
) -> Ladder:
    """Return the tiers that a graph's options ask for.

    Args:
        ladder: The tiers from the first on. "default" needs no settings: votes take all prompt variants in turns, and
            above that at temperature 0.8 with twice the margin; "human" has a human on top. None for a single tier that
            asks as the run does.
        model: The run's.
        k: The run's margin, which no tier may undercut; None where each step has its own.
        max_samples_per_step: The run's: a tier that what is left of it cannot decide is passed over.
        prompts: How many prompt variants the task has.
        steps: How many steps it has, of which 95 % of runs are to get none wrong; None where that is not known.
        decorrelate: "variants" lets the votes of the first tier take all prompt variants in turns.
        audit: An `Audit`, or the share of steps that one is to see.
        task: Whose subtasks a `Split` does in sub-steps; None where there are none.

    Raises:
        ValueError: For an empty ladder, a tier like the one before, a variant that there is not, a k below the run's,
            `AskHuman` below the top, a second `Split`, or an audit that asks as the vote did.
        TypeError: For what is no tier, or a `Split` without a task that is `Splittable`.
    """
    options = _options(ladder, prompts, k)
    if decorrelate is not None:
        _spread(options, decorrelate, prompts)
    setting = Setting([model], k, prompts, task)
    tiers: list[TierKind] = []
    for place, option in enumerate(options):
        setting.name = f"tier {place}"
        tier = option.tier(setting)
        setting.first = setting.first or tier.terms
        _check_place(setting.name, tier, tiers, k or 1)
        tiers.append(tier)
    described: dict[str, Any] = {"ladder": [dict(tier.described) for tier in tiers], "audit": 0.0}
    human = tiers[-1].waits
    second = None
    if audit is not None:
        setting.name = "the audit"
        second = (audit if isinstance(audit, Audit) else Audit(share=audit)).tier(setting)
        described["audit"] = second.share
    return Ladder(
        tiers[:-1] if human else tiers,
        setting.models,
        human,
        second,
        min(_ERROR, (1 - _TARGET) / steps) if steps else _ERROR,
        described if len(tiers) > 1 or audit or tiers[0].described else {},
        k or 1,
        max_samples_per_step,
    )


def _check_place(name: str, tier: TierKind, below: Sequence[TierKind], k: int) -> None:
    """Refuse a tier that makes no sense above those below it."""
    if waiting := [one for one in below if one.waits]:
        raise ValueError(f"{waiting[0].title} stands on top of a ladder: nothing comes after a human")
    if tier.waits:
        return
    if tier.own_votes and any(one.name == tier.name for one in below):
        raise ValueError(f"{tier.title} stands once in a ladder: the sub-steps would be the same again")
    if tier.terms.carry and below and below[-1].own_votes:
        raise ValueError(f"{name} has carry=True above {below[-1].title}, whose votes are on other steps")
    asked = [one for one in below if not one.own_votes]
    if asked and not tier.own_votes and _alike(asked[-1], tier, k):
        raise ValueError(
            f"{name} of the ladder asks as the one before it does, which did not converge: give it other"
            " variants, another model, temperature or k"
        )


def _alike(one: TierKind, other: TierKind, k: int) -> bool:
    before, after = one.terms, other.terms
    same_margin = max(before.k, k) == max(after.k, k)
    return {*before.turns} == {*after.turns} and before.temperature == after.temperature and same_margin


_TARGET = 0.95
_ERROR = 0.001


def _spread(options: list[TierOption], decorrelate: str, prompts: int) -> None:
    """Let the first tier take all prompts in turns, unless it says which."""
    if decorrelate != "variants":
        raise ValueError(f'decorrelate is "variants" or None, not {excerpt(decorrelate)}')
    if prompts < 2:  # noqa: PLR2004 - two ways to ask
        raise ValueError(f"{NO_VARIANTS}, so decorrelate has nothing to spread votes over")
    first = options[0]
    if isinstance(first, Tier) and first.variants is None:
        options[0] = replace(first, variants="all")
        if options[1:2] == options[:1]:
            del options[1]


def _options(ladder: LadderLike, prompts: int, k: int | None) -> list[TierOption]:
    if ladder is None:
        return [Tier()]
    if isinstance(ladder, str) and ladder in {"default", "human"}:
        return [*_default(prompts, k), *([AskHuman()] if ladder == "human" else [])]
    if isinstance(ladder, str) or not isinstance(ladder, Sequence):
        raise TypeError(
            f'a ladder is a list of Tier(...), Split() and AskHuman(), "default" or "human", not {excerpt(ladder)}'
        )
    if not ladder:
        raise ValueError('the ladder is empty: give it a Tier, or take "default"')
    for option in ladder:
        if isinstance(option, (type, Audit)) or not callable(getattr(option, "tier", None)):
            raise TypeError(f"a ladder holds Tier(...), Split() and AskHuman(), not {excerpt(option)}")
    return [*ladder] if isinstance(ladder[0], Tier) else [Tier(), *ladder]


def _default(prompts: int, k: int | None) -> list[TierOption]:
    variants: Variants | None = "all" if prompts > 1 else None
    return [Tier(variants=variants), Tier(variants=variants, temperature=0.8, k=k and 2 * k)]
