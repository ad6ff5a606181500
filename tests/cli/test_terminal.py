"""The command line as a terminal shows it: any encoding, any width, nothing that a terminal would obey."""

from __future__ import annotations

import importlib
import io
import json
import logging
import os
import pty
import re
import shlex
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from rich.console import Console
from typer.testing import CliRunner

from langgraph_maker import journal, solve
from langgraph_maker.cli import app
from langgraph_maker.cli.console import listen, width
from langgraph_maker.cli.encoding import writes_anything
from langgraph_maker.cli.progress import follow
from langgraph_maker.cli.resume import options_of, save
from langgraph_maker.cli.shell import load
from langgraph_maker.core.foreign import terminal_safe
from langgraph_maker.journal import records
from langgraph_maker.journal.databases import open_store
from langgraph_maker.nodes.totals import nothing
from langgraph_maker.runs.monitor.outlook import outlook
from langgraph_maker.runs.result import Progress
from langgraph_maker.tasks import TowersOfHanoi
from langgraph_maker.theory.inference import Estimate

COMMANDS = ("run", "runs", "answer", "calibrate", "diagnose", "experiment", "plan", "puzzles", "report", "serve")
ESCAPES = "\x1b]0;title\x07\x1b[2J\x9b2J\r\u202e"


@pytest.fixture(autouse=True)
def data_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))


@pytest.fixture
def db(tmp_path: Path) -> str:
    """A database with a solved run "one" and a stopped run "two", of which a command is known."""
    path = str(tmp_path / "r.sqlite")
    with open_store(path) as store:
        solve(TowersOfHanoi(2), "sim:error=0", store=store, run_id="one")
        save(store, "two", f"langgraph-maker run hanoi --disks 6 --run-id two --db {path}", {})
        solve(TowersOfHanoi(6), "sim:error=0", store=store, run_id="two", max_total_samples=9)
    return path


def said(*arguments: str, code: int = 0) -> str:
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == code, done.output
    assert "Traceback" not in done.output
    return done.output


# any encoding


