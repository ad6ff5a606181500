"""The journal as a record: read, verified, forked, exported, deleted; odd ids, altered and foreign entries."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from langgraph.store.base import BaseStore
from langgraph.store.memory import InMemoryStore
from scripted import Counting, Scripted, right

from langgraph_maker import journal, solve
from langgraph_maker.core.canonical import mark
from langgraph_maker.core.errors import JournalError
from langgraph_maker.journal import records, run_data
from langgraph_maker.journal.databases import open_store

ODD_IDS = ["a", "ab", "a.b", "a/b c", "ä", "\ud800", "a%2Eb", "a~", "%", "_", "x" * 500, "é" * 500, "\n\t", "run\x00"]


@pytest.fixture(params=["memory", "sqlite"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[BaseStore]:
    if request.param == "memory":
        yield InMemoryStore()
        return
    with open_store(str(tmp_path / "run.sqlite")) as opened:
        yield opened


def wrong_once(request: Any) -> str:
    """Right, but for one wrong answer at step 2 and a flag at step 3."""
    at = (int(request.messages[0].text), request.number)
    return {(2, 0): "9", (3, 1): "flag"}.get(at, right(request))


def run(store: BaseStore, run_id: str = "r", steps: int = 5) -> Any:
    return solve(Counting(steps), Scripted(wrong_once), store=store, run_id=run_id)


def put(store: BaseStore, run_id: str, entry: Any) -> None:
    store.batch([records.put_entry(run_id, entry)])


def kinds(store: BaseStore) -> list[tuple[int | str, str]]:
    return [(problem.step, problem.kind) for problem in journal.verify(store, "r")]


def test_an_entry_says_what_was_decided_and_what_it_took(store: BaseStore) -> None:
    run(store)
    entries = list(journal.read(store, "r"))
    assert [(e["step"], e["votes"], e["samples"], e["flags"], e["rounds"]) for e in entries] == [
        (0, 3, 3, {}, 1),
        (1, 3, 3, {}, 1),
        (2, 5, 5, {}, 2),
        (3, 3, 4, {"asked_for": 1}, 2),
        (4, 3, 3, {}, 1),
    ]
    assert [e["vote"] for e in entries] == [{"action": "add", "next_state": n} for n in range(1, 6)]
    assert list(journal.read(store, "r", start=3)) == entries[3:]


def test_no_open_ballot_is_left_behind(store: BaseStore) -> None:
    run(store)
    left = store.batch([run_data.get_open("r", step) for step in range(6)])
    assert left == [None] * 6


@pytest.mark.parametrize("run_id", ODD_IDS)
def test_any_text_is_a_run_id(store: BaseStore, run_id: str) -> None:
    run(store, "a.b.c")
    run(store, run_id)
    assert len(list(journal.read(store, run_id))) == 5
    assert journal.verify(store, run_id) == []
    journal.delete(store, run_id)
    assert list(journal.read(store, run_id)) == []
    assert len(list(journal.read(store, "a.b.c"))) == 5


def test_runs_lists_every_run_with_how_it_ended(store: BaseStore) -> None:
    for run_id in ODD_IDS:
        run(store, run_id)
    solve(Counting(5), Scripted(right), store=store, run_id="stopped", stop=lambda: True)
    listed = {header["run_id"]: header["outcome"]["status"] for header in journal.runs(store)}
    assert listed == dict.fromkeys(ODD_IDS, "solved") | {"stopped": "stopped"}


def test_a_run_that_is_not_there_is_named(store: BaseStore) -> None:
    for call in (journal.header, journal.verify, journal.delete):
        with pytest.raises(JournalError, match="no run 'nobody'"):
            call(store, "nobody")


class TestVerify:
    def test_a_whole_run(self, store: BaseStore) -> None:
        run(store)
        assert kinds(store) == []

    def test_a_gap(self, store: BaseStore) -> None:
        run(store)
        store.batch([records.drop_entry("r", 2)])
        assert kinds(store) == [(2, "missing")]

    def test_a_gap_in_an_unfinished_run(self, store: BaseStore) -> None:
        solve(Counting(50), Scripted(right), store=store, run_id="r", k=1)
        header = journal.header(store, "r")
        store.batch([records.put_header({**header, "outcome": {}}), records.drop_entry("r", 7)])
        assert kinds(store) == [(7, "missing")]

    def test_an_entry_edited_by_hand(self, store: BaseStore) -> None:
        run(store)
        [item] = store.batch(records.get_entries("r", [2]))
        value = {**item.value, "entry": item.value["entry"].replace('"next_state":3', '"next_state":4')}  # type: ignore[union-attr]
        store.put(records.namespace("r"), item.key, value)  # type: ignore[union-attr]
        assert kinds(store) == [(2, "altered")]
        with pytest.raises(JournalError, match="step 2 of run 'r' is not as it was written"):
            list(journal.read(store, "r"))
        with pytest.raises(JournalError, match="step 2"):
            run(store)

    @pytest.mark.parametrize(
        "value", [{}, {"entry": 7, "check": ""}, {"entry": "[" * 100_000, "check": ""}, {"x": "y"}]
    )
    def test_an_entry_that_is_none(self, store: BaseStore, value: Any) -> None:
        run(store)
        store.put(records.namespace("r"), "step-000000000001-000000", value)
        assert kinds(store) == [(1, "altered")]

    def test_an_entry_of_another_run(self, store: BaseStore) -> None:
        run(store)
        run(store, "other")
        [item] = store.batch(records.get_entries("other", [1]))
        store.put(records.namespace("r"), item.key, item.value)  # type: ignore[union-attr]
        assert kinds(store) == [(1, "altered")]

    def test_broken_succession(self, store: BaseStore) -> None:
        run(store)
        entry = next(journal.read(store, "r", start=2))
        put(store, "r", {**entry, "start": mark(99)})
        assert kinds(store) == [(2, "broken succession")]

    def test_two_writers_at_once(self, store: BaseStore) -> None:
        run(store)
        header = journal.header(store, "r")
        second = {**header["sessions"][0], "writer": "second"}
        store.batch([records.put_header({**header, "sessions": [*header["sessions"], second]})])  # type: ignore[list-item]
        entries = list(journal.read(store, "r"))
        put(store, "r", {**entries[3], "writer": "second"})
        put(store, "r", {**entries[4], "writer": "second"})
        assert kinds(store) == []  # it took over
        put(store, "r", {**entries[4], "writer": header["sessions"][0]["writer"]})
        assert kinds(store) == [(4, "mixed writers")]

    def test_a_writer_that_never_began(self, store: BaseStore) -> None:
        run(store)
        put(store, "r", {**next(journal.read(store, "r", start=4)), "writer": "stranger"})
        assert kinds(store) == [(4, "mixed writers")]


class TestFork:
    def test_goes_on_from_the_step(self, store: BaseStore) -> None:
        whole = run(store)
        journal.fork(store, "r", 2, "new")
        model = Scripted(wrong_once)
        forked = solve(Counting(5), model, store=store, run_id="new")
        assert (forked.status, forked.digest) == ("solved", whole.digest)
        assert {request.subtask_id for batch in model.batches for request in batch} == {"2", "3", "4"}
        assert journal.verify(store, "new") == journal.verify(store, "r") == []

    @pytest.mark.parametrize(("step", "new", "message"), [(9, "new", "from 0 to 5, not at 9"), (2, "r", "already")])
    def test_what_cannot_be(self, store: BaseStore, step: int, new: str, message: str) -> None:
        run(store)
        with pytest.raises(JournalError, match=message):
            journal.fork(store, "r", step, new)


def test_export_is_json_lines(store: BaseStore) -> None:
    run(store)
    file = io.StringIO()
    journal.export(store, "r", file)
    header, *entries = [json.loads(line) for line in file.getvalue().splitlines()]
    assert header == journal.header(store, "r")
    assert entries == list(journal.read(store, "r"))


@pytest.mark.parametrize("steps", [1, 2, 3, 7, 8, 9, 100])
def test_steps_are_found_without_reading_all(store: BaseStore, steps: int) -> None:
    solve(Counting(steps), Scripted(right), store=store, run_id="r", k=1)
    store.batch([records.put_header({**journal.header(store, "r"), "outcome": {}})])
    assert journal.steps(store, "r") == steps


def test_deleting_lets_the_id_begin_again(store: BaseStore) -> None:
    run(store)
    journal.delete(store, "r")
    assert list(journal.runs(store)) == []
    assert run(store, steps=4).status == "solved"


@pytest.mark.slow
def test_bytes_a_step_are_constant(tmp_path: Path) -> None:
    def size(steps: int) -> int:
        with open_store(str(tmp_path / f"{steps}.sqlite")) as store:
            solve(Counting(steps), Scripted(right), k=1, store=store, run_id="r")
            text: int = store.conn.execute("SELECT SUM(LENGTH(value)) FROM store").fetchone()[0]  # type: ignore[attr-defined]
            return text

    ten, hundred, thousand = (size(steps) for steps in (10, 100, 1000))
    assert (thousand - hundred) / 900 < 1.2 * (hundred - ten) / 90


class TestOpenStore:
    def test_a_missing_folder(self, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match="no folder"), open_store(str(tmp_path / "no" / "run.sqlite")):
            pass

    def test_a_file_that_is_no_database(self, tmp_path: Path) -> None:
        (tmp_path / "text").write_text("not a database, but long enough to be looked at " * 20)
        with pytest.raises(ValueError, match="not a database"), open_store(str(tmp_path / "text")):
            pass

    def test_a_database_of_something_else(self, tmp_path: Path) -> None:
        import sqlite3

        other = sqlite3.connect(tmp_path / "other.sqlite")
        other.execute("CREATE TABLE people (name)")
        other.close()
        with pytest.raises(ValueError, match="something else"), open_store(str(tmp_path / "other.sqlite")):
            pass

    def test_a_truncated_database(self, tmp_path: Path) -> None:
        path = tmp_path / "run.sqlite"
        with open_store(str(path)) as store:
            run(store, steps=300)
            store.conn.execute("PRAGMA wal_checkpoint(TRUNCATE)")  # type: ignore[attr-defined]
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 3])
        with pytest.raises((ValueError, JournalError), match="malformed|disk image|cannot be"):  # noqa: SIM117
            with open_store(str(path)) as store:
                run(store, steps=300)


def test_a_run_of_another_version_is_listed_as_unreadable() -> None:
    store = InMemoryStore()
    solve(Counting(3), Scripted(right), store=store, run_id="new")
    solve(Counting(3), Scripted(right), store=store, run_id="old")
    store.batch([records.put_header({**journal.header(store, "old"), "format": 1})])
    assert {header["run_id"]: header["outcome"]["status"] for header in journal.runs(store)} == {
        "new": "solved",
        "old": "unreadable",
    }


@pytest.mark.parametrize("step", [-1, 2.5, "3", True, 4])
def test_forks_at_a_step_that_is_there(step: Any) -> None:
    store = InMemoryStore()
    solve(Counting(3), Scripted(right), store=store, run_id="r")
    with pytest.raises(JournalError, match="from 0 to 3"):
        journal.fork(store, "r", step, "other")
