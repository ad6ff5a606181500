"""An agent whose every step is voted on: middleware for `langchain.agents.create_agent` (extra `agents`)."""

from __future__ import annotations

import logging
import reprlib
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from types import MappingProxyType
from typing import Annotated, Any, Final, Literal, Never, NotRequired, Self
from uuid import uuid4

from langgraph_maker.core.extras import install
from langgraph_maker.core.foreign import excerpt

try:
    from langchain.agents.middleware import AgentMiddleware, AgentState, ModelRequest
    from langchain.agents.middleware.types import PrivateStateAttr
    from langchain.agents.structured_output import AutoStrategy, ProviderStrategy, ToolStrategy
except ImportError as error:
    raise ImportError(f"langgraph_maker.middleware needs langchain: {install('agents')}") from error
from langchain_core.messages import AIMessage
from langgraph.config import get_config

from langgraph_maker.core.ballot import Key, check_key
from langgraph_maker.core.canonical import canonical
from langgraph_maker.core.errors import UnresolvedError
from langgraph_maker.core.keywords import check_keywords
from langgraph_maker.core.red_flags import RuleLike, Truncated
from langgraph_maker.models.prices import Price
from langgraph_maker.nodes.budget import Budget, Limits, Spent, Visits, budgeted, total
from langgraph_maker.nodes.emit import Events
from langgraph_maker.nodes.langgraph_keys import has_checkpointer
from langgraph_maker.prebuilt.tool_intents import Check, type_check
from langgraph_maker.prebuilt.voting_model import Voting, VotingModel, summary
from langgraph_maker.prebuilt.watch import VoteObserver

__all__ = ["VotingMiddleware"]

logger = logging.getLogger(__name__)

_CUT_OFF: Final = Truncated()


