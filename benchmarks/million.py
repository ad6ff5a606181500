"""The 20-disk run: `python -m benchmarks.million [--disks 20] [--lanes 1024] [--kills 10]`.

The command line solves 1,048,575 steps with a simulated model and an SQLite journal, once undisturbed, then once more
with SIGKILLs at random moments, each time continuing under the same run id. Printed are time, peak memory, size of the
journal, and whether both runs decided alike.
"""

from __future__ import annotations

import argparse
import json
import platform
import random
import resource
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from langgraph_maker import journal
from langgraph_maker.journal.databases import open_store


def command(db: Path, run_id: str, options: argparse.Namespace) -> list[str]:
    """The command that begins a run and resumes it."""
    asked = ["--disks", str(options.disks), "--lanes", str(options.lanes), "--model", options.model, "--k", "3"]
    return [
        sys.executable,
        "-m",
        "langgraph_maker",
        "run",
        "hanoi",
        *asked,
        "--db",
        str(db),
        "--run-id",
        run_id,
        "--json",
    ]


def undisturbed(db: Path, options: argparse.Namespace) -> dict[str, Any]:
    """One run from its start to its end."""
    began = time.perf_counter()
    done = subprocess.run(  # noqa: S603
        command(db, "undisturbed", options), check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    result: dict[str, Any] = json.loads(done.stdout)
    return result | {
        "seconds": time.perf_counter() - began,
        "MB": resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024,
    }


def killed(db: Path, options: argparse.Namespace, seconds: float) -> dict[str, Any]:
    """The same with kills at random moments; what is counted is the time of all processes."""
    chance, began = random.Random(options.disks), time.perf_counter()  # noqa: S311
    for _ in range(options.kills):
        process = subprocess.Popen(  # noqa: S603
            command(db, "killed", options), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            process.wait(chance.random() * 2 * seconds / (options.kills + 1))
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()
    done = subprocess.run(  # noqa: S603
        command(db, "killed", options), check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    result: dict[str, Any] = json.loads(done.stdout)
    return result | {"seconds": time.perf_counter() - began}


def main() -> None:
    """Run and print."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--disks", type=int, default=20)
    arguments.add_argument("--lanes", type=int, default=1024)
    arguments.add_argument("--kills", type=int, default=10)
    arguments.add_argument("--model", default="sim:gpt-4.1-mini")
    options = arguments.parse_args()
    print(f"{platform.machine()}, Python {platform.python_version()}; the model is simulated", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        db = Path(folder) / "run.sqlite"
        first = undisturbed(db, options)
        size = db.stat().st_size / first["steps"]
        print(
            f"{first['status']}: {first['steps']:,} steps, {first['samples']:,} samples, {options.lanes:,} lanes,"
            f" {first['seconds']:.0f} s, {first['MB']:.0f} MB, {size:.0f} bytes of journal a step, {first['digest']}",
            flush=True,
        )
        if not options.kills:
            return
        second = killed(db, options, first["seconds"])
        with open_store(str(db)) as store:
            problems, sessions = journal.verify(store, "killed"), len(journal.header(store, "killed")["sessions"])
        digest = "equal" if second["digest"] == first["digest"] else "OTHER"
        print(
            f"{second['status']} after {options.kills} kills: {second['seconds']:.0f} s in {sessions} sessions,"
            f" {second['samples']:,} samples counted, digest {digest}, journal.verify found {len(problems)} problems"
        )


if __name__ == "__main__":
    main()
