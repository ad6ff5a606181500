"""What the domains have in common: prompts that read back, robust parsers, runs that solve, p_full as predicted."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from math import prod
from statistics import fmean
from typing import Any

import pytest
from domains import end_of, is_right, walk
from hypothesis import given, settings
from hypothesis import strategies as st

from langgraph_maker import RedFlag, solve, theory
from langgraph_maker.core.task import HasOracle
from langgraph_maker.simulation.answers import CanErr, CanWrite
from langgraph_maker.tasks import DictionarySum, Ledger, Multiplication, Sorting
from langgraph_maker.tasks.wording import said
from langgraph_maker.theory.intervals import exact_interval

DOMAINS: dict[str, Callable[[int], Any]] = {
    "dictionary sum": lambda seed: DictionarySum.random(25, 12, seed=seed),
    "ledger": lambda seed: Ledger.random(25, 6, seed=seed),
    "multiplication": lambda seed: Multiplication.random(5, seed=seed),
    "sorting": lambda seed: Sorting.random(12, seed=seed),
}
each_domain = pytest.mark.parametrize("make", DOMAINS.values(), ids=DOMAINS)


@each_domain
def test_the_oracle_leads_to_the_result_in_at_most_the_steps_that_the_task_says(make: Any) -> None:
    for seed in range(10):
        task = make(seed)
        assert is_right(task, end_of(task))
        steps = sum(1 for _ in walk(task))
        assert steps <= task.steps
        assert steps == task.steps or isinstance(task, Sorting)


@each_domain
def test_each_way_to_ask_reads_back_to_the_same_question(make: Any) -> None:
    task = make(3)
    assert task.variants >= 3
    for state, vote in walk(task):
        asked = [task.prompt(state, variant) for variant in range(task.variants)]
        assert len({messages[0].text for messages in asked}) == task.variants
        for variant, messages in enumerate(asked):
            seen = task.read_state(messages)
            assert task.prompt(seen, variant) == messages
            assert task.oracle(seen) == vote
            assert task.wrong_votes(seen) == task.wrong_votes(state)
            assert task.step_type(seen) == task.step_type(state)


@each_domain
def test_a_prompt_does_not_grow_with_the_task(make: Any) -> None:
    small, large = make(1), type(make(1)).random(300, seed=1)
    lengths = [max(len(task.prompt(state)[-1].text) for state, _ in islice(walk(task), 50)) for task in (small, large)]
    assert lengths[1] < lengths[0] + 20


@each_domain
def test_answers_read_back_and_wrong_ones_are_other_votes(make: Any) -> None:
    task = make(2)
    for capability in (HasOracle, CanErr, CanWrite):
        assert isinstance(task, capability)
    for state, vote in walk(task):
        wrong = task.wrong_votes(state)
        keys = [task.vote_key(one) for one in (vote, *wrong)]
        assert len(wrong) >= 2
        assert len(set(keys)) == len(keys)
        for one in (vote, *wrong):
            assert task.parse(task.render(one)) == one
            task.advance(state, one)
        assert [task.validate(state, one) for one in (vote, wrong[0])] == [None, None]
        flags = {flag.reason for one in wrong if (flag := task.validate(state, one)) is not None}
        assert flags <= ({"contradiction"} if isinstance(task, Sorting) else set())


@each_domain
def test_every_instruction_shows_an_answer_that_the_parser_reads(make: Any) -> None:
    """A prompt and a parser that disagree would throw every response away."""
    task = make(1)
    for variant in range(task.variants):
        instructions = task.prompt(task.initial_state(), variant)[0].text
        example = instructions.rpartition("\n\n")[0]
        task.parse(example)


@each_domain
def test_no_text_breaks_a_parser(make: Any) -> None:
    task = make(0)
    names = {
        "dictionary-sum": ("<answer>", "</answer>"),
        "ledger": ("decision", "balances"),
        "multiplication": ("digit", "carry"),
        "sorting": ("take", "number"),
    }
    json_texts = st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
        max_leaves=5,
    ).map(str)
    values = json_texts | st.sampled_from(["07", "[" * 200, "9" * 500, '"left"', '"applied"', "5", '{"a": 1}', "1e400"])
    lines = st.lists(st.tuples(st.sampled_from(names[task.name]), values), max_size=4)

    @settings(max_examples=60, deadline=None)
    @given(lines, st.text(max_size=20))
    def check(lines: list[tuple[str, str]], noise: str) -> None:
        text = "\n".join(f"{name} = {value}" for name, value in lines) + noise
        try:
            vote = task.parse(text)
        except (RedFlag, ValueError):
            return
        task.vote_key(vote)

    check()


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("digit = 3", 3),
        ("**Digit = 3**", 3),
        ("digit = 1\nno, `digit = 3`", 1),
        ("digit = 1\nDIGIT = 3", 3),
        ("`digit` = `3`", 3),
        ("the digit = 3", "no_digit"),
        ("digits = 3", "no_digit"),
        ("digit: 3", "no_digit"),
        ("digit = 3\ndigit = three", "bad_digit"),
        ("digit = 03", "bad_digit"),
        ("digit =", "bad_digit"),
        (" " * 100_000 + "digit = 3", 3),
        ("digit = " + "[" * 100_000, "bad_digit"),
    ],
)
def test_named_lines(text: str, values: Any) -> None:
    if isinstance(values, str):
        with pytest.raises(RedFlag) as flag:
            said(text, "digit")
        assert flag.value.reason == values
        assert len(flag.value.detail) < 200
    else:
        assert said(text, "digit") == [values]


@each_domain
def test_a_run_solves_it_with_a_model_that_errs_and_is_flagged(make: Any) -> None:
    task = make(7)
    run = solve(task, "sim:error=0.1,flag=0.05,alternatives=3", k=6)
    assert run.status == "solved"
    assert run.flagged > 0
    assert is_right(task, run.final_state)


@each_domain
def test_a_run_goes_on_only_with_the_same_input(make: Any) -> None:
    parameters = [make(seed).parameters() for seed in (1, 2)]
    assert parameters[0] == make(1).parameters()
    assert parameters[0] != parameters[1]
    assert len(str(type(make(1)).random(2000).parameters())) < 5000


def observed(make: Any, runs: int, k: int, error: float) -> tuple[int, float]:
    """Of so many runs, those without a wrong step, and how many theory expects.

    All wrong samples of a step agree, the worst case, which is that of Eq 9; no first vote is drawn otherwise. Which
    wrong answer a step has is drawn among its likely ones: where that is flagged, the step cannot go wrong.
    """
    right = theory.p_correct(1 - error, k)
    flawless, expected = 0, 0.0
    for seed in range(runs):
        task = make(seed)
        run = solve(task, f"sim:error={error},seed={seed}", k=k, first_temperature=0.1)
        assert run.status == "solved"
        actions = [vote["action"] for _, vote in walk(task)]
        flawless += is_right(task, run.final_state) and list(run.actions()) == actions
        chances = [
            [right if task.validate(state, wrong) is None else 1 for wrong in task.wrong_votes(state)]
            for state, _ in walk(task)
        ]
        expected += prod(map(fmean, chances))
    return flawless, expected


@each_domain
@pytest.mark.slow
def test_as_many_runs_fail_as_predicted(make: Any) -> None:
    """At a k too small for the task; false with a probability of 1 in 10,000."""
    runs = 300
    flawless, expected = observed(make, runs, k=2, error=0.1)
    assert 0.2 < expected / runs < 0.9  # failures happen, or the test would tell nothing
    low, high = exact_interval(flawless, runs, 0.9999)
    assert low < expected / runs < high


def test_random_tasks_are_what_they_are_called() -> None:
    assert len(str(Multiplication.random(9, seed=1).a)) == 9
    assert Multiplication.random(9, seed=1).a != Multiplication.random(9, seed=2).a
    numbers = Sorting.random(500, seed=1).numbers
    assert len(numbers) == 500
    assert min(numbers) < 0
    assert len(set(numbers)) < 500
    actions = [vote["action"] for _, vote in walk(Ledger.random(2000, 50, seed=1))]
    assert 0.02 < actions.count("declined") / 2000 < 0.1


@pytest.mark.parametrize("factory", [Multiplication.random, Sorting.random, Ledger.random, DictionarySum.random])
@pytest.mark.parametrize("bad", [0, -1, True, 2.5, "7"])
def test_a_random_task_of_no_size_is_refused(factory: Any, bad: Any) -> None:
    with pytest.raises(ValueError, match="at least"):
        factory(bad)
