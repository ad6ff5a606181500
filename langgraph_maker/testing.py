"""For tests of your own: models whose answers you write down, without a key and without a network.

    >>> from langgraph_maker import create_voting_graph
    >>> model = script("yes", "no", "yes", "yes")
    >>> graph = create_voting_graph(model, prompt=str, parse=str.strip, k=2).compile()
    >>> [decision] = graph.invoke({"subtasks": [{"id": "q", "state": "Is it?"}]})["decisions"]
    >>> decision["vote"], decision["samples"], model.drawn
    ('yes', 4, 4)

`simulation.SimulatedChatModel` errs by chance, as often as you say; `provider.Provider` is a server that fails.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias
from uuid import uuid4

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.runnables import Runnable
from pydantic import Field

from langgraph_maker.core.state import Request

__all__ = ["Answer", "Scripted", "ScriptedChatModel", "script", "tool_call"]

Answer: TypeAlias = str | AIMessage | Exception
"""What a model says; an exception is a call that fails."""


class Scripted:
    """A sampler that answers from a function of the request, and keeps in `batches` what it was asked.

    Example:
        >>> from langgraph_maker import solve
        >>> from langgraph_maker.tasks import TowersOfHanoi
        >>> solve(TowersOfHanoi(3), Scripted(lambda request: "no move"), k=2).status
        'unresolved'
    """

    def __init__(self, answers: Callable[[Request], Answer]) -> None:
        self.answers = answers
        self.batches: list[list[Request]] = []

    async def __call__(self, requests: Sequence[Request]) -> list[AIMessage | Exception]:
        """Answer one batch."""
        self.batches.append(list(requests))
        answers = [self.answers(request) for request in requests]
        return [AIMessage(answer) if isinstance(answer, str) else answer for answer in answers]

    @property
    def drawn(self) -> int:
        """How many samples were asked for."""
        return sum(len(batch) for batch in self.batches)


def script(*answers: Answer) -> Scripted:
    """Return the same answers for every ballot, by the number of the sample; the last one for all later samples."""
    if not answers:
        raise ValueError("a script has at least one answer")
    return Scripted(lambda request: answers[min(request.number, len(answers) - 1)])


class ScriptedChatModel(BaseChatModel):
    """A chat model that gives its answers one a call, in order, and the last one from then on; it can call tools.

    Args:
        answers: What it says.
        calls: What it was asked: the `messages` of each call, with the arguments that were bound, such as `tools`.

    Example:
        >>> model = ScriptedChatModel(answers=["4", tool_call("add", a=2, b=2)])
        >>> model.invoke("2 + 2?").text, model.invoke("2 + 2?").tool_calls[0]["args"], len(model.calls)
        ('4', {'a': 2, 'b': 2}, 2)
    """

    answers: Sequence[Any] = Field(min_length=1)
    calls: list[dict[str, Any]] = Field(default_factory=list)

    @property
    def _llm_type(self) -> str:
        return "scripted"

    def bind_tools(self, tools: Sequence[Any], **kwargs: Any) -> Runnable[Any, AIMessage]:
        """Remember the tools; whether they are called, the answers say."""
        return self.bind(tools=list(tools), **kwargs)

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,  # noqa: ARG002 - it says what it says
        run_manager: CallbackManagerForLLMRun | None = None,  # noqa: ARG002
        **kwargs: Any,
    ) -> ChatResult:
        answer: Answer = self.answers[min(len(self.calls), len(self.answers) - 1)]
        self.calls.append({"messages": messages, **kwargs})
        if isinstance(answer, Exception):
            raise answer
        message = AIMessage(answer) if isinstance(answer, str) else answer.model_copy()
        return ChatResult(generations=[ChatGeneration(message=message)])

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,  # noqa: ARG002
        **kwargs: Any,
    ) -> ChatResult:
        return self._generate(messages, stop, **kwargs)  # not in a thread, where calls would lose their order


def tool_call(name: str, /, **args: Any) -> AIMessage:
    """Return a message that calls one tool, under an id of its own, as models have it.

    Example:
        >>> tool_call("add", a=2, b=2).tool_calls[0]["name"]
        'add'
    """
    return AIMessage("", tool_calls=[{"name": name, "args": args, "id": f"call_{uuid4().hex}", "type": "tool_call"}])
