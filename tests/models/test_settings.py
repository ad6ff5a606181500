"""Our settings (n, temperature, a length limit) where a provider refuses them, in whatever words."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from langchain_openai import ChatOpenAI
from langgraph.store.memory import InMemoryStore
from wire import KEY, Script, openai_says, served, vote

from langgraph_maker import journal, solve
from langgraph_maker.core.red_flags import TokenLimit, Truncated
from langgraph_maker.simulation.server import SimulatedServer
from langgraph_maker.tasks import TowersOfHanoi


def chat(url: str, **options: Any) -> ChatOpenAI:
    return ChatOpenAI(model="m", base_url=f"{url}/v1", api_key=KEY, **options)  # type: ignore[arg-type]


def several(body: dict[str, Any]) -> bool:
    return (body.get("n") or 1) > 1


def hot(body: dict[str, Any]) -> bool:
    return body.get("temperature") is not None


def limited(body: dict[str, Any]) -> bool:
    return bool(body.get("max_completion_tokens"))


def refusing(carries: Any, status: int, said: Any) -> Script:
    return lambda _, body: (status, said) if carries(body) else (200, openai_says(body))


def error(message: str, **more: Any) -> dict[str, Any]:
    return {"error": {"message": message, "type": "invalid_request_error", "param": None, **more}}


N = {
    "openai": (400, error("Unsupported value: 'n' does not support 2 with this model.", param="n")),
    "groq": (400, error("'n' : number must be at most 1")),
    "deepseek": (400, error("Invalid n value (currently only n = 1 is supported)")),
    "detail": (400, {"detail": "Invalid n value (currently only n = 1 is supported)"}),
    "pydantic": (422, {"detail": [{"type": "extra_forbidden", "loc": ["body", "n"], "msg": "Extra inputs"}]}),
    "llama.cpp": (400, error("Only one completion choice is allowed")),
    "llama.cpp, as 500": (500, error("Only one completion choice is allowed")),
    "gemini": (400, error("Multiple candidates is not enabled for this model")),
    "tgi": (422, error("Input validation error: `best_of` must be 1")),
    "no word of it": (400, error("Bad request")),
    "nothing at all": (400, b""),
}
TEMPERATURE = {
    "openai": (400, error("Unsupported value: 'temperature' does not support 0.", param="temperature")),
    "anthropic": (400, error("`temperature` is deprecated for this model.")),
    "kimi": (400, error("invalid temperature: only 1 is allowed for this model")),
    "bedrock": (400, error("The model returned the following errors: temperature is not supported.")),
    "xai": (400, {"code": "Client specified an invalid argument", "error": "Argument not supported: temperature"}),
    "no word of it": (422, error("Unprocessable Entity")),
}
LIMIT = {
    "openai": (400, error("Unsupported parameter: 'max_tokens' is not supported.", param="max_tokens")),
    "azure": (400, error("Unrecognized request argument supplied: max_completion_tokens")),
    "vllm": (400, {"message": "[{'loc': ('body', 'max_completion_tokens'), 'msg': 'Extra inputs'}]", "code": 400}),
    "small": (400, error("max_tokens is too large: 850. This model supports at most 512.", param="max_tokens")),
    "context": (
        400,
        error(
            "This model's maximum context length is 512 tokens. However, you requested 900 tokens (50 in the"
            " messages, 850 in the completion).",
            code="context_length_exceeded",
            param="messages",
        ),
    ),
    "no word of it": (400, error("Invalid request")),
}


@pytest.mark.parametrize(
    ("carries", "status", "said"),
    [
        pytest.param(carries, *refusal, id=f"{name}: {who}")
        for name, carries, refusals in (("n", several, N), ("temperature", hot, TEMPERATURE), ("limit", limited, LIMIT))
        for who, refusal in refusals.items()
    ],
)
def test_what_is_refused_in_whatever_words_is_left_out_for_good(carries: Any, status: int, said: Any) -> None:
    with served(refusing(carries, status, said)) as (url, calls):
        decision = vote(chat(url))
    assert (decision["vote"], decision["samples"], decision["flags"]) == (7, 3, {})
    assert [carries(body) for body in calls].count(True) in {1, 2}  # 2: another setting was tried before
    assert not any(carries(body) for body in calls[-1:])
    others = {several, hot, limited} - {carries}
    assert all(any(other(body) for body in calls) for other in others)
    if carries is not several:
        assert [(hot(body), limited(body)) for body in calls[-1:]] == [(carries is not hot, carries is not limited)]


def test_two_that_are_refused_together_without_a_word() -> None:
    def script(_: int, body: dict[str, Any]) -> tuple[int, Any]:
        return (400, error("Bad request")) if hot(body) or limited(body) else (200, openai_says(body))

    with served(script) as (url, calls):
        assert vote(chat(url))["vote"] == 7
    sent = [(hot(body), limited(body)) for body in calls]
    assert sent == [(True, True), (False, False), (True, False), (False, True), (False, False)]


def test_what_was_left_out_with_another_is_carried_again_until_each_was_taken_or_refused() -> None:
    def script(_: int, body: dict[str, Any]) -> tuple[int, Any]:
        return (400, b"") if hot(body) or several(body) else (200, openai_says(body))

    with served(script) as (url, calls):
        node = chat(url)
        assert vote(node, k=8)["samples"] == 8
    assert not any(hot(body) or several(body) for body in calls[-3:])
    assert all(map(limited, calls[-3:]))
    assert sum(hot(body) or several(body) for body in calls) <= 5


def test_a_server_that_fails_over_what_it_never_took_is_tried_without_at_the_second_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("langgraph_maker.models.retry._FIRST_PAUSE", 0.001)
    with served(refusing(several, 500, error("Internal error"))) as (url, calls):
        assert vote(chat(url))["vote"] == 7
    assert [several(body) for body in calls] == [False, True, True, False, False]


def test_a_server_that_fails_once_has_refused_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("langgraph_maker.models.retry._FIRST_PAUSE", 0.001)

    def script(before: int, body: dict[str, Any]) -> tuple[int, Any]:
        return (500, error("Internal error")) if before == 1 else (200, openai_says(body))

    with served(script) as (url, calls):
        assert vote(chat(url))["vote"] == 7
    assert [several(body) for body in calls] == [False, True, True]


@pytest.mark.parametrize(
    ("status", "said", "requests"),
    [
        (401, error("Incorrect API key provided", code="invalid_api_key"), 2),
        (403, error("You have no access to this model"), 2),
        (404, error("The model `m` does not exist"), 2),
        (402, error("Insufficient Balance"), 2),
        (400, error("The model identifier is invalid"), 6),  # each once more without any of them, one as a stream
        (400, error("Invalid value for the messages", param="messages[0].content"), 2),
        (422, error("Unprocessable Entity"), 6),
    ],
)
def test_what_is_about_none_of_our_settings_ends_with_the_providers_reason(
    status: int, said: Any, requests: int
) -> None:
    with served(lambda *_: (status, said)) as (url, calls), pytest.raises(RuntimeError, match=said["error"]["message"]):
        vote(chat(url))
    assert len(calls) <= requests  # two calls are on their way: of the first vote, and of the others


def test_a_limit_of_the_users_own_is_theirs_to_mend() -> None:
    with served(refusing(limited, 400, error("max_tokens is too large"))) as (url, calls):
        with pytest.raises(RuntimeError, match="too large"):
            vote(chat(url, max_tokens=9000))
        assert all(limited(body) for body in calls)


def test_what_one_call_learned_all_know_and_the_run_records_it(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "langgraph_maker")
    task, store = TowersOfHanoi(3), InMemoryStore()
    provider = SimulatedServer(task, "sim:error=0", refuses={"temperature", "n"})
    with provider.running() as url:
        model = ChatOpenAI(model="m", base_url=url, api_key=KEY)  # type: ignore[arg-type]
        run = solve(task, model, lanes=2, store=store, run_id="r")
    assert (run.status, provider.stats.refused) == ("solved", {"400": 2})
    header = journal.header(store, "r")
    assert header["outcome"]["left_out"] == ["ChatOpenAI m: n", "ChatOpenAI m: temperature"]
    assert caplog.text.count("left out from here on") == 2


def test_no_setting_is_blamed_for_what_is_wrong_with_one_response() -> None:
    def script(before: int, body: dict[str, Any]) -> tuple[int, Any]:
        said = "Could not finish the message because max_tokens or model output limit was reached."
        return (400, error(said)) if before == 0 else (200, openai_says(body))

    with served(script) as (url, calls):
        decision = vote(chat(url), red_flags=TokenLimit(750) | Truncated())
    assert (decision["vote"], decision["flags"]) == (7, {"truncated": 1})
    assert [body["temperature"] for body in calls] == [0.0, 0.1, 0.1]
    assert all(map(limited, calls))
