"""The paper's experiments: what they find on models whose rates are known, how they continue, what they refuse."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from langchain_core.messages import AIMessage
from typer.testing import CliRunner

from langgraph_maker import theory
from langgraph_maker.cli import app
from langgraph_maker.core.state import Request, Sampler, never_waits
from langgraph_maker.experiments import EXPERIMENTS, experiment, figures
from langgraph_maker.experiments.clusters import fit
from langgraph_maker.experiments.decorrelation import joint
from langgraph_maker.experiments.horizon import Horizon, half_right
from langgraph_maker.experiments.pilot import verdict
from langgraph_maker.experiments.red_flags import recommended
from langgraph_maker.experiments.run import _by_list
from langgraph_maker.models.prices import Price, dated
from langgraph_maker.simulation.chat_model import simulated_sampler
from langgraph_maker.tasks import DictionarySum, Proof, TowersOfHanoi
from langgraph_maker.theory.inference import undecided

pytestmark = pytest.mark.xdist_group("experiments")  # most read what one run of each has found

SMALL: dict[str, dict[str, Any]] = {
    "scaling": {"models": ["sim:error=0.2", "sim:error=0.05"], "disks": [2], "samples": 6},
    "calibration": {"models": ["sim:gpt-4.1-mini", "sim:llama-3.2-3b"], "disks": [4, 6], "samples": 30},
    "convergence": {"disks": [7]},
    "red-flags": {"models": ["sim:gpt-4.1-mini,hard=0.1"], "disks": [9], "samples": 300},
    "pilot": {"disks": [7], "samples": 120},
    "model-size": {"models": ["sim:gpt-4.1-mini", "sim:gpt-oss-20b"], "disks": [8], "samples": 40},
    "horizon": {"models": ["sim:error=0.1"], "samples": 3},
    "decorrelation": {"models": ["sim:error=0.02,hard=0.2", "sim:error=0.03,hard=0.2"], "disks": [8], "samples": 40},
}


def counting(task: TowersOfHanoi, spec: str, asked: list[Request]) -> Sampler:
    """A simulated model that notes what it is asked."""
    inner = simulated_sampler(spec, task)

    @never_waits
    async def sample(requests: Sequence[Request]) -> Sequence[AIMessage | Exception]:
        asked.extend(requests)
        return await inner(requests)

    sample.__name__ = spec
    return sample


# each of them


DRAWN = ("convergence",)  # the others with their defaults, among the long runs


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures take most of the time."""
    monkeypatch.setattr(figures, "can_draw", lambda: False)


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("experiments")
    outcomes = {}
    for name, settings in SMALL.items():
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Horizon, "longest", 12)
            patch.setattr(figures, "can_draw", lambda name=name: name in DRAWN)
            outcomes[name] = experiment(name, out=folder, **settings)
    return outcomes


def test_all_are_tried() -> None:
    assert set(SMALL) == set(EXPERIMENTS)


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_data_have_the_settings_first_and_a_line_a_point(found: dict[str, Any], name: str) -> None:
    head, *lines = map(json.loads, found[name].data.read_text().splitlines())
    assert head["experiment"] == name
    assert {key: head["settings"][key] for key in SMALL[name]} == SMALL[name]
    assert head["settings"]["seed"] == 0
    assert lines == found[name].lines
    assert len(lines) == found[name].planned
    assert all(line["simulated"] and line["drawn"] > 0 for line in lines)
    assert found[name].sentences


@pytest.mark.parametrize("name", DRAWN)
def test_the_same_command_buys_nothing_and_draws_the_same_bytes(found: dict[str, Any], name: str) -> None:
    def never(_: str, __: int) -> None:
        raise AssertionError("something was bought")

    data, figures = found[name].data.read_bytes(), [path.read_bytes() for path in found[name].figures]
    again = experiment(name, out=found[name].data.parent, on_progress=never, **SMALL[name])
    assert (again.sentences, again.data.read_bytes()) == (found[name].sentences, data)
    assert [path.read_bytes() for path in again.figures] == figures
    assert all(b"Simulated models: what is shown says nothing about real ones." in one for one in figures)


