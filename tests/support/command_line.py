"""The command line, run as a user would: each time in a process of its own."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from forked import ran


def maker(*arguments: str, cwd: Path | None = None, **env: str) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("OPENAI_")}
    return ran("-m", "langgraph_maker", *arguments, cwd=cwd, env=clean | env)
