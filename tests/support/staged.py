"""Models that answer a recursive maker's stages from the prompt's text, as a test writes them down."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

from langchain_core.messages import AIMessage

from langgraph_maker.core.state import Request
from langgraph_maker.prebuilt.recursive.stages import INSTRUCTIONS, StageQuestion


def question_in(text: str) -> StageQuestion:
    """The question that a default prompt asks."""
    [stage] = [stage for stage, said in INSTRUCTIONS.items() if text.startswith(said)]
    return {"stage": stage, **json.loads(text.rpartition("\n")[2])}


def reversal(question: StageQuestion) -> dict[str, Any]:
    """Right answers to one kind of problem: a text to write backwards, by halves, one character a step."""
    problem = question["problem"]
    half = len(problem) // 2
    match question["stage"]:
        case "atomic":
            return {"atomic": len(problem) == 1}
        case "solve":
            return {"answer": problem}
        case "propose":
            return {"subproblems": [problem[:half], problem[half:]], "compose": "{2}{1}"}
        case "compose":
            return {"answer": question["parts"][1]["answer"] + question["parts"][0]["answer"]}
        case "check":
            return {"right": question["answer"] == problem[::-1]}
    raise AssertionError(question)


class Staged:
    """A sampler that answers each question by a function of it and of the sample's number; it keeps what was asked.

    What the function returns None for is answered as `reversal` does.
    """

    never_waits = True

    def __init__(self, answer: Callable[[StageQuestion, int], Any] = lambda *_: None) -> None:
        self.answer = answer
        self.batches: list[list[tuple[str, StageQuestion]]] = []

    async def __call__(self, requests: Sequence[Request]) -> list[AIMessage | Exception]:
        asked = [(request, question_in(request.messages[0].text)) for request in requests]
        self.batches.append([(request.subtask_id, question) for request, question in asked])
        return [AIMessage(self.said(question, request.number)) for request, question in asked]

    def said(self, question: StageQuestion, number: int) -> str:
        answer = self.answer(question, number)
        return answer if isinstance(answer, str) else json.dumps(reversal(question) if answer is None else answer)

    @property
    def drawn(self) -> int:
        return sum(map(len, self.batches))
