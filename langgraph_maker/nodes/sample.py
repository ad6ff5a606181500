"""`sample`: draw exactly as many responses as each open ballot could still be decided by."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from inspect import isawaitable
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage
from langchain_core.runnables import Runnable, RunnableConfig

from langgraph_maker.ballot import Ballot, check_margin
from langgraph_maker.errors import SamplingError
from langgraph_maker.nodes.node import Node
from langgraph_maker.nodes.state import VotingState
from langgraph_maker.nodes.tally import check_budget
from langgraph_maker.sampling import run_at_once, run_sync
from langgraph_maker.state import BallotState, Request, Sampler, Subtask

__all__ = ["Prompt", "sample_node"]

Prompt = Callable[[Any], Sequence[BaseMessage] | str]
"""φ: all that a microagent sees of a state."""

logger = logging.getLogger(__name__)


def sample_node(
    sampler: Sampler,
    *,
    prompt: Prompt,
    k: int = 3,
    first_temperature: float | None = 0.0,
    temperature: float | None = 0.1,
    max_samples: int | None = None,
) -> Runnable[VotingState, dict[str, Any]]:
    """Draw k − lead responses for each open ballot: never one more than voting one after another would use.

    The first sample of a ballot is drawn at `first_temperature`, all later ones at `temperature`, so that a
    flagged first answer is not drawn again word for word (MAKER, section 4).

    Raises:
        ValueError: For a bad `k`, `max_samples` or temperature; while running, for subtasks with equal ids.
        SamplingError: While running, when not one response of a round arrived. Single failures are logged and
            drawn again in the next round.
    """
    for name, value in (("first_temperature", first_temperature), ("temperature", temperature)):
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if value is not None and not (number and 0 <= value < float("inf")):
            raise ValueError(f"{name} is a number of at least 0, or None for the model's own, not {value!r}")
    k = check_margin(k)
    role = _Sample(sampler, prompt, k, check_budget(max_samples, k), first_temperature, temperature)
    return Node("sample", role.sample, role.asample)


@dataclass(frozen=True)
class _Sample:
    sampler: Sampler
    prompt: Prompt
    k: int
    budget: int
    first_temperature: float | None
    temperature: float | None

    def sample(self, state: VotingState, _: RunnableConfig) -> dict[str, Any]:
        ballots, requests = self.plan(state)
        wait = run_at_once if getattr(self.sampler, "never_waits", False) else run_sync
        return _round(ballots, requests, wait(self.draw(requests)) if requests else [])

    async def asample(self, state: VotingState, _: RunnableConfig) -> dict[str, Any]:
        ballots, requests = self.plan(state)
        return _round(ballots, requests, await self.draw(requests) if requests else [])

    def plan(self, state: VotingState) -> tuple[list[BallotState], list[Request]]:
        ballots = _ballots(state)
        requests: list[Request] = []
        for ballot in ballots:
            if ballot["status"] != "open":
                continue
            drawn = ballot["samples"]
            deficit = Ballot.resume(self.k, ballot["counts"], ballot["votes"]).deficit if drawn else self.k
            if drawn + deficit > self.budget:
                continue
            messages = self.messages(ballot["state"])
            for number in range(drawn, drawn + deficit):
                temperature = self.temperature if number else self.first_temperature
                requests.append(Request(messages, temperature, ballot["id"], number))
        return ballots, requests

    def messages(self, state: Any) -> Sequence[BaseMessage]:
        asked = self.prompt(state)
        if not isinstance(asked, Sequence):
            raise TypeError(f"prompt returned {asked!r}: what it returns is a text or a list of messages")
        return [HumanMessage(asked)] if isinstance(asked, str) else asked

    async def draw(self, requests: list[Request]) -> Sequence[AIMessage | Exception]:
        drawing = self.sampler(requests)
        if not isawaitable(drawing):
            raise TypeError(f"the sampler returned {type(drawing).__name__}: a Sampler is an async function")
        try:
            return await drawing
        except Exception as error:  # noqa: BLE001 - the failure of every request, raised below with its cause
            return [error] * len(requests)


def _ballots(state: VotingState) -> list[BallotState]:
    """The ballots of the subtasks: those under way go on, the others begin. After a vote that has ended, all begin."""
    kept = {} if state.get("decisions") else {ballot["id"]: ballot for ballot in state.get("ballots", [])}
    subtasks = state.get("subtasks")
    if subtasks is None or not all("id" in subtask and "state" in subtask for subtask in subtasks):
        raise ValueError('subtasks are given as {"subtasks": [{"id": …, "state": …}, …]}')
    if len({subtask["id"] for subtask in subtasks}) < len(subtasks):
        raise ValueError("two subtasks of one batch have the same id: give each its own")
    if not kept:
        return [_new_ballot(subtask) for subtask in subtasks]
    return [
        ballot.copy()
        if (ballot := kept.get(subtask["id"])) is not None and ballot["state"] == subtask["state"]
        else _new_ballot(subtask)
        for subtask in subtasks
    ]


def _new_ballot(subtask: Subtask) -> BallotState:
    return {
        "id": subtask["id"],
        "state": subtask["state"],
        "status": "open",
        "counts": {},
        "votes": {},
        "samples": 0,
        "flags": {},
        "last_flag": "",
        "rounds": 0,
        "usage": {"input_tokens": 0, "output_tokens": 0},
        "responses": [],
        "verdicts": [],
    }


def _round(
    ballots: list[BallotState], requests: Sequence[Request], responses: Sequence[AIMessage | Exception]
) -> dict[str, Any]:
    if len(responses) != len(requests):
        raise SamplingError(f"the sampler gave {len(responses)} responses to {len(requests)} requests")
    arrived: dict[str, list[AIMessage]] = {}
    failures: list[Exception] = []
    for request, response in zip(requests, responses, strict=True):
        if isinstance(response, Exception):
            failures.append(response)
        else:
            arrived.setdefault(request.subtask_id, []).append(response)
    if failures and not arrived:
        first = failures[0]
        raise SamplingError(
            f"none of {len(requests)} model calls succeeded; the first failed with {type(first).__name__}: {first}"
        ) from first
    if failures:
        logger.warning("%d of %d model calls failed and are made again: %r", len(failures), len(requests), failures[0])
    for ballot in ballots:
        if ballot["id"] in arrived:
            ballot["responses"] = arrived[ballot["id"]]
    return {"ballots": ballots, "decisions": []}
