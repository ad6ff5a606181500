"""Runs without an error, observed and predicted, on every domain with a simulated model and a k that is too small.

python -m benchmarks.domains --runs 300
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from statistics import fmean
from typing import Any

from langgraph_maker import solve, theory
from langgraph_maker.tasks import Ledger, Multiplication, Sorting
from langgraph_maker.theory.intervals import exact_interval

DOMAINS: dict[str, Callable[[int], Any]] = {
    "multiplication, 5 x 5 digits": lambda seed: Multiplication.random(5, seed=seed),
    "sorting, 12 numbers": lambda seed: Sorting.random(12, seed=seed),
    "ledger, 25 transactions": lambda seed: Ledger.random(25, 6, seed=seed),
}


def without_error(task: Any, right: float) -> tuple[list[Any], Any, float]:
    """What a run without an error decides, the state that it ends in, and how likely it is.

    A step is `right` with that probability, and for certain where its wrong answer is one that is flagged.
    """
    state, actions, likely = task.initial_state(), [], 1.0
    while not task.is_done(state):
        likely *= fmean(right if task.validate(state, wrong) is None else 1 for wrong in task.wrong_votes(state))
        vote = task.oracle(state)
        actions.append(vote["action"])
        state = task.advance(state, vote)
    return actions, state, likely


def main() -> None:
    """Print a line for each domain."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=300)
    runs, k, error = parser.parse_args().runs, 2, 0.1
    for name, make in DOMAINS.items():
        flawless, predicted = 0, 0.0
        for seed in range(runs):
            task = make(seed)
            actions, end, likely = without_error(task, theory.p_correct(1 - error, k))
            run = solve(task, f"sim:error={error},seed={seed}", k=k, first_temperature=0.1)
            flawless += run.final_state == end and list(run.actions()) == actions
            predicted += likely / runs
        low, high = exact_interval(flawless, runs)
        observed = f"{flawless} of {runs} ({low:.3f} to {high:.3f})"
        print(f"{name}: without an error {observed}, predicted {predicted:.3f}", flush=True)


if __name__ == "__main__":
    main()
