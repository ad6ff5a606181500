"""What a worker takes from a run's record, and what it is to be given again."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest
from command_line import maker

from langgraph_maker.cli.assignment import by_command, joining
from langgraph_maker.runs.workers.ray import RayWorkers
from langgraph_maker.tasks import TowersOfHanoi

GIVEN: dict[str, Any] = {
    "task": "hanoi",
    "disks": 5,
    "model": "sim:error=0.1",
    "k": "4",
    "token_limit": 750,
    "steps_per_subtask": 1,
    "ladder": "none",
    "lanes": 8,
    "hedge": 0,
    "max_total_samples": 100,
    "outage_limit": "10m",
    "seed": 3,
    "decorrelate": False,
    "batch": False,
    "on_stop": "leave",
}


def test_a_worker_makes_task_model_and_options_from_what_is_recorded() -> None:
    make = pickle.loads(pickle.dumps(joining(GIVEN, "r", None, None)))  # noqa: S301 - our own
    assignment = make()
    assert isinstance(assignment.task, TowersOfHanoi)
    assert (assignment.task.steps, assignment.k, assignment.options["lanes"]) == (31, 4, 8)
    assert "max_total_samples" not in assignment.options  # the run's, which the coordinator sees to


def test_code_of_ones_own_is_named_again() -> None:
    own = {**GIVEN, "task": "os:system"}
    with pytest.raises(ValueError, match="is of the task 'os:system', which is code of your own"):
        joining(own, "r", None, None)
    with pytest.raises(ValueError, match="say that it may be loaded here with --task 'os:system'"):
        joining(own, "r", "os:popen", None)
    assert joining(own, "r", "os:system", None).given["task"] == "os:system"


def test_a_server_elsewhere_that_gets_the_key_is_named_again() -> None:
    elsewhere = {**GIVEN, "model": "openai:m", "base_url": "https://models.example/v1"}
    with pytest.raises(ValueError, match="which gets this worker's key: say that it may with --base-url"):
        joining(elsewhere, "r", None, None)
    assert joining(elsewhere, "r", None, "https://other.example").given["base_url"] == "https://other.example"
    here = {**elsewhere, "base_url": "http://127.0.0.1:8000/v1"}
    assert joining(here, "r", None, None).given["base_url"] == "http://127.0.0.1:8000/v1"


def test_a_run_of_other_code_has_no_command_to_join_by() -> None:
    with pytest.raises(ValueError, match="'r' was started by other code than a command"):
        joining(None, "r", None, None)


def test_what_starts_workers_is_read_from_the_command() -> None:
    assert by_command("0", GIVEN) == 0
    four, actors = by_command("4", GIVEN), by_command("ray:8", GIVEN)
    assert not isinstance(four, int)
    assert not isinstance(actors, int)
    assert (four.count, actors.count, type(actors.workers)) == (4, 8, RayWorkers)  # type: ignore[attr-defined]
    for wrong in ("two", "-1", "dask:3", ":3", "", "99999"):
        with pytest.raises(ValueError, match="--workers takes a number, or one behind ray:"):
            by_command(wrong, GIVEN)


def test_joining_no_run_and_sharing_out_one_lane_are_refused_in_words(tmp_path: Path) -> None:
    missing = maker("work", "--run-id", "r", "--db", "r.sqlite", cwd=tmp_path)
    assert missing.returncode == 2
    assert "there is no database r.sqlite" in missing.stderr
    lane = maker("run", "hanoi", "--disks", "3", "--workers", "2", "--db", "r.sqlite", cwd=tmp_path)
    assert lane.returncode == 2
    assert "workers share out lanes: 2 of them need lanes of 2 or more" in " ".join(lane.stderr.split())
