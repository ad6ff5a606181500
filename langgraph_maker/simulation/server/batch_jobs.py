"""Files and batches as OpenAI's API has them: what is uploaded, how far a batch is, what it leaves behind.

A batch is computed when it is created, and shows as much of that as its time allows. What it did is counted once, when
it ends, however often its files are read.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

import numpy as np
import orjson

from langgraph_maker.simulation.server.chat_api import ApiError
from langgraph_maker.simulation.server.faults import Faults

__all__ = ["BATCH_KINDS", "BatchFaults", "BatchJob", "BatchJobs", "BatchLine"]

BATCH_KINDS: Final = ("expired", "failed", "stuck", "lost", "half", "errors", "unanswered")


class BatchFaults(Faults):
    """Which batches meet a fault, by number or rate: as `Faults`, the first batch is number 1.

    | kind | what becomes of the batch |
    |---|---|
    | expired | half of its lines are done, the others are in the error file as expired |
    | failed | it fails its validation, and has no files |
    | stuck | it never starts, until it is cancelled |
    | lost | every tenth line is in neither file |
    | half | it is completed, and half of its lines failed with status 500 |
    | errors | it is completed with an error file alone: every line failed with status 500 |
    | unanswered | it is created, and the connection is reset before anyone hears of it |

    Example:
        >>> BatchFaults.parse("expired@2", "lost=0.1").meets(number=2, seconds=0.0, draw=0.5)
        'expired'
    """

    kinds = BATCH_KINDS


class BatchLine(NamedTuple):
    """One request of a batch: its id, its body, and the answer, or the status and the body of a refusal."""

    custom_id: str
    body: bytes
    status: int
    answer: dict[str, Any]


@dataclass
class BatchJob:
    """A batch: its lines in the order of the file, and how it goes."""

    id: str
    number: int
    input_file: str
    metadata: Mapping[str, str]
    created: float
    lines: Sequence[BatchLine]
    tokens: int
    fault: str | None = None
    status: str = "validating"
    done: int = 0
    ended: float | None = None
    cancelled: float | None = None
    output_file: str | None = None
    error_file: str | None = None
    errors: list[dict[str, Any]] = field(default_factory=list)

    def body(self) -> dict[str, Any]:
        """Return the batch as the API shows it."""
        failed = len(self.lines) - self.done if self.ended else 0
        ended = None if self.ended is None else int(self.ended)
        return {
            "id": self.id,
            "object": "batch",
            "endpoint": "/v1/chat/completions",
            "errors": {"object": "list", "data": self.errors} if self.errors else None,
            "input_file_id": self.input_file,
            "completion_window": "24h",
            "status": self.status,
            "output_file_id": self.output_file,
            "error_file_id": self.error_file,
            "created_at": int(self.created),
            "expires_at": int(self.created) + _DAY,
            "completed_at": ended if self.status == "completed" else None,
            "failed_at": ended if self.status == "failed" else None,
            "expired_at": ended if self.status == "expired" else None,
            "cancelling_at": None if self.cancelled is None else int(self.cancelled),
            "cancelled_at": ended if self.status == "cancelled" else None,
            "request_counts": {"total": len(self.lines), "completed": self.done, "failed": failed},
            "metadata": dict(self.metadata),
        }


class BatchJobs:
    """All files and batches of a server.

    Args:
        answer: From the body of a request to the status and the body of the answer.
        count: Called with each answer that a batch leaves in its output file.
        faults: Which batches go wrong.
        seconds: How long a batch takes.
        enqueued_tokens: Input tokens that may be enqueued at a time; a batch beyond that fails. None is no limit.
        input_tokens: Of a request, by its body.
        seed: Of faults and of the order of lines.
    """

    def __init__(
        self,
        *,
        answer: Callable[[bytes], tuple[int, dict[str, Any]]],
        count: Callable[[dict[str, Any]], None],
        faults: Faults,
        seconds: float,
        enqueued_tokens: int | None,
        input_tokens: int,
        seed: int,
    ) -> None:
        self.answer, self.count, self.faults = answer, count, faults
        self.seconds, self.enqueued_tokens, self.input_tokens = seconds, enqueued_tokens, input_tokens
        self.progress: float | None = None
        self.files: dict[str, tuple[str, bytes, float]] = {}
        self.jobs: dict[str, BatchJob] = {}
        self._draws, self._orders = np.random.default_rng(abs(seed) + 1).spawn(2)

    def add_file(self, name: str, content: bytes) -> dict[str, Any]:
        """Keep a file; return it as the API shows it."""
        file_id = f"file-simulated-{len(self.files) + 1}"
        self.files[file_id] = (name, content, time.time())
        return self.file(file_id)

    def file(self, file_id: str) -> dict[str, Any]:
        """Return a file as the API shows it.

        Raises:
            ApiError: 404 when there is none.
        """
        name, content, created = self._file(file_id)
        shown = {"id": file_id, "object": "file", "bytes": len(content), "created_at": int(created), "filename": name}
        return shown | {"purpose": "batch_output" if name == _OUTPUT else "batch", "status": "processed"}

    def content(self, file_id: str) -> bytes:
        """Return what is in a file.

        Raises:
            ApiError: 404 when there is none.
        """
        return self._file(file_id)[1]

    def create(self, body: bytes) -> BatchJob:
        """Create a batch as a request asks for it.

        Raises:
            ApiError: 400 or 404, with what is wrong.
        """
        try:
            asked = orjson.loads(body)
            file_id, endpoint, window = asked["input_file_id"], asked["endpoint"], asked["completion_window"]
        except (ValueError, TypeError, KeyError) as error:
            raise ApiError(400, f"The batch is not asked for as it should be: {error!r:.200}") from None
        if endpoint != _ENDPOINT or window != "24h":
            raise ApiError(400, f"Invalid endpoint or completion_window: {endpoint!r:.80}, {window!r:.80}")
        metadata = asked.get("metadata") or {}
        if len(metadata) > _MOST_METADATA or any(
            len(key) > _KEY or len(value) > _VALUE for key, value in metadata.items()
        ):
            raise ApiError(400, "Invalid 'metadata': at most 16 pairs, keys of 64 and values of 512 characters")
        number = len(self.jobs) + 1
        fault = self.faults.meets(number=number, seconds=0.0, draw=self._draws.random())
        lines, wrong = self._lines(self.content(file_id))
        job = BatchJob(
            id=f"batch_simulated_{number}",
            number=number,
            input_file=file_id,
            metadata=metadata,
            created=time.time(),
            lines=lines,
            tokens=self.input_tokens * len(lines),
            fault=fault,
        )
        enqueued = sum(other.tokens for other in self.jobs.values() if other.ended is None)
        if self.enqueued_tokens is not None and enqueued + job.tokens > self.enqueued_tokens:
            wrong = {
                "code": "token_limit_exceeded",
                "message": f"Enqueued token limit reached. Limit: {self.enqueued_tokens:,} enqueued tokens. Please"
                " try again once some in_progress batches have been completed.",
            }
        elif fault == "failed":
            wrong = {"code": "invalid_file", "message": "The input file could not be validated."}
        self.jobs[job.id] = job
        if wrong:
            job.errors = [wrong | {"line": None, "param": None}]
            job.status, job.ended, job.lines = "failed", time.time(), ()
        return job

    def get(self, batch_id: str) -> BatchJob:
        """Return a batch as it is now.

        Raises:
            ApiError: 404 when there is none.
        """
        if (job := self.jobs.get(batch_id)) is None:
            raise ApiError(404, f"No batch found with id '{batch_id[:80]}'.")
        if job.ended is None:
            self._move(job)
        return job

    def cancel(self, batch_id: str) -> BatchJob:
        """Ask for the end of a batch; it has ended when it is looked at next.

        Raises:
            ApiError: 404 when there is none, 409 when it has ended.
        """
        job = self.get(batch_id)
        if job.ended is not None:
            raise ApiError(409, f"Cannot cancel a batch with status '{job.status}'.")
        if job.cancelled is None:
            job.cancelled, job.status = time.time(), "cancelling"
        return job

    def listed(self, after: str | None, limit: int) -> dict[str, Any]:
        """Return a page of batches, the newest first, of those before the batch `after`."""
        newest = [*reversed(self.jobs.values())]
        names = [job.id for job in newest]
        first = names.index(after) + 1 if after in names else 0
        page = [self.get(job.id).body() for job in newest[first : first + limit]]
        ends = {"first_id": page[0]["id"], "last_id": page[-1]["id"]} if page else {"first_id": None, "last_id": None}
        return {"object": "list", "data": page, "has_more": first + limit < len(newest), **ends}

    def _file(self, file_id: str) -> tuple[str, bytes, float]:
        if (found := self.files.get(file_id)) is None:
            raise ApiError(404, f"No such File object: {str(file_id)[:80]}")
        return found

    def _lines(self, content: bytes) -> tuple[list[BatchLine], dict[str, Any]]:
        """Return the lines of an input file with their answers, and what is wrong with it."""
        lines: list[BatchLine] = []
        seen: set[str] = set()
        for row in content.splitlines():
            try:
                asked = orjson.loads(row)
                name, body = asked["custom_id"], orjson.dumps(asked["body"])
                sound = asked["method"] == "POST" and asked["url"] == _ENDPOINT and 0 < len(name) <= _KEY
            except (ValueError, TypeError, KeyError):
                sound = False
            if not sound:
                return [], {"code": "invalid_json_line", "message": "A line of the file is none of a batch."}
            if name in seen:
                return [], {"code": "duplicate_custom_id", "message": f"The custom_id {name!r:.80} is there twice."}
            seen.add(name)
            lines.append(BatchLine(name, body, *self.answer(body)))
        if not 0 < len(lines) <= _MOST_LINES or len(content) > _MOST_BYTES:
            return [], {"code": "invalid_file", "message": "A file has 1 to 50,000 lines, and at most 200 MB."}
        return lines, {}

    def _move(self, job: BatchJob) -> None:
        """Let a batch do what it has time for."""
        share = self.progress
        if share is None:
            share = 1.0 if not self.seconds else min(1.0, (time.time() - job.created) / self.seconds)
        if job.fault == "stuck":
            share = 0.0
        job.done = int(share * len(job.lines))
        if job.cancelled is not None:
            self._end(job, "cancelled", job.done)
        elif share < 1:
            job.status = "in_progress" if share and job.fault != "stuck" else "validating"
        elif job.fault == "expired":
            self._end(job, "expired", len(job.lines) // 2)
        else:
            self._end(job, "completed", len(job.lines))

    def _end(self, job: BatchJob, status: str, done: int) -> None:
        """Write the files of a batch that did so many of its lines, in an order of its own."""
        output: list[dict[str, Any]] = []
        errors: list[dict[str, Any]] = []
        for at, line in enumerate(job.lines):
            row: dict[str, Any] = {"id": f"batch_req_{job.number}_{at}", "custom_id": line.custom_id}
            if at >= done:
                code = "batch_expired" if status == "expired" else "batch_cancelled"
                errors.append(row | {"response": None, "error": {"code": code, "message": _NOT_DONE[code]}})
            elif job.fault == "errors" or (job.fault == "half" and at % 2):
                errors.append(row | {"response": _response(500, _SERVER_ERROR, at), "error": None})
            elif job.fault == "lost" and at % _LOST == _LOST - 1:
                continue
            else:
                rows = output if line.status == _OK else errors
                rows.append(row | {"response": _response(line.status, line.answer, at), "error": None})
                if line.status == _OK:
                    self.count(line.answer)
        job.status, job.ended, job.done = status, time.time(), len(output)
        for rows, name in ((output, "output_file"), (errors, "error_file")):
            if rows:
                order = self._orders.permutation(len(rows))
                content = b"\n".join(orjson.dumps(rows[at]) for at in order) + b"\n"
                setattr(job, name, self.add_file(_OUTPUT, content)["id"])


def _response(status: int, body: dict[str, Any], at: int) -> dict[str, Any]:
    return {"status_code": status, "request_id": f"req_{at}", "body": body}


_ENDPOINT: Final = "/v1/chat/completions"
_OUTPUT: Final = "batch_output.jsonl"
_OK: Final = 200
_LOST: Final = 10
_DAY: Final = 86_400
_MOST_LINES, _MOST_BYTES = 50_000, 200 * 10**6
_MOST_METADATA, _KEY, _VALUE = 16, 64, 512
_NOT_DONE: Final = {
    "batch_expired": "This request could not be executed before the completion window expired.",
    "batch_cancelled": "This request was not executed, as the batch was cancelled.",
}
_SERVER_ERROR: Final = {
    "error": {
        "message": "The server had an error while processing the request.",
        "type": "server_error",
        "param": None,
        "code": None,
    }
}
