"""Calls in flight, kept from one superstep to the next, so that a slow answer delays its own ballot only."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from inspect import isawaitable
from itertools import groupby
from time import monotonic
from typing import Any, Final
from uuid import uuid4
from weakref import WeakKeyDictionary

from langchain_core.messages import AIMessage

from langgraph_maker.calls import Failure, Patience, failure
from langgraph_maker.errors import SamplingError
from langgraph_maker.state import Request, Sampler

__all__ = ["Arrival", "Pool"]

Arrival = tuple[Request, AIMessage]

logger = logging.getLogger(__name__)


class Pool:
    """The calls that one sampler has in flight, for any number of owners (runs, or votes).

    It belongs to a process: what is in flight is in no state, and is issued again after a restart.

    Args:
        sampler: Whom to call.
        max_concurrency: Calls at a time, over all owners; None for no bound. Fewer while the provider says that
            there are too many.
        call_timeout: Seconds after which a call is given up and made again.
        outage_limit: Seconds for which a failing call is made again.

    Raises:
        ValueError: For a bound or a time that is none.
    """

    def __init__(
        self,
        sampler: Sampler,
        *,
        max_concurrency: int | None = None,
        call_timeout: float = 600.0,
        outage_limit: float = 600.0,
    ) -> None:
        for name, value in (("call_timeout", call_timeout), ("outage_limit", outage_limit)):
            if not isinstance(value, (int, float)) or isinstance(value, bool) or not value >= 0:
                raise ValueError(f"{name} is a number of seconds, not {value!r}")
        if max_concurrency is None:
            max_concurrency = getattr(sampler, "max_concurrency", None)
        elif not isinstance(max_concurrency, int) or isinstance(max_concurrency, bool) or max_concurrency < 1:
            raise ValueError(f"max_concurrency is a whole number of at least 1, or None, not {max_concurrency!r}")
        self.sampler = sampler
        self.max_concurrency = max_concurrency
        self.call_timeout, self.outage_limit = call_timeout, outage_limit
        self.answered = 0
        self._unsaid, self._quiet_until = 0, 0.0
        self._flights: dict[str, _Flight] = {}
        self._limiters: WeakKeyDictionary[asyncio.AbstractEventLoop, _Limiter] = WeakKeyDictionary()

    def issued(self, owner: str, subtask_id: str) -> frozenset[int]:
        """The samples of a ballot that are in flight, or have arrived and were not collected."""
        flight = self._flights.get(owner)
        return frozenset(flight.issued.get(subtask_id, ())) if flight else frozenset()

    def waiting(self, owner: str) -> AbstractSet[str]:
        """The ballots that wait for more to arrive before they are worth a count."""
        return self._flights[owner].needed.keys() if owner in self._flights else frozenset()

    def __contains__(self, owner: str) -> bool:
        """Whether `owner` has calls in flight, or may have arrivals to collect."""
        return owner in self._flights

    def in_flight(self, owner: str) -> int:
        """How many calls of `owner` are in flight."""
        return len(flight.tasks) if (flight := self._flights.get(owner)) else 0

    async def collect(
        self,
        owner: str,
        groups: Iterable[Sequence[Request]],
        *,
        wanted: AbstractSet[str],
        needed: Mapping[str, int],
        enough: int = 1,
        draining: bool = False,
        stop: Callable[[], bool | str] = lambda: False,
    ) -> list[Arrival]:
        """Issue calls, one a group, and return what has arrived for ballots as soon as `enough` of them are ripe.

        It returns earlier when a pause comes in their stream, and when nothing is in flight any more. When
        `draining`, once `stop` says True, or after a call has failed for good, nothing is issued, calls that wait for
        another attempt are given up, and all others are waited for.

        Args:
            owner: Whose calls these are.
            groups: The samples to issue, those that go into one call together.
            wanted: The ballots whose calls go on; those of others are cancelled.
            needed: For ballots that were counted since, how many arrivals make them ripe: worth a count.
            enough: How many ballots must be ripe.
            draining: See above.
            stop: Asked several times a second while nothing comes.

        Raises:
            SamplingError: When a call has failed for good, and all that arrived beside it was collected before.
        """
        flight = await self._boarded(owner)
        try:
            await flight.keep(wanted)
            flight.need(needed)
            if draining:
                flight.drain()
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
        self, requests: Sequence[Request], *, stop: Callable[[], bool | str] = lambda: False
    ) -> tuple[list[Arrival], Exception | None]:
        """Issue all of these and wait for them; samples of one ballot that stand side by side may share a call.

        Returns:
            What arrived, and what made a call fail for good, if one did. Once `stop` says True nothing is made again.
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

    async def aclose(self, owner: str) -> None:
        """Cancel what `owner` has in flight, and wait until it is gone."""
        if (flight := self._flights.pop(owner, None)) is None:
            return
        if flight.loop is asyncio.get_running_loop():
            await flight.end()
        elif flight.loop.is_running():
            await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(flight.end(), flight.loop))

    def close(self, owner: str) -> None:
        """`aclose`, for synchronous code; not for the thread of the event loop itself."""
        flight = self._flights.pop(owner, None)
        if flight is not None and flight.loop.is_running():
            asyncio.run_coroutine_threadsafe(flight.end(), flight.loop).result()

    async def _boarded(self, owner: str) -> _Flight:
        flight = self._flights.get(owner)
        if flight is None or flight.loop is not asyncio.get_running_loop():
            await self.aclose(owner)
            flight = self._flights[owner] = _Flight()
        if flight.timer is not None:
            flight.timer.cancel()
        return flight

    def _limiter(self) -> _Limiter:
        loop = asyncio.get_running_loop()
        if (limiter := self._limiters.get(loop)) is None:
            limiter = self._limiters[loop] = _Limiter(self.max_concurrency)
        return limiter

    async def _make(self, flight: _Flight, requests: list[Request]) -> None:
        """Make one call until all of its samples are there."""
        limiter, patience = self._limiter(), Patience(self.outage_limit)
        while requests:
            async with limiter:
                flight.paid.add(task := asyncio.current_task())
                began = flight.loop.time()
                responses = await self._attempt(requests)
                flight.paid.discard(task)
            failed: list[tuple[Request, Exception]] = []
            for request, response in zip(requests, responses, strict=True):
                if isinstance(response, Exception):
                    failed.append((request, response))
                else:
                    self.answered += 1
                    flight.arrive(request, response)
            if not failed:
                limiter.went_well(flight.loop.time() - began)
                return
            error = failed[0][1]
            problem = failure(error)
            limiter.went_wrong(problem, began)
            if not (self.answered or problem.reached):  # more likely a wrong address than an outage
                patience.outage_limit = min(self.outage_limit, _FIRST_ANSWER)
            pause = None if isinstance(error, _MisuseError) else patience.pause(problem)
            if pause is None or flight.draining:
                flight.fail(self._gave_up(error, problem, patience))
                return
            self._warn(error, pause)
            requests = [request for request, _ in failed]
            await asyncio.sleep(pause)

    def _warn(self, error: Exception, pause: float) -> None:
        """Say that calls fail, though not each of a thousand."""
        self._unsaid += 1
        if monotonic() > self._quiet_until:
            logger.warning(
                "%d model calls failed and are made again, the last in %.1f s: %s", self._unsaid, pause, _told(error)
            )
            self._unsaid, self._quiet_until = 0, monotonic() + _QUIET

    async def _attempt(self, requests: list[Request]) -> Sequence[AIMessage | Exception]:
        try:
            async with asyncio.timeout(self.call_timeout):
                responses = await _awaitable(self.sampler(requests))
        except Exception as error:  # noqa: BLE001 - whatever it is, it failed these calls
            return [error] * len(requests)
        if len(responses) != len(requests):
            wrong = f"the sampler gave {len(responses)} responses to {len(requests)} requests"
            return [_MisuseError(wrong)] * len(requests)
        return responses

    def _gave_up(self, error: Exception, problem: Failure, patience: Patience) -> Exception:
        if isinstance(error, _MisuseError):
            return TypeError(str(error))
        if problem.kind == "final":
            told = SamplingError(f"the model refused: {_told(error)}")
        else:
            tries = f"{patience.failures} times" if patience.failures > 1 else "once"
            asked = f"; it asks to wait {problem.wait:,.0f} s" if problem.wait else ""
            told = SamplingError(f"a model call failed {tries}, the last time with {_told(error)}{asked}")
        told.__cause__ = error
        return told


