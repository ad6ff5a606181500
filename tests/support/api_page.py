"""The page docs/api.md, written from the public modules: `python tests/support/api_page.py` writes it anew."""

from __future__ import annotations

import ast
import inspect
import sys
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import Any

PAGE = Path(__file__).parents[2] / "docs" / "api.md"
PUBLIC = (
    "langgraph_maker",
    *(
        f"langgraph_maker.{name}"
        for name in (
            "core.task",
            "core.variants",
            "tasks",
            "nodes",
            "ladder",
            "matchers",
            "red_flags",
            "models.resolve",
            "middleware",
            "testing",
            "simulation",
            "simulation.server",
            "journal",
            "events",
            "monitor",
            "otel",
            "theory",
            "theory.inference",
            "runs.calibration.planning",
            "runs.workers.job",
            "runs.workers.local",
            "runs.workers.ray",
            "runs.workers.worker",
            "prebuilt.recursive",
            "experiments",
            "report",
            "calibration",
            "runs.calibration.comparison",
            "models.prices",
            "core.state",
            "errors",
        )
    ),
)


def page() -> str:
    """The page as it should be."""
    return "\n".join(["# Public names\n", *(line for name in PUBLIC for line in section(import_module(name)))])


def section(module: ModuleType) -> Iterator[str]:
    yield f"## {module.__name__}\n"
    yield f"{first_line(module)}\n"
    for name in sorted(module.__all__, key=str.casefold):
        yield f"- `{name}{parameters(getattr(module, name))}` {summary(module, name)}"
    yield ""


def summary(module: ModuleType, name: str) -> str:
    value = getattr(module, name)
    if inspect.ismodule(value):
        return first_line(value)
    ours = str(getattr(value, "__module__", "")).startswith("langgraph_maker")
    return said_below(module.__name__, name) or (first_line(value) if ours else "")


def first_line(value: Any) -> str:
    return (inspect.getdoc(value) or "").partition("\n")[0]


def parameters(value: Any) -> str:
    """What a function must be given; "…" stands for what it may be."""
    if not inspect.isfunction(function := inspect.unwrap(value) if callable(value) else value):
        return ""
    stars: dict[Any, str] = {inspect.Parameter.VAR_POSITIONAL: "*", inspect.Parameter.VAR_KEYWORD: "**"}
    named = [one for one in inspect.signature(function).parameters.values() if not one.name.startswith("_")]
    needed = [f"{stars.get(one.kind, '')}{one.name}" for one in named if one.default is one.empty]
    return f"({', '.join([*needed, '…'] if len(needed) < len(named) else needed)})"


def said_below(module: str, name: str) -> str:
    """The text under an assignment, which says what a constant or an alias is."""
    body = statements(module)
    for statement, below in pairwise(body):
        targets = statement.targets if isinstance(statement, ast.Assign) else [getattr(statement, "target", None)]
        if isinstance(below, ast.Expr) and any(isinstance(one, ast.Name) and one.id == name for one in targets):
            return str(ast.literal_eval(below.value)).partition("\n")[0]
    for statement in body:
        if isinstance(statement, ast.ImportFrom) and any(one.name == name for one in statement.names):
            return said_below(str(statement.module), name)
    return ""


@cache
def statements(module: str) -> list[ast.stmt]:
    """The statements of a module; of a public face those of the module behind it."""
    body = ast.parse(Path(str(sys.modules[module].__file__)).read_text()).body
    behind = [one.module for one in body if isinstance(one, ast.ImportFrom) and one.names[0].name == "*"]
    return statements(behind[0]) if behind and behind[0] else body


if __name__ == "__main__":
    PAGE.write_text(page())
