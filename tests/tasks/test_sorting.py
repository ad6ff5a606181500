from __future__ import annotations

from typing import Any

import pytest
from domains import end_of, is_right
from hypothesis import given, settings
from hypothesis import strategies as st

from langgraph_maker import solve
from langgraph_maker.tasks import Sorting


@pytest.mark.parametrize(
    "numbers", [[2, 1], [1, 1], [0, -1, 1, -1], [7] * 9, list(range(17, 0, -1)), [-(2**63), 2**63 - 1, 0]]
)
def test_equal_negative_and_extreme_numbers(numbers: list[int]) -> None:
    run = solve(Sorting(numbers), "sim:error=0.01", k=3)
    assert run.final_state["runs"] == [sorted(numbers)]


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(-99, 99), min_size=2, max_size=40))
def test_any_list(numbers: list[int]) -> None:
    task = Sorting(numbers)
    assert end_of(task)["runs"] == [sorted(numbers)]


def test_of_two_equal_numbers_the_left_one_is_the_only_right_one() -> None:
    task = Sorting([5, 5])
    state = task.initial_state()
    assert task.oracle(state) == {"action": "left", "next_state": 5}
    assert {"action": "right", "next_state": 5} in task.wrong_votes(state)


@pytest.mark.parametrize("empty", [[], [5], "21", 7, None])
def test_what_is_nothing_to_sort_is_refused(empty: Any) -> None:
    with pytest.raises(ValueError, match="there is nothing to sort in .*: give a list of at least two numbers"):
        Sorting(empty)


@pytest.mark.parametrize("bad", [1.5, "3", True, None, 2**63])
def test_what_is_no_number_is_named_with_its_place(bad: Any) -> None:
    with pytest.raises(ValueError, match="number 1 of the list is .*, and should be a whole number of 64 bits"):
        Sorting([0, bad])


def test_the_number_that_the_model_wrote_is_handed_on() -> None:
    task = Sorting([3, 1, 2])
    state = task.advance(task.initial_state(), {"action": "right", "next_state": 11})
    assert state == {"runs": [[2], [11, 3]], "merged": []}


@pytest.mark.parametrize(
    ("take", "number", "flagged"),
    [("left", 3, False), ("right", 1, False), ("left", 1, True), ("right", 3, True), ("left", 4, True)],
)
def test_a_number_that_is_not_on_the_side_taken_is_a_flag(take: str, number: int, flagged: bool) -> None:
    task = Sorting([3, 1, 2])
    flag = task.validate(task.initial_state(), {"action": take, "next_state": number})
    assert (flag and flag.reason) == ("contradiction" if flagged else None)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(20))
def test_500_numbers(seed: int) -> None:
    task = Sorting.random(500, seed=seed)
    run = solve(task, f"sim:error=0.05,flag=0.05,seed={seed}", k=5)
    assert run.status == "solved"
    assert is_right(task, run.final_state)
    assert run.steps < (task.steps or 0)
