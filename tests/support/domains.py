"""What tests of the domains share: the right path of a task, and its result by other means than its oracle's."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from langgraph_maker.core.task import State, Vote
from langgraph_maker.tasks import DictionarySum, Multiplication, Sorting


def is_right(task: Any, final: State) -> bool:
    """Whether a final state holds the result, worked out in another way than by the task's oracle."""
    if isinstance(task, Multiplication):
        return task.product(final) == task.a * task.b
    if isinstance(task, Sorting):
        return bool(final["runs"] == [sorted(task.numbers)])
    if isinstance(task, DictionarySum):
        total = sum(task.dictionary[key] for key in task.keys)
        return bool(final == {"sum": total, "done": len(task.keys), "keys": []})
    balances = dict(task.accounts)
    for one in task.transactions:
        paid = {"deposit": 0, "withdrawal": one["amount"] + 25}.get(
            one["kind"], one["amount"] + max(10, one["amount"] // 100)
        )
        if one["kind"] == "deposit":
            balances[one["account"]] += one["amount"]
        elif balances[one["account"]] - paid >= -10_000:
            balances[one["account"]] -= paid
            if one["kind"] == "transfer":
                balances[one["to"]] += one["amount"]
    return bool(final["balances"] == balances)


def walk(task: Any) -> Iterator[tuple[State, Vote]]:
    state = task.initial_state()
    while not task.is_done(state):
        vote = task.oracle(state)
        yield state, vote
        state = task.advance(state, vote)


def end_of(task: Any) -> State:
    *_, (state, vote) = walk(task)
    return task.advance(state, vote)
