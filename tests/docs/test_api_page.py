"""docs/api.md says what there is, and nothing else."""

from __future__ import annotations

import re

from api_page import PAGE, PUBLIC, page
from paths import ROOT


def test_the_page_is_current() -> None:
    assert PAGE.read_text() == page(), "write it anew: python tests/support/api_page.py"


def test_each_name_is_one_line_that_says_what_it_is() -> None:
    lines = [line for line in page().splitlines() if line.startswith("- ")]
    assert [line for line in lines if not re.fullmatch(r"- `\w+(\([^`]*\))?` \S.{8,}", line)] == []


def test_what_pages_name_is_public() -> None:
    pages = [
        ROOT / "README.md",
        *(page for kind in ("start", "guides", "concepts") for page in (ROOT / "docs" / kind).glob("*.md")),
    ]
    named = {name for path in pages for name in re.findall(r"\blanggraph_maker(?:\.\w+)+", path.read_text())}
    assert named
    assert [one for one in named if not any(f"{one}.".startswith(f"{public}.") for public in PUBLIC[1:])] == []
