"""The command for files of puzzles: answers that lead to the goals, resumed and refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from langgraph_maker.cli import app

START, GOAL = [[3, 1], [2], []], [[], [3, 2], [1]]
PROMPT = f"Blocks World. Initial state: {START}. Goal state: {GOAL}. Answer with solution = [[block, from, to], ...]."


@pytest.fixture
def file(tmp_path: Path) -> Path:
    hanoi = {"template": "RandomHanoi", "instance": {"initial_state": [[2, 1], [], []], "goal_state": [[], [1], [2]]}}
    lines = [
        {"id": "b1", "prompt": PROMPT, "answer": None},
        {"question_id": "Sudoku_easy_1", "prompt": "Fill it in."},
        {"question_id": "h1", "prompt": "", "problem": hanoi, "answer": None},
    ]
    path = tmp_path / "puzzles.jsonl"
    path.write_text("\n".join(map(json.dumps, lines)))
    return path


def run(file: Path, *more: str) -> Any:
    arguments = ["puzzles", str(file), "--out", str(file.parent / "answers.jsonl"), "--db", str(file.parent / "db")]
    return CliRunner().invoke(app, [*arguments, "--model", "sim:error=0.05", *more])


def test_each_answer_leads_to_its_goal(file: Path) -> None:
    done = run(file, "--json")
    assert done.exit_code == 0
    said = json.loads(done.stdout)
    assert (said["puzzles"], said["solved"], said["simulated"]) == (2, 2, True)
    assert "1 of 3 lines are other puzzles" in done.stderr
    answers = [json.loads(line) for line in (file.parent / "answers.jsonl").read_text().splitlines()]
    assert [(one["question_id"], one["successful"]) for one in answers] == [("b1", True), ("h1", True)]
    stacks = [[*stack] for stack in START]
    for block, start, end in json.loads(answers[0]["response_text"].removeprefix("solution = ")):
        assert stacks[start].pop() == block
        stacks[end].append(block)
    assert stacks == GOAL


def test_the_same_command_resumes_it_and_buys_nothing_twice(file: Path) -> None:
    first = run(file, "--run-id", "p", "--json")
    answers = (file.parent / "answers.jsonl").read_bytes()
    again = run(file, "--run-id", "p", "--json")
    assert first.stdout == again.stdout
    assert (file.parent / "answers.jsonl").read_bytes() == answers


def test_what_is_not_solved_is_said_and_no_answer(file: Path) -> None:
    done = run(file, "--max-steps", "2")
    assert done.exit_code == 3
    assert "1 of 2 puzzles solved by sim:error=0.05 (a simulated model)" in done.stdout
    bad = json.loads((file.parent / "answers.jsonl").read_text().splitlines()[0])
    assert (bad["successful"], bad["response_text"]) == (False, "")
    assert bad["reason"].startswith("unresolved: ")


def test_a_file_without_puzzles_and_one_that_would_be_lost_are_refused(file: Path) -> None:
    lost = CliRunner().invoke(app, ["puzzles", str(file), "--out", str(file), "--db", str(file.parent / "db")])
    assert (lost.exit_code, file.read_text()[:1]) == (2, "{")
    assert "itself, which would be lost" in lost.stderr
    file.write_text('{"id": "Sudoku_1"}\n')
    empty = run(file)
    assert empty.exit_code == 2
    assert "has no puzzle of Hanoi or Blocks World" in empty.stderr
