"""Variants of prompts: no two alike, out of range refused."""

from __future__ import annotations

from math import perm
from runpy import run_path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from paths import ROOT

from langgraph_maker.core.task import HasVariants
from langgraph_maker.core.variants import examples, pick
from langgraph_maker.tasks import TowersOfHanoi


def test_a_variant_has_its_own_template() -> None:
    assert [pick(["a", "b", "c"], variant) for variant in range(3)] == ["a", "b", "c"]


@pytest.mark.parametrize("variant", [-1, 3, True, 1.0, None, "0"])
def test_a_variant_out_of_range_is_refused_with_the_range(variant: Any) -> None:
    with pytest.raises(ValueError, match="variant is a whole number from 0 to 2, not"):
        pick(["a", "b", "c"], variant)
    with pytest.raises(ValueError, match="variant is a whole number from 0 to 2, not"):
        examples("abc", 1, variant)


@pytest.mark.parametrize("count", [0, 4, True, 1.0, None])
def test_no_more_examples_than_there_are(count: Any) -> None:
    with pytest.raises(ValueError, match="count is a whole number from 1 to 3, the examples there are, not"):
        examples("abc", count, 0)


@pytest.mark.parametrize(("size", "count"), [(size, count) for size in range(1, 7) for count in range(1, size + 1)])
def test_no_two_variants_show_the_same_and_the_first_shows_the_first(size: int, count: int) -> None:
    shown = [tuple(examples(range(size), count, variant)) for variant in range(perm(size, count))]
    assert len(set(shown)) == len(shown)
    assert all(len(set(chosen)) == count for chosen in shown)
    assert shown[0] == tuple(range(count))


@given(st.integers(1, 40).flatmap(lambda size: st.tuples(st.just(size), st.integers(1, size))))
def test_variants_show_other_examples_while_there_are_any_and_begin_with_each_in_turn(sizes: tuple[int, int]) -> None:
    size, count = sizes
    shown = [one for variant in range(size // count) for one in examples(range(size), count, variant)]
    assert len(set(shown)) == len(shown)
    first = [examples(range(size), count, variant)[0] for variant in range(size)]
    assert sorted(first) == list(range(size))


def test_the_example_of_a_task_of_one_s_own_is_varied() -> None:
    addition = run_path(str(ROOT / "examples" / "long_addition.py"))["LongAddition"]
    task = addition(98765, 4321)
    assert isinstance(addition(98765, 4321), HasVariants)
    state = task.initial_state()
    prompts = [task.prompt(state, variant)[0].text for variant in range(task.variants)]
    assert len(set(prompts)) == task.variants
    assert task.prompt(state)[0].text == prompts[0]
    for variant, text in enumerate(prompts):
        shown = task.read_state(task.prompt(state, variant))
        assert shown == {"columns": state["columns"][-1:], "carry": 0}
        for line in text.splitlines()[1:-1]:
            column, answer = line.split(": ", 1)
            top, bottom, carry = map(int, column.split(" + "))
            assert task.parse(answer) == task.oracle({"columns": [[top, bottom]], "carry": carry})
    with pytest.raises(ValueError, match="from 0 to"):
        task.prompt(state, 10_000)


def test_a_task_with_one_prompt_is_not_varied() -> None:
    class Plain(TowersOfHanoi):
        def __init__(self) -> None:
            super().__init__(3)
            del self.variants

    assert not isinstance(Plain(), HasVariants)