@pytest.mark.slow
@pytest.mark.parametrize("name", EXPERIMENTS)
def test_each_runs_on_its_defaults(name: str, tmp_path: Path) -> None:
    outcome = experiment(name, out=tmp_path)
    assert outcome.stopped == outcome.problem == ""
    assert outcome.figures
    for path in outcome.figures:
        assert "Simulated models: what is shown says nothing about real ones." in path.read_text()


# what they find


@pytest.mark.usefixtures("undrawn")
def test_scaling_agrees_with_theory(tmp_path: Path) -> None:
    [line] = experiment("scaling", models=["sim:error=0.2"], disks=[3], samples=25, out=tmp_path).lines
    assert line["p"] == pytest.approx(0.8, abs=0.028)  # four and a half standard deviations
    for one in line["by_k"][:4]:
        share = theory.p_full(0.8, one["k"], 7)
        assert abs(one["without_error"] - 25 * share) < 4.5 * np.sqrt(25 * share * (1 - share)) + 1
        assert one["samples_per_step"] == pytest.approx(theory.expected_votes(0.8, one["k"]), rel=0.1)
    assert 0 < line["by_k"][1]["without_error"] < 25  # each time is a draw of its own
    composed = {one["m"]: one["votes"] for one in line["by_m"]}
    assert composed[1] == pytest.approx(theory.expected_votes(line["p"], line["by_m"][0]["k"]), rel=0.1)
    assert composed[6] > 2 * composed[1]  # 0.8^-5 = 3.05


def test_clustered_errors_are_told_from_independent_ones() -> None:
    easy, hard = (list(undecided(p, 3, 12)) for p in (0.99, 0.7))
    mixed = [round(100_000 * (0.98 * one + 0.02 * other)) for one, other in zip(easy, hard, strict=True)]
    law = fit(mixed, k=3, wrong=1.0)
    assert law.above(0.1) == pytest.approx(0.02, rel=0.15)
    assert np.dot(law.rates, law.weights) == pytest.approx(0.98 * 0.01 + 0.02 * 0.3, rel=0.1)
    alike = fit([round(100_000 * share) for share in easy], k=3, wrong=1.0)
    assert alike.above(0.1) < 1e-4
    assert law.undecided(30)[30] > 100 * alike.undecided(30)[30]


def test_a_fit_needs_something_decided() -> None:
    with pytest.raises(ValueError, match="nothing to fit"):
        fit([10, 10, 10], k=3, wrong=0.5)


def test_the_price_list_and_its_age_are_named() -> None:
    named = {"openai:gpt-4.1-mini": "openai:gpt-4.1-mini"}
    assert _by_list(named, {}) == dated()
    assert _by_list(named, {"openai:gpt-4.1-mini": Price(1, 1)}) == ""
    assert _by_list({"sim:gpt-4.1-mini": "sim:gpt-4.1-mini"}, {}) == ""


def test_convergence_names_the_hardest_steps(found: dict[str, Any]) -> None:
    [line] = found["convergence"].lines
    most, step = line["hardest"][0]
    assert line["undecided"][most] == 0 < line["undecided"][most - 1]
    assert f"step {step:,} ({most} samples)" in found["convergence"].sentences[-1]


def test_half_of_the_runs_are_right_up_to_the_horizon() -> None:
    lengths = [2, 3, 5, 8, 13, 21]
    _, half, _ = half_right(lengths, 100)
    assert half is not None
    assert sum(length >= half for length in lengths) * 2 >= len(lengths)
    assert sum(length >= half + 1 for length in lengths) * 2 < len(lengths)


def test_the_interval_of_a_horizon_covers_the_median_as_often_as_it_says() -> None:
    """Of geometric lengths with median 6: at most 5 % of 2,000 intervals miss it, beyond what chance allows."""
    draw = np.random.default_rng(1)
    missed = 0
    for _ in range(2000):
        low, _, high = half_right([int(one) for one in draw.geometric(0.1, 20) - 1], 10_000)
        missed += not low <= 6 <= (10_000 if high is None else high)
    assert missed <= 100 + 3 * np.sqrt(2000 * 0.05 * 0.95)


def test_voting_lengthens_the_horizon(found: dict[str, Any]) -> None:
    alone, *_, voted = found["horizon"].lines
    assert (alone["k"], voted["k"]) == (1, 4)
    assert sum(alone["lengths"]) < sum(voted["lengths"])
    assert any("GPT-5 thinking 1,000+" in sentence for sentence in found["horizon"].sentences)


