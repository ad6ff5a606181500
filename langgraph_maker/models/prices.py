"""What tokens cost, by service tier: list prices of well-known models, and `Price` for all others.

List prices are those of the package genai-prices (extra `prices`), which follows the providers' pages, flex, priority,
batches and cached input included. A simulated model costs what was published for the model that it simulates.

>>> usage = {"input_tokens": 1_000_000, "cached_input_tokens": 0, "output_tokens": 100_000, "cost": None}
>>> of("openai:gpt-4.1-mini").cost(usage), of("openai:gpt-4.1-mini", "batch").cost(usage)
(0.56, 0.28)
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from functools import lru_cache
from typing import Any, Final

from langchain_core.messages import AIMessage

from langgraph_maker.core.foreign import bounded_text, excerpt, finite_count, terminal_safe
from langgraph_maker.core.state import Usage
from langgraph_maker.models import price_list
from langgraph_maker.simulation.profiles import SIMULATED, read_spec

__all__ = ["STANDARD", "Price", "check_price", "dated", "of", "read_price", "recorded", "say_unreadable", "usage_of"]

logger = logging.getLogger(__name__)

STANDARD: Final = "default"
"""The service tier of the list price."""


@dataclass(frozen=True)
class Price:
    """Dollars per million tokens, at the provider's standard tier.

    Args:
        input: For input tokens.
        output: For output tokens, those of hidden reasoning included.
        cached_input: For input tokens that the provider had cached; None: as other input.
        tiers: Prices at other service tiers, by their names ("flex", "batch", "priority"). Where they are not given,
            flex and batches cost half of this, as OpenAI's and Anthropic's do, and what others cost is not known.

    Raises:
        ValueError: For what is not a number of at least 0.

    Example:
        >>> Price(0.4, 1.6, cached_input=0.1)
        Price(input=0.4, output=1.6, cached_input=0.1)
        >>> Price(0.4, 1.6).at("batch"), Price(0.4, 1.6).at("priority")
        (Price(input=0.2, output=0.8, cached_input=None), None)
    """

    input: float
    output: float
    cached_input: float | None = None
    tiers: Mapping[str, Price] = field(default_factory=dict, compare=False, repr=False)

    def __post_init__(self) -> None:
        for name in ("input", "output", "cached_input"):
            value = getattr(self, name)
            if value is None and name == "cached_input":
                continue
            if not isinstance(value, (int, float)) or isinstance(value, bool) or not 0 <= value < float("inf"):
                raise ValueError(f"a price is dollars per million {name} tokens, at least 0, not {excerpt(value)}")
        given: Mapping[str, Any] = self.tiers  # as JSON has them, where a calibration is read
        tiers = {tier: _price(price) for tier, price in given.items()}
        object.__setattr__(self, "tiers", tiers)

    def at(self, tier: str) -> Price | None:
        """Return the price at a service tier, None where it is not known."""
        if (given := self.tiers.get(tier)) is not None:
            return given
        if tier in _STANDARD:
            return self
        cached = None if self.cached_input is None else self.cached_input / 2
        return Price(self.input / 2, self.output / 2, cached) if tier in _HALF else None

    def cost(self, usage: Mapping[str, Any]) -> float:
        """Return dollars for `input_tokens`, of them `cached_input_tokens`, and `output_tokens`."""
        cached: int = usage["cached_input_tokens"]
        fresh: int = usage["input_tokens"] - cached
        for_cached = self.input if self.cached_input is None else self.cached_input
        written: int = usage["output_tokens"]
        return (fresh * self.input + cached * for_cached + written * self.output) / 1e6


def _price(given: Any) -> Price:
    price: Price = Price(**given) if isinstance(given, dict) else given
    return price


def of(model: str, tier: str = STANDARD, input_tokens: int = 0) -> Price | None:
    """Return the list price of a model under any of its names, at a service tier, None where it is not known.

    Args:
        model: Its name, with its provider ("openai:NAME") or as a response has it.
        tier: As the provider names it, or "batch".
        input_tokens: Of the call, as long prompts cost more at some providers.

    Example:
        >>> of("sim:gpt-4.1-mini,seed=3"), of("openai:gpt-4.1-mini-2025-04-14")
        (Price(input=0.4, output=1.6, cached_input=None), Price(input=0.4, output=1.6, cached_input=0.1))
        >>> of("openai:gpt-5-mini", "flex")
        Price(input=0.125, output=1.0, cached_input=0.0125)
        >>> of("gpt-4.1-large") is None
        True
    """
    if model.startswith("sim:"):
        return _simulated(model, tier)
    name = price_list.plain_name(model)
    if (given := price_list.file_rates(name)) is not None:
        return _of_file(name, given).at(tier)
    price = _listed(name, datetime.now(UTC).date(), input_tokens >= _LONG and input_tokens)
    return None if price is None else price.at(tier)


@lru_cache(maxsize=512)
def _listed(name: str, today: date, input_tokens: int) -> Price | None:
    """Return the list price of a model with those at all tiers that have one."""
    if (standard := price_list.library_rates(name, STANDARD, today)) is None:
        return None
    tiers = {tier: price_list.library_rates(name, tier, today) for tier in ("flex", "batch", "priority")}
    of_tiers = {tier: Price(*rates.at(input_tokens)) for tier, rates in tiers.items() if rates is not None}
    return Price(*standard.at(input_tokens), tiers=of_tiers)


def _simulated(model: str, tier: str) -> Price | None:
    """Return what was published for the model that a name simulates; None where that is not all."""
    try:
        profile, _ = read_spec(model)
    except ValueError:
        return None
    if profile.input_price is None or profile.output_price is None:
        return None
    return Price(profile.input_price, profile.output_price).at(tier)


def _of_file(name: str, given: Mapping[str, Any]) -> Price:
    try:
        numbers = {key: value for key, value in given.items() if not isinstance(value, dict)}
        tiers = {key: _price(value) for key, value in given.items() if isinstance(value, dict)}
        return Price(**numbers, tiers=tiers)
    except (TypeError, ValueError, AttributeError) as error:
        raise ValueError(f"the price list {price_list.FILE}: {name}: {error}") from error


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
    metadata = response.response_metadata
    name, tier = metadata.get("model_name"), metadata.get("service_tier")
    name, tier = name if isinstance(name, str) else "", tier if isinstance(tier, str) else STANDARD
    unknown: Usage = {"input_tokens": 0, "cached_input_tokens": 0, "output_tokens": 0, "cost": None}
    if not said:
        return unknown
    counts: Mapping[str, Any] = said if isinstance(said, Mapping) else {}
    read, written = finite_count(counts.get("input_tokens")), finite_count(counts.get("output_tokens"))
    if read is None or written is None:
        say_unreadable(bounded_text(name, 100))
        return unknown
    if (total := finite_count(counts.get("total_tokens"))) is not None:
        written = max(written, total - read)  # some count what was reasoned in the total alone
    details = counts.get("input_token_details")
    if isinstance(details, Mapping):
        details = details.get("cache_read", details.get(f"{tier}_cache_read"))  # OpenAI's client names them by tier
    cached = finite_count(0 if details is None else details, most=read)
    if cached is None:
        say_unreadable(bounded_text(name, 100))
    usage: Usage = {"input_tokens": read, "cached_input_tokens": cached or 0, "output_tokens": written, "cost": None}
    if tier not in _STANDARD:
        usage["tiers"] = {tier: 1}
    if metadata.get("model_provider") == SIMULATED:
        name = f"sim:{name}"
    price = of(name, tier, read) if price is None else price.at(tier)
    if price is not None:
        usage["cost"] = price.cost(usage)
    return usage


@lru_cache(maxsize=256)
def say_unreadable(model: str) -> None:
    """Say once a model that its token counts cannot be read."""
    logger.warning(
        "%s reports token counts that cannot be read: what such responses use is not known, nor what the run costs",
        terminal_safe(model) or "the model",
    )


def dated(today: date | None = None) -> str:
    """Return what the list prices are as of, and how old that is once it is more than half a year.

    Example:
        >>> dated(date(2026, 1, 1)).startswith("by the price list genai-prices")
        True
    """
    name, as_of = price_list.origin()
    if name == "none":
        return "by the list prices of that time, as there is no list here"
    today = today or datetime.now(UTC).date()
    months = 12 * (today.year - as_of.year) + today.month - as_of.month
    old = f", {months} months old: give your own price where it differs" if months > _HALF_A_YEAR else ""
    return f"by the price list {name}, of {as_of:%Y-%m}{old}"


_HALF_A_YEAR: Final = 6  # months
_LONG: Final = 10_000  # tokens; no prompt below costs more for its length
_STANDARD: Final = frozenset({"", "default", "auto", "standard", "on_demand"})
_HALF: Final = frozenset({"flex", "batch"})


def recorded(price: Price | None) -> list[float | None] | None:
    """Return how the record of a run has its price: the numbers, or None where list prices were taken.

    Example:
        >>> recorded(Price(0.4, 1.6)), recorded(None)
        ([0.4, 1.6, None], None)
    """
    return None if price is None else [price.input, price.output, price.cached_input]


def check_price(price: object) -> None:
    """Refuse what is no price.

    Raises:
        TypeError: With how to give one.
    """
    if price is not None and not isinstance(price, Price):
        raise TypeError(f"price is a Price, such as Price(input=0.4, output=1.6), not {excerpt(price)}")


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
    except ValueError:
        numbers = []
    problem = f"a price is INPUT,OUTPUT or INPUT,OUTPUT,CACHED in dollars per million tokens, not {excerpt(text)}"
    try:
        match numbers:
            case [read, written]:
                return Price(read, written)
            case [read, written, cached]:
                return Price(read, written, cached)
    except ValueError as error:
        raise ValueError(problem) from error
    raise ValueError(problem)
