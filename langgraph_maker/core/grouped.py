"""Several steps in one response: `Grouped`, to measure what that costs (MAKER, section 3.2, Eqs 10-17)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any, Final

from langchain_core.messages import BaseMessage

from langgraph_maker.core.canonical import canonical
from langgraph_maker.core.foreign import excerpt
from langgraph_maker.core.messages import as_messages
from langgraph_maker.core.red_flags import RedFlag
from langgraph_maker.core.task import HasOracle, HasStepType, HasVariants, State, Task, Vote

__all__ = ["Grouped", "headed", "steps_asked"]


class Grouped(Task):
    """A chain of which each microagent does `m` steps in one response, of which one vote then is.

    A sample is right when all of its steps are: with probability p^m, and voting on it costs more the larger m is, by
    Eq 17 as p^-m. The vote's action and next state are lists with an item for each step. The last subtask may have
    fewer steps than m. It is `Splittable`: with the tier `ladder.Split` the chain continues step by step where
    the steps of one response do not converge.

    It takes tasks whose prompt shows all that the steps to come need, such as TowersOfHanoi. A microagent that is shown
    no more than its own step needs cannot do two. Of a `HasOracle` task that is seen here and refused; of
    another it cannot be known, and steps from the second on would be guesses. Its `variants` and `step_type` are kept.

    A response is up to m times as long as one to a single step: give a token limit of m times as much.

    Args:
        task: The chain.
        m: Steps per subtask, at least 1.

    Raises:
        ValueError: When m is no whole number of at least 1, or the task's prompt is seen to leave something out.

    Example:
        >>> from langgraph_maker.tasks import TowersOfHanoi
        >>> task = Grouped(TowersOfHanoi(2), 2)
        >>> task.steps
        2
        >>> task.oracle(task.initial_state())["action"]
        [[1, 0, 1], [2, 0, 2]]
    """

    def __init__(self, task: Task, m: int) -> None:
        if not isinstance(m, int) or isinstance(m, bool) or m < 1:
            raise ValueError(f"steps per subtask are a whole number of at least 1, not {excerpt(m)}")
        start = task.initial_state()
        shown = [] if task.is_done(start) or not isinstance(task, HasOracle) else as_messages(task.prompt(start))
        if shown and isinstance(task, HasOracle) and task.read_state(shown) != start:
            raise ValueError(
                f"{task.name} shows each microagent what its own step needs, which is not enough for {m} steps in one"
                " response: only a task whose prompt shows the whole state can be grouped"
            )
        self.task, self.m = task, m
        if isinstance(task, HasOracle):  # then so is this
            self._truth, self.oracle, self.read_state = task.oracle, self._oracle, task.read_state
        if isinstance(task, HasVariants):
            self.variants = task.variants
        if isinstance(task, HasStepType):
            self.step_type = task.step_type
        self.steps = None if task.steps is None else -(-task.steps // m)

    @property
    def name(self) -> str:
        """That of the chain, with m."""
        return f"{self.task.name} by {self.m}"

    def __repr__(self) -> str:
        return f"Grouped({self.task!r}, {self.m})"

    def parameters(self) -> dict[str, Any]:
        """Those of the chain, and m."""
        return {**self.task.parameters(), "steps_per_subtask": self.m}

    def initial_state(self) -> State:
        """Return that of the chain."""
        return self.task.initial_state()

    def is_done(self, state: State) -> bool:
        """Return whether the chain is."""
        return self.task.is_done(state)

    def prompt(self, state: State, variant: int = 0) -> list[BaseMessage]:
        """Return φ: the chain's prompt, in one of its ways, and how many steps are wanted."""
        asked = self.task.prompt(state, variant) if isinstance(self.task, HasVariants) else self.task.prompt(state)
        *before, last = as_messages(asked)
        return [*before, last.model_copy(update={"content": f"{last.text}\n\n{_ASKED.format(self.m)}"})]

    def parse(self, text: str) -> Vote:
        """Return ψ: the answers to up to m steps, each below its heading and read by the chain's own parser.

        Raises:
            RedFlag: `bad_steps` when the headings are not those of steps 1, 2, … in order, and what the chain's parser
                flags.
        """
        _, *pieces = _HEADING.split(text)
        numbers, answers = pieces[::2], pieces[1::2]
        if not 1 <= len(numbers) <= self.m or any(int(number) != at for at, number in enumerate(numbers, 1)):
            raise RedFlag("bad_steps", f"headings of steps {', '.join(numbers)[:80] or 'none'}, not 1 to {self.m}")
        votes = [self.task.parse(answer.strip()) for answer in answers]
        return _joined(votes)

    def vote_key(self, vote: Vote) -> str:
        """Equal when all steps are, as the chain sees it."""
        return canonical([self.task.vote_key(one) for one in _each(vote)])

    def validate(self, state: State, vote: Vote) -> RedFlag | None:
        """Flag what the chain does, and too few steps, or more than it takes to be done.

        Steps after one that the chain fails on, but for a `RedFlag` or a `ValueError`, are not looked at: `advance`
        raises it again if the answer wins, when what was paid for is counted.
        """
        count = 0
        for one in _each(vote):
            if self.task.is_done(state):
                return RedFlag("too_many_steps", f"it is done after {count}")
            if (flag := self.task.validate(state, one)) is not None:
                return flag
            try:
                state, count = self.task.advance(state, one), count + 1
            except (RedFlag, ValueError):
                raise
            except Exception:  # noqa: BLE001 - see `purity.Trials`
                return None
        if count < self.m and not self.task.is_done(state):
            return RedFlag("too_few_steps", f"{count} of {self.m}")
        return None

    def advance(self, state: State, vote: Vote) -> State:
        """Return what the chain makes of one step after another."""
        for one in _each(vote):
            state = self.task.advance(state, one)
        return state

    def split(self, state: State) -> Task:
        """Return the next m steps of the chain, one by one."""
        return _Stretch(self.task, state, self.m)

    def join(self, state: State, votes: Sequence[Vote]) -> Vote:  # noqa: ARG002 - the votes say it all
        """Their votes, one after another."""
        return _joined(votes)

    def _oracle(self, state: State) -> Vote:
        """Return the right answers to the next m steps."""
        votes = list[Vote]()
        while len(votes) < self.m and not self.task.is_done(state):
            votes.append(self._truth(state))
            state = self.task.advance(state, votes[-1])
        return _joined(votes)