def test_an_experiment_without_disks_refuses_them(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="horizon has no disks"):
        experiment("horizon", disks=[4], out=tmp_path)


def test_where_no_answer_is_valid_no_limit_is_recommended(tmp_path: Path) -> None:
    done = experiment("red-flags", out=tmp_path, models=["sim:flag=1"], disks=[4], samples=3)
    assert any("no limit is recommended" in sentence for sentence in done.sentences)


@pytest.mark.usefixtures("undrawn")
def test_the_models_of_an_experiment_fit_a_budget_in_dollars(tmp_path: Path) -> None:
    done = experiment("calibration", out=tmp_path, disks=[3], samples=3, max_cost=1.0)
    [line] = [line for line in done.lines if line["model"] == "sim:llama-3.2-3b"]
    assert line["spent"] > 0
    with pytest.raises(ValueError, match="give its price"):
        experiment("calibration", out=tmp_path / "own", models=["sim:error=0.1"], disks=[3], samples=3, max_cost=1.0)


def test_disks_given_twice_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="given twice"):
        experiment("calibration", out=tmp_path, disks=[4, 6, 4])


def test_flags_remove_collisions_and_a_limit_is_recommended(found: dict[str, Any]) -> None:
    [line] = found["red-flags"].lines
    rules = {(rule["parser"], rule["limit"]): rule for rule in line["rules"]}
    assert rules["repairing", 2048]["p_value"] < 0.01  # 30 hard steps of 300 fail together
    assert rules["flagging", 750]["collisions"] < rules["repairing", 2048]["collisions"]
    best = recommended(line)
    assert best is not None
    assert best["parser"] == "flagging"
    assert best["p_value"] >= 0.05
    assert best["limit"] < 1000
    short, long = (
        [one for one in line["lengths"] if (one["from"] >= 750) == beyond and one["answers"]]
        for beyond in (False, True)
    )
    assert max(one["wrong"] / one["answers"] for one in short) < 0.2 < min(one["high"] for one in long)


def test_a_pilot_allows_what_converges_and_says_why(found: dict[str, Any]) -> None:
    [line] = found["pilot"].lines
    allowed, reasons = verdict(line)
    assert line["status"] == "solved"
    assert any("what the pilot cannot show" in reason for reason in reasons)
    assert found["pilot"].sentences[0].endswith("may begin" if allowed else "do not begin the full run")
    k, slow = line["k"], list(undecided(0.6, line["k"], 60))
    clustered = [*(round(127_000 * (0.98 * (j < k) + 0.02 * share)) for j, share in enumerate(slow)), 0]
    assert not verdict({**line, "undecided": clustered, "steps": 127_000, "wrong_of_failures": 1.0})[0]
    assert not verdict({**line, "status": "unresolved", "reason": "no margin"})[0]
    assert verdict({**line, "k": None, "problem": "p is at most 0.1"})[1] == ["no k reaches 95%: p is at most 0.1"]


@pytest.mark.usefixtures("undrawn")
def test_a_model_that_is_mostly_wrong_gets_no_pilot(tmp_path: Path) -> None:
    outcome = experiment("pilot", models=["sim:error=0.7"], disks=[6], samples=60, out=tmp_path)
    assert outcome.sentences[0] == "sim:error=0.7: do not begin the full run"
    assert "steps" not in outcome.lines[0]  # nothing was spent on a run


def test_published_numbers_are_called_so(found: dict[str, Any]) -> None:
    assert any("on published numbers (arXiv 2511.09030" in said for said in found["model-size"].sentences)


def test_errors_of_one_model_fall_on_the_same_steps_and_of_two_do_not(found: dict[str, Any]) -> None:
    ratios = {
        said.partition(":")[0]: float(said.partition("wrong ")[2].split()[0])
        for said in found["decorrelation"].sentences
        if "times as often" in said
    }
    assert ratios["in the same way"] > 2 * ratios["from another model"]
    assert ratios["at another temperature"] > 2 * ratios["from another model"]  # a simulated one has the same steps


