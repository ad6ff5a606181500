"""A small library written function by function; votes are compared by what the programs do, in a sandbox.

Needs bubblewrap (apt-get install bubblewrap): where it is not there it says so, and runs nothing.
"""

import sys

from langgraph_maker import solve
from langgraph_maker.errors import MakerError
from langgraph_maker.tasks import ProgramLibrary


def main(functions: int) -> None:
    """Write so many of the functions that ship, and hold the result against their truth tests."""
    try:
        task = ProgramLibrary(functions)
    except MakerError as error:
        sys.exit(str(error))
    run = solve(task, "sim:error=0.2,flag=0.05,alternatives=3", k=3)
    print(f"{run.status}: {run.steps} functions, {run.samples} samples, {run.flagged} discarded (a simulated model)")
    print(f"wrong by their truth tests, which no vote saw: {', '.join(task.failing(run.final_state)) or 'none'}")
    print(task.source(run.final_state).split("\n\n\n")[0])


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 20)
