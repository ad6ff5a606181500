"""Structured answers: the vote is the object that an answer makes, whatever the schema and however it is written."""

from __future__ import annotations

import enum
import json
import subprocess
import sys
import typing
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Annotated, Any, Generic, Literal, TypeVar

import pytest
import typing_extensions
from langchain_core.messages import AIMessage
from langchain_core.utils.function_calling import convert_to_openai_tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, StateGraph
from pydantic import (
    AliasChoices,
    AliasPath,
    BaseModel,
    ConfigDict,
    Field,
    RootModel,
    Secret,
    SecretBytes,
    SecretStr,
    computed_field,
    field_serializer,
)

from langgraph_maker import create_voting_node
from langgraph_maker.core.errors import MakerError
from langgraph_maker.core.matchers import fields, within
from langgraph_maker.core.red_flags import RedFlag
from langgraph_maker.prebuilt.schema import Schema
from langgraph_maker.testing import ScriptedChatModel, tool_call


class Sets(BaseModel):
    lines: set[int] = Field(default_factory=set)
    tags: frozenset[str] = frozenset()


class Money(BaseModel):
    total: Decimal


class When(BaseModel):
    at: datetime
    took: timedelta = timedelta()


class Alias(BaseModel):
    total: int = Field(alias="totalAmount")


class Choices(BaseModel):
    total: int = Field(validation_alias=AliasChoices("sum", AliasPath("amounts", 1)))


class Deep(BaseModel):
    total: int = Field(validation_alias=AliasPath("amounts", 1, "value"))


class Written(BaseModel):
    total: int = Field(serialization_alias="written")


class Secrets(BaseModel):
    user: str
    password: SecretStr


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Painted(BaseModel):
    colour: Colour
    by: dict[Colour, int] = Field(default_factory=dict)


class Cat(BaseModel):
    kind: Literal["cat"]
    lives: int


class Dog(BaseModel):
    kind: Literal["dog"]
    age: int


class Pet(BaseModel):
    pet: Annotated[Cat | Dog, Field(discriminator="kind")]


class Computed(BaseModel):
    model_config = ConfigDict(extra="forbid")
    net: int

    @computed_field  # type: ignore[prop-decorator]
    @property
    def gross(self) -> int:
        return self.net * 2


class Hidden(BaseModel):
    total: int
    note: str = Field(default="", exclude=True)


class Rounded(BaseModel):
    total: float

    @field_serializer("total")
    def rounded(self, total: float) -> int:
        return round(total)


class Open(BaseModel):
    model_config = ConfigDict(extra="allow")
    total: int


class Raw(BaseModel):
    data: bytes


class Daily(BaseModel):
    at: time
    share: Fraction = Fraction(1)


class Counts(RootModel[dict[str, int]]):
    pass


@dataclass
class Data:
    total: Decimal


class Typed(typing_extensions.TypedDict):
    total: typing_extensions.Required[int]
    note: typing_extensions.NotRequired[str]


Old = typing.TypedDict("Old", {"total": int})  # noqa: UP013 - what pydantic does not read on Python 3.11

T = TypeVar("T")


class Titled(BaseModel, Generic[T]):
    model_config = ConfigDict(title="an invoice (v2)")
    total: T


def decide(schema: Any, answers: Sequence[dict[str, Any]], **options: Any) -> Any:
    name = convert_to_openai_tool(schema)["function"]["name"]
    model = ScriptedChatModel(answers=[tool_call(name, **answers[i % len(answers)]) for i in range(60)])
    given: dict[str, Any] = {"k": 3, "on_unresolved": "write", **options}
    return create_voting_node(
        model, read=lambda s: s, prompt=lambda q: q, schema=schema, write=lambda _, d: d, **given
    ).invoke("?")


