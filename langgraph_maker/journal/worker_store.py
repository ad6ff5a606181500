"""The store as a worker sees it: what it writes goes to the block that it holds, or nowhere."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

from langgraph.store.base import BaseStore, Op, PutOp

from langgraph_maker.core.errors import JournalError
from langgraph_maker.journal.blocks import BlockProgress
from langgraph_maker.journal.claims import Claims
from langgraph_maker.journal.tenants import root_of

__all__ = ["WorkerStore", "worker_store"]


class WorkerStore(BaseStore):
    """A store whose records are read as they are, and written only under a claim."""

    supports_ttl = False
    fenced = True
    """What others write of the same block is refused, so that no lock on the whole run is needed."""

    def __init__(self, store: BaseStore, claims: Claims) -> None:
        self.store, self.claims = store, claims

    def batch(self, ops: Iterable[Op]) -> list[Any]:
        """Do the operations: what is written in one transaction with the block's record."""
        ops = list(ops)
        puts = [op for op in ops if isinstance(op, PutOp)]
        others = [op for op in ops if not isinstance(op, PutOp)]
        results = iter(self.store.batch(others) if others else [])
        if puts:
            self.claims.write(puts)
        return [None if isinstance(op, PutOp) else next(results) for op in ops]

    async def abatch(self, ops: Iterable[Op]) -> list[Any]:
        """`batch`, in a thread."""
        return await asyncio.to_thread(self.batch, list(ops))

    @property
    def bounds(self) -> tuple[int, int]:
        """The steps of the block that this worker holds.

        Raises:
            JournalError: When it holds none.
        """
        if (block := self.claims.block) is None:
            raise JournalError("a worker advances the block that it has claimed, and holds none")
        return block["start"], block["end"]

    def report(self, progress: BlockProgress) -> None:
        """Have the next write say how far the block is."""
        if (block := self.claims.block) is not None:
            self.claims.block = {**block, "progress": progress, "broken": False}

    def took_over(self, in_flight: int) -> None:
        """Have the next write say how much was in flight where the block's owner before this one broke off."""
        if (block := self.claims.block) is not None and block["broken"]:
            self.claims.block = {**block, "lost": block["lost"] + in_flight, "broken": False}


def worker_store(store: BaseStore | None) -> WorkerStore | None:
    """Return the worker's store that `store` is, or is a tenant's part of; None outside of workers."""
    root = None if store is None else root_of(store)
    return root if isinstance(root, WorkerStore) else None
