"""What the paper published (arXiv 2511.09030), to hold one's own figures against."""

from __future__ import annotations

from typing import Final, NamedTuple

__all__ = ["HORIZONS", "PUBLISHED", "UNDECIDED", "PublishedRow", "published"]


class PublishedRow(NamedTuple):
    """A row of the model table: 20 disks, target 0.95. Prices are dollars per million tokens, `cost` dollars.

    Input prices and 600 input tokens a sample are those that the projected costs imply.
    """

    error: float
    input_price: float | None
    output_price: float
    tokens: float
    k: int | None
    cost: float | None

    @property
    def said(self) -> str:
        """Margin and cost in words."""
        return "no k" if self.k is None or self.cost is None else f"k = {self.k}, ${self.cost:,.0f}"

    @property
    def cost_per_sample(self) -> float | None:
        """Dollars, None where the input price is not known."""
        return None if self.input_price is None else (600 * self.input_price + self.tokens * self.output_price) / 1e6


PUBLISHED: Final[dict[str, PublishedRow]] = {
    "gpt-4.1-nano": PublishedRow(0.3571, 0.1, 0.4, 842, 29, 41_900),
    "gpt-4.1-mini": PublishedRow(0.0022, 0.4, 1.6, 538, 3, 3_500),
    "o3-mini": PublishedRow(0.0018, 1.1, 4.4, 535, 3, 9_400),
    "haiku-4.5": PublishedRow(0.1839, 1.0, 5.0, 588, 12, 71_200),
    "gpt-oss-20b": PublishedRow(0.0358, 0.05, 0.2, 1104, 6, 1_700),
    "llama-3.2-3b": PublishedRow(1.0, None, 0.06, 434, None, None),
}

UNDECIDED: Final[dict[int, float]] = {3: 81_959 / 1_048_575, 4: 18_461 / 1_048_575, 5: 3_807 / 1_048_575}
"""Share of the million steps still undecided after so many rounds of one sample each (figure 8), of gpt-4.1-mini."""


HORIZONS: Final[dict[str, str]] = {"GPT-5 thinking": "1,000+", "Claude 4 Sonnet": "432", "Grok 4": "384"}
"""Keys of the dictionary sum that a model adds up within one response (arXiv 2509.09677)."""


def published(model: str) -> PublishedRow | None:
    """Return the row of a model under any of its names.

    Example:
        >>> published("sim:haiku-4.5").k, published("sim:error=0.1")
        (12, None)
    """
    return PUBLISHED.get(model.rsplit(":", 1)[-1].split(",", maxsplit=1)[0].lower())
