"""Batches planned: rounds as the chain of leads has them, more lanes where there are too few."""

from __future__ import annotations

import pytest

from langgraph_maker.runs.calibration.batch_plan import few_lanes, plan_batches
from langgraph_maker.runs.calibration.planning import expected_rounds, expected_waves


def test_lanes_of_one_step_take_the_waves_of_all_steps_side_by_side() -> None:
    for steps in (1, 100, 4095):
        assert plan_batches(0.9, 3, steps, steps).rounds == pytest.approx(expected_waves(0.9, 3, steps), abs=1e-6)


def test_one_lane_takes_the_rounds_of_its_steps_one_after_another() -> None:
    assert plan_batches(0.9, 3, 50, 1).rounds == pytest.approx(50 * expected_rounds(0.9, 3), abs=1e-6)
    assert plan_batches(0.9, 3, 10_000, 1).rounds == pytest.approx(10_000 * expected_rounds(0.9, 3), rel=1e-3)


def test_what_may_not_be_enqueued_waits_and_takes_longer() -> None:
    free = plan_batches(0.99, 3, 4095, 4095, input_tokens=600)
    bound = plan_batches(0.99, 3, 4095, 4095, input_tokens=600, enqueued_limit=600_000)
    assert bound.enqueued_tokens == 600_000 < free.enqueued_tokens
    assert bound.batches > free.batches
    assert bound.seconds > free.seconds


def test_a_chain_of_a_thousand_rounds_is_warned_of() -> None:
    assert "a lane has 1,023 steps" in plan_batches(0.99, 3, 1023, 1).warning
    assert few_lanes(1023, 64) == few_lanes(None, 1) == ""