class VotingMiddleware(AgentMiddleware[Any, Any]):
    """Samples an agent's model until one intent leads by `k`, and hands the winner's message on as it was written.

    The intent of a message is the tools that it calls, in order, with their arguments, or that it answers. So a tool
    runs once, for the call that won. Structured output counts as the call or the JSON that it is.
    Red flags beside `red_flags` are calls of unknown tools, arguments that the tool would not take, calls that could
    not be read, integers beyond 64 bits in them, answers where a call was asked for (`tool_choice`), and empty
    messages.

    What earlier middleware chooses, the model, tools, prompt, settings or form of the answer, is what is voted with. A
    `ModelFallbackMiddleware` before this one asks the next model where a vote stays unresolved. Samples stay out of
    the agent's message stream, and the message that won says under `response_metadata["vote"]` what it took.

    Args:
        k: The margin by which an intent must lead.
        vote_on: "calls": which tools are called with what, and whether to answer instead; the first valid answer is
            then given as it was worded. "all": on how answers are worded, too, which takes answers that come in few
            wordings, such as a number, a label or "yes".
        arguments: By the names of tools, which arguments are equal, see `matchers`: {"search": fields(query=text)}
            (`fields` compares those that it names and no other). By default all are compared as JSON.
        key: Of "all": which final answers are equal; None for `matchers.canonical`.
        red_flags: Which responses to discard.
        strict_parse: Whether an exception of `arguments`, `key` or a red flag on a response surfaces; a `ValueError`
            is a red flag all the same.
        first_temperature: Of the first sample of a step; None leaves the model's own.
        temperature: Of all later samples.
        max_samples_per_step: Samples before a step is unresolved; default 10 k², and at least 100.
        min_k: The least k that a runtime context may ask for (see `MakerContext`); None where it may lower none.
        hedge: Samples in flight beyond those that could be needed, see `nodes.sample_node`.
        max_concurrency: Model calls at a time, see `create_maker`.
        call_timeout: Seconds after which a call is given up and retried; None for 600, 900 for the flex tier, and
            none in batches.
        outage_limit: Seconds for which a failing model call is retried before it raises `SamplingError`.
        price: What tokens cost, see `create_maker`.
        max_total_samples: Samples that one run of the agent may draw, all its steps together. A step that would take
            more ends the agent with a message that says so, whatever `on_unresolved` is.
        max_cost: Dollars that it may spend, likewise; a vote is ended after the round that reaches them.
        events: What continues the agent's custom stream, see `create_voting_node`.
        observer: Called with each `events.VoteEnded`, see `create_voting_node`.
        on_unresolved: "raise" an `UnresolvedError`, or "end" the agent with a message that says it is unresolved.

    Raises:
        ValueError: For an option out of range.
        TypeError: For an invalid `key`; while running, for a model that cannot call the agent's tools.
        SamplingError: While running, when the model refused or was out of reach for too long.
        UnresolvedError: While running, see `on_unresolved`.

    Example:
        >>> from langchain.agents import create_agent
        >>> from langgraph_maker.testing import ScriptedChatModel, tool_call
        >>> def add(a: int, b: int) -> int:
        ...     "Add."
        ...     return a + b
        >>> right, wrong = tool_call("add", a=2, b=2), tool_call("add", a=2, b=3)
        >>> model = ScriptedChatModel(answers=[right, wrong, right, right, "4", "4"])
        >>> agent = create_agent(model, [add], middleware=[VotingMiddleware(k=2)])
        >>> [message.text for message in agent.invoke({"messages": "2 + 2?"})["messages"]]
        ['2 + 2?', '', '4', '4']
    """

    def __init__(
        self,
        k: int = 3,
        *,
        vote_on: Literal["calls", "all"] = "calls",
        arguments: Mapping[str, Key] = MappingProxyType({}),
        key: Key | None = None,
        red_flags: RuleLike | None = _CUT_OFF,
        strict_parse: bool = False,
        first_temperature: float | None = 0.0,
        temperature: float | None = 0.1,
        max_samples_per_step: int | None = None,
        min_k: int | None = None,
        hedge: int = 0,
        max_concurrency: int | None = None,
        call_timeout: float | None = None,
        outage_limit: float = 600.0,
        price: Price | None = None,
        max_total_samples: int | None = None,
        max_cost: float | None = None,
        events: Events = True,
        observer: VoteObserver | None = None,
        on_unresolved: Literal["raise", "end"] = "raise",
        **_unknown: Never,
    ) -> None:
        super().__init__()
        check_keywords(VotingMiddleware, _unknown)
        if on_unresolved not in ("raise", "end"):
            raise ValueError(f'on_unresolved is "raise" or "end", not {excerpt(on_unresolved)}')
        if vote_on not in ("calls", "all"):
            raise ValueError(f'vote_on is "calls" or "all", not {reprlib.repr(vote_on)}')
        if key is not None and vote_on == "calls":
            check_key(key)
            logger.warning('key compares final answers, which are not voted on: give vote_on="all", or leave it out')
        self.on_unresolved, self.limits = on_unresolved, Limits(max_total_samples, max_cost)
        self.voting = Voting(
            red_flags,
            {
                "k": k,
                "strict_parse": strict_parse,
                "first_temperature": first_temperature,
                "temperature": temperature,
                "max_samples_per_step": max_samples_per_step,
                "min_k": min_k,
                "hedge": hedge,
                "max_concurrency": max_concurrency,
                "call_timeout": call_timeout,
                "outage_limit": outage_limit,
                "price": price,
            },
            answers=None if vote_on == "calls" else key or canonical,
            arguments=arguments,
            events=events,
            observer=observer,
        )

    def __new__(cls, *_: Any, max_total_samples: int | None = None, max_cost: float | None = None, **__: Any) -> Self:
        """Return the kind that has nodes of its own in the agent's graph only where it has a budget to keep."""
        limited = cls is VotingMiddleware and (max_total_samples is not None or max_cost is not None)
        return super().__new__(_Limited if limited else cls)  # type: ignore[return-value]

    def wrap_model_call(self, request: ModelRequest[Any], handler: Callable[[ModelRequest[Any]], Any]) -> Any:
        """Have the model call made by a vote."""
        budget = self._budget(request)
        try:
            with budgeted(budget):
                return handler(self._voting(request))
        except UnresolvedError as error:
            return self._unresolved(error, budget)

    async def awrap_model_call(
        self, request: ModelRequest[Any], handler: Callable[[ModelRequest[Any]], Awaitable[Any]]
    ) -> Any:
        """Have the model call made by a vote."""
        budget = self._budget(request)
        try:
            with budgeted(budget):
                return await handler(self._voting(request))
        except UnresolvedError as error:
            return self._unresolved(error, budget)

    def _budget(self, request: ModelRequest[Any]) -> Budget | None:  # noqa: ARG002 - of the kind that has one
        return None

    def _voting(self, request: ModelRequest[Any]) -> ModelRequest[Any]:
        """Return the same request of a model that votes: the agent binds and reads it as it would the model itself."""
        model = VotingModel(
            voting=self.voting,
            base=request.model,
            bound=request.model,
            answers=_checks_of_answers(request.response_format),
            profile=getattr(request.model, "profile", None),
        )
        return request.override(model=model)

    def _unresolved(self, error: UnresolvedError, budget: Budget | None) -> AIMessage:
        vote = summary(error.decision)
        if budget is not None and (why := budget.why(error.decision)):
            return AIMessage(f"Stopped: {why}.", response_metadata={"vote": {**vote, "status": "stopped"}})
        if self.on_unresolved == "raise":
            raise error
        return AIMessage(f"Unresolved: {error.why}.", response_metadata={"vote": vote})


