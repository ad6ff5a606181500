"""Puzzles from JSON lines, and answers in the published form."""

from __future__ import annotations

import json
from typing import Any

import pytest

from langgraph_maker import solve
from langgraph_maker.tasks import BlocksWorld, HanoiPositions
from langgraph_maker.tasks.puzzle_files import answer_line, puzzle_lines, read_puzzles

PLACES = {"initial_state": [[2, 1], [], []], "goal_state": [[], [], [2, 1]]}
WORDS = "Blocks World: {} Moves are lists, for example solution = [[3, 0, 1], [2, 0, 2]]."


def puzzle(name: str, **fields: Any) -> str:
    return json.dumps({"id": name, "prompt": "", "answer": None, **fields})


def test_lines_are_read_and_answered() -> None:
    lines = [
        json.dumps({"question_id": f"{name}_1", "problem": {"instance": PLACES}}) for name in ("Hanoi", "BlocksWorld")
    ]
    found = list(read_puzzles(lines))
    assert [(name, type(task)) for name, task in found] == [("Hanoi_1", HanoiPositions), ("BlocksWorld_1", BlocksWorld)]
    run = solve(found[0][1], "sim:error=0.05", k=3, max_steps=20)
    said = json.loads(answer_line("Hanoi_1", list(run.actions()), "sim:error=0.05"))
    assert said["response_text"] == "solution = [[1, 0, 1], [2, 0, 2], [1, 1, 2]]"
    assert said["successful"]


def test_a_template_says_which_puzzle_it_is() -> None:
    line = puzzle("q1", problem={"template": "RandomHanoi", "instance": PLACES})
    assert [type(task) for _, task in read_puzzles([line])] == [HanoiPositions]


def test_positions_are_read_from_the_prompt_where_nothing_else_has_them() -> None:
    prompt = WORDS.format("The initial state is\n[[2, 1],\n [], [3]]\nand the goal [[], [1, 2, 3], []].")
    [(name, task)] = read_puzzles([puzzle("q2", prompt=prompt)])
    assert (name, task.start, task.goal) == ("q2", [[2, 1], [], [3]], [[], [1, 2, 3], []])
    assert isinstance(task, BlocksWorld)


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ("Start: [[1], [], []].", "no goal"),
        ("Here are [[1], [], []] and [[], [], [1]].", "no start"),
        ("Start: [[1], [], []]. Start: [[], [1], []]. Goal: [[], [], [1]].", "more than one start"),
        ("Start: [[1], [], []]. Goal: [[], [], [2]].", "the same numbers"),
        ("Start: [[1], [01], []]. Goal: [[], [], [2]].", ""),
        ("[" * 200_000, "no start"),
        ("[[1], " * 50_000, "no start"),
    ],
)
def test_a_prompt_that_is_not_clear_is_refused(said: str, why: str) -> None:
    with pytest.raises(ValueError, match=f"line 1, 'q3': .*{why}"):
        list(read_puzzles([puzzle("q3", prompt=WORDS.format(said))]))


@pytest.mark.parametrize(
    "line",
    [
        "",
        "[]",
        "{}",
        "7",
        '{"id": "Hanoi"}',
        puzzle("Chess", problem={"instance": PLACES}),
        puzzle("Hanoi", problem={"instance": {"initial_state": [[1], [], []], "goal_state": 7}}),
        puzzle("Hanoi", problem=[1]),
        "[" * 100_000,
    ],
)
def test_what_is_no_puzzle_is_refused_with_its_line(line: str) -> None:
    with pytest.raises(ValueError, match="line 1"):
        list(read_puzzles([line]))


def test_other_puzzles_are_passed_over_where_asked_for() -> None:
    lines = [puzzle("Sudoku_1"), puzzle("Hanoi_1", problem={"instance": PLACES})]
    assert [name for name, _ in read_puzzles(lines, skip_others=True)] == ["Hanoi_1"]


def test_a_file_is_json_lines_or_one_list_of_questions() -> None:
    lines = [puzzle("a"), puzzle("b")]
    assert puzzle_lines("\n".join(lines) + "\n\n") == lines
    assert puzzle_lines(json.dumps({"questions": list(map(json.loads, lines))})) == lines


def test_an_unresolved_puzzle_is_no_answer() -> None:
    said = json.loads(answer_line("q", [], "m", reason="unresolved: step 3"))
    assert (said["successful"], said["response_text"], said["reason"]) == (False, "", "unresolved: step 3")
