"""What tracers see of a run: figures of each superstep, and each sample with where it belongs."""

from __future__ import annotations

import json
from typing import Any

import pytest
from langchain_core.tracers.base import BaseTracer
from langchain_core.tracers.schemas import Run
from langgraph import types

from langgraph_maker import create_maker
from langgraph_maker.simulation import SimulatedChatModel
from langgraph_maker.tasks import TowersOfHanoi


class Traced(BaseTracer):
    """Keeps all runs that begin and end."""

    def __init__(self) -> None:
        super().__init__()
        self.runs: list[Run] = []

    def _persist_run(self, run: Run) -> None:
        pass

    def _on_run_create(self, run: Run) -> None:
        self.runs.append(run)

    def recorded(self, name: str) -> list[str]:
        return [
            json.dumps([run.inputs, run.outputs], default=repr)
            for run in self.runs
            if run.name == name and run.run_type == "chain"
        ]


@pytest.fixture(scope="module")
def traced() -> Traced:
    tracer = Traced()
    graph = create_maker(TowersOfHanoi(2), SimulatedChatModel(task=TowersOfHanoi(2), model="error=0"), k=2).compile()
    graph.invoke({}, {"callbacks": [tracer]})
    return tracer


@pytest.mark.skipif(not hasattr(types, "TracePolicy"), reason="LangGraph before TracePolicy")
def test_supersteps_are_recorded_as_figures(traced: Traced) -> None:
    for name in ("decompose", "sample", "guard", "tally", "update"):
        recorded = traced.recorded(name)
        assert recorded, name
        assert not any("next_state" in one or "pegs" in one or "messages" in one for one in recorded), name
    assert '"ballots": {"decided": 1}, "samples": 2' in traced.recorded("update")[0]
    assert any('"ballots": {"decided": 1}' in one for one in traced.recorded("vote")), "its graph has a run beside it"


def test_each_sample_says_where_it_belongs(traced: Traced) -> None:
    samples: list[Any] = [run for run in traced.runs if run.name == "sample" and run.run_type in {"llm", "chat_model"}]
    assert samples
    assert samples[0].extra["metadata"].keys() >= {"run", "step", "ballot", "round", "sample"}
