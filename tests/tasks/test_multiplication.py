from __future__ import annotations

import random
from typing import Any

import pytest
from domains import end_of

from langgraph_maker.tasks import Multiplication


@pytest.mark.parametrize(("a", "b"), [(0, 0), (7, 0), (10, 9), (99, 99), (100, 1), (999, 12345)])
def test_factors_of_all_lengths(a: int, b: int) -> None:
    task = Multiplication(a, b)
    assert task.product(end_of(task)) == a * b


def test_random_factors() -> None:
    chance = random.Random(1)
    for _ in range(50):
        a, b = (chance.randrange(10 ** chance.randrange(1, 9)) for _ in "ab")
        task = Multiplication(a, b)
        assert task.product(end_of(task)) == a * b


def test_leading_zeros_mean_nothing() -> None:
    assert Multiplication("0007", "00").parameters() == Multiplication(7, 0).parameters()


def test_numbers_beyond_what_python_reads_at_once() -> None:
    task = Multiplication("9" * 5000, "8")
    assert (task.steps, task.parameters()["a"]) == (5000, "9" * 5000)


@pytest.mark.parametrize("bad", [-3, "-3", "", "12a", "1.5", 1.5, True, None, "٣"])
def test_what_is_no_whole_number_is_refused(bad: Any) -> None:
    with pytest.raises(ValueError, match="b is a whole number of 0 or more, not .*: multiply without signs"):
        Multiplication(3, bad)


def test_each_step_is_seen_alone() -> None:
    assert Multiplication(98, 76).prompt(Multiplication(98, 76).initial_state())[-1].text.splitlines() == [
        "upper: 8",
        "lower: 6",
        "standing: 0",
        "carry: 0",
    ]
