"""The look of all figures: one style, colours that the colour-blind tell apart, the same bytes from the same data.

Needs the extra `plots`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from langgraph_maker.core.extras import install

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["COLOURS", "GREY", "MISSING", "Pictures", "can_draw", "colours", "markers"]

COLOURS: Final = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#000000")
"""Those of Okabe and Ito, without the yellow, which is too light for lines on white."""

GREY: Final = "#767676"

MISSING: Final = f"figures need an extra: {install('plots')}"

_MARKERS: Final = "osD^vPX*"  # one more than colours, so that all pairs differ
_STYLE: Final[dict[str, Any]] = {
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.labelsize": 9,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 10,
    "figure.facecolor": "white",
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "grid.color": "#e4e4e4",
    "grid.linewidth": 0.6,
    "legend.fontsize": 8,
    "legend.frameon": False,
    "lines.linewidth": 1.4,
    "lines.markersize": 4.5,
    "svg.fonttype": "path",
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
}


def can_draw() -> bool:
    """Return whether the extra `plots` is installed."""
    return find_spec("matplotlib") is not None


def colours(names: Sequence[str]) -> dict[str, str]:
    """Return a colour for each name, always the same for the same place."""
    return {name: COLOURS[place % len(COLOURS)] for place, name in enumerate(names)}


def markers(names: Sequence[str]) -> dict[str, str]:
    """Return a mark for each name, so that none is known by its colour alone."""
    return {name: _MARKERS[place % len(_MARKERS)] for place, name in enumerate(names)}


class Pictures:
    """The figures of one experiment, as SVG files in `folder`; `written` has those that are there.

    Args:
        folder: Where they go.
        note: What stands at the foot of each: that its models are simulated.
    """

    def __init__(self, folder: Path, note: str) -> None:
        self.folder, self.note, self.written = folder, note, list[Path]()

    @contextmanager
    def new(self, name: str, title: str, panels: int = 1, width: float = 4.6) -> Iterator[list[Axes]]:
        """Give the axes of a figure `name`.svg, two in a row, `width` inches each, and write it at the end."""
        from matplotlib import rc_context  # noqa: PLC0415 - an extra
        from matplotlib.backends.backend_svg import FigureCanvasSVG  # noqa: PLC0415
        from matplotlib.figure import Figure  # noqa: PLC0415

        columns = min(panels, 2)
        rows = ceil(panels / columns)
        style: Any = {**_STYLE, "svg.hashsalt": name}  # the same file from the same data
        with rc_context(style):
            figure = Figure(figsize=(width * columns, 3.4 * rows + 0.6), layout="constrained")
            FigureCanvasSVG(figure)
            yield list(figure.subplots(rows, columns, squeeze=False).flat)[:panels]
            figure.suptitle(title, x=0.01, ha="left", fontsize=11, fontweight="bold")
            figure.supxlabel(self.note, x=0.01, ha="left", fontsize=7.5, color=GREY)
            path = self.folder / f"{name}.svg"
            figure.savefig(path, format="svg", metadata={"Date": None, "Creator": None})
        self.written.append(path)
