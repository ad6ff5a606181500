"""Whatever node an invocation comes in at, code is held to what its run was started with."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.store.memory import InMemoryStore
from scripted import Counting, Scripted, right

from langgraph_maker import create_maker, journal, solve
from langgraph_maker.core.errors import JournalError
from langgraph_maker.core.margin import ByState
from langgraph_maker.core.state import Request
from langgraph_maker.prebuilt.recursive import create_recursive_maker
from langgraph_maker.prebuilt.recursive.multiplication import simulated_multiplication

THREAD: Any = {"configurable": {"thread_id": "t"}}


class Thread:
    """A thread that is entered by one graph after another, all on the same checkpointer and store."""

    def __init__(self, make: Callable[..., Any], *, store: bool) -> None:
        self.make, self.saver = make, InMemorySaver()
        self.store = InMemoryStore() if store else None
        self.drawn: list[int] = []

    def enter(self, given: Any, k: Any, before: str = "") -> Any:
        model = Scripted(right)
        graph = self.make(k, model).compile(
            checkpointer=self.saver, store=self.store, interrupt_before=[before] if before else None
        )
        try:
            return graph.invoke(given, THREAD)
        finally:
            self.drawn.append(model.drawn)


def chain(k: Any, model: Any) -> Any:
    return create_maker(Counting(4), model, k=k)


@pytest.mark.parametrize("store", [False, True])
@pytest.mark.parametrize("before", ["vote", "update"])
@pytest.mark.parametrize("other", [1, 5, lambda _: 1])
def test_at_a_breakpoint_nothing_is_drawn_or_committed_under_another_k(store: bool, before: str, other: Any) -> None:
    thread = Thread(chain, store=store)
    thread.enter({}, 3, before)
    with pytest.raises(JournalError, match="was started with k 3, not"):
        thread.enter(None, other)
    ended = thread.enter(None, 3)
    assert (ended["status"], ended["samples"], thread.drawn[1]) == ("solved", 12, 0)


@pytest.mark.parametrize("store", [False, True])
@pytest.mark.parametrize("given", [None, {}])
def test_a_larger_k_by_step_refuses_the_steps_that_were_decided_by_less(store: bool, given: Any) -> None:
    thread = Thread(chain, store=store)
    thread.enter({}, lambda _: 2, "vote")
    thread.enter(None, lambda _: 2, "vote")
    with pytest.raises(JournalError, match=r"step 0 of run 't' was decided by a margin of 2"):
        thread.enter(given, lambda _: 4)


@pytest.mark.parametrize("store", [False, True])
def test_a_smaller_one_that_came_between_is_found(store: bool) -> None:
    thread = Thread(chain, store=store)
    thread.enter({}, lambda _: 4, "vote")
    thread.enter(None, lambda _: 1, "vote")
    with pytest.raises(JournalError, match="step 0 of run 't' was decided by a margin of 1, and k now asks for 4"):
        thread.enter(None, lambda _: 4)


@pytest.mark.parametrize("store", [False, True])
def test_a_k_by_state_goes_by_the_states_of_the_steps_that_are_done(store: bool) -> None:
    thread = Thread(chain, store=store)
    thread.enter({}, ByState(lambda *_: 2, least=2), "vote")
    thread.enter(None, ByState(lambda *_: 2, least=2), "vote")
    with pytest.raises(JournalError, match="step 0 of run 't' was decided by a margin of 2, and k now asks for 3"):
        thread.enter({}, ByState(lambda _, state: 3 if state == 0 else 2, least=2))


def test_a_k_by_state_is_that_of_the_state_in_a_graph_as_in_a_run() -> None:
    k = ByState(lambda step, _: 4 if step else 2, least=2)
    ended = create_maker(Counting(3), Scripted(right), k=k).compile().invoke({})
    assert ended["samples"] == solve(Counting(3), Scripted(right), k=k).samples == 2 + 4 + 4


@pytest.mark.parametrize("store", [False, True])
def test_a_ballot_whose_samples_were_lost_goes_on_under_a_smaller_k_by_step(store: bool) -> None:
    """An outage leaves four samples issued under k = 4: under k = 2 they are drawn, and the first two decide."""

    def failing(request: Request) -> Any:
        return right(request) if request.subtask_id == "0" or thread.drawn else ConnectionError("down")

    def make(k: Any, _: Any) -> Any:
        return create_maker(Counting(2), Scripted(failing), k=k, outage_limit=0.01)

    thread = Thread(make, store=store)
    part = thread.enter({}, lambda _: 4)
    assert (part["status"], part["steps"]) == ("stopped", 1)
    ended = thread.enter({}, lambda _: 2)
    assert (ended["status"], ended["final_state"]) == ("solved", 2)


@pytest.mark.parametrize("store", [False, True])
def test_a_recursive_run_is_held_to_its_k_too(store: bool) -> None:
    def tree(k: Any, _: Any) -> Any:
        return create_recursive_maker(simulated_multiplication(seed=1), k=k)

    thread = Thread(tree, store=store)
    thread.enter({"problem": "12 * 3"}, 3, "vote")
    with pytest.raises(JournalError, match="was started with k 3, not 1"):
        thread.enter(None, 1, "vote")
    ended = thread.enter(None, 3)
    assert (ended["status"], ended["answer"]) == ("solved", "36")
    assert min(one["margin"] for node in ended["tree"].values() for one in node["decided"]) >= 3
    if thread.store is not None:
        assert journal.verify(thread.store, "t") == []
