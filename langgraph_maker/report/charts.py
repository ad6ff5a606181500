"""Pictures of counts: bars in a table, a curve with what was to be expected, and the graph that did it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import ceil, log10

from langgraph_maker.report.markup import Child, Html, h

__all__ = ["EDGES", "NODES", "bars", "binned", "curve", "drawn_graph", "percent", "span", "stacked"]

_BARS = 24


def bars(rows: Sequence[tuple[str, int]], *, of: int, logarithmic: bool = False, named: bool = False) -> Html:
    """Return a table of counts, each with its share `of` so many and a bar; `named` gives their labels more room."""
    longest = max((_length(count, logarithmic=logarithmic) for _, count in rows), default=0) or 1
    return h(
        "table",
        [
            h(
                "tr",
                h("th", label, scope="row"),
                h("td", _bar([("a", _length(count, logarithmic=logarithmic) / longest)]), class_="bar"),
                h("td", f"{count:,}", class_="n"),
                h("td", percent(count, of), class_="n dim"),
            )
            for label, count in rows
        ],
        class_="bars named" if named else "bars",
    )


def stacked(parts: Sequence[tuple[str, int]]) -> Html:
    """Return one bar of several counts, each in the colour of its class."""
    total = sum(count for _, count in parts) or 1
    return _bar([(colour, count / total) for colour, count in parts if count])


def span(value: float | None, low: float, high: float, ends: tuple[float, float]) -> Html:
    """Return an estimate within its bounds, on a scale from end to end."""
    wide = (ends[1] - ends[0]) or 1.0
    at, begin, end = (100 * (one - ends[0]) / wide for one in (low if value is None else value, low, high))
    return h(
        "svg",
        h("rect", x=f"{begin:.2f}", y=3.5, width=f"{max(0.8, end - begin):.2f}", height=3, class_="c"),
        h("rect", x=f"{min(99.0, max(0.0, at - 0.5)):.2f}", width=1, height=10, class_="a")
        if value is not None
        else "",
        viewBox="0 0 100 10",
        preserveAspectRatio="none",
        aria_hidden="true",
    )


def _bar(parts: Sequence[tuple[str, float]]) -> Html:
    begun, drawn = 0.0, []
    for colour, share in parts:
        drawn.append(h("rect", x=f"{100 * begun:.2f}", width=f"{100 * share:.2f}", height=10, class_=colour))
        begun += share
    return h("svg", drawn, viewBox="0 0 100 10", preserveAspectRatio="none", aria_hidden="true")


def _length(count: int, *, logarithmic: bool) -> float:
    return (log10(count) + 0.3 if count else 0.0) if logarithmic else float(count)


def percent(part: float, of: float) -> str:
    """Return a share in per cent, with as many digits as tell it from none and all.

    Example:
        >>> percent(1, 3), percent(1, 1_048_575), percent(1_048_574, 1_048_575), percent(0, 0)
        ('33.3 %', '< 0.001 %', '> 99.999 %', '–')
    """
    if not of:
        return "–"
    share = 100 * part / of
    if share in {0, 100}:
        return f"{share:.0f} %"
    if share < _LEAST:
        return f"< {_LEAST:g} %"
    if share > 100 - _LEAST:
        return f"> {100 - _LEAST:g} %"
    digits = 1 if 1 <= share <= 99 else 3  # noqa: PLR2004 - between these a tenth says enough
    return f"{share:.{digits}f} %"


_LEAST = 0.001


def binned(histogram: Sequence[int]) -> list[tuple[str, int]]:
    """Return a histogram as at most 24 rows from its first count to its last, each a value or a range of them.

    Example:
        >>> binned([0, 0, 5, 0, 1])
        [('2', 5), ('3', 0), ('4', 1)]
        >>> binned([1] * 100)[:2]
        [('0–4', 5), ('5–9', 5)]
    """
    first = next((value for value, count in enumerate(histogram) if count), len(histogram))
    width = max(1, ceil((len(histogram) - first) / _BARS))
    ranges = [(low, min(low + width, len(histogram))) for low in range(first, len(histogram), width)]
    return [(str(low) if high == low + 1 else f"{low}–{high - 1}", sum(histogram[low:high])) for low, high in ranges]


def _short(power: int) -> str:
    """Return a power of ten.

    Example:
        >>> [_short(power) for power in (0, 2, 4, 6)]
        ['1', '100', '10k', '1M']
    """
    return f"{10 ** (power % 3)}{' kMGTPE'[power // 3].strip()}"


_WIDTH, _HEIGHT, _LEFT, _BELOW, _TOP = 400, 220, 44, 34, 8


def curve(counts: Sequence[int], law: Sequence[float], below: str) -> Html:
    """Count by index as dots and what was to be expected as a line, on a logarithmic scale from 1 up; `below` it."""
    top = max(1, ceil(log10(max([1, *counts]))))
    end = max(1, len(counts) - 1)

    def x(index: float) -> str:
        return f"{_LEFT + (_WIDTH - _LEFT - 12) * index / end:.1f}"

    def y(count: float) -> str:
        return f"{_TOP + (_HEIGHT - _TOP - _BELOW) * (1 - log10(max(count, _LOWEST) / _LOWEST) / (top + _MARGIN)):.1f}"

    every = max(1, end // 100)
    marks = max(1, -(-end // 10))
    lines = [(10**power, _short(power)) for power in range(0, top + 1, 1 + top // 5)]
    expected = [f"{x(index)},{y(count)}" for index, count in enumerate(law) if index % every == 0 and count >= _LOWEST]
    return h(
        "svg",
        [
            h(
                "g",
                h("line", x1=_LEFT, x2=_WIDTH - 12, y1=y(count), y2=y(count)),
                _text(_LEFT - 5, y(count), label, "end"),
            )
            for count, label in lines
        ],
        [_text(x(index), _HEIGHT - _BELOW + 11, str(index), "middle") for index in range(0, end + 1, marks)],
        _text((_WIDTH + _LEFT) / 2, _HEIGHT - 9, below, "middle"),
        h("polyline", points=" ".join(expected), class_="law") if len(expected) > 1 else "",
        [
            h("circle", h("title", f"{index}: {count:,}"), cx=x(index), cy=y(count), r=3.2, class_="a")
            for index, count in enumerate(counts)
            if count and (index % every == 0 or index == end)
        ],
        viewBox=f"0 0 {_WIDTH} {_HEIGHT}",
        class_="chart",
        role="img",
        aria_label=below,
    )


_LOWEST = 0.5
_MARGIN = 0.35  # of a power of ten, for what lies below 1


def _text(x: object, y: object, text: str, anchor: str, **more: object) -> Html:
    return h("text", text, x=x, y=y, text_anchor=anchor, dominant_baseline="central", **more)


NODES: Mapping[str, tuple[int, int]] = {
    "__start__": (70, 18),
    "decompose": (180, 50),
    "sample": (62, 128),
    "guard": (180, 128),
    "tally": (298, 128),
    "escalate": (298, 206),
    "update": (120, 206),
    "__end__": (290, 18),
}
"""Where each node of the maker graph is drawn."""

EDGES: Mapping[tuple[str, str], str] = {
    ("__start__", "decompose"): "M94 18 H155 V30",
    ("decompose", "sample"): "M155 68 V80 H62 V108",
    ("sample", "guard"): "M112 128 H128",
    ("guard", "tally"): "M230 128 H246",
    ("tally", "update"): "M274 146 V174 H145 V186",
    ("tally", "escalate"): "M310 146 V186",
    ("escalate", "update"): "M248 206 H172",
    ("update", "decompose"): "M70 206 H-8 V50 H128",
    ("decompose", "__end__"): "M205 32 V18 H264",
}
"""Its edges and their ways; the one into `vote` leads to `sample`, those out of it begin at `tally`."""


def drawn_graph(said: Mapping[str, str]) -> Html:
    """Return the maker graph, with a line of text in each node."""

    def node(name: str) -> Child:
        x, y = NODES[name]
        if name.startswith("__"):
            return _text(x, y, name.strip("_").upper(), "middle")
        return h(
            "g",
            h("rect", x=x - 50, y=y - 18, width=100, height=36, rx=7),
            _text(x, y - 6, name, "middle", class_="name"),
            _text(x, y + 8, said[name], "middle"),
        )

    tip = {"id": "tip", "viewBox": "0 0 6 6", "refX": 5, "refY": 3, "markerWidth": 7, "markerHeight": 7}
    return h(
        "svg",
        h("marker", h("path", d="M0 0 L6 3 L0 6 z"), orient="auto", **tip),
        h("rect", x=4, y=90, width=352, height=66, rx=10, class_="sub"),
        _text(350, 98, "vote", "end"),
        [h("path", d=way, marker_end="url(#tip)", class_="edge") for way in EDGES.values()],
        [node(name) for name in NODES],
        viewBox="-16 0 384 230",
        class_="graph",
        role="img",
        aria_label="the graph of the run: " + ", ".join(f"{name} {text}" for name, text in said.items()),
    )
