"""Why a run is not solved: a code for programs, and a sentence for people.

Codes are the same in every version; sentences are not.

| code | the run |
|---|---|
| `no_convergence` | has a step on which no answer led by the margin within its samples |
| `all_flagged` | has a step whose samples were all red-flagged |
| `aborted` | has a step that a human gave up |
| `wrong_end` | did all its steps, and its task is not done: at least one step is wrong |
| `segment_mismatch` | has a lane that ended in another state than the next one began from |
| `tree_limit` | (recursive) may not be split on, or tried again, within `max_depth`, `max_nodes` or `max_attempts` |
| `waiting` | waits for a human's answer |
| `budget` | reached `max_total_samples` or `max_cost` |
| `cost_unknown` | has a `max_cost`, and what it costs is not known |
| `deadline` | reached its deadline |
| `stop_requested` | was stopped by `stop` |
| `outage` | could make no more model calls |
| `recursion_limit` | reached the supersteps of its invocation |
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Literal, NamedTuple, TypeAlias

__all__ = ["UNRESOLVED", "Reason", "ReasonCode", "Stop", "stop_reason"]

ReasonCode: TypeAlias = Literal[
    "",
    "no_convergence",
    "all_flagged",
    "aborted",
    "wrong_end",
    "segment_mismatch",
    "tree_limit",
    "waiting",
    "budget",
    "cost_unknown",
    "deadline",
    "stop_requested",
    "outage",
    "recursion_limit",
]
"""Why a run is not solved; "" for one that is, or that is under way."""


UNRESOLVED: Final[frozenset[ReasonCode]] = frozenset(
    {"no_convergence", "all_flagged", "aborted", "wrong_end", "segment_mismatch"}
)
"""Why a run is "unresolved"."""


class Reason(NamedTuple):
    """Why a run ends as it does: its `code`, and in words."""

    code: ReasonCode = ""
    text: str = ""


Stop: TypeAlias = Callable[[], bool | str | Reason]
"""Says whether to stop: False, True, or why."""


def stop_reason(stop: Stop, unsaid: str = "stopped on request") -> Reason | None:
    """Return why a run is to stop, None where it is not; `unsaid` is the text of one that does not say.

    Example:
        >>> stop_reason(lambda: False), stop_reason(lambda: "it is night")
        (None, Reason(code='stop_requested', text='it is night'))
    """
    if not (said := stop()):
        return None
    if isinstance(said, Reason):
        return said
    return Reason("stop_requested", said if isinstance(said, str) else unsaid)
