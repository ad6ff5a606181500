"""From what is written on a command line to tasks and models."""

from __future__ import annotations

import importlib
import inspect
import json
import re
import sys
from collections.abc import Callable
from dataclasses import fields
from typing import Any, Literal, NamedTuple

import typer

from langgraph_maker.core.red_flags import AnyOf, TokenLimit, Truncated
from langgraph_maker.core.task import Task
from langgraph_maker.models.batches import BatchLimits, BatchSampler
from langgraph_maker.models.batches.limits import OnStop
from langgraph_maker.models.resolve import BATCH, Model, chat_model
from langgraph_maker.simulation.chat_model import simulated_sampler
from langgraph_maker.tasks import (
    BlocksWorld,
    DictionarySum,
    HanoiPositions,
    Ledger,
    Multiplication,
    ProgramLibrary,
    Proof,
    Sorting,
    TowersOfHanoi,
)

__all__ = ["Batches", "arguments", "load_model", "load_task", "margin", "red_flags", "seconds"]

_NAMED: dict[str, Callable[..., Task]] = {
    "blocks-world": BlocksWorld.random,
    "dictionary-sum": DictionarySum.random,
    "hanoi": TowersOfHanoi,
    "hanoi-positions": HanoiPositions.random,
    "ledger": Ledger.random,
    "multiplication": Multiplication.random,
    "programs": ProgramLibrary,
    "proof": Proof.random,
    "sorting": Sorting.random,
}


def load_task(name: str, arguments: dict[str, Any]) -> Task:
    """Return the task of that name, or what the factory "package.module:factory" makes of `arguments`.

    Raises:
        ValueError: When there is no such task, or it refuses its arguments.
    """
    factory: Any = _NAMED.get(name)
    if factory is None:
        module, colon, attribute = name.partition(":")
        if not (colon and module and attribute):
            raise ValueError(f'no task is called {name!r}: it is {", ".join(_NAMED)} or "package.module:factory"')
        if "" not in sys.path:
            sys.path.insert(0, "")  # a task of one's own lies in the folder that one stands in
        try:
            factory = getattr(importlib.import_module(module), attribute)
        except (ImportError, AttributeError) as error:
            raise ValueError(f"{name} cannot be loaded: {error}") from error
    try:
        inspect.signature(factory).bind(**arguments)
    except TypeError as error:
        raise ValueError(f"{name} cannot be made with {arguments}: {error}") from error
    task = factory(**arguments)
    if not isinstance(task, Task):
        raise ValueError(f"{name} returned {type(task).__name__}, not a Task")  # noqa: TRY004 - one kind of usage error
    return task


def load_model(name: str, task: Task, base_url: str | None, seed: int, batches: Batches | None = None) -> Model:
    """Return the model that `name` stands for, asked by batches where these are given, or the name says so.

    Raises:
        ValueError: For an unknown name, a missing key, or a `base_url` or batches that it has no use for.
    """
    if batches is not None and (batches.asked or name.startswith(BATCH)):
        plain = f"openai:{name.removeprefix(BATCH)}" if name.startswith(BATCH) else name
        if not plain.startswith(("openai:", "anthropic:")):
            raise ValueError(f"--batch goes with openai:NAME or anthropic:NAME, not with {name!r}")
        settings = {} if base_url is None else {"base_url": base_url}
        return BatchSampler(chat_model(plain, **settings), limits=batches.limits, on_stop=batches.on_stop)
    if base_url is not None:
        if not name.startswith("openai:"):
            raise ValueError(f"--base-url goes with openai:NAME, not with {name!r}")
        return chat_model(name, base_url=base_url)
    if name.startswith("sim:"):
        return simulated_sampler(name, task, seed=seed)
    return chat_model(name)


class Batches(NamedTuple):
    """What is asked for of batches."""

    asked: bool
    limits: BatchLimits
    on_stop: OnStop

    @classmethod
    def read(cls, asked: bool, text: str | None, on_stop: OnStop) -> Batches:  # noqa: FBT001 - an option
        """Read what `--batch-limits` was given, KEY=VALUE separated by commas.

        Raises:
            ValueError: For what is no limit.

        Example:
            >>> Batches.read(True, "requests=100,delay=0.5", "leave").limits.requests
            100
        """
        known = {field.name for field in fields(BatchLimits)}
        given: dict[str, Any] = {}
        for part in (text or "").split(",") if text else ():
            key, equals, value = part.partition("=")
            if key not in known or not equals:
                raise ValueError(f"--batch-limits takes KEY=VALUE with {', '.join(sorted(known))}, not {part!r}")
            try:
                given[key] = json.loads(value)
            except ValueError:
                raise ValueError(f"--batch-limits: {key} must be a number, got {value!r}") from None
        return cls(asked, BatchLimits(**given), on_stop)


def arguments(disks: int | None, settings: list[str]) -> dict[str, Any]:
    """Return what `--disks` and `--set KEY=VALUE` give to a task's factory.

    Raises:
        ValueError: For an invalid setting, or given twice.
    """
    given: dict[str, Any] = {} if disks is None else {"disks": disks}
    for setting in settings:
        key, equals, value = setting.partition("=")
        if not equals or not key.isidentifier():
            raise ValueError(f"--set takes KEY=VALUE, not {setting!r}")
        if key in given:
            raise ValueError(f"{key} is given twice")
        try:
            given[key] = json.loads(value)
        except ValueError:
            given[key] = value
    return given


def margin(text: str) -> int | Literal["auto"]:
    """Read what `--k` was given.

    Raises:
        BadParameter: When it is neither a whole number nor "auto".
    """
    if text == "auto":
        return "auto"
    try:
        return int(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is no whole number, and not auto", param_hint="'--k'") from None


def red_flags(token_limit: int) -> AnyOf:
    """Return the red flags of a run, with a token limit of its own.

    Raises:
        ValueError: When it is no whole number of at least 1.
    """
    return TokenLimit(token_limit) | Truncated()


def seconds(text: str) -> float:
    """Read a time such as "90", "90s", "15m" or "2h".

    Raises:
        ValueError: For anything else.

    Example:
        >>> seconds("15m")
        900.0
    """
    read = re.fullmatch(r"(\d{1,9}(?:\.\d{1,9})?)([smh]?)", text.strip())
    if read is None or float(read[1]) == 0:
        raise ValueError(f"a time is seconds above 0, or like 15m or 2h, not {text!r}")
    return float(read[1]) * {"": 1, "s": 1, "m": 60, "h": 3600}[read[2]]
