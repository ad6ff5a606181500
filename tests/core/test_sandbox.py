"""The sandbox for foreign programs, and votes on programs by what they do."""

from __future__ import annotations

from typing import Any

import pytest

from langgraph_maker import Ballot, RedFlag
from langgraph_maker.core.errors import MakerError
from langgraph_maker.core.matchers import behaviour
from langgraph_maker.core.sandbox import Sandbox

isolated = pytest.mark.sandbox

BAD = {
    "def f(x): return 1 / 0": "program_failed",
    "def f(x:": "program_failed",
    "def g(x): return x": "program_failed",
    "def f(x): return {x}": "program_failed",
    "def f(x): return float('nan')": "program_failed",
    "def f(x): return open('/etc/passwd').read()": "program_failed",
    "def f(x): open('/mine', 'w').write('x'); return 1": "program_failed",
    "import socket\ndef f(x): socket.create_connection(('127.0.0.1', 9), 1); return 1": "program_failed",
    "def f(x): return len(bytearray(10**9))": "program_failed",
    "import os\ndef f(x): return os.fork()": "program_failed",
    "import os\ndef f(x): return os.setuid(0) or 1": "program_failed",
    "def f(x): return 'x' * 200_000": "no_result",
    "def f(x): pass": "no_result",
    "import os\ndef f(x): os._exit(0)": "no_result",
    "def f(x):\n    while True: pass": "program_hung",
    "import time\ndef f(x): time.sleep(60)": "program_hung",
}


@isolated
def test_programs_that_do_the_same_are_one_answer() -> None:
    key = behaviour(Sandbox("f"), [[3], [-2]])
    ballot = Ballot(2, key=key)
    ballot.cast("def f(x): return x * x")
    ballot.cast("def f(x): return 2 * x")
    ballot.cast("def f(x):\n    print('square')\n    return x ** 2")
    ballot.cast("def f(x): return sum([abs(x)] * abs(x))")
    assert ballot.winner == "def f(x): return x * x"


@isolated
@pytest.mark.parametrize(("program", "reason"), BAD.items())
def test_what_fails_hangs_or_gives_nothing_is_flagged_with_a_reason(program: str, reason: str) -> None:
    with pytest.raises(RedFlag) as flag:
        Sandbox("f", seconds=1)(program, [[3]])
    assert flag.value.reason == reason


def test_without_bubblewrap_nothing_is_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda _: None)
    with pytest.raises(MakerError, match="there is no sandbox: bwrap is not installed"):
        Sandbox("f")


def test_each_text_is_run_once_and_its_flag_remembered() -> None:
    ran: list[str] = []

    def run(program: str, probes: Any) -> list[Any]:
        ran.append(program)
        if program == "bad":
            raise RedFlag("program_failed", "ZeroDivisionError")
        return [1 for _ in probes]

    key: Any = behaviour(run, [[1]])
    assert key("good") == key("good")
    for _ in range(2):
        with pytest.raises(RedFlag, match="program_failed"):
            key("bad")
    assert ran == ["good", "bad"]


def test_what_is_no_program_or_has_no_probe_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one probe"):
        behaviour(lambda _, __: [], [])
    key: Any = behaviour(lambda _, __: [], [[1]])
    with pytest.raises(RedFlag, match="malformed"):
        key(7)
