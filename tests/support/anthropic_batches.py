"""Anthropic's `/v1/messages/batches` on loopback, with what can become of a batch."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Answer = Callable[[dict[str, Any]], dict[str, Any]]


class AnthropicBatchServer:
    """Keeps batches; a batch of the number in `faults` goes wrong so.

    Faults: "errored" (every second request, as overloaded), "expired" and "canceled" (every second request), "lost"
    (every second result is not there), "unanswered" (created, and the connection is closed before anyone hears of it),
    "running" (it does not end).
    """

    def __init__(self, answer: Answer, faults: dict[int, str]) -> None:
        self.answer, self.faults = answer, faults
        self.batches: list[dict[str, Any]] = []
        self.bought: Counter[str] = Counter()
        self.calls = 0

    def create(self, requests: list[dict[str, Any]]) -> dict[str, Any]:
        number = len(self.batches) + 1
        rows = []
        for at, request in enumerate(requests):
            fault = self.faults.get(number)
            kind = fault if at % 2 and fault in {"errored", "expired", "canceled"} else "succeeded"
            result: dict[str, Any] = {"type": kind}
            if kind == "errored":
                result["error"] = {"type": "error", "error": {"type": "overloaded_error", "message": "too much"}}
            if kind == "succeeded":
                result["message"] = self.answer(request["params"])
                self.bought[request["custom_id"][32:]] += fault != "lost" or at % 2 == 0
            if fault != "lost" or at % 2 == 0:
                rows.append({"custom_id": request["custom_id"], "result": result})
        self.batches.append({"id": f"msgbatch_{number}", "rows": rows[::-1], "requests": requests, "looks": 0})
        return self.shown(number)

    def shown(self, number: int) -> dict[str, Any]:
        batch = self.batches[number - 1]
        batch["looks"] += 1
        ended = batch["looks"] > 2 and self.faults.get(number) != "running"
        counts = dict.fromkeys(("processing", "succeeded", "errored", "canceled", "expired"), 0)
        counts["succeeded" if ended else "processing"] = len(batch["requests"])
        now = datetime.now(UTC).isoformat()
        return {
            "id": batch["id"],
            "type": "message_batch",
            "processing_status": "ended" if ended else "in_progress",
            "request_counts": counts,
            "created_at": now,
            "expires_at": now,
            "ended_at": now if ended else None,
            "archived_at": None,
            "cancel_initiated_at": None,
            "results_url": f"{self.url}/v1/messages/batches/{batch['id']}/results" if ended else None,
        }

    url = ""

    @contextmanager
    def running(self) -> Iterator[str]:
        jobs = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_: Any) -> None:
                pass

            def say(self, body: bytes) -> None:
                self.send_response(200)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def do_POST(self) -> None:
                asked = json.loads(self.rfile.read(int(self.headers["content-length"] or 0)) or b"{}")
                if not self.path.startswith("/v1/messages/batches"):
                    jobs.calls += 1
                said = jobs.create(asked["requests"])
                if jobs.faults.get(len(jobs.batches)) == "unanswered":
                    self.close_connection = True
                    return
                self.say(json.dumps(said).encode())

            def do_GET(self) -> None:
                parts = self.path.partition("?")[0].split("/")[4:]
                if not parts:
                    data = [jobs.shown(number) for number in range(len(jobs.batches), 0, -1)]
                    page = {"data": data, "has_more": False, "first_id": None, "last_id": None}
                    self.say(json.dumps(page).encode())
                elif parts[1:]:
                    rows = jobs.batches[int(parts[0].rpartition("_")[2]) - 1]["rows"]
                    self.say("\n".join(map(json.dumps, rows)).encode())
                else:
                    self.say(json.dumps(jobs.shown(int(parts[0].rpartition("_")[2]))).encode())

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        self.url = f"http://127.0.0.1:{server.server_port}"
        try:
            yield self.url
        finally:
            server.shutdown()
            server.server_close()
            thread.join()
