"""Measure a model on single steps before a run: p, v, cost, and the k they call for (MAKER, section 4.1).

>>> from langgraph_maker.tasks import TowersOfHanoi
>>> found = calibrate(TowersOfHanoi(10), "sim:error=0.05,input_price=0.4,output_price=1.6", samples=400)
>>> found.k_estimate, found.k_min, found.p_low < found.p < found.p_high
(4, 5, True)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from typing import Any, Final
from uuid import uuid4

from langgraph.store.base import BaseStore
from langgraph.store.memory import InMemoryStore
from typing_extensions import TypedDict, Unpack

from langgraph_maker import records
from langgraph_maker.chosen import choose
from langgraph_maker.counting import Counts, conclude
from langgraph_maker.estimates import confidence_sequence
from langgraph_maker.findings import Calibration, margin_or_none
from langgraph_maker.lock import ahold
from langgraph_maker.nodes.guard import DEFAULT_RED_FLAGS
from langgraph_maker.profiles import read_spec
from langgraph_maker.red_flags import RuleLike
from langgraph_maker.sampling import Model, as_sampler, model_name, run_sync, token_allowance
from langgraph_maker.task import Checkable, State, Task
from langgraph_maker.trials import Draw, Ended, Prices, Trials

__all__ = ["Calibration", "Options", "acalibrate", "calibrate", "known_price"]

_SECOND_LOOKS: Final = 200  # steps at most on which it is voted whether they can be saved
_SECOND_LOOK_MARGIN: Final = 3
_LEAST_BEFORE_ENDING: Final = 50


class Options(TypedDict, total=False):
    """What `calibrate` takes besides a task and a model."""

    samples: int
    target: float
    steps: int | None
    temperature: float | None
    first_temperature: float | None
    red_flags: RuleLike | None
    lenient: Callable[[str], Any] | None
    pairs: float
    firsts: float
    reference_k: int
    early: bool
    max_steps: int | None
    price: Prices | None
    max_cost: float | None
    stop: Callable[[], bool] | None
    concurrency: int
    seed: int
    store: BaseStore | None
    run_id: str | None


def calibrate(task: Task, model: Model, **options: Unpack[Options]) -> Calibration:
    """`acalibrate`, for synchronous code. Works inside a running event loop too.

    Example:
        >>> from langgraph_maker.tasks import TowersOfHanoi
        >>> found = calibrate(TowersOfHanoi(8), "sim:error=0.3", samples=200, steps=2**20 - 1)
        >>> found.steps, found.samples, found.k_min > found.k_estimate
        (1048575, 200, True)
    """
    return run_sync(acalibrate(task, model, **options))


async def acalibrate(
    task: Task,
    model: Model,
    *,
    samples: int = 1000,
    target: float = 0.95,
    steps: int | None = None,
    temperature: float | None = 0.1,
    first_temperature: float | None = 0.0,
    red_flags: RuleLike | None = DEFAULT_RED_FLAGS,
    lenient: Callable[[str], Any] | None = None,
    pairs: float = 0.25,
    firsts: float = 0.25,
    reference_k: int = 5,
    early: bool = False,
    max_steps: int | None = None,
    price: Prices | None = None,
    max_cost: float | None = None,
    stop: Callable[[], bool] | None = None,
    concurrency: int = 64,
    seed: int = 0,
    store: BaseStore | None = None,
    run_id: str | None = None,
) -> Calibration:
    """Draw single samples on random steps of the whole task and conclude which k it needs and what that costs.

    One sample a step, so that errors which cluster by step leave the intervals right. Where the task has an oracle,
    samples are scored against the truth, else against the winner of a vote of fresh samples at the margin
    `reference_k`; a step where that vote does not settle counts as wrong. On some steps a second sample is drawn, to
    see whether errors are independent, and one at the first vote's temperature. Steps that went wrong are voted on
    (at most 200, at k = 3), to see whether voting saves them.

    Intervals are exact for a number of samples fixed beforehand; where sampling may end early (`early`, `max_cost`,
    or `stop` said so) they are those of a confidence sequence, which are wider.

    Args:
        task: What to calibrate for; on a smaller instance, if need be.
        model: What to ask, see `sampling.Model`.
        samples: How many steps to sample; all of them where the task has fewer.
        target: Wanted probability of zero errors in the whole task, for k_min.
        steps: How long the task is that k and cost are projected to; None for this one.
        temperature: Of the samples, as in the run.
        first_temperature: Of a step's first vote in the run.
        red_flags: As in the run.
        lenient: Reads flagged responses, to see how many were right, such as a repairing parser; default `task.parse`.
        pairs: Share of the steps that are sampled twice.
        firsts: Share of the steps that are sampled at `first_temperature` as well, where that differs.
        reference_k: The margin of the votes that stand in for an oracle.
        early: End as soon as both ends of the interval of p call for the same k.
        max_steps: Of a task of unknown length, how many steps to look at.
        price: Dollars per million input and output tokens; a simulated model knows its own.
        max_cost: Dollars to spend at most; the batch under way may exceed it a little.
        stop: Asked before each batch; True ends the sampling.
        concurrency: Samples in a batch.
        seed: Chooses the steps.
        store: Keeps every answer, so that the same call with the same `run_id` goes on where it broke off.
        run_id: The calibration's name in the store; None makes a fresh one.

    Raises:
        ValueError: For an option out of range, a task that is done at its start, a budget without a price, or an id
            that holds another calibration.
        SamplingError: When calls go on failing. What was drawn is kept.
        RunBusyError: When a live process is at work on this id.

    Example:
        >>> import asyncio
        >>> from langgraph_maker.tasks import TowersOfHanoi
        >>> found = asyncio.run(acalibrate(TowersOfHanoi(5), "sim:error=0.01"))
        >>> found.samples, found.p, round(found.p_low, 4), found.notes[0]
        (31, 1.0, 0.8878, 'the task has 31 steps: as many samples, one a step')
    """
    _check(samples, pairs, firsts, concurrency)
    price = price if price is not None else known_price(model)
    if max_cost is not None and price is None:
        raise ValueError("max_cost needs a price: give price=(dollars per million input tokens, per million output)")
    run_id = uuid4().hex if run_id is None else records.check_id(run_id)
    trials = Trials(
        task=task,
        sampler=as_sampler(model, task=task, max_tokens=token_allowance(red_flags)),
        red_flags=red_flags,
        lenient=lenient,
        temperatures=(first_temperature, temperature),
        seed=seed,
        price=price,
        max_cost=max_cost,
        stop=stop,
        concurrency=concurrency,
        store=store if store is not None else InMemoryStore(),
        run_id=run_id,
    )
    about = {
        "task": task.name,
        "parameters": task.parameters(),
        "model": model_name(model),
        "samples": samples,
        "seed": seed,
        "temperatures": [first_temperature, temperature],
        "shares": [pairs, firsts if first_temperature != temperature else 0],
        "reference_k": reference_k,
    }
    planned = _Sampling(task, trials, about, steps or task.steps, target, early=early, max_steps=max_steps)
    async with ahold(trials.store, f"calibration {run_id}"):
        await trials.load(about)
        counts = await planned.run()
    return conclude(
        counts,
        task=task.name,
        model=model_name(model),
        run_id=run_id,
        steps=steps or task.steps,
        target=target,
        price=price,
        anytime=early or max_cost is not None or planned.ended,
    )


def known_price(model: Model) -> Prices | None:
    """The prices of a simulated model, where both are known; None for others.

    Example:
        >>> known_price("sim:gpt-4.1-mini"), known_price("sim:llama-3.2-3b")
        ((0.4, 1.6), None)
    """
    if not (isinstance(model, str) and model.startswith("sim:")):
        return None
    profile, _ = read_spec(model)
    if profile.input_price is None or profile.output_price is None:
        return None
    return profile.input_price, profile.output_price


def _check(samples: int, pairs: float, firsts: float, concurrency: int) -> None:
    for name, count in (("samples", samples), ("concurrency", concurrency)):
        if not isinstance(count, int) or isinstance(count, bool) or count < 1:
            raise ValueError(f"{name} is a whole number of at least 1, not {count!r}")
    for name, share in (("pairs", pairs), ("firsts", firsts)):
        if not 0 <= share <= 1:
            raise ValueError(f"{name} is a share of the steps, from 0 to 1, not {share!r}")


class _Sampling:
    """The course of one calibration; `ended` says whether it broke off before all samples were drawn."""

    def __init__(
        self,
        task: Task,
        trials: Trials,
        about: dict[str, Any],
        steps: int | None,
        target: float,
        *,
        early: bool,
        max_steps: int | None,
    ) -> None:
        self.task, self.trials, self.about = task, trials, about
        self.steps, self.target, self.early, self.max_steps = steps, target, early, max_steps
        self.ended = False
        self.counts = Counts(oracle=isinstance(task, Checkable))

    async def run(self) -> Counts:
        counts = self.counts
        try:
            places = await self._places()
            for begin in range(0, len(places), self.trials.concurrency):
                await self._sample(places[begin : begin + self.trials.concurrency], begin)
                if self.early and self._settled():
                    self.ended = begin + self.trials.concurrency < len(places)
                    break
            await self._look_again(places)
        except Ended as why:
            self.ended = True
            counts.notes.append(f"sampling ended after {counts.samples:,} of {self.about['samples']:,} samples: {why}")
        counts.spent, counts.drawn = self.trials.spent, len(self.trials.answers)
        return counts

    async def _places(self) -> list[tuple[int, State]]:
        """The steps to sample, with their states; without an oracle or lanes those of a pilot run."""
        samples, counts = self.about["samples"], self.counts
        steps, states, note = choose(self.task, samples, seed=self.about["seed"], max_steps=self.max_steps)
        if steps is None:
            steps, states = await self._pilot(min(samples, self.task.steps or samples, self.max_steps or samples))
        if note:
            counts.notes.append(note)
        if len(steps) < samples and len(steps) == self.task.steps:
            counts.notes.append(f"the task has {len(steps):,} steps: as many samples, one a step")
        places = list(zip(steps, states, strict=True))
        Random(self.about["seed"]).shuffle(places)  # noqa: S311 - a part of them is then a random part
        return places

    async def _pilot(self, most: int) -> tuple[list[int], list[State]]:
        """Run the first steps at a high margin, and keep what was voted as the truth."""
        state, states = self.task.initial_state(), list[State]()
        while len(states) < most and not self.task.is_done(state):
            at = len(states)
            states.append(state)
            [winner] = await self.trials.vote("vote", [(at, state)], self.about["reference_k"])
            self.counts.truths[at] = winner and winner[0]
            if winner is None:
                self.counts.notes.append(f"the pilot run ended at step {at:,}, whose vote does not settle")
                break
            state = self.task.advance(state, winner[1])
        if self.task.steps is None or len(states) < self.task.steps:
            self.counts.notes.append(
                f"only the first {len(states):,} steps were sampled: without an oracle or known lane starts, states"
                " come from a pilot run"
            )
        return list(range(len(states))), states

    async def _sample(self, places: Sequence[tuple[int, State]], begin: int) -> None:
        """Draw the samples of these places, and count them against the truth."""
        pairs, firsts = self.about["shares"]
        draws = []
        for offset, (step, state) in enumerate(places):
            place = begin + offset
            draws.append((Draw("sample", step, 0), state))
            draws += [(Draw("pair", step, 0), state)] * _in_share(place, pairs)
            draws += [(Draw("first", step, 0), state)] * _in_share(place, firsts)
        answers = await self.trials.draw(draws)
        await self._truths(places)
        for (draw, _), answer in zip(draws, answers, strict=True):
            self.counts.add(draw, answer)

    async def _truths(self, places: Sequence[tuple[int, State]]) -> None:
        truths = self.counts.truths
        if isinstance(self.task, Checkable):
            truths.update((step, self.task.vote_key(self.task.oracle(state))) for step, state in places)
        elif unknown := [place for place in places if place[0] not in truths]:
            winners = await self.trials.vote("vote", unknown, self.about["reference_k"])
            truths.update((step, winner and winner[0]) for (step, _), winner in zip(unknown, winners, strict=True))

    async def _look_again(self, places: Sequence[tuple[int, State]]) -> None:
        """Vote on steps that went wrong: those whose winner is right can be saved."""
        wrong = [(step, state) for step, state in places if step in self.counts.suspects]
        known = [(step, state) for step, state in wrong if self.counts.truths[step] is not None]
        asked = known[:_SECOND_LOOKS]
        winners = await self.trials.vote("again", asked, _SECOND_LOOK_MARGIN)
        for (step, _), winner in zip(asked, winners, strict=True):
            if winner is not None and winner[0] == self.counts.truths[step]:
                self.counts.suspects.discard(step)
        if len(known) > len(asked):
            self.counts.notes.append(
                f"{len(known) - len(asked):,} steps that went wrong were not voted on and count as beyond saving"
            )

    def _settled(self) -> bool:
        counts = self.counts
        if counts.valid < _LEAST_BEFORE_ENDING:
            return False
        low, high = confidence_sequence(counts.right, counts.valid)
        if high <= 0.5:  # noqa: PLR2004 - voting cannot help
            return True
        least = margin_or_none(low, None, self.steps, self.target)
        return least is not None and least == margin_or_none(high, None, self.steps, self.target)


def _in_share(place: int, share: float) -> bool:
    return int((place + 1) * share) > int(place * share)
