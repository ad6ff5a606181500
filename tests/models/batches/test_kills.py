"""SIGKILL at every stage of a batch: whatever was submitted is found again, and nothing is submitted twice."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from crash_batch import STAGES

from langgraph_maker.journal.databases import open_store
from langgraph_maker.journal.queries import entries
from langgraph_maker.simulation.server import SimulatedServer
from langgraph_maker.tasks import TowersOfHanoi

PROGRAM = Path(__file__).parents[2] / "support" / "crash_batch.py"
KILLED = -9


def process(db: Path, url: str, disks: int, lanes: int, stage: str, what: str) -> tuple[int, str]:
    arguments = [str(db), "it", url, str(disks), str(lanes), stage, what]
    done = subprocess.run(
        [sys.executable, str(PROGRAM), *arguments], capture_output=True, text=True, timeout=900, check=False
    )
    assert done.returncode in {0, KILLED}, done.stderr
    return done.returncode, done.stdout


def to_the_end(db: Path, url: str, disks: int, lanes: int, what: str, stages: list[str]) -> tuple[int, dict[str, Any]]:
    """Run again and again, killed at these stages; return how often it was, and what the last process said."""
    kills = 0
    for stage in [*stages, "none"]:
        code, said = process(db, url, disks, lanes, stage, what)
        kills += code == KILLED
    return kills, json.loads(said)


def bought(server: SimulatedServer) -> Counter[str]:
    """Return how often each request was answered."""
    outputs = [content for name, content, _ in server.batches.files.values() if "output" in name]
    rows = [json.loads(row) for content in outputs for row in content.splitlines()]
    return Counter(row["custom_id"] for row in rows if row["response"] and row["response"]["status_code"] == 200)


STAGED = [f"{stage}:0" for stage in STAGES] + ["submit:1", "created:1", "looked:3", "read:1"]
FAULTS = "expired@2,lost@3,half@4,errors@5,unanswered@6,failed@7"


@pytest.mark.slow
def test_a_small_run_survives_ten_kills_at_every_stage(tmp_path: Path) -> None:
    server = SimulatedServer(TowersOfHanoi(5), "sim:gpt-4.1-mini", batch_seconds=0.2)
    with server.running() as url:
        kills, run = to_the_end(tmp_path / "runs.sqlite", url, 5, 8, "run", STAGED)
    assert kills >= 8
    assert (run["status"], run["steps"]) == ("solved", 31)
    assert set(bought(server).values()) == {1}
    assert run["samples"] == server.stats.samples
    assert (run["input_tokens"], run["output_tokens"]) == (server.stats.prompt_tokens, server.stats.completion_tokens)
    half = (run["input_tokens"] * 0.2 + run["output_tokens"] * 0.8) / 1e6
    assert run["cost"] == pytest.approx(half)


@pytest.mark.batches
def test_twelve_disks_at_4095_lanes_with_all_faults_and_ten_kills(tmp_path: Path) -> None:
    task = TowersOfHanoi(12)
    server = SimulatedServer(task, "sim:gpt-4.1-mini", batch_seconds=1.0, batch_faults=FAULTS)
    db = tmp_path / "runs.sqlite"
    with server.running() as url:
        kills, run = to_the_end(db, url, 12, 4095, "run", STAGED)
    assert kills == 10
    assert (run["status"], run["steps"]) == ("solved", 4095)
    assert set(bought(server).values()) == {1}
    assert run["samples"] == server.stats.samples
    assert (run["input_tokens"], run["output_tokens"]) == (server.stats.prompt_tokens, server.stats.completion_tokens)
    half = (run["input_tokens"] * 0.2 + run["output_tokens"] * 0.8) / 1e6
    assert run["cost"] == pytest.approx(half)
    with open_store(str(db)) as store:
        assert Counter(entry["step"] for entry in entries(store, "it")) == Counter(range(4095))


@pytest.mark.slow
def test_a_calibration_of_200_samples_survives_kills_and_faults(tmp_path: Path) -> None:
    server = SimulatedServer(TowersOfHanoi(10), "sim:gpt-4.1-mini", batch_seconds=0.2, batch_faults="half@1,lost@2")
    with server.running() as url:
        kills, found = to_the_end(tmp_path / "runs.sqlite", url, 10, 200, "calibrate", ["created:0", "reading:0"])
    assert kills == 2
    assert found["steps"] == 200
    assert set(bought(server).values()) == {1}
    assert found["samples"] == server.stats.samples
    half = (server.stats.prompt_tokens * 0.2 + server.stats.completion_tokens * 0.8) / 1e6
    assert found["cost"] == pytest.approx(half)
