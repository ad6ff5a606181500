"""Run a task to the end: `solve`, its async twin, and what they return."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any, Literal, Self

from langchain_core.runnables import RunnableConfig
from langgraph.store.base import BaseStore
from langgraph.store.memory import InMemoryStore
from typing_extensions import TypedDict, Unpack

from langgraph_maker import journal
from langgraph_maker.errors import SamplingError
from langgraph_maker.graph import create_maker
from langgraph_maker.red_flags import RuleLike
from langgraph_maker.sampling import Model
from langgraph_maker.state import Usage, total_usage
from langgraph_maker.task import Task

__all__ = ["Progress", "Run", "asolve", "solve"]

_CONFIG: RunnableConfig = {"recursion_limit": 10**12}  # steps and samples are bounded, by the task and max_samples


@dataclass(frozen=True)
class Run:
    """How a run ended, and what it took.

    Attributes:
        status: "solved", "unresolved" (see `reason`; nothing undecided was guessed) or "stopped".
        reason: Why, where it is not solved.
        run_id: The run's name in the journal.
        steps: Steps decided.
        samples: Responses drawn, flagged ones and those of an open ballot included.
        flagged: Of these, how many were discarded for a red flag.
        rounds: Rounds of voting, summed over steps.
        usage: Tokens of all samples, as the model counted them.
        digest: A fingerprint of what was decided: equal for runs that decided alike.
        final_state: The state handed on by the last decided step.
        votes_per_step: Index i counts the steps decided by i votes.
        undecided_after: Index j counts the steps still undecided after j samples, flagged ones included.
    """

    status: Literal["solved", "unresolved", "stopped"]
    reason: str
    run_id: str
    steps: int
    samples: int
    flagged: int
    rounds: int
    usage: Usage
    digest: str
    final_state: Any
    votes_per_step: list[int]
    undecided_after: list[int]
    _store: BaseStore = field(repr=False, compare=False)

    def actions(self) -> Iterator[Any]:
        """The voted action of each decided step, in order, read from the journal."""
        return (entry["vote"]["action"] for entry in journal.read(self._store, self.run_id))


@dataclass(frozen=True)
class Progress:
    """How a run stands. `undecided` counts ballots that go into a further round; `seconds` is time so far."""

    run_id: str
    steps: int
    total_steps: int | None
    samples: int
    flagged: int
    undecided: int
    seconds: float


class Options(TypedDict, total=False):
    """What `solve` passes on to `create_maker`, which documents it."""

    k: int
    red_flags: RuleLike | None
    first_temperature: float | None
    temperature: float | None
    max_samples: int | None
    max_steps: int | None


def solve(
    task: Task, model: Model, *, on_progress: Callable[[Progress], None] | None = None, **options: Unpack[Options]
) -> Run:
    """Solve `task` by voting on every step (MAKER, Algorithm 1). Works inside a running event loop too.

    Args:
        task: What to solve.
        model: What to ask, see `sampling.Model`.
        on_progress: Called after every round of voting.
        **options: `k`, `red_flags`, `first_temperature`, `temperature`, `max_samples`, `max_steps`: see
            `create_maker`.

    Raises:
        ValueError: For an option out of range or an unknown model, with what to give instead.
        TypeError: For an unknown option, or a model that is none.
        SamplingError: When not one call of a round succeeded, with what had been spent by then.

    Example:
        >>> from langgraph_maker.tasks import TowersOfHanoi
        >>> run = solve(TowersOfHanoi(4), "sim:error=0.01")
        >>> run.status, run.steps, list(run.actions())[:2]
        ('solved', 15, [[1, 0, 1], [2, 0, 2]])
    """
    store = InMemoryStore()
    maker = create_maker(task, model, **options).compile(checkpointer=False, store=store)
    with _Watch(task, on_progress) as watch:
        for chunk in maker.stream({}, _CONFIG, stream_mode="updates"):
            watch.see(chunk)
    return watch.run(store)


async def asolve(
    task: Task, model: Model, *, on_progress: Callable[[Progress], None] | None = None, **options: Unpack[Options]
) -> Run:
    """`solve`, for asynchronous code: the model is called on the caller's event loop.

    Example:
        >>> import asyncio
        >>> from langgraph_maker.tasks import TowersOfHanoi
        >>> asyncio.run(asolve(TowersOfHanoi(3), "sim:error=0.01")).status
        'solved'
    """
    store = InMemoryStore()
    maker = create_maker(task, model, **options).compile(checkpointer=False, store=store)
    with _Watch(task, on_progress) as watch:
        async for chunk in maker.astream({}, _CONFIG, stream_mode="updates"):
            watch.see(chunk)
    return watch.run(store)


class _Watch:
    """Follows a run by the updates of its nodes, so that what was spent is known however it ends."""

    def __init__(self, task: Task, on_progress: Callable[[Progress], None] | None) -> None:
        self.total_steps = task.steps
        self.on_progress = on_progress
        self.began = time.monotonic()
        self.state: dict[str, Any] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        if isinstance(error, SamplingError):
            now = self.progress()
            raise SamplingError(
                f"{error} (at step {now.steps}, after {now.samples} samples, {now.flagged} of them flagged)"
            ) from error

    def see(self, chunk: dict[str, Any]) -> None:
        for node, update in chunk.items():
            self.state.update(update)
            if self.on_progress is not None and node in ("vote", "update"):
                self.on_progress(self.progress())

    def progress(self) -> Progress:
        totals, ballots = self.state["totals"], self.state["ballots"]
        undecided = [ballot for ballot in ballots if ballot["status"] != "decided"]
        return Progress(
            run_id=self.state["run_id"],
            steps=totals["steps"],
            total_steps=self.total_steps,
            samples=totals["samples"] + sum(ballot["samples"] for ballot in ballots),
            flagged=totals["flagged"] + sum(sum(ballot["flags"].values()) for ballot in ballots),
            undecided=len(undecided),
            seconds=time.monotonic() - self.began,
        )

    def run(self, store: BaseStore) -> Run:
        state, totals = self.state, self.state["totals"]
        begun = totals["steps"] + len(state["ballots"])
        return Run(
            status=state["status"],
            reason=state["reason"],
            run_id=state["run_id"],
            steps=state["steps"],
            samples=state["samples"],
            flagged=state["flagged"],
            rounds=state["rounds"],
            usage=total_usage([totals["usage"], *(ballot["usage"] for ballot in state["ballots"])]),
            digest=state["digest"],
            final_state=state["final_state"],
            votes_per_step=totals["votes_per_step"],
            undecided_after=[begun - gone for gone in accumulate(totals["samples_per_step"])],
            _store=store,
        )
