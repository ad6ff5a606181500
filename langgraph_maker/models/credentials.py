"""The secrets that a model's client holds, makes or sends, so that nothing said of a call shows them."""

from __future__ import annotations

import base64
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Any, Final
from urllib.parse import parse_qsl, quote, quote_plus, unquote, urlsplit

from pydantic import SecretBytes, SecretStr

__all__ = ["credentials_in", "credentials_of_environment", "credentials_of_url", "credentials_sent"]


def credentials_of_environment() -> list[str]:
    """Return what environment variables hold that are named as keys are."""
    return _long_enough(value for name, value in os.environ.items() if _ENVIRONMENT.search(name))


def credentials_in(settings: Mapping[str, Any]) -> list[str]:
    """Return the secrets in settings of a model or a call: what is typed or named as one, headers and query parameters.

    Example:
        >>> credentials_in({"model": "any-model", "default_headers": {"X-Gate": "of-my-gate"}, "max_tokens": 7})
        ['of-my-gate']
    """
    return _long_enough(_held(settings, named=False, depth=5))


def credentials_sent(error: BaseException) -> list[str]:
    """Return what the request of a failed call had in its headers and its address, made for that call or not."""
    found: list[str] = []
    for place in (error, getattr(error, "response", None)):
        try:
            request = getattr(place, "request", None)
            headers, url = getattr(request, "headers", None), str(getattr(request, "url", ""))
        except RuntimeError:  # httpx's, where there is none
            continue
        if isinstance(headers, Mapping):
            found += _held({"headers": dict(headers)}, named=False, depth=2)
        found += credentials_of_url(url)
    return _long_enough(found)


def credentials_of_url(url: str) -> list[str]:
    """Return the password of an address and the values in its query, whatever was forgotten to be escaped in it.

    Example:
        >>> credentials_of_url("postgresql://me:p@ss/w#rd@host/db")
        ['p@ss/w#rd']
    """
    address = url.partition("://")[2]
    user, at, _ = address.rpartition("@")
    try:
        queried = [value for _, value in parse_qsl(urlsplit(url).query)]
    except ValueError:
        queried = []
    password = user.partition(":")[2] if at else ""
    return [found for found in dict.fromkeys([password, unquote(password), *queried]) if found]


def _held(value: Any, *, named: bool, depth: int) -> Iterator[str]:
    """Return the secrets in a value, all of its texts where it is `named` as what holds some."""
    if isinstance(value, (SecretStr, SecretBytes)):
        yield from _forms(value.get_secret_value())
    elif isinstance(value, (str, bytes)) and named:
        yield from _forms(value)
    elif isinstance(value, str) and "://" in value[:20]:
        yield from (form for found in credentials_of_url(value) for form in _forms(found))
    elif depth:
        for name, inner in _parts(value):
            if name not in _HARMLESS and not name.startswith("x-stainless-"):
                yield from _held(inner, named=named or bool(_NAMED.search(name)), depth=depth - 1)


def _parts(value: Any) -> list[tuple[str, Any]]:
    """Return what a value is made of, by name: a mapping, a list, a client of Stainless' kind, or its resource."""
    if isinstance(value, Mapping):
        return [(str(name).lower(), inner) for name, inner in value.items()]
    if isinstance(value, (list, tuple)):
        return [("", inner) for inner in value]
    client = value if hasattr(value, "with_options") else getattr(value, "_client", None)
    return [(name, getattr(client, name, None)) for name in _CLIENT] if hasattr(client, "with_options") else []


def _forms(secret: str | bytes) -> Iterator[str]:
    """Return a secret as it is, without its scheme, and as it stands in an address."""
    text = secret.decode("utf-8", "replace") if isinstance(secret, bytes) else secret
    scheme, _, rest = text.partition(" ")
    yield text
    if rest:
        yield rest
    if scheme.lower() == "basic":
        with suppress(ValueError):
            yield base64.b64decode(rest).decode().partition(":")[2]
    yield from {quote(text), quote(text, safe=""), quote_plus(text)} - {text}


def _long_enough(found: Iterable[str]) -> list[str]:
    return [secret for secret in dict.fromkeys(found) if len(secret) >= _SHORTEST]


_SHORTEST: Final = 8  # what is shorter stands in ordinary words
_ENVIRONMENT: Final = re.compile(r"(_|^)(API_?KEY|KEY|TOKEN|SECRET|PASSWORD|CREDENTIALS?)$")
_NAMED: Final = re.compile(r"key|token|secret|passw|credential|auth|cookie|header|query", re.IGNORECASE)
_CLIENT: Final = ("api_key", "auth_token", "_custom_headers", "_custom_query", "_azure_ad_token", "base_url")
_HARMLESS: Final = frozenset(
    {
        *("accept", "accept-encoding", "accept-language", "connection", "content-length", "content-type", "host"),
        *("user-agent", "anthropic-version", "anthropic-beta", "openai-organization", "openai-project", "openai-beta"),
        *("http-referer", "x-title"),
    }
)
