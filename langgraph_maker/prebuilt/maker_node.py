"""A whole run as one node of anyone's graph."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final, Literal, TypeAlias, cast

from langchain_core.runnables import Runnable, RunnableConfig
from langchain_core.runnables.config import patch_config
from langgraph.config import get_store
from langgraph.graph import START, StateGraph
from langgraph.store.base import BaseStore

from langgraph_maker import journal
from langgraph_maker.core.errors import UnsolvedError
from langgraph_maker.core.foreign import excerpt
from langgraph_maker.nodes.context import MakerContext
from langgraph_maker.nodes.decompose import MOST_ACTIONS
from langgraph_maker.nodes.emit import Events, Host
from langgraph_maker.nodes.langgraph_keys import default_durability, saves_at_exit
from langgraph_maker.nodes.node import Node
from langgraph_maker.nodes.state import MakerInput, MakerState
from langgraph_maker.nodes.tenant import Namespace, checked_tenancy, inside_tenant, tenant_of
from langgraph_maker.prebuilt.host import (
    NO_LIMIT,
    Compiled,
    aread_from,
    areopen,
    awrite_to,
    check_callable,
    check_on_unresolved,
    read_from,
    reopen,
    write_to,
)
from langgraph_maker.prebuilt.recursive.state import RecursiveInput

__all__ = ["create_maker_node"]

Maker: TypeAlias = StateGraph[Any, MakerContext, Any, Any]


def create_maker_node(
    maker: Maker | Callable[[Any], Maker],
    *,
    write: Callable[[Any, Any], Any],
    read: Callable[[Any], MakerInput | RecursiveInput] = lambda _: {},
    events: Events = True,
    ask: Callable[[Any], Any] | None = None,
    on_unresolved: Literal["raise", "write"] = "raise",
    namespace: Namespace | None = None,
) -> Runnable[Any, Any]:
    """Return a node for any graph that solves a task, and touches no key of the host's but those that `write` gives.

    It uses the host's checkpointer and store. A run that broke off or stopped continues, with all that was paid for,
    when the host's thread does (`invoke(None, config)`). Each visit of the node is a run of its own, under the
    host's thread and the visit, so that loops, `Send`, other nodes and other hosts on the same store do not mix.

    Args:
        maker: What `create_maker` or `create_recursive_maker` made; or from the host's state to that, where it says
            what the task is.
        write: From the host's state and the run's output (see `nodes.state.MakerOutput`) to the host's update. A task's
            `actions` are there with a store too, up to 4,096 steps; of a longer run `journal.read` has them. A run has
            no message of its own: what goes into a host's `messages` is worded here.
        read: From the host's state to the run's input, such as `{"run_id": …}` to name the run yourself: visits with
            one run id are one run.
        events: What continues the host's custom stream (`langgraph_maker.events`), see `create_voting_node`.
        ask: How the host words a human's question, see `create_voting_node`.
        on_unresolved: "raise" an `UnsolvedError` unless the run ends as solved, or "write" how it stands, whose
            status then says "unresolved" or "stopped".
        namespace: Whose runs these are, where the maker does not say it itself, see `create_maker`.

    Raises:
        TypeError: For an invalid `maker`; while running, when `read` returns no input or `write` no update.
        ValueError: For another `on_unresolved`; while running, when `read` asks for a key that the host does not have.
        UnsolvedError: While running, see `on_unresolved`.

    Example:
        >>> from langgraph_maker import create_maker
        >>> from langgraph_maker.tasks import TowersOfHanoi
        >>> node = create_maker_node(
        ...     lambda host: create_maker(TowersOfHanoi(host["disks"]), "sim:error=0.01"),
        ...     write=lambda host, run: {"moves": len(run["actions"])},
        ... )
        >>> node.invoke({"disks": 4})
        {'moves': 15}
    """
    check_on_unresolved(on_unresolved)
    check_callable("read", read, "state")
    check_callable("write", write, "state", "run")
    host = Host(events, ask)
    checked_tenancy(namespace)
    fixed = None if callable(maker) else _compiled(maker)

    make = cast("Callable[[Any], Maker]", maker)

    def given(found: Any) -> MakerInput:
        if not isinstance(found, dict) or not found.keys() <= _INPUT:
            raise TypeError(
                f'read returned {excerpt(found)}: what it returns is {{"run_id": …}}, or {{}} for a run id of its own;'
                ' for a recursive maker {"problem": …} as well'
            )
        return cast("MakerInput", found)

    def ended(output: Any) -> Any:
        if output["status"] != "solved" and on_unresolved == "raise":
            raise UnsolvedError(output)
        return output

    def solve(state: Any, config: RunnableConfig) -> Any:
        run, inside = fixed or _compiled(read_from(state, make, "maker")), _inside(config)
        with host.inside(), inside_tenant(tenant_of(namespace, config)):
            reopen(run, inside, _again)
            output = run.invoke(given(read_from(state, read)), inside)
        return write_to(state, write, ended(_with_actions(output, _store())), config)

    async def asolve(state: Any, config: RunnableConfig) -> Any:
        run, inside = fixed or _compiled(await aread_from(state, make, "maker")), _inside(config)
        with host.inside(), inside_tenant(tenant_of(namespace, config)):
            await areopen(run, inside, _again)
            output = await run.ainvoke(given(await aread_from(state, read)), inside)
        return await awrite_to(state, write, ended(await asyncio.to_thread(_with_actions, output, _store())), config)

    return Node("maker", solve, asolve, shows=[fixed] if fixed else [])


def _store() -> BaseStore | None:
    try:
        return get_store()
    except RuntimeError:  # the node is called by itself
        return None


def _with_actions(output: dict[str, Any], store: BaseStore | None) -> dict[str, Any]:
    """Return the output with the actions that the journal has, where the graph's own state has none."""
    if store is None or output.get("actions") is not None or "steps" not in output:  # a recursive run has none
        return output
    few, tenant = output["steps"] <= MOST_ACTIONS, tuple(output.get("namespace") or ())
    actions = (
        [entry["vote"]["action"] for entry in journal.read(store, output["run_id"], namespace=tenant)] if few else None
    )
    return {**output, "actions": actions}


_INPUT: Final = MakerInput.__annotations__.keys() | RecursiveInput.__annotations__.keys()


def _compiled(maker: object) -> Compiled:
    if not isinstance(maker, StateGraph):
        raise TypeError(
            f"maker is what create_maker returns, or a function from the host's state to that, not {excerpt(maker)}"
        )
    return maker.compile(name="maker")


def _inside(config: RunnableConfig) -> RunnableConfig:
    """Return the host's config, but for what would cut a run short, or lose one that stopped and has no journal."""
    if saves_at_exit(config) and get_store() is None:
        config = default_durability(config)
    return patch_config(config, recursion_limit=NO_LIMIT)


def _again(ended: MakerState) -> tuple[dict[str, Any], str]:
    """Have a run that has ended say again how it stands, a solved one too: it is held to what is asked for now."""
    return {"run_id": ended["run_id"]}, START
