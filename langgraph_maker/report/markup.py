"""HTML from text, in which nothing is markup but what this module made: everything else is escaped."""

from __future__ import annotations

import json
import re
from base64 import b64encode
from collections.abc import Iterable
from hashlib import sha256
from html import escape
from typing import Any, TypeAlias

__all__ = ["Child", "Html", "data", "digest", "h", "shown"]


class Html(str):
    """Text that is HTML already."""

    __slots__ = ()


Child: TypeAlias = "str | Iterable[Child]"
"""What an element holds: text, elements, or any number of either; an empty one is left out."""


def h(name: str, /, *children: Child, **attributes: object) -> Html:
    """Return an element; `class_` and `for_` lose their underscore, others within a name become hyphens.

    Example:
        >>> print(h("p", "1 < 2 ", h("b", "& so on"), class_="note"))
        <p class="note">1 &lt; 2 <b>&amp; so on</b></p>
        >>> print(h("p", title='"><b>'))
        <p title="&quot;&gt;&lt;b&gt;"></p>
    """
    given = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{_safe(str(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    if name in _VOID:
        return Html(f"<{name}{given}>")
    return Html(f"<{name}{given}>{''.join(_flat(children))}</{name}>")


_VOID = {"input", "meta", "br"}


def _flat(children: Iterable[Child]) -> Iterable[str]:
    for child in children:
        if isinstance(child, Html):
            yield child
        elif isinstance(child, str):
            yield _safe(child)
        else:
            yield from _flat(child)


def _safe(text: str) -> str:
    return escape(_CONTROL.sub("\N{REPLACEMENT CHARACTER}", text))


# What HTML has no form for, and what turns the direction of the text around it.
_CONTROL = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff]"
)


def data(value: Any, name: str) -> Html:
    r"""Return a JSON value for a script to read, in an element with the id `name`; no text in it can end the element.

    Example:
        >>> print(data(["</script>"], "moves"))
        <script type="application/json" id="moves">["\u003c/script>"]</script>
    """
    text = json.dumps(value, separators=(",", ":")).replace("<", "\\u003c")  # all but ASCII is escaped already
    return Html(f'<script type="application/json" id="{_safe(name)}">{text}</script>')


def digest(text: str) -> str:
    """Return what a content security policy calls a script or a style by."""
    return f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'"


def shown(value: Any, most: int = 300) -> str:
    """Return a JSON value as text of at most so many characters.

    Example:
        >>> shown({"a": "b" * 20}, most=10)
        '{"a": "bbb…'
    """
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= most else f"{text[:most]}…"
