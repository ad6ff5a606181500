"""How to install what an optional part of the package needs."""

from __future__ import annotations

__all__ = ["install"]


def install(extra: str) -> str:
    """Return the command that installs `extra`, from a package index and from a clone.

    Example:
        >>> install("cli")
        "pip install 'langgraph-maker[cli]', or in a clone of its repository: pip install -e '.[cli]'"
    """
    return f"pip install 'langgraph-maker[{extra}]', or in a clone of its repository: pip install -e '.[{extra}]'"