def test_joint_failures_of_independent_errors_are_as_chance_has_them() -> None:
    random = np.random.default_rng(1)
    counts = random.binomial(10, 0.1, (3, 20_000)).astype(float)
    assert np.allclose(joint(counts), 1, atol=0.06)  # four standard deviations
    assert joint(np.array([[10.0, 0, 0, 0]]))[0, 0] == 4


@pytest.mark.usefixtures("undrawn")
def test_variants_are_points_where_the_task_has_them(tmp_path: Path) -> None:
    outcome = experiment("decorrelation", models=["sim:error=0.5"], disks=[3], samples=5, out=tmp_path)
    assert {line["variant"] for line in outcome.lines} == {0, 1, 2}
    assert any(said.startswith("in another wording") for said in outcome.sentences)


# continuing


@pytest.mark.usefixtures("undrawn")
def test_an_interrupted_one_goes_on_and_buys_nothing_twice(tmp_path: Path) -> None:
    task = TowersOfHanoi(6)
    settings: dict[str, Any] = {"disks": [6], "samples": 50, "out": tmp_path / "a"}
    broken: list[Request] = []
    stopped = experiment(
        "decorrelation",
        models=[counting(task, "sim:error=0.1", broken)],
        stop=lambda: "Ctrl-C" if len(broken) >= 700 else False,
        **settings,
    )
    assert (stopped.stopped, len(stopped.lines)) == ("Ctrl-C", 1)
    after: list[Request] = []
    outcome = experiment("decorrelation", models=[counting(task, "sim:error=0.1", after)], **settings)
    whole: list[Request] = []
    settings["out"] = tmp_path / "b"
    other = experiment("decorrelation", models=[counting(task, "sim:error=0.1", whole)], **settings)
    assert len(broken) >= 700
    assert len(broken) + len(after) == len(whole) == outcome.drawn
    assert outcome.data.read_bytes() == other.data.read_bytes()
    cool, hot = ({one.number for one in whole if one.temperature == temperature} for temperature in (0.1, 1.0))
    assert not cool & hot  # a simulated model would give the same answers again


@pytest.mark.usefixtures("undrawn")
def test_a_line_cut_by_a_kill_is_measured_again_from_what_is_kept(found: dict[str, Any], tmp_path: Path) -> None:
    settings = SMALL["calibration"]
    first = experiment("calibration", out=tmp_path, **settings)
    whole = first.data.read_bytes()
    first.data.write_bytes(whole[:-40])
    again = experiment("calibration", out=tmp_path, **settings)
    assert again.data.read_bytes() == whole
    assert again.lines == found["calibration"].lines


def test_other_settings_are_refused_by_name(found: dict[str, Any]) -> None:
    folder = found["convergence"].data.parent
    with pytest.raises(ValueError, match=r"was started with disks=7, seed=0, and not disks=8, seed=5: give the same"):
        experiment("convergence", disks=[8], seed=5, out=folder)
    with pytest.raises(ValueError, match="was started with models=sim:gpt-4.1-mini, and not models=sim:error=0.1"):
        experiment("convergence", disks=[7], models=["sim:error=0.1"], out=folder)


@pytest.mark.usefixtures("undrawn")
def test_so_are_they_where_the_first_point_was_interrupted(tmp_path: Path) -> None:
    models = ["sim:error=0.1"]
    first = experiment("convergence", models=models, disks=[8], out=tmp_path, max_total_samples=766)
    assert (first.stopped != "", first.lines) == (True, [])
    with pytest.raises(ValueError, match="was started with seed=0, and not seed=1"):
        experiment("convergence", models=models, disks=[8], out=tmp_path, seed=1)


# other tasks


