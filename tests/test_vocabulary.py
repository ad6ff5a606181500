"""One vocabulary: the field's words in what users read, and docstrings that begin with a verb."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from paths import ROOT

BANNED = {
    r"\bgo(es|ing)? on (with|where|from|in|as|under)\b": "resume, continue",
    r"\bbegun\b": "started",
    r"\b(is|are|was|were|whom to|what it) (tell|told)\b|\btells? (of|nothing)\b": "emit, say, given",
    r"\bmade again\b": "retried",
    r"\brun level\b": "tied",
    r"\bclimb(s|ed|ing)?\b": "escalate",
    r"\brungs?\b": "tier",
    r"\bseams?\b": "segment boundary",
    r"\bsettles?d?\b": "converge, decide",
    r"\bfiner (step|chain)": "sub-step",
    r"\bbeyond saving\b": "systematic-error step",
    r"\bthat is none\b": "invalid X: …, got …",
    r"\bwaits for nobody\b": "has no open questions",
    r"(?<!there )\bis no (text|number|answer|vote|task|model)\b": "must be …, got …",
    r"\bflying\b|\bripe\b|\bpatience\b": "in flight, ready, retry",
}
NOT_VERBS = frozenset({"a", "an", "the", "what", "how", "whether", "which", "where", "who", "its", "one", "all", "so"})


def modules() -> list[Path]:
    """Return all modules but the prompts, which are worded for models."""
    return sorted(path for path in (ROOT / "langgraph_maker").rglob("*.py") if not path.stem.endswith("_prompts"))


def visible(path: Path) -> Iterator[tuple[int, str]]:
    """Yield each sentence that users may read: strings with a space in them, docstrings of private code aside."""
    tree = ast.parse(path.read_text())
    hidden = set()
    for one in ast.walk(tree):
        if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and one.name.startswith("_"):
            hidden |= {id(part) for first in one.body[:1] for part in ast.walk(first)}
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Constant)
            and isinstance(node.value, str)
            and " " in node.value
            and id(node) not in hidden
        ):
            yield node.lineno, re.sub(r"`[^`]*`|>>>.*", "", node.value)  # code is code


def functions(path: Path) -> Iterator[tuple[int, str, str]]:
    """Yield the line, name and docstring of each public function."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and not node.name.startswith("_"):
            decorators = {getattr(one, "id", "") for one in node.decorator_list}
            if (text := ast.get_docstring(node)) and not decorators & {"property", "cached_property"}:
                yield node.lineno, node.name, text


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(ROOT)))
def test_strings_and_public_docstrings_hold_no_banned_word(path: Path) -> None:
    found = [
        f"{line}: {match[0]!r} ({instead})"
        for line, text in visible(path)
        for banned, instead in BANNED.items()
        if (match := re.search(banned, text, re.IGNORECASE))
    ]
    assert found == []


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(ROOT)))
def test_docstrings_of_public_functions_begin_with_a_verb(path: Path) -> None:
    found = [(line, name, text) for line, name, text in functions(path) if not begins_with_a_verb(text)]
    wrong = [f"{line} {name}: {text.split()[0]}" for line, name, text in found]
    assert wrong == []


def begins_with_a_verb(text: str) -> bool:
    """Tell an imperative from what else docstrings begin with; a word of the list or a plural-like one is none."""
    word = re.split(r"\W", text.strip('`"r '), maxsplit=1)[0].lower()
    return word not in NOT_VERBS and not (word.endswith("s") and not word.endswith("ss"))


def test_the_check_knows_a_verb() -> None:
    assert all(map(begins_with_a_verb, ["Return it.", "Discuss it.", "Issue one."]))
    assert not any(map(begins_with_a_verb, ["What is left.", "Whether so.", "The graph.", "Returns it.", "Tests it."]))
