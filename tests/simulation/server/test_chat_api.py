"""What a request for a completion must look like, whoever sends it."""

from __future__ import annotations

import json
import re
from collections.abc import Collection
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from langgraph_maker.simulation.server.chat_api import ApiError, ChatRequest, read_request

HELLO = [{"role": "user", "content": "Hello"}]


def read(*, refuses: Collection[str] = (), ignores: Collection[str] = (), **more: Any) -> ChatRequest:
    body = {"model": "m", "messages": HELLO, **more}
    return read_request(json.dumps(body).encode(), refuses=refuses, ignores=ignores)


def as_given(name: str, value: Any) -> dict[str, Any]:
    return {name: value}


def refusal(**asked: Any) -> Any:
    with pytest.raises(ApiError) as raised:
        read(**asked)
    assert raised.value.status == 400
    assert raised.value.body["error"]["type"] == "invalid_request_error"
    return raised.value.body["error"]


def test_defaults() -> None:
    assert read()[2:] == (1, None, None, None)
    assert read(n=None, temperature=None, max_tokens=None, stop=None, seed=None) == read()


def test_roles_become_messages_and_parts_one_text() -> None:
    parts = [{"type": "text", "text": "He"}, {"type": "text", "text": "llo"}]
    roles = ("system", "developer", "user", "assistant")
    asked = read(messages=[{"role": role, "content": parts} for role in roles])
    assert [(message.type, message.content) for message in asked.messages] == [
        ("system", "Hello"),
        ("system", "Hello"),
        ("human", "Hello"),
        ("ai", "Hello"),
    ]


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
def test_both_names_of_the_length_limit(name: str) -> None:
    assert read(**as_given(name, 7)).max_tokens == 7


def test_parameters_without_effect_are_taken() -> None:
    assert read(seed=1, stop=["x"], top_p=0.9, user="me", stream=False, metadata={}) == read()


@pytest.mark.parametrize(
    ("more", "message", "param"),
    [
        ({"n": 0}, "Invalid 'n': .* greater than or equal to 1", "n"),
        ({"n": 129}, "Invalid 'n': .* less than or equal to 128", "n"),
        ({"n": True}, "Invalid 'n'", "n"),
        ({"n": "3"}, "Invalid 'n'", "n"),
        ({"temperature": 2.1}, "Invalid 'temperature'", "temperature"),
        ({"temperature": "hot"}, "Invalid 'temperature'", "temperature"),
        ({"max_tokens": 0}, "Invalid 'max_tokens'", "max_tokens"),
        ({"max_tokens": 5, "max_completion_tokens": 5}, ".* not both", "max_tokens"),
        ({"seed": 0.5}, "Invalid 'seed'", "seed"),
        (
            {"stream": True},
            "Invalid .stream.: streaming is not supported by this server, leave 'stream' out",
            "stream",
        ),
        ({"tools": []}, "Unrecognized request argument supplied: tools", None),
        ({"response_format": {"type": "json_object"}}, "Unrecognized .* supplied: response_format", None),
        ({"messages": []}, "Invalid 'messages'", "messages"),
        ({"messages": "Hello"}, "Invalid 'messages'", "messages"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "Invalid 'messages.0.role'", "messages.0.role"),
        ({"messages": [{"role": "user"}]}, "Invalid 'messages.0.content'", "messages.0.content"),
        ({"messages": [{"role": "user", "content": 5}]}, "Invalid 'messages.0.content'", "messages.0.content"),
        (
            {"messages": [*HELLO, {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]},
            "Invalid 'messages.1.content': only parts of type 'text'",
            "messages.1.content",
        ),
        ({"model": 5}, "Invalid 'model'", "model"),
    ],
)
def test_wrong_values_are_named(more: dict[str, Any], message: str, param: str | None) -> None:
    error = refusal(**more)
    assert re.match(message, error["message"])
    assert error["param"] == param


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"5", b"null", b"\xff", b"[" * 100_000, b'{"n": NaN}', b"{}"])
def test_what_is_no_request_is_refused(body: bytes) -> None:
    with pytest.raises(ApiError) as raised:
        read_request(body)
    assert raised.value.status == 400


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=9,
)
_MESSAGE = st.fixed_dictionaries({}, optional={"role": st.just("user") | _JSON, "content": _JSON, "name": _JSON})
_NAMES = ("model", "n", "temperature", "max_tokens", "max_completion_tokens", "stream", "seed", "stop")


@given(
    st.binary(max_size=50)
    | st.fixed_dictionaries(
        {"messages": st.lists(_MESSAGE, max_size=3) | _JSON}, optional=dict.fromkeys(_NAMES, _JSON)
    ).map(lambda body: json.dumps(body).encode())
)
def test_hostile_bodies_are_read_or_refused(body: bytes) -> None:
    try:
        asked = read_request(body, refuses={"temperature"}, ignores={"max_tokens"})
    except ApiError as error:
        json.dumps(error.body)
    else:
        assert 1 <= asked.n <= 128
        assert all(isinstance(message.content, str) for message in asked.messages)


class TestRefusedAndIgnored:
    @pytest.mark.parametrize(("name", "value"), [("temperature", 0), ("temperature", 0.1), ("n", 3)])
    def test_a_refused_parameter_may_only_have_its_default(self, name: str, value: float) -> None:
        error = refusal(refuses={name}, **as_given(name, value))
        assert error["message"].startswith(f"Unsupported value: '{name}' does not support {value} with this model.")
        assert (error["param"], error["code"]) == (name, "unsupported_value")
        assert read(refuses={name}, **as_given(name, 1)) == read(**as_given(name, 1))
        assert read(refuses={name}) == read()

    @pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
    def test_a_refused_limit_is_refused_whatever_it_is(self, name: str) -> None:
        error = refusal(refuses={name}, **as_given(name, 850))
        assert error["message"] == f"Unsupported parameter: '{name}' is not supported with this model."
        assert (error["param"], error["code"]) == (name, "unsupported_parameter")

    @pytest.mark.parametrize(("name", "value"), [("temperature", 0), ("n", 3), ("max_tokens", 5)])
    def test_an_ignored_parameter_is_as_if_not_given(self, name: str, value: float) -> None:
        assert read(ignores={name}, **as_given(name, value)) == read()


def test_waits_are_sent_whole_and_in_milliseconds() -> None:
    assert ApiError(429, "", retry_after=1.2).headers == {"Retry-After": "2", "retry-after-ms": "1200"}
    assert ApiError(400, "").headers == {}
