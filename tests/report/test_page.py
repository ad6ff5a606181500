"""The report of a run: its numbers are the journal's, and its page says nothing that they do not."""

from __future__ import annotations

import gc
import json
import random
import sqlite3
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from hostile import HOSTILE
from langgraph.store.base import BaseStore
from langgraph.store.memory import InMemoryStore
from scripted import Counting, Scripted, right, script
from typer.testing import CliRunner, Result

from langgraph_maker import RedFlag, Vote, create_maker, journal, solve
from langgraph_maker.cli import app
from langgraph_maker.core.errors import JournalError, SamplingError
from langgraph_maker.core.reasons import Reason
from langgraph_maker.journal import records
from langgraph_maker.journal.databases import open_store
from langgraph_maker.models.prices import Price, dated
from langgraph_maker.nodes.ladder import AskHuman, Tier
from langgraph_maker.report import Numbers, numbers, page
from langgraph_maker.report.charts import EDGES, NODES
from langgraph_maker.report.moves import FRAMES, hanoi
from langgraph_maker.runs.monitor.outlook import refuted
from langgraph_maker.tasks import TowersOfHanoi

LADDER = [Tier(samples=4, variants=[0]), Tier(variants=[1, 2])]


class Read(HTMLParser):
    """What a page holds: its elements, and its text but for scripts and styles."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.inside: list[str] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in {"meta", "input"}:
            self.inside.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.inside.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.inside and self.inside[-1] not in {"script", "style"}:
            self.text += data

    @property
    def tags(self) -> set[str]:
        return {tag for tag, _ in self.elements}


def kill(*_: Any) -> Any:
    raise KeyboardInterrupt


def killed(task: Any, model: Any, store: BaseStore, **options: Any) -> None:
    """A run whose process ends without a word."""
    with pytest.raises(KeyboardInterrupt):
        solve(task, model, store=store, run_id="r", **options)


class TestNumbers:
    def test_they_are_those_of_the_run(self) -> None:
        store = InMemoryStore()
        run = solve(TowersOfHanoi(6), "sim:error=0.1,flag=0.1", k=3, lanes=5, store=store, run_id="r")
        found = numbers(store, "r")
        totals = found["totals"]
        assert run.flagged > 0
        assert (found["status"], totals["steps"], totals["samples"]) == (run.status, run.steps, run.samples)
        assert (found["samples"], found["flagged"]) == (run.samples, run.flagged)
        assert (found["rounds"], found["usage"], found["digest"]) == (run.rounds, run.usage, run.digest)
        assert sum(found["flags"].values()) == run.flagged
        assert totals["votes_per_step"] == run.votes_per_step
        assert found["outlook"]["undecided"] == run.undecided_after
        assert found["guarantee"] == run.guarantee
        assert (found["lanes"], found["begun"], found["least_margin"], found["undercut"]) == (5, 1, 3, 0)

    def test_they_are_plain(self) -> None:
        store = InMemoryStore()
        solve(TowersOfHanoi(4), "sim:error=0.1", store=store, run_id="r")
        found = numbers(store, "r")
        assert json.loads(json.dumps(found, allow_nan=False)) == found

    def test_the_hardest_steps_are_the_journals_entries(self) -> None:
        store = InMemoryStore()

        def answer(request: Any) -> str:
            return "9" if request.messages[0].text == "2" and request.number in {0, 2} else right(request)

        solve(Counting(5), Scripted(answer), store=store, run_id="r")
        hardest = numbers(store, "r")["hardest"][0]
        assert hardest == list(journal.read(store, "r"))[2]
        assert (hardest["step"], hardest["votes"], hardest["winner_votes"]) == (2, 7, 5)

    def test_simulated_is_told_from_real(self) -> None:
        store = InMemoryStore()
        solve(TowersOfHanoi(2), "sim:error=0", store=store, run_id="sim")
        solve(Counting(2), Scripted(right), store=store, run_id="real")
        assert [numbers(store, run)["simulated"] for run in ("sim", "real")] == ["all", "none"]
        assert "simulated" in Read(page(numbers(store, "sim"))).text
        assert "simulated" not in Read(page(numbers(store, "real"))).text
        mixed = journal.header(store, "real")
        mixed["sessions"] += journal.header(store, "sim")["sessions"]
        store.batch([records.put_header(mixed)])
        assert "Some processes were given a simulated model" in Read(page(numbers(store, "real"))).text

    def test_the_price_list_is_named_where_it_was_used(self) -> None:
        store = InMemoryStore()
        solve(TowersOfHanoi(2), "sim:gpt-4.1-mini", store=store, run_id="listed")
        solve(TowersOfHanoi(2), "sim:gpt-4.1-mini", store=store, run_id="given", price=Price(1, 2))
        listed, given = numbers(store, "listed"), numbers(store, "given")
        listed["simulated"] = given["simulated"] = "none"
        assert f"dollars are {dated()}" in Read(page(listed)).text
        assert "by the price list" not in Read(page(given)).text

    def test_calibrated_beside_observed(self) -> None:
        store = InMemoryStore()
        run = solve(TowersOfHanoi(4), "sim:error=0.05", k="auto", calibration_samples=200, store=store, run_id="r")
        found = numbers(store, "r")
        assert run.calibration is not None
        assert found["calibration"] is not None
        assert found["calibration"]["p_low"] == run.calibration.p_low
        text = Read(page(found)).text
        assert "calibrated" in text
        assert f"{run.calibration.p:.2f}" in text


class TestHowItStands:
    def test_unfinished(self) -> None:
        store = InMemoryStore()
        killed(TowersOfHanoi(6), "sim:error=0.05", store, lanes=4, on_progress=lambda now: now.steps > 20 and kill())
        found = numbers(store, "r")
        done = sum(1 for _ in journal.entries(store, "r"))
        assert 20 < done < 63
        assert (found["status"], found["totals"]["steps"], found["planned"]) == ("unfinished", done, 63)
        top = Read(page(found).partition("<section")[0] + "</main></body></html>").text
        assert f"The run is unfinished: so far {done} of 63 steps decided" in top
        assert "no error in" in top

    def test_stopped(self) -> None:
        store = InMemoryStore()
        run = solve(Counting(9), Scripted(right), store=store, run_id="r", max_total_samples=12)
        found = numbers(store, "r")
        assert (found["status"], found["reason"]) == ("stopped", run.reason)
        assert "The run is unfinished: it stopped after 4 of 9 steps" in Read(page(found)).text

    def test_stopped_gone_on_with_and_killed(self) -> None:
        store = InMemoryStore()
        solve(Counting(9), Scripted(right), store=store, run_id="r", max_total_samples=12)
        killed(Counting(9), Scripted(right), store, on_progress=kill)
        found = numbers(store, "r")
        assert (found["status"], found["reason"], found["totals"]["steps"]) == ("unfinished", "", 5)
        assert found["time"]["ended"] is None

    def test_gone_on_with_and_killed_before_anything_was_counted(self) -> None:
        store = InMemoryStore()
        solve(Counting(9), Scripted(right), store=store, run_id="r", max_total_samples=12)
        head = journal.header(store, "r")
        head["sessions"].append(head["sessions"][0] | {"writer": "another", "began": "2999-01-01T00:00:00+00:00"})
        store.batch([records.put_header(head)])
        assert numbers(store, "r")["status"] == "unfinished"

    def test_empty(self) -> None:
        store = InMemoryStore()
        killed(Counting(9), Scripted(right), store, stop=kill)
        found = numbers(store, "r")
        assert (found["status"], found["totals"]["steps"], found["hardest"]) == ("unfinished", 0, [])
        assert found["guarantee"] == "no step is decided yet"
        assert "so far 0 of 9 steps decided" in Read(page(found)).text

    def test_unresolved_shows_the_ballot_that_did_not_settle(self) -> None:
        store = InMemoryStore()
        split = Scripted(
            lambda ask: "7f87878"[ask.number].replace("f", "flag") if ask.subtask_id == "2" else right(ask)
        )
        run = solve(Counting(5), split, store=store, run_id="r", max_samples_per_step=6)
        found = numbers(store, "r")
        assert (found["status"], found["reason"]) == ("unresolved", run.reason)
        [ballot] = found["open_ballots"]
        assert (ballot["step"], ballot["samples"], ballot["flags"]) == (2, 6, {"asked_for": 1})
        assert [(one["vote"]["next_state"], one["count"]) for one in ballot["counts"]] == [(7, 3), (8, 2)]
        assert (found["samples"], found["flagged"], found["rounds"]) == (run.samples, run.flagged, run.rounds)
        assert found["flags"] == {"asked_for": 1}
        text = Read(page(found)).text
        assert "Nothing was guessed: step 2: " in text
        assert '3 × {"action": "add", "next_state": 7}' in text

    def test_all_steps_done_and_the_task_not(self) -> None:
        store = InMemoryStore()
        solve(Counting(4, goal=9), Scripted(right), store=store, run_id="r")
        found = numbers(store, "r")
        assert "all steps are done, and the task is not" in Read(page(found)).text

    def test_a_run_that_is_certainly_wrong_guarantees_nothing(self) -> None:
        store = InMemoryStore()
        run = solve(Counting(4, goal=9), Scripted(right), store=store, run_id="r")
        found = numbers(store, "r")
        assert run.guarantee.startswith("at least one step is wrong")
        assert (run.guarantee, "probability" in found["guarantee"]) == (found["guarantee"], False)
        longer = solve(Counting(None, goal=9), Scripted(right), store=store, run_id="s", max_steps=4)
        assert longer.guarantee.startswith("not known: the task is not done")
        assert numbers(store, "s")["guarantee"] == longer.guarantee

    def test_a_seam_that_is_open_is_a_step_that_is_wrong(self) -> None:
        why = Reason("segment_mismatch", "segment boundary: the lane that ends before step 5 ended in another state")
        assert refuted(why, 9).startswith("at least one")

    def test_steps_that_a_human_decided_are_said(self) -> None:
        def answer(request: Any) -> str:
            number = int(request.messages[0].text)
            return str(number + 1 + (request.number % 2 if number == 1 else 0))

        store, options = InMemoryStore(), {"ladder": [Tier(samples=6), AskHuman()]}
        solve(Counting(3), Scripted(answer), store=store, run_id="r", **options)  # type: ignore[arg-type]
        waits = numbers(store, "r")
        assert (waits["status"], [one["id"] for one in waits["questions"]]) == ("waiting", ["1"])
        text = Read(page(waits)).text
        assert "1 of 3 steps decided" in text
        assert "a step waits for a human's answer" in text
        assert "langgraph-maker answer 1 --run-id r --pick NUMBER" in text
        run = solve(
            *(Counting(3), Scripted(answer)),
            **{"store": store, "run_id": "r", "answers": {"1": {"pick": 0}}, **options},  # type: ignore[arg-type]
        )
        done = numbers(store, "r")
        assert (run.status, done["questions"]) == ("solved", [])
        text = Read(page(done)).text
        assert "All 3 steps decided, 1 by a human and each other by a lead of at least 3 votes" in text
        assert "but for those that a human decided" in text
        assert "by a human" in run.guarantee
        assert run.guarantee == done["guarantee"]

    def test_what_climbed_and_what_audits_found_is_said(self) -> None:
        store = InMemoryStore()
        solve(TowersOfHanoi(5), "sim:error=0.2", ladder=LADDER, audit=0.5, k=2, store=store, run_id="r")
        found = numbers(store, "r")
        totals, text = found["totals"], Read(page(found)).text
        assert totals["audits"] > 0
        assert f"asked again in another way{totals['audits']}" in text
        assert "audits, disagreed" in text
        assert "of which the line knows but one" in text

    def test_of_a_task_of_unknown_length_nothing_is_projected(self) -> None:
        store = InMemoryStore()
        solve(Counting(None, goal=9), Scripted(right), store=store, run_id="r", max_steps=500, max_total_samples=12)
        found = numbers(store, "r")
        assert (found["planned"], found["outlook"]["cost_projected"]) == (None, None)
        assert "stopped after 4 steps" in Read(page(found)).text

    def test_a_k_of_each_steps_own(self) -> None:
        store = InMemoryStore()
        solve(Counting(4), Scripted(right), store=store, run_id="r", k=lambda step: step + 2)
        assert numbers(store, "r")["least_margin"] == 2
        assert "A k of its own" in Read(page(numbers(store, "r"))).text

    def test_the_time_of_its_end_is_kept_when_a_solved_run_is_looked_at_again(self) -> None:
        store = InMemoryStore()
        solve(Counting(2), Scripted(right), store=store, run_id="r")
        head = journal.header(store, "r")
        head["outcome"]["ended"] = "2030-01-01T00:00:00+00:00"
        store.batch([records.put_header(head)])
        solve(Counting(2), Scripted(right), store=store, run_id="r")
        assert numbers(store, "r")["time"]["ended"] == "2030-01-01T00:00:00+00:00"


class TestWhatCannotBeTrusted:
    def test_no_such_run(self) -> None:
        with pytest.raises(JournalError, match="there is no run 'nobody'"):
            numbers(InMemoryStore(), "nobody")

    def test_a_journal_of_another_format(self) -> None:
        store = InMemoryStore()
        solve(Counting(2), Scripted(right), store=store, run_id="r")
        head: Any = journal.header(store, "r") | {"format": 1}
        store.batch([records.put_header(head)])
        with pytest.raises(JournalError, match="written in format 1, and this version reads"):
            numbers(store, "r")

    def test_an_altered_entry(self) -> None:
        store = InMemoryStore()
        solve(Counting(3), Scripted(right), store=store, run_id="r")
        store.put(records.namespace("r"), "step-000000000001-000000", {"entry": "[1]", "check": ""})
        with pytest.raises(JournalError, match="step 1 of run 'r'"):
            numbers(store, "r")

    def test_steps_that_are_gone(self) -> None:
        store = InMemoryStore()
        solve(Counting(9), Scripted(right), store=store, run_id="r")
        store.batch([records.drop_entry("r", 8)])
        with pytest.raises(JournalError, match="had 9 steps when it ended, of which 8 are there"):
            numbers(store, "r")

    def test_steps_decided_by_less_than_k(self) -> None:
        store = InMemoryStore()
        solve(Counting(3), Scripted(right), store=store, run_id="r", k=2)
        store.batch([records.put_header(journal.header(store, "r") | {"k": 3})])
        assert "3 steps decided by less than the k of 3" in Read(page(numbers(store, "r"))).text

    def test_a_run_whose_models_and_tasks_text_is_markup(self) -> None:
        class Hostile(Counting):
            name = HOSTILE

            def parse(self, text: str) -> Vote:
                if "flag" in text:
                    raise RedFlag(HOSTILE, HOSTILE)
                return {"action": text, "next_state": 1}

        def answers(ask: Any) -> str:
            return HOSTILE + ("", "flag", "", "other")[ask.number % 4]

        store = InMemoryStore()
        run = solve(Hostile(2, goal=1), Scripted(answers), store=store, run_id=HOSTILE, k=2, max_samples_per_step=9)
        done = numbers(store, HOSTILE)
        solve(Hostile(2), Scripted(answers), store=store, run_id="open", k=3, max_samples_per_step=4)
        assert (run.status, bool(done["totals"]["flags"]), bool(done["hardest"])) == ("solved", True, True)
        for found in (done, numbers(store, "open")):
            text = page(found)
            read = Read(text)
            assert not read.tags & {"script", "img"}
            assert not any(name.startswith("on") for _, attributes in read.elements for name in attributes)
            assert "document.title='taken'" in read.text
            assert "\u202e" not in text

    @pytest.mark.parametrize("odd", ["\ud800", "a\x00b", "é" * 500, "%"])
    def test_any_text_is_a_run_id(self, odd: str) -> None:
        store = InMemoryStore()
        solve(Counting(2), Scripted(right), store=store, run_id=odd)
        page(numbers(store, odd)).encode()

    def test_very_long_text_is_cut(self) -> None:
        store = InMemoryStore()

        class Wordy(Counting):
            def parse(self, text: str) -> Vote:
                return {"action": "long " * 100_000, "next_state": int(text)}

        solve(Wordy(20), Scripted(right), store=store, run_id="r")
        assert len(page(numbers(store, "r"))) < 60_000


class TestAlarms:
    def test_they_are_journalled_and_those_of_an_earlier_process_stay(self) -> None:
        store = InMemoryStore()
        finding: Any = {"event": "alarm.raised", "run_id": "r", "what": "p", "finding": "it fell", "remedy": "look"}

        def at(step: int, **more: Any) -> Any:
            def observer(event: Any) -> list[Any]:
                there = event["event"] == "round.ended" and event["totals"]["steps"] == step
                return [finding | {"steps": step} | more] if there else []

            return observer

        solve(Counting(9), Scripted(right), store=store, run_id="r", max_total_samples=9, observer=at(1))
        solve(Counting(9), Scripted(right), store=store, run_id="r", observer=at(5, k=4))
        found = numbers(store, "r")
        assert [alarm["steps"] for alarm in found["alarms"]] == [1, 5]
        assert found["raised"] == 4
        text = Read(page(found)).text
        assert "p, after 5 steps: it fell. Remedy: look." in text
        assert "raised to 4 by an alarm" in text
        journal.delete(store, "r")
        assert journal.alarms(store, "r") == []


class TestPictures:
    def test_the_graph_that_is_drawn_is_the_graph(self) -> None:
        drawn = create_maker(Counting(2), Scripted(right)).compile().get_graph(xray=True)
        names = {name.removeprefix("vote:").removeprefix("vote\\3a") for name in drawn.nodes}
        assert {name.rpartition(":")[2] for name in names} == set(NODES)
        edges = {(edge.source.rpartition(":")[2], edge.target.rpartition(":")[2]) for edge in drawn.edges}
        assert edges == set(EDGES)

    @pytest.mark.parametrize("lanes", [1, 7])
    def test_moves_are_those_that_were_voted(self, lanes: int) -> None:
        store, task = InMemoryStore(), TowersOfHanoi(5)
        solve(task, "sim:error=0.05", k=4, lanes=lanes, store=store, run_id="r")
        moves: Any = numbers(store, "r")["moves"]
        voted = [entry["vote"]["next_state"] for entry in journal.read(store, "r")]
        assert moves["pegs"] == [task.initial_state()["pegs"], *voted]
        assert (moves["steps"], moves["every"]) == (list(range(32)), 1)

    @pytest.mark.parametrize("steps", [FRAMES, FRAMES + 1, 5 * FRAMES + 1])
    def test_moves_are_thinned_out(self, steps: int) -> None:
        moves = hanoi({"disks": 1}, steps)
        assert moves is not None
        order = list(range(steps))
        random.Random(1).shuffle(order)
        entries: Any = ({"step": step, "vote": {"next_state": [[], [1], []]}} for step in order)
        moves.see(entries)
        found = moves.found()
        assert found is not None
        assert found["steps"] == sorted({*range(0, steps + 1, found["every"]), steps})
        assert FRAMES / 2 < len(found["steps"]) <= FRAMES + 2

    def test_another_task_has_none(self) -> None:
        store = InMemoryStore()
        solve(Counting(3), Scripted(right), store=store, run_id="r")
        found = numbers(store, "r")
        assert found["moves"] is None
        assert "script" not in Read(page(found)).tags

    def test_nor_has_one_that_has_its_name_only(self) -> None:
        class Impostor(Counting):
            name = "hanoi"

            def parameters(self) -> dict[str, Any]:
                return {"disks": 3}

        store = InMemoryStore()
        solve(Impostor(3), Scripted(right), store=store, run_id="r")
        assert numbers(store, "r")["moves"] is None

    def test_a_page_loads_nothing(self) -> None:
        store = InMemoryStore()
        solve(TowersOfHanoi(3), "sim:error=0.1", store=store, run_id="r")
        read = Read(page(numbers(store, "r")))
        assert not any(name in {"src", "href", "style"} for _, attributes in read.elements for name in attributes)
        [policy] = [given["content"] for tag, given in read.elements if given.get("http-equiv")]
        assert policy is not None
        assert policy.startswith("default-src 'none'; style-src 'sha256-")
        assert "unsafe" not in policy


class TestCommandLine:
    @pytest.fixture
    def db(self, tmp_path: Path) -> str:
        return str(tmp_path / "run.sqlite")

    @pytest.fixture(autouse=True)
    def collector(self) -> Iterator[None]:
        """The command line sets the garbage collector as suits a process of its own."""
        before = gc.get_threshold()
        yield
        gc.unfreeze()
        gc.set_threshold(*before)

    def test_run_and_report(self, db: str, tmp_path: Path) -> None:
        file = str(tmp_path / "r.html")
        done = self.called("run", "hanoi", "--disks", "4", "--db", db, "--run-id", "r", "--report", file)
        assert done.exit_code == 0
        assert "All 15 steps decided" in Read(Path(file).read_text()).text
        shown = self.called("report", "--db", db, "--run-id", "r", "--format", "json")
        found: Numbers = json.loads(shown.stdout)
        assert (shown.exit_code, found["totals"]["steps"], found["status"]) == (0, 15, "solved")
        again = str(tmp_path / "again.html")
        assert self.called("report", "--db", db, "--run-id", "r", "--out", again).exit_code == 0
        assert "All 15 steps decided" in Read(Path(again).read_text()).text

    def test_a_run_that_is_unresolved_has_its_page_too(self, db: str, tmp_path: Path) -> None:
        file = tmp_path / "r.html"
        done = self.called(
            *("run", "hanoi", "--disks", "3", "--model", "sim:flag=1", "--max-samples-per-step", "4"),
            *("--db", db, "--report", str(file)),
        )
        assert done.exit_code == 3
        assert "Nothing was guessed" in Read(file.read_text()).text

    def called(self, *arguments: str) -> Result:
        return CliRunner().invoke(app, list(arguments))

    def refused(self, *arguments: str) -> str:
        done = self.called(*arguments)
        assert done.exit_code in {1, 2}
        assert "Traceback" not in done.output
        return done.output

    def test_a_database_that_is_not_there_is_not_made(self, db: str) -> None:
        assert "there is no database" in self.refused("report", "--db", db, "--run-id", "r")
        assert "there is no database" in self.refused("answer", "--db", db, "--run-id", "r")
        assert not Path(db).exists()
        Path(db).touch()
        for command in ("report", "answer"):
            assert "there is no database" in self.refused(command, "--db", db, "--run-id", "r")
        assert "the file is empty" in self.called("runs", "--db", db).output
        assert Path(db).stat().st_size == 0

    def test_a_foreign_database(self, db: str, tmp_path: Path) -> None:
        with sqlite3.connect(db) as connection:
            connection.execute("CREATE TABLE notes (text)")
        connection.close()
        assert "is a database of something else" in self.refused("report", "--db", db, "--run-id", "r")
        text = tmp_path / "text"
        text.write_text("no database at all, but long enough to be looked at as one" * 20)
        assert "cannot be used as a journal" in self.refused("report", "--db", str(text), "--run-id", "r")

    def test_a_file_that_cannot_be_written_is_refused_before_the_run(self, db: str, tmp_path: Path) -> None:
        nowhere = str(tmp_path / "none" / "r.html")
        assert "there is no folder" in self.refused("run", "hanoi", "--disks", "2", "--db", db, "--report", nowhere)
        assert not Path(db).exists()
        assert "is a folder: name a file in it" in self.refused(
            "report", "--db", db, "--run-id", "r", "--out", str(tmp_path)
        )

    @pytest.mark.parametrize("beside", ["", "-wal", "-shm", "-0123456789abcdef.lock"])
    def test_no_journal_is_overwritten(self, db: str, tmp_path: Path, beside: str) -> None:
        started = ("run", "hanoi", "--disks", "2", "--db", db, "--run-id", "r")
        assert "which would be lost" in self.refused(*started, "--report", db + beside)
        assert not Path(db).exists()
        assert self.called(*started).exit_code == 0
        link = tmp_path / "link"
        link.hardlink_to(db)
        for file in (db + beside, str(link)):
            assert "which would be lost" in self.refused("report", "--db", db, "--run-id", "r", "--out", file)
            other = ("--db", str(tmp_path / "other.sqlite"), "--samples", "5", "--out", file)
            assert "which would be lost" in self.refused("calibrate", "hanoi", "--disks", "2", *other)
        with open_store(db) as store:
            assert journal.verify(store, "r") == []

    def test_a_disk_that_is_full(self, db: str) -> None:
        said = self.refused("run", "hanoi", "--disks", "2", "--db", db, "--report", "/dev/full")
        assert "/dev/full cannot be written: " in said
        assert "line " not in said

    def test_a_run_that_ends_with_an_error_has_its_page_too(
        self, db: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def failing(*arguments: Any, **options: Any) -> Any:
            solve(*arguments, **{**options, "max_total_samples": 12})
            raise SamplingError("the model is gone")

        monkeypatch.setattr(sys.modules["langgraph_maker.cli.run"], "solve", failing)
        file = tmp_path / "r.html"
        said = self.refused("run", "hanoi", "--disks", "4", "--db", db, "--report", str(file))
        assert "the model is gone" in said
        assert "of 15 steps" in Read(file.read_text()).text


def test_a_script_of_models_has_no_say(tmp_path: Path) -> None:
    """What the moves hold is data to the page: even a position that says otherwise."""
    store = InMemoryStore()
    solve(TowersOfHanoi(2), script("move = [1, 0, 1]\nnext_state = [[2], [1], []]"), k=1, store=store, run_id="r")
    found = numbers(store, "r")
    assert found["moves"] is not None
    found["moves"]["pegs"][0] = [HOSTILE]
    assert "\u2028" not in page(found).partition("<body")[2]
    scripts = [given for tag, given in Read(page(found)).elements if tag == "script"]
    assert [given.get("type") for given in scripts] == ["application/json", None]


@pytest.mark.parametrize("began", ["2093-01-01T00:00:00+00:00", "1970-01-01T00:00:09+00:00"])
def test_a_clock_that_was_wrong_gives_no_duration(began: str) -> None:
    store = InMemoryStore()
    solve(TowersOfHanoi(2), "sim:error=0", store=store, run_id="r")
    assert numbers(store, "r")["time"]["seconds"] is not None
    header = journal.header(store, "r")
    header["sessions"][0]["began"] = began
    store.batch([records.put_header(header)])
    found = numbers(store, "r")
    assert found["time"]["seconds"] is None
    assert "how long it took is not known" in page(found)
