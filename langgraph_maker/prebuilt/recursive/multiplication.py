"""Long multiplication without a given plan, and a simulated model for it.

The simulated model answers every stage from the prompt's text alone. It is right in one answer of ten when it
multiplies long numbers at once, and in 97 of 100 small steps: whether a product is one of digits, how to split one,
which split is best, the product of two digits, a sum, and whether a sum is right. Real models are not it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any, Final

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage

from langgraph_maker.core.foreign import excerpt
from langgraph_maker.core.state import Request, Sampler, never_waits
from langgraph_maker.core.task import State, Task, Vote
from langgraph_maker.prebuilt.recursive.stages import INSTRUCTIONS, SCHEMAS, StageQuestion, Stages
from langgraph_maker.simulation.chat_model import simulated_sampler

__all__ = ["Multiplication", "Products", "simulated_multiplication"]


class Products(Stages):
    """Stages that take products of whole numbers, as `simulated_multiplication` does, and refuse all else at once.

    Example:
        >>> Products().accept("what is 12 × 34?")
        >>> Products().accept("twelve times three")
        Traceback (most recent call last):
        ValueError: 'twelve times three' is no product of two whole numbers: ask for one such as "123 * 456"
    """

    def accept(self, problem: str) -> None:
        """Refuse what is no product."""
        _factors(problem)


def simulated_multiplication(*, direct: float = 0.10, small: float = 0.97, flag: float = 0.0, seed: int = 0) -> Sampler:
    """Return a simulated model that splits products of whole numbers, "123 * 456", and puts them together.

    Its proposals differ from sample to sample, as a model's would: it splits one number or the other, here or there.

    Args:
        direct: Probability that an answer is right to a product of more than two digits. Wrong ones have one digit
            that is off, in one of four ways.
        small: Probability that any other answer is right.
        flag: Probability that an answer is malformed.
        seed: Models with different seeds err independently, but for the first sample, which temperature 0 decides.

    Example:
        >>> import asyncio
        >>> prompt = Stages().ask({"stage": "propose", "problem": "12 * 3", "above": [], "at_most": 8})
        >>> request = Request([HumanMessage(prompt)], 0.0, "1:propose", 0)
        >>> [response] = asyncio.run(simulated_multiplication(small=1.0)([request]))
        >>> response.text
        '{"subproblems": ["1 * 3", "2 * 3"], "compose": "{1} * 10 + {2}"}'
    """
    spec = f"sim:error={{}},flag={flag},alternatives=4,output_tokens=60,input_tokens=250"
    at_once = simulated_sampler(spec.format(1 - direct), Multiplication(), seed)
    step_by_step = [
        simulated_sampler(spec.format(round(1 - small, 12)), Multiplication(way), seed) for way in range(_WAYS)
    ]

    def chosen(request: Request) -> Sampler:
        question = _question(request.messages)
        _factors(question["problem"])
        if question["stage"] == "solve" and not _small(question["problem"]):
            return at_once
        return step_by_step[request.number % _WAYS if question["stage"] == "propose" else 0]

    @never_waits
    async def simulated(requests: Sequence[Request]) -> list[AIMessage | Exception]:
        responses: list[AIMessage | Exception] = []
        for request in requests:
            responses += await chosen(request)([request])
        return responses

    simulated.__name__ = "sim:multiplication"  # what it is called in records
    return simulated


class Multiplication(Task):
    """A recursive maker's questions about products, as a task for simulated models: what is right and plausibly wrong.

    Args:
        way: Which of three ways to split a product it holds for right.
    """

    name = "recursive-multiplication"

    def __init__(self, way: int = 0) -> None:
        self.way = way

    def initial_state(self) -> State:
        """Return a question."""
        return {"stage": "solve", "problem": "2 * 3"}

    def is_done(self, state: State) -> bool:  # noqa: ARG002 - a single step
        """Return False: a question has one answer."""
        return False

    def advance(self, state: State, vote: Vote) -> State:  # noqa: ARG002 - a single step
        """Return the state as it was: a question has one answer."""
        return state

    def prompt(self, state: State) -> list[BaseMessage]:
        """Return the default prompt of the question's stage."""
        return [HumanMessage(str(Stages().ask(state)))]

    def parse(self, text: str) -> Vote:
        """Return the answer, as the vote's action."""
        return {"action": json.loads(text), "next_state": None}

    def render(self, vote: Vote) -> str:
        """Return the answer's JSON."""
        return json.dumps(vote["action"])

    def read_state(self, messages: Sequence[BaseMessage]) -> State:
        """Return the question in a prompt."""
        return _question(messages)

    def oracle(self, state: State) -> Vote:
        """Return the right answer."""
        return _said(self.right(state))

    def wrong_votes(self, state: State) -> list[Vote]:
        """Return answers that are plausibly wrong."""
        right = self.right(state)
        match state["stage"]:
            case "atomic" | "check":
                wrong: list[Any] = [{name: not value} for name, value in right.items()]
            case "propose":  # the shift is forgotten, or off by one
                sums = re.sub(r" \* 10*", " * 100", right["compose"]), "{1} + {2}"
                wrong = [{**right, "compose": text} for text in sums if text != right["compose"]]
            case "choose":
                wrong = [{"choice": place} for place in range(1, len(state["candidates"]) + 1)]
            case _:  # one digit is off
                value = int(right["answer"])
                wrong = [{"answer": str(abs(value + slip))} for slip in (10, -10, 1, 100)]
        return [_said(vote) for vote in wrong if vote != right]

    def right(self, question: StageQuestion) -> dict[str, Any]:
        """Return the right answer, as its stage's schema has it."""
        a, b = _factors(question["problem"])
        match question["stage"]:
            case "atomic":
                return {"atomic": _small(question["problem"])}
            case "solve":
                return {"answer": str(a * b)}
            case "propose":
                return _split(str(a), str(b), self.way)
            case "choose":
                fit = [json.dumps(one) for one in question["candidates"] if _fits(question["problem"], one)]
                shown = [json.dumps(one) for one in question["candidates"]]
                return {"choice": shown.index(min(fit or shown, key=lambda text: (len(text), text))) + 1}
            case "compose":
                return {"answer": str(_sum(question))}
            case _:
                split = {"subproblems": [part["problem"] for part in question["parts"]], "compose": question["how"]}
                fits = _fits(question["problem"], split)
                return {"right": fits and question["answer"] == str(_sum(question))}


