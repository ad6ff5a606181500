"""The answer function of simulated models: from a prompt's text to what a model of some profile says to it.

Every draw is a hash: of the prompt alone at temperature 0, and above it of the seed, the prompt and the number of the
call. Nothing is kept from one draw to the next.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from hashlib import blake2b
from math import exp, log
from statistics import NormalDist
from struct import Struct
from typing import Any, Final, NamedTuple, Protocol, runtime_checkable

from langchain_core.messages import BaseMessage

from langgraph_maker.core.foreign import shortened
from langgraph_maker.core.grouped import Grouped, headed, steps_asked
from langgraph_maker.core.messages import as_messages
from langgraph_maker.core.red_flags import RedFlag
from langgraph_maker.core.task import Decomposable, HasOracle, State, Task, Vote, check_task
from langgraph_maker.simulation.profiles import Profile

__all__ = [
    "LONG",
    "CanErr",
    "CanReword",
    "CanWrite",
    "GroupedQuestion",
    "SimulatedAnswer",
    "SimulatedQuestion",
    "Simulation",
    "SplitSimulation",
    "simulate",
]

LONG: Final = 750
"""Long answers have more tokens than this, the paper's cap (section 4.3)."""


@runtime_checkable
class CanWrite(Protocol):
    """A task that says how a model words its answers. Without it they are the vote's JSON text."""

    def render(self, vote: Vote) -> str:
        """Return a response that parses to `vote`; malformed ones lack its last bracket, or else its last word."""
        ...


@runtime_checkable
class CanReword(Protocol):
    """A task whose votes models word in several ways; which one a sample has is drawn, each as likely."""

    def wordings(self, vote: Vote) -> Sequence[str]:
        """Return responses that parse to votes equal to `vote`, that of `CanWrite.render` first."""
        ...


@runtime_checkable
class CanErr(Protocol):
    """A task that knows its likely wrong answers. Without it the one there is leaves the state as it was."""

    def wrong_votes(self, state: State) -> Sequence[Vote]:
        """Wrong answers to `state`, all different, in any fixed order."""
        ...


class SimulatedAnswer(NamedTuple):
    """What a simulated model says, and its length in tokens."""

    text: str
    tokens: int


class Simulation:
    """The answer function: from a prompt's text to what a model of this profile says to it.

    Args:
        task: Any `HasOracle` task. `CanWrite` and `CanErr` say what it may add.
        profile: How the model errs.
        seed: Tells apart the draws above temperature 0; which steps are hard does not depend on it.

    Raises:
        TypeError: When the task is not `HasOracle`.
        ValueError: When its parser does not read the answers; the message names the method to add.

    Example:
        >>> from langgraph_maker.tasks import TowersOfHanoi
        >>> task = TowersOfHanoi(disks=2)
        >>> question = Simulation(task, Profile(error=0.3)).ask(task.prompt(task.initial_state()))
        >>> [task.parse(question.draw(number, 0.1).text)["next_state"] for number in range(3)]
        [[[2], [1], []], [[2], [1], []], [[2, 1], [], []]]
    """

    def __init__(self, task: Task, profile: Profile, seed: int = 0) -> None:
        check_task(task)
        if not isinstance(task, HasOracle):
            raise TypeError(
                f"{shortened(task.name)} cannot be simulated: give it oracle(state) -> Vote and read_state(messages) ->"
                " State"
            )
        self.task: Task = task
        self.profile = profile
        self.seed = str(seed).encode()
        self.oracle = task.oracle
        self.read_state = task.read_state
        self.render = task.render if isinstance(task, CanWrite) else json.dumps
        self.wordings = task.wordings if isinstance(task, CanReword) else self._one_wording
        self.wrong_votes = task.wrong_votes if isinstance(task, CanErr) else self._unmoved
        self.key = blake2b(_identity(profile).encode()).digest()
        self.lengths = _lengths(profile)
        self._check(task)

    @lru_cache(maxsize=16)  # noqa: B019 - a simulation lives as long as its run
    def begun(self, text: str) -> blake2b:
        """Return a digest that has read `text`, the beginning that prompts of one task share."""
        return blake2b(text.encode("utf-8", "surrogatepass"), key=self.key, digest_size=32)

    def ask(self, messages: Sequence[BaseMessage]) -> SimulatedQuestion | GroupedQuestion:
        """Read a prompt, so that answers to it can be drawn: to one step, or to several where it asks so (`Grouped`).

        Raises:
            ValueError: As `read_state` does, for what is no prompt of this task.
        """
        steps = steps_asked(messages)
        return GroupedQuestion(self, messages, steps) if steps else SimulatedQuestion(self, messages)

    def _one_wording(self, vote: Vote) -> Sequence[str]:
        return (self.render(vote),)

    def _unmoved(self, state: State) -> Sequence[Vote]:
        return [{"action": self.oracle(state)["action"], "next_state": state}]

    def _check(self, task: Task) -> None:
        def key(vote: Vote) -> str | None:
            try:
                return task.vote_key(task.parse(self.render(vote)))
            except (RedFlag, ValueError):
                return None

        state = self.read_state(as_messages(task.prompt(task.initial_state())))
        right = self.oracle(state)
        if key(right) != task.vote_key(right):
            raise ValueError(
                f"{shortened(task.name)} does not read a simulated answer as what it says: give it render(vote) ->"
                " str, a response"
                " that parse reads as that vote"
            )
        if self.profile.error or self.profile.hard:
            wrong = [key(vote) for vote in self.wrong_votes(state)]
            if not wrong or None in wrong or task.vote_key(right) in wrong:
                raise ValueError(
                    f"{shortened(task.name)} does not read a simulated wrong answer as another vote: give it"
                    " wrong_votes(state) ->"
                    " list[Vote], votes that its parser accepts and that are not the oracle's"
                )


