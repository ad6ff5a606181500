"""Many workers on one run: it comes out as with one process, within the same limits."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from digests import right_digest
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.store.memory import InMemoryStore
from scripted import Counting, Scripted, right
from worker_threads import WorkerThreads

from langgraph_maker import asolve, journal, solve
from langgraph_maker.core.errors import JournalError, RunBusyError, SamplingError
from langgraph_maker.journal import segments
from langgraph_maker.journal.blocks import workers_of
from langgraph_maker.journal.databases import open_store
from langgraph_maker.journal.lock import hold
from langgraph_maker.tasks import Ledger, TowersOfHanoi

TASK = TowersOfHanoi(6)
SIM = "sim:error=0.1,flag=0.05"


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def db(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The name of an empty database that several may write."""
    return str(tmp_path / "run.sqlite") if request.param == "sqlite" else request.getfixturevalue("postgres_db")


def test_a_run_of_many_workers_is_that_of_one_process(db: str) -> None:
    progress: list[Any] = []
    one = solve(TASK, SIM, k=4, lanes=8)
    workers = WorkerThreads(2)
    with open_store(db) as store:
        many = solve(TASK, SIM, k=4, lanes=8, store=store, run_id="r", workers=workers, on_progress=progress.append)
        assert (many.status, many.steps, many.samples, many.flagged, many.digest) == (
            "solved",
            one.steps,
            one.samples,
            one.flagged,
            one.digest,
        )
        assert many.digest == right_digest(6)
        assert many.guarantee == one.guarantee
        assert (many.votes_per_step, many.usage) == (one.votes_per_step, one.usage)
        assert [entry["step"] for entry in journal.read(store, "r")] == list(range(63))
        assert journal.verify(store, "r") == []
        assert journal.header(store, "r")["outcome"]["status"] == "solved"
        said = workers_of(store, "r")
    assert (progress[-1].steps, progress[-1].samples) == (63, many.samples)
    assert workers.left == ["the run has ended"] * 2
    assert [one["left"] for one in said] == workers.left
    assert sum(one["blocks"] for one in said) == 2
    assert sum(one["steps"] for one in said) == 63


def test_a_coroutine_coordinates_too(tmp_path: Path) -> None:
    with open_store(str(tmp_path / "run.sqlite")) as store:
        run = asyncio.run(asolve(TASK, SIM, k=4, lanes=8, store=store, workers=WorkerThreads(2)))
    assert (run.status, run.digest) == ("solved", right_digest(6))


def test_one_process_and_many_workers_take_turns(tmp_path: Path) -> None:
    calls = 0

    def some() -> bool:
        nonlocal calls
        calls += 1
        return calls > 6

    with open_store(str(tmp_path / "run.sqlite")) as store:
        assert solve(TASK, SIM, k=4, lanes=4, store=store, run_id="r", stop=some).status == "stopped"
        there = journal.steps(store, "r")
        assert 0 < there < 63
        workers = WorkerThreads(2)
        workers.leave = lambda: journal.steps(store, "r") > there
        stopped: list[Any] = []

        def enough() -> bool:
            stopped.append(journal.steps(store, "r"))
            return bool(stopped[-1] > there)

        second = solve(TASK, SIM, k=4, lanes=8, store=store, run_id="r", workers=workers, stop=enough)
        assert (second.status, second.reason_code) == ("stopped", "stop_requested")
        assert second.steps == journal.steps(store, "r") > there
        last = solve(TASK, SIM, k=4, lanes=2, store=store, run_id="r")
        assert (last.status, last.steps, last.digest) == ("solved", 63, right_digest(6))
        assert last.samples == sum(entry["samples"] for entry in journal.read(store, "r"))
        assert journal.verify(store, "r") == []
        again = solve(TASK, SIM, k=4, lanes=8, store=store, run_id="r", workers=WorkerThreads(2))
        assert (again.status, again.samples, again.digest) == ("solved", last.samples, last.digest)


def test_a_second_coordinator_is_refused(tmp_path: Path) -> None:
    with open_store(str(tmp_path / "run.sqlite")) as store, hold(store, "r"):
        with pytest.raises(RunBusyError, match="'r' is being written by process"):
            solve(TASK, SIM, lanes=8, store=store, run_id="r", workers=WorkerThreads(2))
        with pytest.raises(JournalError, match="there is no run 'r'"):
            segments.header(store, "r")


