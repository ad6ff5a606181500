"""Each operation of the store and each call of the model fails once in each way, in every mode: see `faults`.

By default a few of the cases of each scenario, chosen by a seed; with the marker `faults` some 5,000 of all, in
proportion; with `slow` all of them. A case that fails is repeated by the line that it prints.
"""

from __future__ import annotations

import random

import pytest
from scenarios import SCENARIOS, Case, cases, check

SEED, FEW, SHARE = 20, 3, 0.44


def broken(chosen: list[Case]) -> list[str]:
    """The cases that do not come to what the scenario comes to without a fault, as lines that repeat them."""
    lines = []
    for case in chosen:
        try:
            check(case)
        except Exception as error:  # noqa: BLE001 - whatever it is, the case is what is wanted
            lines.append(f"python tests/support/scenarios.py '{case}'  # {type(error).__name__}: {error!s:.200}")
    return lines


def some(scenario: str, share: float, least: int) -> list[Case]:
    """A share of a scenario's cases, `least` at least, chosen by a seed."""
    found = [*cases(scenario)]
    assert len(found) >= least, "there is little to go wrong"
    return random.Random(f"{SEED} {scenario}").sample(found, max(least, round(share * len(found))))


@pytest.mark.parametrize("case", [Case("two writers in turns", "meanwhile", 7), Case("auto", "call", 1)], ids=str)
def test_what_went_wrong_once_is_right(case: Case) -> None:
    assert broken([case]) == []


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_a_fault_changes_nothing(scenario: str) -> None:
    assert broken(some(scenario, 0, FEW)) == []


@pytest.mark.faults
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_no_fault_of_many_changes_anything(scenario: str) -> None:
    assert broken(some(scenario, SHARE, FEW)) == []


@pytest.mark.slow
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_no_fault_changes_anything(scenario: str) -> None:
    assert broken([*cases(scenario)]) == []
