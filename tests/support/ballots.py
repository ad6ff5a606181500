"""Simulated votes as the counts of a run, without a graph: many runs a second, for statistics."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from langgraph_maker.core.events import RoundEnded, RunStarted, Totals
from langgraph_maker.nodes.totals import nothing
from langgraph_maker.runs.monitor.outlook import NONE_OPEN
from langgraph_maker.theory.mixture import shape

Votes = NDArray[np.int64]


def voted(random: np.random.Generator, p: Any, k: int, shape: tuple[int, ...]) -> Votes:
    """Votes cast until one of two answers led by k; p is of the right one, a number or one a ballot."""
    right = np.broadcast_to(p, shape).ravel()
    lead, votes = np.zeros(right.size, int), np.zeros(right.size, int)
    going = np.arange(right.size)
    while going.size:
        lead[going] += np.where(random.random(going.size) < right[going], 1, -1)
        votes[going] += 1
        going = going[np.abs(lead[going]) < k]
    return votes.reshape(shape)


def totals_of(votes: Votes, k: int, **more: Any) -> Totals:
    """The totals of decided ballots, each with so many votes; without flags."""
    lost = (votes - k) // 2
    counted: dict[str, Any] = {
        **nothing(),
        "steps": votes.size,
        "samples": int(votes.sum()),
        "votes": int(votes.sum()),
        "lost": int(lost.sum()),
        "votes_per_step": np.bincount(votes).tolist(),
        "samples_per_step": np.bincount(votes).tolist(),
        "margins": [0] * k + [votes.size],
        "contested": [0] * k + [int((lost > 0).sum())],
        "shapes": shapes_of(votes, k),
        **more,
    }
    return cast("Totals", counted)


def shapes_of(votes: Votes, k: int) -> dict[str, int]:
    """The shapes of decided ballots, each with so many votes."""
    return {shape(n, (n + k) // 2, k): int(count) for n, count in enumerate(np.bincount(votes.ravel())) if count}


def begun(k: int, limit: int) -> RunStarted:
    """A run that begins."""
    return {
        "event": "run.started",
        "run_id": "r",
        "task": "simulated",
        "k": k,
        "raised": 0,
        "limit": limit,
        "totals": nothing(),
        "open": NONE_OPEN,
        "kept": None,
        "settings": {},
        "in_flight_lost": 0,
        "alarms": [],
    }


def round_of(totals: Totals) -> RoundEnded:
    """A round after which a run has these totals; nothing is open."""
    return {
        "event": "round.ended",
        "run_id": "r",
        "steps": 0,
        "samples": 0,
        "votes": 0,
        "winner_votes": 0,
        "flags": {},
        "lanes": 1,
        "totals": totals,
        "open": NONE_OPEN,
    }


def rounds(votes: Votes, k: int, each: int, **more: Votes) -> Iterator[RoundEnded]:
    """A run's rounds of `each` steps; `more` are counts a step of what stands in totals under that name."""
    for end in range(each, votes.size + 1, each):
        counts = {name: int(counted[:end].sum()) for name, counted in more.items()}
        yield round_of(totals_of(votes[:end], k, **counts))
