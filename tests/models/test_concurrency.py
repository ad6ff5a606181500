"""What lowers the number of calls that may be out is given back, and nobody waits for longer than the limits allow."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from langchain_core.messages import AIMessage
from virtual import run_virtual

from langgraph_maker.core.errors import SamplingError
from langgraph_maker.core.state import Request
from langgraph_maker.models.pool import Pool

MOST, OUTAGE, TIMEOUT = 8, 100.0, 30.0


class RefusedError(Exception):
    def __init__(self, status: int, **headers: str) -> None:
        super().__init__(f"status {status}")
        self.status_code = status
        self.response = type("Response", (), {"headers": {n.replace("_", "-"): v for n, v in headers.items()}})()


async def hang() -> Exception:
    await asyncio.sleep(10**6)
    raise AssertionError("the call was not given up")


KINDS: dict[str, Callable[[], Any]] = {
    "429 without a word": lambda: RefusedError(429),
    "429, wait for a second": lambda: RefusedError(429, retry_after="1"),
    "429, wait for as long as there is": lambda: RefusedError(429, retry_after=f"{OUTAGE:.0f}"),
    "429, wait for longer than there is": lambda: RefusedError(429, retry_after="3600"),
    "429, a date far ahead": lambda: RefusedError(429, retry_after="Fri, 31 Dec 2199 23:59:59 GMT"),
    "429, in milliseconds": lambda: RefusedError(429, retry_after_ms="86400000"),
    "529": lambda: RefusedError(529),
    "500": lambda: RefusedError(500),
    "503, wait for an hour": lambda: RefusedError(503, retry_after="3600"),
    "401": lambda: RefusedError(401),
    "400": lambda: RefusedError(400),
    "no connection": ConnectionResetError,
    "no answer": hang,
    "an odd error": lambda: ValueError("odd"),
    "a bug": lambda: TypeError("bug"),
    "a failing sampler": lambda: KeyboardInterrupt,
}


class Provider:
    """Well, or failing in one way; counts the calls that are out together."""

    def __init__(self) -> None:
        self.fails: Callable[[], Any] | None = None
        self.out = self.peak = self.calls = 0

    async def __call__(self, requests: Sequence[Request]) -> list[AIMessage | Exception]:
        self.out += 1
        self.calls += 1
        self.peak = max(self.peak, self.out)
        try:
            await asyncio.sleep(0.1)
            if self.fails is None:
                return [AIMessage("A") for _ in requests]
            failure = self.fails()
            if asyncio.iscoroutine(failure):
                failure = await failure
            if failure is KeyboardInterrupt:
                raise asyncio.CancelledError
            return [failure for _ in requests]
        finally:
            self.out -= 1


async def ask(pool: Pool, calls: int) -> Exception | None:
    """What went wrong: a call that failed for good, or prompts that were refused where others are answered."""
    arrived, error = await pool.draw([Request([], 0.0, str(number), 0) for number in range(calls)])
    refused = [one.response_metadata for _, one in arrived if "red_flag" in one.response_metadata]
    return SamplingError(refused[0]) if refused else error


def make(provider: Provider) -> Pool:
    return Pool(provider, max_concurrency=MOST, call_timeout=TIMEOUT, outage_limit=OUTAGE)


class TestEveryKindOfFailureAndBack:
    @pytest.mark.parametrize("kind", KINDS)
    def test_it_ends_in_time_and_all_is_as_before(self, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
        async def walk() -> None:
            provider = Provider()
            pool, clock = make(provider), asyncio.get_running_loop().time
            assert await ask(pool, MOST) is None
            for _ in range(12):
                provider.fails, began = KINDS[kind], clock()
                assert isinstance(await ask(pool, MOST), (SamplingError, TypeError))
                assert clock() - began <= OUTAGE + 2 * TIMEOUT
                provider.fails, began = None, clock()
                assert await ask(pool, 1) is None
                assert clock() - began <= OUTAGE + TIMEOUT
            assert await ask(pool, 20 * MOST) is None
            await asyncio.sleep(61)
            assert await ask(pool, 4 * MOST) is None
            provider.peak = 0
            assert await ask(pool, 4 * MOST) is None
            limiter = pool._limiter()
            assert (provider.peak, limiter.limit, limiter.active, len(limiter.queue)) == (MOST, MOST, 0, 0)

        run_virtual(walk(), monkeypatch)

    def test_all_kinds_one_after_another_on_one_pool(self, monkeypatch: pytest.MonkeyPatch) -> None:
        async def walk() -> None:
            provider = Provider()
            pool = make(provider)
            for fails in KINDS.values():
                provider.fails = fails
                assert await ask(pool, 3 * MOST) is not None
                provider.fails = None
                assert await ask(pool, 3 * MOST) is None
            limiter = pool._limiter()
            assert (limiter.active, len(limiter.queue)) == (0, 0)

        run_virtual(walk(), monkeypatch)


@pytest.mark.parametrize("moment", [0.0, 0.05, 0.15, 1.0, 5.0, 50.0, 99.0])
def test_calls_given_up_at_any_moment_leave_their_place(moment: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """While they wait in the queue, for the provider, or for the time that it asked for."""

    async def walk() -> None:
        provider = Provider()
        pool = make(provider)
        for kind, fails in KINDS.items():
            provider.fails = fails
            asking = asyncio.ensure_future(ask(pool, 3 * MOST))
            await asyncio.sleep(moment)
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)
            limiter = pool._limiter()
            assert (kind, limiter.active, provider.out) == (kind, 0, 0)
            provider.fails = None
            assert await ask(pool, 3 * MOST) is None

    run_virtual(walk(), monkeypatch)


def test_a_wait_that_is_asked_for_holds_all_calls_and_counts_as_their_outage(monkeypatch: pytest.MonkeyPatch) -> None:
    async def walk() -> float:
        provider = Provider()
        pool, clock = make(provider), asyncio.get_running_loop().time
        provider.fails = lambda: RefusedError(429, retry_after="90")
        first = asyncio.ensure_future(ask(pool, 4 * MOST))
        await asyncio.sleep(10)
        began, calls = clock(), provider.calls
        other = asyncio.ensure_future(ask(pool, 1))
        await asyncio.sleep(70)
        assert provider.calls == calls
        assert await other is not None
        took = clock() - began
        await first
        return took

    assert 80 <= run_virtual(walk(), monkeypatch) <= OUTAGE + 1
