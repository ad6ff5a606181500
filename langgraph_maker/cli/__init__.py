"""The command line: `langgraph-maker run hanoi --disks 10`. Needs the extra `cli`."""

from langgraph_maker.cli.shell import app

from langgraph_maker.cli import run, runs, answer, calibrate, diagnose, experiment, plan, report, serve  # isort: skip

__all__ = ["answer", "app", "calibrate", "diagnose", "experiment", "main", "plan", "report", "run", "runs", "serve"]


def main() -> None:
    """Run the command line."""
    app()
