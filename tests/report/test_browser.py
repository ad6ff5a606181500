"""The report's page in Chromium: no complaint, no request, readable at phone and desktop width, light and dark."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from browser import DESKTOP, PHONE, Page, browsing
from hostile import HOSTILE
from langgraph.store.memory import InMemoryStore
from scripted import Counting, Scripted, right

from langgraph_maker import RedFlag, Vote, journal, solve
from langgraph_maker.journal import records
from langgraph_maker.journal.databases import open_store
from langgraph_maker.report import numbers, page
from langgraph_maker.tasks import TowersOfHanoi

pytestmark = pytest.mark.browser

FITS = "document.documentElement.scrollWidth <= document.documentElement.clientWidth"
MILLION = 2**20 - 1


@pytest.fixture
async def chromium(tmp_path: Path) -> AsyncIterator[Page]:
    async with browsing(tmp_path) as opened:
        yield opened


class Hostile(Counting):
    """All that this task and its model say is markup."""

    name = HOSTILE

    def parse(self, text: str) -> Vote:
        if "flag" in text:
            raise RedFlag(HOSTILE, HOSTILE)
        return {"action": text, "next_state": 1}


def answers(ask: Any) -> str:
    return HOSTILE + ("", "flag", "", "other")[ask.number % 4]


def solved(store: InMemoryStore) -> None:
    solve(TowersOfHanoi(8), "sim:error=0.1,flag=0.1", k="auto", lanes=4, store=store, run_id="r")


def hostile(store: InMemoryStore) -> None:
    solve(Hostile(2, goal=1), Scripted(answers), k=2, max_samples_per_step=9, store=store, run_id="r")


def hostile_unresolved(store: InMemoryStore) -> None:
    solve(Hostile(2), Scripted(answers), max_samples_per_step=4, store=store, run_id="r")


def unfinished(store: InMemoryStore) -> None:
    def kill(now: Any) -> None:
        if now.steps > 30:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        solve(TowersOfHanoi(6), "sim:error=0.1", lanes=8, store=store, run_id="r", on_progress=kill)


def empty(store: InMemoryStore) -> None:
    solve(TowersOfHanoi(6), "sim:error=0.1", store=store, run_id="r", stop=lambda: True)


def unresolved(store: InMemoryStore) -> None:
    split = Scripted(lambda ask: "7787878787"[ask.number] if ask.subtask_id == "2" else right(ask))
    solve(Counting(5), split, store=store, run_id="r", max_samples_per_step=8)


@pytest.mark.parametrize("made", [solved, hostile, hostile_unresolved, unfinished, empty, unresolved])
async def test_it_opens(made: Any, chromium: Page, tmp_path: Path) -> None:
    store, file = InMemoryStore(), tmp_path / "r.html"
    made(store)
    found = numbers(store, "r")
    file.write_text(page(found), "utf-8")
    for name, size, dark in (("desktop", DESKTOP, False), ("phone", PHONE, True)):
        await chromium.see(file, size, dark=dark)
        assert await chromium.run(FITS)
        assert await chromium.run("document.title") != "taken"
        assert found["status"].upper() in await chromium.run("document.querySelector('.outcome').innerText")
        assert await chromium.run("document.querySelector('.outcome').getBoundingClientRect().top") < 300
        await chromium.picture(tmp_path / f"{name}.png")
        assert chromium.requests == [file.as_uri()]
        assert chromium.complaints == []


async def test_light_and_dark(chromium: Page, tmp_path: Path) -> None:
    store, file = InMemoryStore(), tmp_path / "r.html"
    empty(store)
    file.write_text(page(numbers(store, "r")), "utf-8")
    papers = []
    for dark in (False, True):
        await chromium.see(file, PHONE, dark=dark)
        papers.append(await chromium.run("getComputedStyle(document.body).backgroundColor"))
    assert papers == ["rgb(255, 255, 255)", "rgb(20, 24, 31)"]


async def test_the_moves_play(chromium: Page, tmp_path: Path) -> None:
    store, file = InMemoryStore(), tmp_path / "r.html"
    solve(TowersOfHanoi(3), "sim:error=0", store=store, run_id="r")
    file.write_text(page(numbers(store, "r")), "utf-8")
    await chromium.see(file, DESKTOP)
    assert await chromium.run("said.textContent") == "after 0 steps"
    where = (
        "[...picture.querySelectorAll('rect')].slice(4).map((disk) => Math.round(+disk.getAttribute('x') / 200 - 0.1))"
    )
    assert await chromium.run(where) == [0, 0, 0]
    await chromium.run("speed.value = 8, play.click()")
    ends = "new Promise((done) => (function look() { playing ? requestAnimationFrame(look) : done(at.value) })())"
    assert await chromium.run(ends) == "7"
    assert await chromium.run(where) == [2, 2, 2]
    assert await chromium.run("said.textContent") == "after 7 steps"
    await chromium.run("at.value = 4, at.dispatchEvent(new Event('input'))")
    assert await chromium.run(where) == [1, 1, 2]
    assert chromium.complaints == []


async def test_what_a_page_asks_for_is_seen_and_barred(chromium: Page, tmp_path: Path) -> None:
    """The other tests would see a request, an error, and a script that is not the page's own."""
    store, file = InMemoryStore(), tmp_path / "r.html"
    empty(store)
    more = "<img src='http://127.0.0.1:9/x.png'><script>document.title = 'taken'</script>"
    file.write_text(page(numbers(store, "r")).replace("</main>", f"{more}</main>"), "utf-8")
    await chromium.see(file, DESKTOP)
    assert await chromium.run("document.title") != "taken"
    assert "violates the following Content Security Policy" in str(chromium.complaints)
    file.write_text(more, "utf-8")
    await chromium.see(file, DESKTOP)
    assert await chromium.run("document.title") == "taken"
    assert chromium.requests == [file.as_uri(), "http://127.0.0.1:9/x.png"]
    assert "Failed to load resource" in str(chromium.complaints)


