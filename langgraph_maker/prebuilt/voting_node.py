"""One voted step in anyone's graph."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Literal, Never, TypeAlias, cast

from langchain_core.runnables import Runnable, RunnableConfig
from langchain_core.runnables.config import patch_config

from langgraph_maker.core.ballot import Key, check_margin
from langgraph_maker.core.canonical import canonical
from langgraph_maker.core.errors import UnresolvedError
from langgraph_maker.core.field_votes import FieldVotes
from langgraph_maker.core.foreign import error_text, excerpt
from langgraph_maker.core.keywords import check_keywords
from langgraph_maker.core.margin import unresolved_reason
from langgraph_maker.core.matchers import rules_of
from langgraph_maker.core.questions import Question
from langgraph_maker.core.red_flags import AnyOf, RedFlag, RuleLike
from langgraph_maker.core.state import Decision, VoteCount
from langgraph_maker.models.prices import Price
from langgraph_maker.models.resolve import Model
from langgraph_maker.nodes.budget import Budget, Limits, budgeted
from langgraph_maker.nodes.emit import Events, Host
from langgraph_maker.nodes.guard import DEFAULT_RED_FLAGS, Parse
from langgraph_maker.nodes.ladder import Audit, LadderLike, Tier
from langgraph_maker.nodes.langgraph_keys import default_durability, saves_at_exit
from langgraph_maker.nodes.node import Node
from langgraph_maker.nodes.prompt import Prompt
from langgraph_maker.nodes.state import VotingInput
from langgraph_maker.prebuilt.account import ThreadAccount
from langgraph_maker.prebuilt.host import (
    NO_LIMIT,
    aread_from,
    areopen,
    awrite_to,
    check_callable,
    check_on_unresolved,
    read_from,
    reopen,
    write_to,
)
from langgraph_maker.prebuilt.schema import Schema, SchemaLike
from langgraph_maker.prebuilt.voting import create_voting_graph, vote_again
from langgraph_maker.prebuilt.watch import VoteObserver, watched

__all__ = ["create_voting_node"]


Validate: TypeAlias = Callable[[Any, Any], RedFlag | None]


def create_voting_node(
    model: Model,
    *,
    read: Callable[[Any], Any],
    prompt: Prompt | Sequence[Prompt],
    write: Callable[[Any, Decision], Any],
    parse: Parse | None = None,
    schema: SchemaLike | None = None,
    votes: Literal["whole", "fields"] = "whole",
    key: Key = canonical,
    validate: Callable[[Any, Any], RedFlag | None] | None = None,
    k: int = 3,
    red_flags: RuleLike | None = DEFAULT_RED_FLAGS,
    strict_parse: bool = False,
    first_temperature: float | None = 0.0,
    temperature: float | None = 0.1,
    max_samples_per_step: int | None = None,
    min_k: int | None = None,
    ladder: LadderLike = None,
    decorrelate: Literal["variants"] | None = None,
    audit: Audit | float | None = None,
    hedge: int = 0,
    max_concurrency: int | None = None,
    call_timeout: float | None = None,
    outage_limit: float = 600.0,
    price: Price | None = None,
    max_total_samples: int | None = None,
    max_cost: float | None = None,
    service_tier: str | None = None,
    events: Events = True,
    ask: Callable[[Question], Any] | None = None,
    observer: VoteObserver | None = None,
    on_unresolved: Literal["raise", "write"] = "raise",
    **_unknown: Never,
) -> Runnable[Any, Any]:
    """Return a node for any graph: reads the host's state, votes on one question, writes the decision back.

    A vote that broke off or stayed unresolved resumes what it counted when the host's thread does. A
    `RetryPolicy` of the node takes every attempt for another vote, which begins afresh and buys its samples again; the
    default one leaves `UnresolvedError` and `SamplingError` alone, and what retries them is better set not to.

    The vote is checkpointed with the host's own checkpointer, if it has one: a run that broke off in mid-vote goes
    on without buying the counted votes again, and so does one whose vote was unresolved, under a larger
    `max_samples_per_step`.

    Args:
        model: What to ask, see `models.Model`.
        read: From the host's state to the JSON value that `prompt` is written from.
        prompt: φ, from that value to messages or to the text of one, or a template that is filled in with
            it; several are variants of one question.
        write: From the host's state and the `Decision` to the host's update. `decision["message"]` is the response that
            the vote was read from, as for a host's `messages`; None where the vote is unresolved, a human's own answer,
            or holds secrets. `read`, `prompt` and `write` may be async.
        parse: ψ, from a response's text to a vote; raises `RedFlag` where there is none. One whose argument is
            annotated `AIMessage` gets the whole message. This or `schema`.
        schema: What answers must fit: a pydantic model, a TypedDict, a dataclass, or a JSON schema. Votes are the JSON
            that the object can be made of again (`schema.model_validate(decision["vote"])`), equal for equal objects;
            a secret is in it for `write` and `validate` only, and by a salted hash elsewhere. Models that can call
            tools are made to, from others the response's text must be that JSON.
        votes: "whole" votes on an answer as it is. "fields" decides each field of an object by its own
            first-to-ahead-by-k over the same samples: `decision["fields"]` has how each ended, with its agreement, and
            the vote is the object of the winners once all are decided. No single response may have given that
            object, so `schema` and `validate` judge it too, and it is unresolved where they refuse it.
        key: Which votes are equal: those with equal keys, or as a relation of `matchers` has it. With votes="fields":
            `matchers.fields(…)`, which names the fields to vote on; without it all are, by `matchers.canonical`.
        validate: From the value read and a vote to a `RedFlag`, or None.
        k: The margin by which an answer must lead.
        red_flags: Which responses to discard.
        strict_parse: Whether an exception of `parse`, `validate`, `key` or a red flag on a response surfaces; a
            `ValueError` is a red flag all the same.
        first_temperature: Of the first sample; None leaves the model's own.
        temperature: Of all later samples.
        max_samples_per_step: Samples before the vote is unresolved; default 10 k², and at least 100.
        min_k: The least k that a runtime context may ask for (see `MakerContext`); None where it may lower none.
        ladder: What to do about a vote that does not converge, see `create_maker`. A human is asked by an interrupt;
            the vote is saved before, by the host's checkpointer, and the answer buys no sample.
        decorrelate: See `create_maker`.
        audit: The same.
        hedge: Samples in flight beyond those that could be needed, see `nodes.sample_node`.
        max_concurrency: Model calls at a time, see `create_maker`.
        call_timeout: Seconds after which a call is given up and retried; None for 600, 900 for the flex tier, and
            none in batches.
        outage_limit: Seconds for which a failing model call is retried before it raises `SamplingError`.
        price: What tokens cost, see `create_maker`.
        max_total_samples: Samples that all visits of this node may draw on one thread; a vote that would take more is
            unresolved. Without a checkpointer there is no thread, and each visit may draw them.
        max_cost: Dollars that they may spend, likewise; a vote is ended after the round that reaches them.
        service_tier: Of calls, see `create_maker`.
        events: What continues the host's custom stream (`events.Votes`): True, False for nothing, or a function of each
            event, of which what it returns is sent in its place, unless it is None.
        ask: From a `ladder.Question` to what `interrupt` hands to the host, in the form that its users know; None for
            the question itself. The answer is a `ladder.Form` either way.
        observer: Called with each `events.VoteEnded`, such as `otel.Telemetry()`.
        on_unresolved: "raise" an `UnresolvedError`, or "write" the decision, whose status then says "unresolved".

    Raises:
        ValueError: For an option out of range, or not exactly one of `parse` and `schema`; while running, when
            `read` asks for a key that the host's state does not have, or the runtime context has a bad setting.
        TypeError: For an invalid `schema`, or an invalid model or function; while running, when `write` returns
            no update.
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
    check_margin(k)
    check_on_unresolved(on_unresolved)
    _check_votes(votes, parse, schema)
    host, account = Host(events, ask), ThreadAccount(Limits(max_total_samples, max_cost))
    check_callable("read", read, "state")
    check_callable("write", write, "state", "decision")
    form = None if schema is None else Schema(schema)
    if form is not None:
        model, parse, ladder = form.asked_of(model), form.read, _tiers_asked(ladder, form)
        red_flags = AnyOf(*(() if red_flags is None else (red_flags,)), form.flag)
        validate = _knowing(form, validate)
    graph = create_voting_graph(
        model,
        prompt=prompt,
        parse=cast("Parse", parse),
        key=key if votes == "whole" else _by_field(key),
        validate=validate,
        k=k,
        red_flags=red_flags,
        strict_parse=strict_parse,
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
        service_tier=service_tier,
        messages=form is None or not form.has_secrets,
    ).compile(name="vote")

    def subtasks(found: Any) -> VotingInput:
        return {"subtasks": [{"id": "vote", "state": found}]}

    def decided(output: dict[str, Any], found: Any, budget: Budget | None) -> Decision:
        decision: Decision = output["decisions"][0]
        spent = budget.why(decision) if budget is not None else ""
        if refused := _refused(decision, found, form, validate):
            decision = {**decision, "status": "unresolved", "vote": None, "message": None, "last_flag": refused}
        if decision["status"] == "unresolved" and on_unresolved == "raise":
            raise UnresolvedError(decision, refused or spent or _why(decision))
        return decision if form is None or not form.has_secrets else _restored(form, decision)

    def inside(config: RunnableConfig) -> RunnableConfig:
        if saves_at_exit(config):
            config = default_durability(config)
        return patch_config(config, recursion_limit=NO_LIMIT)

    def vote(state: Any, config: RunnableConfig) -> Any:
        budget = account.open(inside(config))
        try:
            with watched(observer, k, min_k) as ended, host.inside(), budgeted(budget):
                reopen(graph, inside(config), vote_again)
                found = read_from(state, read)
                decision = decided(graph.invoke(subtasks(found), inside(config)), found, budget)
                ended(decision)
        finally:
            account.close(budget, inside(config))
        return write_to(state, write, decision, config)

    async def avote(state: Any, config: RunnableConfig) -> Any:
        budget = await account.aopen(inside(config))
        try:
            with watched(observer, k, min_k) as ended, host.inside(), budgeted(budget):
                await areopen(graph, inside(config), vote_again)
                found = await aread_from(state, read)
                decision = decided(await graph.ainvoke(subtasks(found), inside(config)), found, budget)
                ended(decision)
        finally:
            await account.aclose(budget, inside(config))
        return await awrite_to(state, write, decision, config)

    return Node("vote", vote, avote, shows=[graph])


