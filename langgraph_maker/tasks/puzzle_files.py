"""Read puzzles from JSON lines as LongCoT (arXiv 2604.14140) has them, and write answers in its output form."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from langgraph_maker.core.foreign import excerpt
from langgraph_maker.tasks.stacks import BlocksWorld, HanoiPositions

__all__ = ["answer_line", "read_puzzles"]


def read_puzzles(lines: Iterable[str]) -> Iterator[tuple[str, HanoiPositions | BlocksWorld]]:
    """Yield the id and the task of each line: `question_id` or `id`, and the positions in its `problem`.

    Raises:
        ValueError: For a line that is no JSON object, or has no id of Hanoi or Blocks World or no positions.

    Example:
        >>> instance = {"initial_state": [[1], [], []], "goal_state": [[], [], [1]]}
        >>> [(name, task)] = read_puzzles([json.dumps({"id": "BlocksWorld_1", "problem": {"instance": instance}})])
        >>> name, answer_line(name, [[1, 0, 2]], "sim:error=0.1")
        ('BlocksWorld_1', '{"question_id": "BlocksWorld_1", "successful": true, "response_text": "solution = [[1, 0, 2]]", "model": "sim:error=0.1"}')
    """  # noqa: E501 - a line of output
    for number, line in enumerate(lines, 1):
        try:
            read: Any = json.loads(line)
            name = str(read.get("question_id", read.get("id")))
            instance = read["problem"]["instance"]
            start, goal = instance["initial_state"], instance["goal_state"]
        except (ValueError, TypeError, KeyError, AttributeError):
            raise ValueError(
                f"line {number} has no id, or no problem with an instance of initial_state and goal_state: "
                f"{excerpt(line)}"
            ) from None
        kind = HanoiPositions if "hanoi" in name.lower() else BlocksWorld if "block" in name.lower() else None
        if kind is None:
            raise ValueError(f"line {number}: {excerpt(name)} names neither Hanoi nor Blocks World")
        yield name, kind(start, goal)


def answer_line(name: str, moves: Sequence[Any], model: str) -> str:
    """Return a line of answers: the moves as `solution = [...]`."""
    said = {"question_id": name, "successful": True, "response_text": f"solution = {json.dumps(list(moves))}"}
    return json.dumps({**said, "model": model})
