"""The command line, run as a user would."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path


def maker(*arguments: str, cwd: Path | None = None, **env: str) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("OPENAI_")}
    return subprocess.run(
        [sys.executable, "-c", "from langgraph_maker.cli import main; main()", *arguments],
        capture_output=True,
        text=True,
        cwd=cwd,
        env=clean | env,
        timeout=120,
        check=False,
    )
