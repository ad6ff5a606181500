"""Each operation of the store and each call of the model fails once in each way, in every mode: see `faults`.

By default a part of the cases, chosen by a seed; all of them are marked slow. A case that fails is repeated by the line
that it prints.
"""

from __future__ import annotations

import random

import pytest
from scenarios import SCENARIOS, cases, check, reference

SEED, EACH = 20, 5


def broken(scenario: str, share: int | None) -> list[str]:
    """The cases that do not come to what the scenario comes to without a fault, as lines that repeat them."""
    _, times = reference(scenario)
    found = [*cases(scenario, times)]
    assert len(found) > 30, "there is little to go wrong"
    chosen = found if share is None else random.Random(f"{SEED} {scenario}").sample(found, share)
    lines = []
    for case in chosen:
        try:
            check(case)
        except Exception as error:  # noqa: BLE001 - whatever it is, the case is what is wanted
            lines.append(f"python tests/support/scenarios.py '{case}'  # {type(error).__name__}: {error!s:.200}")
    return lines


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_a_fault_changes_nothing(scenario: str) -> None:
    assert broken(scenario, EACH) == []


@pytest.mark.faults
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_no_fault_changes_anything(scenario: str) -> None:
    assert broken(scenario, None) == []
