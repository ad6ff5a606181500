"""What a run has done so far: sums over its committed steps, the same size however many there are."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from hashlib import blake2b
from itertools import zip_longest
from typing import Any, Final, cast

from langgraph_maker.core.events import OpenBallots, Totals
from langgraph_maker.core.state import Usage, no_usage, total_usage
from langgraph_maker.journal.records import Entry
from langgraph_maker.theory.mixture import shape

__all__ = ["add", "nothing", "summed", "summed_open"]

_HARDEST = 10


def nothing() -> Totals:
    """Return the totals of no step."""
    return {
        "steps": 0,
        "samples": 0,
        "flagged": 0,
        "flags": {},
        "rounds": 0,
        "cancelled": 0,
        "usage": no_usage(),
        "digest": f"{0:032x}",
        "votes": 0,
        "lost": 0,
        "climbed": 0,
        "by_human": 0,
        "by_split": 0,
        "audits": 0,
        "disagreed": 0,
        "drifted": 0,
        "flagged_steps": 0,
        "alike": 0,
        "unlike": 0,
        "votes_per_step": [],
        "samples_per_step": [],
        "margins": [],
        "contested": [],
        "shapes": {},
        "above": {},
        "given_up": {},
        "timeouts": 0,
        "timed_out": 0,
        "timed_out_contested": 0,
        "last_lost": 0,
        "first_lost": 0,
        "hardest": [],
        "signals": {},
    }


def add(totals: Totals, committed: Iterable[tuple[Entry, str]]) -> Totals:
    """Return the totals with entries more, each given with the key of its vote.

    The digest is a sum over steps, so the order in which they were decided is no matter.
    """
    totals = {
        **totals,
        "votes_per_step": totals["votes_per_step"].copy(),
        "samples_per_step": totals["samples_per_step"].copy(),
        "margins": totals["margins"].copy(),
        "shapes": totals["shapes"].copy(),
        "hardest": totals["hardest"].copy(),
    }
    digest = int(totals["digest"], 16)
    used: list[Usage] = [totals["usage"]]
    hardest = totals["hardest"]
    least, latest = _bar(hardest)
    for entry, key in committed:
        votes, samples = entry["votes"], entry["samples"]
        totals["steps"] += 1
        totals["samples"] += samples
        totals["rounds"] += entry["rounds"]
        totals["cancelled"] += entry["cancelled"]
        used.append(cast("Usage", entry))
        _count(totals["samples_per_step"], samples)
        if entry["flags"]:
            _add_flags(totals, entry["flags"])
            totals["flagged_steps"] += not entry["finer"]  # so many samples would be an alarm
        if entry["human"]:  # no vote of a model decided it
            totals["by_human"] += 1
        elif entry["finer"]:  # votes on other steps did
            totals["by_split"] += 1
        else:
            totals["votes"] += votes
            _count(totals["votes_per_step"], votes)
            _count(totals["margins"], entry["margin"])
            _add_shape(totals, entry)
            if votes > entry["winner_votes"]:
                _add_lost(totals, entry)
        if entry["tier"] or entry["audits"] or entry["given_up"]:
            _add_climb(totals, entry)
        if entry["timeouts"] or entry["late"]:
            _add_latency(totals, entry)
        if entry["alike"] or entry["signals"]:
            _add_signals(totals, entry)
        if samples > least or (samples == least and entry["step"] < latest):
            hardest.append([samples, entry["step"]])
            hardest.sort(key=_hardest_first)
            del hardest[_HARDEST:]
            least, latest = _bar(hardest)
        digest += int.from_bytes(blake2b(f"{entry['step']}:{key}".encode(), digest_size=16).digest())
    totals["digest"] = f"{digest % 2**128:032x}"
    totals["usage"] = total_usage(used)
    return totals


def summed(parts: Sequence[Totals]) -> Totals:
    """Return the totals of steps of which each part has some."""
    total: dict[str, Any] = dict(nothing())
    for part in parts:
        total |= {name: _sum(total[name], value) for name, value in part.items() if name not in _APART}
    digest = sum(int(part["digest"], 16) for part in parts) % 2**128
    hardest = sorted((pair for part in parts for pair in part["hardest"]), key=_hardest_first)[:_HARDEST]
    usage = total_usage([no_usage(), *(part["usage"] for part in parts)])
    return cast("Totals", {**total, "digest": f"{digest:032x}", "hardest": hardest, "usage": usage})


def summed_open(parts: Sequence[OpenBallots], none: OpenBallots) -> OpenBallots:
    """Return what the open ballots of all parts amount to; `none` is that of no ballot."""
    total: dict[str, Any] = dict(none)
    for part in parts:
        total |= {name: _sum(total[name], value) for name, value in part.items() if name != "most_votes"}
    return cast("OpenBallots", {**total, "most_votes": max((part["most_votes"] for part in parts), default=0)})


def _sum(one: Any, other: Any) -> Any:
    """Return the sum of two counts, histograms, counts by name, or dollars of which some may not be known."""
    if isinstance(one, list):
        return [a + b for a, b in zip_longest(one, other, fillvalue=0)]
    if isinstance(one, dict):
        return {name: one.get(name, 0) + other.get(name, 0) for name in {**one, **other}}
    return None if one is None or other is None else one + other


_APART: Final = frozenset({"digest", "usage", "hardest"})


def _add_flags(totals: Totals, flags: dict[str, int]) -> None:
    totals["flags"] = totals["flags"].copy()
    for reason, count in flags.items():
        totals["flags"][reason] = totals["flags"].get(reason, 0) + count
        totals["flagged"] += count


def _add_shape(totals: Totals, entry: Entry) -> None:
    seen = shape(entry["votes"], entry["winner_votes"], entry["margin"])
    if entry["tier"]:
        totals["above"] = _more(totals["above"], [seen])
    else:
        totals["shapes"][seen] = totals["shapes"].get(seen, 0) + 1


def _add_climb(totals: Totals, entry: Entry) -> None:
    totals["climbed"] += entry["tier"] > 0
    totals["audits"] += entry["audits"]
    totals["disagreed"] += entry["disagreed"]
    totals["given_up"] = _more(totals["given_up"], entry["given_up"])


def _add_latency(totals: Totals, entry: Entry) -> None:
    totals["timeouts"] += entry["timeouts"]
    totals["timed_out"] += entry["timeouts"] > 0
    totals["timed_out_contested"] += entry["timeouts"] > 0 and entry["votes"] > entry["winner_votes"]
    if entry["late"]:
        totals["last_lost" if entry["late"] > 0 else "first_lost"] += 1


def _add_lost(totals: Totals, entry: Entry) -> None:
    lost = entry["votes"] - entry["winner_votes"]
    totals["lost"] += lost
    totals["drifted"] += entry["drifted"] > 0
    totals["contested"] = totals["contested"].copy()
    _count(totals["contested"], entry["margin"])


def _more(counts: dict[str, int], shapes: Iterable[str]) -> dict[str, int]:
    counts = counts.copy()
    for one in shapes:
        counts[one] = counts.get(one, 0) + 1
    return counts


def _add_signals(totals: Totals, entry: Entry) -> None:
    if entry["alike"]:
        totals["alike" if entry["alike"] > 0 else "unlike"] += 1
    totals["signals"] = totals["signals"].copy()
    for name, value in entry["signals"].items():
        totals["signals"][name] = totals["signals"].get(name, 0) + value


def _bar(hardest: list[list[int]]) -> tuple[int, int]:
    """Return the samples and the step of the last among the hardest, which a step must pass to be one of them."""
    return (hardest[-1][0], hardest[-1][1]) if len(hardest) == _HARDEST else (0, 0)


def _hardest_first(pair: list[int]) -> tuple[int, int]:
    return -pair[0], pair[1]


def _count(histogram: list[int], value: int) -> None:
    if value >= len(histogram):
        histogram.extend([0] * (value + 1 - len(histogram)))
    histogram[value] += 1
