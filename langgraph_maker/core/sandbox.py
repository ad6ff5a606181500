"""Run foreign Python functions in bubblewrap: no network, no files of yours, CPU, memory and output bounded."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from threading import Timer
from typing import Any, Final

from langgraph_maker.core.errors import MakerError
from langgraph_maker.core.foreign import excerpt
from langgraph_maker.core.red_flags import RedFlag

__all__ = ["Sandbox"]


@dataclass(frozen=True)
class Sandbox:
    """Calls one function of a program on probe inputs, in namespaces of its own (`bwrap`, Debian's `bubblewrap`).

    A process has no network, sees nothing of the disk but the Python installation, read-only, and cannot write. Memory
    is bounded for each process; how many it starts is bounded where this program does not run as root. A program can
    say what it likes about its own results: it is isolated, and not made honest.

    Args:
        function: The name that the program is to define.
        seconds: Of CPU and, twice as long, of the clock, for all probes together.
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
        try:
            found = self("def " + self.function + "(): return 1", [[]])
        except RedFlag as flag:
            raise MakerError(
                f"there is no sandbox: bwrap does not start a program here ({str(flag)[:200]}); allow unprivileged user"
                " namespaces, or use another machine: no foreign program is run without it"
            ) from None
        assert found == [1]  # noqa: S101 - the harness is ours

    def __call__(self, program: str, probes: Sequence[Sequence[Any]]) -> list[Any]:
        """Return what the function gives for each list of arguments, as JSON values.

        Raises:
            RedFlag: `program_failed` with the error, `program_hung` beyond the time, `no_result` for a program that
                ends without one, gives None or what is no JSON value, or gives more than `output`.
        """
        job = json.dumps({"program": program, "function": self.function, "probes": [list(one) for one in probes]})
        limits = [str(self.seconds), str(self.memory)]
        command = [*_isolated(), _python(), "-I", "-S", "-c", _HARNESS, *limits]
        with subprocess.Popen(  # noqa: S603 - the command is ours
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        ) as process:
            assert process.stdin is not None  # noqa: S101 - both are pipes
            assert process.stdout is not None  # noqa: S101
            late = list[bool]()

            def stop() -> None:
                late.append(True)
                process.kill()

            timer = Timer(2 * self.seconds, stop)
            timer.start()
            try:
                process.stdin.write(job.encode())
                process.stdin.close()
                said = process.stdout.read(self.output + 1)
                if len(said) <= self.output:
                    process.wait()
            except BrokenPipeError:
                said = b""
            finally:
                timer.cancel()
                timer.join()
                process.kill()
        if late or process.returncode in _OUT_OF_CPU:
            raise RedFlag(
                "program_hung", f"not done after {self.seconds} seconds of CPU or {2 * self.seconds} of the clock"
            )
        if len(said) > self.output:
            raise RedFlag("no_result", f"more than {self.output:,} bytes of results")
        return _read(said, len(probes))


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


def _isolated() -> list[str]:
    command = ["bwrap", "--unshare-user", "--unshare-all", "--die-with-parent", "--new-session", "--clearenv"]
    command += ["--cap-drop", "ALL", "--ro-bind", "/usr", "/usr", "--symlink", "usr/lib", "/lib"]
    command += ["--symlink", "usr/lib64", "/lib64"]
    if not sys.base_prefix.startswith("/usr"):
        command += ["--ro-bind", sys.base_prefix, sys.base_prefix]
    return [*command, "--remount-ro", "/", "--chdir", "/", "--"]


_OUT_OF_CPU: Final = (128 + 24, 128 + 9)  # as bwrap hands on SIGXCPU, and SIGKILL a second later

_HARNESS: Final = """\
import io, json, os, resource, sys
seconds, memory = int(sys.argv[1]), int(sys.argv[2])
job = json.loads(sys.stdin.buffer.read())
out = os.fdopen(os.dup(1), "w")
sys.stdout = sys.stderr = io.StringIO()
bounds = {"CPU": seconds, "AS": memory, "FSIZE": 0, "NOFILE": 16, "CORE": 0, "NPROC": 1}
for name, bound in bounds.items():
    resource.setrlimit(getattr(resource, "RLIMIT_" + name), (bound, bound + (name == "CPU")))
try:
    space = {"__name__": "program"}
    exec(compile(job["program"], "program", "exec"), space)
    results = [space[job["function"]](*probe) for probe in job["probes"]]
    said = json.dumps({"results": results}, allow_nan=False)
except BaseException as error:
    said = json.dumps({"failed": type(error).__name__, "results": []})
out.write(said)
out.flush()
os._exit(0)
"""
