"""Which request meets which fault, and how rates are limited. Intervals are 99.9 % binomial."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from langgraph_maker.simulation.server.faults import KINDS, Faults, TokenBucket


def kinds(faults: Faults, numbers: range, seconds: float = 0.0, draw: float = 0.999) -> list[str | None]:
    return [faults.meets(number=number, seconds=seconds, draw=draw) for number in numbers]


def test_no_faults_are_none() -> None:
    assert kinds(Faults(), range(1, 4), draw=0.0) == [None] * 3


def test_rates_are_the_shares_of_requests() -> None:
    rates = {"429": 0.1, "500": 0.05, "reset": 0.03, "truncated": 0.03, "timeout": 0.02}
    faults, total = Faults(rates=rates), 50_000
    draws = np.random.default_rng(1).random(total)
    met = Counter(faults.meets(number=number, seconds=0.0, draw=draw) for number, draw in enumerate(draws, start=1))
    assert set(met) == {*rates, None}
    for kind, rate in rates.items():
        assert abs(met[kind] / total - rate) <= 3.29 * math.sqrt(rate * (1 - rate) / total)


def test_numbers_include_first_and_last() -> None:
    assert kinds(Faults.parse("500@2-3,null@5"), range(1, 7)) == [None, "500", "500", None, "null", None]


@pytest.mark.parametrize(("seconds", "met"), [(4.99, None), (5.0, "timeout"), (24.99, "timeout"), (25.0, None)])
def test_times_include_their_begin_alone(seconds: float, met: str | None) -> None:
    assert kinds(Faults.parse("timeout@5+20"), range(1, 2), seconds) == [met]


def test_an_outage_is_503_and_reset_in_turn() -> None:
    assert kinds(Faults.parse("outage@0+1"), range(1, 5)) == ["503", "reset", "503", "reset"]


def test_time_goes_before_number_and_number_before_rate() -> None:
    faults = Faults.parse("500=1,502@1-2,503@0+1")
    assert kinds(faults, range(1, 4)) == ["503"] * 3
    assert kinds(faults, range(1, 4), seconds=1.0) == ["502", "502", "500"]


@given(st.sampled_from(KINDS), st.integers(0, 1000), st.integers(1, 99), st.integers(0, 99))
def test_what_is_written_is_what_is_read(kind: str, per_mille: int, first: int, more: int) -> None:
    spec = f"{kind}={per_mille / 1000}", f"{kind}@{first}-{first + more}", f" {kind}@.5+{more + 1},retry_after=2.5"
    assert Faults.parse(*spec) == Faults(
        rates={kind: per_mille / 1000},
        numbers=((kind, first, first + more),),
        times=((kind, 0.5, float(more + 1)),),
        retry_after=2.5,
    )


@pytest.mark.parametrize(
    ("spec", "why"),
    [
        ("500", "'500' is no fault: write KIND=RATE"),
        ("500=", "write KIND=RATE"),
        ("500=nan", "write KIND=RATE"),
        ("500=-1", "write KIND=RATE"),
        ("500@5-", "write KIND=RATE"),
        ("outage@5+", "write KIND=RATE"),
        ("508=0.1", "no fault is called '508': known are 400, 401"),
        ("500=10", "500=10 is out of range: rates go from 0 to 1"),
        ("500@0-3", "500@0-3 is out of range: .* requests count from 1"),
        ("500@4-3", "500@4-3 is out of range"),
        ("500@4+0", "500@4[+]0 is out of range: .* times begin at 0 s or later and last"),
        ("500=0.6,429=0.6", "the rates add up to 1.2: lower them"),
        ("500=0.1,500=0.2", "the rate of 500 is given twice"),
    ],
)
def test_what_cannot_be_is_refused_with_what_to_do(spec: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        Faults.parse(spec)


@pytest.mark.parametrize("wait", [-1.0, math.nan, math.inf])
def test_a_wait_is_a_number_of_seconds(wait: float) -> None:
    with pytest.raises(ValueError, match="retry_after"):
        Faults(retry_after=wait)


class TestTokenBucket:
    def test_who_waits_as_told_is_let_in(self) -> None:
        bucket, now = TokenBucket(rate=3), 100.0
        for _ in range(50):
            wait = bucket.take(now)
            assert wait <= 1 / 3 + 1e-9
            now += wait
            assert wait == 0 or bucket.take(now) == 0

    @given(st.floats(0.1, 50), st.lists(st.floats(0, 2), min_size=1, max_size=60))
    def test_never_more_than_the_rate_and_one_pause_worth(self, rate: float, gaps: list[float]) -> None:
        bucket = TokenBucket(rate)
        now = taken = 0.0
        for gap in gaps:
            now += gap
            taken += bucket.take(now) == 0
        assert taken <= max(1.0, rate) + rate * now + 1e-6

    def test_a_pause_saves_up_no_more_than_a_second_s_worth(self) -> None:
        bucket = TokenBucket(rate=2)
        assert [bucket.take(1000.0) == 0 for _ in range(3)] == [True, True, False]
