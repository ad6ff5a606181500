"""Processes of their own that are there at once: forked from one that has imported the package."""

from __future__ import annotations

import atexit
import ctypes
import json
import os
import socket
import subprocess
import sys
from functools import cache
from pathlib import Path
from threading import Lock
from typing import Any

_SERVE = """
import gc, json, os, signal, socket, sys
from importlib import import_module
server = socket.socket(fileno=int(sys.argv[1]))
sys.path.append(sys.argv[2])
for name in sys.argv[3:]:
    import_module(name)
gc.freeze()
while True:
    said, handles, _, _ = socket.recv_fds(server, 2**18, 3)
    if not said:
        os._exit(0)
    first = os.fork()
    if first == 0:
        break
    os.waitpid(first, 0)
    server.send(b"it is on its own")
    for handle in handles:
        os.close(handle)
if child := os.fork():
    server.send(str(child).encode())
    os._exit(0)
server.close()
signal.alarm(300)
call = json.loads(said)
os.chdir(call["cwd"])
os.environ.clear()
os.environ.update(call["env"])
for number, handle in enumerate(handles):
    os.dup2(handle, number)
    os.close(handle)
sys.stdin, sys.stdout = open(0, closefd=False), open(1, "w", closefd=False)
sys.stderr = open(2, "w", 1, errors="backslashreplace", closefd=False)
import runpy
first, *rest = call["arguments"]
if first == "-c":
    sys.argv[:] = ["-c", *rest[1:]]
    sys.path.insert(0, "")
    exec(compile(rest[0], "<string>", "exec"), {"__name__": "__main__"})
elif first == "-m":
    sys.argv[:] = rest
    runpy.run_module(rest[0], run_name="__main__", alter_sys=True)
else:
    sys.argv[:] = [first, *rest]
    sys.path.insert(0, os.path.dirname(first))
    runpy.run_path(first, run_name="__main__")
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
_PR_SET_CHILD_SUBREAPER = 36


class Forked(subprocess.Popen[str]):
    """A process that runs what `python` would with these arguments; on Linux without the time that imports take.

    It can be killed, waited for and talked to as any other, being this process's child as soon as it is there.
    """

    def __init__(self, *arguments: str, **options: Any) -> None:
        super().__init__([sys.executable, *arguments], text=True, **options)

    if sys.platform == "linux":

        def _execute_child(self, args: Any, *rest: Any) -> None:
            _, _, _, _, cwd, env, _, _, _, *pipes = rest[:15]
            theirs = [pipe if pipe >= 0 else number for number, pipe in enumerate((pipes[0], pipes[3], pipes[5]))]
            call = {"arguments": args[1:], "cwd": str(cwd or Path.cwd()), "env": dict(env or os.environ)}
            server = _server()
            with _one_at_a_time:
                socket.send_fds(server, [json.dumps(call).encode()], theirs)
                self.pid = int(server.recv(64))
                server.recv(64)
            self._child_created = True
            self._close_pipe_fds(*pipes)  # type: ignore[attr-defined]


def ran(*arguments: str, timeout: float = 120, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run to the end, with what it printed."""
    pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with Forked(*arguments, **pipes, **options) as process:
        printed, errors = process.communicate(timeout=timeout)
    return subprocess.CompletedProcess(arguments, process.returncode, printed, errors)


_one_at_a_time = Lock()


@cache
def _server() -> socket.socket:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    command = [sys.executable, "-c", _SERVE, str(theirs.fileno()), str(Path(__file__).parent), *_IMPORTED]
    server = subprocess.Popen(command, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL)
    theirs.close()

    def end() -> None:
        ours.close()
        server.wait()

    atexit.register(end)
    return ours
