"""`calibrate`, `plan` and `run --k auto`, as a user meets them."""

from __future__ import annotations

import json
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from forked import Forked, ran
from paths import ROOT
from scripted import Scripted, right
from typer.testing import CliRunner, Result

from langgraph_maker import theory
from langgraph_maker.cli import app
from langgraph_maker.core.state import Request

MILLION = 2**20 - 1
MODELS = ("sim:gpt-4.1-mini", "sim:gpt-4.1-nano", "sim:haiku-4.5")
COMPARED = ["hanoi", "--disks", "10", "--for-disks", "20", *(part for name in MODELS for part in ("--model", name))]

# 1 - p, k_min, output tokens and projected dollars for 20 disks, as published
PAPER = {
    "sim:gpt-4.1-nano": (0.3571, 29, 842, 41_900),
    "sim:gpt-4.1-mini": (0.0022, 3, 538, 3_500),
    "sim:haiku-4.5": (0.1839, 12, 588, 71_200),
}


@pytest.fixture(autouse=True)
def data_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)


def call(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments, catch_exceptions=False)


def found(*arguments: str) -> dict[str, Any]:
    done = call("calibrate", *arguments, "--json")
    assert done.exit_code == 0, done.stderr
    result: dict[str, Any] = json.loads(done.stdout)
    return result


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> str:
    return call("calibrate", *COMPARED, "--db", str(tmp_path_factory.mktemp("db") / "c.sqlite")).stdout


def test_in_a_process_of_its_own() -> None:
    done = ran("-m", "langgraph_maker", "calibrate", "hanoi", "--disks", "6")
    assert "sim:gpt-4.1-mini  0.4/1.6" in done.stdout
    assert done.stderr == ""


# the paper's table


@pytest.mark.parametrize("limit", [750, 2048])
def test_the_models_agree_with_the_paper_within_their_intervals(limit: int) -> None:
    for one in found(*COMPARED, "--token-limit", str(limit))["calibrations"]:
        error, k, tokens, cost = PAPER[one["model"]]
        assert 1 - one["p_high"] <= error <= 1 - one["p_low"]
        assert theory.k_min(one["p_high"], MILLION) <= k <= one["k_min"]
        assert one["tokens"] == pytest.approx(tokens, rel=0.03)
        least = theory.k_min(one["p_high"], MILLION)  # at the other end of the interval
        cheapest = theory.expected_cost(one["p_high"], least, MILLION, one["cost_per_sample"])
        assert 0.98 * cheapest <= cost <= 1.02 * one["expected_cost"]
        assert one["token_limit"] == limit


def test_the_paper_s_limit_is_judged_from_the_samples_of_another() -> None:
    here, there = (found(*COMPARED, "--token-limit", limit)["calibrations"] for limit in ("750", "2048"))
    by_name = {one["model"]: one for one in there}
    for one in here:
        other, [same] = by_name[one["model"]], [one["other_limits"][-1]]
        assert (same["token_limit"], same["p"], same["valid_rate"]) == (2048, other["p"], other["valid_rate"])
        assert (same["k_min"], same["expected_cost"]) == (other["k_min"], pytest.approx(other["expected_cost"]))


# what is shown


def test_the_table_is_sorted_by_cost_and_fits_100_columns(report: str) -> None:
    assert max(map(len, report.splitlines())) <= 100
    table = report.split("model ")[1].split("\n\n", maxsplit=1)[0].splitlines()
    assert [line.split()[0] for line in table[1:]] == ["sim:gpt-4.1-mini", "sim:haiku-4.5", "sim:gpt-4.1-nano"]
    assert re.search(
        r"sim:gpt-4\.1-mini +0\.4/1\.6 +\d+ +\.00\d\d \(\.000\d–\.00\d\d\) +\.9\d\d +4 \(3\) +\$0\.0011", report
    )


def test_the_report_says_what_its_figures_rest_on(report: str) -> None:
    words = " ".join(report.split())
    for part in (
        "for 1,048,575 steps without an error at 95%; answers of more than 750 tokens are flagged",
        "by c/p, the paper's rule, the order would be sim:gpt-4.1-nano, sim:gpt-4.1-mini, sim:haiku-4.5",
        "sim:gpt-4.1-nano would be cheaper with a token limit of 2,048: about $4",
        "simulated, no figure says anything about a real model",
        "At other token limits, estimated from the same samples:",
        "if there is no step that no k can save",
        "Such steps: at most",
        "Flagged as token_limit: 8, of which 7 were right",
        "The answers are saved as",
    ):
        assert part in words


