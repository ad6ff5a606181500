"""How each stage of a recursive maker is asked and read, and what is wrong with an answer on its face.

A question is a JSON object, and so is the answer: commas and brackets inside a subproblem are its own business.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final, TypeAlias

from langchain_core.messages import BaseMessage
from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictInt

from langgraph_maker.core.canonical import canonical, check_one_reading
from langgraph_maker.core.foreign import excerpt
from langgraph_maker.core.red_flags import RedFlag
from langgraph_maker.journal.tree_types import Stage

__all__ = [
    "INSTRUCTIONS",
    "SCHEMAS",
    "Answer",
    "Atomic",
    "Check",
    "Choice",
    "Decomposition",
    "StageQuestion",
    "Stages",
]


StageQuestion: TypeAlias = dict[str, Any]
"""All that one vote is about: its "stage", the "problem", and what that stage needs to know beside it."""


class _Reply(BaseModel):
    model_config = ConfigDict(extra="forbid", coerce_numbers_to_str=True)

    reasoning: str = Field("", description="A few words, before the answer; not part of the vote.")


class Atomic(_Reply):
    """Whether a problem can be answered in one small step."""

    atomic: StrictBool


class Answer(_Reply):
    """The answer to a problem, and nothing else."""

    answer: str


class Decomposition(_Reply):
    """Smaller problems, and how their answers {1}, {2}, … make the answer."""

    subproblems: list[str]
    compose: str


class Choice(_Reply):
    """The number of the best candidate, counted from 1."""

    choice: StrictInt


class Check(_Reply):
    """Whether an answer is right."""

    right: StrictBool


SCHEMAS: Final[Mapping[Stage, type[_Reply]]] = MappingProxyType(
    {
        "atomic": Atomic,
        "solve": Answer,
        "propose": Decomposition,
        "choose": Choice,
        "compose": Answer,
        "check": Check,
    }
)


def _form(fields: str) -> str:
    return f'\nAnswer with one JSON object: {{"reasoning": "<a few words>", {fields}}}.'


INSTRUCTIONS: Final[Mapping[Stage, str]] = MappingProxyType(
    {
        "atomic": "Can the problem be answered reliably in one small step, with no result in between?"
        + _form('"atomic": <true or false>'),
        "solve": "Answer the problem." + _form('"answer": "<the answer, and nothing else>"'),
        "propose": (
            'Split the problem into smaller ones, from 2 to "at_most" of them, each simpler than the problem itself.'
            " Whoever answers one sees neither the problem nor the others, so each says all that it needs, and none"
            " refers to another. Say how their answers make the answer to the problem; {1} stands for the answer to"
            ' the first, {2} for that to the second, and every one is needed. Those in "above" are being split already'
            " and must not come again."
        )
        + _form('"subproblems": ["…", "…"], "compose": "<with {1}, {2}, …>"'),
        "choose": (
            'Which of the "candidates" is best? They answer the question "of" that was asked about the problem:'
            ' "propose" asks to split it into simpler problems that stand on their own, and to say how their answers'
            ' {1}, {2}, … make its answer; "solve" and "compose" ask for its answer. Of those that are equally good,'
            " the one with the shortest text is best, and of these the one that comes first in the alphabet."
        )
        + _form('"choice": <number of the candidate, from 1>'),
        "compose": (
            'The problem was split into "parts", which have been answered. "how" says how their answers {1}, {2}, …'
            " make the answer to the problem."
        )
        + _form('"answer": "<the answer to the problem, and nothing else>"'),
        "check": (
            'The problem was split into "parts", which have been answered, and "how" says how their answers {1}, {2},'
            ' … make the answer to the problem. Is "answer" what follows from all of them, and does it answer the'
            " problem?"
        )
        + _form('"right": <true or false>'),
    }
)


@dataclass(frozen=True)
class Stages:
    """How each stage is asked and read; replace the texts, or methods in a subclass.

    Args:
        hint: What microagents should know about problems of this kind, at every stage.
        instructions: What each stage is asked; the question follows as JSON.
        tools: Whether models that can call tools are made to, so that answers fit. False for servers that refuse it.
        paraphrases: Other wordings of `instructions`, those of some stages or all: variants 1, 2, … of the prompts,
            which a ladder's tier may name.

    Raises:
        ValueError: For a paraphrase of another stage, or one that is no mapping.

    Example:
        >>> stages = Stages(hint="Numbers are decimal.")
        >>> print(stages.ask({"stage": "solve", "problem": "2 * [3, 4]"}))
        Answer the problem.
        Answer with one JSON object: {"reasoning": "<a few words>", "answer": "<the answer, and nothing else>"}.
        Numbers are decimal.
        <BLANKLINE>
        {"problem": "2 * [3, 4]"}
        >>> stages.read("solve", '{"answer": 6}')
        {'answer': '6'}
    """

    hint: str = ""
    instructions: Mapping[Stage, str] = field(default_factory=lambda: INSTRUCTIONS)
    tools: bool = True
    paraphrases: Sequence[Mapping[Stage, str]] = ()

    def __post_init__(self) -> None:
        """Refuse paraphrases of what is no stage."""
        for one in self.paraphrases:
            if not isinstance(one, Mapping) or not one.keys() <= SCHEMAS.keys():
                raise ValueError(f"a paraphrase is from stages ({', '.join(SCHEMAS)}) to texts, not {one!r:.200}")

    def accept(self, problem: str) -> None:
        """Raise a `ValueError` for a problem that cannot be solved this way, before anything is asked.

        The default takes every problem.
        """

    def ask(self, question: StageQuestion, variant: int = 0) -> Sequence[BaseMessage] | str:
        """Return φ: all that a microagent sees of a question."""
        stage = question["stage"]
        seen = {name: value for name, value in question.items() if name != "stage"}
        asked = self.instructions[stage]
        if variant:
            asked = self.paraphrases[variant - 1].get(stage, asked)
        told = [asked, *([_REFUTED] if "refuted" in question else []), *([self.hint] if self.hint else [])]
        return "\n".join([*told, "", json.dumps(seen, ensure_ascii=False)])

    def schema(self, stage: Stage) -> type[BaseModel]:
        """Return what answers must fit. One of your own keeps the fields of `SCHEMAS`."""
        return SCHEMAS[stage]

    def read(self, stage: Stage, text: str) -> Any:
        """Return ψ: from a response's text to a vote; a `RedFlag` or a `ValueError` where there is none."""
        vote = self.schema(stage).model_validate_json(text)
        check_one_reading(text)
        return vote.model_dump(mode="json", exclude={"reasoning"})

    def vote_key(self, vote: Any) -> str:
        """Return the key of a vote: those with equal keys are equal.

        The default ignores white space around an answer, and of subproblems what `key` does.
        """
        return canonical({name: self._plain(value) for name, value in vote.items()})

    def _plain(self, value: Any) -> Any:
        if isinstance(value, list):
            return [self.key(one) for one in value]
        return value.strip() if isinstance(value, str) else value

    def key(self, problem: str) -> str:
        """Return the key of a problem: those with equal keys are equal. The default ignores white space alone."""
        return " ".join(unicodedata.normalize("NFC", problem).split())

    def simpler(self, problem: str, than: str) -> bool:
        """Return whether a subproblem is simpler than what it was split from: by default, whether it is another."""
        return self.key(than) not in self.key(problem)

    def validate(self, question: StageQuestion, vote: Any) -> RedFlag | None:
        """Return a flag for an answer that cannot be one, whatever the truth is."""
        if question["stage"] in {"solve", "compose"} and not _says_something(vote["answer"]):
            return RedFlag("empty_answer", repr(vote["answer"][:80]))
        return self._decomposition(question, vote) if question["stage"] == "propose" else None

    def _decomposition(self, question: StageQuestion, vote: Any) -> RedFlag | None:
        parts = vote["subproblems"]
        if not _LEAST <= len(parts) <= question["at_most"]:
            return RedFlag("breadth", f"{len(parts)} subproblems, where 2 to {question['at_most']} are due")
        for part in parts:
            if (flag := self._part(question, part)) is not None:
                return flag
        used = {int(place) for place in _PLACE.findall(vote["compose"])}
        if used != {*range(1, len(parts) + 1)}:
            return RedFlag("ignored_part", f"{len(parts)} subproblems, and compose is {excerpt(vote['compose'])}")
        return None

    def _part(self, question: StageQuestion, part: str) -> RedFlag | None:
        problem = question["problem"]
        if not _says_something(part):
            return RedFlag("empty_subproblem")
        if self.key(part) in {self.key(one) for one in (*question["above"], problem)}:
            return RedFlag("cycle", f"{excerpt(part)} is being split already")
        if not self.simpler(part, problem):
            return RedFlag("not_simpler", repr(part))
        if (sibling := _SIBLING.search(part)) and sibling[0] not in problem:
            return RedFlag("sibling", f"{excerpt(sibling[0])} in {excerpt(part)}, which is answered on its own")
        return None


