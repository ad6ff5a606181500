"""Read puzzles from JSON lines as LongCoT (arXiv 2604.14140) has them, and write answers in its output form."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from langgraph_maker.core.foreign import excerpt
from langgraph_maker.tasks.stacks import BlocksWorld, HanoiPositions

__all__ = ["answer_line", "puzzle_lines", "read_puzzles"]


def puzzle_lines(text: str) -> list[str]:
    """Return the puzzles of a file, a line of JSON each: of JSON lines, or of one object with a list `questions`.

    Example:
        >>> puzzle_lines('{"questions": [{"id": "a"}, {"id": "b"}]}')
        ['{"id": "a"}', '{"id": "b"}']
    """
    try:
        whole = json.loads(text)
    except (ValueError, RecursionError):
        whole = None
    if isinstance(whole, dict) and isinstance(whole.get("questions"), list):
        return [json.dumps(one) for one in whole["questions"]]
    return [line for line in text.splitlines() if line.strip()]


def read_puzzles(
    lines: Iterable[str], *, skip_others: bool = False
) -> Iterator[tuple[str, HanoiPositions | BlocksWorld]]:
    """Yield the id (`question_id` or `id`) and the task of each line.

    Which puzzle it is, is said by `problem.template`, or by the id, or by the prompt. The positions are those of
    `problem.instance`, or else the lists of stacks that the prompt names as start (initial) and as goal (target).
    The `answer` is not read: what was moved is checked by what it leads to.

    Args:
        lines: See `puzzle_lines`.
        skip_others: Whether to pass over lines that name neither Hanoi nor Blocks World.

    Raises:
        ValueError: For a line that is no JSON object, has no id, or positions of one of the two puzzles that are
            missing, given twice or not positions.

    Example:
        >>> prompt = "Blocks World. Initial state: [[1], [], []]. Goal state: [[], [], [1]]. Give the moves."
        >>> [(name, task)] = read_puzzles([json.dumps({"id": "7", "prompt": prompt, "answer": None})])
        >>> name, task.start, answer_line(name, [[1, 0, 2]], "sim:error=0.1")
        ('7', [[1], [], []], '{"question_id": "7", "successful": true, "response_text": "solution = [[1, 0, 2]]", "model": "sim:error=0.1"}')
    """  # noqa: E501 - a line of output
    for number, line in enumerate(lines, 1):
        try:
            read: Any = json.loads(line)
            name = str(read["question_id"] if "question_id" in read else read["id"])
            prompt, problem = read.get("prompt") or "", read.get("problem") or {}
            said = f"{problem.get('template') or ''} {name} {prompt}".lower()
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            raise ValueError(f"line {number} is no JSON object with an id: {excerpt(line)}") from None
        kind = HanoiPositions if "hanoi" in said else BlocksWorld if _BLOCKS.search(said) else None
        if kind is None:
            if skip_others:
                continue
            raise ValueError(f"line {number}: {excerpt(name)} names neither Hanoi nor Blocks World")
        try:
            start, goal = _instance(problem) or _in_words(str(prompt))
            yield name, kind(start, goal)
        except ValueError as error:
            raise ValueError(f"line {number}, {excerpt(name)}: {error}") from None


def answer_line(name: str, moves: Sequence[Any], model: str, *, reason: str = "") -> str:
    """Return a line of answers: the moves as `solution = [...]`, or why there are none."""
    text = "" if reason else f"solution = {json.dumps(list(moves))}"
    said = {"question_id": name, "successful": not reason, "response_text": text, "model": model}
    return json.dumps({**said, "reason": reason} if reason else said)


def _instance(problem: Any) -> tuple[Any, Any] | None:
    instance = problem.get("instance") if isinstance(problem, Mapping) else None
    if not isinstance(instance, Mapping) or not {"initial_state", "goal_state"} <= instance.keys():
        return None
    return instance["initial_state"], instance["goal_state"]


def _in_words(prompt: str) -> tuple[Any, Any]:
    """Return the positions that a prompt names: lists of stacks, each with the nearest word before it."""
    found: dict[str, list[Any]] = {"start": [], "goal": []}
    end = 0
    for stacks in _STACKS.finditer(prompt, 0, _LONGEST):
        words = _WORDS.findall(prompt[max(end, stacks.start() - _NEAR) : stacks.start()].lower())
        end = stacks.end()
        role = _ROLES.get(words[-1]) if words else None
        if role is not None and (value := json.loads(stacks[0])) not in found[role]:
            found[role].append(value)
    for role, values in found.items():
        if len(values) != 1:
            many = "no" if not values else "more than one"
            raise ValueError(f"the prompt names {many} {role}: it takes a list of stacks such as [[2, 1], [], []]")
    return found["start"][0], found["goal"][0]


_LONGEST: Final = 100_000
_NEAR: Final = 120
_BLOCKS: Final = re.compile(r"blocks?[\s_-]*world")
_STACK: Final = r"\[[\d\s,]*\]"
_STACKS: Final = re.compile(rf"\[\s*{_STACK}(?:\s*,\s*{_STACK})+\s*\]")
_ROLES: Final = {"initial": "start", "start": "start", "goal": "goal", "target": "goal", "final": "goal"}
_WORDS: Final = re.compile(r"initial|start|goal|target|final|example|solution|moves?")
