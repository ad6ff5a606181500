"""How many calls may be out at a time."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final

from langgraph_maker.models.failures import Failure

__all__ = ["Limiter"]


class Limiter:
    """How many calls may be out: first come, first served; fewer when many are refused.

    What was taken is given back: one more a round, and twice as many a round once nothing was refused for a minute.
    As long as it is `untried` whether any call is answered, few are out, for all may be refused; though nobody waits
    for long, as the first ones may hang.
    """

    def __init__(self, most: int | None, *, untried: bool = False) -> None:
        self.most = most
        self.untried = untried and (most is None or most > _FEW)
        self.limit: float | None = _FEW if self.untried else most
        self.active = 0
        self.queue: deque[asyncio.Future[None]] = deque()
        self.latency = 0.0  # seconds, of recent calls
        self.busy = 0.0  # the share of recent calls that were refused as too many
        self.shrunk = self.refused = self.not_before = -1.0

    @property
    def hold(self) -> float:
        """Seconds for which the provider has asked to be left alone by all."""
        return max(0.0, self.not_before - asyncio.get_running_loop().time())

    async def __aenter__(self) -> None:
        loop = asyncio.get_running_loop()
        if self.hold:
            await asyncio.sleep(self.hold)
        if self.limit is not None and (self.queue or self.active >= self.limit):
            if self.untried and not self.queue:
                loop.call_later(_TURN, self.lift)
            turn = loop.create_future()
            self.queue.append(turn)
            try:
                await turn
            except asyncio.CancelledError:
                if turn.done() and not turn.cancelled():  # the turn came all the same: pass it on
                    self.active -= 1
                    self.let_in()
                raise
            return
        self.active += 1

    async def __aexit__(self, *_: object) -> None:
        self.active -= 1
        self.let_in()

    def let_in(self) -> None:
        """Let in who waits, as far as there is room."""
        while self.queue and (self.limit is None or self.active < self.limit):
            turn = self.queue.popleft()
            if not turn.done():
                self.active += 1
                turn.set_result(None)

    def lift(self) -> None:
        """Let out as many as there may be: a call was answered, or the first ones hang."""
        if self.untried:
            self.untried = False
            self.limit = self.most if self.shrunk < 0 else self.limit
            self.let_in()

    def went_well(self, seconds: float) -> None:
        """Note a call that was answered after so many seconds."""
        self.latency += (seconds - self.latency) / 16 if self.latency else seconds
        self.busy -= self.busy / _RECENT
        self.lift()
        if self.limit is not None and self.shrunk >= 0:
            quiet = asyncio.get_running_loop().time() - self.refused > _LONG_AGO
            self.limit = min(self.limit + (1 if quiet else 1 / self.limit), self.most or float("inf"))
            self.let_in()

    def went_wrong(self, problem: Failure, began: float, longest: float) -> None:
        """Note a call that began then, by the event loop's clock, and failed.

        What the provider asks to wait holds other calls back too, where it is at most `longest` seconds; where it is
        more, nobody waits that long, and whether the provider is well again is seen by the next call.
        """
        now = asyncio.get_running_loop().time()
        self.busy += (problem.busy - self.busy) / _RECENT
        self.refused = now if problem.busy else self.refused
        if not problem.busy or self.busy < _TOO_BUSY:  # single refusals hold back their own call only
            return
        if problem.wait <= longest:
            self.not_before = max(self.not_before, now + problem.wait)
        if began > self.shrunk:  # once for all calls that were out together
            self.limit = max(1.0, 0.7 * min(self.active + 1, self.limit or float("inf")))
            self.shrunk = now


_FEW: Final = 8  # calls
_TURN: Final = 5.0  # seconds
_RECENT, _TOO_BUSY = 64, 0.25  # calls, share
_LONG_AGO = 60.0  # seconds
