"""Proof steps with a checker as red flag alone, with a vote alone, with both and with neither; simulated models.

python -m benchmarks.proofs --runs 30
"""

from __future__ import annotations

import argparse

from langgraph_maker import solve
from langgraph_maker.tasks import Proof

WAYS = {"neither": (1, False), "checker alone": (1, True), "vote alone": (3, False), "both": (3, True)}


def main() -> None:
    """Print a line for each way and model."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=30)
    parser.add_argument("--theorems", type=int, default=4)
    options = parser.parse_args()
    for model in ("sim:error=0.1,alternatives=3", "sim:error=0.3,alternatives=3"):
        for way, (k, checked) in WAYS.items():
            proved = false = samples = 0
            for seed in range(options.runs):
                task = Proof.random(options.theorems, seed=seed, checked=checked)
                run = solve(task, f"{model},seed={seed}", k=k, max_steps=50 * options.theorems)
                holds = run.status == "solved" and task.holds(list(run.actions()))
                proved, false, samples = (
                    proved + holds,
                    false + (run.status == "solved" and not holds),
                    samples + run.samples,
                )
            print(
                f"{model}, {way} (k = {k}): {proved} of {options.runs} proved, {false} solved without a proof,"
                f" {options.runs - proved - false} unresolved; {samples / options.runs:.0f} samples a run",
                flush=True,
            )


if __name__ == "__main__":
    main()
