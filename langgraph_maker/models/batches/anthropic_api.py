"""Anthropic's message batches: the requests go with the batch, which has no name, and the results are one file."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any, Final

import orjson

from langgraph_maker.models.batches.api import BatchState, Line, LineResult, Listed

__all__ = ["AnthropicBatches"]


class AnthropicBatches:
    """The message batches of an Anthropic client, and of servers that speak its protocol.

    A batch carries no name of ours, so its requests do: `custom_id` is the name of the intake and the key of the
    request. Which batch is which can be seen by its results, once it has ended.
    """

    path = "/messages"
    most_requests = 100_000
    most_bytes = 230 * 10**6

    def __init__(self, client: Any) -> None:
        self.client = client

    async def submit(self, lines: Sequence[Line], intake: str) -> str:
        """See `BatchApi`."""
        requests = [{"custom_id": f"{intake}{key}", "params": _params(body)} for key, body in lines]
        batch = await self.client.messages.batches.create(requests=requests)
        return str(batch.id)

    async def find(self, intake: str, since: float, requests: int, known: frozenset[str]) -> Listed | None:  # noqa: ARG002
        """See `BatchApi`. Batches are listed from the newest."""
        async for batch in self.client.messages.batches.list(limit=100):
            if batch.created_at.timestamp() < since - _CLOCKS:
                break
            counts = batch.request_counts
            count = counts.processing + counts.succeeded + counts.errored + counts.canceled + counts.expired
            if str(batch.id) not in known and count == requests:
                return Listed(str(batch.id), sure=False)
        return None

    async def state(self, batch_id: str) -> BatchState:
        """See `BatchApi`. None is refused as a whole: what is wrong with one is said when it is created."""
        batch = await self.client.messages.batches.retrieve(batch_id)
        return BatchState(batch.processing_status == "ended")

    async def results(self, batch_id: str, intake: str) -> AsyncIterator[tuple[str, LineResult]]:
        """See `BatchApi`. Those of another intake are left out."""
        async with self.client.messages.batches.with_streaming_response.results(batch_id) as response:
            async for row in response.iter_lines():
                if row.strip() and (read := _read(row, intake)) is not None:
                    yield read

    async def cancel(self, batch_id: str) -> None:
        """See `BatchApi`."""
        await self.client.messages.batches.cancel(batch_id)

    async def aclose(self) -> None:
        """See `BatchApi`. The client's connections are closed by who made them."""


def _params(body: bytes) -> dict[str, Any]:
    params: dict[str, Any] = orjson.loads(body)
    params.pop("stream", None)
    return params


def _read(row: str, intake: str) -> tuple[str, LineResult] | None:
    """Return the key and the result in a line; None for one that is of others, or cannot be read."""
    try:
        line = orjson.loads(row)
        name, result = line["custom_id"], line["result"]
        if not name.startswith(intake):
            return None
        key, kind = name.removeprefix(intake), result["type"]
        if kind == "succeeded":
            return key, LineResult(200, orjson.dumps(result["message"]))
        if kind == "errored":
            status = _STATUS.get(result["error"]["error"]["type"], 500)
            return key, LineResult(status, orjson.dumps(result["error"]), again=status in _AGAIN)
        error = {"type": "error", "error": {"type": "api_error", "message": f"the request was {kind}"}}
        return key, LineResult(503, orjson.dumps(error), again=True)
    except (ValueError, TypeError, KeyError, AttributeError):
        return None


_STATUS: Final = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "api_error": 500,
    "timeout_error": 504,
    "overloaded_error": 529,
}
"""Statuses of Anthropic's error types, as its API's documentation has them."""
_AGAIN: Final = frozenset({429, 500, 504, 529})
_CLOCKS: Final = 600  # seconds by which clocks may differ
