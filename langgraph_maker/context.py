"""Settings of one invocation: what a runtime context says in place of the factories' arguments."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from langgraph.runtime import get_runtime
from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from typing_extensions import TypedDict

__all__ = ["MakerContext", "overrides"]


class MakerContext(TypedDict, total=False):
    """Overrides of factory arguments for one invocation: `graph.invoke(…, context={"k": 5})`.

    A graph's own context need not be this class. These names are looked up in whatever it is, as keys of a mapping or
    as attributes, and None or a missing one leaves the factory's argument. So a context that calls something else `k`
    or `temperature` had better call it otherwise, or hold it one level down.

    Attributes:
        k: The margin, for every step. A run that goes on is held to the one that it was begun with, and a vote takes no
            smaller one.
        first_temperature: Of each ballot's first sample, at most 2.
        temperature: Of all later samples, at most 2.
        max_samples_per_step: Samples a ballot may use, at least k.
    """

    __pydantic_config__ = ConfigDict(strict=True)  # type: ignore[misc]

    k: Annotated[
        int,
        Field(
            description="Votes by which an answer must lead every other; the graph's own if left open.",
            ge=1,
            le=1000,
            json_schema_extra={"langgraph_nodes": ["vote"]},
        ),
    ]
    first_temperature: Annotated[
        float,
        Field(
            description="Temperature of the first sample of each step; the graph's own if left open.",
            ge=0,
            le=2,
            allow_inf_nan=False,
            json_schema_extra={"langgraph_nodes": ["vote"]},
        ),
    ]
    temperature: Annotated[
        float,
        Field(
            description="Temperature of all later samples; the graph's own if left open.",
            ge=0,
            le=2,
            allow_inf_nan=False,
            json_schema_extra={"langgraph_nodes": ["vote"]},
        ),
    ]
    max_samples_per_step: Annotated[
        int,
        Field(
            description="Samples after which a step is given up as unresolved; 10 k², and at least 100, if left open.",
            ge=1,
            json_schema_extra={"langgraph_nodes": ["vote"]},
        ),
    ]


_SETTINGS: TypeAdapter[MakerContext] = TypeAdapter(MakerContext)


def overrides() -> MakerContext:
    """What the context of the running graph overrides; nothing outside of graphs.

    Raises:
        ValueError: For a setting that is none, with its name.

    Example:
        >>> overrides()
        {}
    """
    try:
        runtime: Any = get_runtime()
    except (RuntimeError, KeyError):  # a node that is called by itself
        return {}
    if runtime is None or (context := runtime.context) is None:
        return {}
    found = {name: _value(context, name) for name in MakerContext.__annotations__}
    if not (given := {name: value for name, value in found.items() if value is not None}):
        return {}
    try:
        return _SETTINGS.validate_python(given)
    except ValidationError as error:
        said = [f"{wrong['loc'][0]}: {wrong['msg']}, not {repr(wrong['input'])[:80]}" for wrong in error.errors()]
        raise ValueError("the runtime context is refused: " + "; ".join(said)) from None


def _value(context: Any, name: str) -> Any:
    try:
        return context.get(name) if isinstance(context, Mapping) else getattr(context, name, None)
    except Exception as error:
        raise ValueError(f"the runtime context cannot be asked for {name}: {type(error).__name__}: {error}") from error
