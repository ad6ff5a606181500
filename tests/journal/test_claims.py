"""Blocks of lanes: one owner at a time, and nothing is written by one that was."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from langgraph.store.base import BaseStore, GetOp, PutOp
from langgraph.store.memory import InMemoryStore

from langgraph_maker.core.errors import BlockLostError, JournalError
from langgraph_maker.journal import blocks, records, store_ops
from langgraph_maker.journal.blocks import WorkerRecord
from langgraph_maker.journal.claims import GRACE, Claims, database_of
from langgraph_maker.journal.databases import open_store
from langgraph_maker.journal.worker_store import WorkerStore

LEASE = 15.0
WHERE = records.namespace("r")


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[BaseStore]:
    db = str(tmp_path / "run.sqlite") if request.param == "sqlite" else request.getfixturevalue("postgres_db")
    with open_store(db) as opened:
        store_ops.batch(opened, [blocks.put_block("r", blocks.fresh(start, start + 10), "s") for start in (0, 10)])
        yield opened


@pytest.fixture
def made() -> Iterator[list[Claims]]:
    """Claims of workers, closed in the end."""
    some: list[Claims] = []
    yield some
    for one in some:
        one.close()


def worker(name: str) -> WorkerRecord:
    return {
        "name": name,
        "writer": f"1-{name}",
        "host": "here",
        "pid": 1,
        "began": "2026-11-30T00:00:00+00:00",
        "block": None,
        "blocks": 0,
        "steps": 0,
        "samples": 0,
        "left": None,
    }


def joined(store: BaseStore, made: list[Claims], name: str) -> Claims:
    claims = Claims(store, "r", worker(name))
    made.append(claims)
    claims.beat()
    return claims


def silent_for(claims: Claims, seconds: float) -> None:
    """Make the last sign of life of a worker so old."""
    with claims.database.transaction() as rows:
        ago = "datetime('now', %s)" if "sqlite" in type(claims.store).__module__ else "now() + %s::interval"
        _, count = rows(
            f"UPDATE store SET updated_at = {ago} WHERE key = %s",  # noqa: S608
            (f"-{seconds:.0f} seconds", blocks.worker_key(claims.worker["name"])),
        )
    assert count == 1


def note(text: str) -> PutOp:
    return PutOp(WHERE, "note", {"text": text}, index=False)


def written(store: BaseStore) -> Any:
    item: Any = store_ops.batch(store, [GetOp(WHERE, "note")])[0]
    return item and item.value["text"]


def test_a_block_has_one_owner(store: BaseStore, made: list[Claims]) -> None:
    first, second = joined(store, made, "first"), joined(store, made, "second")
    one, other = first.claim("s", LEASE), second.claim("s", LEASE)
    assert one
    assert other
    assert {one["start"], other["start"]} == {0, 10}
    assert joined(store, made, "third").claim("s", LEASE) is None
    first.write([note("first")])
    assert written(store) == "first"


def test_a_block_that_was_given_back_is_taken_by_another_as_it_is(store: BaseStore, made: list[Claims]) -> None:
    first, second = joined(store, made, "first"), joined(store, made, "second")
    given = first.claim("s", LEASE)
    assert given
    assert second.claim("s", LEASE)
    first.release({**given, "lost": 7})
    with pytest.raises(JournalError, match="holds none"):
        first.write([note("first")])
    taken = joined(store, made, "third").claim("s", LEASE)
    assert taken
    assert (taken["start"], taken["lost"], taken["broken"], taken["number"]) == (given["start"], 7, False, 2)


def test_nothing_is_written_by_an_owner_whose_lease_ran_out(store: BaseStore, made: list[Claims]) -> None:
    asleep, awake = joined(store, made, "asleep"), joined(store, made, "awake")
    assert asleep.claim("s", LEASE)
    assert awake.claim("s", LEASE)
    next_one = joined(store, made, "next")
    silent_for(asleep, LEASE - 2)
    assert next_one.claim("s", LEASE) is None
    silent_for(asleep, LEASE + 2)
    taken = next_one.claim("s", LEASE)
    assert taken is not None
    assert taken["broken"]
    next_one.write([note("the next one's")])
    with pytest.raises(BlockLostError, match="were taken from worker asleep"):
        asleep.write([note("the sleeper's"), PutOp(WHERE, "other", {"text": ""}, index=False)])
    assert written(store) == "the next one's"
    assert store.batch([GetOp(WHERE, "other")]) == [None]
    with pytest.raises(BlockLostError):
        asleep.release({**taken, "status": "done"})
    next_one.write([note("still the next one's")])
    assert written(store) == "still the next one's"


def test_whoever_takes_the_whole_run_takes_all_blocks(store: BaseStore, made: list[Claims]) -> None:
    first = joined(store, made, "first")
    assert first.claim("s", LEASE)
    control: Any = dict.fromkeys(blocks.Control.__annotations__)
    control["session"] = "s"
    store_ops.batch(store, [blocks.put_control("r", control)])
    assert store_ops.drive(blocks.cleared("r"), store)
    with pytest.raises(BlockLostError, match="or the run's coordinator began anew"):
        first.write([note("first")])
    store_ops.batch(store, [blocks.put_block("r", blocks.fresh(0, 10), "t")])
    with pytest.raises(BlockLostError):
        first.write([note("first")])
    first.block = None
    assert first.claim("s", LEASE) is None
    assert written(store) is None


@pytest.mark.postgres
def test_a_worker_whose_session_is_gone_is_gone_at_once(postgres_db: str, made: list[Claims]) -> None:
    with open_store(postgres_db) as store:
        store_ops.batch(store, [blocks.put_block("r", blocks.fresh(0, 10), "s")])
        dies, lives = joined(store, made, "dies"), joined(store, made, "lives")
        assert dies.claim("s", LEASE)
        silent_for(dies, GRACE + 1)
        assert lives.claim("s", LEASE) is None  # its session is there
        dies.close()
        while lives.claim("s", LEASE) is None:  # as soon as the server has ended the session
            pass
        assert {worker["name"]: alive for worker, alive in lives.lives(LEASE)} == {"dies": False, "lives": True}


@pytest.mark.postgres
def test_a_worker_outlives_its_connection(postgres_db: str, made: list[Claims]) -> None:
    import psycopg

    with open_store(postgres_db) as store:
        store_ops.batch(store, [blocks.put_block("r", blocks.fresh(0, 10), "s")])
        claims = joined(store, made, "first")
        assert claims.claim("s", LEASE)
        with psycopg.connect(postgres_db, autocommit=True) as other:
            other.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        worker_store = WorkerStore(store, claims)
        store_ops.batch(worker_store, [note("after all")])
        assert written(store) == "after all"
        assert claims.lives(LEASE)[0][1]


def test_what_blocks_have_spent_is_known_with_each_write(store: BaseStore, made: list[Claims]) -> None:
    first, second = joined(store, made, "first"), joined(store, made, "second")
    for claims, lost in ((first, 7), (second, 5)):
        assert claims.claim("s", LEASE)
        assert claims.block
        claims.block = {**claims.block, "lost": lost}
        claims.write([])
    assert second.spent == (12, 0.0)
    first.write([])
    assert first.spent == (12, 0.0)


def test_reads_and_writes_of_one_batch_come_back_in_their_order(store: BaseStore, made: list[Claims]) -> None:
    claims = joined(store, made, "first")
    assert claims.claim("s", LEASE)
    own = WorkerStore(store, claims)
    results = asyncio.run(own.abatch([GetOp(WHERE, "note"), note("one"), GetOp(WHERE, "note"), note("two")]))
    assert results == [None] * 4  # reads come first, as in LangGraph's own stores
    assert written(store) == "two"


def test_a_store_that_one_process_has_is_refused() -> None:
    with pytest.raises(ValueError, match="workers need a store that several processes can write, and InMemoryStore"):
        database_of(InMemoryStore())
