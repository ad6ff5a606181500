"""The contract between a task and the engine: what one microagent sees, says, and hands on."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import Any, Protocol, TypeAlias, runtime_checkable

from langchain_core.messages import BaseMessage
from typing_extensions import TypedDict

from langgraph_maker.core.canonical import canonical, mark, plain
from langgraph_maker.core.foreign import excerpt
from langgraph_maker.core.red_flags import RedFlag

__all__ = [
    "JSON",
    "Decomposable",
    "HasOracle",
    "HasStepType",
    "HasVariants",
    "Partitionable",
    "Segment",
    "State",
    "Task",
    "Vote",
    "check_task",
    "instance",
    "wording",
]

JSON: TypeAlias = Any
"""A JSON value: dicts with string keys, lists, strings, finite numbers, booleans, None. Integers have 64 bits."""

State: TypeAlias = JSON
"""All that one step needs to know, as a JSON value."""


class Vote(TypedDict):
    """One microagent's answer: what it does, and the state it says follows. Both come from one response."""

    action: JSON
    next_state: State


class Segment(TypedDict):
    """A stretch of the chain that can be done beside the others: from `step`, which starts from `state`, to `end`."""

    step: int
    end: int
    state: State


class Task(ABC):
    """A long task cut into single steps (maximal agentic decomposition, MAKER section 3.1).

    Subclasses say how one step is asked (`prompt`), read (`parse`) and handed on (`advance`). The engine does
    the rest. `steps` is the number of steps, or the most there can be, where that is known beforehand; None needs
    `max_steps` at run time.

    Example:
        >>> from langchain_core.messages import HumanMessage
        >>> class CountDown(Task):
        ...     name = "count-down"
        ...     steps = 3
        ...     def initial_state(self): return 3
        ...     def is_done(self, state): return state == 0
        ...     def prompt(self, state): return [HumanMessage(f"What is {state} - 1? Digits only.")]
        ...     def parse(self, text): return {"action": "subtract", "next_state": int(text)}
        ...     def advance(self, state, vote): return vote["next_state"]
        >>> CountDown().parse("2")
        {'action': 'subtract', 'next_state': 2}
    """

    steps: int | None = None

    @property
    @abstractmethod
    def name(self) -> str:
        """A short name for logs and reports."""

    @abstractmethod
    def initial_state(self) -> State:
        """Return the state that the first microagent starts from."""

    @abstractmethod
    def is_done(self, state: State) -> bool:
        """Return whether `state` ends the task."""

    @abstractmethod
    def prompt(self, state: State) -> list[BaseMessage]:
        """Return φ: everything that one microagent sees. The same for every step but for `state`."""

    @abstractmethod
    def parse(self, text: str) -> Vote:
        """Return ψ: the action and next state in a response; raises `RedFlag` when they are not there.

        Any other exception that a response makes it raise counts as a red flag "malformed". One that all responses
        make it raise ends the run as unresolved after few samples, and is logged.
        """

    @abstractmethod
    def advance(self, state: State, vote: Vote) -> State:
        """Return what the next microagent starts from, as the winning vote has it. Must be pure."""

    def parameters(self) -> dict[str, JSON]:
        """Return what tells this task from others of its name: a run is resumed only under its own parameters."""
        return {"steps": self.steps, "start": self.initial_state()}

    def vote_key(self, vote: Vote) -> str:
        """Return the key of a vote: those with equal keys are equal. The default is the pair's canonical JSON."""
        return canonical(vote)

    def validate(self, state: State, vote: Vote) -> RedFlag | None:  # noqa: ARG002 - a hook
        """Raise or return a `RedFlag` when `vote` cannot be an answer to `state`. The default accepts all."""
        return None


