"""Puzzles from JSON lines, and answers in the published form."""

from __future__ import annotations

import json

import pytest

from langgraph_maker import solve
from langgraph_maker.tasks import BlocksWorld, HanoiPositions
from langgraph_maker.tasks.puzzle_files import answer_line, read_puzzles

PLACES = {"initial_state": [[2, 1], [], []], "goal_state": [[], [], [2, 1]]}


def test_lines_are_read_and_answered() -> None:
    lines = [json.dumps({"question_id": f"{name}_1", "problem": {"instance": PLACES}}) for name in ("Hanoi", "Blocks")]
    found = list(read_puzzles(lines))
    assert [(name, type(task)) for name, task in found] == [("Hanoi_1", HanoiPositions), ("Blocks_1", BlocksWorld)]
    run = solve(found[0][1], "sim:error=0.05", k=3, max_steps=20)
    said = json.loads(answer_line("Hanoi_1", list(run.actions()), "sim:error=0.05"))
    assert said["response_text"] == "solution = [[1, 0, 1], [2, 0, 2], [1, 1, 2]]"


@pytest.mark.parametrize(
    "line", ["", "[]", "{}", '{"id": "Hanoi"}', json.dumps({"id": "Chess", "problem": {"instance": PLACES}})]
)
def test_what_is_no_puzzle_is_refused_with_its_line(line: str) -> None:
    with pytest.raises(ValueError, match="line 1"):
        list(read_puzzles([line]))
