"""Runs that are killed, stopped, interrupted and taken over: every step once, nothing counted bought twice."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from digests import right_digest
from domains import is_right
from forked import Forked
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.store.base import PutOp
from langgraph.store.memory import InMemoryStore
from paths import SUPPORT
from scripted import Counting, Recording, Scripted, right

from langgraph_maker import asolve, create_maker, journal, solve
from langgraph_maker.core.errors import JournalError
from langgraph_maker.journal import store_ops
from langgraph_maker.journal.databases import open_store
from langgraph_maker.tasks import Ledger, TowersOfHanoi

CRASH = SUPPORT / "crash.py"
THREAD: Any = {"configurable": {"thread_id": "t"}}


def start(db: str, task: int | str, counter: Path, mode: str, lanes: int) -> subprocess.Popen[str]:
    arguments = [db, "r", str(task), str(counter), "sim:error=0.1,flag=0.05", mode, str(lanes)]
    return Forked(str(CRASH), *arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def finish(process: subprocess.Popen[str]) -> list[str]:
    printed, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    return printed.split()


def killed(db: str, disks: int, counter: Path, kills: int, how: signal.Signals, mode: str, lanes: int) -> list[str]:
    """Run to the end, killed `kills` times at random moments; returns what the last process printed."""
    chance = random.Random(disks)
    step_s = 0.0025 if lanes == 1 else 0.0003
    for _ in range(kills):
        process = start(db, disks, counter, mode, lanes)
        before = counter.stat().st_size if counter.exists() else 0
        while process.poll() is None and (counter.stat().st_size if counter.exists() else 0) == before:
            time.sleep(0.01)
        time.sleep(chance.random() * 2 * step_s * 2**disks / kills)
        process.send_signal(how)
        process.communicate(timeout=60)
    return finish(start(db, disks, counter, mode, lanes))


def check_kills(
    db: str, disks: int, tmp_path: Path, kills: int, how: signal.Signals, mode: str = "sync", lanes: int = 1
) -> None:
    counter = tmp_path / "drawn"
    status, steps, samples, digest = killed(db, disks, counter, kills, how, mode, lanes)
    assert (status, int(steps), digest) == ("solved", 2**disks - 1, right_digest(disks))
    with open_store(db) as store:
        assert journal.verify(store, "r") == []
        assert [entry["step"] for entry in journal.read(store, "r")] == list(range(2**disks - 1))
        assert int(samples) == sum(entry["samples"] for entry in journal.read(store, "r"))
        assert len(journal.header(store, "r")["sessions"]) > 1
    in_flight = 0 if how == signal.SIGTERM else kills * lanes * 5
    assert 0 <= counter.stat().st_size - int(samples) <= in_flight


@pytest.mark.parametrize("mode", ["sync", pytest.param("async", marks=pytest.mark.slow)])
def test_kill_at_any_moment(tmp_path: Path, mode: str) -> None:
    check_kills(str(tmp_path / "run.sqlite"), 8, tmp_path, 3, signal.SIGKILL, mode)


@pytest.mark.postgres
def test_kill_at_any_moment_on_postgres(tmp_path: Path, postgres_db: str) -> None:
    check_kills(postgres_db, 8, tmp_path, 2, signal.SIGKILL)


def test_kill_at_any_moment_with_lanes(tmp_path: Path) -> None:
    check_kills(str(tmp_path / "run.sqlite"), 12, tmp_path, 3, signal.SIGKILL, lanes=256)


@pytest.mark.slow
def test_a_polite_stop_buys_nothing_again(tmp_path: Path) -> None:
    check_kills(str(tmp_path / "run.sqlite"), 8, tmp_path, 3, signal.SIGTERM)


def test_a_polite_stop_with_lanes_buys_nothing_again(tmp_path: Path) -> None:
    check_kills(str(tmp_path / "run.sqlite"), 11, tmp_path, 2, signal.SIGTERM, lanes=64)


@pytest.mark.slow
def test_a_ledger_of_5000_transactions_across_kills(tmp_path: Path) -> None:
    """Killed at ten random moments: every transaction applied once, and all balances right."""
    db, counter, chance, kills = str(tmp_path / "run.sqlite"), tmp_path / "drawn", random.Random(5), 10
    for _ in range(kills):
        process = start(db, "ledger:5000", counter, "sync", 1)
        before = counter.stat().st_size if counter.exists() else 0
        while process.poll() is None and (counter.stat().st_size if counter.exists() else 0) == before:
            time.sleep(0.01)
        time.sleep(chance.random())
        process.kill()
        process.communicate(timeout=60)
    status, steps, samples, _ = finish(start(db, "ledger:5000", counter, "sync", 1))
    assert (status, int(steps)) == ("solved", 5000)
    task = Ledger.random(5000, 100)
    with open_store(db) as store:
        assert journal.verify(store, "r") == []
        entries = list(journal.read(store, "r"))
        assert [entry["step"] for entry in entries] == list(range(5000))
        assert int(samples) == sum(entry["samples"] for entry in entries)
        assert len(journal.header(store, "r")["sessions"]) == kills + 1
        run = solve(task, "sim:error=0.1", k=5, store=store, run_id="r")  # returns the result
    assert is_right(task, run.final_state)
    assert 0 <= counter.stat().st_size - int(samples) <= kills * 5


@pytest.mark.slow
@pytest.mark.postgres
@pytest.mark.parametrize(
    ("database", "how", "lanes"),
    [
        ("sqlite", signal.SIGKILL, 1),
        ("sqlite", signal.SIGTERM, 1),
        ("sqlite", signal.SIGKILL, 16),
        ("postgres", signal.SIGKILL, 1),
        ("postgres", signal.SIGTERM, 16),
    ],
)
def test_twenty_kills_of_a_long_run(
    tmp_path: Path, request: pytest.FixtureRequest, database: str, how: signal.Signals, lanes: int
) -> None:
    db = str(tmp_path / "run.sqlite") if database == "sqlite" else request.getfixturevalue("postgres_db")
    check_kills(db, 14, tmp_path, 20, how, lanes=lanes)


def test_a_seed_has_no_part_in_the_digest() -> None:
    digests = {solve(TowersOfHanoi(5), f"sim:error=0.1,seed={seed}", k=6).digest for seed in range(4)}
    assert len(digests) == 1


class TestSolveAgain:
    def test_a_solved_run_returns_its_result_and_buys_nothing(self) -> None:
        store, model = InMemoryStore(), Scripted(right)
        first = solve(Counting(5), model, store=store, run_id="r")
        drawn = model.drawn
        again = solve(Counting(5), model, store=store, run_id="r")
        assert model.drawn == drawn
        apart = {"store": None, "outlook": None}  # an outlook holds times
        assert {**vars(first), **apart} == {**vars(again), **apart}

    def test_after_a_failure_it_goes_on_with_what_was_counted(self) -> None:
        outage = [True]

        def answer(request: Any) -> Any:
            state = int(request.messages[0].text)
            if (state, request.number) == (3, 0):
                return "9"
            return OSError("down") if outage[0] and state == 3 and request.number > 2 else right(request)

        store, model = InMemoryStore(), Scripted(answer)
        run = solve(Counting(5), model, store=store, run_id="r", outage_limit=0)
        assert (run.status, run.steps, run.samples) == ("stopped", 3, 12)
        outage[0] = False
        run = solve(Counting(5), model, store=store, run_id="r")
        assert (run.status, run.samples) == ("solved", 17)
        assert model.drawn == 17 + 2  # the two calls that failed

    def test_a_larger_budget_goes_on_with_an_unresolved_ballot(self) -> None:
        store = InMemoryStore()
        model = Scripted(lambda request: right(request) if request.number > 12 else str(request.number))
        small = solve(Counting(2), model, store=store, run_id="r", max_samples_per_step=10)
        assert small.status == "unresolved"
        assert solve(Counting(2), model, store=store, run_id="r").status == "solved"
        numbers = Counter((request.subtask_id, request.number) for batch in model.batches for request in batch)
        assert set(numbers.values()) == {1}

    def test_stop_ends_after_the_tally(self) -> None:
        store, model = InMemoryStore(), Scripted(right)
        run = solve(Counting(9), model, store=store, run_id="r", stop=lambda: model.drawn >= 12)
        assert (run.status, run.steps, run.samples) == ("stopped", 4, 12)
        assert solve(Counting(9), model, store=store, run_id="r").samples == model.drawn == 27

    @pytest.mark.parametrize(
        ("task", "k", "difference"),
        [
            (Counting(6), 3, r"parameters .*'steps': 5.* not .*'steps': 6"),
            (Counting(5), 4, "k 3, not 4"),
            (TowersOfHanoi(3), 3, "task 'counting', not 'hanoi'"),
        ],
    )
    def test_another_task_or_k_is_refused_with_the_difference(self, task: Any, k: int, difference: str) -> None:
        store = InMemoryStore()
        solve(Counting(5), Scripted(right), store=store, run_id="r")
        with pytest.raises(JournalError, match=difference):
            solve(task, "sim:error=0" if task.name == "hanoi" else Scripted(right), k=k, store=store, run_id="r")

    def test_another_model_and_budget_may_go_on_and_are_recorded(self) -> None:
        store = InMemoryStore()
        solve(Counting(5), Scripted(right), store=store, run_id="r", stop=lambda: True)
        header = journal.header(store, "r")
        assert header["sessions"][0]["settings"] == {
            "model": "Scripted",
            "max_samples_per_step": 100,
            "hedge": 0,
            "first_temperature": 0.0,
            "temperature": 0.1,
            "red_flags": ["TokenLimit(limit=750)", "Truncated()"],
            "max_total_samples": None,
            "max_cost": None,
            "service_tier": None,
            "price": None,
            "max_concurrency": None,
        }
        model = Recording(answer=lambda text: str(int(text) + 1))
        assert solve(Counting(5), model, store=store, run_id="r", max_samples_per_step=50).status == "solved"

    def test_long_runs_go_in_segments(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("langgraph_maker.runs.solve._SEGMENT", 20)
        model = Scripted(right)
        run = solve(Counting(50), model)
        assert (run.status, run.steps, model.drawn) == ("solved", 50, 150)

    @pytest.mark.parametrize("ends", ["limit", "outage"])
    def test_what_another_process_wrote_meanwhile_is_never_overwritten(self, ends: str) -> None:
        down: list[str] = []

        def answer(request: Any) -> Any:
            return OSError("down") if request.subtask_id in down else right(request)

        store, model = InMemoryStore(), Scripted(answer)
        here = create_maker(Counting(40), model, outage_limit=0).compile(store=store)
        if ends == "limit":
            assert here.invoke({"run_id": "r"}, {"recursion_limit": 20})["status"] == "stopped"
        else:
            down.append("6")
            assert here.invoke({"run_id": "r"})["status"] == "stopped"
            down.clear()
        elsewhere = InMemoryStore()  # the same content under another object, as another process has it
        elsewhere._data = store._data
        rounds = iter(range(99))
        solve(Counting(40), model, store=elsewhere, run_id="r", stop=lambda: next(rounds) > 9)
        before = list(journal.read(store, "r"))
        assert here.invoke({"run_id": "r"}, {"recursion_limit": 300})["status"] == "solved"
        assert list(journal.read(store, "r"))[: len(before)] == before
        numbers = Counter((request.subtask_id, request.number) for batch in model.batches for request in batch)
        assert set(numbers.values()) <= {1, 2}
        assert model.drawn <= 3 * 40 + (3 if ends == "outage" else 0)

    async def test_async_with_a_sync_only_store(self, tmp_path: Path) -> None:
        with open_store(str(tmp_path / "run.sqlite")) as store:
            run = await asolve(Counting(5), Scripted(right), store=store, run_id="r")
            assert list(run.actions()) == ["add"] * 5


class Faulty(InMemoryStore):
    """A store whose `batch` fails as told: before writing, after it, or half way."""

    def __init__(self, *faults: str) -> None:
        super().__init__()
        self.faults = list(faults)
        self.puts = 0

    def batch(self, ops: Any) -> Any:
        ops = list(ops)
        if any(isinstance(op, PutOp) and op.key.startswith("step-") for op in ops):
            self.puts += 1
            fault = self.faults.pop(0) if self.faults else "none"
            if fault == "half":
                super().batch(ops[: len(ops) // 2])
            elif fault == "after":
                super().batch(ops)
            if fault != "none":
                raise RuntimeError(fault)
        return super().batch(ops)


class TestFaults:
    @pytest.mark.parametrize("fault", ["before", "half", "after"])
    def test_between_journal_and_state(self, fault: str) -> None:
        undisturbed = solve(Counting(5), Scripted(right))
        store, model = Faulty("none", "none", fault), Scripted(right)
        with pytest.raises(JournalError, match=fault):
            solve(Counting(5), model, store=store, run_id="r")
        run = solve(Counting(5), model, store=store, run_id="r")
        assert (run.status, run.digest, run.samples) == ("solved", undisturbed.digest, 15)
        assert journal.verify(store, "r") == []
        assert model.drawn == 15 + (
            3 if fault == "before" else 0
        )  # half of a batch is the entry without what goes by it

    @pytest.mark.parametrize("fault", ["before", "half", "after"])
    def test_under_a_checkpointer(self, fault: str) -> None:
        store, model = Faulty("none", "none", fault), Scripted(right)
        graph = create_maker(Counting(5), model).compile(checkpointer=InMemorySaver(), store=store)
        with pytest.raises(JournalError, match=fault):
            graph.invoke({}, THREAD)
        assert graph.invoke(None, THREAD)["status"] == "solved"
        assert model.drawn == 15
        assert journal.verify(store, "t") == []

    def test_a_passing_failure_is_waited_out(self, monkeypatch: pytest.MonkeyPatch) -> None:
        class Locked(InMemoryStore):
            times = 3

            def batch(self, ops: Any) -> Any:
                if self.times:
                    self.times -= 1
                    raise OSError("database is locked")
                return super().batch(ops)

        monkeypatch.setattr("langgraph_maker.journal.store_ops.time.sleep", lambda _: None)
        assert solve(Counting(2), Scripted(right), store=Locked()).status == "solved"

    def test_one_that_lasts_stops_the_run_resumable(self, monkeypatch: pytest.MonkeyPatch) -> None:
        class Full(InMemoryStore):
            full = False

            def batch(self, ops: Any) -> Any:
                ops = list(ops)
                if self.full and any(isinstance(op, PutOp) for op in ops):
                    raise OSError("disk full")
                return super().batch(ops)

        monkeypatch.setattr(store_ops, "RETRY_SECONDS", 0.1)
        store, model = Full(), Scripted(right)

        def fill(now: Any) -> None:
            store.full = now.steps >= 3

        with pytest.raises(JournalError, match="disk full"):
            solve(Counting(6), model, store=store, run_id="r", on_progress=fill)
        store.full = False
        run = solve(Counting(6), model, store=store, run_id="r")
        assert (run.status, run.samples, journal.verify(store, "r")) == ("solved", 18, [])


class TestCheckpoints:
    """With a checkpointer and a store, the journal wins."""

    def graph(self, model: Any, store: Any, saver: Any, **options: Any) -> Any:
        return create_maker(Counting(8), model).compile(checkpointer=saver, store=store, **options)

    def test_breakpoints_and_history(self) -> None:
        store, model = InMemoryStore(), Scripted(right)
        graph = self.graph(model, store, InMemorySaver(), interrupt_after="*")
        graph.invoke({}, THREAD)
        while graph.get_state(THREAD).next:
            graph.invoke(None, THREAD)
        assert model.drawn == 24
        assert len(list(graph.get_state_history(THREAD))) > 24
        assert journal.verify(store, "t") == []

    def test_back_in_time_the_run_is_moved_on_to_its_journal(self) -> None:
        store, model = InMemoryStore(), Scripted(right)
        graph = self.graph(model, store, InMemorySaver(), interrupt_after=["update"])
        for _ in range(5):
            graph.invoke({} if model.drawn == 0 else None, THREAD)
        early = [one for one in graph.get_state_history(THREAD) if one.values.get("totals", {}).get("steps") == 2]
        result = graph.invoke(None, early[-1].config)
        while graph.get_state(THREAD).next:
            result = graph.invoke(None, THREAD)
        assert (result["status"], result["steps"]) == ("solved", 8)
        assert model.drawn == 24
        assert journal.verify(store, "t") == []

    def test_in_a_new_process_too(self) -> None:
        store, saver, model = InMemoryStore(), InMemorySaver(), Scripted(right)
        self.graph(model, store, saver, interrupt_after=["update"]).invoke({}, THREAD)
        other = InMemoryStore()  # the same content under another object, as another process has it
        solve(Counting(8), model, store=store, run_id="t", stop=lambda: model.drawn >= 18)
        for namespace in store.list_namespaces():
            for item in store.search(namespace, limit=1000):
                other.put(namespace, item.key, item.value)
        assert self.graph(model, other, saver).invoke({}, THREAD)["status"] == "solved"
        assert model.drawn == 24

    def test_a_checkpoint_ahead_of_the_journal_is_an_error_naming_both(self) -> None:
        saver, model = InMemorySaver(), Scripted(right)
        self.graph(model, InMemoryStore(), saver, interrupt_after=["update"]).invoke({}, THREAD)
        with pytest.raises(JournalError, match="checkpoint is at step 1 of run 't', ahead of its journal"):
            self.graph(model, InMemoryStore(), saver).invoke({}, THREAD)

    def test_the_journal_alone_suffices(self) -> None:
        store, model = InMemoryStore(), Scripted(right)
        builder = create_maker(Counting(8), model)
        assert builder.compile(store=store).invoke({"run_id": "t"}, {"recursion_limit": 20})["status"] == "stopped"
        assert builder.compile(store=store).invoke({"run_id": "t"})["status"] == "solved"
        assert model.drawn == 24


class TestOddValues:
    """What a database or a checkpoint cannot hold is refused everywhere alike, with what to do instead."""

    @pytest.mark.parametrize("odd", [2**64, -(2**63) - 1, "\ud800", json.loads("[" * 300 + "]" * 300)])
    @pytest.mark.parametrize("checkpointed", [False, True])
    def test_in_a_vote_it_is_a_flag(self, tmp_path: Path, odd: Any, checkpointed: bool) -> None:
        class Odd(Counting):
            def parse(self, text: str) -> Any:
                return {"action": odd, "next_state": int(text)}

        saver = InMemorySaver() if checkpointed else None
        with open_store(str(tmp_path / "run.sqlite")) as store:
            run = solve(Odd(3), Scripted(right), store=store, checkpointer=saver, run_id="r", max_samples_per_step=5)
        assert (run.status, run.flagged) == ("unresolved", 3)
        assert "all of them flagged for one reason" in run.reason
        assert "write such a number as text" in run.reason

    @pytest.mark.parametrize("where", ["initial_state", "advance"])
    @pytest.mark.parametrize(("odd", "error"), [(2**64, ValueError), ((1, 2), TypeError), (float("nan"), ValueError)])
    def test_in_a_state_it_is_an_error(
        self, monkeypatch: pytest.MonkeyPatch, where: str, odd: Any, error: type[Exception]
    ) -> None:
        monkeypatch.setattr(Counting, where, lambda *_: odd)
        with pytest.raises(error, match="a state of counting is none that can be kept"):
            solve(Counting(3), Scripted(right))

    def test_what_json_can_hold_is_kept(self, tmp_path: Path) -> None:
        class Odd(Counting):
            def parse(self, text: str) -> Any:
                return {"action": ["\x7f\u0000é\U0001f600", 2**63 - 1, {"é": [[[[]]]]}, 1e300], "next_state": int(text)}

        for saver in (None, InMemorySaver()):
            with open_store(str(tmp_path / "run.sqlite")) as store:
                run = solve(Odd(3), Scripted(right), store=store, checkpointer=saver, run_id=f"r{saver is None}")
                assert list(run.actions()) == [["\x7f\u0000é\U0001f600", 2**63 - 1, {"é": [[[[]]]]}, 1e300]] * 3
