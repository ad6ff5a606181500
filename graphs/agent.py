"""An agent for LangGraph Studio whose every step is voted on: which tool it calls with what, and what it answers.

It knows a small shop's prices and takes orders, which cannot be taken back. The model is a simulated one that needs no
key, errs now and then, and understands little more than "What is a bolt?" and "Order 40 bolts".
"""

import re
from collections.abc import Awaitable, Callable, Sequence
from functools import lru_cache
from hashlib import blake2b
from itertools import count
from typing import Any, Final

from langchain.agents import create_agent
from langchain.agents.middleware import AgentMiddleware, ModelRequest
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.runnables import Runnable
from pydantic import Field

from langgraph_maker import MakerContext
from langgraph_maker.matchers import text
from langgraph_maker.middleware import VotingMiddleware
from langgraph_maker.models.resolve import chat_model
from langgraph_maker.testing import tool_call

SIMULATED: Final = "simulated"
PRICES: Final = {"bolt": 0.25, "nut": 0.15, "washer": 0.05}


def _setting(default: Any, description: str, **bounds: Any) -> Any:
    return Field(default, description=description, json_schema_extra={"langgraph_nodes": ["model"]}, **bounds)


class Settings(MakerContext):
    """Who decides each step, and when a step counts as decided."""

    model: str = _setting(
        SIMULATED,
        "Who is asked. 'simulated' needs no key and knows little; else 'provider:name', such as 'openai:gpt-4.1-mini',"
        " with its key in the environment.",
    )
    k: int = _setting(3, "Votes by which one next step must lead every other.", ge=1, le=100)
    first_temperature: float = _setting(0.0, "Temperature of the first sample of each step.", ge=0, le=2)
    temperature: float = _setting(0.1, "Temperature of all later samples.", ge=0, le=2)
    max_samples_per_step: int = _setting(
        None, "Samples after which a step is unresolved, at least k; empty for 10 k², and at least 100.", ge=1
    )


def price(article: str) -> str:
    """Look up what one piece of an article costs."""
    known = f"no such article; there are {', '.join(PRICES)}"
    return f"{PRICES[article]:.2f} euros" if article in PRICES else known


def order(article: str, pieces: int) -> str:
    """Place an order, which cannot be taken back."""
    return f"ordered {pieces} of {article}"


class Simulated(BaseChatModel):
    """Stands in for a chat model that calls tools. What it says is simulated: one answer in ten is wrong, by lot."""

    @property
    def _llm_type(self) -> str:
        return SIMULATED

    def bind_tools(self, tools: Sequence[Any], **kwargs: Any) -> Runnable[Any, AIMessage]:
        """The tools are those of this file."""
        return self.bind(tools=tools, **kwargs)

    def _generate(self, messages: list[BaseMessage], *_: Any, **__: Any) -> ChatResult:
        return ChatResult(generations=[ChatGeneration(message=_step(messages, wrong=_lot(10) == 0))])


def _step(messages: Sequence[BaseMessage], *, wrong: bool) -> AIMessage:
    last = messages[-1]
    asked = next((message.text for message in reversed(messages) if isinstance(message, HumanMessage)), "").lower()
    article = next((name for name in PRICES if name in asked), None)
    if isinstance(last, ToolMessage):
        return AIMessage(f"{'No idea' if wrong else last.text.capitalize()} (a simulated model).")
    if article is None:
        return AIMessage(f"Ask for one of {', '.join(PRICES)} (a simulated model).")
    if pieces := re.search(r"order\D{0,20}(\d{1,6})", asked):
        return tool_call("order", article=article, pieces=int(pieces[1]) * (10 if wrong else 1))
    return tool_call("price", article=f"{article}s" if wrong else article)


_drawn = count()


def _lot(of: int) -> int:
    return int.from_bytes(blake2b(str(next(_drawn)).encode(), digest_size=8).digest()) % of


class ChosenModel(AgentMiddleware[Any, Any, Any]):
    """Has the model of the settings asked."""

    def wrap_model_call(self, request: ModelRequest[Any], handler: Callable[[ModelRequest[Any]], Any]) -> Any:
        """Choose, then ask."""
        return handler(_chosen(request))

    async def awrap_model_call(
        self, request: ModelRequest[Any], handler: Callable[[ModelRequest[Any]], Awaitable[Any]]
    ) -> Any:
        """Choose, then ask."""
        return await handler(_chosen(request))


def _chosen(request: ModelRequest[Any]) -> ModelRequest[Any]:
    name = (request.runtime.context or Settings()).model
    return request if name == SIMULATED else request.override(model=_model(name))


_model = lru_cache(maxsize=16)(chat_model)  # one client, and what it has learned of its provider


graph = create_agent(
    Simulated(),
    [price, order],
    system_prompt="You work in a shop. Use the tools; answer in one short sentence.",
    middleware=[ChosenModel(), VotingMiddleware(min_k=1, vote_on="all", key=text, on_unresolved="end")],
    context_schema=Settings,
    name="agent",
)
