"""Simulated models: they answer any task whose truth is computable, and err as often as asked. No key, no network.

The state is read out of the prompt's text, nothing else: a prompt that leaves something out is answered as it reads.
Every draw is a hash. At temperature 0 an answer depends on the prompt alone; above it on the seed, the prompt and how
often that prompt was asked before. So runs repeat exactly, whatever their concurrency. What comes out is simulated:
it says how a method fares on errors of a known kind, and nothing about a real model.

    >>> from langgraph_maker.tasks import TowersOfHanoi
    >>> task = TowersOfHanoi(disks=3)
    >>> model = SimulatedChatModel(task=task, model="error=0.2,flag=0.1", seed=1)
    >>> print(model.invoke(task.prompt(task.initial_state()), temperature=0).text)
    Disk 1 is on top of peg 0 and goes to peg 2.
    move = [1, 0, 2]
    next_state = [[3, 2], [], [1]]
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Sequence
from threading import Lock
from typing import Any, Final

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.messages.ai import UsageMetadata
from langchain_core.outputs import ChatGeneration, ChatResult
from pydantic import PrivateAttr

from langgraph_maker.core.state import Request, Sampler, never_waits
from langgraph_maker.core.task import Task
from langgraph_maker.simulation.answers import (
    CanErr,
    CanWrite,
    GroupedQuestion,
    SimulatedAnswer,
    SimulatedQuestion,
    Simulation,
    SplitSimulation,
    simulate,
)
from langgraph_maker.simulation.profiles import PROFILES, SIMULATED, Profile, read_spec

__all__ = [
    "PROFILES",
    "CanErr",
    "CanWrite",
    "Profile",
    "SimulatedAnswer",
    "SimulatedChatModel",
    "SimulatedQuestion",
    "Simulation",
    "read_spec",
    "simulated_sampler",
]

REMEMBERED: Final = 65_536
"""Prompts whose calls a `SimulatedChatModel` keeps count of, about 10 MB."""


class SimulatedChatModel(BaseChatModel):
    """A chat model with no model behind it, for tests and for runs without a key.

    It is a real `BaseChatModel` (invoke, batch, generate with `n`, their async twins, usage, finish reasons) whose
    faults have known rates and come back exactly: use it to test what your own graph makes of wrong, malformed, cut
    off or correlated answers, as a mock transport tests an HTTP client. `stop` is accepted and never met.

    Calls of one prompt above temperature 0 are numbered as they are made, across all copies of a model
    (`model_copy`). The count covers the 65,536 prompts asked last; a prompt that is asked again later begins anew.

    Args:
        task: What it answers for, a `Checkable` task.
        model: A `Profile`, or what follows "sim:" in a string (see `profiles.read_spec`), whose seed comes first.
        seed: A whole number; models with different seeds err independently above temperature 0.
        temperature: None, the default, stands for any above 0. A call may give its own.
        max_tokens: Where answers are cut off, with finish reason "length". A call may give its own.

    Raises:
        TypeError: When the task is not `Checkable`.
        ValueError: For an unknown model, or a task whose parser does not read the answers. While running, for a
            prompt that is not the task's, or an `n` or `max_tokens` below 1.

    Example:
        >>> from langgraph_maker.tasks import TowersOfHanoi
        >>> task = TowersOfHanoi(disks=3)
        >>> always_malformed = SimulatedChatModel(task=task, model="flag=1")
        >>> response = always_malformed.invoke(task.prompt(task.initial_state()))
        >>> task.parse(response.text)
        Traceback (most recent call last):
        langgraph_maker.core.red_flags.RedFlag: bad_state: '[[3, 2], [], [1]'
        >>> response.response_metadata["finish_reason"]
        'stop'
    """

    task: Task
    model: Profile | str = "gpt-4.1-mini"
    seed: int = 0
    temperature: float | None = None
    max_tokens: int | None = None

    _simulation: Simulation | SplitSimulation = PrivateAttr()
    _calls: OrderedDict[bytes, int] = PrivateAttr(default_factory=OrderedDict)
    _lock: Lock = PrivateAttr(default_factory=Lock)

    def model_post_init(self, context: Any, /) -> None:
        """Build the answer function."""
        super().model_post_init(context)
        profile, seed = read_spec(self.model) if isinstance(self.model, str) else (self.model, None)
        self._simulation = simulate(self.task, profile, self.seed if seed is None else seed)

    @property
    def _llm_type(self) -> str:
        return "simulated"

    @property
    def _identifying_params(self) -> dict[str, Any]:
        return {
            "task": repr(self.task),
            "model": self.model,
            "seed": self.seed,
            "temperature": self.temperature,
            "max_tokens": self.max_tokens,
        }

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,  # noqa: ARG002 - never met
        run_manager: CallbackManagerForLLMRun | None = None,  # noqa: ARG002 - nothing to report
        *,
        n: int = 1,
        **kwargs: Any,
    ) -> ChatResult:
        temperature = kwargs.get("temperature", self.temperature)
        limit = kwargs.get("max_tokens", kwargs.get("max_completion_tokens", self.max_tokens))
        for name, value in (("n", n), ("max_tokens", limit)):
            if value is not None and value < 1:
                raise ValueError(f"{name} is at least 1, not {value}")
        question = self._simulation.ask(messages)
        profile = self._simulation.profile
        first = 0 if temperature == 0 else self._count(question.digest, n)
        generations, written = [], 0
        for number in range(first, first + n):
            text, tokens = question.draw(number, temperature)
            reason = "stop"
            if limit is not None and tokens > limit:
                text, tokens, reason = text[: len(text) * limit // tokens], limit, "length"
            message = AIMessage(
                text,
                usage_metadata=_usage(profile.input_tokens, tokens),
                response_metadata={
                    "finish_reason": reason,
                    "model_name": profile.name,
                    "model_provider": SIMULATED,
                },
            )
            generations.append(ChatGeneration(message=message, generation_info={"finish_reason": reason}))
            written += tokens
        read = profile.input_tokens  # billed once, however many answers
        usage = {"prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written}
        return ChatResult(generations=generations, llm_output={"token_usage": usage, "model_name": profile.name})

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,  # noqa: ARG002 - nothing to report
        **kwargs: Any,
    ) -> ChatResult:
        return self._generate(messages, stop, **kwargs)

    def _combine_llm_outputs(self, llm_outputs: list[dict[str, Any] | None], /) -> dict[str, Any]:
        usage: Counter[str] = Counter()
        for output in llm_outputs:
            usage.update(output["token_usage"] if output else {})
        return {"token_usage": dict(usage), "model_name": self._simulation.profile.name}

    def _count(self, digest: bytes, n: int) -> int:
        """Return how often the prompt was asked before, now counting `n` more."""
        with self._lock:
            first = self._calls.pop(digest, 0)
            self._calls[digest] = first + n
            if len(self._calls) > REMEMBERED:
                self._calls.popitem(last=False)
        return first


def simulated_sampler(spec: str, task: Task, seed: int = 0) -> Sampler:
    """Return the sampler that "sim:…" stands for: the answers of `SimulatedChatModel` at an engine's pace.

    It numbers calls by `Request.number` and keeps nothing between batches. It never awaits. The messages of one
    batch share their `response_metadata`.

    Args:
        spec: Such as "sim:gpt-4.1-mini" or "sim:error=0.01,flag=0.02", see `profiles.read_spec`.
        task: What to answer for, a `Checkable` task.
        seed: Where `spec` gives none.

    Raises:
        TypeError: When the task is not `Checkable`.
        ValueError: For a bad `spec`, or a task whose parser does not read the answers. While running, for a prompt
            that is not the task's.

    Example:
        >>> import asyncio
        >>> from langgraph_maker.tasks import TowersOfHanoi
        >>> task = TowersOfHanoi(disks=3)
        >>> sampler = simulated_sampler("sim:error=0.1", task, seed=1)
        >>> request = Request(task.prompt(task.initial_state()), 0.1, "0", 0)
        >>> [response.text.splitlines()[-1] for response in asyncio.run(sampler([request]))]
        ['next_state = [[3, 2], [], [1]]']
    """
    profile, given = read_spec(spec)
    simulation = simulate(task, profile, seed if given is None else given)

    @never_waits
    async def sample(requests: Sequence[Request]) -> list[AIMessage]:
        named = {"finish_reason": "stop", "model_name": profile.name, "model_provider": SIMULATED}
        blank = AIMessage("", response_metadata=named)
        questions: dict[int, SimulatedQuestion | GroupedQuestion] = {}
        responses = []
        for messages, temperature, _, number, *_ in requests:
            if (question := questions.get(id(messages))) is None:
                question = questions[id(messages)] = simulation.ask(messages)
            text, tokens = question.draw(number, temperature)
            said = {"content": text, "usage_metadata": _usage(profile.input_tokens, tokens)}
            responses.append(blank.model_copy(update=said))  # half the time of a new message
        return responses

    sample.__name__ = f"sim:{spec.removeprefix('sim:')}"  # what it is called in records, and priced by
    return sample


def _usage(read: int, written: int) -> UsageMetadata:
    return {"input_tokens": read, "output_tokens": written, "total_tokens": read + written}
