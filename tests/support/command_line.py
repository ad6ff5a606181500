"""The command line, run as a user would: each time in a process of its own, forked from one that has imported it."""

from __future__ import annotations

import atexit
import json
import os
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path
from threading import Lock

_SERVE = """
import gc, json, os, signal, sys
from importlib import import_module
for name in json.loads(sys.argv[1]):
    import_module(name)
gc.freeze()
signals = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
for line in sys.stdin:
    child = os.fork()
    if child == 0:
        break
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
else:
    os._exit(0)
call = json.loads(line)
signal.alarm(120)
os.chdir(call["cwd"])
os.environ.clear()
os.environ.update(call["env"])
for number, path in enumerate((os.devnull, call["out"], call["err"])):
    os.dup2(os.open(path, os.O_RDWR), number)
sys.argv[1:] = call["arguments"]
from langgraph_maker.cli import main
main()
"""
_IMPORTED = (
    "langgraph_maker.cli.run",
    "langgraph_maker.cli.runs",
    "langgraph_maker.cli.answer",
    "langgraph_maker.cli.plan",
    "langgraph_maker.cli.calibrate",
    "langgraph_maker.prebuilt.recursive",
    "langgraph_maker.runs.solve",
    "langgraph_maker.tasks",
    "langgraph.store.sqlite",
    "langgraph.store.postgres",
    "langchain_openai",
    "rich.live",
    "rich.progress",
    "rich.table",
)
_one_at_a_time = Lock()


@cache
def _server() -> subprocess.Popen[str]:
    server = subprocess.Popen(
        [sys.executable, "-c", _SERVE, json.dumps(_IMPORTED)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    atexit.register(server.communicate)
    return server


def maker(*arguments: str, cwd: Path | None = None, **env: str) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("OPENAI_")}
    server = _server()
    assert server.stdin is not None
    assert server.stdout is not None
    with tempfile.TemporaryDirectory() as folder, _one_at_a_time:
        out, err = Path(folder, "out"), Path(folder, "err")
        for path in (out, err):
            path.touch()
        call = {
            "arguments": arguments,
            "cwd": str(cwd or Path.cwd()),
            "env": clean | env,
            "out": str(out),
            "err": str(err),
        }
        print(json.dumps(call), file=server.stdin, flush=True)
        return subprocess.CompletedProcess(arguments, int(server.stdout.readline()), out.read_text(), err.read_text())
