"""What an observer gets of one vote of a node or an agent."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import time_ns
from typing import TypeAlias

from langgraph.errors import GraphBubbleUp

from langgraph_maker.core.errors import UnresolvedError
from langgraph_maker.core.events import VoteEnded
from langgraph_maker.core.margin import margin_asked
from langgraph_maker.core.state import Decision
from langgraph_maker.nodes.context import overrides

__all__ = ["VoteObserver", "watched"]

VoteObserver: TypeAlias = Callable[[VoteEnded], object]


@contextmanager
def watched(observer: VoteObserver | None, k: int, min_k: int | None) -> Iterator[Callable[[Decision], None]]:
    """Give the observer the end of the vote in here; what is yielded takes the decision."""
    started, ended = time_ns(), list[Decision]()

    def tell(outcome: str) -> None:
        if observer is not None:
            margin = margin_asked(k, overrides(), min_k)
            decision = ended[0] if ended else None
            observer({"event": "vote.ended", "k": margin, "outcome": outcome, "decision": decision, "started": started})

    try:
        yield ended.append
    except BaseException as error:
        if isinstance(error, UnresolvedError):
            ended.append(error.decision)
        tell("unresolved" if ended else "interrupted" if isinstance(error, GraphBubbleUp) else "failed")
        raise
    tell(ended[0]["status"])
