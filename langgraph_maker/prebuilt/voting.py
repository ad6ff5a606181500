"""Assembly of the voting graph, and of one round of voting, which a maker graph has inside."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal, Never, TypeVar

from langchain_core.runnables import Runnable, RunnableConfig
from langgraph.graph import END, START, StateGraph
from langgraph.runtime import RunControl
from langgraph.types import Send

from langgraph_maker.core.ballot import Key
from langgraph_maker.core.canonical import canonical
from langgraph_maker.core.field_votes import FieldVotes
from langgraph_maker.core.keywords import check_keywords
from langgraph_maker.core.red_flags import RedFlag, RuleLike
from langgraph_maker.models.chat_sampler import token_allowance
from langgraph_maker.models.pool import Pool
from langgraph_maker.models.prices import Price
from langgraph_maker.models.resolve import Model
from langgraph_maker.models.router import sampler_of
from langgraph_maker.nodes import (
    escalate_node,
    guard_node,
    sample_node,
    tally_node,
)
from langgraph_maker.nodes.ask import ask_node, open_questions
from langgraph_maker.nodes.context import MakerContext, overrides
from langgraph_maker.nodes.guard import DEFAULT_RED_FLAGS, Parse, verdict_reader
from langgraph_maker.nodes.ladder import Audit, LadderLike, read_ladder
from langgraph_maker.nodes.langgraph_keys import default_durability
from langgraph_maker.nodes.node import Node
from langgraph_maker.nodes.prompt import Prompt, each_prompt
from langgraph_maker.nodes.release import releasing
from langgraph_maker.nodes.run_position import reopened
from langgraph_maker.nodes.state import (
    RoundState,
    VotingInput,
    VotingOutput,
    VotingState,
)
from langgraph_maker.nodes.tally import terms, to_be_drawn
from langgraph_maker.nodes.trace import TRACED

__all__ = ["create_voting_graph", "subgraph_node", "vote_again", "voting_round"]


S = TypeVar("S", VotingState, RoundState)


def create_voting_graph(
    model: Model,
    *,
    prompt: Prompt | Sequence[Prompt],
    parse: Parse,
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
    service_tier: str | None = None,
    messages: bool = False,
    **_unknown: Never,
) -> StateGraph[VotingState, MakerContext, VotingInput, VotingOutput]:
    """Return the graph that votes on a batch of subtasks until each is decided or unresolved (MAKER, Algorithm 2).

    Input `{"subtasks": [{"id": …, "state": …}]}`, output `{"decisions": [Decision]}` in the same order. Votes are
    any JSON values.

    Args:
        model: What to ask, see `models.Model`.
        prompt: φ, from a subtask's state to messages or to the text of one, or a template that is filled in with
            it; several are variants of one question.
        parse: ψ, from a response's text to a vote; raises `RedFlag` where there is none.
        key: Which votes are equal: those with equal keys, or as a relation of `matchers` has it.
        validate: From a state and a vote to a `RedFlag`, or None.
        k: The margin by which an answer must lead.
        red_flags: Which responses to discard, see `red_flags`.
        strict_parse: Whether an exception of `parse`, `validate`, `key` or a red flag on a response surfaces; a
            `ValueError` is a red flag all the same.
        first_temperature: Of each ballot's first sample; None leaves the model's own.
        temperature: Of all later samples.
        max_samples_per_step: Samples a ballot may use before it is unresolved; default 10 k², and at least 100.
        min_k: The least k that a runtime context may ask for (see `MakerContext`); None where it may lower none.
        ladder: See `create_maker`. A human is asked by an interrupt, which takes a checkpointer.
        decorrelate: The same.
        audit: The same.
        hedge: Samples in flight a ballot beyond those that could be needed, see `sample_node`.
        max_concurrency: Model calls at a time, see `create_maker`.
        call_timeout: Seconds after which a call is given up and retried; None for 600, 900 for the flex tier, and
            none in batches.
        outage_limit: Seconds for which a failing model call is retried before it raises `SamplingError`.
        price: What tokens cost, see `create_maker`.
        service_tier: Of calls, see `create_maker`.
        messages: Whether a decision has the `message` that its vote was read from, the first under its key. Until
            then one for each different answer is in the state, and in its checkpoints.

    Raises:
        ValueError: For an option out of range or an unknown model.
        TypeError: For an invalid model, and For an invalid `prompt`, `parse` or `key`.

    Example:
        >>> from langchain_core.language_models import FakeListChatModel
        >>> graph = create_voting_graph(
        ...     FakeListChatModel(responses=["4", "4", "5", "4", "4"]), prompt=lambda q: q, parse=int, k=3
        ... ).compile()
        >>> [decision] = graph.invoke({"subtasks": [{"id": "sum", "state": "2 + 2?"}]})["decisions"]
        >>> decision["vote"], decision["counts"]
        (4, [{'vote': 4, 'count': 4}, {'vote': 5, 'count': 1}])
    """
    check_keywords(create_voting_graph, _unknown)
    prompts = each_prompt(prompt)
    rungs = read_ladder(
        ladder,
        model=model,
        max_samples_per_step=max_samples_per_step,
        k=k,
        prompts=len(prompts),
        decorrelate=decorrelate,
        audit=audit,
    )
    by_field = isinstance(key, FieldVotes)
    if by_field and not rungs.plain:
        raise ValueError("votes by field take no ladder and no audit: a field that does not converge is unresolved")
    sampler = sampler_of(rungs.models, max_tokens=token_allowance(red_flags), service_tier=service_tier)
    pool = Pool(sampler, max_concurrency=max_concurrency, call_timeout=call_timeout, outage_limit=outage_limit)
    builder = voting_round(
        StateGraph(VotingState, MakerContext, input_schema=VotingInput, output_schema=VotingOutput),
        sample=sample_node(
            sampler,
            prompt=prompts,
            k=k,
            first_temperature=first_temperature,
            temperature=temperature,
            max_samples_per_step=max_samples_per_step,
            min_k=min_k,
            hedge=hedge,
            ladder=rungs,
            pool=pool,
        ),
        guard=releasing(
            pool,
            guard_node(
                parse=parse,
                key=key,
                validate=validate,
                red_flags=red_flags,
                price=price,
                compares=not rungs.varied,
                strict_parse=strict_parse,
                messages=messages,
            ),
        ),
        tally=releasing(
            pool,
            tally_node(
                k=k,
                max_samples_per_step=max_samples_per_step,
                min_k=min_k,
                hedge=hedge,
                ladder=rungs,
                by_field=by_field,
            ),
        ),
    )

    def goes_on(state: VotingState) -> str:
        return "sample" if to_be_drawn(state, terms(k, max_samples_per_step, rungs, overrides(), min_k)) else END

    def after_escalate(state: VotingState) -> Any:
        """Let ballots that are open continue first; a human is asked once none is."""
        if goes_on(state) == "sample" or not (questions := open_questions(state["ballots"])):
            return goes_on(state)
        return [Send("ask", question) for question in questions]

    if rungs.plain:
        return builder.add_conditional_edges("tally", goes_on, ["sample", END])
    read = verdict_reader(parse=parse, key=key, validate=validate, red_flags=red_flags)
    builder.add_node("escalate", releasing(pool, escalate_node(ladder=rungs, read=read, decisions=True)), **TRACED)
    builder.add_conditional_edges(
        "tally",
        lambda state: "escalate" if any(map(rungs.concerns, state["ballots"])) else goes_on(state),
        ["escalate", "sample", END],
    )
    builder.add_conditional_edges("escalate", after_escalate, ["sample", *(["ask"] if rungs.human else []), END])
    return builder.add_node("ask", ask_node()).add_edge("ask", "escalate") if rungs.human else builder


def vote_again(ended: VotingState) -> tuple[dict[str, Any], str]:
    """Have a vote that has ended counted again, under the k and the budget of now; what it drew is not drawn again.

    What was given up is tried again, and what was decided by less than k is open again (`to_be_drawn`).
    """
    return {"ballots": reopened(ended.get("ballots", [])), "decisions": []}, "guard"


def subgraph_node(name: str, builder: StateGraph[Any, MakerContext, Any, Any]) -> Node:
    """Return the graph as a node without checkpoints of its own, whose namespaces would pile up; drawn all the same.

    A host that drains does so after the round: within it, what has arrived would be lost.
    """
    graph = builder.compile(checkpointer=False, name=name)

    def call(state: Any, config: RunnableConfig) -> dict[str, Any]:
        return graph.invoke(state, default_durability(config), control=RunControl())

    async def acall(state: Any, config: RunnableConfig) -> dict[str, Any]:
        return await graph.ainvoke(state, default_durability(config), control=RunControl())

    return Node(name, call, acall, shows=[builder.compile(name=name)])


def voting_round(
    graph: StateGraph[S, MakerContext, Any, Any],
    *,
    sample: Runnable[Any, dict[str, Any]],
    guard: Runnable[Any, dict[str, Any]],
    tally: Runnable[Any, dict[str, Any]],
) -> StateGraph[S, MakerContext, Any, Any]:
    """Assemble one round of voting; what follows `tally` is the caller's."""
    return (
        graph.add_node("sample", sample, **TRACED)
        .add_node("guard", guard, **TRACED)
        .add_node("tally", tally, **TRACED)
        .add_edge(START, "sample")
        .add_edge("sample", "guard")
        .add_edge("guard", "tally")
    )
