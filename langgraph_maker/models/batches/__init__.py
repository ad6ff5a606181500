"""Votes by a provider's batch API, at half the price: `BatchSampler`."""

from langgraph_maker.models.batches.limits import BatchLimits
from langgraph_maker.models.batches.sampler import BatchSampler

__all__ = ["BatchLimits", "BatchSampler"]
