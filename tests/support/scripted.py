"""Models whose answers a test writes down, and a task small enough to see through."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from typing import Any

from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage
from langchain_core.outputs import ChatGeneration, ChatResult

from langgraph_maker.core.red_flags import RedFlag
from langgraph_maker.core.state import Request
from langgraph_maker.core.task import State, Task, Vote
from langgraph_maker.testing import Scripted, script

__all__ = ["Counting", "Recording", "Scripted", "right", "script", "scripts"]


def scripts(answers: dict[str, Iterable[str]]) -> Scripted:
    """Answers for each ballot by its id."""
    listed = {name: list(texts) for name, texts in answers.items()}
    return Scripted(
        lambda request: listed[request.subtask_id][min(request.number, len(listed[request.subtask_id]) - 1)]
    )


class Counting(Task):
    """Count from 0 to `steps`; a right answer is the next number."""

    name = "counting"

    def __init__(self, steps: int | None = 5, goal: int | None = None) -> None:
        self.steps = steps
        self.goal = goal if goal is not None else steps

    def initial_state(self) -> State:
        return 0

    def is_done(self, state: State) -> bool:
        return bool(state == self.goal)

    def prompt(self, state: State) -> list[BaseMessage]:
        return [HumanMessage(str(state))]

    def parse(self, text: str) -> Vote:
        if text == "flag":
            raise RedFlag("asked_for", "the test")
        return {"action": "add", "next_state": int(text)}

    def advance(self, state: State, vote: Vote) -> State:
        return vote["next_state"]


def right(request: Request) -> str:
    """The right answer of `Counting`."""
    return str(int(request.messages[0].text) + 1)


class Recording(BaseChatModel):
    """A chat model that answers from a function of the prompt's text and remembers each call's arguments."""

    answer: Callable[[str], str | Exception]
    calls: list[dict[str, Any]] = []
    temperature: float | None = None
    max_tokens: int | None = None

    @property
    def _llm_type(self) -> str:
        return "recording"

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        self.calls.append(
            {"temperature": self.temperature, "max_tokens": self.max_tokens, "thread": threading.get_ident(), **kwargs}
        )
        answer = self.answer(messages[-1].text)
        if isinstance(answer, Exception):
            raise answer
        return ChatResult(generations=[ChatGeneration(message=AIMessage(answer))])
