"""`sample`: draw exactly as many responses as each open ballot could still be decided by."""

from __future__ import annotations

from asyncio import gather
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from inspect import isawaitable
from typing import Any, Literal
from uuid import uuid4

from langchain_core.messages import AIMessage
from langchain_core.runnables import RunnableConfig

from langgraph_maker.core.errors import SamplingError
from langgraph_maker.core.margin import Margin, check_least, margin_asked, margin_terms
from langgraph_maker.core.messages import as_messages
from langgraph_maker.core.numbers import check_number, check_whole
from langgraph_maker.core.purity import pure
from langgraph_maker.core.reasons import Stop
from langgraph_maker.core.state import BallotState, Request, Sampler, Subtask, no_usage
from langgraph_maker.models.event_loop import run_at_once, run_sync
from langgraph_maker.models.keeping import kept_in
from langgraph_maker.models.pool import Arrival, Pool, misuse
from langgraph_maker.nodes.ask import check_can_ask
from langgraph_maker.nodes.budget import current_budget
from langgraph_maker.nodes.context import overrides
from langgraph_maker.nodes.ladder.kind import TierError, placed
from langgraph_maker.nodes.ladder.ladder import Ladder
from langgraph_maker.nodes.node import Node
from langgraph_maker.nodes.prompt import Prompt, ask, each_prompt
from langgraph_maker.nodes.state import VotingState
from langgraph_maker.nodes.tally import Terms, deficit, held_to, terms, unanswered
from langgraph_maker.nodes.tenant import store_of

__all__ = ["check_temperatures", "new_ballot", "sample_node"]


def sample_node(
    sampler: Sampler,
    *,
    prompt: Prompt | Sequence[Prompt],
    k: Margin = 3,
    first_temperature: float | None = 0.0,
    temperature: float | None = 0.1,
    max_samples_per_step: int | None = None,
    hedge: int = 0,
    ladder: Ladder | None = None,
    min_k: int | None = None,
    pool: Pool | None = None,
    stop: Stop | None = None,
    on_failure: Literal["raise", "write"] = "raise",
) -> Node:
    """Issue what each open ballot could still be decided by, and return what arrives, as soon as it is enough.

    No ballot has more samples in flight than could decide it, so that it takes not one more than voting one after
    another would. What is slow stays in flight and is returned by a later call. The first sample of a ballot is drawn
    at `first_temperature`, all later ones at `temperature`, so that a flagged first answer is not drawn again word for
    word (MAKER, section 4).

    Args:
        sampler: Whom to ask.
        prompt: φ, from a subtask's state to messages or to the text of one; several are the variants of a ladder.
        k: The margin, or from a subtask's id to its own.
        first_temperature: Of each ballot's first sample; None leaves the model's own.
        temperature: Of all later samples.
        max_samples_per_step: Samples a ballot may use, flagged ones included; None for `check_budget`'s default.
        hedge: Samples in flight beyond those that could be needed, so that one slow call holds no ballot back. They
            count as they arrive, so a model whose fast answers are of another quality than its slow ones is voted on
            with that bias: at p = .7 and k = 2, were all right answers slow, one hedge would take the share of wrong
            decisions from .16 to .27, two to .35.
        ladder: Which prompt, model and temperature each vote has; None for the first prompt, and what is said here.
        min_k: The least k that a runtime context may ask for; None where it may lower none.
        pool: Where calls in flight are kept; None for one of this node's own.
        stop: Asked several times a second; when it says True, nothing more is issued.
        on_failure: What to do when calls fail for good: "raise", or "write" it to the channel `failure`. A model that
            never answered raises all the same.

    Raises:
        ValueError: For a bad `k`, `max_samples_per_step`, `hedge` or temperature; while running, for subtasks with
            equal ids.
        TypeError: For an invalid `prompt`.
        SamplingError: While running, see `on_failure`. What arrived in the same round was returned before.
    """
    check_temperatures(first_temperature, temperature)
    check_least(min_k, k)
    check_whole("hedge", hedge, 0, _MOST_HEDGES)
    role = _Sample(
        sampler=sampler,
        pool=pool or Pool(sampler),
        prompts=[pure("prompt", one) for one in each_prompt(prompt)],
        k=k,
        min_k=min_k,
        max_samples_per_step=max_samples_per_step,
        terms=terms(k, max_samples_per_step, ladder),
        ladder=ladder or Ladder(),
        first_temperature=first_temperature,
        temperature=temperature,
        hedge=0 if getattr(sampler, "never_waits", False) else hedge,
        stop=stop or (lambda: False),
        on_failure=on_failure,
    )
    return Node("sample", role.sample, role.asample)