@pytest.mark.parametrize(
    "env",
    [
        {"PYTHONIOENCODING": "cp1252"},
        {"LC_ALL": "POSIX", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    ],
)
def test_results_survive_an_encoding_that_lacks_their_characters(env: dict[str, str], tmp_path: Path) -> None:
    commands = (
        ["run", "hanoi", "--disks", "6", "--model", "sim:error=0.1", "--k", "5", "--db", "p.sqlite"],
        ["calibrate", "hanoi", "--disks", "3", "--samples", "9", "--db", "p.sqlite"],
        ["runs", "--db", "p.sqlite"],
    )
    code = (
        "import sys\nfrom langgraph_maker.cli import main\n"
        f"for arguments in {commands!r}:\n"
        "    sys.argv[1:] = arguments\n"
        "    try: main()\n"
        "    except SystemExit as ended: print('exit', ended.code)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | env, cwd=tmp_path, capture_output=True, check=False
    )
    shown = done.stdout.decode("cp1252")
    assert (done.returncode, shown.count("exit 0")) == (0, 3), done.stderr
    assert "1 - p" in shown  # a minus sign, which neither has
    assert "solved" in shown
    assert b"Traceback" not in done.stderr


def test_a_character_that_an_encoding_lacks_has_a_stand_in() -> None:
    stream = io.TextIOWrapper(io.BytesIO(), "ascii")
    writes_anything(stream)
    stream.write("p ≥ 0.9 … 1 \N{MINUS SIGN} x, é \udcff")
    stream.flush()
    assert stream.buffer.getvalue() == b"p >= 0.9 ... 1 - x, \\xe9 \\udcff"


# nothing that a terminal obeys


def test_what_is_printable_stays_as_it_is() -> None:
    assert terminal_safe("é → ≥ \t[red]\n") == "é → ≥ \t[red]\n"
    assert terminal_safe(ESCAPES) == r"\x1b]0;title\x07\x1b[2J\x9b2J\x0d\u202e"


def test_warnings_of_any_package_are_shown_without_escapes(capsys: pytest.CaptureFixture[str]) -> None:
    root = logging.getLogger()
    before = [*root.handlers]
    try:
        listen()
        logging.getLogger("another.package").warning("it failed: %s", ESCAPES)
    finally:
        root.handlers = before
    shown = capsys.readouterr().err
    assert r"warning: it failed: \x1b]0;title" in "".join(shown.splitlines())
    assert not set(ESCAPES) - set("]0;title[2J") & set(shown)


def test_a_listing_shows_a_foreign_header_without_escapes(db: str) -> None:
    with open_store(db) as store:
        item = store.get(("langgraph_maker", "headers"), "one~")
        assert item is not None
        header = json.loads(item.value["header"])
        header["task"], header["parameters"] = ESCAPES, {ESCAPES: f"{ESCAPES}\n| forged | row |"}
        store.put(("langgraph_maker", "headers"), "one~", {**item.value, "header": json.dumps(header)})
    shown = said("runs", "--db", db)
    assert not {"\x1b", "\x07", "\x9b", "\r", "\u202e"} & set(shown)
    assert not any(line.startswith("| forged") for line in shown.splitlines())


# widths


def estimate(value: float) -> Estimate:
    return Estimate(value, value - 0.001, 1.0)


def progress(**fields: int) -> Progress:
    now = Progress(
        **{
            "run_id": "r",
            "steps": 523_456,
            "earlier": 0,
            "total_steps": 1_048_575,
            "samples": 1_623_456,
            "flagged": 51_234,
            "lanes": 1024,
            "undecided": 1024,
            "seconds": 60.0,
            **fields,
        }  # type: ignore[arg-type]
    )
    estimated = replace(
        outlook(nothing(), planned=now.total_steps),
        steps=now.steps,
        p=estimate(0.9988),
        valid_rate=estimate(0.97),
        so_far=0.9999968,
        so_far_low=0.999972,
        to_the_end=0.9999968,
        to_the_end_low=0.99997,
        samples=now.samples,
        samples_projected=3e6,
        cost=1823.5,
        cost_projected=3650.0,
        seconds_left=60.0,
    )
    vars(now)["later"] = lambda: estimated
    return now


def frames(width: int, *shown: Progress) -> list[str]:
    """The lines that a terminal of `width` columns is given."""
    text = io.StringIO()
    console = Console(file=text, force_terminal=True, width=width, height=24, soft_wrap=True, _environ={})
    with follow(console) as on_progress:
        for now in shown:
            on_progress(now)
    return [
        line for line in re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text.getvalue()).replace("\r", "\n").split("\n") if line
    ]


@pytest.mark.parametrize("width", [60, 80, 120])
def test_the_display_of_a_run_fits_with_bar_time_left_and_cost(width: int) -> None:
    lines = frames(width, progress())
    assert max(map(len, lines)) <= width
    shown = " ".join(lines)
    assert "starting" in shown
    assert re.search(r"━{10,}.* 50%, 0:01:00 left · \$1,823.50 spent", shown)
    assert "523k/1.05M steps" in shown
    assert "no error so far 0.9999968" in shown


def test_one_is_singular() -> None:
    lines = frames(80, progress(steps=1, samples=2, flagged=1, lanes=1))
    assert re.search(r"\b1 vote · 1 flag ·", " ".join(lines))


@pytest.mark.parametrize("command", COMMANDS)
def test_help_says_no_type_of_a_flag_and_no_default_in_two_brackets(command: str) -> None:
    shown = said(command, "--help")
    assert "bool" not in shown
    assert "[default: (" not in shown
    assert max(map(len, shown.splitlines())) <= 80


def test_the_help_of_all_begins_as_that_of_each() -> None:
    listed = " ".join(re.sub(r"[│╭╰─╮╯]", "", said("--help")).split())
    for command in COMMANDS:
        first = load([command]).registered_callback or load([command]).registered_commands[0]
        about = (first.help or first.callback.__doc__).strip().split()
        assert f"{command} {' '.join(about[:3])}".rstrip(".,;:") in listed


