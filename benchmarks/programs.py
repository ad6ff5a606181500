"""What a vote by behaviour misses, by the number of probes: slips that they do not tell from what is right.

All programs are those that ship, and the models are simulated; programs run in the sandbox, so bubblewrap is needed.

python -m benchmarks.programs --runs 10
"""

from __future__ import annotations

import argparse

from langgraph_maker import RedFlag, solve
from langgraph_maker.tasks.programs import ProgramLibrary

MODEL = "sim:error=0.3,alternatives=4"


def missed(task: ProgramLibrary) -> tuple[int, int]:
    """Return how many slips have the key of what is right, of how many."""
    state, same, slips = task.initial_state(), 0, 0
    while not task.is_done(state):
        right = task.oracle(state)
        key = task.vote_key(right)
        for vote in task.wrong_votes(state)[: len(task.known[right["next_state"]].slips)]:
            slips += 1
            try:
                same += task.vote_key(vote) == key
            except RedFlag:
                continue
        state = task.advance(state, right)
    return same, slips


def main() -> None:
    """Print a line for each number of probes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=10)
    runs = parser.parse_args().runs
    for probes in (1, 2, 3, 6):
        task = ProgramLibrary(probes=probes)
        same, slips = missed(task)
        ends = [solve(task, f"{MODEL},seed={seed}", k=3) for seed in range(runs)]
        solved = [run for run in ends if run.status == "solved"]
        failed = [len(task.failing(run.final_state)) for run in solved]
        print(
            f"up to {probes} probes: {same} of {slips} slips look right; {len(solved)} of {runs} solved by {MODEL}, k"
            f" = 3, {sum(not one for one in failed)} with all functions right, {sum(failed)} functions wrong of"
            f" {20 * len(solved)}",
            flush=True,
        )


if __name__ == "__main__":
    main()