_WAYS: Final = 3
_TEN: Final = 10
_PRODUCT: Final = re.compile(r"(?:what is )?\s*([0-9]{1,1000})\s*[*x×]\s*([0-9]{1,1000})\s*[?=]?\s*", re.IGNORECASE)
_SUM: Final = re.compile(r"\{1\}(?: \* (10*))? \+ \{2\}")


def _said(answer: dict[str, Any]) -> Vote:
    return {"action": answer, "next_state": None}


def _question(messages: Sequence[BaseMessage]) -> StageQuestion:
    """Return the question in a prompt: its stage by the instruction, all else by the JSON at the end."""
    text = messages[-1].text
    stage = next((stage for stage in SCHEMAS if text.startswith(INSTRUCTIONS[stage])), None)
    if stage is None:
        raise ValueError("this prompt is none of a recursive maker's default stages")
    return {"stage": stage, **json.loads(text.rpartition("\n")[2])}


def _factors(problem: str) -> tuple[int, int]:
    if (found := _PRODUCT.fullmatch(problem)) is None:
        raise ValueError(f'{problem[:80]!r} is no product of two whole numbers: ask for one such as "123 * 456"')
    return int(found[1]), int(found[2])


def _small(problem: str) -> bool:
    return max(_factors(problem)) < _TEN


def _split(a: str, b: str, way: int) -> dict[str, Any]:
    """Return the longer number in halves; or the other one, where it can be; or not quite in halves."""
    first = (len(a) >= len(b)) if way != 1 or min(len(a), len(b)) == 1 else len(a) < len(b)
    number, other = (a, b) if first else (b, a)
    low = min(len(number) // 2 + (way == 2), len(number) - 1)  # noqa: PLR2004 - the third way
    parts = [str(int(part)) for part in (number[:-low], number[-low:])]
    problems = [f"{part} * {other}" if first else f"{other} * {part}" for part in parts]
    return {"subproblems": problems, "compose": f"{{1}} * {10**low} + {{2}}"}


def _fits(problem: str, decomposition: dict[str, Any]) -> bool:
    """Return whether the parts of a decomposition make the product."""
    try:
        (a, b), *parts = map(_factors, (problem, *decomposition["subproblems"]))
        return a * b == _value(decomposition["compose"], [x * y for x, y in parts])
    except ValueError:
        return False


def _sum(question: StageQuestion) -> int:
    return _value(question["how"], [int(part["answer"]) for part in question["parts"]])


def _value(how: str, answers: Sequence[int]) -> int:
    if (found := _SUM.fullmatch(how)) is None or len(answers) != 2:  # noqa: PLR2004 - two halves
        raise ValueError(f"{excerpt(how)} is no sum of two parts")
    return answers[0] * int(found[1] or 1) + answers[1]
