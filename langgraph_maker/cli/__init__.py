"""The command line: `langgraph-maker run hanoi --disks 10`. Needs the extra `cli`."""

from langgraph_maker.cli.shell import app

from langgraph_maker.cli import run, runs, answer, calibrate, diagnose, plan, report, serve  # isort: skip - commands

__all__ = ["answer", "app", "calibrate", "diagnose", "main", "plan", "report", "run", "runs", "serve"]


def main() -> None:
    """Run the command line."""
    app()
