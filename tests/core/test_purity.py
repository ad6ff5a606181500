"""A task whose functions change what they are given never ends as solved with what they made of it."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.messages import BaseMessage, HumanMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.store.memory import InMemoryStore
from scripted import Counting, Scripted, right

from langgraph_maker import Task, solve
from langgraph_maker.core.errors import ImpureTaskError
from langgraph_maker.core.red_flags import RedFlag
from langgraph_maker.core.state import Request
from langgraph_maker.core.task import Segment


class Cut(Counting):
    """`Counting`, cut into lanes of three steps."""

    def segments(self, lanes: int) -> list[Segment]:
        return [{"step": at, "end": at + 3, "state": at} for at in range(0, self.steps or 0, 3)]


class Stack(Task):
    """Counts by a list that grows; `where` names the function that grows the one it is given, from `since` on."""

    name = "stack"

    def __init__(self, where: str = "", since: int = 0, steps: int = 4) -> None:
        self.where, self.since, self.steps = where, since, steps
        self.start: list[int] = []

    def spoil(self, where: str, state: Any) -> None:
        if where == self.where and len(state) >= self.since:
            state.append(99)

    def initial_state(self) -> Any:
        return self.start

    def is_done(self, state: Any) -> bool:
        return len(state) >= (self.steps or 0)

    def prompt(self, state: Any) -> list[BaseMessage]:
        text = str(len(state))
        self.spoil("prompt", state)
        return [HumanMessage(text)]

    def parse(self, text: str) -> Any:
        return {"action": int(text), "next_state": [int(text)]}

    def validate(self, state: Any, vote: Any) -> RedFlag | None:
        self.spoil("validate", state)
        return None

    def advance(self, state: Any, vote: Any) -> Any:
        if self.where == "advance" and len(state) >= self.since:
            state.append(vote["action"])
            return state
        return [*state, vote["action"]]

    def vote_key(self, vote: Any) -> str:
        self.spoil("key", vote["next_state"])
        return str(vote["action"])


def answers(request: Any) -> str:
    return "7" if request.number == 1 else request.messages[0].text


def test_one_that_changes_nothing() -> None:
    task = Stack()
    run = solve(task, Scripted(answers))
    assert (run.status, run.final_state, task.start) == ("solved", [0, 1, 2, 3], [])


@pytest.mark.parametrize("where", ["prompt", "validate", "advance", "key"])
@pytest.mark.parametrize("checkpointer", [None, InMemorySaver()])
def test_the_function_is_named(where: str, checkpointer: Any) -> None:
    with pytest.raises(ImpureTaskError, match=f"^{where} changed what it was given"):
        solve(Stack(where), Scripted(answers), store=InMemoryStore(), checkpointer=checkpointer)


@pytest.mark.parametrize("where", ["prompt", "validate", "advance"])
def test_a_rare_change_is_seen_before_the_step_is_committed(where: str) -> None:
    late = Stack(where, since=150, steps=200)
    with pytest.raises(ImpureTaskError, match="changed"):
        solve(late, Scripted(lambda request: request.messages[0].text), k=1)


def test_votes_with_one_key_and_other_states_are_told_of_once(caplog: pytest.LogCaptureFixture) -> None:
    class Loose(Stack):
        def parse(self, text: str) -> Any:
            return {"action": 1, "next_state": [text]}

        def vote_key(self, vote: Any) -> str:
            return str(vote["action"])

    solve(Loose(), Scripted(lambda request: str(request.number)))
    [told] = [record.getMessage() for record in caplog.records]
    assert "votes with one key hand on different states" in told


def test_equal_states_are_nothing_to_tell(caplog: pytest.LogCaptureFixture) -> None:
    solve(Stack(), Scripted(lambda request: f"{request.messages[0].text}{' ' * request.number}"))
    assert not caplog.records


class Popping(Stack):
    """Changes the state in `validate`, and then flags."""

    def validate(self, state: Any, vote: Any) -> RedFlag | None:
        state.append(99)
        raise RedFlag("not_this")


def test_a_change_is_seen_where_the_function_raises_after_it() -> None:
    with pytest.raises(ImpureTaskError, match="validate changed what it was given"):
        solve(Popping(), Scripted(answers), k=1)


@pytest.mark.parametrize("lanes", [1, 3])
def test_a_task_advances_once_for_each_distinct_answer(lanes: int) -> None:
    advanced: list[tuple[Any, Any]] = []

    class Counted(Cut):
        def advance(self, state: Any, vote: Any) -> Any:
            advanced.append((state, vote["next_state"]))
            return super().advance(state, vote)

    def wrong_first(request: Request) -> str:
        return "77" if request.subtask_id == "4" and not request.number else right(request)

    run = solve(Counted(9), Scripted(wrong_first), k=3, lanes=lanes)
    assert (run.status, run.steps) == ("solved", 9)
    assert sorted(advanced) == sorted([*((step, step + 1) for step in range(9)), (4, 77)])


class Kept(Stack):
    """Keeps what `initial_state` returned, and changes that and not what it is given."""

    def spoil(self, where: str, state: Any) -> None:
        if where == self.where and len(state) >= self.since:
            self.start.append(len(self.start))

    def parse(self, text: str) -> Any:
        self.spoil("parse", [int(text)] * int(text))
        return super().parse(text)

    def advance(self, state: Any, vote: Any) -> Any:
        self.spoil("advance", state)
        return [*state, vote["action"]] if self.where != "advance" else [*self.start]

    def vote_key(self, vote: Any) -> str:
        self.spoil("key", [vote["action"]] * vote["action"])
        return str(vote["action"])


@pytest.mark.parametrize("where", ["prompt", "parse", "validate", "advance", "key"])
def test_the_function_is_named_that_changes_the_first_state_through_the_task(where: str) -> None:
    with pytest.raises(ImpureTaskError, match=f"^{where} changed what initial_state had returned"):
        solve(Kept(where), Scripted(answers), strict_parse=True)


def test_a_rare_change_of_the_first_state_ends_before_the_step_is_committed() -> None:
    with pytest.raises(ImpureTaskError, match="changed what initial_state had returned"):
        solve(Kept("validate", since=150, steps=200), Scripted(lambda request: request.messages[0].text), k=1)


class Reusing(Stack):
    """Makes each state in the one list that it has."""

    def __init__(self) -> None:
        super().__init__()
        self.made: list[int] = []

    def advance(self, state: Any, vote: Any) -> Any:
        self.made[:] = [*state, vote["action"]]
        return self.made


def test_a_state_that_is_changed_after_it_was_returned_is_none_to_continue_from() -> None:
    with pytest.raises(ImpureTaskError, match="changed a state that advance had returned"):
        solve(Reusing(), Scripted(answers))