# the first half second


def test_a_terminal_shows_that_a_command_is_loading_and_an_interrupt_then_is_clean() -> None:
    ours, theirs = pty.openpty()
    code = "from langgraph_maker.cli import main; main()"
    with subprocess.Popen(
        [sys.executable, "-c", code, "run", "hanoi"], stdin=theirs, stdout=subprocess.PIPE, stderr=theirs
    ) as process:
        assert os.read(ours, 100).startswith(b"loading")
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130
        os.close(theirs)
        assert b"interrupted while loading" in (rest := os.read(ours, 4096))
        assert b"Traceback" not in rest
    os.close(ours)


# runs


def test_runs_shows_ids_whole_and_the_command_that_resumes(db: str) -> None:
    long = "a-run-id-that-is-longer-than-any-column-of-a-table-would-like-it-to-be-" * 2
    with open_store(db) as store:
        journal.fork(store, "two", 1, long)
    shown = said("runs", "--db", db)
    assert long in shown
    [command] = re.findall(r"to resume two: (.*)", shown)
    assert shlex.split(command)[:4] == ["langgraph-maker", "run", "hanoi", "--disks"]
    assert f"to resume {long}: the code that started it" in shown
    assert "to resume one" not in shown
    found = {one["run_id"]: one for one in json.loads(said("runs", "--db", db, "--json"))}
    assert found.keys() == {"one", "two", long}
    assert (found["one"]["status"], found["one"]["steps"], found["one"]["k"]) == ("solved", 3, 3)
    assert (found["two"]["status"], found["two"]["command"]) == ("stopped", command)


SHORT = ["run", "hanoi", "--run-id", "r", "--db"]


