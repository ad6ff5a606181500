"""Settings of one invocation: what a runtime context says in place of the factories' arguments."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any, TypeAlias

from langgraph.runtime import get_runtime
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from langgraph_maker.core.foreign import first_problem
from langgraph_maker.core.keywords import check_keywords, means

__all__ = ["Given", "MakerContext", "overrides"]

Given: TypeAlias = Mapping[str, Any]
"""What a runtime context says, by the names of `MakerContext`."""


def _setting(description: str, **bounds: Any) -> Any:
    """Return a field that is None while it is left open, which its schema need not say."""
    return Field(default=None, description=description, json_schema_extra=_extra, **bounds)


def _extra(schema: dict[str, Any]) -> None:
    del schema["default"]
    schema["langgraph_nodes"] = ["vote"]


class MakerContext(BaseModel):
    """Overrides of factory arguments for one invocation: `graph.invoke(…, context={"maker": {"k": 5}})`.

    They are under a key or attribute `maker` of whatever the context is, and nothing else of it is looked at, so a host
    may call its own settings what it likes. A `maker` of the host's own that has none of these names is left alone; a
    bad value under one of them is refused. In a graph whose context schema is this class, or a subclass, as of
    `create_maker`, the fields may be the context itself: `context={"k": 5}`.

    Attributes:
        k: The margin, for every step that the code does not give a larger one. It lowers none, unless the code allows
            it (`min_k=`). A run that continues is held to the one that it was started with; one whose k is by step
            takes that of each invocation.
        first_temperature: Of each ballot's first sample, at most 2.
        temperature: Of all later samples, at most 2.
        max_samples_per_step: Samples a ballot may use, at least k.

    Example:
        >>> MakerContext(k=5).k
        5
    """

    model_config = ConfigDict(strict=True, frozen=True)

    k: int = _setting("Votes by which an answer must lead every other; the graph's own if left open.", ge=1, le=1000)
    first_temperature: float = _setting(
        "Temperature of the first sample of each step; the graph's own if left open.", ge=0, le=2, allow_inf_nan=False
    )
    temperature: float = _setting(
        "Temperature of all later samples; the graph's own if left open.", ge=0, le=2, allow_inf_nan=False
    )
    max_samples_per_step: int = _setting(
        "Samples after which a step is given up as unresolved; 10 k², and at least 100, if left open.", ge=1
    )

    @model_validator(mode="before")
    @classmethod
    def _its_own(cls, given: Any) -> Any:
        """Refuse slips of names (a server adds names of its own), and leave open what is None."""
        if isinstance(given, Mapping):
            if set(given) == {_KEY} and _KEY not in cls.model_fields and isinstance(given[_KEY], Mapping):
                given = given[_KEY]
            check_keywords(cls, [name for name in given if means(name, cls.model_fields)], cls.model_fields)
            return {name: value for name, value in given.items() if value is not None or name not in _OPEN}
        return given


_KEY = "maker"
_OPEN = MakerContext.model_fields.keys()


def overrides() -> Given:
    """Return what the context of the running graph overrides; nothing outside of graphs.

    Raises:
        ValueError: For a setting that is out of range, with its name.
        TypeError: For a name that is probably a slip.

    Example:
        >>> overrides()
        {}
    """
    try:
        runtime: Any = get_runtime()
    except (RuntimeError, KeyError):  # a node that is called by itself
        return {}
    if runtime is None or (found := _ours(runtime.context)) is None:
        return {}
    given = {name: getattr(found, name) for name in MakerContext.model_fields}
    return {name: value for name, value in given.items() if value is not None}


def _ours(context: Any) -> MakerContext | None:
    """Return what of a host's context is meant for this package."""
    if context is None or isinstance(context, MakerContext):
        return context
    held = None
    with suppress(Exception):  # whatever a host's own object does when it is asked
        held = context.get(_KEY) if isinstance(context, Mapping) else getattr(context, _KEY, None)
    if isinstance(held, MakerContext):
        return held
    if isinstance(held, Mapping) and any(means(name, MakerContext.model_fields) for name in held):
        try:
            return MakerContext(**{str(name): value for name, value in held.items()})
        except ValidationError as error:
            raise ValueError(f"{_KEY} in the runtime context: {first_problem(error)} (see MakerContext)") from error
    return None
