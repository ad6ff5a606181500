"""What a provider's batch API is to us: few calls, each of which may fail as any call does."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import NamedTuple, Protocol

__all__ = ["BatchApi", "BatchState", "Line", "LineResult", "Listed"]


class Line(NamedTuple):
    """One request of a batch: its key, that of no other request of the run, and the body of the call it stands for."""

    key: str
    body: bytes


class LineResult(NamedTuple):
    """What came of a request: the HTTP status and the body that the call itself would have had.

    `again` says that the request was not answered for no fault of its own: it is to be asked again.
    """

    status: int
    body: bytes
    again: bool = False


class BatchState(NamedTuple):
    """How a batch is: whether it has ended, and why it was refused as a whole, if it was.

    `full` says that it was refused as too many tokens are enqueued, of which `limit` are allowed, where that is said.
    """

    ended: bool
    refused: str = ""
    full: bool = False
    limit: int | None = None


class Listed(NamedTuple):
    """A batch in the provider's list, that may be one whose id is not known."""

    id: str
    sure: bool


class BatchApi(Protocol):
    """A provider's batch API, on one event loop. What cannot be done raises the client's own error."""

    path: str
    """The end of the address of the calls that a batch stands for."""
    most_requests: int
    most_bytes: int

    async def submit(self, lines: Sequence[Line], intake: str) -> str:
        """Create a batch under a name that `find` finds it by; return its id."""
        ...

    async def find(self, intake: str, since: float, requests: int, known: frozenset[str]) -> Listed | None:
        """Return the batch that was created under a name since a moment (seconds since 1970), if there is one.

        One that may be it, which is not known before it has ended, is not `sure`. `known` are ids of others.
        """
        ...

    async def state(self, batch_id: str) -> BatchState:
        """Return how a batch is."""
        ...

    def results(self, batch_id: str, intake: str) -> AsyncIterator[tuple[str, LineResult]]:
        """Give the results of a batch that has ended, with their keys, in no order; what it lost is not among them."""
        ...

    async def cancel(self, batch_id: str) -> None:
        """Ask for the end of a batch."""
        ...

    async def aclose(self) -> None:
        """Close the connections."""
        ...
