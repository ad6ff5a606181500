"""A step in coarser and in finer subtasks: what a diagnosis tries where the step is lost as it is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple, TypeAlias

from langgraph_maker.core.grouped import Grouped
from langgraph_maker.core.red_flags import AnyOf, RuleLike, TokenLimit, each_rule
from langgraph_maker.core.task import Decomposable, HasOracle, HasVariants, State, Task, Vote
from langgraph_maker.nodes.ladder.split import LONGEST, check_chain
from langgraph_maker.runs.calibration.step_selection import states_at
from langgraph_maker.runs.calibration.trials import Draw, Trials
from langgraph_maker.runs.diagnosis.result import FINER, Remedy

__all__ = ["Granularities", "Ways", "counted", "lengthened", "others"]

Ways: TypeAlias = Callable[[Task, int, str], Sequence[Trials]]
"""From a task, its granularity, and a name in the store to its trials, one for each way to ask."""


class _Attempt(NamedTuple):
    """What is asked in the place of one step: its subtasks, and the right answers to them."""

    m: int
    ways: Sequence[Trials]
    places: list[tuple[int, State]]
    truths: dict[int, str]


def others(task: Task, granularities: Sequence[int]) -> list[Grouped]:
    """Return the task in coarser subtasks, one for each granularity beyond 1.

    Raises:
        ValueError: For an invalid granularity, or that the task cannot have.
    """
    if isinstance(task, Grouped) and [*granularities] not in ([], [1]):
        raise ValueError(f"{task.name} is grouped already: diagnose {task.task.name}, with granularities")
    grouped = {m: Grouped(task, m) for m in granularities if m != 1 or isinstance(m, bool)}
    return [grouped[m] for m in sorted(grouped)]


def lengthened(red_flags: RuleLike | None, m: int) -> AnyOf:
    """Return the rules with token limits m times as large.

    Example:
        >>> from langgraph_maker.red_flags import Truncated
        >>> each_rule(lengthened(TokenLimit(750) | Truncated(), 3))
        [TokenLimit(limit=2250), Truncated()]
    """
    rules = each_rule(red_flags)
    return AnyOf(*(TokenLimit(m * rule.limit) if isinstance(rule, TokenLimit) else rule for rule in rules))


class Granularities:
    """Fresh samples of steps, asked as part of m steps in one response, or in the sub-steps of a `Decomposable` task.

    Args:
        task: The task, of which some steps are lost.
        grouped: It in coarser subtasks.
        ways: Makes trials.
        looks: Samples of a subtask, in each way.
        first: The number of the first of them.
    """

    def __init__(self, task: Any, grouped: Sequence[Grouped], ways: Ways, looks: int, first: int) -> None:
        self.task, self.grouped, self.ways = task, grouped, ways
        self.numbers = range(first, first + looks)
        self.wanted = [*(one.m for one in grouped), *([FINER] if isinstance(task, Decomposable) else [])]
        self.attempts: dict[int, list[_Attempt]] = {}
        self.trials: list[Trials] = []
        self.notes: list[str] = []

    async def run(self, about: dict[str, Any], steps: Sequence[tuple[int, State]]) -> None:
        """Draw what is lacking.

        Raises:
            Ended: When the budget is spent, or a stop is asked for.
            SamplingError: When a call fails for good.
        """
        asked: list[tuple[Sequence[Trials], list[tuple[int, State]]]] = []
        attempts: dict[int, list[_Attempt]] = {step: [] for step, _ in steps}
        for task in self.grouped:
            ways = self.ways(task, task.m, f"by {task.m} ")
            starts = states_at(self.task, [step - step % task.m for step, _ in steps])
            asked.append((ways, [*starts.items()]))
            for step, _ in steps:
                start = step - step % task.m
                attempts[step].append(_attempt(task, task.m, ways, [(start, starts[start])]))
        for step, state in steps if isinstance(self.task, Decomposable) else []:
            if (attempt := self._finer(step, state)) is not None:
                attempts[step].append(attempt)
                asked.append((attempt.ways, attempt.places))
        self.attempts = attempts
        for ways, places in asked:
            for way in ways:
                self.trials.append(way)
                await way.load(about)
                await way.draw([(draw, state) for at, state in places for draw in self._fresh(at)])

    def tried(self, step: int) -> list[Remedy]:
        """Return what was drawn in the place of a step, in each granularity and way; of several subtasks the worst.

        Where it did not come to that there are no samples, so that nothing is held against the step.
        """
        if step not in self.attempts:
            return [Remedy(0, 0, 0, 0, 0, m) for m in self.wanted]
        found = []
        for one in self.attempts[step]:
            for variant, way in enumerate(one.ways):
                each = [
                    Remedy(variant, *counted(way, truth, self._fresh(at)), one.m, at if one.m == FINER else 0)
                    for at, truth in one.truths.items()
                ]
                found.append(min(each, key=Remedy.standing))
        return found

    def _fresh(self, at: int) -> list[Draw]:
        return [Draw("again", at, number) for number in self.numbers]

    def _finer(self, step: int, state: State) -> _Attempt | None:
        try:
            chain = self.task.split(state)
            places, votes = _walked(chain)
            self._join(state, votes)
            return _attempt(chain, FINER, self.ways(chain, FINER, f"finer {step} "), places)
        except Exception as error:  # noqa: BLE001 - a task without finer steps there is diagnosed all the same
            self.notes.append(f"step {step:,} was not tried in sub-steps: {type(error).__name__}: {error}"[:300])
            return None

    def _join(self, state: State, votes: list[Vote]) -> None:
        """See that the right sub-steps make the right step: else they clear nothing."""
        joined, truth = self.task.join(state, votes), self.task.oracle(state)
        if self.task.vote_key(joined) != self.task.vote_key(truth):
            raise ValueError(f"join makes {joined!r:.80} of the right votes, and the oracle says {truth!r:.80}")


def counted(way: Trials, truth: str, draws: Sequence[Draw]) -> tuple[int, int, int, int]:
    """Return how many of these there are, were right, said what most of the wrong ones said, and were flagged."""
    keys = [way.key(way.answers[draw]) for draw in draws if draw in way.answers]
    wrong = [key for key in keys if key is not None and key != truth]
    return len(keys), keys.count(truth), max(map(wrong.count, wrong), default=0), keys.count(None)


def _attempt(task: Any, m: int, ways: Sequence[Trials], places: list[tuple[int, State]]) -> _Attempt:
    return _Attempt(m, ways, places, {at: task.vote_key(task.oracle(state)) for at, state in places})


def _walked(chain: Task) -> tuple[list[tuple[int, State]], list[Vote]]:
    """Return the sub-steps of a chain, by its oracle, and the right votes on them."""
    check_chain(chain)
    if not isinstance(chain, HasOracle):
        raise TypeError(f"{chain.name} has no oracle(state)")
    places: list[tuple[int, State]] = []
    votes: list[Vote] = []
    ways = [chain.prompt]
    if isinstance(chain, HasVariants):
        ways += [partial(chain.prompt, variant=variant) for variant in range(1, chain.variants)]
    most = min(chain.steps or LONGEST, LONGEST)
    state = chain.initial_state()
    while not chain.is_done(state):
        if len(places) == most:
            raise ValueError(f"{chain.name} has more than {most} steps")
        for prompt in ways:  # seen before anything is paid for
            if not isinstance(asked := prompt(state), Sequence):
                raise TypeError(f"prompt of {chain.name} is no list of messages: {asked!r:.80}")
        places.append((len(places), state))
        votes.append(chain.oracle(state))
        state = chain.advance(state, votes[-1])
    if not places:
        raise ValueError(f"{chain.name} has no steps")
    return places, votes
