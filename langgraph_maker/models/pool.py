"""Calls in flight, kept from one superstep to the next, so that a slow answer delays its own ballot only."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from inspect import isawaitable
from itertools import groupby
from time import monotonic
from typing import Any, Final
from uuid import uuid4
from weakref import WeakKeyDictionary, WeakSet

from langchain_core.messages import AIMessage

from langgraph_maker.core.errors import SamplingError
from langgraph_maker.core.foreign import bounded_text, terminal_safe
from langgraph_maker.core.numbers import check_number, check_whole
from langgraph_maker.core.reasons import Stop
from langgraph_maker.core.red_flags import RedFlag
from langgraph_maker.core.state import Request, Sampler
from langgraph_maker.models.concurrency import Limiter
from langgraph_maker.models.error_reading import reason
from langgraph_maker.models.failures import Failure, failure
from langgraph_maker.models.in_flight import Arrival, InFlight
from langgraph_maker.models.responses import flagged
from langgraph_maker.models.retry import RetryState

__all__ = ["Arrival", "Pool", "aabandon", "abandon", "misuse", "timed_out"]

logger = logging.getLogger(__name__)


class Pool:
    """The calls that one sampler has in flight, for any number of owners (runs, or votes).

    It belongs to a process: what is in flight is in no state, and is issued again after a restart.

    Args:
        sampler: Whom to call.
        max_concurrency: Calls at a time, over all owners; None for no bound. Fewer while the provider says that
            there are too many.
        call_timeout: Seconds after which a call is given up and retried; None for what the sampler says, or 600.
        outage_limit: Seconds for which a failing call is retried.

    Raises:
        ValueError: For an invalid bound or a time.
    """

    def __init__(
        self,
        sampler: Sampler,
        *,
        max_concurrency: int | None = None,
        call_timeout: float | None = None,
        outage_limit: float = 600.0,
    ) -> None:
        if call_timeout is None:
            call_timeout = getattr(sampler, "call_timeout", _CALL_TIMEOUT)
        for name, value in (("call_timeout", call_timeout), ("outage_limit", outage_limit)):
            if value is not None or name != "call_timeout":
                check_number(name, value, "a number of seconds", lambda seconds: seconds >= 0)
        if call_timeout == 0:
            raise ValueError("call_timeout is above 0, or no call could be answered in time")
        if max_concurrency is None:
            max_concurrency = getattr(sampler, "max_concurrency", None)
        else:
            check_whole("max_concurrency", max_concurrency, hint=", or None")
        self.sampler = sampler
        self.max_concurrency = max_concurrency
        self.call_timeout, self.outage_limit = call_timeout, outage_limit
        self.answered, self.reached = 0, False
        self.takes: set[int] = set()  # models, by number, that have answered a prompt
        self._unsaid, self._quiet_until = 0, 0.0
        self._flights: dict[str, InFlight] = {}
        _pools.add(self)
        self._limiters: WeakKeyDictionary[asyncio.AbstractEventLoop, Limiter] = WeakKeyDictionary()

    def issued(self, owner: str, subtask_id: str) -> frozenset[int]:
        """Return the samples of a ballot that are in flight, or have arrived and were not collected."""
        flight = self._flights.get(owner)
        return frozenset(flight.issued.get(subtask_id, ())) if flight else frozenset()

    def waiting(self, owner: str) -> AbstractSet[str]:
        """Return the ballots that wait for more to arrive before they are worth a count."""
        return self._flights[owner].needed.keys() if owner in self._flights else frozenset()

    def __contains__(self, owner: str) -> bool:
        """Return whether `owner` has calls in flight, or may have arrivals to collect."""
        return owner in self._flights

    def in_flight(self, owner: str) -> int:
        """Return how many calls of `owner` are in flight."""
        return len(flight.tasks) if (flight := self._flights.get(owner)) else 0

    def take_timeouts(self, owner: str, subtask_id: str) -> int:
        """Return how many samples of a ballot timed out and were drawn again, since this was last asked."""
        flight = self._flights.get(owner)
        return flight.timeouts.pop(subtask_id, 0) if flight else 0

    async def collect(
        self,
        owner: str,
        groups: Iterable[Sequence[Request]],
        *,
        wanted: AbstractSet[str],
        needed: Mapping[str, int],
        enough: int = 1,
        draining: bool = False,
        stop: Stop = lambda: False,
    ) -> list[Arrival]:
        """Issue calls, one a group, and return what has arrived for ballots as soon as `enough` of them are ready.

        It returns earlier when a pause comes in their stream, and when nothing is in flight any more. When
        `draining`, once `stop` says True, or after a call has failed for good, nothing is issued, calls that wait for
        another attempt are given up, and all others are waited for.

        Args:
            owner: Whose calls these are.
            groups: The samples to issue, those that go into one call together.
            wanted: The ballots whose calls continue; those of others are cancelled.
            needed: For ballots that were counted since, how many arrivals make them ready: worth a count.
            enough: How many ballots must be ready.
            draining: See above.
            stop: Asked several times a second while nothing comes.

        Raises:
            SamplingError: When a call has failed for good, and all that arrived beside it was collected before.
        """
        flight = await self._boarded(owner)
        try:
            await flight.state_dict(wanted)
            flight.need(needed)
            if draining:
                flight.drain(stopped=bool(stop()))
            if not (flight.failed or flight.draining):
                for group in groups:
                    flight.issue(group, self._make(flight, list(group)))
            away = flight.loop.time() - flight.left if flight.left else 0.0
            await flight.news(enough, stop, lull=max(self._limiter().latency / 32, away / 2))
        except BaseException:
            await self.aclose(owner)
            raise
        if flight.failed and not flight.arrived:
            await self.aclose(owner)
            raise flight.failed
        arrived, flight.left = flight.take(), flight.loop.time()
        if flight.tasks:
            flight.timer = flight.loop.call_later(_ORPHANED, flight.land)
        return arrived

    async def draw(
        self, requests: Sequence[Request], *, stop: Stop = lambda: False
    ) -> tuple[list[Arrival], Exception | None]:
        """Issue all of these and wait for them; samples of one ballot that stand side by side may share a call.

        Returns:
            What arrived, and what made a call fail for good, if one did. Once `stop` says True nothing is retried.
        """
        owner, wanted = uuid4().hex, {request.subtask_id for request in requests}
        split = getattr(self.sampler, "split", lambda group: [group])
        ballots = [list(group) for _, group in groupby(requests, key=lambda one: one.subtask_id)]
        at_once = getattr(self.sampler, "never_waits", False)
        groups = [requests] if at_once else [call for ballot in ballots for call in split(ballot)]
        arrived: list[Arrival] = []
        needed = Counter(request.subtask_id for request in requests)
        try:
            while len(arrived) < len(requests):
                more = await self.collect(owner, groups, wanted=wanted, needed=needed, enough=len(wanted), stop=stop)
                if not more:
                    break
                arrived, groups, needed = arrived + more, [], Counter()
        except Exception as error:  # noqa: BLE001 - raised by the caller, once what arrived is kept
            return arrived, error
        finally:
            await self.aclose(owner)
        return arrived, None

    async def release(self) -> None:
        """Close the sampler's connections on this event loop, unless somebody has calls in flight."""
        if not self._flights and (aclose := getattr(self.sampler, "aclose", None)) is not None:
            await aclose()

    async def aclose(self, owner: str) -> None:
        """Cancel what `owner` has in flight, and wait until it is gone."""
        if (flight := self._flights.pop(owner, None)) is None:
            return
        if flight.loop is asyncio.get_running_loop():
            await flight.end()
        elif flight.loop.is_running():
            await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(flight.end(), flight.loop))

    def close(self, owner: str) -> None:
        """Do what `aclose` does, for synchronous code; not for the thread of the event loop itself."""
        flight = self._flights.pop(owner, None)
        if flight is not None and flight.loop.is_running():
            asyncio.run_coroutine_threadsafe(flight.end(), flight.loop).result()

    async def _boarded(self, owner: str) -> InFlight:
        flight = self._flights.get(owner)
        if flight is None or flight.loop is not asyncio.get_running_loop() or flight.emptied():
            await self.aclose(owner)
            flight = self._flights[owner] = InFlight(getattr(self.sampler, "drain", None))
        if flight.timer is not None:
            flight.timer.cancel()
        return flight

    def _limiter(self) -> Limiter:
        loop = asyncio.get_running_loop()
        if (limiter := self._limiters.get(loop)) is None:
            limiter = self._limiters[loop] = Limiter(
                self.max_concurrency, untried=not self.takes and getattr(self.sampler, "may_be_refused", False)
            )
        return limiter

    async def _make(self, flight: InFlight, requests: list[Request]) -> None:
        """Make one call until all of its samples are there."""
        limiter, patience = self._limiter(), RetryState(self.outage_limit)
        if limiter.hold:  # what others are asked to wait is part of this call's outage
            patience.began = monotonic()
        while requests:
            async with limiter:
                flight.paid.add(task := asyncio.current_task())
                began = flight.loop.time()
                responses = await self._attempt(requests)
                flight.paid.discard(task)
            failed = self._arrived(flight, requests, responses)
            if not failed:
                limiter.went_well(flight.loop.time() - began)
                return
            error = failed[0][1]
            problem = failure(error)
            self.reached = self.reached or problem.reached
            alive = self.answered or self.reached  # else it is more likely a wrong address than an outage
            patience.outage_limit = self.outage_limit if alive else min(self.outage_limit, _FIRST_ANSWER)
            limiter.went_wrong(problem, began, longest=patience.outage_limit)
            if problem.of_prompt and await flight.is_of_the_prompt(requests[0], taken=requests[0].model in self.takes):
                for request, each in failed:
                    flight.arrive(request, flagged(RedFlag("refusal", reason(each)), each))
                return
            pause = None if isinstance(error, _MisuseError) else patience.pause(problem)
            if pause is None:
                flight.fail(self._gave_up(error, problem, patience))
            if pause is None or flight.draining:
                return
            self._warn(error, pause)
            for request, each in failed:
                if timed_out(each):
                    flight.timeouts[request.subtask_id] = flight.timeouts.get(request.subtask_id, 0) + 1
            requests = [request for request, _ in failed]
            await asyncio.sleep(pause)

    def _arrived(
        self, flight: InFlight, requests: Sequence[Request], responses: Sequence[AIMessage | Exception]
    ) -> list[tuple[Request, Exception]]:
        """Count what arrived, an error that flags its sample included; return what failed."""
        failed: list[tuple[Request, Exception]] = []
        for request, response in zip(requests, responses, strict=True):
            refused = False
            if not isinstance(response, Exception):
                arrived = response
            elif flag := failure(response).flag:
                arrived, refused = flagged(flag, response), flag.reason == "refusal"
            else:
                failed.append((request, response))
                continue
            self.answered += 1
            if not refused:
                self.takes.add(request.model)
                flight.was_taken(request)
            flight.arrive(request, arrived)
        return failed

    def _warn(self, error: Exception, pause: float) -> None:
        """Say that calls fail, though not each of a thousand."""
        self._unsaid += 1
        if monotonic() > self._quiet_until:
            logger.warning(
                "%d model call%s failed and %s retried, the last in %.1f s: %s",
                self._unsaid,
                *(("", "is") if self._unsaid == 1 else ("s", "are")),
                pause,
                _told(error),
            )
            self._unsaid, self._quiet_until = 0, monotonic() + _QUIET

    async def _attempt(self, requests: list[Request]) -> Sequence[AIMessage | Exception]:
        try:
            async with asyncio.timeout(self.call_timeout):
                responses = await _awaitable(self.sampler(requests))
        except TimeoutError as error:
            return [error if str(error) else TimeoutError(f"no answer within {self.call_timeout:g} s")] * len(requests)
        except _BUGS:
            raise  # of a sampler of the user's own, as what a model's call fails with is returned: it ends the vote
        except Exception as error:  # noqa: BLE001 - whatever it is, it failed these calls
            return [error] * len(requests)
        except BaseException as error:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise  # it is this call that is not wanted any more
            return [_MisuseError(f"the sampler raised {type(error).__name__}")] * len(requests)
        if (wrong := misuse(requests, responses)) is not None:
            return [_MisuseError(wrong)] * len(requests)
        return responses

    def _gave_up(self, error: Exception, problem: Failure, patience: RetryState) -> Exception:
        if isinstance(error, _MisuseError):
            return TypeError(str(error))
        if problem.kind == "permanent":
            refused = problem.reached or isinstance(error, PermissionError)
            told = SamplingError(f"{'the model refused' if refused else 'a model call failed'}: {_told(error)}")
        else:
            tries = f"{patience.failures} times" if patience.failures > 1 else "once"
            asked = f"; it asks to wait {problem.wait:,.0f} s" if problem.wait else ""
            lost = "" if self.answered or self.reached else "; nothing ever answered: check the address and the network"
            told = SamplingError(f"a model call failed {tries}, the last time with {_told(error)}{asked}{lost}")
        told.__cause__ = error
        return told


