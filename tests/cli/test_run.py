"""The command line as a user meets it: real processes, real HTTP on loopback, documented exit codes."""

from __future__ import annotations

import json
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from command_line import maker
from forked import Forked
from typer.testing import CliRunner

from langgraph_maker import journal, solve
from langgraph_maker.cli import app
from langgraph_maker.cli.shell import same_command
from langgraph_maker.core.errors import JournalError
from langgraph_maker.journal.databases import open_store
from langgraph_maker.tasks import TowersOfHanoi

OWN_TASK = """
from langchain_core.messages import HumanMessage
from langgraph_maker import RedFlag, Task


class Halving(Task):
    name = "halving"

    def __init__(self, start=64, bug=False):
        self.start, self.bug = start, bug

    def initial_state(self): return self.start
    def is_done(self, state): return state == 1
    def prompt(self, state): return [HumanMessage(f"Half of {state}?")]
    def parse(self, text):
        if self.bug: return text.nonsense
        return {"action": "halve", "next_state": int(text)}
    def advance(self, state, vote): return vote["next_state"]
    def oracle(self, state): return {"action": "halve", "next_state": state // 2}
    def read_state(self, messages): return int(messages[-1].text.removeprefix("Half of ").removesuffix("?"))
    def render(self, vote): return str(vote["next_state"])
    def wrong_votes(self, state): return [{"action": "halve", "next_state": state}]


def not_a_task(): return 7
"""


def run(*arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    return maker("run", *arguments, **options)


@pytest.fixture(autouse=True)
def data_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "own.py").write_text(OWN_TASK)
    return tmp_path


Answer = Callable[[dict[str, Any]], tuple[int, dict[str, Any]]]


@pytest.fixture
def serve() -> Iterator[Callable[[Answer], str]]:
    """Starts an OpenAI-compatible server on loopback that answers each request body as told."""
    servers: list[ThreadingHTTPServer] = []

    def start(answer: Answer) -> str:
        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                status, reply = answer(body)
                text = json.dumps(reply).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, *_: Any) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        servers.append(server)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{server.server_port}/v1"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


