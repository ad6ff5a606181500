"""`Tier`: one way to ask, the same question in other words, of other models, at another temperature or margin."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite, lcm
from operator import index
from typing import Any, Literal, TypeAlias

from langgraph_maker.core.foreign import excerpt
from langgraph_maker.core.margin import check_budget
from langgraph_maker.models.resolve import Model, model_name
from langgraph_maker.nodes.ladder.kind import Setting, TierKind, TierTerms

__all__ = ["NO_VARIANTS", "Tier", "Variants", "is_whole", "turns"]

Variants: TypeAlias = Literal["all"] | Sequence[int]
"""Prompt variants by number, taken in turns; variant 0 is the ordinary prompt."""


@dataclass(frozen=True, kw_only=True)
class Tier:
    """One way to ask. What is None is as the run has it.

    Attributes:
        k: The margin, at least the run's.
        samples: As many as a ballot may use here before it escalates; default what is left of the run's, or where it
            has no limit, 10 k², and at least 100. A tier that what is left cannot decide is passed over.
        temperature: Of all samples, the first included.
        variants: Prompts of the task that votes take in turns; None for the ordinary one.
        model: Whom to ask; several are taken in turns.
        carry: Continue with the votes of the tier below. An answer then wins by votes of both, which is sound only if
            the votes below are as likely to be right as is taken for granted up here; they did not converge. By default
            a ballot starts afresh, which errs as seldom as the worst tier does by itself, whatever made it escalate.
    """

    k: int | None = None
    samples: int | None = None
    temperature: float | None = None
    variants: Variants | None = None
    model: Model | Sequence[Model] | None = None
    carry: bool = False

    def tier(self, setting: Setting) -> TierKind:
        """Return the tier as it is used, see `TierOption`."""
        k, name, heat = setting.k or 1, setting.name, self.temperature
        if self.k is not None and (not is_whole(self.k) or self.k < k):
            raise ValueError(f"{name} has k={excerpt(self.k)}: it is a whole number of at least the run's k ({k})")
        if self.samples is not None:
            check_budget(self.samples, self.k or k)
        if heat is not None and (isinstance(heat, bool) or not isinstance(heat, (int, float)) or not heat >= 0):
            raise ValueError(
                f"{name} has temperature={excerpt(heat)}: it is a number of at least 0, or None for the run's"
            )
        if heat is not None and not isfinite(heat):
            raise ValueError(f"{name} has temperature={excerpt(heat)}: it is a finite number")
        if self.carry not in {True, False}:
            raise ValueError(f"{name} has carry={excerpt(self.carry)}: it is True or False")
        asked = turns(self.variants, self.model, setting)
        return TierKind(TierTerms(asked, heat, self.k or 1, self.samples, self.carry), self._described())

    def _described(self) -> dict[str, Any]:
        names = None if self.model is None else [model_name(one) for one in _models(self.model)]
        variants = self.variants if self.variants is None or isinstance(self.variants, str) else list(self.variants)
        said = {
            "k": self.k,
            "samples": self.samples,
            "temperature": self.temperature,
            "variants": variants,
            "model": names,
        }
        return {name: value for name, value in said.items() if value is not None}


def turns(variants: Variants | None, model: Model | Sequence[Model] | None, setting: Setting) -> list[tuple[int, int]]:
    """Return each pair of a prompt and a model once, with both changing from one to the next where they can.

    Raises:
        ValueError: For a variant that there is not, or no model.
    """
    rows = [0] if variants is None else _variants(variants, setting)
    asked = [setting.models[0]] if model is None else _models(model)
    if not asked:
        raise ValueError(f"{setting.name} has an empty list of models")
    columns = []
    for one in asked:
        if not any(one is known or (isinstance(one, str) and one == known) for known in setting.models):
            setting.models.append(one)
        columns.append(next(n for n, known in enumerate(setting.models) if one is known or one == known))
    again = lcm(len(rows), len(columns))  # after so many turns the same pairs would come
    return [
        (rows[turn % len(rows)], columns[(turn + turn // again) % len(columns)])
        for turn in range(len(rows) * len(columns))
    ]


def is_whole(value: object) -> bool:
    """Return whether this is a whole number, and no truth value."""
    try:
        index(value)  # type: ignore[arg-type]
    except TypeError:
        return False
    return not isinstance(value, bool)


def _models(model: Model | Sequence[Model]) -> list[Model]:
    return [*model] if isinstance(model, Sequence) and not isinstance(model, str) else [model]


def _variants(variants: Variants, setting: Setting) -> list[int]:
    name, prompts = setting.name, setting.prompts
    if variants == "all":
        return list(range(prompts))
    if isinstance(variants, (str, bytes)) or not isinstance(variants, Sequence) or not variants:
        raise ValueError(f'{name} has variants={excerpt(variants)}: it is "all", or a list of variants by number')
    for variant in variants:
        if not is_whole(variant) or not 0 <= int(variant) < prompts:
            there = f"0 to {prompts - 1}" if prompts > 1 else f"0 alone; {NO_VARIANTS}"
            raise ValueError(f"{name} asks for variant {excerpt(variant)}: there is {there}")
    if len({*variants}) < len(variants):
        raise ValueError(f"{name} names a variant twice: {list(variants)}")
    return [int(variant) for variant in variants]


NO_VARIANTS = "the task has one prompt (no `variants` and prompt(state, variant=…))"
