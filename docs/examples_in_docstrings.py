"""An extension of the reference pages: sessions in docstrings are read as the programs that they are."""

from __future__ import annotations

import re
from typing import Any

from griffe import Extension, Object

_SESSION = re.compile(r"^>>> .*\n(?:.+\n?)*", re.MULTILINE)  # at the margin, up to a blank line


class Examples(Extension):
    """Read "Example:" as the Google style's "Examples:", and a session in the text as one."""

    def on_object(self, *, obj: Object, **_: Any) -> None:
        """Mark the sessions of one object's docstring."""
        if obj.docstring is not None:
            text = obj.docstring.value.replace("\nExample:\n", "\nExamples:\n")
            obj.docstring.value = _SESSION.sub(lambda session: f"```pycon\n{session[0].rstrip()}\n```\n", text)
