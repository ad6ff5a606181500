"""The pictures in README are those of the code as it is."""

from __future__ import annotations

import re
import tomllib
from html import unescape
from runpy import run_path

import pytest
from paths import ROOT

README = (ROOT / "README.md").read_text()


def test_the_graph_is_the_one_that_runs() -> None:
    shown = (ROOT / "docs" / "graph.svg").read_text("utf-8")
    assert shown == run_path(str(ROOT / "docs" / "graph.py"))["picture"](), "draw it anew: python docs/graph.py"
    graph = run_path(str(ROOT / "graphs" / "hanoi.py"))["graph"].get_graph(xray=True)
    assert {unescape(found) for found in re.findall(r'<path id="([^"]+)"', shown)} == {
        f"{edge.source}->{edge.target}" for edge in graph.edges
    }
    assert set(re.findall(r'<g id="([^"]+)"', shown)) == set(graph.nodes)


def test_links_and_pictures_are_found_from_a_package_index_too() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    home = project["urls"]["Homepage"].removeprefix("https://github.com/")
    ours = (f"https://raw.githubusercontent.com/{home}/main/", f"https://github.com/{home}/blob/main/")
    links = re.findall(r"\]\(([^)]+)\)", README)
    assert all(link.startswith("https://") for link in links)
    files = [link.removeprefix(start) for link in links for start in ours if link.startswith(start)]
    assert {"docs/graph.svg", "docs/run.svg", "docs/report.png"} <= set(files)
    assert all((ROOT / file).is_file() for file in files)
    assert "```mermaid" not in README  # which an index shows as text
    assert len(README.splitlines()) <= 200


@pytest.mark.slow
def test_the_terminal_shows_what_the_command_says() -> None:
    def words(svg: str) -> list[str]:
        return unescape(" ".join(re.findall(r">([^<>]+)</text>", svg))).split()

    script = run_path(str(ROOT / "docs" / "screenshot.py"))
    shown = (ROOT / "docs" / "run.svg").read_text()
    assert words(shown) == words(script["screenshot"]())
    assert script["COMMAND"].split()[0] in words(shown)
