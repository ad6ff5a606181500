"""Rounds of a run with many lanes whose votes arrive one by one, without a graph, for statistics."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, cast

import numpy as np
from ballots import round_of
from numpy.typing import NDArray

from langgraph_maker.core.events import RoundEnded, Totals
from langgraph_maker.nodes.totals import nothing
from langgraph_maker.runs.monitor.outlook import NONE_OPEN
from langgraph_maker.theory.mixture import shape

Floats = NDArray[np.float64]

P = Callable[[NDArray[np.int64], float], Floats | float]
"""From steps, and the share of the run's steps that are started, to the p of a vote."""


def arriving(
    random: np.random.Generator,
    p: P,
    k: int,
    steps: int,
    lanes: int,
    *,
    arrives: float = 1.0,
    flags: P = lambda _steps, _share: 0.0,
    repeats: float = 0.0,
    by_step: Callable[[NDArray[np.int64]], NDArray[np.int64]] | None = None,
) -> Iterator[RoundEnded]:
    """Yield the rounds of a run of so many steps.

    Args:
        random: Where votes come from.
        p: Of a vote.
        k: The margin.
        steps: Of the run; lanes are stretches of it.
        lanes: How many.
        arrives: The share of open ballots that get a vote in a round.
        flags: Probability that a vote comes with a flagged sample before it.
        repeats: Probability that a vote repeats the first one of its ballot, as from a cache.
        by_step: From steps to a k of their own.
    """
    cuts = np.arange(lanes + 1) * steps // lanes
    at, ends = cuts[:-1].copy(), cuts[1:]
    margin_of = by_step or (lambda some: np.full(some.size, k))
    lead, votes, lost_side = (np.zeros(lanes, int) for _ in range(3))
    first = np.zeros(lanes, int)
    flagged = np.zeros(lanes, bool)
    begun, width = lanes, k + 200
    counts = {name: np.zeros(width, int) for name in ("votes", "margins", "contested")}
    shapes = dict[str, int]()
    done = lost = lost_squared = lost_times = flagged_steps = 0
    while (going := np.flatnonzero(at < ends)).size:
        now = going if arrives >= 1 else going[random.random(going.size) < arrives]
        if not now.size:
            continue
        share = begun / steps
        right = random.random(now.size) < p(at[now], share)
        again = (random.random(now.size) < repeats) & (votes[now] > 0)
        side = np.where(again, first[now], np.where(right, 1, -1))
        first[now] = np.where(votes[now] == 0, side, first[now])
        flagged[now] |= random.random(now.size) < flags(at[now], share)
        lead[now] += side
        votes[now] += 1
        lost_side[now] += side != first[now]
        own = margin_of(at[now])
        closed = np.abs(lead[now]) >= own
        over, margins = now[closed], own[closed]
        losing = (votes[over] - margins) // 2
        np.add.at(counts["votes"], votes[over], 1)
        np.add.at(counts["margins"], margins, 1)
        np.add.at(counts["contested"], margins[losing > 0], 1)
        for n, k_of in zip(votes[over].tolist(), margins.tolist(), strict=True):
            name = shape(n, (n + k_of) // 2, k_of)
            shapes[name] = shapes.get(name, 0) + 1
        done += over.size
        lost, lost_squared = lost + int(losing.sum()), lost_squared + int((losing**2).sum())
        lost_times += int((losing * votes[over]).sum())
        flagged_steps += int(flagged[over].sum())
        at[over] += 1
        begun += int((at[over] < ends[over]).sum())
        still = now[~closed] if arrives >= 1 else np.setdiff1d(going, over)
        contested = (lost_side[still] > 0) & (lost_side[still] < votes[still])
        totals: dict[str, Any] = {
            **nothing(),
            "steps": done,
            "samples": int((counts["votes"] * np.arange(width)).sum()),
            "votes": int((counts["votes"] * np.arange(width)).sum()),
            "lost": lost,
            "shapes": shapes.copy(),
            "lost_squared": lost_squared,
            "lost_times_votes": lost_times,
            "flagged_steps": flagged_steps,
            "flags": {"bad": flagged_steps},
            "votes_per_step": np.trim_zeros(counts["votes"], "b").tolist(),
            "margins": np.trim_zeros(counts["margins"], "b").tolist(),
            "contested": np.trim_zeros(counts["contested"], "b").tolist(),
        }
        event = round_of(cast("Totals", totals))
        event["lanes"] = int((at < ends).sum())
        event["open"] = {
            **NONE_OPEN,
            "ballots": int(still.size),
            "samples": int(votes[still].sum()),
            "contested": int(contested.sum()),
            "flagged_steps": int(flagged[still].sum()),
            "most_votes": int(votes[still].max(initial=0)),
        }
        yield event
        lead[over] = votes[over] = lost_side[over] = 0
        flagged[over] = False
