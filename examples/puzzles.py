"""Puzzles from JSON lines of id, prompt and answer, solved by voted moves and answered in LongCoT's form.

`langgraph-maker puzzles FILE --out ANSWERS` does it for a file, journalled.
"""

import json
import sys
from pathlib import Path

from langgraph_maker import solve
from langgraph_maker.tasks.puzzle_files import answer_line, puzzle_lines, read_puzzles

MODEL = "sim:error=0.02"
SHOWN = [
    {
        "id": "blocks-1",
        "prompt": "Blocks World. Initial state: [[3, 1], [2], []]. Goal state: [[], [3, 2], [1]].",
        "answer": None,
    },
    {
        "id": "hanoi-1",
        "prompt": "Towers of Hanoi, from the start [[2, 1], [], []] to the goal [[], [], [2, 1]].",
        "answer": None,
    },
]

if __name__ == "__main__":
    text = Path(sys.argv[1]).read_text() if len(sys.argv) > 1 else "\n".join(map(json.dumps, SHOWN))
    for name, task in read_puzzles(puzzle_lines(text), skip_others=True):
        run = solve(task, MODEL, k=4, max_steps=10_000)
        reason = "" if run.status == "solved" else f"{run.status}: {run.reason}"
        print(answer_line(name, list(run.actions()), f"{MODEL} (simulated)", reason=reason))