def _restored(form: Schema, decision: Decision) -> Decision:
    """Return the decision with the secrets themselves."""
    form.check_restored(vote := form.restored(decision["vote"]))
    counts: list[VoteCount] = [{**one, "vote": form.restored(one["vote"])} for one in decision["counts"]]
    restored: Decision = {**decision, "vote": vote, "counts": counts}
    if "fields" in decision:
        restored["fields"] = form.restored(decision["fields"])
    return restored


def _by_field(key: Key) -> FieldVotes:
    """Return the key of votes by field.

    Raises:
        ValueError: For a matcher that does not say which fields there are.
    """
    if (rules := rules_of(key)) is None and key is not canonical:
        raise ValueError(
            'votes="fields" takes key=matchers.fields("number", vendor=text, …), which says how each field is compared;'
            f" {excerpt(key)} compares whole votes"
        )
    return FieldVotes(rules)


def _refused(decision: Decision, state: Any, form: Schema | None, validate: Validate | None) -> str:
    """Return why the object that the fields make is refused; "" where it is not."""
    vote, flag = decision["vote"], None
    if "fields" not in decision or vote is None:
        return ""
    try:
        if form is not None and vote.keys() >= decision["counts"][0]["vote"].keys():  # else it is a part
            form.read(json.dumps(vote))
        flag = validate(state, vote) if validate is not None else None
    except RedFlag as raised:
        flag = raised
    except Exception as error:  # noqa: BLE001 - as of a response
        flag = RedFlag("malformed", error_text(error))
    return f"the fields were decided one by one, but together they are refused: {flag}" if flag else ""


