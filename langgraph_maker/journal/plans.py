"""The two kinds of runs in a journal, chains of steps and trees of problems, as those who read any run need them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import ClassVar, Final, Protocol

from langgraph.store.base import BaseStore

from langgraph_maker.core.state import BallotState
from langgraph_maker.journal import records, run_data, store_ops, tree_admin
from langgraph_maker.journal.records import Header
from langgraph_maker.journal.segments import chain, ends_of, items_at
from langgraph_maker.journal.tree_records import existing_head, snapshot
from langgraph_maker.journal.verification import Problem, aside, verified

__all__ = ["PLANS", "JournalPlan", "plan_of"]


class JournalPlan(Protocol):
    """What is read of a run of one kind; its records may be damaged, which is a `JournalError`.

    `unit` is what it decides one of at a time, `resumed_by` what resumes it where no command is on record.
    """

    unit: ClassVar[str]
    resumed_by: ClassVar[str]

    def open_ballots(self, store: BaseStore, run_id: str) -> list[BallotState]:
        """Return the ballots under way when the run was last written."""
        ...

    def decided(self, store: BaseStore, run_id: str) -> int:
        """Return how many steps, or stages of nodes, are decided."""
        ...

    def problems(self, store: BaseStore, run_id: str) -> list[Problem]:
        """Return what is wrong with the records."""
        ...

    def lines(self, store: BaseStore, run_id: str) -> Iterator[str]:
        """Return the records as lines of JSON."""
        ...


class ChainJournal:
    """A chain: an entry a step."""

    unit: ClassVar[str] = "step"
    resumed_by: ClassVar[str] = "the code that started it, with its run_id and a store of this database"

    def open_ballots(self, store: BaseStore, run_id: str) -> list[BallotState]:
        """Return one ballot a lane at most, by step."""
        ahead = [ends for (_, end), ends in ends_of(store, run_id) if ends < end]
        found = zip(ahead, store_ops.batch(store, [run_data.get_open(run_id, step) for step in ahead]), strict=True)
        ballots = [run_data.read_open(item, run_id, step) for step, item in found]
        return [ballot for ballot in ballots if ballot is not None]

    def decided(self, store: BaseStore, run_id: str) -> int:
        """Return the steps, found by halving."""
        return sum(ends - start for (start, _), ends in ends_of(store, run_id))

    def problems(self, store: BaseStore, run_id: str) -> list[Problem]:
        """Return what is wrong, by step."""
        return verified(store, run_id)

    def lines(self, store: BaseStore, run_id: str) -> Iterator[str]:
        """Return an entry a line, lane after lane."""
        stride = chain(store, run_id)["stride"]
        for (start, _), ends in ends_of(store, run_id):
            for step, item in items_at(store, run_id, stride, range(start, ends)):
                yield json.dumps(records.read_entry(item, run_id, step))


class TreeJournal:
    """A recursive run: a record a node."""

    unit: ClassVar[str] = "stage"
    resumed_by: ClassVar[str] = "invoke its graph again with its run_id, on a store of this database"

    def open_ballots(self, store: BaseStore, run_id: str) -> list[BallotState]:
        """Return one ballot a node at most."""
        return store_ops.drive(snapshot(run_id), store)[1]["ballots"]

    def decided(self, store: BaseStore, run_id: str) -> int:
        """Return the stages."""
        return int(existing_head(store, run_id)["decided"])

    def problems(self, store: BaseStore, run_id: str) -> list[Problem]:
        """Return what is wrong, by node."""
        return [*(Problem(*problem) for problem in tree_admin.inspect(store, run_id)), *aside(store, run_id)]

    def lines(self, store: BaseStore, run_id: str) -> Iterator[str]:
        """Return a node a line, with its ballot where one is open, from the root down."""
        return tree_admin.lines(store, run_id)


PLANS: Final[dict[str, JournalPlan]] = {"chain": ChainJournal(), "tree": TreeJournal()}
"""The kinds of runs, by name."""


def plan_of(header: Header) -> JournalPlan:
    """Return how runs of this kind are read."""
    return PLANS[header.get("kind", "chain")]
