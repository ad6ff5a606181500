"""Where experiments buy their samples: calibrations, runs and single samples, kept in a store, within one budget."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeVar

from langgraph.store.base import BaseStore
from langgraph.store.memory import InMemoryStore
from typing_extensions import Unpack

from langgraph_maker.core.errors import MakerError
from langgraph_maker.core.reasons import Reason, Stop, stop_reason
from langgraph_maker.core.red_flags import RuleLike
from langgraph_maker.core.task import State, Task
from langgraph_maker.journal.lock import ahold
from langgraph_maker.models.chat_sampler import as_sampler, token_allowance
from langgraph_maker.models.event_loop import run_sync
from langgraph_maker.models.pool import Pool
from langgraph_maker.models.prices import Price
from langgraph_maker.models.resolve import Model
from langgraph_maker.runs.calibration import CalibrateOptions as Calibrating
from langgraph_maker.runs.calibration import Calibration, calibrate
from langgraph_maker.runs.calibration.trials import Draw, TrialAnswer, Trials, TrialsEnd
from langgraph_maker.runs.result import Run
from langgraph_maker.runs.solve import SolveOptions as Running
from langgraph_maker.runs.solve import solve
from langgraph_maker.simulation.chat_model import simulated_sampler
from langgraph_maker.tasks import TowersOfHanoi
from langgraph_maker.tasks.wording import fingerprint

__all__ = ["Bench", "UnfinishedError", "draw_all", "task_name"]

T = TypeVar("T")

_AT_ONCE = 1024  # `Trials.draw` looks through all of its draws for each batch


class UnfinishedError(MakerError):
    """A budget or a stop ended a point before all of its samples were drawn; the message says which."""


class Bench:
    """Draws samples for the points of one experiment, and keeps every answer in its `store`.

    Args:
        name: The experiment's, part of the names under which answers are kept.
        models: By name.
        prices: By name too, None where they are not known.
        seed: Of the choice of steps, and of simulated models.
        max_total_samples: Samples of the whole experiment, all sessions together, after which it stops.
        max_cost: Dollars, likewise.
        max_concurrency: Model calls at a time.
        stop: Asked before each batch; True, or why, ends the experiment.
        on_progress: Called with which model was asked, and how many samples were drawn so far.
    """

    def __init__(
        self,
        name: str,
        models: Mapping[str, Model],
        prices: Mapping[str, Price | None],
        *,
        seed: int,
        max_total_samples: int | None = None,
        max_cost: float | None = None,
        max_concurrency: int | None = None,
        stop: Stop | None = None,
        on_progress: Callable[[str, int], None] | None = None,
    ) -> None:
        self.name, self.models, self.prices, self.seed = name, models, prices, seed
        self.store: BaseStore = InMemoryStore()
        self.max_total_samples, self.max_cost, self.max_concurrency = max_total_samples, max_cost, max_concurrency
        self.asked_to_stop = stop or (lambda: False)
        self.on_progress = on_progress or (lambda _, __: None)
        self.drawn, self.spent = 0, 0.0
        self._now, self._ended = 0, ""

    def calibrate(self, task: Task, model: str, **options: Unpack[Calibrating]) -> Calibration:
        """Return `calibration.calibrate` within the budget; flagged answers are read with the repairing parser.

        Raises:
            UnfinishedError: When the budget ends it.
        """
        own: Calibrating = {
            "lenient": self._lenient(task),
            "seed": self.seed,
            "store": self.store,
            "run_id": self._id(task, model),
            "name": model,
            "price": self.prices[model],
            "max_concurrency": self.max_concurrency,
            "max_cost": self._dollars(),
            "stop": self._begin(),
            "on_progress": self._tell,
        }
        found = calibrate(task, self.models[model], **(own | options))
        self._end(found.drawn, found.spent)
        return found

    def solve(self, task: Task, model: str, k: int, **options: Unpack[Running]) -> Run:
        """Return `runner.solve` within the budget, journalled.

        Raises:
            UnfinishedError: When the budget ends it.
        """
        own: Running = {
            "price": self.prices[model],
            "max_concurrency": self.max_concurrency,
            "max_cost": self._dollars(),
            "max_total_samples": None
            if self.max_total_samples is None
            else max(1, self.max_total_samples - self.drawn),
            "stop": self._begin(),
        }
        run = solve(
            task,
            self._seeded(task, model),
            k=k,
            store=self.store,
            run_id=self._id(task, model),
            on_progress=lambda now: self._tell(model, now.samples),
            **(own | options),
        )
        if run.status == "stopped":
            self._ended = run.reason
        self._end(run.samples, run.usage["cost"])
        return run

    def sample(
        self,
        task: Task,
        model: str,
        course: Callable[[Trials], Awaitable[T]],
        *,
        red_flags: RuleLike,
        temperature: float = 0.1,
        label: str = "",
    ) -> T:
        """Let `course` draw single samples; `label` tells the draws of one task and model apart.

        Raises:
            UnfinishedError: When the budget ends it.
        """
        run_id = self._id(task, model, label)
        trials = Trials(
            task=task,
            pool=Pool(
                as_sampler(self._seeded(task, model), task=task, max_tokens=token_allowance(red_flags)),
                max_concurrency=self.max_concurrency,
            ),
            red_flags=red_flags,
            lenient=self._lenient(task),
            temperatures=(0.0, temperature),
            seed=self.seed,
            price=self.prices[model],
            max_cost=self._dollars(),
            stop=self._begin(),
            on_progress=lambda drawn: self._tell(model, drawn),
            store=self.store,
            run_id=run_id,
        )

        async def drawing() -> T:
            async with ahold(self.store, f"calibration {run_id}"):
                await trials.load({"experiment": run_id, "seed": self.seed, "red_flags": repr(red_flags)})
                return await course(trials)

        try:
            found: T = run_sync(drawing())
        except TrialsEnd as why:
            raise UnfinishedError(str(why)) from why
        self._end(len(trials.answers), trials.used["cost"])
        return found

    def _begin(self) -> Stop:
        self._now, self._ended = 0, ""

        def stop() -> bool | str | Reason:
            said = stop_reason(self.asked_to_stop, "it was stopped")
            if self.max_total_samples is not None and self.drawn + self._now >= self.max_total_samples:
                said = Reason("budget", f"the budget of {self.max_total_samples:,} samples is spent")
            if said is not None:
                self._ended = said.text
            return said or False

        return stop

    def _end(self, drawn: int, spent: float | None) -> None:
        left = self._dollars()
        if not self._ended and left is not None and spent is not None and spent >= left:
            self._ended = f"the budget of ${self.max_cost:g} is spent"
        if self._ended:
            raise UnfinishedError(self._ended)
        self.drawn += drawn
        self.spent += spent or 0.0

    def _tell(self, model: str, drawn: int) -> None:
        self._now = drawn
        self.on_progress(model, self.drawn + drawn)

    def _dollars(self) -> float | None:
        """Return what is left of the budget."""
        return None if self.max_cost is None else max(1e-9, self.max_cost - self.spent)

    def _id(self, task: Any, model: str, label: str = "") -> str:
        size = f"{task.disks} disks" if isinstance(task, TowersOfHanoi) else task_name(task)
        return " ".join(filter(None, [self.name, model, size, label]))

    def _seeded(self, task: Task, name: str) -> Model:
        model = self.models[name]
        if isinstance(model, str) and model.startswith("sim:"):
            return simulated_sampler(model, task, seed=self.seed)
        return model

    @staticmethod
    def _lenient(task: Task) -> Callable[[str], Any] | None:
        return TowersOfHanoi(task.disks, repairing=True).parse if isinstance(task, TowersOfHanoi) else None


async def draw_all(trials: Trials, draws: Sequence[tuple[Draw, State]]) -> list[TrialAnswer]:
    """Return the answers to any number of draws.

    Raises:
        Ended: As `Trials.draw`.
    """
    answers = []
    for begin in range(0, len(draws), _AT_ONCE):
        answers += await trials.draw(draws[begin : begin + _AT_ONCE])
    return answers


def task_name(task: Task) -> str:
    """Return a name that tells a task from others of its kind, and is the same in every process.

    Example:
        >>> task_name(TowersOfHanoi(3))
        'hanoi b6a61d039411997c'
    """
    return f"{task.name} {fingerprint(task.parameters())}"
