"""What README and examples/ show is run as shown."""

from __future__ import annotations

import difflib
import re
import subprocess
import sys
from pathlib import Path
from runpy import run_path
from typing import Any

import pytest
from langgraph.checkpoint.memory import InMemorySaver

ROOT = Path(__file__).parent.parent
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
PYTHON = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)


def run(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(
    ("example", "says"),
    [
        ("triage_plain", "technical"),
        ("triage_voted", "Your ticket went to billing."),
        ("long_addition", "right"),
    ],
)
def test_examples_run(example: str, says: str) -> None:
    assert says in run((ROOT / "examples" / f"{example}.py").read_text())


def test_hard_steps_are_compared() -> None:
    said = subprocess.run(
        [sys.executable, "-m", "examples.hard_steps", "--disks", "6", "--seeds", "1", "--rates", "0.3"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    ways = {line[12:31].strip(): line.split() for line in said[2:]}
    assert ways.keys() == {"plain voting", "diversity by design", "default ladder", "audit of each step"}
    assert "0 of 1" in said[2]
    assert float(ways["default ladder"][3].rstrip("%")) > float(ways["plain voting"][3].rstrip("%"))


def test_every_example_is_tested() -> None:
    here = {"triage_plain", "triage_voted", "long_addition", "hard_steps"}
    assert {path.stem for path in EXAMPLES} == here | {"local_model"}  # which test_local_model.py runs


def test_a_voted_step_is_ten_lines() -> None:
    plain, voted = ((ROOT / "examples" / f"triage_{kind}.py").read_text().splitlines() for kind in ("plain", "voted"))
    added = [line for line in difflib.ndiff(plain[1:], voted[1:]) if line.startswith("+ ")]
    assert len(added) <= 10


@pytest.mark.parametrize("checkpointer", [None, "memory"])
@pytest.mark.parametrize("kind", ["plain", "voted"])
def test_both_apps_run_with_and_without_a_checkpointer(kind: str, checkpointer: str | None) -> None:
    app: Any = run_path(str(ROOT / "examples" / f"triage_{kind}.py"))["app"]
    graph = app.compile(checkpointer=checkpointer and InMemorySaver())
    result = graph.invoke({"text": "I was charged twice."}, {"configurable": {"thread_id": "t"}})
    assert result["department"] == {"plain": "technical", "voted": "billing"}[kind]


@pytest.mark.parametrize("block", range(len(PYTHON)))
def test_readme_runs(block: int) -> None:
    printed = run(PYTHON[block])
    sure = (
        "no error in 255 steps with probability 0.99904 (≥ 0.9965), bounds of 95 %, if samples err independently,"
        " equally often at every step, and less often than not\n"
    )
    expected = ["billing\n", "solved [6, 8, 0, 3, 0, 1]\n", "", sure]
    assert printed == expected[block]


def test_readme_states_what_theory_says() -> None:
    from langgraph_maker import theory

    k = theory.k_min(0.99, 2**20 - 1, 0.95)
    assert k == 4
    assert round(theory.p_full(0.99, k, 2**20 - 1), 3) == 0.989
    assert round(theory.expected_votes(0.99, k), 2) == 4.08
