"""OpenAI's Batch API: a file of requests, a batch of it, and two files of what came of them."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Final

import orjson

from langgraph_maker.core.foreign import bounded_text
from langgraph_maker.models.batches.api import BatchState, Line, LineResult, Listed

__all__ = ["OpenAIBatches"]


class OpenAIBatches:
    """The batches of an OpenAI client, and of servers that speak its protocol."""

    path = "/chat/completions"
    most_requests = 50_000
    most_bytes = 180 * 10**6

    def __init__(self, client: Any) -> None:
        self.client = client

    async def submit(self, lines: Sequence[Line], intake: str) -> str:
        """See `BatchApi`. The name is in the batch's metadata."""
        content = b"\n".join(
            b'{"custom_id":"%s","method":"POST","url":"/v1%s","body":%s}' % (key.encode(), self.path.encode(), body)
            for key, body in lines
        )
        file = await self.client.files.create(file=(f"{intake}.jsonl", content), purpose="batch")
        batch = await self.client.batches.create(
            input_file_id=file.id,
            endpoint=f"/v1{self.path}",
            completion_window="24h",
            metadata={_NAME: intake},
        )
        return str(batch.id)

    async def find(self, intake: str, since: float, requests: int, known: frozenset[str]) -> Listed | None:  # noqa: ARG002
        """See `BatchApi`. Batches are listed from the newest."""
        async for batch in self.client.batches.list(limit=100):
            if (batch.metadata or {}).get(_NAME) == intake:
                return Listed(str(batch.id), sure=True)
            if (batch.created_at or 0) < since - _CLOCKS:
                break
        return None

    async def state(self, batch_id: str) -> BatchState:
        """See `BatchApi`."""
        batch = await self.client.batches.retrieve(batch_id)
        if batch.status != "failed":
            return BatchState(batch.status in _ENDED)
        errors = [*((batch.errors and batch.errors.data) or [])]
        said = "; ".join(bounded_text(f"{one.code}: {one.message}") for one in errors[:3]) or "no reason given"
        full = any("token_limit" in (one.code or "") or "nqueued token" in (one.message or "") for one in errors)
        limit = re.search(r"Limit: ([\d,]{1,15}) enqueued", said)
        return BatchState(ended=True, refused=said, full=full, limit=int(limit[1].replace(",", "")) if limit else None)

    async def results(self, batch_id: str, intake: str) -> AsyncIterator[tuple[str, LineResult]]:  # noqa: ARG002
        """See `BatchApi`. The output and the error file are both read."""
        batch = await self.client.batches.retrieve(batch_id)
        for file in (batch.output_file_id, batch.error_file_id):
            if file is None:
                continue
            async with self.client.files.with_streaming_response.content(file) as response:
                async for row in response.iter_lines():
                    if row.strip() and (read := _read(row)) is not None:
                        yield read

    async def cancel(self, batch_id: str) -> None:
        """See `BatchApi`."""
        await self.client.batches.cancel(batch_id)

    async def aclose(self) -> None:
        """See `BatchApi`. The client's connections are closed by who made them."""


def _read(row: str) -> tuple[str, LineResult] | None:
    """Return the key and the result in a line of a file; None for one that cannot be read, which is as good as lost."""
    try:
        line = orjson.loads(row)
        key, response, error = line["custom_id"], line.get("response"), line.get("error")
        if isinstance(response, Mapping):
            status, body = int(response["status_code"]), orjson.dumps(response["body"])
            return str(key), LineResult(status, body, again=status in _AGAIN)
        return str(key), LineResult(503, orjson.dumps({"error": error or {"message": "no response"}}), again=True)
    except (ValueError, TypeError, KeyError, AttributeError):
        return None


_NAME: Final = "langgraph_maker"
_ENDED: Final = frozenset({"completed", "expired", "cancelled", "failed"})
_AGAIN: Final = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 529})
_CLOCKS: Final = 600  # seconds by which clocks may differ
