"""What all experiments share: their settings, their points, and what they say and draw of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar, Final, TypeAlias

from langgraph_maker.core.task import Task
from langgraph_maker.experiments.bench import Bench
from langgraph_maker.experiments.figures import Pictures
from langgraph_maker.models.prices import Price
from langgraph_maker.tasks import TowersOfHanoi

__all__ = ["MILLION", "TARGET", "Experiment", "Line", "Settings"]

MILLION: Final = 2**20 - 1
"""Steps of the paper's run, of 20 disks: what costs and margins are projected to."""

TARGET: Final = 0.95
"""Wanted probability of zero errors in the whole task, as in the paper."""

Line: TypeAlias = dict[str, Any]
"""A point as it stands in the data: what tells it from the others, what was found, how many samples were `drawn`, and
the dollars `spent`, None where the price is not known."""


@dataclass(frozen=True)
class Settings:
    """What decides the outcome of an experiment. Budgets do not: they only decide how far it gets.

    `samples` is None for an experiment that has no use for it, `prices` are those that were given, `task` is the name
    of one that is not the Towers of Hanoi.
    """

    models: tuple[str, ...]
    disks: tuple[int, ...]
    samples: int | None
    seed: int
    prices: dict[str, Price]
    task: str | None = None

    @property
    def size(self) -> int:
        """`samples`, of an experiment that has it."""
        if self.samples is None:
            raise ValueError("this experiment has no number of samples")
        return self.samples


class Experiment(ABC):
    """One experiment of the paper: the class says its name and defaults, an instance has its settings."""

    name: ClassVar[str]
    about: ClassVar[str]
    """In a sentence."""
    models: ClassVar[tuple[str, ...]]
    disks: ClassVar[tuple[int, ...]]
    """Several by default where each is a point of its own."""
    samples: ClassVar[int | None] = None
    sampled: ClassVar[str] = ""
    """What `samples` counts."""
    any_task: ClassVar[bool] = False
    """Whether it runs on tasks other than the Towers of Hanoi."""

    def __init__(self, settings: Settings, task: Task | None = None) -> None:
        self.settings, self.chosen = settings, task

    @property
    def task(self) -> Task:
        """The task, where there is one for all points."""
        return TowersOfHanoi(self.settings.disks[-1]) if self.chosen is None else self.chosen

    def points(self) -> list[Line]:
        """Return what is measured, a line each, with its keys; one for each model where not said otherwise."""
        return [{"model": name} for name in self.settings.models]

    @abstractmethod
    def least(self, point: Line) -> int:
        """Return samples that a point takes at least."""

    @abstractmethod
    def measure(self, bench: Bench, point: Line) -> Line:
        """Measure one point: figures as JSON values.

        Raises:
            UnfinishedError: When the budget ends first. What was drawn is kept.
        """

    @abstractmethod
    def sentences(self, lines: list[Line]) -> list[str]:
        """Return what the points say."""

    @abstractmethod
    def draw(self, lines: list[Line], pictures: Pictures) -> None:
        """Draw them."""
