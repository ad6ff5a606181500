"""Sorting a long list by voted merge steps: each microagent takes the smaller one of two numbers."""

import sys

from langgraph_maker import solve
from langgraph_maker.tasks import Sorting

if __name__ == "__main__":
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    task = Sorting.random(count)
    run = solve(task, "sim:error=0.02,flag=0.05", k=5)
    [in_order] = run.final_state["runs"]
    print(f"{run.status}: {run.steps} steps, {run.samples} samples, {run.flagged} discarded (a simulated model)")
    print(f"{in_order[:3]} … {in_order[-3:]}")
    print("right" if in_order == sorted(task.numbers) else "wrong")
