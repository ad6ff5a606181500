"""The queue in which requests gather until a batch is closed, and the batches under way, on one event loop."""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Coroutine, Iterable, Sequence
from dataclasses import dataclass, field
from math import inf
from time import time
from typing import Any, Final
from uuid import uuid4
from weakref import WeakValueDictionary

import orjson

from langgraph_maker.core.foreign import terminal_safe
from langgraph_maker.models.batches.api import BatchApi, BatchState, Line, LineResult
from langgraph_maker.models.batches.limits import BatchLimits
from langgraph_maker.models.batches.provider import SHORTEST, Provider
from langgraph_maker.models.batches.records import BatchRecord, BatchRecords
from langgraph_maker.models.failures import failure
from langgraph_maker.models.keeping import Keeping

__all__ = ["Intake"]

logger = logging.getLogger(__name__)


@dataclass(eq=False)
class _Waiting:
    """A request that somebody waits for: how often it was put into a batch, and which batches did not answer it."""

    line: Line
    of: BatchRecords
    future: asyncio.Future[LineResult]
    attempts: int = 0
    not_in: frozenset[str] = frozenset()


@dataclass(eq=False)
class _Batch:
    """A batch under way, with who waits for what of it."""

    intake: str
    records: list[tuple[BatchRecords, BatchRecord]]
    waiting: dict[str, _Waiting] = field(default_factory=dict)
    batch_id: str | None = None
    tokens: int = 0


