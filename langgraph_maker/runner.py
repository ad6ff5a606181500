"""Run a task to the end: `solve`, its async twin, and what they return."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from itertools import accumulate
from typing import Any, Literal, Self
from uuid import uuid4

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.store.base import BaseStore
from langgraph.store.memory import InMemoryStore
from typing_extensions import TypedDict, Unpack

from langgraph_maker import auto, journal, records
from langgraph_maker.alarms import Expected
from langgraph_maker.calibration import Calibration
from langgraph_maker.errors import JournalError, SamplingError
from langgraph_maker.events import Alarm, Detail, Event, Observer
from langgraph_maker.graph import create_maker
from langgraph_maker.ladder import Audit, LadderLike, Question
from langgraph_maker.lock import ahold, hold
from langgraph_maker.loops import run_sync
from langgraph_maker.models import Model
from langgraph_maker.monitor import Monitor
from langgraph_maker.nodes.decompose import SEGMENT_ENDED
from langgraph_maker.nodes.position import Position, hand_over
from langgraph_maker.nodes.state import MakerInput
from langgraph_maker.outlook import Outlook
from langgraph_maker.pool import aabandon, abandon
from langgraph_maker.prices import Price
from langgraph_maker.raising import Raised
from langgraph_maker.red_flags import RuleLike
from langgraph_maker.state import Usage, no_usage, total_usage
from langgraph_maker.task import Task

__all__ = ["Progress", "Run", "asolve", "in_time", "solve"]

_SEGMENT = 6000  # supersteps, about 2,000 steps: what tracers take in one trace


@dataclass(frozen=True)
class Run:
    """How a run ended, and what it took.

    Attributes:
        status: "solved", "unresolved" (see `reason`; nothing undecided was guessed), "stopped", or "waiting" for a
            human to answer the `questions`.
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
        calibration: That which k="auto" goes by. Its samples and dollars are not among those of the run.
        outlook: How sure the result is, by the ballots, and the alarms that were raised.
        questions: Of a run that waits; `solve(…, run_id=…, answers={id: …})` goes on with a `ladder.Form` for each.
    """

    status: Literal["solved", "unresolved", "stopped", "waiting"]
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
    calibration: Calibration | None = None
    outlook: Outlook | None = None
    questions: Sequence[Question] = ()

    @property
    def guarantee(self) -> str:
        """How sure the result is, in one line, with what that is conditional on (see `Outlook`)."""
        return "no step is decided yet" if self.outlook is None else self.outlook.guarantee

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
        return {field.name: getattr(self, field.name) for field in fields(self)}  # a store stays in its process


@dataclass(frozen=True)
class Progress:
    """How a run stands. Of its `steps`, `earlier` were decided before this call, which began `seconds` ago.

    `lanes` counts the lanes that are not at their end, `undecided` the ballots that go into a further round. Before a
    run with k="auto" it is `calibrating`, and `samples` are those of the calibration, until that is there. `alarms` are
    all that were raised so far.
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
    calibrating: bool = False
    calibration: Calibration | None = None
    alarms: tuple[Alarm, ...] = ()

    @cached_property
    def outlook(self) -> Outlook | None:
        """How sure the run is and what it will take, worked out when it is first read; None while calibrating."""
        later: Callable[[], Outlook] | None = self.__dict__.get("_later")
        return later and later()


class Options(TypedDict, total=False):
    """What `solve` passes on to `create_maker`, which documents it."""

    lanes: int
    red_flags: RuleLike | None
    first_temperature: float | None
    temperature: float | None
    max_samples: int | None
    max_steps: int | None
    ladder: LadderLike
    decorrelate: Literal["variants"] | None
    audit: Audit | float | None
    hedge: int
    max_concurrency: int | None
    call_timeout: float
    outage_limit: float
    max_total_samples: int | None
    max_cost: float | None
    price: Price | None
    stop: Callable[[], bool | str] | None
    detail: Detail
    observer: Observer | None


