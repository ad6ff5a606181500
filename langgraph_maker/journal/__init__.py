"""The journal: the full record of a run, one entry a committed step, on any LangGraph `BaseStore`.

A step counts as done only once it is here, and a committed entry is never overwritten. Reading needs no task and no
model. Each function takes the `namespace` of the tenant whose run it is about, where tenants share the store. The
functions are synchronous; in asynchronous code run them in a thread (`asyncio.to_thread`), with a store that can be
used from there.

    >>> from langgraph.store.memory import InMemoryStore
    >>> from langgraph_maker import journal, solve
    >>> from langgraph_maker.tasks import TowersOfHanoi
    >>> store = InMemoryStore()
    >>> run = solve(TowersOfHanoi(3), "sim:error=0.01", store=store, run_id="mine")
    >>> [entry["vote"]["action"] for entry in journal.read(store, "mine")][:2], journal.verify(store, "mine")
    ([[1, 0, 2], [2, 0, 1]], [])
"""

from langgraph_maker.journal.queries import (
    Problem,
    alarms,
    answer,
    delete,
    entries,
    export,
    fork,
    header,
    open_ballots,
    questions,
    read,
    runs,
    steps,
    verify,
)
from langgraph_maker.journal.records import Entry, Header

__all__ = [
    "Entry",
    "Header",
    "Problem",
    "alarms",
    "answer",
    "delete",
    "entries",
    "export",
    "fork",
    "header",
    "open_ballots",
    "questions",
    "read",
    "runs",
    "steps",
    "verify",
]