_REFUTED: Final = 'The ways in "refuted" were tried, and what came of each was found wrong: take another one.'


def _says_something(text: str) -> bool:
    return any(char.isprintable() and not char.isspace() for char in text)


_LEAST: Final = 2
_PLACE: Final = re.compile(r"\{(\d{1,6})\}")
_SIBLING: Final = re.compile(
    r"\{\d{1,6}\}|\b(?:sub-?problem|answer|result)s? (?:of |from |to )?(?:#|no\. ?|number )?\d"
    r"|\b(?:answer|result|solution|output|value)s? (?:of|from|to) (?:sub-?problem|part|step|question) (?:#|no\. ?)?\d"
    r"|\b(?:sub-?problem|part|step|question) \d{1,6}['’]s? (?:answer|result|solution|output|value)"  # noqa: RUF001
    r"|\b(?:other|previous|preceding|first|second|third|last) (?:sub-?problem|answer|result)s?"
    r"(?= ?(?:$|[^\w\s]|(?:and|or|plus|minus|times|by|to|from|with|of|as|is|are)\b))"
    r"|\bwhat the (?:other|previous|first|second|third|last) (?:one|part|step)s? (?:give|gave|yield|return|make|say)"
    r"|^\W{0,9}(?:multiply|divide|double|triple|halve|negate|square|reverse) (?:that|it)\b",
    re.IGNORECASE,
)
"""A subproblem that speaks of another one's answer; what the problem itself says may be repeated."""
