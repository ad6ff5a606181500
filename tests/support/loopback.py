"""A chat completions server of a test's own: it keeps what it was sent, and answers as the test says."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

__all__ = ["Loopback", "completion", "loopback"]

Answer = Callable[[dict[str, str], str, dict[str, Any]], tuple[int, Any]]
"""From headers, path and body to a status and a body: JSON, or the events of a stream."""


class Loopback:
    """The server's address, and what it was sent: headers by lower-case name."""

    def __init__(self) -> None:
        self.url = ""
        self.seen: list[tuple[dict[str, str], str, dict[str, Any]]] = []
        self.open = 0


def completion(body: dict[str, Any], text: str = "A", usage: Any = None) -> dict[str, Any]:
    """A whole answer to this request."""
    n = body.get("n") or 1
    choice = {"finish_reason": "stop", "message": {"role": "assistant", "content": text}}
    used = {"prompt_tokens": 5, "completion_tokens": n, "total_tokens": 5 + n} if usage is None else usage
    head = {"id": "x", "object": "chat.completion", "created": 1, "model": "m", "usage": used}
    return head | {"choices": [{"index": index, **choice} for index in range(n)]}


@contextmanager
def loopback(answer: Answer = lambda _, __, body: (200, completion(body))) -> Iterator[Loopback]:
    """Serve on loopback until the block ends; connections are kept open, as providers do."""
    server = Loopback()
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def setup(self) -> None:
            super().setup()
            with lock:
                server.open += 1

        def finish(self) -> None:
            super().finish()
            with lock:
                server.open -= 1

        def log_message(self, *_: Any) -> None:
            pass

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            headers = {name.lower(): value for name, value in self.headers.items()}
            with lock:
                server.seen.append((headers, self.path, body))
            status, said = answer(headers, self.path, body)
            stream = isinstance(said, list)
            parts = [f"data: {json.dumps(part)}\n\n" for part in said] + ["data: [DONE]\n\n"] if stream else []
            data = ("".join(parts) if stream else json.dumps(said)).encode()
            self.send_response(status)
            self.send_header("content-type", "text/event-stream" if stream else "application/json")
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: Any) -> None:
            """A client that goes away is no error."""

    listening = Server(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=listening.serve_forever, daemon=True)
    thread.start()
    server.url = f"http://127.0.0.1:{listening.server_port}/v1"
    try:
        yield server
    finally:
        listening.shutdown()
        listening.server_close()
        thread.join()
