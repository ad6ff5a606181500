"""The lowest versions that the package says it runs with, as constraints for pip: `python tests/support/lowest.py`."""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path

PROJECT = Path(__file__).parents[2] / "pyproject.toml"
EXTRAS = ("agents", "otel", "postgres")
"""What is held to its floor beside the package's own dependencies: what an app shares with it."""


def lowest(project: Path = PROJECT) -> dict[str, str]:
    """Each dependency with its floor."""
    table = tomllib.loads(project.read_text())["project"]
    extras = table["optional-dependencies"]
    wanted = [*table["dependencies"], *(one for extra in EXTRAS for one in extras.get(extra, ()))]
    floors = (re.match(r"([\w.-]+)(?:\[[^]]*\])?>=([\d.]+)", one) for one in wanted)
    return {floor[1]: floor[2] for floor in floors if floor}


if __name__ == "__main__":
    sys.stdout.writelines(f"{name}=={version}\n" for name, version in lowest().items())
