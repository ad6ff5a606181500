"""Dictionary sum: the running sum of words' values, a key a step, in the format of arXiv 2509.09677."""

import sys

from langgraph_maker import solve
from langgraph_maker.tasks import DictionarySum

if __name__ == "__main__":
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 2000
    task = DictionarySum.random(count)
    run = solve(task, "sim:error=0.02,flag=0.05", k=5)
    print(f"{run.status}: {run.steps} steps, {run.samples} samples, {run.flagged} discarded (a simulated model)")
    print("right" if run.final_state["sum"] == sum(task.dictionary[key] for key in task.keys) else "wrong")
