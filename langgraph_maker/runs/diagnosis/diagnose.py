"""Can a task be decomposed for a model? Which steps it gets wrong as often as right, however they are asked.

No margin helps where one wrong answer is as frequent as the right one: voting confirms it (MAKER, Eq 9). Such a step
blocks the whole task, and it takes another prompt, a finer decomposition or another model to get past it.

    >>> from langgraph_maker.tasks import Sorting
    >>> found = diagnose(Sorting.random(50), "sim:error=0.1", samples=20)
    >>> found.verdict, [(one.type, one.sampled) for one in found.types[:2]]
    ('yes', [('equal numbers', 1), ('both negative', 15)])
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final, TypeAlias
from uuid import uuid4

from langgraph.store.base import BaseStore
from langgraph.store.memory import InMemoryStore
from typing_extensions import TypedDict, Unpack

from langgraph_maker.core.callables import check_callbacks
from langgraph_maker.core.keywords import check_keywords
from langgraph_maker.core.numbers import check_whole
from langgraph_maker.core.reasons import Stop
from langgraph_maker.core.red_flags import RuleLike, check_rule
from langgraph_maker.core.task import HasOracle, HasStepType, State, Task, check_task
from langgraph_maker.journal import records
from langgraph_maker.journal.lock import ahold
from langgraph_maker.models.chat_sampler import as_sampler, token_allowance
from langgraph_maker.models.event_loop import run_sync
from langgraph_maker.models.pool import Pool
from langgraph_maker.models.prices import Price
from langgraph_maker.models.resolve import Model, model_name
from langgraph_maker.nodes.guard import DEFAULT_RED_FLAGS
from langgraph_maker.nodes.sample import check_temperatures
from langgraph_maker.prebuilt.maker import check_cost
from langgraph_maker.runs.calibration import known_price
from langgraph_maker.runs.calibration.second_look import CLEARED, bets, power, rival
from langgraph_maker.runs.calibration.statistics import SampleCounts
from langgraph_maker.runs.calibration.step_selection import choose
from langgraph_maker.runs.calibration.trials import Draw, Trials, TrialsEnd
from langgraph_maker.runs.diagnosis.granularity import Granularities, counted, lengthened, others
from langgraph_maker.runs.diagnosis.result import FINER, Diagnosis, Remedy, StepType, Suspect, SuspectSamples
from langgraph_maker.runs.opened import check_opened
from langgraph_maker.theory.intervals import confidence_sequence, exact_interval, upper_bound

__all__ = ["DiagnoseOptions", "Diagnosis", "adiagnose", "diagnose"]

_WIDER: Final = 20  # steps looked through for each that is sampled, so that rare types are found
_SECOND_LOOKS: Final = 200
_LOOK_SAMPLES: Final = 30
_WRONGLY: Final = 0.05  # a step is cleared by its last samples, in each way to ask


class DiagnoseOptions(TypedDict, total=False):
    """What `diagnose` takes besides a task and a model."""

    samples: int
    looks: int
    granularities: Sequence[int]
    temperature: float | None
    red_flags: RuleLike | None
    max_steps: int | None
    price: Price | None
    service_tier: str | None
    max_cost: float | None
    stop: Stop | None
    on_progress: Callable[[str, int], None] | None
    max_concurrency: int | None
    call_timeout: float | None
    outage_limit: float
    seed: int
    store: BaseStore | None
    run_id: str | None


def diagnose(task: Task, model: Model, **options: Unpack[DiagnoseOptions]) -> Diagnosis:
    """Do what `adiagnose` does, for synchronous code. Works inside a running event loop too."""
    check_keywords(diagnose, options, DiagnoseOptions.__annotations__)
    return run_sync(adiagnose(task, model, **options))


async def adiagnose(
    task: Task,
    model: Model,
    *,
    samples: int = 100,
    looks: int = 20,
    granularities: Sequence[int] = (),
    temperature: float | None = 0.1,
    red_flags: RuleLike | None = DEFAULT_RED_FLAGS,
    max_steps: int | None = None,
    price: Price | None = None,
    service_tier: str | None = None,
    max_cost: float | None = None,
    stop: Stop | None = None,
    on_progress: Callable[[str, int], None] | None = None,
    max_concurrency: int | None = None,
    call_timeout: float | None = None,
    outage_limit: float = 600.0,
    seed: int = 0,
    store: BaseStore | None = None,
    run_id: str | None = None,
) -> Diagnosis:
    """Measure p by type of step, and look for steps that no margin gets past.

    Each sampled step is asked once in each way that the task has (`variants`). Where a sample was wrong or flagged,
    up to 30 fresh samples of the step are drawn, in one way after the other until right answers are seen to prevail in
    one (`second_look`). What is lost in all ways is a suspect, of which `looks` fresh samples are drawn in each way: it
    blocks the task where one wrong answer is as frequent as the right one in all of them, beyond chance, which is
    corrected for the number of suspects.

    Where that is so, other granularities are tried: the m steps of which it is one in one response (`Grouped`), and the
    sub-steps of a `Splittable` task. A suspect costs `looks` samples in each way to ask, at each of these
    granularities, and for each sub-step; there are about 200 suspects at most.

    Args:
        task: What to diagnose, a `HasOracle` task; `HasStepType` if it tells types of steps apart.
        model: What to ask, see `models.Model`.
        samples: Steps to sample of each type; all where there are fewer.
        looks: Fresh samples of a suspect, in each way that it is asked.
        granularities: How many steps in one response to try on suspects; 1, the task as it is, always comes first. Only
            for tasks whose prompt shows the whole state. A token limit is so many times as large.
        temperature: Of all samples.
        red_flags: As in a run.
        max_steps: Of a task of unknown length, how many steps to look at.
        price: What tokens cost, see `calibrate`.
        service_tier: Of calls, see `create_maker`.
        max_cost: Dollars to spend at most, an equal part for each way to ask at each granularity.
        stop: Asked before each batch; True, or why, ends the sampling.
        on_progress: Called after each batch with which model was asked, and how many samples there are of this way to
            ask.
        max_concurrency: Model calls at a time.
        call_timeout: Seconds after which a call is given up and retried; None for 600, 900 for the flex tier, and
            none in batches.
        outage_limit: Seconds for which a failing call is retried.
        seed: Chooses the steps.
        store: Keeps every answer, so that the same call with the same `run_id` buys none again.
        run_id: The diagnosis' name in the store; None makes a fresh one.

    Raises:
        ValueError: For an option out of range, a task without an oracle or done at its start, a budget without a
            price, or an id that holds another diagnosis.
        SamplingError: When calls continue failing. What was drawn is kept.
    """
    check_task(task)
    if red_flags is not None:
        check_rule(red_flags)
    as_sampler(model, task=task)  # refuses what is no model
    check_callbacks(stop=stop, on_progress=on_progress)
    check_whole("seed", seed, 0)
    if max_steps is not None:
        check_whole("max_steps", max_steps)
    check_opened("store", store, BaseStore, "SqliteStore")
    if not isinstance(task, HasOracle):
        raise ValueError(  # noqa: TRY004 - one kind of bad input
            f"{task.name} has no oracle(state): where a model is mostly wrong its votes agree on what is wrong, so that"
            " without the truth for some states nothing can be said; give the task an oracle for a small instance"
        )
    for what, count in (("samples", samples), ("looks", looks)):
        check_whole(what, count)
    check_temperatures(temperature, temperature)
    name, price = model_name(model), known_price(model) if price is None else price
    check_cost(max_cost, price, name)
    run_id = uuid4().hex if run_id is None else records.check_id(run_id)
    chosen = choose(task, _WIDER * samples, seed=seed, max_steps=max_steps)
    notes = [chosen.note] if chosen.note else []
    places = _by_type(task, zip(chosen.steps or [], chosen.states, strict=True), samples)
    grouped, store = others(task, granularities), store if store is not None else InMemoryStore()
    variants: int = getattr(task, "variants", 1)

    def ways(asked: Any, m: int, kept_as: str = "") -> list[Trials]:
        flags = lengthened(red_flags, m) if m > 1 and red_flags is not None else red_flags
        parts = variants * (1 + len(finer.wanted)) * (len(course.lost) if m == FINER else 1)
        pool = Pool(
            as_sampler(
                model,
                task=task if m == FINER else asked,
                max_tokens=token_allowance(flags),
                service_tier=service_tier,
            ),
            max_concurrency=max_concurrency,
            call_timeout=call_timeout,
            outage_limit=outage_limit,
        )
        return [
            Trials(
                task=asked,
                pool=pool,
                red_flags=flags,
                lenient=None,
                temperatures=(temperature, temperature),
                seed=seed,
                price=price,
                max_cost=None if max_cost is None else max_cost / parts,
                stop=stop or (lambda: False),
                on_progress=partial(on_progress, name) if on_progress is not None else lambda _: None,
                store=store,
                run_id=f"{run_id} {kept_as}variant {variant}",
                prompt=partial(asked.prompt, variant=variant) if variant else None,
            )
            for variant in range(getattr(asked, "variants", 1))
        ]

    about = {
        "task": task.name,
        "parameters": task.parameters(),
        "model": name,
        "samples": samples,
        "seed": seed,
        "temperature": temperature,
    }
    finer = Granularities(task, grouped, ways, looks, _LOOK_SAMPLES)
    course = _Course(task, places, ways(task, 1), finer, looks)
    async with ahold(store, f"diagnosis {run_id}"):
        for way in course.ways:
            await way.load(about)
        try:
            await course.run(about)
        except TrialsEnd as why:
            notes.append(f"sampling ended early: {why}")
    return course.found(name, run_id, [1, *finer.wanted], notes)


_Places: TypeAlias = dict[str, list[tuple[int, State]]]


def _by_type(task: Task, places: Any, samples: int) -> _Places:
    found: _Places = {}
    for step, state in places:
        steps = found.setdefault(task.step_type(state) if isinstance(task, HasStepType) else "step", [])
        if len(steps) < samples:
            steps.append((step, state))
    return dict(sorted(found.items()))


class _Course:
    """The course of one diagnosis."""

    def __init__(self, task: Any, places: _Places, ways: Sequence[Trials], finer: Granularities, looks: int) -> None:
        self.places, self.ways, self.others, self.looks = places, ways, finer, looks
        self.all = [place for steps in places.values() for place in steps]
        self.truths = {step: task.vote_key(task.oracle(state)) for step, state in self.all}
        self.lost: set[int] = set()
        self.rescued: set[int] = set()
        self.looked: set[int] = set()
        self.complete = False

    async def run(self, about: dict[str, Any]) -> None:
        for way in self.ways:
            await way.draw([(Draw("sample", step, 0), state) for step, state in self.all])
        share = max(1, _SECOND_LOOKS // len(self.places))
        still = [one for steps in self.places.values() for one in [one for one in steps if self.wrong(one[0])][:share]]
        self.looked = self.lost = {step for step, _ in still}
        share_of_each = len(self.ways) * CLEARED

        def won_by(step: int, keys: list[str | None]) -> bool:
            return bets(keys.count(self.truths[step]), rival(keys, self.truths[step])) >= share_of_each

        def closed(step: int, keys: list[str | None]) -> bool:
            against = bets(rival(keys, self.truths[step]), keys.count(self.truths[step])) >= CLEARED
            return won_by(step, keys) or against or keys.count(None) == len(keys)  # further ones are for the suspects

        for way in self.ways:
            fresh = await way.look("again", still, closed, _LOOK_SAMPLES)
            won = {step for step, keys in fresh.items() if won_by(step, keys)}
            if way is not self.ways[0]:
                self.rescued |= won
            still = [place for place in still if place[0] not in won]
            self.lost = self.lost - won
        for way in self.ways:
            await way.draw([(draw, state) for step, state in still for draw in self.fresh(step)])
        await self.others.run(about, [place for place in still if not self.cleared(place[0])])
        self.complete = True

    def wrong(self, step: int) -> bool:
        """Return whether a single sample of this step gave no right vote, in any way it was asked."""
        first = Draw("sample", step, 0)
        return any(way.key(way.answers[first]) != self.truths[step] for way in self.ways if first in way.answers)

    def fresh(self, step: int) -> list[Draw]:
        return [Draw("again", step, _LOOK_SAMPLES + number) for number in range(self.looks)]

    def found(self, model: str, run_id: str, granularities: list[int], notes: list[str]) -> Diagnosis:
        drawn = [*self.ways, *self.others.trials]
        spent = [way.used["cost"] for way in drawn]
        types = [self.type(name, [step for step, _ in steps]) for name, steps in self.places.items()]
        types.sort(key=lambda one: one.share_high, reverse=True)
        if model.startswith(("sim:", "Simulated")):
            notes.append("the model is simulated: what was found says nothing about a real one")
        return Diagnosis(
            task=self.ways[0].task.name,
            model=model,
            run_id=run_id,
            variants=len(self.ways),
            granularities=granularities,
            types=types,
            complete=self.complete,
            drawn=sum(len(way.answers) for way in drawn),
            spent=None if None in spent else sum(cost or 0.0 for cost in spent),
            notes=[*notes, *self.others.notes],
        )

    def type(self, name: str, steps: list[int]) -> StepType:
        asked = [self.asked(variant, steps) for variant in range(len(self.ways))]
        confidence = 1 - _WRONGLY / max(1, len(self.lost))
        suspects = [Suspect(step, name, self.tried(step), confidence) for step in steps if step in self.lost]
        left = sum(not suspect.cleared for suspect in suspects)
        doubtful = [step for step in steps if self.wrong(step)]
        looked = sum(step in self.looked for step in doubtful)
        share = upper_bound(left, len(steps))
        if looked < len(doubtful):  # either bound may miss
            share = upper_bound(len(doubtful), len(steps), 0.975) * upper_bound(left, looked, 0.975)
        tried = max((len(one.tried) for one in suspects), default=0)
        found = power(len(self.ways), _WRONGLY * tried)
        share = min(1.0, share / found) if found else 1.0
        rescued = sum(step in self.rescued for step in steps)
        return StepType(name, len(steps), asked, rescued, suspects, share)

    def asked(self, variant: int, steps: list[int]) -> SuspectSamples:
        way = self.ways[variant]
        counts = SampleCounts(oracle=True, limit=way.limit, truths=dict(self.truths))
        for step in steps:
            if (answer := way.answers.get(draw := Draw("sample", step, 0))) is not None:
                counts.add(draw, answer)
        interval = exact_interval if self.complete else confidence_sequence
        low, high = interval(counts.right, counts.valid)
        p = counts.right / counts.valid if counts.valid else None
        return SuspectSamples(variant, counts.samples, counts.valid, counts.right, p, low, high)

    def cleared(self, step: int) -> bool:
        """Return whether fresh samples show that a vote gets past the step as it is, in some way to ask."""
        return any(one.cleared for one in self.as_it_is(step))

    def tried(self, step: int) -> list[Remedy]:
        others = [] if self.cleared(step) else self.others.tried(step)
        return [*self.as_it_is(step), *others]

    def as_it_is(self, step: int) -> list[Remedy]:
        return [
            Remedy(variant, *counted(way, self.truths[step], self.fresh(step))) for variant, way in enumerate(self.ways)
        ]
