"""Run foreign Python functions in bubblewrap: no network, no files of yours, CPU, memory and output bounded."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from threading import Timer
from typing import Any, Final

from langgraph_maker.core.errors import MakerError
from langgraph_maker.core.foreign import excerpt
from langgraph_maker.core.red_flags import RedFlag

__all__ = ["Sandbox"]


@dataclass(frozen=True)
class Sandbox:
    """Calls one function of a program on probe inputs, in namespaces of its own (`bwrap`, Debian's `bubblewrap`).

    A program has no network, sees nothing of the disk but the Python installation, read-only, cannot write, and starts
    no process or thread beside its own, whose memory is bounded. Root, whom no bound on processes binds, runs it as the
    user nobody; where it may not (in some containers), processes are not bounded, see `bounds_processes`. A program can
    say what it likes about its own results: it is isolated, and not made honest.

    Args:
        function: The name that the program is to define.
        seconds: Of CPU and, five times as long, of the clock, for all probes together.
        memory: Bytes of address space.
        output: Bytes of all results together.

    Raises:
        MakerError: When bubblewrap is not there, or the system denies it namespaces: then nothing is run at all.
        ValueError: When `function` is no name of a function, or a bound is not a whole number of at least 1.

    Example:
        >>> square = Sandbox("square")  # doctest: +SKIP
        >>> square("def square(x): return x * x", [[3], [-2]])  # doctest: +SKIP
        [9, 4]
    """

    function: str
    seconds: int = 2
    memory: int = 256 * 1024 * 1024
    output: int = 100_000

    def __post_init__(self) -> None:
        if not isinstance(self.function, str) or not self.function.isidentifier():
            raise ValueError(f"function is the name of a function, not {excerpt(self.function)}")
        for name in ("seconds", "memory", "output"):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise ValueError(f"{name} is a whole number of at least 1, not {excerpt(value)}")
        if shutil.which("bwrap") is None:
            raise MakerError(
                "there is no sandbox: bwrap is not installed, and no foreign program is run without it; install"
                " bubblewrap (apt-get install bubblewrap)"
            )
        _as_nobody()

    def __call__(self, program: str, probes: Sequence[Sequence[Any]]) -> list[Any]:
        """Return what the function gives for each list of arguments, as JSON values.

        Raises:
            RedFlag: `program_failed` with the error, `program_hung` beyond the time, `no_result` for a program that
                ends without one, gives None or what is no JSON value, or gives more than `output`.
        """
        said = _run(program, self.function, probes, _as_nobody(), self.seconds, self.memory, self.output)
        return _read(said, len(probes))

    @staticmethod
    def bounds_processes() -> bool:
        """Return whether a program is kept from starting others: not where it has to run as root."""
        return _as_nobody() or os.geteuid() != 0


@cache
def _as_nobody() -> bool:
    """Return whether programs run as nobody, who is no root even in namespaces; it is found out once.

    Raises:
        MakerError: When bubblewrap does not start a program.
    """
    said = ""
    for nobody in (True, False) if os.geteuid() == 0 else (False,):
        try:
            if _read(_run("def one(): return 1", "one", [[]], nobody, 2, Sandbox.memory, 100), 1) == [1]:
                return nobody
        except RedFlag as flag:
            said = str(flag)[:200]
    raise MakerError(
        f"there is no sandbox: bwrap does not start a program here ({said}); allow unprivileged user namespaces, or use"
        " another machine: no foreign program is run without it"
    )


def _run(  # noqa: PLR0917 - private
    program: str,
    function: str,
    probes: Sequence[Sequence[Any]],
    nobody: bool,  # noqa: FBT001
    seconds: int,
    memory: int,
    output: int,
) -> bytes:
    """Return what the harness writes, of up to `output` bytes."""
    job = json.dumps({"function": function, "probes": [list(one) for one in probes]})
    with os.fdopen(os.memfd_create("program"), "w+b") as file:
        file.write(program.encode("utf-8", "surrogatepass"))
        file.seek(0)
        limits = [str(seconds), str(memory), str(_NOBODY if nobody else 0)]
        command = [*_isolated(file.fileno(), nobody), _python(), "-I", "-S", "-c", _HARNESS, *limits]
        with subprocess.Popen(  # noqa: S603 - the command is ours
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            pass_fds=[file.fileno()],
        ) as process:
            assert process.stdin is not None  # noqa: S101 - both are pipes
            assert process.stdout is not None  # noqa: S101
            late = list[bool]()

            def stop() -> None:
                late.append(True)
                process.kill()

            timer = Timer(_CLOCK * seconds, stop)
            timer.start()
            try:
                process.stdin.write(job.encode())
                process.stdin.close()
                said = process.stdout.read(output + 1)
                if len(said) <= output:
                    process.wait()
            except BrokenPipeError:
                said = b""
            finally:
                timer.cancel()
                timer.join()
                process.kill()
    if late or process.returncode in _OUT_OF_CPU:
        raise RedFlag("program_hung", f"not done after {seconds} seconds of CPU or {_CLOCK * seconds} of the clock")
    if len(said) > output:
        raise RedFlag("no_result", f"more than {output:,} bytes of results")
    return said


def _read(said: bytes, probes: int) -> list[Any]:
    try:
        answer = json.loads(said)
    except ValueError:
        raise RedFlag("no_result", "it ended without saying one") from None
    if not isinstance(answer, dict) or not isinstance(answer.get("results"), list) or answer.get("failed"):
        raise RedFlag("program_failed", str(answer)[:200])
    results: list[Any] = answer["results"]
    if len(results) != probes or any(one is None for one in results):
        raise RedFlag("no_result", f"{str(results)[:200]} for {probes} probes")
    return results


def _python() -> str:
    return str(getattr(sys, "_base_executable", sys.executable))


def _isolated(program: int, nobody: bool) -> list[str]:  # noqa: FBT001 - private
    command = ["bwrap", "--unshare-ipc", "--unshare-pid", "--unshare-net", "--unshare-uts", "--unshare-cgroup-try"]
    command += ["--die-with-parent", "--new-session", "--clearenv", "--cap-drop", "ALL"]
    command += ["--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID"] if nobody else ["--unshare-user"]
    command += ["--ro-bind", "/usr", "/usr", "--symlink", "usr/lib", "/lib", "--symlink", "usr/lib64", "/lib64"]
    if not sys.base_prefix.startswith("/usr"):
        above = reversed(Path(sys.base_prefix).parents)  # which are empty but for it, and else only root's
        command += [word for one in above for word in ("--perms", "0755", "--dir", str(one))]
        command += ["--ro-bind", sys.base_prefix, sys.base_prefix]
    command += ["--perms", "0444", "--ro-bind-data", str(program), "/program.py"]
    return [*command, "--remount-ro", "/", "--chdir", "/", "--"]


_NOBODY: Final = 65534
_CLOCK: Final = 5  # a busy machine starts a program late, and to sleep costs others nothing
_OUT_OF_CPU: Final = (128 + 24, 128 + 9)  # as bwrap hands on SIGXCPU, and SIGKILL a second later

_HARNESS: Final = """\
import io, json, os, resource, runpy, sys
seconds, memory, user = map(int, sys.argv[1:])
job = json.loads(sys.stdin.buffer.read())
out = os.fdopen(os.dup(1), "w")
sys.stdout = sys.stderr = io.StringIO()
bounds = {"CPU": seconds, "AS": memory, "FSIZE": 0, "NOFILE": 16, "CORE": 0, "NPROC": 1}
for name, bound in bounds.items():
    resource.setrlimit(getattr(resource, "RLIMIT_" + name), (bound, bound + (name == "CPU")))
if user:
    os.setgroups([])
    os.setresgid(user, user, user)
    os.setresuid(user, user, user)
try:
    space = runpy.run_path("/program.py", run_name="program")
    results = [space[job["function"]](*probe) for probe in job["probes"]]
    said = json.dumps({"results": results}, allow_nan=False)
except BaseException as error:
    said = json.dumps({"failed": type(error).__name__, "results": []})
out.write(said)
out.flush()
os._exit(0)
"""
