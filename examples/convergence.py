"""How a run converges: steps still undecided after j samples, and the hardest of them (MAKER, figure 8)."""

from langgraph_maker import solve
from langgraph_maker.experiments.clusters import fit
from langgraph_maker.tasks import TowersOfHanoi


def main(disks: int = 14) -> None:
    """Run the task in lanes, and hold what is undecided against two laws."""
    run = solve(TowersOfHanoi(disks), "sim:gpt-4.1-mini", k=3, lanes=256)
    outlook = run.outlook
    if outlook is None or outlook.p.value is None:
        raise SystemExit(f"{run.status}: {run.reason}")
    wrong = (run.samples - run.flagged) * (1 - outlook.p.value)
    law = fit(run.undecided_after, k=3, wrong=wrong / (wrong + run.flagged))
    clustered = law.undecided(len(run.undecided_after))
    print(f"{run.status}: {run.steps:,} steps, {run.samples:,} samples (a simulated model)")
    print("samples  undecided  i.i.d. errors  clustered errors")
    for samples, steps in enumerate(run.undecided_after):
        alike = outlook.undecided_law[samples]
        print(f"{samples:7}  {steps:9,}  {alike:13,.1f}  {clustered[samples] * run.steps:16,.1f}")
    print("hardest:", ", ".join(f"step {step:,} ({samples} samples)" for samples, step in outlook.hardest[:5]))


if __name__ == "__main__":
    main()
