"""An aiohttp session of one event loop: a POST that never raises, but says what was lost."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from io import BytesIO
from ssl import SSLContext
from typing import Final, NamedTuple

import aiohttp
from yarl import URL

__all__ = ["Answer", "HttpSession", "Lost", "timeouts"]


class Answer(NamedTuple):
    """What a server answered; the body is decoded from what `Content-Encoding` says."""

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes


class Lost(NamedTuple):
    """Why there is no answer: the name of httpx's error for it, what was said, and the system's error or TLS'."""

    kind: str
    said: str
    cause: BaseException | None = None


class HttpSession:
    """Connections of the running event loop, kept open between calls, as many as half of the open files allow.

    Args:
        tls: What to make TLS connections with, if any are made.
    """

    def __init__(self, tls: SSLContext | None) -> None:
        connector = aiohttp.TCPConnector(limit=_most_connections(), keepalive_timeout=_IDLE, ssl=tls or True)
        self._session = aiohttp.ClientSession(
            connector=connector, max_line_size=_LONGEST_LINE, max_field_size=_LONGEST_LINE
        )

    async def post(
        self, url: URL, headers: Mapping[str, str], body: bytes, limits: aiohttp.ClientTimeout
    ) -> Answer | Lost:
        """Send `body` and return what came of it. Redirects are not followed."""
        data = body if len(body) < _LARGE else BytesIO(body)
        try:
            async with self._session.post(
                url, data=data, headers=headers, timeout=limits, allow_redirects=False
            ) as response:
                return Answer(response.status, list(response.raw_headers), await response.read())
        except (aiohttp.ClientError, OSError) as error:
            return _lost(error)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._session.close()

    def abandon(self) -> None:
        """Close the connections of an event loop that has ended."""
        if (connector := self._session.connector) is not None:
            closing = connector.close().__await__()  # which closes as it begins
            with suppress(StopIteration, RuntimeError):
                closing.send(None)
            closing.close()


def timeouts(seconds: Mapping[str, float | None]) -> aiohttp.ClientTimeout:
    """Return aiohttp's form of httpx's timeouts: "connect", "read" and "pool", in seconds, None for no limit."""
    connect, pool = seconds.get("connect"), seconds.get("pool")
    return aiohttp.ClientTimeout(
        total=None,
        connect=None if connect is None or pool is None else connect + pool,
        sock_connect=connect,
        sock_read=seconds.get("read"),
    )


def _lost(error: Exception) -> Lost:
    said = str(error) or type(error).__name__
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return Lost("ConnectError", said, error.certificate_error)
    if isinstance(error, aiohttp.ClientConnectorError):
        return Lost("ConnectError", said, error.os_error)
    if isinstance(error, TimeoutError):
        return Lost("ConnectTimeout" if "onnect" in type(error).__name__ else "ReadTimeout", said)
    if isinstance(error, OSError):
        return Lost("ReadError", said, error)
    return Lost("RemoteProtocolError", said)


def _most_connections() -> int:
    try:
        from resource import RLIMIT_NOFILE, getrlimit  # noqa: PLC0415 - not on Windows
    except ImportError:
        return _MOST
    soft, _ = getrlimit(RLIMIT_NOFILE)
    return min(_MOST, max(1, soft // 2)) if soft > 0 else _MOST


_MOST: Final = 10_000  # connections: the ports of one address are 28,000
_IDLE: Final = 5.0  # seconds that an unused connection is kept, as httpx does
_LARGE: Final = 2**20  # bytes
_LONGEST_LINE: Final = 2**16  # bytes