class _LimitedState(AgentState[Any]):
    vote_run: NotRequired[Annotated[dict[str, Any], PrivateStateAttr]]


class _Limited(VotingMiddleware):
    """The middleware with a budget: what a run of the agent has used is in the agent's state, after each step.

    What a step used that raised is known to the process that ran it.
    """

    state_schema = _LimitedState

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._runs: OrderedDict[str, Visits] = OrderedDict()

    @property
    def name(self) -> str:
        """That of the public class."""
        return VotingMiddleware.__name__

    def before_agent(self, state: Any, runtime: Any) -> dict[str, Any]:  # noqa: ARG002 - as it is called
        """Begin another run of the agent."""
        return {"vote_run": {"id": uuid4().hex, "samples": 0, "cost": 0.0}}

    def after_model(self, state: Any, runtime: Any) -> dict[str, Any]:  # noqa: ARG002 - as it is called
        """Keep what the run has used."""
        run = state["vote_run"]
        spent = total(self._visits(run))
        return {"vote_run": {**run, "samples": spent.samples, "cost": spent.cost}}

    def _budget(self, request: ModelRequest[Any]) -> Budget:
        """Return the budget of a step; one that is retried resumes its vote where a checkpointer has that."""
        state: Any = request.state
        step = str(len(state["messages"])) if has_checkpointer(get_config()) else uuid4().hex
        return Budget(self.limits, self._visits(state["vote_run"]), step)

    def _visits(self, run: Mapping[str, Any]) -> Visits:
        """Return what a run has used, step by step where that was in this process."""
        visits = self._runs.setdefault(run["id"], {"before": Spent(run["samples"], run["cost"])})
        self._runs.move_to_end(run["id"])
        if len(self._runs) > _REMEMBERED:
            self._runs.popitem(last=False)
        return visits


def _checks_of_answers(form: Any) -> dict[str, Check]:
    """Return what structured answers must pass, by the names of their types; the agent knows which they are."""
    schema = form.schema if isinstance(form, (AutoStrategy, ToolStrategy, ProviderStrategy)) else form
    if schema is None:
        return {}
    specs = ToolStrategy(schema).schema_specs
    return {spec.name: type_check(spec.schema) for spec in specs if spec.schema_kind != "json_schema"}


_REMEMBERED: Final = 1024  # runs of an agent
