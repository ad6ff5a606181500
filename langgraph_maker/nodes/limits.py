"""What bounds a run, and what it is called: shared by all graphs that have runs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any
from uuid import uuid4

from langchain_core.runnables import RunnableConfig

from langgraph_maker.core.reasons import Reason
from langgraph_maker.core.state import Usage, total_usage
from langgraph_maker.journal import records
from langgraph_maker.nodes.langgraph_keys import outer_visit

__all__ = ["overspent", "run_id_of"]


def run_id_of(state: Mapping[str, Any], config: RunnableConfig) -> str:
    """Return the run's id: as given, else the thread's, in a host this visit of the node there; else a fresh one."""
    run_id = state.get("run_id")
    if run_id is None:
        run_id = config.get("configurable", {}).get("thread_id") or uuid4().hex
        if inside := outer_visit(config):
            run_id = f"{run_id}/{inside}"
    return records.check_id(run_id)


def overspent(
    samples: int, usages: Iterable[Usage], *, max_total_samples: int | None = None, max_cost: float | None = None
) -> Reason | None:
    """Return which limit of a run is reached, if one is."""
    if max_total_samples is not None and samples >= max_total_samples:
        return Reason("budget", f"{samples:,} samples were drawn, and the limit is {max_total_samples:,}: raise it")
    if max_cost is not None:
        cost = total_usage(usages)["cost"]
        if cost is None:
            return Reason(
                "cost_unknown",
                "what the run costs is not known, and it has a limit: give the price of the model, or no max_cost where"
                " its responses do not say what they used",
            )
        if cost >= max_cost:
            return Reason("budget", f"${cost:,.2f} were spent, and the limit is ${max_cost:,.2f}: raise it")
    return None
