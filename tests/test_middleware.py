"""An agent that votes on each of its steps."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from typing import Annotated, Any

import httpx
import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import ModelFallbackMiddleware, dynamic_prompt, wrap_model_call
from langchain.agents.structured_output import ProviderStrategy, ToolStrategy
from langchain_core.callbacks import UsageMetadataCallbackHandler
from langchain_core.language_models import FakeListChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, ToolMessage
from langchain_core.tools import InjectedToolCallId, StructuredTool, tool
from langchain_openai import ChatOpenAI
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.prebuilt import InjectedState
from pydantic import BaseModel, SecretStr, field_validator

from langgraph_maker import MakerContext
from langgraph_maker.core.errors import SamplingError, UnresolvedError
from langgraph_maker.core.matchers import Pairwise, canonical, fields, text, within
from langgraph_maker.middleware import VotingMiddleware
from langgraph_maker.prebuilt.tool_intents import checks_of
from langgraph_maker.testing import ScriptedChatModel, tool_call

QUESTION: Any = {"messages": [("user", "2 + 2?")]}
THREAD: Any = {"configurable": {"thread_id": "t"}}


class Ran(list[Any]):
    """A tool that keeps its arguments."""

    def add(self, a: int, b: int) -> int:
        """Add two numbers."""
        self.append((a, b))
        return a + b


def says(*answers: Any, **more: Any) -> ScriptedChatModel:
    return ScriptedChatModel(answers=answers, **more)


def agent(model: Any, tools: Any = (), voting: Any = None, **options: Any) -> Any:
    middleware = [*options.pop("before", ()), voting or VotingMiddleware(k=2, vote_on="all")]
    return create_agent(model, list(tools), middleware=middleware, **options)


def vote_of(message: AIMessage) -> Any:
    return message.response_metadata["vote"]


def add(a: Any = 2, b: Any = 2) -> AIMessage:
    return tool_call("add", a=a, b=b)


class TestVote:
    @pytest.mark.parametrize("kind", ["sync", "async"])
    async def test_the_call_that_leads_by_k_runs_once(self, kind: str) -> None:
        ran, winner = Ran(), add()
        winner.content = "Let me add."
        model = says(winner, add(b=3), add(), add(), "4", "four", "4", "4")
        graph = agent(model, [ran.add])
        result = await graph.ainvoke(QUESTION) if kind == "async" else graph.invoke(QUESTION)
        _, called, returned, answer = result["messages"]
        assert ran == [(2, 2)]
        assert (called.text, called.tool_calls) == ("Let me add.", winner.tool_calls)
        assert (returned.text, returned.tool_call_id, answer.text) == ("4", winner.tool_calls[0]["id"], "4")
        assert [count["count"] for count in vote_of(called)["counts"]] == [3, 1]
        assert (vote_of(called)["samples"], vote_of(answer)["samples"], len(model.calls)) == (4, 4, 8)

    def test_parallel_calls_are_one_intent_in_their_order(self) -> None:
        def both(*pairs: tuple[int, int]) -> AIMessage:
            return AIMessage("", tool_calls=[add(*pair).tool_calls[0] for pair in pairs])

        ran = Ran()
        model = says(
            both((1, 2), (3, 4)), both((3, 4), (1, 2)), add(1, 2), both((1, 2), (3, 4)), both((1, 2), (3, 4)), "x"
        )
        messages = agent(model, [ran.add]).invoke(QUESTION)["messages"]
        assert sorted(ran) == [(1, 2), (3, 4)]
        assert [count["count"] for count in vote_of(messages[1])["counts"]] == [3, 1, 1]

    def test_the_order_of_arguments_and_whole_floats_make_no_difference(self) -> None:
        model = says(tool_call("add", a=2, b=2), tool_call("add", b=2.0, a=2), "4")
        assert vote_of(agent(model, [Ran().add]).invoke(QUESTION)["messages"][1])["samples"] == 2

    @pytest.mark.parametrize("key", [canonical, text, within(1)])
    def test_an_answer_that_looks_like_a_call_is_none(self, key: Any) -> None:
        model = says(add(), '{"calls":[{"args":{"a":2,"b":2},"name":"add"}]}', add(), add(), "4")
        messages = agent(model, [Ran().add], VotingMiddleware(k=2, vote_on="all", key=key)).invoke(QUESTION)["messages"]
        assert [count["count"] for count in vote_of(messages[1])["counts"]] == [3, 1]

    @pytest.mark.parametrize(("key", "answers"), [(text, ["The Answer", "the  answer"]), (within(0.1), ["x", "x"])])
    def test_answers_are_compared_by_the_matcher(self, key: Any, answers: list[str]) -> None:
        answer = agent(says(*answers), voting=VotingMiddleware(k=2, vote_on="all", key=key)).invoke(QUESTION)[
            "messages"
        ][-1]
        assert (answer.text, vote_of(answer)["samples"]) == (answers[0], 2)

    def test_what_wins_is_as_the_model_wrote_it(self) -> None:
        blocks: Any = [{"type": "reasoning", "reasoning": "…"}, {"type": "text", "text": "4"}]
        first = AIMessage(
            blocks,
            id="msg-1",
            additional_kwargs={"signature": "ab=="},
            usage_metadata={"input_tokens": 5, "output_tokens": 7, "total_tokens": 12},
            response_metadata={"model_name": "m", "logprobs": [float("-inf")]},
        )
        answer = agent(says(first, "4")).invoke(QUESTION)["messages"][-1]
        same = ("content", "id", "additional_kwargs", "usage_metadata", "tool_calls")
        assert [getattr(answer, name) for name in same] == [getattr(first, name) for name in same]

    @pytest.mark.parametrize(
        "raw", [object(), b"\xff", float("-inf"), {1: {2}}, "\ud800", {("a",): 1}], ids=lambda raw: type(raw).__name__
    )
    def test_metadata_that_is_no_json_costs_no_vote(self, raw: Any) -> None:
        first = add()
        first.response_metadata, first.additional_kwargs = {"raw": raw}, {"raw": raw}
        called = agent(says(first, add(), "4"), [Ran().add]).invoke(QUESTION)["messages"][1]
        assert (vote_of(called)["samples"], called.tool_calls) == (2, first.tool_calls)

    def test_all_that_was_drawn_is_on_the_bill_once(self) -> None:
        usage: Any = {"input_tokens": 5, "output_tokens": 7, "total_tokens": 12}
        said = AIMessage("4", usage_metadata=usage, response_metadata={"model_name": "m"})
        bill = UsageMetadataCallbackHandler()
        answer = agent(says(said)).invoke(QUESTION, {"callbacks": [bill]})["messages"][-1]
        assert bill.usage_metadata["m"]["total_tokens"] == 24
        assert vote_of(answer)["usage"]["output_tokens"] == 14


class TestRedFlags:
    @pytest.mark.parametrize(
        ("flagged", "reason", "detail"),
        [
            (tool_call("multiply", a=2, b=2), "unknown_tool", "'multiply' is none of ['add']"),
            (tool_call("add", a=2), "invalid_arguments", "add: b: Field required"),
            (tool_call("add", a=2, b="two"), "invalid_arguments", "add: b: Input should be a valid integer"),
            (AIMessage("Cut o", response_metadata={"finish_reason": "length"}), "truncated", "truncated: length"),
            (AIMessage(""), "empty", "no text"),
            (
                AIMessage(
                    "",
                    invalid_tool_calls=[
                        {"type": "invalid_tool_call", "name": "add", "args": "{", "id": "1", "error": None}
                    ],
                ),
                "invalid_tool_call",
                "add: {",
            ),
            (tool_call("add", a=2, b=2**70), "malformed", "beyond 64 bits"),
        ],
    )
    def test_never_count_and_never_run(self, flagged: AIMessage, reason: str, detail: str) -> None:
        ran = Ran()
        messages = agent(says(flagged, flagged, add(), add(), "4"), [ran.add]).invoke(QUESTION)["messages"]
        assert (ran, vote_of(messages[1])["flags"]) == ([(2, 2)], {reason: 2})
        with pytest.raises(UnresolvedError, match="tried") as caught:
            agent(says(flagged), [ran.add], before=[renamed]).invoke(QUESTION)
        assert detail in str(caught.value.__cause__)

    def test_what_the_agent_adds_is_not_the_models_to_give(self) -> None:
        @tool
        def look(at: str, state: Annotated[Any, InjectedState], call: Annotated[str, InjectedToolCallId]) -> str:
            """Look."""
            return f"{at} {len(state['messages'])}"

        messages = agent(says(tool_call("look", at="x"), tool_call("look", at="x"), "4"), [look]).invoke(QUESTION)[
            "messages"
        ]
        assert messages[2].text == "x 2"

    def test_validators_of_the_tool_count(self) -> None:
        class Even(BaseModel):
            n: int

            @field_validator("n")
            @classmethod
            def even(cls, n: int) -> int:
                if n % 2:
                    raise ValueError("odd")
                return n

        halve = StructuredTool.from_function(lambda n: n // 2, name="halve", description="Halve.", args_schema=Even)
        model = says(tool_call("halve", n=3), tool_call("halve", n=4), tool_call("halve", n=4), "2")
        messages = agent(model, [halve]).invoke(QUESTION)["messages"]
        assert (vote_of(messages[1])["flags"], messages[2].text) == ({"invalid_arguments": 1}, "2")

    def test_so_does_a_json_schema(self) -> None:
        schema = {"type": "object", "properties": {"n": {"type": "integer", "maximum": 9}}, "required": ["n"]}
        halve = StructuredTool.from_function(lambda n: n // 2, name="halve", description="Halve.", args_schema=schema)
        model = says(tool_call("halve", n=10), tool_call("halve", n=4), tool_call("halve", n=4), "2")
        assert vote_of(agent(model, [halve]).invoke(QUESTION)["messages"][1])["flags"] == {"invalid_arguments": 1}

    @pytest.mark.parametrize(
        "part",
        [
            {"$schema": "https://example.org/a-dialect-of-our-own"},
            {"properties": {"n": {"type": "string", "pattern": "(?<!x"}}},
            {"properties": {"n": {"type": "string", "pattern": r"\\p{Klingon}"}}},
            {"properties": {"n": {"$ref": "http://127.0.0.1:9/schema"}}},
            {"properties": {"n": {"$ref": "#/$defs/nowhere"}}},
            {"properties": {"n": {"type": "number of things"}}},
        ],
        ids=["dialect", "broken", "property", "document", "pointer", "type"],
    )
    def test_a_schema_that_cannot_be_read_leaves_its_tool_unchecked(
        self, part: dict[str, Any], caplog: pytest.LogCaptureFixture, request: pytest.FixtureRequest
    ) -> None:
        name = f"tool_{request.node.callspec.id}"
        check = checks_of([{"type": "function", "function": {"name": name, "parameters": {"type": "object", **part}}}])
        for _ in range(2):
            check[name]({"n": 5})
            checks_of([{"type": "function", "function": {"name": name, "parameters": {"type": "object", **part}}}])
        [told] = caplog.records
        assert f"calls of the tool {name} are not checked" in told.getMessage()

    def test_a_validator_that_does_not_expect_such_arguments_refuses_them(self) -> None:
        class Order(BaseModel):
            items: dict[str, int]

            @field_validator("items")
            @classmethod
            def first(cls, items: dict[str, int]) -> dict[str, int]:
                return items if items["first"] else {}

        @tool(args_schema=Order)
        def order(items: dict[str, int]) -> str:
            "Order."
            return str(items)

        with pytest.raises(ValueError, match="KeyError 'first'"):
            checks_of([order])["order"]({"items": {"second": 1}})

    def test_an_answer_where_a_call_was_asked_for(self) -> None:
        @wrap_model_call
        def forced(request: Any, handler: Any) -> Any:
            first = not any(isinstance(message, ToolMessage) for message in request.messages)
            return handler(request.override(tool_choice="add" if first else None))

        model = says("4", add(), add(), "4")
        messages = agent(model, [Ran().add], before=[forced]).invoke(QUESTION)["messages"]
        assert vote_of(messages[1])["flags"] == {"no_tool_call": 1}
        assert [call["tool_choice"] for call in model.calls] == ["add", "add", "add", None, None]


@wrap_model_call
def renamed(request: Any, handler: Callable[[Any], Any]) -> Any:
    """What earlier middleware sees of a vote that did not converge."""
    try:
        return handler(request)
    except UnresolvedError as error:
        raise UnresolvedError(error.decision, "tried") from error


class TestUnresolved:
    def test_raises_with_the_ballot(self) -> None:
        model = says(*(str(n) for n in range(40)))
        with pytest.raises(UnresolvedError, match='after 10 samples; 10 different.*on_unresolved="end"') as caught:
            agent(model, voting=VotingMiddleware(k=2, vote_on="all", max_samples_per_step=10)).invoke(QUESTION)
        assert caught.value.decision["samples"] == 10

    @pytest.mark.parametrize("form", [None, ToolStrategy({"title": "N", "type": "object", "properties": {}})])
    def test_or_ends_the_agent_saying_so(self, form: Any) -> None:
        ran, model = Ran(), says(*(add(b=n) for n in range(40)))
        voting = VotingMiddleware(k=2, vote_on="all", max_samples_per_step=10, on_unresolved="end")
        result = agent(model, [ran.add], voting=voting, response_format=form).invoke(QUESTION)
        answer = result["messages"][-1]
        assert (ran, answer.tool_calls, vote_of(answer)["status"]) == ([], [], "unresolved")
        assert answer.text.startswith("Unresolved: no answer led by the margin after 10 samples")
        assert result.get("structured_response") is None

    def test_or_falls_back_to_the_next_model(self) -> None:
        cheap, dear = says(*(str(n) for n in range(40))), says("4")
        graph = agent(
            cheap,
            voting=VotingMiddleware(k=2, vote_on="all", max_samples_per_step=4),
            before=[ModelFallbackMiddleware(dear)],
        )
        assert graph.invoke(QUESTION)["messages"][-1].text == "4"
        assert (len(cheap.calls), len(dear.calls)) == (4, 2)


class TestRequest:
    def test_prompt_settings_and_model_are_those_of_earlier_middleware(self) -> None:
        @dynamic_prompt
        def prompt(request: Any) -> str:
            return "Be brief."

        @wrap_model_call
        def other(request: Any, handler: Any) -> Any:
            return handler(request.override(model=model, model_settings={"top_p": 0.5}, tools=request.tools[:1]))

        first, model = says("no"), says("4")
        ran = Ran()
        agent(first, [ran.add, tool(lookup)], before=[prompt, other]).invoke(QUESTION)
        assert not first.calls
        assert [message.text for message in model.calls[0]["messages"]] == ["Be brief.", "2 + 2?"]
        assert [(call["temperature"], call["top_p"]) for call in model.calls] == [(0.0, 0.5), (0.1, 0.5)]
        assert [one.name for one in model.calls[0]["tools"]] == ["add"]

    def test_settings_reach_a_model_without_tools(self) -> None:
        @wrap_model_call
        def short(request: Any, handler: Any) -> Any:
            return handler(request.override(model_settings={"top_p": 0.5}))

        model = says("4")
        agent(model, before=[short]).invoke(QUESTION)
        assert [call["top_p"] for call in model.calls] == [0.5, 0.5]

    def test_temperatures_may_be_the_models_own(self) -> None:
        model = says("4")
        agent(model, voting=VotingMiddleware(k=2, vote_on="all", first_temperature=None, temperature=None)).invoke(
            QUESTION
        )
        assert all("temperature" not in call for call in model.calls)

    def test_failed_calls_are_neither_votes_nor_flags(self) -> None:
        model = says("4", ConnectionError("reset"), "4")
        vote = vote_of(agent(model, voting=VotingMiddleware(k=2, vote_on="all")).invoke(QUESTION)["messages"][-1])
        assert (vote["samples"], vote["flagged"], len(model.calls)) == (2, 0, 3)

    async def test_samples_of_one_step_share_a_request_where_the_client_has_n(self) -> None:
        def answer(request: httpx.Request) -> httpx.Response:
            bodies.append(body := json.loads(request.content))
            call = {"id": "1", "type": "function", "function": {"name": "add", "arguments": '{"a": 2, "b": 2}'}}
            asked = body["messages"][-1]["role"] == "user"
            said = {"tool_calls": [call]} if asked else {"content": '{"total": 4}'}
            choice = {"message": {"role": "assistant", **said}, "finish_reason": "stop"}
            choices = [{"index": index, **choice} for index in range(body.get("n", 1))]
            head = {"id": "x", "object": "chat.completion", "created": 1, "model": "gpt-4.1-mini"}
            return httpx.Response(200, json={**head, "choices": choices})

        bodies: list[Any] = []
        client = httpx.AsyncClient(transport=httpx.MockTransport(answer))
        model = ChatOpenAI(model="gpt-4.1-mini", api_key=SecretStr("none"), http_async_client=client)
        graph = agent(model, [Ran().add], VotingMiddleware(k=3, vote_on="all"), response_format=Sum)
        assert (await graph.ainvoke(QUESTION))["structured_response"] == Sum(total=4)
        assert [(body.get("n"), body["temperature"]) for body in bodies] == [(None, 0.0), (2, 0.1)] * 2
        assert all(body["response_format"]["type"] == "json_schema" and body["tools"] for body in bodies)

    def test_what_a_provider_refuses_is_asked_once_an_agent(self) -> None:
        class RefusedError(Exception):
            status_code, param = 400, "temperature"

        model = says(RefusedError("no 'temperature'"), add(), add(), "4", "4")
        agent(model, [Ran().add]).invoke(QUESTION)
        assert ["temperature" in call for call in model.calls] == [True, False, False, False, False]


def lookup(name: str) -> str:
    """Look a name up."""
    return name


class Sum(BaseModel):
    """A sum."""

    total: int

    @field_validator("total")
    @classmethod
    def small(cls, total: int) -> int:
        if total > 99:
            raise ValueError("too large")
        return total


class TestStructuredOutput:
    @pytest.mark.parametrize("form", [Sum, ToolStrategy(Sum)])
    def test_a_tool_call(self, form: Any) -> None:
        def total(n: int) -> AIMessage:
            return tool_call("Sum", total=n)

        model = says(add(), add(), total(4), total(5), total(100), "4", total(4), total(4))
        result = agent(model, [Ran().add], response_format=form).invoke(QUESTION)
        assert result["structured_response"] == Sum(total=4)
        assert vote_of(result["messages"][-2])["flags"] == {"invalid_arguments": 1, "no_tool_call": 1}

    @pytest.mark.parametrize("form", [Sum, ProviderStrategy(Sum), ProviderStrategy(Sum.model_json_schema())])
    def test_json_where_the_model_has_it(self, form: Any) -> None:
        model = says(
            add(), add(), '{"total": 4}', '{"total":5}', "four", '{"sum": 4}', ' {"total": 4.0} ', '{"total": 4}',
            profile={"structured_output": True},
        )  # fmt: skip
        result = agent(model, [Ran().add], response_format=form).invoke(QUESTION)
        assert result["structured_response"] in (Sum(total=4), {"total": 4})
        assert vote_of(result["messages"][-1])["flags"] == {"malformed": 2}
        assert model.calls[0]["response_format"]["type"] == "json_schema"


class TestGuest:
    @pytest.mark.parametrize("kind", ["sync", "async"])
    async def test_the_message_stream_has_each_message_once(self, kind: str) -> None:
        graph = agent(says(add(), add(b=3), add(), add(), "4"), [Ran().add])
        if kind == "sync":
            streamed = list(graph.stream(QUESTION, stream_mode="messages"))
        else:
            streamed = [chunk async for chunk in graph.astream(QUESTION, stream_mode="messages")]
        assert [(type(message), message.text) for message, _ in streamed] == [
            (AIMessage, ""),
            (ToolMessage, "4"),
            (AIMessage, "4"),
        ]
        assert not any(isinstance(message, AIMessageChunk) for message, _ in streamed)

    def test_the_vote_shows_in_the_stream_of_subgraphs(self) -> None:
        streamed = agent(says("4")).stream(QUESTION, stream_mode="updates", subgraphs=True)
        inside = [next(iter(update)) for namespace, update in streamed if namespace]
        assert inside == ["sample", "guard", "tally"]

    @pytest.mark.parametrize("durability", ["sync", "exit"])
    def test_a_vote_that_broke_off_buys_no_counted_vote_again(self, durability: Any) -> None:
        model = says(add(), add(b=3), ConnectionError("gone"), add(), add(), "4")
        graph = agent(
            model, [Ran().add], VotingMiddleware(k=2, vote_on="all", outage_limit=0), checkpointer=InMemorySaver()
        )
        with pytest.raises(SamplingError):
            graph.invoke(QUESTION, THREAD, durability=durability)
        messages = graph.invoke(None, THREAD, durability=durability)["messages"]
        assert (vote_of(messages[1])["samples"], len(model.calls)) == (4, 7)

    @pytest.mark.parametrize("durability", ["sync", "exit"])
    @pytest.mark.parametrize("kind", ["sync", "async"])
    async def test_an_unresolved_vote_goes_on_with_a_larger_budget(self, kind: str, durability: Any) -> None:
        async def run(given: Any, budget: int) -> Any:
            context = {"max_samples_per_step": budget}
            if kind == "async":
                return await graph.ainvoke(given, THREAD, context=context, durability=durability)
            return graph.invoke(given, THREAD, context=context, durability=durability)

        model = says("4", "5", "4", "5", "4", "4")
        graph = agent(
            model,
            voting=VotingMiddleware(k=2, vote_on="all"),
            checkpointer=InMemorySaver(),
            context_schema=MakerContext,
        )
        for given in (QUESTION, None):
            with pytest.raises(UnresolvedError, match="after 2 samples"):
                await run(given, 3)
        assert vote_of((await run(None, 20))["messages"][-1])["samples"] == len(model.calls) == 6

    def test_votes_on_another_question_do_not_count(self) -> None:
        asked = ["Be brief."]
        model = says("4", "5", ConnectionError("gone"), "4")
        graph = agent(
            model,
            voting=VotingMiddleware(k=2, vote_on="all", outage_limit=0),
            before=[dynamic_prompt(lambda _: asked[-1])],
            checkpointer=InMemorySaver(),
        )
        with pytest.raises(SamplingError):
            graph.invoke(QUESTION, THREAD)
        asked.append("Be long.")
        assert vote_of(graph.invoke(None, THREAD)["messages"][-1])["counts"] == [
            {"intent": {"answer": "4"}, "count": 2}
        ]

    def test_each_step_and_turn_has_a_vote_of_its_own(self) -> None:
        model = says(add(), add(), "4", "4", "5", "5")
        graph = agent(model, [Ran().add], checkpointer=InMemorySaver())
        graph.invoke(QUESTION, THREAD)
        messages = graph.invoke(QUESTION, THREAD)["messages"]
        assert [message.text for message in messages] == ["2 + 2?", "", "4", "4", "2 + 2?", "5"]
        assert len(model.calls) == 6


WORDS = ("Paid back.", "I have paid 4 back.", "Done, 4 euros.", "It is done.", "As you asked: 4.")


class Capital(BaseModel):
    capital: str


class TestProse:
    """Answers that are worded otherwise each time, as chat models word them."""

    @pytest.mark.parametrize("kind", ["sync", "async"])
    async def test_calls_are_voted_on_and_the_first_valid_answer_is_given(self, kind: str) -> None:
        ran = Ran()
        cut = AIMessage("Paid b", response_metadata={"finish_reason": "length"})
        graph = agent(says(add(b=3), add(), add(), add(), add(), cut, *WORDS), [ran.add], VotingMiddleware(k=3))
        messages = (await graph.ainvoke(QUESTION) if kind == "async" else graph.invoke(QUESTION))["messages"]
        vote = vote_of(messages[-1])
        assert (ran, messages[-1].text) == ([(2, 2)], WORDS[0])
        assert (vote["samples"], vote["flagged"], vote["counts"]) == (
            4,
            1,
            [{"intent": {"answer": WORDS[0]}, "count": 3}],
        )

    def test_whether_to_answer_is_voted_on_too(self) -> None:
        ran = Ran()
        model = says(WORDS[0], add(), add(), add(), add(), *WORDS)
        messages = agent(model, [ran.add], VotingMiddleware(k=3)).invoke(QUESTION)["messages"]
        assert (ran, vote_of(messages[1])["samples"]) == ([(2, 2)], 5)

    def test_answers_are_voted_on_where_that_is_asked_for(self) -> None:
        model = says("Paris", "Rome", "paris ", "PARIS")
        voting = VotingMiddleware(k=2, vote_on="all", key=text)
        assert agent(model, voting=voting).invoke(QUESTION)["messages"][-1].text == "Paris"

    def test_answers_in_json_are_no_prose(self) -> None:
        model = says('{"capital": "Rome"}', *['{"capital": "Paris"}'] * 4)
        graph = agent(model, voting=VotingMiddleware(k=2), response_format=ProviderStrategy(Capital))
        assert graph.invoke(QUESTION)["structured_response"] == Capital(capital="Paris")

    @pytest.mark.parametrize("rule", [fields(query=text), fields(query=Pairwise(lambda a, b: a.lower() == b.lower()))])
    def test_arguments_are_compared_by_a_matcher_of_their_tool(self, rule: Any) -> None:
        asked: list[str] = []

        def search(query: str) -> str:
            """Search."""
            asked.append(query)
            return "42"

        def other(query: str) -> str:
            """Do otherwise."""
            return "43"

        calls = [tool_call("search", query="LangGraph"), tool_call("other", query="langgraph")]
        calls += [tool_call("search", query=query) for query in ("langgraph", "LANGGRAPH")]
        voting = VotingMiddleware(k=2, arguments={"search": rule})
        messages = agent(says(*calls, *WORDS), [search, other], voting).invoke(QUESTION)["messages"]
        assert (asked, vote_of(messages[1])["samples"]) == (["LangGraph"], 4)

    def test_and_those_of_other_tools_as_json(self) -> None:
        ran = Ran()
        model = says(add(b=3), add(), add(), add(), *WORDS)
        agent(model, [ran.add], VotingMiddleware(k=2, arguments={"search": fields(query=text)})).invoke(QUESTION)
        assert ran == [(2, 2)]


class TestEvents:
    @pytest.mark.parametrize(
        ("events", "told"),
        [
            (True, ["votes.counted"]),
            (False, []),
            (lambda event: {"said": event["event"]}, ["said votes.counted"]),
            (lambda _: None, []),
        ],
    )
    @pytest.mark.parametrize("kind", ["sync", "async"])
    async def test_are_what_the_host_asks_for(self, kind: str, events: Any, told: list[str]) -> None:
        graph = agent(says("4"), voting=VotingMiddleware(k=1, events=events))
        modes: Any = {"stream_mode": "custom", "subgraphs": True}
        if kind == "async":
            found = [event async for _, event in graph.astream(QUESTION, **modes)]
        else:
            found = [event for _, event in graph.stream(QUESTION, **modes)]
        assert [event.get("event") or f"said {event['said']}" for event in found] == told

    def test_none_of_these_is_refused(self) -> None:
        with pytest.raises(TypeError, match="events is True, False or a function of an event, not 'off'"):
            VotingMiddleware(events="off")  # type: ignore[arg-type]


class TestBadInput:
    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"k": 0}, "k, the margin"),
            ({"k": 5, "max_samples_per_step": 4}, "max_samples_per_step"),
            ({"temperature": -1}, "temperature"),
            ({"hedge": -1}, "hedge"),
            ({"call_timeout": 0}, "call_timeout"),
            ({"on_unresolved": "write"}, 'on_unresolved is "raise" or "end"'),
        ],
    )
    def test_options(self, options: Any, message: str) -> None:
        with pytest.raises(ValueError, match=message):
            VotingMiddleware(**options)

    @pytest.mark.parametrize("options", [{"key": "text", "vote_on": "all"}, {"key": 7}, {"arguments": {"add": "text"}}])
    def test_a_matcher_that_is_none(self, options: Any) -> None:
        with pytest.raises(TypeError, match="key is a function"):
            VotingMiddleware(**options)

    def test_a_key_that_nothing_is_compared_by_is_told_of(self, caplog: pytest.LogCaptureFixture) -> None:
        VotingMiddleware(key=text)
        assert 'give vote_on="all"' in caplog.text

    def test_matchers_of_a_tool_that_there_is_none_of_are_told_of_once(self, caplog: pytest.LogCaptureFixture) -> None:
        middleware = VotingMiddleware(k=2, arguments={"ad": fields("a")})
        for _ in range(2):
            agent(says("4"), [Ran().add], voting=middleware).invoke(QUESTION)
        [message] = [record.getMessage() for record in caplog.records]
        assert message.startswith("arguments= names ['ad'], and the tools are ['add']")

    @pytest.mark.parametrize("arguments", [fields("a"), "add", ["add"]])
    def test_matchers_of_no_tool(self, arguments: Any) -> None:
        with pytest.raises(TypeError, match="arguments are matchers by the names of tools"):
            VotingMiddleware(arguments=arguments)

    def test_a_bug_in_a_matcher_may_surface(self) -> None:
        def broken(_: Any) -> str:
            raise KeyError("bug")

        voting = VotingMiddleware(k=2, vote_on="all", key=broken, strict_parse=True)
        with pytest.raises(KeyError, match="bug"):
            agent(says("4"), voting=voting).invoke(QUESTION)

    def test_a_key_without_a_text(self) -> None:
        key: Any = {}.get
        with pytest.raises(TypeError, match="key returned None for the vote 'Paris': it returns a text"):
            agent(says("Paris", "Rome"), voting=VotingMiddleware(k=2, vote_on="all", key=key)).invoke(QUESTION)

    def test_a_model_without_tool_calling(self) -> None:
        with pytest.raises(TypeError, match="FakeListChatModel cannot call tools: give the agent a model that can"):
            agent(FakeListChatModel(responses=["4"]), [Ran().add]).invoke(QUESTION)

    def test_it_may_vote_on_answers(self) -> None:
        assert agent(FakeListChatModel(responses=["4"])).invoke(QUESTION)["messages"][-1].text == "4"

    def test_without_langchain_the_error_names_the_extra(self) -> None:
        code = (
            "import sys; sys.modules['langchain'] = None; import langgraph_maker\n"
            "try: import langgraph_maker.middleware\n"
            "except ImportError as error: print(error)"
        )
        said = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
        ).stdout
        assert "pip install 'langgraph-maker[agents]', or in a clone" in said


class TestABudgetOfARun:
    @staticmethod
    def agent(answers: list[Any], saver: Any = None, **options: Any) -> tuple[Any, ScriptedChatModel]:
        def add(a: int, b: int) -> int:
            """Add."""
            return a + b

        model = ScriptedChatModel(answers=answers)
        limited = VotingMiddleware(**{"k": 2, **options})
        return create_agent(model, [add], middleware=[limited], checkpointer=saver), model

    def test_ends_the_agent_with_a_message_that_says_so(self) -> None:
        agent, model = self.agent([tool_call("add", a=1, b=1)], max_total_samples=5)
        last = agent.invoke({"messages": "1 + 1?"})["messages"][-1]
        assert last.text == "Stopped: 4 samples were drawn, and max_total_samples is 5."
        assert last.response_metadata["vote"]["status"] == "stopped"
        assert len(model.calls) == 4

    async def test_is_of_one_run_of_the_agent_and_another_run_has_its_own(self) -> None:
        call = tool_call("add", a=1, b=1)
        agent, model = self.agent([call, call, "2", "2"] * 2, InMemorySaver(), max_total_samples=4)
        for run in range(1, 3):
            said = await agent.ainvoke({"messages": "1 + 1?"}, {"configurable": {"thread_id": "1"}})
            assert (said["messages"][-1].text, len(model.calls)) == ("2", 4 * run)
        assert "vote_run" not in said

    def test_is_known_to_the_process_that_continues_a_run(self) -> None:
        saver, call, config = InMemorySaver(), tool_call("add", a=1, b=1), {"configurable": {"thread_id": "1"}}
        agent, _ = self.agent([call], saver, max_total_samples=6)
        agent.invoke({"messages": "1 + 1?"}, config, interrupt_before=["tools"])
        agent, model = self.agent([call], saver, max_total_samples=6)
        assert "6 samples were drawn" in agent.invoke(None, config)["messages"][-1].text
        assert len(model.calls) == 4

    def test_counts_what_a_step_used_that_another_model_then_did(self) -> None:
        first, second = (ScriptedChatModel(answers=[*pair] * 9) for pair in ("12", "34"))
        agent: Any = create_agent(
            first,
            [],
            middleware=[
                ModelFallbackMiddleware(second),
                VotingMiddleware(k=2, vote_on="all", max_samples_per_step=6, max_total_samples=8),
            ],
        )
        said = agent.invoke({"messages": "?"})["messages"][-1].text
        assert said == "Stopped: 8 samples were drawn, and max_total_samples is 8."
        assert (len(first.calls), len(second.calls)) == (6, 2)

    def test_may_be_dollars(self) -> None:
        call = tool_call("add", a=1, b=1)
        agent, _ = self.agent([call], max_cost=1.0)
        assert "what was spent is not known" in agent.invoke({"messages": "1 + 1?"})["messages"][-1].text

    def test_adds_nothing_to_the_graph_of_an_agent_without_one(self) -> None:
        assert not any("Voting" in name for name in self.agent(["1"])[0].get_graph().nodes)
        with pytest.raises(ValueError, match="max_cost is a finite number of dollars above 0"):
            VotingMiddleware(max_cost=-1)
