"""A margin that can be raised while a run goes on, and never lowered."""

from __future__ import annotations

from collections.abc import Callable

__all__ = ["Raised"]


class Raised:
    """The k of each step: that of `base`, or `to` where that is more.

    Steps that are decided keep what they were decided by; all others, open ballots among them, go by the new margin.

    Example:
        >>> k = Raised(3)
        >>> k.up_to(5), k.up_to(4), k.to, k(0)
        (None, None, 5, 5)
    """

    def __init__(self, base: int | Callable[[int], int]) -> None:
        self.base = base
        self.to = 0

    def up_to(self, k: int) -> None:
        """Ask for at least `k` from now on."""
        self.to = max(self.to, k)

    def __call__(self, step: int) -> int:
        """The k of a step."""
        return max(self.base(step) if callable(self.base) else self.base, self.to)