class TestSolved:
    def test_json_is_one_object_with_a_legal_solution(self) -> None:
        done = run("hanoi", "--disks", "10", "--json")
        assert done.returncode == 0
        result = json.loads(done.stdout)
        assert (result["status"], result["steps"], result["samples"] >= 3 * 1023) == ("solved", 1023, True)
        pegs: list[list[int]] = [list(range(10, 0, -1)), [], []]
        for disk, source, target in result["actions"]:
            assert pegs[source].pop() == disk
            assert not pegs[target] or pegs[target][-1] > disk
            pegs[target].append(disk)
        assert pegs[2] == list(range(10, 0, -1))
        assert set(result) >= {"reason", "run_id", "flagged", "rounds", "usage", "digest", "final_state"}
        assert set(result) >= {"votes_per_step", "undecided_after"}

    def test_summary_in_words_calls_a_simulated_model_simulated(self) -> None:
        done = run("hanoi", "--disks", "3", "--model", "sim:error=0.01")
        assert done.returncode == 0
        assert "solved: hanoi, 7 of 7 steps decided, each by a margin of 3" in done.stdout
        assert "sim:error=0.01 (a simulated model)" in done.stdout

    def test_progress_turns_into_plain_lines(self) -> None:
        done = run("hanoi", "--disks", "10", "--json")
        assert "/1,023 steps · " in done.stderr
        assert "steps/s" in done.stderr
        assert "\x1b" not in done.stderr
        json.loads(done.stdout)

    @pytest.mark.slow
    def test_a_seed_gives_the_same_run_again(self) -> None:
        first, again, other = (
            json.loads(
                run("hanoi", "--disks", "6", "--model", "sim:error=0.1", "--k", "4", "--seed", seed, "--json").stdout
            )
            for seed in ("1", "1", "2")
        )
        assert {**first, "run_id": ""} == {**again, "run_id": ""}
        assert first["undecided_after"] != other["undecided_after"]

    def test_a_task_of_ones_own(self, folder: Path) -> None:
        done = run(
            "own:Halving", "--set", "start=1024", "--max-steps", "20", "--model", "sim:error=0.01", "--json", cwd=folder
        )
        assert json.loads(done.stdout)["steps"] == 10, done.stderr

    def test_an_openai_compatible_server(self, serve: Any) -> None:
        task = TowersOfHanoi(4)
        seen: list[dict[str, Any]] = []

        def answer(body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
            from langchain_core.messages import HumanMessage

            seen.append(body)
            vote = task.oracle(task.read_state([HumanMessage(body["messages"][-1]["content"])]))
            message = {"role": "assistant", "content": task.render(vote)}
            return 200, {
                "id": "1",
                "object": "chat.completion",
                "created": 0,
                "model": body["model"],
                "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
                "usage": {"prompt_tokens": 500, "completion_tokens": 40, "total_tokens": 540},
            }

        url = serve(answer)
        done = run("hanoi", "--disks", "4", "--model", "openai:any", "--base-url", url, "--json", OPENAI_API_KEY="k")
        result = json.loads(done.stdout)
        assert (result["status"], result["steps"], result["samples"]) == ("solved", 15, 45), done.stderr
        assert result["usage"]["output_tokens"] == 45 * 40
        assert sorted(body["temperature"] for body in seen) == [0.0] * 15 + [0.1] * 30
        assert {body["max_completion_tokens"] for body in seen} == {850}
        assert {body.get("seed") for body in seen} == {None}


def test_nothing_that_a_terminal_obeys_comes_from_a_database(tmp_path: Path) -> None:
    db, run_id = str(tmp_path / "r.sqlite"), "\x1b]0;title\x07\x1b[2J"
    with open_store(db) as store:
        solve(TowersOfHanoi(2), "sim:error=0", store=store, run_id=run_id)
    for command in (["runs", "--db", db], ["answer", "--db", db, "--run-id", run_id]):
        done = CliRunner().invoke(app, command)
        assert "\\x1b]0;title" in "".join(done.stdout.split())
        assert "\x1b" not in done.output


class TestUsage:
    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["hanoi", "--disks", "0"], "from 1 to 30, not 0"),
            (["hanoi", "--disks", "31"], "from 1 to 30, not 31"),
            (["hanoi", "--disks", "ten"], "Invalid value for '--disks'"),
            (["hanoi", "--k", "0"], "at least 1, not 0"),
            (["hanoi", "--k", "-1"], "at least 1, not -1"),
            (["hanoi", "--k", "2.5"], "Invalid value for '--k'"),
            (["hanoi", "--k", "True"], "Invalid value for '--k'"),
            (["hanoi", "--model", "gpt-4.1-mini"], "use 'openai:NAME'"),
            (["hanoi", "--model", "sim:nobody"], "known are"),
            (["hanoi", "--model", "sim:error=2"], "from 0 to 1"),
            (["hanoi", "--model", "openai:gpt-4.1-mini"], "OPENAI_API_KEY"),
            (["hanoi", "--base-url", "http://127.0.0.1:1/v1"], "goes with openai:NAME"),
            (["hanoi", "--max-samples-per-step", "2"], "at least k = 3"),
            (["hanoi", "--max-total-samples", "0"], "--max-total-samples is a whole number of at least 1, not 0"),
            (["hanoi", "--max-samples", "9"], "now called --max-total-samples"),
            (["hanoi", "--max-step-samples", "9"], "now called --max-samples-per-step"),
            (["hanoi", "--max-cost", "0"], "--max-cost is a number of dollars above 0, not 0"),
            (["hanoi", "--max-cost", "1", "--model", "sim:error=0.1"], "give its price"),
            (["hanoi", "--price", "cheap"], "a price is INPUT,OUTPUT"),
            (["hanoi", "--deadline", "soon"], "a time is seconds above 0, or like 15m or 2h, not 'soon'"),
            (["hanoi", "--hedge", "-1"], "--hedge is a whole number from 0 to 100"),
            (["hanoi", "--max-concurrency", "0"], "--max-concurrency is a whole number of at least 1"),
            (["hanoi", "--set", "disks"], "KEY=VALUE"),
            (["hanoi", "--set", "colour=red"], "colour"),
            (["towers"], 'sorting or "package.module:factory"'),
            (["nowhere:Task"], "No module named 'nowhere'"),
            (["own:Missing"], "Missing"),
            (["own:not_a_task"], "not a Task"),
            (["own:Halving"], "give --max-steps"),
            ([], "Missing argument"),
        ],
    )
    def test_bad_input_is_said_and_exits_2(
        self, arguments: list[str], message: str, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(folder)
        monkeypatch.setattr(sys, "path", [*sys.path])
        monkeypatch.delitem(sys.modules, "own", raising=False)
        monkeypatch.delenv("OPENAI_API_KEY", raising=False)
        done = CliRunner().invoke(app, ["run", *arguments])
        assert done.exit_code == 2
        assert message in done.stderr
        assert "Traceback" not in done.stderr
        assert done.stdout == ""

    def test_and_so_does_a_process(self) -> None:
        done = run("hanoi", "--disks", "0")
        assert (done.returncode, done.stdout) == (2, "")
        assert "from 1 to 30, not 0" in done.stderr


class TestUnresolved:
    @pytest.mark.parametrize("model", ["sim:error=1,alternatives=40", "sim:flag=1", "sim:llama-3.2-3b"])
    def test_models_that_cannot_exit_3_with_the_samples_spent(self, model: str) -> None:
        done = run("hanoi", "--disks", "4", "--model", model, "--json")
        result = json.loads(done.stdout)
        assert (done.returncode, result["status"]) == (3, "unresolved")
        assert result["reason"]
        assert result["samples"] > 0


class TestErrors:
    def test_a_server_that_refuses_the_key(self, serve: Any) -> None:
        url = serve(lambda body: (401, {"error": {"message": "Incorrect API key provided", "code": "invalid_api_key"}}))
        done = run("hanoi", "--disks", "3", "--model", "openai:any", "--base-url", url, OPENAI_API_KEY="sk-secret")
        assert done.returncode == 1
        assert "Incorrect API key provided" in done.stderr
        assert "at step 0, after 0 samples" in done.stderr
        assert "sk-secret" not in done.stderr + done.stdout
        assert "Traceback" not in done.stderr

    def test_a_server_whose_error_holds_terminal_escapes(self, serve: Any) -> None:
        url = serve(lambda body: (500, {"error": {"message": "\x1b]0;pwned\x07\x1b[2J"}}))
        server = ("--base-url", url, "--outage-limit", "1")
        done = run("hanoi", "--disks", "2", "--model", "openai:any", *server, OPENAI_API_KEY="sk-any-0123456789")
        assert done.returncode in {1, 130}
        assert "\\x1b]0;pwned" in done.stderr
        assert not {"\x1b", "\x07"} & {*done.stderr, *done.stdout}

    def test_a_server_that_is_not_there(self) -> None:
        server = ("--base-url", "http://127.0.0.1:9/v1", "--outage-limit", "0.1")
        done = run("hanoi", "--model", "openai:any", *server, OPENAI_API_KEY="k")
        assert done.returncode == 1
        assert "Connection error" in done.stderr
        assert "Traceback" not in done.stderr

    def test_a_bug_in_a_task_is_named_with_its_place(self, folder: Path) -> None:
        done = run("own:Halving", "--set", "bug=true", "--max-steps", "9", "--model", "sim:gpt-4.1-mini", cwd=folder)
        assert done.returncode == 1
        assert "nonsense' (" in done.stderr
        assert "own.py, line " in done.stderr
        assert "Traceback" not in done.stderr


def test_how_sure_a_run_is_stands_in_its_summary() -> None:
    said = run("hanoi", "--disks", "8", "--k", "4", "--model", "sim:error=0.05", "--raise-k")
    assert "sure     no error in 255 steps with probability 0.99904" in said.stdout
    assert "if samples err" in said.stdout
    found = json.loads(run("hanoi", "--disks", "4", "--json").stdout)["outlook"]
    assert (found["steps"], found["planned"], found["alarms"]) == (15, 15, [])


def test_help_states_the_exit_codes() -> None:
    said = " ".join(maker("--help").stdout.split())
    assert "0 solved, 1 error, 2 usage, 3 unresolved, 4 waiting for a human, 130 stopped" in said


class TestGoingOn:
    """A run in a database: stopped, killed, gone on with, listed."""

    def start(self, db: Path, *arguments: str) -> subprocess.Popen[str]:
        command = ("-m", "langgraph_maker", "run", "hanoi", "--db", str(db))
        return Forked(*command, *arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def wait_for_steps(self, db: Path, run_id: str, steps: int) -> None:
        deadline = time.monotonic() + 60
        with open_store(str(db)) as store:
            while time.monotonic() < deadline:
                try:
                    if journal.steps(store, run_id) >= steps:
                        return
                except JournalError:
                    pass
                time.sleep(0.05)
        pytest.fail(f"no {steps} steps within a minute")

    @pytest.mark.parametrize("number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)])
    def test_a_signal_stops_it_and_the_printed_command_goes_on(self, tmp_path: Path, number: signal.Signals) -> None:
        db = tmp_path / "run db.sqlite"
        process = self.start(db, "--disks", "9", "--run-id", "my run")
        self.wait_for_steps(db, "my run", 20)
        process.send_signal(number)
        printed, errors = process.communicate(timeout=60)
        assert process.returncode == 130
        assert "stopped: hanoi" in printed
        command = shlex.split(errors.split("to resume: ")[1])
        assert command == ["langgraph-maker", "run", "hanoi", "--db", str(db), "--disks", "9", "--run-id", "my run"]
        listed = maker("runs", "--db", str(db)).stdout
        assert "stopped" in listed
        done = maker(*command[1:], "--json")
        result = json.loads(done.stdout)
        assert (result["status"], result["steps"], result["run_id"]) == ("solved", 511, "my run")
        assert result["digest"] == solve(TowersOfHanoi(9), "sim:error=0").digest
        assert "solved" in maker("runs", "--db", str(db)).stdout

    def test_a_second_interrupt_ends_it_at_once(
        self, tmp_path: Path, serve: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        asked = threading.Event()
        release = threading.Event()

        def slow(_: dict[str, Any]) -> tuple[int, dict[str, Any]]:
            asked.set()
            release.wait(60)
            return 500, {}

        url = serve(slow)
        monkeypatch.setenv("OPENAI_API_KEY", "k")
        process = self.start(tmp_path / "run.sqlite", "--model", "openai:any", "--base-url", url, "--run-id", "r")
        assert asked.wait(60)
        process.send_signal(signal.SIGINT)
        time.sleep(0.5)
        assert process.poll() is None  # it waits for the round
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=30)
        release.set()
        assert process.returncode == 130
        assert "Traceback" not in errors

    def test_the_default_database_is_named_in_the_summary(self, tmp_path: Path) -> None:
        done = run("hanoi", "--disks", "3", "--run-id", "here", XDG_DATA_HOME=str(tmp_path), HOME=str(tmp_path))
        assert "run id here, in " in " ".join(done.stdout.split())
        assert maker("runs", XDG_DATA_HOME=str(tmp_path), HOME=str(tmp_path)).stdout.count("solved") == 1

    def test_another_task_under_the_same_id_is_refused(self, tmp_path: Path) -> None:
        db = str(tmp_path / "run.sqlite")
        assert run("hanoi", "--disks", "3", "--db", db, "--run-id", "r").returncode == 0
        done = run("hanoi", "--disks", "4", "--db", db, "--run-id", "r")
        assert done.returncode == 1
        assert "{'disks': 3}, not {'disks': 4}" in done.stderr

    @pytest.mark.parametrize(
        ("name", "content", "message"),
        [("no/run.sqlite", None, "no folder"), ("text", "plain text " * 99, "not a database"), ("x", "", "")],
    )
    def test_databases_that_are_none(self, tmp_path: Path, name: str, content: str | None, message: str) -> None:
        if content is not None:
            (tmp_path / name).write_text(content)
        done = run("hanoi", "--disks", "2", "--db", str(tmp_path / name))
        assert done.returncode == (2 if message else 0)
        assert message in done.stderr
        assert "Traceback" not in done.stderr

    def test_a_truncated_database(self, tmp_path: Path) -> None:
        db = tmp_path / "run.sqlite"
        assert run("hanoi", "--disks", "6", "--db", str(db), "--run-id", "r").returncode == 0
        db.write_bytes(db.read_bytes()[:10_000])
        done = run("hanoi", "--disks", "6", "--db", str(db), "--run-id", "r")
        assert done.returncode in (1, 2)
        assert "malformed" in done.stderr
        assert "Traceback" not in done.stderr

    def test_a_database_that_may_not_be_written(self, tmp_path: Path) -> None:
        db = tmp_path / "run.sqlite"
        assert run("hanoi", "--disks", "3", "--db", str(db), "--run-id", "r").returncode == 0
        done = run("hanoi", "--disks", "3", "--db", f"file:{db}?mode=ro")
        assert done.returncode == 2
        assert "Traceback" not in done.stderr

    def test_a_second_process_is_refused_with_who_holds_the_run(self, tmp_path: Path) -> None:
        db = tmp_path / "run.sqlite"
        process = self.start(db, "--disks", "14", "--run-id", "r")
        self.wait_for_steps(db, "r", 5)
        refused = run("hanoi", "--disks", "14", "--db", str(db), "--run-id", "r")
        assert refused.returncode == 1
        assert f"is being written by process {process.pid} on" in refused.stderr
        process.kill()
        process.communicate(timeout=30)
        with open_store(str(db)) as store:
            done = journal.steps(store, "r")
        again = self.start(db, "--disks", "14", "--run-id", "r")
        self.wait_for_steps(db, "r", done + 1)
        again.send_signal(signal.SIGTERM)
        printed, _ = again.communicate(timeout=60)
        assert "stopped: hanoi" in printed

    @pytest.mark.postgres
    def test_on_postgres(self, postgres_db: str) -> None:
        for status in ("solved", "solved"):
            done = run("hanoi", "--disks", "7", "--db", postgres_db, "--run-id", "r", "--lanes", "4", "--json")
            result = json.loads(done.stdout)
            assert (result["status"], result["steps"], result["digest"]) == (
                status,
                127,
                solve(TowersOfHanoi(7), "sim:error=0").digest,
            )
        listed = maker("runs", "--db", postgres_db)
        assert "127" in listed.stdout

    def test_postgres_that_is_not_there(self) -> None:
        done = run("hanoi", "--disks", "3", "--db", "postgresql://me:secret@127.0.0.1:9/none")
        assert done.returncode == 2
        assert "postgresql://127.0.0.1:9/none cannot be used" in done.stderr
        assert "secret" not in done.stderr


class TestContradictions:
    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["hanoi", "--disks", "3", "--set", "disks=4"], "disks is given twice"),
            (["hanoi", "--set", "disks=4", "--set", "disks=4"], "disks is given twice"),
            (["hanoi", "--lanes", "0"], "--lanes is a whole number"),
            (["own:Halving", "--lanes", "2", "--max-steps", "9"], "is one chain"),
            ([":"], "no task is called ':'"),
            (["own:"], "no task is called 'own:'"),
        ],
    )
    def test_contradictions(self, folder: Path, arguments: list[str], message: str) -> None:
        done = run(*arguments, "--model", "sim:gpt-4.1-mini", cwd=folder)
        assert done.returncode == 2
        assert message in done.stderr
        assert "Traceback" not in done.stderr

    def test_version_and_module(self) -> None:
        done = subprocess.run(
            [sys.executable, "-m", "langgraph_maker", "--version"], capture_output=True, text=True, check=True
        )
        assert done.stdout.startswith("langgraph-maker ")

    def test_a_full_disk_under_the_output(self) -> None:
        code = "from langgraph_maker.cli import main; main()"
        with Path("/dev/full").open("w") as full:
            done = subprocess.run(
                [sys.executable, "-c", code, "run", "hanoi", "--disks", "3", "--json"],
                stdout=full,
                stderr=subprocess.PIPE,
                text=True,
                check=False,
            )
        assert done.returncode == 1
        assert "No space left" in done.stderr
        assert "Traceback" not in done.stderr
        assert "Exception ignored" not in done.stderr

    def test_passwords_are_not_printed(self) -> None:
        for url in ("postgresql://me:hush@127.0.0.1:9/x", "postgresql://127.0.0.1:9/x?password=hush"):
            for command in (["run", "hanoi", "--db", url], ["runs", "--db", url]):
                done = maker(*command)
                assert done.returncode == 2
                assert "hush" not in done.stdout + done.stderr

    def test_nor_are_keys_in_the_query_of_a_url(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sys, "argv", ["x", "run", "--base-url=http://me:hush@h:1/v1?api_key=hush&x=hush", "--k=2"])
        said = same_command("db", "r")
        assert "hush" not in said
        assert "--base-url=http://me:***@h:1/v1?api_key=***&x=***" in said
        assert "--k=2" in said

    @pytest.mark.parametrize("arguments", [["--run-id", ""], ["--db", ":memory:"], ["--k", "9" * 20]])
    def test_values_that_cannot_be(self, arguments: list[str]) -> None:
        done = run("hanoi", "--disks", "2", *arguments)
        assert done.returncode == 2
        assert done.stderr.startswith("error: ")

    def test_a_listing_makes_no_file(self, tmp_path: Path) -> None:
        assert "there is no such file" in maker("runs", "--db", str(tmp_path / "none.sqlite")).stdout
        assert not (tmp_path / "none.sqlite").exists()


def test_processes_that_make_one_database_at_once(tmp_path: Path) -> None:
    code = "import sys\nfrom langgraph.store.sqlite import SqliteStore\n"
    code += "from langgraph_maker.journal.databases import open_store\n"
    code += "print('ready', flush=True)\nsys.stdin.read(1)\nfor path in sys.argv[1:]:\n with open_store(path): pass"
    paths = [str(tmp_path / f"{number}.sqlite") for number in range(20)]
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", code, *paths], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        for _ in range(4)
    ]
    for process in processes:
        assert process.stdout
        assert process.stdout.readline() == b"ready\n"
    for process in processes:
        assert process.stdin
        process.stdin.write(b"g")
        process.stdin.flush()
    for process in processes:
        _, errors = process.communicate(timeout=60)
        assert (process.returncode, errors) == (0, b"")
    assert list(tmp_path.glob("*.opening")) == []
