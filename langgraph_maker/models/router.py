"""Several models as one sampler: each request is drawn from the model that it names by number."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from langchain_core.messages import AIMessage

from langgraph_maker.core.state import Request, Sampler
from langgraph_maker.core.task import Task
from langgraph_maker.models.chat_sampler import as_sampler
from langgraph_maker.models.resolve import Model

__all__ = ["sampler_of"]


def sampler_of(
    models: Sequence[Model],
    *,
    task: Task | None = None,
    max_tokens: int | None = None,
    service_tier: str | None = None,
) -> Sampler:
    """Return the sampler that draws from all of these, or from the one there is (see `as_sampler`).

    Raises:
        ValueError: For a string that names no model, or a model without its key.
        TypeError: For an object that is not a model.
    """
    samplers = [as_sampler(model, task=task, max_tokens=max_tokens, service_tier=service_tier) for model in models]
    return samplers[0] if len(samplers) == 1 else _Several(samplers)


class _Several:
    def __init__(self, samplers: Sequence[Sampler]) -> None:
        self.samplers = samplers
        self.outlives = any(getattr(sampler, "outlives", False) for sampler in samplers)
        self.may_be_refused = all(getattr(sampler, "may_be_refused", False) for sampler in samplers)
        self.never_waits = all(getattr(sampler, "never_waits", False) for sampler in samplers)
        timeouts = [getattr(sampler, "call_timeout", 600.0) for sampler in samplers]
        self.call_timeout = None if None in timeouts else max(timeouts)
        bounds = [getattr(sampler, "max_concurrency", None) for sampler in samplers]
        self.max_concurrency = min((bound for bound in bounds if bound is not None), default=None)

    def split(self, requests: Sequence[Request]) -> list[list[Request]]:
        """Return the samples that go into one call together: as the model has it that they name."""
        calls: list[list[Request]] = []
        for model, group in groupby(requests, key=lambda one: one.model):
            split = getattr(self.samplers[model], "split", lambda few: [[one] for one in few])
            calls += split(list(group))
        return calls

    async def __call__(self, requests: Sequence[Request]) -> Sequence[AIMessage | Exception]:
        drawn: dict[int, AIMessage | Exception] = {}
        places = sorted(range(len(requests)), key=lambda place: requests[place].model)
        for model, group in groupby(places, key=lambda place: requests[place].model):
            its = [*group]
            responses = await self.samplers[model]([requests[place] for place in its])
            drawn.update(zip(its, responses, strict=True))
        return [drawn[place] for place in range(len(requests))]

    def drain(self) -> bool:
        """Return whether what is out is to be waited for, as a run was stopped."""
        drains = [getattr(sampler, "drain", None) for sampler in self.samplers]
        waits = [drain is None or drain() for drain in drains]
        return all(waits)

    @property
    def left_out(self) -> list[str]:
        """The settings that providers refused."""
        return sorted({name for sampler in self.samplers for name in getattr(sampler, "left_out", ())})

    async def aclose(self) -> None:
        """Close the connections that the models have on this event loop."""
        for sampler in self.samplers:
            if (aclose := getattr(sampler, "aclose", None)) is not None:
                await aclose()
