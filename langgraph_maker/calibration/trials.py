"""Single samples for a calibration: drawn a batch at a time, judged as a run judges them, kept, never bought twice."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, NotRequired

from langchain_core.messages import AIMessage
from langgraph.store.base import BaseStore, GetOp, Op, PutOp
from typing_extensions import TypedDict

from langgraph_maker import records
from langgraph_maker.ballot import Ballot, canonical
from langgraph_maker.errors import JournalError, SamplingError
from langgraph_maker.nodes.guard import guard_node
from langgraph_maker.nodes.tally import check_budget
from langgraph_maker.red_flags import RuleLike, output_tokens
from langgraph_maker.state import Request, Sampler, Verdict, total_usage
from langgraph_maker.task import State, Task, Vote

__all__ = ["Answer", "Draw", "Ended", "Prices", "Trials"]

Prices = tuple[float, float]
"""Dollars per million input tokens, and per million output tokens."""

_NUMBERS: Final = {"sample": 0, "pair": 1, "first": 2, "again": 16, "vote": 1 << 16}
_OWN: Final = 1 << 40  # sample numbers that no run reaches: the draws of a simulated model depend on them
_ATTEMPTS: Final = 3
_READ_AT_ONCE: Final = 64
_UNTRIED: Final = 8  # calls in the first batch, while what one costs is not known


class Draw(NamedTuple):
    """One sample to draw: the `number`th of this `kind` at the place `at` of the chosen steps."""

    kind: str
    at: int
    number: int


class Answer(TypedDict):
    """What came back: the key of the vote, or the reason of the flag, under which `beneath` is the key of what it says.

    The vote itself is kept where a vote is taken to go on from it.
    """

    key: str | None
    flag: str | None
    beneath: str | None
    input_tokens: int
    output_tokens: int
    vote: NotRequired[Vote]


class Ended(Exception):  # noqa: N818 - a signal, caught where sampling is driven
    """Sampling has to end before all samples are drawn; the message says why."""


@dataclass
class Trials:
    """Draws samples within a budget and remembers them.

    Args:
        task: What the samples are of.
        sampler: Where they come from.
        red_flags: As in a run.
        lenient: Reads flagged responses, to see which of them were right; None for the task's own parser.
        temperatures: Of the first vote, and of all others.
        seed: Part of the samples' numbers.
        price: For the budget.
        max_cost: Dollars after which no further batch is drawn.
        stop: Asked before each batch.
        concurrency: Samples in a batch.
        store: Keeps the answers under `run_id`.
        run_id: The calibration's name there.
    """

    task: Task
    sampler: Sampler
    red_flags: RuleLike | None
    lenient: Callable[[str], Any] | None
    temperatures: tuple[float | None, float | None]
    seed: int
    price: Prices | None
    max_cost: float | None
    stop: Callable[[], bool] | None
    concurrency: int
    store: BaseStore
    run_id: str
    answers: dict[Draw, Answer] = field(default_factory=dict)
    spent: float = 0.0
    batches: int = 0

    def __post_init__(self) -> None:
        task = self.task
        self.guard = guard_node(parse=task.parse, key=task.vote_key, validate=task.validate, red_flags=self.red_flags)
        self.unguarded = guard_node(
            parse=self.lenient or task.parse, key=task.vote_key, validate=task.validate, red_flags=None
        )

    async def load(self, about: dict[str, Any]) -> None:
        """Take up the answers kept under this id.

        Raises:
            ValueError: When they are of another calibration.
        """
        await records.adrive(self._load(canonical(about)), self.store)

    def _load(self, about: str) -> records.Plan[None]:
        [kept] = yield [GetOp(self._where, "about", refresh_ttl=False)]
        if kept is None:
            yield [PutOp(self._where, "about", {"about": about}, index=False)]
        elif kept.value["about"] != about:
            raise ValueError(
                f"{self.run_id!r} holds another calibration, of {kept.value['about']}, not {about}: give another run_id"
            )
        while True:
            names = range(self.batches, self.batches + _READ_AT_ONCE)
            items = yield [GetOp(self._where, f"batch-{name:06d}", refresh_ttl=False) for name in names]
            for item in items:
                if item is None:
                    return
                try:
                    batch = [(Draw(*draw), answer) for draw, answer in json.loads(item.value["answers"])]
                except (TypeError, KeyError, ValueError) as error:
                    raise JournalError(f"the answers of calibration {self.run_id!r} cannot be read: {error}") from error
                self._remember(batch)

    @property
    def _where(self) -> tuple[str, ...]:
        return (records.ROOT, "calibrations", records.namespace(self.run_id)[-1])

    def cost(self, answer: Answer) -> float:
        """Dollars; 0 where the price is not known."""
        read, written = self.price or (0.0, 0.0)
        return (read * answer["input_tokens"] + written * answer["output_tokens"]) / 1e6

    async def draw(self, draws: Sequence[tuple[Draw, State]]) -> list[Answer]:
        """The answers to `draws`, those that are known among them.

        Raises:
            Ended: When the budget is spent or `stop` says so; what was drawn by then is kept.
            SamplingError: When calls go on failing.
        """
        missing = [(draw, state) for draw, state in draws if draw not in self.answers]
        while missing:
            size = self._affordable()
            now, missing = missing[:size], missing[size:]
            responses = await self._ask([self._request(draw, state) for draw, state in now])
            batch = [
                (draw, self._answer(draw, state, response))
                for (draw, state), response in zip(now, responses, strict=True)
            ]
            kept = {"answers": json.dumps(batch)}
            op: Op = PutOp(self._where, f"batch-{self.batches:06d}", kept, index=False)
            await records.adrive(_once(op), self.store)
            self._remember(batch)
        return [self.answers[draw] for draw, _ in draws]

    async def vote(self, kind: str, asked: Sequence[tuple[int, State]], k: int) -> list[tuple[str, Any] | None]:
        """Let fresh samples vote at each of these places until one leads by k: its key and vote, or None."""
        budget = check_budget(None, k)
        ballots = {at: Ballot(k) for at, _ in asked}
        drawn = dict.fromkeys(ballots, 0)
        while True:
            draws = [
                (Draw(kind, at, number), state)
                for at, state in asked
                if (deficit := ballots[at].deficit) and drawn[at] + deficit <= budget
                for number in range(drawn[at], drawn[at] + deficit)
            ]
            if not draws:
                break
            for ((_, at, _), _), answer in zip(draws, await self.draw(draws), strict=True):
                drawn[at] += 1
                if (key := answer["key"]) is not None:
                    ballots[at].cast(answer.get("vote", key), key)
        return [None if ballots[at].deficit else (_most(ballots[at].counts), ballots[at].winner) for at, _ in asked]

    def _affordable(self) -> int:
        if self.stop is not None and self.stop():
            raise Ended("it was stopped")
        if self.max_cost is None:
            return self.concurrency
        if self.spent >= self.max_cost:
            raise Ended(f"its budget of ${self.max_cost:g} is spent")
        if not self.spent:
            return min(self.concurrency, _UNTRIED)
        mean = self.spent / len(self.answers)
        return max(1, min(self.concurrency, int((self.max_cost - self.spent) / mean)))

    def _request(self, draw: Draw, state: State) -> Request:
        kind, at, number = draw
        first, later = self.temperatures
        own = _OWN + (self.seed % (1 << 19) << 20) + _NUMBERS[kind] + number
        return Request(self.task.prompt(state), first if kind == "first" else later, f"{kind}-{at}", own)

    async def _ask(self, requests: list[Request]) -> list[AIMessage]:
        arrived: dict[int, AIMessage] = {}
        failure: Exception | None = None
        for _ in range(_ATTEMPTS):
            open_ = [place for place in range(len(requests)) if place not in arrived]
            try:
                responses = await self.sampler([requests[place] for place in open_])
            except Exception as error:  # noqa: BLE001 - the failure of every request, raised below with its cause
                responses = [error] * len(open_)
            for place, response in zip(open_, responses, strict=True):
                if isinstance(response, Exception):
                    failure = response
                else:
                    arrived[place] = response
            if len(arrived) == len(requests):
                return [arrived[place] for place in range(len(requests))]
        raise SamplingError(
            f"{len(requests) - len(arrived)} of {len(requests)} model calls failed {_ATTEMPTS} times; the last with"
            f" {type(failure).__name__}: {failure}"
        ) from failure

    def _answer(self, draw: Draw, state: State, response: AIMessage) -> Answer:
        verdict, beneath = self._judge(self.guard, state, response), None
        if "flag" in verdict:
            beneath = self._judge(self.unguarded, state, response).get("key")
        usage = response.usage_metadata
        answer: Answer = {
            "key": verdict.get("key"),
            "flag": verdict["flag"]["reason"] if "flag" in verdict else None,
            "beneath": beneath,
            "input_tokens": (usage and usage.get("input_tokens")) or 0,
            "output_tokens": output_tokens(response),
        }
        if draw.kind == "vote" and "vote" in verdict:
            answer["vote"] = verdict["vote"]
        return answer

    @staticmethod
    def _judge(guard: Any, state: State, response: AIMessage) -> Verdict:
        ballot = {"state": state, "usage": total_usage([]), "responses": [response]}
        [judged] = guard.invoke({"ballots": [ballot]})["ballots"]
        verdict: Verdict = judged["verdicts"][0]
        return verdict

    def _remember(self, batch: Sequence[tuple[Draw, Answer]]) -> None:
        self.answers.update(batch)
        self.spent += sum(self.cost(answer) for _, answer in batch)
        self.batches += 1


def _once(op: Op) -> records.Plan[None]:
    yield [op]


def _most(counts: dict[str, int]) -> str:
    return max(counts, key=counts.__getitem__)