def test_models_that_cannot_be_used_say_why() -> None:
    done = call("calibrate", "hanoi", "--disks", "6", "--model", "sim:llama-3.2-3b", "--model", "sim:flag=1")
    words = " ".join(done.stdout.split())
    assert "sim:llama-3.2-3b cannot be used: p is at most" in words
    assert "sim:flag=1 cannot be used: all of 63 samples were flagged, most often as bad_state" in words
    assert done.exit_code == 3
    assert call("calibrate", "hanoi", "--disks", "6", "--model", "sim:flag=1", "--model", "sim:error=0").exit_code == 0


def test_a_limit_that_leaves_nothing_valid_is_said_to_be_the_reason() -> None:
    words = " ".join(call("calibrate", "hanoi", "--disks", "6", "--token-limit", "300").stdout.split())
    assert "all of 63 samples were flagged, most often as token_limit" in words
    assert "would be cheaper with a token limit of" in words
    assert "where at 300 no k can be had" in words


def test_prices_are_known_or_given() -> None:
    own, known = "sim:error=0.01", "sim:gpt-4.1-mini"
    given = found("hanoi", "--disks", "6", "--model", own, "--model", known, "--price", f"{own}=1,2")
    by_name = {one["model"]: one for one in given["calibrations"]}
    assert by_name[own]["price"] == {"input": 1.0, "output": 2.0, "cached_input": None, "tiers": {}}
    assert by_name[own]["cost_per_sample"] == pytest.approx((600 * 1 + by_name[own]["tokens"] * 2) / 1e6)
    assert by_name[known]["price"]["output"] == 1.6
    unknown = call("calibrate", "hanoi", "--disks", "6", "--model", own).stdout
    assert "the price is not known" in unknown


# continuing


def test_a_budget_ends_it_and_the_same_command_goes_on(tmp_path: Path) -> None:
    command = ["hanoi", "--disks", "8", "--samples", "200", "--db", str(tmp_path / "c.sqlite"), "--run-id", "a"]
    [part] = found(*command, "--max-cost", "0.1")["calibrations"]
    assert part["spent"] == pytest.approx(0.1, rel=0.05)
    assert part["interval"] == "anytime"
    [whole] = found(*command)["calibrations"]
    assert whole["samples"] == 200
    [again] = found(*command)["calibrations"]
    assert again == whole
    [fresh] = found(*command, "--run-id", "b")["calibrations"]
    assert {**fresh, "run_id": ""} == {**whole, "run_id": ""}
    assert "holds another calibration" in call("calibrate", *command, "--seed", "5").stderr


