"""Proof steps: what is legal, what leads on, and that only what holds is taken for shown."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest
from domains import walk

from langgraph_maker import RedFlag, solve
from langgraph_maker.simulation.answers import CanErr
from langgraph_maker.tasks import Proof

NOT_P = ["if", "p", "false"]


def goal(show: Any, *given: Any) -> dict[str, Any]:
    return {"given": [*given], "show": show}


def true(formula: Any, world: dict[str, bool]) -> bool:
    """What a truth table says: another way than by proofs."""
    if isinstance(formula, str):
        return formula != "false" and world[formula]
    kind, one, two = formula[0], true(formula[1], world), true(formula[2], world)
    return {"and": one and two, "or": one or two, "if": two or not one}[kind]


@pytest.mark.parametrize(
    "one",
    [
        goal(["if", "p", "p"]),
        goal("q", ["and", ["if", "p", "q"], "p"]),
        goal(["if", ["or", "p", "q"], ["or", "q", "p"]]),
        goal("q", "false"),
        goal("false", NOT_P, "p"),
        goal(["if", ["if", ["or", "p", NOT_P], "false"], "false"]),
        goal("r", ["if", ["or", "p", "q"], "r"], "q"),
        goal("r", ["if", ["and", "p", "q"], "r"], "p", "q"),
        goal("q", ["if", ["if", "p", "p"], "q"]),
    ],
)
def test_what_can_be_shown_is_shown_by_the_oracle(one: Any) -> None:
    task = Proof([one])
    assert task.holds([vote["action"] for _, vote in walk(task)])


@pytest.mark.parametrize(
    "one",
    [
        goal("p"),
        goal("q", ["if", "p", "q"]),
        goal(["or", "p", NOT_P]),
        goal(["if", ["if", ["if", "p", "q"], "p"], "p"]),  # Peirce's law: true in each world, and not shown here
        goal("p", ["if", ["if", "p", "false"], "false"]),
    ],
)
def test_what_cannot_be_shown_is_refused(one: Any) -> None:
    with pytest.raises(ValueError, match="goal 0 cannot be shown"):
        Proof([one])


def test_random_goals_hold_in_every_world_and_have_a_dead_end() -> None:
    task = Proof.random(30, seed=3)
    for one in task.goals:
        for values in product([False, True], repeat=3):
            world = dict(zip("pqr", values, strict=True))
            assert true(one["show"], world) or not all(true(known, world) for known in one["given"])
    types = [task.step_type(state) for state, _ in walk(task)]
    assert types.count("choice") >= 30
    assert task.goals != Proof.random(30, seed=4).goals


def test_only_legality_is_checked() -> None:
    start = goal(["or", "p", "q"], "q")
    task = Proof([start])
    for action, goals, reason in (
        (["right", 0], [goal("q", "q")], None),
        (["left", 0], [goal("p", "q")], None),  # legal, and a dead end
        (["close", 0], [], "illegal_step"),
        (["right", 1], [goal("q", "q")], "illegal_step"),
        (["right", 0], [goal("q")], "contradiction"),
        (["right", 0], [], "contradiction"),
    ):
        flag = task.validate([start], {"action": action, "next_state": goals})
        assert (flag and flag.reason) == reason
        assert Proof([start], checked=False).validate([start], {"action": action, "next_state": goals}) is None
    with pytest.raises(ValueError, match="no step leads on"):
        task.oracle([goal("p", "q")])


def test_steps_that_are_no_proof_do_not_hold() -> None:
    task = Proof([goal(["or", "p", "q"], "q")])
    assert task.holds([["right", 0], ["close", 0]])
    for steps in (
        [],
        [["right", 0]],
        [["close", 0]],
        [["right", 0], ["close", 0], ["close", 0]],
        [["left", 0], ["close", 0]],
    ):
        assert not task.holds(steps)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "no_step"),
        ('step = ["close", 0]', "no_goals"),
        ('step = ["close", true]\ngoals = []', "bad_step"),
        ('step = "close"\ngoals = []', "bad_step"),
        ('step = ["close", 0]\ngoals = {}', "bad_goals"),
        ('step = ["close", 0]\ngoals = [{"given": ["p"]}]', "bad_goals"),
        ('step = ["close", 0]\ngoals = [{"given": ["p"], "show": ["not", "p", "p"]}]', "bad_goals"),
        (
            'step = ["close", 0]\ngoals = [{"given": [], "show": ' + '["if", "p", ' * 40 + '"p"' + "]" * 40 + "}]",
            "bad_goals",
        ),
    ],
)
def test_what_is_no_step_is_flagged(text: str, reason: str) -> None:
    with pytest.raises(RedFlag) as flag:
        Proof.random(1).parse(text)
    assert flag.value.reason == reason


def test_prompts_and_answers_read_back() -> None:
    task = Proof.random(5, seed=2)
    assert isinstance(task, CanErr)
    task.parse(task.prompt(task.initial_state())[0].text)
    for state, vote in walk(task):
        seen = task.read_state(task.prompt(state))
        assert seen == state[:1]
        assert task.oracle(seen) == vote
        wrong = task.wrong_votes(state)
        assert len(wrong) >= 1
        for one in (vote, *wrong):
            assert task.parse(task.render(one)) == one
        assert vote not in wrong


def test_a_run_proves_what_a_chain_of_checked_single_samples_does_not() -> None:
    task = Proof.random(3, seed=1)
    voted = solve(task, "sim:error=0.2,alternatives=3,seed=1", k=4, max_steps=200)
    assert voted.status == "solved"
    assert task.holds(list(voted.actions()))
    assert voted.flagged > 0
    ends = {
        solve(task, f"sim:error=0.3,alternatives=3,seed={seed}", k=1, max_steps=200, first_temperature=0.1).status
        for seed in range(3)
    }
    assert "unresolved" in ends


@pytest.mark.parametrize(
    "goals", [[], [{}], [{"given": "p", "show": "p"}], [{"given": [], "show": ["and", "p"]}], ["p"]]
)
def test_what_is_no_goal_is_refused(goals: Any) -> None:
    with pytest.raises(ValueError, match="goal"):
        Proof(goals)


@pytest.mark.parametrize("bad", [0, True, 1001, "3"])
def test_no_such_number_of_theorems_is_refused(bad: Any) -> None:
    with pytest.raises(ValueError, match="theorems is a whole number"):
        Proof.random(bad)
