"""What README, the pages of docs/ and examples/ show is run as shown."""

from __future__ import annotations

import difflib
import json
import re
from pathlib import Path
from runpy import run_path
from typing import Any

import pytest
from langgraph.checkpoint.memory import InMemorySaver
from paths import ROOT

from langgraph_maker.experiments import figures

EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
SHOWN = re.compile(
    r"^```python\n(.*?)^```\n(?:\n```text\n(.*?)^```\n)?", re.DOTALL | re.MULTILINE
)  # and what it prints
BLOCKS = [
    pytest.param(str(page.relative_to(ROOT)), program, printed, id=f"{page.stem}-{number}")
    for page in PAGES
    for number, (program, printed) in enumerate(SHOWN.findall(page.read_text()))
]


def run(program: Path, capsys: pytest.CaptureFixture[str]) -> str:
    run_path(str(program), run_name="__main__")
    return capsys.readouterr().out


RUNS: list[Any] = [
    ("triage_plain", "", "technical"),
    ("triage_voted", "", "Your ticket went to billing."),
    ("long_addition", "", "right"),
    ("dictionary_sum", "60", "right"),
    ("ledger", "60", "right"),
    ("long_multiplication", "6", "right"),
    ("sorted_list", "40", "right"),
    ("invoice_pipeline", "", "booked 2024-117 ACME GmbH 1190.00 after 6 samples (a scripted model)"),
    ("invoice_review", "", "booked {'vendor': 'ACME GmbH', 'total': 1190.0, 'number': '2024-117'}"),
    ("functional_api", "", "Your ticket went to billing. (5 samples of a scripted model)"),
    ("voted_handoff", "", "This is billing. (5 samples of a scripted model)"),
    ("event_stream", "", "the last: run.ended, solved, 7 steps"),
    ("jury", "", "three jurors are worth 1.8 votes that err independently"),
    pytest.param("library_of_programs", "3", "which no vote saw: none", marks=pytest.mark.sandbox),
    ("puzzles", "", "solution = [[1, 0, 1], [2, 0, 2], [1, 1, 2]]"),
    ("voting_agent", "", "order(bolt, 40)\nvoted [4, 1], 5 samples"),
    pytest.param("deep_agent", "", "Paid 1200 cents back for A-7. (", marks=pytest.mark.hosts),
    pytest.param("swarm", "", "This is billing. (5 samples of a scripted model)", marks=pytest.mark.hosts),
    pytest.param("recursive_multiplication", "", "the recursive maker:          20 right", marks=pytest.mark.slow),
]


@pytest.mark.parametrize(("example", "arguments", "says"), RUNS)
def test_examples_run(
    example: str, arguments: str, says: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", [example, *arguments.split()])
    assert says in run(ROOT / "examples" / f"{example}.py", capsys)


def test_hard_steps_are_compared(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.argv", ["hard_steps", "--disks", "6", "--seeds", "1", "--rates", "0.3"])
    said = run(ROOT / "examples" / "hard_steps.py", capsys).splitlines()
    right = {line[12:31].strip(): float(line[31:].split()[0].rstrip("%")) for line in said[2:]}
    assert right.keys() == {"plain voting", "diversity by design", "default ladder", "audit of each step"}
    assert "0 of 1" in said[2]
    assert right["default ladder"] > right["plain voting"]


EXPERIMENTS: dict[str, tuple[dict[str, Any], str]] = {
    "scaling": ({"runs": 2}, "k = 1: without an error 0.00 (0.00 to 0.84), by Eq 13 0.00"),
    "calibration": ({"samples": 10, "disks": [5]}, "sim:gpt-4.1-mini, 5 disks: 0 of 10 wrong"),
    "convergence": ({"disks": 6}, "solved: 63 steps"),
}


@pytest.mark.parametrize("example", EXPERIMENTS)
def test_experiments_run_small(
    example: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(figures, "can_draw", lambda: False)
    path, (settings, says) = ROOT / "examples" / f"{example}.py", EXPERIMENTS[example]
    assert len(path.read_text().splitlines()) < 50
    run_path(str(path))["main"](**settings)
    assert says in capsys.readouterr().out


def test_every_example_is_tested() -> None:
    assert {path.stem for path in EXAMPLES} == {
        *(one.values[0] if hasattr(one, "values") else one[0] for one in RUNS),
        *EXPERIMENTS,
        "conftest",
        "hard_steps",
        "test_invoice_pipeline",  # pytest runs it
        "local_model",  # test_local_model.py runs it
    }


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


@pytest.mark.parametrize(("page", "program", "expected"), BLOCKS)
def test_what_a_page_shows_is_run_as_shown(
    page: str, program: str, expected: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "shown.py").write_text(program)
    printed = run(tmp_path / "shown.py", capsys)
    assert " ".join(printed.split()) == " ".join(expected.split()), page


def test_every_page_with_a_program_is_found() -> None:
    assert {"README.md", "docs/start/own-task.md", "docs/guides/watching.md"} <= {one.values[0] for one in BLOCKS}


def test_the_notebook_prints_what_it_shows(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cells = json.loads((ROOT / "examples" / "first_vote.ipynb").read_text())["cells"]
    programs = [cell for cell in cells if cell["cell_type"] == "code"]
    (tmp_path / "cells.py").write_text("\n".join("".join(cell["source"]) for cell in programs))
    printed = "".join("".join(cell["outputs"][0]["text"]) for cell in programs)
    assert run(tmp_path / "cells.py", capsys) == printed
    assert printed.endswith("solved 127 steps\n")


def test_readme_states_what_theory_says() -> None:
    from langgraph_maker import theory

    k = theory.k_min(0.99, 2**20 - 1, 0.95)
    assert k == 4
    assert round(theory.p_full(0.99, k, 2**20 - 1), 3) == 0.989
    assert round(theory.expected_votes(0.99, k), 2) == 4.08
