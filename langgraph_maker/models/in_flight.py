"""What one owner has in flight on one event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Hashable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any, Final

from langchain_core.messages import AIMessage

from langgraph_maker.core.reasons import Stop
from langgraph_maker.core.state import Request

__all__ = ["Arrival", "InFlight", "prompt_of"]

Arrival = tuple[Request, AIMessage]


class InFlight:
    """What one owner has in flight on one event loop."""

    def __init__(self, on_stop: Callable[[], bool] | None = None) -> None:
        self.on_stop = on_stop
        self.loop = asyncio.get_running_loop()
        self.tasks: dict[asyncio.Task[None], Sequence[Request]] = {}
        self.paid: set[Any] = set()  # tasks whose call is with the provider
        self.issued: dict[str, set[int]] = {}
        self.timeouts: dict[str, int] = {}  # by ballot, of calls that are retried
        self.arrived: dict[str, list[Arrival]] = {}
        self.needed: dict[str, int] = {}
        self.ripe: set[str] = set()
        self.enough = 1
        self.left = 0.0  # when a node last went away with what had arrived
        self.failed: Exception | None = None
        self.took: set[Hashable] = set()  # prompts that were answered
        self.refused: dict[int, set[Hashable]] = {}  # by model, prompts that were refused since it answered one
        self._parked: dict[int, list[asyncio.Future[bool]]] = {}  # calls of these, while none was answered at all
        self.draining = self.landed = False
        self.changed = asyncio.Event()
        self.timer: asyncio.TimerHandle | None = None

    def issue(self, group: Sequence[Request], making: Coroutine[Any, Any, None]) -> None:
        """Begin to make one call."""
        task = self.loop.create_task(making)
        self.tasks[task] = group
        for request in group:
            self.issued.setdefault(request.subtask_id, set()).add(request.number)
        task.add_done_callback(self.done)

    def done(self, task: asyncio.Task[None]) -> None:
        """Note the end of a call; one that ended by a bug fails all."""
        self.tasks.pop(task, None)
        self.paid.discard(task)
        self.judge_refusals()
        if not task.cancelled() and (bug := task.exception()) is not None and isinstance(bug, Exception):
            self.fail(bug)
        if not self.tasks:
            self.changed.set()

    def arrive(self, request: Request, response: AIMessage) -> None:
        """Keep a response until its ballot is ready."""
        self.arrived.setdefault(request.subtask_id, []).append((request, response))
        self.ripen(request.subtask_id)

    def need(self, arrivals: Mapping[str, int]) -> None:
        """Say for ballots how many arrivals make them ready."""
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

    async def is_of_the_prompt(self, request: Request, *, taken: bool) -> bool:
        """Return whether what refused a request is about its prompt alone, as others are `taken` by the same model.

        Where none was so far, it waits until another one is, or none can be any more: each was refused, or many were.
        Where some were, it is the model if many in a row are refused, some that it took before among them.
        """
        refused = self.refused.setdefault(request.model, set())
        refused.add(prompt_of(request))
        if taken:
            return len(refused) < _MANY or refused.isdisjoint(self.took)
        parked: asyncio.Future[bool] = self.loop.create_future()
        self._parked.setdefault(request.model, []).append(parked)
        self.judge_refusals()
        return await parked

    def was_taken(self, request: Request) -> None:
        """Note that the prompt of a request was answered, and with it what others were refused for."""
        if len(self.took) > _MOST_KNOWN:
            self.took.clear()
        self.took.add(prompt_of(request))
        if self.refused:
            self.judge_refusals(taken=request.model)
            self.refused.pop(request.model, None)

    def judge_refusals(self, taken: int | None = None) -> None:
        """Let go on what waits for other prompts: one was taken by this model, or none will be."""
        for model, parked in [*self._parked.items()]:
            refused = self.refused[model]
            others = (prompt_of(group[0]) for group in self.tasks.values() if group[0].model == model)
            if model == taken or len(refused) >= _MANY or refused.issuperset(others):
                del self._parked[model]
                for call in parked:
                    if not call.done():
                        call.set_result(model == taken)

    def fail(self, error: Exception) -> None:
        """Note a call that has failed for good."""
        self.failed = self.failed or error
        self.changed.set()

    async def news(self, enough: int, stop: Stop, lull: float) -> None:
        """Wait until `enough` ballots are ready, or some are and `lull` seconds have passed."""
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
                    self.drain(stopped=True)

    def drain(self, *, stopped: bool = False) -> None:
        """Give up what is not with the provider, and wait for the rest, unless a sampler that is `stopped` says no."""
        wait = self.on_stop() if stopped and self.on_stop is not None and not self.draining else True
        self.draining = True
        for task in self.tasks:
            if task not in self.paid or not wait:
                task.cancel()

    def emptied(self) -> bool:
        """Return whether nothing can come of it any more: it was given up, or drained to nothing."""
        return self.landed or (self.draining and not (self.tasks or self.arrived or self.failed))

    def take(self) -> list[Arrival]:
        """Return what has arrived for ready ballots; all of it, where no more is to come."""
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

    async def state_dict(self, wanted: AbstractSet[str]) -> None:
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
        """Cancel all: nobody came back for it."""
        self.landed = True
        for task in self.tasks:
            task.cancel()

    async def end(self) -> None:
        """Cancel all, and wait until it is gone."""
        if self.timer is not None:
            self.timer.cancel()
        await _gone(list(self.tasks))


def prompt_of(request: Request) -> Hashable:
    """Return what stands for the prompt of a request."""
    return request.subtask_id, request.variant, request.model


async def _gone(tasks: Sequence[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


_POLL: Final = 0.2  # seconds between two looks at `stop`
_ENDLESS: Final = 10**9
_MANY: Final = 8
"""Prompts in a row that are refused, after which it is more likely the model, or its account."""
_MOST_KNOWN: Final = 10_000  # prompts
