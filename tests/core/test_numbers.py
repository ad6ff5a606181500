"""Numbers that users give."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from langgraph_maker.core.numbers import check_number, check_whole


@pytest.mark.parametrize("value", [1, np.int64(7), 10**30])
def test_whole_numbers(value: Any) -> None:
    found = check_whole("lanes", value)
    assert (found, type(found)) == (value, int)


@pytest.mark.parametrize("value", [0, -1, 1.0, True, "3", None, [1]])
def test_what_is_no_whole_number_of_at_least_one(value: Any) -> None:
    with pytest.raises(ValueError, match="lanes is a whole number of at least 1, not "):
        check_whole("lanes", value)


def test_bounds_and_hints_are_named() -> None:
    with pytest.raises(ValueError, match="hedge is a whole number from 0 to 100, or None, not 101"):
        check_whole("hedge", 101, 0, 100, ", or None")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -1.0, True, "5", None, 10**400 * -1])
def test_what_is_no_number_that_fits(value: Any) -> None:
    with pytest.raises(ValueError, match="max_cost is a number of dollars, not "):
        check_number("max_cost", value, "a number of dollars", lambda dollars: dollars >= 0)


def test_a_number_that_fits_is_itself() -> None:
    assert check_number("max_cost", 5, "a number", lambda dollars: dollars > 0) == 5
