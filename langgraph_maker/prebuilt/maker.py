"""Assembly of the maker graph; what each node does stands in `nodes`."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from typing import Any, Literal, Never, cast

from langgraph.graph import END, START, StateGraph
from langgraph.types import Send

from langgraph_maker.core.ballot import Relation
from langgraph_maker.core.callables import check_callbacks
from langgraph_maker.core.events import Detail, Observer
from langgraph_maker.core.extras import install
from langgraph_maker.core.foreign import excerpt
from langgraph_maker.core.grouped import Grouped
from langgraph_maker.core.keywords import check_keywords
from langgraph_maker.core.margin import ByState, Margin, RaisableMargin
from langgraph_maker.core.numbers import check_number
from langgraph_maker.core.purity import Start, Trials, pure
from langgraph_maker.core.reasons import Stop
from langgraph_maker.core.red_flags import RedFlag, RuleLike, each_rule
from langgraph_maker.core.state import Verdict
from langgraph_maker.core.task import HasVariants, Task, Vote, check_task
from langgraph_maker.models import price_list, prices
from langgraph_maker.models.chat_sampler import token_allowance
from langgraph_maker.models.pool import Pool
from langgraph_maker.models.prices import Price, check_price, recorded
from langgraph_maker.models.resolve import Model, is_simulated, model_name
from langgraph_maker.models.router import sampler_of
from langgraph_maker.nodes import (
    decompose_node,
    escalate_node,
    guard_node,
    sample_node,
    tally_node,
    update_node,
)
from langgraph_maker.nodes.ask import ask_node
from langgraph_maker.nodes.context import MakerContext
from langgraph_maker.nodes.decompose import fixed_terms
from langgraph_maker.nodes.entry import entering
from langgraph_maker.nodes.guard import DEFAULT_RED_FLAGS, default_red_flags, verdict_reader
from langgraph_maker.nodes.ladder import Audit, LadderLike, read_ladder
from langgraph_maker.nodes.prompt import Prompt
from langgraph_maker.nodes.release import releasing
from langgraph_maker.nodes.state import (
    MakerInput,
    MakerOutput,
    MakerState,
    RoundInput,
    RoundOutput,
    RoundState,
)
from langgraph_maker.nodes.tenant import Namespace
from langgraph_maker.nodes.trace import TRACED
from langgraph_maker.prebuilt.voting import subgraph_node, voting_round
from langgraph_maker.simulation.answers import CanWrite

__all__ = ["check_cost", "create_maker", "described_rule"]


def create_maker(
    task: Task,
    model: Model,
    *,
    k: int | Callable[[int], int] | RaisableMargin = 3,
    lanes: int = 1,
    steps_per_subtask: int = 1,
    red_flags: RuleLike | None = DEFAULT_RED_FLAGS,
    strict_parse: bool = False,
    first_temperature: float | None = 0.0,
    temperature: float | None = 0.1,
    max_samples_per_step: int | None = None,
    min_k: int | None = None,
    max_steps: int | None = None,
    ladder: LadderLike = None,
    decorrelate: Literal["variants"] | None = None,
    audit: Audit | float | None = None,
    hedge: int = 0,
    max_concurrency: int | None = None,
    call_timeout: float | None = None,
    outage_limit: float = 600.0,
    max_total_samples: int | None = None,
    max_cost: float | None = None,
    price: Price | None = None,
    service_tier: str | None = None,
    stop: Stop | None = None,
    detail: Detail = "round",
    observer: Observer | None = None,
    namespace: Namespace | None = None,
    **_unknown: Never,
) -> StateGraph[MakerState, MakerContext, MakerInput, MakerOutput]:
    """Return the graph that solves `task` step by step, each step decided by a vote (MAKER, Algorithm 1).

    Compile it with a checkpointer and a store of your own. Input `{}` or `{"run_id": …}`; an unfinished run goes
    on when the same thread is invoked again, a solved one returns its result.

    Args:
        task: What to solve.
        model: What to ask, see `models.Model`; "sim:…" simulates answers and needs no key.
        k: The margin by which an answer must lead; a function gives each step, numbered from 0, its own. A run that
            continues is held to it, where it has a store: no step that is done was decided by less than k asks for.
        lanes: Stretches of the chain that advance side by side, where the task knows where they begin (`Cuttable`).
        steps_per_subtask: Steps that a microagent does in one response, as `Grouped` has it; the default token limit
            is so many times as large, but for those that `Split` does one by one.
        red_flags: Which responses to discard, see `red_flags`; None for none but what `task.parse` refuses.
        strict_parse: Whether an exception of the task's `parse`, `validate` or `vote_key`, or of a red flag, on a
            response surfaces; a `ValueError` is a red flag all the same.
        first_temperature: Of each step's first sample; None leaves the model's own.
        temperature: Of all later samples.
        max_samples_per_step: Samples a step may use, flagged ones included, before the run ends as unresolved; default
            10 k², and at least 100, in each tier. A limit is for all tiers of a ladder together, but for audits; a
            sub-step (`Split`) has as many again.
        min_k: The least k that a runtime context may ask for (see `MakerContext`); None where it may lower none.
        max_steps: For a task of unknown length: steps after which it must be done.
        ladder: What to do about a step that does not converge: `Tier`s to escalate, `Split` to do it in finer
            steps, a human to ask on top, see `ladder`; "default" needs no settings. None reports it unresolved.
        decorrelate: "variants" lets the votes of a step take the prompt variants of the task in turns (`HasVariants`),
            so that an answer must win across prompts: what one of them repeats is outvoted.
        audit: An `Audit`, or a share of the steps that get a second vote in another way before they count as done.
        hedge: Samples in flight a step beyond those that could be needed, see `sample_node`.
        max_concurrency: Model calls at a time; None for 256 where they go to a chat model, for no bound elsewhere.
        call_timeout: Seconds after which a call is given up and retried; None for 600, 900 for the flex tier, and
            none in batches.
        outage_limit: Seconds for which a failing model call is retried before the run ends as "stopped".
        max_total_samples: Samples after which the run ends as "stopped", whatever was in flight counted.
        max_cost: Dollars after which it does.
        price: What tokens cost; None for the list price of the model that a response names.
        service_tier: Of calls: "flex" for half the price and slower answers, "flex-or-default" to make a call that
            flex has no room for at the default tier, "priority"; None for what the model says.
        stop: Asked before each round and while it waits, such as `threading.Event().is_set`; True ends the run as
            "stopped", with all that was paid for counted.
        detail: What the custom stream carries, see `events`: what each "round" amounts to, or all its "ballots" too.
        observer: Called with each of these events as well; the alarms that it returns are emitted after it.
        namespace: Whose runs these are, where tenants share a store: their records are under this prefix, and another
            tenant's run of the same id is another run. A tuple of labels, of which `"{user_id}"` is taken from the
            config's "configurable", or a function from the runtime and the config to one. None for none, or that of
            the host's node (`create_maker_node`).

    Raises:
        ValueError: For an option out of range, an unknown model, a `max_cost` without a price, or a ladder that makes
            no sense, with what to give instead; while running, for an answer to a question that is not open.
        TypeError: For an invalid model, a `task.vote_key` that compares votes in pairs, or a ladder with `Split`
            for a task that is not `Splittable`.

    Example:
        >>> from langgraph_maker.tasks import TowersOfHanoi
        >>> graph = create_maker(TowersOfHanoi(3), "sim:error=0.01").compile()
        >>> result = graph.invoke({})
        >>> result["status"], result["steps"], result["actions"][0]
        ('solved', 7, [1, 0, 2])
    """
    check_keywords(create_maker, _unknown)
    check_task(task)
    check_callbacks(stop=stop, observer=observer)
    if steps_per_subtask != 1:
        task = Grouped(task, steps_per_subtask)
        red_flags = default_red_flags(steps_per_subtask) if red_flags is DEFAULT_RED_FLAGS else red_flags
    if isinstance(task.vote_key, Relation):
        raise TypeError(
            f"vote_key of {task.name} is a function, as steps are journalled under its keys; a tolerance is not"
        )
    margin = RaisableMargin(k) if isinstance(k, ByState) else _by_id(k)
    k = k.base if isinstance(k, RaisableMargin) else k
    prompts = _prompts(task)
    rungs = read_ladder(
        ladder,
        model=model,
        max_samples_per_step=max_samples_per_step,
        k=None if callable(k) else k,
        prompts=len(prompts),
        steps=task.steps or max_steps,
        decorrelate=decorrelate,
        audit=audit,
        task=task,
    )
    sampler = sampler_of(rungs.models, task=task, max_tokens=token_allowance(red_flags), service_tier=service_tier)
    pool = Pool(sampler, max_concurrency=max_concurrency, call_timeout=call_timeout, outage_limit=outage_limit)
    start = Start(task)
    trials = Trials(task, start)
    fixed = fixed_terms(task, k, min_k)
    check_cost(max_cost, price, model_name(model), getattr(sampler, "tier", ""))
    vote = voting_round(
        StateGraph(RoundState, MakerContext, input_schema=RoundInput, output_schema=RoundOutput),
        sample=sample_node(
            sampler,
            prompt=[pure("prompt", one, start) for one in prompts],
            k=margin,
            first_temperature=first_temperature,
            temperature=temperature,
            max_samples_per_step=max_samples_per_step,
            min_k=min_k,
            hedge=hedge,
            ladder=rungs,
            pool=pool,
            stop=stop,
            on_failure="write",
        ),
        guard=guard_node(
            parse=pure("parse", task.parse, start),
            key=pure("key", task.vote_key, start),
            validate=trials.validate,
            red_flags=red_flags,
            price=price,
            compares=not rungs.varied,
            ladder=rungs,
            inner_red_flags=_inner_red_flags(task, red_flags),
            strict_parse=strict_parse,
        ),
        tally=tally_node(
            k=margin, max_samples_per_step=max_samples_per_step, min_k=min_k, hedge=hedge, ladder=rungs, decisions=False
        ),
    ).add_edge("tally", END)  # one round a call: what it counted is in the outer graph's state before the next

    def after_decompose(state: MakerState) -> Any:
        if state["status"] == "waiting":
            return [Send("ask", question) for question in state["questions"]]
        if state["status"] != "running":
            return END
        return "escalate" if state.get("answers") else "vote"

    def after_vote(state: MakerState) -> Literal["escalate", "update"]:
        return "escalate" if any(rungs.concerns(ballot) for ballot in state["ballots"]) else "update"

    builder = (
        StateGraph(MakerState, MakerContext, input_schema=MakerInput, output_schema=MakerOutput)
        .add_node(
            "decompose",
            releasing(
                pool,
                decompose_node(
                    task,
                    k=k,
                    lanes=lanes,
                    max_steps=max_steps,
                    max_samples_per_step=max_samples_per_step,
                    min_k=min_k,
                    settings={
                        "model": model_name(model),
                        **({"simulated": True} if any(map(is_simulated, rungs.models)) else {}),
                        "hedge": hedge,
                        "first_temperature": first_temperature,
                        "temperature": temperature,
                        "red_flags": [described_rule(rule) for rule in each_rule(red_flags)],
                        "max_total_samples": max_total_samples,
                        "max_cost": max_cost,
                        "service_tier": getattr(sampler, "tier", "") or None,
                        "price": recorded(price),
                        "max_concurrency": max_concurrency,
                        **rungs.described,
                    },
                    asks=rungs.human,
                    max_total_samples=max_total_samples,
                    max_cost=max_cost,
                    stop=stop,
                    observer=observer,
                    left_out=lambda: getattr(sampler, "left_out", ()),
                    namespace=namespace,
                ),
            ),
            **TRACED,
        )
        .add_node(
            "vote", releasing(pool, entering(subgraph_node("vote", vote), fixed)), input_schema=RoundInput, **TRACED
        )
        .add_node(
            "escalate",
            escalate_node(
                ladder=rungs,
                read=_reading(task, red_flags),
                observer=observer,
                detail=detail,
            ),
            **TRACED,
        )
        .add_node(
            "update",
            releasing(
                pool,
                entering(
                    update_node(task, k=margin, min_k=min_k, detail=detail, observer=observer, advance=trials.advance),
                    fixed,
                ),
            ),
            **TRACED,
        )
        .add_edge(START, "decompose")
        .add_conditional_edges(
            "decompose", after_decompose, ["vote", *(["escalate", "ask"] if rungs.human else []), END]
        )
        .add_conditional_edges("vote", after_vote)
        .add_edge("escalate", "update")
        .add_edge("update", "decompose")
    )
    return builder.add_node("ask", ask_node()).add_edge("ask", "decompose") if rungs.human else builder


def described_rule(rule: RuleLike) -> str:
    """Return a red flag for the record; a function by its name, as its repr is another in each process."""
    return str(getattr(rule, "__name__", None) or repr(rule)[:200])


def _inner_red_flags(task: Task, red_flags: RuleLike | None) -> RuleLike | None:
    """Those of single steps, where those of a `Grouped` task are the default ones of so many steps."""
    usual = isinstance(task, Grouped) and each_rule(red_flags) == each_rule(default_red_flags(task.m))
    return DEFAULT_RED_FLAGS if usual else red_flags


def _prompts(task: Task) -> list[Prompt]:
    """Return the prompt, and its variants where the task has them."""
    if not isinstance(task, HasVariants):
        return [task.prompt]
    if not isinstance(task.variants, int) or isinstance(task.variants, bool) or task.variants < 1:
        raise ValueError(
            f"variants of {task.name} is how many prompts it has, at least 1, not {excerpt(task.variants)}"
        )
    return [task.prompt, *(partial(task.prompt, variant=variant) for variant in range(1, task.variants))]


def _reading(task: Task, red_flags: RuleLike | None) -> Callable[[Any, Any], Verdict]:
    """Return what reads a human's answer: as a response, and only what the task can continue from."""

    def validate(state: Any, vote: Any) -> RedFlag | None:
        if not isinstance(vote, dict) or not vote.keys() >= Vote.__annotations__.keys():
            return RedFlag("malformed", "an action and a next state are asked for")
        vote = cast("Vote", vote)
        if (flag := task.validate(state, vote)) is None:
            task.advance(state, vote)
        return flag

    render = task.render if isinstance(task, CanWrite) else json.dumps
    return verdict_reader(parse=task.parse, key=task.vote_key, validate=validate, red_flags=red_flags, render=render)


def _by_id(k: int | Callable[[int], int] | RaisableMargin) -> Margin:
    """Return the margin by a subtask's id, which is its step in a maker graph."""
    return (lambda subtask_id: k(int(subtask_id))) if callable(k) and not isinstance(k, RaisableMargin) else k


def check_cost(max_cost: float | None, price: Price | None, model: str, tier: str = "") -> None:
    """Refuse an invalid price, an invalid limit in dollars, or one that nothing could be held against.

    Raises:
        ValueError: With what to give instead.
        TypeError: The same.
    """
    check_price(price)
    if max_cost is None:
        return
    check_number("max_cost", max_cost, "a number of dollars above 0", lambda dollars: dollars > 0)
    known = prices.of(model) if price is None else price
    if known is None or known.at(tier) is None:
        at = f" at the service tier {tier!r}" if tier else ""
        listed = (
            "" if price is not None or price_list.installed() else f", or install the price list: {install('prices')}"
        )
        raise ValueError(
            f"max_cost needs to know what {model} costs{at}: give its price, in dollars per million input and output"
            f" tokens{listed}"
        )
