"""Pages of the site that are made from the code as it is: the command line, the public names, the changelog."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[1]
RECORDS = ("FORMAT", "READABLE", "ROOT", "ONE_LANE", "Header", "Session", "Pending", "Entry")
HOME = "https://github.com/langgraph-maker/langgraph-maker/blob/main/"


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are made to those that are written."""
    shown = next(section["Reference"] for section in config.nav or [] if "Reference" in section)
    for path, text in pages():
        files.append(File.generated(config, path, content=text))
        if path.startswith("reference/") and path not in shown:
            shown.append(path)
    return files


def pages() -> Iterator[tuple[str, str]]:
    """Yield the path and the Markdown of each page."""
    yield "reference/command-line.md", command_line()
    for module in public_modules():
        yield f"reference/{module.removeprefix('langgraph_maker').lstrip('.') or 'index'}.md", reference(module)
    yield "reference/reason-codes.md", reference("langgraph_maker.core.reasons", "Reason codes")
    yield "reference/journal-format.md", reference("langgraph_maker.journal.records", "Journal format", *RECORDS)
    for name in ("CHANGELOG", "CONTRIBUTING"):
        text = (ROOT / f"{name}.md").read_text("utf-8")
        yield f"project/{name.lower()}.md", re.sub(r"\]\((?!https?:)", f"]({HOME}", text)


def command_line() -> str:
    """Return the page of all commands, from the application itself."""
    import typer  # noqa: PLC0415
    from typer.cli import get_docs_for_click  # noqa: PLC0415

    from langgraph_maker.cli.shell import app, load  # noqa: PLC0415

    load([])
    command = typer.main.get_command(app)
    context = typer.Context(command, info_name="langgraph-maker")
    return get_docs_for_click(obj=command, ctx=context, name="langgraph-maker", title="Command line")


def public_modules() -> tuple[str, ...]:
    """Return the modules that the page of public names has."""
    sys.path.insert(0, str(ROOT / "tests" / "support"))
    try:
        from api_page import PUBLIC  # noqa: PLC0415
    finally:
        sys.path.pop(0)
    return PUBLIC


def reference(module: str, title: str = "", *members: str) -> str:
    """Return the page of one module, or of some members of it, which mkdocstrings fills from its docstrings."""
    records = [f"members: [{', '.join(members)}]"] if members else []
    if records or module.endswith(".events"):
        records.append("show_if_no_docstring: true")  # their fields
    options = "".join(f"      {option}\n" for option in records)
    return f"# {title or module}\n\n::: {module}\n" + (f"    options:\n{options}" if options else "")
