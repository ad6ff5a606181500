"""How success and cost grow with p and k: the scaling laws beside votes on simulated models (MAKER, section 3.2)."""

from langgraph_maker import theory
from langgraph_maker.experiments import experiment


def main(folder: str = "experiments", runs: int = 30) -> None:
    """Vote a task of 31 steps through so many times, at each p, and hold p_full against Eq 13."""
    models = ["sim:error=0.2", "sim:error=0.1", "sim:error=0.05"]
    found = experiment("scaling", models=models, samples=runs, out=folder)
    for line in found.lines:
        print(f"\np = {line['p']:.3f}, {runs} times {line['steps']} steps (a simulated model)")
        for at in line["by_k"][:5]:
            law = theory.p_full(line["p"], at["k"], line["steps"])
            votes = theory.expected_votes(line["p"], at["k"])
            print(
                f"k = {at['k']}: without an error {at['without_error'] / at['tasks']:.2f}"
                f" ({at['low']:.2f} to {at['high']:.2f}), by Eq 13 {law:.2f};"
                f" {at['samples_per_step']:.2f} votes a step, by Eq 16 {votes:.2f}"
            )
    million = 2**20 - 1
    print(f"\na million steps at 95 % take k = {theory.k_min(0.9, million)} at p = 0.9", *found.figures, sep="\n")


if __name__ == "__main__":
    main()
