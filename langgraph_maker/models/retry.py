"""Calls that fail: when one is retried, and what their errors may show."""

from __future__ import annotations

import random
from collections.abc import Sequence
from contextlib import suppress
from time import monotonic
from typing import Any, Final

from langgraph_maker.core.foreign import redacted
from langgraph_maker.models.error_reading import causes
from langgraph_maker.models.failures import Failure

__all__ = ["RetryState", "redact"]


class RetryState:
    """How long one call is tried again: exponential pauses with jitter, until `outage_limit` seconds have passed.

    An error of an unknown kind may be a bug, so it is tried five times in all, and no longer.
    """

    def __init__(self, outage_limit: float) -> None:
        self.outage_limit = outage_limit
        self.began: float | None = None
        self.failures = self.unknown = 0

    def pause(self, problem: Failure) -> float | None:
        """Return seconds until the next attempt after `problem`; None where there is to be none."""
        now = monotonic()
        self.began = now if self.began is None else self.began
        self.failures += 1
        self.unknown += problem.kind == "unknown"
        if problem.kind == "permanent" or self.unknown >= _MOST_UNKNOWN:
            return None
        pause = min(_LONGEST_PAUSE, _FIRST_PAUSE * 2 ** min(self.failures - 1, 16)) * random.uniform(0.5, 1.0)  # noqa: S311
        pause = max(pause, problem.wait * random.uniform(1.0, 1.1))  # noqa: S311 - not all at the same moment
        left = self.began + self.outage_limit - now
        return None if problem.wait > left or left <= 0 else min(pause, left)


def redact(error: BaseException, secrets: Sequence[str]) -> None:
    """Take `secrets` out of all texts that `error`, and what caused it, would show.

    Example:
        >>> error = PermissionError("Incorrect API key provided: abc-123")
        >>> redact(error, ["abc-123"])
        >>> error
        PermissionError('Incorrect API key provided: [key]')
    """
    for cause in causes(error):
        cause.args = redacted(cause.args, secrets)
        for name, value in [*getattr(cause, "__dict__", {}).items()]:
            if isinstance(value, (str, bytes, dict, list, tuple)):
                setattr(cause, name, redacted(value, secrets))
        _clean_address(cause, secrets)
        for name in ("response", "request"):
            with suppress(Exception):  # httpx raises where there is no request; others have none
                if (message := getattr(cause, name, None)) is not None:
                    setattr(cause, name, _clean(message, secrets))


def _clean_address(error: BaseException, secrets: Sequence[str]) -> None:
    """Take the secrets out of the address and the headers of the request that failed."""
    with suppress(Exception):  # httpx raises where there is no request; others have none
        request: Any = error.request  # type: ignore[attr-defined]
        if (clean := redacted(str(request.url), secrets)) != str(request.url):
            request.url = type(request.url)(clean)
        for name, value in [*request.headers.items()]:
            request.headers[name] = redacted(value, secrets)


class _Head:
    """What is read of a response that cannot be cleaned: whether, and when, to ask again."""

    def __init__(self, response: Any) -> None:
        self.status_code = getattr(response, "status_code", None)
        headers = getattr(response, "headers", None) or {}
        self.headers = {name: headers[name] for name in ("retry-after", "retry-after-ms") if name in headers}


def _clean(message: Any, secrets: Sequence[str]) -> Any:
    """Return a response or a request as the client made it, without keys in its address, its headers and its body."""
    if isinstance(message, dict):
        return redacted(message, secrets)
    try:
        parts = [message, request] if (request := vars(message).get("_request")) is not None else [message]
        for part in parts:
            for name, value in [*part.headers.items()]:
                if (clean := redacted(value, secrets)) != value:
                    part.headers[name] = clean
            if isinstance(content := vars(part).get("_content"), bytes):
                clean = redacted(content, secrets)
                if clean != content:
                    part._content = clean  # noqa: SLF001 - of httpx and requests alike
                    vars(part).pop("_text", None)
    except Exception:  # noqa: BLE001 - whatever it is, it must show no key
        return _Head(message)
    return message


_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 15.0  # seconds
_MOST_UNKNOWN: Final = 5
