"""Plans against the paper's rows, ballots drawn a round at a time, and budgets counted out; models ranked."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from statistics import NormalDist

import numpy as np
import pytest
from numpy.typing import NDArray
from scripted import Counting, Scripted, right, script

from langgraph_maker import Calibration, calibrate, theory
from langgraph_maker.core.errors import SamplingError
from langgraph_maker.core.red_flags import TokenLimit, Truncated
from langgraph_maker.models.prices import Price
from langgraph_maker.runs.calibration.comparison import compare, ranked, sentences
from langgraph_maker.runs.calibration.planning import expected_rounds, expected_seconds, expected_waves, plan
from langgraph_maker.tasks import TowersOfHanoi

MILLION = 2**20 - 1
Z = NormalDist().inv_cdf(0.9995)

# 1 - p, k_min, dollars per million output and input tokens, output tokens, projected dollars, as published
PAPER = {
    "gpt-4.1-nano": (0.3571, 29, 0.4, 0.1, 842, 41_900),
    "gpt-4.1-mini": (0.0022, 3, 1.6, 0.4, 538, 3_500),
    "o3-mini": (0.0018, 3, 4.4, 1.1, 535, 9_400),
    "haiku-4.5": (0.1839, 12, 5.0, 1.0, 588, 71_200),
    "gpt-oss-20b": (0.0358, 6, 0.2, 0.05, 1104, 1_700),
}


def calibrated(model: str) -> Calibration:
    """As the paper calibrated, with room for long answers."""
    return calibrate(TowersOfHanoi(10), f"sim:{model}", steps=MILLION, red_flags=TokenLimit(2048) | Truncated())


# the paper's table


@pytest.mark.parametrize("model", PAPER)
def test_a_plan_reproduces_the_paper_s_rows(model: str) -> None:
    error, k, out_price, in_price, tokens, dollars = PAPER[model]
    planned = plan(1 - error, MILLION, cost_per_sample=(out_price * tokens + in_price * 600) / 1e6)
    assert planned.k == k
    assert planned.choice.cost == pytest.approx(dollars, rel=0.02)


def test_models_are_ranked_by_the_cost_of_the_whole_task() -> None:
    names = ["gpt-4.1-nano", "o3-mini", "gpt-4.1-mini", "haiku-4.5", "gpt-oss-20b", "llama-3.2-3b"]
    found = ranked([calibrated(name) for name in names])
    order = [row.model.removeprefix("sim:") for row in found.rows]
    assert order == ["gpt-oss-20b", "gpt-4.1-mini", "o3-mini", "gpt-4.1-nano", "haiku-4.5", "llama-3.2-3b"]
    costs = [row.cost for row in found.rows[:-1]]
    assert costs == sorted(cost for cost in costs if cost is not None)
    for row in found.rows[:-1]:
        error, k, *_, tokens, dollars = PAPER[row.model.removeprefix("sim:")]
        assert row.error_low <= error <= row.error_high
        assert row.k_min is not None
        assert theory.k_min(1 - row.error_low, MILLION) <= k <= row.k_min
        assert row.tokens == pytest.approx(tokens, rel=0.03)
        assert row.cost is not None
        assert row.price is not None
        sample = (row.price.input * 600 + row.price.output * row.tokens) / 1e6
        best = 1 - row.error_low
        least = theory.expected_cost(best, theory.k_min(best, MILLION), MILLION, sample)
        assert 0.98 * least <= dollars <= 1.02 * row.cost
    # nano has the least c/p, and needs a k that makes it dear
    assert found.sentences[0].startswith(
        "by c/p, the paper's rule, the order would be sim:gpt-oss-20b, sim:gpt-4.1-nano"
    )
    assert found.sentences[1].startswith("sim:llama-3.2-3b cannot be used: p is at most 0.004")
    assert found.rows[-1].cost is found.rows[-1].k_min is None


def test_compare_calibrates_each_model_for_the_longer_task() -> None:
    options = {"sim:error=0.01": Price(1.0, 1.0)}
    found = compare(
        TowersOfHanoi(8), ["sim:error=0.2", "sim:flag=1", "sim:error=0.01"], for_steps=MILLION, prices=options
    )
    assert [row.model for row in found.rows] == ["sim:error=0.01", "sim:error=0.2", "sim:flag=1"]
    assert {one.steps for one in found.calibrations} == {MILLION}
    assert [row.cost is None for row in found.rows] == [False, True, True]
    assert any("sim:flag=1 cannot be used: all of 255 samples were flagged" in said for said in found.sentences)
    assert any("the cost is not known for sim:error=0.2:" in said for said in found.sentences)


def test_a_model_that_fails_leaves_the_others_their_rows_and_prices_are_asked_for_first() -> None:
    good, bad = Scripted(right), script(PermissionError("no"))
    found = compare(Counting(40), {"good": good, "bad": bad})
    assert [row.model for row in found.rows] == ["good"]
    assert list(found.failed) == ["bad"]
    assert any(said.startswith("bad has no row, since it failed: the model refused") for said in found.sentences)
    with pytest.raises(SamplingError, match="the model refused"):
        compare(Counting(40), {"bad": bad, "worse": bad})
    drawn = good.drawn
    with pytest.raises(ValueError, match="max_cost needs to know what bad costs"):
        compare(Counting(40), {"good": good, "bad": bad}, prices={"good": Price(1.0, 1.0)}, max_cost=1.0)
    assert good.drawn == drawn


def test_what_cannot_be_ranked_is_refused() -> None:
    found = calibrate(TowersOfHanoi(5), "sim:error=0.01")
    with pytest.raises(ValueError, match="no model to compare"):
        compare(TowersOfHanoi(5), [])
    with pytest.raises(ValueError, match="not for the same number of steps"):
        ranked([found, replace(found, steps=32)])


# rounds


def rounds(p: float, k: int, valid: float, first: float, ballots: int, seed: int) -> NDArray[np.int64]:
    """The rounds of each ballot, drawn as `sample` draws them: k - lead at a time, the very first at its own p."""
    rng = np.random.default_rng(seed)
    lead, taken = np.zeros(ballots, dtype=np.int64), np.zeros(ballots, dtype=np.int64)
    while np.any(going := np.abs(lead) < k):
        draws = k - np.abs(lead)
        for sample in range(k):
            drawn = going & (sample < draws) & (rng.random(ballots) < valid)
            own = np.where((taken == 0) & (sample == 0), first, p)
            lead = lead + np.where(drawn, np.where(rng.random(ballots) < own, 1, -1), 0)
        taken = taken + going
    return taken


@pytest.mark.parametrize(
    ("p", "k", "valid", "first"),
    [(0.9, 3, 1.0, 0.9), (0.7, 4, 0.8, 0.7), (0.6, 1, 0.5, 0.6), (0.8, 2, 0.9, 0.3), (0.99, 5, 0.97, 1.0)],
)
def test_rounds_and_waves_are_those_of_ballots_drawn_round_by_round(
    p: float, k: int, valid: float, first: float
) -> None:
    taken = rounds(p, k, valid, first, 200_000, seed=1)
    mean = expected_rounds(p, k, valid_rate=valid, p_first=first)
    assert abs(taken.mean() - mean) <= Z * taken.std() / math.sqrt(taken.size) + 1e-12
    slowest = taken.reshape(-1, 100).max(axis=1)
    waves = expected_waves(p, k, 100, valid_rate=valid, p_first=first)
    assert abs(slowest.mean() - waves) <= Z * slowest.std() / math.sqrt(slowest.size) + 1e-12


def test_waves_grow_with_the_logarithm_of_the_steps() -> None:
    waves = [expected_waves(0.9, 8, 10**n) for n in range(3, 10)]
    growth = np.diff(waves)
    assert (growth > 0).all()
    assert growth.max() < 3
    assert expected_waves(1, 5, MILLION) == 1


# plans


def test_neighbours_of_k_are_shown_and_the_target_lies_between_them() -> None:
    planned = plan(0.95, MILLION)
    assert [choice.k for choice in planned.choices] == [planned.k - 1, planned.k, planned.k + 1]
    below, chosen, above = planned.choices
    assert below.p_full < 0.95 <= chosen.p_full < above.p_full
    assert below.samples < chosen.samples < above.samples
    assert chosen.k == 6
    assert chosen.cost is None
    assert any("costs are unknown" in note for note in planned.notes)
    assert any("if errors are independent and equally likely at every step" in note for note in planned.notes)
    assert [choice.k for choice in plan(1.0, 10).choices] == [1, 2]


@pytest.mark.parametrize("budget", [0.5, 3.0, 10.0, 1000.0])
def test_a_budget_buys_what_it_pays_for_and_not_more(budget: float) -> None:
    p, v, c = 0.9, 0.8, 0.001
    planned = plan(p, 500, valid_rate=v, cost_per_sample=c, budget=budget)

    def cost(k: int, steps: int) -> float:
        return theory.expected_cost(p, k, steps, c, v)

    k, steps = planned.k_for_budget, planned.largest_steps
    assert k is not None
    assert steps is not None
    assert k in {0, 1000} or cost(k, 500) <= budget
    assert k == 1000 or cost(k + 1, 500) > budget
    assert cost(theory.k_min(p, steps), steps) <= budget < cost(theory.k_min(p, steps + 1), steps + 1)


def test_a_plan_from_a_calibration_takes_k_from_the_bounds_and_costs_from_the_estimates() -> None:
    found = Calibration.from_json(calibrated("gpt-4.1-mini").to_json())
    planned = plan(found)
    assert planned.steps == MILLION
    assert planned.k == found.k_min
    assert planned.choice.samples == pytest.approx(found.expected_samples)
    assert planned.choice.cost == pytest.approx(found.expected_cost)
    assert planned.choice.p_full == found.p_full
    assert plan(found, 1023).k < planned.k


@pytest.mark.parametrize(("p", "first", "v", "k"), [(0.65, 0.99, 0.5, 3), (0.8, 0.3, 0.7, 2)])
def test_a_flagged_first_sample_is_drawn_again_like_all_others(p: float, first: float, v: float, k: int) -> None:
    """Against 200,000 ballots drawn one sample at a time, within 4 standard errors."""
    [choice] = [one for one in plan(p, 1, 0.87, p_first=first, valid_rate=v).choices if one.k == k]
    rng = np.random.default_rng(7)
    lead, samples = np.zeros(200_000, dtype=np.int64), np.zeros(200_000, dtype=np.int64)
    while np.any(going := np.abs(lead) < k):
        up = rng.random(lead.size) < np.where(samples == 0, first, p)
        lead += np.where(going & (rng.random(lead.size) < v), np.where(up, 1, -1), 0)
        samples += going
    error = 4 / math.sqrt(lead.size)
    assert abs((lead > 0).mean() - choice.p_full) < error * (lead > 0).std()
    assert abs(samples.mean() - choice.samples) < error * samples.std()


def test_margins_too_wide_to_solve_have_no_rounds() -> None:
    planned = plan(0.501, 1000)
    assert planned.k > 1000
    assert planned.choice.rounds is planned.choice.waves is None
    assert any("k is above 1,000, the most that a ballot takes" in note for note in planned.notes)


def test_what_cannot_be_planned_is_refused() -> None:
    unusable = calibrate(Counting(50), script("0"), samples=5)
    refused: list[tuple[Callable[[], object], str]] = [
        (lambda: plan(0.4, 10), "voting cannot help at p = 0.4"),
        (lambda: plan(0.9), "steps is missing"),
        (lambda: plan(0.9, 10, budget=1.0), "a budget needs a cost"),
        (lambda: plan(0.9, 10, cost_per_sample=1.0, budget=-1.0), "budget is a number of dollars"),
        (lambda: plan(0.9, 10, valid_rate=0.0), "valid_rate is above 0"),
        (lambda: plan(0.9, 10, 1.0), "target is above 0 and below 1"),
        (lambda: plan(unusable), "no k can be recommended"),
        (lambda: plan(unusable, valid_rate=0.5), "a calibration says what p_first, valid_rate and cost_per_sample"),
    ]
    for call, message in refused:
        with pytest.raises(ValueError, match=message):
            call()


# words


def test_a_calibration_in_sentences_says_what_its_figures_rest_on() -> None:
    said = "\n".join(sentences(calibrated("gpt-4.1-mini")))
    for part in (
        "if errors are independent and equally likely at every step, and if there is no step that no k can save",
        "Such steps: at most",
        "steps sampled twice",
        "Flagged as bad_state",
        "the model is simulated",
    ):
        assert part in said
    unusable = "\n".join(sentences(calibrate(Counting(40), script("flag"), samples=5)))
    assert "It cannot be used as it is: all of 1 samples were flagged, most often as asked_for" in unusable


@pytest.mark.parametrize(("p", "k", "v", "spread"), [(0.95, 3, 1.0, 1.0), (0.7, 4, 0.8, 1.0), (0.99, 1, 0.9, 0.3)])
def test_seconds_are_those_of_rounds_that_wait_for_their_slowest_call(
    p: float, k: int, v: float, spread: float
) -> None:
    """Within 4 standard errors of 20,000 simulated steps."""
    rng = np.random.default_rng(3)
    took = []
    for _ in range(20_000):
        lead, seconds = 0, 0.0
        while abs(lead) < k:
            drawn = k - abs(lead)
            seconds += 0.2 * np.exp(spread * rng.standard_normal(drawn)).max()
            valid = rng.random(drawn) < v
            lead += int(np.where(rng.random(drawn) < p, 1, -1)[valid].sum())
        took.append(seconds)
    error = np.std(took) / np.sqrt(len(took))
    assert abs(np.mean(took) - expected_seconds(p, k, 0.2, spread=spread, valid_rate=v)) < 4 * error


@pytest.mark.parametrize(("latency", "spread"), [(-1.0, 1.0), (float("nan"), 1.0), (1.0, -0.1), (1.0, 9.0)])
def test_latencies_that_are_none(latency: float, spread: float) -> None:
    with pytest.raises(ValueError, match="a latency is seconds, at least 0"):
        expected_seconds(0.9, 3, latency, spread=spread)
