"""`langgraph-maker puzzles`: a file of puzzles in, a file of answers out."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Annotated, Any
from uuid import uuid4

import typer

from langgraph_maker.cli.console import err, say
from langgraph_maker.cli.loading import load_model, red_flags
from langgraph_maker.cli.options import AsJson, BaseUrl, Db, MaxCost, MaxSteps, ModelName, NewRunId, Seed, TokenLimit
from langgraph_maker.cli.progress import follow
from langgraph_maker.cli.shell import (
    ERROR,
    SOLVED,
    STOPPED,
    UNRESOLVED,
    USAGE,
    Command,
    command_line,
    same_command,
    stopping,
    to_stdout,
    told,
)
from langgraph_maker.cli.writing import check_file
from langgraph_maker.journal.databases import database, open_store
from langgraph_maker.journal.records import check_id
from langgraph_maker.runs.result import Run
from langgraph_maker.runs.solve import solve
from langgraph_maker.tasks.puzzle_files import answer_line, puzzle_lines, read_puzzles

__all__ = ["app", "puzzles"]

_MOST_STEPS = 10_000

app = command_line()


@app.command(cls=Command)
def puzzles(  # noqa: PLR0917 - typer reads the options from the signature
    file: Annotated[Path, typer.Argument(help="JSON lines with id, prompt and answer, or LongCoT's own files")],
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="answers, a JSON line each")],
    model: ModelName = "sim:gpt-4.1-mini",
    base_url: BaseUrl = None,
    k: Annotated[int, typer.Option("--k", help="votes by which an answer must lead")] = 3,
    token_limit: TokenLimit = 750,
    max_steps: MaxSteps = _MOST_STEPS,
    max_cost: MaxCost = None,
    db: Db = None,
    run_id: NewRunId = None,
    seed: Seed = 0,
    as_json: AsJson = False,  # noqa: FBT002
) -> None:
    """Solve the Hanoi and Blocks World puzzles of a file, each a run of its own, and write answers in LongCoT's form.

    The same command with the printed --run-id resumes it, and buys nothing twice.
    """
    run_id = uuid4().hex[:12] if run_id is None else run_id
    stop = threading.Event()
    with told(USAGE):
        db = database(db)
        check_id(run_id)
        check_file(out, db)
        lines = puzzle_lines(file.read_text(encoding="utf-8"))
        asked = list(read_puzzles(lines, skip_others=True))
        if not asked:
            raise ValueError(f"{file} has no puzzle of Hanoi or Blocks World, in {len(lines)} lines")
        if len({name for name, _ in asked}) < len(asked):
            raise ValueError(f"{file} has two puzzles with one id")
        if out.exists() and out.samefile(file):
            raise ValueError(f"--out is {file} itself, which would be lost: name another file")
        models = [load_model(model, task, base_url, seed) for _, task in asked]
    if len(asked) < len(lines):
        say(f"{len(lines) - len(asked)} of {len(lines)} lines are other puzzles, and left out", "note:")
    command = same_command(db, run_id)
    runs, spent = list[Run](), 0.0
    with (
        told(ERROR, command),
        open_store(db) as store,
        out.open("w", encoding="utf-8") as answers,
        follow(err) as on_progress,
        stopping(stop),
    ):
        for place, ((name, task), one) in enumerate(zip(asked, models, strict=True), 1):
            run = solve(
                task,
                one,
                k=k,
                red_flags=red_flags(token_limit),
                max_steps=max_steps,
                max_cost=None if max_cost is None else max(1e-9, max_cost - spent),
                store=store,
                run_id=f"{run_id}.{place}",
                stop=stop.is_set,
                on_progress=on_progress,
            )
            runs.append(run)
            spent += run.usage["cost"] or 0.0
            if run.status == "stopped":
                break
            reason = "" if run.status == "solved" else f"{run.status}: {run.reason}"
            answers.write(answer_line(name, list(run.actions()) if not reason else [], model, reason=reason) + "\n")
            answers.flush()
    _report(runs, len(asked), model, out, as_json=as_json)
    solved = sum(run.status == "solved" for run in runs)
    if runs[-1].status == "stopped":
        say(f"stopped at puzzle {len(runs)} of {len(asked)}; to resume: {command}")
        raise typer.Exit(STOPPED)
    raise typer.Exit(SOLVED if solved == len(asked) else UNRESOLVED)


def _report(runs: list[Run], asked: int, model: str, out: Path, *, as_json: bool) -> None:
    solved = sum(run.status == "solved" for run in runs)
    found: dict[str, Any] = {
        "puzzles": asked,
        "solved": solved,
        "steps": sum(run.steps for run in runs),
        "samples": sum(run.samples for run in runs),
        "simulated": model.startswith("sim:"),
        "answers": str(out),
    }
    simulated = " (a simulated model)" if found["simulated"] else ""
    with to_stdout():
        print(  # noqa: T201
            json.dumps(found)
            if as_json
            else f"{solved} of {asked} puzzles solved by {model}{simulated}: {found['steps']:,} moves,"
            f" {found['samples']:,} samples; answers in {out}"
        )
