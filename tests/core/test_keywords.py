"""A keyword that a function does not take is refused with the one that was meant."""

from __future__ import annotations

from typing import Any

import pytest
from scripted import Counting, script
from typer.testing import CliRunner

from langgraph_maker import (
    asolve,
    create_maker,
    create_recursive_maker,
    create_voting_graph,
    create_voting_node,
    solve,
)
from langgraph_maker.cli import app
from langgraph_maker.experiments import experiment
from langgraph_maker.middleware import VotingMiddleware


def maker(**options: Any) -> Any:
    return create_maker(Counting(1), script("1"), **options)


def voting_graph(**options: Any) -> Any:
    return create_voting_graph(script("1"), prompt=str, parse=str, **options)


def voting_node(**options: Any) -> Any:
    return create_voting_node(script("1"), read=str, prompt=str, parse=str, write=lambda *_: {}, **options)


def recursive(**options: Any) -> Any:
    return create_recursive_maker(script("1"), **options)


def solved(**options: Any) -> Any:
    return solve(Counting(1), script("1"), **options)


def repeated(**options: Any) -> Any:
    return experiment("scaling", **options)


FACES = [maker, voting_graph, voting_node, recursive, solved, VotingMiddleware, repeated]


@pytest.mark.parametrize("face", FACES)
def test_an_old_name_is_refused_with_the_new_one(face: Any) -> None:
    now = "max_total_samples" if face is repeated else "max_samples_per_step"
    with pytest.raises(TypeError, match=rf"\(\) takes no max_samples: it is called {now} now$"):
        face(max_samples=9)


@pytest.mark.parametrize("face", FACES)
def test_a_slip_is_refused_with_what_is_like_it_if_anything_is(face: Any) -> None:
    with pytest.raises(TypeError, match=r"\(\) takes no Max_Concurency: did you mean max_concurrency\?$"):
        face(Max_Concurency=9)
    with pytest.raises(TypeError, match=r"\(\) takes no qqq$"):
        face(qqq=1)


async def test_the_function_that_was_called_is_the_one_that_is_named() -> None:
    options: Any = {"max_samples": 9}
    with pytest.raises(TypeError, match=r"^asolve\(\) takes no max_samples"):
        await asolve(Counting(1), script("1"), **options)
    with pytest.raises(TypeError, match=r"^solve\(\) takes no K: did you mean k\?"):
        solved(K=5)
    with pytest.raises(TypeError, match=r"^solve\(\) takes no lane: did you mean lanes\?"):
        solved(lane=5)


def test_so_does_the_command_line() -> None:
    done = CliRunner().invoke(app, ["experiment", "scaling", "--max-samples", "9"])
    assert (done.exit_code, "now called --max-total-samples" in done.stderr) == (2, True)
    assert "--max-samples " not in CliRunner().invoke(app, ["run", "--help"]).stdout