@pytest.mark.usefixtures("undrawn")
def test_decorrelation_and_model_size_run_on_other_tasks(tmp_path: Path) -> None:
    worded = DictionarySum.random(12, 10)
    outcome = experiment("decorrelation", models=["sim:error=0.1"], task=worded, samples=8, out=tmp_path)
    assert {line["variant"] for line in outcome.lines} == {0, 1, 2}
    assert all(line["steps"] == 8 for line in outcome.lines)
    assert (outcome.settings.task or "").startswith("dictionary-sum ")
    other = DictionarySum.random(12, 10, seed=1)
    with pytest.raises(ValueError, match="was started with task=dictionary-sum"):
        experiment("decorrelation", models=["sim:error=0.1"], task=other, samples=8, out=tmp_path)
    with pytest.raises(ValueError, match="task=dictionary-sum.* and not disks=20, task=None"):
        experiment("decorrelation", models=["sim:error=0.1"], samples=8, out=tmp_path)
    [line] = experiment("model-size", models=["sim:gpt-oss-20b"], task=Proof.random(2), samples=10, out=tmp_path).lines
    assert 10 <= line["drawn"] <= 40  # two a step, and as many again for types that few steps are of
    assert line["p"] is not None


@pytest.mark.usefixtures("undrawn")
def test_wordings_of_another_task_fail_apart_where_each_has_hard_steps_of_its_own(tmp_path: Path) -> None:
    task = DictionarySum.random(60, 30)
    lines = experiment("decorrelation", models=["sim:hard=0.3"], task=task, samples=60, out=tmp_path).lines
    cool = [{*line["wrong"]} for line in lines if line["temperature"] == 0.1]
    assert all(cool)
    assert len({frozenset(one) for one in cool}) == 3


@pytest.mark.parametrize(
    ("name", "settings", "said"),
    [
        ("scaling", {"task": Proof.random(1)}, "scaling runs on one task: .* model-size, decorrelation run on any"),
        ("decorrelation", {"task": Proof.random(1), "disks": [3]}, "a task or disks, not both"),
        ("model-size", {"task": "hanoi"}, "task is a Task"),
    ],
)
def test_a_task_where_it_does_not_belong_is_refused(
    name: str, settings: dict[str, Any], said: str, tmp_path: Path
) -> None:
    with pytest.raises((ValueError, TypeError), match=said):
        experiment(name, out=tmp_path / "out", **settings)
    assert not (tmp_path / "out").exists()


def test_the_command_takes_a_task_as_run_does(tmp_path: Path) -> None:
    arguments = ["experiment", "model-size", "--model", "sim:error=0.1", "--samples", "6", "--out", str(tmp_path)]
    done = CliRunner().invoke(app, [*arguments, "--task", "proof", "--set", "theorems=1", "--json"])
    assert json.loads(done.stdout)["settings"]["task"].startswith("proof ")
    bare = CliRunner().invoke(app, [*arguments, "--set", "theorems=1"])
    assert (bare.exit_code, bare.stdout) == (2, "")
    assert "--set goes with --task" in bare.stderr


