"""From the options of a graph to its ladder; whatever is wrong with them is said before anything is asked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import isfinite, lcm
from operator import index
from typing import Any, Literal

from langgraph_maker.core.foreign import excerpt
from langgraph_maker.core.margin import check_budget
from langgraph_maker.core.task import Task
from langgraph_maker.models.resolve import Model, model_name
from langgraph_maker.nodes.ladder.decomposition import Splitting
from langgraph_maker.nodes.ladder.ladder import Ladder, TierTerms
from langgraph_maker.nodes.ladder.tiers import AskHuman, Audit, LadderLike, Split, Tier, Variants

__all__ = ["read_ladder"]


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
    tiers = _tiers(ladder, prompts, k)
    if decorrelate is not None:
        _spread(tiers, decorrelate, prompts)
    human = isinstance(tiers[-1], AskHuman)
    if any(isinstance(tier, AskHuman) for tier in tiers[:-1]):
        raise ValueError("AskHuman stands on top of a ladder: nothing comes after a human")
    if sum(isinstance(tier, Split) for tier in tiers) > 1:
        raise ValueError("Split() stands once in a ladder: the sub-steps would be the same again")
    models: list[Model] = [model]
    rungs: list[TierTerms] = []
    for place, tier in enumerate(tier for tier in tiers if not isinstance(tier, AskHuman)):
        if isinstance(tier, Split):  # as the first tier asks, and with the run's samples
            rungs.append(rungs[0]._replace(samples=None, carry=False, splits=True))
            continue
        rung = _rung(tier, f"tier {place}", models, k, prompts)
        if rung.carry and rungs and rungs[-1].splits:
            raise ValueError(f"tier {place} has carry=True above Split(), whose votes are on other steps")
        if (below := [one for one in rungs if not one.splits]) and _alike(below[-1], rung, k or 1):
            raise ValueError(
                f"tier {place} of the ladder asks as the one before it does, which did not converge: give it other"
                " variants, another model, temperature or k"
            )
        rungs.append(rung)
    second, share = None, 0.0
    if audit is not None:
        audit = audit if isinstance(audit, Audit) else Audit(share=audit)
        second, share = _audit(audit, rungs[0], models, prompts), audit.share
    described = {"ladder": [_described(tier) for tier in tiers], "audit": share} if len(tiers) > 1 or audit else {}
    error = min(_ERROR, (1 - _TARGET) / steps) if steps else _ERROR
    splitting = Splitting(task) if any(rung.splits for rung in rungs) else None
    return Ladder(rungs, models, human, second, share, error, described, splitting, k or 1, max_samples_per_step)


_TARGET = 0.95
_ERROR = 0.001


def _spread(tiers: list[Tier | Split | AskHuman], decorrelate: str, prompts: int) -> None:
    """Let the first tier take all prompts in turns, unless it says which."""
    if decorrelate != "variants":
        raise ValueError(f'decorrelate is "variants" or None, not {excerpt(decorrelate)}')
    if prompts < 2:  # noqa: PLR2004 - two ways to ask
        raise ValueError(f"{_NO_VARIANTS}, so decorrelate has nothing to spread votes over")
    if isinstance(tiers[0], Tier) and tiers[0].variants is None:
        tiers[0] = replace(tiers[0], variants="all")
        if tiers[1:2] == tiers[:1]:
            del tiers[1]


def _tiers(ladder: LadderLike, prompts: int, k: int | None) -> list[Tier | Split | AskHuman]:
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
    for tier in ladder:
        if not isinstance(tier, (Tier, Split, AskHuman)):
            raise TypeError(f"a ladder holds Tier(...), Split() and AskHuman(), not {excerpt(tier)}")
    return [*ladder] if isinstance(ladder[0], Tier) else [Tier(), *ladder]


def _default(prompts: int, k: int | None) -> list[Tier]:
    variants: Variants | None = "all" if prompts > 1 else None
    return [Tier(variants=variants), Tier(variants=variants, temperature=0.8, k=k and 2 * k)]


def _rung(tier: Tier, name: str, models: list[Model], k: int | None, prompts: int) -> TierTerms:
    if tier.k is not None and (not _whole(tier.k) or tier.k < (k or 1)):
        raise ValueError(f"{name} has k={excerpt(tier.k)}: it is a whole number of at least the run's k ({k or 1})")
    if tier.samples is not None:
        check_budget(tier.samples, tier.k or k or 1)
    heat = tier.temperature
    if heat is not None and (isinstance(heat, bool) or not isinstance(heat, (int, float)) or not heat >= 0):
        raise ValueError(f"{name} has temperature={excerpt(heat)}: it is a number of at least 0, or None for the run's")
    if heat is not None and not isfinite(heat):
        raise ValueError(f"{name} has temperature={excerpt(heat)}: it is a finite number")
    if tier.carry not in {True, False}:
        raise ValueError(f"{name} has carry={excerpt(tier.carry)}: it is True or False")
    return TierTerms(_turns(tier, name, models, prompts), heat, tier.k or 1, tier.samples, tier.carry)


def _alike(one: TierTerms, other: TierTerms, k: int) -> bool:
    same_margin = max(one.k, k) == max(other.k, k)
    return {*one.turns} == {*other.turns} and one.temperature == other.temperature and same_margin


def _turns(tier: Tier | Audit, name: str, models: list[Model], prompts: int) -> list[tuple[int, int]]:
    """Each pair of a prompt and a model once, with both changing from one to the next where they can."""
    variants = [0] if tier.variants is None else _variants(tier.variants, name, prompts)
    asked = [models[0]] if tier.model is None else _models(tier.model)
    if not asked:
        raise ValueError(f"{name} has an empty list of models")
    numbers = []
    for one in asked:
        if not any(one is known or (isinstance(one, str) and one == known) for known in models):
            models.append(one)
        numbers.append(next(n for n, known in enumerate(models) if one is known or one == known))
    rows, columns = len(variants), len(numbers)
    again = lcm(rows, columns)  # after so many turns the same pairs would come
    return [(variants[turn % rows], numbers[(turn + turn // again) % columns]) for turn in range(rows * columns)]


def _models(model: Model | Sequence[Model]) -> list[Model]:
    return [*model] if isinstance(model, Sequence) and not isinstance(model, str) else [model]


def _variants(variants: Variants, name: str, prompts: int) -> list[int]:
    if variants == "all":
        return list(range(prompts))
    if isinstance(variants, (str, bytes)) or not isinstance(variants, Sequence) or not variants:
        raise ValueError(f'{name} has variants={excerpt(variants)}: it is "all", or a list of variants by number')
    for variant in variants:
        if not _whole(variant) or not 0 <= int(variant) < prompts:
            there = f"0 to {prompts - 1}" if prompts > 1 else f"0 alone; {_NO_VARIANTS}"
            raise ValueError(f"{name} asks for variant {excerpt(variant)}: there is {there}")
    if len({*variants}) < len(variants):
        raise ValueError(f"{name} names a variant twice: {list(variants)}")
    return [int(variant) for variant in variants]


_NO_VARIANTS = "the task has one prompt (no `variants` and prompt(state, variant=…))"


def _audit(audit: Audit, first: TierTerms, models: list[Model], prompts: int) -> TierTerms:
    share = audit.share
    if isinstance(share, bool) or not isinstance(share, (int, float)) or not 0 < share <= 1:
        raise ValueError(f"the share of audited steps is a number above 0 and up to 1, not {excerpt(share)}")
    if not _whole(audit.k) or audit.k < 1:
        raise ValueError(f"the k of an audit is a whole number of at least 1, not {excerpt(audit.k)}")
    used = {variant for variant, _ in first.turns}
    if audit.variants is None and audit.model is None:
        others = [variant for variant in range(prompts) if variant not in used]
        if not others:
            raise ValueError(
                "an audit asks in another way than the vote: give it another model, or the task more prompt variants"
                " than the first tier uses"
            )
        audit = replace(audit, variants=others)
    turns = _turns(audit, "the audit", models, prompts)
    if {*turns} <= {*first.turns}:
        raise ValueError("the audit asks as the vote does: give it other variants, or another model")
    return TierTerms(turns, None, audit.k, max(20, 10 * audit.k**2), carry=False)


def _whole(value: object) -> bool:
    try:
        index(value)  # type: ignore[arg-type]
    except TypeError:
        return False
    return not isinstance(value, bool)


def _described(tier: Tier | Split | AskHuman) -> dict[str, Any]:
    """Return a tier for the record, models by their names."""
    if isinstance(tier, Split):
        return {"split": True}
    if isinstance(tier, AskHuman):
        return {"human": True}
    names = None if tier.model is None else [model_name(one) for one in _models(tier.model)]
    variants = tier.variants if tier.variants is None or isinstance(tier.variants, str) else list(tier.variants)
    said = {"k": tier.k, "samples": tier.samples, "temperature": tier.temperature, "variants": variants, "model": names}
    return {name: value for name, value in said.items() if value is not None}
