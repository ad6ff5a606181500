"""Calls that fail: what a failure means, and when a call is made again.

A failure is neither a vote nor a flag. This is the one place that decides about retries.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from contextlib import suppress
from email.utils import parsedate_to_datetime
from time import monotonic, time
from typing import Any, Final, Literal, NamedTuple

from langgraph_maker.foreign import redacted

__all__ = ["Failure", "Patience", "failure", "redact"]


class Failure(NamedTuple):
    """What a failed call means.

    `kind` is "passing" where waiting may help, "final" where it cannot, "unknown" else; `wait` the seconds that the
    provider asks to be left alone; `busy` whether it said that there are too many calls; `reached` whether it said
    anything.
    """

    kind: Literal["passing", "final", "unknown"]
    wait: float = 0.0
    busy: bool = False
    reached: bool = False


def failure(error: BaseException) -> Failure:
    """Tell what a failed call means, by the status code and the kind of `error` and of what caused it.

    Example:
        >>> failure(TimeoutError()).kind, failure(PermissionError()).kind, failure(ValueError("?")).kind
        ('passing', 'final', 'unknown')
    """
    for cause in _chain(error):
        status = _status(cause)
        if status is None:
            continue
        wait = _retry_after(cause)
        if status in _FULL and "insufficient_quota" not in str(cause):
            return Failure("passing", wait, busy=True, reached=True)
        return Failure("passing" if status in _PASSING or status >= _SERVER_ERRORS else "final", wait, reached=True)
    kinds = [{kind.__name__ for kind in type(cause).__mro__} for cause in _chain(error)]
    if any(names & _REFUSED for names in kinds):
        return Failure("final")
    if any(names & _TRANSPORT for names in kinds) or _garbled(str(error)):
        return Failure("passing")
    if kinds[0] & _BUGS:
        return Failure("final")
    return Failure("unknown")


class Patience:
    """How long one call is tried again: exponential pauses with jitter, until `outage_limit` seconds have passed.

    An error of an unknown kind may be a bug, so it is tried five times in all, and no longer.
    """

    def __init__(self, outage_limit: float) -> None:
        self.outage_limit = outage_limit
        self.began: float | None = None
        self.failures = self.unknown = 0

    def pause(self, problem: Failure) -> float | None:
        """Seconds until the next attempt after `problem`; None where there is to be none."""
        now = monotonic()
        self.began = now if self.began is None else self.began
        self.failures += 1
        self.unknown += problem.kind == "unknown"
        if problem.kind == "final" or self.unknown >= _MOST_UNKNOWN:
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
    for cause in _chain(error):
        cause.args = redacted(cause.args, secrets)
        for name, value in [*getattr(cause, "__dict__", {}).items()]:
            if isinstance(value, (str, bytes, dict, list, tuple)):
                setattr(cause, name, redacted(value, secrets))
        _clean_address(cause, secrets)
        if (response := getattr(cause, "response", None)) is not None:  # callbacks would show its body
            cause.response = _Head(response)  # type: ignore[attr-defined]


def _clean_address(error: BaseException, secrets: Sequence[str]) -> None:
    """Take the secrets out of the address and the headers of the request that failed."""
    with suppress(Exception):  # httpx raises where there is no request; others have none
        request: Any = error.request  # type: ignore[attr-defined]
        if (clean := redacted(str(request.url), secrets)) != str(request.url):
            request.url = type(request.url)(clean)
        for name, value in [*request.headers.items()]:
            request.headers[name] = redacted(value, secrets)


class _Head:
    """What is read of a response: whether, and when, to ask again."""

    def __init__(self, response: Any) -> None:
        self.status_code = getattr(response, "status_code", None)
        headers = getattr(response, "headers", None) or {}
        self.headers = {name: headers[name] for name in ("retry-after", "retry-after-ms") if name in headers}


def _chain(error: BaseException) -> list[BaseException]:
    chain: list[BaseException] = []
    cause: BaseException | None = error
    while cause is not None and cause not in chain:
        chain.append(cause)
        cause = cause.__cause__ or cause.__context__
    return chain


def _status(error: BaseException) -> int | None:
    """The HTTP status that the clients of OpenAI, Anthropic, Google, httpx, … put on their errors."""
    for place in (error, getattr(error, "response", None)):
        for name in ("status_code", "status", "code"):
            value = getattr(place, name, None)
            if isinstance(value, int) and not isinstance(value, bool) and 400 <= value < 600:  # noqa: PLR2004
                return value
    return None


def _retry_after(error: BaseException) -> float:
    """Seconds that the provider asks to wait, 0 where it does not say."""
    headers = getattr(getattr(error, "response", None), "headers", None) or {}
    try:
        if (milliseconds := headers.get("retry-after-ms")) is not None:
            return max(0.0, float(milliseconds) / 1000)
        said = headers.get("retry-after") or "0"
        return max(0.0, float(said) if said[:1].isdigit() else parsedate_to_datetime(said).timestamp() - time())
    except (ValueError, TypeError, AttributeError, OverflowError):
        return 0.0


def _garbled(text: str) -> bool:
    """Whether this is how a chat client says that it could not read a response."""
    return any(sign in text for sign in ("'choices'", "Unexpected response type", "no choices", "No generations"))


_FULL: Final = frozenset({429, 529})
_PASSING: Final = frozenset({408, 409, 425})
_SERVER_ERRORS: Final = 500
_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 15.0  # seconds
_MOST_UNKNOWN: Final = 5
_TRANSPORT: Final = frozenset(
    {"TransportError", "APIConnectionError", "ClientError", "JSONDecodeError", "TimeoutError", "OSError", "SSLError"}
    | {"ProtocolError", "IncompleteRead", "APIResponseValidationError"}
)
_REFUSED: Final = frozenset({"PermissionError", "SSLCertVerificationError"})
_BUGS: Final = frozenset({"TypeError", "AttributeError", "NameError", "AssertionError", "ImportError", "RuntimeError"})
