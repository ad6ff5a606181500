"""Foreign values at the door: counts are counts or not known, texts are bounded and steer no terminal."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import AIMessage
from langchain_core.outputs import ChatGeneration, LLMResult
from langgraph.store.memory import InMemoryStore
from loopback import completion, loopback

from langgraph_maker import create_voting_node, journal, solve
from langgraph_maker.core.foreign import MOST_TOKENS, bounded_text, finite_count, redacted, terminal_safe
from langgraph_maker.core.red_flags import TokenLimit
from langgraph_maker.core.state import Request
from langgraph_maker.models import prices
from langgraph_maker.models.prices import Price, usage_of
from langgraph_maker.models.responses import messages_in
from langgraph_maker.report import numbers
from langgraph_maker.simulation.chat_model import simulated_sampler
from langgraph_maker.tasks import TowersOfHanoi

ODD: list[Any] = [
    *(float("nan"), float("inf"), -float("inf"), 1e308, 10**30, -1, -(10**6), 0.5, True),
    *("ten", "", None, [], {}, [1], b"1", 1 + 0j),
]
some_json = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)


def said(**usage: Any) -> AIMessage:
    message = AIMessage("A", response_metadata={"model_name": "m"})
    message.usage_metadata = usage  # type: ignore[assignment]
    return message


@pytest.fixture(autouse=True)
def anew() -> None:
    prices.say_unreadable.cache_clear()


class TestUsage:
    @pytest.mark.parametrize("odd", ODD)
    @pytest.mark.parametrize("place", ["input_tokens", "output_tokens"])
    def test_a_count_that_is_none_leaves_the_cost_open(self, odd: Any, place: str) -> None:
        usage = usage_of(said(**{"input_tokens": 10, "output_tokens": 5, place: odd}), Price(1, 1))
        assert usage == {"input_tokens": 0, "cached_input_tokens": 0, "output_tokens": 0, "cost": None}

    @pytest.mark.parametrize("odd", [*ODD[:-1], 11])
    def test_cached_tokens_that_cannot_be_cost_the_full_price(self, odd: Any) -> None:
        details = {"cache_read": odd}
        usage = usage_of(said(input_tokens=10, output_tokens=5, input_token_details=details), Price(1, 1, 0))
        assert usage["cached_input_tokens"] == 0
        assert usage["cost"] == pytest.approx(15e-6)

    @given(some_json)
    def test_whatever_it_is_it_is_a_count_or_not_known(self, odd: Any) -> None:
        for usage in (odd, {"input_tokens": odd, "output_tokens": odd}, {"input_tokens": 5, "output_tokens": 5}):
            message = said()
            message.usage_metadata = usage  # type: ignore[assignment]
            if isinstance(usage, dict) and usage.get("input_tokens") == 5:
                usage["input_token_details"] = odd
            used = usage_of(message, Price(1, 1))
            assert all(0 <= used[name] <= MOST_TOKENS for name in ("input_tokens", "output_tokens"))
            assert used["cost"] is None or 0 <= used["cost"] < float("inf")

    def test_it_is_said_once_a_model(self, caplog: pytest.LogCaptureFixture) -> None:
        for _ in range(3):
            usage_of(said(input_tokens="ten", output_tokens=1))
        assert [record.getMessage()[:50] for record in caplog.records] == [
            "m reports token counts that cannot be read: what s"
        ]

    @pytest.mark.parametrize("odd", ODD)
    def test_the_token_limit_estimates_what_it_cannot_read(self, odd: Any) -> None:
        short, long = said(output_tokens=odd), said(output_tokens=odd)
        long.content = "x" * 4000
        assert TokenLimit(750)(short) is None
        assert TokenLimit(750)(long) is not None

    @pytest.mark.parametrize("odd", ODD)
    def test_samples_of_one_call_share_what_is_known_only(self, odd: Any) -> None:
        generations = [ChatGeneration(message=said(input_tokens=5, output_tokens=odd)) for _ in range(3)]
        whole = LLMResult(
            generations=[[*generations]], llm_output={"token_usage": {"prompt_tokens": 5, "completion_tokens": odd}}
        )
        assert [message.usage_metadata for message in messages_in(whole)] == [None] * 3


@pytest.mark.parametrize("odd", [float("nan"), float("inf"), 1e308, 10**30, -(10**6), "ten"])
class TestRuns:
    def sampler(self, task: TowersOfHanoi, odd: Any) -> Any:
        inner, calls = simulated_sampler("sim:error=0", task), [0]

        async def sampler(requests: Sequence[Request]) -> list[Any]:
            calls[0] += 1
            answers: list[Any] = [*await inner(requests)]
            for answer in answers:
                answer.usage_metadata = {"input_tokens": odd if calls[0] == 9 else 100, "output_tokens": 50}
            return answers

        return sampler

    def test_one_odd_record_poisons_no_run(self, odd: Any) -> None:
        task, store = TowersOfHanoi(4), InMemoryStore()
        for _ in range(2):
            run = solve(task, self.sampler(task, odd), store=store, run_id="r", price=Price(1, 1))
            assert (run.status, run.steps, run.usage["cost"]) == ("solved", 15, None)
            assert 0 < run.usage["input_tokens"] < 100 * run.samples
        assert numbers(store, "r")["usage"] == run.usage
        assert journal.verify(store, "r") == []

    def test_a_limit_in_dollars_stays_in_force(self, odd: Any) -> None:
        task, store = TowersOfHanoi(4), InMemoryStore()
        run = solve(task, self.sampler(task, odd), store=store, run_id="r", price=Price(1, 1), max_cost=5)
        assert (run.status, "what the run costs is not known" in run.reason) == ("stopped", True)
        assert solve(task, self.sampler(task, 1), store=store, run_id="r", price=Price(1, 1)).status == "solved"


class TestTexts:
    @given(st.text(st.characters()))
    def test_nothing_steers_a_terminal(self, text: str) -> None:
        safe = terminal_safe(bounded_text(text))
        assert not any(ord(char) < 32 and char not in "\n\t" for char in safe)
        assert not {*safe} & {*"\x7f\x9b\u202e\u2066\u2028"}
        safe.encode()

    def test_a_text_that_cannot_be_made(self) -> None:
        class BrokenError(Exception):
            def __str__(self) -> str:
                raise RecursionError

        assert bounded_text(BrokenError()) == "<BrokenError without a text>"
        assert len(bounded_text("x" * 10**6)) == 1000

    def test_the_longest_secret_goes_first(self) -> None:
        assert redacted(["abc-12345", ("abc-123",), b"abc-123"], ["abc-123", "abc-12345"]) == [
            "[key]",
            ("[key]",),
            b"[key]",
        ]

    @given(st.integers(0, MOST_TOKENS))
    def test_counts_stay_as_they_are(self, count: int) -> None:
        assert finite_count(count) == finite_count(float(count)) == count

    def test_a_providers_escapes_reach_no_log_and_no_error(self, caplog: pytest.LogCaptureFixture) -> None:
        calls = [0]

        def answer(_: Any, __: str, body: dict[str, Any]) -> tuple[int, Any]:
            calls[0] += 1
            status = (500, 401)[calls[0] > 1]
            return status, {"error": {"message": "\x1b]0;title\x07\x1b[2J\u202e"}}

        from langchain_openai import ChatOpenAI

        with loopback(answer) as server, caplog.at_level(logging.WARNING):
            model = ChatOpenAI(model="m", base_url=server.url, api_key="sk-any-0123456789")  # type: ignore[arg-type]
            node = create_voting_node(model, read=str, prompt=str, parse=str, write=lambda _, d: d)
            with pytest.raises(Exception, match="x1b") as caught:
                node.invoke({"text": "q"})
        for text in (str(caught.value), *(record.getMessage() for record in caplog.records)):
            assert not {"\x1b", "\x07", "\u202e"} & {*text}
        assert caplog.records


@pytest.mark.parametrize("usage", [{"prompt_tokens": -5, "completion_tokens": -1, "total_tokens": -6}, {}, None])
def test_odd_usage_of_a_real_client(usage: Any) -> None:
    from langchain_openai import ChatOpenAI

    def answer(_: Any, __: str, body: dict[str, Any]) -> tuple[int, Any]:
        return 200, {**completion(body), "usage": usage}

    with loopback(answer) as server:
        model = ChatOpenAI(model="m", base_url=server.url, api_key="sk-any-0123456789")  # type: ignore[arg-type]
        node = create_voting_node(model, read=str, prompt=str, parse=str, write=lambda _, d: d, price=Price(1, 1))
        assert node.invoke({"text": "q"})["vote"] == "A"
