"""Nothing grows with the steps done: memory, bytes a step, work a step."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import AIMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.store.memory import InMemoryStore
from scripted import Counting, Scripted, right

from langgraph_maker import Progress, create_maker, solve
from langgraph_maker.core.state import Request, never_waits
from langgraph_maker.journal.databases import open_store


@never_waits
async def instant(requests: Sequence[Request]) -> list[AIMessage]:
    return [AIMessage(right(request)) for request in requests]


def test_work_per_step_is_constant() -> None:
    class Counted(InMemoryStore):
        ops: list[int] = []

        def batch(self, ops: Any) -> Any:
            ops = list(ops)
            self.ops.append(len(ops))
            return super().batch(ops)

    store = Counted()
    seen: dict[int, int] = {}

    def note(now: Progress) -> None:
        seen[now.steps] = sum(store.ops)

    solve(Counting(1000), instant, k=1, store=store, on_progress=note)
    early, late = seen[200] - seen[100], seen[900] - seen[800]
    assert 100 < early <= 100 + 46  # one entry a step, and how alarms stand each time that the run is a 64th longer
    assert 100 < late <= 100 + 9


def test_a_checkpoint_is_as_small_at_the_end_as_at_the_start() -> None:
    saver = InMemorySaver()
    graph = create_maker(Counting(400), Scripted(right)).compile(checkpointer=saver, store=InMemoryStore())
    config: Any = {"configurable": {"thread_id": "t"}}
    graph.invoke({}, config)
    sizes = [len(repr(snapshot.values)) for snapshot in graph.get_state_history(config)]
    assert max(sizes[:100]) < 1.1 * max(sizes[-200:-100])


@pytest.mark.slow
def test_memory_is_flat(tmp_path: Path) -> None:
    resident: dict[int, int] = {}

    def note(now: Progress) -> None:
        if now.steps in (10_000, 100_000):
            resident[now.steps] = int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    with open_store(str(tmp_path / "run.sqlite")) as store:
        solve(Counting(100_000), instant, k=1, store=store, on_progress=note)
    assert resident[100_000] < 1.1 * resident[10_000]
