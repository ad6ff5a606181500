"""Any Runnable as a model: bindings, tools, retries, fallbacks, structured output, configurable models."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from langchain.chat_models import init_chat_model
from langchain_core.caches import InMemoryCache
from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.globals import set_llm_cache
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.runnables import Runnable, RunnableLambda
from pydantic import BaseModel
from scripted import Counting

from langgraph_maker import create_voting_graph, solve
from langgraph_maker.core.state import Decision, Request
from langgraph_maker.models.chat_sampler import as_sampler
from langgraph_maker.models.event_loop import run_sync
from langgraph_maker.simulation.server import SimulatedServer
from langgraph_maker.tasks import TowersOfHanoi


class Fake(BaseChatModel):
    """Like Anthropic's client: tools, usage, and no `n` (an argument of that name is an error)."""

    reply: Callable[[str, dict[str, Any]], AIMessage]
    calls: list[dict[str, Any]] = []

    @property
    def _llm_type(self) -> str:
        return "fake"

    def bind_tools(self, tools: Any, **kwargs: Any) -> Runnable[Any, AIMessage]:
        return self.bind(tools=[getattr(tool, "__name__", str(tool)) for tool in tools], **kwargs)

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        *,
        tools: list[str] | None = None,
        temperature: float | None = None,
        tool_choice: Any = None,
        **_: Any,
    ) -> ChatResult:
        self.calls.append({"temperature": temperature, "tools": tools})
        message = self.reply(messages[-1].text, {"tools": tools})
        return ChatResult(generations=[ChatGeneration(message=message)])


class Refund(BaseModel):
    """Give money back."""

    amount: int


USAGE: Any = {"input_tokens": 9, "output_tokens": 2, "total_tokens": 11}


def refund(amount: int) -> AIMessage:
    calls: Any = [{"name": "Refund", "args": {"amount": amount}, "id": "1"}]
    return AIMessage("", tool_calls=calls, usage_metadata=USAGE)


def vote(model: Any, parse: Any, **options: Any) -> Decision:
    graph = create_voting_graph(model, prompt=str, parse=parse, **options).compile()
    decision: Decision = graph.invoke({"subtasks": [{"id": "q", "state": "?"}]})["decisions"][0]
    return decision


def called(message: AIMessage) -> Any:
    [call] = message.tool_calls
    return {"name": call["name"], "args": call["args"]}


class TestToolCalls:
    def test_a_tool_call_is_a_vote(self) -> None:
        amounts = iter([5, 7, 5, 5, 5])
        decision = vote(Fake(reply=lambda *_: refund(next(amounts)), calls=[]).bind_tools([Refund]), called)
        assert (decision["vote"], decision["samples"]) == ({"name": "Refund", "args": {"amount": 5}}, 5)
        assert decision["usage"]["input_tokens"] == 5 * 9

    def test_a_parser_of_text_is_told_why_it_sees_none(self) -> None:
        decision = vote(Fake(reply=lambda *_: refund(5), calls=[]), lambda text: text, max_samples_per_step=3)
        assert decision["last_flag"].startswith("empty: a tool call and no text: annotate the argument of parse")

    @pytest.mark.parametrize("annotation", ["AIMessage", AIMessage, BaseMessage, "messages.AIMessage"])
    def test_however_it_is_annotated(self, annotation: Any) -> None:
        def parse(message: Any) -> Any:
            return message.tool_calls[0]["args"]

        parse.__annotations__["message"] = annotation
        assert vote(Fake(reply=lambda *_: refund(5), calls=[]), parse)["vote"] == {"amount": 5}

    def test_a_task_may_vote_on_messages(self) -> None:
        class Tools(Counting):
            def parse(self, text: AIMessage) -> Any:  # type: ignore[override]
                return {"action": "add", "next_state": text.tool_calls[0]["args"]["amount"]}

        run = solve(Tools(3), Fake(reply=lambda text, _: refund(int(text) + 1), calls=[]))
        assert (run.status, run.samples) == ("solved", 9)


class TestStructuredOutput:
    def test_with_the_raw_message_it_keeps_its_usage(self) -> None:
        model = Fake(reply=lambda *_: refund(5), calls=[]).with_structured_output(Refund, include_raw=True)
        decision = vote(model, called)
        assert (decision["vote"]["args"], decision["usage"]["output_tokens"]) == ({"amount": 5}, 6)

    def test_without_it_says_what_to_do(self) -> None:
        model = Fake(reply=lambda *_: refund(5), calls=[]).with_structured_output(Refund)
        with pytest.raises(Exception, match="with_structured_output needs include_raw=True"):
            vote(model, called)


class TestWrappers:
    def test_retries_of_the_users_stay_beside_ours(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("langgraph_maker.models.retry._FIRST_PAUSE", 0.001)
        failures = iter([OSError("a"), OSError("b"), OSError("c")])

        def reply(*_: Any) -> AIMessage:
            if error := next(failures, None):
                raise error
            return AIMessage("A")

        model = Fake(reply=reply, calls=[]).with_retry(stop_after_attempt=2, wait_exponential_jitter=False)
        assert vote(model, str, k=1)["vote"] == "A"

    def test_fallbacks_answer_where_the_first_refuses(self) -> None:
        def refuse(*_: Any) -> AIMessage:
            raise PermissionError("no")

        other = Fake(reply=lambda *_: AIMessage("B"), calls=[])
        assert vote(Fake(reply=refuse, calls=[]).with_fallbacks([other]), str)["vote"] == "B"

    def test_a_chain_around_a_model(self) -> None:
        model = Fake(reply=lambda text, _: AIMessage(text.upper()), calls=[])
        chain = RunnableLambda(lambda messages: messages) | model | RunnableLambda(lambda message: message.text + "!")
        assert vote(chain, str)["vote"] == "?!"

    def test_one_call_a_vote_where_there_is_no_n(self) -> None:
        model = Fake(reply=lambda *_: AIMessage("A"), calls=[])
        assert vote(model, str, k=4)["samples"] == len(model.calls) == 4
        assert [call["temperature"] for call in model.calls] == [0.0, 0.1, 0.1, 0.1]


class TestConfigurable:
    """`init_chat_model` with configurable fields gives neither a chat model nor something with `generate`."""

    @pytest.mark.parametrize("fields", ["any", ("model", "temperature")])
    def test_it_votes_apart_from_any_cache_at_the_temperatures_of_the_run(self, fields: Any) -> None:
        task = TowersOfHanoi(3)
        provider = SimulatedServer(task, "sim:error=0")
        set_llm_cache(InMemoryCache())
        try:
            with provider.running() as url:
                model = init_chat_model(
                    "openai:sim", base_url=url, api_key="any", configurable_fields=fields, temperature=0.7
                )
                run = solve(task, model)
        finally:
            set_llm_cache(None)
        assert (run.status, run.samples, provider.stats.samples) == ("solved", 21, 21)
        assert provider.stats.requests == 14  # one for the first vote of a step, one for the two others


def test_a_model_that_answers_nothing_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("langgraph_maker.models.retry._FIRST_PAUSE", 0.001)

    class Empty(Fake):
        def _generate(self, *args: Any, **kwargs: Any) -> ChatResult:
            result = super()._generate(*args, **kwargs)
            return ChatResult(generations=[]) if len(self.calls) == 1 else result

    model = Empty(reply=lambda *_: AIMessage("A"), calls=[])
    [failed] = run_sync(as_sampler(model)([Request([HumanMessage("?")], 0.0, "q", 0)]))
    assert "no choices" in str(failed)
    assert vote(model, str)["samples"] == 3