@pytest.mark.slow
def test_a_signal_ends_it_and_the_printed_command_goes_on(tmp_path: Path) -> None:
    db = str(tmp_path / "c.sqlite")
    command = ["calibrate", "hanoi", "--disks", "15", "--samples", "30000", "--db", db]
    process = Forked("-m", "langgraph_maker", *command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stderr is not None
    assert process.stderr.readline().startswith("calibrating sim:gpt-4.1-mini: ")
    process.send_signal(signal.SIGINT)
    printed, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "sampling ended after" in printed
    assert "it was stopped" in printed
    again = shlex.split(said.split("to resume: ")[1])
    assert again[: len(command) + 2] == ["langgraph-maker", *command, "--run-id"]
    kept = int(printed.split("sampling ended after ")[1].split()[0].replace(",", ""))
    more = json.loads(call(*again[1:], "--deadline", "0.001s", "--json").stdout)["calibrations"][0]
    assert more["samples"] == kept > 0


@pytest.mark.parametrize("begun", ["calibrate", "run --k auto"])
def test_a_model_that_fails_leaves_a_command_that_goes_on(begun: str, monkeypatch: pytest.MonkeyPatch) -> None:
    failing = Scripted(lambda request: PermissionError("no") if request.messages[0].text == "50" else right(request))
    for place in ("assignment", "calibrate"):
        monkeypatch.setattr(f"langgraph_maker.cli.{place}.load_model", lambda *_: failing)
    name, *options = begun.split()
    command = [name, "tests.runs.calibration.test_calibrate:Known", "--set", "steps=100", *options]
    monkeypatch.setattr(sys, "argv", ["langgraph-maker", *command])
    done = call(*command)
    assert done.exit_code == 1
    assert "the model refused" in done.stderr
    again = shlex.split(done.stderr.split("to resume: ")[1])
    assert again[: len(command) + 2] == ["langgraph-maker", *command, "--run-id"]
    failing.answers = right
    assert call(*again[1:]).exit_code == 0


def test_a_deadline_ends_it() -> None:
    [part] = found("hanoi", "--deadline", "0.001s")["calibrations"]
    assert part["samples"] < 1000
    assert any("the deadline of 0.001 s has passed" in note for note in part["notes"])


def test_a_task_of_ones_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(ROOT)
    addition = ["examples.long_addition:LongAddition", "--set", "a=98765", "--set", "b=4321"]
    [one] = found(*addition, "--for-steps", "1000", "--model", "sim:error=0.01")["calibrations"]
    assert (one["task"], one["steps"], one["samples"], one["reference"]) == ("long-addition", 1000, 6, "oracle")


# plan


def test_a_plan_from_numbers_and_from_a_calibration(tmp_path: Path) -> None:
    planned = call(
        "plan", "--p", "0.9978", "--disks", "20", "--tokens", "600,538", "--price", "0.4,1.6", "--budget", "5000"
    )
    assert planned.exit_code == 0, planned.stderr
    assert "1,048,575 steps without an error at 95%, p = 0.9978: k = 3" in planned.stdout
    assert "3 <  0.9888  3,159,627  $3,478" in planned.stdout
    assert "$5,000 pay for k = 4 on this task" in planned.stdout
    assert max(map(len, planned.stdout.splitlines())) <= 100
    file = tmp_path / "found.json"
    [cheap, dear] = found("hanoi", "--disks", "8", "--model", MODELS[2], "--model", MODELS[0], "--out", str(file))[
        "calibrations"
    ]
    assert (cheap["model"], dear["model"]) == (MODELS[0], MODELS[2])
    for arguments, one in (([], cheap), (["--model", MODELS[2]], dear)):
        result = json.loads(call("plan", "--calibration", str(file), *arguments, "--json").stdout)
        assert (result["k"], result["steps"]) == (one["k_min"], 255)
        [choice] = [choice for choice in result["choices"] if choice["k"] == one["k_min"]]
        assert choice["cost"] == pytest.approx(one["expected_cost"])
    shown = call("plan", "--calibration", str(file), "--disks", "20").stdout
    assert "sim:gpt-4.1-mini (a simulated model), calibrated on 255 steps: k = " in shown


# bad input


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("calibrate hanoi --samples 0", "samples is a whole number of at least 1, not 0"),
        ("calibrate hanoi --target 1", "target is above 0 and below 1"),
        ("calibrate hanoi --token-limit 0", "a token limit is a whole number of at least 1"),
        ("calibrate hanoi --for-disks 31", "from 1 to 30, not 31"),
        ("calibrate hanoi --for-disks 12 --for-steps 9", "give --for-disks or --for-steps, and not both"),
        ("calibrate hanoi --for-steps 0", "steps is a whole number of at least 1"),
        ("calibrate examples.long_addition:LongAddition --set a=1 --set b=2 --for-disks 9", "for long-addition give"),
        ("calibrate hanoi --model sim:nobody", "known are"),
        ("calibrate hanoi --model openai:gpt-4.1-mini", "OPENAI_API_KEY"),
        ("calibrate hanoi --model sim:haiku-4.5 --model sim:haiku-4.5", "a --model is given twice"),
        ("calibrate hanoi --base-url http://127.0.0.1:1/v1", "--base-url goes with openai:NAME"),
        ("calibrate hanoi --price 1,2", "--price takes NAME=IN,OUT"),
        (
            "calibrate hanoi --price gpt-4.1-mini=1,2",
            "there is a price for gpt-4.1-mini, which is none of sim:gpt-4.1-mini",
        ),
        ("calibrate hanoi --price sim:gpt-4.1-mini=1", "a price is INPUT,OUTPUT"),
        ("calibrate hanoi --max-cost 0", "--max-cost is a number of dollars above 0"),
        ("calibrate hanoi --model sim:llama-3.2-3b --max-cost 1", "needs to know what sim:llama-3.2-3b costs"),
        ("calibrate hanoi --deadline soon", "a time is seconds"),
        ("calibrate hanoi --out /nowhere/f.json", "there is no folder /nowhere"),
        ("plan", "give --p, or --calibration FILE"),
        ("plan --p 0.9", "steps is missing"),
        ("plan --p 0.4 --steps 10", "voting cannot help at p = 0.4"),
        ("plan --p 0.9 --steps 10 --disks 3", "give --steps or --disks, and not both"),
        ("plan --p 0.9 --steps 10 --budget 1", "a budget needs a cost"),
        ("plan --p 0.9 --steps 10 --tokens 1,2", "--tokens and --price go together"),
        ("plan --p 0.9 --steps 10 --tokens 1 --price 1,2", "--tokens takes IN,OUT"),
        ("plan --p 0.9 --steps 10 --tokens=-1,2 --price 1,2", "--tokens takes two numbers of tokens, 0 or more"),
        ("plan --p 0.9 --steps 10 --tokens 1,inf --price 1,2", "--tokens takes two numbers of tokens, 0 or more"),
        ("plan --p 0.9 --steps 10 --cost-per-sample=-1", "--cost-per-sample is a number of dollars, 0 or more, not -1"),
        (
            "plan --p 0.9 --steps 10 --cost-per-sample nan",
            "--cost-per-sample is a number of dollars, 0 or more, not nan",
        ),
        ("plan --p 0.9 --steps 10 --cost-per-sample 1 --budget inf", "budget is a number of dollars, 0 or more"),
        ("plan --p 0.9 --steps 10 --lanes 4", "--lanes and --spread go with --latency"),
        ("plan --p 0.9 --steps 10 --model a", "--model goes with --calibration"),
        ("plan --calibration /nowhere", "/nowhere cannot be read"),
        ("plan --calibration pyproject.toml", "cannot be read"),
        ("run hanoi --k many", "is no whole number, and not auto"),
        ("run hanoi --target 0.99", "--target and --calibrate-samples go with --k auto"),
        ("run hanoi --k 4 --calibrate-samples 50", "--target and --calibrate-samples go with --k auto"),
        ("run hanoi --k auto --target 0", "target is above 0"),
        ("run hanoi --k auto --calibrate-samples 0", "samples is a whole number"),
        ("run hanoi --token-limit 0", "a token limit is a whole number of at least 1"),
    ],
)
def test_bad_input_is_said_in_a_line_and_exits_2(arguments: str, message: str) -> None:
    done = call(*arguments.split())
    assert done.exit_code == 2
    assert message in " ".join(done.stderr.split())
    assert done.stdout == ""


