"""A fresh LangGraph project gains a voted step in ten lines and runs on the dev server."""

from __future__ import annotations

import difflib
import shutil
from collections.abc import Iterator
from pathlib import Path
from runpy import run_path
from typing import Any

import pytest
from paths import ROOT
from studio import assistant, new_thread, serving, validate

TEMPLATE = ROOT / "tests" / "template"
PLAIN, VOTED = (TEMPLATE / "src" / "agent" / name for name in ("graph.py", "voted.py"))


def test_a_voted_step_is_ten_lines() -> None:
    plain, voted = (path.read_text().splitlines() for path in (PLAIN, VOTED))
    changes = list(difflib.ndiff(plain, voted))
    assert len([line for line in changes if line.startswith("+ ")]) <= 10
    assert not [line for line in changes if line.startswith("- ")]


async def test_the_project_runs_before_and_after() -> None:
    for path, expected in ((PLAIN, "no"), (VOTED, "yes")):
        graph = run_path(str(path))["graph"]
        assert (await graph.ainvoke({"question": "Is it?"}, context={"tone": "dry"}))["answer"] == expected


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("template") / "project"
    shutil.copytree(TEMPLATE, home, ignore=shutil.ignore_patterns("__pycache__"))
    (home / "src" / "agent" / "voted.py").rename(home / "src" / "agent" / "graph.py")
    return home


@pytest.fixture(scope="module")
def client(project: Path) -> Iterator[Any]:
    with serving(project) as client:
        yield client


@pytest.mark.studio
class TestOnTheDevServer:
    def test_is_valid(self, project: Path) -> None:
        assert "(1 graph found)" in validate(project)

    def test_shows_the_vote(self, client: Any) -> None:
        drawn = client.assistants.get_graph(assistant(client, "agent"), xray=True)["nodes"]
        assert {"call_model", "decide:sample", "decide:guard", "decide:tally"} <= {node["id"] for node in drawn}

    def test_streams_votes(self, client: Any) -> None:
        thread = new_thread(client)
        stream = client.runs.stream(
            thread,
            assistant(client, "agent"),
            input={"question": "Is it?"},
            context={"tone": "dry"},
            stream_mode=["updates", "custom"],
            stream_subgraphs=True,
        )
        told = [event.data["ballots"][0] for event in stream if event.event.startswith("custom|decide:")]
        assert [standing["status"] for standing in told] == ["open"] * (len(told) - 1) + ["decided"]
        assert told[-1]["counts"][0] == {"vote": 0, "count": 1}
        assert told[-1]["counts"][1]["count"] == 4
        assert told[-1]["flags"] == {"malformed": 1}
        assert client.threads.get_state(thread)["values"]["answer"] == "yes"