class SimulatedQuestion:
    """One prompt as a simulated model takes it; `digest` is the same for equal prompts."""

    __slots__ = ("_confusion", "_flag", "_repeats", "_right", "_simulation", "_state", "_turn", "_wrong", "digest")

    def __init__(self, simulation: Simulation, messages: Sequence[BaseMessage]) -> None:
        self._state = simulation.read_state(messages)
        *head, last = [f"{message.type}:{message.content}" for message in messages]
        digest = simulation.begun("\0".join([*head, ""])).copy()
        digest.update(last.encode("utf-8", "surrogatepass"))
        self.digest = digest.digest()
        hardness, flagged, self._turn, _ = _uniforms(self.digest)
        profile = simulation.profile
        hard = hardness < profile.hard
        self._confusion = profile.confusion if hard else 0.0
        self._repeats = profile.repeats if hard else 0.0
        self._flag = profile.flag * (1 + profile.unevenness) * flagged**profile.unevenness
        self._simulation = simulation
        self._wrong: list[Sequence[str]] = []
        try:
            self._right = simulation.wordings(simulation.oracle(self._state))
        except ValueError:  # wrong votes have led to a state without an answer
            self._right = (_AT_A_LOSS,)
            self._wrong = [self._right]

    def draw(self, number: int, temperature: float | None) -> SimulatedAnswer:
        """Return the answer to call `number` of this prompt, from 0; at temperature 0 the same for all of them."""
        simulation, profile, confusion = self._simulation, self._simulation.profile, self._confusion
        call = b"" if temperature == 0 else simulation.seed + number.to_bytes(8, "little")
        form, content, length, worded = _uniforms(blake2b(self.digest + call, digest_size=32).digest())
        if form < self._repeats:
            words, long, malformed = self._err(0), False, False
        elif (form := (form - self._repeats) / (1 - self._repeats)) < confusion:
            kind = form / confusion
            words, long, malformed = self._err(0), kind < 0.75, kind >= 0.5  # noqa: PLR2004 - as Profile documents
        else:
            kind = (form - confusion) / (1 - confusion)
            words = self._err(content / profile.error) if content < profile.error else self._right
            long, malformed = kind < self._flag / 4, kind < self._flag
        text = words[int(worded * len(words))]
        if malformed:
            text = _without_end(text)
        if not long:
            return SimulatedAnswer(text, simulation.lengths[int(length * len(simulation.lengths))])
        tokens = LONG + 1 + int(-log(1 - length) * profile.output_tokens / 2)
        return SimulatedAnswer(_RAMBLE * (tokens // _RAMBLE_TOKENS) + text, tokens)

    def _err(self, choice: float) -> Sequence[str]:
        """Return the wordings of the wrong answer at `choice`, from 0 to below 1, of those that this prompt has."""
        if not self._wrong:
            votes = self._simulation.wrong_votes(self._state)
            first = int(self._turn * len(votes))
            votes = [*votes[first:], *votes[:first]][: self._simulation.profile.alternatives]
            self._wrong = [self._simulation.wordings(vote) for vote in votes] or [(_AT_A_LOSS,)]
        return self._wrong[int(choice * len(self._wrong))]


def _identity(profile: Profile) -> str:
    """Return what tells the draws of one model from those of another: its name and rates, and no prices."""
    said = repr(replace(profile, input_price=None, output_price=None))
    return said if profile.repeats else said.replace(f", repeats={profile.repeats!r}", "")  # as it drew without the key


class GroupedQuestion:
    """A prompt for several steps: each is answered as the same model would answer it alone, from its own last state.

    A slip at one step says nothing about the others, so that all are right with probability p^m, and all but one given
    step with (1 - p) p^(m - 1): Eqs 10 and 11.
    """

    __slots__ = ("_simulation", "_state", "_steps", "digest")

    def __init__(self, simulation: Simulation, messages: Sequence[BaseMessage], steps: int) -> None:
        self._simulation, self._state, self._steps = simulation, simulation.read_state(messages), steps
        self.digest = SimulatedQuestion(simulation, messages).digest

    def draw(self, number: int, temperature: float | None) -> SimulatedAnswer:
        """Return the answers of call `number`, up to the first that cannot be read."""
        simulation, task, state = self._simulation, self._simulation.task, self._state
        texts, tokens = list[str](), 0
        while len(texts) < self._steps and not task.is_done(state):
            answer = SimulatedQuestion(simulation, as_messages(task.prompt(state))).draw(number, temperature)
            texts.append(answer.text)
            tokens += answer.tokens
            try:
                state = task.advance(state, task.parse(answer.text))
            except (RedFlag, ValueError):
                break
        return SimulatedAnswer(headed(texts), tokens)


class SplitSimulation:
    """The answers to a task's own prompts, and to those of its subtasks' sub-steps (`task.Decomposable`)."""

    def __init__(self, task: Task, finer: Task, profile: Profile, seed: int = 0) -> None:
        self.task: Any = task
        self.whole, self.profile = Simulation(task, profile, seed), profile
        self.finer = Simulation(finer.task if isinstance(finer, Grouped) else finer, profile, seed)

    def ask(self, messages: Sequence[BaseMessage]) -> SimulatedQuestion | GroupedQuestion:
        """Read a prompt, which is a sub-step's unless it is word for word one of the task's."""
        try:
            state = self.task.read_state(messages)
            ways = [self.task.prompt(state)]
            ways += [self.task.prompt(state, variant) for variant in range(1, getattr(self.task, "variants", 1))]
        except ValueError:
            ways = []
        return self.whole.ask(messages) if list(messages) in map(as_messages, ways) else self.finer.ask(messages)


def simulate(task: Task, profile: Profile, seed: int = 0) -> Simulation | SplitSimulation:
    """Return the answer function of a task, see `Simulation`."""
    if isinstance(task, Grouped):
        return Simulation(task.task, profile, seed)
    if isinstance(task, Decomposable):
        try:
            return SplitSimulation(task, task.split(task.initial_state()), profile, seed)
        except (RedFlag, ValueError, TypeError):  # the first subtask has no sub-steps, or none that can be simulated
            pass
    return Simulation(task, profile, seed)


def _lengths(profile: Profile) -> list[int]:
    """Return the quantiles of the log-normal length of an ordinary answer, which is much faster to draw from."""
    spread, quantiles, standard = profile.length_spread, 1024, NormalDist()
    median = profile.output_tokens * exp(-(spread**2) / 2)
    exponents = (spread * standard.inv_cdf((rank + 0.5) / quantiles) for rank in range(quantiles))
    return [max(1, round(median * exp(exponent))) for exponent in exponents]


def _uniforms(digest: bytes) -> list[float]:
    return [(word >> 11) * 2.0**-53 for word in _FOUR_WORDS.unpack(digest)]


def _without_end(text: str) -> str:
    """Return the text without its last bracket or quote, or else without its last word: what parsers flag."""
    text = text.rstrip()
    return text[:-1] if text[-1:] in _CLOSERS else text[: -len(text.split()[-1])] if text else text


_FOUR_WORDS: Final = Struct("<4Q")
_CLOSERS: Final = frozenset("]})>\"'`")
_AT_A_LOSS: Final = "I cannot tell what to do here."
_RAMBLE: Final = "Wait, let me check that again from the start. "
_RAMBLE_TOKENS: Final = 11
