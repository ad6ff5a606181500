"""Processes that are killed, stopped and overtaken while they advance one run: it comes out as if none had been."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from digests import right_digest
from langgraph.store.base import BaseStore
from paths import SUPPORT

from langgraph_maker import journal
from langgraph_maker.journal import store_ops
from langgraph_maker.journal.blocks import WorkerRecord, get_control, workers_of
from langgraph_maker.journal.databases import open_store

pytestmark = pytest.mark.workers


class Run:
    """A run of several processes, as a test sees it."""

    def __init__(self, db: str, folder: Path, *, disks: int, lanes: int, workers: int, lease: float = 15) -> None:
        self.db, self.disks, self.lanes, self.workers, self.lease = db, disks, lanes, workers, lease
        self.counter = folder / "drawn"
        self.coordinator = self.started()

    def started(self) -> subprocess.Popen[str]:
        settings = [self.disks, self.lanes, self.workers, self.counter, self.lease]
        arguments = [self.db, "r", *map(str, settings)]
        return subprocess.Popen(
            [sys.executable, str(SUPPORT / "coordinate.py"), *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    @property
    def drawn(self) -> int:
        return self.counter.stat().st_size if self.counter.exists() else 0

    def draw(self, more: int) -> bool:
        """Wait until so many samples more are drawn; whether they were, before the run ended."""
        wanted = self.drawn + more
        return until(lambda: self.drawn >= wanted or self.coordinator.poll() is not None) and self.drawn >= wanted

    def working(self, store: BaseStore) -> list[WorkerRecord]:
        """The workers that have a block, and are processes of this host."""
        found = [one for one in workers_of(store, "r") if one["left"] is None and one["block"] is not None]
        return [one for one in found if alive(one["pid"])]

    def finished(self) -> list[str]:
        printed, errors = self.coordinator.communicate(timeout=900)
        assert self.coordinator.returncode == 0, errors
        return printed.split()

    def check(self, store: BaseStore, bought_twice: float) -> None:
        status, steps, samples, digest = self.finished()
        count = 2**self.disks - 1
        assert (status, int(steps), digest) == ("solved", count, right_digest(self.disks))
        assert [entry["step"] for entry in journal.read(store, "r")] == list(range(count))
        assert int(samples) == sum(entry["samples"] for entry in journal.read(store, "r"))
        assert journal.verify(store, "r") == []
        assert 0 <= self.drawn - int(samples) <= bought_twice * int(samples)


def until(true: Callable[[], Any], seconds: float = 300) -> bool:
    due = time.monotonic() + seconds
    while not (there := true()):
        assert time.monotonic() < due, "it never happened"
        time.sleep(0.02)
    return bool(there)


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


@pytest.mark.postgres
@pytest.mark.parametrize(
    ("disks", "lanes", "workers", "kills"),
    [pytest.param(13, 64, 2, 4, id="small"), pytest.param(16, 64, 4, 20, id="large")],
)
def test_whatever_is_killed(postgres_db: str, tmp_path: Path, disks: int, lanes: int, workers: int, kills: int) -> None:
    chance = random.Random(disks)
    run = Run(postgres_db, tmp_path, disks=disks, lanes=lanes, workers=workers)
    killed = 0
    with open_store(postgres_db) as store:
        while killed < kills and run.draw(chance.randrange(1, 2**disks // kills // 4)):
            if killed % 5 == 4:
                run.coordinator.kill()
                run.coordinator.communicate()
                run.coordinator = run.started()
            elif there := run.working(store):
                with suppress(ProcessLookupError):
                    os.kill(chance.choice(there)["pid"], signal.SIGKILL)
            else:
                continue
            killed += 1
        run.check(store, bought_twice=0.02 if disks > 12 else 0.1)
    assert killed == kills


@pytest.mark.postgres
def test_a_worker_that_sleeps_beyond_its_lease_writes_nothing_when_it_wakes(postgres_db: str, tmp_path: Path) -> None:
    run = Run(postgres_db, tmp_path, disks=11, lanes=8, workers=2, lease=3)
    with open_store(postgres_db) as store:
        assert run.draw(200)
        until(lambda: run.working(store))
        sleeper = run.working(store)[0]
        os.kill(sleeper["pid"], signal.SIGSTOP)
        try:
            start = sleeper["block"]
            assert start is not None

            def taken() -> bool:
                others = [one for one in run.working(store) if one["name"] != sleeper["name"]]
                return run.coordinator.poll() is not None or any(one["block"] == start for one in others)

            until(taken)
            before = {entry["step"]: entry["writer"] for entry in journal.read(store, "r")}
        finally:
            os.kill(sleeper["pid"], signal.SIGCONT)
        run.check(store, bought_twice=0.1)
        after = {entry["step"]: entry["writer"] for entry in journal.read(store, "r")}
        assert all(after[step] == writer for step, writer in before.items())


@pytest.mark.postgres
def test_a_worker_that_is_asked_to_leave_gives_its_block_back(postgres_db: str, tmp_path: Path) -> None:
    run = Run(postgres_db, tmp_path, disks=11, lanes=8, workers=2)
    with open_store(postgres_db) as store:
        assert run.draw(200)
        until(lambda: run.working(store))
        leaver = run.working(store)[0]
        os.kill(leaver["pid"], signal.SIGTERM)
        until(lambda: not alive(leaver["pid"]) or run.coordinator.poll() is not None)
        run.check(store, bought_twice=0.0)
        assert {one["name"]: one["left"] for one in workers_of(store, "r")}[leaver["name"]]


@pytest.mark.postgres
def test_the_database_is_restarted_under_them(postgres_db: str, tmp_path: Path) -> None:
    import psycopg

    run = Run(postgres_db, tmp_path, disks=11, lanes=8, workers=2)
    with open_store(postgres_db) as store:
        for _ in range(3):
            if not run.draw(300):
                break
            with psycopg.connect(postgres_db, autocommit=True) as other:
                other.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE datname = current_database() AND pid <> pg_backend_pid()"
                )
        store_ops.batch(store, [get_control("r")])
        run.check(store, bought_twice=0.1)
