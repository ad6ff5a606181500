"""A provider's batch API as it is on a bad day: asked again while it cannot be reached, and until a batch has ended."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final, TypeVar

from langgraph_maker.core.foreign import bounded_text, terminal_safe
from langgraph_maker.models.batches.api import BatchApi, BatchState, Listed
from langgraph_maker.models.batches.limits import BatchLimits
from langgraph_maker.models.batches.records import BatchRecord, BatchRecords
from langgraph_maker.models.error_reading import reason
from langgraph_maker.models.failures import failure

__all__ = ["SHORTEST", "Provider"]

logger = logging.getLogger(__name__)

T = TypeVar("T")


class Provider:
    """Makes the calls of a batch API.

    Args:
        api: The provider's.
        limits: How often and how long it is asked.
    """

    def __init__(self, api: BatchApi, limits: BatchLimits) -> None:
        self.api, self.limits = api, limits

    async def reach(self, call: Callable[[], Awaitable[T]]) -> T:
        """Make a call, again as long as the provider cannot be reached."""
        began, tried = asyncio.get_running_loop().time(), 0
        while True:
            try:
                return await call()
            except Exception as error:
                lasted = asyncio.get_running_loop().time() - began
                if failure(error).kind in {"permanent", "flag"} or lasted > self.limits.outage:
                    raise
                self.warn("cannot be looked at", error)
                await asyncio.sleep(max(failure(error).wait, self.pause(tried)))
                tried += 1

    def pause(self, tried: int) -> float:
        """Return seconds until the provider is asked again, after so many times before."""
        return min(_LONGEST, max(self.limits.poll, SHORTEST) * float(1 << min(tried, 8)))

    async def ended(self, batch_id: str, wanted: Callable[[], bool] = lambda: True) -> BatchState | None:
        """Look at a batch from time to time until it has ended; None once it is not `wanted` any more."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        while True:
            state = await self.reach(lambda: self.api.state(batch_id))
            if state.ended:
                return state
            until = loop.time() + max(self.limits.poll, min(_LONGEST, (loop.time() - began) / 20), SHORTEST)
            while (left := until - loop.time()) > 0:
                if not wanted():
                    return None
                await asyncio.sleep(min(left, _GLANCE))

    async def located(self, of: BatchRecords, record: BatchRecord, requests: int) -> str | None:
        """Return the id of a batch that may have been created: it is in the provider's list if it was."""
        known = {other.batch_id for other in of.found if other.batch_id}

        async def find() -> Listed | None:
            return await self.api.find(record.intake, record.began, requests, frozenset(known))

        while (found := await self.reach(find)) is not None:
            if found.sure or await self._is_ours(found, record):
                return found.id
            known.add(found.id)
        return None

    async def cancel(self, batch_id: str | None) -> None:
        """Ask for the end of a batch, which may have come already."""
        with suppress(Exception):
            await self.api.cancel(str(batch_id))

    @staticmethod
    def warn(what: str, error: Exception) -> None:
        """Say what is wrong with a batch."""
        logger.warning("a batch %s: %s", what, terminal_safe(bounded_text(reason(error))))

    async def _is_ours(self, found: Listed, record: BatchRecord) -> bool:
        """Wait for the end of a batch that may be ours, and see by its results whether it is."""
        await self.ended(found.id)
        async for _ in self.api.results(found.id, record.intake):
            return True
        return False


SHORTEST: Final = 0.02  # seconds between two looks
_LONGEST, _GLANCE = 60.0, 0.5  # seconds
