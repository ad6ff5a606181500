"""A library written function by function: what is flagged, what is one answer, and the truth that ships."""

from __future__ import annotations

from typing import Any

import pytest
from domains import walk
from langgraph.store.memory import InMemoryStore
from scripted import scripts
from trusted import trusted
from typer.testing import CliRunner

from langgraph_maker import RedFlag, solve
from langgraph_maker.cli import app
from langgraph_maker.core.errors import MakerError
from langgraph_maker.core.sandbox import Sandbox
from langgraph_maker.simulation.answers import CanErr, CanReword, Simulation
from langgraph_maker.simulation.profiles import Profile
from langgraph_maker.tasks.program_library import LIBRARY, Function, KnownFunction
from langgraph_maker.tasks.programs import ProgramLibrary, Programs

DOUBLE = Function(signature="def double(x)", docstring="Return twice x.", probes=[[3], [-1]])
TWICE = Function(signature="def twice_over(x)", docstring="Return four times x.", probes=[[3]], uses=("double",))
FIRST = "def double(x):\n    return 2 * x"
SECOND = "def twice_over(x):\n    return double(double(x))"


def fenced(*sources: str) -> str:
    return "Here it is.\n```python\n" + "\n\n\n".join(sources) + "\n```"


@pytest.fixture
def task() -> Programs:
    return Programs([DOUBLE, TWICE], sandbox=trusted)


def test_later_functions_are_shown_the_voted_earlier_ones(task: Programs) -> None:
    state = task.advance(task.initial_state(), task.parse(fenced(FIRST)))
    assert state == {"done": 1, "library": {"double": FIRST}}
    assert FIRST in task.prompt(state)[-1].text
    vote = task.parse(fenced(FIRST, SECOND))
    assert task.validate(state, vote) is None
    after = task.advance(state, vote)
    assert task.is_done(after)
    assert task.source(after) == f"{FIRST}\n\n\n{SECOND}\n\n\n"


def test_what_does_the_same_is_one_answer_however_it_is_written(task: Programs) -> None:
    keys = [
        task.vote_key(task.parse(fenced(one)))
        for one in (FIRST, "def double(x):\n    # again\n    return x + x", "def double(x):\n    return x * x")
    ]
    assert keys[0] == keys[1] != keys[2]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (FIRST, "no_program"),
        (fenced(FIRST)[:-1], "no_program"),
        (fenced(FIRST) + "\n```", "no_program"),
        (fenced("print(1)", FIRST), "bad_program"),
        (fenced(FIRST, "double(3)"), "bad_program"),
        (fenced(FIRST, "@cache\ndef twice_over(x):\n    return 1"), "bad_program"),
        (fenced("class A:\n    pass"), "bad_program"),
        (fenced(""), "bad_program"),
        (fenced("def double(x):\n    return " + "-" * 50_000 + "x"), "bad_program"),
        ("```" * 50_002, "bad_program"),
    ],
)
def test_what_is_no_program_of_functions_is_flagged(task: Programs, text: str, reason: str) -> None:
    with pytest.raises(RedFlag) as flag:
        task.parse(text)
    assert flag.value.reason == reason
    assert len(flag.value.detail) < 250


@pytest.mark.parametrize(
    ("sources", "reason"),
    [
        ((FIRST, SECOND), None),
        ((SECOND,), None),  # which fails when it is run, see below
        ((FIRST.replace("2", "3"), SECOND), "changed_function"),
        ((FIRST,), "other_function"),
        ((FIRST, SECOND.replace("(x)", "(y)", 1)), "other_function"),
        ((FIRST, FIRST, SECOND), "other_function"),
        (("def helper(x):\n    return x", SECOND), "other_function"),
    ],
)
def test_another_function_or_a_changed_one_is_flagged(task: Programs, sources: Any, reason: str | None) -> None:
    state = task.advance(task.initial_state(), task.parse(fenced(FIRST)))
    flag = task.validate(state, task.parse(fenced(*sources)))
    assert (flag and flag.reason) == reason


def test_a_program_that_fails_on_a_probe_is_flagged_by_its_error(task: Programs) -> None:
    with pytest.raises(RedFlag, match="program_failed: NameError"):
        task.vote_key(task.parse(fenced(SECOND)))


def test_a_run_hands_on_the_source_that_was_cast_first_among_equals_and_resumes(task: Programs) -> None:
    plus, triple = "def double(x):\n    return x + x", "def double(x):\n    return 3 * x"
    answers: dict[str, Any] = {
        "0": [fenced(one) for one in (triple, plus, FIRST, FIRST)],
        "1": [fenced(one, SECOND) for one in (FIRST, plus, plus)],  # the first copies what was not handed on
    }
    store = InMemoryStore()
    stopped = solve(task, scripts(answers), k=2, store=store, run_id="r", max_total_samples=4)
    assert (stopped.status, stopped.steps) == ("stopped", 1)
    run = solve(task, scripts(answers), k=2, store=store, run_id="r")
    assert (run.status, run.flagged) == ("solved", 1)
    assert run.final_state["library"] == {"double": plus, "twice_over": SECOND}


@pytest.mark.parametrize("functions", [[], [TWICE], [DOUBLE, DOUBLE]])
def test_a_library_that_cannot_be_written_in_order_is_refused(functions: Any) -> None:
    with pytest.raises(ValueError, match="at least one function|does not come before|two functions"):
        Programs(functions, sandbox=trusted)


