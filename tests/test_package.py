"""What importing the package costs: names come when they are used."""

from __future__ import annotations

import subprocess
import sys

import pytest

import langgraph_maker

HEAVY = ("langgraph", "langchain_openai", "openai", "langchain_core")


def loaded(code: str) -> set[str]:
    """The packages that a fresh process has loaded after `code`."""
    shows = "import sys; print(*{name.partition('.')[0] for name in sys.modules})"
    done = subprocess.run([sys.executable, "-c", f"{code}\n{shows}"], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


@pytest.mark.parametrize(
    "code", ["import langgraph_maker", "import langgraph_maker.theory", "import langgraph_maker.cli.shell"]
)
def test_no_graph_and_no_client_is_loaded_before_it_is_used(code: str) -> None:
    assert loaded(code).isdisjoint(HEAVY)


def test_the_help_loads_no_numpy_either() -> None:
    code = "import sys\nfrom langgraph_maker.cli import app\ntry: app(['--help'])\nexcept SystemExit: pass"
    assert loaded(code).isdisjoint({*HEAVY, "numpy"})


def test_each_public_name_is_there_when_it_is_used() -> None:
    code = "from langgraph_maker import *\nfrom langgraph_maker import solve\nassert callable(solve)"
    assert "langgraph" in loaded(code)
    for name in langgraph_maker.__all__:
        assert getattr(langgraph_maker, name) is not None
        assert name in dir(langgraph_maker)


def test_a_name_that_is_none_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'solv'"):
        getattr(langgraph_maker, "solv")  # noqa: B009 - a type checker would refuse it