class _MisuseError(Exception):
    """A sampler that is none."""


def _awaitable(drawing: Awaitable[Sequence[AIMessage | Exception]]) -> Awaitable[Sequence[AIMessage | Exception]]:
    if not isawaitable(drawing):
        raise _MisuseError(f"the sampler returned {type(drawing).__name__}: a Sampler is an async function")
    return drawing


def _told(error: Exception) -> str:
    return str(error) if isinstance(error, SamplingError) else f"{type(error).__name__}: {error}"[:1000]


class _Flight:
    """What one owner has in flight on one event loop."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.tasks: dict[asyncio.Task[None], Sequence[Request]] = {}
        self.paid: set[Any] = set()  # tasks whose call is with the provider
        self.issued: dict[str, set[int]] = {}
        self.arrived: dict[str, list[Arrival]] = {}
        self.needed: dict[str, int] = {}
        self.ripe: set[str] = set()
        self.enough = 1
        self.left = 0.0  # when a node last went away with what had arrived
        self.failed: Exception | None = None
        self.draining = False
        self.changed = asyncio.Event()
        self.timer: asyncio.TimerHandle | None = None

    def issue(self, group: Sequence[Request], making: Any) -> None:
        task = self.loop.create_task(making)
        self.tasks[task] = group
        for request in group:
            self.issued.setdefault(request.subtask_id, set()).add(request.number)
        task.add_done_callback(self.done)

    def done(self, task: asyncio.Task[None]) -> None:
        self.tasks.pop(task, None)
        self.paid.discard(task)
        if not task.cancelled() and (bug := task.exception()) is not None and isinstance(bug, Exception):
            self.fail(bug)
        if not self.tasks:
            self.changed.set()

    def arrive(self, request: Request, response: AIMessage) -> None:
        self.arrived.setdefault(request.subtask_id, []).append((request, response))
        self.ripen(request.subtask_id)

    def need(self, arrivals: Mapping[str, int]) -> None:
        self.needed.update(arrivals)
        for subtask_id in arrivals.keys() & self.arrived.keys():
            self.ripen(subtask_id)

    def ripen(self, subtask_id: str) -> None:
        """See whether as much has arrived for a ballot as it needs."""
        if len(self.arrived[subtask_id]) >= self.needed.get(subtask_id, _ENDLESS):
            del self.needed[subtask_id]
            self.ripe.add(subtask_id)
            if len(self.ripe) in {1, self.enough}:
                self.changed.set()

    def fail(self, error: Exception) -> None:
        self.failed = self.failed or error
        self.changed.set()

    async def news(self, enough: int, stop: Callable[[], bool | str], lull: float) -> None:
        """Wait until `enough` ballots are ripe, or some are and `lull` seconds have passed."""
        self.enough = enough
        first: float | None = None
        while self.tasks:
            if self.failed:
                self.drain()
            patience = _POLL
            if self.ripe and not self.draining:
                first = self.loop.time() if first is None else first
                patience = min(_POLL, first + lull - self.loop.time())
                if len(self.ripe) >= enough or patience <= 0:
                    return
            self.changed.clear()
            try:
                async with asyncio.timeout(patience):
                    await self.changed.wait()
            except TimeoutError:
                if not self.ripe and stop():
                    self.drain()

    def drain(self) -> None:
        """Give up what is not with the provider, and wait for the rest."""
        self.draining = True
        for task in self.tasks:
            if task not in self.paid:
                task.cancel()

    def take(self) -> list[Arrival]:
        """What has arrived for ripe ballots; all of it, where no more is to come."""
        ripe = self.ripe if self.tasks and not self.draining else {*self.arrived}
        taken = [arrival for subtask_id in ripe for arrival in self.arrived.pop(subtask_id)]
        self.ripe = set()
        for request, _ in taken:
            numbers = self.issued[request.subtask_id]
            numbers.discard(request.number)
            if not numbers:
                del self.issued[request.subtask_id]
                self.needed.pop(request.subtask_id, None)
        return taken

    async def keep(self, wanted: AbstractSet[str]) -> None:
        """Cancel the calls of all other ballots, and forget what arrived for them."""
        if not (others := self.issued.keys() - wanted):
            return
        for subtask_id in others:
            del self.issued[subtask_id]
            self.arrived.pop(subtask_id, None)
            self.needed.pop(subtask_id, None)
        self.ripe -= others
        await _gone([task for task, group in self.tasks.items() if group[0].subtask_id in others])

    def land(self) -> None:
        """Cancel all."""
        for task in self.tasks:
            task.cancel()

    async def end(self) -> None:
        if self.timer is not None:
            self.timer.cancel()
        await _gone(list(self.tasks))


async def _gone(tasks: Sequence[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


class _Limiter:
    """How many calls may be out: first come, first served; fewer when many are refused, then one more a round."""

    def __init__(self, most: int | None) -> None:
        self.most = most
        self.limit: float | None = most
        self.active = 0
        self.queue: deque[asyncio.Future[None]] = deque()
        self.latency = 0.0  # seconds, of recent calls
        self.busy = 0.0  # the share of recent calls that were refused as too many
        self.shrunk = self.not_before = -1.0

    async def __aenter__(self) -> None:
        loop = asyncio.get_running_loop()
        if (rest := self.not_before - loop.time()) > 0:
            await asyncio.sleep(rest)
        if self.limit is not None and (self.queue or self.active >= self.limit):
            turn = loop.create_future()
            self.queue.append(turn)
            try:
                await turn
            except asyncio.CancelledError:
                if turn.done() and not turn.cancelled():  # the turn came all the same: pass it on
                    self.active -= 1
                    self.let_in()
                raise
            return
        self.active += 1

    async def __aexit__(self, *_: object) -> None:
        self.active -= 1
        self.let_in()

    def let_in(self) -> None:
        while self.queue and (self.limit is None or self.active < self.limit):
            turn = self.queue.popleft()
            if not turn.done():
                self.active += 1
                turn.set_result(None)

    def went_well(self, seconds: float) -> None:
        self.latency += (seconds - self.latency) / 16 if self.latency else seconds
        self.busy -= self.busy / _RECENT
        if self.limit is not None and self.shrunk >= 0:
            self.limit = min(self.limit + 1 / self.limit, self.most or float("inf"))

    def went_wrong(self, problem: Failure, began: float) -> None:
        now = asyncio.get_running_loop().time()
        self.busy += (problem.busy - self.busy) / _RECENT
        if self.busy < _TOO_BUSY:  # single refusals hold back their own call only
            return
        self.not_before = max(self.not_before, now + problem.wait)
        if began > self.shrunk:  # once for all calls that were out together
            self.limit = max(1.0, 0.7 * min(self.active + 1, self.limit or float("inf")))
            self.shrunk = now


_ORPHANED: Final = 120.0
"""Seconds after which calls are cancelled that no node came back for: the graph was given up between supersteps."""
_RECENT, _TOO_BUSY = 64, 0.25
_ENDLESS: Final = 10**9
_QUIET: Final = 5.0
"""Seconds between two warnings."""
_POLL: Final = 0.2
_FIRST_ANSWER: Final = 20.0
"""Seconds for which a model is called that never gave a sign of life."""
