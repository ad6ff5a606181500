"""The graphs in a real LangGraph dev server, as Studio sees them. Needs the extra `studio`."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

import pytest

pytestmark = pytest.mark.studio
ROOT = Path(__file__).parent.parent
LANGGRAPH = Path(sys.executable).with_name("langgraph")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    home = tmp_path_factory.mktemp("studio")
    for name in ("langgraph.json", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, home)
    for name in ("graphs", "langgraph_maker"):
        shutil.copytree(ROOT / name, home / name)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    offline = {"LANGGRAPH_CLI_NO_ANALYTICS": "1", "LANGGRAPH_NO_VERSION_CHECK": "true", "LANGSMITH_TRACING": "false"}
    clean = {name: value for name, value in os.environ.items() if "API_KEY" not in name}
    log = (home / "log").open("w")
    process = subprocess.Popen(
        [LANGGRAPH, "dev", "--no-browser", "--no-reload", "--host", "127.0.0.1", "--port", str(port)],
        cwd=home,
        env=clean | offline,
        stdout=log,
        stderr=log,
    )
    url = f"http://127.0.0.1:{port}"
    try:
        for _ in range(300):
            try:
                with urlopen(f"{url}/ok", timeout=5):
                    break
            except (URLError, ConnectionError):
                time.sleep(0.2)
        else:
            pytest.fail((home / "log").read_text())
        yield url
    finally:
        process.terminate()
        process.wait(20)
        log.close()


@pytest.fixture
def client(server: str) -> Iterator[Any]:
    from langgraph_sdk import get_sync_client

    with get_sync_client(url=server) as client:
        yield client


def assistant(client: Any, name: str) -> str:
    return next(str(each["assistant_id"]) for each in client.assistants.search() if each["graph_id"] == name)


def test_langgraph_json_is_valid() -> None:
    subprocess.run([LANGGRAPH, "validate"], cwd=ROOT, check=True, capture_output=True, timeout=60)


def test_the_picture_shows_the_roles(client: Any) -> None:
    nodes = {node["id"] for node in client.assistants.get_graph(assistant(client, "hanoi"), xray=True)["nodes"]}
    assert {"decompose", "vote:sample", "vote:guard", "vote:tally", "update", "escalate"} <= nodes


def test_forms_come_from_the_input_schema(client: Any) -> None:
    schemas = client.assistants.get_schemas(assistant(client, "hanoi"))
    assert set(schemas["input_schema"]["properties"]) == {"run_id"}
    assert {"status", "final_state", "steps", "samples"} <= set(schemas["output_schema"]["properties"])


def test_a_run_streams_and_solves(client: Any) -> None:
    thread = client.threads.create()["thread_id"]
    stream = client.runs.stream(
        thread, assistant(client, "hanoi"), input={}, stream_mode=["updates", "messages"], stream_subgraphs=True
    )
    events = {event.event.split("|")[0] for event in stream}
    assert "error" not in events
    state = client.threads.get_state(thread)["values"]
    assert (state["status"], state["steps"], state["run_id"]) == ("solved", 31, thread)


def test_a_recursive_run_shows_its_stages_and_solves(client: Any) -> None:
    recursive = assistant(client, "recursive")
    nodes = {node["id"] for node in client.assistants.get_graph(recursive, xray=True)["nodes"]}
    assert {"frontier", "vote:sample", "vote:guard", "vote:tally", "escalate", "grow"} <= nodes
    assert set(client.assistants.get_schemas(recursive)["input_schema"]["properties"]) == {"problem", "run_id"}
    thread = client.threads.create()["thread_id"]
    modes = ["updates", "messages", "custom"]
    stream = client.runs.stream(
        thread, recursive, input={"problem": "12 * 34"}, stream_mode=modes, stream_subgraphs=True
    )
    events = [event for event in stream if event.event.split("|")[0] in {"custom", "error"}]
    assert {event.data["event"] for event in events} == {"maker.node", "maker.tree"}
    state = client.threads.get_state(thread)["values"]
    assert (state["status"], state["answer"], state["run_id"]) == ("solved", "408", thread)
