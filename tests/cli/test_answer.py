"""A human on the command line: real processes, a run that waits, its question and the answer."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from command_line import maker
from typer.testing import CliRunner

from langgraph_maker import journal
from langgraph_maker.cli import app
from langgraph_maker.journal.databases import open_store

pytestmark = pytest.mark.xdist_group("answer")

RUN = (
    *("run", "hanoi", "--disks", "4", "--model", "sim:hard=0.2,repeats=0.5,error=0.05", "--run-id", "a"),
    *("--tier", "samples=5", "--tier", "human", "--json"),
)


@pytest.fixture(scope="module")
def waiting(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with a run that waits."""
    db = tmp_path_factory.mktemp("answer") / "run.sqlite"
    run = maker(*RUN, "--db", str(db))
    assert run.returncode == 4, run.stderr
    assert json.loads(run.stdout)["status"] == "waiting"
    assert "langgraph-maker answer" in run.stderr
    return db


def test_shows_what_is_asked(waiting: Path) -> None:
    shown = maker("answer", "--run-id", "a", "--db", str(waiting))
    assert shown.returncode == 0
    assert "no answer led by the margin after 5 samples" in shown.stdout
    assert "--pick NUMBER" in shown.stdout
    assert "then the state is" in shown.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--pick", "0"), "say which step"),
        (("14", "--pick", "0"), "no open question '14': open are"),
        (("STEP", "--pick", "9"), "there is no candidate 9"),
        (("STEP",), "give one of --pick"),
        (("STEP", "--pick", "0", "--retry"), "give one of --pick"),
    ],
)
def test_bad_answers(waiting: Path, arguments: tuple[str, ...], message: str) -> None:
    with open_store(str(waiting)) as store:
        [question] = journal.questions(store, "a")
    given = [question["id"] if one == "STEP" else one for one in arguments]
    said = CliRunner().invoke(app, ["answer", *given, "--run-id", "a", "--db", str(waiting)])
    assert said.exit_code == 2
    assert message in said.stderr


def test_the_same_command_goes_on_with_the_answer(waiting: Path) -> None:
    for _ in range(15):
        run = maker(*RUN, "--db", str(waiting))
        result = json.loads(run.stdout)
        if run.returncode != 4:
            break
        for question in result["questions"]:
            said = maker("answer", question["id"], "--pick", "0", "--run-id", "a", "--db", str(waiting))
            assert said.returncode == 0, said.stderr
    assert run.returncode in {0, 3}, "what a human picks may be wrong"
    assert result["outlook"]["by_human"] >= 1
