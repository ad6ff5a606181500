"""How votes make the tree grow."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from langgraph_maker.journal.tree_types import Tree
from langgraph_maker.prebuilt.recursive.tree import ask, converge, depth, grow, new_tree, offer, waiting


def key(problem: str) -> str:
    return problem


def split(tree: Tree, node_id: str, *parts: str) -> Tree:
    tree = grow(tree, node_id, {"atomic": False}, key)
    return converge(grow(tree, node_id, {"subproblems": [*parts], "compose": "{1}{2}"}, key))


def solved(tree: Tree, node_id: str, answer: str) -> Tree:
    return converge(grow(grow(tree, node_id, {"atomic": True}, key), node_id, {"answer": answer}, key))


def asked(tree: Tree) -> dict[str, str]:
    return {node["id"]: node["stage"] for node in waiting(tree)}


def test_a_problem_goes_through_its_stages() -> None:
    tree = split(new_tree("ab"), "1", "a", "b")
    assert asked(tree) == {"1.1": "atomic", "1.2": "atomic"}
    tree = solved(tree, "1.2", "B")
    assert asked(tree) == {"1.1": "atomic"}
    tree = solved(tree, "1.1", "A")
    assert asked(tree) == {"1": "compose"}
    parts = [{"problem": "a", "answer": "A"}, {"problem": "b", "answer": "B"}]
    composed = {"stage": "compose", "problem": "ab", "how": "{1}{2}", "parts": parts}
    assert ask(tree, tree["1"], 8) == composed
    tree = grow(tree, "1", {"answer": "AB"}, key)
    assert ask(tree, tree["1"], 8) == {**composed, "stage": "check", "answer": "AB"}
    assert grow(tree, "1", {"right": True}, key)["1"]["stage"] == "done"


def test_a_choice_is_what_was_chosen() -> None:
    tree = grow(new_tree("ab"), "1", {"atomic": False}, key)
    candidates = [{"subproblems": [one, "x"], "compose": "{1}{2}"} for one in "ab"]
    tree = offer(tree, "1", candidates)
    assert ask(tree, tree["1"], 8) == {
        "stage": "choose",
        "problem": "ab",
        "of": "propose",
        "candidates": candidates,
    }
    tree = grow(tree, "1", {"choice": candidates[1]}, key)
    assert [tree[child]["problem"] for child in tree["1"]["children"]] == ["b", "x"]
    assert tree["1"]["candidates"] == []


def test_equal_problems_are_solved_once() -> None:
    tree = split(new_tree("abab"), "1", "ab", "ab")
    assert asked(tree) == {"1.1": "atomic"}
    tree = solved(tree, "1.1", "AB")
    assert (tree["1.2"]["answer"], asked(tree)) == ("AB", {"1": "compose"})


def test_what_is_solved_already_is_not_asked_again() -> None:
    tree = split(new_tree("top"), "1", "left", "right")
    tree = solved(tree, "1.1", "L")
    tree = split(tree, "1.2", "left", "new")
    assert (tree["1.2.1"]["answer"], asked(tree)) == ("L", {"1.2.2": "atomic"})


def test_nothing_waits_for_itself() -> None:
    tree = split(new_tree("top"), "1", "p", "q")
    tree = split(tree, "1.1", "q", "x")
    assert tree["1.1.1"]["same_as"] == "1.2"
    tree = split(tree, "1.2", "p", "y")
    assert (tree["1.2.1"]["same_as"], tree["1.2.1"]["stage"]) == ("", "atomic")
    assert ask(tree, {**tree["1.2.1"], "stage": "propose"}, 8)["above"] == ["top", "q"]


def judged(tree: Tree, node_id: str, answer: str, *, right: bool) -> Tree:
    return converge(grow(grow(tree, node_id, {"answer": answer}, key), node_id, {"right": right}, key))


def two_that_share() -> Tree:
    """The left half has solved what the right one took over; beside them, one is the same as the right one."""
    tree = split(new_tree("top"), "1", "left", "right", "beside")
    tree = split(tree, "1.1", "shared", "l")
    tree = split(tree, "1.2", "shared", "shared", "r")
    tree = split(tree, "1.3", "right", "b")
    for node_id in ("1.1.1", "1.1.2", "1.2.3", "1.3.2"):
        tree = solved(tree, node_id, "?")
    tree = judged(tree, "1.2", "??", right=True)
    return judged(tree, "1.3", "???", right=True)


def test_what_hangs_on_a_refuted_way_is_asked_itself_and_all_above_it_anew() -> None:
    tree = two_that_share()
    assert (tree["1.2.1"]["same_as"], tree["1.3.1"]["same_as"], tree["1.3"]["stage"]) == ("1.1.1", "1.2", "done")
    tree = judged(tree, "1.1", "wrong", right=False)
    assert asked(tree) == {"1.1": "propose", "1.2.2": "atomic"}
    waiting_now = {one: tree[one]["stage"] for one in ("1", "1.2", "1.2.1", "1.3", "1.3.1")}
    assert waiting_now == {"1": "children", "1.2": "children", "1.2.1": "same", "1.3": "children", "1.3.1": "same"}
    tree = solved(tree, "1.2.2", "!")
    assert (tree["1.2.1"]["answer"], asked(tree)) == ("!", {"1.1": "propose", "1.2": "compose"})
    tree = judged(tree, "1.2", "!!", right=True)
    assert (tree["1.3.1"]["answer"], asked(tree)) == ("!!", {"1.1": "propose", "1.3": "compose"})


def test_another_way_takes_over_nothing_that_the_refuted_one_rested_on() -> None:
    tree = split(new_tree("top"), "1", "left", "right")
    tree = split(tree, "1.1", "shared", "l")
    tree = split(tree, "1.2", "shared", "r")
    for node_id in ("1.1.1", "1.1.2", "1.2.2"):
        tree = solved(tree, node_id, "?")
    tree = judged(tree, "1.1", "??", right=True)
    assert tree["1.2.1"]["same_as"] == "1.1.1"
    tree = judged(tree, "1.2", "wrong", right=False)
    again = {"subproblems": ["shared", "shared", "deeper"], "compose": "{1}{2}{3}"}
    tree = converge(grow(tree, "1.2", again, key))
    assert [tree[one]["same_as"] for one in ("1.2.3", "1.2.4")] == ["", "1.2.3"]
    tree = split(tree, "1.2.5", "left", "l")
    assert asked(tree) == {"1.2.3": "atomic", "1.2.5.1": "atomic"}, (
        "what the left one rests on is not taken over either"
    )
    assert tree["1.2.5.2"]["same_as"] == "1.1.2"


@settings(max_examples=40)
@given(st.data())
def test_there_is_always_something_to_ask_until_the_root_is_done(data: st.DataObject) -> None:
    tree = new_tree("root")
    for _ in range(2000):
        if not (nodes := waiting(tree)):
            break
        node = data.draw(st.sampled_from(nodes))
        proposing = node.copy()
        proposing["stage"] = "propose"
        above = {*ask(tree, proposing, 8)["above"], node["problem"]}
        problems = [name for name in "abcde" if name not in above]
        vote: Any = {"atomic": len(problems) < 2 or data.draw(st.booleans()), "answer": "x", "right": True}
        if node["stage"] == "propose":
            vote |= {"subproblems": data.draw(st.lists(st.sampled_from(problems), min_size=2, max_size=3))}
            vote |= {"compose": ""}
        tree = converge(grow(tree, node["id"], vote, key))
    assert tree["1"]["stage"] == "done"
    assert depth(tree) <= 5