def test_a_budget_holds_for_all_workers_together(tmp_path: Path) -> None:
    lanes, k, limit = 16, 3, 60
    with open_store(str(tmp_path / "run.sqlite")) as store:
        run = solve(
            TASK,
            "sim:error=0",
            k=k,
            lanes=lanes,
            store=store,
            run_id="r",
            workers=WorkerThreads(8),
            max_total_samples=limit,
        )
        assert (run.status, run.reason_code) == ("stopped", "budget")
        assert limit <= run.samples <= limit + lanes * k
        more = solve(TASK, "sim:error=0", k=k, lanes=lanes, store=store, run_id="r")
        assert (more.status, more.digest) == ("solved", right_digest(6))


def test_a_deadline_holds_for_all_workers(tmp_path: Path) -> None:
    with open_store(str(tmp_path / "run.sqlite")) as store:
        run = solve(
            TASK,
            "sim:flag=0.999",
            lanes=8,
            store=store,
            workers=WorkerThreads(2),
            deadline=0.5,
            max_samples_per_step=10**6,
        )
    assert (run.status, run.reason_code) == ("stopped", "deadline")
    assert run.reason == "the deadline of 0.5 s has passed; run it again under the same id to continue"


def test_a_step_that_does_not_converge_ends_the_run_as_with_one_process(tmp_path: Path) -> None:
    settings: dict[str, Any] = {"lanes": 4, "max_samples_per_step": 4, "k": 4}
    one = solve(TASK, "sim:error=0.3", **settings)
    with open_store(str(tmp_path / "run.sqlite")) as store:
        many = solve(TASK, "sim:error=0.3", store=store, run_id="r", workers=WorkerThreads(2), **settings)
        assert journal.header(store, "r")["outcome"]["status"] == "unresolved"
    assert (many.status, many.reason_code) == (one.status, one.reason_code) == ("unresolved", "no_convergence")
    assert many.reason.partition(":")[0].startswith("step")
    assert "within 4" in many.reason or "4 samples" in many.reason


def test_a_model_that_fails_for_good_is_an_error_of_the_run(tmp_path: Path) -> None:
    with open_store(str(tmp_path / "run.sqlite")) as store:
        workers = WorkerThreads(2)
        with pytest.raises(SamplingError, match="a worker failed"):
            solve(TASK, Failing(), lanes=4, store=store, workers=workers)
    assert workers.errors


class Failing:
    """A sampler that cannot be mended by waiting."""

    async def __call__(self, requests: Any) -> Any:
        raise SamplingError("there is no such model")


def test_what_cannot_be_shared_out_is_refused_in_words(tmp_path: Path) -> None:
    with open_store(str(tmp_path / "run.sqlite")) as store:
        with pytest.raises(ValueError, match="counting is one chain.*a second worker would have nothing to do"):
            solve(Counting(5), Scripted(right), store=store, workers=2)
        with pytest.raises(ValueError, match="4 of them need lanes of 4 or more, got lanes 2"):
            solve(TASK, SIM, lanes=2, store=store, workers=4)
        with pytest.raises(ValueError, match="leave the checkpointer out"):
            solve(TASK, SIM, lanes=8, store=store, workers=2, checkpointer=InMemorySaver())
    with pytest.raises(ValueError, match="several processes can write, not InMemoryStore: give a PostgresStore"):
        solve(TASK, SIM, lanes=8, store=InMemoryStore(), workers=2)
    with pytest.raises(TypeError, match="must be a number, or have start, watch and stop"):
        solve(TASK, SIM, lanes=8, workers="two")  # type: ignore[arg-type]


def test_a_chain_is_advanced_by_one_worker(tmp_path: Path) -> None:
    with open_store(str(tmp_path / "run.sqlite")) as store:
        run = solve(Counting(5), Scripted(right), store=store, workers=WorkerThreads(1))
    assert (run.status, run.steps) == ("solved", 5)


def test_a_tenants_run_is_advanced_by_its_own_workers(tmp_path: Path) -> None:
    task = Ledger.random(12, 10)
    with open_store(str(tmp_path / "run.sqlite")) as store:
        other = solve(TASK, SIM, lanes=4, k=4, store=store, run_id="r", workers=WorkerThreads(2))
        run = solve(task, "sim:error=0", store=store, run_id="r", workers=WorkerThreads(1), namespace=("ann",))
        assert (run.status, other.status) == ("solved", "solved")
        assert journal.steps(store, "r") == 63
        assert journal.steps(store, "r", namespace=("ann",)) == run.steps
        journal.delete(store, "r", namespace=("ann",))
        assert [one["name"] for one in workers_of(store, "r")]
