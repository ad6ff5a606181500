"""Where list prices come from: a file of the user's, or the package genai-prices.

The file is JSON, named by the environment variable `LANGGRAPH_MAKER_PRICES`, in dollars per million tokens:

    {"as_of": "2026-11-30", "models": {"my-model": {"input": 0.4, "output": 1.6, "cached_input": 0.1,
                                                    "batch": {"input": 0.2, "output": 0.8}}}}
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import lru_cache
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final, NamedTuple, cast

from langgraph_maker.core.foreign import excerpt

__all__ = ["Rates", "file_rates", "installed", "library_rates", "origin", "plain_name"]


class Rates(NamedTuple):
    """What a model costs at a tier, by the length of the prompt: from so many input tokens on, and what then.

    The numbers are dollars per million input, output and cached input tokens, the last None where it is as other input.
    """

    steps: tuple[tuple[int, tuple[float, float, float | None]], ...]

    def at(self, input_tokens: int) -> tuple[float, float, float | None]:
        """Return the rates for a prompt of so many tokens."""
        return next(rates for start, rates in reversed(self.steps) if input_tokens >= start)


def plain_name(model: str) -> str:
    """Return a model's name without its provider, the class of its client and the settings.

    Example:
        >>> plain_name("ChatOpenAI gpt-4.1-mini"), plain_name("openai-batch:o3"), plain_name("openrouter:openai/o3")
        ('gpt-4.1-mini', 'o3', 'o3')
    """
    return model.rsplit(" ", 1)[-1].split(",", maxsplit=1)[0].rsplit("/", 1)[-1].rsplit(":", 1)[-1].lower()


def installed() -> bool:
    """Return whether list prices are known at all."""
    return find_spec("genai_prices") is not None


@lru_cache(maxsize=512)
def library_rates(name: str, tier: str, today: date) -> Rates | None:
    """Return what genai-prices says that a model costs at a tier on a day; None where it does not know.

    Flex and batches cost the standard price where it lists no other, which is no less.
    """
    if not installed() or name.startswith(_OF_MANY):
        return None
    from genai_prices import data_snapshot  # noqa: PLC0415 - a second to import, and often not needed

    snapshot = data_snapshot.get_snapshot()
    for provider in _PROVIDERS:
        try:
            _, model = snapshot.find_provider_model(name, None, provider, None)
        except LookupError:
            continue
        context = _CONTEXTS.get(tier, {"service_tier": tier})
        own = any(variant.when.items() <= context.items() for variant in model.price_variants or ())
        if context and not own and tier not in _NO_MORE:
            return None
        moment = datetime(today.year, today.month, today.day, tzinfo=UTC)
        return _rates(model.get_prices(moment, context or None))
    return None


def _rates(prices: Any) -> Rates | None:
    """Return the prices of genai-prices as numbers; a part that it does not know makes them all unknown."""
    parts = [prices.input_mtok, prices.output_mtok, prices.cache_read_mtok]
    if parts[0] is None or parts[1] is None:
        return None
    starts = {0, *(tier.start for part in parts for tier in getattr(part, "tiers", ()))}
    return Rates(tuple((start, tuple(_at(part, start) for part in parts)) for start in sorted(starts)))  # type: ignore[misc]


def _at(part: Any, start: int) -> float | None:
    if part is None or isinstance(part, Decimal):
        return None if part is None else float(part)
    reached = [tier.price for tier in part.tiers if tier.start <= start]
    return float(reached[-1] if reached else part.base)


def file_rates(name: str) -> Mapping[str, Any] | None:
    """Return what the user's file says of a model, or of that which it is a dated version of; None where nothing.

    Raises:
        ValueError: For a file that cannot be read, with its name.
    """
    if not (path := os.environ.get(FILE, "")):
        return None
    models: Mapping[str, Any] = _file(path)["models"]
    found: Mapping[str, Any] | None = models.get(name, models.get(_VERSION.sub("", name)))
    return found


@lru_cache(maxsize=4)
def _file(path: str) -> Mapping[str, Any]:
    try:
        found = json.loads(Path(path).read_text(encoding="utf-8"))
        date.fromisoformat(found["as_of"])
        found["models"] = {name.lower(): rates for name, rates in found["models"].items()}
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise ValueError(f"the price list {FILE}={excerpt(path)} cannot be read: {excerpt(str(error))}") from error
    return cast("Mapping[str, Any]", found)


def origin() -> tuple[str, date]:
    """Return what the price list is called, and its date: of genai-prices the latest day that a price began on.

    Example:
        >>> origin()[0].partition(" ")[0]
        'genai-prices'
    """
    if path := os.environ.get(FILE, ""):
        return path, date.fromisoformat(_file(path)["as_of"])
    if not installed():
        return "none", datetime.now(UTC).date()
    return f"genai-prices {version('genai-prices')}", _latest(datetime.now(UTC).date())


@lru_cache(maxsize=4)
def _latest(today: date) -> date:
    from genai_prices import data_snapshot  # noqa: PLC0415 - as above

    dates = [date(2025, 1, 1)]
    for provider in data_snapshot.get_snapshot().providers:
        if provider.id in _PROVIDERS:
            for model in provider.models:
                parts = [*(model.prices if isinstance(model.prices, list) else ()), *(model.price_variants or ())]
                starts = [getattr(part.constraint, "start_date", None) for part in parts]
                dates += [start for start in starts if isinstance(start, date) and start <= today]
    return max(dates)


FILE: Final = "LANGGRAPH_MAKER_PRICES"
_VERSION: Final = re.compile(r"[-@](\d{4}-\d{2}-\d{2}|\d{8}|latest)$")
_PROVIDERS: Final = ("openai", "anthropic", "google", "mistral", "deepseek", "x-ai")
"""Whose models are known by their names alone, as they are served at one price."""
_OF_MANY: Final = "gpt-oss"  # open models, which cost what each host says
_CONTEXTS: Final[dict[str, dict[str, str]]] = {"default": {}, "batch": {"processing": "batch"}}
_NO_MORE: Final = frozenset({"flex", "batch"})
