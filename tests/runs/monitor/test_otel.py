"""OpenTelemetry, as the SDK's exporters in memory have it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from langchain.agents import create_agent
from langgraph.store.memory import InMemoryStore
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from langgraph_maker import create_voting_node, solve
from langgraph_maker.core.errors import UnresolvedError
from langgraph_maker.middleware import VotingMiddleware
from langgraph_maker.otel import Telemetry
from langgraph_maker.tasks import TowersOfHanoi
from langgraph_maker.testing import ScriptedChatModel

SWITCH = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"


class Collected:
    """Telemetry and what came of it."""

    def __init__(self) -> None:
        self.exporter, self.reader = InMemorySpanExporter(), InMemoryMetricReader()
        tracers = TracerProvider(shutdown_on_exit=False)
        tracers.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.telemetry = Telemetry(tracers, MeterProvider([self.reader], shutdown_on_exit=False))

    @property
    def spans(self) -> list[ReadableSpan]:
        return [*self.exporter.get_finished_spans()]

    def points(self) -> dict[str, list[Any]]:
        data = json.loads(self.reader.get_metrics_data().to_json())  # type: ignore[union-attr]
        metrics = data["resource_metrics"][0]["scope_metrics"][0]["metrics"]
        return {one["name"].removeprefix("langgraph_maker."): one["data"]["data_points"] for one in metrics}

    def value(self, name: str) -> float:
        return float(sum(point["value"] for point in self.points()[name]))


def test_a_run_is_one_span_and_its_figures_are_metrics() -> None:
    seen = Collected()
    run = solve(TowersOfHanoi(4), "sim:error=0.05,flag=0.1", k=3, observer=seen.telemetry)
    [span] = seen.spans
    assert span.name == "invoke_workflow hanoi"
    attributes: Any = span.attributes
    assert attributes["gen_ai.operation.name"] == "invoke_workflow"
    assert (attributes["langgraph_maker.status"], attributes["langgraph_maker.steps"]) == ("solved", 15)
    assert (seen.value("steps"), seen.value("samples"), seen.value("discarded")) == (15, run.samples, run.flagged)
    [ballots] = seen.points()["votes_per_ballot"]
    assert (ballots["count"], ballots["sum"]) == (15, run.samples - run.flagged)
    assert seen.value("in_flight") == 0
    labels = {name for points in seen.points().values() for point in points for name in point["attributes"]}
    assert labels <= {"reason", "what"}, "no run id, no step"
    assert run.run_id not in json.dumps(seen.points())


def test_a_run_that_resumes_counts_what_it_did_itself() -> None:
    store, seen, rounds = InMemoryStore(), Collected(), iter(range(99))
    first = solve(
        TowersOfHanoi(4),
        "sim:error=0",
        k=2,
        store=store,
        run_id="a",
        stop=lambda: next(rounds) > 4,
        observer=seen.telemetry,
    )
    assert first.status == "stopped"
    solve(TowersOfHanoi(4), "sim:error=0", k=2, store=store, run_id="a", observer=seen.telemetry)
    stopped, resumed = seen.spans
    assert [event.name for event in resumed.events] == ["run.resumed"]
    assert not stopped.events
    assert seen.value("steps") == 15


def test_escalations_and_unresolved_steps_are_events_without_content(monkeypatch: pytest.MonkeyPatch) -> None:
    for switch, shown in (("false", False), ("true", True)):
        monkeypatch.setenv(SWITCH, switch)
        seen = Collected()
        run = solve(
            TowersOfHanoi(2), "sim:error=0.5", k=4, ladder="default", max_samples_per_step=30, observer=seen.telemetry
        )
        [span] = seen.spans
        assert (run.status, span.status.status_code) == ("unresolved", StatusCode.ERROR)
        names = [event.name for event in span.events]
        assert "step.unresolved" in names
        unresolved: Any = span.events[names.index("step.unresolved")].attributes
        assert ("langgraph_maker.counts" in unresolved) == shown


def vote(seen: Collected, *answers: str, **options: Any) -> Any:
    return create_voting_node(
        ScriptedChatModel(answers=[*answers]),
        read=lambda _: "?",
        prompt=str,
        parse=str,
        write=lambda _, decision: {"it": decision["vote"]},
        observer=seen.telemetry,
        **{"k": 2, **options},
    )


async def test_a_vote_is_a_span() -> None:
    seen = Collected()
    node = vote(seen, "secret", "b", "secret", "secret")
    await node.ainvoke({})
    node.invoke({})
    span: Any = seen.spans[0]
    assert span.name == "vote"
    expected = {"k": 2, "votes": 4, "discarded": 0, "lead": 2, "outcome": "decided"}
    assert {name: span.attributes[f"langgraph_maker.{name}"] for name in expected} == expected
    assert span.start_time < span.end_time
    assert "secret" not in span.to_json()
    assert len(seen.spans) == 2


def test_a_vote_that_does_not_converge_is_an_error() -> None:
    seen = Collected()
    with pytest.raises(UnresolvedError):
        vote(seen, *"abababab", max_samples_per_step=4).invoke({})
    [span] = seen.spans
    assert span.attributes is not None
    assert (span.attributes["langgraph_maker.outcome"], span.status.status_code) == ("unresolved", StatusCode.ERROR)


def test_an_agents_votes_are_spans_too() -> None:
    seen = Collected()
    agent: Any = create_agent(
        ScriptedChatModel(answers=["4"]), [], middleware=[VotingMiddleware(k=2, observer=seen.telemetry)]
    )
    agent.invoke({"messages": "2 + 2?"})
    assert [span.name for span in seen.spans] == ["vote"]


def test_reasons_as_labels_are_bounded() -> None:
    seen = Collected()
    decision: Any = {
        "counts": [],
        "flagged": 99,
        "flags": {f"reason {number}": 1 for number in range(99)},
        "samples": 99,
        "vote": None,
        "usage": {"input_tokens": 0, "output_tokens": 0, "cost": None},
        "agreement": {"lead": 0},
    }
    seen.telemetry({"event": "vote.ended", "k": 1, "outcome": "unresolved", "decision": decision, "started": 1})
    assert len(seen.points()["discarded"]) == 51
    assert seen.value("discarded") == 99
