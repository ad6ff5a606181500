"""One voted step in anyone's graph."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Literal, Never, cast

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage
from langchain_core.runnables import Runnable, RunnableConfig, RunnableLambda
from langchain_core.runnables.config import patch_config
from pydantic import BaseModel

from langgraph_maker.ballot import Key, canonical
from langgraph_maker.errors import UnresolvedError
from langgraph_maker.hosts import (
    NO_LIMIT,
    areopen,
    check_callable,
    check_on_unresolved,
    read_from,
    reopen,
    saves_at_exit,
    write_to,
)
from langgraph_maker.keywords import check_keywords
from langgraph_maker.ladder import Audit, LadderLike
from langgraph_maker.ladder.questions import Question
from langgraph_maker.margins import in_words
from langgraph_maker.models import Model, chat_model, each_chat_model
from langgraph_maker.nodes.emit import Events, Host
from langgraph_maker.nodes.guard import DEFAULT_RED_FLAGS, Parse
from langgraph_maker.nodes.node import Node
from langgraph_maker.nodes.sample import Prompt
from langgraph_maker.nodes.state import VotingInput
from langgraph_maker.prices import Price
from langgraph_maker.red_flags import AnyOf, RedFlag, RuleLike
from langgraph_maker.state import Decision
from langgraph_maker.voting_graph import create_voting_graph, default_durability, vote_again

__all__ = ["create_voting_node", "one_answer", "structured"]


def create_voting_node(
    model: Model,
    *,
    read: Callable[[Any], Any],
    prompt: Prompt | Sequence[Prompt],
    write: Callable[[Any, Decision], Any],
    parse: Parse | None = None,
    schema: type[BaseModel] | None = None,
    key: Key = canonical,
    validate: Callable[[Any, Any], RedFlag | None] | None = None,
    k: int = 3,
    red_flags: RuleLike | None = DEFAULT_RED_FLAGS,
    first_temperature: float | None = 0.0,
    temperature: float | None = 0.1,
    max_samples_per_step: int | None = None,
    min_k: int | None = None,
    ladder: LadderLike = None,
    decorrelate: Literal["variants"] | None = None,
    audit: Audit | float | None = None,
    hedge: int = 0,
    max_concurrency: int | None = None,
    call_timeout: float = 600.0,
    outage_limit: float = 600.0,
    price: Price | None = None,
    events: Events = True,
    ask: Callable[[Question], Any] | None = None,
    on_unresolved: Literal["raise", "write"] = "raise",
    **_unknown: Never,
) -> Runnable[Any, Any]:
    """A node for any graph: reads the host's state, votes on one question, writes the decision back.

    A vote that broke off or stayed unresolved goes on with what it counted when the host's thread does. A
    `RetryPolicy` of the node takes every attempt for another vote, which begins afresh and buys its samples again; the
    default one leaves `UnresolvedError` and `SamplingError` alone, and what retries them is better told not to.

    The vote is checkpointed with the host's own checkpointer, if it has one: a run that broke off in mid-vote goes
    on without buying the counted votes again, and so does one whose vote was unresolved, under a larger
    `max_samples_per_step`.

    Args:
        model: What to ask, see `models.Model`.
        read: From the host's state to the JSON value that `prompt` is written from.
        prompt: φ, from that value to messages or to the text of one; several are variants of one question.
        write: From the host's state and the `Decision` to the host's update.
        parse: ψ, from a response's text to a vote; raises `RedFlag` where there is none. One whose argument is
            annotated `AIMessage` gets the whole message. This or `schema`.
        schema: A pydantic model that answers must fit; votes are its JSON. Models that can call tools are made to,
            from others the response's text must be that JSON.
        key: Which votes are equal: those with equal keys, or as a relation of `matchers` has it.
        validate: From the value read and a vote to a `RedFlag`, or None.
        k: The margin by which an answer must lead.
        red_flags: Which responses to discard.
        first_temperature: Of the first sample; None leaves the model's own.
        temperature: Of all later samples.
        max_samples_per_step: Samples before the vote is unresolved; default 10 k², and at least 100.
        min_k: The least k that a runtime context may ask for (see `MakerContext`); None where it may lower none.
        ladder: What to do about a vote that does not settle, see `create_maker`. A human is asked by an interrupt; the
            vote is saved before, by the host's checkpointer, and the answer buys no sample.
        decorrelate: See `create_maker`.
        audit: The same.
        hedge: Samples in flight beyond those that could be needed, see `nodes.sample_node`.
        max_concurrency: Model calls at a time, see `create_maker`.
        call_timeout: Seconds after which a model call is given up and made again.
        outage_limit: Seconds for which a failing model call is made again before it raises `SamplingError`.
        price: What tokens cost, see `create_maker`.
        events: What goes on the host's custom stream (`events.Votes`): True, False for nothing, or a function of each
            event, of which what it returns is sent in its place, unless it is None.
        ask: From a `ladder.Question` to what `interrupt` hands to the host, in the form that its users know; None for
            the question itself. The answer is a `ladder.Form` either way.
        on_unresolved: "raise" an `UnresolvedError`, or "write" the decision, whose status then says "unresolved".

    Raises:
        ValueError: For an option out of range, or not exactly one of `parse` and `schema`; while running, when
            `read` asks for a key that the host's state does not have, or the runtime context has a bad setting.
        TypeError: For a `schema` that is no pydantic model, or a model or function that is none; while running, when
            `write` returns no update.
        SamplingError: While running, when the model refused or was out of reach for too long.
        UnresolvedError: While running, see `on_unresolved`.

    Example:
        >>> from langchain_core.language_models import FakeListChatModel
        >>> node = create_voting_node(
        ...     FakeListChatModel(responses=["positive"]),
        ...     read=lambda state: state["review"],
        ...     prompt=lambda review: f"Positive or negative? One word. {review}",
        ...     parse=str.lower,
        ...     write=lambda state, decision: {"mood": decision["vote"]},
        ... )
        >>> node.invoke({"review": "I liked it."})
        {'mood': 'positive'}
    """
    check_keywords(create_voting_node, _unknown)
    if (parse is None) == (schema is None):
        raise ValueError("give either parse, which reads a response's text, or schema, a pydantic model, and not both")
    check_on_unresolved(on_unresolved)
    host = Host(events, ask)
    check_callable("read", read)
    check_callable("write", write)
    if schema is not None:
        model, parse = structured(model, schema), _reader(schema)
        red_flags = AnyOf(*(() if red_flags is None else (red_flags,)), one_answer(schema))
    graph = create_voting_graph(
        model,
        prompt=prompt,
        parse=cast("Parse", parse),
        key=key,
        validate=validate,
        k=k,
        red_flags=red_flags,
        first_temperature=first_temperature,
        temperature=temperature,
        max_samples_per_step=max_samples_per_step,
        min_k=min_k,
        ladder=ladder,
        decorrelate=decorrelate,
        audit=audit,
        hedge=hedge,
        max_concurrency=max_concurrency,
        call_timeout=call_timeout,
        outage_limit=outage_limit,
        price=price,
    ).compile(name="vote")

    def subtasks(state: Any) -> VotingInput:
        return {"subtasks": [{"id": "vote", "state": read_from(state, read)}]}

    def finish(state: Any, output: dict[str, Any], config: RunnableConfig) -> Any:
        decision: Decision = output["decisions"][0]
        if decision["status"] == "unresolved" and on_unresolved == "raise":
            counts = [count["count"] for count in decision["counts"]]
            raise UnresolvedError(
                decision, in_words(decision["samples"], decision["flags"], decision["last_flag"], counts)
            )
        return write_to(state, write, decision, config)

    def inside(config: RunnableConfig) -> RunnableConfig:
        if saves_at_exit(config):
            config = default_durability(config)
        return patch_config(config, recursion_limit=NO_LIMIT)

    def vote(state: Any, config: RunnableConfig) -> Any:
        with host.inside():
            reopen(graph, inside(config), vote_again)
            output = graph.invoke(subtasks(state), inside(config))
        return finish(state, output, config)

    async def avote(state: Any, config: RunnableConfig) -> Any:
        with host.inside():
            await areopen(graph, inside(config), vote_again)
            output = await graph.ainvoke(subtasks(state), inside(config))
        return finish(state, output, config)

    return Node("vote", vote, avote, shows=[graph])


def structured(model: Model, schema: type[BaseModel]) -> Model:
    """Draws answers in the form of `schema`, as tool calls where the model has them."""
    if not (isinstance(schema, type) and issubclass(schema, BaseModel)):
        raise TypeError(f"schema is a pydantic model class, not {schema!r}")
    if isinstance(model, str):
        model = chat_model(model)
    if not isinstance(model, Runnable):
        return model

    def with_tool(one: BaseChatModel) -> Runnable[Any, Any]:
        with suppress(NotImplementedError):  # a model without tools has to be prompted for the JSON
            return one.bind_tools([schema], tool_choice="any")
        return one

    return each_chat_model(model, with_tool) | RunnableLambda(_as_text)


def _as_text(response: Any) -> Any:
    """The arguments of the tool call stand in for the text."""
    if not isinstance(response, AIMessage) or not response.tool_calls:
        return response
    return response.model_copy(update={"content": json.dumps(response.tool_calls[0]["args"])})


def one_answer(schema: type[BaseModel]) -> RuleLike:
    """Flags an answer that is several, or for another tool, or one that the model's own client could not read."""

    def rule(response: AIMessage) -> RedFlag | None:
        called = [call["name"] for call in [*response.tool_calls, *response.invalid_tool_calls]]
        if response.invalid_tool_calls or called not in ([], [schema.__name__]):
            return RedFlag("tool_calls", f"{called}, where one valid call of {schema.__name__} was asked for")
        return None

    return rule


def _reader(schema: type[BaseModel]) -> Callable[[str], Any]:
    def parse(text: str) -> Any:
        return schema.model_validate_json(text).model_dump(mode="json")

    return parse