def write_run(db: str, run_id: str, steps: int) -> None:
    """A journal of the first so many steps of 20 disks; one in 1,000 is contested, one in 100 has a flag."""
    task, small = TowersOfHanoi(20), InMemoryStore()
    solve(TowersOfHanoi(1), "sim:error=0", store=small, run_id="r")
    [like], head = journal.read(small, "r"), journal.header(small, "r")
    state, samples, ops = task.initial_state(), 0, []
    with open_store(db) as store:
        for step in range(steps):
            vote, lost, flagged = task.oracle(state), int(step % 1000 == 7), int(step % 100 == 3)
            state = task.advance(state, vote)
            entry: records.Entry = {
                **like,
                "step": step,
                "vote": vote,
                "votes": 3 + 2 * lost,
                "winner_votes": 3 + lost,
                "samples": 3 + 2 * lost + flagged,
                "flags": {"token_limit": 1} if flagged else {},
            }
            samples += entry["samples"]
            ops.append(records.put_entry(run_id, entry))
            if len(ops) == 4096 or step == steps - 1:
                store.batch(ops)
                ops = []
        head["run_id"], head["parameters"] = run_id, {"disks": 20}
        head["sessions"][0]["end"] = MILLION
        head["outcome"] |= {"status": "solved" if steps == MILLION else "stopped", "steps": steps, "samples": samples}
        store.batch([records.put_header(head)])


def reported(db: str, run_id: str, file: Path) -> int:
    """The peak memory of the command that writes the page, in KiB."""
    command = (
        "import resource, sys; from langgraph_maker.cli import app; app(standalone_mode=False);"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    )
    arguments = ["report", "--db", db, "--run-id", run_id, "--out", str(file)]
    done = subprocess.run(
        [sys.executable, "-c", command, *arguments], capture_output=True, text=True, timeout=300, check=True
    )
    return int(done.stdout)


async def test_a_million_steps(chromium: Page, tmp_path: Path) -> None:
    db, file = str(tmp_path / "run.sqlite"), tmp_path / "r.html"
    write_run(db, "short", MILLION // 16)
    write_run(db, "long", MILLION)
    short, long = (reported(db, run_id, file) for run_id in ("short", "long"))
    assert long < 1.1 * short
    assert file.stat().st_size < 2_000_000
    await chromium.see(file, PHONE)
    assert "All 1,048,575 steps decided" in await chromium.run("document.body.innerText")
    assert await chromium.run(FITS)
    await chromium.run("at.value = at.max, show()")
    assert await chromium.run("said.textContent") == "after 1,048,575 steps"
    assert await chromium.run("pegs.at(-1).map((peg) => peg.length)") == [0, 0, 20]
    await chromium.picture(tmp_path / "phone.png")
    assert (chromium.requests, chromium.complaints) == ([file.as_uri()], [])
