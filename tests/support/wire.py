"""A server on loopback that answers as a test says, in the shapes of several providers."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from langgraph_maker import create_voting_node

KEY = "key-of-nobody-at-all"

Script = Callable[[int, dict[str, Any]], tuple[int, Any]]
"""From how many requests came before, and the body of this one, to a status and a body."""


@contextmanager
def served(script: Script) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Serve `script`; gives the address, and the bodies of the requests as they come."""
    calls: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: Any) -> None:
            pass

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            calls.append(body)
            status, said = script(len(calls) - 1, body)
            data = said if isinstance(said, bytes) else json.dumps(said).encode()
            self.send_response(status)
            self.send_header("content-type", "text/event-stream" if data[:5] == b"data:" else "application/json")
            self.send_header("content-length", str(len(data)))
            self.send_header("x-request-id", "req-7")
            self.end_headers()
            self.wfile.write(data)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", calls
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def vote(model: Any, *, parse: Any = int, **options: Any) -> dict[str, Any]:
    """The decision of a vote on one question."""
    node = create_voting_node(
        model,
        read=lambda state: state,
        prompt=lambda asked: asked,
        parse=parse,
        write=lambda _, decision: dict(decision),
        **{"k": 3, "outage_limit": 5, "on_unresolved": "write", "max_samples_per_step": 30, **options},
    )
    decision: dict[str, Any] = node.invoke("3 + 4?")
    return decision


def openai_says(body: dict[str, Any], finish: Any = "stop", **message: Any) -> dict[str, Any]:
    """A chat completion, as OpenAI and all servers in its shape have it."""
    said = {"role": "assistant", "content": "7", **message}
    return {
        "id": "x",
        "object": "chat.completion",
        "created": 1,
        "model": "m",
        "choices": [{"index": at, "finish_reason": finish, "message": said} for at in range(body.get("n") or 1)],
        "usage": {"prompt_tokens": 5, "completion_tokens": 1, "total_tokens": 6},
    }


def openai_streams(finish: str = "stop") -> bytes:
    """The parts of a chat completion, as they are streamed."""
    part = {"id": "x", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    said = {"index": 0, "delta": {"role": "assistant", "content": "7"}, "finish_reason": None}
    used = {"prompt_tokens": 5, "completion_tokens": 1, "total_tokens": 6}
    parts = [
        part | {"choices": [said]},
        part | {"choices": [said | {"delta": {"content": ""}, "finish_reason": finish}], "usage": used},
    ]
    return "".join(f"data: {json.dumps(one)}\n\n" for one in parts).encode() + b"data: [DONE]\n\n"


def anthropic_says(_: dict[str, Any], finish: Any = "end_turn") -> dict[str, Any]:
    """A message of Anthropic."""
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "m",
        "content": [{"type": "text", "text": "7"}],
        "stop_reason": finish,
        "stop_sequence": None,
        "usage": {"input_tokens": 5, "output_tokens": 1},
    }


def ollama_says(_: dict[str, Any], finish: Any = "stop") -> bytes:
    """The one line of Ollama's stream; without an ending where it breaks off."""
    said: dict[str, Any] = {
        "model": "m",
        "created_at": "2026-01-01T00:00:00Z",
        "message": {"role": "assistant", "content": "7"},
        "done": finish is not None,
    }
    ended = {"done_reason": finish, "prompt_eval_count": 5, "eval_count": 1}
    return json.dumps(said | (ended if finish is not None else {})).encode() + b"\n"


def gemini_says(body: dict[str, Any], finish: Any = "STOP") -> dict[str, Any]:
    """Candidates of Gemini."""
    n = body.get("generationConfig", {}).get("candidateCount") or 1
    said = {"role": "model", "parts": [{"text": "7"}]}
    return {
        "candidates": [{"index": at, "content": said, "finishReason": finish} for at in range(n)],
        "usageMetadata": {"promptTokenCount": 5, "candidatesTokenCount": n, "totalTokenCount": 5 + n},
        "modelVersion": "m",
    }


def bedrock_says(_: dict[str, Any], finish: Any = "end_turn") -> dict[str, Any]:
    """A message of Bedrock's Converse."""
    return {
        "output": {"message": {"role": "assistant", "content": [{"text": "7"}]}},
        "stopReason": finish,
        "usage": {"inputTokens": 5, "outputTokens": 1, "totalTokens": 6},
        "metrics": {"latencyMs": 1},
    }


def cohere_says(_: dict[str, Any], finish: Any = "COMPLETE") -> dict[str, Any]:
    """A message of Cohere's second API."""
    return {
        "id": "c",
        "finish_reason": finish,
        "message": {"role": "assistant", "content": [{"type": "text", "text": "7"}]},
        "usage": {"tokens": {"input_tokens": 5, "output_tokens": 1}},
    }