def solve(
    task: Task,
    model: Model,
    *,
    k: int | Literal["auto"] | Callable[[int], int] = 3,
    target: float = 0.95,
    calibration_samples: int = 1000,
    raise_k: bool = False,
    store: BaseStore | None = None,
    checkpointer: BaseCheckpointSaver[Any] | None = None,
    run_id: str | None = None,
    answers: Mapping[str, Any] | None = None,
    deadline: float | None = None,
    on_progress: Callable[[Progress], None] | None = None,
    **options: Unpack[Options],
) -> Run:
    """Solve `task` by voting on every step (MAKER, Algorithm 1). Works inside a running event loop too.

    A run whose id is given again goes on where its journal ends; a solved one returns its result.

    Args:
        task: What to solve.
        model: What to ask, see `models.Model`.
        k: The margin by which an answer must lead; a function gives each step, numbered from 0, its own. "auto"
            calibrates first, stores what was found with the run, and takes the least k that reaches `target` even at
            the lower bound of p. A run that goes on keeps it, also with another model, which was not calibrated:
            `Run.calibration.model` says which was.
        target: Of "auto": wanted probability of zero errors in the whole task.
        calibration_samples: Of "auto": steps to sample. With a `max_cost` a tenth of it is for the calibration, and
            the run has the rest; `max_total_samples` is for the run alone.
        raise_k: Whether k rises, for all steps to come, when p is found to have fallen; by as much as `target` then
            takes. It is journalled, and never lowered.
        store: Where the run is journalled; None keeps the journal in memory, for as long as the `Run` lives.
        checkpointer: Where LangGraph keeps the state of thread `run_id`, if it is wanted there too. The journal alone
            suffices to go on.
        run_id: The run's name in the store; None makes a fresh one.
        answers: To the questions of a run that waits: from a question's id to a `ladder.Form`. They buy no vote.
        deadline: Seconds from now after which the run ends as "stopped".
        on_progress: Called after every round of voting.
        **options: Those of `create_maker`: see `Options`.

    Raises:
        ValueError: For an option out of range, an unknown model, or an answer to a question that is not open, with
            what to give instead.
        TypeError: For an unknown option, or a model that is none.
        CalibrationError: When k is "auto" and none can be recommended, with the reason.
        SamplingError: When the model never answered. One that fails later ends the run as "stopped". Either way it
            goes on under the same id.
        JournalError: When the store failed for too long, or holds another task or k under this id, or a step that was
            decided by less than its k.
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
    found = None
    if k == "auto":
        create_maker(task, model, **options)  # refuses what cannot be used before anything is paid for
        before = _Before(task, run_id, on_progress)
        found = run_sync(before.calibrated(model, options, store, calibration_samples, target))
        if found is None:
            return before.stopped(store)
        k, options["max_cost"] = auto.margin(found), before.left(found, options.get("max_cost"))
    monitor = _monitor(task, k, found, target, options, raise_k=raise_k)
    maker = create_maker(task, model, k=monitor.k or k, **options).compile(
        checkpointer=checkpointer or False, store=store
    )
    with hold(store, run_id), _Watch(task, on_progress, monitor, answers) as watch:
        try:
            while watch.goes_on(store, run_id):
                for chunk in maker.stream(watch.given(run_id), _config(run_id), stream_mode="updates"):
                    watch.see(chunk)
        finally:
            abandon(run_id)
    return watch.run(store, found)


async def asolve(
    task: Task,
    model: Model,
    *,
    k: int | Literal["auto"] | Callable[[int], int] = 3,
    target: float = 0.95,
    calibration_samples: int = 1000,
    raise_k: bool = False,
    store: BaseStore | None = None,
    checkpointer: BaseCheckpointSaver[Any] | None = None,
    run_id: str | None = None,
    answers: Mapping[str, Any] | None = None,
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
    found = None
    if k == "auto":
        create_maker(task, model, **options)  # refuses what cannot be used before anything is paid for
        before = _Before(task, run_id, on_progress)
        found = await before.calibrated(model, options, store, calibration_samples, target)
        if found is None:
            return before.stopped(store)
        k, options["max_cost"] = auto.margin(found), before.left(found, options.get("max_cost"))
    monitor = _monitor(task, k, found, target, options, raise_k=raise_k)
    maker = create_maker(task, model, k=monitor.k or k, **options).compile(
        checkpointer=checkpointer or False, store=store
    )
    async with ahold(store, run_id):
        with _Watch(task, on_progress, monitor, answers) as watch:
            try:
                while watch.goes_on(store, run_id):
                    async for chunk in maker.astream(watch.given(run_id), _config(run_id), stream_mode="updates"):
                        watch.see(chunk)
            finally:
                await aabandon(run_id)
    return watch.run(store, found)


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


def _monitor(
    task: Task,
    k: int | Callable[[int], int],
    found: Calibration | None,
    target: float,
    options: Options,
    *,
    raise_k: bool,
) -> Monitor:
    """What watches the run, and raises its k; set as the graph's observer, before the one that the caller gave."""
    audit = options.get("audit")
    expected = Expected.of(
        found,
        target=target,
        raise_k=raise_k,
        max_k=options.get("max_samples"),
        max_cost=options.get("max_cost"),
        steps=task.steps,
        audit_k=None if audit is None else audit.k if isinstance(audit, Audit) else Audit().k,
    )
    monitor, other = Monitor(expected, k=Raised(k), planned=task.steps), options.get("observer")

    def observe(event: Event) -> list[Alarm]:
        return [*monitor(event), *(other(event) if other is not None else ())]

    options["observer"] = observe
    return monitor


