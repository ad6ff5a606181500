"""What a vote takes in instructions: `python -m benchmarks.instructions [--disks 10] [--lanes 256] [--check | --keep]`.

Time depends on the machine and on who else uses it; instructions, which valgrind counts, hardly do. Rows: a plain
asyncio loop that samples, parses and counts; the engine with its journal in memory, in SQLite, and in one lane. As an
interpreter's build matters, what is kept in `benchmarks/instructions.json` are multiples of the loop's. `--check`
fails when a row takes over 10 % more than that; `--keep` writes the file. Where valgrind is not installed CPU time
stands in, and there is nothing to hold it against.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from benchmarks.engine import Instant, K, opened
from benchmarks.overhead import loop, written_down
from langgraph_maker import solve
from langgraph_maker.tasks import TowersOfHanoi

KEPT = Path(__file__).with_suffix(".json")
MORE = 1.10
"""By how much a vote may take more than what is kept."""
LOOP = "asyncio loop"


class Row(NamedTuple):
    """One measurement: of a program, on so many disks in so many lanes."""

    name: str
    disks: int
    lanes: int
    store: str


def rows(disks: int, lanes: int) -> list[Row]:
    """What is measured, the loop first."""
    return [
        Row(LOOP, disks - 1, 1, ""),
        Row(f"{disks} disks, {lanes} lanes, memory", disks, lanes, "memory"),
        Row(f"{disks} disks, {lanes} lanes, sqlite", disks, lanes, "sqlite"),
        Row(f"{disks - 2} disks, 1 lane, memory", disks - 2, 1, "memory"),
    ]


def counted(work: Callable[[], None]) -> float:
    """Do something, counted where this process runs under callgrind; returns seconds of CPU."""
    instrument("on")
    began = time.process_time()
    work()
    seconds = time.process_time() - began
    instrument("off")
    return seconds


def instrument(on: str) -> None:
    """Turn the counting on or off."""
    if "COUNTED" in os.environ:
        command = ["callgrind_control", "-i", on, str(os.getpid())]
        subprocess.run(command, check=True, capture_output=True)  # noqa: S603


def voted(row: Row) -> None:
    """Run once to have everything loaded, and once more to be counted; print the votes and the seconds."""
    if row.name == LOOP:
        task = TowersOfHanoi(row.disks)
        program = loop(task, written_down(task))
        program()
        print(json.dumps([K * (2**row.disks - 1), counted(program)]))
        return
    for disks, lanes, do in ((4, min(2, row.lanes), _now), (row.disks, row.lanes, counted)):
        task = TowersOfHanoi(disks)
        model = Instant(task)
        with opened(row.store) as (store, _):

            def run() -> None:
                done = solve(task, model.sampler(), k=K, lanes=lanes, store=store, run_id="r")  # noqa: B023
                assert (done.status, done.samples) == ("solved", K * done.steps)  # noqa: S101

            seconds = do(run)
    print(json.dumps([K * (2**row.disks - 1), seconds]))


def _now(work: Callable[[], None]) -> float:
    work()
    return 0.0


def measured(row: Row) -> tuple[float, bool]:
    """Return what a vote takes, and whether that is instructions (else microseconds of CPU)."""
    command = [sys.executable, "-m", "benchmarks.instructions", "--row", json.dumps(row)]
    environment = {**os.environ, "PYTHONHASHSEED": "0"}
    with tempfile.TemporaryDirectory() as folder:
        counts = shutil.which("valgrind") is not None
        if counts:
            out = f"--callgrind-out-file={folder}/out"
            command = ["valgrind", "-q", "--tool=callgrind", "--instr-atstart=no", out, *command]
            environment["COUNTED"] = "1"
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment)  # noqa: S603
        votes, seconds = json.loads(done.stdout.splitlines()[-1])
        if not counts:
            return seconds / votes * 1e6, False
        written = "".join(path.read_text() for path in Path(folder).iterdir())
        found = re.findall(r"^(?:summary|totals): (\d+)", written, re.MULTILINE)
        return max(map(int, found)) / votes, True


def main() -> int:
    """Print the table; return 1 where a vote takes too much."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--disks", type=int, default=10)
    arguments.add_argument("--lanes", type=int, default=256)
    arguments.add_argument("--check", action="store_true")
    arguments.add_argument("--keep", action="store_true")
    arguments.add_argument("--row", help=argparse.SUPPRESS)
    options = arguments.parse_args()
    if options.row:
        voted(Row(*json.loads(options.row)))
        return 0
    kept: dict[str, float] = json.loads(KEPT.read_text()) if KEPT.exists() else {}
    plain, worse = 0.0, False
    for row in rows(options.disks, options.lanes):
        each, counts = measured(row)
        plain = plain or each
        ratio, before = each / plain, kept.get(row.name) if counts else None
        unit = "instructions" if counts else "µs of CPU (valgrind is not installed)"
        print(f"{row.name}: {each:,.0f} {unit} a vote, {ratio:.2f} times the loop's", end="")
        print(f", {ratio / before:.2f} of what is kept" if before else "", flush=True)
        worse |= before is not None and ratio > MORE * before
        kept[row.name] = round(ratio, 3)
    if options.keep:
        KEPT.write_text(json.dumps(kept, indent=2) + "\n")
    if options.check and worse:
        print(f"a vote takes over {MORE - 1:.0%} more: see where (callgrind_annotate), or keep the figures (--keep)")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
