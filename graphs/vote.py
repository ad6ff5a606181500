"""Any question for LangGraph Studio, decided by a vote: of a simulated model that needs no key, or of one of yours."""

import json
import re
from collections.abc import Sequence
from functools import lru_cache
from hashlib import blake2b
from typing import Annotated, Any, NotRequired

from langchain_core.messages import AIMessage
from langgraph.graph import START, StateGraph
from langgraph.runtime import get_runtime
from pydantic import Field, field_validator
from typing_extensions import TypedDict

from langgraph_maker import Decision, MakerContext, RedFlag, create_voting_node
from langgraph_maker.core.state import Request, Sampler, VoteCount
from langgraph_maker.models.chat_sampler import as_sampler
from langgraph_maker.red_flags import Matches, TokenLimit, Truncated

SIMULATED = "simulated"


def _setting(default: Any, description: str, **bounds: Any) -> Any:
    return Field(default, description=description, json_schema_extra={"langgraph_nodes": ["vote"]}, **bounds)


class Settings(MakerContext):
    """Who is asked, and when an answer counts."""

    model: str = _setting(
        SIMULATED,
        "Who is asked. 'simulated' needs no key, knows nothing, and answers by lot; else 'provider:name', such as"
        " 'openai:gpt-4.1-mini', with its key in the environment.",
    )
    k: int = _setting(3, "Votes by which an answer must lead every other.", ge=1, le=100)
    first_temperature: float = _setting(0.0, "Temperature of the first sample.", ge=0, le=2)
    temperature: float = _setting(0.1, "Temperature of all later samples.", ge=0, le=2)
    max_samples_per_step: int = _setting(
        None, "Samples after which the vote is unresolved, at least k; empty for 10 k², and at least 100.", ge=1
    )
    token_limit: int = _setting(750, "Red flag: an answer of more tokens is thrown away.", ge=1)
    forbidden: str = _setting(
        "", "Red flag: an answer that matches this regular expression is thrown away; empty for none."
    )

    @field_validator("forbidden")
    @classmethod
    def _is_pattern(cls, pattern: str) -> str:
        try:
            re.compile(pattern)
        except re.error as error:
            raise ValueError(f"no regular expression: {error}") from error
        return pattern


class Question(TypedDict):
    """What to vote on."""

    question: Annotated[str, Field(description="What to ask.", min_length=1)]
    answers: NotRequired[
        Annotated[list[str], Field(description="The answers to choose from; none for an answer in a few words.")]
    ]


class Answer(TypedDict, total=False):
    """What the vote came to: `answer` is None where it is unresolved."""

    answer: str | None
    status: str
    counts: list[VoteCount]
    samples: int
    flags: dict[str, int]
    model: str


class State(Question, Answer):
    """The question, and then the answer."""


def settings() -> Settings:
    """Those of this run, or the defaults."""
    return get_runtime(Settings).context or Settings()


def read(state: State) -> dict[str, Any]:
    """The question with its answers, if it has any.

    Raises:
        ValueError: When there is no question, the answers are no texts that differ, or the model that is to be asked is
            none or lacks its key.
    """
    question, answers = state.get("question"), state.get("answers") or []
    if not isinstance(question, str) or not question.strip():
        raise ValueError("there is no question: fill in what to ask, a text")
    if not isinstance(answers, list) or not all(isinstance(one, str) and key(one) for one in answers):
        raise ValueError(f"answers is a list of texts to choose from, or empty, not {answers!r}")
    if len({key(one) for one in answers}) < len(answers):
        raise ValueError(f"two of the answers {answers!r} are one, but for case, spaces or a full stop at the end")
    sampler(settings().model, settings().token_limit)
    return {"question": question, "answers": answers}


def prompt(asked: dict[str, Any]) -> str:
    """φ: the question, and what form its answer must have."""
    form = f"{_ONE_OF}{json.dumps(asked['answers'])}" if asked["answers"] else "Answer in a few words, nothing else."
    return f"{asked['question']}\n\n{form}"


def key(answer: str) -> str:
    """Answers that differ in case, spaces or a full stop at the end are one."""
    return " ".join(answer.casefold().split()).removesuffix(".").rstrip()


def validate(asked: dict[str, Any], answer: str) -> RedFlag | None:
    """Flags what is none of the answers."""
    if asked["answers"] and key(answer) not in map(key, asked["answers"]):
        return RedFlag("not_an_answer", answer)
    return None


def red_flags(response: AIMessage) -> RedFlag | None:
    """Those of the settings."""
    chosen = settings()
    rule = TokenLimit(chosen.token_limit) | Truncated()
    return (rule | Matches(chosen.forbidden) if chosen.forbidden else rule)(response)


def write(_: State, decision: Decision) -> Answer:
    """The decision as it stands, so that an unresolved one can be looked at."""
    return {
        "answer": decision["vote"],
        "status": decision["status"],
        "counts": decision["counts"],
        "samples": decision["samples"],
        "flags": decision["flags"],
        "model": settings().model,
    }


async def ask(requests: Sequence[Request]) -> Sequence[AIMessage | Exception]:
    """The model of the settings."""
    return await sampler(settings().model, settings().token_limit)(requests)


@lru_cache(maxsize=16)
def sampler(model: str, token_limit: int) -> Sampler:
    """What draws from `model`, asked for a little more than the limit, or nothing could exceed it."""
    return simulated if model == SIMULATED else as_sampler(model, max_tokens=token_limit + 100)


async def simulated(requests: Sequence[Request]) -> list[AIMessage]:
    """Stands in for a model: it leans to one of the answers by lot, and rambles now and then."""
    return [_by_lot(request.messages[-1].text, request.number) for request in requests]


def _by_lot(asked: str, number: int) -> AIMessage:
    _, given, options = asked.rpartition(_ONE_OF)
    answers = json.loads(options) if given else [f"simulated answer {name}" for name in "ABC"]
    drawn = _lot(f"{asked} {number}", 100)
    if drawn < _RAMBLES:
        return AIMessage("Let me think. " * 400)
    favourite = _lot(asked, len(answers))
    return AIMessage(answers[favourite if drawn < _LEANS else (favourite + drawn) % len(answers)])


def _lot(seed: str, of: int) -> int:
    return int.from_bytes(blake2b(seed.encode(), digest_size=8).digest()) % of


_ONE_OF = "Answer with one of these, nothing else: "
_RAMBLES = 5  # in a hundred
_LEANS = 75

graph = (
    StateGraph(State, Settings, input_schema=Question, output_schema=Answer)
    .add_node(
        "vote",
        create_voting_node(
            ask,
            read=read,
            prompt=prompt,
            parse=str.strip,
            key=key,
            validate=validate,
            red_flags=red_flags,
            write=write,
            min_k=1,
            on_unresolved="write",
        ),
    )
    .add_edge(START, "vote")
    .compile(name="vote")
)
