"""What the faults of a simulated provider look like on the wire, and every refusal in OpenAI's shape."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import struct
import time
from collections.abc import Awaitable, Callable
from typing import Final

from aiohttp import web

from langgraph_maker.simulation.server.chat_api import ApiError

__all__ = ["errors_as_json", "fail", "key_of", "too_many", "wrong_key"]

log = logging.getLogger(__name__)


async def fail(request: web.Request, kind: str, answer: bytes, retry_after: float) -> web.StreamResponse:
    """Let `request` meet a fault.

    Args:
        request: What was asked.
        kind: Of `faults.KINDS`, "outage" excepted.
        answer: What it would have been answered, for "truncated" and "cut".
        retry_after: Seconds that "429" asks it to wait.

    Raises:
        ApiError: For the kinds that are refusals.
    """
    match kind:
        case "reset":
            _reset(request.transport)
        case "cut":
            await _cut(request, answer)
        case "timeout":
            pass
        case "truncated":
            return web.Response(body=answer[: len(answer) // 2], content_type="application/json")
        case "html" | "502":
            return web.Response(status=200 if kind == "html" else 502, text=_PAGE, content_type="text/html")
        case "empty" | "null":
            head = {"id": "chatcmpl-simulated", "object": "chat.completion", "created": int(time.time())}
            return web.json_response(head | {"choices": [] if kind == "empty" else None, "usage": None})
        case "429":
            raise too_many(retry_after)
        case "unavailable":
            raise ApiError(429, _UNAVAILABLE, kind="requests", code="resource_unavailable", retry_after=retry_after)
        case "401":
            raise wrong_key(request)
        case _:
            status, message, type_, code = _REFUSALS[kind]
            raise ApiError(status, message, kind=type_, code=code)
    return await asyncio.Future()  # it is cancelled when the connection is gone


@web.middleware
async def errors_as_json(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Answer every error in OpenAI's shape, one of ours without its traceback."""
    try:
        return await handler(request)
    except ApiError as error:
        refusal = error
    except web.HTTPException as error:
        refusal = ApiError(error.status, error.text or error.reason)
    except ConnectionError:
        raise
    except web.RequestPayloadError as error:
        refusal = ApiError(400, f"The body of the request cannot be read: {error}")
    except Exception:
        log.exception("a request could not be answered")
        refusal = ApiError(500, "The simulated provider failed; its log says why.", kind="server_error")
    return web.json_response(refusal.body, status=refusal.status, headers=refusal.headers)


def key_of(request: web.Request) -> str:
    """Return the API key of a request, "" without one."""
    scheme, _, key = request.headers.get("Authorization", "").partition(" ")
    return key.strip() if scheme.lower() == "bearer" else ""


def wrong_key(request: web.Request) -> ApiError:
    """Return the refusal of a key. It repeats the key."""
    key = key_of(request)
    message = f"Incorrect API key provided: {key}." if key else "You didn't provide an API key."
    return ApiError(401, message, code="invalid_api_key")


def too_many(wait: float) -> ApiError:
    """Return the refusal of one request too many, to be sent again in `wait` seconds."""
    message = f"Rate limit reached. Please try again in {wait:.3g}s."
    return ApiError(429, message, kind="requests", code="rate_limit_exceeded", retry_after=wait)


async def _cut(request: web.Request, answer: bytes) -> None:
    response = web.StreamResponse(headers={"Content-Type": "application/json"})
    response.content_length = len(answer)
    await response.prepare(request)
    await response.write(answer[: len(answer) // 2])
    if request.transport is not None:
        request.transport.close()


def _reset(transport: asyncio.Transport | None) -> None:
    if transport is not None:
        # Without lingering, closing sends RST in place of FIN.
        linger = struct.pack("hh" if os.name == "nt" else "ii", 1, 0)
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        transport.abort()


_UNAVAILABLE: Final = "Resource unavailable: there is no capacity for the flex tier now. Please try again later."
_PAGE: Final = "<html><head><title>502 Bad Gateway</title></head><body><h1>502 Bad Gateway</h1></body></html>\n"
_REFUSALS: Final = {
    "400": (400, "Invalid prompt: it goes against the content policy.", "invalid_request_error", "content_policy"),
    "403": (403, "This project has no access to the model.", "invalid_request_error", "model_not_allowed"),
    "404": (
        404,
        "The model does not exist or you do not have access to it.",
        "invalid_request_error",
        "model_not_found",
    ),
    "500": (500, "The server had an error while processing the request.", "server_error", None),
    "503": (503, "The engine is overloaded, please try again later.", "server_error", None),
}
