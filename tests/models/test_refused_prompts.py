"""A request refused in words that nobody knows: about its prompt where the model takes others, else the end."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_openai import ChatOpenAI
from wire import KEY, openai_says, openai_streams, served, vote

from langgraph_maker import create_voting_graph
from langgraph_maker.core.errors import SamplingError

NO = {"error": {"message": "Nope, dear", "type": "invalid_request_error", "param": None}}


def chat(url: str, **options: Any) -> ChatOpenAI:
    return ChatOpenAI(model="m", base_url=f"{url}/v1", api_key=KEY, **options)  # type: ignore[arg-type]


def decisions(prompts: list[str], status: int = 400, dead_after: int = 10**9) -> tuple[list[Any], int]:
    """The decisions on prompts of which the bad ones are refused, and how many requests were made."""
    calls: list[dict[str, Any]] = []

    def script(before: int, body: dict[str, Any]) -> tuple[int, Any]:
        bad = "bad" in body["messages"][-1]["content"] or before >= dead_after
        return (status, NO) if bad else (200, openai_says(body))

    with served(script) as (url, seen):
        calls = seen
        graph = create_voting_graph(chat(url), prompt=str, parse=int, k=3).compile()
        asked: Any = [{"id": str(at), "state": text} for at, text in enumerate(prompts)]
        try:
            return graph.invoke({"subtasks": asked})["decisions"], len(calls)
        except SamplingError as error:
            return [error], len(calls)


@pytest.mark.parametrize("status", [400, 403, 422, 451])
@pytest.mark.parametrize("prompts", [["good", "bad", "fine"], ["bad", "good", "fine"]])
def test_one_among_others_ends_its_own_ballot_with_the_reason(status: int, prompts: list[str]) -> None:
    made, _ = decisions(prompts, status)
    assert [one["vote"] for one in made] == [None if prompt == "bad" else 7 for prompt in prompts]
    refused = made[prompts.index("bad")]
    assert (refused["status"], [*refused["flags"]]) == ("unresolved", ["refusal"])
    assert "Nope, dear" in refused["last_flag"]


def test_the_one_that_is_taken_may_come_last() -> None:
    made, _ = decisions([*(f"bad {at}" for at in range(6)), "good"])
    assert [one["vote"] for one in made] == [*[None] * 6, 7]


@pytest.mark.parametrize(("prompts", "most"), [(1, 6), (100, 40)])
def test_where_all_are_refused_it_ends_before_many_calls(prompts: int, most: int) -> None:
    [error], calls = decisions([f"bad {at}" for at in range(prompts)])
    assert str(error).startswith("the model refused: ")
    assert "Nope, dear" in str(error)
    assert calls <= most


@pytest.mark.parametrize("status", [401, 402, 404])
def test_what_is_about_the_account_or_the_model_ends_at_once_whatever_was_taken_before(status: int) -> None:
    [error], _ = decisions([f"good {at}" for at in range(20)], status, dead_after=30)
    assert "Nope, dear" in str(error)


def test_a_model_that_takes_nothing_any_more_is_no_matter_of_prompts() -> None:
    [error], _ = decisions([f"good {at}" for at in range(60)], dead_after=30)
    assert "Nope, dear" in str(error)


class TestStreams:
    """A provider that takes nothing else, whatever it says; and a user who asks for them."""

    def test_are_tried_once_and_kept_where_they_help(self) -> None:
        said = {"error": {"message": "该模型仅支持流式输出", "code": 400}}
        with served(lambda _, body: (200, openai_streams()) if body.get("stream") else (400, said)) as (url, calls):
            assert vote(chat(url))["vote"] == 7
        assert [bool(body.get("stream")) for body in calls] == [False, False, True, True, True]
        assert [body.get("temperature") for body in calls[2:]] == [0.0, 0.1, 0.1]

    def test_of_the_user_stay_on(self) -> None:
        with served(lambda *_: (200, openai_streams())) as (url, calls):
            assert vote(chat(url, streaming=True))["vote"] == 7
        assert [body["stream"] for body in calls] == [True] * 3


def test_a_setting_named_beside_a_policy_is_a_setting() -> None:
    said = {"error": {"message": "This violates the usage policy of this model: temperature must be 1"}}
    with served(lambda _, body: (400, said) if "temperature" in body else (200, openai_says(body))) as (url, _):
        decision = vote(chat(url))
    assert (decision["vote"], decision["flags"]) == (7, {})


def test_a_message_that_is_not_the_models_is_malformed() -> None:
    with served(lambda before, body: (200, openai_says(body, role="user" if before == 0 else "assistant"))) as (url, _):
        decision = vote(chat(url))
    assert (decision["vote"], decision["flags"]) == (7, {"malformed": 1})
