"""Run a task to the end: `solve` and its async twin."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple
from uuid import uuid4

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.graph.state import CompiledStateGraph
from langgraph.store.base import BaseStore
from langgraph.store.memory import InMemoryStore
from typing_extensions import TypedDict, Unpack

from langgraph_maker.core.callables import check_callbacks
from langgraph_maker.core.events import Detail, Observer
from langgraph_maker.core.grouped import Grouped
from langgraph_maker.core.keywords import check_keywords
from langgraph_maker.core.margin import RaisableMargin
from langgraph_maker.core.numbers import check_number
from langgraph_maker.core.reasons import Reason, Stop
from langgraph_maker.core.red_flags import RuleLike
from langgraph_maker.core.task import Task, check_task
from langgraph_maker.journal import records
from langgraph_maker.journal.lock import ahold, hold
from langgraph_maker.journal.tenants import scoped, under
from langgraph_maker.models.event_loop import run_at_once, run_sync
from langgraph_maker.models.pool import aabandon, abandon
from langgraph_maker.models.prices import Price
from langgraph_maker.models.resolve import Model, model_name
from langgraph_maker.nodes.guard import default_red_flags
from langgraph_maker.nodes.ladder import Audit, LadderLike
from langgraph_maker.nodes.tenant import Namespace, checked_tenancy, tenant_of
from langgraph_maker.prebuilt.coordinator import create_coordinator
from langgraph_maker.prebuilt.maker import check_cost, create_maker
from langgraph_maker.runs import auto_k
from langgraph_maker.runs.calibration import Calibration
from langgraph_maker.runs.monitor.baseline import Baseline
from langgraph_maker.runs.monitor.monitor import Monitor
from langgraph_maker.runs.opened import check_opened
from langgraph_maker.runs.result import Progress, Run
from langgraph_maker.runs.session import CalibrationProgress, Session
from langgraph_maker.runs.workers.assembly import check_workers, job_for, read_workers
from langgraph_maker.runs.workers.coordinator import Coordinator, SharedLimits
from langgraph_maker.runs.workers.job import LEASE, Workers

__all__ = ["SolveOptions", "asolve", "in_time", "solve"]

_SEGMENT = 6000  # supersteps, about 2,000 steps: what tracers take in one trace


class SolveOptions(TypedDict, total=False):
    """What `solve` passes on to `create_maker`, which documents it."""

    lanes: int
    steps_per_subtask: int
    red_flags: RuleLike | None
    strict_parse: bool
    first_temperature: float | None
    temperature: float | None
    max_samples_per_step: int | None
    max_steps: int | None
    ladder: LadderLike
    decorrelate: Literal["variants"] | None
    audit: Audit | float | None
    hedge: int
    max_concurrency: int | None
    call_timeout: float | None
    outage_limit: float
    max_total_samples: int | None
    max_cost: float | None
    price: Price | None
    service_tier: str | None
    stop: Stop | None
    detail: Detail
    observer: Observer | None


def solve(
    task: Task,
    model: Model,
    *,
    k: int | Literal["auto"] | Callable[[int], int] = 3,
    target: float = 0.95,
    calibration_samples: int = 1000,
    k_rule: auto_k.Rule = "average",
    raise_k: bool = False,
    store: BaseStore | None = None,
    checkpointer: BaseCheckpointSaver[Any] | None = None,
    run_id: str | None = None,
    answers: Mapping[str, Any] | None = None,
    deadline: float | None = None,
    on_progress: Callable[[Progress], None] | None = None,
    namespace: Namespace | None = None,
    workers: int | Workers | None = None,
    **options: Unpack[SolveOptions],
) -> Run:
    """Solve `task` by voting on every step (MAKER, Algorithm 1). Works inside a running event loop too.

    A run whose id is given again resumes where its journal ends; a solved one returns its result.

    Args:
        task: What to solve.
        model: What to ask, see `models.Model`.
        k: The margin by which an answer must lead; a function gives each step, numbered from 0, its own. "auto"
            calibrates first, stores what was found with the run, and takes the least k that reaches `target`, see
            `k_rule`; of each type of steps its own where the task tells types apart (`task.Typed`) and they differ. It
            refuses where errors surely come again on the same steps (at a level of 0.01), unless votes take prompts in
            turns (`decorrelate`). A run that continues keeps it, also with another model, which was not calibrated:
            `Run.calibration.model` says which was.
        target: Of "auto": wanted probability of zero errors in the whole task.
        calibration_samples: Of "auto": steps to sample. With a `max_cost` a tenth of it is for the calibration, and
            the run has the rest; `max_total_samples` is for the run alone.
        k_rule: Of "auto": "average" for a k that reaches the target on average over what the calibration leaves open
            of p; "mixed" for that k on a share of the steps and one less on the rest; "lower bound" for one that
            reaches it even at the lower bound of p, which costs up to twice as much. A run that continues keeps its
            own.
        raise_k: Whether k rises, for all steps to come, when p is found to have fallen; by as much as `target` then
            takes. It is journalled, and never lowered.
        store: Where the run is journalled; None keeps the journal in memory, for as long as the `Run` lives.
        checkpointer: Where LangGraph keeps the state of thread `run_id`, if it is wanted there too. The journal alone
            suffices to continue.
        run_id: The run's name in the store; None makes a fresh one.
        answers: To the questions of a run that waits: from a question's id to a `ladder.Form`. They buy no vote.
        deadline: Seconds from now after which the run ends as "stopped".
        on_progress: Called after every round of voting.
        namespace: Whose run it is, where tenants share a store or a checkpointer, see `create_maker`.
        workers: How many processes of this host advance the run's lanes, on a store that all can write (Postgres, or
            an SQLite file); or what starts them elsewhere, see `runs.workers.job.Workers`. This process then
            coordinates: it starts and ends the run, and all limits hold for all of them together. 0 for workers that
            join by themselves (`langgraph-maker work`). None for this process alone.
        **options: Those of `create_maker`: see `SolveOptions`.

    Raises:
        ValueError: For an option out of range, an unknown model, or an answer to a question that is not open, with
            what to give instead.
        TypeError: For an unknown option, or an invalid model.
        CalibrationError: When k is "auto" and none can be recommended, with the reason.
        SamplingError: When the model never answered. One that fails later ends the run as "stopped". Either way it
            continues under the same id.
        JournalError: When the store failed for too long, or holds another task or k under this id, or a step that was
            decided by less than its k.
        RunBusyError: When a live process is writing this run.

    Example:
        >>> from langgraph_maker.tasks import TowersOfHanoi
        >>> run = solve(TowersOfHanoi(4), "sim:error=0.01")
        >>> run.status, run.steps, list(run.actions())[:2]
        ('solved', 15, [[1, 0, 1], [2, 0, 2]])
    """
    check_keywords(solve, options, SolveOptions.__annotations__)
    terms = RunTerms(
        auto_k.Aims(calibration_samples, target, k_rule),
        raise_k,
        store,
        checkpointer,
        run_id,
        answers,
        deadline,
        on_progress,
        namespace,
        workers,
    )
    preparing = _prepared(task, model, k, options, terms)
    begun = run_sync(preparing) if k == "auto" else run_at_once(preparing)
    if isinstance(begun, Run):
        return begun
    run_id, key = begun.run_id, scoped(begun.store, begun.run_id)
    config = _config(run_id, key)
    with hold(begun.store, run_id) as own, begun.watch as watch:
        try:
            while watch.goes_on(own):
                for chunk in begun.maker.stream(watch.given(run_id), config, stream_mode="updates"):
                    watch.see(chunk)
        finally:
            abandon(key)
    return watch.run(begun.store, begun.found)


async def asolve(
    task: Task,
    model: Model,
    *,
    k: int | Literal["auto"] | Callable[[int], int] = 3,
    target: float = 0.95,
    calibration_samples: int = 1000,
    k_rule: auto_k.Rule = "average",
    raise_k: bool = False,
    store: BaseStore | None = None,
    checkpointer: BaseCheckpointSaver[Any] | None = None,
    run_id: str | None = None,
    answers: Mapping[str, Any] | None = None,
    deadline: float | None = None,
    on_progress: Callable[[Progress], None] | None = None,
    namespace: Namespace | None = None,
    workers: int | Workers | None = None,
    **options: Unpack[SolveOptions],
) -> Run:
    """`solve`, for asynchronous code: the model and an asynchronous store are called on the caller's event loop.

    Example:
        >>> import asyncio
        >>> from langgraph_maker.tasks import TowersOfHanoi
        >>> asyncio.run(asolve(TowersOfHanoi(3), "sim:error=0.01")).status
        'solved'
    """
    check_keywords(asolve, options, SolveOptions.__annotations__)
    terms = RunTerms(
        auto_k.Aims(calibration_samples, target, k_rule),
        raise_k,
        store,
        checkpointer,
        run_id,
        answers,
        deadline,
        on_progress,
        namespace,
        workers,
    )
    begun = await _prepared(task, model, k, options, terms)
    if isinstance(begun, Run):
        return begun
    run_id, key = begun.run_id, scoped(begun.store, begun.run_id)
    config = _config(run_id, key)
    async with ahold(begun.store, run_id) as own:
        with begun.watch as watch:
            try:
                while watch.goes_on(own):
                    async for chunk in begun.maker.astream(watch.given(run_id), config, stream_mode="updates"):
                        watch.see(chunk)
            finally:
                await aabandon(key)
    return watch.run(begun.store, begun.found)


class RunTerms(NamedTuple):
    """What `solve` is given of a run beside the options of its graph, see there."""

    aims: auto_k.Aims
    raise_k: bool
    store: BaseStore | None
    checkpointer: BaseCheckpointSaver[Any] | None
    run_id: str | None
    answers: Mapping[str, Any] | None
    deadline: float | None
    on_progress: Callable[[Progress], None] | None
    namespace: Namespace | None
    workers: int | Workers | None


class _Begun(NamedTuple):
    """A run that is ready to continue: its graph, what follows it, and the calibration that its k comes from."""

    run_id: str
    store: BaseStore
    maker: CompiledStateGraph[Any, Any, Any, Any]
    watch: Session
    found: Calibration | None


async def _prepared(
    task: Task,
    model: Model,
    k: int | Literal["auto"] | Callable[[int], int],
    options: SolveOptions,
    terms: RunTerms,
) -> _Begun | Run:
    """Return what both twins begin with; a run that was stopped while it calibrated. Waits only where k is "auto"."""
    named = "target, the wanted probability of zero errors,"
    check_number(named, terms.aims.target, "above 0 and below 1", lambda share: 0 < share < 1)
    check_task(task)
    check_callbacks(on_progress=terms.on_progress)
    tier = (options.get("service_tier") or "").removesuffix("-or-default")
    check_cost(options.get("max_cost"), options.get("price"), model_name(model), tier)
    check_opened("store", terms.store, BaseStore, "SqliteStore")
    check_opened("checkpointer", terms.checkpointer, BaseCheckpointSaver, "SqliteSaver")
    kept = terms.store if terms.store is not None else InMemoryStore()
    store = under(kept, tenant_of(checked_tenancy(terms.namespace)))
    run_id = uuid4().hex if terms.run_id is None else records.check_id(terms.run_id)
    if (together := options.pop("steps_per_subtask", 1)) != 1:
        task = Grouped(task, together)
        options.setdefault("red_flags", default_red_flags(together))
    engine = None if terms.workers is None else read_workers(terms.workers)
    if terms.workers is not None:
        check_workers(task, model, engine, options.get("lanes", 1), terms.checkpointer)
    options["stop"] = in_time(terms.deadline, options.get("stop"))
    asked = k
    found = None
    auto_k.check_rule(terms.aims.rule)
    if k == "auto":
        create_maker(task, model, **options)  # refuses what cannot be used before anything is paid for
        before = CalibrationProgress(task, run_id, terms.on_progress)
        found = await before.calibrated(model, options, store, terms.aims)
        if found is None:
            return before.stopped(store, options["stop"] or (lambda: True))
        k, options["max_cost"] = auto_k.margin(found, task), before.left(found, options.get("max_cost"))
    monitor = _monitor(task, k, found, terms.aims.target, options, raise_k=terms.raise_k)
    watch = Session(task, terms.on_progress, monitor, terms.answers)
    if terms.workers is None:
        maker = create_maker(task, model, k=monitor.k or k, **options)
    else:
        coordinator = Coordinator(
            task=task,
            lanes=options.get("lanes", 1),
            workers=engine,
            job=job_for(store, run_id, (task, model, asked, options), tenant_of(terms.namespace)),
            limits=SharedLimits(
                options.get("max_total_samples"),
                options.get("max_cost"),
                None if terms.deadline is None else time.time() + terms.deadline,
            ),
            monitor=monitor,
            stop=options["stop"] or (lambda: False),
            on_progress=watch.see_totals,
            lease=LEASE if engine is None else engine.lease,
        )
        options["stop"] = coordinator.stopped
        maker = create_coordinator(create_maker(task, model, k=monitor.k or k, **options), coordinator.node())
    compiled = maker.compile(checkpointer=terms.checkpointer or False, store=store)
    return _Begun(run_id, store, compiled, watch, found)


def in_time(deadline: float | None, stop: Stop | None) -> Stop | None:
    """Return `stop`, which also says so once the deadline has passed."""
    if deadline is None:
        return stop
    check_number("deadline", deadline, "a number of seconds above 0", lambda seconds: seconds > 0)
    due = time.monotonic() + deadline

    passed = Reason("deadline", f"the deadline of {deadline:,g} s has passed")

    def late() -> bool | str | Reason:
        return passed if time.monotonic() > due else stop is not None and stop()

    return late


def _config(run_id: str, key: str) -> RunnableConfig:
    """Return one segment of a long run: bounded, so that a trace of it stays readable."""
    return {"recursion_limit": _SEGMENT, "configurable": {"thread_id": key}, "run_name": f"maker {run_id}"}


def _monitor(
    task: Task,
    k: int | Callable[[int], int],
    found: Calibration | None,
    target: float,
    options: SolveOptions,
    *,
    raise_k: bool,
) -> Monitor:
    """Return what watches the run and raises its k; set as the graph's observer, before the caller's own."""
    audit = options.get("audit")
    expected = Baseline.of(
        found,
        target=target,
        raise_k=raise_k,
        max_k=options.get("max_samples_per_step"),
        max_cost=options.get("max_cost"),
        steps=task.steps,
        audit_k=None if audit is None else audit.k if isinstance(audit, Audit) else Audit().k,
    )
    then = options.get("observer")
    known = then.calibration if found is None and isinstance(then, Monitor) else found
    monitor = Monitor(expected, k=RaisableMargin(k), planned=task.steps, calibration=known, then=then)
    options["observer"] = monitor
    return monitor