class _Stretch(Task):
    """Up to m steps of a chain from `start` on; a state is the chain's, and how many steps are left."""

    def __init__(self, task: Task, start: State, m: int) -> None:
        self.task, self.start, self.steps = task, start, m
        if isinstance(task, HasOracle):
            self._truth, self._read, self.oracle, self.read_state = task.oracle, task.read_state, self._oracle, self._in
        if isinstance(task, HasVariants):
            self.variants = task.variants

    @property
    def name(self) -> str:
        return f"{self.steps} steps of {self.task.name}"

    def initial_state(self) -> State:
        return {"left": self.steps, "state": self.start}

    def is_done(self, state: State) -> bool:
        return state["left"] == 0 or self.task.is_done(state["state"])

    def prompt(self, state: State, variant: int = 0) -> list[BaseMessage]:
        own = state["state"]
        return self.task.prompt(own, variant) if isinstance(self.task, HasVariants) else self.task.prompt(own)

    def parse(self, text: str) -> Vote:
        return self.task.parse(text)

    def vote_key(self, vote: Vote) -> str:
        return self.task.vote_key(vote)

    def validate(self, state: State, vote: Vote) -> RedFlag | None:
        return self.task.validate(state["state"], vote)

    def advance(self, state: State, vote: Vote) -> State:
        return {"left": state["left"] - 1, "state": self.task.advance(state["state"], vote)}

    def _oracle(self, state: State) -> Vote:
        return self._truth(state["state"])

    def _in(self, messages: Sequence[BaseMessage]) -> State:
        """Return a prompt does not say how many steps are left, and no answer depends on it."""
        return {"left": self.steps, "state": self._read(messages)}


def headed(answers: Sequence[str]) -> str:
    """Return the answers to steps 1, 2, … below headings, as the prompt asks for them."""
    return "\n\n".join(f"Step {number}:\n{answer}" for number, answer in enumerate(answers, 1))


def steps_asked(messages: Sequence[BaseMessage]) -> int:
    """For how many steps a prompt of `Grouped` asks; 0 for one that is of another task.

    Example:
        >>> from langchain_core.messages import HumanMessage
        >>> steps_asked([HumanMessage("Go on. " + _ASKED.format(3))]), steps_asked([HumanMessage("Go on.")])
        (3, 0)
    """
    text = messages[-1].content
    if not isinstance(text, str) or not text.endswith(_ASKED_END):
        return 0
    asked = text.rpartition(_ASKED_BEGIN)[2].partition(" ")[0]
    return int(asked) if asked.isdecimal() and text.endswith(_ASKED.format(asked)) else 0


def _joined(votes: Sequence[Vote]) -> Vote:
    return {"action": [vote["action"] for vote in votes], "next_state": [vote["next_state"] for vote in votes]}


def _each(vote: Vote) -> Iterator[Vote]:
    for action, next_state in zip(vote["action"], vote["next_state"], strict=True):
        yield {"action": action, "next_state": next_state}


_HEADING: Final = re.compile(r"^[ \t*#`]*step ([0-9]{1,6})[*`]*:[*`]*", re.IGNORECASE | re.ASCII | re.MULTILINE)
_ASKED: Final = """\
You are asked for {} steps, and not for one. Carry them out one after another, each from what the step before it led \
to, and stop earlier only when nothing is left to do. Answer each step as described, below a heading of its own: \
"Step 1:" on a line before the first answer, "Step 2:" before the second, and so on. Write no other headings."""
_ASKED_BEGIN, _ASKED_END = _ASKED.split("{}")
