"""What tracers record of our nodes: figures, not the state, which every superstep of a long run would repeat."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from langgraph import types

__all__ = ["TRACED", "figures"]


def figures(state: Any) -> Any:
    """Return what of a node's input or output a trace has: how the ballots are, and no content.

    Example:
        >>> figures({"run_id": "a", "ballots": [{"status": "open", "samples": 4}], "decisions": []})
        {'run_id': 'a', 'ballots': {'open': 1}, 'samples': 4, 'decisions': 0}
    """
    if not isinstance(state, Mapping):
        return {"type": type(state).__name__}
    seen: dict[str, Any] = {}
    for name, value in state.items():
        if name == "ballots" and value:
            statuses = [ballot["status"] for ballot in value]
            seen[name] = {status: statuses.count(status) for status in dict.fromkeys(statuses)}
            seen["samples"] = sum(ballot["samples"] for ballot in value)
        elif isinstance(value, (list, dict)):
            seen[name] = len(value)
        elif name in _PLAIN:
            seen[name] = value
    return seen


_PLAIN: Final = ("run_id", "started", "status", "steps", "revision", "in_flight", "draining")
_policy: Any = getattr(types, "TracePolicy", None)  # of LangGraph 1.2.12 and later

TRACED: Final[dict[str, Any]] = (
    {"trace_policy": _policy(process_inputs=figures, process_outputs=figures)} if _policy else {}
)
"""Arguments of `add_node` that keep the state out of traces, where LangGraph can."""
