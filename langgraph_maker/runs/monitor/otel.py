"""OpenTelemetry for runs and votes: one span a run or a vote, and metrics (extra `otel`, the API alone).

    >>> from langgraph_maker import solve
    >>> from langgraph_maker.tasks import TowersOfHanoi
    >>> solve(TowersOfHanoi(3), "sim:error=0.01", observer=Telemetry()).status
    'solved'

Without an SDK in the process that does nothing. No step has a span, since there may be a million, and no metric has a
label with a run's id. States, votes and questions are left out, unless the switch of OpenTelemetry's conventions for
generative models is on: `OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT=true`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, cast

from langgraph_maker.core.events import Event, Totals, VoteEnded
from langgraph_maker.core.extras import install

try:
    from opentelemetry import metrics, trace
except ImportError as error:
    raise ImportError(f"langgraph_maker.otel needs opentelemetry-api: {install('otel')}") from error

__all__ = ["Telemetry"]


class Telemetry:
    """An observer that turns events of runs, voting nodes and voting agents into spans and metrics.

    A run has one span in each process that worked on it, named `invoke_workflow <task>`, with escalations, questions,
    alarms and unresolved steps as its events. A vote of a node or an agent has one, `vote`, with its k, votes,
    discarded samples, lead and outcome. It goes where an `observer=` is asked for.

    Args:
        tracer_provider: Where spans go; None for the global provider.
        meter_provider: Where metrics go; None for the global provider.
    """

    def __init__(
        self, tracer_provider: trace.TracerProvider | None = None, meter_provider: metrics.MeterProvider | None = None
    ) -> None:
        self._tracer = trace.get_tracer("langgraph_maker", tracer_provider=tracer_provider)
        meter = metrics.get_meter("langgraph_maker", meter_provider=meter_provider)
        named = "langgraph_maker."
        self._steps = meter.create_counter(f"{named}steps", "{step}", "Steps decided")
        self._samples = meter.create_counter(f"{named}samples", "{sample}", "Responses drawn")
        self._discarded = meter.create_counter(f"{named}discarded", "{sample}", "Responses discarded, by reason")
        self._escalations = meter.create_counter(f"{named}escalations", "{step}", "Steps that went to another tier")
        self._alarms = meter.create_counter(f"{named}alarms", "{alarm}", "Alarms, by what they are about")
        self._cost = meter.create_counter(f"{named}cost", "USD", "Dollars, where prices are known")
        self._votes = meter.create_histogram(f"{named}votes_per_ballot", "{vote}", "Valid votes that a ballot took")
        self._in_flight = meter.create_up_down_counter(f"{named}in_flight", "{sample}", "Samples under way")
        self._runs: dict[str, _Run] = {}
        self._reasons: set[str] = set()

    def __call__(self, event: Event | VoteEnded) -> None:
        """Take one event."""
        match event["event"]:
            case "vote.ended":
                self._vote_ended(event)
            case "run.started":
                self._run_started(event)
            case "round.ended" if (run := self._runs.get(event["run_id"])) is not None:
                self._count(run, event["totals"])
                self._fly(run, event.get("in_flight", 0))
            case "run.ended":
                self._run_ended(event)
            case name if name in _EVENTS and (run := self._runs.get(cast("Any", event)["run_id"])) is not None:
                run.span.add_event(name, _attributes(event, _EVENTS[name]))
                if name == "step.escalated":
                    self._escalations.add(1)
                elif name == "alarm.raised":
                    self._alarms.add(1, {"what": cast("Any", event)["what"]})

    def _run_started(self, event: Any) -> None:
        if (unended := self._runs.pop(event["run_id"], None)) is not None:
            unended.span.end()
        span = self._tracer.start_span(
            f"invoke_workflow {event['task']}",
            attributes={
                "gen_ai.operation.name": "invoke_workflow",
                "gen_ai.workflow.name": event["task"],
                "langgraph_maker.run_id": event["run_id"],
                **({} if event["k"] is None else {"langgraph_maker.k": event["k"]}),
            },
        )
        if event["totals"]["steps"] or event["open"]["samples"]:
            span.add_event("run.resumed", {"langgraph_maker.steps": event["totals"]["steps"]})
        self._runs[event["run_id"]] = _Run(span, event["totals"])

    def _run_ended(self, event: Any) -> None:
        if (run := self._runs.pop(event["run_id"], None)) is None:
            return
        self._count(run, event["totals"])
        self._fly(run, 0)
        totals = event["totals"]
        run.span.set_attributes(
            {
                "langgraph_maker.status": event["status"],
                "langgraph_maker.steps": totals["steps"],
                "langgraph_maker.samples": totals["samples"],
                "langgraph_maker.discarded": totals["flagged"],
                "gen_ai.usage.input_tokens": totals["usage"]["input_tokens"],
                "gen_ai.usage.output_tokens": totals["usage"]["output_tokens"],
            }
        )
        if event["status"] == "unresolved":
            run.span.set_status(trace.StatusCode.ERROR, "unresolved")
        run.span.end()

    def _vote_ended(self, event: VoteEnded) -> None:
        decision, outcome = event["decision"], event["outcome"]
        span = self._tracer.start_span(
            "vote", start_time=event["started"], attributes={"langgraph_maker.k": event["k"], _OUTCOME: outcome}
        )
        if decision is not None:
            votes = sum(count["count"] for count in decision["counts"])
            span.set_attributes(
                {
                    "langgraph_maker.votes": votes,
                    "langgraph_maker.discarded": decision["flagged"],
                    "langgraph_maker.lead": decision["agreement"]["lead"],
                    "gen_ai.usage.input_tokens": decision["usage"]["input_tokens"],
                    "gen_ai.usage.output_tokens": decision["usage"]["output_tokens"],
                }
            )
            if _content():
                span.set_attribute("langgraph_maker.vote", json.dumps(decision["vote"], default=str))
            self._samples.add(decision["samples"])
            self._discard(decision["flags"])
            self._spend(decision["usage"]["cost"])
            self._votes.record(votes)
        if outcome not in {"decided", "interrupted"}:
            span.set_status(trace.StatusCode.ERROR, outcome)
        span.end()

    def _count(self, run: _Run, totals: Totals) -> None:
        """Count what was committed since the last totals."""
        before, run.totals = run.totals, totals
        self._steps.add(totals["steps"] - before["steps"])
        self._samples.add(totals["samples"] - before["samples"])
        self._discard({name: count - before["flags"].get(name, 0) for name, count in totals["flags"].items()})
        cost, spent = totals["usage"]["cost"], before["usage"]["cost"]
        self._spend(None if cost is None or spent is None else cost - spent)
        for votes, ballots in _more(totals["votes_per_step"], before["votes_per_step"]):
            for _ in range(ballots):
                self._votes.record(votes)

    def _discard(self, flags: Mapping[str, int]) -> None:
        for reason, count in flags.items():
            if len(self._reasons) < _REASONS:
                self._reasons.add(reason)
            if count:
                self._discarded.add(count, {"reason": reason if reason in self._reasons else "other"})

    def _spend(self, cost: float | None) -> None:
        if cost:
            self._cost.add(cost)

    def _fly(self, run: _Run, in_flight: int) -> None:
        self._in_flight.add(in_flight - run.in_flight)
        run.in_flight = in_flight


@dataclass
class _Run:
    span: trace.Span
    totals: Totals
    in_flight: int = 0


def _more(after: Sequence[int], before: Sequence[int]) -> Iterator[tuple[int, int]]:
    for value, count in enumerate(after):
        yield value, count - (before[value] if value < len(before) else 0)


def _attributes(event: Any, names: Sequence[str]) -> dict[str, Any]:
    """Return what an event of a span has: figures and reasons, and content where that is asked for."""
    shown = {name: event[name] for name in names if name in event}
    if _content():
        shown |= {name: json.dumps(event[name], default=str) for name in _CONTENT if name in event}
    return {f"langgraph_maker.{name}": value for name, value in shown.items()}


def _content() -> bool:
    return os.environ.get("OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT", "").strip().lower() == "true"


_EVENTS: Final[Mapping[str, Sequence[str]]] = {
    "step.escalated": ("step", "tier", "audit"),
    "question.asked": ("step",),
    "alarm.raised": ("what", "finding", "k"),
    "step.unresolved": ("step", "samples"),
}
_CONTENT: Final = ("question", "counts", "why", "reason")
_OUTCOME: Final = "langgraph_maker.outcome"
_REASONS: Final = 50  # as labels, since red flags are named by users
