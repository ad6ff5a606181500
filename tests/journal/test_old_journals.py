"""Databases that version 0.1.0 wrote, in format 7: read, verified, reported and gone on with by every later version."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from langgraph.store.base import BaseStore
from old_journals import ASSETS, CHAINS, TREES, to_the_end

from langgraph_maker import journal
from langgraph_maker.journal.databases import open_store
from langgraph_maker.prebuilt.recursive import read_tree
from langgraph_maker.report import numbers, tree_numbers

EXPECTED: dict[str, dict[str, Any]] = json.loads((ASSETS / "expected.json").read_text("utf-8"))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[BaseStore]:
    with open_store(str(shutil.copy(ASSETS / "journal.db", tmp_path / "journal.db"))) as opened:
        yield opened


NEW = {"ended", "reason_code"}
"""What outcomes hold that their records do not, or not in each of them alike."""


def test_every_run_is_listed_and_whole(store: BaseStore) -> None:
    ended = {
        header["run_id"]: {name: header["outcome"][name] for name in header["outcome"] if name not in NEW}
        for header in journal.runs(store)
    }
    assert ended == {run_id: run["outcome"] for run_id, run in EXPECTED.items()}
    assert [problem for run_id in EXPECTED for problem in journal.verify(store, run_id)] == []


@pytest.mark.parametrize("run_id", EXPECTED)
def test_it_is_read_as_it_was_written(store: BaseStore, run_id: str) -> None:
    run = EXPECTED[run_id]
    assert journal.steps(store, run_id) == run["steps"]
    ballots = {ballot["id"]: [ballot["samples"], ballot["status"]] for ballot in journal.open_ballots(store, run_id)}
    assert ballots == run["open"]
    asking = [name for name, (_, status) in run["open"].items() if status == "asking"]
    assert [question["id"] for question in journal.questions(store, run_id)] == asking
    journal.export(store, run_id, file := io.StringIO())
    lines = [json.loads(line) for line in file.getvalue().splitlines()]
    assert lines[0]["run_id"] == run_id
    if run_id in TREES:
        assert len(lines) == 1 + len(read_tree(store, run_id))
        assert tree_numbers(store, run_id)["run_id"] == run_id
    else:
        assert [entry["vote"]["action"] for entry in journal.entries(store, run_id)] == run["actions"]
        assert numbers(store, run_id)["totals"]["steps"] == len(run["actions"])


def check_end(store: BaseStore, run_id: str) -> None:
    """It continues, with what its ballots had counted, to the end that 0.1.0 brought it to."""
    result = to_the_end(store, run_id)
    names = EXPECTED[run_id]["end"]
    ended = {name: result[name] if run_id in TREES else getattr(result, name) for name in names}
    assert ended == names
    assert journal.verify(store, run_id) == []


@pytest.mark.parametrize("run_id", [*CHAINS, *TREES])
def test_it_goes_on_to_the_same_end(store: BaseStore, run_id: str) -> None:
    check_end(store, run_id)


def test_a_deleted_run_leaves_nothing(store: BaseStore) -> None:
    for run_id in EXPECTED:
        journal.delete(store, run_id)
    assert store.search(("langgraph_maker",)) == []


def test_a_fork_of_one_goes_on(store: BaseStore) -> None:
    journal.fork(store, "plain", 7, "fork")
    assert journal.verify(store, "fork") == []
    assert journal.steps(store, "fork") == 7


@pytest.mark.postgres
def test_so_it_is_on_postgres(postgres_db: str) -> None:
    import psycopg

    with open_store(postgres_db) as store:
        with psycopg.connect(postgres_db) as connection:
            connection.execute((ASSETS / "postgres.sql").read_bytes())
        for run_id in EXPECTED:
            assert journal.verify(store, run_id) == []
            check_end(store, run_id)
