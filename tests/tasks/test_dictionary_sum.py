"""Dictionary sum: the published format, turns, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest
from domains import is_right

from langgraph_maker import RedFlag, solve
from langgraph_maker.core.grouped import Grouped
from langgraph_maker.tasks import DictionarySum

FRUIT = {"apple": 5, "grape": -4}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("<answer>-4</answer>", -4),
        ("0 + 5 is <Answer> 5 </answer>, no: <answer>6</answer>.", 6),
        ("-4", "no_answer"),
        ("<answer>5</answer> or <answer>five</answer>", "bad_answer"),
        ("<answer>5</answer> or <answer>6", "bad_answer"),
        ("<answer>07</answer>", "bad_answer"),
        ("<answer>5.0</answer>", "bad_answer"),
        ("<answer>true</answer>", "bad_answer"),
        ("<answer>[5]</answer>", "bad_answer"),
        ("<answer></answer>", "bad_answer"),
        (f"<answer>{10**30}</answer>", "bad_answer"),
        ("<answer>" * 50_000, "bad_answer"),
    ],
)
def test_the_last_answer_in_tags_counts(text: str, value: Any) -> None:
    task = DictionarySum(FRUIT, ["grape"])
    if isinstance(value, str):
        with pytest.raises(RedFlag) as flag:
            task.parse(text)
        assert flag.value.reason == value
        assert len(flag.value.detail) < 200
    else:
        assert task.parse(text)["next_state"] == value


def test_a_microagent_sees_the_dictionary_and_the_keys_of_its_turn_only() -> None:
    task = DictionarySum.random(50, 20, turn=3)
    instructions, last = task.prompt(task.initial_state())
    assert all(f'"{word}": {value}' in instructions.text for word, value in task.dictionary.items())
    assert f'keys: ["{task.keys[0]}", "{task.keys[1]}", "{task.keys[2]}"]' in last.text
    assert instructions == task.prompt(task.advance(task.initial_state(), {"action": 1, "next_state": 1}))[0]


def test_what_the_model_wrote_is_handed_on() -> None:
    task = DictionarySum(FRUIT, ["grape", "apple"])
    state = task.advance(task.initial_state(), {"action": 70, "next_state": 70})
    assert state == {"sum": 70, "done": 1, "keys": ["apple"]}
    assert task.oracle(state)["next_state"] == 75


def test_turns_are_steps_per_subtask() -> None:
    task = DictionarySum.random(20, 10, turn=4, seed=2)
    run = solve(task, "sim:error=0.02", k=5, steps_per_subtask=4)
    assert (run.status, run.steps) == ("solved", 5)
    assert is_right(task, run.final_state)
    assert Grouped(task, 4).steps == 5


@pytest.mark.parametrize(
    ("dictionary", "keys", "turn", "message"),
    [
        (FRUIT, [], 1, "at least one word"),
        (FRUIT, "apple", 1, "at least one word"),
        (FRUIT, ["apple", "kiwi"], 1, "key 1, 'kiwi', is not in the dictionary"),
        (FRUIT, [["apple"]], 1, "key 0"),
        ({"a\nb": 1}, ["a\nb"], 1, "printable"),
        ({"": 1}, [""], 1, "printable"),
        ({"apple": 1.5}, ["apple"], 1, "the value of 'apple' is a whole number"),
        ({"apple": True}, ["apple"], 1, "the value of 'apple' is a whole number"),
        ({"apple": 10**13}, ["apple"], 1, "the value of 'apple'"),
        (FRUIT, ["apple"], 0, "turn is a whole number of at least 1, not 0"),
    ],
)
def test_what_cannot_be_summed_is_refused_and_named(dictionary: Any, keys: Any, turn: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        DictionarySum(dictionary, keys, turn=turn)


def test_a_step_is_of_a_type_by_what_the_value_does() -> None:
    task = DictionarySum({**FRUIT, "fig": 0}, ["grape", "apple", "fig", "apple"])
    state, types = task.initial_state(), []
    while not task.is_done(state):
        types.append(task.step_type(state))
        state = task.advance(state, task.oracle(state))
    assert types == ["negative value", "crosses zero", "adds nothing", "positive value"]