@pytest.mark.parametrize(
    ("schema", "answers"),
    [
        (Sets, [{"lines": [0, 8]}, {"lines": [8, 0, 8]}]),
        (Sets, [{"tags": [*"abcdef"]}, {"tags": [*"fedcba"]}]),
        (Money, [{"total": "12.50"}, {"total": "12.5"}, {"total": 12.5}]),
        (Money, [{"total": "1E+2"}, {"total": "100"}, {"total": 100}]),
        (Money, [{"total": "-0.00"}, {"total": 0}]),
        (Money, [{"total": "0.10000000000000000001"}, {"total": "0.1000000000000000000100"}]),
        (When, [{"at": "2026-01-01T12:00:00+00:00"}, {"at": "2026-01-01T13:00:00+01:00"}]),
        (When, [{"at": "2026-01-01T12:00", "took": "PT60S"}, {"at": "2026-01-01T12:00:00", "took": 60}]),
        (Daily, [{"at": "12:00:00Z"}, {"at": "13:00:00+01:00"}]),
        (Daily, [{"at": "12:00", "share": "1/2"}, {"at": "12:00:00", "share": "0.5"}]),
        (Daily, [{"at": "00:30:00+01:00"}]),
        (Alias, [{"totalAmount": 7}]),
        (Choices, [{"sum": 7}, {"amounts": [0, 7]}]),
        (Deep, [{"amounts": [{}, {"value": 7}]}]),
        (Written, [{"total": 7}]),
        (Painted, [{"colour": "red", "by": {"blue": 1, "red": 2}}, {"colour": "red", "by": {"red": 2, "blue": 1}}]),
        (Pet, [{"pet": {"kind": "dog", "age": 3}}]),
        (Computed, [{"net": 7}]),
        (Hidden, [{"total": 7, "note": "by hand"}]),
        (Rounded, [{"total": 1.4}]),
        (Open, [{"total": 7, "more": ["a"]}, {"more": ["a"], "total": 7}]),
        (Raw, [{"data": "é"}, {"data": "é"}]),
        (Counts, [{"a": 1, "b": 2}, {"b": 2, "a": 1}]),
        (Titled[int], [{"total": 7}]),
        (Secrets, [{"user": "ada", "password": "hunter2"}, {"password": "hunter2", "user": "ada"}]),
    ],
)
def test_equal_objects_are_one_vote_that_they_can_be_made_of_again(schema: Any, answers: Any) -> None:
    decision = decide(schema, answers)
    assert (decision["status"], decision["samples"], len(decision["counts"])) == ("decided", 3, 1)
    for answer in answers:
        assert schema.model_validate(decision["vote"]) == schema.model_validate_json(json.dumps(answer))


@pytest.mark.parametrize(
    ("schema", "answers"),
    [
        (Secrets, [{"user": "ada", "password": word} for word in ("hunter2", "swordfish", "tr0ub4dor")]),
        (Hidden, [{"total": 7, "note": "a"}, {"total": 7, "note": "b"}]),
        (Rounded, [{"total": 1.1}, {"total": 1.2}]),
        (Money, [{"total": "0.10000000000000000001"}, {"total": "0.1"}]),
        (When, [{"at": "2026-01-01T12:00:00"}, {"at": "2026-01-01T12:00:00Z"}]),
        (Painted, [{"colour": "red"}, {"colour": "blue"}]),
    ],
)
def test_other_objects_are_other_votes(schema: Any, answers: Any) -> None:
    decision = decide(schema, answers, max_samples_per_step=12)
    assert (decision["status"], len(decision["counts"])) == ("unresolved", len(answers))


@pytest.mark.parametrize(
    ("schema", "name"),
    [(Typed, "Typed"), (Old, "Old"), (Data, "Data"), ({**Alias.model_json_schema(), "title": "A"}, "A")],
)
def test_schemas_of_other_kinds(schema: Any, name: str) -> None:
    field = "totalAmount" if name == "A" else "total"
    answers = [tool_call(name, **{field: "seven"}), *[tool_call(name, **{field: 7})] * 3]
    node = create_voting_node(
        ScriptedChatModel(answers=answers), read=str, prompt=str, schema=schema, write=lambda _, d: d
    )
    decision = node.invoke("?")
    assert (decision["vote"], decision["flags"]) == ({field: 7}, {"malformed": 1})


def test_the_tool_has_a_name_that_providers_take() -> None:
    bound: list[Any] = []

    class Binding(ScriptedChatModel):
        def bind_tools(self, tools: Any, **kwargs: Any) -> Any:
            bound.extend(tools)
            return super().bind_tools(tools, **kwargs)

    model = Binding(answers=[tool_call("an_invoice__v2_", total=7)])
    node = create_voting_node(model, read=str, prompt=str, schema=Titled[int], write=lambda _, d: d["vote"])
    assert node.invoke("?") == {"total": 7}
    assert {tool["name"] for tool in bound} == {"an_invoice__v2_"}


