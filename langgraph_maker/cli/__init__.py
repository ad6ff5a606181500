"""The command line: `langgraph-maker run hanoi --disks 10`. Needs the extra `cli`."""

from langgraph_maker.cli.shell import app

from langgraph_maker.cli import run, runs, calibrate, plan, experiment, serve  # isort: skip - each adds its command to `app`

__all__ = ["app", "calibrate", "experiment", "main", "plan", "run", "runs", "serve"]


def main() -> None:
    """Run the command line."""
    app()
