"""When a call that failed is retried, and that no key shows."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from langgraph_maker.models.failures import Failure
from langgraph_maker.models.retry import RetryState, redact


def caused(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error


class Clock:
    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        monkeypatch.setattr("langgraph_maker.models.retry.monotonic", lambda: self.now)


class TestPatience:
    def test_pauses_grow_are_jittered_and_end_with_the_outage_limit(self, monkeypatch: pytest.MonkeyPatch) -> None:
        clock, pauses = Clock(monkeypatch), []
        patience = RetryState(100.0)
        while (pause := patience.pause(Failure("transient"))) is not None:
            pauses.append(pause)
            clock.now += pause
        assert clock.now == pytest.approx(100.0)
        assert all(0.25 * 2**i <= pause <= 0.5 * 2**i for i, pause in enumerate(pauses[:5]))
        assert max(pauses) <= 15
        assert 8 <= len(pauses) <= 25

    def test_a_wait_asked_for_is_kept_and_one_too_long_ends_it(self, monkeypatch: pytest.MonkeyPatch) -> None:
        Clock(monkeypatch)
        patience = RetryState(60.0)
        pause = patience.pause(Failure("transient", 20.0))
        assert pause is not None
        assert 20 <= pause <= 22
        assert patience.pause(Failure("transient", 61.0)) is None

    def test_what_is_permanent_is_not_tried_again(self) -> None:
        assert RetryState(1e9).pause(Failure("permanent")) is None

    def test_no_limit_no_second_attempt(self) -> None:
        assert RetryState(0).pause(Failure("transient")) is None


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

    def test_a_response_stays_as_the_client_made_it_but_for_keys(self) -> None:
        request = httpx.Request("POST", "http://x/v1", headers={"authorization": "Bearer key-123"})
        response = httpx.Response(
            401, headers={"x-request-id": "req-7", "www": "key-123"}, content=b"no key-123", request=request
        )
        error = httpx.HTTPStatusError("refused", request=request, response=response)
        assert "key-123" in error.response.text
        redact(error, ["key-123"])
        assert error.response is response
        assert (response.status_code, response.headers["x-request-id"], response.text) == (401, "req-7", "no [key]")
        assert (request.headers["authorization"], response.headers["www"]) == ("Bearer [key]", "[key]")

    def test_a_response_that_is_a_dict_stays_one(self) -> None:
        class ClientError(Exception):
            response: dict[str, Any] = {"Error": {"Code": "ValidationException", "Message": "key-123"}}

        error = ClientError()
        redact(error, ["key-123"])
        assert error.response == {"Error": {"Code": "ValidationException", "Message": "[key]"}}

    def test_one_that_cannot_be_cleaned_keeps_what_is_read_of_it(self) -> None:
        class Odd:
            status_code, headers = 429, {"retry-after": "3"}
            __slots__ = ()

        error: Any = ValueError("?")
        error.response = Odd()
        redact(error, ["key-123"])
        assert (error.response.status_code, error.response.headers) == (429, {"retry-after": "3"})
