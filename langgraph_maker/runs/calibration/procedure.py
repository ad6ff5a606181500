"""The course of one calibration: which samples are drawn in which order, and what they are counted against."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from math import ceil
from random import Random
from typing import Any, Final

from langgraph_maker.core.task import HasOracle, HasStepType, State, Task
from langgraph_maker.runs.calibration.result import margin_or_none
from langgraph_maker.runs.calibration.second_look import cleared, condemned
from langgraph_maker.runs.calibration.statistics import SampleCounts
from langgraph_maker.runs.calibration.step_selection import choose
from langgraph_maker.runs.calibration.trials import Draw, Spent, Trials, TrialsEnd
from langgraph_maker.theory.intervals import confidence_sequence

__all__ = ["Procedure"]

_SECOND_LOOKS: Final = 200  # steps at most on which it is voted whether they can be saved
_SECOND_LOOK_SAMPLES: Final = 30  # on a step that is always flagged they would only cost
_WIDER: Final = 20  # steps looked through for each that is sampled, so that rare types are found
_OF_A_TYPE: Final = 0.05  # samples at least, as a share of all
_LEAST_OF_A_TYPE: Final = 20  # enough to tell that right answers prevail, or that they do not
_LEAST_BEFORE_ENDING: Final = 50
_PILOT_SHARE: Final = 0.5  # of the budget: the rest is for the samples


class Procedure:
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
        self.counts = SampleCounts(
            oracle=isinstance(task, HasOracle), limit=trials.limit, elsewhere=steps != task.steps
        )

    async def run(self) -> SampleCounts:
        """Draw and count until all samples are there, or it has to end.

        Raises:
            ValueError: When the task is done at its start.
            SamplingError: When calls continue failing.
        """
        counts = self.counts
        try:
            places = await self._places()
            for begin in range(0, len(places), self.trials.batch):
                await self._sample(places[begin : begin + self.trials.batch], begin)
                if self.early and self._settled():
                    self.ended = begin + self.trials.batch < len(places)
                    break
            await self._look_again(places)
            await self._types(places)
        except TrialsEnd as why:
            self.ended = True
            counts.notes.append(f"sampling ended after {counts.samples:,} of {self.about['samples']:,} samples: {why}")
        counts.spent, counts.drawn = self.trials.used["cost"], len(self.trials.answers)
        return counts

    async def _places(self) -> list[tuple[int, State]]:
        """Return the steps to sample, with their states; without an oracle or lanes those of a pilot run."""
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
            try:
                self.trials.portion = _PILOT_SHARE
                [winner] = await self.trials.vote("vote", [(at, state)], self.about["reference_k"])
            except Spent as why:
                states.pop()
                self.counts.notes.append(f"the pilot run ended at step {at:,}: {why}")
                break
            finally:
                self.trials.portion = 1.0
            self.counts.truths[at] = winner and winner[0]
            if winner is None:
                self.counts.notes.append(f"the pilot run ended at step {at:,}, whose vote does not converge")
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
        truths = self.counts.truths
        if isinstance(self.task, HasOracle):
            truths.update((step, self.task.vote_key(self.task.oracle(state))) for step, state in places)
        try:
            await self.trials.draw(draws)
            await self._truths(places)
        finally:  # what is paid for counts, also where the budget ended the batch
            known = [draw for draw, _ in draws if draw in self.trials.answers and draw.at in truths]
            for draw in known:
                self.counts.add(draw, self.trials.answers[draw])

    async def _truths(self, places: Sequence[tuple[int, State]]) -> None:
        truths = self.counts.truths
        if unknown := [place for place in places if place[0] not in truths]:
            winners = await self.trials.vote("vote", unknown, self.about["reference_k"])
            truths.update((step, winner and winner[0]) for (step, _), winner in zip(unknown, winners, strict=True))

    async def _look_again(self, places: Sequence[tuple[int, State]]) -> None:
        """Draw fresh samples of steps that went wrong or were flagged, until right answers are seen to prevail."""
        counts = self.counts
        if not counts.valid:  # then nothing has to be told apart
            return
        suspects = set(counts.suspects)
        looked = [(step, state) for step, state in places if step in suspects][:_SECOND_LOOKS]
        asked = [(step, state) for step, state in looked if counts.truths[step] is not None]
        counts.looked.update(step for step, _ in looked)

        def closed(step: int, keys: list[str | None]) -> bool:
            truth, wrong = counts.truths[step], counts.singles[step].answer["key"]
            return cleared(keys, truth) or condemned(keys, truth, wrong, len(looked))

        try:
            await self.trials.look("again", asked, closed, _SECOND_LOOK_SAMPLES)
        finally:  # what is paid for counts
            counts.fresh.update((step, self.trials.drawn("again", step, _SECOND_LOOK_SAMPLES)) for step, _ in asked)

    async def _types(self, places: Sequence[tuple[int, State]]) -> None:
        """Count by type of step, with further samples of types that few of the sampled steps are of.

        Where these are all of that type, several of one step. They are no more than all samples before them.
        """
        task, counts = self.task, self.counts
        if not isinstance(task, HasStepType) or not counts.valid:
            return
        counts.types = {step: task.step_type(state) for step, state in places if step in counts.singles}
        counts.typed = len(counts.types)
        if not isinstance(task, HasOracle):
            return
        wide = choose(task, _WIDER * self.about["samples"], seed=self.about["seed"], max_steps=self.max_steps)
        of_type: dict[str, list[tuple[int, State]]] = {}
        for step, state in zip(wide.steps or [], wide.states, strict=True):
            of_type.setdefault(task.step_type(state), []).append((step, state))
        counts.typed = sum(map(len, of_type.values()))
        counts.shares = {name: len(steps) / counts.typed for name, steps in of_type.items()}
        known = Counter(counts.types.values())
        lacking = _lacking({name: known[name] for name in of_type}, self.about["samples"])
        draws = []
        for name, steps in of_type.items():
            fresh = [(Draw("sample", step, 0), state) for step, state in steps if step not in counts.singles]
            rounds = range(ceil(lacking[name] / len(steps)))
            again = [(Draw("type", step, number), state) for number in rounds for step, state in steps]
            draws += [(draw, state, name) for draw, state in [*fresh, *again][: lacking[name]]]
        counts.truths.update((draw.at, task.vote_key(task.oracle(state))) for draw, state, _ in draws)
        try:
            await self.trials.draw([(draw, state) for draw, state, _ in draws])
        finally:
            for draw, _, name in draws:
                if (answer := self.trials.answers.get(draw)) is not None:
                    counts.add_rare(name, draw, answer)

    def _settled(self) -> bool:
        counts = self.counts
        if counts.valid < _LEAST_BEFORE_ENDING:
            return False
        low, high = confidence_sequence(counts.right, counts.valid)
        if high <= 0.5:  # noqa: PLR2004 - voting cannot help
            return True
        least = margin_or_none(low, None, self.steps, self.target)
        return least is not None and least == margin_or_none(high, None, self.steps, self.target)


def _lacking(known: Mapping[str, int], samples: int) -> dict[str, int]:
    """Return how many samples each type lacks, of which `known` were drawn; of many types fewer, or more would be paid.

    Example:
        >>> _lacking({"easy": 58, "rare": 2}, 60), _lacking({"one": 1, "other": 1}, 8)
        ({'easy': 0, 'rare': 18}, {'one': 4, 'other': 4})
    """
    least = max(_LEAST_OF_A_TYPE, int(_OF_A_TYPE * samples))
    while sum(max(0, least - count) for count in known.values()) > samples:
        least -= 1
    return {name: max(0, least - count) for name, count in known.items()}


def _in_share(place: int, share: float) -> bool:
    return int((place + 1) * share) > int(place * share)