# auto


def test_a_run_with_k_auto_shows_what_it_goes_by_and_goes_on_with_it(tmp_path: Path) -> None:
    command = ["run", "hanoi", "--disks", "7", "--k", "auto", "--db", str(tmp_path / "r.sqlite"), "--run-id", "a"]
    part = call(*command, "--max-total-samples", "100")
    assert part.exit_code == 130
    assert re.search(r"calibrated: k is \d, p at least 0\.9\d+, \d+ samples, \$0\.\d+", part.stderr)
    again = call(*command)
    assert (again.exit_code, "as run a was started: --max-total-samples 100" in again.stderr) == (130, True)
    done = call(*command, "--max-total-samples", "10000", "--json")
    assert done.exit_code == 0, done.stderr
    result = json.loads(done.stdout)
    assert (result["status"], result["steps"]) == ("solved", 127)
    assert f"k is {result['calibration']['k_average']}," in part.stderr
    again = call(*command)
    assert f"127 of 127 steps decided, each by a margin of {result['calibration']['k_average']}" in again.stdout
    assert "  k        calibrated: k is" in again.stdout


def test_a_run_with_k_auto_does_not_begin_where_errors_come_again_on_the_same_steps(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def answer(request: Request) -> str:
        hard = int(request.messages[0].text) % 10 == 0
        return "0" if hard and request.subtask_id.startswith(("sample", "pair")) else right(request)

    monkeypatch.setattr("langgraph_maker.cli.assignment.load_model", lambda *_: Scripted(answer))
    done = call("run", "tests.runs.calibration.test_calibrate:Known", "--set", "steps=400", "--k", "auto")
    assert done.exit_code == 1
    assert "errors come again on the same steps (p-value 0.0" in done.stderr
    assert 'decorrelate="variants"' in done.stderr


def test_a_run_that_goes_on_with_another_model_says_whose_k_it_keeps(tmp_path: Path) -> None:
    command = ["run", "hanoi", "--disks", "6", "--k", "auto", "--db", str(tmp_path / "r.sqlite"), "--run-id", "a"]
    first = call(*command, "--max-total-samples", "20").stdout
    assert "whose k" not in first
    other = call(*command, "--model", "sim:haiku-4.5").stdout
    assert "; that was sim:gpt-4.1-mini, whose k a run that is resumed keeps" in " ".join(other.split())


def test_where_voting_cannot_help_a_run_with_k_auto_says_so() -> None:
    done = call("run", "hanoi", "--disks", "5", "--k", "auto", "--model", "sim:llama-3.2-3b")
    assert done.exit_code == 1
    assert "recommends no k for sim:llama-3.2-3b: p is at most 0.119" in done.stderr


def test_a_token_limit_of_ones_own_is_that_of_the_run() -> None:
    command = ["run", "hanoi", "--disks", "5", "--model", "sim:haiku-4.5", "--k", "9", "--json", "--token-limit"]
    tight, wide = (json.loads(call(*command, limit).stdout)["flagged"] for limit in ("500", "4000"))
    assert tight > 100
    assert wide == 0