def check_task(task: object) -> None:
    """Refuse what is not a task, or is one without a name.

    Raises:
        TypeError: With what to give instead.
    """
    if isinstance(task, Task):
        if not isinstance(task.name, str) or not task.name:
            raise TypeError(f"name of {type(task).__name__} is a short text, not {excerpt(task.name)}")
        return
    if isinstance(task, type) and issubclass(task, Task):
        raise TypeError(f"task is the class {task.__name__}: give a task of it, such as {task.__name__}(…)")
    named = (
        "; names are for the command line: import one from langgraph_maker.tasks, such as TowersOfHanoi(10)"
        if isinstance(task, str)
        else ""
    )
    raise TypeError(f"task is a Task, such as one of langgraph_maker.tasks, not {excerpt(task)}{named}")


def instance(name: str, parameters: Mapping[str, Any]) -> str:
    """Return a fingerprint of a task by its name and parameters: those of the same steps have the same.

    Example:
        >>> instance("sum", {"digits": 3}) == instance("sum", {"digits": 3}) != instance("sum", {"digits": 4})
        True
    """
    return mark(plain([name, dict(parameters)]))


def wording(task: Task) -> str:
    """Return a fingerprint of how a task asks: of its class, and of its first prompt but for figures and signs.

    So tasks that differ in their size alone have the same, and a prompt in other words has another. "" where it has no
    first prompt.

    Example:
        >>> from langgraph_maker.tasks import TowersOfHanoi
        >>> wording(TowersOfHanoi(5)) == wording(TowersOfHanoi(11)) != wording(TowersOfHanoi(4))
        True
    """
    try:
        messages = task.prompt(task.initial_state())
        said = [f"{one.type}:{''.join(filter(str.isalpha, one.text))}" for one in messages]
    except Exception:  # noqa: BLE001 - a user's; the run that asks so says what is wrong with it
        return ""
    kind = f"{type(task).__module__}.{type(task).__qualname__}"
    return blake2b("\n".join([kind, *said]).encode(errors="replace"), digest_size=8).hexdigest()


@runtime_checkable
class Partitionable(Protocol):
    """A task whose intermediate states are known beforehand, so that lanes of it advance side by side.

    What is known is where each lane starts. Each of its steps is voted on all the same, and the segment boundaries are
    checked: a lane has to end in the state that the next one started from.
    """

    def segments(self, lanes: int) -> Sequence[Segment]:
        """Cut the chain into at most `lanes` segments, in order, the first from step 0, each to the next one's start.

        The same number gives the same cuts.
        """
        ...


@runtime_checkable
class HasVariants(Protocol):
    """A task that asks each step in several ways, all with the same answers; `langgraph_maker.core.variants` helps."""

    @property
    def variants(self) -> int:
        """How many ways there are."""
        ...

    def prompt(self, state: State, variant: int = 0) -> list[BaseMessage]:
        """φ in the way `variant`, from 0, the ordinary prompt, to `variants` - 1; for any other a `ValueError`."""
        ...


@runtime_checkable
class HasOracle(Protocol):
    """A task whose truth is computable: for simulation and calibration only, never consulted by a run."""

    def oracle(self, state: State) -> Vote:
        """Return the one right answer to `state`."""
        ...

    def read_state(self, messages: Sequence[BaseMessage]) -> State:
        """Return the state that a prompt was written for, read back from its text."""
        ...


@runtime_checkable
class Decomposable(Protocol):
    """A task whose subtasks can be done in sub-steps, for the tier `ladder.Split` and for a diagnosis."""

    def split(self, state: State) -> Task:
        """Return a chain of up to 256 steps that does what the one subtask that starts from `state` does.

        Equal states give equal chains: one that comes with another name or other parameters than it began with begins
        afresh. A `RedFlag` or a `ValueError` says that this subtask has no sub-steps.
        """
        ...

    def join(self, state: State, votes: Sequence[Vote]) -> Vote:
        """Return the vote of the subtask that starts from `state`, made of the votes that won its sub-steps, in order.

        It is judged as an answer is, by `Task.validate` and `Task.advance`. Must be pure.
        """
        ...


@runtime_checkable
class HasStepType(Protocol):
    """A task that tells kinds of steps apart, for a diagnosis of which of them a model fails at."""

    def step_type(self, state: State) -> str:
        """Return what kind of step starts from `state`, in a few words; by what the microagent sees, not its answer."""
        ...
