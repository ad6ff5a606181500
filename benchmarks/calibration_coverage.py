"""What calibrations claim against what is true, of samplers whose truth is known.

`python -m benchmarks.calibration_coverage` prints three tables: the k of each rule over many calibrations (probability
of zero errors at the true p, mean over calibrations, and votes as a multiple of those of the k that p itself takes);
the bound on steps that no k can save (how often it is below the truth); and the test of repeating errors (how often it
says so).
"""

from __future__ import annotations

import argparse

import numpy as np

from langgraph_maker import theory
from langgraph_maker.runs.calibration.margin_choice import averaged, fisher, mixed
from langgraph_maker.runs.calibration.result import margin_or_none
from langgraph_maker.runs.calibration.second_look import cleared, power
from langgraph_maker.theory.intervals import exact_interval, upper_bound

TARGET = 0.95


def rules(random: np.random.Generator, runs: int, p: float, samples: int, steps: int) -> str:
    """Return what each rule keeps and costs."""
    best = theory.expected_votes(p, theory.k_min(p, steps, TARGET))
    kept: dict[str, list[float]] = {"average": [], "mixed": [], "lower bound": []}
    votes: dict[str, list[float]] = {name: [] for name in kept}
    for right in random.binomial(samples, p, runs).tolist():
        k = averaged(right, samples, steps, TARGET)
        pair = mixed(right, samples, steps, TARGET)
        low = margin_or_none(exact_interval(right, samples).low, None, steps, TARGET)
        if k is None or pair is None or low is None:
            continue
        for name, parts in (
            ("average", [(k, 1.0)]),
            ("mixed", [(pair[0], pair[1]), (max(1, pair[0] - 1), 1 - pair[1])]),
            ("lower bound", [(low, 1.0)]),
        ):
            kept[name].append(float(np.prod([theory.p_correct(p, each) ** (steps * share) for each, share in parts])))
            votes[name].append(sum(theory.expected_votes(p, each) * share for each, share in parts) / best)
    figures = "  ".join(f"{name} {np.mean(kept[name]):.4f} x{np.mean(votes[name]):.2f}" for name in kept)
    return f"p {p:<6} n {samples:<5} s {steps:<8} {figures}"


def bound(random: np.random.Generator, runs: int, bad: float, p_bad: float, p: float) -> str:
    """Return how often the bound on steps that no k can save is below their share, and how wide it is."""
    samples, bounds, missed = 400, list[float](), 0
    for _ in range(runs):
        hopeless = random.random(samples) < bad
        ps = np.where(hopeless, p_bad, p)
        left = 0
        for step in np.flatnonzero(random.random(samples) > ps):
            keys = ["right" if right else "wrong" for right in random.random(30) < ps[step]]
            left += not any(cleared(keys[:count], "right") for count in range(5, 31, 3))
        bounds.append(min(1.0, upper_bound(left, samples) / power()))
        missed += bounds[-1] < bad
    return f"{bad:.0%} at p {p_bad}, others {p}: covers {1 - missed / runs:.3f}, mean bound {np.mean(bounds):.3f}"


def repeating(random: np.random.Generator, runs: int, hard: float, p_hard: float, p: float) -> str:
    """Return how often errors are said to repeat."""
    said, samples = 0, 1000
    for _ in range(runs):
        ps = np.where(random.random(samples) < hard, p_hard, p)
        wrong, again = random.random(samples) > ps, random.random(samples) > ps
        said += fisher([(int((wrong & again).sum()), int(wrong.sum()), int(wrong.sum()), samples)]) < 0.04
    return f"{hard:.0%} at p {p_hard}, others {p}: said in {said / runs:.3f}"


def main() -> None:
    """Print the tables."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--runs", type=int, default=200)
    runs = arguments.parse_args().runs
    random = np.random.default_rng(1)
    for p in (0.7, 0.9, 0.99, 0.999):
        for samples in (100, 300, 1000):
            print(rules(random, runs, p, samples, 1000))
    for bad, p_bad in ((0.01, 0.3), (0.03, 0.3), (0.1, 0.3), (0.1, 0.45), (0.1, 0.5)):
        print(bound(random, runs, bad, p_bad, 0.99))
    for hard, p_hard in ((0.0, 0.5), (0.05, 0.8), (0.02, 0.6), (0.05, 0.6), (0.02, 0.3)):
        print(repeating(random, runs, hard, p_hard, 0.99))


if __name__ == "__main__":
    main()
