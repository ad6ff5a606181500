"""Long multiplication: each microagent sees four digits, and none of them the numbers."""

import sys

from langgraph_maker import solve
from langgraph_maker.tasks import Multiplication

if __name__ == "__main__":
    digits = int(sys.argv[1]) if len(sys.argv) > 1 else 30
    task = Multiplication.random(digits)
    run = solve(task, "sim:error=0.02,flag=0.05", k=5)
    print(f"{run.status}: {run.steps} steps, {run.samples} samples, {run.flagged} discarded (a simulated model)")
    print(f"{task.a} * {task.b}")
    print("right" if task.product(run.final_state) == task.a * task.b else "wrong")