class _Watch:
    """Follows a run by the updates of its nodes, so that what was spent is known however it ends."""

    def __init__(
        self,
        task: Task,
        on_progress: Callable[[Progress], None] | None,
        monitor: Monitor,
        answers: Mapping[str, Any] | None,
    ) -> None:
        self.monitor = monitor
        self.answers = answers
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

    def given(self, run_id: str) -> MakerInput:
        """The input of a segment; the first has the answers."""
        if not self.answers:
            return {"run_id": run_id}
        answers, self.answers = dict(self.answers), None
        return {"run_id": run_id, "answers": answers}

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
            if node == "__interrupt__":  # the state holds the questions
                continue
            if not self.state:  # the first node finds where the run stands
                self.earlier = update["totals"]["steps"]
            self.state.update(update)
            if self.on_progress is not None and node == "update":
                self.on_progress(self.progress())

    def progress(self) -> Progress:
        totals, ballots = self.state["totals"], self.state["ballots"]
        now = Progress(
            run_id=self.state["run_id"],
            steps=totals["steps"],
            earlier=self.earlier,
            total_steps=self.total_steps,
            samples=totals["samples"] + sum(ballot["samples"] for ballot in ballots),
            flagged=totals["flagged"] + sum(sum(ballot["flags"].values()) for ballot in ballots),
            lanes=sum(lane["step"] < lane["end"] for lane in self.state["lanes"]),
            undecided=len(ballots),
            seconds=time.monotonic() - self.began,
            alarms=tuple(self.monitor.raised),
        )
        object.__setattr__(now, "_later", self.monitor.later())
        return now

    def run(self, store: BaseStore, found: Calibration | None) -> Run:
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
            calibration=found,
            outlook=self.monitor.outlook(),
            questions=state["questions"],
        )
        object.__setattr__(run, "_store", store)
        return run


class _Before:
    """What comes before a run with k="auto"."""

    def __init__(self, task: Task, run_id: str, on_progress: Callable[[Progress], None] | None) -> None:
        self.task, self.run_id = task, run_id
        self.on_progress = on_progress or (lambda _: None)
        self.began = time.monotonic()

    async def calibrated(
        self, model: Model, options: Options, store: BaseStore, samples: int, target: float
    ) -> Calibration | None:
        found = await auto.acalibrated(
            self.task,
            model,
            options,
            store=store,
            run_id=self.run_id,
            samples=samples,
            target=target,
            on_progress=lambda _, drawn: self.tell(drawn),
        )
        if found is not None:
            self.tell(found.drawn, found)
        return found

    def tell(self, drawn: int, found: Calibration | None = None) -> None:
        seconds = time.monotonic() - self.began
        self.on_progress(
            Progress(self.run_id, 0, 0, self.task.steps, drawn, 0, 0, 0, seconds, calibrating=True, calibration=found)
        )

    @staticmethod
    def left(found: Calibration, max_cost: float | None) -> float | None:
        """What the calibration leaves of the run's dollars."""
        return None if max_cost is None else max(1e-9, max_cost - (found.spent or 0.0))

    def stopped(self, store: BaseStore) -> Run:
        run = Run(
            status="stopped",
            reason="stopped while calibrating; run it again under the same id to go on",
            run_id=self.run_id,
            steps=0,
            samples=0,
            flagged=0,
            rounds=0,
            usage=no_usage(),
            cancelled=0,
            digest=f"{0:032x}",
            final_state=self.task.initial_state(),
            votes_per_step=[],
            undecided_after=[],
        )
        object.__setattr__(run, "_store", store)
        return run
