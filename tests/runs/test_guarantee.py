"""The guarantee as statistics: whole runs of the real graph against the closed form. Seeds are fixed."""

from __future__ import annotations

from itertools import pairwise
from math import comb, sqrt

import pytest

from langgraph_maker import Run, solve
from langgraph_maker.tasks import TowersOfHanoi
from langgraph_maker.theory.scaling import expected_votes, k_min, p_full


def run(
    disks: int, error: float, k: int, seed: int, flag: float = 0.0, first_temperature: float = 0.1, lanes: int = 4
) -> Run:
    """One run with a simulated model that has one wrong answer a step, the worst case of Eq 9.

    At temperature 0 answers depend on the prompt alone, so all seeds would share their first votes; above it all
    votes are independent, as the equations have it.
    """
    model = f"sim:error={error},flag={flag},seed={seed}"
    return solve(TowersOfHanoi(disks), model, k=k, first_temperature=first_temperature, lanes=lanes)


def binomial_interval(n: int, p: float, confidence: float = 0.99) -> tuple[int, int]:
    """The least central interval that holds a binomial count with at least this probability."""
    weights = [comb(n, i) * p**i * (1 - p) ** (n - i) for i in range(n + 1)]
    low, high, outside = 0, n, (1 - confidence) / 2
    below = weights[0]
    while below < outside:
        low += 1
        below += weights[low]
    above = weights[n]
    while above < outside:
        high -= 1
        above += weights[high]
    return low, high


def shares(disks: int, seeds: int, k: int, error: float, first_temperature: float) -> tuple[int, tuple[int, int]]:
    runs = (run(disks, error, k, seed, first_temperature=first_temperature, lanes=8) for seed in range(seeds))
    solved = sum(run.status == "solved" for run in runs)
    return solved, binomial_interval(seeds, p_full(1 - error, k, 2**disks - 1))


def test_binomial_interval() -> None:
    assert binomial_interval(10, 0.5, 0.95) == (2, 8)
    assert binomial_interval(300, 1.0) == (300, 300)


@pytest.mark.slow
def test_at_a_high_target_every_seed_solves() -> None:
    k = k_min(0.95, 2**8 - 1, target=0.9999)
    assert [run(8, 0.05, k, seed, first_temperature=0, lanes=8).status for seed in range(30)] == ["solved"] * 30


def test_solved_share_agrees_with_theory_on_a_short_task() -> None:
    solved, (low, high) = shares(disks=3, seeds=300, k=2, error=0.2, first_temperature=0.1)
    assert low <= solved <= high < 300


@pytest.mark.slow
@pytest.mark.parametrize("first_temperature", [0.0, 0.1])
def test_solved_share_agrees_with_theory(first_temperature: float) -> None:
    k = k_min(0.95, 2**8 - 1, target=0.95)
    solved, (low, high) = shares(disks=8, seeds=300, k=k, error=0.05, first_temperature=first_temperature)
    assert low <= solved <= high


def test_without_a_margin_almost_none_solve() -> None:
    assert sum(run(7, 0.05, 1, seed, first_temperature=0).status == "solved" for seed in range(20)) <= 1


@pytest.mark.parametrize(("error", "flag", "k"), [(0.05, 0.0, 4), (0.2, 0.1, 7), (0.01, 0.3, 3)])
def test_samples_per_step_agree_with_theory(error: float, flag: float, k: int) -> None:
    """Within 3.3 standard errors (99.9 %) of expected_votes / v.

    The margins are high enough for no step to go wrong: after a wrong one, prompts and so their samples recur.
    """
    drawn: list[int] = []
    for seed in range(4):
        result = run(8, error, k, seed, flag)
        assert result.status == "solved"
        for samples, undecided in enumerate(pairwise(result.undecided_after), start=1):
            drawn += [samples] * (undecided[0] - undecided[1])
    mean = sum(drawn) / len(drawn)
    spread = sqrt(sum((samples - mean) ** 2 for samples in drawn) / len(drawn) / len(drawn))
    assert abs(mean - expected_votes(1 - error, k) / (1 - flag)) < 3.3 * spread
