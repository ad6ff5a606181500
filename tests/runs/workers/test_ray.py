"""Workers as actors of Ray: one is killed, and the run comes out all the same."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path

import pytest
from digests import right_digest

from langgraph_maker import journal, solve
from langgraph_maker.journal.blocks import workers_of
from langgraph_maker.journal.databases import open_store
from langgraph_maker.runs.workers.ray import RayWorkers
from langgraph_maker.tasks import TowersOfHanoi


@pytest.mark.ray
@pytest.mark.filterwarnings("default")
def test_an_actor_is_killed(tmp_path: Path) -> None:
    db = str(tmp_path / "run.sqlite")
    killed: list[int] = []

    def kill_one() -> None:
        due = time.monotonic() + 200
        while not killed and time.monotonic() < due:
            with open_store(db) as store:
                there = [one["pid"] for one in workers_of(store, "r") if one["block"] is not None and one["steps"]]
            for pid in there[:1]:
                os.kill(pid, signal.SIGKILL)
                killed.append(pid)
            time.sleep(0.05)

    with open_store(db) as store:
        killer = threading.Thread(target=kill_one)
        killer.start()
        run = solve(
            TowersOfHanoi(10),
            "sim:error=0.1",
            k=5,
            lanes=16,
            store=store,
            run_id="r",
            workers=RayWorkers(2, lease=5),
        )
        killer.join()
        assert (run.status, run.steps, run.digest) == ("solved", 1023, right_digest(10))
        assert journal.verify(store, "r") == []
        assert len(killed) == 1
    assert os.environ["RAY_USAGE_STATS_ENABLED"] == "0"