@pytest.fixture
def begun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A database with a run that stopped, begun with options of its own."""
    path = str(tmp_path / "begun.sqlite")
    options = ["--disks", "4", "--k", "5", "--seed", "7", "--model", "sim:error=0", "--lanes", "2"]
    limit = ["--max-total-samples", "20"]
    monkeypatch.setattr(sys, "argv", ["langgraph-maker", *SHORT, path, *options, *limit])
    said(*SHORT, path, *options, *limit, code=130)
    return path


def test_a_run_is_resumed_with_the_options_that_it_was_begun_with(begun: str) -> None:
    resumed = said(*SHORT, begun, "--max-total-samples", "999")
    assert "as run r was started: --disks 4 --model sim:error=0 --k 5 --lanes 2 --seed 7" in resumed
    with open_store(begun) as store:
        assert {entry["margin"] for entry in journal.read(store, "r")} == {5}
        [first, second] = journal.header(store, "r")["sessions"]
        assert first["starts"] == second["starts"] == [0, 7]
    assert "--max-total-samples 999" in said(*SHORT, begun, "--lanes", "1")  # as it was resumed with


def test_a_resume_that_is_refused_leaves_the_command_as_it_was(begun: str, monkeypatch: pytest.MonkeyPatch) -> None:
    before = said("runs", "--db", begun)
    assert "--k 5" in before
    monkeypatch.setattr(records, "writer", lambda: "another process")
    for refused, why in ((["--k", "2"], "was started with k 5, not 2"), (["--disks", "3"], "was started with")):
        monkeypatch.setattr(sys, "argv", ["langgraph-maker", *SHORT, begun, *refused])
        assert why in said(*SHORT, begun, *refused, code=1)
    monkeypatch.setattr(sys, "argv", ["langgraph-maker", "run", "sorting", *SHORT[2:], begun])
    assert "was started with task" in said("run", "sorting", *SHORT[2:], begun, code=1)
    assert said("runs", "--db", begun) == before


def test_the_k_of_a_run_that_python_began_is_taken(db: str) -> None:
    with open_store(db) as store:
        solve(TowersOfHanoi(3), "sim:error=0", k=4, store=store, run_id="py", max_total_samples=9)
    resumed = said("run", "hanoi", "--disks", "3", "--model", "sim:error=0", "--run-id", "py", "--db", db)
    assert "as run py was started: --k 4" in resumed


def test_a_server_with_a_secret_in_its_address_is_not_kept(begun: str) -> None:
    with open_store(begun) as store:
        context = SimpleNamespace(params={"base_url": "http://me:hush@h/v1", "k": "5", "db": begun, "seed": None})
        assert options_of(context) == {"k": "5"}
        save(store, "r", "command", options_of(context))
        assert "hush" not in str([item.value for item in store.search(())])


def test_a_run_is_named_as_an_argument_or_as_an_option(db: str) -> None:
    for command in (["runs", "verify"], ["runs", "export"], ["report", "--format", "json"]):
        assert (
            said(*command, "one", "--db", db).replace("s", "")[:20]
            == said(*command, "--run-id", "one", "--db", db).replace("s", "")[:20]
        )
        said(*command, "one", "--run-id", "one", "--db", db)
        for wrong in ([], ["one", "--run-id", "two"]):
            assert "give one run's id" in said(*command, *wrong, "--db", db, code=2)
    said("runs", "delete", "--run-id", "one", "--db", db)
    assert "no run 'one'" in said("report", "one", "--db", db, code=1)


def test_a_page_for_a_terminal_goes_to_a_file(db: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert said("report", "one", "--db", db).startswith("<!doctype html>")
    monkeypatch.setattr(importlib.import_module("langgraph_maker.cli.report"), "on_terminal", lambda: True)
    assert said("report", "one", "--db", db) == "written: report-one.html\n"
    assert (tmp_path / "report-one.html").read_text().startswith("<!doctype html>")
    assert said("report", "one", "--db", db, "--format", "json").startswith("{")


def test_a_width_that_is_asked_for_holds_in_a_pipe(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    assert width(Console(file=io.StringIO())) == 100
    monkeypatch.setenv("COLUMNS", "60")
    assert width(Console(file=io.StringIO())) == 60


def test_a_tenants_question_is_answered_by_the_command_that_is_shown(tmp_path: Path) -> None:
    db, tenant = str(tmp_path / "t.sqlite"), ["--namespace", "users", "--namespace", "ann"]
    shared = ["--run-id", "r", "--db", db, *tenant]
    asked = said(
        *["run", "hanoi", "--disks", "2", "--model", "sim:error=1", "--max-samples-per-step", "3"],
        *["--ladder", "human", *shared],
        code=4,
    )
    page = said("report", "r", "--db", db, *tenant)
    [command] = re.findall(r"langgraph-maker (answer \d+ --run-id r.*?) --pick", page)
    assert shlex.split(command)[4:] == tenant
    assert f"--db {db} --namespace users --namespace ann" in asked
    assert "no run 'r'" in said("report", "r", "--db", db, code=1)
    assert "Saved" in said(*shlex.split(command), "--abort", "--db", db)
    assert "no runs in" in said("runs", "--db", db)
    assert "to resume r: " in said("runs", "--db", db, *tenant)


def test_a_command_is_not_shown_for_a_run_that_other_code_worked_on_last(db: str) -> None:
    with open_store(db) as store:
        journal.delete(store, "two")
        code = (
            "import sys; from langgraph_maker.journal.databases import open_store; from langgraph_maker import solve\n"
        )
        code += "from langgraph_maker.tasks import TowersOfHanoi\nwith open_store(sys.argv[1]) as store:\n"
        code += "    solve(TowersOfHanoi(6), 'sim:error=0', store=store, run_id='two', max_total_samples=9)"
        subprocess.run([sys.executable, "-c", code, db], check=True)
    assert "to resume two: the code that started it" in said("runs", "--db", db)


def test_runs_are_verified_exported_and_deleted(db: str, tmp_path: Path) -> None:
    assert "run one is whole: 3 steps" in said("runs", "verify", "one", "--db", db)
    lines = said("runs", "export", "one", "--db", db).splitlines()
    assert (len(lines), json.loads(lines[0])["run_id"]) == (4, "one")
    said("runs", "export", "one", "--db", db, "--out", str(tmp_path / "one.jsonl"))
    assert (tmp_path / "one.jsonl").read_text().splitlines() == lines
    assert "is deleted" in said("runs", "--db", db, "delete", "one")
    assert [one["run_id"] for one in json.loads(said("runs", "--db", db, "--json"))] == ["two"]
    for command in ("delete", "verify", "export"):
        assert "'one'" in said("runs", command, "one", "--db", db, code=1)


def test_what_verify_finds_exits_with_1(db: str) -> None:
    with open_store(db) as store:
        [place] = [one for one in store.list_namespaces(prefix=("langgraph_maker", "runs")) if one[-1] == "one~"]
        first = min(item.key for item in store.search(place) if item.key.startswith("step-"))
        store.delete(place, first)
    assert "missing" in said("runs", "verify", "one", "--db", db, code=1)
    assert json.loads(said("runs", "verify", "one", "--db", db, "--json", code=1))[0]["kind"] == "missing"


# mistakes


def snapshot(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


@pytest.mark.parametrize("log", ["DELETE", "WAL"])
@pytest.mark.parametrize("table", ["notes (text)", "store (id, item, price)"])
@pytest.mark.parametrize("command", [["run", "hanoi", "--disks", "2"], ["runs"], ["runs", "delete", "r"]])
def test_a_database_of_something_else_is_left_as_it_was(
    tmp_path: Path, command: list[str], table: str, log: str
) -> None:
    foreign = tmp_path / "shop.sqlite"
    with sqlite3.connect(foreign) as connection:
        connection.execute(f"PRAGMA journal_mode = {log}")
        connection.execute(f"CREATE TABLE {table}")
    connection.close()
    before = snapshot(tmp_path)
    shown = said(*command, "--db", str(foreign), code=2)
    assert "is a database of something else, and was not touched" in " ".join(shown.split())
    assert snapshot(tmp_path) == before


def test_a_folder_or_a_pipe_is_no_database_and_nothing_is_left_beside_it(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    for name, what in (("folder", "is a folder"), ("pipe", "is no regular file")):
        assert what in said("run", "hanoi", "--disks", "2", "--db", str(tmp_path / name), code=2)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder", "pipe"]


@pytest.mark.parametrize("command", [["run", "hanoi"], ["runs"], ["answer", "--run-id", "r"], ["calibrate", "hanoi"]])
def test_an_empty_name_is_no_database(command: list[str]) -> None:
    assert "--db must name an SQLite file" in said(*command, "--db", "", code=2)


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (["run", "hanoi", "--disks", "2", "--report", "x" * 300], "File name too long"),
        (["run", "hanoi", "--disks", "2", "--report", "/proc/none/x"], "there is no folder"),
        (["calibrate", "hanoi", "--disks", "2", "--out", "/"], "is a folder"),
        (["runs", "export", "one", "--out", "x" * 300], "File name too long"),
        (["report", "--run-id", "one", "--out", "x" * 300], "File name too long"),
        (["experiment", "pilot", "--out", "/dev/null/x"], "Not a directory"),
        (["experiment", "pilot", "--out", "x" * 300], "File name too long"),
        (["serve", "--port", "99999"], "65535"),
        (["run", "hanoi", "--model", "openai:"], "use 'openai:NAME'"),
        (["run", "hanoi", "--model", ""], "unknown model ''"),
        (["run", "hanoi", "--model", "foo:bar"], "'foo:bar'"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(
    command: list[str], message: str, db: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    wants_db = command[0] not in {"experiment", "serve"}
    shown = said(*command, *(["--db", db] if wants_db else []), code=2)
    assert message in " ".join(re.sub("[│╭╰─╮╯]", "", shown).split())


def test_a_port_that_is_taken_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    import socket

    monkeypatch.setattr(signal, "signal", lambda *_: None)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        shown = said("serve", "--port", port, code=1)
    assert f"--port {port}" in shown
    assert "line" not in shown


@pytest.fixture(autouse=True)
def signals() -> Iterator[None]:
    """A command in this process changes who is told of SIGTERM."""
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)
