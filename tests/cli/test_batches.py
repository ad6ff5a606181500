"""Batches and tiers on the command line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from langgraph_maker.cli import app
from langgraph_maker.simulation.server import SimulatedServer
from langgraph_maker.tasks import TowersOfHanoi

OPENAI = ("--model", "openai:gpt-4.1-mini")
QUICK = ("--batch", "--batch-limits", "delay=0.1,poll=0.02")


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "any")


def call(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments, catch_exceptions=False)


def result(*arguments: str) -> dict[str, Any]:
    done = call(*arguments, "--json")
    assert done.exit_code == 0, done.output
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_a_run_by_batches_costs_half(tmp_path: Path) -> None:
    server = SimulatedServer(TowersOfHanoi(3), "sim:gpt-4.1-mini")
    with server.running() as url:
        where = ("--base-url", url, "--db", str(tmp_path / "r.sqlite"))
        run = result("run", "hanoi", "--disks", "3", "--lanes", "4", *OPENAI, *where, *QUICK)
    assert run["status"] == "solved"
    assert run["usage"]["tiers"] == {"batch": run["samples"]}
    half = (server.stats.prompt_tokens * 0.2 + server.stats.completion_tokens * 0.8) / 1e6
    assert run["usage"]["cost"] == pytest.approx(half)
    assert server.stats.requests == 0


def test_a_calibration_by_batches_takes_few_of_them(tmp_path: Path) -> None:
    server = SimulatedServer(TowersOfHanoi(6), "sim:gpt-4.1-mini", batch_faults="half@1")
    with server.running() as url:
        where = ("--base-url", url, "--db", str(tmp_path / "r.sqlite"))
        found = result("calibrate", "hanoi", "--disks", "6", "--samples", "40", *OPENAI, *where, *QUICK)
    [one] = found["calibrations"]
    half = (server.stats.prompt_tokens * 0.2 + server.stats.completion_tokens * 0.8) / 1e6
    assert one["spent"] == pytest.approx(half)
    assert one["drawn"] == server.stats.samples
    assert len(server.batches.jobs) <= 8


def test_too_few_lanes_are_refused_with_how_many_it_takes() -> None:
    done = call("run", "hanoi", "--disks", "10", *OPENAI, "--batch")
    assert done.exit_code == 2
    assert "a lane has 1,023 steps" in " ".join(done.output.split())
    assert "43 at least (--lanes)" in " ".join(done.output.split())


def test_a_plan_knows_tiers_cached_input_and_batches() -> None:
    told = ("plan", "--disks", "20", "--p", "0.9978", "--tokens", "600,538", "--price", "gpt-5-mini")
    cost = {part: result(*told, *part.split())["choices"][1]["cost"] for part in ("", "--tier flex", "--cached 0.8")}
    batches = result(*told, "--batch", "--lanes", "65536")
    assert cost["--tier flex"] == pytest.approx(cost[""] / 2)
    assert cost["--cached 0.8"] < cost[""]
    assert batches["choices"][1]["cost"] == pytest.approx(cost[""] / 2)
    assert 16 < batches["batches"]["rounds"] < 21


def test_limits_that_are_none_are_named() -> None:
    done = call("run", "hanoi", "--disks", "2", *OPENAI, "--batch", "--batch-limits", "speed=9")
    assert done.exit_code == 2
    assert "--batch-limits takes KEY=VALUE" in " ".join(done.output.split())
    assert call("run", "hanoi", "--disks", "2", "--batch").exit_code == 2
