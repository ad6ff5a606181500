"""Figures in words, alike in all sections."""

from __future__ import annotations

from langgraph_maker.report.markup import Child, Html, h

__all__ = ["counted", "dollars", "estimate", "figures", "note", "sentence", "table", "took", "utc"]


def figures(*pairs: tuple[str, Child]) -> Html:
    """Return names and their figures, side by side."""
    return h("dl", [h("div", h("dt", name), h("dd", value)) for name, value in pairs], class_="figures")


def table(titles: list[str], rows: list[list[Child]]) -> Html:
    """Return a table that scrolls sideways where it is too wide."""
    return h(
        "div",
        h(
            "table",
            h("thead", h("tr", [h("th", title, scope="col") for title in titles])),
            h("tbody", [h("tr", [h("td", cell) for cell in row]) for row in rows]),
        ),
        class_="wide",
        tabindex=0,
    )


def note(text: Child) -> Html:
    """Return what is to be known of the figures above."""
    return h("p", text, class_="dim")


def counted(count: int, what: str) -> str:
    """Return so many of what has an s in the plural.

    Example:
        >>> counted(1, "step"), counted(1023, "step")
        ('1 step', '1,023 steps')
    """
    return f"{count:,} {what}{'s' * (count != 1)}"


def sentence(text: str) -> str:
    """Return what ends in a full stop, or was cut."""
    return text if text.endswith((".", "…")) else f"{text}."


def estimate(value: float | None, low: float, high: float) -> str:
    """Return an estimate with its bounds, with digits enough to tell it from 1.

    Example:
        >>> estimate(0.99887, 0.99884, 0.9989), estimate(None, 0.5, 1)
        ('0.99887 (0.99884 to 0.99890)', 'not known')
    """
    if value is None:
        return "not known"
    digits = next((digits for digits in range(3, 9) if high - low >= 4 * 10.0**-digits), 9)
    return f"{value:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


def dollars(amount: float | None) -> str:
    """Return an amount in dollars; small ones with more digits.

    Example:
        >>> [dollars(amount) for amount in (3596.1, 0.0123, 0, None)]
        ['$3,596.10', '$0.012', '$0.00', 'not known']
    """
    if amount is None:
        return "not known"
    return f"${amount:,.2f}" if amount >= 1 or not amount else f"${amount:.2g}"


def took(seconds: float) -> str:
    """Return a time in its largest units.

    Example:
        >>> [took(seconds) for seconds in (0, 98, 3700, 200_000)]
        ['less than a second', '1 min 38 s', '1 h 1 min', '2 d 7 h']
    """
    if seconds < 1:
        return "less than a second"
    whole = int(seconds)
    units = [(whole // 86400, "d"), (whole // 3600 % 24, "h"), (whole // 60 % 60, "min"), (whole % 60, "s")]
    first = next(place for place, (count, _) in enumerate(units) if count)
    return " ".join(f"{count} {unit}" for count, unit in units[first : first + 2] if count)


def utc(moment: str | None) -> str:
    """Return a moment of the journal's, without the T."""
    return "not known" if moment is None else moment.replace("T", " ").replace("+00:00", " UTC")
