"""Follows a run by its events: what it amounts to so far, and alarms when its assumptions stop holding.

A `Monitor` is what `solve` watches its runs with. Give one to `create_maker` as `observer` to have its alarms on the
custom stream of a graph of your own.

    >>> from langgraph_maker import create_maker
    >>> from langgraph_maker.tasks import TowersOfHanoi
    >>> monitor = Monitor()
    >>> result = create_maker(TowersOfHanoi(6), "sim:error=0.05", k=4, observer=monitor).compile().invoke({})
    >>> monitor.outlook().steps, monitor.outlook().alarms
    (63, [])
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from typing import Any, Final

from langgraph_maker.core.events import Alarm, Event, Observer, OpenBallots, RunStarted, Totals
from langgraph_maker.core.margin import RaisableMargin
from langgraph_maker.nodes.totals import nothing
from langgraph_maker.runs.calibration.result import Calibration
from langgraph_maker.runs.monitor.alarms import Alarms
from langgraph_maker.runs.monitor.baseline import Baseline
from langgraph_maker.runs.monitor.guarantee import Outlook
from langgraph_maker.runs.monitor.outlook import NONE_OPEN, outlook

__all__ = ["Monitor", "calibration_in"]

_LONGER: Final = 65 / 64


class Monitor:
    """An `events.Observer` of one run.

    Args:
        expected: What the run is held against; None for its own beginning.
        k: The margin that an alarm raises, where `expected.raise_k` is set, and that is raised again when a run goes
            on; the `k` of the graph.
        planned: Steps in the whole task, for projections; None where that is not known.
        calibration: What was measured before the run, which a bound may rest on. The journal keeps it.
        then: Another observer, whose alarms come after its own; only its own tests are kept.
    """

    def __init__(
        self,
        expected: Baseline | None = None,
        *,
        k: RaisableMargin | None = None,
        planned: int | None = None,
        calibration: Calibration | None = None,
        then: Observer | None = None,
    ) -> None:
        self.expected = expected or Baseline()
        self.k = k
        self.planned = planned
        self.calibration = calibration
        self.begun: RunStarted | None = None
        self.resumed = False
        self.raised: list[Alarm] = []
        self.totals: Totals = nothing()
        self.still: OpenBallots = NONE_OPEN
        self.margin: int | None = None
        self.began = time.monotonic()
        self.earlier = 0
        self.alarms: Alarms | None = None
        self.kept_at = 0 if calibration is None else -1
        self.then = then

    def __call__(self, event: Event) -> list[Alarm]:
        """Take an event in; returns the alarms that it sets off."""
        return [*self.see(event), *((self.then(event) or ()) if self.then else ())]

    def see(self, event: Event) -> list[Alarm]:
        """Return the monitor's own alarms."""
        if event["event"] == "run.started":
            if self.k is not None:
                self.k.up_to(event["raised"])
            self.margin = max(event["k"] or event.get("least_k") or 0, event["raised"]) or None
            self.totals, self.still, self.earlier = event["totals"], event["open"], event["totals"]["steps"]
            if self.begun is None or self.begun["run_id"] != event["run_id"]:
                self.resumed = bool(self.earlier or self.still["ballots"])
            else:
                self.resumed |= self.begun["settings"] != event["settings"]
            self.begun = event
            try:
                self.alarms = Alarms(event, self.expected)
            except (LookupError, TypeError, ValueError):  # what was kept is none of this version: the tests begin anew
                self.alarms = Alarms({**event, "kept": None}, self.expected)
            self.calibration = self.calibration or calibration_in(event["kept"])
        elif event["event"] == "round.ended":
            self.totals, self.still = event["totals"], event["open"]
            return self.alarmed([] if self.alarms is None else self.alarms.see(event))
        elif event["event"] == "run.ended" and event["status"] == "solved" and self.planned is not None:
            self.planned = event["totals"]["steps"]  # a task may need fewer than there can be
        return []

    def state_dict(self) -> dict[str, Any] | None:
        """Return what is to be kept: the calibration, and how the alarms' tests stand.

        It is at the begin, after each alarm, and each time that the run is a 64th longer.
        """
        if self.alarms is None or self.totals["steps"] <= self.kept_at * _LONGER:
            return None
        self.kept_at = self.totals["steps"]
        known = None if self.calibration is None else self.calibration.to_json()
        return {**self.alarms.state_dict(), **({} if known is None else {"calibration": known})}

    def alarmed(self, alarms: list[Alarm]) -> list[Alarm]:
        """Keep the alarms, and raise k where they ask for it."""
        for alarm in alarms:
            if (k := alarm.get("k")) is not None and self.k is not None:
                self.k.up_to(k)
                self.margin = max(k, self.margin or 0)
        self.raised += alarms
        if alarms:
            self.kept_at = 0  # they are not to come again
        return alarms

    def outlook(self) -> Outlook:
        """Return what the run amounts to now."""
        return self.later()()

    def later(self) -> Callable[[], Outlook]:
        """Do what `outlook` does, of this moment, to be worked out when it is wanted."""
        seconds = time.monotonic() - self.began
        return partial(
            outlook,
            self.totals,
            planned=self.planned,
            limit=self.begun["limit"] if self.begun else None,
            still=self.still,
            k=self.margin,
            steps_per_second=(self.totals["steps"] - self.earlier) / seconds if seconds else 0.0,
            alarms=self.raised.copy(),
            earlier_alarms=self.begun["alarms"] if self.begun else (),
            calibration=self.calibration,
            task=None if self.begun is None or self.resumed else self.begun["task"],
            settings=_asked(self.begun),
            in_flight_lost=self.begun["in_flight_lost"] if self.begun else 0,
        )


def _asked(begun: RunStarted | None) -> dict[str, Any] | None:
    """Return the settings of a run, with what it asks, and how."""
    if begun is None:
        return None
    return {**begun["settings"], "wording": begun.get("wording", ""), "instance": begun.get("instance", "")}


def calibration_in(kept: Mapping[str, Any] | None) -> Calibration | None:
    """Return the calibration in what the journal keeps of a monitor; None where there is none that can be read.

    Example:
        >>> calibration_in({}) is None
        True
    """
    with suppress(LookupError, TypeError, ValueError):
        return Calibration.from_json((kept or {})["calibration"])
    return None
