"""The data of an experiment: JSON Lines, the settings first, then a line a point as soon as it is measured."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from langgraph_maker.core.canonical import canonical
from langgraph_maker.core.errors import JournalError

__all__ = ["Lines"]


class Lines:
    """The file of one experiment: what is in it, and room for more.

    Args:
        path: It is made where there is none. A last line that a killed process left half written is dropped.
        head: The first line: the experiment and its settings.

    Raises:
        ValueError: When the file was started with other settings; the message names them.
        JournalError: When it cannot be read.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "a.jsonl"
        >>> Lines(path, {"settings": {"seed": 0}}).add({"model": "a", "p": 0.9})
        >>> Lines(path, {"settings": {"seed": 0}}).found
        [{'model': 'a', 'p': 0.9}]
        >>> Lines(path, {"settings": {"seed": 1}})  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        ValueError: ...a.jsonl was started with seed=0, and not seed=1: give the same, or another folder
    """

    def __init__(self, path: Path, head: dict[str, Any]) -> None:
        self.path, self.found = path, list[dict[str, Any]]()
        self._whole = 0
        self._head = head
        if not path.exists():
            return
        text = path.read_bytes()
        whole = text[: text.rfind(b"\n") + 1]
        try:
            lines = [json.loads(line) for line in whole.splitlines()]
            if not lines:
                return
            begun = lines[0]["settings"]
        except (ValueError, TypeError, KeyError) as error:
            raise JournalError(f"{path} is not the data of an experiment ({error}): name another folder") from error
        _check(path, begun, head["settings"])
        self.found, self._whole = lines[1:], len(whole)

    def begin(self) -> None:
        """Write the settings before anything is bought under them."""
        if not self._whole:
            self._write(self._head)

    def add(self, line: dict[str, Any]) -> None:
        """Append a line; it is on the disk when this returns."""
        self.begin()
        self._write(line)
        self.found.append(line)

    def _write(self, line: dict[str, Any]) -> None:
        with self.path.open("ab") as file:
            file.truncate(self._whole)
            file.write(json.dumps(line).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())
            self._whole = file.tell()


def _check(path: Path, begun: dict[str, Any], given: dict[str, Any]) -> None:
    other = [name for name in given if canonical(begun.get(name)) != canonical(given[name])]
    if other:
        was, now = (", ".join(f"{name}={_short(found.get(name))}" for name in other) for found in (begun, given))
        raise ValueError(f"{path} was started with {was}, and not {now}: give the same, or another folder")


def _short(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)
