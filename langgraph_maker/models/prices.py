"""What tokens cost: list prices of well-known models, and `Price` for all others.

>>> usage = {"input_tokens": 1_000_000, "cached_input_tokens": 0, "output_tokens": 100_000, "cost": None}
>>> of("openai:gpt-4.1-mini").cost(usage)
0.56
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import UTC, date, datetime
from functools import lru_cache
from typing import Any, Final

from langchain_core.messages import AIMessage

from langgraph_maker.core.foreign import bounded_text, finite_count, terminal_safe
from langgraph_maker.core.state import Usage

__all__ = ["AS_OF", "TABLE", "Price", "dated", "of", "read_price", "usage_of"]

logger = logging.getLogger(__name__)

AS_OF: Final = "2025-10"
"""When the prices in `TABLE` were those of the providers' lists. Give a `Price` where yours differ."""


@dataclass(frozen=True)
class Price:
    """Dollars per million tokens.

    Args:
        input: For input tokens.
        output: For output tokens, those of hidden reasoning included.
        cached_input: For input tokens that the provider had cached; None: as other input.

    Raises:
        ValueError: For what is not a number of at least 0.

    Example:
        >>> Price(0.4, 1.6, cached_input=0.1)
        Price(input=0.4, output=1.6, cached_input=0.1)
    """

    input: float
    output: float
    cached_input: float | None = None

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if value is None and field.name == "cached_input":
                continue
            if not isinstance(value, (int, float)) or isinstance(value, bool) or not 0 <= value < float("inf"):
                raise ValueError(f"a price is dollars per million {field.name} tokens, at least 0, not {value!r}")

    def cost(self, usage: Mapping[str, Any]) -> float:
        """Return dollars for `input_tokens`, of them `cached_input_tokens`, and `output_tokens`."""
        cached: int = usage["cached_input_tokens"]
        fresh: int = usage["input_tokens"] - cached
        for_cached = self.input if self.cached_input is None else self.cached_input
        written: int = usage["output_tokens"]
        return (fresh * self.input + cached * for_cached + written * self.output) / 1e6


TABLE: Final[dict[str, Price]] = {
    "gpt-4.1": Price(2.0, 8.0, 0.5),
    "gpt-4.1-mini": Price(0.4, 1.6, 0.1),
    "gpt-4.1-nano": Price(0.1, 0.4, 0.025),
    "gpt-4o": Price(2.5, 10.0, 1.25),
    "gpt-4o-mini": Price(0.15, 0.6, 0.075),
    "gpt-5": Price(1.25, 10.0, 0.125),
    "gpt-5-mini": Price(0.25, 2.0, 0.025),
    "gpt-5-nano": Price(0.05, 0.4, 0.005),
    "o3": Price(2.0, 8.0, 0.5),
    "o3-mini": Price(1.1, 4.4, 0.55),
    "o4-mini": Price(1.1, 4.4, 0.275),
    "claude-haiku-4-5": Price(1.0, 5.0, 0.1),
    "claude-sonnet-4-5": Price(3.0, 15.0, 0.3),
    "haiku-4.5": Price(1.0, 5.0),
    "gpt-oss-20b": Price(0.05, 0.2),
}
"""List prices as of `AS_OF`; the last two are those of MAKER's table, for its simulated models."""


@lru_cache(maxsize=256)
def of(model: str) -> Price | None:
    """Return the list price of a model under any of its names, None where it is not known.

    Example:
        >>> of("sim:gpt-4.1,seed=3") == of("gpt-4.1-2025-04-14") == of("gpt-4.1-latest") == of("gpt-4.1")
        True
        >>> of("gpt-4.1-large") is None
        True
    """
    name = model.rsplit(" ", 1)[-1].split(",", maxsplit=1)[0].rsplit("/", 1)[-1].rsplit(":", 1)[-1].lower()
    if (price := TABLE.get(name)) is not None:
        return price
    return TABLE.get(_SNAPSHOT.sub("", name))


def usage_of(response: AIMessage, price: Price | None = None) -> Usage:
    """Return what `response` used, and its cost by `price`, or by the list price of the model that it names.

    Where a count is no whole number from 0 to a billion, nothing of it is known: 0 tokens, and a cost of None. Cached
    tokens beyond the input tokens are not known either, and the input then costs its full price.

    Example:
        >>> said = AIMessage("4", usage_metadata={"input_tokens": 10, "output_tokens": 5, "total_tokens": 15})
        >>> usage_of(said, Price(1, 2))
        {'input_tokens': 10, 'cached_input_tokens': 0, 'output_tokens': 5, 'cost': 2e-05}
        >>> usage_of(AIMessage("4"), Price(1, 2))["cost"] is None
        True
    """
    said: Any = response.usage_metadata
    name = response.response_metadata.get("model_name")
    name = name if isinstance(name, str) else ""
    unknown: Usage = {"input_tokens": 0, "cached_input_tokens": 0, "output_tokens": 0, "cost": None}
    if not said:
        return unknown
    counts: Mapping[str, Any] = said if isinstance(said, Mapping) else {}
    read, written = finite_count(counts.get("input_tokens")), finite_count(counts.get("output_tokens"))
    if read is None or written is None:
        _say_unreadable(bounded_text(name, 100))
        return unknown
    details = counts.get("input_token_details")
    given = details.get("cache_read") if isinstance(details, Mapping) else details
    cached = finite_count(0 if given is None else given, most=read)
    if cached is None:
        _say_unreadable(bounded_text(name, 100))
    usage: Usage = {"input_tokens": read, "cached_input_tokens": cached or 0, "output_tokens": written, "cost": None}
    if (price := price or of(name)) is not None:
        usage["cost"] = price.cost(usage)
    return usage


@lru_cache(maxsize=256)
def _say_unreadable(model: str) -> None:
    """Say it once a model."""
    logger.warning(
        "%s reports token counts that cannot be read: what such responses use is not known, nor what the run costs",
        terminal_safe(model) or "the model",
    )


_SNAPSHOT: Final = re.compile(r"-(20\d\d-?\d\d-?\d\d|latest)$")


def dated(today: date | None = None) -> str:
    """Return what the prices in `TABLE` are as of, and how old that is once it is more than half a year.

    Example:
        >>> AS_OF, dated(date(2025, 11, 30))
        ('2025-10', 'by the price list of 2025-10')
        >>> dated(date(2026, 11, 30))
        'by the price list of 2025-10, 13 months old: give your own price where it differs'
    """
    year, month = map(int, AS_OF.split("-"))
    today = today or datetime.now(UTC).date()
    months = 12 * (today.year - year) + today.month - month
    old = f", {months} months old: give your own price where it differs" if months > _HALF_A_YEAR else ""
    return f"by the price list of {AS_OF}{old}"


_HALF_A_YEAR: Final = 6  # months


def read_price(text: str) -> Price:
    """Read "INPUT,OUTPUT" or "INPUT,OUTPUT,CACHED", in dollars per million tokens.

    Raises:
        ValueError: For anything else.

    Example:
        >>> read_price("0.4,1.6")
        Price(input=0.4, output=1.6, cached_input=None)
    """
    try:
        numbers = [float(part) for part in text.split(",")]
        return Price(*numbers)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"a price is INPUT,OUTPUT or INPUT,OUTPUT,CACHED in dollars per million tokens, not {text!r}"
        ) from error
