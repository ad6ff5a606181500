"""The pictures in README are those of the code as it is."""

from __future__ import annotations

import re
from html import unescape
from pathlib import Path
from runpy import run_path

import pytest

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


def test_the_graph_is_the_one_that_runs() -> None:
    [shown] = re.findall(r"```mermaid\n(.*?)```", README, re.DOTALL)
    drawn: str = run_path(str(ROOT / "graphs" / "hanoi.py"))["graph"].get_graph(xray=True).draw_mermaid()
    assert shown == drawn.expandtabs(2), "README's graph is not that of the code: paste this one"


@pytest.mark.slow
def test_the_terminal_shows_what_the_command_says() -> None:
    def words(svg: str) -> list[str]:
        return unescape(" ".join(re.findall(r">([^<>]+)</text>", svg))).split()

    script = run_path(str(ROOT / "docs" / "screenshot.py"))
    shown = (ROOT / "docs" / "run.svg").read_text()
    assert words(shown) == words(script["screenshot"]())
    assert script["COMMAND"].split()[0] in words(shown)
    assert "](docs/run.svg)" in README
