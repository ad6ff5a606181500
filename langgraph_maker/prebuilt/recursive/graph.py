"""Assembly of the recursive maker; what its nodes do stands in `frontier` and `growth`."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from typing import Any, Literal, Never

from langgraph.graph import END, START, StateGraph
from langgraph.types import Send

from langgraph_maker.core.ballot import check_margin
from langgraph_maker.core.foreign import excerpt
from langgraph_maker.core.keywords import check_keywords
from langgraph_maker.core.margin import check_budget, margin_asked
from langgraph_maker.core.numbers import check_number, check_whole
from langgraph_maker.core.reasons import Stop
from langgraph_maker.core.red_flags import RedFlag, RuleLike
from langgraph_maker.models.chat_sampler import token_allowance
from langgraph_maker.models.pool import Pool
from langgraph_maker.models.prices import Price, recorded
from langgraph_maker.models.resolve import Model, is_simulated, model_name
from langgraph_maker.nodes import guard_node, sample_node, tally_node
from langgraph_maker.nodes.ask import ask_node
from langgraph_maker.nodes.context import MakerContext, overrides
from langgraph_maker.nodes.entry import entering
from langgraph_maker.nodes.guard import DEFAULT_RED_FLAGS
from langgraph_maker.nodes.ladder import LadderLike, read_ladder
from langgraph_maker.nodes.release import releasing
from langgraph_maker.nodes.state import RoundInput, RoundOutput, RoundState
from langgraph_maker.nodes.tenant import Namespace
from langgraph_maker.nodes.trace import TRACED
from langgraph_maker.prebuilt.maker import check_cost
from langgraph_maker.prebuilt.recursive.frontier import frontier_node
from langgraph_maker.prebuilt.recursive.growth import Choosing, escalate_tree_node, grow_node
from langgraph_maker.prebuilt.recursive.limits import Limits
from langgraph_maker.prebuilt.recursive.stage_sampler import StageSampler, answers, reader
from langgraph_maker.prebuilt.recursive.stages import StageQuestion, Stages
from langgraph_maker.prebuilt.recursive.state import RecursiveInput, RecursiveOutput, RecursiveState
from langgraph_maker.prebuilt.voting import subgraph_node, voting_round

__all__ = ["create_recursive_maker"]


def create_recursive_maker(
    model: Model,
    *,
    stages: Stages | None = None,
    check: Callable[[str, str], RedFlag | None] | None = None,
    comparable: bool = True,
    k: int = 3,
    proposals: int = 5,
    ladder: LadderLike = None,
    max_depth: int = 8,
    max_children: int = 8,
    max_nodes: int = 1000,
    max_attempts: int = 3,
    red_flags: RuleLike | None = DEFAULT_RED_FLAGS,
    strict_parse: bool = False,
    first_temperature: float | None = 0.0,
    temperature: float | None = 0.1,
    max_samples_per_step: int | None = None,
    min_k: int | None = None,
    max_total_samples: int | None = None,
    max_cost: float | None = None,
    deadline: float | None = None,
    max_concurrency: int | None = None,
    call_timeout: float | None = None,
    outage_limit: float = 600.0,
    price: Price | None = None,
    stop: Stop | None = None,
    namespace: Namespace | None = None,
    **_unknown: Never,
) -> StateGraph[RecursiveState, MakerContext, RecursiveInput, RecursiveOutput]:
    """Return the graph that splits a problem until microagents can answer it, and composes the answers (section 5).

    Each problem of the tree goes through stages, and each is decided by first-to-ahead-by-k: is it atomic? If so,
    answer it. If not, propose how to split it, choose among the proposals, solve the parts, compose their answers, and
    check what comes out. All that waits for a vote, whatever its stage and place in the tree, is one batch of ballots;
    what is decided continues while others are still open.

    Compile it with a checkpointer and a store of your own. Input `{"problem": …}`; `{}` on the same thread, or with
    the same `run_id` on the same store, resumes an unfinished run.

    Args:
        model: What to ask, see `models.Model`.
        stages: How each stage is asked and read.
        check: From a problem and an answer to a `RedFlag`, or None: answers that it flags do not count.
        comparable: Whether equal answers are the same text. If not, answers are candidates, as proposals are.
        k: The margin of every vote.
        proposals: Valid proposals (at least k) after which, where none leads by k, discriminators choose among those
            that differ: by their numbers, shown to each vote in another order.
        ladder: What to do about a question that does not converge, see `create_maker`: `Tier`s to escalate, and on top
            a human to ask, who may also overrule the last of `max_attempts`, or give the answer. Variants are the
            `paraphrases` of `stages`. While a human is awaited, the rest of the tree continues.
        max_depth: How many times a problem may be split along one branch.
        max_children: Parts that a problem may be split into.
        max_nodes: Problems that the tree may have: a split that would make it larger ends the run as unresolved.
            Checkpoints are as large as the tree.
        max_attempts: Ways in which a problem is split, where the check finds the answer wrong: by a proposal that was
            not chosen, or a fresh one, parts and all. If the last is found wrong too, the run ends as unresolved.
        red_flags: Which responses to discard, see `red_flags`.
        strict_parse: Whether an exception of `stages`, `check` or a red flag on a response surfaces; a `ValueError` is
            a red flag all the same.
        first_temperature: Of each ballot's first sample; None leaves the model's own.
        temperature: Of all later samples.
        max_samples_per_step: Samples a ballot may use before the run ends as unresolved; default 10 k², and at least
            100.
        min_k: The least k that a runtime context may ask for (see `MakerContext`); None where it may lower none.
        max_total_samples: Samples after which the run ends as "stopped", whatever was in flight counted.
        max_cost: Dollars after which it does.
        deadline: Seconds after which it does, counted by each process from where it takes the run up, and looked at
            between rounds; no call is waited for longer.
        max_concurrency: Model calls at a time, see `create_maker`.
        call_timeout: Seconds after which a call is given up and retried; None for 600, 900 for the flex tier, and
            none in batches.
        outage_limit: Seconds for which a failing model call is retried before the run ends as "stopped".
        price: What tokens cost, see `create_maker`.
        stop: Asked before each round and while it waits; True, or why, ends the run as "stopped".
        namespace: Whose runs these are, see `create_maker`.

    Raises:
        ValueError: For an option out of range, an unknown model or a ladder that makes no sense; while running, for an
            input without a problem, an answer to a question that is not open, or a human to ask and neither a
            checkpointer nor a store.
        TypeError: For an invalid model, or `stages`, `check` or `comparable` of another type.
        JournalError: While running, when the run was started with another problem or k, or its journal is not sound.

    Example:
        >>> from langgraph_maker.prebuilt.recursive.multiplication import simulated_multiplication
        >>> graph = create_recursive_maker(simulated_multiplication()).compile()
        >>> result = graph.invoke({"problem": "12 * 34"})
        >>> result["status"], result["answer"], result["depth"]
        ('solved', '408', 2)
    """
    check_keywords(create_recursive_maker, _unknown)
    stages = Stages() if stages is None else stages
    if not isinstance(stages, Stages):
        raise TypeError(f"stages is a recursion.Stages, or one of a subclass of yours, not {excerpt(stages)}")
    if check is not None and not callable(check):
        raise TypeError(f"check is a function from a problem and an answer to a RedFlag or None, not {excerpt(check)}")
    if not isinstance(comparable, bool):
        raise TypeError(f"comparable is True or False, not {excerpt(comparable)}")
    check_cost(max_cost, price, model_name(model))
    limits = Limits(
        max_depth=check_whole("max_depth", max_depth, 0),
        max_children=check_whole("max_children", max_children, 2),
        max_nodes=check_whole("max_nodes", max_nodes),
        max_attempts=check_whole("max_attempts", max_attempts),
        max_total_samples=None if max_total_samples is None else check_whole("max_total_samples", max_total_samples),
        max_cost=max_cost,
        deadline=_seconds(deadline),
        stop=stop or (lambda: False),
    )

    def validate(question: StageQuestion, vote: Any) -> RedFlag | None:
        flag = stages.validate(question, vote)
        if flag is None and check is not None and question["stage"] in {"solve", "compose"}:
            flag = check(question["problem"], vote["answer"])
        return flag

    climbed = read_ladder(
        ladder, model=model, max_samples_per_step=max_samples_per_step, k=k, prompts=1 + len(stages.paraphrases)
    )
    candidates_for = frozenset({"propose"} if comparable else {"propose", "solve", "compose"})
    rungs = Choosing(
        **vars(climbed),
        k=check_margin(k),
        min_k=min_k,
        candidates_for=candidates_for,
        proposals=check_whole("proposals", proposals),
    )
    sampler = StageSampler(rungs.models, stages, token_allowance(red_flags))
    longest = float("inf") if limits.deadline is None else max(limits.deadline, 0.001)
    pool = Pool(
        sampler,
        max_concurrency=max_concurrency,
        call_timeout=call_timeout if limits.deadline is None else min(call_timeout or longest, longest),
        outage_limit=min(outage_limit, longest),
    )
    vote = voting_round(
        StateGraph(RoundState, MakerContext, input_schema=RoundInput, output_schema=RoundOutput),
        sample=sample_node(
            sampler,
            prompt=[json.dumps] * (1 + len(stages.paraphrases)),
            k=k,
            min_k=min_k,
            first_temperature=first_temperature,
            temperature=temperature,
            max_samples_per_step=max_samples_per_step,
            ladder=rungs,
            pool=pool,
            stop=stop,
            on_failure="write",
        ),
        guard=guard_node(
            parse=reader(stages),
            key=stages.vote_key,
            validate=validate,
            red_flags=red_flags,
            price=price,
            compares=not rungs.varied,
            strict_parse=strict_parse,
        ),
        tally=tally_node(k=k, min_k=min_k, max_samples_per_step=max_samples_per_step, ladder=rungs, decisions=False),
    ).add_edge("tally", END)
    grow = grow_node(stages, ladder=rungs, limits=limits)

    settings = {
        "model": model_name(model),
        **({"simulated": True} if any(map(is_simulated, rungs.models)) else {}),
        "comparable": comparable,
        "proposals": proposals,
        "first_temperature": first_temperature,
        "temperature": temperature,
        "price": recorded(price),
        "max_samples_per_step": check_budget(max_samples_per_step, k),
        **{name: value for name, value in vars(limits).items() if name not in {"stop", "clocks"}},
        **rungs.described,
    }
    frontier = frontier_node(
        k=k, limits=limits, accept=stages.accept, asks=rungs.human, settings=settings, min_k=min_k, namespace=namespace
    )

    fixed = partial(_fixed, k, min_k)

    def after_frontier(state: RecursiveState) -> Any:
        if state["status"] == "waiting":
            return [Send("ask", question) for question in state["questions"]]
        if state["status"] != "running":
            return END
        return "escalate" if state.get("answers") else "vote"

    def after_vote(state: RecursiveState) -> Literal["escalate", "grow"]:
        return "escalate" if any(rungs.concerns(ballot) for ballot in state["ballots"]) else "grow"

    builder = (
        StateGraph(RecursiveState, MakerContext, input_schema=RecursiveInput, output_schema=RecursiveOutput)
        .add_node("frontier", releasing(pool, frontier), **TRACED)
        .add_node(
            "vote", releasing(pool, entering(subgraph_node("vote", vote), fixed)), input_schema=RoundInput, **TRACED
        )
        .add_node("escalate", escalate_tree_node(rungs, answers(stages, validate, red_flags)), **TRACED)
        .add_node("grow", releasing(pool, entering(grow, fixed)), **TRACED)
        .add_edge(START, "frontier")
        .add_conditional_edges("frontier", after_frontier, ["vote", *(["escalate", "ask"] if rungs.human else []), END])
        .add_conditional_edges("vote", after_vote)
        .add_edge("escalate", "grow")
        .add_edge("grow", "frontier")
    )
    return builder.add_node("ask", ask_node()).add_edge("ask", "frontier") if rungs.human else builder


def _fixed(k: int, min_k: int | None) -> dict[str, Any]:
    """Return what a run keeps to under the runtime context of now."""
    return {"k": margin_asked(k, overrides(), min_k)}


def _seconds(deadline: float | None) -> float | None:
    if deadline is None:
        return None
    return check_number("deadline", deadline, "a number of seconds", lambda seconds: seconds >= 0)
