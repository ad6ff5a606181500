"""Draws docs/run.svg, what a terminal shows of a run: `python docs/screenshot.py`. Needs the extra `cli`."""

import os
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.console import Console
from rich.text import Text

COMMAND = "langgraph-maker run hanoi --disks 10 --db run.sqlite --run-id a --price 0.4,1.6"
SVG = Path(__file__).with_name("run.svg")
_WIDTH = 100


def screenshot() -> str:
    """Run the command in a folder of its own, and return the terminal with its result as SVG."""
    program, *arguments = COMMAND.split()
    with TemporaryDirectory() as folder:
        said = subprocess.run(  # noqa: S603 - our own program
            [Path(sys.executable).with_name(program), *arguments],
            cwd=folder,
            env={**os.environ, "FORCE_COLOR": "1", "COLUMNS": str(_WIDTH)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
    with Path(os.devnull).open("w") as nowhere:
        console = Console(record=True, width=_WIDTH, file=nowhere, force_terminal=True)
        console.print(Text(f"$ {COMMAND}", style="bold"))
        console.print(Text.from_ansi(said))
    return console.export_svg(title="langgraph-maker", code_format=_WITHOUT_WEB_FONTS)


_WITHOUT_WEB_FONTS = """\
<svg class="rich-terminal" viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg">
<style>
.{unique_id}-matrix {{ font-family: monospace; font-size: {char_height}px; line-height: {line_height}px }}
.{unique_id}-title {{ font-size: 18px; font-weight: bold; font-family: sans-serif }}
{styles}
</style>
<defs><clipPath id="{unique_id}-clip-terminal">
<rect x="0" y="0" width="{terminal_width}" height="{terminal_height}"/>
</clipPath>{lines}</defs>
{chrome}
<g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}
<g class="{unique_id}-matrix">{matrix}</g>
</g>
</svg>
"""

if __name__ == "__main__":
    SVG.write_text(screenshot())
