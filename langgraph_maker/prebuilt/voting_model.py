"""A chat model that answers with the message whose intent won a vote."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from hashlib import blake2b
from typing import Any

from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.runnables import Runnable, RunnableConfig
from langchain_core.runnables.config import ensure_config, patch_config
from pydantic import Field

from langgraph_maker.core.ballot import Key
from langgraph_maker.core.canonical import canonical
from langgraph_maker.core.errors import MakerError, UnresolvedError
from langgraph_maker.core.foreign import excerpt
from langgraph_maker.core.margin import unresolved_reason
from langgraph_maker.core.red_flags import AnyOf, RuleLike
from langgraph_maker.core.state import Decision, Request, Sampler
from langgraph_maker.models.chat_sampler import as_sampler, token_allowance
from langgraph_maker.models.resolve import model_name
from langgraph_maker.nodes.emit import Events, Host
from langgraph_maker.nodes.langgraph_keys import default_durability, saves_at_exit
from langgraph_maker.nodes.prompt import Prompt
from langgraph_maker.prebuilt.host import NO_LIMIT, areopen, reopen
from langgraph_maker.prebuilt.tool_intents import Check, OneOfTools, checks_of, intent_of, intents_by, json_check
from langgraph_maker.prebuilt.voting import create_voting_graph, vote_again
from langgraph_maker.prebuilt.watch import VoteObserver, watched

__all__ = ["Voting", "VotingModel", "summary"]


logger = logging.getLogger(__name__)


class Voting:
    """How votes are held, and the samplers of the models that they were held with.

    Args:
        red_flags: Which responses to discard, beside those whose calls no tool would take.
        answers: Which final answers in words are equal; None where all are, so that the vote is on whether to answer
            and the first such answer is the one that is given. Those in JSON are then compared by `canonical`.
        arguments: Which arguments are equal, by the names of tools, see `intents_by`.
        events: See `nodes.emit.Events`.
        options: Of `create_voting_graph`, all others.
        observer: See `create_voting_node`.

    Raises:
        ValueError: For an option out of range.
    """

    def __init__(
        self,
        red_flags: RuleLike | None,
        options: dict[str, Any],
        *,
        answers: Key | None,
        arguments: Mapping[str, Key],
        events: Events = True,
        observer: VoteObserver | None = None,
    ) -> None:
        self.red_flags, self.options, self.host, self.observer = red_flags, options, Host(events), observer
        prose = _all_alike if answers is None else answers
        self.keys = intents_by(prose, arguments), intents_by(answers or canonical, arguments)
        self.unseen = {*arguments}
        self.samplers: list[tuple[Any, Mapping[str, Any], Sampler]] = []
        self.graph(_nobody, list, OneOfTools({}), None)  # says at once which option is out of range

    def watched(self) -> AbstractContextManager[Callable[[Decision], None]]:
        """Give the observer the end of the vote in here."""
        return watched(self.observer, self.options["k"], self.options["min_k"])

    def sampler(self, base: Any, bound: Any, arguments: Mapping[str, Any]) -> Sampler:
        """Return the sampler of `bound`, the same one for the same arguments: it learned what its provider refuses."""
        for other, with_arguments, sampler in self.samplers:
            if other is base and with_arguments == arguments:
                return sampler
        sampler = as_sampler(bound, max_tokens=token_allowance(self.red_flags))
        self.samplers = [*self.samplers[1 - _REMEMBERED :], (base, arguments, sampler)]
        return sampler

    def see(self, tools: Collection[str]) -> None:
        """Say once which matchers of arguments are of no tool that the model has: a slip, or one that comes later."""
        if self.unseen and (unknown := self.unseen.difference(tools)):
            logger.warning(
                "arguments= names %s, and the tools are %s: calls of tools that it does not name are compared as JSON",
                *(excerpt(sorted(unknown)), excerpt(sorted(tools))),
            )
        self.unseen = set()

    def graph(self, sampler: Sampler, prompt: Prompt, rule: OneOfTools, answer: Check | None) -> Any:
        """Return the graph of one vote."""

        def parse(response: AIMessage) -> Any:
            return {"intent": intent_of(response, answer)}

        return create_voting_graph(
            sampler,
            prompt=prompt,
            parse=parse,
            key=self.keys[answer is not None],
            red_flags=AnyOf(*(() if self.red_flags is None else (self.red_flags,)), rule),
            messages=True,
            **self.options,
        ).compile(name="vote")


class VotingModel(BaseChatModel):
    """Asks `bound` until one intent leads, and answers with the first message that had it.

    A vote is not a model call and is reported as none: usage and traces have its samples only.

    Args:
        voting: How.
        base: The model itself.
        bound: The model with the tools and arguments that it was bound to.
        answers: What structured answers must pass, by the names of their types.

    Raises:
        TypeError: When tools are bound to a model that calls none.
        UnresolvedError: While running, when the vote does not converge.
    """

    voting: Any
    base: Any
    bound: Any
    answers: Mapping[str, Any] = Field(default_factory=dict)
    tools: Sequence[Any] = ()
    arguments: Mapping[str, Any] = Field(default_factory=dict)

    @property
    def model_name(self) -> Any:
        """By which an agent knows what its model can do."""
        return getattr(self.base, "model_name", None) or getattr(self.base, "model", None)

    @property
    def _llm_type(self) -> str:
        return "voting"

    def bind_tools(self, tools: Sequence[Any], **kwargs: Any) -> Runnable[Any, AIMessage]:
        """Return the model that votes on calls of `tools`."""
        try:
            bound = self.base.bind_tools(tools, **kwargs)
        except NotImplementedError as error:
            name = model_name(self.base)
            raise TypeError(f"{name} cannot call tools: give the agent a model that can, or no tools") from error
        return self.model_copy(update={"bound": bound, "tools": tools, "arguments": kwargs})

    def invoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> AIMessage:  # noqa: A002
        """Return the message that won."""
        graph, subtasks = self._vote_on(input, kwargs)
        with self.voting.watched() as ended, self.voting.host.inside():
            try:
                reopen(graph, self._config(config), vote_again)
                return _winner(graph.invoke(subtasks, self._config(config)), ended)
            except _OtherQuestionError:
                return _winner(graph.invoke(subtasks, self._config(config)), ended)

    async def ainvoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> AIMessage:  # noqa: A002
        """Return the message that won."""
        graph, subtasks = self._vote_on(input, kwargs)
        with self.voting.watched() as ended, self.voting.host.inside():
            try:
                await areopen(graph, self._config(config), vote_again)
                return _winner(await graph.ainvoke(subtasks, self._config(config)), ended)
            except _OtherQuestionError:
                return _winner(await graph.ainvoke(subtasks, self._config(config)), ended)

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,  # noqa: ARG002 - the samples have their own
        **kwargs: Any,
    ) -> ChatResult:
        if stop is not None:
            kwargs["stop"] = stop
        message = self.invoke(messages, None, **kwargs)
        return ChatResult(generations=[ChatGeneration(message=message)])

    def _vote_on(self, asked: Any, settings: Mapping[str, Any]) -> tuple[Any, Any]:
        messages = self._convert_input(asked).to_messages()
        said = json.dumps([message.model_dump() for message in messages], default=str)
        question = blake2b(said.encode(), digest_size=16).hexdigest()  # checkpoints need not hold the messages again

        def prompt(asked_before: str) -> Sequence[BaseMessage]:
            if asked_before != question:
                raise _OtherQuestionError
            return messages

        arguments = {**self.arguments, **settings}
        checks = checks_of(self.tools)
        self.voting.see(checks)
        checks |= {name: check for name, check in self.answers.items() if name in checks}
        bound = self.bound.bind(**settings) if settings else self.bound
        graph = self.voting.graph(
            self.voting.sampler(self.base, bound, {**arguments, "tools": self.tools}),
            prompt,
            OneOfTools(checks, forced=_forced(arguments.get("tool_choice"))),
            self._check_of_answer(arguments.get("response_format")),
        )
        return graph, {"subtasks": [{"id": "vote", "state": question}]}

    def _check_of_answer(self, form: Any) -> Check | None:
        """Return what an answer must pass where the provider was asked for JSON."""
        if not isinstance(form, Mapping):
            return None
        described = form.get("json_schema") or {}
        return self.answers.get(described.get("name", "")) or json_check(described.get("schema") or {})

    def _config(self, config: RunnableConfig | None) -> RunnableConfig:
        config = ensure_config(config)
        if saves_at_exit(config):
            config = default_durability(config)
        return patch_config(config, recursion_limit=NO_LIMIT)


class _OtherQuestionError(Exception):
    """The vote that broke off was on other messages, such as a prompt that tells the time: it begins afresh."""


def summary(decision: Decision) -> dict[str, Any]:
    """Return what a vote took, without the messages that it was about."""
    counts = [{"intent": count["vote"]["intent"], "count": count["count"]} for count in decision["counts"]]
    rest = ("status", "samples", "flagged", "flags", "rounds", "usage")
    return {"counts": counts, **{name: decision[name] for name in rest}}  # type: ignore[literal-required]


def _winner(output: Mapping[str, Any], ended: Callable[[Decision], None]) -> AIMessage:
    decision: Decision = output["decisions"][0]
    if decision["status"] == "unresolved":
        counts = [count["count"] for count in decision["counts"]]
        why = unresolved_reason(decision["samples"], decision["flags"], decision["last_flag"], counts)
        raise UnresolvedError(decision, why, instead='on_unresolved="end"')
    if (message := decision["message"]) is None:
        raise MakerError("this vote was started by a version that kept no messages: vote again, as on another thread")
    message.response_metadata["vote"] = summary(decision)
    ended(decision)
    return message


def _forced(choice: Any) -> bool:
    """Return whether a choice of tools leaves no answer in words."""
    kind = choice.get("type") if isinstance(choice, Mapping) else choice
    return kind not in {None, False, "auto", "none"}


def _all_alike(_: Any) -> str:
    return ""


async def _nobody(_: Sequence[Request]) -> list[AIMessage | Exception]:
    raise NotImplementedError


_REMEMBERED = 8  # models with their arguments
