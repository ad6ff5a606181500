"""What microagents are asked at each stage, and which answers cannot be."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import ValidationError
from staged import question_in

from langgraph_maker.journal.tree_types import Stage
from langgraph_maker.prebuilt.recursive.stages import INSTRUCTIONS, SCHEMAS, StageQuestion, Stages

STAGES = Stages()
GOOD: dict[str, dict[str, Any]] = {
    "atomic": {"atomic": True},
    "solve": {"answer": "6"},
    "propose": {"subproblems": ["1", "2"], "compose": "{1} {2}"},
    "choose": {"choice": 1},
    "compose": {"answer": "6"},
    "check": {"right": False},
}


def split(*parts: str, compose: str | None = None) -> dict[str, Any]:
    places = " ".join(f"{{{place}}}" for place in range(1, len(parts) + 1))
    return {"subproblems": [*parts], "compose": places if compose is None else compose}


def flag(vote: dict[str, Any], problem: str = "Who won, and why?", above: tuple[str, ...] = ()) -> str | None:
    question: StageQuestion = {"stage": "propose", "problem": problem, "above": [*above], "at_most": 8}
    found = STAGES.validate(question, vote)
    return found.reason if found else None


@pytest.mark.parametrize("stage", SCHEMAS)
class TestEveryStage:
    def test_is_read_as_its_prompt_asks(self, stage: Stage) -> None:
        assert STAGES.read(stage, json.dumps(GOOD[stage])) == GOOD[stage]
        for name in GOOD[stage]:
            assert f'"{name}": ' in INSTRUCTIONS[stage]

    def test_reasoning_is_no_part_of_the_vote(self, stage: Stage) -> None:
        assert STAGES.read(stage, json.dumps({"reasoning": "Hm, [so]", **GOOD[stage]})) == GOOD[stage]

    @pytest.mark.parametrize("text", ["", "{}", "[]", "null", "{", '{"atomic": "maybe"}', "[" * 10_000])
    def test_what_is_no_answer_is_refused(self, stage: Stage, text: str) -> None:
        with pytest.raises(ValidationError):
            STAGES.read(stage, text)

    def test_other_fields_are_refused(self, stage: Stage) -> None:
        with pytest.raises(ValidationError):
            STAGES.read(stage, json.dumps({**GOOD[stage], "note": 1}))

    @pytest.mark.parametrize("problem", ['f([1, (2, 3)], {"a": "b"}), then "x{1}"', "two\nlines\u2028", "é, 漢, }"])
    def test_a_problem_arrives_as_it_is(self, stage: Stage, problem: str) -> None:
        assert question_in(str(STAGES.ask({"stage": stage, "problem": problem})))["problem"] == problem


def test_commas_and_brackets_in_a_subproblem_are_its_own() -> None:
    vote = split("max([1, 2], key=f)", 'say "a, {b}", (c)')
    assert STAGES.read("propose", json.dumps(vote)) == vote
    assert flag(vote) is None


def test_numbers_are_texts_and_words_are_no_truth_values() -> None:
    assert STAGES.read("solve", '{"answer": 6}') == {"answer": "6"}
    with pytest.raises(ValidationError):
        STAGES.read("atomic", '{"atomic": "yes"}')


@pytest.mark.parametrize(
    "text",
    [
        '{"answer": "1", "answer": "2"}',
        '{"reasoning": "", "answer": "1", "reasoning": "", "answer": "1"}',
        '{"answer": NaN}',
        '{"answer": Infinity}',
        '{"answer": 1e400}',
        '{"answer": -1e400}',
    ],
)
def test_what_can_be_read_in_two_ways_is_no_answer(text: str) -> None:
    with pytest.raises(ValueError, match="."):
        STAGES.read("solve", text)


@pytest.mark.parametrize("stage", ["solve", "compose"])
@pytest.mark.parametrize(("answer", "empty"), [("", True), (" \n", True), ("\u200b", True), ("\0", True), ("0", False)])
def test_an_answer_says_something(stage: str, answer: str, empty: bool) -> None:
    flag = STAGES.validate({"stage": stage, "problem": "p"}, {"answer": answer})
    assert (flag and flag.reason) == ("empty_answer" if empty else None)


def test_white_space_in_a_subproblem_makes_no_other_split() -> None:
    one, other = split("a b", "c"), split(" a  b\n", "c")
    assert STAGES.vote_key(one) == STAGES.vote_key(other) != STAGES.vote_key(split("c", "a b"))


def test_white_space_around_an_answer_makes_no_other_answer() -> None:
    votes = [STAGES.read("solve", json.dumps({"answer": text})) for text in ("a b", " a b\n", "a  b")]
    assert votes[1] == {"answer": " a b\n"}
    assert STAGES.vote_key(votes[0]) == STAGES.vote_key(votes[1]) != STAGES.vote_key(votes[2])


@pytest.mark.parametrize("one", ["x", {"slove": "Answer."}, 5])
def test_a_paraphrase_is_of_stages_there_are(one: Any) -> None:
    with pytest.raises(ValueError, match=r"a paraphrase is from stages \(atomic, .*\) to texts, not "):
        Stages(paraphrases=[one])


class TestADecomposition:
    def test_of_simpler_problems_that_stand_alone(self) -> None:
        assert flag(split("Who won?", "Why did the winner win?")) is None

    @pytest.mark.parametrize("count", [0, 1, 9, 1000])
    def test_has_from_two_parts_to_the_limit(self, count: int) -> None:
        assert flag(split(*(f"part {place}" for place in range(count)))) == "breadth"

    def test_does_not_loop(self) -> None:
        assert flag(split("Who won,  and why?", "Who?")) == "cycle"
        assert flag(split("Who?", " What happened?"), above=("All about it.", "What happened?")) == "cycle"

    def test_gets_simpler(self) -> None:
        assert flag(split("Who?", "First: Who won, and why?")) == "not_simpler"

    def test_has_no_empty_part(self) -> None:
        assert flag(split("Who?", " ")) == "empty_subproblem"

    @pytest.mark.parametrize(
        "part",
        [
            "Add 2 to the answer of subproblem 1",
            "Explain {1}",
            "Double the previous result",
            "The sum of the other answers",
            "Take result #2 and negate it",
            "Double what the other one gives",
            "Twice the solution of part 1",
            "Add 3 to step 1's output",
            "Multiply that by 3",
            "The first answer and 3",
        ],
    )
    def test_has_no_part_that_refers_to_another(self, part: str) -> None:
        assert flag(split("Who won?", part)) == "sibling"

    @pytest.mark.parametrize(
        "part", ["the first answer sheet: ab", "Step 1 of the recipe", "Multiply 3 by 4", "The other half of the apple"]
    )
    def test_may_speak_of_other_things(self, part: str) -> None:
        assert flag(split("Who won?", part)) is None

    def test_may_repeat_what_the_problem_says(self) -> None:
        problem = "What was the previous result, and when?"
        assert flag(split("What was the previous result?", "When?"), problem) is None

    @pytest.mark.parametrize("compose", ["", "{1}", "{2} and {2}", "{1} {2} {3}", "both", "{0} {1} {2}"])
    def test_composes_all_parts_and_nothing_else(self, compose: str) -> None:
        assert flag(split("Who?", "Why?", compose=compose)) == "ignored_part"
