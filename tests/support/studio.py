"""A real LangGraph dev server for tests, offline and on loopback."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

ROOT = Path(__file__).parents[2]
LANGGRAPH = Path(sys.executable).with_name("langgraph")


@contextmanager
def serving(home: Path) -> Iterator[Any]:
    """A client of `langgraph dev` in the project folder `home`, without any key in its environment."""
    from langgraph_sdk import get_sync_client

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    offline = {"LANGGRAPH_CLI_NO_ANALYTICS": "1", "LANGGRAPH_NO_VERSION_CHECK": "true", "LANGSMITH_TRACING": "false"}
    clean = {name: value for name, value in os.environ.items() if "API_KEY" not in name}
    log = home / "log"
    with log.open("w") as out:
        process = subprocess.Popen(
            [LANGGRAPH, "dev", "--no-browser", "--no-reload", "--host", "127.0.0.1", "--port", str(port)],
            cwd=home,
            env=clean | offline,
            stdout=out,
            stderr=out,
        )
        url = f"http://127.0.0.1:{port}"
        try:
            if not _ready(f"{url}/ok", process):
                raise RuntimeError(log.read_text())
            with get_sync_client(url=url) as client:
                yield client
        finally:
            process.terminate()
            process.wait(20)


def _ready(url: str, process: subprocess.Popen[bytes]) -> bool:
    for _ in range(300):
        try:
            with urlopen(url, timeout=5):
                return True
        except (URLError, ConnectionError):
            if process.poll() is not None:
                return False
            time.sleep(0.2)
    return False


def validate(home: Path) -> str:
    """What `langgraph validate` says of a project."""
    done = subprocess.run([LANGGRAPH, "validate"], cwd=home, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def copied(home: Path) -> Path:
    """This project's graphs and what they need, copied to `home`."""
    for name in ("langgraph.json", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, home)
    for name in ("graphs", "langgraph_maker"):
        shutil.copytree(ROOT / name, home / name)
    return home


def assistant(client: Any, graph: str) -> str:
    """The id of a graph's assistant."""
    return next(str(each["assistant_id"]) for each in client.assistants.search() if each["graph_id"] == graph)


def new_thread(client: Any) -> str:
    return str(client.threads.create()["thread_id"])
