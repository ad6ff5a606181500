"""An event loop whose clock is moved on by waiting: hours pass at once, and always the same way."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

import pytest

__all__ = ["run_virtual"]

T = TypeVar("T")


class _Selector(selectors.SelectSelector):
    now = 1000.0

    def select(self, timeout: float | None = None) -> Any:
        if timeout is None:
            raise RuntimeError("everybody waits, and nothing is to come")
        self.now += timeout
        return super().select(0)


class _Loop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self.clock = _Selector()
        super().__init__(self.clock)

    def time(self) -> float:
        return self.clock.now


def run_virtual(coroutine: Coroutine[Any, Any, T], monkeypatch: pytest.MonkeyPatch) -> T:
    """Run on a loop of its own, by whose clock calls are retried too."""
    with asyncio.Runner(loop_factory=_Loop) as runner:
        loop = runner.get_loop()
        for module in ("models.retry", "models.pool"):
            monkeypatch.setattr(f"langgraph_maker.{module}.monotonic", loop.time)
        return runner.run(coroutine)
