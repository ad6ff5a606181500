"""Draws docs/graph.svg, the graph of `create_maker` as its code has it: `python docs/graph.py`."""

from __future__ import annotations

from html import escape
from pathlib import Path
from runpy import run_path

SVG = Path(__file__).with_name("graph.svg")
_GRAPH = Path(__file__).parent.parent / "graphs" / "hanoi.py"
_PLACES = {
    "__start__": (50, 100),
    "decompose": (165, 100),
    "vote:sample": (320, 100),
    "vote:guard": (430, 100),
    "vote:tally": (540, 100),
    "update": (690, 100),
    "escalate": (690, 185),
    "__end__": (165, 185),
}
"""Where the middle of each node is; a node that is not here is an error, so that no picture is without one."""
_BENDS = {("update", "decompose"): "M {} {} V 30 H {} V {}", ("vote:tally", "escalate"): "M {} {} V 185 H {}"}
"""Paths of edges that are no straight lines."""
_WIDTH, _HEIGHT = 90, 34


def picture() -> str:
    """Return the picture; an edge that depends on the state is dashed."""
    graph = run_path(str(_GRAPH))["graph"].get_graph(xray=True)
    lines = [_edge(edge.source, edge.target, dashed=edge.conditional) for edge in graph.edges]
    return _FRAME.format("\n".join([*lines, *map(_node, graph.nodes)]))


def _node(name: str) -> str:
    x, y = _PLACES[name]
    left, top = x - _WIDTH / 2, y - _HEIGHT / 2
    shown = {"__start__": "start", "__end__": "end"}.get(name, name.rpartition(":")[2])
    round_ = _HEIGHT / 2 if name.startswith("__") else 5
    return (
        f'<g id="{escape(name)}"><rect x="{left:g}" y="{top:g}" width="{_WIDTH}" height="{_HEIGHT}" rx="{round_:g}"/>'
        f'<text x="{x}" y="{y + 5}">{shown}</text></g>'
    )


def _edge(source: str, target: str, *, dashed: bool) -> str:
    (x, y), (to_x, to_y) = _PLACES[source], _PLACES[target]
    if (source, target) == ("update", "decompose"):
        path = _BENDS[source, target].format(x, y - _HEIGHT / 2, to_x, to_y - _HEIGHT / 2)
    elif (source, target) == ("vote:tally", "escalate"):
        path = _BENDS[source, target].format(x, y + _HEIGHT / 2, to_x - _WIDTH / 2)
    elif x == to_x:
        side = _HEIGHT / 2 if to_y > y else -_HEIGHT / 2
        path = f"M {x} {y + side:g} V {to_y - side:g}"
    else:
        path = f"M {x + _WIDTH / 2:g} {y} H {to_x - _WIDTH / 2:g}"
    style = ' stroke-dasharray="5 4"' if dashed else ""
    return f'<path id="{escape(f"{source}->{target}")}" d="{path}"{style}/>'


_FRAME = """\
<svg viewBox="0 0 745 215" width="745" height="215" xmlns="http://www.w3.org/2000/svg">
<title>The graph of a maker: decompose, vote (sample, guard, tally), escalate, update</title>
<style>
rect {{ fill: #f2f0ff; stroke: #7c6fcf }} .vote {{ fill: #fffbe8; stroke: #c9b458 }}
text {{ font: 14px sans-serif; text-anchor: middle; fill: #222 }}
path {{ fill: none; stroke: #555; marker-end: url(#tip) }}
</style>
<defs><marker id="tip" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="8" markerHeight="8" orient="auto">
<polygon points="0,0 8,4 0,8" fill="#555"/></marker></defs>
<rect width="745" height="215" style="fill: #fff; stroke: none"/>
<rect class="vote" x="265" y="55" width="330" height="75" rx="8"/><text x="430" y="73">vote</text>
{}
</svg>
"""

if __name__ == "__main__":
    SVG.write_text(picture(), "utf-8")
