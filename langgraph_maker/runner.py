"""Run a task to the end: `solve`, its async twin, and what they return."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from itertools import accumulate
from typing import Any, Literal, Self
from uuid import uuid4

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.store.base import BaseStore
from langgraph.store.memory import InMemoryStore
from typing_extensions import TypedDict, Unpack

from langgraph_maker import journal, records
from langgraph_maker.errors import JournalError, SamplingError
from langgraph_maker.graph import create_maker
from langgraph_maker.lock import ahold, hold
from langgraph_maker.models import Model
from langgraph_maker.nodes.decompose import SEGMENT_ENDED
from langgraph_maker.nodes.position import Position, hand_over
from langgraph_maker.prices import Price
from langgraph_maker.red_flags import RuleLike
from langgraph_maker.state import Usage, total_usage
from langgraph_maker.task import Task

__all__ = ["Progress", "Run", "asolve", "in_time", "solve"]

_SEGMENT = 6000  # supersteps, about 2,000 steps: what tracers take in one trace


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
        usage: Tokens of all samples, as the model counted them, and what they cost.
        cancelled: Samples issued as a hedge and not waited for; what they cost is not known.
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
    cancelled: int
    digest: str
    final_state: Any
    votes_per_step: list[int]
    undecided_after: list[int]

    def actions(self) -> Iterator[Any]:
        """The voted action of each decided step, in order, read from the journal.

        Of a run with lanes that has not ended, these are the steps before the first that is not decided.

        Raises:
            JournalError: For a copy of a `Run` that has left its process: read the store itself there.
        """
        store: BaseStore | None = self.__dict__.get("_store")
        if store is None:
            raise JournalError(f"this copy of the Run has no store: use journal.read(store, {self.run_id!r})")
        return (entry["vote"]["action"] for entry in journal.read(store, self.run_id))

    def __getstate__(self) -> dict[str, Any]:
        return asdict(self)  # a store stays in its process


@dataclass(frozen=True)
class Progress:
    """How a run stands. Of its `steps`, `earlier` were decided before this call, which began `seconds` ago.

    `lanes` counts the lanes that are not at their end, `undecided` the ballots that go into a further round.
    """

    run_id: str
    steps: int
    earlier: int
    total_steps: int | None
    samples: int
    flagged: int
    lanes: int
    undecided: int
    seconds: float


class Options(TypedDict, total=False):
    """What `solve` passes on to `create_maker`, which documents it."""

    k: int
    lanes: int
    red_flags: RuleLike | None
    first_temperature: float | None
    temperature: float | None
    max_samples: int | None
    max_steps: int | None
    hedge: int
    max_concurrency: int | None
    call_timeout: float
    outage_limit: float
    max_total_samples: int | None
    max_cost: float | None
    price: Price | None
    stop: Callable[[], bool | str] | None


def solve(
    task: Task,
    model: Model,
    *,
    store: BaseStore | None = None,
    checkpointer: BaseCheckpointSaver[Any] | None = None,
    run_id: str | None = None,
    deadline: float | None = None,
    on_progress: Callable[[Progress], None] | None = None,
    **options: Unpack[Options],
) -> Run:
    """Solve `task` by voting on every step (MAKER, Algorithm 1). Works inside a running event loop too.

    A run whose id is given again goes on where its journal ends; a solved one returns its result.

    Args:
        task: What to solve.
        model: What to ask, see `models.Model`.
        store: Where the run is journalled; None keeps the journal in memory, for as long as the `Run` lives.
        checkpointer: Where LangGraph keeps the state of thread `run_id`, if it is wanted there too. The journal alone
            suffices to go on.
        run_id: The run's name in the store; None makes a fresh one.
        deadline: Seconds from now after which the run ends as "stopped".
        on_progress: Called after every round of voting.
        **options: Those of `create_maker`: see `Options`.

    Raises:
        ValueError: For an option out of range or an unknown model, with what to give instead.
        TypeError: For an unknown option, or a model that is none.
        SamplingError: When the model never answered. One that fails later ends the run as "stopped". Either way it
            goes on under the same id.
        JournalError: When the store failed for too long, or holds another task under this id.
        RunBusyError: When a live process is writing this run.

    Example:
        >>> from langgraph_maker.tasks import TowersOfHanoi
        >>> run = solve(TowersOfHanoi(4), "sim:error=0.01")
        >>> run.status, run.steps, list(run.actions())[:2]
        ('solved', 15, [[1, 0, 1], [2, 0, 2]])
    """
    store = store if store is not None else InMemoryStore()
    run_id = uuid4().hex if run_id is None else records.check_id(run_id)
    options["stop"] = in_time(deadline, options.get("stop"))
    maker = create_maker(task, model, **options).compile(checkpointer=checkpointer or False, store=store)
    with hold(store, run_id), _Watch(task, on_progress) as watch:
        while watch.goes_on(store, run_id):
            for chunk in maker.stream({"run_id": run_id}, _config(run_id), stream_mode="updates"):
                watch.see(chunk)
    return watch.run(store)


async def asolve(
    task: Task,
    model: Model,
    *,
    store: BaseStore | None = None,
    checkpointer: BaseCheckpointSaver[Any] | None = None,
    run_id: str | None = None,
    deadline: float | None = None,
    on_progress: Callable[[Progress], None] | None = None,
    **options: Unpack[Options],
) -> Run:
    """`solve`, for asynchronous code: the model and an asynchronous store are called on the caller's event loop.

    Example:
        >>> import asyncio
        >>> from langgraph_maker.tasks import TowersOfHanoi
        >>> asyncio.run(asolve(TowersOfHanoi(3), "sim:error=0.01")).status
        'solved'
    """
    store = store if store is not None else InMemoryStore()
    run_id = uuid4().hex if run_id is None else records.check_id(run_id)
    options["stop"] = in_time(deadline, options.get("stop"))
    maker = create_maker(task, model, **options).compile(checkpointer=checkpointer or False, store=store)
    async with ahold(store, run_id):
        with _Watch(task, on_progress) as watch:
            while watch.goes_on(store, run_id):
                async for chunk in maker.astream({"run_id": run_id}, _config(run_id), stream_mode="updates"):
                    watch.see(chunk)
    return watch.run(store)


def in_time(deadline: float | None, stop: Callable[[], bool | str] | None) -> Callable[[], bool | str] | None:
    """`stop`, which also says so once the deadline has passed."""
    if deadline is None:
        return stop
    if not isinstance(deadline, (int, float)) or isinstance(deadline, bool) or not deadline > 0:
        raise ValueError(f"deadline is a number of seconds above 0, not {deadline!r}")
    due = time.monotonic() + deadline

    def late() -> bool | str:
        passed = f"the deadline of {deadline:,g} s has passed" if time.monotonic() > due else False
        return passed or (stop is not None and stop())

    return late


def _config(run_id: str) -> RunnableConfig:
    """One segment of a long run: bounded, so that a trace of it stays readable."""
    return {"recursion_limit": _SEGMENT, "configurable": {"thread_id": run_id}, "run_name": f"maker {run_id}"}


class _Watch:
    """Follows a run by the updates of its nodes, so that what was spent is known however it ends."""

    def __init__(self, task: Task, on_progress: Callable[[Progress], None] | None) -> None:
        self.total_steps = task.steps
        self.on_progress = on_progress
        self.began = time.monotonic()
        self.state: dict[str, Any] = {}
        self.earlier = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        if error is None or not self.state:
            return
        now = self.progress()
        spent = f"at step {now.steps:,}, after {now.samples:,} samples, {now.flagged:,} of them flagged"
        if isinstance(error, SamplingError):
            raise SamplingError(f"{error} ({spent})") from error
        error.add_note(spent)

    def goes_on(self, store: BaseStore, run_id: str) -> bool:
        """Whether a (further) segment is due: at first, and after one that only its recursion limit ended."""
        if not self.state:
            return True
        if self.state["status"] != "stopped" or self.state["reason"] != SEGMENT_ENDED:
            return False
        names = Position.__annotations__
        hand_over(store, run_id, {name: self.state[name] for name in names})  # type: ignore[arg-type]
        return True

    def see(self, chunk: dict[str, Any]) -> None:
        for node, update in chunk.items():
            if not self.state:  # the first node finds where the run stands
                self.earlier = update["totals"]["steps"]
            self.state.update(update)
            if self.on_progress is not None and node == "update":
                self.on_progress(self.progress())

    def progress(self) -> Progress:
        totals, ballots = self.state["totals"], self.state["ballots"]
        return Progress(
            run_id=self.state["run_id"],
            steps=totals["steps"],
            earlier=self.earlier,
            total_steps=self.total_steps,
            samples=totals["samples"] + sum(ballot["samples"] for ballot in ballots),
            flagged=totals["flagged"] + sum(sum(ballot["flags"].values()) for ballot in ballots),
            lanes=sum(lane["step"] < lane["end"] for lane in self.state["lanes"]),
            undecided=len(ballots),
            seconds=time.monotonic() - self.began,
        )

    def run(self, store: BaseStore) -> Run:
        state, totals = self.state, self.state["totals"]
        begun = totals["steps"] + len(state["ballots"])
        run = Run(
            status=state["status"],
            reason=state["reason"],
            run_id=state["run_id"],
            steps=state["steps"],
            samples=state["samples"],
            flagged=state["flagged"],
            rounds=state["rounds"],
            usage=total_usage([totals["usage"], *(ballot["usage"] for ballot in state["ballots"])]),
            cancelled=totals["cancelled"],
            digest=state["digest"],
            final_state=state["final_state"],
            votes_per_step=totals["votes_per_step"],
            undecided_after=[begun - gone for gone in accumulate(totals["samples_per_step"])],
        )
        object.__setattr__(run, "_store", store)
        return run