_MOST_HEDGES = 100


def check_temperatures(first_temperature: float | None, temperature: float | None) -> None:
    """Refuse temperatures that are none.

    Raises:
        ValueError: With what to give instead.
    """
    for name, value in (("first_temperature", first_temperature), ("temperature", temperature)):
        if value is not None:
            check_number(name, value, "a number of at least 0, or None for the model's own", lambda heat: heat >= 0)


@dataclass(frozen=True, kw_only=True)
class _Sample:
    sampler: Sampler
    pool: Pool
    prompts: Sequence[Callable[[Any], Any]]
    k: Margin
    min_k: int | None
    max_samples_per_step: int | None
    terms: Terms
    ladder: Ladder
    first_temperature: float | None
    temperature: float | None
    hedge: int
    stop: Stop
    on_failure: str

    def sample(self, state: VotingState, config: RunnableConfig) -> dict[str, Any]:
        self.check(config)
        vote = self.asked().plan(state)
        if vote.waits:
            run_sync(vote.ask())
        failure = "" if self.at_once(vote) else run_sync(self.collect(vote, state))
        return self.update(vote, failure)

    async def asample(self, state: VotingState, config: RunnableConfig) -> dict[str, Any]:
        self.check(config)
        vote = self.asked().plan(state)
        if vote.waits:
            await vote.ask()
        failure = "" if self.at_once(vote) else await self.collect(vote, state)
        return self.update(vote, failure)

    def check(self, config: RunnableConfig) -> None:
        if self.ladder.human and self.on_failure == "raise":  # a maker graph has looked already, and has a store
            check_can_ask(config)

    def asked(self) -> _Sample:
        """Return what the runtime context asks for."""
        if not (given := overrides()):
            return self
        return replace(
            self,
            k=margin_asked(self.k, given, self.min_k),
            terms=terms(self.k, self.max_samples_per_step, self.ladder, given, self.min_k),
            first_temperature=given.get("first_temperature", self.first_temperature),
            temperature=given.get("temperature", self.temperature),
        )

    def plan(self, state: VotingState) -> _Round:
        """Return what to issue: the samples that were lost, and those that each open ballot lacks."""
        ballots, begun = _ballots(state)
        ballots = [self.ladder.fitting(ballot, self.terms(ballot)[0] if "inner" in ballot else 0) for ballot in ballots]
        if self.on_failure == "raise":  # a maker graph holds its run to the k in the journal
            own = margin_terms(self.k, None)
            ballots = [{**one, "k": max(own(one["id"])[0], one.get("k", 0))} for one in ballots]
        ballots = [held_to(ballot, self.terms) for ballot in ballots]
        owner = (not state.get("decisions") and state.get("started")) or uuid4().hex
        vote = _Round(owner, ballots, {ballot["id"] for ballot in ballots if ballot["status"] == "open"} - begun)
        if state.get("draining"):
            return vote
        waiting = self.pool.waiting(owner)
        for place, ballot in enumerate(ballots):
            if ballot["status"] == "open" and ballot["id"] not in waiting:
                ballots[place] = self.issue(vote, ballot)
        return vote

    def issue(self, vote: _Round, ballot: BallotState) -> BallotState:
        flying = self.pool.issued(vote.owner, ballot["id"]) if ballot["id"] in vote.wanted else frozenset()
        first = ballot["ladder"]["first"] if "ladder" in ballot else 0
        margin_asked, out = ballot["asked"], sum(number >= first for number in flying) if first else len(flying)
        due: list[int] = []
        if not self.hedge and (missing := unanswered(ballot)) > out:
            arrived = {sample["number"] for sample in ballot["waiting"]}
            awaited = range(ballot["following"], margin_asked)
            out, due = missing, [number for number in awaited if number not in arrived and number not in flying]
        k, budget = self.terms(ballot)
        lacking = deficit(ballot, k, budget) if ballot["samples"] else k
        room = budget - ballot["samples"] - out  # what was lost uses up nothing
        new = range(margin_asked, margin_asked + min(lacking + self.hedge - out, room))
        if new and len(new) + out >= lacking > 0:
            due += new
            margin_asked = new.stop
        issued: BallotState = {**ballot, "asked": margin_asked, "rounds": ballot["rounds"] + 1}
        if (budget_held := current_budget()) is not None:
            budget_held.note(margin_asked, ballot["usage"])
        try:
            requests = self.requests(issued, due, first, vote.owner)
        except TierError as error:
            vote.wanted.discard(ballot["id"])
            return {**ballot, "status": "unresolved", "ladder": placed(ballot, str(error))}
        vote.needed[ballot["id"]] = min(lacking, out + len(new)) if self.hedge else out + len(new)
        if not due:
            return ballot
        vote.issue(requests, len(due) if self.hedge and out else self.hedge)
        return issued

    def requests(self, ballot: BallotState, due: Sequence[int], first: int, owner: str) -> list[Request]:
        """Return the samples that are due, each with the prompt, model and temperature of its turn."""
        rung = self.ladder.tier(ballot).terms
        messages: dict[int, Any] = {}
        requests = []
        for number in due:
            variant, model = rung.turn(number - first)
            if variant not in messages:
                messages[variant] = self.messages(variant, ballot)
            temperature = self.temperature if number > first else self.first_temperature
            if rung.temperature is not None:
                temperature = rung.temperature
            requests.append(
                Request(messages[variant], temperature, ballot["id"], number, owner, ballot["rounds"], variant, model)
            )
        return requests

    def messages(self, variant: int, ballot: BallotState) -> Any:
        """Return what the prompt says, or what is to be awaited for it."""
        asked = self.ladder.tier(ballot).messages(ballot, variant) if "inner" in ballot else None
        if asked is not None:
            return as_messages(asked)
        return ask(self.prompts[variant], ballot["state"])

    def at_once(self, vote: _Round) -> bool:
        """Draw all samples on the spot, where the sampler never waits; says whether nothing is left to do."""
        if not getattr(self.sampler, "never_waits", False) or vote.owner in self.pool:
            return False
        requests = [request for group in vote.groups for request in group]
        responses: Sequence[Any] = run_at_once(self.sampler(requests)) if requests else []  # type: ignore[arg-type]
        if (wrong := misuse(requests, responses)) is not None:
            raise TypeError(wrong)
        drawn = list(zip(requests, responses, strict=True))
        vote.arrived = [(request, response) for request, response in drawn if isinstance(response, AIMessage)]
        vote.groups = [[request] for request, response in drawn if isinstance(response, Exception)]
        return not vote.groups

    async def collect(self, vote: _Round, state: VotingState) -> str:
        """Add what arrives; returns why nothing more can come, if so."""
        if not vote.groups and vote.owner not in self.pool:
            return ""
        split: Callable[[list[Request]], list[list[Request]]] = getattr(
            self.sampler, "split", lambda group: [[one] for one in group] if self.hedge else [group]
        )
        groups = [call for group in vote.groups for call in ([group] if len(group) == 1 else split(group))]
        try:
            with self.recorded(vote.owner, state):
                vote.arrived += await self.pool.collect(
                    vote.owner,
                    groups,
                    wanted=vote.wanted,
                    needed=vote.needed,
                    enough=max(1, len(vote.wanted) // _SHARE),
                    draining=state.get("draining", False),
                    stop=self.stop,
                )
        except SamplingError as error:
            if self.on_failure == "raise" or not self.pool.answered:
                raise
            return str(error)
        return ""

    def recorded(self, owner: str, state: VotingState) -> AbstractContextManager[None]:
        """Record calls that outlive a process with the run, or in a voting graph with this visit of it."""
        if not getattr(self.sampler, "outlives", False):
            return nullcontext()
        return kept_in(store_of(state), state.get("run_id") or owner)

    def update(self, vote: _Round, failure: str) -> dict[str, Any]:
        arrived: dict[str, list[Arrival]] = {}
        for arrival in vote.arrived:
            arrived.setdefault(arrival[0].subtask_id, []).append(arrival)
        return {
            "ballots": [
                self.with_arrivals(vote.owner, ballot, arrived[ballot["id"]]) if ballot["id"] in arrived else ballot
                for ballot in vote.ballots
            ],
            "decisions": [],
            "started": vote.owner,
            "in_flight": self.pool.in_flight(vote.owner),
            "failure": failure,
        }

    def with_arrivals(self, owner: str, ballot: BallotState, arrived: Sequence[Arrival]) -> BallotState:
        after: BallotState = {
            **ballot,
            "arrived": [{"number": request.number, "response": response} for request, response in arrived],
        }
        if timeouts := self.pool.take_timeouts(owner, ballot["id"]):
            after["timeouts"] = ballot.get("timeouts", 0) + timeouts
        return after


class _Round:
    """One visit: whose calls, the ballots, which of them may have calls in flight, what to issue, what arrived.

    `needed` is how many arrivals make a ballot worth a count.
    """

    def __init__(self, owner: str, ballots: list[BallotState], wanted: set[str]) -> None:
        self.owner = owner
        self.ballots = ballots
        self.wanted = wanted
        self.needed: dict[str, int] = {}
        self.groups: list[list[Request]] = []
        self.arrived: list[Arrival] = []

    def issue(self, requests: list[Request], hedges: int) -> None:
        """Return the samples of one ballot; hedges are calls of their own."""
        self.wanted.add(requests[0].subtask_id)
        needed = len(requests) - hedges
        self.groups += [requests[:needed]] if needed > 0 else []
        self.groups += [[request] for request in requests[max(needed, 0) :]]

    @property
    def waits(self) -> bool:
        """Whether prompts are to be awaited."""
        return any(not isinstance(one.messages, list) for group in self.groups for one in group)

    async def ask(self) -> None:
        """Await the prompts, each once."""
        due = {id(one.messages): one.messages for group in self.groups for one in group}
        waiting = {name: margin_asked for name, margin_asked in due.items() if isawaitable(margin_asked)}
        said = dict(zip(waiting, map(as_messages, await gather(*waiting.values())), strict=True))
        self.groups = [
            [one._replace(messages=said.get(id(one.messages), one.messages)) for one in group] for group in self.groups
        ]


_SHARE = 8
"""One in so many open ballots must be ready, or a pause come in their stream, before what arrived is counted."""


def _ballots(state: VotingState) -> tuple[list[BallotState], set[str]]:
    """Return the ballots of the subtasks, and which of them begin. After a vote that has ended, all begin."""
    kept = {} if state.get("decisions") else {ballot["id"]: ballot for ballot in state.get("ballots", [])}
    subtasks = state.get("subtasks")
    if subtasks is None or not all("id" in subtask and "state" in subtask for subtask in subtasks):
        raise ValueError('subtasks are given as {"subtasks": [{"id": …, "state": …}, …]}')
    if len({subtask["id"] for subtask in subtasks}) < len(subtasks):
        raise ValueError("two subtasks of one batch have the same id: give each its own")
    ballots, begun = [], set()
    for subtask in subtasks:
        ballot = kept.get(subtask["id"])
        if ballot is None or (ballot["state"] is not subtask["state"] and ballot["state"] != subtask["state"]):
            ballots.append(new_ballot(subtask))
            begun.add(subtask["id"])
        else:
            ballots.append(ballot)
    return ballots, begun


def new_ballot(subtask: Subtask) -> BallotState:
    """Return a ballot in which nothing was asked yet."""
    return {
        "id": subtask["id"],
        "state": subtask["state"],
        "status": "open",
        "counts": {},
        "votes": {},
        "asked": 0,
        "samples": 0,
        "following": 0,
        "waiting": [],
        "flags": {},
        "last_flag": "",
        "rounds": 0,
        "usage": no_usage(),
        "arrived": [],
    }
