"""A voted step in a host graph that knows nothing of this package."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Annotated, Any

import pytest
from langchain_core.language_models import FakeListChatModel
from langchain_core.messages import AIMessage, AnyMessage, HumanMessage, InvalidToolCall, ToolCall
from langchain_core.runnables import Runnable, RunnableLambda
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, StateGraph
from langgraph.graph.message import add_messages
from langgraph.types import Command, RetryPolicy
from pydantic import BaseModel, SecretStr
from scripted import Recording, Scripted, script
from typing_extensions import TypedDict

from langgraph_maker.core.errors import SamplingError, UnresolvedError
from langgraph_maker.core.matchers import text
from langgraph_maker.core.red_flags import RedFlag
from langgraph_maker.ladder import Audit, Tier
from langgraph_maker.prebuilt.voting_node import create_voting_node

THREAD: Any = {"configurable": {"thread_id": "t"}}


class Dict(TypedDict, total=False):
    question: str
    answer: str
    samples: int


class Model(BaseModel):
    question: str
    answer: str = ""
    samples: int = 0


@dataclass
class Data:
    question: str
    answer: str = ""
    samples: int = 0


def voted(model: Any, **options: Any) -> Runnable[Any, Any]:
    defaults: dict[str, Any] = {
        "read": lambda state: state["question"] if isinstance(state, dict) else state.question,
        "prompt": lambda question: question,
        "parse": str.strip,
        "write": lambda state, decision: {"answer": decision["vote"], "samples": decision["samples"]},
    }
    return create_voting_node(model, **(defaults | options))


def host(schema: Any, node: Any) -> StateGraph[Any]:
    return StateGraph(schema).add_node("vote", node).add_edge(START, "vote")


@pytest.mark.parametrize("schema", [Dict, Model, Data])
@pytest.mark.parametrize("checkpointer", [None, "memory"])
async def test_in_hosts_of_every_kind(schema: Any, checkpointer: str | None) -> None:
    graph = host(schema, voted(script("A", "B", "A", "A"))).compile(
        checkpointer=InMemorySaver() if checkpointer else None
    )
    expected = {"question": "?", "answer": "A", "samples": 5}
    assert graph.invoke({"question": "?"}, THREAD) == expected
    assert await graph.ainvoke({"question": "?"}, {"configurable": {"thread_id": "u"}}) == expected


def test_messages_state_gets_the_answer_and_no_sample() -> None:
    class Chat(TypedDict):
        messages: Annotated[list[AnyMessage], add_messages]

    node = voted(
        Recording(answer=lambda text: text.upper()),
        read=lambda state: state["messages"][-1].text,
        write=lambda state, decision: {"messages": [AIMessage(decision["vote"])]},
    )
    graph = host(Chat, node).compile()
    streamed = list(graph.stream({"messages": [HumanMessage("hi")]}, stream_mode=["messages", "updates"]))
    texts = [chunk[0].text for mode, chunk in streamed if mode == "messages" and not isinstance(chunk[0], str)]
    assert texts == ["HI"]


def test_one_vote_starts_afresh_each_time_the_node_runs() -> None:
    class Loop(TypedDict, total=False):
        n: int
        votes: Annotated[list[str], lambda old, new: old + new]

    model = Scripted(lambda request: f"answer {request.messages[0].text}")
    node = voted(
        model,
        read=lambda state: state.get("n", 0),
        prompt=str,
        write=lambda state, decision: {"n": state.get("n", 0) + 1, "votes": [decision["vote"]]},
    )
    graph = host(Loop, node).add_conditional_edges("vote", lambda state: "vote" if state["n"] < 4 else "__end__")
    result = graph.compile(checkpointer=InMemorySaver()).invoke({"votes": []}, THREAD)
    assert result["votes"] == ["answer 0", "answer 1", "answer 2", "answer 3"]
    assert model.drawn == 12


@pytest.mark.parametrize("durability", ["sync", "async", "exit"])
def test_a_vote_that_broke_off_buys_no_counted_vote_again(durability: Any) -> None:
    rounds = iter(range(10))

    async def dying(requests: Any) -> list[AIMessage]:
        if next(rounds) == 1:
            raise OSError("gone")
        drawn.extend(request.number for request in requests)
        return [AIMessage("B" if request.number == 1 else "A") for request in requests]

    drawn: list[int] = []
    graph = host(Dict, voted(dying, outage_limit=0)).compile(checkpointer=InMemorySaver())
    with pytest.raises(SamplingError, match="gone"):
        graph.invoke({"question": "?"}, THREAD, durability=durability)
    assert graph.invoke(None, THREAD, durability=durability)["samples"] == 5
    assert drawn == [0, 1, 2, 3, 4]


class TestUnresolved:
    def test_raises_with_the_ballot(self) -> None:
        graph = host(Dict, voted(Scripted(lambda request: str(request.number)))).compile()
        with pytest.raises(
            UnresolvedError, match="no answer led by the margin after 99 samples; 99 different answers"
        ) as caught:
            graph.invoke({"question": "?"})
        assert caught.value.decision["status"] == "unresolved"

    @pytest.mark.parametrize("durability", ["sync", "async", "exit"])
    @pytest.mark.parametrize("way", ["sync", "async"])
    async def test_goes_on_with_a_larger_budget_and_buys_no_counted_vote_again(self, way: str, durability: Any) -> None:
        async def run(given: Any, budget: int) -> Any:
            context = {"maker": {"max_samples_per_step": budget}}
            if way == "async":
                return await graph.ainvoke(given, THREAD, context=context, durability=durability)
            return graph.invoke(given, THREAD, context=context, durability=durability)

        model = script("A", "B", "A", "B", "A", "A", "A")
        graph: Any = host(Dict, voted(model)).compile(checkpointer=InMemorySaver())
        for given, budget in (({"question": "?"}, 5), (None, 5)):
            with pytest.raises(UnresolvedError, match="after 5 samples"):
                await run(given, budget)
        assert await run(None, 20) == {"question": "?", "answer": "A", "samples": 7}
        assert [request.number for batch in model.batches for request in batch] == list(range(7))

    def test_the_default_retry_policy_does_not_vote_until_it_comes_out(self) -> None:
        model = Scripted(lambda request: "AB"[request.number % 2])
        node = voted(model, max_samples_per_step=8)
        builder = StateGraph(Dict).add_node("vote", node, retry_policy=RetryPolicy(initial_interval=0.0))
        with pytest.raises(UnresolvedError):
            builder.add_edge(START, "vote").compile(checkpointer=InMemorySaver()).invoke({"question": "?"}, THREAD)
        assert model.drawn <= 8

    def test_or_writes_what_there_is(self) -> None:
        node = voted(
            script("B", "A"),
            max_samples_per_step=4,
            on_unresolved="write",
            write=lambda state, decision: {"answer": decision["status"], "samples": decision["samples"]},
        )
        assert host(Dict, node).compile().invoke({"question": "?"}) == {
            "question": "?",
            "answer": "unresolved",
            "samples": 3,
        }


class TestBadInput:
    def test_a_missing_key_is_named_with_those_there_are(self) -> None:
        graph = host(Dict, voted(script("A"), read=lambda state: state["query"])).compile()
        with pytest.raises(ValueError, match=r"'query'.*\['question'\]"):
            graph.invoke({"question": "?"})

    def test_a_missing_attribute_too(self) -> None:
        graph = host(Model, voted(script("A"), read=lambda state: state.query)).compile()
        with pytest.raises(ValueError, match=r"'query'.*'question'"):
            graph.invoke({"question": "?"})

    def test_a_key_error_elsewhere_is_not_blamed_on_the_state(self) -> None:
        graph = host(Dict, voted(script("A"), read=lambda state: {"a": 1}["b"])).compile()
        with pytest.raises(ValueError, match=r"read failed with KeyError 'b' on the graph's state, a dict of"):
            graph.invoke({"question": "?"})

    def test_flags_without_end_point_to_the_parser(self) -> None:
        graph = host(Dict, voted(script("no number"), parse=int)).compile()
        with pytest.raises(UnresolvedError, match=r"\(last: malformed: ValueError.*whether prompt, parser"):
            graph.invoke({"question": "?"})

    def test_parse_or_schema(self) -> None:
        with pytest.raises(ValueError, match="either parse"):
            voted(script("A"), parse=None)
        with pytest.raises(ValueError, match="not both"):
            voted(script("A"), schema=Model)

    @pytest.mark.parametrize(
        ("options", "error", "message"),
        [
            ({"read": None}, TypeError, "read is a function"),
            ({"write": None}, TypeError, "write is a function"),
            ({"prompt": None}, TypeError, "prompt is a function"),
            ({"prompt": []}, TypeError, "prompt is a function"),
            ({"prompt": "Is it?"}, TypeError, "prompt is a function"),
            ({"parse": "x"}, TypeError, "parse is a function"),
            ({"key": None}, TypeError, "key is a function"),
            ({"key": "x"}, TypeError, "key is a function"),
            ({"call_timeout": 0}, ValueError, "call_timeout is above 0"),
        ],
    )
    def test_options_are_refused_when_the_node_is_made(self, options: Any, error: Any, message: str) -> None:
        with pytest.raises(error, match=message):
            voted(script("A"), **options)

    @pytest.mark.parametrize(
        ("read", "said"),
        [(lambda state: state["question"][5], "IndexError"), (lambda state: state["question"] + 1, "TypeError")],
    )
    def test_whatever_read_does_not_find_is_blamed_on_it(self, read: Any, said: str) -> None:
        with pytest.raises(ValueError, match=f"read failed with {said} .*question"):
            host(Dict, voted(script("A"), read=read)).compile().invoke({"question": "?"})

    def test_on_unresolved(self) -> None:
        with pytest.raises(ValueError, match="on_unresolved"):
            voted(script("A"), on_unresolved="ignore")

    @pytest.mark.parametrize(
        ("model", "message"),
        [
            ("gpt-4.1-mini", "unknown model"),
            ("openai:", "unknown model"),
            ("nobody:x", "unknown model 'nobody:x': Unable to infer model provider"),
            ("sim:gpt-4.1-mini", "task"),
        ],
    )
    def test_unknown_models(self, model: str, message: str) -> None:
        with pytest.raises(ValueError, match=message):
            voted(model)

    def test_what_is_no_model(self) -> None:
        with pytest.raises(TypeError, match="a model is"):
            voted(7)

    def test_a_missing_key_names_the_variable(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("OPENAI_API_KEY", raising=False)
        with pytest.raises(ValueError, match="OPENAI_API_KEY"):
            voted("openai:gpt-4.1-mini")


class TestSchema:
    class Move(BaseModel):
        disk: int
        peg: int

    def test_json_text_from_a_model_without_tools(self) -> None:
        answers = ['{"disk": 1, "peg": 2}', '{"peg": 2.0, "disk": 1}', "no json", '{"disk": "x"}', '{"disk":1,"peg":2}']
        node = voted(FakeListChatModel(responses=answers), parse=None, schema=self.Move, key=json.dumps)
        result = node.invoke({"question": "?"})
        assert result == {"answer": {"disk": 1, "peg": 2}, "samples": 5}

    @pytest.mark.parametrize("wrap", [lambda model: model, lambda model: model.with_retry()])
    def test_tool_calls_from_a_model_with_tools(self, wrap: Any) -> None:
        bound: list[Any] = []

        class WithTools(Recording):
            def bind_tools(self, tools: Any, **kwargs: Any) -> Any:
                bound.append((tools, kwargs))
                return self.bind(tools=tools)

            def _generate(self, *args: Any, **kwargs: Any) -> Any:
                result = super()._generate(*args, **kwargs)
                call = ToolCall(name="Move", args={"disk": 1, "peg": 2}, id="1")
                result.generations[0].message = AIMessage("", tool_calls=[call])
                return result

        model = WithTools(answer=lambda text: "", calls=[])
        node = voted(wrap(model), parse=None, schema=self.Move)
        assert node.invoke({"question": "?"}) == {"answer": {"disk": 1, "peg": 2}, "samples": 3}
        assert bound == [([self.Move], {"tool_choice": "any"})]
        assert [call["tools"] for call in model.calls] == [[self.Move]] * 3

    @pytest.mark.parametrize(
        "calls",
        [
            [("Move", 1), ("Move", 2)],
            [("Other", 1)],
            [("Move", 1), ("Other", 1)],
        ],
    )
    def test_an_answer_that_is_several_or_another_is_a_flag(self, calls: Any) -> None:
        several = AIMessage(
            "", tool_calls=[ToolCall(name=name, args={"disk": n, "peg": n}, id=str(n)) for name, n in calls]
        )
        one = AIMessage("", tool_calls=[ToolCall(name="Move", args={"disk": 1, "peg": 1}, id="1")])
        answers = iter([several, one, one, one])
        node = voted(RunnableLambda(lambda _: next(answers)), parse=None, schema=self.Move)
        assert node.invoke({"question": "?"}) == {"answer": {"disk": 1, "peg": 1}, "samples": 4}

    def test_an_invalid_call_is_a_flag(self) -> None:
        invalid = AIMessage(
            '{"disk": 1, "peg": 2}',
            invalid_tool_calls=[
                InvalidToolCall(type="invalid_tool_call", name="Move", args="{", id="1", error="no JSON")
            ],
        )
        answers = iter([invalid, *['{"disk": 1, "peg": 1}'] * 3])
        node = voted(RunnableLambda(lambda _: next(answers)), parse=None, schema=self.Move)
        assert node.invoke({"question": "?"}) == {"answer": {"disk": 1, "peg": 1}, "samples": 4}

    def test_a_schema_is_a_model_class(self) -> None:
        with pytest.raises(
            TypeError, match="schema is a pydantic model class, a TypedDict, a dataclass or a JSON schema"
        ):
            voted(script("A"), parse=None, schema=dict)

    def test_validate_can_flag_what_fits_the_schema(self) -> None:
        def on_board(_: Any, move: Any) -> RedFlag | None:
            return RedFlag("off_board") if move["peg"] > 2 else None

        model = script('{"disk": 1, "peg": 7}', '{"disk": 1, "peg": 2}')
        result = voted(model, parse=None, schema=self.Move, validate=on_board).invoke({"question": "?"})
        assert result == {"answer": {"disk": 1, "peg": 2}, "samples": 4}


class TestMessage:
    """The response that won, for a host that has `messages`."""

    @staticmethod
    def numbered(*answers: str) -> Scripted:
        """Return a model whose messages are named by the number of the sample."""
        return Scripted(lambda one: AIMessage(answers[min(one.number, len(answers) - 1)], id=str(one.number)))

    @staticmethod
    def winner(**options: Any) -> Any:
        return options | {"write": lambda _, decision: {"answer": decision["message"]}}

    async def test_is_the_one_that_the_vote_was_read_from(self) -> None:
        model = self.numbered("No", "Yes!", "yes", "YES", "yes")
        graph = host(Dict, voted(model, **self.winner(parse=lambda text: text.strip("!"), key=text))).compile()
        for result in (graph.invoke({"question": "?"}), await graph.ainvoke({"question": "?"})):
            assert (result["answer"].text, result["answer"].id) == ("Yes!", "1")

    def test_is_there_after_a_resume(self) -> None:
        rounds = iter(range(10))

        async def dying(requests: Any) -> list[AIMessage]:
            if next(rounds) == 1:
                raise OSError("gone")
            return [AIMessage("B" if one.number == 1 else "A", id=str(one.number)) for one in requests]

        graph = host(Dict, voted(dying, outage_limit=0, **self.winner())).compile(checkpointer=InMemorySaver())
        with pytest.raises(SamplingError, match="gone"):
            graph.invoke({"question": "?"}, THREAD)
        assert graph.invoke(None, THREAD)["answer"].id == "0"

    @pytest.mark.parametrize(("confirmed", "won"), [(False, ("B", "5")), (True, ("A", "0"))])
    def test_of_a_higher_tier_or_an_audit_is_of_the_vote_that_won(self, confirmed: bool, won: Any) -> None:
        model = self.numbered(*"AAAaa") if confirmed else self.numbered(*"ABABAB", "b")
        above = (
            {"audit": Audit(share=1.0, model=script("a"))} if confirmed else {"ladder": [Tier(samples=6), Tier(k=4)]}
        )
        options = self.winner(parse=str.strip, key=text, **above)
        message = host(Dict, voted(model, **options)).compile().invoke({"question": "?"})["answer"]
        assert (message.text, message.id) == won

    def test_is_none_where_no_vote_won(self) -> None:
        model = self.numbered(*"ABABABABAB")
        options = self.winner(on_unresolved="write", max_samples_per_step=6)
        assert host(Dict, voted(model, **options)).compile().invoke({"question": "?"})["answer"] is None

    @pytest.mark.parametrize(("answer", "name"), [({"pick": 1}, "1"), ({"answer": "C"}, None)])
    def test_of_a_humans_choice_is_the_candidates(self, answer: Any, name: str | None) -> None:
        options = self.winner(ladder="human", max_samples_per_step=4)
        graph = host(Dict, voted(self.numbered("A", "B", "A", "B"), **options)).compile(checkpointer=InMemorySaver())
        graph.invoke({"question": "?"}, THREAD)
        message = graph.invoke(Command(resume=answer), THREAD)["answer"]
        assert getattr(message, "id", None) == name

    def test_with_a_secret_is_not_kept(self) -> None:
        class Login(BaseModel):
            password: SecretStr

        model = self.numbered('{"password": "swordfish"}')
        options = self.winner(parse=None, schema=Login)
        assert host(Dict, voted(model, **options)).compile().invoke({"question": "?"})["answer"] is None


def test_xray_shows_the_vote_inside_the_host() -> None:
    nodes = host(Dict, voted(script("A"))).compile().get_graph(xray=1).nodes
    assert {"vote:sample", "vote:guard", "vote:tally"} <= set(nodes)
