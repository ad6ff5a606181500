"""No secret that a client holds, makes or sends is shown: not in errors, reasons, warnings, nor the journal."""

from __future__ import annotations

import base64
import io
import traceback
from collections.abc import Callable
from typing import Any

import pytest
from langchain_openai import ChatOpenAI
from langgraph.store.memory import InMemoryStore
from loopback import loopback

from langgraph_maker import journal, solve
from langgraph_maker.core.errors import SamplingError
from langgraph_maker.core.state import Request
from langgraph_maker.journal.databases import open_store, shown
from langgraph_maker.models.chat_sampler import as_sampler
from langgraph_maker.models.credentials import credentials_in, credentials_of_url
from langgraph_maker.models.event_loop import run_sync
from langgraph_maker.tasks import TowersOfHanoi

SECRET = "kept-to-itself-0123456789"  # noqa: S105


def chat(url: str, **options: Any) -> Any:
    return ChatOpenAI(**{"model": "m", "base_url": url, "api_key": "sk-any-0123456789", **options})


async def made() -> str:
    return SECRET


MODELS: dict[str, Callable[[str], Any]] = {
    "a key": lambda url: chat(url, api_key=SECRET),
    "a callable key": lambda url: chat(url, api_key=lambda: SECRET),
    "an asynchronous callable key": lambda url: chat(url, api_key=made),
    "default_headers": lambda url: chat(url, default_headers={"X-Gate": SECRET}),
    "default_headers with a scheme": lambda url: chat(url, default_headers={"X-Gate": f"Token {SECRET}"}),
    "default_query": lambda url: chat(url, default_query={"access": SECRET}),
    "bound headers": lambda url: chat(url).bind(extra_headers={"X-Gate": SECRET}),
    "bound headers in a sequence": lambda url: chat(url).bind(extra_headers={"X-Gate": SECRET}) | (lambda said: said),
    "a bound query": lambda url: chat(url).bind(extra_query={"access": SECRET}),
    "an address": lambda url: chat(url.replace("http://", f"http://me:{SECRET}@")),
}


def repeats(headers: dict[str, str], path: str, _: dict[str, Any]) -> tuple[int, Any]:
    basic = headers.get("authorization", "").removeprefix("Basic ")
    try:
        opened = base64.b64decode(basic).decode("ascii")
    except ValueError:
        opened = ""
    said = f"not for you: {headers} {path} {opened}"
    return 401, {"error": {"message": said, "type": "auth", "code": said, "param": None}}


@pytest.mark.parametrize("kind", MODELS)
def test_an_error_that_repeats_what_was_sent(kind: str, caplog: pytest.LogCaptureFixture) -> None:
    task, store, out = TowersOfHanoi(2), InMemoryStore(), io.StringIO()
    with loopback(repeats) as server:
        model = MODELS[kind](server.url)
        with pytest.raises(SamplingError, match="not for you") as caught:
            solve(task, model, store=store, run_id="r")
        [failure] = run_sync(as_sampler(model)([Request(task.prompt(task.initial_state()), 0.0, "0", 0)]))
    assert SECRET in str(server.seen) + str(
        [
            base64.b64decode(h["authorization"][6:] + "==", validate=False)
            for h, _, _ in server.seen
            if h["authorization"].startswith("Basic ")
        ]
    )
    journal.export(store, "r", out)
    assert isinstance(failure, Exception)
    shown_to_all = [*traceback.format_exception(caught.value), *traceback.format_exception(failure), out.getvalue()]
    assert SECRET not in "".join(shown_to_all) + caplog.text + repr(vars(failure))


def test_a_run_that_was_under_way_keeps_no_key_in_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    store, calls = InMemoryStore(), [0]
    task = TowersOfHanoi(2)

    def answer(headers: dict[str, str], path: str, body: dict[str, Any]) -> tuple[int, Any]:
        from loopback import completion

        calls[0] += 1
        return (200, completion(body, "no move")) if calls[0] < 4 else repeats(headers, path, body)

    with loopback(answer) as server:
        run = solve(task, chat(server.url, api_key=lambda: SECRET), store=store, run_id="r", max_samples_per_step=100)
    assert run.status == "stopped"
    assert "not for you" in run.reason
    out = io.StringIO()
    journal.export(store, "r", out)
    assert SECRET not in run.reason + out.getvalue() + str(store._data)


def test_what_is_named_as_a_secret_is_one_and_what_is_harmless_is_none() -> None:
    held = {
        "model_kwargs": {"extra_headers": {"Cookie": "session=0123456789", "Accept": "application/json"}},
        "client_kwargs": {"auth": ("user-name-01", "pass-word-01")},
        "max_tokens": 12345678,
        "base_url": "https://host/v1?key=in-the-query-01",
        "stop": ["not-a-secret-at-all"],
    }
    assert {*credentials_in(held)} >= {"session=0123456789", "pass-word-01", "in-the-query-01"}
    assert not {"application/json", "not-a-secret-at-all", "https://host/v1?key=in-the-query-01"} & {
        *credentials_in(held)
    }


class TestDatabases:
    @pytest.mark.parametrize("password", ["p@xq", "p/xq", "p?xq", "p#xq", "a@b/xq?d#e:f", "p[xq", "p%xq"])
    def test_no_piece_of_a_password_that_is_not_escaped_is_shown(self, password: str) -> None:
        url = f"postgresql://me:{password}@127.0.0.1:1/there"
        assert shown(url) == "postgresql://127.0.0.1:1/there"
        with pytest.raises(ValueError, match="cannot be used") as caught, open_store(url):
            pass
        told = "".join(traceback.format_exception_only(caught.value))
        assert "xq" not in told
        assert caught.value.__cause__ is None
        assert caught.value.__suppress_context__

    def test_the_password_of_an_address(self) -> None:
        assert credentials_of_url("postgresql://me:a%40b@host/db") == ["a%40b", "a@b"]
        assert credentials_of_url("postgresql://host/db") == []
