"""How requests are gathered into batches, and how batches are looked after."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["BatchLimits", "OnStop"]

OnStop = Literal["leave", "cancel"]


@dataclass(frozen=True, kw_only=True)
class BatchLimits:
    """When a batch is closed, how many may be enqueued, and how often it is asked for.

    Args:
        requests: In one batch, at most; None for what the provider takes (OpenAI 50,000, Anthropic 100,000).
        size: Bytes of one batch, at most; None for nine tenths of what the provider takes (200 MB, 256 MB).
        delay: Seconds without a further request after which a batch is closed; after ten times as long it is closed
            though more come.
        enqueued_tokens: Input tokens that may be with the provider at a time, by a third of a token a byte; None for no
            bound. One that the provider names as it refuses a batch is held from then on.
        poll: Seconds between two looks at a batch; up to a minute, as it takes longer.
        grace: Seconds after which a batch is known not to have been submitted, when it is not in the provider's list.
        attempts: How often a request is put into a batch that lost, failed or did not reach it, before it is an error.
        outage: Seconds for which a provider that cannot be reached is asked again.

    Raises:
        ValueError: For a number out of its range.

    Example:
        >>> BatchLimits(delay=0.5).requests is None
        True
    """

    requests: int | None = None
    size: int | None = None
    delay: float = 2.0
    enqueued_tokens: int | None = None
    poll: float = 10.0
    grace: float = 30.0
    attempts: int = 5
    outage: float = 3600.0

    def __post_init__(self) -> None:
        for name in ("requests", "size", "enqueued_tokens", "attempts"):
            value = getattr(self, name)
            if value is None and name != "attempts":
                continue
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise ValueError(f"{name} is a whole number of at least 1, not {value!r}")
        for name in ("delay", "poll", "grace", "outage"):
            value = getattr(self, name)
            if not isinstance(value, (int, float)) or isinstance(value, bool) or not 0 <= value < float("inf"):
                raise ValueError(f"{name} is a number of seconds of at least 0, not {value!r}")