class Intake:
    """Gathers requests, submits them as batches, and hands out the results.

    Args:
        api: The provider's.
        limits: See `BatchLimits`.
    """

    def __init__(self, api: BatchApi, limits: BatchLimits) -> None:
        self.api, self.limits, self.provider = api, limits, Provider(api, limits)
        self.most_requests = min(api.most_requests, limits.requests or api.most_requests)
        self.most_bytes = min(api.most_bytes, limits.size or api.most_bytes)
        self.enqueued_limit = limits.enqueued_tokens
        self.enqueued = self._refused_alone = 0
        self._full_since = inf
        self.queue: list[_Waiting] = []
        self.under_way: dict[str, _Batch] = {}
        self.stopping = self.cancelling = False
        self._more, self._room = asyncio.Event(), asyncio.Event()
        self._gathering: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._submitting: set[asyncio.Task[str]] = set()
        self._asked: WeakValueDictionary[str, asyncio.Future[LineResult]] = WeakValueDictionary()
        self._runs: WeakValueDictionary[tuple[int, str], BatchRecords] = WeakValueDictionary()

    async def ask(self, line: Line, kept: Keeping | None) -> LineResult:
        """Return what comes of a request, once a batch has answered it."""
        if (future := self._asked.get(line.key)) is None or future.done():
            future = self._asked[line.key] = asyncio.get_running_loop().create_future()
            self.stopping = self.cancelling = False
            self._enqueue([_Waiting(line, self._records(kept), future)])
        return await future

    def stop(self, *, cancel: bool) -> None:
        """Submit nothing more; end the batches under way, where `cancel` says so: what they did is still handed out."""
        self.stopping, self.cancelling = True, cancel
        for one in self.queue:
            _fail(one, _STOPPED)
        self.queue = []
        self._room.set()
        for batch in self.under_way.values() if cancel else ():
            if batch.batch_id is not None:
                self._start(self.provider.cancel(batch.batch_id))

    async def aclose(self) -> None:
        """Look after no batch any more; what is being submitted is, and recorded, first."""
        self.stop(cancel=False)
        if self._submitting:
            await asyncio.wait([*self._submitting], timeout=_LAST_SUBMISSION)
        tasks = [*self._tasks, *([self._gathering] if self._gathering else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for one in [one for batch in self.under_way.values() for one in batch.waiting.values()]:
            _fail(one, "the sampler was closed")
        await self.api.aclose()

    def _records(self, kept: Keeping | None) -> BatchRecords:
        """Return the records of a run, the same for all that ask for it now."""
        name = (0, "") if kept is None else (id(kept.store), kept.name)
        if (found := self._runs.get(name)) is None:
            found = self._runs[name] = BatchRecords(kept)
        return found

    def _enqueue(self, more: Iterable[_Waiting]) -> None:
        self.queue += more
        self._more.set()
        if self._gathering is None or self._gathering.done():
            self._gathering = asyncio.get_running_loop().create_task(self._gather())

    async def _gather(self) -> None:
        """Close batches as long as requests come."""
        loop = asyncio.get_running_loop()
        while self.queue:
            latest = loop.time() + 10 * self.limits.delay
            while len(self.queue) < self.most_requests and (left := latest - loop.time()) > 0:
                self._more.clear()
                try:
                    async with asyncio.timeout(min(self.limits.delay, left)):
                        await self._more.wait()
                except TimeoutError:
                    break
            due, self.queue = self.queue[: self.most_requests], self.queue[self.most_requests :]
            due = [one for one in due if not one.future.done()]
            self._start(self._dispatch(due), due)

    def _start(self, work: Coroutine[Any, Any, None], concerns: Sequence[_Waiting] = ()) -> None:
        """Do work in the background; if it fails, so do those whom it concerns."""

        async def run() -> None:
            try:
                await work
            except Exception as error:  # noqa: BLE001 - it is raised where the answers are waited for
                for one in concerns:
                    if not one.future.done():
                        one.future.set_exception(error)
                        one.future.exception()  # somebody may have gone away

        task = asyncio.get_running_loop().create_task(run())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _dispatch(self, due: Sequence[_Waiting]) -> None:
        """Find the batches that requests are in already, and put the others into new ones."""
        for of in {id(one.of): one.of for one in due}.values():
            await of.load()
        known: dict[str, tuple[BatchRecords, BatchRecord, list[_Waiting]]] = {}
        new = []
        for one in due:
            record = one.of.holding(one.line.key, one.not_in)
            if record is None:
                new.append(one)
            else:
                known.setdefault(record.intake, (one.of, record, []))[2].append(one)
        for of, record, those in known.values():
            self._start(self._attach(of, record, those), those)
        for chunk in self._chunks(new):
            self._start(self._submit(chunk), chunk)

    def _chunks(self, new: Sequence[_Waiting]) -> list[list[_Waiting]]:
        """Return requests as batches that are within all limits."""
        chunks: list[list[_Waiting]] = []
        size = tokens = 0
        for one in new:
            of_it = len(one.line.body) + _OVERHEAD
            full = bool(chunks) and (
                len(chunks[-1]) >= self.most_requests
                or size + of_it > self.most_bytes
                or (self.enqueued_limit is not None and tokens + _tokens(one.line) > self.enqueued_limit)
            )
            if not chunks or full:
                chunks.append([])
                size = tokens = 0
            chunks[-1].append(one)
            size, tokens = size + of_it, tokens + _tokens(one.line)
        return chunks

    async def _attach(self, of: BatchRecords, record: BatchRecord, those: list[_Waiting]) -> None:
        """Wait for a batch that was created before, if it was."""
        waiting = {one.line.key: one for one in those}
        if (batch := self.under_way.get(record.intake)) is not None:
            batch.waiting.update(waiting)
            return
        batch = self.under_way[record.intake] = _Batch(record.intake, [(of, record)], waiting, record.batch_id)
        try:
            if batch.batch_id is None and not await self._found_again(batch, of, record):
                await of.drop(record)
                self._again([*batch.waiting.values()], record.intake, counts=False)
                return
            await self._follow(batch)
        finally:
            self.under_way.pop(record.intake, None)

    async def _found_again(self, batch: _Batch, of: BatchRecords, record: BatchRecord) -> bool:
        """Find the id of a batch that another process may have created just before it ended."""
        while True:
            left = record.began + self.limits.grace - time()
            if (found := await self.provider.located(of, record, len(record.keys))) is not None:
                batch.batch_id = record.batch_id = found
                await of.put(record)
                return True
            if left <= 0:
                return False
            await asyncio.sleep(min(left, max(SHORTEST, self.limits.poll)))

    async def _submit(self, chunk: list[_Waiting]) -> None:
        """Record a batch, create it, record its id, and wait for it."""
        tokens = sum(_tokens(one.line) for one in chunk)
        while self.enqueued_limit is not None and self.enqueued and self.enqueued + tokens > self.enqueued_limit:
            if self.stopping:
                break
            self._room.clear()
            await self._room.wait()
        chunk = [one for one in chunk if not one.future.done()]
        if not chunk:
            return
        if self.stopping:
            for one in chunk:
                _fail(one, _STOPPED)
            return
        intake = uuid4().hex
        of_runs: defaultdict[int, list[_Waiting]] = defaultdict(list)
        for one in chunk:
            of_runs[id(one.of)].append(one)
        batch = self.under_way[intake] = _Batch(intake, [], {one.line.key: one for one in chunk}, tokens=tokens)
        self.enqueued += tokens
        try:
            for those in of_runs.values():
                of = those[0].of
                batch.records.append((of, await of.add(intake, [one.line.key for one in those])))
            for one in chunk:
                one.attempts += 1
            task = asyncio.get_running_loop().create_task(self._created(batch, [one.line for one in chunk]))
            self._submitting.add(task)
            task.add_done_callback(self._submitting.discard)
            await asyncio.shield(task)
            if self.cancelling:
                await self.provider.cancel(batch.batch_id)
            await self._follow(batch)
        finally:
            self.under_way.pop(intake, None)
            self.enqueued -= tokens
            self._room.set()

    async def _created(self, batch: _Batch, lines: Sequence[Line]) -> str:
        """Create a batch once, whatever is heard of it, and record its id."""
        batch.batch_id = None
        tried = 0
        began = asyncio.get_running_loop().time()
        while batch.batch_id is None:
            try:
                batch.batch_id = await self.api.submit(lines, batch.intake)
            except Exception as error:
                problem = failure(error)
                outage = asyncio.get_running_loop().time() - began > self.limits.outage
                if problem.kind in {"permanent", "flag"} or outage:
                    for of, record in batch.records:
                        await of.drop(record)
                    raise
                self.provider.warn("could not be submitted", error)
                await asyncio.sleep(max(problem.wait, self.provider.pause(tried)))
                batch.batch_id = await self.provider.located(
                    *batch.records[0], len(lines)
                )  # if nobody heard that it was created
                tried += 1
        for of, record in batch.records:
            record.batch_id = batch.batch_id
            await of.put(record)
        return batch.batch_id

    async def _follow(self, batch: _Batch) -> None:
        """Wait for the end of a batch as long as somebody waits for one of its requests, and hand out the results."""
        if batch.batch_id is None:
            raise AssertionError
        state = await self.provider.ended(
            batch.batch_id, wanted=lambda: any(not one.future.done() for one in batch.waiting.values())
        )
        if state is None:
            return
        self.under_way.pop(batch.intake, None)  # who comes from now on has it read again
        if state.refused:
            await self._refused(batch, state)
            return
        self._refused_alone, self._full_since = 0, inf
        await self.provider.reach(lambda: self._read(batch))
        self._again([one for one in batch.waiting.values() if not one.future.done()], batch.intake)

    async def _read(self, batch: _Batch) -> None:
        """Hand out the results of a batch that has ended."""
        async for key, result in self.api.results(str(batch.batch_id), batch.intake):
            if (one := batch.waiting.get(key)) is None or one.future.done():
                continue
            if not result.again or one.attempts >= self.limits.attempts or self.stopping:
                one.future.set_result(result)
            else:
                del batch.waiting[key]
                self._again([one], batch.intake)

    async def _refused(self, batch: _Batch, state: BatchState) -> None:
        """Ask again for what is in a batch that was refused as a whole, or say that it is."""
        those = [one for one in batch.waiting.values() if not one.future.done()]
        alone = len(self.under_way) == 0
        if state.full and not self._never(batch, state, alone=alone):
            most = state.limit or max(1, batch.tokens // 2)
            if alone and self.enqueued_limit is not None:  # what was taken for little enough is not
                self._refused_alone += 1
                most = min(most, max(1, batch.tokens // 2))
            self.enqueued_limit = min(most, self.enqueued_limit or most)
            logger.warning("too many tokens are enqueued: %s", terminal_safe(state.refused))
            if alone:  # they may be those of somebody else
                await asyncio.sleep(self.provider.pause(self._refused_alone))
            self._again(those, batch.intake, counts=False)
            return
        error = {"message": f"the batch was refused: {state.refused}", "code": "batch_failed"}
        for one in those:
            if one.attempts >= self.limits.attempts or self.stopping:
                one.future.set_result(LineResult(400, orjson.dumps({"error": error})))
        self._again([one for one in those if not one.future.done()], batch.intake)

    def _never(self, batch: _Batch, state: BatchState, *, alone: bool) -> bool:
        """Return whether one request alone is more than may be enqueued, or was refused for as long as an outage."""
        if len(batch.waiting) != 1:
            return False
        [one] = batch.waiting.values()
        if alone:
            self._full_since = min(self._full_since, time())
        too_long = state.limit is not None and state.limit < len(one.line.body) // _BYTES_A_TOKEN
        never = too_long or time() - self._full_since > self.limits.outage
        if never:
            one.attempts = self.limits.attempts
        return never

    def _again(self, those: Sequence[_Waiting], intake: str, *, counts: bool = True) -> None:
        """Put requests into another batch."""
        due = []
        for one in those:
            one.not_in |= {intake}
            if not counts:
                one.attempts = max(0, one.attempts - 1)
            if self.stopping:
                _fail(one, "the run was stopped before it was asked again")
            elif one.attempts >= self.limits.attempts:
                _fail(one, f"no batch of {one.attempts} answered it")
            else:
                due.append(one)
        if due:
            self._enqueue(due)


def _fail(one: _Waiting, why: str) -> None:
    if not one.future.done():
        body = orjson.dumps({"error": {"message": f"the request is in no batch: {why}", "code": "batch_unanswered"}})
        one.future.set_result(LineResult(503, body, again=True))


def _tokens(line: Line) -> int:
    return len(line.body) // 3 + 1


_STOPPED: Final = "the run was stopped before it was submitted"
_BYTES_A_TOKEN: Final = 8  # at most, on average
_OVERHEAD: Final = 128  # bytes of a line besides the request
_LAST_SUBMISSION: Final = 30.0  # seconds