@pytest.mark.parametrize(
    ("signature", "probes"), [("double(x)", [[1]]), ("def double", [[1]]), ("def 2(x)", [[1]]), ("def double(x)", [])]
)
def test_what_is_no_function_to_write_is_refused(signature: str, probes: Any) -> None:
    with pytest.raises(ValueError, match="a signature is|at least one probe"):
        Function(signature=signature, docstring="", probes=probes)


def test_without_a_sandbox_there_is_no_task(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda _: None)
    with pytest.raises(MakerError, match="there is no sandbox: bwrap is not installed"):
        ProgramLibrary()


def test_the_command_says_so_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda _: None)
    done = CliRunner().invoke(app, ["run", "programs"])
    assert done.exit_code == 1
    assert "there is no sandbox: bwrap is not installed" in " ".join(done.stderr.split())


@pytest.mark.parametrize("bad", [0, 21, True, "all"])
def test_a_library_of_no_such_size_is_refused(bad: Any) -> None:
    with pytest.raises(ValueError, match="from 1 to 20"):
        ProgramLibrary(bad, sandbox=trusted)


# what ships


def test_twenty_functions_ship() -> None:
    assert len({one.name for one in LIBRARY}) == 20
    assert all(len(one.right) >= 2 and len(one.slips) >= 2 and len(one.tests) >= 2 for one in LIBRARY)


@pytest.fixture(scope="module")
def right() -> dict[str, str]:
    """The right functions, all before each in front of it."""
    return {one.name: one.source(one.right[0]) for one in LIBRARY}


def results(known: KnownFunction, body: str, right: dict[str, str], inputs: Any) -> Any:
    before = "\n".join(source for name, source in right.items() if name != known.name)
    try:
        return trusted(known.name)(f"{before}\n{known.source(body)}", inputs)
    except RedFlag as flag:
        return flag.reason


@pytest.mark.parametrize("known", LIBRARY, ids=lambda one: one.name)
def test_right_forms_pass_the_truth_tests_and_slips_fail_them(known: KnownFunction, right: dict[str, str]) -> None:
    inputs, truth = [arguments for arguments, _ in known.tests], [result for _, result in known.tests]
    assert [results(known, body, right, inputs) for body in known.right] == [truth] * len(known.right)
    assert len({str(results(known, body, right, known.probes)) for body in known.right}) == 1
    assert all(results(known, body, right, inputs) != truth for body in known.slips)


def test_probes_tell_all_slips_but_three_from_what_is_right(right: dict[str, str]) -> None:
    missed = [
        known.name
        for known in LIBRARY
        for body in known.slips
        if results(known, body, right, known.probes) == results(known, known.right[0], right, known.probes)
    ]
    assert missed == ["is_prime", "rotate", "words"]


def test_prompts_read_back_and_answers_in_all_wordings_too() -> None:
    task = ProgramLibrary(sandbox=lambda _: lambda program, probes: [1])
    assert isinstance(task, CanErr)
    assert isinstance(task, CanReword)
    example = task.prompt(task.initial_state())[0].text
    assert task.parse(example)["next_state"] == "twice_over"
    for state, vote in walk(task):
        seen = task.read_state(task.prompt(state))
        assert task.prompt(seen) == task.prompt(state)
        assert task.oracle(seen) == vote
        assert task.step_type(seen) == task.step_type(state)
        assert task.render(vote) == task.wordings(vote)[0]
        texts = {text: task.parse(text) for text in task.wordings(vote)}
        assert len(texts) >= 2
        assert {one["next_state"] for one in texts.values()} == {vote["next_state"]}
        for one in [*texts.values(), *task.wrong_votes(state)]:
            assert task.validate(state, one) is None
        for one in task.wrong_votes(state):
            assert task.parse(task.render(one)) == one


def test_a_simulated_model_words_a_right_answer_in_several_ways() -> None:
    task = ProgramLibrary(3, sandbox=trusted)
    question = Simulation(task, Profile()).ask(task.prompt(task.initial_state()))
    drawn = [question.draw(number, 0.1).text for number in range(20)]
    assert set(drawn) == set(task.wordings(task.oracle(task.initial_state())))
    assert len({question.draw(number, 0.0).text for number in range(5)}) == 1


def test_a_run_decides_by_behaviour_what_differs_in_form() -> None:
    task = ProgramLibrary(4, sandbox=trusted)
    run = solve(task, "sim:error=0.15,flag=0.1,alternatives=3", k=3)
    assert run.status == "solved"
    assert run.flagged > 0
    assert task.failing(run.final_state, trusted) == []
    assert list(run.final_state["library"]) == [one.name for one in LIBRARY[:4]]


def test_what_no_probe_tells_apart_is_seen_by_the_truth_tests_alone() -> None:
    task = ProgramLibrary(9, sandbox=trusted)
    state = task.initial_state()
    while state["done"] < 8:
        state = task.advance(state, task.oracle(state))
    assert task.order[8] == "is_prime"
    missed = task.wrong_votes(state)[2]
    assert task.vote_key(missed) == task.vote_key(task.oracle(state))
    assert task.failing(task.advance(state, missed), trusted) == ["is_prime"]


@pytest.mark.sandbox
def test_in_the_sandbox_broken_programs_are_flagged_and_the_rest_is_decided() -> None:
    known = next(one for one in LIBRARY if one.name == "chunks")
    with pytest.raises(RedFlag, match="program_hung|program_failed"):
        Sandbox("chunks", seconds=1)(known.source(known.broken[0]), known.probes)
    task = ProgramLibrary(4)
    run = solve(task, "sim:error=0.1,flag=0.1,alternatives=3", k=2)
    assert (run.status, task.failing(run.final_state)) == ("solved", [])
