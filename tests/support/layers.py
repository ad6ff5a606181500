"""The layers of the package, read from its imports: `python tests/support/layers.py` draws them in CONTRIBUTING.md."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import TypeAlias

from paths import ROOT

PACKAGE = ROOT / "langgraph_maker"
PAGE = ROOT / "CONTRIBUTING.md"
LAYERS = (
    ("core",),
    ("theory", "simulation", "journal", "tasks"),
    ("models",),
    ("nodes",),
    ("prebuilt",),
    ("runs",),
    ("report", "experiments"),
    ("cli",),
)
"""From the bottom up: a folder imports from those below it, and never from one beside it or above."""

Arrows: TypeAlias = Mapping[str, set[str]]


@cache
def modules() -> dict[str, set[str]]:
    """Return every module of the package with the modules of the package that it imports, type-only ones included."""
    paths = {_name(path): path for path in PACKAGE.rglob("*.py")}
    return {name: _imports(path, paths) for name, path in paths.items()}


def _name(path: Path) -> str:
    name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
    return name.removesuffix(".__init__")


def _imports(path: Path, known: Mapping[str, Path]) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            deep = {f"{node.module}.{name.name}" for name in node.names}
            found |= {name if name in known else node.module for name in deep}
    return found & known.keys()


def folder(module: str) -> str | None:
    """Return the folder at the package's root that a module is in; None for the files of the root itself."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 and (PACKAGE / parts[1] / "__init__.py").exists() else None


def arrows() -> dict[str, dict[str, int]]:
    """Return how many modules of one folder import from another."""
    found: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for module, imported in modules().items():
        for other in imported:
            a, b = folder(module), folder(other)
            if a and b and a != b:
                found[a][b] += 1
    return {a: dict(others) for a, others in found.items()}


def circles(graph: Arrows) -> list[list[str]]:
    """Return the modules that import each other in a circle (Tarjan's strongly connected components)."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(node: str) -> None:
        index[node] = low[node] = len(index)
        stack.append(node)
        for other in graph.get(node, ()):
            if other not in index:
                visit(other)
                low[node] = min(low[node], low[other])
            elif other in stack:
                low[node] = min(low[node], index[other])
        if low[node] == index[node]:
            at = stack.index(node)
            if len(stack) - at > 1:
                found.append(sorted(stack[at:]))
            del stack[at:]

    for node in graph:
        if node not in index:
            visit(node)
    return found


def picture() -> str:
    """Return the layers as a Mermaid diagram."""
    drawn = arrows()
    levels = [
        "\n".join([f"  subgraph layer{number}[ ]", *(f"    {name}({name})" for name in names), "  end"])
        for number, names in reversed([*enumerate(LAYERS, 1)])
    ]
    lines = [f"  {a} --> {b}" for a in sorted(drawn) for b in _nearest(a, drawn)]
    return "\n".join(["```mermaid", "graph TD", *levels, *lines, "```"])


def _nearest(name: str, drawn: Mapping[str, Mapping[str, int]]) -> list[str]:
    """Return what a folder imports and does not reach through another that it imports."""
    return sorted(b for b in drawn[name] if not any(b in drawn.get(c, {}) for c in drawn[name] if c != b))


def page() -> str:
    """Return CONTRIBUTING.md with the picture as it should be."""
    block = re.compile(r"(<!-- layers -->\n).*?(\n<!-- /layers -->)", re.DOTALL)
    return block.sub(lambda found: found[1] + picture() + found[2], PAGE.read_text())


if __name__ == "__main__":
    PAGE.write_text(page())
