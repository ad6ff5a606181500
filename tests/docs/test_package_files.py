"""What is built from this repository holds what it should, and says one version."""

from __future__ import annotations

import re
import tomllib

from paths import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def test_the_version_is_the_changelog_s_newest_and_the_citation_s() -> None:
    newest = re.search(r"^## \[?(\d+\.\d+\.\d+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    cited = re.search(r"^version: (.*)$", (ROOT / "CITATION.cff").read_text(), re.MULTILINE)
    assert newest is not None
    assert cited is not None
    assert newest[1] == cited[1] == PROJECT["version"]


def test_each_page_is_in_the_navigation_of_the_site_and_in_no_two_places() -> None:
    shown = re.findall(r"[\w/.-]+\.md", (ROOT / "mkdocs.yml").read_text().partition("\nnav:")[2])
    written = {str(page.relative_to(ROOT / "docs")) for page in (ROOT / "docs").rglob("*.md")}
    assert len(shown) == len(set(shown))
    assert written <= set(shown)


def test_the_file_for_models_lists_pages_that_exist() -> None:
    listed = re.findall(r"\]\(([^)]+)\)", (ROOT / "docs" / "llms.txt").read_text())
    assert listed
    assert [path for path in listed if not (ROOT / "docs" / path).is_file()] == []
