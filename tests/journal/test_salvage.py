"""A row of an SQLite database that cannot be decoded is named, and hides nothing else."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from langgraph.store.sqlite import SqliteStore
from langgraph.store.sqlite.aio import AsyncSqliteStore

from langgraph_maker import asolve, journal, solve
from langgraph_maker.core.errors import JournalError
from langgraph_maker.journal.tenants import under
from langgraph_maker.runs.calibration import calibrate
from langgraph_maker.tasks import TowersOfHanoi

TASK = TowersOfHanoi(2)
BROKEN = ['{"header": ', b"\xff\xfe{", "", b"\x00\x01"]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Any]:
    with SqliteStore.from_conn_string(str(tmp_path / "runs.sqlite")) as opened:
        opened.setup()
        yield opened


def read_all(store: Any, namespace: Any) -> Iterator[Callable[[], Any]]:
    yield lambda: journal.header(store, "r", namespace=namespace)
    yield lambda: [*journal.read(store, "r", namespace=namespace)]
    yield lambda: [*journal.entries(store, "r", namespace=namespace)]
    yield lambda: journal.open_ballots(store, "r", namespace=namespace)
    yield lambda: journal.export(store, "r", io.StringIO(), namespace=namespace)
    yield lambda: solve(TASK, "sim:error=0.1", store=store, run_id="r", namespace=namespace, max_total_samples=5)


@pytest.mark.parametrize("value", BROKEN)
@pytest.mark.parametrize("namespace", [(), ("users", "ann@example.com")])
def test_a_row_that_cannot_be_decoded_is_named_and_hides_nothing_else(store: Any, namespace: Any, value: Any) -> None:
    for run_id, limit in (("a", None), ("r", 5), ("z", None)):
        solve(TASK, "sim:error=0.1", store=store, run_id=run_id, namespace=namespace, max_total_samples=limit)
    keys = [item.key for item in under(store, namespace).search(("langgraph_maker", "runs", "r~"), limit=100)]
    assert len(keys) > 2
    for where, key in [("headers", "r~"), *(("runs.r~", key) for key in keys if key != "kept")]:
        place = f"%langgraph_maker.{where}%", key
        [before] = store.conn.execute("SELECT value FROM store WHERE prefix LIKE ? AND key = ?", place).fetchone()
        store.conn.execute("UPDATE store SET value = ? WHERE prefix LIKE ? AND key = ?", (value, *place))
        said = []
        for act in read_all(store, namespace):
            try:
                act()
            except JournalError as error:
                said.append(str(error))
        assert said
        assert all("run 'r'" in one for one in said), said
        assert journal.verify(store, "r", namespace=namespace) != []
        listed = {one["run_id"]: one["outcome"]["status"] for one in journal.runs(store, namespace=namespace)}
        assert (listed["a"], listed["z"]) == ("solved", "solved")
        assert listed["r"] == ("unreadable" if where == "headers" else "stopped")
        assert journal.verify(store, "a", namespace=namespace) == []
        store.conn.execute("UPDATE store SET value = ? WHERE prefix LIKE ? AND key = ?", (before, *place))
    store.conn.execute(
        "UPDATE store SET value = ? WHERE prefix LIKE '%langgraph_maker.headers' AND key = 'r~'", (value,)
    )
    journal.delete(store, "r", namespace=namespace)
    assert {one["run_id"] for one in journal.runs(store, namespace=namespace)} == {"a", "z"}
    assert under(store, namespace).search(("langgraph_maker", "runs", "r~")) == []


@pytest.mark.parametrize("value", BROKEN)
def test_in_asynchronous_code_too(tmp_path: Path, value: Any) -> None:
    async def damaged() -> None:
        async with AsyncSqliteStore.from_conn_string(str(tmp_path / "runs.sqlite")) as opened:
            await opened.setup()
            await asolve(TASK, "sim:error=0.1", store=opened, run_id="r", max_total_samples=5)
            await opened.conn.execute("UPDATE store SET value = ? WHERE key LIKE 'step-%'", (value,))
            await opened.conn.commit()
            with pytest.raises(JournalError, match="entry of step 0 of run 'r'"):
                await asolve(TASK, "sim:error=0.1", store=opened, run_id="r")
            again = await asolve(TASK, "sim:error=0.1", store=opened, run_id="another")
            assert again.steps == 3

    with closing(asyncio.Runner()) as runner:
        runner.run(damaged())


def test_each_record_of_a_calibration_has_a_checksum(store: Any) -> None:
    options: Any = {"store": store, "run_id": "c", "samples": 40, "seed": 1}
    calibrate(TASK, "sim:error=0.1", **options)
    items = store.search(("langgraph_maker", "calibrations"), limit=100)
    assert {item.key for item in items} >= {"about", "batch-000000"}
    for item in items:
        [name] = item.value.keys() - {"check"}
        for value in (
            {**item.value, name: item.value[name].replace("1", "2", 1)},
            {**item.value, "check": "0"},
            {name: "[["},
            {name: '[["vote", 0, 0]]'},
            {name: "[[[1], {}]]"},
            {},
        ):
            store.put(item.namespace, item.key, value)
            with pytest.raises((JournalError, ValueError), match="calibration"):
                calibrate(TASK, "sim:error=0.1", **options)
        store.put(item.namespace, item.key, item.value)
    calibrate(TASK, "sim:error=0.1", **options)
