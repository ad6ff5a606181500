"""The service tier that a model is asked for: as it is set, given, and where one has no room, another.

"flex" costs half, answers later, and refuses calls while it has no room: they are retried. With
"flex-or-default" such a call is made at the default tier, which costs twice as much and is priced so.
"""

from __future__ import annotations

from typing import Any, Final

from langchain_core.language_models import BaseChatModel
from langchain_core.runnables import Runnable

from langgraph_maker.core.foreign import excerpt
from langgraph_maker.models.connections import patient
from langgraph_maker.models.error_reading import read
from langgraph_maker.models.resolve import BATCH, each_chat_model

__all__ = [
    "FLEX_TIMEOUT",
    "OR_DEFAULT",
    "at_service_tier",
    "call_timeout",
    "check_service_tier",
    "has_no_room",
    "takes_service_tier",
    "tier_of",
]

OR_DEFAULT: Final = "flex-or-default"
FLEX_TIMEOUT, _TIMEOUT = 900.0, 600.0  # seconds


def check_service_tier(service_tier: str | None) -> str | None:
    """Return `service_tier`.

    Raises:
        ValueError: For one that no provider has.
    """
    if service_tier is not None and service_tier not in SERVICE_TIERS:
        raise ValueError(f"service_tier is one of {', '.join(SERVICE_TIERS)}, not {excerpt(service_tier)}")
    return service_tier


def at_service_tier(model: Runnable[Any, Any], service_tier: str | None) -> Runnable[Any, Any]:
    """Return `model` with its chat models asked at a service tier; None leaves what they say.

    Raises:
        ValueError: For a tier that no provider has, or a model without tiers.
    """
    if check_service_tier(service_tier) is None:
        return each_chat_model(model, lambda one: patient(one, FLEX_TIMEOUT) if tier_of(one) == "flex" else one)

    def change(one: BaseChatModel) -> BaseChatModel:
        if "service_tier" not in type(one).model_fields:
            raise ValueError(f"{type(one).__name__} has no service tiers: leave service_tier out")
        asked = "flex" if service_tier == OR_DEFAULT else service_tier
        changed = one.model_copy(update={"service_tier": asked})
        return patient(changed, FLEX_TIMEOUT) if asked == "flex" else changed

    return each_chat_model(model, change, lose={"service_tier"})


def takes_service_tier(model: object) -> bool:
    """Return whether a model may be asked at a service tier: no simulated one, no batches, no sampler of one's own."""
    if isinstance(model, str):
        return not model.startswith(("sim:", BATCH))
    return isinstance(model, Runnable)


def tier_of(model: Runnable[Any, Any]) -> str:
    """Return the tier that a model is asked for, "" where it does not say.

    Example:
        >>> from langchain_core.language_models import FakeListChatModel
        >>> tier_of(FakeListChatModel(responses=["4"]))
        ''
    """
    found: list[str] = []

    def look(one: BaseChatModel) -> BaseChatModel:
        said = getattr(one, "service_tier", None)
        found.append(said if isinstance(said, str) else "")
        return one

    each_chat_model(model, look)
    return found[0] if found else ""


def call_timeout(tier: str) -> float:
    """Return seconds that a call at a tier is waited for, unless the user says how long."""
    return FLEX_TIMEOUT if tier == "flex" else _TIMEOUT


def has_no_room(error: Exception) -> bool:
    """Return whether a call was refused as its tier has no room for it now.

    Example:
        >>> has_no_room(ValueError({"message": "Resource unavailable", "code": 429})), has_no_room(ValueError("429"))
        (True, False)
    """
    said = read(error)
    return said.status == _TOO_MANY and ("resourceunavailable" in said.codes or "resource unavailable" in said.text)


_TOO_MANY: Final = 429
SERVICE_TIERS: Final = ("default", "flex", OR_DEFAULT, "priority", "auto")
