"""Single samples for a calibration: drawn a batch at a time, judged as a run judges them, kept, never bought twice."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, NotRequired

from langchain_core.messages import AIMessage, BaseMessage
from langgraph.store.base import BaseStore, GetOp, Op
from pydantic import TypeAdapter
from typing_extensions import TypedDict

from langgraph_maker.core.ballot import Ballot
from langgraph_maker.core.canonical import canonical
from langgraph_maker.core.foreign import error_text, shortened
from langgraph_maker.core.margin import check_budget
from langgraph_maker.core.reasons import Stop, stop_reason
from langgraph_maker.core.red_flags import AnyOf, RuleLike, TokenLimit, Truncated, each_rule, output_tokens
from langgraph_maker.core.state import Request, Usage, Verdict, no_usage, total_usage
from langgraph_maker.core.task import State, Task, Vote
from langgraph_maker.journal import records, store_ops
from langgraph_maker.models.keeping import kept_in
from langgraph_maker.models.pool import Pool
from langgraph_maker.models.prices import STANDARD, Price
from langgraph_maker.nodes.guard import guard_node
from langgraph_maker.nodes.sample import new_ballot

__all__ = ["Draw", "Spent", "TrialAnswer", "Trials", "TrialsEnd"]

_NUMBERS: Final = {"sample": 0, "pair": 1, "first": 2, "again": 16, "type": 1 << 10, "vote": 1 << 16}
_OWN: Final = 1 << 40  # sample numbers that no run reaches: the draws of a simulated model depend on them
_READ_AT_ONCE: Final = 64
_BATCH: Final = 64  # where calls have no bound
_FIRST_LOOK, _NEXT_LOOK = 5, 3  # the fewest that clear a step, and then a few
_UNTRIED: Final = 8  # calls in the first batch, while what one costs is not known


class Draw(NamedTuple):
    """One sample to draw: the `number`th of this `kind` at the place `at` of the chosen steps."""

    kind: str
    at: int
    number: int


class TrialAnswer(TypedDict):
    """What came back: the key of the vote, or the reason of the flag, token limits apart.

    `beneath` is the key of what a response says that was flagged, or is too long; `tokens` is its length, and `cut`
    whether it was cut off. The vote itself is kept where a vote is taken to continue from it.
    """

    key: str | None
    flag: str | None
    beneath: str | None
    tokens: int
    cut: bool
    usage: Usage
    vote: NotRequired[Vote]


class TrialsEnd(Exception):  # noqa: N818 - a signal, caught where sampling is driven
    """Sampling has to end before all samples are drawn; the message says why."""


class Spent(TrialsEnd):
    """The part of the budget that is to be spent here is spent."""


@dataclass
class Trials:
    """Draws samples within a budget and remembers them.

    Args:
        task: What the samples are of.
        pool: Where they come from.
        red_flags: As in a run.
        lenient: Reads flagged responses, to see which of them were right; None for the task's own parser.
        temperatures: Of the first vote, and of all others.
        seed: Part of the samples' numbers.
        price: What tokens cost; None for the list price of the model that a response names.
        max_cost: Dollars after which no further batch is drawn; before the samples themselves a `portion` of them.
        stop: Asked before each batch, and while one is waited for.
        on_progress: Called after each batch, and of what was kept, how many samples there are.
        store: Keeps the answers under `run_id`.
        run_id: The calibration's name there.
        prompt: Another way to ask than the task's own.
    """

    task: Task
    pool: Pool
    red_flags: RuleLike | None
    lenient: Callable[[str], Any] | None
    temperatures: tuple[float | None, float | None]
    seed: int
    price: Price | None
    max_cost: float | None
    stop: Stop
    on_progress: Callable[[int], None]
    store: BaseStore
    run_id: str
    prompt: Callable[[State], Sequence[BaseMessage]] | None = None
    answers: dict[Draw, TrialAnswer] = field(default_factory=dict)
    used: Usage = field(default_factory=no_usage)
    batches: int = 0
    portion: float = 1.0

    def __post_init__(self) -> None:
        task, rules = self.task, each_rule(self.red_flags)
        limits = [rule.limit for rule in rules if isinstance(rule, TokenLimit)]
        self.limit = min(limits) if limits else None
        at_once: int = getattr(self.pool.sampler, "at_once", _BATCH)
        self.batch = self.pool.max_concurrency or at_once
        others = AnyOf(*(rule for rule in rules if not isinstance(rule, TokenLimit)))
        self.guard = guard_node(
            parse=task.parse, key=task.vote_key, validate=task.validate, red_flags=others, price=self.price
        )
        self.unguarded = guard_node(
            parse=self.lenient or task.parse, key=task.vote_key, validate=task.validate, red_flags=None
        )

    async def load(self, about: dict[str, Any]) -> None:
        """Take up the answers kept under this id.

        Raises:
            ValueError: When they are of another calibration.
        """
        await store_ops.adrive(self._load(canonical(about)), self.store)
        if self.answers:
            self.on_progress(len(self.answers))

    def _load(self, about: str) -> store_ops.StoreOps[None]:
        [kept] = yield [GetOp(self._where, "about", refresh_ttl=False)]
        if kept is None:
            yield [records.put_record(self._where, self.run_id, "about", "about", json.loads(about))]
        elif (held := canonical(records.read_record(kept, self.run_id, "about", "about", _ABOUT, _REMEDY))) != about:
            raise ValueError(
                f"{self.run_id!r} holds another calibration, of {shortened(held)}, not {shortened(about)}: give another"
                " run_id"
            )
        while True:
            names = range(self.batches, self.batches + _READ_AT_ONCE)
            items = yield [GetOp(self._where, f"batch-{name:06d}", refresh_ttl=False) for name in names]
            for item in items:
                if item is None:
                    return
                key = f"batch-{self.batches:06d}"
                read = records.read_record(item, self.run_id, key, "answers", _ANSWERS, _REMEDY)
                try:
                    checked = _TRIALS.validate_json(json.dumps(read), strict=True)
                except ValueError as error:
                    why = f"cannot be read: {error_text(error)}"
                    raise records.damaged(self.run_id, _ANSWERS, why, _REMEDY) from error
                self._remember([(draw, self._priced(answer)) for draw, answer in checked])

    def _priced(self, answer: TrialAnswer) -> TrialAnswer:
        """Return its cost anew, where a price is given: another may have been, or none. No tokens are none known."""
        if self.price is None or not (answer["usage"]["input_tokens"] or answer["usage"]["output_tokens"]):
            return answer
        tier = next(iter(answer["usage"].get("tiers", {STANDARD: 1})))
        price = self.price.at(tier)
        cost = None if price is None else price.cost(answer["usage"])
        return {**answer, "usage": {**answer["usage"], "cost": cost}}

    @property
    def _where(self) -> tuple[str, ...]:
        return records.calibration(self.run_id)

    def key(self, answer: TrialAnswer) -> str | None:
        """Return the key of the vote, None if it is flagged, for its length or else."""
        return None if self.limit is not None and answer["tokens"] > self.limit else answer["key"]

    async def draw(self, draws: Sequence[tuple[Draw, State]]) -> list[TrialAnswer]:
        """Return the answers to `draws`, those that are known among them.

        Raises:
            Ended: When the budget is spent or `stop` says so; what was drawn by then is kept.
            SamplingError: When a call fails for good. What arrived beside it is kept.
        """
        while missing := [(draw, state) for draw, state in draws if draw not in self.answers]:
            now = missing[: self._affordable()]
            requests = [self._request(draw, state) for draw, state in now]
            asked = {(one.subtask_id, one.number): what for one, what in zip(requests, now, strict=True)}
            with kept_in(self.store, self.run_id):
                arrived, error = await self.pool.draw(requests, stop=self.stop)
            came = [(asked[request.subtask_id, request.number], response) for request, response in arrived]
            await self._keep([(draw, self._answer(draw, state, response)) for (draw, state), response in came])
            if error is not None and not self.stop():  # a stop gives up calls that wait for another attempt
                raise error
        return [self.answers[draw] for draw, _ in draws]

    async def vote(
        self, kind: str, asked: Sequence[tuple[int, State]], k: int, most: int | None = None
    ) -> list[tuple[str, Any] | None]:
        """Let up to `most` fresh samples vote at each place until one leads by k: its key and vote, or None."""
        budget = check_budget(most, k)
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
                if (key := self.key(answer)) is not None:
                    ballots[at].cast(answer.get("vote", key), key)
        return [None if ballots[at].deficit else (_most(ballots[at].counts), ballots[at].winner) for at, _ in asked]

    async def look(
        self,
        kind: str,
        asked: Sequence[tuple[int, State]],
        closed: Callable[[int, list[str | None]], bool],
        most: int,
    ) -> dict[int, list[str | None]]:
        """Draw fresh samples at each place until its keys (None where flagged) are `closed`, or there are `most`.

        Returns:
            The keys of each place. What was drawn before the budget ended is in `answers`, see `drawn`.
        """

        def open_yet(at: int) -> bool:
            return len(keys := self.drawn(kind, at, most)) < most and not (keys and closed(at, keys))

        while going := [(at, state) for at, state in asked if open_yet(at)]:
            draws = []
            for at, state in going:
                begin = len(self.drawn(kind, at, most))
                rounds = max(0, begin - _FIRST_LOOK + _NEXT_LOOK) // _NEXT_LOOK  # the same however it was interrupted
                end = min(most, _FIRST_LOOK + _NEXT_LOOK * rounds)
                draws += [(Draw(kind, at, number), state) for number in range(begin, end)]
            await self.draw(draws)
        return {at: self.drawn(kind, at, most) for at, _ in asked}

    def drawn(self, kind: str, at: int, most: int) -> list[str | None]:
        """Return the keys of the first samples at a place, as far as there are any without a gap."""
        keys = []
        for number in range(most):
            if (answer := self.answers.get(Draw(kind, at, number))) is None:
                break
            keys.append(self.key(answer))
        return keys

    def _affordable(self) -> int:
        if (why := stop_reason(self.stop, "it was stopped")) is not None:
            raise TrialsEnd(why.text)
        if self.max_cost is None:
            return self.batch
        spent = self.used["cost"]
        if spent is None:
            raise TrialsEnd("what it costs is not known, and it has a budget: give the price of the model")
        budget = self.portion * self.max_cost
        if spent >= budget:
            share = "" if self.portion == 1 else f"{self.portion:.0%} of "
            raise Spent(f"{share}its budget of ${self.max_cost:g} is spent")
        if not spent:
            return min(self.batch, _UNTRIED)
        mean = spent / len(self.answers)
        return max(1, min(self.batch, int((budget - spent) / mean)))

    def _request(self, draw: Draw, state: State) -> Request:
        kind, at, number = draw
        first, later = self.temperatures
        own = _OWN + (self.seed % (1 << 19) << 20) + _NUMBERS[kind] + number
        messages = (self.prompt or self.task.prompt)(state)
        return Request(messages, first if kind == "first" else later, f"{kind}-{at}", own, self.run_id)

    def _answer(self, draw: Draw, state: State, response: AIMessage) -> TrialAnswer:
        (verdict, usage), beneath = self._judge(self.guard, state, response), None
        tokens = output_tokens(response)
        if "flag" in verdict or (self.limit is not None and tokens > self.limit):
            beneath = self._judge(self.unguarded, state, response)[0].get("key")
        answer: TrialAnswer = {
            "key": verdict.get("key"),
            "flag": verdict["flag"]["reason"] if "flag" in verdict else None,
            "beneath": beneath,
            "tokens": tokens,
            "cut": Truncated()(response) is not None,
            "usage": usage,
        }
        if draw.kind == "vote" and "vote" in verdict:
            answer["vote"] = verdict["vote"]
        return answer

    @staticmethod
    def _judge(guard: Any, state: State, response: AIMessage) -> tuple[Verdict, Usage]:
        ballot = new_ballot({"id": "sample", "state": state}) | {"arrived": [{"number": 0, "response": response}]}
        [judged] = guard.invoke({"ballots": [ballot]})["ballots"]
        return judged["arrived"][0], judged["usage"]

    async def _keep(self, batch: Sequence[tuple[Draw, TrialAnswer]]) -> None:
        if not batch:
            return
        op: Op = records.put_record(self._where, self.run_id, f"batch-{self.batches:06d}", "answers", batch)
        await store_ops.adrive(_once(op), self.store)
        self._remember(batch)
        self.on_progress(len(self.answers))

    def _remember(self, batch: Sequence[tuple[Draw, TrialAnswer]]) -> None:
        self.answers.update(batch)
        self.used = total_usage([self.used, *(answer["usage"] for _, answer in batch)])
        self.batches += 1


def _once(op: Op) -> store_ops.StoreOps[None]:
    yield [op]


def _most(counts: dict[str, int]) -> str:
    return max(counts, key=counts.__getitem__)


_TRIALS: Final[TypeAdapter[list[tuple[Draw, TrialAnswer]]]] = TypeAdapter(list[tuple[Draw, TrialAnswer]])
_ABOUT, _ANSWERS = "description of the calibration", "answers of the calibration"
_REMEDY = "restore the database from a backup, or give another run_id to sample anew"
