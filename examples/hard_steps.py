"""Steps whose errors repeat: plain voting, voting over prompt variants, the default ladder, and an audit of each step.

    python -m examples.hard_steps [--disks 12] [--seeds 3] [--rates 0.001 0.01 0.1]

On a hard step one prompt variant gives the same wrong answer with probability 0.7, whatever is asked of it again; the
others are as good as ever. More votes do not help, other prompts do. The model is simulated: what is shown is how the
methods fare on errors of this kind.
"""

from __future__ import annotations

import argparse
from typing import Any

from langgraph.store.memory import InMemoryStore

from langgraph_maker import journal, solve
from langgraph_maker.ladder import Audit, Tier
from langgraph_maker.tasks import TowersOfHanoi

LANES = 256
WAYS: dict[str, dict[str, Any]] = {
    "plain voting": {},
    "diversity by design": {"decorrelate": "variants"},
    "default ladder": {"ladder": "default"},
    "audit of each step": {"audit": Audit(share=1.0), "ladder": [Tier(), Tier(variants="all")]},
}


def main() -> None:
    """Print the comparison."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--disks", type=int, default=12)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--rates", type=float, nargs="+", default=[0.001, 0.01, 0.1])
    asked = parser.parse_args()
    task = TowersOfHanoi(asked.disks)
    print(f"{task.steps:,} steps, k = 3, simulated model: of valid samples .002 wrong; shares are of all steps")
    print(f"{'hard steps':>10}  {'way':<19}  {'right':>7}  {'wrong':>7}  {'open':>7}  {'solved':>6}  samples a step")
    for rate in asked.rates:
        for way, options in WAYS.items():
            right, wrong, samples, solved = 0, 0, 0, 0
            for seed in range(asked.seeds):
                store, model = InMemoryStore(), f"sim:error=0.002,hard={rate},repeats=0.7,seed={seed}"
                run = solve(task, model, lanes=LANES, store=store, run_id="a", **options)
                good, bad = judged(task, store)
                right, wrong, samples = right + good, wrong + bad, samples + run.samples
                solved += run.status == "solved" and not bad
            steps = asked.seeds * task.steps
            shares = f"{right / steps:>7.2%}  {wrong / steps:>7.2%}  {1 - (right + wrong) / steps:>7.2%}"
            print(f"{rate:>10}  {way:<19}  {shares}  {solved:>2} of {asked.seeds}  {samples / (right + wrong):.2f}")


def judged(task: TowersOfHanoi, store: InMemoryStore) -> tuple[int, int]:
    """How many decided steps are right and wrong; what follows a wrong one is judged by what it started from."""
    right, wrong = 0, 0
    for start in journal.header(store, "a")["sessions"][0]["starts"]:
        lane = next(lane for lane in task.segments(LANES) if lane["step"] == start)
        state = lane["state"]
        for entry in journal.read(store, "a", start):
            if entry["step"] == lane["end"]:
                break
            try:
                good = entry["vote"] == task.oracle(state)
            except ValueError:  # an illegal position, which a wrong vote led to
                good = False
            right, wrong = right + good, wrong + (not good)
            state = task.advance(state, entry["vote"])
    return right, wrong


if __name__ == "__main__":
    main()