# budgets


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_a_budget_too_small_for_the_first_point_is_refused_before_anything_is_bought(name: str, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    with pytest.raises(ValueError, match=r"takes at least .* samples, and the budget is 2: .*nothing is bought"):
        experiment(name, max_total_samples=2, out=folder, **SMALL[name])
    assert not folder.exists()


@pytest.mark.usefixtures("undrawn")
def test_so_is_one_in_dollars(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"at least 381 samples, about \$0.4194, and the budget is \$0.05"):
        experiment("convergence", disks=[7], max_cost=0.05, out=tmp_path)
    with pytest.raises(ValueError, match="needs to know what sim:error=0.1 costs"):
        experiment("convergence", models=["sim:error=0.1"], disks=[7], max_cost=1, out=tmp_path)
    prices = {"sim:error=0.1": Price(1, 1)}
    priced = experiment("convergence", models=list(prices), disks=[5], max_cost=1, out=tmp_path, prices=prices)
    assert priced.spent > 0


@pytest.mark.usefixtures("undrawn")
@pytest.mark.parametrize(
    ("name", "settings", "budget"),
    [
        ("calibration", {"models": ["sim:gpt-4.1-mini"], "disks": [8], "samples": 200}, 201),
        ("convergence", {"disks": [9], "models": ["sim:error=0.05"]}, 1600),
        ("red-flags", {"disks": [8], "samples": 200, "models": ["sim:error=0.2,flag=0.3"]}, 401),
    ],
)
def test_a_budget_that_ends_a_point_keeps_what_was_bought(
    name: str, settings: dict[str, Any], budget: int, tmp_path: Path
) -> None:
    asked = experiment(name, out=tmp_path / "whole", **settings)
    short = experiment(name, out=tmp_path / "short", max_total_samples=budget, **settings)
    assert "budget" in short.stopped or "limit" in short.stopped
    assert (short.lines, short.figures) == ([], [])

    def tell(_: str, drawn: int) -> None:
        told.append(drawn)

    told: list[int] = []
    still = experiment(name, out=tmp_path / "short", max_total_samples=budget, on_progress=tell, **settings)
    assert still.lines == []
    assert len(set(told)) <= 1  # what was kept is told, and nothing bought
    rest = experiment(name, out=tmp_path / "short", **settings)
    assert (rest.stopped, rest.lines) == ("", asked.lines)


@pytest.mark.usefixtures("undrawn")
def test_a_budget_for_some_points_draws_those(tmp_path: Path) -> None:
    settings = SMALL["decorrelation"]
    outcome = experiment("decorrelation", out=tmp_path, max_total_samples=900, **settings)
    assert (len(outcome.lines), outcome.planned, outcome.drawn) == (2, 12, 800)
    assert outcome.stopped.endswith("takes at least 400 samples, and the budget is 100 of 900")
    assert outcome.sentences


# bad input


@pytest.mark.parametrize(
    ("name", "settings", "said"),
    [
        ("scale", {}, "no experiment is called 'scale': there are scaling, calibration"),
        ("scaling", {"disks": [3, 4]}, "scaling takes one number of disks, not 2"),
        ("scaling", {"disks": [40]}, "disks is a whole number from 1 to 30"),
        ("scaling", {"samples": 0}, "samples is a whole number of at least 1"),
        ("convergence", {"samples": 5}, "has no number of samples"),
        ("scaling", {"models": []}, "no model to ask"),
        ("scaling", {"models": ["sim:error=0.1", "sim:error=0.1"]}, "two of the models have the same name"),
        ("scaling", {"models": ["sim:gpt-9"]}, "unknown model 'gpt-9'"),
        ("scaling", {"prices": {"gpt-9": Price(1, 1)}}, "a price for gpt-9, which is none of"),
        ("scaling", {"seed": -1}, "seed is a whole number"),
    ],
)
def test_what_cannot_be_is_refused(name: str, settings: dict[str, Any], said: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=said):
        experiment(name, out=tmp_path / "out", **settings)
    assert not (tmp_path / "out").exists()


def test_without_matplotlib_the_data_are_written_and_the_extra_is_named(tmp_path: Path) -> None:
    code = (
        "import sys; sys.modules['matplotlib'] = None\n"
        "from langgraph_maker.cli import main\n"
        f"sys.argv = ['langgraph-maker', 'experiment', 'convergence', '--disks', '4', '--out', {str(tmp_path)!r}]\n"
        "main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 1
    assert "pip install 'langgraph-maker[plots]'" in done.stderr
    assert len((tmp_path / "convergence.jsonl").read_text().splitlines()) == 2
    assert not list(tmp_path.glob("*.svg"))


def test_no_two_names_look_alike() -> None:
    names = [f"model {number}" for number in range(40)]
    tints, shapes = figures.colours(names), figures.markers(names)
    assert len({(tints[name], shapes[name]) for name in names}) == 40


# the command


def test_the_command_says_what_was_found_and_how_to_go_on(tmp_path: Path) -> None:
    arguments = ["experiment", "decorrelation", "--model", "sim:error=0.1", "--disks", "5", "--samples", "10"]
    arguments += ["--out", str(tmp_path)]
    short = CliRunner().invoke(app, [*arguments, "--max-total-samples", "150"])
    assert short.exit_code == 130
    assert "to resume with a larger budget: langgraph-maker" in short.stderr
    whole = CliRunner().invoke(app, arguments)
    assert whole.exit_code == 0
    assert "Simulated models: no figure says anything about a real one." in whole.stdout
    assert max(map(len, whole.stdout.replace(str(tmp_path), "").splitlines())) <= 100
    other = CliRunner().invoke(app, [*arguments, "--seed", "2"])
    assert (other.exit_code, other.stdout) == (2, "")
    assert "was started with seed=0, and not seed=2" in other.stderr
    found = json.loads(CliRunner().invoke(app, [*arguments, "--json"]).stdout)
    assert (found["drawn"], found["stopped"]) == (600, "")