def _why(decision: Decision) -> str:
    counts = [count["count"] for count in decision["counts"]]
    why = unresolved_reason(decision["samples"], decision["flags"], decision["last_flag"], counts)
    unresolved = [name for name, field in decision.get("fields", {}).items() if field["status"] == "unresolved"]
    return f"fields that did not converge: {excerpt(unresolved)}; {why}" if unresolved else why


def _check_votes(votes: object, parse: object, schema: object) -> None:
    if (parse is None) == (schema is None):
        raise ValueError(
            "give either parse, which reads a response's text (parse=str takes it as it is), or schema, such as a"
            " pydantic model, and not both"
        )
    if votes not in ("whole", "fields"):
        raise ValueError(f'votes is "whole" or "fields", not {excerpt(votes)}')


def _knowing(form: Schema, validate: Validate | None) -> Validate | None:
    """Return what sees the secrets of a vote."""
    if validate is None or not form.has_secrets:
        return validate
    return lambda state, vote: validate(state, form.restored(vote))


def _tiers_asked(ladder: LadderLike, schema: Schema) -> LadderLike:
    """Return the ladder whose models are asked for the same form."""
    if ladder is None or isinstance(ladder, str):
        return ladder

    def asked(tier: Any) -> Any:
        if not isinstance(tier, Tier) or tier.model is None:
            return tier
        many = isinstance(tier.model, Sequence) and not isinstance(tier.model, str)
        return replace(tier, model=[*map(schema.asked_of, tier.model)] if many else schema.asked_of(tier.model))  # type: ignore[arg-type]

    return [asked(tier) for tier in ladder]
