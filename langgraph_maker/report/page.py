"""The report as one HTML page that needs nothing else: no network, no font, no script but its own."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from importlib.metadata import version
from importlib.resources import files

from langgraph_maker.report import markup
from langgraph_maker.report.escalated import ladder, questions
from langgraph_maker.report.head import head
from langgraph_maker.report.markup import Child, Html, h
from langgraph_maker.report.numbers import Numbers
from langgraph_maker.report.sections import (
    alarms,
    flags,
    graph,
    hardest,
    money,
    rates,
    settings,
    times,
    undecided,
    under_way,
    votes,
)

__all__ = ["document", "page"]


def _moves(found: Numbers) -> Child:
    if found["moves"] is None:
        return ""
    every = found["moves"]["every"]
    said = "The position after each step is the one that its vote decided."
    if every > 1:
        said += f" Every {every:,}th is shown, in which the smallest disks move as one."
    if found["status"] != "solved" and found["lanes"] > 1:
        said += " Where lanes are under way, steps are left out."
    return (
        h("p", said, class_="dim"),
        h("svg", id="pegs", viewBox="0 0 600 220", role="img", aria_label="the pegs"),
        h(
            "div",
            h("button", "Play", id="play", type="button"),
            h("input", id="at", type="range", min=0, max=0, value=0, aria_label="position"),
            h("label", "speed ", h("input", id="speed", type="range", min=0, max=8)),
            class_="player",
        ),
        h("p", id="moved", class_="dim"),
        markup.data(found["moves"], "moves"),
    )


_SECTIONS: list[tuple[str, str, Callable[[Numbers], Child]]] = [
    ("Alarms", "full", alarms),
    ("What a human is asked", "full", questions),
    ("Steps under way", "full", under_way),
    ("The moves", "full", _moves),
    ("The graph", "half", graph),
    ("p and v, calibrated and observed", "half", rates),
    ("Votes per step", "half", votes),
    ("Undecided after j samples", "half", undecided),
    ("The hardest steps", "full", hardest),
    ("Ladder and audits", "full", ladder),
    ("Red flags", "half", flags),
    ("Tokens and money", "half", money),
    ("Time", "full", times),
    ("Settings", "full", settings),
]
"""What a page shows, in this order, and how wide; a section that has nothing to say is left out."""


def page(found: Numbers) -> str:
    """Return what a run did, how sure it is and what it cost, to open in a browser.

    All that models and tasks said is escaped; a content security policy bars what is not part of the page.

    Args:
        found: The run's numbers.

    Example:
        >>> from langgraph.store.memory import InMemoryStore
        >>> from langgraph_maker import solve
        >>> from langgraph_maker.report import numbers
        >>> from langgraph_maker.tasks import TowersOfHanoi
        >>> store = InMemoryStore()
        >>> run = solve(TowersOfHanoi(2), "sim:error=0", store=store, run_id="<q>")
        >>> text = page(numbers(store, "<q>"))
        >>> "<q>" in text, "&lt;q&gt;" in text
        (False, True)
    """
    drawn = [(title, width, content) for title, width, section in _SECTIONS if (content := section(found))]
    title = f"{found['task']} {found['run_id']}: {found['status']}"
    return document(title, head(found), drawn, found["time"]["read"], _file("hanoi.js") if found["moves"] else "")


def document(title: str, head: Html, sections: Iterable[tuple[str, str, Child]], read: str, script: str = "") -> str:
    """Return a page with this head, and below it sections: the title of each, its width and what it shows."""
    style = _file("page.css")
    allowed = f"default-src 'none'; style-src {markup.digest(style)}"
    if script:
        allowed += f"; script-src {markup.digest(script)}"
    body = h(
        "main",
        head,
        [h("section", h("h2", name), content, class_=width) for name, width, content in sections],
        h("footer", f"langgraph-maker {version('langgraph-maker')}, from the journal as it was {read}"),
    )
    return "<!doctype html>\n" + h(
        "html",
        h(
            "head",
            h("meta", charset="utf-8"),
            h("meta", http_equiv="Content-Security-Policy", content=allowed),
            h("meta", name="viewport", content="width=device-width, initial-scale=1"),
            h("meta", name="color-scheme", content="light dark"),
            h("title", markup.shown(title, 100)),
            h("style", Html(style)),
        ),
        h("body", body, h("script", Html(script)) if script else ""),
        lang="en",
    )


def _file(name: str) -> str:
    return files(__package__).joinpath(name).read_text("utf-8")
