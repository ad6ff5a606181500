"""Simulated models: they answer any task whose truth is computable, and err as often as told. No key, no network.

The state is read out of the prompt's text, nothing else: a prompt that leaves something out is answered as it reads.
Every draw is a hash. At temperature 0 an answer depends on the prompt alone; above it on the seed, the prompt and how
often that prompt was asked before. So runs repeat exactly, whatever their concurrency. What comes out is simulated:
it says how a method fares on errors of a known kind, and nothing about a real model.

    >>> from langgraph_maker.tasks import TowersOfHanoi
    >>> task = TowersOfHanoi(disks=3)
    >>> model = SimulatedChatModel(task=task, profile="error=0.2,flag=0.1", seed=1)
    >>> print(model.invoke(task.prompt(task.initial_state()), temperature=0).text)
    Disk 1 is on top of peg 0 and goes to peg 2.
    move = [1, 0, 2]
    next_state = [[3, 2], [], [1]]
"""

from __future__ import annotations

import json
import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import replace
from hashlib import blake2b
from math import cos, exp, log, pi, sqrt
from struct import unpack
from typing import Any, Final, NamedTuple, Protocol, runtime_checkable

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from pydantic import Field, PrivateAttr, field_validator

from langgraph_maker.profiles import PROFILES, Profile, read_spec
from langgraph_maker.red_flags import RedFlag
from langgraph_maker.state import Request, Sampler
from langgraph_maker.task import Checkable, State, Task, Vote

__all__ = ["PROFILES", "Answer", "CanErr", "CanWrite", "Profile", "SimulatedChatModel", "Simulation", "simulated_sampler"]

LONG: Final = 750
"""Long answers have more tokens than this, the paper's cap (section 4.3)."""

REMEMBERED: Final = 65_536
"""Prompts whose calls a `SimulatedChatModel` keeps count of, about 10 MB."""


@runtime_checkable
class CanWrite(Protocol):
    """A task that says how a model words its answers. Without it they are the vote's JSON text."""

    def render(self, vote: Vote) -> str:
        """A response that parses to `vote`; malformed ones lack its last bracket, or else its last word."""
        ...


@runtime_checkable
class CanErr(Protocol):
    """A task that knows its likely wrong answers. Without it the one there is leaves the state as it was."""

    def wrong_votes(self, state: State) -> Sequence[Vote]:
        """Wrong answers to `state`, all different, in any fixed order."""
        ...


class Answer(NamedTuple):
    """What a simulated model says, and its length in tokens."""

    text: str
    tokens: int


class Simulation:
    """The answer function: from a prompt's text to what a model of this profile says to it.

    Args:
        task: Any `Checkable` task. `CanWrite` and `CanErr` say what it may add.
        profile: How the model errs.
        seed: Tells apart draws above temperature 0. Hard steps and answers at temperature 0 do not depend on it.

    Raises:
        TypeError: When the task is not `Checkable`.
        ValueError: When its parser does not read the answers; the message names the method to add.
    """

    def __init__(self, task: Task, profile: Profile, seed: int = 0) -> None:
        if not isinstance(task, Checkable):
            raise TypeError(
                f"{task!r} cannot be simulated: give it oracle(state) -> Vote and read_state(messages) -> State"
            )
        self.profile = profile
        self.read_state = task.read_state
        self.oracle = task.oracle
        self.render = task.render if isinstance(task, CanWrite) else _render_json
        self.wrong_votes = task.wrong_votes if isinstance(task, CanErr) else self._unmoved
        self.seed = str(seed).encode()
        behaviour = replace(profile, input_price=None, output_price=None)
        self.key = blake2b(repr(behaviour).encode(), digest_size=32).digest()
        self.median_tokens = profile.output_tokens * exp(-(profile.length_spread**2) / 2)
        self._check(task)

    def ask(self, messages: Sequence[BaseMessage]) -> Prompted:
        """Read a prompt; its answers can then be drawn.

        Raises:
            ValueError: As `read_state` does, for what is no prompt of this task.
        """
        return Prompted(self, messages)

    def _unmoved(self, state: State) -> Sequence[Vote]:
        return [{"action": self.oracle(state)["action"], "next_state": state}]

    def _check(self, task: Task) -> None:
        state = self.read_state(task.prompt(task.initial_state()))
        right = self.oracle(state)
        if (key := _key(task, self.render(right))) != task.vote_key(right):
            raise ValueError(
                f"{task!r} does not read a simulated answer as what it says: give it render(vote) -> str, a response"
                " that parse reads as that vote"
            )
        if self.profile.error or self.profile.hard:
            wrong = self.wrong_votes(state)
            if not wrong or any(_key(task, self.render(vote)) in {None, key} for vote in wrong):
                raise ValueError(
                    f"{task!r} does not read a simulated wrong answer as another vote: give it"
                    " wrong_votes(state) -> list[Vote], votes that parse accepts and that are not the oracle's"
                )


