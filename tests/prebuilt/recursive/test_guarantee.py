"""A recursive run's line: each stage by its own p, or why it is not known."""

from __future__ import annotations

from math import prod

import pytest

from langgraph_maker import theory
from langgraph_maker.journal.tree_types import ROOT, DecidedStage, Stage, Tree
from langgraph_maker.prebuilt.recursive.guarantee import guarantee
from langgraph_maker.prebuilt.recursive.tree import new_tree, with_decision
from langgraph_maker.theory.mixture import equal


def decided(stage: Stage, shape: str, *, candidates: int = 0) -> DecidedStage:
    margin = int(shape.split(":")[2])
    return {
        "stage": stage,
        "margin": margin,
        "samples": int(shape.split(":", maxsplit=1)[0]),
        "candidates": candidates,
        "tier": 0,
        "human": False,
        "shape": shape,
    }


def tree_of(*stages: DecidedStage) -> Tree:
    tree = new_tree("12 * 3")
    for one in stages:
        tree = with_decision(tree, ROOT, one)
    return tree


def leaves(shapes: dict[str, int]) -> Tree:
    """A root whose parts are solved, one ballot each."""
    tree = new_tree("12 * 3")
    for place, shape in enumerate(shape for shape, count in shapes.items() for _ in range(count)):
        name = f"1.{place + 1}"
        leaf = {**tree[ROOT], "id": name, "parent": ROOT, "decided": [decided("solve", shape)], "children": []}
        tree = {**tree, name: leaf}  # type: ignore[dict-item]
        tree = {**tree, ROOT: {**tree[ROOT], "children": [*tree[ROOT]["children"], name]}}
    return tree


def test_before_anything_is_decided_there_is_no_number() -> None:
    assert guarantee(new_tree("12 * 3")) == "no stage is decided yet"


def test_each_stage_has_a_p_of_its_own() -> None:
    shapes = {"3:3:3": 80, "5:4:3": 15, "7:5:3": 5}
    p = equal(shapes)
    assert p is not None
    said = guarantee(leaves(shapes))
    expected = prod([theory.p_correct(p, 3)] * 100)
    assert float(said.split("probability ")[1].split(" ")[0]) == pytest.approx(expected, abs=0.011)
    assert said.startswith("no error in 100 stages with probability")
    assert f"solve {p:.3f} of 100 ballots" in said
    assert said.endswith("not known without the assumption of problems that are alike, and no bound is known")


def test_with_few_lost_votes_at_a_stage_it_is_not_known() -> None:
    said = guarantee(leaves({"3:3:3": 20, "5:4:3": 2}))
    assert said.startswith("not known: too few ballots have a lost vote")
    assert "2 of 22 (solve)" in said
    assert said.endswith("no bound is known")


def test_an_easy_run_has_a_figure_at_the_lower_bound_of_p() -> None:
    """And says that it is not known, since a cache would look the same."""
    said = guarantee(leaves({"3:3:3": 20}))
    assert said.startswith("not known: too few ballots have a lost vote")
    figure = float(said.split("probability ")[1].split(",")[0])
    assert figure == pytest.approx(theory.p_correct(0.05 ** (1 / 60), 3) ** 20, abs=0.001)


def composed(node_id: str, compose: str, check: str, *children: str) -> Tree:
    node = new_tree("12 * 3")[ROOT]
    stages = [decided("compose", compose), decided("check", check)]
    return {node_id: {**node, "id": node_id, "decided": stages, "children": [*children]}}


def test_a_check_has_no_credit_for_wrong_answers_that_it_was_never_shown() -> None:
    """A check that says "right" of all there is has few lost votes, and refutes nothing."""
    names = [f"1.{place}" for place in range(1, 40)]
    tree = composed(ROOT, "7:5:3", "5:4:3", *names)
    for place, name in enumerate(names):
        tree |= composed(name, "5:4:3" if place % 2 else "7:5:3", "5:4:3" if place % 3 else "3:3:3")
    p = equal({"5:4:3": 19, "7:5:3": 21})
    assert p is not None
    said = guarantee(tree)
    assert said.startswith("no error in 40 stages with probability")
    assert float(said.split("probability ")[1].split(" ")[0]) == pytest.approx(theory.p_correct(p, 3) ** 40, abs=0.011)
    assert "checks have no credit in it" in said


def test_of_a_choice_made_twice_in_a_node_both_count() -> None:
    """One among splits, and one among answers that were composed."""
    stages = [
        decided("propose", "5:2:0", candidates=2),
        decided("choose", "3:3:3"),
        decided("compose", "5:2:0", candidates=2),
        decided("choose", "3:3:3"),
    ]
    assert "no error in 2 stages" in guarantee(tree_of(*stages))


def test_all_ballots_say_what_p_is_also_those_of_ways_that_were_refuted() -> None:
    tree = leaves({"3:3:3": 20})
    lost = {**tree["1.1"], "id": "1.99", "decided": [decided("solve", "5:4:3")] * 15}
    assert "15 of 35" not in guarantee({**tree, "1.99": lost})  # type: ignore[dict-item]
    assert "of 35 ballots" in guarantee({**tree, "1.99": lost})  # type: ignore[dict-item]


def test_before_there_is_an_answer_it_is_not_known() -> None:
    assert guarantee(leaves({"3:3:3": 80, "5:4:3": 15}), answered=False).startswith("not known yet: 95 stages")


def test_what_a_higher_tier_decided_or_slow_answers_were_left_out_of_has_no_number() -> None:
    above: DecidedStage = {**decided("solve", "3:3:3"), "tier": 1}
    slow: DecidedStage = {**decided("solve", "3:3:3"), "timeouts": 2}
    assert "1 of its 1 stages were decided above the first tier" in guarantee(tree_of(above))
    assert "latency bias possible, 2 samples timed out" in guarantee(tree_of(slow))


def test_where_problems_of_a_stage_differ_it_is_not_known() -> None:
    said = guarantee(leaves({"3:3:3": 190, "5:4:3": 3, "7:5:3": 3, "11:7:3": 2, "15:9:3": 2}))
    assert said.startswith(
        "not known: its ballots suggest that problems differ in how hard they are at a stage (solve)"
    )
    assert "if all were alike, no error in 200 stages with probability" in said


def test_what_a_human_decided_has_no_number() -> None:
    human: DecidedStage = {**decided("solve", "3:3:3"), "human": True}
    assert guarantee(tree_of(decided("atomic", "3:3:3"), human)) == "not known: a human decided 1 of its 2 stages"


def test_answers_that_became_candidates_are_no_decision() -> None:
    assert guarantee(tree_of(decided("propose", "5:2:0", candidates=4))) == "no stage is decided yet"
