"""What a model may be: names, chat models, Runnables around them, samplers."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet
from importlib.util import find_spec
from typing import Any, Final, TypeAlias, cast

from langchain_core.language_models import BaseChatModel
from langchain_core.output_parsers import BaseOutputParser, StrOutputParser
from langchain_core.prompts import BasePromptTemplate
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import (
    Runnable,
    RunnableAssign,
    RunnableBinding,
    RunnableBranch,
    RunnableParallel,
    RunnableSequence,
    RunnableWithFallbacks,
)
from langchain_core.runnables.base import RunnableBindingBase
from langchain_core.tools import BaseTool
from langgraph.graph import StateGraph
from langgraph.pregel.protocol import PregelProtocol

from langgraph_maker.core.foreign import excerpt
from langgraph_maker.core.state import Sampler

__all__ = ["BATCH", "Model", "chat_model", "check_model", "each_chat_model", "is_simulated", "model_name"]

BATCH: Final = "openai-batch:"
"""What the name of a model begins with that is asked by OpenAI's Batch API."""
Model: TypeAlias = str | BaseChatModel | Runnable[Any, Any] | Sampler
"""A chat model, a Runnable from messages to a message, "provider:name", or a `Sampler`."""


def chat_model(name: str, **settings: Any) -> BaseChatModel:
    """Return the chat model that "provider:name" stands for, with further `settings` such as `base_url`.

    Raises:
        ValueError: When the name has no provider, the provider's package or its key is missing.

    Example:
        >>> chat_model("gpt-4.1-mini")
        Traceback (most recent call last):
        ValueError: unknown model 'gpt-4.1-mini': use 'openai:NAME', 'sim:NAME' or another 'provider:NAME'
    """
    provider, colon, model = name.partition(":")
    if not (provider and colon and model):
        raise ValueError(f"unknown model {excerpt(name)}: use 'openai:NAME', 'sim:NAME' or another 'provider:NAME'")
    if provider == "openai":
        if not (settings.get("api_key") or os.environ.get("OPENAI_API_KEY")):
            raise ValueError(
                f"{name} needs a key: set the environment variable OPENAI_API_KEY"
                " (to anything, for a server that asks for none)"
            )
        from langchain_openai import ChatOpenAI  # noqa: PLC0415 - a second to import, and often not needed

        return ChatOpenAI(model=model, **settings)
    if find_spec("langchain") is None:
        raise ValueError(
            f"unknown model {excerpt(name)}: for {provider!r} models, pip install langchain langchain-{provider}"
        )
    from langchain.chat_models import init_chat_model  # noqa: PLC0415 - optional

    try:
        return cast("BaseChatModel", init_chat_model(name, **settings))
    except (ImportError, ValueError) as error:
        raise ValueError(f"unknown model {excerpt(name)}: {str(error).splitlines()[0]}") from error


def check_model(model: object) -> None:
    """Refuse what takes or gives something else than a model does: messages, and a message or a text.

    Raises:
        TypeError: With what to give instead.
    """
    kind = type(model).__name__
    if isinstance(model, type):
        raise TypeError(f"model is the class {model.__name__}: give a model, such as {model.__name__}(…)")
    if isinstance(model, (PregelProtocol, StateGraph)):
        raise TypeError(
            f"model is a graph ({kind}), which takes and gives a state: give the chat model itself, or where the graph"
            ' is what answers, RunnableLambda(lambda messages: {"messages": messages}) | graph |'
            ' RunnableLambda(lambda state: state["messages"][-1])'
        )
    steps = model.steps if isinstance(model, RunnableSequence) else [model]
    if isinstance(steps[0], BasePromptTemplate):
        first = type(steps[0]).__name__
        raise TypeError(f"model begins with a template ({first}): give that as prompt, and the rest as model")
    if isinstance(steps[-1], BaseOutputParser) and not isinstance(steps[-1], StrOutputParser):
        raise TypeError(
            f"model ends in a parser ({type(steps[-1]).__name__}), which hides how a response ended: give the chat"
            " model itself, and schema= or parse= for what the parser does; with_structured_output needs"
            " include_raw=True"
        )
    if isinstance(model, (BaseTool, BaseRetriever)):
        raise TypeError(f"model is a {kind}, which answers no messages: give a chat model")


def model_name(model: Model) -> str:
    """Return what to call a model in a record: never its settings, which may hold a key."""
    if isinstance(model, str):
        return model
    inner: Any = model
    while isinstance(inner, RunnableBinding):
        inner = inner.bound
    name = getattr(inner, "model_name", None) or getattr(inner, "model", None)
    kind = type(inner).__name__
    return f"{kind} {name}" if isinstance(name, str) else getattr(inner, "__name__", kind)


def is_simulated(model: Model) -> bool:
    """Return whether a model, or the one of a name, is a simulated one.

    Example:
        >>> is_simulated("sim:gpt-4.1-mini"), is_simulated("openai:gpt-4.1-mini")
        (True, False)
    """
    return model_name(model).startswith(("sim:", "Simulated"))


def each_chat_model(
    model: Runnable[Any, Any],
    change: Callable[[BaseChatModel], Runnable[Any, Any]],
    *,
    lose: AbstractSet[str] = frozenset(),
    choose: Callable[[Runnable[Any, Any]], Runnable[Any, Any] | None] = lambda _: None,
) -> Runnable[Any, Any]:
    """`model` with every chat model in it changed: inside bindings, retries, fallbacks, sequences, parallels, branches.

    What bindings bind is kept, but for the arguments to `lose`. What `choose` gives takes the place of a part as it is.
    """

    def inside(part: Any) -> Any:
        return each_chat_model(part, change, lose=lose, choose=choose)

    if isinstance(model, BaseChatModel):
        return change(model)
    if (instead := choose(model)) is not None:
        return instead
    for kind, parts in _PARTS:
        if isinstance(model, kind):
            changed = parts(model, inside)
            if "kwargs" in changed:
                changed["kwargs"] = {name: value for name, value in changed["kwargs"].items() if name not in lose}
            return cast("Runnable[Any, Any]", cast("Any", model).model_copy(update=changed))
    return model


_PARTS: Final[Sequence[tuple[type, Callable[[Any, Callable[[Any], Any]], dict[str, Any]]]]] = (
    (RunnableBindingBase, lambda it, inside: {"bound": inside(it.bound), "kwargs": it.kwargs}),
    (
        RunnableWithFallbacks,
        lambda it, inside: {"runnable": inside(it.runnable), "fallbacks": [inside(one) for one in it.fallbacks]},
    ),
    (
        RunnableSequence,
        lambda it, inside: dict(
            zip(("first", "middle", "last"), _ends([inside(step) for step in it.steps]), strict=True)
        ),
    ),
    (RunnableParallel, lambda it, inside: {"steps__": {name: inside(step) for name, step in it.steps__.items()}}),
    (RunnableAssign, lambda it, inside: {"mapper": inside(it.mapper)}),
    (
        RunnableBranch,
        lambda it, inside: {
            "branches": [(inside(condition), inside(branch)) for condition, branch in it.branches],
            "default": inside(it.default),
        },
    ),
)
"""Where a Runnable has Runnables in it: its kind, and its fields with these changed."""


def _ends(steps: list[Any]) -> tuple[Any, list[Any], Any]:
    return steps[0], steps[1:-1], steps[-1]