class Prompted:
    """One prompt as the model takes it: how hard it is, the right answer and the wrong ones."""

    __slots__ = ("_simulation", "_state", "_texts", "confusion", "digest", "first_wrong", "flag", "right")

    def __init__(self, simulation: Simulation, messages: Sequence[BaseMessage]) -> None:
        profile = simulation.profile
        text = "\0".join([f"{message.type}:{message.content}" for message in messages])
        self.digest = blake2b(
            text.encode("utf-8", "surrogatepass"), key=simulation.key, digest_size=32
        ).digest()
        hard, rate, self.first_wrong, _ = _uniforms(self.digest)
        self.confusion = profile.confusion if hard < profile.hard else 0.0
        self.flag = profile.flag * (1 + profile.unevenness) * rate**profile.unevenness
        self._simulation = simulation
        self._state = simulation.read_state(messages)
        self._texts: dict[int | None, str] = {}
        try:
            self.right: Vote | None = simulation.oracle(self._state)
        except ValueError:  # a state without an answer, reached by votes that were wrong
            self.right = None

    def draw(self, number: int, temperature: float | None) -> Answer:
        """The answer to call `number` of this prompt; at temperature 0 to any call of it."""
        simulation = self._simulation
        profile = simulation.profile
        data = self.digest
        if temperature != 0:
            data += simulation.seed + number.to_bytes(8, "little")
        form, content, length, angle = _uniforms(blake2b(data, digest_size=32).digest())
        wrong: int | None = None
        if form < self.confusion:
            kind = form / self.confusion
            wrong, long, malformed = 0, kind < 0.75, kind >= 0.5  # noqa: PLR2004 - as Profile documents
        else:
            kind = (form - self.confusion) / (1 - self.confusion)
            long, malformed = kind < self.flag / 4, kind < self.flag
            if content < profile.error:
                wrong = int(content / profile.error * profile.alternatives)
        text = self._text(wrong)
        if malformed:
            text = _without_end(text)
        stretch = -log(1 - length)
        if long:
            tokens = LONG + 1 + int(profile.output_tokens * stretch / 2)
            return Answer(_RAMBLING * (tokens // _RAMBLING_TOKENS) + text, tokens)
        normal = sqrt(2 * stretch) * cos(2 * pi * angle)
        return Answer(text, max(1, round(simulation.median_tokens * exp(profile.length_spread * normal))))

    def _text(self, wrong: int | None) -> str:
        """The right answer (None), or the wrong one of this rank."""
        if (text := self._texts.get(wrong)) is None:
            vote = self.right
            if wrong is not None and vote is not None:
                votes = self._simulation.wrong_votes(self._state)
                rank = wrong % min(len(votes), self._simulation.profile.alternatives) if votes else 0
                vote = votes[(int(self.first_wrong * len(votes)) + rank) % len(votes)] if votes else None
            text = self._texts[wrong] = _AT_A_LOSS if vote is None else self._simulation.render(vote)
        return text


class SimulatedChatModel(BaseChatModel):
    """A chat model with no model behind it, for tests and for runs without a key.

    It is to this package what a mock transport is to an HTTP client: a real `BaseChatModel` (invoke, batch, generate
    with `n`, their async twins, usage and finish reasons), whose faults are set by rates and come back exactly. Use
    it to see what your own graph does with wrong, malformed, cut-off or correlated answers. `stop` is accepted and
    never met. No calls are made, so none fail.

    Calls of one prompt above temperature 0 are numbered in the order in which they are made, in all copies of a
    model (`model_copy`) together. The count is kept for the 65,536 prompts asked last; one asked again after that
    begins anew.

    Args:
        task: What it answers for, a `Checkable` task.
        profile: A `Profile`, or a string as after "sim:", which may hold the seed.
        seed: Any whole number; models with different seeds err independently above temperature 0.
        temperature: None, the default, stands for any above 0. Calls may pass their own.
        max_tokens: Where answers are cut off, with finish reason "length". Calls may pass their own.

    Raises:
        ValueError: For a bad profile (see `read_spec`), or a task whose parser does not read the answers.
        TypeError: For a task that is not `Checkable`.

    Example:
        >>> from langgraph_maker.tasks import TowersOfHanoi
        >>> task = TowersOfHanoi(disks=3)
        >>> model = SimulatedChatModel(task=task, profile=Profile(flag=1.0))
        >>> response = model.invoke(task.prompt(task.initial_state()))
        >>> task.parse(response.text)
        Traceback (most recent call last):
        langgraph_maker.red_flags.RedFlag: bad_state: '[[3, 2], [], [1]'
        >>> response.response_metadata["finish_reason"]
        'stop'
    """

    task: Task
    profile: Profile = Field(default_factory=Profile)
    seed: int = 0
    temperature: float | None = None
    max_tokens: int | None = None

    _simulation: Simulation = PrivateAttr()
    _calls: OrderedDict[bytes, int] = PrivateAttr(default_factory=OrderedDict)
    _lock: threading.Lock = PrivateAttr(default_factory=threading.Lock)

    def __init__(self, *, task: Task, profile: Profile | str = PROFILES["gpt-4.1-mini"], **fields: Any) -> None:
        if isinstance(profile, str):
            profile, seed = read_spec(profile)
            fields |= {} if seed is None else {"seed": seed}
        super().__init__(task=task, profile=profile, **fields)