def timed_out(error: Exception) -> bool:
    """Return whether a call failed because it took too long, in whosever words."""
    return isinstance(error, TimeoutError) or "timeout" in type(error).__name__.lower()


def misuse(requests: Sequence[Request], responses: Any) -> str | None:
    """Return what is wrong with the responses that a sampler gave, if anything is."""
    if not isinstance(responses, Sequence) or isinstance(responses, str):
        return f"the sampler gave {type(responses).__name__}, where a list of responses was due"
    if len(responses) != len(requests):
        return f"the sampler gave {len(responses)} responses to {len(requests)} requests"
    odd = next((one for one in responses if not isinstance(one, (AIMessage, Exception))), None)
    if odd is None and None not in responses:
        return None
    return f"the sampler gave {type(odd).__name__}, where an AIMessage or an exception was due"


def abandon(owner: str) -> None:
    """Cancel what a run has in flight in any pool: for synchronous code whose run has ended in whatever way."""
    for pool in [*_pools]:
        pool.close(owner)


async def aabandon(owner: str) -> None:
    """Do what `abandon` does, for asynchronous code."""
    for pool in [*_pools]:
        await pool.aclose(owner)


_pools: WeakSet[Pool] = WeakSet()


_BUGS: Final = (TypeError, AttributeError, NameError, LookupError, AssertionError, ArithmeticError, NotImplementedError)


class _MisuseError(Exception):
    """An invalid sampler."""


def _awaitable(drawing: Awaitable[Sequence[AIMessage | Exception]]) -> Awaitable[Sequence[AIMessage | Exception]]:
    if not isawaitable(drawing):
        raise _MisuseError(
            f"the sampler returned {type(drawing).__name__}: a Sampler is an async function"
            " of a list of requests; RunnableLambda makes a model of a plain function of messages"
        )
    return drawing


def _told(error: Exception) -> str:
    said = bounded_text(error if isinstance(error, SamplingError) else reason(error))
    return terminal_safe(said if isinstance(error, SamplingError) else f"{type(error).__name__}: {said}")


_CALL_TIMEOUT: Final = 600.0
_ORPHANED: Final = 120.0
"""Seconds after which calls are cancelled that no node came back for: the graph was given up between supersteps."""
_FIRST_ANSWER: Final = 20.0
"""Seconds for which a model is called that never gave a sign of life."""
_QUIET: Final = 5.0
"""Seconds between two warnings."""
