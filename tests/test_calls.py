"""What a failed call means, when it is made again, and that no key shows."""

from __future__ import annotations

import json
import ssl
from typing import Any

import pytest

from langgraph_maker.calls import Failure, Patience, failure, redact


class Said:
    def __init__(self, status: int, **headers: str) -> None:
        self.status_code = status
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}


class HTTPError(Exception):
    def __init__(self, status: int, message: str = "", **headers: str) -> None:
        super().__init__(message)
        self.response = Said(status, **headers)


def caused(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        *((HTTPError(status), "passing") for status in (408, 409, 425, 429, 500, 502, 503, 504, 529)),
        *((HTTPError(status), "final") for status in (400, 401, 403, 404, 405, 413, 422)),
        (HTTPError(429, "insufficient_quota: check your plan"), "final"),
        (TimeoutError(), "passing"),
        (ConnectionResetError(), "passing"),
        (json.JSONDecodeError("Expecting value", "", 0), "passing"),
        (ValueError("Unexpected response type from OpenAI-compatible endpoint"), "passing"),
        (TypeError("Received response with null value for 'choices'."), "passing"),
        (caused(RuntimeError("the client failed"), ConnectionRefusedError()), "passing"),
        (caused(ConnectionError(), ssl.SSLCertVerificationError()), "final"),
        (PermissionError(), "final"),
        (TypeError("unsupported operand"), "final"),
        (AttributeError("no attribute"), "final"),
        (ValueError("odd"), "unknown"),
        (type("OddError", (Exception,), {})("odd"), "unknown"),
    ],
)
def test_kinds(error: Exception, kind: str) -> None:
    assert failure(error).kind == kind


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry_after": "7"}, 7.0),
        ({"retry_after": "2.5"}, 2.5),
        ({"retry_after_ms": "1500", "retry_after": "9"}, 1.5),
        ({"retry_after": "Wed, 21 Oct 2015 07:28:00 GMT"}, 0.0),  # a date that has passed
        ({"retry_after": "soon"}, 0.0),
        ({"retry_after": "-5"}, 0.0),
        ({}, 0.0),
    ],
)
def test_the_wait_that_a_provider_asks_for(headers: dict[str, str], seconds: float) -> None:
    assert failure(HTTPError(429, **headers)) == Failure("passing", seconds, busy=True, reached=True)


class Clock:
    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        monkeypatch.setattr("langgraph_maker.calls.monotonic", lambda: self.now)


class TestPatience:
    def test_pauses_grow_are_jittered_and_end_with_the_outage_limit(self, monkeypatch: pytest.MonkeyPatch) -> None:
        clock, pauses = Clock(monkeypatch), []
        patience = Patience(100.0)
        while (pause := patience.pause(Failure("passing"))) is not None:
            pauses.append(pause)
            clock.now += pause
        assert clock.now == pytest.approx(100.0)
        assert all(0.25 * 2**i <= pause <= 0.5 * 2**i for i, pause in enumerate(pauses[:5]))
        assert max(pauses) <= 15
        assert 8 <= len(pauses) <= 25

    def test_a_wait_asked_for_is_kept_and_one_too_long_ends_it(self, monkeypatch: pytest.MonkeyPatch) -> None:
        Clock(monkeypatch)
        patience = Patience(60.0)
        pause = patience.pause(Failure("passing", 20.0))
        assert pause is not None
        assert 20 <= pause <= 22
        assert patience.pause(Failure("passing", 61.0)) is None

    def test_what_is_final_is_not_tried_again(self) -> None:
        assert Patience(1e9).pause(Failure("final")) is None

    def test_no_limit_no_second_attempt(self) -> None:
        assert Patience(0).pause(Failure("passing")) is None


class TestRedact:
    def test_everywhere_in_what_an_error_shows(self) -> None:
        class ClientError(Exception):
            def __init__(self) -> None:
                super().__init__("refused: key-123", {"error": ["key-123"]})
                self.message = "refused: key-123"
                self.body = {"error": {"message": "key-123", "code": 7}}

        error = caused(ValueError("outer key-123"), ClientError())
        error.add_note("at key-123")
        redact(error, ["key-123"])
        inner: Any = error.__cause__
        assert "key-123" not in f"{error} {error.__notes__} {inner} {inner.args} {inner.message} {inner.body}"
        assert inner.body == {"error": {"message": "[key]", "code": 7}}

    def test_causes_that_go_in_circles(self) -> None:
        first, second = ValueError("a key-123"), ValueError("b key-123")
        first.__cause__, second.__context__ = second, first
        redact(first, ["key-123"])
        assert (str(first), str(second)) == ("a [key]", "b [key]")
