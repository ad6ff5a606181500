"""Hanoi between any two positions and Blocks World: the strategy arrives, runs solve, illegal moves are flags."""

from __future__ import annotations

from typing import Any

import pytest
from domains import walk

from langgraph_maker import solve
from langgraph_maker.tasks import BlocksWorld, HanoiPositions


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("make", [HanoiPositions.random, BlocksWorld.random])
def test_the_strategy_arrives_by_legal_moves_from_anywhere(make: Any, seed: int) -> None:
    task = make(7, seed=seed)
    for steps, (state, vote) in enumerate(walk(task)):
        assert task.validate(state, vote) is None
        assert task.read_state(task.prompt(state)) == state
        assert task.parse(task.render(vote)) == vote
        assert vote not in task.wrong_votes(state)
        assert steps < 2**7


def test_sixty_blocks_on_four_stacks_arrive() -> None:
    assert sum(1 for _ in walk(BlocksWorld.random(60, 4, seed=5))) < 60 * 60


@pytest.mark.parametrize("task", [HanoiPositions.random(5, seed=1), BlocksWorld.random(8, seed=1)])
def test_a_run_of_unknown_length_solves_it(task: Any) -> None:
    run = solve(task, "sim:error=0.05,flag=0.05,alternatives=3", k=5, max_steps=500)
    assert (run.status, run.final_state) == ("solved", task.goal)
    assert run.steps == sum(1 for _ in walk(task))


@pytest.mark.parametrize(
    ("action", "stacks", "reason"),
    [
        ([2, 0, 1], [[], [1, 2], []], "illegal_move"),
        ([1, 1, 1], [[2], [1], []], "illegal_move"),
        ([1, 0, 2], [[2], [], [1]], "illegal_move"),
        ([1, 1, 7], [[2], [], [1]], "illegal_move"),
        ([1, 1, 2], [[2], [1], []], "contradiction"),
        ([1, 1, 0], [[2, 1], [], []], None),
    ],
)
def test_only_legality_is_checked(action: Any, stacks: Any, reason: str | None) -> None:
    task = HanoiPositions([[2], [1], []], [[], [], [2, 1]])
    flag = task.validate(task.initial_state(), {"action": action, "next_state": stacks})
    assert (flag and flag.reason) == reason


@pytest.mark.parametrize("kind", [HanoiPositions, BlocksWorld])
@pytest.mark.parametrize(
    ("start", "goal"),
    [
        ([[1], []], [[], [1]]),
        ([[1], [], []], [[2], [], []]),
        ([[1, 1], [], []], [[1, 1], [], []]),
        ([], []),
        ("1", [[1]]),
    ],
)
def test_what_is_no_pair_of_positions_is_refused(kind: Any, start: Any, goal: Any) -> None:
    with pytest.raises(ValueError, match=r"stacks|pegs"):
        kind(start, goal)


def test_a_disk_on_a_smaller_one_is_refused() -> None:
    with pytest.raises(ValueError, match="no disk lies on a smaller one"):
        HanoiPositions([[1, 2], [], []], [[2, 1], [], []])