@pytest.mark.parametrize("schema", [7, dict, "Route", Alias(totalAmount=1), lambda: None])
def test_what_is_no_schema_is_refused_at_once(schema: Any) -> None:
    with pytest.raises(TypeError, match="schema is a pydantic model class, a TypedDict, a dataclass or a JSON schema"):
        Schema(schema)


def test_numeric_matchers_act_on_decimals() -> None:
    answers = [{"total": "9.99"}, {"total": "10"}, {"total": "10.000000000000000000001"}]
    assert decide(Money, answers, key=fields(total=within(0.011)))["status"] == "decided"
    apart = decide(
        Money, [{"total": "9.99"}, {"total": "10.01"}], key=fields(total=within(0.011)), max_samples_per_step=9
    )
    assert apart["status"] == "unresolved"


class TestSecrets:
    """They are with the process that drew them, and nowhere else."""

    class Asked(typing_extensions.TypedDict, total=False):
        q: str
        user: str

    @pytest.mark.parametrize("kind", ["model", "sampler"])
    def test_no_checkpoint_event_or_flag_holds_one(self, kind: str) -> None:
        words = ["hunter2", "swordfish", "hunter2", "hunter2", "hunter2"]
        answers = [json.dumps({"user": "ada", "password": word}) for word in words]
        answers.insert(0, '{"user": "ada", "password": ["tr0ub4dor"]}')
        asked = iter(answers)

        async def sampler(requests: Sequence[Any]) -> list[AIMessage]:
            return [AIMessage(next(asked)) for _ in requests]

        calls = [tool_call("Secrets", **json.loads(answer)) for answer in answers]
        seen: list[Any] = []
        known: list[Any] = []

        def validate(_: Any, vote: Any) -> RedFlag | None:
            known.append(vote["password"])
            return None

        node = create_voting_node(
            ScriptedChatModel(answers=calls) if kind == "model" else sampler,
            read=lambda s: s["q"],
            prompt=str,
            schema=Secrets,
            validate=validate,
            write=lambda _, d: seen.append(d) or {"user": d["vote"]["user"]},  # type: ignore[func-returns-value]
        )
        saver = InMemorySaver()
        graph = StateGraph(self.Asked).add_node("v", node).add_edge(START, "v").compile(checkpointer=saver)
        config: Any = {"configurable": {"thread_id": "t"}}
        modes: Any = ["updates", "custom", "values"]
        events = list(graph.stream({"q": "?"}, config, stream_mode=modes, subgraphs=True))
        [decision] = seen
        assert decision["vote"]["password"] == SecretStr("hunter2")
        assert decision["flags"] == {"malformed": 1}
        assert SecretStr("swordfish") in known
        kept = repr(events) + repr(saver.storage) + repr(saver.blobs) + repr(saver.writes)
        for word in ("hunter2", "swordfish", "tr0ub4dor"):
            assert word not in kept

    def test_other_kinds_of_secrets(self) -> None:
        class Others(BaseModel):
            pin: Secret[int]
            raw: SecretBytes

        assert decide(Others, [{"pin": 1, "raw": "a"}])["vote"] == {"pin": Secret(1), "raw": SecretBytes(b"a")}
        assert (
            decide(Others, [{"pin": 1, "raw": "a"}, {"pin": 2, "raw": "a"}], max_samples_per_step=6)["status"]
            == "unresolved"
        )

    def test_the_hash_is_the_same_in_every_process_and_salted(self) -> None:
        code = (
            "from pydantic import BaseModel, SecretStr\n"
            "from langgraph_maker.prebuilt.schema import Schema\n"
            "class {0}(BaseModel):\n    password: SecretStr\n"
            'print(Schema({0}).read(\'{{"password": "hunter2"}}\')["password"])'
        )
        done = [
            subprocess.run([sys.executable, "-c", code.format(name)], capture_output=True, text=True, check=True).stdout
            for name in ("One", "One", "Two")
        ]
        assert done[0] == done[1] != done[2]
        assert "hunter2" not in done[0]

    def test_one_that_is_not_known_here_is_not_made_up(self) -> None:
        form = Schema(Secrets)
        other = Schema(Secrets).read('{"user": "ada", "password": "hunter2"}')
        with pytest.raises(MakerError, match="secrets are not stored"):
            form.check_restored(form.restored(other))

    def test_a_model_cannot_say_that_its_answer_was_read_already(self) -> None:
        with pytest.raises(ValueError, match="Invalid JSON"):
            Schema(Alias).read('sealed: {"totalAmount": "not a number"}')
